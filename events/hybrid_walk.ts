import { scalar, type Scalar } from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError, type SolveStats } from '../src/core/errors.js';
import type { Reading } from '../src/core/reading.js';
import { isTapeActive } from '../src/core/tape.js';
import { spacing } from '../src/core/time.js';
import { disposeTree, flattenTree, isTensor, leavesLike, unflattenTree } from '../src/core/tree.js';
import type { Affect, HybridPlan } from './hybrid_options.js';
import type { Segment, SegmentSolver } from './hybrid_segments.js';

/** What happened on the way. */
export interface HybridRecord {
  t: number;
  /** `'event'` for a root of `events[index]`, `'discrete'` for `discreteTimes`. */
  kind: 'event' | 'discrete';
  index: number;
  name: string;
  /** Which components of the event function crossed zero. */
  mask: boolean[];
  /** Row of `y` with the state before; the next row has that after. -1 for an event that is only recorded. */
  row: number;
}

/** What a hybrid solve has gathered. */
export interface Walk {
  t: number[];
  states: unknown[];
  events: HybridRecord[];
  times: (number | Scalar)[];
  status: 'success' | 'event' | 'max-events';
  message: string;
  stats: SolveStats;
}

/** A hybrid solve on its way. */
export interface Hybrid {
  plan: HybridPlan;
  found: Walk;
  args: unknown;
  /** Runs what makes a state, so that nothing else it makes stays. */
  keep: (make: () => unknown) => unknown;
}

/** Segment by segment, until the end. */
export function* walk({ plan, found, args, keep }: Hybrid, y0: unknown, solve: SegmentSolver): Reading<Walk> {
  const { direction, discrete, saveAt, t1 } = plan;
  let y: unknown = y0;
  let t = plan.t0;
  let start: number | Scalar = t;
  let next = 0;
  let crowded = 0;
  const save = (time: number, state: unknown): void => {
    found.t.push(time);
    found.states.push(state);
  };
  const jump = (
    affect: Affect,
    kind: HybridRecord['kind'],
    index: number,
    name: string,
    mask: boolean[],
  ): void => {
    found.events.push({ t, row: found.t.length - 1, kind, index, name, mask });
    y = keep(() => changed(affect, start, y, args, name));
    save(t, y);
  };
  save(t, y);
  for (;;) {
    // Doses at this time, in their order; both sides are saved.
    while (next < discrete.length && (discrete[next].t - t) * direction <= 0) {
      const { affect, name, index } = discrete[next++];
      jump(affect, 'discrete', index, name, []);
    }
    if ((t1 - t) * direction <= 0) break;
    const end = next < discrete.length ? discrete[next].t : t1;
    const inside = saveAt.filter((time) => (time - t) * direction > 0 && (end - time) * direction > 0);
    const segment: Segment = yield* solve(y, start, Float64Array.of(t, ...inside, end));
    const before = t;
    take(found, segment, plan, save);
    y = segment.states[segment.states.length - 1];
    t = segment.t[segment.t.length - 1];
    start = segment.end?.time ?? t;
    if (!segment.end) continue;
    found.times.push(segment.end.time);
    for (const { index, mask } of segment.end.events) {
      const { name, terminal } = plan.events[index];
      const affect = plan.affects[index];
      if (affect) jump(affect, 'event', index, name, mask);
      else found.events.push({ t, row: found.t.length - 1, kind: 'event', index, name, mask });
      if (terminal)
        return Object.assign(found, { status: 'event', message: `'${name}' ended the solve at t = ${t}.` });
    }
    crowded = isCrowded(plan, before, t) ? crowded + 1 : 0;
    const message = tooMany(plan, found.times.length, crowded, t);
    if (message) return Object.assign(found, { status: 'max-events', message });
  }
  return Object.assign(found, { message: `reached t = ${t} with ${found.times.length} events.` });
}

/* What a segment adds. */
function take(
  found: Walk,
  segment: Segment,
  plan: HybridPlan,
  save: (t: number, state: unknown) => void,
): void {
  addStats(found.stats, segment.stats);
  for (const { t, index, mask } of segment.passed) {
    found.events.push({ t, row: -1, kind: 'event', index, name: plan.events[index].name, mask });
  }
  // Its beginning is saved already.
  for (let i = 1; i < segment.t.length; i++) save(segment.t[i], segment.states[i]);
  // On the tape it may be needed still.
  if (segment.states.length > 1 && !isTapeActive()) disposeTree(segment.states[0]);
}

/* Whether two events are closer together than their times are known. */
function isCrowded({ tolerance }: HybridPlan, before: number, t: number): boolean {
  return Math.abs(t - before) <= Math.max(16 * spacing(t), 4 * tolerance);
}

/* What to say when events pile up; nothing while they do not. */
function tooMany({ maxEvents }: HybridPlan, count: number, crowded: number, t: number): string | null {
  // Two may meet by chance.
  const stuck = crowded >= 3;
  if (count < maxEvents && !stuck) return null;
  const why = stuck
    ? `events follow each other within eventTol at t = ${t}`
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
