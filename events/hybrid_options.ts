import { describe, InvalidArgumentError } from '../src/core/errors.js';
import {
  eventTolerance,
  readEventPlan,
  readEvents,
  type CheckedEvent,
  type EventPlan,
} from '../src/core/events.js';
import { checkOptionsRecord, nearest } from '../src/core/options.js';
import { isTensor } from '../src/core/tree.js';
import { odeint } from '../src/odeint.js';

/** What happens to the state: `(t, y, args) => y`. */
export type Affect = (t: unknown, y: unknown, args: unknown) => unknown;

/** The options of `odeintHybrid` that are not the solve's. */
export const hybridNames = [
  't1',
  'events',
  'discreteTimes',
  'saveAt',
  'maxEvents',
  'odeintInterface',
  'eventTol',
  'eventSamples',
];

/** An affect at a known time. */
export interface DiscreteAffect {
  t: number;
  affect: Affect;
  name: string;
  /** Its place in the caller's list. */
  index: number;
}

/** The checked options of a hybrid solve. */
export interface HybridPlan {
  t0: number;
  t1: number;
  direction: 1 | -1;
  events: readonly CheckedEvent[];
  affects: readonly (Affect | null)[];
  /** The events of one segment: those that are terminal or change the state end it. `null` for none. */
  segment: EventPlan | null;
  discrete: readonly DiscreteAffect[];
  saveAt: Float64Array;
  maxEvents: number;
  /** To which event times are known. */
  tolerance: number;
  solve: (...call: unknown[]) => unknown;
}

type Given = Record<string, unknown>;

/** Checks the options of `odeintHybrid`. */
export function readHybrid(t0: number, options: object, plain: boolean): HybridPlan {
  checkOptionsRecord(options);
  const given = options as Given;
  const { t1, maxEvents = 1000, odeintInterface = odeint } = given;
  if (typeof t1 !== 'number' || !Number.isFinite(t1) || t1 === t0) {
    throw new InvalidArgumentError(`t1 is ${describe(t1)}; expected a finite time other than t0 = ${t0}.`);
  }
  if (!(Number.isInteger(maxEvents) && (maxEvents as number) > 0)) {
    throw new InvalidArgumentError(`maxEvents is ${describe(maxEvents)}; expected a positive integer.`);
  }
  if (typeof odeintInterface !== 'function') {
    throw new InvalidArgumentError(
      `odeintInterface is ${describe(odeintInterface)}; expected the function odeint or odeintAdjoint.`,
    );
  }
  if (given.quadrature !== undefined) {
    throw new InvalidArgumentError(
      'quadrature does not go with odeintHybrid; make the integral a part of y.',
    );
  }
  const direction = t1 < t0 ? -1 : 1;
  const events = given.events === undefined ? [] : readEvents(given.events, true);
  const affects = events.map((event, i) => readAffect((given.events as Given[])[i].affect, event, i));
  const plan = readEventPlan(events, given);
  const discrete = readDiscrete(given.discreteTimes, t0, t1);
  if (events.length === 0 && discrete.length === 0) {
    throw new InvalidArgumentError(
      'odeintHybrid needs events: [{ eventFn, affect }], or discreteTimes: [{ t, affect }]; without them call odeint.',
    );
  }
  return {
    ...{ t0, t1, direction, events, affects, discrete, maxEvents: maxEvents as number },
    tolerance: eventTolerance(plan, plain),
    segment:
      events.length > 0
        ? { ...plan, events: events.map((e, i) => ({ ...e, terminal: e.terminal || affects[i] !== null })) }
        : null,
    saveAt: readSaveAt(given.saveAt, t0, t1),
    solve: odeintInterface as HybridPlan['solve'],
  };
}

function readAffect(affect: unknown, event: CheckedEvent, i: number): Affect | null {
  if (typeof affect === 'function') return affect as Affect;
  if (affect === undefined) return null;
  throw new InvalidArgumentError(
    `events[${i}].affect of '${event.name}' is ${describe(affect)}; expected a function (t, y) => y.`,
  );
}

function readDiscrete(list: unknown, t0: number, t1: number): DiscreteAffect[] {
  if (list === undefined) return [];
  const bad = (what: string) =>
    new InvalidArgumentError(`${what}; expected an array such as [{ t: 12, affect: (t, y) => y }].`);
  if (!Array.isArray(list)) throw bad(`discreteTimes is ${describe(list)}`);
  const direction = t1 < t0 ? -1 : 1;
  const checked = list.map((entry: unknown, i): DiscreteAffect => {
    const { t, affect, name = `discrete ${i}`, ...rest } = (entry ?? {}) as Given;
    const [stray] = Object.keys(rest);
    if (stray !== undefined) {
      const near = nearest(stray, ['t', 'affect', 'name']);
      throw bad(`discreteTimes[${i}] has ${stray}${near ? ` (did you mean ${near}?)` : ''}`);
    }
    if (typeof affect !== 'function') throw bad(`discreteTimes[${i}].affect is ${describe(affect)}`);
    if (typeof t !== 'number' || !Number.isFinite(t)) throw bad(`discreteTimes[${i}].t is ${describe(t)}`);
    if ((t - t0) * direction < 0 || (t1 - t) * direction < 0) {
      throw new InvalidArgumentError(
        `discreteTimes[${i}].t is ${t}; expected a time from t0 = ${t0} to t1 = ${t1}.`,
      );
    }
    return { t, affect: affect as Affect, name: String(name), index: i };
  });
  return checked.sort((a, b) => (a.t - b.t) * direction);
}

function readSaveAt(times: unknown, t0: number, t1: number): Float64Array {
  if (times === undefined) return new Float64Array(0);
  const list =
    (Array.isArray(times) || ArrayBuffer.isView(times)) && !isTensor(times)
      ? Array.from(times as number[])
      : null;
  const direction = t1 < t0 ? -1 : 1;
  const ordered = list?.every(
    (t, i) =>
      typeof t === 'number' &&
      (t - t0) * direction >= 0 &&
      (t1 - t) * direction >= 0 &&
      (i === 0 || (t - list[i - 1]) * direction > 0),
  );
  if (list && ordered) return Float64Array.from(list);
  throw new InvalidArgumentError(
    `saveAt is ${describe(times)}; expected times in the order of travel, from t0 = ${t0} to t1 = ${t1}.`,
  );
}
