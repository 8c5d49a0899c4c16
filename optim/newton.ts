import {
  abs,
  add,
  clone,
  div,
  greater,
  less,
  logicalAnd,
  maximum,
  minimum,
  mul,
  neg,
  onesLike,
  reshape,
  sign,
  slice,
  sqrt,
  square,
  stack,
  sub,
  sum,
  where,
  zerosLike,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { untaped } from '../src/core/tape.js';
import { isTensor } from '../src/core/tree.js';
import { checkNumber, tidied } from './params.js';
import { dot, eigen, largest, shifted, solve, type Matrix, type Vector } from './symmetric.js';
import { gradientsTo, taped } from './value_and_grad.js';

/**
 * One Newton step within a trust region: `x + s`, where s minimises the quadratic model
 * `g^T s + s^T H s / 2` among all `|s| <= trustRadius`. Where H is positive definite and the Newton step short enough that
 * is `-H^-1 g`; otherwise `s = -(H + mu I)^-1 g` with the shift `mu >= max(0, -smallest eigenvalue)` for which
 * `|s| = trustRadius`: from a saddle it leads down the negative curvature, from a maximum away.
 *
 * Differentiable in `x` and in all that the loss reads, second derivatives included. Where the gradient has no part along
 * the direction of negative curvature (the hard case) that part of the step is a constant to differentiation.
 *
 * Source: Moré and Sorensen, https://doi.org/10.1137/0904038.
 *
 * @param loss Of one point a scalar; of a batch `[batch]`, each entry of which depends on its own row only, or their sum.
 * @param x A point `[n]` or a scalar, or a batch `[batch, n]`, with n = 1, 2 or 3.
 * @param trustRadius The longest step: a number > 0, a scalar tensor, or `[batch]`.
 * @returns A tensor of the shape of `x`.
 * @throws `InvalidArgumentError` for other shapes, a radius that is not positive, a loss of another shape.
 *
 * @example
 * ```ts
 * let x: tf.Tensor = tf.tensor1d([-1.2, 1]);
 * for (let i = 0; i < 30; i++) x = newtonStep(rosenbrock, x, 0.5);
 * ```
 */
export function newtonStep(loss: (x: Tensor) => Tensor, x: Tensor, trustRadius: number | Tensor): Tensor {
  const { n, batch } = sizesOf(x);
  if (!isTensor(trustRadius)) checkNumber(trustRadius, 'trustRadius', Number.MIN_VALUE);
  const [next] = taped(() => [
    tidied(() => {
      const { gradient, hessian } = derivatives(loss, x, n, batch);
      const radius = add(zerosLike(gradient[0]), trustRadius);
      const step = trustRegionStep(gradient, hessian, radius);
      return moved(x, step);
    }),
  ]);
  return next;
}

/** Points of any shape, a step away. */
export const moved = (x: Tensor, step: Vector): Tensor => add(x, reshape(stack([...step], 1), x.shape));

/** Number of unknowns and of points. */
export function sizesOf(x: unknown): { n: number; batch: number } {
  if (isTensor(x) && x.dtype === 'float32' && x.rank <= 2) {
    const n = x.rank === 0 ? 1 : (x.shape[x.rank - 1] as number);
    if (n >= 1 && n <= 3 && x.size > 0) return { n, batch: x.size / n };
  }
  throw new InvalidArgumentError(
    `x is ${describe(x)}; expected a float32 tensor [n] or [batch, n] with n = 1, 2 or 3. For more unknowns take bfgs or lbfgs.`,
  );
}

/** A loss, and its derivatives as tensors over the batch. */
export function derivatives(
  loss: (x: Tensor) => Tensor,
  x: Tensor,
  n: number,
  batch: number,
): { value: Tensor; gradient: Vector; hessian: Matrix } {
  const value = loss(x);
  if (!isTensor(value) || value.dtype !== 'float32' || (value.size !== 1 && value.size !== batch)) {
    const expected =
      batch === 1 ? 'a float32 scalar' : `a float32 tensor [${batch}], one loss for each row, or their sum`;
    throw new InvalidArgumentError(`the loss is ${describe(value)}; expected ${expected}.`);
  }
  const columns = (matrix: Tensor): Vector => {
    const rows = reshape(matrix, [batch, n]);
    return Array.from({ length: n }, (_, k) => reshape(slice(rows, [0, k], [batch, 1]), [batch]));
  };
  // Rows do not depend on each other, so that the gradient of a sum holds those of all.
  const gradient = columns(gradientsTo(clone(sum(value)), [x])[0]);
  const hessian = gradient.map((g) => columns(gradientsTo(sum(g), [x])[0]));
  return { value, gradient, hessian };
}

/**
 * The minimum of the quadratic model within the radius. The shift and the hard case are found off the tape; the last two
 * iterations of the shift, on it, give its derivatives.
 */
export function trustRegionStep(gradient: Vector, hessian: Matrix, radius: Tensor): Vector {
  // Numbers of about 1, whose determinant is in the range of float32; the step is the same.
  const unit = untaped(() => unitOf(gradient, hessian, radius));
  const g = gradient.map((x): Tensor => div(x, unit));
  const h = hessian.map((row) => row.map((x): Tensor => div(x, unit)));
  const { outside, shift, extra } = untaped(() => steer(g, h, radius));
  let mu = shift;
  for (let k = 0; k < 2; k++) mu = where(outside, improved(g, h, mu, radius, outside), shift);
  const step = solve(shifted(h, mu), g);
  return step.map((s, i) => sub(extra[i], s));
}

function unitOf(gradient: Vector, hessian: Matrix, radius: Tensor): Tensor {
  const shifts = gradient.map((x): Tensor => div(x, radius));
  return largest([...shifts, ...hessian.flat(), mul(onesLike(radius), 1e-30)]);
}

/* A Newton iteration on 1 / |s(mu)| = 1 / radius, which is nearly a line. */
function improved(gradient: Vector, hessian: Matrix, mu: Tensor, radius: Tensor, outside: Tensor): Tensor {
  const matrix = shifted(hessian, mu);
  const s = solve(matrix, gradient);
  // Inside it is not used, and must have finite derivatives all the same.
  const used = (x: Tensor): Tensor => where(outside, x, onesLike(x));
  const squared = used(dot(s, s));
  const slope = used(dot(s, solve(matrix, s)));
  return add(mu, mul(div(squared, slope), div(sub(sqrt(squared), radius), radius)));
}

/** Relative to the Hessian: how far the shift stays from where it would be singular. */
const margin = 1e-5;
const iterations = 12;

interface Steering {
  /** Where the step ends on the trust radius. */
  outside: Tensor;
  shift: Tensor;
  /** Along the direction of negative curvature, in the hard case. */
  extra: Vector;
}

function steer(gradient: Vector, hessian: Matrix, radius: Tensor): Steering {
  const { values, vectors } = eigen(hessian);
  const lowest = values.reduce((a, b) => minimum(a, b));
  const scale = largest(values);
  const parts = vectors.map((vector) => dot(vector, gradient));
  const lengths = (mu: Tensor): { squared: Tensor; slope: Tensor } => {
    const terms = values.map((value, k) => {
      const shiftedValue = add(value, mu);
      const squared = square(div(parts[k], shiftedValue));
      return [squared, div(squared, shiftedValue)];
    });
    const [squared, slope] = [0, 1].map((i) => terms.map((term) => term[i]).reduce((a, b) => add(a, b)));
    return { squared, slope };
  };
  const floor = add(mul(scale, margin), 1e-12);
  const start = maximum(0, sub(floor, lowest));
  // A shift below |g| / radius - |H| is too small: where H is next to nothing lengths would leave the range of float32.
  const bound = sub(div(sqrt(dot(gradient, gradient)), mul(2, radius)), scale);
  // Convex where the Newton step exists: then nothing is shifted.
  const least = maximum(where(greater(lowest, floor), zerosLike(start), start), bound);
  const atLeast = lengths(least).squared;
  const outside = greater(atLeast, square(radius));
  let mu = least;
  for (let k = 0; k < iterations; k++) {
    const { squared, slope } = lengths(mu);
    const safe = maximum(slope, 1e-30);
    const next = add(mu, mul(div(squared, safe), sub(div(sqrt(squared), radius), 1)));
    mu = where(outside, maximum(least, next), least);
  }
  const hard = logicalAnd(less(atLeast, square(radius)), less(lowest, neg(floor)));
  return {
    outside,
    shift: mu,
    extra: hardCase({ hard, lowest, values, vectors, parts, shift: mu, squared: atLeast, radius }),
  };
}

/* To the radius along the eigenvector of the lowest eigenvalue, downhill if the gradient has a side. */
function hardCase({
  hard,
  lowest,
  values,
  vectors,
  parts,
  shift,
  squared,
  radius,
}: {
  hard: Tensor;
  lowest: Tensor;
  values: Vector;
  vectors: Matrix;
  parts: Vector;
  shift: Tensor;
  /** The squared length of the step with that shift. */
  squared: Tensor;
  radius: Tensor;
}): Vector {
  const room = maximum(0, sub(square(radius), squared));
  let free = onesLike(lowest);
  const extra = vectors[0].map((x) => zerosLike(x));
  values.forEach((value, k) => {
    // The step goes that way already, where it is not quite the hard case.
    const along = abs(div(parts[k], add(value, shift)));
    const further = sub(sqrt(add(square(along), room)), along);
    // The first of those that are equally low.
    const chosen = mul(
      where(less(sub(value, lowest), 1e-30), free, zerosLike(free)),
      where(hard, further, zerosLike(room)),
    );
    free = where(less(sub(value, lowest), 1e-30), zerosLike(free), free);
    const downhill = where(greater(abs(parts[k]), 0), neg(sign(parts[k])), onesLike(parts[k]));
    vectors[k].forEach((x, i) => (extra[i] = add(extra[i], mul(mul(chosen, downhill), x))));
  });
  return extra;
}
