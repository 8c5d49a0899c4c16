import {
  clone,
  engine,
  reshape,
  scalar,
  stack,
  tensor1d,
  tidy,
  type Scalar,
  type Tensor,
  type Tensor1D,
} from '@tensorflow/tfjs-core';
import type { AdjointOptions } from '../adjoint/index.js';
import { adjointNames } from '../adjoint/adjoint_options.js';
import { resolveMethod } from '../solvers/index.js';
import type { AnyOptions } from '../src/core/build_problem.js';
import { describe, InvalidArgumentError, type SolveStats } from '../src/core/errors.js';
import type { EventOption, PlainEventFunc, TensorEventFunc } from '../src/core/events.js';
import { isPlainState } from '../src/core/float64_kind.js';
import { verifyGradients } from '../src/core/gradient_repair.js';
import { runAsync, runSync } from '../src/core/reading.js';
import { newStats } from '../src/core/system.js';
import { isTapeActive, recordedOrForgotten, scoped } from '../src/core/tape.js';
import { disposeTree, flattenTree, isTensor, unflattenTree, type TreeOf } from '../src/core/tree.js';
import type {
  InPlaceFunc,
  InPlaceOptions,
  PlainFunc,
  PlainOptions,
  PlainState,
  TensorFunc,
  TensorOptions,
  TreeLike,
} from '../src/core/types.js';
import { refuseTape } from '../src/odeint.js';
import { hybridNames, readHybrid } from './hybrid_options.js';
import { plainSegments, tapedSegments } from './hybrid_segments.js';
import { walk, type Hybrid, type HybridRecord, type Walk } from './hybrid_walk.js';
import type { EventInterface } from './odeint_event.js';

/** An event that changes the state. */
export interface HybridEvent<EventFn, AffectFn> extends EventOption<EventFn> {
  /** The state after the event: `(t, y, args) => y`. Without it the event is recorded, and ends the solve if terminal. */
  affect?: AffectFn;
}

/** What `odeintHybrid` takes beside the options of its solves. */
export interface HybridOptions<EventFn, AffectFn> extends Pick<EventInterface, 'odeintInterface'> {
  /** The end. */
  t1: number;
  events?: readonly HybridEvent<EventFn, AffectFn>[];
  /** Changes of the state at known times from `t0` to `t1`: doses, kicks. They are landed on exactly. */
  discreteTimes?: readonly { t: number; affect: AffectFn; name?: string }[];
  /** Further times at which the state is wanted, in the order of travel. */
  saveAt?: ArrayLike<number>;
  /** Events after which the solve ends, with `status: 'max-events'`. Default 1000. */
  maxEvents?: number;
  /** Accuracy of an event's time, in units of `t`. Default 1e-9 for plain numbers, 1e-6 for tensors. */
  eventTol?: number;
  /** Parts of each step at whose ends event functions are looked at. Default 8 for plain numbers, 4 for tensors. */
  eventSamples?: number;
}

/** The result of `odeintHybrid`. */
export interface HybridSolution<Ys, Times> {
  /** Times of the rows of `y`: `t0`, those of `saveAt`, every event twice, the end. */
  t: Float64Array;
  /** The states, with both sides of every jump. */
  y: Ys;
  events: HybridRecord[];
  /** Times of the roots among them, differentiable on tensors. */
  eventTimes: Times;
  /** Why it ended: at `t1`, at a terminal event, or with more events than `maxEvents`. */
  status: 'success' | 'event' | 'max-events';
  message: string;
  stats: SolveStats;
}

/** A jump of a state of tensors. */
export type TensorAffect<Y, Args = unknown> = (t: Scalar, y: Y, args: Args) => TreeLike<Y>;
/** A jump of a state of plain numbers. */
export type PlainAffect<Args = unknown> = (t: number, y: Float64Array, args: Args) => ArrayLike<number>;

