import { NonFiniteStateError } from '../src/core/errors.js';
import type { Problem } from '../src/core/problem.js';
import type { StepState } from '../src/core/stepper.js';
import { spacing } from '../src/core/time.js';
import type { EventSampler } from './locate_values.js';

/** A component that changes its sign between two times. */
export interface Crossing {
  component: number;
  a: number;
  b: number;
  ga: number;
  gb: number;
  /** The side it comes to. */
  side: number;
}

/** On which side of zero every component is, from step to step. */
export class EventSides<S> {
  /** What rounding of the initial state does to the values. */
  readonly noise: Float64Array;
  private before: Float64Array;
  private readonly directions: Int8Array;
  private readonly sides: Int8Array;
  /* Components that have not left their start yet. */
  private readonly fresh: boolean[];

  /** `all` is what the sampler begins with. */
  constructor(
    private readonly sampler: EventSampler<S>,
    all: Float64Array,
  ) {
    const { count } = sampler;
    this.before = all.slice(0, count);
    this.noise = this.before.map((g, j) => {
      const moved = Math.abs((all[count + j] ?? g) - g);
      return Number.isFinite(moved) ? moved : 0;
    });
    this.directions = sampler.directions();
    this.sides = new Int8Array(count);
    this.fresh = new Array<boolean>(count).fill(true);
  }

  /** Components that cross in a step, by values at the ends of its parts, one after another. */
  crossings(problem: Problem<S>, state: StepState<S>, values: ArrayLike<number>): Crossing[] {
    const { count, samples } = this.sampler;
    const ends = Array.from({ length: samples }, (_, k) =>
      Float64Array.from({ length: count }, (_, j) => values[k * count + j]),
    );
    const rows = [this.before, ...ends];
    this.before = ends[samples - 1];
    return this.changes(problem, state, rows);
  }

  private changes({ t1: end }: Problem<S>, state: StepState<S>, rows: readonly Float64Array[]): Crossing[] {
    const { sides, sampler } = this;
    const { samples } = sampler;
    const found: Crossing[] = [];
    for (let j = 0; j < sides.length; j++) {
      const fresh = this.fresh[j];
      if (fresh) {
        sides[j] = this.firstSide(state, rows, j);
        this.fresh[j] = sides[j] === 0;
      }
      for (let k = 1; k <= samples; k++) {
        const value = rows[k][j];
        if (Number.isNaN(value)) throw this.notANumber(state, k, j);
        if (this.fresh[j]) continue;
        // A zero at the very end has no other side to be seen on.
        const last = k === samples && state.t1 === end && value === 0;
        const side = last ? -sides[j] : fresh && Math.abs(value) <= this.noise[j] ? 0 : Math.sign(value);
        if (!side || side === sides[j]) continue;
        const crossed = sides[j] !== 0 && (this.directions[j] === 0 || this.directions[j] === side);
        if (crossed) {
          const [a, b] = [sampler.partEnd(state, k - 1), sampler.partEnd(state, k)];
          found.push({ component: j, a, b, ga: rows[k - 1][j], gb: value, side });
        }
        sides[j] = side;
      }
    }
    return found;
  }

  private notANumber(state: StepState<S>, k: number, j: number): NonFiniteStateError {
    const t = this.sampler.partEnd(state, k);
    return new NonFiniteStateError(
      `eventFn of '${this.sampler.eventOf(j).event.name}' is NaN at t = ${t}: where it has no sign, no root can be found. Give it ` +
        'a value along the whole solution, as by Math.max(x, 0) under a root.',
      { t },
    );
  }

  /*
   * The side a component starts on. A value that counts as zero, |g| <= eventTol |dg/dt| or what rounding of the state makes
   * of it, is on the side it leaves to: a solve that starts at an event, as after a bounce, does not find it again. 0 while
   * it has not left.
   */
  private firstSide({ t0, t1 }: StepState<S>, rows: readonly Float64Array[], j: number): number {
    const g0 = rows[0][j];
    if (this.sampler.eventOf(j).event.whileNegative) return 1;
    const values = rows.map((row) => row[j]);
    const change = initialSlope(values);
    const tolerance = Math.max(this.sampler.eventTol, 8 * spacing(t0));
    const noise = this.noise[j];
    if (Math.abs(g0) > Math.max((tolerance * Math.abs(change)) / Math.abs(t1 - t0), noise))
      return Math.sign(g0);
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (largest <= noise) return 0;
    // A start at rest, as g = t^2, has a slope of rounding errors only.
    if (Math.abs(change) > 2 * noise + (this.sampler.plain ? 1e-6 : 1e-4) * largest) return Math.sign(change);
    return Math.sign(values.slice(1).find((value) => Math.abs(value) > noise) ?? 0);
  }
}

/* The derivative at the beginning of a step, over the step, of the polynomial through values at equal distances. */
function initialSlope(values: readonly number[]): number {
  let slope = 0;
  let differences = [...values];
  // Higher differences of many values are rounding, or belong to a function that the parts do not resolve.
  for (let order = 1; order < Math.min(values.length, 5); order++) {
    differences = differences.slice(1).map((value, i) => value - differences[i]);
    slope += ((order % 2 === 1 ? 1 : -1) * differences[0]) / order;
  }
  return slope * (values.length - 1);
}
