import { AbortedError } from '../src/core/errors.js';
import { difference, noiseLevel, randomNumbers, type Difference } from './gradcheck_difference.js';
import type { GradcheckSettings } from './gradcheck_options.js';
import type { CheckedProblem, Input, LossAtHand, ModeGradients } from './gradcheck_problem.js';

/** One derivative to be compared. */
export interface Check {
  entry: string;
  /** What the gradient of a mode says about it. */
  along: (gradients: ModeGradients) => number;
  found: Difference;
}

/** All derivatives towards one input. */
export interface InputChecks {
  input: string;
  /** What was moved: `4 entries`, `20 directions`. */
  moved: string;
  checks: Check[];
  /** Why there are none. */
  failure?: string;
}

/** Takes differences of the loss in every input, and in the output times. */
export function takeDifferences(
  problem: CheckedProblem,
  loss: LossAtHand,
  settings: GradcheckSettings,
  enough: number,
): InputChecks[] {
  const random = randomNumbers(settings.seed + 1);
  const sigma = lossNoise(problem, loss, random);
  const options = { epsilon: problem.epsilon, sigma, enough };
  const found = problem.inputs.map((input, n) =>
    guarded(input.name, input.failure, () => {
      const directions = directionsOf(input, settings.samples, random);
      const checks = directions.map(({ entry, scale, direction }): Check => {
        const at = (step: number): number => {
          const values = problem.inputs.map((other) => other.values);
          values[n] = input.values.map((x, i) => x + step * scale * direction[i]);
          return loss.valueOf(problem.solve(values, problem.grid));
        };
        const along = ({ inputs }: ModeGradients): number =>
          inputs[n].reduce((sum, g, i) => (direction[i] === 0 ? sum : sum + g * direction[i]), 0);
        return { entry, along, found: perUnit(difference(at, options), scale) };
      });
      const whole = input.values.length <= settings.samples;
      return { moved: `${checks.length} ${whole ? plural(checks.length) : 'directions'}`, checks };
    }),
  );
  const { times, jumps, timesAreDistinct } = problem;
  const moving = times.length > 1 && timesAreDistinct && times.some((t) => !jumps.includes(t));
  return moving ? [...found, timeChecks(problem, loss, settings, options)] : found;
}

const plural = (count: number) => (count === 1 ? 'entry' : 'entries');

const perUnit = ({ value, noise }: Difference, scale: number): Difference => ({
  value: value / scale,
  noise: noise / scale,
});

function guarded(
  input: string,
  failure: string | undefined,
  take: () => { moved: string; checks: Check[] },
): InputChecks {
  if (failure !== undefined) return { input, moved: '', checks: [], failure };
  try {
    return { input, ...take() };
  } catch (error) {
    if (error instanceof AbortedError) throw error;
    return { input, moved: '', checks: [], failure: `no difference: ${(error as Error).message}` };
  }
}

interface Direction {
  entry: string;
  scale: number;
  direction: Float64Array;
}

/* The natural size of an entry: its own, if it is not much smaller than its neighbours. */
function scalesOf(values: Float64Array): Float64Array {
  const rms = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
  return values.map((x) => Math.max(Math.abs(x), 0.1 * rms) || 1);
}

/* The entries of a small tensor; random directions, with every entry moved by plus or minus its scale, of a large one. */
function directionsOf(input: Input, samples: number, random: () => number): Direction[] {
  const { values, name } = input;
  const scales = scalesOf(values);
  if (values.length <= samples) {
    return Array.from(values, (_, i) => ({
      entry: input.entry(i),
      scale: scales[i],
      direction: new Float64Array(values.length).fill(1, i, i + 1),
    }));
  }
  return Array.from({ length: samples }, (_, n) => ({
    entry: `${name}, direction ${n + 1}`,
    scale: 1,
    direction: scales.map((scale) => (random() < 0.5 ? -scale : scale)),
  }));
}

/* Standard deviation of the rounding errors of the loss. */
function lossNoise(
  problem: CheckedProblem,
  { valueOf, magnitude }: LossAtHand,
  random: () => number,
): number {
  const { inputs, leaves, epsilon, grid } = problem;
  const directions = inputs
    .slice(0, leaves)
    .map(({ values }) => scalesOf(values).map((scale) => (random() < 0.5 ? -scale : scale)));
  const least = 0.5 * epsilon * magnitude;
  try {
    const values = Array.from({ length: 9 }, (_, k) => {
      const moved = inputs.map(({ values: x }, n) =>
        n < leaves ? x.map((value, i) => value + 32 * epsilon * k * directions[n][i]) : x,
      );
      return valueOf(problem.solve(moved, grid));
    });
    return Math.max(least, noiseLevel(values));
  } catch (error) {
    if (error instanceof AbortedError) throw error;
    return least;
  }
}

