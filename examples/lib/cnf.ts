/**
 * A continuous normalizing flow in the plane: `z' = f(z, t)` carries a normal distribution at `t = 0` to two circles at
 * `t = 1`, and `log p(x) = log p0(z(0)) + int_1^0 tr(df/dz) dt` (https://arxiv.org/abs/1806.07366, section 4). The trace is
 * taken exactly, or by Hutchinson's estimator `e . (df/dz) e` with one probe `e` of random signs for a whole solve: FFJORD
 * (https://arxiv.org/abs/1810.01367). Like FFJORD's, the flow is a stack of blocks that follow each other in time.
 */
import * as tf from '@tensorflow/tfjs-core';
import { odeintAdjoint } from 'tfjs-diffeq';
import { normalVariable, random } from './training.js';

/** How a solve steps. */
export type Solver =
  { method: 'rk4_classic'; stepSize: number } | { method: 'dopri5'; rtol: number; atol: number };

/** Two or three steps in each of four blocks, in turn: with one size alone, the flow would learn its errors. */
export const coarse = (i: number): Solver => ({
  method: 'rk4_classic',
  stepSize: 1 / (i % 2 === 0 ? 8 : 12),
});
/** What the flow is judged by. */
export const fine: Solver = { method: 'dopri5', rtol: 1e-5, atol: 1e-5 };

/** What a solve of one block reads, all in `args`: `products` are `sum_i W_ih U_hi`, taken once for all steps. */
interface Weights {
  w: tf.Tensor;
  b: tf.Tensor;
  u: tf.Tensor;
  products: tf.Tensor;
}

const matMul = (a: tf.Tensor, b: tf.Tensor) => tf.matMul(a as tf.Tensor2D, b as tf.Tensor2D);
const hidden = (z: tf.Tensor, { w, b }: Weights) => tf.tanh(tf.add(matMul(z, w), b));
const slopes = (z: tf.Tensor, weights: Weights) => tf.sub(1, tf.square(hidden(z, weights)));

/** `f(z) = tanh(z W + b) U`, for z `[n, 2]`, W `[2, width]` and U `[width, 2]`. */
export const field = (_t: tf.Scalar, z: tf.Tensor, weights: Weights): tf.Tensor =>
  matMul(hidden(z, weights), weights.u);

/** `tr(df/dz) = sum_h (1 - tanh^2)_h sum_i W_ih U_hi`, `[n]`: as cheap as the field. */
export const trace = (_t: tf.Scalar, z: tf.Tensor, weights: Weights): tf.Tensor =>
  tf.squeeze(matMul(slopes(z, weights), weights.products), [1]);

/** Hutchinson's estimate of the trace, `e . (df/dz) e` for probes e `[n, 2]`: one product with the Jacobian. */
export const estimate =
  (probe: tf.Tensor) =>
  (_t: tf.Scalar, z: tf.Tensor, weights: Weights): tf.Tensor => {
    const product = matMul(tf.mul(slopes(z, weights), matMul(probe, weights.w)), weights.u);
    return tf.sum(tf.mul(probe, product), 1);
  };

/** A stack of blocks over `0 <= t <= 1`; dispose it. */
export class Flow {
  private readonly blocks: tf.Variable[][];

  constructor({ width = 32 } = {}) {
    const { normal, uniform } = random(1);
    this.blocks = Array.from({ length: 4 }, () => {
      // Units look in all directions, and are steep where the data are.
      const angles = Array.from({ length: width }, () => 2 * Math.PI * uniform());
      const rows = [Math.cos, Math.sin].map((f) => angles.map((angle) => 4 * f(angle)));
      const offsets = angles.map(() => 12 * (uniform() - 0.5));
      const variable = (values: number[] | number[][]) => tf.tidy(() => tf.variable(tf.tensor(values)));
      return [variable(rows), variable(offsets), normalVariable([width, 2], 1 / Math.sqrt(width), normal)];
    });
  }

  get variables(): tf.Variable[] {
    return this.blocks.flat();
  }

  weights(block: number): Weights {
    const [w, b, u] = this.blocks[block] as tf.Tensor[];
    return { w, b, u, products: tf.sum(tf.mul(tf.transpose(w), u), 1, true) };
  }

