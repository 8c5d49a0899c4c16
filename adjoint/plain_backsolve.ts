import { buildProblem, makePlan } from '../src/core/build_problem.js';
import { consumeSteps } from '../src/core/collect.js';
import { float64Space } from '../src/core/float64_kind.js';
import { QuadratureSpace } from '../src/core/float64_quadrature.js';
import type { Float64Space } from '../src/core/float64_space.js';
import { largestTolerance, type Float64NormFunction } from '../src/core/options.js';
import type { System } from '../src/core/system.js';
import { inBackwardSolve } from './backsolve.js';
import { largestNorm, type BackwardSolve } from './backward_options.js';
import { plainDistance, reportDrift, worse } from './drift.js';
import type { Products } from './plain_products.js';

/** A continuous adjoint on plain numbers: what `BacksolveProblem` is for tensors. */
export interface PlainBacksolve {
  system: System<Float64Array>;
  /** Numbers in `y`, and quadratures behind them. */
  size: number;
  count: number;
  times: Float64Array;
  back: BackwardSolve;
  norm: 'rms' | 'max' | Float64NormFunction | undefined;
  products: Products;
  /** Length of `args`; 0 where it is not differentiated. */
  args: number;
  /** The forward solution at any time; `null` solves it backward too. */
  trajectory: ((t: number) => Float64Array) | null;
}

/**
 * The continuous adjoint of a solve on plain numbers, as `backsolve` is on tensors.
 *
 * @param outputs States at the output times, `[y, q]`.
 * @param cotangents Those of the loss, likewise.
 * @returns `a(t0)` with the cotangents of quadratures behind it, and the gradient to `args`.
 */
export function plainBacksolve(
  problem: PlainBacksolve,
  outputs: readonly Float64Array[],
  cotangents: readonly Float64Array[],
): { atStart: Float64Array; toArgs: Float64Array } {
  const { size, times, back } = problem;
  const last = times.length - 1;
  let adjoint = cotangents[last].slice();
  let toArgs: Float64Array = new Float64Array(problem.args);
  const atol = largestTolerance(back.atol, 1e-9);
  let nextStep: number | null = null;
  let drift = 0;
  for (let i = last; i > 0; i--) {
    const end = backOneInterval(problem, i, outputs[i].subarray(0, size), adjoint, toArgs, nextStep);
    nextStep = end.nextStep;
    toArgs = end.toArgs;
    if (end.y)
      drift = worse(
        drift,
        plainDistance(end.y, outputs[i - 1].subarray(0, size), outputs[i].subarray(0, size), atol),
      );
    // The first cotangent is added by the caller, who needs a(t0) without it.
    adjoint = adjoint.map((a, j) => (j < size ? end.a[j] : a) + (i > 1 ? cotangents[i - 1][j] : 0));
  }
  if (!problem.trajectory) reportDrift('backsolve', drift, largestTolerance(back.rtol, 1e-7));
  return { atStart: adjoint, toArgs };
}

interface IntervalEnd {
  y: Float64Array | null;
  a: Float64Array;
  toArgs: Float64Array;
  nextStep: number | null;
}

/* From times[i] to times[i - 1]: the state is [y, a], or [a] along a trajectory, with the products with args behind. */
function backOneInterval(
  problem: PlainBacksolve,
  i: number,
  y: Float64Array,
  adjoint: Float64Array,
  toArgs: Float64Array,
  nextStep: number | null,
): IntervalEnd {
  const { size, times, back, trajectory, args } = problem;
  const interval = Float64Array.of(times[i], times[i - 1]);
  const firstStep = nextStep === null ? {} : { firstStep: back.options.firstStep ?? nextStep };
  const plan = makePlan(back.stepper, interval, { ...back.options, ...firstStep }, []);
  const own = trajectory ? size : 2 * size;
  const space = augmentedSpace(problem, own);
  const start = new Float64Array(own + args);
  if (!trajectory) start.set(y);
  start.set(adjoint.subarray(0, size), own - size);
  start.set(toArgs, own);
  const solve = buildProblem<Float64Array>(plan, {
    space,
    field: augmentedField(problem, own, adjoint),
    start: () => space.copy(start),
    withView: () => undefined,
    func: undefined,
    y0: undefined,
    readsAreFree: true,
  });
  let end = start;
  const size1 = inBackwardSolve(
    trajectory ? 'interpolating' : 'backsolve',
    consumeSteps(solve, false, (step) => {
      if (step.t1 === interval[1]) end = step.y1.slice();
    }),
  );
  return {
    y: trajectory ? null : end.subarray(0, size),
    a: end.subarray(own - size, own),
    toArgs: end.slice(own),
    nextStep: size1,
  };
}

function augmentedSpace({ size, back, norm, args }: PlainBacksolve, own: number): Float64Space {
  // Cotangents begin at 0: without any absolute tolerance 0 / 0 would be their error.
  const positive = (atol: unknown): unknown =>
    typeof atol === 'number'
      ? Math.max(atol, 1e-300)
      : ArrayBuffer.isView(atol)
        ? (atol as Float64Array).map((x) => Math.max(x, 1e-300))
        : atol;
  const each = (tolerance: unknown): unknown =>
    typeof tolerance === 'number' || tolerance === undefined
      ? tolerance
      : Float64Array.from({ length: own }, (_, i) => (tolerance as ArrayLike<number>)[i % size]);
  const given = back.adjointNorm as 'full' | 'seminorm' | Float64NormFunction;
  const main = float64Space(own, {
    rtol: each(back.rtol),
    atol: positive(each(back.atol)),
    norm: typeof given === 'function' ? given : onEachHalf(norm, size),
  } as never);
  if (args === 0) return main;
  const side =
    given === 'seminorm'
      ? null
      : {
          rtol: largestTolerance(back.rtol, 1e-7),
          atol: Math.max(largestTolerance(back.atol, 1e-9), 1e-300),
        };
  return new QuadratureSpace(main, args, side);
}

/* The forward norm, of the state and of its cotangent, the larger one. */
function onEachHalf(norm: PlainBacksolve['norm'], size: number): PlainBacksolve['norm'] {
  if (typeof norm !== 'function') return norm;
  const halves = ([all]: Float64Array[]) =>
    all.length > size ? [[all.subarray(0, size)], [all.subarray(size)]] : [[all]];
  return largestNorm(norm, halves, (a, b) => Math.max(a, b));
}

/* (y, a) -> (f, -a^T df/dy, -a^T df/dargs), without the first where y is known. */
function augmentedField(problem: PlainBacksolve, own: number, adjoint: Float64Array) {
  const { system, size, count, products, args, trajectory } = problem;
  const cotangent = new Float64Array(size + count);
  for (let j = size; j < cotangent.length; j++) cotangent[j] = -adjoint[j];
  const state = new Float64Array(size + count);
  return (t: number, augmented: Float64Array): Float64Array => {
    const y = trajectory ? trajectory(t) : augmented.slice(0, size);
    for (let j = 0; j < size; j++) cotangent[j] = -augmented[own - size + j];
    const out = new Float64Array(own + args);
    if (!trajectory) {
      state.set(y);
      const slope = system.evaluate(t, state);
      out.set(slope.subarray(0, size));
      system.space.release(slope);
    }
    out.set(products.toState(t, y, cotangent, args > 0 ? out.subarray(own) : null), own - size);
    return out;
  };
}
