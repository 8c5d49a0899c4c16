import { engine, type Scalar, type Tensor } from '@tensorflow/tfjs-core';
import type { AnyOptions } from '../src/core/build_problem.js';
import type { SolveStats } from '../src/core/errors.js';
import { linkEvent } from '../src/core/event_gradient.js';
import { rowOf } from '../src/core/flat.js';
import { runSync, type Reading } from '../src/core/reading.js';
import type { Stepper } from '../src/core/stepper.js';
import { scoped, withFreshTape } from '../src/core/tape.js';
import { startingAt } from '../src/core/time_gradient.js';
import { disposeTree, flattenTree, isTensor, unflattenTree } from '../src/core/tree.js';
import { upToEvent } from '../src/event_solve.js';
import { solveGrid, type GridSolution } from '../src/odeint_with.js';
import type { HybridPlan } from './hybrid_options.js';

/** A stretch of a hybrid solve between two events. */
export interface Segment {
  /** The times saved in it, its beginning and its end among them. */
  t: Float64Array;
  /** The states there, one by one. */
  states: unknown[];
  /** The events that ended it, at one time; `null` where it ran to its end. */
  end: { events: { index: number; mask: boolean[] }[]; time: number | Scalar } | null;
  /** Events that were met on the way. */
  passed: { t: number; index: number; mask: boolean[] }[];
  stats: SolveStats;
}

/** What solves one segment: from `y` at the last start to the first event, at most along the times of the grid. */
export type SegmentSolver = (y: unknown, start: number | Scalar, times: Float64Array) => Reading<Segment>;

/** Segments without a gradient. */
export function plainSegments(
  stepper: Stepper,
  func: unknown,
  options: AnyOptions,
  plan: HybridPlan,
): SegmentSolver {
  return function* (y, _start, times) {
    const solution = yield* solveGrid(stepper, func, y, times, options, { events: plan.segment });
    return segmentOf(solution);
  };
}

function segmentOf({ y, t, events, stats }: GridSolution): Segment {
  // Kept, and freed by hand: there is no scope around this.
  const states = scoped(() => rowsOf(y, t.length).map(keptState));
  disposeTree(y);
  const ended = events.filter((event) => event.terminal);
  const last = ended.at(-1);
  const passed = events.filter((event) => !event.terminal);
  for (const event of events) if (event !== last) disposeTree(event.y);
  if (!last) return { t, states, end: null, passed, stats };
  // A time on the grid that is the event's is its end.
  const kept = t[t.length - 1] === last.t && t.length > 1 ? t.length - 1 : t.length;
  for (const state of states.slice(kept)) disposeTree(state);
  return {
    t: Float64Array.of(...t.slice(0, kept), last.t),
    states: [...states.slice(0, kept), last.y],
    end: { events: ended.map(({ index, mask }) => ({ index, mask })), time: last.t },
    passed,
    stats,
  };
}

/* The rows of [T, ...shape] trees; plain numbers have them already. */
function rowsOf(ys: unknown, count: number): unknown[] {
  if (Array.isArray(ys) && ys[0] instanceof Float64Array) return ys;
  const { structure, leaves } = flattenTree(ys, 'ys');
  return Array.from({ length: count }, (_, i) =>
    unflattenTree(
      structure,
      leaves.map((leaf) => rowOf(leaf, i)),
    ),
  );
}

/**
 * Segments on the tape: each is solved without it first, to find its end, and then, up to there, on it. The time of an
 * event is linked to what it depends on, and is the start of the next segment.
 */
export function tapedSegments(
  stepper: Stepper,
  func: unknown,
  options: AnyOptions,
  plan: HybridPlan,
  solveOptions: object,
): SegmentSolver {
  const find = plainSegments(stepper, func, options, plan);
  // A generator like the other, though it asks for nothing: a gradient is synchronous.
  // eslint-disable-next-line require-yield
  return function* (y, start, times) {
    const found = withFreshTape(() =>
      scoped(() => {
        const { t, states, end, passed, stats } = runSync(find(y, start, times));
        states.forEach(disposeTree);
        return { t, end, passed, stats };
      }),
    );
    // Times stay float64; the gradient of an event's time reaches what starts there.
    const begun = isTensor(start) ? startingAt(func, y, start as Tensor, found.t[0], options.args) : y;
    const upTo = found.end ? upToEvent(options, times, found.t[found.t.length - 1]) : options;
    const ys = plan.solve(func, begun, found.t, { ...upTo, ...solveOptions });
    const states = rowsOf(ys, found.t.length);
    const { passed, stats } = found;
    if (!found.end) return { t: found.t, states, end: null, passed, stats };
    // Of several at one time the first gives it its gradient.
    const [{ index, mask }] = found.end.events;
    const [t0, t] = [found.t[0], found.t[found.t.length - 1]];
    const linked = linkEvent(func, states.pop(), {
      ...{ event: plan.events[index], component: mask.indexOf(true), t0, t, args: options.args },
      start: flattenTree(states[0], 'y').leaves,
    });
    states.push(linked.y);
    return { t: found.t, states, end: { ...found.end, time: linked.t }, passed, stats };
  };
}

function keptState(y: unknown): unknown {
  if (!(y instanceof Float64Array)) for (const leaf of flattenTree(y, 'y').leaves) engine().keep(leaf);
  return y;
}
