/**
 * A double well with noise of a strength that depends on the state, `dX = (X - X^3) dt + sigma(X) dW` (Ito), and two networks,
 * drift and log-diffusion, that are learned from where its paths were seen at times `dt` apart.
 */
import * as tf from '@tensorflow/tfjs-core';
import { odeintAdjoint } from 'tfjs-diffeq';
import { type Diffusion } from './diffusion_theory.js';
import { milstein, type Sde } from './sde.js';
import { minimize, normalVariable, random } from './training.js';

/** More noise in the right well than in the left: though the drift is the same in both, paths are more often on the left. */
export const doubleWell: Diffusion & { slope: (x: number) => number } = {
  drift: (x) => x - x ** 3,
  diffusion: (x) => 0.6 + 0.15 * Math.tanh(x),
  slope: (x) => 0.15 / Math.cosh(x) ** 2,
};

export const doubleWellSde: Sde = {
  drift: (x) => tf.sub(x, tf.mul(x, tf.square(x))),
  diffusion: (x) => tf.add(tf.mul(tf.tanh(x), 0.15), 0.6),
  slope: (x) => tf.mul(tf.sub(1, tf.square(tf.tanh(x))), 0.15),
};

export interface Record {
  /** One row of all paths per time. */
  x: Float32Array[];
  dt: number;
}

/** Paths by Milstein's method with a step of `dt / substeps`; they begin all over (-2, 2). */
export function observe({ paths = 512, time = 20, dt = 0.05, substeps = 20, seed = 1 } = {}): Record {
  const { normal, uniform } = random(seed);
  const h = dt / substeps;
  const x = [Float32Array.from({ length: paths }, () => 4 * uniform() - 2)];
  for (let i = 0; i < Math.round(time / dt); i++) {
    const next = tf.tidy(() => {
      let state: tf.Tensor = tf.tensor1d(x[i]);
      for (let k = 0; k < substeps; k++) {
        const dW = tf.tensor1d(Float32Array.from({ length: paths }, () => Math.sqrt(h) * normal()));
        state = milstein(doubleWellSde, state, h, dW);
      }
      return state.dataSync<'float32'>();
    });
    x.push(next.slice());
  }
  return { x, dt };
}

/** The same paths, seen at every n-th time only. */
export const thin = ({ x, dt }: Record, n: number): Record => ({
  x: x.filter((_, i) => i % n === 0),
  dt: dt * n,
});

/** How often paths were seen to come from one bottom, x = -1 or 1, to the other. */
export function passages({ x }: Record): number {
  let count = 0;
  x[0].forEach((_x, path) => {
    let last = 0;
    for (const row of x) {
      const side = row[path] >= 1 ? 1 : row[path] <= -1 ? -1 : last;
      if (side * last < 0) count++;
      last = side;
    }
  });
  return count;
}

/** A network 1-width-1: w1, b1, w2, b2. */
type Net = tf.Variable[];

/** Hidden units that bend at places spread evenly over (-2, 2): the steep parts of a drift are then learned as soon as the rest. */
function net(width: number, { normal }: ReturnType<typeof random>): Net {
  const slopes = Array.from({ length: width }, () => 2.5 + 0.3 * normal());
  const bends = slopes.map((slope, i) => -slope * ((4 * (i + 0.5)) / width - 2));
  return [
    tf.tidy(() => tf.variable(tf.tensor2d(slopes, [1, width]))),
    tf.tidy(() => tf.variable(tf.tensor1d(bends))),
    normalVariable([width, 1], 0.1, normal),
    normalVariable([1], 0, normal),
  ];
}

function hidden([w1, b1]: Net, x: tf.Tensor): tf.Tensor {
  return tf.tanh(tf.add(tf.matMul(x as tf.Tensor2D, w1 as tf.Tensor2D), b1));
}

/** x `[n, 1]` */
function value(weights: Net, x: tf.Tensor): tf.Tensor {
  return tf.add(tf.matMul(hidden(weights, x) as tf.Tensor2D, weights[2] as tf.Tensor2D), weights[3]);
}

function derivative(weights: Net, x: tf.Tensor): tf.Tensor {
  const bend = tf.mul(tf.sub(1, tf.square(hidden(weights, x))), weights[0]);
  return tf.matMul(bend as tf.Tensor2D, weights[2] as tf.Tensor2D);
}

export type Likelihood = 'euler' | 'moments';

/** What a likelihood asks of an equation. */
type Coefficients = Pick<Sde, 'drift' | 'diffusion'>;

/**
 * Mean and variance of X(dt) given X(0) = x, [n, 1] each. `euler` takes one step of Euler and Maruyama: `x + f dt` and
 * `sigma^2 dt`, each with an error of O(dt^2), so that f and sigma are learned with one of O(dt). `moments` solves
 * `m' = E f(X)`, `P' = 2 E (X - m) f(X) + E sigma(X)^2` as if X were normal, the expectations by the two points
 * `m - sqrt(P)`, `m + sqrt(P)` (S. Sarkka and A. Solin, https://doi.org/10.1017/9781108186735, section 9.1).
 */
