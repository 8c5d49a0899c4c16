/**
 * The methods, by name, and what is needed to add one.
 *
 * @module
 */
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { nearest } from '../src/core/options.js';
import type { Stepper } from '../src/core/stepper.js';
import { bosh3 } from './bosh3.js';
import { dopri5 } from './dopri5.js';
import { dopri8 } from './dopri8.js';
import { ExplicitRungeKutta } from './explicit_rk.js';
import { adaptiveHeun, euler, fehlberg2, heun2, heun3, midpoint } from './low_order.js';
import { rk4, rk4Classic } from './rk4.js';
import { ButcherTableau } from './tableau.js';
import { tsit5 } from './tsit5.js';

const tableaus = [
  euler,
  midpoint,
  heun2,
  heun3,
  rk4,
  rk4Classic,
  adaptiveHeun,
  fehlberg2,
  bosh3,
  dopri5,
  tsit5,
  dopri8,
];

const registry = new Map<string, Stepper>(
  tableaus.map((tableau) => [tableau.name, new ExplicitRungeKutta(tableau)]),
);

/** Names that `method` accepts. */
export const methodNames: readonly string[] = [...registry.keys()];

/** The stepper that `method` means. Throws `InvalidArgumentError` naming the nearest method. */
export function resolveMethod(method: unknown = 'dopri5'): Stepper {
  if (method instanceof ButcherTableau) return new ExplicitRungeKutta(method);
  if (typeof method === 'string') {
    const found = registry.get(method);
    if (found) return found;
    const suggestion = nearest(method, methodNames);
    throw new InvalidArgumentError(
      `unknown method '${method}'; ${suggestion ? `did you mean '${suggestion}'? Known are` : 'known are'}: ` +
        `${methodNames.join(', ')}.`,
    );
  }
  const stepper = method as Partial<Stepper> | null;
  if (typeof stepper?.step === 'function' && typeof stepper.init === 'function') return stepper as Stepper;
  throw new InvalidArgumentError(
    `method is ${describe(method)}; expected a name, a ButcherTableau or a Stepper.`,
  );
}

export { ButcherTableau, type TableauData } from './tableau.js';
export { ExplicitRungeKutta } from './explicit_rk.js';
export { orderResidual, rootedTrees, type Tree } from './order_conditions.js';
export type { Stepper, StepState } from '../src/core/stepper.js';
export {
  adaptiveHeun,
  bosh3,
  dopri5,
  dopri8,
  euler,
  fehlberg2,
  heun2,
  heun3,
  midpoint,
  rk4,
  rk4Classic,
  tsit5,
};
