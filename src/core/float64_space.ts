import { linearCombination } from './float64_combination.js';
import { noHalves } from './halves.js';
import type { Half, SparseRow, StateSpace } from './space.js';
import { nextAfter64 } from './time.js';

/** Tolerances and norm of a `Float64Array` state. */
export interface Float64Tolerance {
  rtol: number;
  atol: number;
  norm: 'rms' | 'max' | ((leaves: Float64Array[]) => number);
}

/**
 * States that are plain `Float64Array`s of one size: no tfjs call anywhere, and no allocation once the pool of
 * buffers has filled.
 */
export class Float64Space implements StateSpace<Float64Array> {
  readonly epsilon = Number.EPSILON;
  readonly garbageCollected = true;
  private readonly pool: Float64Array[] = [];
  /* Buffers in the pool. Its length stays: an array that shrinks and grows reallocates. */
  private free = 0;
  private readonly zero: Float64Array;

  constructor(
    readonly size: number,
    private readonly tolerance: Float64Tolerance,
  ) {
    this.zero = new Float64Array(size);
  }

  /** A buffer of unspecified content. */
  take(): Float64Array {
    return this.free > 0 ? this.pool[--this.free] : new Float64Array(this.size);
  }

  nextTime(t: number, sign: number): number {
    return nextAfter64(t, sign);
  }

  combine(y: Float64Array, h: number, row: SparseRow, ks: readonly Float64Array[]): Float64Array {
    const out = this.take();
    linearCombination(out, y, h, row, ks);
    return out;
  }

  advance(
    y: Float64Array,
    h: number,
    row: SparseRow,
    ks: readonly Float64Array[],
    last: Float64Array | null,
  ): Float64Array {
    return last ?? this.combine(y, h, row, ks);
  }

  combineHalf(
    half: Half,
    y: Float64Array,
    h: number,
    row: SparseRow,
    ks: readonly Float64Array[],
  ): Float64Array {
    const middle = this.size / 2;
    if (!Number.isInteger(middle)) throw noHalves(`${this.size} numbers`);
    const out = this.copy(y);
    const part = (state: Float64Array) => (half === 'q' ? state.subarray(0, middle) : state.subarray(middle));
    linearCombination(part(out), part(y), h, row, ks.map(part));
    return out;
  }

  increment(h: number, row: SparseRow, ks: readonly Float64Array[]): Float64Array {
    return this.combine(this.zero, h, row, ks);
  }

  errorNorm(
    h: number,
    row: SparseRow,
    ks: readonly Float64Array[],
    y0: Float64Array,
    y1: Float64Array,
  ): number | readonly [number, number] {
    const error = this.increment(h, row, ks);
    const { rtol, atol, norm } = this.tolerance;
    const n = error.length;
    let sum = 0;
    let reach = 0;
    for (let i = 0; i < n; i++) {
      const size = Math.max(Math.abs(y0[i]), Math.abs(y1[i]));
      const ratio = error[i] / (atol + rtol * size);
      error[i] = ratio;
      reach += size;
      sum += ratio * ratio;
    }
    return this.conclude(error, norm, sum, reach);
  }

  /* The norm from scaled errors, the sum of their squares, and that of the state's magnitudes. */
  protected conclude(
    error: Float64Array,
    norm: Float64Tolerance['norm'],
    sum: number,
    reach: number,
  ): number {
    const result =
      norm === 'rms'
        ? Math.sqrt(sum / error.length)
        : norm === 'max'
          ? largest(error)
          : Number(norm([error]));
    this.release(error);
    // An infinite state would hide behind an infinite tolerance.
    return reach < Infinity ? result : NaN;
  }

  finiteness(y: Float64Array): number {
    let sum = 0;
    for (let i = 0; i < y.length; i++) sum += 0 * y[i];
    return sum;
  }

  copy(y: Float64Array): Float64Array {
    const out = this.take();
    out.set(y);
    return out;
  }

  release(y: Float64Array): void {
    this.pool[this.free++] = y;
  }

  disown(): void {
    // The pool never sees a buffer that is not released.
  }

  adopt(y: Float64Array): Float64Array {
    return y;
  }

  sibling(): Float64Space {
    return new Float64Space(this.size, this.tolerance);
  }

  releaseAll(): void {
    this.pool.length = 0;
    this.free = 0;
  }
}

/* The largest magnitude; NaN if any element is. */
function largest(values: Float64Array): number {
  let max = 0;
  for (let i = 0; i < values.length; i++) max = Math.max(max, Math.abs(values[i]));
  return max;
}