export function transition(
  sde: Coefficients,
  x: tf.Tensor,
  dt: number,
  by: Likelihood,
): { mean: tf.Tensor; variance: tf.Tensor } {
  if (by === 'euler')
    return {
      mean: tf.add(x, tf.mul(sde.drift(x), dt)),
      variance: tf.mul(tf.square(sde.diffusion(x)), dt),
    };
  const start = { mean: x, variance: tf.zerosLike(x) };
  const { mean, variance } = odeintAdjoint(momentField(sde), start, [0, dt], {
    method: 'rk4_classic',
    adjoint: 'checkpoint',
  });
  return { mean: tf.gather(mean, 1), variance: tf.gather(variance, 1) };
}

const momentField =
  (sde: Coefficients) =>
  (_t: tf.Scalar, { mean, variance }: { mean: tf.Tensor; variance: tf.Tensor }) => {
    // The variance begins at 0, where the square root has no derivative
    const spread = tf.sqrt(tf.add(tf.relu(variance), 1e-4));
    const points = tf.concat([tf.sub(mean, spread), tf.add(mean, spread)]);
    const [left, right] = tf.split(sde.drift(points), 2);
    const [a, b] = tf.split(tf.square(sde.diffusion(points)), 2);
    return {
      mean: tf.div(tf.add(left, right), 2),
      variance: tf.add(tf.mul(spread, tf.sub(right, left)), tf.div(tf.add(a, b), 2)),
    };
  };

/** `-log` of the likelihood of normal transitions, per transition and without its constant. */
function loss(sde: Coefficients, x: tf.Tensor, next: tf.Tensor, dt: number, by: Likelihood): tf.Tensor {
  const { mean, variance } = transition(sde, x, dt, by);
  const miss = tf.div(tf.squaredDifference(next, mean), variance);
  return tf.mean(tf.mul(tf.add(miss, tf.log(tf.div(variance, dt))), 0.5));
}

/** By how much the logarithm of the likelihood of a whole record is larger with `sde` than with the truth. */
export function likelihoodGain(sde: Coefficients, { x, dt }: Record, by: Likelihood): number {
  const column = (row: Float32Array) => tf.tensor2d(row, [row.length, 1]);
  return x.slice(1).reduce((sum, next, i) => {
    const [of, ofTruth] = [sde, doubleWellSde].map((which) =>
      tf.tidy(() => loss(which, column(x[i]), column(next), dt, by).dataSync()[0]),
    );
    return sum + next.length * (ofTruth - of);
  }, 0);
}

/** Networks for f and log(sigma); dispose it. */
export class NeuralSde implements Sde {
  readonly variables: tf.Variable[];
  private readonly f: Net;
  private readonly logSigma: Net;

  constructor({ width = 16, seed = 1 } = {}) {
    const numbers = random(seed);
    this.f = net(width, numbers);
    this.logSigma = net(width, numbers);
    this.variables = [...this.f, ...this.logSigma];
  }

  readonly drift = (x: tf.Tensor) => value(this.f, x);
  readonly diffusion = (x: tf.Tensor) => tf.exp(value(this.logSigma, x));
  readonly slope = (x: tf.Tensor) => tf.mul(this.diffusion(x), derivative(this.logSigma, x));

  train(record: Record, options: TrainingOptions): void {
    const { by = 'euler', batch, seed = 1, ...adam } = options;
    const draw = batches(record, batch, seed);
    const ofBatch = () => {
      const { x, next } = draw();
      return loss(this, x, next, record.dt, by);
    };
    minimize(ofBatch, this.variables, adam);
  }

  /** What has been learned, on plain numbers. */
  plain(): Diffusion {
    const read = (weights: Net) => {
      const [w1, b1, w2, b2] = weights.map((w) => Array.from(w.dataSync()));
      return (x: number) => w1.reduce((sum, w, i) => sum + Math.tanh(x * w + b1[i]) * w2[i], b2[0]);
    };
    const [drift, logSigma] = [this.f, this.logSigma].map(read);
    return { drift, diffusion: (x) => Math.exp(logSigma(x)) };
  }

  dispose(): void {
    tf.dispose(this.variables);
  }
}

export interface TrainingOptions {
  by?: Likelihood;
  iterations: number;
  batch: number;
  rate: number;
  seed?: number;
  each?: (iteration: number, loss: number) => void;
}

/** Transitions drawn at random, [batch, 1]. */
function batches({ x }: Record, batch: number, seed: number): () => { x: tf.Tensor2D; next: tf.Tensor2D } {
  const { uniform } = random(seed + 1000);
  const paths = x[0].length;
  const count = (x.length - 1) * paths;
  return () => {
    const [now, next] = [new Float32Array(batch), new Float32Array(batch)];
    for (let i = 0; i < batch; i++) {
      const k = Math.floor(uniform() * count);
      const [row, path] = [Math.floor(k / paths), k % paths];
      now[i] = x[row][path];
      next[i] = x[row + 1][path];
    }
    return { x: tf.tensor2d(now, [batch, 1]), next: tf.tensor2d(next, [batch, 1]) };
  };
}
