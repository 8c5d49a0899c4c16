import { consumeSteps } from '../src/core/collect.js';
import type { Problem } from '../src/core/problem.js';
import type { Reading } from '../src/core/reading.js';
import type { StateSpace } from '../src/core/space.js';
import type { Stepper, StepState } from '../src/core/stepper.js';
import { bestSplit, KeptStates } from './schedule.js';
import {
  weightedSum,
  type AdjointContext,
  type Cotangents,
  type InnerOutput,
  type StepAdjoint,
} from './step_adjoint.js';

/** What the host remembers of an accepted step. */
interface StepRecord {
  t0: number;
  t1: number;
  bounds: readonly [number, number];
  /** Whether func was evaluated afresh at `t0`. */
  restart: boolean;
  /** Output times in `(t0, t1]`, by index. */
  outputs: number[];
}

/** The record of a forward solve: all its steps, and what the method carried before some of them. */
export interface Recording<S> {
  steps: StepRecord[];
  /** By the index of the step that starts there, in ascending order. */
  kept: Map<number, readonly S[]>;
}

/**
 * Solves and remembers: the times of every step, and what the method carried before up to `keep` of them, the first one
 * among them, or only what it carried at the `'end'`. All of it belongs to `archive`.
 * @returns The record, and the states at the output times.
 */
export function* recordSolve<S>(
  problem: Problem<S>,
  times: Float64Array,
  keep: number | 'end',
  archive: StateSpace<S>,
): Reading<{ recording: Recording<S>; outputs: S[] }> {
  const { direction, system } = problem;
  const steps: StepRecord[] = [];
  const outputs: S[] = [archive.adopt(problem.start())];
  const endOnly = keep === 'end';
  const slots = endOnly ? 1 : keep;
  const known = problem.steps.kind === 'fixed' && !endOnly && slots < Infinity;
  const count = known ? problem.steps.count(problem.maxNumSteps) : null;
  const keeper = new KeptStates<readonly S[]>(slots, count, (carried) =>
    carried.forEach((state) => archive.release(state)),
  );
  const carried = (state: StepState<S>, at: 'start' | 'end'): readonly S[] =>
    carriedBy(problem, state, at).map((s) => archive.copy(s));
  let last: readonly S[] = [];
  yield* consumeSteps(problem, false, (step) => {
    const { t0, t1, state } = step;
    if (!endOnly) keeper.offer(steps.length, () => carried(state, 'start'));
    const before = steps.at(-1)?.bounds;
    const bounds = system.bounds();
    const restart = before?.[0] !== bounds[0] || before[1] !== bounds[1];
    const record: StepRecord = { t0, t1, bounds, restart, outputs: [] };
    steps.push(record);
    while (outputs.length < times.length && (t1 - times[outputs.length]) * direction >= 0) {
      record.outputs.push(outputs.length);
      const output = step.interpolate(times[outputs.length]);
      problem.space.disown(output);
      outputs.push(archive.adopt(output));
    }
    if (endOnly && t1 === problem.t1) last = carried(state, 'end');
  });
  if (endOnly) return { recording: { steps, kept: new Map([[steps.length, last]]) }, outputs };
  if (steps.length === 0) keeper.offer(0, () => [archive.copy(outputs[0])]);
  return { recording: { steps, kept: keeper.kept }, outputs };
}

function carriedBy<S>(
  { stepper, system }: Pick<Problem<S>, 'stepper' | 'system'>,
  state: StepState<S>,
  at: 'start' | 'end',
): readonly S[] {
  return stepper.carried?.(system, state, at) ?? [at === 'start' ? state.y0 : state.y1!];
}

/** What the backward sweep needs. */
export interface Sweep<S> extends AdjointContext<S> {
  stepper: Stepper;
  adjoint: StepAdjoint;
  times: Float64Array;
  recording: Recording<S>;
  /** States that may be kept at once. */
  checkpoints: number;
  /** Cotangent of the output with this index, owned by `duals`. */
  cotangentOf: (index: number) => S;
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
  const starts = [...kept.keys()];
  let lambda: Cotangents<S> = [];
  let end = steps.length;
  for (let i = starts.length - 1; i >= 0; i--) {
    const start = kept.get(starts[i])!.map((state) => system.space.copy(state));
    // Kept states further on are no longer needed: their slots are free.
    lambda = reverseStretch(sweep, starts[i], end, start, checkpoints - i, lambda);
    end = starts[i];
  }
  return atStart(sweep, lambda);
}

/**
 * The same without any kept state: from what was carried at the end, each step is taken back before its adjoint.
 *
 * @returns Also the initial state as it came out.
 */
