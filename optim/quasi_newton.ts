import type { Tensor } from '@tensorflow/tfjs-core';
import { InvalidArgumentError } from '../src/core/errors.js';
import { strongWolfe, type LinePoint } from './line_search.js';
import { objectiveOf, type Objective, type PlainObjective } from './objective.js';
import { checkOptions } from './options.js';
import { checkNumber, type Updated } from './params.js';

/** Options of {@link bfgs} and {@link lbfgs}. */
export interface MinimizeOptions {
  /** Ends where no entry of the gradient is larger: 1e-5; on tensors, whose gradients are float32, 1e-4. */
  gtol?: number;
  /** Ends where a step lowers the value by less, relative to `max(|f|, 1)`: 0; on tensors 1e-7. */
  ftol?: number;
  /** 200 for each unknown by default. */
  maxIterations?: number;
}

/** Options of {@link lbfgs}. */
export interface LbfgsOptions extends MinimizeOptions {
  /** Pairs of steps and changes of the gradient that are kept, 10 by default. */
  memory?: number;
}

/** Where a minimisation ended. */
export interface MinimizeResult<X> {
  /** Numbers, or a tree of new tensors like `x0`, which belong to the caller. */
  x: X;
  value: number;
  /** At `x`, all leaves one after the other. */
  gradient: Float64Array;
  iterations: number;
  /** Of the function with its gradient. */
  evaluations: number;
  /** Whether `gtol` or `ftol` was reached. */
  converged: boolean;
  message: string;
}

const limits = ['gtol', 'ftol', 'maxIterations'];

/* A model of the inverse Hessian. */
interface Model {
  /** `-H g` */
  direction(gradient: Float64Array): Float64Array;
  update(step: Float64Array, change: Float64Array): void;
  reset(): void;
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i], 0);
const along = (x: Float64Array, t: number, d: Float64Array): Float64Array =>
  x.map((value, i) => value + t * d[i]);
const largest = (g: Float64Array): number => g.reduce((max, x) => Math.max(max, Math.abs(x)), 0);

/* The full inverse, `H <- (I - r s y^T) H (I - r y s^T) + r s s^T` with `r = 1 / y^T s`. */
function dense(n: number): Model {
  let inverse: Float64Array[] | null = null;
  const times = (v: Float64Array): Float64Array =>
    inverse ? Float64Array.from(inverse, (row) => dot(row, v)) : v.slice();
  return {
    direction: (gradient) => times(gradient).map((x) => -x),
    update: (s, y) => {
      const ys = dot(y, s);
      // Without a matrix yet, one of the size that the first step has measured.
      inverse ??= s.reduce<Float64Array[]>((rows, _, i) => {
        rows.push(new Float64Array(n).fill(ys / dot(y, y), i, i + 1));
        return rows;
      }, []);
      const hy = times(y);
      const scale = (1 + dot(y, hy) / ys) / ys;
      inverse.forEach((row, i) => {
        for (let j = 0; j < n; j++) row[j] += scale * s[i] * s[j] - (hy[i] * s[j] + s[i] * hy[j]) / ys;
      });
    },
    reset: () => (inverse = null),
  };
}

/* The two loops over the last pairs; Nocedal and Wright, algorithm 7.4. */
function limited(memory: number): Model {
  let pairs: { s: Float64Array; y: Float64Array; rho: number }[] = [];
  return {
    direction: (gradient) => {
      const q = gradient.map((x) => -x);
      const alphas = new Array<number>(pairs.length);
      for (let k = pairs.length - 1; k >= 0; k--) {
        const { s, y, rho } = pairs[k];
        alphas[k] = rho * dot(s, q);
        q.forEach((x, i) => (q[i] = x - alphas[k] * y[i]));
      }
      const last = pairs.at(-1);
      if (last) {
        const size = 1 / (last.rho * dot(last.y, last.y));
        q.forEach((x, i) => (q[i] = x * size));
      }
      pairs.forEach(({ s, y, rho }, k) => {
        const beta = rho * dot(y, q);
        q.forEach((x, i) => (q[i] = x + (alphas[k] - beta) * s[i]));
      });
      return q;
    },
    update: (s, y) => {
      pairs.push({ s, y, rho: 1 / dot(y, s) });
      if (pairs.length > memory) pairs.shift();
    },
    reset: () => (pairs = []),
  };
}

interface Point extends LinePoint {
  x: Float64Array;
  gradient: Float64Array;
}

