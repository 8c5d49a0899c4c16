import { add, greater, mul, onesLike, sqrt, where, zerosLike, type Tensor } from '@tensorflow/tfjs-core';

const float32Epsilon = 2 ** -24;

/**
 * `sqrt(scale v) + epsilon`, whose derivatives are finite at `v = 0`. Where the root is lost in the rounding of `epsilon` it is
 * taken as 0, with derivative 0: that of sqrt would be infinite there, and times the zero before it NaN.
 */
export function rootPlus(v: Tensor, scale: number, epsilon: number): Tensor {
  const scaled = scale === 1 ? v : mul(v, scale);
  const counts = greater(scaled, (epsilon * float32Epsilon) ** 2);
  // The branch that is not taken must be finite too.
  const root = where(counts, sqrt(where(counts, scaled, onesLike(scaled))), zerosLike(scaled));
  return add(root, epsilon);
}