  /** Where the flow carries `z` `[n, 2]` from one time to another, and the integral of the trace on the way, `[n]`. */
  transport(
    z: tf.Tensor,
    from: number,
    to: number,
    solver: Solver,
    probe?: tf.Tensor,
  ): { z: tf.Tensor; integral: tf.Tensor } {
    const count = this.blocks.length;
    const inside = Array.from({ length: count - 1 }, (_, i) => (i + 1) / count);
    const cuts = inside.filter((t) => t > Math.min(from, to) && t < Math.max(from, to));
    const times = [from, ...(from < to ? cuts : cuts.reverse()), to];
    let integral: tf.Tensor = tf.zeros([z.shape[0]]);
    for (let i = 1; i < times.length; i++) {
      const args = this.weights(Math.floor(((times[i - 1] + times[i]) / 2) * count));
      const quadrature = probe ? estimate(probe) : trace;
      const options = { ...solver, args, quadrature, adjoint: 'checkpoint' } as const;
      const [zs, q] = odeintAdjoint(field, z, [times[i - 1], times[i]], options);
      [z, integral] = [tf.gather(zs, 1), tf.add(integral, tf.gather(q, 1))];
    }
    return { z, integral };
  }

  /** `log p(x)` of what the flow has made of the normal distribution until time `t`, for x `[n, 2]`; differentiable. */
  logDensity(
    x: tf.Tensor,
    { solver = fine, t = 1, probe }: { solver?: Solver; t?: number; probe?: tf.Tensor } = {},
  ) {
    const { z, integral } = t > 0 ? this.transport(x, t, 0, solver, probe) : { z: x, integral: 0 };
    return tf.add(tf.sub(integral, Math.log(2 * Math.PI)), tf.mul(-0.5, tf.sum(tf.square(z), 1)));
  }

  dispose(): void {
    tf.dispose(this.variables);
  }
}

/** Rows of random signs for Hutchinson's estimator, `[n, 2]`. */
export const signs = (n: number, uniform: () => number): tf.Tensor =>
  tf.tensor2d(Array.from({ length: n }, () => [0, 1].map(() => (uniform() < 0.5 ? -1 : 1))));

/** Minus the mean log-density of a fresh batch in every call, with the exact trace or with Hutchinson's estimate of it. */
export function lossOfBatches(
  flow: Flow,
  draw: () => number[][],
  hutchinson = false,
): (i: number) => tf.Tensor {
  const { uniform } = random(1);
  return (i) => {
    const x = tf.tensor2d(draw());
    const probe = hutchinson ? signs(x.shape[0], uniform) : undefined;
    return tf.neg(tf.mean(flow.logDensity(x, { solver: coarse(i), probe })));
  };
}

/** The log-density at some points as numbers, and where the flow takes points: for tables and pictures. */
export const logDensities = (flow: Flow, points: number[][], solver: Solver = fine, t = 1): Float32Array =>
  tf.tidy(() => flow.logDensity(tf.tensor2d(points), { solver, t }).dataSync().slice() as Float32Array);

export const carried = (flow: Flow, points: number[][], from: number, to: number): number[][] =>
  tf.tidy(() => flow.transport(tf.tensor2d(points), from, to, fine).z.arraySync() as number[][]);

/** How far points come back from where they were, at most, after the way to `t = 0` and again to 1. */
export function roundTrip(flow: Flow, points: number[][]): number {
  const back = carried(flow, carried(flow, points, 1, 0), 0, 1);
  return Math.max(...back.map(([x, y], i) => Math.hypot(x - points[i][0], y - points[i][1])));
}

/** Points of a square lattice over `|x|, |y| <= half`, from the upper left on, row after row. */
export const lattice = (half: number, count: number): number[][] =>
  Array.from({ length: count * count }, (_, i) => [
    half * ((2 * (i % count)) / (count - 1) - 1),
    half * (1 - (2 * Math.floor(i / count)) / (count - 1)),
  ]);

/**
 * Many probes at some points: the spread of one probe (rms), and the distance of the mean of all from the exact trace, in
 * units of the standard error of that mean (rms over the points): about 1 when the estimator has no bias.
 */
export function probeStatistics(flow: Flow, points: number[][], probes: number, seed: number) {
  const { uniform } = random(seed);
  return tf.tidy(() => {
    const [z, t] = [tf.tensor2d(points), tf.scalar(0)];
    const weights = flow.weights(0);
    const exact = trace(t, z, weights);
    let [sum, squares]: tf.Tensor[] = [tf.zerosLike(exact), tf.zerosLike(exact)];
    for (let i = 0; i < probes; i++) {
      const miss = tf.tidy(() => tf.sub(estimate(signs(points.length, uniform))(t, z, weights), exact));
      [sum, squares] = [tf.add(sum, miss), tf.add(squares, tf.square(miss))];
    }
    const variance = tf.mean(tf.div(squares, probes)).dataSync()[0];
    const miss = tf.mean(tf.square(tf.div(sum, probes))).dataSync()[0];
    return { spread: Math.sqrt(variance), miss: Math.sqrt(miss / (variance / probes)) };
  });
}