function minimize(objective: Objective, model: Model, options: MinimizeOptions): MinimizeResult<unknown> {
  const { gtol = objective.single ? 1e-4 : 1e-5, ftol = objective.single ? 1e-7 : 0 } = options;
  const { maxIterations = 200 * objective.start.length } = options;
  for (const [name, value] of Object.entries({ gtol, ftol, maxIterations })) checkNumber(value, name, 0);
  let evaluations = 0;
  const evaluate = (x: Float64Array): { value: number; gradient: Float64Array } => {
    evaluations++;
    return objective.evaluate(x);
  };
  let { start: x } = objective;
  let { value, gradient } = evaluate(x);
  if (!Number.isFinite(value) || !gradient.every(Number.isFinite)) {
    throw new InvalidArgumentError('f or its gradient is not finite at x0; start elsewhere.');
  }
  let iterations = 0;
  let fresh = true;
  const end = (converged: boolean, message: string): MinimizeResult<unknown> => ({
    ...{ x: objective.result(x), value, gradient, iterations, evaluations, converged, message },
  });
  for (;;) {
    if (largest(gradient) <= gtol) return end(true, `no entry of the gradient is above ${gtol}`);
    if (iterations >= maxIterations) return end(false, `${maxIterations} iterations did not suffice`);
    const d = model.direction(gradient);
    const slope = dot(d, gradient);
    const point = slope < 0 ? search(d, slope) : null;
    if (!point) {
      if (fresh)
        return end(false, 'no step lowers the function: the numbers are not precise enough for gtol');
      model.reset();
      fresh = true;
      continue;
    }
    iterations++;
    const [step, change] = [along(point.x, -1, x), along(point.gradient, -1, gradient)];
    const gain = value - point.value;
    ({ x, value, gradient } = point);
    if (dot(step, change) > 0) {
      model.update(step, change);
      fresh = false;
    }
    if (ftol > 0 && gain <= ftol * Math.max(1, Math.abs(value)))
      return end(true, `a step gained less than ${ftol}`);
  }

  function search(d: Float64Array, slope: number): Point | null {
    const first = fresh ? Math.min(1, 1 / Math.sqrt(dot(gradient, gradient))) : 1;
    const point = (t: number): Point => {
      const next = along(x, t, d);
      const found = evaluate(next);
      return { t, x: next, ...found, slope: dot(found.gradient, d) };
    };
    return strongWolfe(point, { t: 0, value, slope }, first);
  }
}

/**
 * Minimises a smooth function by the method of Broyden, Fletcher, Goldfarb and Shanno, with a line search for the strong
 * Wolfe conditions. The vectors are float64 on the host; n unknowns take n^2 numbers. For small fits.
 *
 * Source: Nocedal and Wright, Numerical Optimization (2006), algorithm 6.1.
 *
 * @param f Of plain numbers `(x) => ({ value, gradient })`; of tensors `(params) => scalar`, differentiated by tfjs.
 * @param x0 Numbers, or a float32 tensor or a tree of them.
 * @returns The best point; `converged` says whether it is a minimum to the tolerances.
 * @throws `InvalidArgumentError` for empty input, and where `f` is not finite at `x0`.
 *
 * @example
 * ```ts
 * const { x } = bfgs(([a, b]) => ({ value: a * a + b * b, gradient: [2 * a, 2 * b] }), [1, 2]);
 * ```
 */
export function bfgs(
  f: PlainObjective,
  x0: readonly number[] | Float64Array,
  options?: MinimizeOptions,
): MinimizeResult<Float64Array>;
export function bfgs<P>(
  f: (params: Updated<P>) => Tensor,
  x0: P,
  options?: MinimizeOptions,
): MinimizeResult<Updated<P>>;
export function bfgs(f: unknown, x0: unknown, options: MinimizeOptions = {}): unknown {
  checkOptions(options, 'bfgs', limits);
  const objective = objectiveOf(f, x0);
  return minimize(objective, dense(objective.start.length), options);
}

/**
 * {@link bfgs} with limited memory: only the last `memory` pairs are kept, so that thousands of unknowns are no burden.
 *
 * Source: Liu and Nocedal, https://doi.org/10.1007/BF01589116.
 * @throws as {@link bfgs}.
 */
export function lbfgs(
  f: PlainObjective,
  x0: readonly number[] | Float64Array,
  options?: LbfgsOptions,
): MinimizeResult<Float64Array>;
export function lbfgs<P>(
  f: (params: Updated<P>) => Tensor,
  x0: P,
  options?: LbfgsOptions,
): MinimizeResult<Updated<P>>;
export function lbfgs(f: unknown, x0: unknown, options: LbfgsOptions = {}): unknown {
  checkOptions(options, 'lbfgs', [...limits, 'memory']);
  const { memory = 10, ...ends } = options;
  checkNumber(memory, 'memory', 1);
  return minimize(objectiveOf(f, x0), limited(memory), ends);
}
