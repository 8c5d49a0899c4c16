import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { checkOptions } from './options.js';
import { checkNumber } from './params.js';

/** A learning rate by step, counted from 0. */
export type Schedule = (step: number) => number;

/** The same rate always. */
export function constantSchedule(rate: number): Schedule {
  checkNumber(rate, 'rate', 0);
  return () => rate;
}

/**
 * `rate * decay ^ (step / steps)`; with `staircase` the exponent is rounded down.
 */
export function exponentialDecay(
  rate: number,
  options: { decay: number; steps: number; staircase?: boolean },
): Schedule {
  checkOptions(options, 'exponentialDecay', ['decay', 'steps', 'staircase']);
  const { decay, steps, staircase = false } = options;
  checkNumber(rate, 'rate', 0);
  checkNumber(decay, 'decay', 0);
  checkNumber(steps, 'steps', 1);
  return (step) => {
    const exponent = step / steps;
    return rate * decay ** (staircase ? Math.floor(exponent) : exponent);
  };
}

/**
 * Half a cosine from `rate` to `rate * floor` in `steps` steps, and that from then on:
 * `rate (floor + (1 - floor) (1 + cos(pi step / steps)) / 2)`. Source: SGDR, https://doi.org/10.48550/arXiv.1608.03983.
 */
export function cosineDecay(rate: number, options: { steps: number; floor?: number }): Schedule {
  checkOptions(options, 'cosineDecay', ['steps', 'floor']);
  const { steps, floor = 0 } = options;
  checkNumber(rate, 'rate', 0);
  checkNumber(steps, 'steps', 1);
  checkNumber(floor, 'floor', 0);
  return (step) => {
    const wave = (1 + Math.cos(Math.PI * Math.min(1, step / steps))) / 2;
    return rate * (floor + (1 - floor) * wave);
  };
}

/** A straight line from 0 to the schedule's first rate in `steps` steps, then the schedule from its beginning. */
export function warmup(steps: number, then: number | Schedule): Schedule {
  checkNumber(steps, 'steps', 1);
  const schedule = typeof then === 'function' ? then : constantSchedule(then);
  return (step) => (step < steps ? (schedule(0) * step) / steps : schedule(step - steps));
}

/**
 * A constant between boundaries: `rates[i]` up to and without step `boundaries[i]`, the last rate afterwards.
 *
 * @example
 * ```ts
 * const schedule = piecewiseConstant([100, 200], [1e-2, 1e-3, 1e-4]);
 * ```
 */
export function piecewiseConstant(boundaries: readonly number[], rates: readonly number[]): Schedule {
  const rising = boundaries.every((step, i) => step >= 0 && (i === 0 || step > boundaries[i - 1]));
  if (!rising || rates.length !== boundaries.length + 1) {
    throw new InvalidArgumentError(
      `piecewiseConstant received boundaries ${describe(boundaries)} and rates ${describe(rates)}; expected rising ` +
        'boundaries and one rate more than boundaries.',
    );
  }
  rates.forEach((rate) => checkNumber(rate, 'rate', 0));
  return (step) => {
    const next = boundaries.findIndex((boundary) => step < boundary);
    return rates[next < 0 ? rates.length - 1 : next];
  };
}
