/**
 * A mass on a spring and a damper, `m x'' + c x' + k x = u`, brought to rest by a neural network `u(x, v)`, and the
 * linear-quadratic regulator, which is the best that any controller can do.
 */
import * as tf from '@tensorflow/tfjs-core';
import { odeint, odeintAdjoint } from 'tfjs-diffeq';

export const system = { mass: 1, damping: 0.5, stiffness: 1 };

/** `J = int_0^T (x^2 + v^2 + effort u^2) dt + rest (x(T)^2 + v(T)^2)`. */
export const cost = { effort: 0.1, rest: 10 };

export const start = [1, 0] as const;

/** `T` in seconds, in steps of one size; while it learns, the short one may take a cheaper method. */
export interface Horizon {
  T: number;
  stepSize: number;
  method: 'midpoint' | 'rk4_classic';
}
export const oneSecond: Horizon = { T: 1, stepSize: 0.01, method: 'midpoint' };
export const tenSeconds: Horizon = { T: 10, stepSize: 0.1, method: 'rk4_classic' };

/** The entries of a symmetric matrix `P`: the optimal cost from `(x, v)` is `P11 x^2 + 2 P12 x v + P22 v^2`. */
export type Riccati = [p11: number, p12: number, p22: number];

/** `dP/ds = A' P + P A - P b b' P / r + Q`, where `s = T - t` is the time to go. */
export function riccatiSlope([p11, p12, p22]: ArrayLike<number> & Iterable<number>): Riccati {
  const { mass: m, damping: c, stiffness: k } = system;
  const r = cost.effort * m * m;
  return [
    1 - (2 * k * p12) / m - (p12 * p12) / r,
    p11 - (c * p12) / m - (k * p22) / m - (p12 * p22) / r,
    1 + 2 * p12 - (2 * c * p22) / m - (p22 * p22) / r,
  ];
}

/** `P` at the times to go, from `P = rest I` at none: the Riccati equation in float64. */
export const riccati = (timesToGo: readonly number[]): Float64Array[] =>
  odeint((_s, p) => riccatiSlope(p), [cost.rest, 0, cost.rest], timesToGo, {
    ...{ method: 'dopri8', rtol: 1e-12, atol: 1e-13 },
  });

/** The closed form of `P` for an infinite horizon, where its slope vanishes. */
export function algebraicRiccati(): Riccati {
  const { mass: m, damping: c, stiffness: k } = system;
  const r = cost.effort;
  const p12 = r * m * (Math.sqrt(k * k + 1 / r) - k);
  const p22 = r * m * (Math.sqrt(c * c + (1 + 2 * p12) / r) - c);
  return [(c * p12 + k * p22) / m + (p12 * p22) / (r * m * m), p12, p22];
}

/** The least cost from `start` that any controller has over a horizon. */
export function optimalCost(T: number): number {
  const [x, v] = start;
  const [p11, p12, p22] = riccati([0, T])[1];
  return p11 * x * x + 2 * p12 * x * v + p22 * v * v;
}

export interface Point {
  t: number;
  x: number;
  v: number;
  u: number;
}

/** The regulator's path: `u = -(P12 x + P22 v) / (r m)`, with the `P` of the time to go. */
export function optimalPath(T: number, samples: number): Point[] {
  const { mass: m, damping: c, stiffness: k } = system;
  const times = Array.from({ length: samples + 1 }, (_, i) => (i * T) / samples);
  // P is known backward from T: solve it first, then the state and P together, forward from P(0).
  const atStart = riccati([0, T])[1];
  const control = ([x, v, , p12, p22]: ArrayLike<number> & Iterable<number>) =>
    -(p12 * x + p22 * v) / (cost.effort * m);
  const closedLoop = (_t: number, y: Float64Array) => {
    const [x, v, p11, p12, p22] = y;
    const slope = riccatiSlope([p11, p12, p22]);
    return [v, (control(y) - c * v - k * x) / m, -slope[0], -slope[1], -slope[2]];
  };
  const ys = odeint(closedLoop, [...start, ...atStart], times, { rtol: 1e-10, atol: 1e-12 });
  return ys.map((y, i) => ({ t: times[i], x: y[0], v: y[1], u: control(y) }));
}

/** Without control. */
export const free = (y: tf.Tensor2D): tf.Tensor2D => tf.zeros([y.shape[0], 1]);

/** A network 2-20-1 with relu, `y [n, 2] -> u [n, 1]`; dispose it. */
export class Controller {
  readonly variables: tf.Variable[];
  private readonly adam: tf.AdamOptimizer;

