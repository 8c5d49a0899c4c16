/**
 * A Latent ODE (https://arxiv.org/abs/1806.07366, section 5): a recurrent network reads irregular, noisy observations of a
 * spiral backward in time and gives `q(z0) = N(mu, sigma)`; `dz/dt = f(z)` carries a sample of it to any time, and a decoder
 * says where the spiral is then. Trained on the evidence lower bound (ELBO), E_q[log p(x | z)] - KL(q || N(0, 1)).
 */
import * as tf from '@tensorflow/tfjs-core';
import { odeintAdjoint } from 'tfjs-diffeq';
import { GatedRecurrent, Linear } from './recurrent.js';
import { random } from './training.js';

/** Standard deviation of the noise, as in torchdiffeq's examples/latent_ode.py. */
export const noise = 0.3;
/** What the networks see and say is divided by this: inputs of several units would saturate their tanh. */
const scale = 3;
/** Observations lie on a grid of 100 times in [0, 4); another 100 times, [4, 8), are to be foretold. */
export const [points, interval] = [100, 0.04];
export const times = Array.from({ length: 2 * points }, (_, i) => i * interval);
export const densities = [30, 50, 100];
/** Of the encoder, and of the baseline. */
const units = 25;

/** Archimedes' spiral `r = 0.3 angle`, from the angle `start` on; `turn` is 1 counter-clockwise, and -1 in the mirror. */
export interface Spiral {
  start: number;
  turn: 1 | -1;
}

export function position({ start, turn }: Spiral, t: number): [number, number] {
  const angle = start + t;
  return [0.3 * angle * Math.cos(angle), 0.3 * angle * turn * Math.sin(angle)];
}

/** Spirals, every second one clockwise; exact: [2 points][count][2] without noise, observed: with noise. */
export interface SpiralSet {
  spirals: Spiral[];
  exact: Float32Array;
  observed: Float32Array;
}

export function spiralSet(count: number, seed: number): SpiralSet {
  const { uniform, normal } = random(seed);
  const spirals = Array.from({ length: count }, (_, i): Spiral => {
    return { start: Math.PI * (1 + 2 * uniform()), turn: i % 2 === 0 ? 1 : -1 };
  });
  const exact = Float32Array.from(times.flatMap((t) => spirals.flatMap((spiral) => position(spiral, t))));
  return { spirals, exact, observed: exact.map((x) => x + noise * normal()) };
}

/** Some spirals as a network sees them, each observed at times of its own. */
export interface Batch {
  /** [seen, batch, 3]: backward in time, position and the time since the observation before it, or since 0. */
  backward: tf.Tensor3D;
  /** [seen + later, batch, 3]: forward in time, position and the time to the observation after it; 0 after the last. */
  forward: tf.Tensor3D;
  /** Every time at which one of them was observed; [t.length, batch, 2], and [t.length, batch, 1], 1 where observed. */
  t: number[];
  observed: tf.Tensor3D;
  mask: tf.Tensor3D;
  /** Observations of each spiral, seen and later. */
  count: number;
}

/** Indices of `count` different times, sorted, of the half of the grid that begins at `from`. */
export function drawTimes(count: number, uniform: () => number, from = 0): number[] {
  const indices = Array.from({ length: points }, (_, i) => from + i);
  for (let i = 0; i < count; i++) {
    const j = i + Math.floor((points - i) * uniform());
    [indices[i], indices[j]] = [indices[j], indices[i]];
  }
  return indices.slice(0, count).sort((a, b) => a - b);
}

// What is to be found is the state at time 0: how far that is before the first observation, only this gap says.
const before = (indices: number[], i: number) => indices[i] - (indices[i - 1] ?? 0);
const after = (indices: number[], i: number) => (indices[i + 1] ?? indices[i]) - indices[i];

