import { add, tidy, type Tensor1D } from '@tensorflow/tfjs-core';
import { EventWatch, type Located } from '../events/locate.js';
import { stepperOf } from '../solvers/stepper_of.js';
import type { ButcherTableau } from '../solvers/tableau.js';
import type { AnyOptions } from './core/build_problem.js';
import { collect, type Collected } from './core/collect.js';
import { describe, InvalidArgumentError, MissingGradientError, type SolveStats } from './core/errors.js';
import type { EventPlan } from './core/events.js';
import { isPlainState } from './core/float64_kind.js';
import { verifyGradients } from './core/gradient_repair.js';
import { checkOptionsRecord } from './core/options.js';
import { prepare, type AnyPrepared, type Watching } from './core/prepare.js';
import type { Reading } from './core/reading.js';
import { runSync } from './core/reading.js';
import type { Stepper } from './core/stepper.js';
import { isTapeActive, recordedOrForgotten, withGradient } from './core/tape.js';
import { initialQuadratures, solveField } from './core/quadrature.js';
import { flatField, linkOutputTimes, linkStartTime } from './core/time_gradient.js';
import { readTimes, type TimeGrid } from './core/times.js';
import { disposeTree, flattenTree, isTensor, unflattenTree, type TreeOf } from './core/tree.js';
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

/** What every entry point on a grid of times computes. */
export interface GridSolution {
  /** Output in the caller's structure. */
  y: unknown;
  /** Quadratures, likewise; `undefined` where there are none. */
  quadratures: unknown;
  /** The part of the grid it covers. */
  t: Float64Array;
  failure: Collected<unknown>['failure'];
  stats: SolveStats;
  /** The events that were found, the one that ended the solve last. */
  events: EventRecord<unknown>[];
}

/** An event of a solve. */
export interface EventRecord<Y> {
  /** When it occurred. */
  t: number;
  /** The state there, which belongs to the caller. */
  y: Y;
  /** Its place among `events`. */
  index: number;
  name: string;
  /** Whether it ended the solve. */
  terminal: boolean;
  /** Which components of its `eventFn` crossed zero. */
  mask: boolean[];
}

/** How a grid of times is solved. */
export interface GridRun {
  keepGoing?: boolean;
  breathing?: boolean;
  /** Further option names of the entry point. */
  extraOptions?: readonly string[];
  /** What to watch for. */
  events?: EventPlan | null;
}

/** Solves on a grid of times; the driver of the caller answers the reads. */
export function solveGrid(
  stepper: Stepper,
  func: unknown,
  y0: unknown,
  times: Float64Array,
  options: AnyOptions,
  run: GridRun = {},
): Reading<GridSolution> {
  const names = ['quadrature', ...(run.extraOptions ?? [])];
  const { watching, recorded } = watchFor(run.events ?? null);
  const prepared = prepare(stepper, func, y0, times, options, names, watching);
  return solvePrepared(prepared, times, run, () => recorded(prepared));
}

/** What a solve returns: the states, or with quadratures both. */
export function outputOf({ y, quadratures }: GridSolution): unknown {
  return quadratures === undefined ? y : [y, quadratures];
}

/* A function of its own: each generator function made anew costs the engine several times a short solve. */
function* solvePrepared(
  prepared: AnyPrepared,
  times: Float64Array,
  { keepGoing, breathing }: GridRun,
  recorded: () => EventRecord<unknown>[],
): Reading<GridSolution> {
  const { problem } = prepared;
  const { space } = problem;
  const events: EventRecord<unknown>[] = [];
  const onStep = problem.watch ? (): void => void events.push(...recorded()) : undefined;
  let collected: Collected<unknown>;
  try {
    collected = yield* collect(problem, times, { keepGoing, breathing, onStep });
  } catch (error) {
    for (const { y } of events) disposeTree(y);
    throw error;
  }
  const { states, failure } = collected;
  try {
    return {
      events,
      y: prepared.stack(states),
      quadratures: prepared.stackQuadratures(states),
      t: times.slice(0, states.length),
      failure,
      stats: problem.system.stats,
    };
  } finally {
    for (const state of states) space.release(space.adopt(state));
  }
}

/** A watch for a plan, and what takes the events of the step at hand from it: as they are, or as records. */
export function watchFor(plan: EventPlan | null): {
  watching: Watching | null;
  taken: () => Located<unknown>[];
  recorded: (prepared: AnyPrepared) => EventRecord<unknown>[];
} {
  if (!plan) return { watching: null, taken: () => [], recorded: () => [] };
  let watch!: EventWatch<unknown>;
  const taken = () => watch.found.splice(0);
  return {
    watching: {
      events: plan.events,
      watch: (values, plain) => (watch = new EventWatch(plan, values, plain)),
    },
    taken,
    recorded: (prepared) => recordEvents(prepared, taken()),
  };
}

/* In the caller's structure. */
function recordEvents(prepared: AnyPrepared, found: readonly Located<unknown>[]): EventRecord<unknown>[] {
  const { space } = prepared.problem;
  return found.map(({ t, y, event, index, mask }) => {
    // A constant: how the time of the event moves it is not on the tape.
    const copy = isTapeActive() ? undifferentiated(prepared.copyOut(y)) : prepared.copyOut(y);
    space.release(y);
    return { t, y: copy, index, name: event.name, terminal: event.terminal, mask };
  });
}

