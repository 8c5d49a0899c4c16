import {
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
import { runAsync, runSync, type Reading } from '../src/core/reading.js';
import { newStats } from '../src/core/system.js';
import { isTapeActive, recordedOrForgotten } from '../src/core/tape.js';
import { spacing } from '../src/core/time.js';
import { flattenTree, isTensor, leavesLike, unflattenTree, type TreeOf } from '../src/core/tree.js';
import type {
  PlainFunc,
  PlainOptions,
  PlainState,
  TensorFunc,
  TensorOptions,
  TreeLike,
} from '../src/core/types.js';
import { refuseTape } from '../src/odeint.js';
import { hybridNames, readHybrid, type Affect, type HybridPlan } from './hybrid_options.js';
import { plainSegments, tapedSegments, type Segment, type SegmentSolver } from './hybrid_segments.js';
import type { EventInterface } from './odeint_event.js';

/** An event that changes the state. */
export interface HybridEvent<EventFn, AffectFn> extends EventOption<EventFn> {
  /** The state after the event: `(t, y, args) => y`. Without it the event must be terminal. */
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

/** What happened on the way. */
export interface HybridRecord {
  t: number;
  /** `'event'` for a root of `events[index]`, `'discrete'` for `discreteTimes`. */
  kind: 'event' | 'discrete';
  index: number;
  name: string;
  /** Which components of the event function crossed zero. */
  mask: boolean[];
  /** Row of `y` with the state before; the next row has that after. */
  row: number;
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

type TensorAffect<Y, Args> = (t: Scalar, y: Y, args: Args) => TreeLike<Y>;
type PlainAffect<Args> = (t: number, y: Float64Array, args: Args) => ArrayLike<number>;

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
 *   `odeintInterface: odeintAdjoint` those of that too.
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
  func: PlainFunc<Args>,
  y0: PlainState,
  t0: number,
  options: PlainOptions<Args> & HybridOptions<PlainEventFunc<Args>, PlainAffect<Args>>,
): HybridSolution<Float64Array[], Float64Array>;
export function odeintHybrid(func: unknown, y0: unknown, t0: unknown, options: AnyOptions): unknown {
  const taped = isTapeActive() && !isPlainState(y0);
  if (taped) verifyGradients();
  const { run, finish } = begin(func, y0, t0, options, taped);
  if (isPlainState(y0)) return finish(runSync(run()));
  return recordedOrForgotten(() => {
    let solution: unknown;
    tidy(() => {
      solution = finish(runSync(run()));
      return tensorsOf(solution as HybridSolution<unknown, Tensor>);
    });
    return solution;
  });
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
  options: TensorOptions<Y, Args> & HybridOptions<TensorEventFunc<Y, Args>, TensorAffect<Y, Args>>,
): Promise<HybridSolution<TreeLike<Y>, Tensor1D>>;
export function odeintHybridAsync<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t0: number,
  options: PlainOptions<Args> & HybridOptions<PlainEventFunc<Args>, PlainAffect<Args>>,
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
  const { run, finish } = begin(func, y0, t0, options, false);
  const walk = await runAsync(run());
  if (isPlainState(y0)) return finish(walk);
  try {
    let solution: unknown;
    tidy(() => {
      solution = finish(walk);
      return tensorsOf(solution as HybridSolution<unknown, Tensor>);
    });
    return solution;
  } finally {
    disposeStates(walk.states);
  }
}

const tensorsOf = ({ y, eventTimes }: HybridSolution<unknown, Tensor>): Tensor[] => [
  ...flattenTree(y, 'y').leaves,
  eventTimes,
];

function disposeStates(states: readonly unknown[]): void {
  for (const state of states) for (const leaf of flattenTree(state, 'y').leaves) leaf.dispose();
}

/** What a hybrid solve has gathered. */
interface Walk {
  t: number[];
  states: unknown[];
  events: HybridRecord[];
  times: (number | Scalar)[];
  status: HybridSolution<unknown, unknown>['status'];
  message: string;
  stats: SolveStats;
}

function begin(func: unknown, y0: unknown, t0: unknown, options: AnyOptions, taped: boolean) {
  if (typeof t0 !== 'number' || !Number.isFinite(t0)) {
    throw new InvalidArgumentError(`t0 is ${describe(t0)}; expected a finite number.`);
  }
  const plan = readHybrid(t0, options);
  const own = Object.entries(options).filter(([name]) => !hybridNames.includes(name));
  const isBackward = (name: string) => (adjointNames as readonly string[]).includes(name);
  const forward = Object.fromEntries(own.filter(([name]) => !isBackward(name))) as AnyOptions;
  const backward = Object.fromEntries(own.filter(([name]) => isBackward(name)));
  const stepper = resolveMethod(forward.method);
  const segments = taped
    ? tapedSegments(stepper, func, forward, plan, backward)
    : plainSegments(stepper, func, forward, plan);
  const plain = isPlainState(y0);
  return {
    run: () => walk(plan, y0, segments, forward.args),
    finish: (found: Walk) => (plain ? plainSolution(found) : tensorSolution(found, y0)),
  };
}

/* Segment by segment, until the end. */
function* walk(plan: HybridPlan, y0: unknown, solve: SegmentSolver, args: unknown): Reading<Walk> {
  const { direction, discrete, saveAt, t1 } = plan;
  const found: Walk = {
    t: [],
    states: [],
    events: [],
    times: [],
    status: 'success',
    message: '',
    stats: newStats(),
  };
  let y: unknown = isPlainState(y0) ? Float64Array.from(y0) : y0;
  let t = plan.t0;
  let start: number | Scalar = t;
  let next = 0;
  const jump = (affect: Affect, record: Omit<HybridRecord, 't' | 'row'>): void => {
    found.events.push({ t, row: found.t.length - 1, ...record });
    y = changed(affect, start, y, args, record.name);
  };
  const save = (time: number, state: unknown): void => {
    found.t.push(time);
    found.states.push(state);
  };
  save(t, y);
  for (;;) {
    // Doses at this time, in their order; both sides are saved.
    while (next < discrete.length && (discrete[next].t - t) * direction <= 0) {
      const { affect, name } = discrete[next];
      jump(affect, { kind: 'discrete', index: next++, name, mask: [] });
      save(t, y);
    }
    if ((t1 - t) * direction <= 0) break;
    const end = next < discrete.length ? discrete[next].t : t1;
    const inside = saveAt.filter((time) => (time - t) * direction > 0 && (end - time) * direction > 0);
    const segment: Segment = yield* solve(y, start, Float64Array.of(t, ...inside, end));
    addStats(found.stats, segment.stats);
    const from: number = t;
    for (let i = 1; i < segment.t.length; i++) save(segment.t[i], segment.states[i]);
    y = segment.states[segment.states.length - 1];
    t = segment.t[segment.t.length - 1];
    start = segment.event?.time ?? t;
    if (!segment.event) continue;
    const { index, mask, time } = segment.event;
    const event = plan.events[index];
    const affect = plan.affects[index];
    found.times.push(time);
    if (affect) {
      jump(affect, { kind: 'event', index, name: event.name, mask });
      save(t, y);
    } else {
      found.events.push({ t, row: found.t.length - 1, kind: 'event', index, name: event.name, mask });
    }
    if (event.terminal) {
      return { ...found, status: 'event', message: `'${event.name}' ended the solve at t = ${t}.` };
    }
    const message = tooMany(plan, found.times.length, from, t);
    if (message) return { ...found, status: 'max-events', message };
  }
  return { ...found, message: `reached t = ${t} with ${found.times.length} events.` };
}

/* What to say when events pile up; nothing while they do not. */
function tooMany({ maxEvents }: HybridPlan, count: number, from: number, t: number): string | null {
  const stuck = Math.abs(t - from) <= 16 * spacing(t);
  if (count < maxEvents && !stuck) return null;
  const why = stuck
    ? `events follow each other within the resolution of t at t = ${t}`
    : `maxEvents = ${maxEvents} events were met by t = ${t}`;
  return `${why}: they may pile up, as those of a ball that comes to rest. Make such an event terminal, or raise maxEvents.`;
}

function addStats(total: SolveStats, part: SolveStats): void {
  for (const name of ['steps', 'accepted', 'rejected', 'nfe', 'njev'] as const) total[name] += part[name];
  total.lastStep = part.lastStep;
}

/* The state after a jump; it must be one like that before. */
function changed(affect: Affect, t: number | Scalar, y: unknown, args: unknown, name: string): unknown {
  if (y instanceof Float64Array) {
    const value = affect(t, y.slice(), args) as ArrayLike<number> | undefined;
    const numbers = value && Array.from(value);
    if (numbers?.length === y.length && numbers.every((x) => Number.isFinite(x)))
      return Float64Array.from(numbers);
    throw new InvalidArgumentError(
      `affect of '${name}' returned ${describe(value)}; expected ${y.length} finite numbers, the state after it.`,
    );
  }
  const { structure, leaves } = flattenTree(y, 'y');
  const time = isTensor(t) ? t : scalar(t as number);
  const value = affect(time, y, args);
  const parts = structure.kind === 'leaf' ? [value] : leavesLike(structure, value, `affect of '${name}'`);
  const kept = parts.map((part, i) => {
    const { shape } = leaves[i];
    if (isTensor(part) && part.dtype === 'float32' && part.shape.join() === shape.join()) return part;
    throw new InvalidArgumentError(
      `affect of '${name}' returned ${describe(part)}; expected a float32 tensor of shape [${shape.join(', ')}].`,
    );
  });
  return unflattenTree(structure, kept);
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
