/**
 * The methods, by name, and what is needed to add one.
 *
 * @module
 */
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { lookUp, nearest, plainName } from '../src/core/option_names.js';
import type { MethodName } from '../src/core/options.js';
import type { Stepper } from '../src/core/stepper.js';
import { bosh3 } from './bosh3.js';
import { dopri5 } from './dopri5.js';
import { dopri8 } from './dopri8.js';
import { adaptiveHeun, euler, fehlberg2, heun2, heun3, midpoint } from './low_order.js';
import { rk4, rk4Classic } from './rk4.js';
import { stepperOf } from './stepper_of.js';
import { leapfrog } from './leapfrog.js';
import { reversibleHeun } from './reversible_heun.js';
import type { ButcherTableau } from './tableau.js';
import { tsit5 } from './tsit5.js';

/*
 * The methods by name. Nothing happens to them before somebody asks for one by its name: a bundler leaves out those that
 * are imported by nobody.
 */
const methods = {
  euler,
  midpoint,
  heun2,
  heun3,
  rk4,
  rk4_classic: rk4Classic,
  adaptive_heun: adaptiveHeun,
  fehlberg2,
  bosh3,
  dopri5,
  tsit5,
  dopri8,
  reversible_heun: reversibleHeun,
  leapfrog,
} satisfies Record<string, ButcherTableau | Stepper>;

type Methods = typeof methods;
declare module '../src/core/options.js' {
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type -- one entry per method above
  interface MethodTable extends Record<keyof Methods, ButcherTableau | Stepper> {}
}

const steppers = new Map<string, Stepper>();

/** Names that `method` accepts. */
export const methodNames = /* @__PURE__ */ Object.keys(methods) as readonly MethodName[];

/** What other libraries call our methods; letters and digits, in lower case. */
const aliases: Record<string, MethodName> = {
  rk45: 'dopri5',
  ode45: 'dopri5',
  dp5: 'dopri5',
  dopri: 'dopri5',
  dopri54: 'dopri5',
  rkdp: 'dopri5',
  dormandprince: 'dopri5',
  rk23: 'bosh3',
  ode23: 'bosh3',
  bs3: 'bosh3',
  dop853: 'dopri8',
  dopri853: 'dopri8',
  dopri87: 'dopri8',
  tsit54: 'tsit5',
  heun: 'heun2',
  rungekutta4: 'rk4_classic',
  verlet: 'leapfrog',
  velocityverlet: 'leapfrog',
  stormerverlet: 'leapfrog',
};

/* Methods of others that nothing here replaces; what is near in spelling is something else. */
const elsewhere =
  /adams|implicit|scipysolver|lsoda|bdf|radau|ode15|ode23[ts]|ode113|rosenbrock|rodas|trapez|sdirk|trbdf|^gl[246]$|kvaerno|cvode|abm/;

/** The stepper that `method` means. Throws `InvalidArgumentError` naming the nearest method. */
export function resolveMethod(method: unknown = 'dopri5'): Stepper {
  const given = stepperOf(method);
  if (given) return given;
  if (typeof method !== 'string') {
    throw new InvalidArgumentError(
      `method is ${describe(method)}; expected a name, a ButcherTableau or a Stepper.`,
    );
  }
  const found = lookUp<ButcherTableau | Stepper>(methods, method);
  if (!found) throw unknownMethod(method);
  let stepper = steppers.get(method);
  if (!stepper) steppers.set(method, (stepper = stepperOf(found)!));
  return stepper;
}

function unknownMethod(method: string): InvalidArgumentError {
  const name = plainName(method);
  const foreign = elsewhere.test(name);
  const suggestion =
    foreign || name === 'rkf45' ? null : (lookUp(aliases, name) ?? nearest(method, methodNames));
  return new InvalidArgumentError(
    `unknown method '${method}'; ${suggestion ? `did you mean '${suggestion}'? Known are` : 'known are'}: ` +
      `${methodNames.join(', ')}.` +
      (foreign ? ' Implicit and multistep methods are not available: all of these are explicit.' : ''),
  );
}

export type { MethodName, MethodTable } from '../src/core/options.js';
export { ButcherTableau, type TableauData } from './tableau.js';
export { ExplicitRungeKutta } from './explicit_rk.js';
export { Leapfrog } from './leapfrog.js';
export { ReversibleHeun } from './reversible_heun.js';
export { orderResidual, rootedTrees, type Tree } from './order_conditions.js';
export type { Stepper, StepState } from '../src/core/stepper.js';
export type { Reading } from '../src/core/reading.js';
export type { DeviceRead, ErrorNorm, Half, SparseRow, StateSpace } from '../src/core/space.js';
export type { System } from '../src/core/system.js';
export {
  adaptiveHeun,
  bosh3,
  dopri5,
  dopri8,
  euler,
  fehlberg2,
  heun2,
  heun3,
  leapfrog,
  midpoint,
  reversibleHeun,
  rk4,
  rk4Classic,
  tsit5,
};