/*
 * Output times. An output time moves its state along the flow, and t[0] moves the start against it, as the gradients of
 * times are defined; the steps stay where they are. The ends are moved inward only, where func is known to be defined.
 */
function timeChecks(
  problem: CheckedProblem,
  { outputs, valueOf }: LossAtHand,
  { samples }: GradcheckSettings,
  options: { epsilon: number; sigma: number; enough: number },
): InputChecks {
  const { times, jumps } = problem;
  const last = times.length - 1;
  const direction = Math.sign(times[last] - times[0]);
  const row = (leaf: Float64Array, i: number) =>
    leaf.slice((i * leaf.length) / times.length, ((i + 1) * leaf.length) / times.length);
  const moveOutput = (i: number, delta: number): number => {
    const start = outputs.map((leaf) => row(leaf, i));
    const state = problem.flow(start, times[i], times[i] + delta);
    const moved = outputs.map((leaf, n) => {
      const copy = leaf.slice();
      copy.set(state[n], (i * leaf.length) / times.length);
      return copy;
    });
    return valueOf(moved);
  };
  const moveStart = (delta: number): number => {
    const { inputs, leaves } = problem;
    const start = inputs.slice(0, leaves).map((input) => input.values);
    const state = problem.flow(start, times[0] + delta, times[0]);
    const values = inputs.map((input, n) => (n < leaves ? state[n] : input.values));
    const moved = problem.solve(values, problem.grid);
    // The first output is y0, whenever that is.
    moved.forEach((leaf, n) => leaf.set(start[n]));
    return valueOf(moved);
  };
  // At a jump of func the derivative has two values.
  const smooth = Array.from(times.keys()).filter((i) => !jumps.includes(times[i]));
  const chosen = spread(smooth, samples);
  return guarded('t', undefined, () => {
    const checks = chosen.map((i): Check => {
      const scale = timeScale(problem, i);
      const side = i === 0 ? direction : i === last ? -direction : undefined;
      const at = (step: number) => (i === 0 ? moveStart(step * scale) : moveOutput(i, step * scale));
      return {
        entry: `t[${i}]`,
        along: ({ t }) => t[i],
        found: perUnit(difference(at, { ...options, side: side as 1 | -1 | undefined, halvings: 24 }), scale),
      };
    });
    const all = checks.length === times.length;
    return { moved: `${checks.length} ${plural(checks.length)}${all ? '' : ` of ${times.length}`}`, checks };
  });
}

/* At most `count` of a list, its ends among them. */
function spread(list: readonly number[], count: number): number[] {
  if (list.length <= count) return [...list];
  const at = (n: number) => list[Math.round((n * (list.length - 1)) / Math.max(1, count - 1))];
  return [...new Set(Array.from({ length: count }, (_, n) => at(n)))];
}

/* How far time can move: the longest step, but not beyond the neighbours nor over a jump. */
function timeScale({ times, grid, jumps }: CheckedProblem, i: number): number {
  const steps = Array.from(grid.slice(1), (end, n) => Math.abs(end - grid[n]));
  const neighbours = [times[i - 1], times[i + 1]].filter((other) => other !== undefined);
  const distances = [...neighbours, ...jumps].map((other) => Math.abs(other - times[i]));
  return Math.min(Math.max(...steps), ...distances.filter((distance) => distance > 0));
}

/**
 * How much the gradient of the steps changes when all of them are halved: a gradient of the continuous problem is that far
 * from it, or so. `null` where it cannot be taken.
 */
export function changeOfGradients(problem: CheckedProblem, loss: LossAtHand): ModeGradients | null {
  const { grid, modes } = problem;
  const halved = Array.from(grid).flatMap((t, n) => (n === 0 ? [t] : [(grid[n - 1] + t) / 2, t]));
  const mode = modes.includes('tape') && !modes.includes('checkpoint') ? 'tape' : 'checkpoint';
  const on = (steps: Iterable<number>) => problem.gradients(mode, loss, Float64Array.from(new Set(steps)));
  try {
    const [coarse, fine] = [on(grid), on(halved)];
    const change = (a: Float64Array, b: Float64Array) => a.map((x, i) => x - b[i]);
    return { inputs: coarse.inputs.map((g, n) => change(g, fine.inputs[n])), t: change(coarse.t, fine.t) };
  } catch (error) {
    if (error instanceof AbortedError) throw error;
    return null;
  }
}
