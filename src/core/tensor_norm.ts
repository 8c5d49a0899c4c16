import {
  add,
  clone,
  div,
  matMul,
  mul,
  reshape,
  stack,
  type Scalar,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError } from './errors.js';
import { combineByOps } from './linear_combination.js';
import { DeviceRead } from './space.js';
import { isTensor } from './tree.js';

/* The error norm from stock ops, for backends without a kernel of ours. */

/** A product of a row with a column: one launch. */
export const sumOfSquares = (x: Tensor): Tensor => matMul(reshape(x, [1, x.size]), reshape(x, [x.size, 1]));

/** The caller's norm of scaled errors, which must be a scalar. */
export function callersNorm(norm: (leaves: Tensor[]) => Scalar, leaves: Tensor[]): Tensor {
  const value: unknown = norm(leaves);
  if (isTensor(value) && value.size === 1) return value;
  throw new InvalidArgumentError(
    `norm returned ${describe(value)}; expected a scalar tensor, such as tf.max(...).`,
  );
}

/**
 * error / (atol + rtol magnitude), arranged to save a launch: rtol is divided into the coefficients of the error.
 */
export function scaledError(
  coefficients: readonly number[],
  ks: readonly Tensor[],
  magnitude: Tensor,
  rtol: number | Tensor,
  atol: number | Tensor,
): Tensor {
  if (typeof rtol === 'number' && typeof atol === 'number' && rtol > 0) {
    const error = combineByOps(
      coefficients.map((c) => c / rtol),
      ks,
    );
    return div(error, add(magnitude, atol / rtol));
  }
  return div(combineByOps(coefficients, ks), add(mul(magnitude, rtol), atol));
}

/** One read for several scalars: the first `mains` count as the error, the others as that of quadratures. */
export function packReads(
  scalars: Tensor[],
  mains: number,
  finish: (values: ArrayLike<number>, i: number) => number,
): DeviceRead {
  const tensor = scalars.length === 1 ? clone(scalars[0]) : stack(scalars.map((x) => reshape(x, [])));
  return new DeviceRead(tensor, (values) => {
    const norms = Array.from(values, (_, i) => finish(values, i));
    const main = norms.slice(0, mains).reduce(worst, 0);
    return norms.length > mains ? [main, norms.slice(mains).reduce(worst, 0)] : [main];
  });
}

const worst = (a: number, b: number): number => (Number.isNaN(a) || Number.isNaN(b) ? NaN : Math.max(a, b));