/**
 * Solves a hybrid system: `dy/dt = func(t, y)` between events, and `y -> affect(t, y)` at each root of an event function,
 * or at known times. After a jump the solve starts afresh, and an event function that is still zero leaves zero first.
 *
 * The result is differentiable on tensors, through the times of all events too (`eventTimes`, and the start of what
 * follows).
 *
 * @param func The vector field, as for `odeint`.
 * @param y0 State at `t0`, as for `odeint`.
 * @param t0 Its time.
 * @param options `t1`, `events`, `discreteTimes`, `saveAt`, `maxEvents`, and the options of the solves. With
 *   `odeintInterface: odeintAdjoint` those of that too. `maxNumSteps` and `onProgress` count each segment between two events
 *   for itself.
 * @returns The piecewise trajectory with both sides of every jump, and the events.
 * @throws As `odeint`. Events that pile up (a ball that comes to rest) are no error: `status` is `'max-events'`.
 *
 * @example
 * ```ts
 * // A ball that keeps 0.9 of its speed.
 * const { t, y, events } = odeintHybrid((t, [h, v]) => [v, -9.81], [1, 0], 0, {
 *   t1: 3,
 *   events: [{ eventFn: (t, [h]) => h, direction: -1, affect: (t, [h, v]) => [0, -0.9 * v] }],
 * });
 * ```
 */
export function odeintHybrid<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t0: number,
  options: TensorOptions<Y, Args> &
    AdjointOptions &
    HybridOptions<TensorEventFunc<Y, Args>, TensorAffect<Y, Args>>,
): HybridSolution<TreeLike<Y>, Tensor1D>;
export function odeintHybrid<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t0: number,
  options: InPlaceOptions<Args> & HybridOptions<PlainEventFunc<Args>, PlainAffect<Args>>,
): HybridSolution<Float64Array[], Float64Array>;
export function odeintHybrid<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t0: number,
  options: PlainOptions<Args> & HybridOptions<PlainEventFunc<Args>, PlainAffect<Args>>,
): HybridSolution<Float64Array[], Float64Array>;
export function odeintHybrid(func: unknown, y0: unknown, t0: unknown, options: AnyOptions): unknown {
  const plain = isPlainState(y0);
  if (!isTapeActive() || plain) {
    const { found, run, finish } = begin(func, y0, t0, options, false);
    try {
      runSync(run());
      return plain ? finish() : inTidy(finish);
    } finally {
      found.states.forEach(disposeTree);
    }
  }
  verifyGradients();
  const { run, finish } = begin(func, y0, t0, options, true);
  return recordedOrForgotten(() =>
    inTidy(() => {
      runSync(run());
      return finish();
    }),
  );
}

/* A solution of which all but its tensors is freed. */
function inTidy(solve: () => unknown): unknown {
  let solution: unknown;
  tidy(() => {
    solution = solve();
    const { y, eventTimes } = solution as HybridSolution<unknown, Tensor>;
    return [...flattenTree(y, 'y').leaves, eventTimes];
  });
  return solution;
}

/**
 * `odeintHybrid` that awaits every read from the device.
 *
 * @returns A promise of what `odeintHybrid` returns.
 * @throws As `odeintHybrid`, by rejection; at once {@link MissingGradientError} while a gradient is being taken.
 */
export function odeintHybridAsync<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t0: number,
  options: TensorOptions<Y, Args> &
    Omit<HybridOptions<TensorEventFunc<Y, Args>, TensorAffect<Y, Args>>, 'odeintInterface'>,
): Promise<HybridSolution<TreeLike<Y>, Tensor1D>>;
export function odeintHybridAsync<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t0: number,
  options: InPlaceOptions<Args> &
    Omit<HybridOptions<PlainEventFunc<Args>, PlainAffect<Args>>, 'odeintInterface'>,
): Promise<HybridSolution<Float64Array[], Float64Array>>;
export function odeintHybridAsync<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t0: number,
  options: PlainOptions<Args> &
    Omit<HybridOptions<PlainEventFunc<Args>, PlainAffect<Args>>, 'odeintInterface'>,
): Promise<HybridSolution<Float64Array[], Float64Array>>;
export function odeintHybridAsync(
  func: unknown,
  y0: unknown,
  t0: unknown,
  options: AnyOptions,
): Promise<unknown> {
  refuseTape('odeintHybridAsync', 'odeintHybrid');
  return hybridLater(func, y0, t0, options);
}

