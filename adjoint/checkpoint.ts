import type { ButcherTableau } from '../solvers/index.js';
import { consumeSteps } from '../src/core/collect.js';
import type { Problem } from '../src/core/problem.js';
import type { Reading } from '../src/core/reading.js';
import { sparseRow, type StateSpace } from '../src/core/space.js';
import type { Stepper } from '../src/core/stepper.js';
import type { System } from '../src/core/system.js';
import { bestSplit, OnlineThinning } from './schedule.js';
import { reverseStep, type InnerOutput, type StateVjp } from './step_adjoint.js';

/** What the host remembers of an accepted step. */
interface StepRecord {
  t0: number;
  t1: number;
  bounds: readonly [number, number];
  /** Output times in `(t0, t1]`, by index. */
  outputs: number[];
}

/** The record of a forward solve: all its steps, and the states before some of them. */
export interface Recording<S> {
  steps: StepRecord[];
  /** By the index of the step that starts there; the first one is always there. */
  kept: Map<number, S>;
}

/**
 * Solves and remembers: the times of every step, and the state before up to `checkpoints` of them. States belong to
 * `archive`.
 * @returns The record, and the states at the output times.
 */
export function* recordSolve<S>(
  problem: Problem<S>,
  times: Float64Array,
  checkpoints: number,
  archive: StateSpace<S>,
): Reading<{ recording: Recording<S>; outputs: S[] }> {
  const { direction, system } = problem;
  const steps: StepRecord[] = [];
  const outputs: S[] = [archive.adopt(problem.start())];
  const thinning = new OnlineThinning<S>(checkpoints, (state) => archive.release(state));
  yield* consumeSteps(problem, false, (step) => {
    const { t0, t1 } = step;
    thinning.offer(steps.length, () => archive.copy(step.state.y0));
    const record: StepRecord = { t0, t1, bounds: system.bounds(), outputs: [] };
    steps.push(record);
    while (outputs.length < times.length && (t1 - times[outputs.length]) * direction >= 0) {
      record.outputs.push(outputs.length);
      const state = step.interpolate(times[outputs.length]);
      problem.space.disown(state);
      outputs.push(archive.adopt(state));
    }
  });
  if (steps.length === 0) thinning.offer(0, () => archive.copy(outputs[0]));
  return { recording: { steps, kept: thinning.kept }, outputs };
}

/** What the backward sweep needs. */
export interface Sweep<S> {
  system: System<S>;
  stepper: Stepper;
  tableau: ButcherTableau;
  times: Float64Array;
  recording: Recording<S>;
  /** States that may be kept at once. */
  checkpoints: number;
  /** Cotangent of the output with this index, owned by the space. */
  cotangentOf: (index: number) => S;
  vjp: StateVjp<S>;
}

/**
 * The exact discrete adjoint of a recorded solve, from the last step to the first. Between kept states the steps are
 * run again, along the schedule that repeats the fewest (Griewank & Walther 2000, https://doi.org/10.1145/347837.347846).
 *
 * @returns The cotangent of the initial state without that of the first output; `null` for zero.
 */
export function reverseSolve<S>(sweep: Sweep<S>): S | null {
  const { recording, system, checkpoints } = sweep;
  const { steps, kept } = recording;
  const starts = [...kept.keys()].sort((a, b) => a - b);
  let lambda: S | null = null;
  let end = steps.length;
  for (let i = starts.length - 1; i >= 0; i--) {
    const start = system.space.copy(kept.get(starts[i])!);
    // Kept states further on are no longer needed: their slots are free.
    lambda = reverseStretch(sweep, starts[i], end, start, checkpoints - i, lambda);
    end = starts[i];
  }
  return lambda;
}

/* Steps first .. end - 1, with `slots` states to keep, the given one among them. Takes over `y` and `lambda`. */
function reverseStretch<S>(
  sweep: Sweep<S>,
  first: number,
  end: number,
  y: S,
  slots: number,
  lambda: S | null,
): S | null {
  const { space } = sweep.system;
  const count = end - first;
  if (count === 0) {
    space.release(y);
    return lambda;
  }
  if (count === 1) {
    const result = reverseOne(sweep, first, y, lambda);
    space.release(y);
    return result;
  }
  if (slots <= 1) {
    for (let n = end - 1; n > first; n--) {
      const state = advance(sweep, first, n, y);
      lambda = reverseOne(sweep, n, state, lambda);
      space.release(state);
    }
    return reverseStretch(sweep, first, first + 1, y, 1, lambda);
  }
  const middle = first + (Number.isFinite(slots) ? bestSplit(count, slots) : 1);
  lambda = reverseStretch(sweep, middle, end, advance(sweep, first, middle, y), slots - 1, lambda);
  return reverseStretch(sweep, first, middle, y, slots, lambda);
}

/* The state before step `to`, from the one before step `from`, which stays. */
function advance<S>({ system, stepper, recording }: Sweep<S>, from: number, to: number, y: S): S {
  let state = stepper.init(system, recording.steps[from].t0, system.space.copy(y));
  for (let n = from; n < to; n++) {
    const { t1, bounds } = recording.steps[n];
    system.restrict(...bounds);
    state = stepper.step(system, state, t1);
    const next = recording.steps[n + 1];
    const restart = n + 1 === to || next.bounds[0] !== bounds[0] || next.bounds[1] !== bounds[1];
    state = stepper.accept(system, state, restart);
  }
  return state.y0;
}

function reverseOne<S>(sweep: Sweep<S>, n: number, y0: S, lambda: S | null): S | null {
  const { system, tableau, times, recording, cotangentOf, vjp } = sweep;
  const { space } = system;
  const { t0, t1, bounds, outputs } = recording.steps[n];
  system.restrict(...bounds);
  const inner: InnerOutput<S>[] = [];
  let atEnd = lambda;
  for (const index of outputs) {
    const cotangent = cotangentOf(index);
    if (times[index] === t1) atEnd = sum(space, atEnd, cotangent);
    else inner.push({ theta: (times[index] - t0) / (t1 - t0), cotangent });
  }
  const ybar = reverseStep(system, tableau, { t0, t1, y0, lambda: atEnd, outputs: inner }, vjp);
  for (const { cotangent } of inner) space.release(cotangent);
  if (atEnd !== null) space.release(atEnd);
  return ybar;
}

const pair = sparseRow([1, 1]);

/* Takes over both. */
function sum<S>(space: StateSpace<S>, a: S | null, b: S): S {
  if (a === null) return b;
  const total = space.increment(1, pair, [a, b]);
  space.release(a);
  space.release(b);
  return total;
}
