import { concat, reshape, slice, tensor1d, type Scalar, type Tensor } from '@tensorflow/tfjs-core';
import type { AnyOptions } from '../src/core/build_problem.js';
import type { SolveStats } from '../src/core/errors.js';
import { linkEvent } from '../src/core/event_gradient.js';
import { leafField, type TensorField } from '../src/core/leaf_field.js';
import { runSync, type Reading } from '../src/core/reading.js';
import type { Stepper } from '../src/core/stepper.js';
import { scoped, withFreshTape } from '../src/core/tape.js';
import { flattenTree, isTensor, unflattenTree } from '../src/core/tree.js';
import { solveGrid, type GridSolution } from '../src/odeint_with.js';
import type { HybridPlan } from './hybrid_options.js';

/** A stretch of a hybrid solve between two events. */
export interface Segment {
  /** The times saved in it, its beginning and its end among them. */
  t: Float64Array;
  /** The states there, one by one. */
  states: unknown[];
  /** The event that ended it; `null` where it ran to its end. */
  event: { index: number; mask: boolean[]; time: number | Scalar } | null;
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
  const states = rowsOf(y, t.length);
  const last = events.at(-1);
  if (!last) return { t, states, event: null, stats };
  // A time on the grid that is the event's is its end.
  const kept = t[t.length - 1] === last.t && t.length > 1 ? t.length - 1 : t.length;
  return {
    t: Float64Array.of(...t.slice(0, kept), last.t),
    states: [...states.slice(0, kept), last.y],
    event: { index: last.index, mask: last.mask, time: last.t },
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
      leaves.map((leaf) => {
        const [, ...shape] = leaf.shape;
        return reshape(slice(leaf, [i], [1]), shape);
      }),
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
        const { t, event, stats } = runSync(find(y, start, times));
        return { t, event, stats };
      }),
    );
    const grid = isTensor(start)
      ? concat([reshape(start as Tensor, [1]), tensor1d(Array.from(found.t.slice(1)))])
      : found.t;
    const ys = plan.solve(func, y, grid, { ...options, ...solveOptions });
    const states = rowsOf(ys, found.t.length);
    if (!found.event) return { t: found.t, states, event: null, stats: found.stats };
    const { index, mask } = found.event;
    const { structure, leaves } = flattenTree(states.pop(), 'y');
    const end = unflattenTree(structure, leaves);
    const field = leafField(func as TensorField<never>, end, options.args);
    const [t0, t] = [found.t[0], found.t[found.t.length - 1]];
    const crossed = { event: plan.events[index], component: mask.indexOf(true), t0, t, args: options.args };
    const linked = linkEvent(field, crossed);
    states.push(unflattenTree(structure, linked.y));
    return { t: found.t, states, event: { index, mask, time: linked.t }, stats: found.stats };
  };
}
