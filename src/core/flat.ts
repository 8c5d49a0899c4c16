import { concat, reshape, slice, split, type Tensor } from '@tensorflow/tfjs-core';

/** Leaves as one vector. */
export function concatLeaves(leaves: readonly Tensor[]): Tensor {
  return concat(leaves.map((leaf) => reshape(leaf, [leaf.size])));
}

/** Elements of a tensor of this shape. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((size, extent) => size * extent, 1);

/** Leaves of the given shapes from a vector, or, along axis 1, from the rows of a matrix. */
export function splitLeaves(
  flat: Tensor,
  sizes: readonly number[],
  shapes: readonly (readonly number[])[],
  axis: 0 | 1 = 0,
): Tensor[] {
  // tf.split into a single part has no working gradient.
  const parts = sizes.length === 1 ? [flat] : split(flat, [...sizes], axis);
  return parts.map((part, i) => reshape(part, [...shapes[i]]));
}

/** Entry `i` along the first axis, without it. */
export function rowOf(leaf: Tensor, i: number): Tensor {
  const [, ...shape] = leaf.shape;
  return reshape(slice(leaf, [i, ...shape.map(() => 0)], [1, ...shape]), shape);
}
