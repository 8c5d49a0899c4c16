/**
 * The training of torchdiffeq's demo, examples/ode_demo.py: a network 2-50-2 learns the spiral `y' = y^3 A` from batches
 * of short pieces of one trajectory. Its weights and batches can be those of the runs in test/reference/spiral.json.
 */
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { odeint, odeintAdjoint } from 'tfjs-diffeq';

/** What torchdiffeq did: test/reference/spiral.py. */
export interface SpiralReference {
  test_frequency: number;
  /** Of every seed the loss of the whole trajectory, before training and every `test_frequency` iterations. */
  losses: number[][];
  /** The same from weights that differ from the first seed's by one or two millionths: what rounding does to it. */
  losses_perturbed: number[][];
  seeds: Record<string, SpiralRun>;
}

/** The start of one run; the first seed's has the losses of its first batches too. */
export interface SpiralRun {
  weights: Record<WeightName, number[]>;
  first_batch?: number[];
  first_gradient?: Record<WeightName, number[]>;
  first_losses?: number[];
}

export const weightShapes = { w1: [2, 50], b1: [50], w2: [50, 2], b2: [2] };
export type WeightName = keyof typeof weightShapes;
export type Weights = Record<WeightName, tf.Variable>;
/** How the gradient is computed: `odeint` under tfjs's tape, or a mode of `odeintAdjoint`. */
export type Gradient = 'tape' | 'checkpoint' | 'backsolve' | 'interpolating';

/** As tight as float32 allows: the demo's 1e-7 and 1e-9 are below its rounding. */
const tolerances = { rtol: 1e-6, atol: 1e-7 };
const [dataSize, batchTime, batchSize] = [1000, 10, 20];
export const y0 = [2, 0];
export const times = Array.from({ length: dataSize }, (_, i) => (25 * i) / (dataSize - 1));
export const loadReference = (): SpiralReference =>
  JSON.parse(readFileSync(new URL('../../test/reference/spiral.json', import.meta.url), 'utf8'));

/** A vector field on plain numbers, which `odeint` solves in float64. */
export type PlainField = (t: number, y: ArrayLike<number>) => number[];

export const trueField: PlainField = (_t, y) => {
  const [u, v] = [y[0] ** 3, y[1] ** 3];
  return [-0.1 * u - 2 * v, 2 * u - 0.1 * v];
};

/** The network that is trained, `y' = tanh(y^3 w1 + b1) w2 + b2`, on tensors `[..., 2]`. */
const networkField =
  ({ w1, b1, w2, b2 }: Weights) =>
  (_t: tf.Scalar, y: tf.Tensor): tf.Tensor => {
    const cube = tf.mul(y, tf.square(y)) as tf.Tensor2D;
    const hidden = tf.tanh(tf.add(tf.matMul(cube, w1 as tf.Tensor as tf.Tensor2D), b1)) as tf.Tensor2D;
    return tf.add(tf.matMul(hidden, w2 as tf.Tensor as tf.Tensor2D), b2);
  };

/** The same network, as it is now, on plain numbers. */
export function plainNetwork(weights: Weights): PlainField {
  const [w1, b1, w2, b2] = [weights.w1, weights.b1, weights.w2, weights.b2].map((w) => w.dataSync());
  return (_t, y) => {
    const [u, v] = [y[0] ** 3, y[1] ** 3];
    const slope = [b2[0], b2[1]];
    for (let i = 0; i < b1.length; i++) {
      const hidden = Math.tanh(u * w1[i] + v * w1[b1.length + i] + b1[i]);
      slope[0] += hidden * w2[2 * i];
      slope[1] += hidden * w2[2 * i + 1];
    }
    return slope;
  };
}

/** The trajectory of a field, at all times. */
export const trajectory = (field: PlainField): ArrayLike<number>[] => odeint(field, y0, times);

