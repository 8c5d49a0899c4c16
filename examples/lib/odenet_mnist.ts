/**
 * An ODE-Net and its ResNet twin for handwritten digits, after Chen et al., https://arxiv.org/abs/1806.07366, section 3: the
 * same down-sampling before and the same linear layer behind; in between residual blocks, `y <- y + f_i(y)`, or one block
 * that is integrated, `y' = f(t, y)` from t = 0 to 1.
 */
import * as tf from '@tensorflow/tfjs-core';
import { odeint, odeintAdjoint } from 'tfjs-diffeq';
import { accuracy, crossEntropy } from './classification.js';
import { convolution } from './convolution.js';
import type { Digits } from './digits.js';
import { normalVariable, random, shuffle } from './training.js';

/** Channels after the first and after the second down-sampling. */
const channels = [8, 12];
const edge = 28;
const [half, quarter] = [edge / 2, edge / 4];
/** Pixels of one patch, 4 x 4. */
const patch = 16;
const classes = 10;
/** Of the image that the linear layer sees. */
const features = 2 * quarter * channels[1];

export interface SolverOptions {
  rtol: number;
  atol: number;
  adjoint: 'checkpoint' | 'backsolve';
}

/** The tolerances of the paper's program. */
export const defaultSolver: SolverOptions = { rtol: 1e-3, atol: 1e-3, adjoint: 'checkpoint' };

/** Two 3 x 3 convolutions behind relu; with time, each sees t as one more channel that is constant. */
class Block {
  readonly variables: tf.Variable[];
  private readonly ones?: tf.Tensor;

  constructor(normal: () => number, withTime: boolean, scale: number) {
    const [, c] = channels;
    const filter = (size: number) => normalVariable([3, 3, c, c], size / Math.sqrt(9 * c), normal);
    const time = () => normalVariable([3, 3, 1, c], 1 / Math.sqrt(9 * c), normal);
    const bias = () => normalVariable([c], 0, normal);
    this.variables = [filter(Math.SQRT2), bias(), filter(scale), bias()];
    if (!withTime) return;
    this.variables.push(time(), time());
    this.ones = tf.ones([1, quarter, quarter, 1]);
  }

  /** f(t, y), y `[batch, 7, 7, channels]`. */
  readonly field = (t: tf.Tensor | undefined, y: tf.Tensor): tf.Tensor => {
    const [w1, b1, w2, b2, v1, v2] = this.variables as tf.Tensor[];
    // A convolution is linear: that of the constant channel t is t times that of ones, the same for the whole batch.
    const bias = (b: tf.Tensor, v: tf.Tensor) =>
      t === undefined ? b : tf.add(b, tf.mul(t, convolution(this.ones!, v)));
    const hidden = tf.add(convolution(tf.relu(y), w1), bias(b1, v1));
    return tf.add(convolution(tf.relu(hidden), w2), bias(b2, v2));
  };

  dispose(): void {
    tf.dispose([...this.variables, ...(this.ones ? [this.ones] : [])]);
  }
}

/** Either net; dispose it. */
export class Classifier {
  /** Calls of f so far. */
  evaluations = 0;
  solver: SolverOptions;
  private readonly ends: tf.Variable[];
  private readonly blocks: Block[];

  /** `blocks` residual blocks, or `'ode'`. */
  constructor(
    readonly kind: 'ode' | number,
    { seed = 1, solver = defaultSolver }: { seed?: number; solver?: SolverOptions } = {},
  ) {
    this.solver = solver;
    const { normal } = random(seed);
    const [c1, c2] = channels;
    this.ends = [
      normalVariable([patch, c1], Math.sqrt(2 / patch), normal),
      normalVariable([c1], 0, normal),
      normalVariable([3, 3, 4 * c1, c2], Math.sqrt(1 / (36 * c1)), normal),
      normalVariable([c2], 0, normal),
      normalVariable([features, classes], Math.sqrt(1 / features), normal),
      normalVariable([classes], 0, normal),
    ];
    const count = kind === 'ode' ? 1 : kind;
    this.blocks = Array.from({ length: count }, () => new Block(normal, kind === 'ode', 1 / count));
  }

  get variables(): tf.Variable[] {
    return [...this.ends, ...this.blocks.flatMap((block) => block.variables)];
  }

  /** Numbers that are learned. */
  get parameters(): number {
    return this.variables.reduce((sum, { size }) => sum + size, 0);
  }

  /** Patches as of {@link patches} to what the blocks receive, `[batch, 7, 7, channels]`. */
  front(x: tf.Tensor): tf.Tensor4D {
    const [w1, b1, w2, b2] = this.ends as tf.Tensor[];
    const first = tf.relu(tf.add(tf.matMul(x as tf.Tensor2D, w1 as tf.Tensor2D), b1));
    const image = tf.reshape(first, [-1, quarter, quarter, 4 * channels[0]]);
    return tf.add(convolution(image, w2), b2);
  }

