import { StepController } from './controller.js';
import { describe, InvalidArgumentError } from './errors.js';
import type { AdaptiveSteps, FixedSteps, Problem, Watch } from './problem.js';
import {
  checkCommonOptions,
  checkFunction,
  checkOptionNames,
  positive,
  type SolveOptions,
} from './options.js';
import type { StateSpace } from './space.js';
import type { Stepper, StepState } from './stepper.js';
import { newStats, System } from './system.js';

/* eslint-disable @typescript-eslint/no-explicit-any -- options of any kind of state */
export type AnyOptions = SolveOptions<any, any, any, any> & {
  quadrature?: (t: any, y: any, args: any) => unknown;
};
/* eslint-enable @typescript-eslint/no-explicit-any */

/** What is known about a solve before its state is: method, interval and names of options. */
export interface Plan {
  readonly stepper: Stepper;
  readonly options: AnyOptions;
  /** Output times, or for iterators the two ends, the second of which may be infinite. */
  readonly times: Float64Array;
  readonly fixed: boolean;
}

/** Checks options and chooses between fixed and adaptive steps. */
export function makePlan(
  stepper: Stepper,
  times: Float64Array,
  options: AnyOptions,
  extraOptions: readonly string[],
): Plan {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidArgumentError(
      `options are ${describe(options)}; expected a record such as { rtol: 1e-6 }.`,
    );
  }
  const fixed =
    stepper.embeddedOrder === null || options.stepSize !== undefined || options.gridConstructor !== undefined;
  checkOptionNames(options, fixed ? 'fixed' : 'adaptive', stepper.name, extraOptions);
  checkCommonOptions(options);
  const { interp, perturb } = options;
  if (interp !== undefined && interp !== 'linear' && interp !== 'cubic') {
    throw new InvalidArgumentError(`interp is ${describe(interp)}; expected 'linear' or 'cubic'.`);
  }
  if (perturb !== undefined && typeof perturb !== 'boolean') {
    throw new InvalidArgumentError(`perturb is ${describe(perturb)}; expected true or false.`);
  }
  return { stepper: interp ? interpolating(stepper, interp) : stepper, options, times, fixed };
}

function interpolating(stepper: Stepper, interp: 'linear' | 'cubic'): Stepper {
  if (stepper.withInterpolant) return stepper.withInterpolant(interp);
  throw new InvalidArgumentError(
    `interp: method '${stepper.name}' has an interpolant of its own; leave interp out.`,
  );
}

/** What a kind of state contributes to a problem. */
export interface StateKind<S> {
  readonly space: StateSpace<S>;
  readonly field: (t: number, y: S) => S;
  readonly start: () => S;
  /** Calls a callback with the caller's view of a state, borrowed. */
  readonly withView: (states: readonly S[], use: (...views: unknown[]) => void) => void;
  /** Arguments for `gridConstructor`. */
  readonly func: unknown;
  readonly y0: unknown;
  readonly readsAreFree: boolean;
}

/** Puts a plan and a state together. */
export function buildProblem<S>(plan: Plan, kind: StateKind<S>, watch: Watch<S> | null = null): Problem<S> {
  const { stepper, options, times } = plan;
  const t0 = times[0];
  const t1 = times[times.length - 1];
  const direction = t1 < t0 ? -1 : 1;
  const inside = (t: number) => (t - t0) * direction > 0 && (t1 - t) * direction >= 0;
  const stepT = timesOption(options, 'stepT');
  const jumpT = timesOption(options, 'jumpT');
  const stops = [...new Set([...stepT, ...jumpT].filter(inside))].sort((a, b) => (a - b) * direction);
  const stats = newStats();
  const report = (name: 'onStep' | 'onAccept' | 'onReject') => {
    const callback = options[name] as ((report: unknown) => void) | undefined;
    if (!callback) return null;
    return (state: StepState<S>, errorNorm: number | null) => {
      const states = state.y1 === null ? [state.y0] : [state.y0, state.y1];
      kind.withView(states, (y, y1 = null) =>
        callback({ t: state.t0, h: state.t1 - state.t0, y, y1, errorNorm, stats: { ...stats } }),
      );
    };
  };
  // Written out: objects made by a spread have hidden classes of their own, which slows the loop down.
  return {
    space: kind.space,
    start: kind.start,
    readsAreFree: kind.readsAreFree,
    stepper,
    t0,
    t1,
    direction,
    stops,
    jumps: new Set(jumpT),
    system: new System(kind.space, kind.field, stats),
    steps: plan.fixed ? fixedSteps(plan, kind, stops) : adaptiveSteps(plan),
    evaluated: options.quadrature ? 'func and quadrature' : 'func',
    maxNumSteps: options.maxNumSteps ?? (Number.isFinite(t1) ? 100_000 : Infinity),
    signal: options.signal ?? null,
    watch,
    onStep: report('onStep'),
    onAccept: report('onAccept'),
    onReject: report('onReject'),
    onProgress: options.onProgress ?? null,
  };
}

