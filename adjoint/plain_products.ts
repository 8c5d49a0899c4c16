import { describe, InvalidArgumentError } from '../src/core/errors.js';
import type { System } from '../src/core/system.js';

/**
 * Products of `lambda` with the Jacobians of func at `(t, y, args)`. `t` is not used: `dL/dt` needs func only.
 */
export type PlainVjp<Args = unknown> = (
  t: number,
  y: Float64Array,
  args: Args,
  lambda: Float64Array,
) => { y: ArrayLike<number>; t?: number; args?: ArrayLike<number> };

/** Products of cotangents with the Jacobians of `f = (dy/dt, slopes of quadratures)`. */
export interface Products {
  /** What gave the Jacobians of func. */
  readonly by: 'vjp' | 'finite differences';
  /** `lambda^T df/dy`; that with `args` is added to `toArgs`, if there is any. */
  toState(t: number, y: Float64Array, lambda: Float64Array, toArgs: Float64Array | null): Float64Array;
}

/**
 * Products by the user's vjp of func, or by central differences. The system's states are `y` and `count` quadratures;
 * `sizes` are the magnitudes that the elements of `y` have.
 */
export function productsOf(
  system: System<Float64Array>,
  sizes: Float64Array,
  count: number,
  args: unknown,
  userVjp: PlainVjp | undefined,
): Products {
  const size = sizes.length;
  const state = new Float64Array(size + count);
  const f = (t: number, y: Float64Array): Float64Array => {
    state.set(y);
    return system.evaluate(t, state);
  };
  const differences = (first: number) =>
    differencesOf(f, first, sizes, args, (made) => system.space.release(made));
  if (!userVjp) return { by: 'finite differences', toState: differences(0) };
  const exact = checkedVjp(userVjp, args);
  if (count === 0) return { by: 'vjp', toState: exact };
  // The user's vjp is that of func alone.
  const ofQuadratures = differences(size);
  return {
    by: 'vjp',
    toState: (t, y, lambda, toArgs) => {
      const main = exact(t, y, lambda.subarray(0, size), toArgs);
      const side = ofQuadratures(t, y, lambda, toArgs);
      return main.map((value, i) => value + side[i]);
    },
  };
}

/** Throws for products with args that are not differentiated: their gradient would be missing without a word. */
export function refuseArgs(found: ReturnType<PlainVjp>, args: unknown): void {
  if (args instanceof Float64Array || !found?.args?.length) return;
  throw new InvalidArgumentError(
    `vjp returned args, and the option args is ${describe(args)}; make args a Float64Array to differentiate it.`,
  );
}

/* The user's products; those with args are added up in `toArgs`. */
function checkedVjp(vjp: PlainVjp, args: unknown): Products['toState'] {
  return (t, y, lambda, toArgs) => {
    const found = vjp(t, y, args, lambda);
    if (found?.y?.length !== y.length) {
      const count = found?.y?.length;
      const received =
        count === undefined ? describe(found) : `a y of ${count} ${count === 1 ? 'number' : 'numbers'}`;
      throw new InvalidArgumentError(
        `vjp returned ${received}; expected { y, args? } with lambda^T df/dy, ${y.length} numbers, as y.`,
      );
    }
    refuseArgs(found, args);
    if (toArgs && found.args?.length !== toArgs.length) {
      throw new InvalidArgumentError(
        `vjp returned ${describe(found.args)} as args; expected lambda^T df/dargs, ${toArgs.length} numbers.`,
      );
    }
    for (let i = 0; toArgs && i < toArgs.length; i++) toArgs[i] += found.args![i];
    return Float64Array.from(found.y);
  };
}

/** Computes with other `values` of `args`: in place, so that a func that closes over it sees them too, and put back. */
export function withArgs<T>(args: unknown, values: Float64Array | undefined, compute: () => T): T {
  if (!(args instanceof Float64Array) || values === undefined) return compute();
  const before = args.slice();
  try {
    args.set(values);
    return compute();
  } finally {
    args.set(before);
  }
}

/* Central differences of lambda . f from its entry `first` on, in y and in args. */
function differencesOf(
  f: (t: number, y: Float64Array) => Float64Array,
  first: number,
  sizes: Float64Array,
  args: unknown,
  release: (slope: Float64Array) => void,
): Products['toState'] {
  const partial = (point: Float64Array, i: number, size: number, value: () => number): number => {
    const x = point[i];
    const step = Math.cbrt(Number.EPSILON) * Math.max(size, Math.abs(x));
    try {
      point[i] = x + step;
      const above = value();
      const up = point[i];
      point[i] = x - step;
      const below = value();
      return (above - below) / (up - point[i]);
    } finally {
      // Of args, which are the caller's, nothing may be lost when func throws.
      point[i] = x;
    }
  };
  const scales = scalesOf(sizes);
  return (t, y, lambda, toArgs) => {
    const point = y.slice();
    const product = () => {
      const slope = f(t, point);
      let sum = 0;
      for (let i = first; i < slope.length; i++) sum += lambda[i] * slope[i];
      release(slope);
      return sum;
    };
    const toState = y.map((_, i) => partial(point, i, scales[i], product));
    if (toArgs) {
      const point = args as Float64Array;
      const scales = scalesOf(point);
      toArgs.forEach((_, i) => (toArgs[i] += partial(point, i, scales[i], product)));
    }
    return toState;
  };
}

/* Small numbers have small steps; but beside ones a thousand times as large their difference would drown in rounding. */
function scalesOf(sizes: Float64Array): Float64Array {
  const largest = sizes.reduce((most, x) => Math.max(most, Math.abs(x)), 0) || 1;
  return sizes.map((x) => Math.max(Math.abs(x), 1e-3 * largest));
}
