import type { GradcheckEntry, GradcheckRow } from '../src/core/gradient_report.js';
import type { Check, InputChecks } from './gradcheck_checks.js';
import type { ModeGradients } from './gradcheck_problem.js';

/** What a mode gave: gradients, or the message of its error. */
export type ModeOutcome = { gradients: ModeGradients } | { failure: string };

/** How large an error may be. */
export interface Tolerances {
  gradRtol: number;
  gradAtol: number;
  /** How much the gradient changes when all steps are halved, where the error may be of that order; else `null`. */
  change: ModeGradients | null;
}

/** Compares a mode with the differences: one row per input. */
export function compare(
  mode: string,
  outcome: ModeOutcome,
  inputs: readonly InputChecks[],
  tolerances: Tolerances,
): GradcheckRow[] {
  return inputs.map(({ input, checks, failure }): GradcheckRow => {
    if ('failure' in outcome) return failedRow(mode, input, outcome.failure);
    if (failure !== undefined) return failedRow(mode, input, failure);
    const entries = compareAll(checks, outcome.gradients, tolerances);
    const worst = entries.reduce((a, b) => (badness(b) > badness(a) ? b : a));
    const passed = entries.every((entry) => entry.passed);
    const blurred = Math.max(...entries.map(({ noise }) => noise));
    return { mode, input, ...worst, entries, passed, ...(blurred > noisy ? { note: noteOn(blurred) } : {}) };
  });
}

/* Above this much noise a row says so. */
const noisy = 0.1;

const noteOn = (noise: number): string =>
  `rounding blurs the differences by up to ${percent(noise)} of the gradient, and smaller errors are not seen`;

/** How far an entry is from passing; a NaN is worse than anything. */
export const badness = ({ error, allowed }: GradcheckEntry): number =>
  Number.isNaN(error) ? Infinity : allowed > 0 ? error / allowed : error > 0 ? Infinity : 0;

/* A gradient of the continuous problem may differ by this many times what halving all steps changes ... */
const changes = 10;
/* ... and by this part of itself: more is not a gradient. */
const cap = 0.05;

function compareAll(
  checks: readonly Check[],
  gradients: ModeGradients,
  { gradRtol, gradAtol, change }: Tolerances,
): GradcheckEntry[] {
  const largest = Math.max(...checks.map(({ found }) => Math.abs(found.value)));
  const moves = checks.map((check) => (change ? Math.abs(check.along(change)) : 0));
  // Where one entry happens not to change its neighbours still do.
  const usual = 0.3 * Math.max(...moves);
  return checks.map(({ entry, along, found }, i): GradcheckEntry => {
    const gradient = along(gradients);
    const scale = Math.max(Math.abs(found.value), 0.1 * largest) || found.noise || 1;
    const error = Math.abs(gradient - found.value) / scale;
    const noise = found.noise / scale;
    const discretisation = Math.min(cap, (changes * Math.max(moves[i], usual)) / scale);
    const allowed = Math.max(gradRtol, discretisation) + gradAtol / scale + noise;
    return { entry, gradient, difference: found.value, error, noise, allowed, passed: error <= allowed };
  });
}

const failedRow = (mode: string, input: string, failure: string): GradcheckRow => ({
  ...{ mode, input, entry: input, gradient: NaN, difference: NaN, error: NaN, noise: NaN, allowed: NaN },
  ...{ passed: false, entries: [], failure },
});

/** For messages. */
export const percent = (x: number): string => `${(100 * x).toPrecision(2)} %`;
