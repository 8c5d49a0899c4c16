/**
 * Lotka-Volterra with a missing term: growth and death are known, `x' = alpha x + u(x, y)`, `y' = -gamma y + v(x, y)`, and
 * a network learns the interaction `(u, v)` from one short record: a universal differential equation
 * (https://arxiv.org/abs/2001.04385). The truth is `u = -beta x y`, `v = delta x y`.
 */
import * as tf from '@tensorflow/tfjs-core';
import { odeint, odeintAdjoint } from 'tfjs-diffeq';
import { normalVariable, random, type Numbers } from './training.js';

export const truth = { alpha: 1.3, beta: 0.9, gamma: 1.8, delta: 0.8 };
export const y0 = [1, 1];

/** The two missing terms at a state. */
export type Interaction = (y: Numbers) => number[];

export const trueInteraction: Interaction = ([x, y]: Numbers) => [-truth.beta * x * y, truth.delta * x * y];

/** The populations at times `t` under an interaction, on plain numbers. */
export const populations = (interaction: Interaction, start: Numbers, t: number[]): Float64Array[] =>
  odeint(
    (_t: number, y: Float64Array) => {
      const [u, v] = interaction(y);
      return [truth.alpha * y[0] + u, -truth.gamma * y[1] + v];
    },
    Array.from(start),
    t,
  );

export interface Record {
  t: number[];
  y: number[][];
  noise: number;
}

/** One record of both populations with additive noise. */
export function observe(length: number, interval: number, noise: number, seed: number): Record {
  const { normal } = random(seed);
  const t = Array.from({ length }, (_, i) => i * interval);
  const exact = populations(trueInteraction, y0, t);
  return { t, y: exact.map((y) => Array.from(y, (x) => x + noise * normal())), noise };
}

/** A network 2-width-2 in the place of the interaction, and the state in which the record began; dispose it. */
export class UniversalTraining {
  readonly variables: tf.Variable[];
  private readonly observed: tf.Tensor2D;
  private readonly linear = tf.tensor1d([truth.alpha, -truth.gamma]);

  constructor(
    private readonly record: Record,
    { width = 16, seed = 1 } = {},
  ) {
    const { normal } = random(seed);
    this.variables = [
      normalVariable([2, width], 0.3, normal),
      normalVariable([width], 0.5, normal),
      normalVariable([width, 2], 0.1, normal),
      normalVariable([2], 0, normal),
      tf.tidy(() => tf.variable(tf.tensor(record.y[0]))),
    ];
    this.observed = tf.tensor2d(record.y);
  }

  private readonly field = (_t: tf.Scalar, y: tf.Tensor): tf.Tensor => {
    const [w1, b1, w2, b2] = this.variables as tf.Tensor[];
    const hidden = tf.tanh(tf.add(tf.matMul(y as tf.Tensor2D, w1 as tf.Tensor2D), b1));
    return tf.add(tf.mul(y, this.linear), tf.add(tf.matMul(hidden, w2), b2));
  };

  private solve(start: tf.Tensor, t: number[]): tf.Tensor {
    return odeintAdjoint(this.field, start, t, { method: 'rk4_classic', adjoint: 'checkpoint' });
  }

  private misses(computed: tf.Tensor, observed: tf.Tensor): tf.Tensor {
    return tf.div(tf.mean(tf.squaredDifference(computed, observed)), this.record.noise ** 2);
  }

  /** Of pieces of the record, each from its own noisy beginning: rough, cheap, and without traps far from the truth. */
  readonly lossOfPieces = (length = 4): tf.Tensor => {
    const { t, y } = this.record;
    const count = t.length - length;
    const from = (i: number) => tf.slice(this.observed, [i, 0], [count, 2]);
    const computed = this.solve(tf.tensor2d(y.slice(0, count)), t.slice(0, length + 1));
    return this.misses(computed, tf.stack(Array.from({ length: length + 1 }, (_, i) => from(i))));
  };

  /** Of the whole record: the mean of the squares of (computed - observed) / noise. */
  readonly loss = (): tf.Tensor => {
    const start = tf.reshape(this.variables[4] as tf.Tensor, [1, 2]);
    return this.misses(this.solve(start, this.record.t), tf.expandDims(this.observed, 1));
  };