function timesOption(options: AnyOptions, name: 'stepT' | 'jumpT'): number[] {
  const value = options[name];
  if (value === undefined) return [];
  const list = Array.isArray(value) || ArrayBuffer.isView(value) ? Array.from(value) : null;
  if (list && list.every((t) => Number.isFinite(t))) return list;
  throw new InvalidArgumentError(`${name} is ${describe(value)}; expected an array of finite times.`);
}

function adaptiveSteps({ stepper, options }: Plan): AdaptiveSteps {
  const k = Math.min(stepper.order, stepper.embeddedOrder!) + 1;
  const minStep = options.minStep === 0 ? 0 : positive(options, 'minStep', 0);
  const maxStep = positive(options, 'maxStep', Infinity, true);
  if (minStep > maxStep) {
    throw new InvalidArgumentError(
      `minStep ${minStep} is larger than maxStep ${maxStep}; swap or change them.`,
    );
  }
  const firstStep = options.firstStep === undefined ? null : positive(options, 'firstStep', 0);
  return { kind: 'adaptive', controller: new StepController(options, k), k, firstStep, minStep, maxStep };
}

function fixedSteps<S>(plan: Plan, kind: StateKind<S>, stops: readonly number[]): FixedSteps {
  const { options, times, stepper } = plan;
  const { stepSize, gridConstructor, perturb = false } = options;
  if (stepSize !== undefined && gridConstructor !== undefined) {
    throw new InvalidArgumentError('stepSize and gridConstructor are both given; keep one of them.');
  }
  positive(options, 'stepSize', 1);
  checkFunction(options, 'gridConstructor');
  const t0 = times[0];
  const t1 = times[times.length - 1];
  let end = (n: number): number => times[n];
  if (gridConstructor) {
    const grid = checkGrid(gridConstructor(kind.func, kind.y0, times), t0, t1);
    end = (n) => grid[n];
  } else if (stepSize !== undefined) {
    end = evenSteps(t0, t1, stepSize);
  } else if (!Number.isFinite(t1)) {
    throw new InvalidArgumentError(
      `method '${stepper.name}' takes fixed steps: give stepSize, or an end t1.`,
    );
  }
  const direction = t1 < t0 ? -1 : 1;
  const ends = () => (stops.length > 0 ? withStops(end, stops, direction) : end);
  const count = (limit: number): number => {
    const endOf = ends();
    let n = 1;
    while (n < limit && (t1 - endOf(n)) * direction > 0) n++;
    return n;
  };
  return { kind: 'fixed', end: ends(), count, perturb };
}

/* The last step is shorter where stepSize does not divide the interval. */
function evenSteps(t0: number, t1: number, stepSize: number): (n: number) => number {
  // The tolerance keeps 1 / 0.1 at ten steps.
  const exact = Math.abs(t1 - t0) / stepSize;
  const steps = Math.max(1, Math.ceil(exact - 1e-9 * Math.max(1, exact)));
  const h = Math.sign(t1 - t0) * stepSize;
  return (n) => (n >= steps ? t1 : t0 + n * h);
}

/* The ends of steps that stop at `stops` too; to be asked for in order. */
function withStops(end: (n: number) => number, stops: readonly number[], direction: number): () => number {
  let n = 1;
  let passed = 0;
  return () => {
    const next = end(n);
    const stop = stops[passed] ?? direction * Infinity;
    // 3 * 0.1 is not 0.3, and no step is wanted between them.
    const same = Math.abs(next - stop) <= 1e-9 * Math.abs(next - end(n - 1));
    const reached = (next - stop) * direction;
    if (same || reached < 0) n++;
    if (!same && reached < 0) return next;
    passed++;
    return stop;
  };
}

function checkGrid(grid: unknown, t0: number, t1: number): Float64Array {
  const list = Array.isArray(grid) || ArrayBuffer.isView(grid) ? Float64Array.from(grid as never) : null;
  const direction = Math.sign(t1 - t0);
  const sorted = list?.every((t, i) => i === 0 || (t - list[i - 1]) * direction > 0);
  if (list && sorted && list[0] === t0 && list[list.length - 1] === t1) return list;
  throw new InvalidArgumentError(
    `gridConstructor returned ${describe(grid)}; expected strictly ordered times from t[0] = ${t0} to the last, ${t1}.`,
  );
}