async function hybridLater(func: unknown, y0: unknown, t0: unknown, options: AnyOptions): Promise<unknown> {
  if ((options as { odeintInterface?: unknown } | null)?.odeintInterface !== undefined) {
    throw new InvalidArgumentError('odeintHybridAsync takes no gradient; leave odeintInterface out.');
  }
  const plain = isPlainState(y0);
  const { found, run, finish } = begin(func, y0, t0, options, false);
  try {
    await runAsync(run());
    return plain ? finish() : inTidy(finish);
  } finally {
    found.states.forEach(disposeTree);
  }
}

/* Off the tape no scope is open around the solve: states are kept, and freed by hand. */
function begin(func: unknown, y0: unknown, t0: unknown, options: AnyOptions, taped: boolean) {
  if (typeof t0 !== 'number' || !Number.isFinite(t0)) {
    throw new InvalidArgumentError(`t0 is ${describe(t0)}; expected a finite number.`);
  }
  const plain = isPlainState(y0);
  const own = !taped && !plain;
  const plan = readHybrid(t0, options, plain);
  const rest = Object.entries(options).filter(([name]) => !hybridNames.includes(name));
  // Without odeintAdjoint they are refused, as by odeint.
  const backwards: readonly string[] =
    (options as { odeintInterface?: unknown }).odeintInterface === undefined ? [] : adjointNames;
  const isBackward = (name: string) => backwards.includes(name);
  const forward = Object.fromEntries(rest.filter(([name]) => !isBackward(name))) as AnyOptions;
  const backward = Object.fromEntries(rest.filter(([name]) => isBackward(name)));
  const stepper = resolveMethod(forward.method);
  const segments = taped
    ? tapedSegments(stepper, func, forward, plan, backward)
    : plainSegments(stepper, func, forward, plan);
  const found: Walk = {
    t: [],
    states: [],
    events: [],
    times: [],
    status: 'success',
    message: '',
    stats: newStats(),
  };
  const keep = (make: () => unknown): unknown => (own ? keptTree(make) : make());
  const hybrid: Hybrid = { plan, found, args: forward.args, keep };
  const start = plain ? Float64Array.from(y0) : y0;
  return {
    found,
    run: () => walk(hybrid, own ? keptTree(() => y0) : start, segments),
    finish: () => (plain ? plainSolution(found) : tensorSolution(found, y0)),
  };
}

function keptTree(make: () => unknown): unknown {
  return scoped(() => {
    const { structure, leaves } = flattenTree(make(), 'y');
    // Copies: what the caller handed in stays the caller's.
    return unflattenTree(
      structure,
      leaves.map((leaf) => engine().keep(clone(leaf))),
    );
  });
}

function plainSolution({ t, states, times, ...rest }: Walk): HybridSolution<Float64Array[], Float64Array> {
  return {
    ...rest,
    t: Float64Array.from(t),
    y: (states as Float64Array[]).map((state) => state.slice()),
    eventTimes: Float64Array.from(times as number[]),
  };
}

function tensorSolution({ t, states, times, ...rest }: Walk, y0: unknown): HybridSolution<unknown, Tensor1D> {
  const { structure } = flattenTree(y0, 'y0');
  const rows = states.map((state) => flattenTree(state, 'y').leaves);
  const y = unflattenTree(
    structure,
    rows[0].map((_, i) => stack(rows.map((row) => row[i]))),
  );
  const scalars = times.map((time) =>
    isTensor(time) ? reshape(time as Tensor, []) : scalar(time as number),
  );
  const eventTimes = (scalars.length > 0 ? stack(scalars) : tensor1d([])) as Tensor1D;
  return { ...rest, t: Float64Array.from(t), y, eventTimes };
}
