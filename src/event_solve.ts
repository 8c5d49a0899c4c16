import { scalar, slice, stack, tidy, type Scalar } from '@tensorflow/tfjs-core';
import type { Located } from '../events/locate.js';
import type { AnyOptions } from './core/build_problem.js';
import { consumeSteps } from './core/collect.js';
import {
  describe,
  InvalidArgumentError,
  MaxStepsError,
  NoEventError,
  NonFiniteStateError,
  type OdeError,
  type SolveStats,
} from './core/errors.js';
import { linkEvent } from './core/event_gradient.js';
import { readEvent, readEventPlan, type CheckedEvent, type EventOption } from './core/events.js';
import { rowOf } from './core/flat.js';
import { verifyGradients } from './core/gradient_repair.js';
import { prepare } from './core/prepare.js';
import type { Reading } from './core/reading.js';
import { runSync } from './core/reading.js';
import type { Stepper } from './core/stepper.js';
import { isTapeActive, recordedOrForgotten, scoped, withFreshTape } from './core/tape.js';
import { startingAt } from './core/time_gradient.js';
import { readTimes } from './core/times.js';
import { flattenTree, isTensor, unflattenTree } from './core/tree.js';
import { watchFor } from './odeint_with.js';

/** Options of a solve that ends at an event. */
export interface EventSolveOptions<EventFn> extends Pick<EventOption<EventFn>, 'eventFn' | 'direction'> {
  /** Accuracy of the event's time, in units of `t`. Default 1e-9 for plain numbers, 1e-6 for tensors. */
  eventTol?: number;
  /** Parts of each step at whose ends `eventFn` is looked at. Default 8 for plain numbers, 4 for tensors. */
  eventSamples?: number;
  /** Time at which the search is given up with `NoEventError`. Default: none, but `maxNumSteps`. */
  maxTime?: number;
}

/** Names of options that belong to `eventFn`. */
export const eventNames = ['eventFn', 'direction', 'eventTol', 'eventSamples', 'maxTime'];

const always = 'terminal goes with events; with eventFn the solve always ends there, so leave it out.';

/** Options of any kind of state. */
export type AnyEventOptions = AnyOptions & Partial<EventSolveOptions<unknown>>;

/** Whether a solve is to end at an event. Throws where only what goes with one is given. */
export function hasEvent(options: AnyEventOptions | null): boolean {
  if (typeof options?.eventFn !== 'undefined') {
    if ((options as { terminal?: unknown }).terminal !== undefined) throw new InvalidArgumentError(always);
    return true;
  }
  const stray = eventNames.find((name) => (options as Record<string, unknown> | null)?.[name] !== undefined);
  if (stray === undefined) return false;
  throw new InvalidArgumentError(`${stray} goes with eventFn, whose root ends the solve; give that too.`);
}

/** An event that ended a solve. */
export interface FirstEvent {
  t: number;
  /** The states at the start and there, in the caller's structure. */
  ys: unknown;
  /** Which components crossed. */
  mask: boolean[];
  stats: SolveStats;
}

/** Options of the solve alone. */
export function withoutEvent(options: AnyEventOptions): AnyOptions {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !eventNames.includes(name)));
}

/**
 * Options of a solve that goes as far as a known event: a caller's grid of steps, made for the `times` of the search, is cut
 * there.
 */
export function upToEvent(options: AnyOptions, times: Float64Array, t: number): AnyOptions {
  const { gridConstructor } = options;
  if (!gridConstructor) return options;
  const direction = Math.sign(times[times.length - 1] - times[0]);
  const before = (time: number) => (t - time) * direction > 0;
  return {
    ...options,
    gridConstructor: (func, y0) => [...Array.from(gridConstructor(func, y0, times)).filter(before), t],
  };
}

/** Checks the options that belong to `eventFn`. */
export function readEventOptions(options: AnyEventOptions, times: Float64Array) {
  const { eventFn, direction, maxTime } = options;
  if (typeof eventFn !== 'function') {
    throw new InvalidArgumentError(`eventFn is ${describe(eventFn)}; expected a function (t, y) => value.`);
  }
  const event = readEvent({ eventFn, direction }, 'options', 'eventFn', true);
  const plan = readEventPlan([event], options);
  const [t0] = times;
  const sign = times.length > 1 && times[1] < t0 ? -1 : 1;
  const end: unknown = maxTime ?? sign * Infinity;
  if (typeof end !== 'number' || !((end - t0) * sign > 0)) {
    throw new InvalidArgumentError(
      `maxTime is ${describe(maxTime)}; expected a time ${sign > 0 ? 'after' : 'before'} that of y0, ${t0}.`,
    );
  }
  return { event, plan, end };
}

