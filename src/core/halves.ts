import { InvalidArgumentError } from './errors.js';
import type { Half } from './space.js';
import type { Structure } from './tree.js';

/*
 * The state of a separable system dq/dt = v(t, p), dp/dt = F(t, q): a record { q, p } of trees of tensors, or plain
 * numbers with q in the first half and p in the second.
 */

/** To which half each leaf belongs; `null` for a state that is no record `{ q, p }`. */
export function halvesOf(structure: Structure): readonly Half[] | null {
  if (structure.kind !== 'record' || [...structure.keys].sort().join() !== 'p,q') return null;
  const leaves = (node: Structure): number =>
    node.kind === 'leaf' ? 1 : node.items.reduce((count, item) => count + leaves(item), 0);
  return structure.items.flatMap((item, i) => new Array<Half>(leaves(item)).fill(structure.keys[i] as Half));
}

/** The error of a state without halves. */
export function noHalves(received: string): InvalidArgumentError {
  return new InvalidArgumentError(
    `the state has ${received}; a method for separable systems needs a record { q, p } of coordinates and momenta, with ` +
      'dq/dt a function of p and dp/dt one of q (or plain numbers, q in the first half and p in the second). Other ' +
      "systems need another method, such as 'dopri5' or 'reversible_heun'.",
  );
}

/** The error of quadratures along with halves. */
export function halvesWithQuadratures(): InvalidArgumentError {
  return new InvalidArgumentError(
    'quadrature needs f at one state, and a method for separable systems never has q and p at the same time; use ' +
      "another method, such as 'reversible_heun', or make the integral a part of q.",
  );
}
