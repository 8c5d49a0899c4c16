import type { StepController } from './controller.js';
import type { Reading } from './reading.js';
import type { ErrorNorm, StateSpace } from './space.js';
import type { Stepper, StepState } from './stepper.js';
import type { System } from './system.js';

/** How a method that chooses its steps chooses them. */
export interface AdaptiveSteps {
  readonly kind: 'adaptive';
  readonly controller: StepController;
  /** Order of the error estimate plus one. */
  readonly k: number;
  readonly firstStep: number | null;
  readonly minStep: number;
  readonly maxStep: number;
}

/** Steps that are known beforehand. */
export interface FixedSteps {
  readonly kind: 'fixed';
  /** End of step `n`, n = 1, 2, ... */
  end(n: number): number;
  /** How many there are, counted up to `limit`; the interval must be finite. */
  count(limit: number): number;
  /** Whether each step sees only times inside it. */
  readonly perturb: boolean;
}

/** What a callback of the caller is told, in the solver's terms. */
export type Report<S> = (state: StepState<S>, errorNorm: number | null) => void;

/** Who looks into every step while the loop runs: the events. */
export interface Watch<S> {
  /** Before the first step. */
  begin(problem: Problem<S>, state: StepState<S>): Reading<void>;
  /** Adds what it wants to know of an attempt to the read of its error. */
  attach(problem: Problem<S>, norm: ErrorNorm, state: StepState<S>): ErrorNorm;
  /** Looks into an accepted step, and says whether the solve ends with it; the step may have been shortened. */
  inspect(problem: Problem<S>, state: StepState<S>): Reading<boolean>;
}

/**
 * A normalised initial value problem. Everything was checked when it was built; nothing past this point checks
 * types, shapes or options again.
 */
export interface Problem<S> {
  readonly space: StateSpace<S>;
  readonly system: System<S>;
  readonly stepper: Stepper;
  readonly t0: number;
  /** May be infinite for iterators. */
  readonly t1: number;
  /** Sign of `t1 - t0`. */
  readonly direction: 1 | -1;
  /** Makes the initial state; called inside the loop, so that an abandoned solve cannot leak it. */
  readonly start: () => S;
  readonly steps: AdaptiveSteps | FixedSteps;
  /** Times a step must end at, in the order of travel, all strictly inside or at the end of the interval. */
  readonly stops: readonly number[];
  /** Stops at which the vector field is discontinuous. */
  readonly jumps: ReadonlySet<number>;
  /** Whether reading a state costs nothing, so that every step can be checked. */
  readonly readsAreFree: boolean;
  /** What evaluates a step, for messages: func, and quadrature where there is one. */
  readonly evaluated: 'func' | 'func and quadrature';
  readonly maxNumSteps: number;
  readonly watch: Watch<S> | null;
  readonly signal: AbortSignal | null;
  readonly onStep: Report<S> | null;
  readonly onAccept: Report<S> | null;
  readonly onReject: Report<S> | null;
  readonly onProgress: ((fraction: number) => void) | null;
}
