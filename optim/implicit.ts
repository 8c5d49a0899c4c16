import {
  add,
  addN,
  clone,
  mul,
  scalar,
  squaredDifference,
  sum,
  tidy,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { concatLeaves, splitLeaves } from '../src/core/flat.js';
import { inputsOnTape, isTapeActive, onOwnTape, scoped, withFreshTape } from '../src/core/tape.js';
import { requireGradients } from '../src/core/vjp.js';
import type { ConjugateGradientOptions } from './conjugate_gradient.js';
import { minimumOf } from './implicit_gradient.js';
import { checkOptions } from './options.js';
import {
  checkNumber,
  leavesAs,
  parametersOf,
  tidied,
  treeAs,
  type Parameters,
  type Updated,
} from './params.js';
import { checkLoss } from './value_and_grad.js';

/**
 * The minimum `phi*(theta)` of an inner loss, differentiable in `theta` without differentiating the way to it, by the
 * implicit function theorem: for an outer loss L
 *
 * `dL/dtheta = -(d2G/dtheta dphi) (d2G/dphi2)^-1 dL/dphi`
 *
 * where the inverse is applied by conjugate gradients, and further derivatives are taken in the same way. Its memory does not depend on
 * how `phi*` was found; its error is that of `phi*`.
 *
 * @param inner `G(phi, theta)`, a float32 scalar with a minimum in `phi`. Of what it reads only `theta` gets a gradient:
 * asking for that of another tensor throws.
 * @param theta A tensor or variable, or a tree of them.
 * @param solve Returns `phi*`, a tree of tensors; it is not recorded. Its errors are the caller's.
 * @returns A tree like that of `solve`, as tensors of the caller.
 * @throws `InvalidArgumentError` for empty trees, and an inner loss that is no scalar.
 * @throws `MissingGradientError` on the way back: where the inner loss is not convex at `phi*`. Whether its gradient
 * vanishes there is not checked. It warns where the Hessian is too badly conditioned for float32.
 *
 * @example
 * ```ts
 * // How the best weight depends on the strength of its decay.
 * const fit = (w: tf.Tensor, decay: tf.Tensor) => tf.add(tf.squaredDifference(w, 3), tf.mul(decay, tf.square(w)));
 * const best = (decay: tf.Tensor) => implicitMinimum(fit, decay, (d) => lbfgs((w) => fit(w, d), tf.scalar(0)).x);
 * tf.grad(best)(tf.scalar(1)).print(); // -0.75, of 3 / (1 + decay)
 * ```
 */
export function implicitMinimum<Theta, Phi>(
  inner: (phi: Updated<Phi>, theta: Theta) => Tensor,
  theta: Theta,
  solve: (theta: Theta) => Phi,
  options: ConjugateGradientOptions = {},
): Updated<Phi> {
  requireGradients();
  checkOptions(options, 'implicitMinimum', ['maxIterations', 'tolerance']);
  checkSolve(solve);
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
  const tree = (phi: Tensor): Updated<Phi> => treeAs<Phi>(found, splitLeaves(phi, sizes, shapes));
  if (!isTapeActive()) return tidied(() => tree(flat));
  const loss = (phi: Tensor): Tensor => {
    const value = inner(tree(phi), theta);
    checkLoss(value);
    return value;
  };
  const captured = capturedBy(() => loss(flat), [...outer.leaves, flat]);
  return tree(minimumOf({ loss, theta: outer.leaves, captured, options }, flat));
}

function checkSolve(solve: unknown): void {
  if (typeof solve === 'function') return;
  throw new InvalidArgumentError(
    `solve is ${describe(solve)}; expected a function that returns the minimum, by lbfgs(...).x or other steps.`,
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
  checkSolve(solve);
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
