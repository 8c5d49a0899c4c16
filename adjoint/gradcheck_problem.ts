import type { AnyOptions } from '../src/core/build_problem.js';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import type { GradcheckSettings } from './gradcheck_options.js';
import { randomNumbers } from './gradcheck_difference.js';

/** Something a loss depends on: a leaf of `y0`, a variable, a part of `args`. */
export interface Input {
  name: string;
  values: Float64Array;
  /** Name of its entry `i`. */
  entry(i: number): string;
  /** Why it cannot be moved. */
  failure?: string;
}

/** What is checked, for tensors and plain numbers alike. All states are leaves as flat arrays. */
export interface CheckedProblem {
  /** Resolution of the numbers it is solved with. */
  readonly epsilon: number;
  readonly method: string;
  readonly times: Float64Array;
  /** The first `leaves` of them are those of `y0`. */
  readonly inputs: readonly Input[];
  readonly leaves: number;
  /** Start of every accepted step, and the end of the last one. */
  readonly grid: Float64Array;
  /** Times at which func is discontinuous. */
  readonly jumps: readonly number[];
  /** Whether `t` can be checked. */
  readonly timesAreDistinct: boolean;
  /** Modes that the method has. */
  readonly modes: readonly string[];
  /** Modes whose gradient is that of the continuous problem, up to the accuracy of the solve. */
  readonly continuous: readonly string[];
  /** Relative tolerance of the solve and of its adjoint; 0 where the steps are fixed. */
  readonly rtol: number;
  /** Outputs, leaves `[T, ...shape]`, on the given steps. Inputs whose array is not their own are moved. */
  solve(values: readonly Float64Array[], grid: Float64Array): Float64Array[];
  /** The state at `to` of the solution through `state` at `from`. */
  flow(state: readonly Float64Array[], from: number, to: number): Float64Array[];
  /** The loss that the caller gave; `null` for the default one. */
  readonly loss: ((outputs: readonly Float64Array[]) => number) | null;
  /** Gradients of the loss by a mode: to every input, and to `t`. On the steps of the solve, or on those given. */
  gradients(mode: string, loss: LossAtHand, grid?: Float64Array): ModeGradients;
}

/** Gradients of one mode. */
export interface ModeGradients {
  inputs: Float64Array[];
  t: Float64Array;
}

/** A problem with its loss, and what the solve at hand gives. */
export interface LossAtHand {
  outputs: readonly Float64Array[];
  weights: readonly Float64Array[];
  valueOf: (outputs: readonly Float64Array[]) => number;
  /** Size of the terms of the loss, in which its rounding errors are measured. */
  magnitude: number;
}

/**
 * The loss of a problem. The default is a fixed pseudo-random linear functional of all outputs,
 * `sum_i <w_i, y(t_i)>` with weights between 1/2 and 1 of either sign over the size of their component: every output
 * counts, whatever its unit.
 */
export function lossAtHand(problem: CheckedProblem, { seed }: GradcheckSettings): LossAtHand {
  const { times, inputs, leaves, epsilon } = problem;
  const outputs = problem.solve(
    inputs.map(({ values }) => values),
    problem.grid,
  );
  const weights = defaultWeights(outputs, times.length, epsilon, seed);
  const terms = outputs.slice(0, leaves).map((y, leaf) => y.map((value, i) => value * weights[leaf][i]));
  const given = problem.loss;
  const linear = (ys: readonly Float64Array[]): number => {
    let sum = 0;
    ys.forEach((y, leaf) => y.forEach((value, i) => (sum += value * weights[leaf][i])));
    return sum;
  };
  return {
    outputs,
    weights,
    valueOf: given ?? linear,
    magnitude: given
      ? Math.abs(given(outputs))
      : Math.hypot(...terms.map((term) => Math.sqrt(term.reduce((sum, x) => sum + x * x, 0)))),
  };
}

function defaultWeights(
  outputs: readonly Float64Array[],
  count: number,
  epsilon: number,
  seed: number,
): Float64Array[] {
  const random = randomNumbers(seed);
  // The largest absolute value of every component over all times.
  const sizes = outputs.map((y) => {
    const size = new Float64Array(y.length / count);
    y.forEach((value, i) => {
      const k = i % size.length;
      size[k] = Math.max(size[k], Math.abs(value));
    });
    return size;
  });
  const largest = sizes.reduce((all, size) => size.reduce((a, b) => Math.max(a, b), all), 0) || 1;
  // What is much smaller than the rest may be nothing but its rounding errors.
  const least = largest * Math.cbrt(epsilon);
  return outputs.map((y, leaf) =>
    y.map((_, i) => {
      const size = Math.max(sizes[leaf][i % sizes[leaf].length], least);
      const sign = random() < 0.5 ? -1 : 1;
      // In float32, since tensors multiply with it in float32.
      return Math.fround((sign * (0.5 + 0.5 * random()) * largest) / size);
    }),
  );
}

/** A value of the caller's loss as a number. */
export function checkLossValue(value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new InvalidArgumentError(`loss returned ${describe(value)}; expected a finite number.`);
}

/** The options of a solve on given steps: what chooses or watches steps is left out. */
export function frozenOptions(options: AnyOptions, grid: Float64Array): AnyOptions {
  const { method, rtol, atol, args, signal, jumpT, perturb, interp, inPlace } = options;
  const kept: AnyOptions = { method, rtol, atol, args, signal, jumpT, perturb, interp, inPlace };
  const given = Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined));
  // A tensor t may hold the ends in float32.
  const gridConstructor = (_func: unknown, _y0: unknown, times: Float64Array): number[] =>
    grid.length > 1 ? [times[0], ...grid.slice(1, -1), times[times.length - 1]] : [times[0]];
  return { ...given, gridConstructor, maxNumSteps: Math.max(1, grid.length) };
}

/** Options without the callbacks, which were called once already. */
export function quietOptions<T extends AnyOptions>(options: T): T {
  const { onStep, onAccept, onReject, onProgress, ...quiet } = options;
  void [onStep, onAccept, onReject, onProgress];
  return quiet as T;
}

/** Options that also write down the steps: the start of each, and the end of the last one. */
export function recordingOptions(
  options: AnyOptions,
  times: Float64Array,
): { options: AnyOptions; grid: () => Float64Array } {
  const starts: number[] = [];
  const onAccept: AnyOptions['onAccept'] = (report) => {
    starts.push(report.t);
    options.onAccept?.(report);
  };
  return {
    options: { ...options, onAccept },
    grid: () => Float64Array.of(...starts, times[times.length - 1]),
  };
}
