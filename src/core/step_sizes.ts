import { diagnoseUnderflow } from './diagnose.js';
import {
  InvalidArgumentError,
  NonFiniteStateError,
  StepUnderflowError,
  type FailurePoint,
  type OdeError,
} from './errors.js';
import { chooseFirstStep } from './first_step.js';
import type { AdaptiveSteps, FixedSteps, Problem } from './problem.js';
import { readNorm, type Reading } from './reading.js';
import { DeviceRead, type ErrorNorm } from './space.js';
import type { StepState } from './stepper.js';
import { spacing } from './time.js';

/** What adaptive and fixed steps do differently. */
export interface StepSizes<S> {
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

/** Steps chosen by the error. */
export class AdaptiveSizes<S> implements StepSizes<S> {
  errorNorm: number | null = null;
  private h = 0;
  private tried = 0;
  private clipped = false;
  private nextStop = 0;
  private failedNonFinite = false;
  /* Whether the smallest step is being tried. */
  private atLeast = false;
  private readonly hopeless: number;

  constructor(
    private readonly problem: Problem<S>,
    private readonly steps: AdaptiveSteps,
  ) {
    const span = Math.abs(problem.t1 - problem.t0);
    this.hopeless = Number.isFinite(span) ? 1e-30 * span : 0;
  }

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
    const { problem } = this;
    let norm: ErrorNorm = problem.stepper.errorNorm(problem.system, state);
    if (problem.watch) norm = problem.watch.attach(problem, norm, state);
    if (typeof norm === 'number') return this.decide(norm, 0);
    return norm instanceof DeviceRead ? this.read(norm) : this.decide(norm[0], norm[1]);
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
    return Math.max(8 * spacing(t), this.hopeless);
  }

  private *nonFinite(state: StepState<S>, at: FailurePoint): Reading<OdeError> {
    const { space, system, evaluated } = this.problem;
    if (system.stats.accepted === 0 && (yield* readNorm(space.finiteness(state.y0)))[0] !== 0) {
      return new InvalidArgumentError('y0 contains NaN or infinite values; expected finite numbers.', at);
    }
    return new NonFiniteStateError(
      `the state or its derivative is NaN or infinite beyond t = ${state.t0}, however small the step (down to ${at.h}). ` +
        `Check ${evaluated} there (division by zero, log or sqrt of a negative number, overflow); if the solution itself ` +
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

/** Steps known beforehand. */
export class FixedSizes<S> implements StepSizes<S> {
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

/** The error of a state that is not finite at the end of a fixed step. */
export function nonFiniteStep<S>(
  { system, steps, evaluated }: Problem<S>,
  t: number,
  h: number,
): NonFiniteStateError {
  const remedy =
    steps.kind === 'fixed'
      ? `With fixed steps nothing corrects a step that is too long: use a smaller stepSize or an adaptive method, and check ${evaluated}`
      : `Check ${evaluated} near that time`;
  return new NonFiniteStateError(
    `the state is NaN or infinite at t = ${t}. ${remedy} (division by zero, log of a negative number).`,
    { t, h, stats: system.stats },
  );
}
