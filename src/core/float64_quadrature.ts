import type { AnyOptions } from './build_problem.js';
import { describe, InvalidArgumentError, resultHint } from './errors.js';
import type { Float64Kind } from './float64_kind.js';
import { Float64Space } from './float64_space.js';
import { halvesWithQuadratures } from './halves.js';
import { largestTolerance } from './options.js';
import type { SparseRow } from './space.js';

/**
 * States of plain numbers with quadratures behind them: `[y, q]`. Stages carry both, since that costs less than to
 * tell them apart.
 */
export class QuadratureSpace extends Float64Space {
  private readonly side: Float64Space | null;

  /** @param tolerance `null` leaves the error of the quadratures unchecked. */
  constructor(
    private readonly main: Float64Space,
    private readonly count: number,
    private readonly quadrature: { rtol: number; atol: number } | null,
  ) {
    super(main.size + count, { rtol: NaN, atol: NaN, norm: 'rms' });
    this.side = quadrature && new Float64Space(count, { ...quadrature, norm: 'rms' });
  }

  override errorNorm(
    h: number,
    row: SparseRow,
    ks: readonly Float64Array[],
    y0: Float64Array,
    y1: Float64Array,
  ): readonly [number, number] {
    const { main, side } = this;
    const norm = (space: Float64Space, part: (state: Float64Array) => Float64Array): number =>
      space.errorNorm(h, row, ks.map(part), part(y0), part(y1)) as number;
    return [
      norm(main, (state) => state.subarray(0, main.size)),
      side ? norm(side, (state) => state.subarray(main.size)) : 0,
    ];
  }

  override combineHalf(): never {
    throw halvesWithQuadratures();
  }

  override sibling(): QuadratureSpace {
    return new QuadratureSpace(this.main.sibling(), this.count, this.quadrature);
  }
}

/** What the option `quadrature` makes of a problem on plain numbers. */
export function quadratureKind(
  options: AnyOptions,
  start: Float64Array,
  t0: number,
  main: Float64Space,
  field: (t: number, y: Float64Array) => Float64Array,
): Pick<Float64Kind, 'space' | 'field' | 'start' | 'withView' | 'stateOf' | 'quadraturesOf'> {
  const { args, rtol, atol } = options;
  const integrand = (t: number, y: Float64Array): ArrayLike<number> =>
    numbersOf(options.quadrature!(t, y, args));
  const count = integrand(t0, start).length;
  if (count === 0) throw badQuadrature([]);
  const space = new QuadratureSpace(main, count, {
    rtol: largestTolerance(rtol, 1e-7),
    atol: Math.max(largestTolerance(atol, 1e-9), 1e-300),
  });
  const n = main.size;
  const stateOf = (state: Float64Array) => state.subarray(0, n);
  return {
    space,
    field: (t, state) => {
      const out = space.take();
      const dy = field(t, stateOf(state));
      out.set(dy);
      main.release(dy);
      const dq = integrand(t, stateOf(state));
      if (dq.length !== count) throw badQuadrature(dq, count);
      out.set(dq, n);
      return out;
    },
    start: () => {
      const state = space.take();
      state.set(start);
      return state.fill(0, n);
    },
    withView: (states, use) => use(...states.map(stateOf)),
    stateOf,
    quadraturesOf: (state) => state.slice(n),
  };
}

function numbersOf(value: unknown): ArrayLike<number> {
  if (typeof value === 'number') return [value];
  const numbers = (x: ArrayLike<unknown>) => Array.from(x).every((entry) => typeof entry === 'number');
  const listed = Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
  if (value instanceof Float64Array || (listed && numbers(value as ArrayLike<unknown>))) {
    return value as ArrayLike<number>;
  }
  throw badQuadrature(value);
}

function badQuadrature(value: unknown, count?: number): InvalidArgumentError {
  const expected = count === undefined ? 'a number, or an array of numbers' : `${count} numbers, as at t0`;
  return new InvalidArgumentError(
    `quadrature returned ${describe(value)}; expected ${expected}.${resultHint(value)}`,
  );
}
