/**
 * A linear multimode oscillation convolves: what comes out is what went in, folded with the impulse response. Here the
 * stiffnesses of coupled oscillators are trained until that is a wanted kernel. After the controllable convolution of Wright et
 * al., https://doi.org/10.1038/s41586-021-04223-6.
 *
 * `q_i'' + 2 gamma q_i' + k_i q_i = c_i (q_{i+1} - q_i) - c_{i-1} (q_i - q_{i-1}) + g_i f(t)`, output `sum_i q_i`.
 */
import * as tf from '@tensorflow/tfjs-core';
import { eigs } from 'mathjs';
import { odeint, odeintAdjoint } from 'tfjs-diffeq';
import { minimize } from './training.js';

export const oscillators = 10;
const n = oscillators;
/** Damping, the same for all, so that the modes have a closed form. */
export const gamma = 0.2;
/** The kernels are wanted from 0 to here. */
export const span = 8;
const times = Array.from({ length: 41 }, (_, i) => (i * span) / 40);

/** Stiffnesses `k`, couplings `c`, gains `g` of one chain. */
export interface Chain {
  k: number[];
  c: number[];
  g: number[];
}

/** Kernels worth having: a bump, its slope (edges) and its curvature (lines), 2 time units late. */
export const kernels: { name: string; value: (t: number) => number }[] = [
  { name: 'smooth', value: (t) => bump(t) },
  { name: 'edges', value: (t) => -((t - 2) / 0.5) * bump(t) },
  { name: 'lines', value: (t) => (1 - ((t - 2) / 0.5) ** 2) * bump(t) },
];
const bump = (t: number) => Math.exp(-(((t - 2) / 0.5) ** 2) / 2);

const matrix = (rows: number, columns: number, value: (i: number, j: number) => number) =>
  tf.tensor2d(Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (_, j) => value(i, j))));

/** The slope of `y = [q, q']`, for rows of chains or of inputs; `springs` are `[k, c]`, [rows or 1, 2 n - 1]. */
function chainField() {
  const free = matrix(2 * n, 2 * n, (i, j) => (i < n ? 0 : i === j + n ? 1 : i === j ? -2 * gamma : 0));
  /** Lengths of the springs: q_i, and q_{i+1} - q_i. */
  const lengths = matrix(2 * n, 2 * n - 1, (i, j) => {
    if (i >= n) return 0;
    return j < n ? (i === j ? 1 : 0) : i === j - n + 1 ? 1 : i === j - n ? -1 : 0;
  });
  const pulls = tf.tidy(() => {
    const onSpeeds = matrix(2 * n, 2 * n, (i, j) => (j === i + n ? -1 : 0));
    return tf.matMul(tf.transpose(lengths), onSpeeds) as tf.Tensor2D;
  });
  return {
    slope: (y: tf.Tensor, springs: tf.Tensor): tf.Tensor => {
      const stretched = tf.mul(tf.matMul(y as tf.Tensor2D, lengths), springs);
      return tf.add(tf.matMul(y as tf.Tensor2D, free), tf.matMul(stretched as tf.Tensor2D, pulls));
    },
    dispose: () => tf.dispose([free, lengths, pulls]),
  };
}

/** Sum of the deflections: ys [..., 2 n] to [...]. */
const output = (ys: tf.Tensor) => {
  const begin = ys.shape.map(() => 0);
  return tf.sum(tf.slice(ys, begin, [...ys.shape.slice(0, -1), n]), -1);
};

/** Chains, one for each kernel, trained together; dispose it. */
export class KernelTraining {
  /** Logarithms of stiffnesses and couplings [kernels, 2 n - 1], and gains [kernels, n]. */
  readonly variables: tf.Variable[];
  private readonly wanted: tf.Tensor;
  private readonly chain = chainField();

  constructor() {
    this.variables = tf.tidy(() => {
      const row = [
        ...Array.from({ length: n }, (_, i) => 2 * Math.log(0.4 + 0.4 * i)),
        ...Array.from({ length: n - 1 }, () => Math.log(0.1)),
      ];
      const gains = Array.from({ length: n }, () => 0.3);
      return [tf.tensor2d(kernels.map(() => row)), tf.tensor2d(kernels.map(() => gains))].map((x) =>
        tf.variable(x),
      );
    });
    this.wanted = tf.tensor2d(times.map((t) => kernels.map(({ value }) => value(t))));
  }

  /** Impulse responses [times, kernels]: a blow gives each oscillator the speed `g_i`. */
  private responses(steps: number): tf.Tensor {
    const [logSprings, gains] = this.variables as tf.Tensor[];
    const y0 = tf.concat([tf.zerosLike(gains), gains], 1);
    const field = (_t: tf.Scalar, y: tf.Tensor, springs: tf.Tensor) => this.chain.slope(y, springs);
    const stepSize = times[1] / steps;
    const options = { method: 'rk4_classic', adjoint: 'checkpoint', stepSize } as const;
    return output(odeintAdjoint(field, y0, times, { ...options, args: tf.exp(logSprings) }));
  }

  readonly loss = (): tf.Tensor => tf.mean(tf.squaredDifference(this.responses(1), this.wanted));

  train(iterations: number, each?: (i: number, loss: number) => void): void {
    minimize(this.loss, this.variables, { iterations, rate: 0.1, each });
  }