  /** What has been learned, on plain numbers. */
  interaction(): Interaction {
    const [w1, b1, w2, b2] = this.variables.map((variable) => variable.dataSync().slice());
    const width = b1.length;
    return ([x, y]: Numbers) => {
      const terms = [b2[0], b2[1]];
      for (let i = 0; i < width; i++) {
        const hidden = Math.tanh(x * w1[i] + y * w1[width + i] + b1[i]);
        terms[0] += hidden * w2[2 * i];
        terms[1] += hidden * w2[2 * i + 1];
      }
      return terms;
    };
  }

  /** The variables of the network alone. */
  get weights(): tf.Variable[] {
    return this.variables.slice(0, 4);
  }

  get start(): number[] {
    return Array.from(this.variables[4].dataSync());
  }

  dispose(): void {
    tf.dispose([...this.variables, this.observed, this.linear]);
  }
}

/** Root mean square of learned - true, relative to the true one, of each component along some states. */
export function relativeErrors(learned: Interaction, along: readonly Numbers[]): number[] {
  return [0, 1].map((i) => {
    const square = (f: (y: Numbers) => number) => along.reduce((sum, y) => sum + f(y) ** 2, 0);
    return Math.sqrt(
      square((y) => learned(y)[i] - trueInteraction(y)[i]) / square((y) => trueInteraction(y)[i]),
    );
  });
}

export const candidates: { name: string; value: (x: number, y: number) => number }[] = [
  { name: 'x', value: (x) => x },
  { name: 'y', value: (_x, y) => y },
  { name: 'x²', value: (x) => x * x },
  { name: 'xy', value: (x, y) => x * y },
  { name: 'y²', value: (_x, y) => y * y },
];

export interface Regression {
  /** One per candidate; 0 for those that are left out. */
  coefficients: number[];
  /** Root mean square of what is left, relative to the values. */
  residual: number;
}

/** Least squares of values on the candidates named (all of them by default) along some states. */
export function regress(
  values: number[],
  along: readonly Numbers[],
  names = candidates.map(({ name }) => name),
): Regression {
  const chosen = candidates.filter(({ name }) => names.includes(name));
  const columns = chosen.map(({ value }) => along.map((y) => value(y[0], y[1])));
  const solution = leastSquares(columns, values);
  const size = (x: number[]) => Math.sqrt(dot(x, x));
  const rest = values.map((value, i) => value - columns.reduce((sum, c, j) => sum + c[i] * solution[j], 0));
  const coefficients = candidates.map((candidate) => solution[chosen.indexOf(candidate)] ?? 0);
  return { coefficients, residual: size(rest) / size(values) };
}

/** The candidate that alone leaves least. */
export function bestSingle(values: number[], along: readonly Numbers[]): { name: string } & Regression {
  const fits = candidates.map(({ name }) => ({ name, ...regress(values, along, [name]) }));
  return fits.reduce((best, fit) => (fit.residual < best.residual ? fit : best));
}

const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * b[i], 0);

/** Gram and Schmidt, twice for rounding, and back substitution. */
function leastSquares(columns: number[][], values: number[]): number[] {
  const q: number[][] = [];
  const r: number[][] = columns.map(() => []);
  columns.forEach((column, j) => {
    let rest = column;
    for (let pass = 0; pass < 2; pass++) {
      q.forEach((unit, i) => {
        const along = dot(unit, rest);
        r[i][j] = (r[i][j] ?? 0) + along;
        rest = rest.map((x, k) => x - along * unit[k]);
      });
    }
    r[j][j] = Math.sqrt(dot(rest, rest));
    q.push(rest.map((x) => x / r[j][j]));
  });
  const solution = q.map((unit) => dot(unit, values));
  for (let i = solution.length - 1; i >= 0; i--) {
    for (let j = i + 1; j < solution.length; j++) solution[i] -= r[i][j] * solution[j];
    solution[i] /= r[i][i];
  }
  return solution;
}
