import { resolveMethod } from '../solvers/index.js';
import type { AnyOptions } from './core/build_problem.js';
import {
  AbortedError,
  describe,
  InvalidArgumentError,
  MaxStepsError,
  NonFiniteStateError,
  type OdeError,
  type SolveStats,
} from './core/errors.js';
import {
  readEventPlan,
  readEvents,
  type EventOption,
  type EventPlan,
  type PlainEventFunc,
  type TensorEventFunc,
} from './core/events.js';
import { checkOptionsRecord } from './core/options.js';
import type { TimeGrid } from './core/times.js';
import type { TreeOf } from './core/tree.js';
import type {
  InPlaceFunc,
  InPlaceOptions,
  InPlaceQuadratureOptions,
  PlainFunc,
  PlainOptions,
  PlainQuadratureOptions,
  PlainState,
  QuadratureOptions,
  TensorFunc,
  TensorOptions,
  TreeLike,
} from './core/types.js';
import { refuseTape, solveGridAsync } from './odeint.js';
import { solveGridSync, type EventRecord, type GridSolution } from './odeint_with.js';

/** How a solve ended. */
export type SolveStatus = 'success' | 'event' | 'max-steps' | 'step-underflow' | 'non-finite' | 'aborted';

/** The result of `solve`. */
export interface Solution<Ys, Y = unknown> {
  /** The part of the output times that was reached; all of it on success. */
  t: Float64Array;
  /** States at these times, as `odeint` returns them. */
  y: Ys;
  status: SolveStatus;
  /** What the status means here, and what to do about it. */
  message: string;
  stats: SolveStats;
  /** The events that were found, in the order of travel; empty without the option. */
  events: EventRecord<Y>[];
  /** The terminal event that ended the solve, with `status: 'event'`. */
  event?: EventRecord<Y>;
}

/** Options only `solve` takes. */
export interface SolveOnlyOptions<EventFn = never> extends WatchOptions<EventFn> {
  /** `false` returns the part that was solved, with its status, where an error would be thrown. Default `true`. */
  throwOnFailure?: boolean;
}

/** What a solve watches for on its way. */
export interface WatchOptions<EventFn = never> {
  /**
   * Events to record (or, with `terminal`, to end at): their steps are not disturbed by them. On tensors `eventFn` is
   * `(t, y, args) => tensor`, on plain numbers `(t, y, args) => number | number[]`.
   */
  events?: readonly EventOption<EventFn>[];
  /** Accuracy of an event's time, in units of `t`. Default 1e-9 for plain numbers, 1e-6 for tensors. */
  eventTol?: number;
  /** Parts of each step at whose ends event functions are looked at. Default 8 for plain numbers, 4 for tensors. */
  eventSamples?: number;
}

/** Names of these options. */
export const watchNames = ['events', 'eventTol', 'eventSamples'];

const extraOptions = ['throwOnFailure', ...watchNames];

/** Reads them; `null` where nothing is watched for. */
export function readWatch(options: WatchOptions<unknown> | null): EventPlan | null {
  if (options?.events !== undefined) return readEventPlan(readEvents(options.events), options);
  const stray = (['eventTol', 'eventSamples'] as const).find((name) => options?.[name] !== undefined);
  if (stray === undefined) return null;
  throw new InvalidArgumentError(`${stray} goes with events: [{ eventFn }]; give those too.`);
}

/**
 * `odeint` with an account of how it went.
 *
 * @param func The vector field, as for `odeint`.
 * @param y0 Initial state, as for `odeint`.
 * @param t Output times, as for `odeint`.
 * @param options Those of `odeint`, `throwOnFailure`, and `events`: `[{ eventFn, direction, terminal, name }]`.
 * @returns Times reached, states, status, message, counters, and events. A terminal event ends the solve: `t` is the part
 *   of the grid before it, and `event` has its time and state. (Events are not differentiable: for that call `odeintEvent`.)
 * @throws As `odeint`. With `throwOnFailure: false` only {@link InvalidArgumentError}, and what `func` throws.
 *
 * @example
 * ```ts
 * const { t, y, status, stats } = solve((t, y) => [y[0] ** 2], [1], [0, 0.5, 2], { throwOnFailure: false });
 * console.log(status, t, y[1][0], stats.nfe); // the solution ends at t = 1
 * ```
 */
