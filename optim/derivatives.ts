import {
  addN,
  clone,
  mul,
  onesLike,
  reshape,
  stack,
  sum,
  tensor,
  tidy,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { isTensor } from '../src/core/tree.js';
import { checkNumber, leavesAs, parametersOf, treeAs, type Updated } from './params.js';
import { checkLoss, gradientsTo, taped } from './value_and_grad.js';

/*
 * All of these evaluate the function once, on a tape of their own or on that of a gradient outside, and walk back over it
 * as often as they need.
 */

const inner = (a: readonly Tensor[], b: readonly Tensor[]): Tensor =>
  addN(a.map((x, i) => sum(mul(x, b[i]))));

function evaluate(f: unknown, x: unknown): Tensor {
  if (typeof f !== 'function') {
    throw new InvalidArgumentError(`f is ${describe(f)}; expected a function of tensors.`);
  }
  const y = (f as (x: unknown) => unknown)(x);
  if (!isTensor(y) || y.dtype !== 'float32') {
    throw new InvalidArgumentError(`f returned ${describe(y)}; expected a float32 tensor.`);
  }
  // What is an input itself has no op that leads to it.
  return clone(y);
}

const only = (outputs: Tensor[]): Tensor => outputs[0];

/** Gradients of `y` to `x`, one for each element of `y`, as `[...y.shape, ...x.shape]`. */
function rows(y: Tensor, x: Tensor): Tensor {
  const gradients = Array.from({ length: y.size }, (_, i) => {
    const direction = tensor(new Float32Array(y.size).fill(1, i, i + 1), y.shape);
    return gradientsTo(y, [x], direction)[0];
  });
  return reshape(stack(gradients), [...y.shape, ...x.shape]);
}

/**
 * The Jacobian of `f` at a tensor `x`: `J[i.., j..] = d f(x)[i..] / d x[j..]`, of shape `[...f(x).shape, ...x.shape]`, by
 * a walk back for each element of `f(x)`. Differentiable.
 * @throws `InvalidArgumentError` when `x` or `f(x)` is no float32 tensor.
 *
 * @example
 * ```ts
 * jacobian((x) => tf.square(x))(tf.tensor1d([1, 2])).print(); // [[2, 0], [0, 4]]
 * ```
 */
export function jacobian(f: (x: Tensor) => Tensor): (x: Tensor) => Tensor {
  return (x) => {
    requireTensor(x);
    return only(taped(() => [rows(evaluate(f, x), x)]));
  };
}

/**
 * The matrix of second derivatives of a scalar `f` at a tensor `x`, of shape `[...x.shape, ...x.shape]`. Differentiable.
 * @throws `InvalidArgumentError` when `f(x)` is no float32 scalar.
 *
 * @example
 * ```ts
 * hessian((x) => tf.prod(x))(tf.tensor1d([2, 3])).print(); // [[0, 1], [1, 0]]
 * ```
 */
export function hessian(f: (x: Tensor) => Tensor): (x: Tensor) => Tensor {
  return (x) => {
    requireTensor(x);
    return only(
      taped(() => {
        const y = evaluate(f, x);
        checkLoss(y);
        return [rows(gradientsTo(y, [x])[0], x)];
      }),
    );
  };
}

/**
 * The product of the Hessian of a scalar `f` with `v`, at the cost of a few gradients. `x` is a tensor or a tree of them,
 * and `v` and the result are like it. Differentiable.
 * @throws `InvalidArgumentError` for trees or shapes that differ, and unless `f(x)` is a float32 scalar.
 *
 * @example
 * ```ts
 * const f = (x: tf.Tensor) => tf.sum(tf.pow(x, 3));
 * hvp(f)(tf.tensor1d([1, 2]), tf.tensor1d([1, 0])).print(); // [6, 0]
 * ```
 */
export function hvp<P>(f: (x: P) => Tensor): (x: P, v: Updated<P>) => Updated<P> {
  return (x, v) => {
    const checked = parametersOf(x, 'x');
    const direction = leavesAs(checked, v, 'v');
    const products = taped(() => {
      const y = evaluate(f, x);
      checkLoss(y);
      return gradientsTo(inner(gradientsTo(y, checked.leaves), direction), checked.leaves);
    });
    return treeAs<P>(checked, products);
  };
}

/**
 * The product of the Jacobian of `f` with `v`, of the shape of `f(x)`: the derivative of `f` along `v`. tfjs has no forward
 * mode; it is the derivative of `u^T J` in `u`, times `v`. Differentiable.
 * @throws `InvalidArgumentError` for trees or shapes that differ.
 *
 * @example
 * ```ts
 * jvp((x: tf.Tensor) => tf.square(x))(tf.tensor1d([1, 2]), tf.tensor1d([1, 1])).print(); // [2, 4]
 * ```
 */
export function jvp<P>(f: (x: P) => Tensor): (x: P, v: Updated<P>) => Tensor {
  return (x, v) => {
    const checked = parametersOf(x, 'x');
    const direction = leavesAs(checked, v, 'v');
    return only(
      taped(() => {
        const y = evaluate(f, x);
        // The product is linear in u: any value of it gives the same derivative.
        const u = onesLike(y);
        return gradientsTo(inner(gradientsTo(y, checked.leaves, u), direction), [u]);
      }),
    );
  };
}

/**
 * The n-th derivative of a function that acts on each element of a tensor by itself. `f` is evaluated once. Differentiable.
 *
 * @param n How often to differentiate, 0 or more.
 * @example
 * ```ts
 * nthDerivative((x) => tf.sin(x), 4)(tf.tensor1d([0.5, 1])).print(); // sin again
 * ```
 * @throws `InvalidArgumentError` when `n` is no natural number, or `f(x)` has another shape than `x`.
 */
export function nthDerivative(f: (x: Tensor) => Tensor, n: number): (x: Tensor) => Tensor {
  checkNumber(n, 'n', 0);
  if (!Number.isInteger(n)) throw new InvalidArgumentError(`n is ${describe(n)}; expected a natural number.`);
  return (x) => {
    requireTensor(x);
    const compute = (): Tensor[] => {
      let derivative = evaluate(f, x);
      if (derivative.shape.join() !== x.shape.join()) {
        throw new InvalidArgumentError(
          `f returned ${describe(derivative)} for ${describe(x)}; expected the same shape: nthDerivative is for ` +
            'functions of each element. Use jacobian for others.',
        );
      }
      for (let k = 0; k < n; k++) derivative = gradientsTo(derivative, [x])[0];
      return [derivative];
    };
    return only(taped(() => tidy(compute)));
  };
}

function requireTensor(x: unknown): void {
  if (isTensor(x) && x.dtype === 'float32') return;
  throw new InvalidArgumentError(`x is ${describe(x)}; expected a float32 tensor.`);
}