  constructor(
    readonly horizon: Horizon,
    seed = 1,
    hidden = 20,
  ) {
    const glorot = (n: number, m: number, salt: number) =>
      tf.truncatedNormal([n, m], 0, Math.sqrt(2 / (n + m)), 'float32', 2 * seed + salt);
    this.variables = tf.tidy(() =>
      [glorot(2, hidden, 0), tf.zeros([hidden]), glorot(hidden, 1, 1), tf.zeros([1])].map((x) =>
        tf.variable(x),
      ),
    );
    this.adam = tf.train.adam(1e-3);
  }

  control = (y: tf.Tensor2D): tf.Tensor2D => {
    const [w1, b1, w2, b2] = this.variables as [
      tf.Variable<tf.Rank.R2>,
      tf.Variable,
      tf.Variable<tf.Rank.R2>,
      tf.Variable,
    ];
    return tf.add(tf.matMul(tf.relu(tf.add(tf.matMul(y, w1), b1)), w2), b2);
  };

  /** The cost in small steps of order 4: a number to compare. */
  cost(): number {
    const { T, stepSize } = this.horizon;
    const accurate = { T, stepSize: stepSize / 2, method: 'rk4_classic' } as const;
    return tf.tidy(() => simulatedCost(this.control, accurate).dataSync()[0]);
  }

  /** Adam through the simulation: `onEpoch` hears of the cost before each of its updates. */
  train(
    epochs: number,
    learningRate: (epoch: number) => number,
    onEpoch?: (epoch: number, cost: number) => void,
  ): void {
    for (let epoch = 0; epoch < epochs; epoch++) {
      // tfjs has no schedules: this is where its optimizers keep the rate.
      Object.assign(this.adam, { learningRate: learningRate(epoch) });
      const cost = this.adam.minimize(() => simulatedCost(this.control, this.horizon), true, this.variables)!;
      onEpoch?.(epoch + 1, cost.dataSync()[0]);
      cost.dispose();
    }
  }

  path(samples = 100): Point[] {
    return simulatedPath(this.control, this.horizon, samples);
  }

  dispose(): void {
    this.adam.dispose();
    tf.dispose(this.variables);
  }
}

type Control = (y: tf.Tensor2D) => tf.Tensor2D;

/** `(x, v)' = (x, v) A + u b` for states in rows, and the running cost as a third column. */
function field(control: Control) {
  const { mass: m, damping: c, stiffness: k } = system;
  return (_t: tf.Scalar, state: tf.Tensor): tf.Tensor => {
    const y = tf.slice(state as tf.Tensor2D, [0, 0], [-1, 2]);
    const u = control(y);
    const drift = tf.matMul(y, tf.tensor2d([0, -k / m, 1, -c / m], [2, 2]));
    const running = tf.add(tf.sum(tf.square(y), 1, true), tf.mul(cost.effort, tf.square(u)));
    return tf.concat([tf.add(drift, tf.mul(u, tf.tensor1d([0, 1 / m]))), running], 1);
  };
}

const initial = () => tf.tensor2d([...start, 0], [1, 3]);

/** `J`, differentiable in the variables of the controller. */
export function simulatedCost(control: Control, { T, stepSize, method }: Horizon): tf.Scalar {
  return tf.tidy(() => {
    const ys = odeintAdjoint(field(control), initial(), [0, T], {
      ...{ method, stepSize },
      adjoint: 'checkpoint',
    });
    const weights = tf.tensor2d([cost.rest, cost.rest, 1], [1, 3]);
    const end = tf.gather(ys, 1) as tf.Tensor2D;
    const powers = tf.concat([tf.square(tf.slice(end, [0, 0], [-1, 2])), tf.slice(end, [0, 2], [-1, 1])], 1);
    return tf.sum(tf.mul(weights, powers));
  });
}

export function simulatedPath(control: Control, { T, stepSize, method }: Horizon, samples: number): Point[] {
  const times = Array.from({ length: samples + 1 }, (_, i) => (i * T) / samples);
  return tf.tidy(() => {
    const ys = tf.squeeze(odeint(field(control), initial(), times, { method, stepSize }), [1]) as tf.Tensor2D;
    const y = tf.slice(ys, [0, 0], [-1, 2]);
    const [states, us] = [y.dataSync(), control(y).dataSync()];
    return times.map((t, i) => ({ t, x: states[2 * i], v: states[2 * i + 1], u: us[i] }));
  });
}
