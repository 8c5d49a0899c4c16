import type { Stepper } from '../src/core/stepper.js';
import { ExplicitRungeKutta } from './explicit_rk.js';
import { ButcherTableau } from './tableau.js';

/** The stepper that a tableau or a stepper means; `null` for anything else. */
export function stepperOf(method: unknown): Stepper | null {
  if (method instanceof ButcherTableau) return new ExplicitRungeKutta(method);
  const stepper = method as Partial<Stepper> | null | undefined;
  return typeof stepper?.step === 'function' && typeof stepper.init === 'function'
    ? (stepper as Stepper)
    : null;
}