  /** The means of every row and of every column, and a linear layer. */
  back(y: tf.Tensor): tf.Tensor2D {
    const [, , , , w, b] = this.ends as tf.Tensor[];
    const seen = tf.relu(y);
    const means = [1, 2].map((axis) => tf.reshape(tf.mean(seen, axis), [-1, features / 2]));
    return tf.add(tf.matMul(tf.concat(means, 1) as tf.Tensor2D, w as tf.Tensor2D), b);
  }

  readonly field = (t: tf.Tensor, y: tf.Tensor): tf.Tensor => {
    this.evaluations++;
    return this.blocks[0].field(t, y);
  };

  /** The blocks in turn, or the state at t = 1. */
  private middle(y: tf.Tensor, differentiated: boolean): tf.Tensor {
    if (this.kind === 'ode') {
      const { adjoint, ...tolerances } = this.solver;
      const ys = differentiated
        ? odeintAdjoint(this.field, y, [0, 1], { ...tolerances, adjoint })
        : odeint(this.field, y, [0, 1], tolerances);
      return tf.gather(ys, 1);
    }
    return this.blocks.reduce((state, { field }) => tf.add(state, field(undefined, state)), y);
  }

  /** Scores of the ten digits, `[batch, 10]`. */
  logits(x: tf.Tensor, differentiated = true): tf.Tensor2D {
    return this.back(this.middle(this.front(x), differentiated));
  }

  /** Mean cross entropy. */
  loss({ x, labels }: Batch): tf.Tensor {
    return crossEntropy(this.logits(x), labels);
  }

  /** The part of the images whose digit has the highest score. */
  accuracy(images: Digits, batch = 500): number {
    let right = 0;
    for (let from = 0; from < images.count; from += batch) {
      const to = Math.min(images.count, from + batch);
      const indices = Array.from({ length: to - from }, (_, i) => from + i);
      const scores = tf.tidy(() => this.logits(patches(images, indices), false).dataSync<'float32'>());
      right += indices.length * accuracy(scores, images.labels.subarray(from, to));
    }
    return right / images.count;
  }

  /** Of an ODE-Net, on some images: the state at times `t`, `[T, batch, 7, 7, channels]`, and evaluations it took. */
  flow(x: tf.Tensor, t: number[], tolerance: number): { states: tf.Tensor; evaluations: number } {
    const before = this.evaluations;
    const states = tf.tidy(() => odeint(this.field, this.front(x), t, { rtol: tolerance, atol: tolerance }));
    return { states, evaluations: this.evaluations - before };
  }

  /** The gradient of the loss, all variables in one row, and evaluations forward and backward. */
  gradient(batch: Batch): { values: Float32Array; forward: number; backward: number } {
    const before = this.evaluations;
    let forward = 0;
    const loss = () => {
      const value = this.loss(batch);
      forward = this.evaluations - before;
      return value as tf.Scalar;
    };
    const values = tf.tidy(() => {
      const { grads } = tf.variableGrads(loss, this.variables);
      const rows = this.variables.map(({ name }) => tf.reshape(grads[name], [-1]));
      return tf.concat(rows).dataSync() as Float32Array;
    });
    return { values, forward, backward: this.evaluations - before - forward };
  }

  dispose(): void {
    tf.dispose(this.ends);
    this.blocks.forEach((block) => block.dispose());
  }
}

export interface Batch {
  x: tf.Tensor2D;
  labels: ArrayLike<number>;
}

/**
 * The 4 x 4 patches, two pixels apart, under the first convolution, `[batch * 196, 16]`: its product with them is that
 * convolution. Four neighbours stand together, so that their results are the channels of an image of 7 x 7.
 */
export function patches({ images, size }: Digits, indices: ArrayLike<number>): tf.Tensor2D {
  if (size !== edge) throw new Error(`images of ${size} x ${size}; expected ${edge} x ${edge}`);
  const x = new Float32Array(indices.length * half ** 2 * patch);
  for (let n = 0, k = 0; n < indices.length; n++) {
    const start = indices[n] * edge ** 2;
    for (let p = 0; p < half ** 2; p++) {
      const [of, at] = [p % 4, (p - (p % 4)) / 4];
      const top = 4 * Math.floor(at / quarter) + 2 * (of >> 1) - 1;
      const left = 4 * (at % quarter) + 2 * (of & 1) - 1;
      for (let q = 0; q < patch; q++, k++) {
        const [i, j] = [top + (q >> 2), left + (q & 3)];
        if (i >= 0 && j >= 0 && i < edge && j < edge) x[k] = images[start + i * edge + j];
      }
    }
  }
  return tf.tensor2d(x, [indices.length * half ** 2, patch]);
}

/** Batches of the images in a new order each time round. */
export function batches(images: Digits, size: number, seed = 1): () => Batch {
  const { uniform } = random(seed);
  let order: number[] = [];
  return () => {
    if (order.length < size)
      order = shuffle(
        Array.from({ length: images.count }, (_, i) => i),
        uniform,
      );
    const indices = order.splice(-size);
    return { x: patches(images, indices), labels: indices.map((i) => images.labels[i]) };
  };
}