export function solve<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options?: TensorOptions<Y, Args> & SolveOnlyOptions<TensorEventFunc<Y, Args>>,
): Solution<TreeLike<Y>, TreeLike<Y>>;
export function solve<Y extends TreeOf<Y>, Q extends TreeOf<Q>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: QuadratureOptions<Y, Q, Args> & SolveOnlyOptions<TensorEventFunc<Y, Args>>,
): Solution<TreeLike<Y>, TreeLike<Y>> & { quadrature: TreeLike<Q> };
export function solve<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: InPlaceOptions<Args> & SolveOnlyOptions<PlainEventFunc<Args>>,
): Solution<Float64Array[], Float64Array>;
export function solve<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: InPlaceQuadratureOptions<Args> & SolveOnlyOptions<PlainEventFunc<Args>>,
): Solution<Float64Array[], Float64Array> & { quadrature: Float64Array[] };
export function solve<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: PlainQuadratureOptions<Args> & SolveOnlyOptions<PlainEventFunc<Args>>,
): Solution<Float64Array[], Float64Array> & { quadrature: Float64Array[] };
export function solve<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options?: PlainOptions<Args> & SolveOnlyOptions<PlainEventFunc<Args>>,
): Solution<Float64Array[], Float64Array>;
export function solve(
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyOptions & SolveOnlyOptions<unknown> = {},
): Solution<unknown> {
  checkOptionsRecord(options);
  const run = { extraOptions, keepGoing: keepsGoing(options), events: readWatch(options) };
  return describeSolution(solveGridSync(resolveMethod(options.method), func, y0, t, options, run));
}

/**
 * `solve` that awaits every read from the device. `y0` and `t` may be disposed as soon as it has returned.
 *
 * @returns A promise of what `solve` returns.
 * @throws As `solve`, by rejection; at once {@link MissingGradientError} while a gradient is being taken.
 */
export function solveAsync<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options?: TensorOptions<Y, Args> & SolveOnlyOptions<TensorEventFunc<Y, Args>>,
): Promise<Solution<TreeLike<Y>, TreeLike<Y>>>;
export function solveAsync<Y extends TreeOf<Y>, Q extends TreeOf<Q>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: QuadratureOptions<Y, Q, Args> & SolveOnlyOptions<TensorEventFunc<Y, Args>>,
): Promise<Solution<TreeLike<Y>, TreeLike<Y>> & { quadrature: TreeLike<Q> }>;
export function solveAsync<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: InPlaceOptions<Args> & SolveOnlyOptions<PlainEventFunc<Args>>,
): Promise<Solution<Float64Array[], Float64Array>>;
export function solveAsync<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: InPlaceQuadratureOptions<Args> & SolveOnlyOptions<PlainEventFunc<Args>>,
): Promise<Solution<Float64Array[], Float64Array> & { quadrature: Float64Array[] }>;
export function solveAsync<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: PlainQuadratureOptions<Args> & SolveOnlyOptions<PlainEventFunc<Args>>,
): Promise<Solution<Float64Array[], Float64Array> & { quadrature: Float64Array[] }>;
export function solveAsync<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options?: PlainOptions<Args> & SolveOnlyOptions<PlainEventFunc<Args>>,
): Promise<Solution<Float64Array[], Float64Array>>;
export function solveAsync(
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyOptions & SolveOnlyOptions<unknown> = {},
): Promise<Solution<unknown>> {
  refuseTape('solveAsync', 'solve');
  return describeAsync(func, y0, t, options);
}

async function describeAsync(
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyOptions & SolveOnlyOptions<unknown>,
): Promise<Solution<unknown>> {
  const run = { extraOptions, keepGoing: keepsGoing(options), events: readWatch(options) };
  return describeSolution(await solveGridAsync(func, y0, t, options, run));
}

function keepsGoing(options: SolveOnlyOptions<unknown> | null): boolean {
  const throws = options?.throwOnFailure ?? true;
  if (typeof throws === 'boolean') return !throws;
  throw new InvalidArgumentError(`throwOnFailure is ${describe(throws)}; expected true or false.`);
}

function describeSolution(solution: GridSolution): Solution<unknown> {
  const { t, y, quadratures, failure, stats, events } = solution;
  const event = events.find(({ terminal }) => terminal);
  const status = failure ? statusOf(failure) : event ? 'event' : 'success';
  const message =
    failure?.message ??
    (event
      ? `'${event.name}' ended the solve at t = ${event.t}, after ${stats.accepted} steps.`
      : `reached t = ${t[t.length - 1]} in ${stats.accepted} steps.`);
  const sides = quadratures === undefined ? {} : { quadrature: quadratures };
  return { t, y, ...sides, status, message, stats: { ...stats }, events, ...(event ? { event } : {}) };
}

function statusOf(failure: OdeError): SolveStatus {
  if (failure instanceof MaxStepsError) return 'max-steps';
  if (failure instanceof NonFiniteStateError) return 'non-finite';
  if (failure instanceof AbortedError) return 'aborted';
  return 'step-underflow';
}