/** That of the true field, accurate to more digits than float32 has: the training is sensitive to its data. */
export const trueTrajectory = (): ArrayLike<number>[] =>
  odeint(trueField, y0, times, { rtol: 1e-10, atol: 1e-12 });

/** Mean absolute difference of two trajectories: the loss that the demo reports. */
export function distance(a: ArrayLike<number>[], b: ArrayLike<number>[]): number {
  const sum = a.reduce((total, y, i) => total + Math.abs(y[0] - b[i][0]) + Math.abs(y[1] - b[i][1]), 0);
  return sum / (2 * a.length);
}

/** Sets of 20 different beginnings of pieces, by Park and Miller's generator, as spiral.py draws them. */
export function* batches(seed: number): Generator<number[], never> {
  for (let x = seed + 1; ;) {
    const batch = new Set<number>();
    while (batch.size < batchSize) {
      x = (48271 * x) % (2 ** 31 - 1);
      batch.add(x % (dataSize - batchTime));
    }
    yield [...batch];
  }
}

/** A training from given weights; dispose it. */
export class SpiralTraining {
  readonly weights: Weights;
  readonly truth = trueTrajectory();
  private readonly draw: Generator<number[], never>;
  /** Mean squares of the gradients. */
  private readonly squares: tf.Variable[];

  constructor(
    run: SpiralRun,
    seed: number,
    private readonly gradient: Gradient = 'checkpoint',
  ) {
    const variable = (name: WeightName) => tf.variable(tf.tensor(run.weights[name], weightShapes[name]));
    this.weights = { w1: variable('w1'), b1: variable('b1'), w2: variable('w2'), b2: variable('b2') };
    this.squares = this.parameters().map((w) => tf.variable(tf.zerosLike(w as tf.Tensor), false));
    this.draw = batches(seed);
  }

  /** One iteration; returns the loss of its batch, before the step. */
  step(): number {
    const batch = this.draw.next().value;
    return tf.tidy(() => {
      const { value, grads } = tf.variableGrads(() => this.batchLoss(batch), this.parameters());
      this.parameters().forEach((w, i) => this.update(w, this.squares[i], grads[w.name]));
      return value.dataSync()[0];
    });
  }

  /** Gradient of a batch's loss; the tensors are the caller's. */
  gradientOf(batch: number[]): Record<WeightName, tf.Tensor> {
    const { value, grads } = tf.variableGrads(() => this.batchLoss(batch), this.parameters());
    value.dispose();
    const of = (name: WeightName) => grads[this.weights[name].name];
    return { w1: of('w1'), b1: of('b1'), w2: of('w2'), b2: of('b2') };
  }

  dispose(): void {
    tf.dispose([...this.parameters(), ...this.squares]);
  }

  private parameters(): tf.Variable[] {
    return Object.values(this.weights);
  }

  /** RMSprop as in PyTorch. `tf.train.rmsprop` has epsilon under the root: other steps where a gradient is tiny. */
  private update(w: tf.Variable, square: tf.Variable, gradient: tf.Tensor): void {
    square.assign(tf.add(tf.mul(square, 0.99), tf.mul(tf.square(gradient), 0.01)));
    w.assign(tf.sub(w, tf.mul(1e-3, tf.div(gradient, tf.add(tf.sqrt(square), 1e-8)))));
  }

  private batchLoss(batch: number[]): tf.Scalar {
    const piece = (i: number) => batch.map((start) => Array.from(this.truth[start + i]));
    const pieces = tf.tensor3d(Array.from({ length: batchTime }, (_, i) => piece(i)));
    const starts = tf.tensor2d(piece(0)) as tf.Tensor;
    const [field, t] = [networkField(this.weights), times.slice(0, batchTime)];
    const predicted =
      this.gradient === 'tape'
        ? odeint(field, starts, t, tolerances)
        : odeintAdjoint(field, starts, t, { ...tolerances, adjoint: this.gradient });
    return tf.mean(tf.abs(tf.sub(predicted, pieces)));
  }
}
