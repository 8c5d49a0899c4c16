import { clone, mul, neg, sum, tensor1d, tidy, type Tensor } from '@tensorflow/tfjs-core';
import { MissingGradientError } from '../src/core/errors.js';
import { gradientOrForgotten, isTapeActive, withFreshTape, withGradient } from '../src/core/tape.js';
import { conjugateGradient, type ConjugateGradientOptions } from './conjugate_gradient.js';
import { warnOnce } from '../src/core/warn.js';
import { gradientsTo, taped } from './value_and_grad.js';

/** An inner problem `min over phi of G(phi, theta)`. */
export interface InnerProblem {
  /** G, of all entries of phi one after the other. */
  readonly loss: (phi: Tensor) => Tensor;
  readonly theta: readonly Tensor[];
  /** What the loss reads besides: asking for its gradient throws. */
  readonly captured: readonly Tensor[];
  readonly options: ConjugateGradientOptions;
}

/** The minimum `phi` with its gradient, `-(d2G/dtheta dphi) H^-1 dy` with `H = d2G/dphi2`, which has a gradient in turn. */
export function minimumOf(problem: InnerProblem, phi: Tensor): Tensor {
  const { theta, captured } = problem;
  return withGradient(
    [...theta, ...captured],
    (save) => {
      save([phi]);
      return clone(phi);
    },
    (dy, [saved]) =>
      gradientOrForgotten(() => {
        const again = isTapeActive();
        const gradients = again ? recorded(problem, saved, dy) : forgotten(problem, saved, dy);
        return [...gradients, ...captured.map(() => null)];
      }),
    refuseCaptured,
  );
}

function forgotten(problem: InnerProblem, phi: Tensor, dy: Tensor): Tensor[] {
  return onATapeOfItsOwn(() => {
    const slope = slopeOf(problem, phi);
    const v = solved(slope, phi, dy, problem.options);
    return gradientsTo(neg(dot(slope, v)), problem.theta);
  });
}

/* The same of tensors that lead back to theta. As inputs of one gradient they do not depend on each other. */
function recorded(problem: InnerProblem, at: Tensor, dy: Tensor): Tensor[] {
  return taped(() => {
    const phi = minimumOf(problem, at);
    const v = inverseTimes(problem, phi, dy);
    const descent = neg(dot(slopeOf(problem, phi), v));
    return gradientsTo(descent, [...problem.theta, phi, v]).slice(0, problem.theta.length);
  });
}

/* `v = H^-1 b`. With `u = H^-1 dv` its gradient is u in b, and `-d(u^T H v)` in what H depends on. */
function inverseTimes(problem: InnerProblem, phi: Tensor, b: Tensor): Tensor {
  const { theta, captured, options } = problem;
  const [v] = onATapeOfItsOwn(() => [solved(slopeOf(problem, phi), phi, b, options)]);
  return withGradient(
    [b, phi, ...theta, ...captured],
    (save) => {
      save([v]);
      return clone(v);
    },
    (dv, [saved]) =>
      gradientOrForgotten(() => {
        const pulledBack = (u: Tensor, v: Tensor, slope: Tensor): Tensor[] => {
          const [image] = gradientsTo(dot(slope, v), [phi, v]);
          const descent = neg(dot(image, u));
          return [u, ...gradientsTo(descent, [phi, ...theta, u, v]).slice(0, 1 + theta.length)];
        };
        const gradients = isTapeActive()
          ? taped(() => {
              // Of tensors that lead back to b, phi and theta.
              const [u, again] = [dv, b].map((x) => inverseTimes(problem, phi, x));
              return pulledBack(u, again, slopeOf(problem, phi));
            })
          : onATapeOfItsOwn(() => {
              const slope = slopeOf(problem, phi);
              return pulledBack(solved(slope, phi, dv, options), saved, slope);
            });
        return [...gradients, ...captured.map(() => null)];
      }),
    refuseCaptured,
  );
}

function refuseCaptured(): never {
  throw new MissingGradientError(
    'a gradient was asked for with respect to a tensor that the inner loss closes over: it would silently be missing. ' +
      'Put the tensor into theta.',
  );
}

const onATapeOfItsOwn = (compute: () => Tensor[]): Tensor[] =>
  withFreshTape(() => tidy(() => taped(compute)));

const slopeOf = (problem: InnerProblem, phi: Tensor): Tensor => gradientsTo(problem.loss(phi), [phi])[0];

const dot = (a: Tensor, b: Tensor): Tensor => sum(mul(a, b));

const notConverged = (residual: number): string =>
  `the conjugate gradients of an implicit gradient leave ${(100 * residual).toPrecision(2)} % of their residual: the inner ` +
  'Hessian is too badly conditioned for float32, and the gradient is not to be trusted. Scale the parameters, or add a ' +
  'proximal term (imaml with lambda > 0).';

/* `H^-1 b` by products with H, while the tape knows how the slope was made. */
function solved(slope: Tensor, phi: Tensor, b: Tensor, options: ConjugateGradientOptions): Tensor {
  const product = (v: Float64Array): Float64Array =>
    Float64Array.from(
      tidy(() => gradientsTo(dot(slope, tensor1d(Float32Array.from(v))), [phi])[0].dataSync()),
    );
  const solution = conjugateGradient(product, Float64Array.from(b.dataSync()), options);
  if (solution) {
    // With maxIterations the caller has chosen to stop early.
    if (options.maxIterations === undefined && solution.residual > 0.01)
      warnOnce('implicit gradient', notConverged(solution.residual));
    return tensor1d(Float32Array.from(solution.x));
  }
  throw new MissingGradientError(
    'the inner loss has no positive curvature in some direction: what solve returned is no minimum, or not the only ' +
      'one nearby. Add a proximal term (imaml with lambda > 0).',
  );
}