/** Solves until the first event; throws `NoEventError` when there is none before the end. */
export function* solveToEvent(
  stepper: Stepper,
  func: unknown,
  y0: unknown,
  times: Float64Array,
  options: AnyEventOptions,
  names: readonly string[] = [],
  breathing = false,
): Reading<FirstEvent> {
  if (options.quadrature !== undefined) {
    throw new InvalidArgumentError('quadrature does not go with eventFn; make the integral a part of y.');
  }
  const { plan, end } = readEventOptions(options, times);
  const interval = Float64Array.of(times[0], end);
  const { watching, taken } = watchFor(plan);
  const { maxNumSteps = 100_000 } = options;
  const rest = { ...withoutEvent(options), maxNumSteps };
  const prepared = prepare(stepper, func, y0, interval, rest, names, watching);
  const { problem } = prepared;
  const { space } = problem;
  const states: unknown[] = [];
  let found: Located<unknown> | null = null;
  let reached = interval[0];
  try {
    states.push(problem.start());
    yield* consumeSteps(problem, breathing, (step) => {
      reached = step.t1;
      const event = taken().at(-1);
      if (!event) return;
      found = event;
      space.disown(event.y);
      states.push(event.y);
    });
    if (!found) throw noEvent(reached, end, { ...problem.system.stats });
    const { t, mask } = found as Located<unknown>;
    return { t, ys: prepared.stack(states), mask, stats: { ...problem.system.stats } };
  } catch (error) {
    // Without an end a solution that misses the event goes on until its numbers end.
    const lost =
      error instanceof MaxStepsError ||
      (error instanceof NonFiniteStateError && end === Infinity * problem.direction);
    if (lost) throw noEvent(reached, end, { ...problem.system.stats }, error);
    throw error;
  } finally {
    for (const state of states) space.release(space.adopt(state));
  }
}

function noEvent(reached: number, end: number, stats: SolveStats, cause?: OdeError): NoEventError {
  const remedy =
    cause instanceof MaxStepsError
      ? 'Raise maxNumSteps, or set maxTime to give up earlier'
      : Number.isFinite(end)
        ? 'Raise maxTime'
        : 'Set maxTime';
  return new NoEventError(
    `no event by t = ${reached}, after ${stats.accepted} steps. ${remedy}; check the sign of eventFn along the solution, ` +
      `and direction.${cause ? ` (${cause.message})` : ''}`,
    { t: reached, h: stats.lastStep, stats, cause },
  );
}

/** How the solve up to a known event is differentiated: `odeint`'s tape, or an adjoint. */
export type DifferentiableSolve = (y0: unknown, t: unknown, options: AnyOptions) => unknown;

/**
 * `[eventT, ys]`, differentiable while a gradient is being taken: the event is located without the tape, then `solve`
 * goes there on it, and the event's time follows by the implicit function theorem.
 */
export function eventSolution(
  stepper: Stepper,
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyEventOptions,
  solve: DifferentiableSolve,
  names: readonly string[] = [],
): unknown {
  const times = readTimes(t);
  const locate = () => runSync(solveToEvent(stepper, func, y0, times, options, names));
  if (!isTapeActive()) return eventOutput(locate());
  verifyGradients();
  const { event, end } = readEventOptions(options, times);
  return recordedOrForgotten(() =>
    tidy((): never => {
      const found = withFreshTape(() => scoped(locate));
      const rest = upToEvent(withoutEvent(options), Float64Array.of(times[0], end), found.t);
      // Times stay float64; a tensor's gradient reaches the start.
      const start = isTensor(t) ? startingAt(func, y0, slice(t, [0], [1]), times[0], options.args) : y0;
      const ys = solve(start, [times[0], found.t], rest);
      return linked(func, event, found, y0, ys, rest, times[0]) as never;
    }),
  );
}

function linked(
  func: unknown,
  event: CheckedEvent,
  found: FirstEvent,
  y0: unknown,
  ys: unknown,
  options: AnyOptions,
  t0: number,
): unknown {
  const { structure, leaves } = flattenTree(ys, 'ys');
  const end = unflattenTree(
    structure,
    leaves.map((leaf) => rowOf(leaf, 1)),
  );
  const start = flattenTree(y0, 'y0').leaves;
  const component = found.mask.indexOf(true);
  const { t, y } = linkEvent(func, end, { event, component, t0, t: found.t, start, args: options.args });
  const last = flattenTree(y, 'y').leaves;
  const rows = start.map((leaf, i) => stack([leaf, last[i]]));
  return [t, unflattenTree(structure, rows)];
}

/** `[eventT, ys]` of an event without a gradient. */
export function eventOutput({ t, ys }: FirstEvent): unknown {
  const plain = Array.isArray(ys) && ys[0] instanceof Float64Array;
  return [plain ? t : (scalar(t) as Scalar), ys];
}