  /** Impulse response of each chain by the solver, at `kernelTimes`; in steps of a quarter of those that it is trained with. */
  solved(): number[][] {
    const rows = tf.tidy(() => this.responses(4).arraySync() as number[][]);
    return kernels.map((_, i) => rows.map((row) => row[i]));
  }

  chains(): Chain[] {
    const [logSprings, gains] = this.variables.map((variable) => variable.arraySync() as number[][]);
    return kernels.map((_, i) => {
      const springs = logSprings[i].map(Math.exp);
      return { k: springs.slice(0, n), c: springs.slice(n), g: gains[i] };
    });
  }

  dispose(): void {
    tf.dispose([...this.variables, this.wanted]);
    this.chain.dispose();
  }
}

export const kernelTimes: readonly number[] = times;

/**
 * Impulse response in closed form: in the eigenvectors `v` of the stiffness matrix, with eigenvalues `s`, each mode is a
 * damped oscillator, `h(t) = exp(-gamma t) sum_v (1 v) (v g) sin(w t) / w`, `w^2 = s - gamma^2`.
 */
export function impulseResponse({ k, c, g }: Chain): (t: number) => number {
  const stiffness = k.map((_, i) =>
    k
      .map(() => 0)
      .map((_, j) =>
        i === j ? k[i] + (c[i] ?? 0) + (c[i - 1] ?? 0) : Math.abs(i - j) === 1 ? -c[Math.min(i, j)] : 0,
      ),
  );
  const { eigenvectors } = eigs(stiffness) as unknown as {
    eigenvectors: { value: number; vector: number[] }[];
  };
  const modes = eigenvectors.map(({ value, vector }) => {
    const dot = (x: number[]) => vector.reduce((sum, v, i) => sum + v * x[i], 0);
    const w = Math.sqrt(value - gamma ** 2);
    return { w, size: (dot(k.map(() => 1)) * dot(g)) / (dot(vector) * w) };
  });
  return (t) => Math.exp(-gamma * t) * modes.reduce((sum, { w, size }) => sum + size * Math.sin(w * t), 0);
}

/**
 * What a chain answers to series of forces, rows of [rows][length], linear between one number and the next, `step` apart,
 * and zero after the last: at times 0, step, ..., `tail` of them after the last number. By odeint, all rows at once.
 */
export function answer({ k, c, g }: Chain, inputs: number[][], step: number, tail: number): number[][] {
  return tf.tidy(() => {
    const chain = chainField();
    const springs = tf.tensor2d([[...k, ...c]]);
    const gains = tf.tensor2d([[...g.map(() => 0), ...g]]);
    const force = tf.transpose(tf.tensor2d(inputs));
    const index = tf.range(0, inputs[0].length);
    const field = (t: tf.Scalar, y: tf.Tensor) => {
      const hats = tf.relu(tf.sub(1, tf.abs(tf.sub(tf.div(t, step), index))));
      const now = tf.reshape(tf.sum(tf.mul(force, tf.reshape(hats, [-1, 1])), 0), [-1, 1]);
      return tf.add(chain.slope(y, springs), tf.mul(now, gains));
    };
    const t = Array.from({ length: inputs[0].length + tail }, (_, i) => i * step);
    const y0 = tf.zeros([inputs.length, 2 * n]);
    const ys = odeint(field, y0, t, { method: 'rk4_classic', stepSize: step / 3 });
    return tf.transpose(output(ys)).arraySync() as number[][];
  });
}

/** Pieces of an interval for Simpson's rule; even. */
const fine = 8;

/** The same by the integral: `y(t) = int h(t - s) f(s) ds`. */
export function convolve(
  h: (t: number) => number,
  inputs: number[][],
  step: number,
  tail: number,
): number[][] {
  const length = inputs[0].length + tail;
  const weights = Array.from({ length: fine + 1 }, (_, i) =>
    i === 0 || i === fine ? 1 : i % 2 === 1 ? 4 : 2,
  );
  // Each interval's force is linear, so only the integrals of h and of s h over it are needed, for every delay.
  const moments = Array.from({ length }, (_, delay) => {
    let [now, next] = [0, 0];
    weights.forEach((weight, i) => {
      const part = i / fine;
      const value = ((weight * step) / (3 * fine)) * h((delay + 1 - part) * step);
      [now, next] = [now + (1 - part) * value, next + part * value];
    });
    return { now, next };
  });
  const value = (x: number[], i: number) => x[i] ?? 0;
  return inputs.map((x) =>
    Array.from({ length }, (_, at) => {
      let sum = 0;
      for (let i = 0; i < at; i++) {
        const { now, next } = moments[at - 1 - i];
        sum += now * value(x, i) + next * value(x, i + 1);
      }
      return sum;
    }),
  );
}

/** Root mean square of the difference, over that of the second. */
export function relativeDifference(a: number[][], b: number[][]): number {
  const square = (f: (i: number, j: number) => number) =>
    b.reduce((sum, row, i) => sum + row.reduce((s, _, j) => s + f(i, j) ** 2, 0), 0);
  return Math.sqrt(square((i, j) => a[i][j] - b[i][j]) / square((i, j) => b[i][j]));
}
