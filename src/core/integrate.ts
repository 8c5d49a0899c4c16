import { diagnoseSteps, diagnoseUnderflow } from './diagnose.js';
import {
  AbortedError,
  InvalidArgumentError,
  MaxStepsError,
  NonFiniteStateError,
  StepUnderflowError,
  type FailurePoint,
  type OdeError,
} from './errors.js';
import { chooseFirstStep } from './first_step.js';
import type { AdaptiveSteps, FixedSteps, Problem } from './problem.js';
import { readNorm, type Reading } from './reading.js';
import type { DeviceRead, ErrorNorm, StateSpace } from './space.js';
import type { StepState } from './stepper.js';
import { spacing } from './time.js';

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
  const { space, system, stepper, steps, direction, t1 } = problem;
  try {
    const sizes =
      steps.kind === 'adaptive' ? new AdaptiveSizes(problem, steps) : new FixedSizes(problem, steps);
    let state = stepper.init(system, problem.t0, space.adopt(problem.start()));
    const accepted = new AcceptedStep(problem, state);
    guardSignal(problem, state, 0);
    if (problem.t0 !== t1) yield* sizes.begin(state);
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
        system.stats.accepted++;
        system.stats.lastStep = Math.abs(state.t1 - state.t0);
        accepted.state = state;
        accepted.errorNorm = sizes.errorNorm;
        problem.onAccept?.(state, sizes.errorNorm);
        yield accepted;
        problem.onProgress?.(fraction(problem, state.t1));
        const restart = sizes.restartsAt(state.t1);
        state = stepper.accept(system, state, restart);
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

/** What adaptive and fixed steps do differently. */
interface StepSizes<S> {
  errorNorm: number | null;
  begin(state: StepState<S>): Reading<void>;
  /** End of the next attempt. */
  propose(t: number): number;
  /** Whether the attempt stands; a generator when that must be read. */
  judge(state: StepState<S>): boolean | Reading<boolean>;
  afterRejection(state: StepState<S>): Reading<void>;
  nextStep(): number | null;
  /** Whether nothing evaluated before `t` may be used beyond it. */
  restartsAt(t: number): boolean;
}

class AdaptiveSizes<S> implements StepSizes<S> {
  errorNorm: number | null = null;
  private h = 0;
  private tried = 0;
  private clipped = false;
  private nextStop = 0;
  private failedNonFinite = false;
  /* Whether the smallest step is being tried. */
  private atLeast = false;

  constructor(
    private readonly problem: Problem<S>,
    private readonly steps: AdaptiveSteps,
  ) {}

  *begin(state: StepState<S>): Reading<void> {
    const { problem, steps } = this;
    this.restrict(state.t0, this.target());
    const bound = Math.min(steps.maxStep, Math.abs(this.target() - state.t0));
    const first = steps.firstStep ?? (yield* chooseFirstStep(problem, state, steps.k, bound));
    this.h = Math.max(Math.min(first, steps.maxStep), steps.minStep);
  }

  private target(): number {
    return this.problem.stops[this.nextStop] ?? this.problem.t1;
  }

  private restrict(from: number, to: number): void {
    const { jumps, system, space, direction } = this.problem;
    if (jumps.size === 0) return;
    system.restrict(
      jumps.has(from) ? space.nextTime(from, direction) : -direction * Infinity,
      jumps.has(to) ? space.nextTime(to, -direction) : direction * Infinity,
    );
  }

  propose(t: number): number {
    const { direction } = this.problem;
    const target = this.target();
    this.h = Math.max(this.h, this.resolution(t));
    const remaining = Math.abs(target - t);
    // A step within 1 % of the end goes there, instead of leaving a sliver.
    // The rounding of t may have made the last of equal steps a hair longer than maxStep.
    this.clipped = this.h * 1.01 >= remaining && remaining <= this.steps.maxStep * (1 + 1e-9);
    const end = this.clipped ? target : t + direction * this.h;
    this.tried = Math.abs(end - t);
    this.restrict(t, end);
    return end;
  }

  judge(state: StepState<S>): boolean | Reading<boolean> {
    const norm: ErrorNorm = this.problem.stepper.errorNorm(this.problem.system, state);
    return typeof norm === 'number' ? this.decide(norm, 0) : this.read(norm);
  }

  private *read(norm: DeviceRead): Reading<boolean> {
    const values = yield* readNorm(norm);
    return this.decide(values[0], values[1] ?? 0);
  }

  private decide(error: number, quadratureError: number): boolean {
    const { controller, maxStep, minStep } = this.steps;
    const worst = error <= 1 && !(quadratureError <= 1) ? quadratureError : error;
    this.errorNorm = worst;
    if (worst <= 1) {
      const grown = this.tried * controller.grow(error);
      // A step cut short by a stop says little about the next one.
      this.h = Math.max(minStep, Math.min(maxStep, this.clipped ? Math.max(grown, this.h) : grown));
      this.failedNonFinite = false;
      this.atLeast = false;
      if (this.clipped) this.nextStop++;
      return true;
    }
    this.failedNonFinite = !Number.isFinite(worst);
    this.h = this.tried * controller.shrink(worst);
    return false;
  }

  *afterRejection(state: StepState<S>): Reading<void> {
    const { problem, h, steps } = this;
    const { minStep } = steps;
    const resolution = this.resolution(state.t0);
    const least = Math.max(minStep, resolution);
    if (h >= least) return;
    // The bound itself is tried before the solve gives up.
    if (!this.atLeast) {
      this.atLeast = true;
      this.h = least;
      return;
    }
    const at = { t: state.t0, h, stats: { ...problem.system.stats } };
    if (this.failedNonFinite) throw yield* this.nonFinite(state, at);
    const belowMinimum = minStep > resolution;
    const hint = yield* diagnoseUnderflow(problem, state, belowMinimum);
    const bound = belowMinimum ? `minStep = ${minStep}` : 'the resolution of t in float64';
    throw new StepUnderflowError(
      `at t = ${state.t0} the tolerance needs a step of ${h}, below ${bound}. ${hint}`,
      at,
    );
  }

  /* Steps below this do not move t, or, near t = 0, would never arrive. */
  private resolution(t: number): number {
    const span = Math.abs(this.problem.t1 - this.problem.t0);
    return Math.max(8 * spacing(t), Number.isFinite(span) ? 1e-30 * span : 0);
  }

  private *nonFinite(state: StepState<S>, at: FailurePoint): Reading<OdeError> {
    const { space, system } = this.problem;
    if (system.stats.accepted === 0 && (yield* readNorm(space.finiteness(state.y0)))[0] !== 0) {
      return new InvalidArgumentError('y0 contains NaN or infinite values; expected finite numbers.', at);
    }
    return new NonFiniteStateError(
      `the state or its derivative is NaN or infinite beyond t = ${state.t0}, however small the step (down to ${at.h}). ` +
        'Check func there (division by zero, log or sqrt of a negative number, overflow); if the solution itself ' +
        'grows without bound, end the interval before that time.',
      at,
    );
  }

  nextStep(): number {
    return this.h;
  }

  restartsAt(t: number): boolean {
    const { jumps } = this.problem;
    return jumps.size > 0 && jumps.has(t);
  }
}

class FixedSizes<S> implements StepSizes<S> {
  errorNorm = null;
  private n = 0;

  constructor(
    private readonly problem: Problem<S>,
    private readonly steps: FixedSteps,
  ) {}

  *begin(): Reading<void> {
    // Nothing to choose.
  }

  propose(t: number): number {
    const { system, space, direction, jumps } = this.problem;
    const end = this.steps.end(++this.n);
    if (this.steps.perturb || jumps.size > 0) {
      const inside = (edge: number) => this.steps.perturb || jumps.has(edge);
      system.restrict(
        inside(t) ? space.nextTime(t, direction) : -direction * Infinity,
        inside(end) ? space.nextTime(end, -direction) : direction * Infinity,
      );
    }
    return end;
  }

  judge(state: StepState<S>): boolean {
    // Tensors would have to be read for this: they are checked once, at the end.
    if (!this.problem.readsAreFree) return true;
    if (this.problem.space.finiteness(state.y1!) === 0) return true;
    this.problem.system.stats.rejected++;
    throw nonFiniteStep(this.problem, state.t1, Math.abs(state.t1 - state.t0));
  }

  *afterRejection(): Reading<void> {
    // Every fixed step stands.
  }

  nextStep(): null {
    return null;
  }

  restartsAt(t: number): boolean {
    return this.steps.perturb || this.problem.jumps.has(t);
  }
}

/** Throws when a state is not finite; tensors are read for this. */
export function* requireFinite<S>(problem: Problem<S>, t: number, y: S): Reading<void> {
  const value = (yield* readNorm(problem.space.finiteness(y)))[0];
  if (value !== 0) throw nonFiniteStep(problem, t, problem.system.stats.lastStep);
}

/** The error for a state that is not finite. */
export function nonFiniteStep<S>({ system, steps }: Problem<S>, t: number, h: number): NonFiniteStateError {
  const remedy =
    steps.kind === 'fixed'
      ? 'With fixed steps nothing corrects a step that is too long: use a smaller stepSize or an adaptive method, and check func'
      : 'Check func near that time';
  return new NonFiniteStateError(
    `the state is NaN or infinite at t = ${t}. ${remedy} (division by zero, log of a negative number).`,
    { t, h, stats: system.stats },
  );
}
