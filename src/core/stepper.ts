import type { Reading } from './reading.js';
import type { ErrorNorm, StateSpace } from './space.js';
import type { System } from './system.js';

/**
 * Where a solve stands: `y0` at `t0`, and after an attempt `y1` at `t1`. A method keeps whatever else it needs
 * (stage derivatives, history) beside these fields; nobody else looks at it.
 */
export interface StepState<S> {
  t0: number;
  y0: S;
  t1: number;
  y1: S | null;
}

/**
 * A method: the only thing that knows one. State goes in and comes out of every call; a stepper itself holds nothing
 * but coefficients, so one instance serves any number of solves and any space of states.
 */
export interface Stepper {
  readonly name: string;
  /** Order p of the propagated solution: the global error is O(h^p). */
  readonly order: number;
  /** Order of the embedded solution; `null` where a method has none and runs with fixed steps only. */
  readonly embeddedOrder: number | null;
  /** What to tell of the method when a solve needs too many or too small steps, where the problem may not be to blame. */
  readonly hint?: string;
  /** Starts at `(t, y)`; takes ownership of `y`. */
  init<S>(system: System<S>, t: number, y: S): StepState<S>;
  /** `f(t0, y0)`, evaluated once; borrowed. */
  slope<S>(system: System<S>, state: StepState<S>): S;
  /** Attempts the step from `t0` to `t1`: sets `t1` and `y1`. */
  step<S>(system: System<S>, state: StepState<S>, t1: number): StepState<S>;
  /** Norm of the embedded error of the attempt. */
  errorNorm<S>(system: System<S>, state: StepState<S>): ErrorNorm;
  /** `y(t)` for `t` between `t0` and `t1` of the attempt; the caller releases it. */
  interpolate<S>(system: System<S>, state: StepState<S>, t: number): S;
  /** `dy/dt` of the interpolant. */
  derivative<S>(system: System<S>, state: StepState<S>, t: number): S;
  /** Moves on: `y1` becomes `y0`. With `restart` nothing evaluated at `t1` is reused. */
  accept<S>(system: System<S>, state: StepState<S>, restart: boolean): StepState<S>;
  /** Forgets the attempt. */
  reject<S>(system: System<S>, state: StepState<S>): StepState<S>;
  /** The same method with another polynomial between grid points; absent where a method has no choice. */
  withInterpolant?(kind: 'linear' | 'cubic'): Stepper;
  /** Throws when the method does not apply to the problem; called once, before the first step. */
  check?<S>(system: System<S>, state: StepState<S>): Reading<void>;
  /**
   * What the method carries from step to step, the state first, where that is more than the state: before the attempt, or
   * after it; borrowed.
   */
  carried?<S>(system: System<S>, state: StepState<S>, at: 'start' | 'end'): readonly S[];
  /** Goes on at `t` from what was carried there; takes ownership. */
  resume?<S>(system: System<S>, t: number, carried: readonly S[]): StepState<S>;
  /** A copy of the attempt that stays valid after the solve has moved on; its states belong to `archive`. */
  detach<S>(system: System<S>, state: StepState<S>, archive: StateSpace<S>): StepState<S>;
}