/** `seen[b]` are the times at which `members[b]` is read, `later[b]` those that are to be foretold; of equal numbers. */
export function batchOf(
  set: SpiralSet,
  members: number[],
  seen: number[][],
  later: number[][] = seen.map(() => []),
): Batch {
  const size = members.length;
  const drawn = seen.map((indices, b) => [...indices, ...later[b]]);
  const t = [...new Set(drawn.flat())].sort((a, b) => a - b);
  const row = new Map(t.map((k, i) => [k, i]));
  const observed = new Float32Array(t.length * size * 2);
  const mask = new Float32Array(t.length * size);
  const read = (of: number[][], gapAt: typeof before) => {
    const data = new Float32Array(of[0].length * size * 3);
    of.forEach((indices, b) =>
      indices.forEach((k, i) => {
        const from = 2 * (k * set.spirals.length + members[b]);
        const gap = gapAt(indices, i) * interval;
        data.set([set.observed[from], set.observed[from + 1], gap], 3 * (i * size + b));
        observed.set(set.observed.subarray(from, from + 2), 2 * (row.get(k)! * size + b));
        mask[row.get(k)! * size + b] = 1;
      }),
    );
    return tf.tensor3d(data, [of[0].length, size, 3]);
  };
  return {
    backward: tf.tidy(() => tf.reverse(read(seen, before), 0)),
    forward: read(drawn, after),
    t: t.map((k) => times[k]),
    observed: tf.tensor3d(observed, [t.length, size, 2]),
    mask: tf.tensor3d(mask, [t.length, size, 1]),
    count: drawn[0].length,
  };
}

/** Of positions and gaps [..., 3], the positions made small. */
const scaled = (xs: tf.Tensor) => tf.div(xs, [scale, scale, 1]);

/** KL(N(mu, exp(logSigma)^2) || N(0, 1)), summed over the last axis: (sigma^2 + mu^2 - 1) / 2 - log sigma. */
export const divergence = (mu: tf.Tensor, logSigma: tf.Tensor): tf.Tensor => {
  const terms = tf.sub(tf.div(tf.add(tf.exp(tf.mul(2, logSigma)), tf.sub(tf.square(mu), 1)), 2), logSigma);
  return tf.sum(terms, -1);
};

/** log N(x; mean, sigma^2), elementwise. */
export const logNormal = (x: tf.Tensor, mean: tf.Tensor, sigma: number): tf.Tensor =>
  tf.sub(tf.div(tf.squaredDifference(x, mean), -2 * sigma ** 2), Math.log(sigma * Math.sqrt(2 * Math.PI)));

/** Encoder 3-25 (gated), latent dimension 4, field 4-20-4, decoder 4-20-2: the sizes of the paper; dispose it. */
export class LatentOde {
  readonly dimension = 4;
  private readonly encoder: GatedRecurrent;
  private readonly posterior: Linear;
  private readonly field: Linear[];
  private readonly decoder: Linear[];
  readonly variables: tf.Variable[];

  constructor(seed = 1) {
    const { normal } = random(seed);
    const [{ dimension }, width] = [this, 20];
    this.encoder = new GatedRecurrent(3, units, normal);
    this.posterior = new Linear(units, 2 * dimension, normal);
    this.field = [new Linear(dimension, width, normal), new Linear(width, dimension, normal)];
    this.decoder = [new Linear(dimension, width, normal), new Linear(width, 2, normal)];
    const parts = [this.encoder, this.posterior, ...this.field, ...this.decoder];
    this.variables = parts.flatMap(({ variables }) => variables);
  }

  /** `mu` and `log sigma` of q(z0), each [batch, dimension]. */
  encode({ backward }: Batch): [tf.Tensor, tf.Tensor] {
    const last = this.encoder.states(scaled(backward)).at(-1)!;
    const [mu, spread] = tf.split(this.posterior.apply(last), 2, 1);
    return [mu, tf.sub(spread, 2)]; // narrow at first, or the sample drowns what was read
  }

  /** z at the times `t`, [T, batch, dimension]; all spirals in one solve. */
  solve(z0: tf.Tensor, t: number[]): tf.Tensor {
    const [first, second] = this.field;
    const field = (_t: tf.Scalar, z: tf.Tensor) => second.apply(tf.tanh(first.apply(z)));
    const z = odeintAdjoint(field, z0, t[0] > 0 ? [0, ...t] : t, {
      ...{ method: 'rk4_classic', stepSize: 0.5, adjoint: 'checkpoint' },
    });
    return t[0] > 0 ? tf.slice(z, 1) : z;
  }

  decode(z: tf.Tensor): tf.Tensor {
    return tf.mul(scale, this.decoder[1].apply(tf.tanh(this.decoder[0].apply(z))));
  }

  /** The ELBO with its two terms, nats per spiral; `epsilon`, [batch, dimension], are the normal numbers of the sample. */
  elbo(batch: Batch, epsilon: tf.Tensor): { elbo: tf.Tensor; fit: tf.Tensor; kl: tf.Tensor } {
    const [mu, logSigma] = this.encode(batch);
    const z = this.solve(tf.add(mu, tf.mul(epsilon, tf.exp(logSigma))), batch.t);
    const log = tf.mul(batch.mask, logNormal(batch.observed, this.decode(z), noise));
    const fit = tf.div(tf.sum(log), epsilon.shape[0]);
    const kl = tf.mean(divergence(mu, logSigma));
    return { elbo: tf.sub(fit, kl), fit, kl };
  }

