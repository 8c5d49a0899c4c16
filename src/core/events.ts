import type { Scalar, Tensor } from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError } from './errors.js';
import { isTensor } from './tree.js';
import { didYouMean, nearest } from './option_names.js';

/** Which way a value crosses zero, in the order of travel: from - to + (1), from + to - (-1), or either (0). */
export type Direction = -1 | 0 | 1;

/**
 * An event: a root of one of the components of `eventFn` along the solution.
 *
 * The value of `eventFn` is looked at a few times in each step (`eventSamples`): of two roots of one component that are
 * closer together than that, both may be missed. Give `maxStep` where that matters.
 */
export interface EventOption<EventFn = (t: never, y: never, args: never) => unknown> {
  /**
   * `(t, y, args) => value`, called with what func is called with: a tensor of any shape, or on plain numbers a number or
   * several.
   */
  eventFn: EventFn;
  /** Crossings that count, of all components or one each; in the order of travel. Default 0, both. */
  direction?: Direction | readonly Direction[];
  /** Whether the solve ends there. Default `false`. */
  terminal?: boolean;
  /** How the result names it. Default `'event 0'`, `'event 1'`, ... */
  name?: string;
}

/**
 * An event function on tensors: float32, of any shape. A comparison (`tf.less`) has no zero to cross: subtract instead, or
 * it throws.
 */
export type TensorEventFunc<Y, Args = unknown> = (t: Scalar, y: Y, args: Args) => Tensor;

/** An event function on plain numbers. */
export type PlainEventFunc<Args = unknown> = (
  t: number,
  y: Float64Array,
  args: Args,
) => number | ArrayLike<number>;

/** An event that has been checked. */
export interface CheckedEvent {
  eventFn: (t: unknown, y: unknown, args: unknown, slope?: unknown) => unknown;
  direction: Direction | readonly Direction[];
  terminal: boolean;
  name: string;
  /** Set for conditions: it also occurs where it holds from the start. */
  whileNegative: boolean;
}

/** What a solve watches for. */
export interface EventPlan {
  events: readonly CheckedEvent[];
  /** Accuracy of an event's time. */
  eventTol: number | null;
  /** Parts of each step in which a root is looked for; `null` for the default of the kind of state. */
  samples: number | null;
}

/** The accuracy of an event's time. */
export const eventTolerance = (plan: Pick<EventPlan, 'eventTol'>, plain: boolean): number =>
  plan.eventTol ?? (plain ? 1e-9 : 1e-6);

/** An event that is not a crossing but a condition on the state and its slope; made by `terminateAtSteadyState`. */
export const conditions = new WeakSet<object>();

const names = ['eventFn', 'direction', 'terminal', 'name'];

/** Checks a list of events. */
export function readEvents(list: unknown, withAffect = false): CheckedEvent[] {
  if (!Array.isArray(list) || list.length === 0) {
    throw new InvalidArgumentError(
      `events is ${describe(list)}; expected an array such as [{ eventFn: (t, y) => y[0], terminal: true }].`,
    );
  }
  return list.map((event: unknown, i) => readEvent(event, `events[${i}]`, `event ${i}`, false, withAffect));
}

