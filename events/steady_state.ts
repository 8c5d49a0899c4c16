import { abs, add, div, max, maximum, mul, stack, sub, type Tensor } from '@tensorflow/tfjs-core';
import { positive } from '../src/core/options.js';
import { InvalidArgumentError } from '../src/core/errors.js';
import { conditions, type EventOption } from '../src/core/events.js';
import { isTensor, flattenTree } from '../src/core/tree.js';

/** When a state counts as steady. */
export interface SteadyStateOptions {
  /** Change per unit of `t`, relative to the state. Default 1e-6. */
  rtol?: number;
  /** Change per unit of `t`, in units of the state. Default 1e-8. */
  atol?: number;
}

/**
 * A terminal event for `solve`, `iterate` and `odeintHybrid`: the state is steady, `|dy/dt| <= atol + rtol |y|` in every
 * component. A solve that starts there ends at its `t0`.
 *
 * @param options The tolerances.
 * @returns The event.
 * @throws {@link InvalidArgumentError} for tolerances that are not positive.
 *
 * @example
 * ```ts
 * const { event } = solve((t, [y]) => [1 - y], [0], [0, 1000], { events: [terminateAtSteadyState({ rtol: 1e-4 })] });
 * console.log(event!.t, event!.y); // about 9.2, [0.9999]
 * ```
 */
export function terminateAtSteadyState(options: SteadyStateOptions = {}): EventOption<never> {
  const stray = Object.keys(options).find((name) => name !== 'rtol' && name !== 'atol');
  if (stray !== undefined) {
    throw new InvalidArgumentError(
      `terminateAtSteadyState has ${stray}, which is not read; known are: rtol, atol.`,
    );
  }
  const rtol = positive(options, 'rtol', 1e-6);
  const atol = positive(options, 'atol', 1e-8);
  const excess = (_t: unknown, y: unknown, _args: unknown, slope: unknown): unknown =>
    y instanceof Float64Array
      ? plainExcess(y, slope as Float64Array, rtol, atol)
      : tensorExcess(y, slope, rtol, atol);
  const event = { eventFn: excess as never, terminal: true, direction: -1 as const, name: 'steady state' };
  conditions.add(excess);
  return event;
}

/* The largest |dy/dt| / (atol + rtol |y|), less 1. */
function plainExcess(y: Float64Array, slope: Float64Array, rtol: number, atol: number): number {
  return y.reduce((most, x, i) => Math.max(most, Math.abs(slope[i]) / (atol + rtol * Math.abs(x))), 0) - 1;
}

function tensorExcess(y: unknown, slope: unknown, rtol: number, atol: number): Tensor {
  const slopes = isTensor(slope) ? [slope] : flattenTree(slope, 'slope').leaves;
  const leaves = isTensor(y) ? [y] : flattenTree(y, 'y').leaves;
  const ratios = leaves.map((leaf, i) => max(div(abs(slopes[i]), add(mul(abs(leaf), rtol), atol))));
  return sub(maximum(max(stack(ratios)), 0), 1);
}