  /** From the mean of q(z0) the positions at all times, [2 points, batch, 2]. */
  predict(batch: Batch): tf.Tensor {
    return tf.tidy(() => this.decode(this.solve(this.encode(batch)[0], times)));
  }

  dispose(): void {
    tf.dispose(this.variables);
  }
}

/**
 * The baseline, a gated recurrent unit as large as the encoder: it says the next position, told when that will be. Beyond what
 * is read it lives on its own answers, in the training too.
 */
export class NextObservation {
  private readonly cell: GatedRecurrent;
  private readonly output: Linear;
  readonly variables: tf.Variable[];

  constructor(seed = 1) {
    const { normal } = random(seed);
    this.cell = new GatedRecurrent(3, units, normal);
    this.output = new Linear(units, 2, normal);
    this.variables = [...this.cell.variables, ...this.output.variables];
  }

  /** Log-likelihood of all observations but the first, per spiral. */
  logLikelihood({ backward, forward, count }: Batch): tf.Tensor {
    const [, batch] = forward.shape;
    const [seen] = backward.shape;
    const states = this.cell.states(scaled(tf.slice(forward, 0, seen)));
    const read = this.output.apply(tf.stack(states));
    const gaps = tf.unstack(tf.slice(forward, [seen, 0, 2], [count - seen, batch, 1])).slice(0, -1);
    const later = this.goOn(states.at(-1)!, gaps);
    const found = later.length > 0 ? tf.concat([read, tf.stack(later)], 0) : tf.slice(read, 0, seen - 1);
    const next = tf.slice(forward, [1, 0, 0], [count - 1, batch, 2]);
    return tf.div(tf.sum(logNormal(next, tf.mul(scale, found), noise)), batch);
  }

  /** Its answers, scaled, after those gaps, each `[batch, 1]`, from the state in which its last answer was made. */
  private goOn(state: tf.Tensor, gaps: tf.Tensor[]): tf.Tensor[] {
    return gaps.map((gap) => {
      const input = tf.concat([this.output.apply(state), gap], 1);
      state = this.cell.states(tf.expandDims(input, 0), state)[0];
      return this.output.apply(state);
    });
  }

  /** What it expects at `steps` times `gap` apart, the first of them `firstGap: [batch]` after the last observation. */
  extrapolate({ forward, count }: Batch, firstGap: number[], gap: number, steps: number): tf.Tensor {
    return tf.tidy(() => {
      const batch = firstGap.length;
      const first = tf.concat(
        [tf.slice(forward, [count - 1, 0, 0], [1, batch, 2]), tf.tensor3d(firstGap, [1, batch, 1])],
        2,
      );
      const state = this.cell.states(scaled(tf.concat([tf.slice(forward, 0, count - 1), first], 0))).at(-1)!;
      const gaps = Array.from({ length: steps - 1 }, () => tf.fill([batch, 1], gap));
      const found = [this.output.apply(state), ...this.goOn(state, gaps)];
      return tf.mul(scale, tf.stack(found));
    });
  }

  dispose(): void {
    tf.dispose(this.variables);
  }
}

/** Root mean square of observed - found, coordinate by coordinate, where something was observed; `found` as of `predict`. */
export function residual({ t, observed, mask }: Batch, found: tf.Tensor): number {
  return tf.tidy(() => {
    const rows = t.map((time) => Math.round(time / interval));
    const squares = tf.mul(mask, tf.squaredDifference(observed, tf.gather(found, rows)));
    return Math.sqrt(tf.div(tf.sum(squares), tf.mul(2, tf.sum(mask))).dataSync()[0]);
  });
}

const squaredDistance = (a: number[], b: number[]) => a.reduce((sum, x, j) => sum + (x - b[j]) ** 2, 0);

/** The part of the second half of the codes whose nearest code of the first half belongs to a spiral of its direction. */
export function directionsApart(codes: number[][], spirals: Spiral[]): number {
  const half = codes.length >> 1;
  const told = codes.slice(half).map((code, i) => {
    const distances = codes.slice(0, half).map((other) => squaredDistance(code, other));
    const nearest = distances.indexOf(Math.min(...distances));
    return Number(spirals[nearest].turn === spirals[half + i].turn);
  });
  return told.reduce((sum, x) => sum + x, 0) / told.length;
}