/** Checks one event. */
export function readEvent(
  event: unknown,
  path: string,
  name: string,
  terminal: boolean,
  withAffect = false,
): CheckedEvent {
  if (typeof event === 'function' || typeof event !== 'object' || event === null) {
    throw new InvalidArgumentError(
      `${path} is ${describe(event)}; expected a record { eventFn, direction?, terminal?, name? }.`,
    );
  }
  const given = event as EventOption & Record<string, unknown>;
  if (typeof given.eventFn !== 'function') {
    throw new InvalidArgumentError(
      `${path}.eventFn is ${describe(given.eventFn)}; expected a function (t, y) => value.`,
    );
  }
  const ends: unknown = given.terminal;
  if (ends !== undefined && typeof ends !== 'boolean') {
    throw new InvalidArgumentError(`${path}.terminal is ${describe(ends)}; expected true or false.`);
  }
  if (given.name !== undefined && typeof given.name !== 'string') {
    throw new InvalidArgumentError(`${path}.name is ${describe(given.name)}; expected a string.`);
  }
  for (const key of Object.keys(given)) {
    if (names.includes(key) || given[key] === undefined) continue;
    if (key === 'affect') {
      if (withAffect) continue;
      throw new InvalidArgumentError(`${path} has affect, which odeintHybrid reads; call that.`);
    }
    const remedy = didYouMean(nearest(key, names), names);
    throw new InvalidArgumentError(`${path} has ${key}, which is not read; ${remedy}`);
  }
  return {
    eventFn: given.eventFn as CheckedEvent['eventFn'],
    direction: checkDirection(given.direction, `${path}.direction`),
    terminal: given.terminal ?? terminal,
    name: given.name ?? name,
    whileNegative: conditions.has(given.eventFn),
  };
}

/** Checks the option `direction`. */
export function checkDirection(value: unknown, path: string): Direction | readonly Direction[] {
  const known = (x: unknown): x is Direction => x === -1 || x === 0 || x === 1;
  if (value === undefined) return 0;
  if (known(value)) return value;
  if (Array.isArray(value) && value.length > 0 && value.every(known)) return [...(value as Direction[])];
  throw new InvalidArgumentError(
    `${path} is ${describe(value)}; expected -1 (from + to -), 1 (from - to +) or 0 (both), or an array of them, one per ` +
      'component.',
  );
}

/** Checks `eventTol` and `eventSamples`. */
export function readEventPlan(
  events: readonly CheckedEvent[],
  options: { eventTol?: unknown; eventSamples?: unknown },
): EventPlan {
  const { eventTol, eventSamples } = options;
  if (eventTol !== undefined && !(typeof eventTol === 'number' && eventTol > 0 && eventTol < Infinity)) {
    throw new InvalidArgumentError(`eventTol is ${describe(eventTol)}; expected a positive number.`);
  }
  if (eventSamples !== undefined && !(Number.isInteger(eventSamples) && (eventSamples as number) > 0)) {
    throw new InvalidArgumentError(`eventSamples is ${describe(eventSamples)}; expected a positive integer.`);
  }
  return {
    events,
    eventTol: (eventTol as number | undefined) ?? null,
    samples: (eventSamples as number | undefined) ?? null,
  };
}

/**
 * Values of all event functions at one state, one after another: at once for plain numbers, as tensors to be read for
 * tensors, which belong to the caller. `slope` is `dy/dt` there, for conditions.
 */
export type EventValues<S> = (
  t: number,
  y: S,
  slope: S | null,
  shaken?: boolean,
) => readonly ArrayLike<number>[] | Tensor[];

/** Throws unless an event function returned numbers. */
export function checkPlainValue(value: unknown, name: string): ArrayLike<number> {
  if (typeof value === 'number') return [value];
  const numbers = Array.isArray(value) && value.every((x) => typeof x === 'number');
  if (numbers || value instanceof Float64Array || value instanceof Float32Array) {
    // A copy: func may reuse its buffer.
    if ((value as number[]).length > 0) return Float64Array.from(value as number[]);
  }
  throw new InvalidArgumentError(
    `eventFn of '${name}' returned ${describe(value)}; expected a number, or an array of numbers.` +
      (value === undefined ? ' Is a return statement missing?' : ''),
  );
}

/** Throws unless an event function returned a tensor of numbers. */
export function checkTensorValue(value: unknown, name: string): Tensor {
  if (isTensor(value) && !value.isDisposed && value.size > 0 && value.dtype === 'float32') return value;
  throw new InvalidArgumentError(
    `eventFn of '${name}' returned ${describe(value)}; expected a float32 tensor.` +
      (value === undefined
        ? ' Is a return statement missing?'
        : isTensor(value) && value.dtype === 'bool'
          ? ' An event is where a number crosses zero: subtract instead of comparing.'
          : ''),
  );
}
