import { ExplicitRungeKutta, Leapfrog, ReversibleHeun } from '../solvers/index.js';
import { InvalidArgumentError } from '../src/core/errors.js';
import type { Stepper } from '../src/core/stepper.js';
import { leapfrogAdjoint, reversibleHeunAdjoint } from './reversible_adjoint.js';
import { rungeKuttaAdjoint, type StepAdjoint } from './step_adjoint.js';

/** The adjoint of a method's steps; throws, naming the mode that asked, for a method that has none here. */
export function adjointOf(stepper: Stepper, mode: string): StepAdjoint {
  if (stepper instanceof ExplicitRungeKutta) return rungeKuttaAdjoint(stepper.tableau);
  if (stepper instanceof ReversibleHeun) return reversibleHeunAdjoint;
  if (stepper instanceof Leapfrog) return leapfrogAdjoint;
  throw new InvalidArgumentError(
    `adjoint '${mode}' runs the steps of a method again, and '${stepper.name}' is none of those it knows (explicit ` +
      "Runge-Kutta, reversible_heun, leapfrog); use adjoint: 'backsolve'.",
  );
}

/** Whether the adjoint of a method's steps is known here. */
export function hasAdjoint(stepper: Stepper): boolean {
  return stepper instanceof ExplicitRungeKutta || isReversible(stepper);
}

/** Whether the steps of a method can be taken back. */
export function isReversible(stepper: Stepper): boolean {
  return stepper instanceof ReversibleHeun || stepper instanceof Leapfrog;
}