/* A state whose gradient is refused: on the tape it would be that at a fixed time, and silently wrong. */
function undifferentiated(y: unknown): unknown {
  if (isPlainState(y)) return y;
  const { structure, leaves } = flattenTree(y, 'y');
  const refused = leaves.map((leaf) =>
    withGradient(
      [leaf],
      () => leaf.clone(),
      () => [null],
      refuseEventGradient,
    ),
  );
  return unflattenTree(structure, refused);
}

function refuseEventGradient(): never {
  throw new MissingGradientError(
    'a gradient was asked for with respect to the state of an event that solve recorded, and it would leave out how the ' +
      "event's time moves. Use odeintEvent, or odeint with eventFn.",
  );
}

/**
 * Like `solveGrid`, run at once; while a gradient is being taken and `t` is a tensor, the gradient reaches it.
 */
export function solveGridSync(
  stepper: Stepper,
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyOptions,
  run: GridRun = {},
): GridSolution {
  const times = readTimes(t);
  const taped = isTapeActive();
  if (taped) verifyGradients();
  if (!taped || !isTensor(t) || !isTensorTree(y0)) {
    return runSync(solveGrid(stepper, func, y0, times, options, run));
  }
  return linkedToTimes(stepper, func, y0, t as Tensor1D, times, options, run);
}

function linkedToTimes(
  stepper: Stepper,
  func: unknown,
  y0: unknown,
  t: Tensor1D,
  times: Float64Array,
  options: AnyOptions,
  run: GridRun,
): GridSolution {
  const field = solveField(func, y0, options, times[0]);
  const { structure, leaves, quadratures } = field;
  const flat = flatField(field);
  let solution!: GridSolution;
  const linked = recordedOrForgotten(() =>
    tidy(() => {
      // Moving t0 moves the start along the flow, and the quadratures by what they gain.
      const start = linkStartTime(flat, [...leaves, ...initialQuadratures(field)], t, times);
      solution = runSync(solveGrid(stepper, func, unflattenTree(structure, start), times, options, run));
      const states = flattenTree(solution.y, 'y').leaves;
      const sides = quadratures ? flattenTree(solution.quadratures, 'q').leaves : [];
      const gained = sides.map((side, i) => add(side, start[leaves.length + i]));
      // Of a solve that ended early only part of t has outputs.
      const outputs = linkOutputTimes(flat, [...states, ...gained], t, solution.t);
      const events = solution.events.flatMap((event) => flattenTree(event.y, 'y').leaves);
      return { outputs, events };
    }),
  ).outputs;
  const y = unflattenTree(structure, linked);
  if (!quadratures) return { ...solution, y };
  return {
    ...solution,
    y,
    quadratures: unflattenTree(quadratures.structure, linked.slice(leaves.length)),
  };
}

/* Whether a state is one of tensors; anything else takes the plain way, which explains what is wrong. */
function isTensorTree(y0: unknown): boolean {
  try {
    return flattenTree(y0, 'y0').leaves.length > 0;
  } catch {
    return false;
  }
}

/**
 * `odeint` for one method without the registry of names, so that a bundler leaves the other methods out.
 *
 * @param method A tableau, for example `dopri5` from `tfjs-diffeq/solvers`, or a stepper.
 * @returns As `odeint`.
 * @throws As `odeint`; {@link InvalidArgumentError} for the name of a method.
 *
 * @example
 * ```ts
 * import { odeintWith } from 'tfjs-diffeq';
 * import { rk4 } from 'tfjs-diffeq/solvers';
 *
 * const ys = odeintWith(rk4, (t, y) => [-y[0]], [1], [0, 1], { stepSize: 0.1 });
 * ```
 */
export function odeintWith<Y extends TreeOf<Y>, Args = unknown>(
  method: Stepper | ButcherTableau,
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options?: Omit<TensorOptions<Y, Args>, 'method'>,
): TreeLike<Y>;
export function odeintWith<Y extends TreeOf<Y>, Q extends TreeOf<Q>, Args = unknown>(
  method: Stepper | ButcherTableau,
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: Omit<QuadratureOptions<Y, Q, Args>, 'method'>,
): [TreeLike<Y>, TreeLike<Q>];
export function odeintWith<Args = unknown>(
  method: Stepper | ButcherTableau,
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: Omit<InPlaceOptions<Args>, 'method'>,
): Float64Array[];
export function odeintWith<Args = unknown>(
  method: Stepper | ButcherTableau,
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: Omit<InPlaceQuadratureOptions<Args>, 'method'>,
): [Float64Array[], Float64Array[]];
export function odeintWith<Args = unknown>(
  method: Stepper | ButcherTableau,
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: Omit<PlainQuadratureOptions<Args>, 'method'>,
): [Float64Array[], Float64Array[]];
export function odeintWith<Args = unknown>(
  method: Stepper | ButcherTableau,
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options?: Omit<PlainOptions<Args>, 'method'>,
): Float64Array[];
export function odeintWith(
  method: unknown,
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyOptions = {},
): unknown {
  checkOptionsRecord(options);
  const stepper = stepperOf(method);
  if (!stepper) throw notAStepper(method);
  if (options.method === undefined) return outputOf(solveGridSync(stepper, func, y0, t, options));
  throw new InvalidArgumentError(
    "odeintWith has its method as first argument; remove the option, or call odeint, which takes 'method'.",
  );
}

function notAStepper(method: unknown): InvalidArgumentError {
  const name = typeof method === 'string' && /^\w+$/.test(method) ? method : 'rk4';
  const variable = name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return new InvalidArgumentError(
    `odeintWith received ${describe(method)} as its method; expected a ButcherTableau or a Stepper. Names need odeint; ` +
      `here import { ${variable} } from 'tfjs-diffeq/solvers' and pass it first.`,
  );
}
