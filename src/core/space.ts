import type { Tensor } from '@tensorflow/tfjs-core';

/**
 * A request to read a small tensor from the device. The loop yields it; the sync driver answers with `dataSync()`,
 * the async driver awaits `data()`. The tensor belongs to the request and is disposed once it is read.
 */
export class DeviceRead {
  /** @param finish What remains to be computed on the host from the values read. */
  constructor(
    readonly tensor: Tensor,
    readonly finish: (values: ArrayLike<number>) => ArrayLike<number> = (values) => values,
  ) {}
}

/**
 * The error of a step in units of its tolerance, at once (plain numbers) or as a read (tensors). Where there are two
 * values, the second is the error of quadratures, which must pass but does not propose steps.
 */
export type ErrorNorm = number | readonly [number, number] | DeviceRead;

/** A half of the state of a separable system: coordinates or momenta. */
export type Half = 'q' | 'p';

/** The nonzero entries of one row of coefficients. */
export interface SparseRow {
  readonly indices: readonly number[];
  readonly values: Float64Array;
}

/** Keeps the nonzero entries of a row of coefficients. */
export function sparseRow(coefficients: ArrayLike<number>): SparseRow {
  const indices: number[] = [];
  for (let j = 0; j < coefficients.length; j++) if (coefficients[j] !== 0) indices.push(j);
  return { indices, values: Float64Array.from(indices, (j) => coefficients[j]) };
}

/**
 * The only thing that knows what a state is. A space owns every state it hands out until `release` or `disown`;
 * `releaseAll` ends a solve, however it ended, without a leak.
 */
export interface StateSpace<S> {
  /** Spacing of numbers near 1 in the state's dtype. */
  readonly epsilon: number;
  /** Set where nothing is freed by hand, so that `adopt` and `disown` do nothing: each evaluation then skips them. */
  readonly garbageCollected?: boolean;
  /** Next representable time after `t` in the dtype in which the vector field sees it; `sign` gives the side. */
  nextTime(t: number, sign: number): number;
  /** `y + h sum_j a_j k_j` over the nonzero entries of a row, as a new state. */
  combine(y: S, h: number, row: SparseRow, ks: readonly S[]): S;
  /**
   * The new state `y + h sum_j b_j k_j` of a step. `last` is the argument of the last stage when the method has
   * it equal to the new state (first same as last).
   */
  advance(y: S, h: number, row: SparseRow, ks: readonly S[], last: S | null): S;
  /**
   * `y + h sum_j a_j k_j` in one half of a separable state (its coordinates `q`, or its momenta `p`), `y` in the other.
   * Throws where a state has no such halves.
   */
  combineHalf(half: Half, y: S, h: number, row: SparseRow, ks: readonly S[]): S;
  /** `h sum_j a_j k_j`, as a new state. */
  increment(h: number, row: SparseRow, ks: readonly S[]): S;
  /** Norm of `h sum_j e_j k_j` over `atol + rtol max(|y0|, |y1|)`: NaN as soon as anything is not finite. */
  errorNorm(h: number, row: SparseRow, ks: readonly S[], y0: S, y1: S): ErrorNorm;
  /** 0 while every element is finite, NaN otherwise. */
  finiteness(y: S): ErrorNorm;
  /** A copy that the space owns. */
  copy(y: S): S;
  /** Gives a state's memory back. */
  release(y: S): void;
  /** Hands a state to somebody who outlives the solve. */
  disown(y: S): void;
  /** Takes over a state that somebody else made. */
  adopt(y: S): S;
  /** An empty space for states of the same kind. */
  sibling(): StateSpace<S>;
  /** Gives back everything still owned. */
  releaseAll(): void;
}
