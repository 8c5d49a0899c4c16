import { diagnoseSteps } from './diagnose.js';
import { AbortedError, MaxStepsError } from './errors.js';
import type { Problem } from './problem.js';
import { readNorm, type Reading } from './reading.js';
import type { DeviceRead, StateSpace } from './space.js';
import { AdaptiveSizes, FixedSizes, nonFiniteStep } from './step_sizes.js';
import type { StepState } from './stepper.js';

/** One accepted step. The object and its states are borrowed until the loop goes on. */
export class AcceptedStep<S> {
  errorNorm: number | null = null;

  constructor(
    private readonly problem: Problem<S>,
    public state: StepState<S>,
  ) {}

  get t0(): number {
    return this.state.t0;
  }

  get t1(): number {
    return this.state.t1;
  }

  get y1(): S {
    return this.state.y1!;
  }

  /** State at `t` inside the step; the caller releases it. */
  interpolate(t: number): S {
    const { system, stepper, space } = this.problem;
    if (t === this.t1) return space.copy(this.y1);
    if (t === this.t0) return space.copy(this.state.y0);
    return stepper.interpolate(system, this.state, t);
  }

  /** A copy that outlives the step, owned by `archive`. */
  detach(archive: StateSpace<S>): StepState<S> {
    return this.problem.stepper.detach(this.problem.system, this.state, archive);
  }
}

/** What the loop yields: numbers it must read from the device, and accepted steps. */
export type Yielded<S> = DeviceRead | null | AcceptedStep<S>;

/**
 * THE loop: proposes a step, attempts it, asks the controller, yields it. Output grids, dense output, events and
 * gradients all consume these steps.
 * @returns The size the next step would have had, for a solve that goes on from here; `null` for fixed steps.
 */
export function* integrate<S>(problem: Problem<S>): Generator<Yielded<S>, number | null, ArrayLike<number>> {
  const { space, system, stepper, steps, direction, t1, watch } = problem;
  try {
    const sizes =
      steps.kind === 'adaptive' ? new AdaptiveSizes(problem, steps) : new FixedSizes(problem, steps);
    let state = stepper.init(system, problem.t0, space.adopt(problem.start()));
    const accepted = new AcceptedStep(problem, state);
    guardSignal(problem, state, 0);
    if (problem.t0 !== t1) {
      if (stepper.check) yield* stepper.check(system, state);
      yield* sizes.begin(state);
      if (watch) yield* watch.begin(problem, state);
    }
    while ((t1 - state.t0) * direction > 0) {
      const end = sizes.propose(state.t0);
      // Of an endless solve whose steps have outgrown the numbers.
      if (!Number.isFinite(end)) break;
      guardSignal(problem, state, end - state.t0);
      if (system.stats.steps >= problem.maxNumSteps) yield* failForSteps(problem, state);
      problem.onStep?.({ ...state, t1: end }, null);
      system.stats.steps++;
      state = stepper.step(system, state, end);
      const passed = sizes.judge(state);
      if (typeof passed === 'boolean' ? passed : yield* passed) {
        const ended = watch !== null && (yield* watch.inspect(problem, state));
        system.stats.accepted++;
        system.stats.lastStep = Math.abs(state.t1 - state.t0);
        accepted.state = state;
        accepted.errorNorm = sizes.errorNorm;
        problem.onAccept?.(state, sizes.errorNorm);
        yield accepted;
        problem.onProgress?.(fraction(problem, state.t1));
        const restart = sizes.restartsAt(state.t1);
        state = stepper.accept(system, state, restart);
        if (ended) break;
      } else {
        system.stats.rejected++;
        problem.onReject?.(state, sizes.errorNorm);
        state = stepper.reject(system, state);
        yield* sizes.afterRejection(state);
      }
    }
    const unchecked = steps.kind === 'fixed' || problem.t0 === t1;
    if (unchecked && !problem.readsAreFree) yield* requireFinite(problem, state.t0, state.y0);
    return sizes.nextStep();
  } finally {
    space.releaseAll();
  }
}

function fraction<S>({ t0, t1 }: Problem<S>, t: number): number {
  return Number.isFinite(t1) ? (t - t0) / (t1 - t0) : 0;
}

function guardSignal<S>({ signal, system }: Problem<S>, state: StepState<S>, h: number): void {
  if (!signal?.aborted) return;
  throw new AbortedError(
    `the solve was aborted at t = ${state.t0}, after ${system.stats.accepted} accepted steps: its signal was triggered.`,
    { t: state.t0, h: Math.abs(h), stats: system.stats, cause: signal.reason },
  );
}

function* failForSteps<S>(problem: Problem<S>, state: StepState<S>): Reading<never> {
  const { maxNumSteps, system, t1 } = problem;
  const h = system.stats.lastStep;
  const stats = { ...system.stats };
  const hint = yield* diagnoseSteps(problem, state, h);
  throw new MaxStepsError(
    `maxNumSteps = ${maxNumSteps} steps reached t = ${state.t0} on the way to ${t1} (last step ${h}). ${hint}`,
    { t: state.t0, h, stats },
  );
}

/** Throws when a state is not finite; tensors are read for this. */
export function* requireFinite<S>(problem: Problem<S>, t: number, y: S): Reading<void> {
  const value = (yield* readNorm(problem.space.finiteness(y)))[0];
  if (value !== 0) throw nonFiniteStep(problem, t, problem.system.stats.lastStep);
}