export function retraceSolve<S>(sweep: Sweep<S>): { lambda: S | null; start: S | null } {
  const { recording, system, adjoint } = sweep;
  const { steps, kept } = recording;
  let state = kept.get(steps.length)!.map((s) => system.space.copy(s));
  let lambda: Cotangents<S> = [];
  for (let n = steps.length - 1; n >= 0; n--) {
    const { t0, t1, bounds } = steps[n];
    system.restrict(...bounds);
    if (steps[n + 1]?.restart) {
      // The evaluation carried is that of the far side of a jump.
      system.space.release(state.pop()!);
      state.push(adjoint.evaluateCarried!(system, t1, state));
    }
    const before = adjoint.undo!(system, t0, t1, state);
    lambda = reverseOne(sweep, n, before, lambda);
    state.forEach((s) => system.space.release(s));
    state = before;
  }
  return { lambda: atStart(sweep, lambda), start: state[0] ?? null };
}

/* All that is carried at the start is the initial state, or a fresh evaluation whose cotangent has been taken care of. */
function atStart<S>({ duals }: Sweep<S>, lambda: Cotangents<S>): S | null {
  return weightedSum(
    duals,
    lambda.map((cotangent) => [1, cotangent] as const),
  );
}

/*
 * Steps first .. end - 1, with `slots` states to keep, the given one among them. Takes over what is carried, and lambda.
 */
function reverseStretch<S>(
  sweep: Sweep<S>,
  first: number,
  end: number,
  carried: readonly S[],
  slots: number,
  lambda: Cotangents<S>,
): Cotangents<S> {
  const count = end - first;
  const release = (states: readonly S[]) => states.forEach((state) => sweep.system.space.release(state));
  if (count === 0) {
    release(carried);
    return lambda;
  }
  if (count === 1) {
    const result = reverseOne(sweep, first, carried, lambda);
    release(carried);
    return result;
  }
  if (slots <= 1) {
    for (let n = end - 1; n > first; n--) {
      const states = advance(sweep, first, n, carried);
      lambda = reverseOne(sweep, n, states, lambda);
      release(states);
    }
    return reverseStretch(sweep, first, first + 1, carried, 1, lambda);
  }
  const middle = first + bestSplit(count, slots);
  lambda = reverseStretch(sweep, middle, end, advance(sweep, first, middle, carried), slots - 1, lambda);
  return reverseStretch(sweep, first, middle, carried, slots, lambda);
}

/** What is carried before step `to`, from what is before step `from`, which stays. */
function advance<S>(
  { system, stepper, recording }: Sweep<S>,
  from: number,
  to: number,
  carried: readonly S[],
): readonly S[] {
  let state = resume(stepper, system, recording, from, carried);
  const { steps } = recording;
  for (let n = from; n < to; n++) {
    system.restrict(...steps[n].bounds);
    state = stepper.step(system, state, steps[n].t1);
    // Of a method that carries its state only, nothing else is wanted at the end.
    const restart = steps[n + 1].restart || (n + 1 === to && !stepper.carried);
    state = stepper.accept(system, state, restart);
  }
  system.restrict(...steps[to].bounds);
  return carriedBy({ stepper, system }, state, 'start');
}

/** A method on its way again, from a copy of what it carried before step `n`. */
export function resume<S>(
  stepper: Stepper,
  system: AdjointContext<S>['system'],
  { steps }: Recording<S>,
  n: number,
  carried: readonly S[],
): StepState<S> {
  const copies = carried.map((state) => system.space.copy(state));
  return stepper.resume?.(system, steps[n].t0, copies) ?? stepper.init(system, steps[n].t0, copies[0]);
}

function reverseOne<S>(
  sweep: Sweep<S>,
  n: number,
  before: readonly S[],
  lambda: Cotangents<S>,
): (S | null)[] {
  const { system, duals, adjoint, times, recording, cotangentOf } = sweep;
  const { t0, t1, bounds, restart, outputs } = recording.steps[n];
  system.restrict(...bounds);
  const inner: InnerOutput<S>[] = [];
  const after = [...lambda];
  for (const index of outputs) {
    const cotangent = cotangentOf(index);
    if (times[index] !== t1) {
      inner.push({ theta: (times[index] - t0) / (t1 - t0), cotangent });
      continue;
    }
    const sum = weightedSum(duals, [
      [1, after[0]],
      [1, cotangent],
    ]);
    for (const old of [after[0], cotangent]) if (old != null) duals.release(old);
    after[0] = sum;
  }
  const result = adjoint.reverse(sweep, { t0, t1, before, restart, after, outputs: inner });
  for (const { cotangent } of inner) duals.release(cotangent);
  for (const cotangent of after) if (cotangent != null) duals.release(cotangent);
  return result;
}
