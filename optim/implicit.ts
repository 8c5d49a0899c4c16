import {
  add,
  addN,
  clone,
  mul,
  scalar,
  squaredDifference,
  sum,
  tensor1d,
  tidy,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { MissingGradientError } from '../src/core/errors.js';
import { concatLeaves, splitLeaves } from '../src/core/flat.js';
import {
  gradientOrForgotten,
  inputsOnTape,
  isTapeActive,
  onOwnTape,
  scoped,
  withFreshTape,
  withGradient,
} from '../src/core/tape.js';
import { unflattenTree } from '../src/core/tree.js';
import { requireGradients } from '../src/core/vjp.js';
import { checkOptions } from './options.js';
import { conjugateGradient, type ConjugateGradientOptions } from './conjugate_gradient.js';
import {
  checkNumber,
  leavesAs,
  parametersOf,
  tidied,
  treeAs,
  type Parameters,
  type Updated,
} from './params.js';
import { checkLoss, gradientsTo, taped } from './value_and_grad.js';

/**
 * The minimum `phi*(theta)` of an inner loss, differentiable in `theta` without differentiating the way to it, by the
 * implicit function theorem: for an outer loss L
 *
 * `dL/dtheta = -(d2G/dtheta dphi) (d2G/dphi2)^-1 dL/dphi`
 *
 * where the inverse is applied by conjugate gradients. Its memory does not depend on how `phi*` was found; its error is
 * that of `phi*`.
 *
 * @param inner `G(phi, theta)`, a float32 scalar with a minimum in `phi`. Of what it reads only `theta` gets a gradient:
 * asking for that of another tensor throws.
 * @param theta A tensor or variable, or a tree of them.
 * @param solve Returns `phi*`, a tree of tensors; it is not recorded. Its errors are the caller's.
 * @returns A tree like that of `solve`, as tensors of the caller.
 * @throws `InvalidArgumentError` for empty trees, and an inner loss that is no scalar.
 * @throws `MissingGradientError` on the way back: where `phi*` is no minimum, and for second derivatives.
 */
export function implicitMinimum<Theta, Phi>(
  inner: (phi: Updated<Phi>, theta: Theta) => Tensor,
  theta: Theta,
  solve: (theta: Theta) => Phi,
  options: ConjugateGradientOptions = {},
): Updated<Phi> {
  requireGradients();
  checkOptions(options, 'implicitMinimum', ['maxIterations', 'tolerance']);
  const outer = parametersOf(theta, 'theta');
  let found!: Parameters;
  const flat = withFreshTape(() =>
    tidy(() => {
      found = parametersOf(solve(theta), 'phi');
      return clone(concatLeaves(found.leaves));
    }),
  );
  const shapes = found.leaves.map(({ shape }) => [...shape]);
  const sizes = found.leaves.map(({ size }) => size);
  const split = (vector: Tensor): Tensor[] => splitLeaves(vector, sizes, shapes);
  const loss = (phi: readonly Tensor[]): Tensor => {
    const value = inner(unflattenTree(found.structure, phi) as Updated<Phi>, theta);
    checkLoss(value);
    return value;
  };
  if (!isTapeActive()) return tidied(() => treeAs<Phi>(found, split(flat)));
  const captured = capturedBy(() => loss(split(flat)), [...outer.leaves, flat]);
  const result = withGradient(
    [...outer.leaves, ...captured],
    (save) => {
      save([flat]);
      return clone(flat);
    },
    (dy, [saved]) =>
      gradientOrForgotten(() => {
        if (isTapeActive()) throw new MissingGradientError(secondOrder);
        const gradients = withFreshTape(() =>
          tidy(() => throughMinimum(loss, split(saved), outer.leaves, dy, options)),
        );
        return [...gradients, ...captured.map(() => null)];
      }),
    refuseCaptured,
  );
  return treeAs<Phi>(found, split(result));
}

const secondOrder =
  'implicit gradients have no derivatives themselves; take an unrolled solution (MetaOptimizer) for second derivatives.';

function refuseCaptured(): never {
  throw new MissingGradientError(
    'a gradient was asked for with respect to a tensor that the inner loss closes over: it would silently be missing. ' +
      'Put the tensor into theta.',
  );
}

/* Tensors and variables that existed before the call, among what it reads. */
function capturedBy(compute: () => Tensor, known: readonly Tensor[]): Tensor[] {
  return withFreshTape(() =>
    scoped(() => {
      const first = scalar(0).id;
      let met: Tensor[] = [];
      const tape = onOwnTape(() => {
        const value = compute();
        met = inputsOnTape();
        return { outputs: [], value };
      });
      tape.dispose();
      return met.filter((x) => x.id < first && !known.includes(x));
    }),
  );
}

function throughMinimum(
  loss: (phi: readonly Tensor[]) => Tensor,
  phi: readonly Tensor[],
  theta: readonly Tensor[],
  dy: Tensor,
  options: ConjugateGradientOptions,
): Tensor[] {
  return taped(() => {
    const slope = gradientsTo(loss(phi), phi);
    const along = (v: Float64Array): Tensor => {
      const direction = tensor1d(Float32Array.from(v));
      return sum(mul(concatLeaves(slope), direction));
    };
    const product = (v: Float64Array): Float64Array =>
      Float64Array.from(tidy(() => concatLeaves(gradientsTo(along(v), phi)).dataSync()));
    const solution = conjugateGradient(product, Float64Array.from(dy.dataSync()), options);
    if (!solution) {
      throw new MissingGradientError(
        'the inner loss has no positive curvature in some direction: what solve returned is no minimum, or not the only ' +
          'one nearby. Add a proximal term (imaml with lambda > 0).',
      );
    }
    return gradientsTo(along(solution.map((x) => -x)), theta);
  });
}

/** Options of {@link imaml}. */
export interface ImamlOptions extends ConjugateGradientOptions {
  /** Strength of the proximal term, 1 by default. */
  lambda?: number;
}

/**
 * Implicit MAML: the minimum of `loss(phi) + lambda / 2 |phi - theta|^2`, differentiable in the start `theta` with
 * `dL/dtheta = (I + H / lambda)^-1 dL/dphi`, where H is the Hessian of the loss at the minimum.
 *
 * Source: Rajeswaran et al., https://doi.org/10.48550/arXiv.1909.04630.
 *
 * @param loss A float32 scalar of a tree like `theta`.
 * @param theta The start, and centre of the proximal term.
 * @param solve Minimises `objective`, which is the loss with the proximal term, from `theta`: by `lbfgs(objective, theta).x`,
 * or steps of any optimizer. It is not recorded.
 * @example
 * ```ts
 * const adapted = imaml(loss, theta, (objective, start) => lbfgs(objective, start).x, { lambda: 2 });
 * ```
 * @throws as {@link implicitMinimum}.
 */
export function imaml<P>(
  loss: (phi: Updated<P>) => Tensor,
  theta: P,
  solve: (objective: (phi: Updated<P>) => Tensor, start: P) => Updated<P>,
  options: ImamlOptions = {},
): Updated<P> {
  checkOptions(options, 'imaml', ['lambda', 'maxIterations', 'tolerance']);
  const { lambda = 1, ...limits } = options;
  checkNumber(lambda, 'lambda', 0);
  const outer = parametersOf(theta, 'theta');
  const objective = (phi: Updated<P>, centre: P): Tensor => {
    const leaves = leavesAs(outer, phi, 'phi');
    const centres = leavesAs(outer, centre, 'theta');
    const squares = addN(leaves.map((leaf, i): Tensor => sum(squaredDifference(leaf, centres[i]))));
    return add(loss(phi), mul(squares, lambda / 2));
  };
  return implicitMinimum<P, Updated<P>>(
    objective as (phi: Updated<Updated<P>>, centre: P) => Tensor,
    theta,
    (start) => solve((phi) => objective(phi, start), start),
    limits,
  ) as Updated<P>;
}
