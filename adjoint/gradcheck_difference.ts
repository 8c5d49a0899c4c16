import { AbortedError } from '../src/core/errors.js';

/** A derivative by differences, and how far it may be off. */
export interface Difference {
  value: number;
  noise: number;
}

/** How a difference is taken. */
export interface DifferenceOptions {
  /** Resolution of the numbers that the function is computed with. */
  epsilon: number;
  /** Standard deviation of the rounding errors of the function. */
  sigma: number;
  /** Relative accuracy that is enough. */
  enough: number;
  /** `1` and `-1` take points on that side only. Default: both. */
  side?: 1 | -1 | undefined;
  /** Halvings of the first step. Default 8. */
  halvings?: number;
}

/* Nodes in units of h, weights over h, and the root of the sum of their squares; both of fourth order. */
const central = { nodes: [-2, -1, 1, 2], weights: [1 / 12, -8 / 12, 8 / 12, -1 / 12], gain: 0.95 };
const forward = {
  nodes: [0, 1, 2, 3, 4],
  weights: [-25 / 12, 48 / 12, -36 / 12, 16 / 12, -3 / 12],
  gain: 5.6,
};

/* Rounding errors are rarely larger than this many standard deviations. */
const deviations = 4;

/**
 * `f'(0)` of a function of relative steps, by differences of fourth order: their truncation error h^4 and their
 * rounding error sigma / h are about the same at h = eps^(1/5). The step begins at three times that and is halved until
 * two differences agree to within the rounding error of the second, or well enough. The noise is their distance,
 * sixteen times the truncation error, with four standard deviations of the rounding error.
 *
 * A step at which `f` throws or is not finite is too long.
 * @throws What `f` threw, when no two steps could be compared.
 */
export function difference(f: (step: number) => number, options: DifferenceOptions): Difference {
  const { epsilon, sigma, enough, side, halvings = 8 } = options;
  const { nodes, weights, gain } = side === undefined ? central : forward;
  const at = remembered(f);
  const first = 2 ** Math.round(Math.log2(3 * epsilon ** (1 / 5)));
  let best: Difference | null = null;
  let before: number | null = null;
  let failure: unknown = null;
  for (let i = 0; i <= halvings; i++) {
    const h = (side ?? 1) * first * 2 ** -i;
    let value: number;
    try {
      value = nodes.reduce((sum, node, n) => sum + weights[n] * at(node * h), 0) / h;
    } catch (error) {
      if (error instanceof AbortedError) throw error;
      failure = error;
      before = null;
      continue;
    }
    // The second term: the step itself is rounded where it is added to what it moves.
    const rounding = (deviations * gain * sigma + epsilon * Math.abs(value)) / Math.abs(h);
    if (before !== null) {
      const change = Math.abs(value - before);
      if (best === null || change + rounding < best.noise) best = { value, noise: change + rounding };
      if (change <= Math.max(rounding, enough * Math.abs(value))) break;
    }
    before = value;
  }
  if (best === null) throw failure;
  return best;
}

/* Each halving needs again half of the values that the step before needed. */
function remembered(f: (step: number) => number): (step: number) => number {
  const known = new Map<number, number>();
  return (step) => {
    const found = known.get(step);
    if (found !== undefined) return found;
    const value = f(step);
    if (!Number.isFinite(value)) throw new RangeError(`the loss is ${value} at a relative step of ${step}.`);
    known.set(step, value);
    return value;
  };
}

/**
 * Standard deviation of the rounding errors of a function, from its values at equal, tiny distances: of a smooth
 * function the k-th differences vanish, of noise they have the variance `sigma^2 (2k)! / (k!)^2`.
 *
 * Source: More & Wild 2011, Estimating Computational Noise, https://doi.org/10.1137/100786125.
 */
export function noiseLevel(values: readonly number[]): number {
  let differences = [...values];
  let variance = 1; // (2k)! / (k!)^2
  let sigma = 0;
  for (let k = 1; k <= 5; k++) {
    differences = differences.slice(1).map((value, i) => value - differences[i]);
    variance *= (2 * (2 * k - 1)) / k;
    const mean = differences.reduce((sum, value) => sum + value * value, 0) / differences.length;
    // First and second differences still see the function itself.
    if (k > 2) sigma = Math.max(sigma, Math.sqrt(mean / variance));
  }
  return sigma;
}

/** Pseudo-random numbers in [0, 1), the same ones for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}
