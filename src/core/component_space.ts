import { Float64Space, type Float64Tolerance } from './float64_space.js';
import type { SparseRow } from './space.js';

/**
 * A `Float64Space` with tolerances for every component. A class of its own: the numbers of the other stay in registers.
 */
export class ComponentSpace extends Float64Space {
  constructor(
    size: number,
    private readonly rtol: Float64Array,
    private readonly atol: Float64Array,
    private readonly norm: Float64Tolerance['norm'],
  ) {
    super(size, { rtol: NaN, atol: NaN, norm });
  }

  override errorNorm(
    h: number,
    row: SparseRow,
    ks: readonly Float64Array[],
    y0: Float64Array,
    y1: Float64Array,
  ): number {
    const error = this.increment(h, row, ks);
    const { rtol, atol, norm } = this;
    const n = error.length;
    let sum = 0;
    let reach = 0;
    for (let i = 0; i < n; i++) {
      const size = Math.max(Math.abs(y0[i]), Math.abs(y1[i]));
      const ratio = error[i] / (atol[i] + rtol[i] * size);
      error[i] = ratio;
      reach += size;
      sum += ratio * ratio;
    }
    return this.conclude(error, norm, sum, reach);
  }

  override sibling(): ComponentSpace {
    return new ComponentSpace(this.size, this.rtol, this.atol, this.norm);
  }
}
