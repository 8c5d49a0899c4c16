/**
 * Handwritten digits sorted by light: each is the amplitude of a coherent field, and the plates send most of it to one of ten
 * detectors. Beside it a linear classifier. After Lin et al., https://doi.org/10.1126/science.aat8084; the loss is that of
 * Mengu et al., https://doi.org/10.1109/JSTQE.2019.2921376: a softmax of the detectors' signals.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Digits } from './digits.js';
import { intensity } from './optics.js';
import { DiffractiveNetwork } from './optical_network.js';
import { normalVariable, random } from './training.js';

/** Squares of the output plane, in rows of 3, 4 and 3 as in the paper: [left, top] of digits 0 to 9, and their edge. */
export function detectors(size: number): { edge: number; corners: [number, number][] } {
  const edge = Math.round(size / 8);
  const corners = [3, 4, 3].flatMap((columns, row) =>
    Array.from({ length: columns }, (_, i): [number, number] => [
      Math.round(((i + 1) * size) / (columns + 1) - edge / 2),
      Math.round(((row + 1) * size) / 4 - edge / 2),
    ]),
  );
  return { edge, corners };
}

export interface ClassifierOptions {
  plates?: number;
  batch?: number;
  seed?: number;
  /** What the shares are multiplied by before the softmax. */
  sharpness?: number;
}

/** Plates that send the light of a digit to its detector; dispose it. */
export class ClassifierTraining {
  readonly network: DiffractiveNetwork;
  private readonly masks: tf.Tensor2D;
  private readonly inputs: tf.Tensor4D;
  private readonly next: (i: number) => Int32Array;

  constructor(
    private readonly data: Digits,
    private readonly options: ClassifierOptions = {},
  ) {
    const { plates = 5, batch = 64, seed = 1 } = options;
    const { size } = data;
    this.network = new DiffractiveNetwork(size, plates);
    const { edge, corners } = detectors(size);
    const masks = new Float32Array(2 * size * size * 10);
    corners.forEach(([left, top], digit) => {
      for (let y = top; y < top + edge; y++)
        for (let x = left; x < left + edge; x++)
          for (const part of [0, 1]) masks[((2 * y + part) * size + x) * 10 + digit] = 1;
    });
    this.masks = tf.tensor2d(masks, [2 * size * size, 10]);
    this.inputs = this.arriving(data);
    this.next = shuffledBatches(data.count, batch, seed);
  }

  /** The fields on the first plate, which do not depend on what is learned: digits are the amplitude, a distance before it. */
  private arriving({ images, count, size }: Digits): tf.Tensor4D {
    const part = 250;
    const pieces = Array.from({ length: Math.ceil(count / part) }, (_, i) =>
      tf.tidy(() => {
        const some = images.subarray(i * part * size ** 2, (i + 1) * part * size ** 2);
        const re = tf.tensor4d(some, [some.length / size ** 2, size, 1, size]);
        return this.network.space.apply(tf.concat([re, tf.zerosLike(re)], 2));
      }),
    );
    const all = tf.concat(pieces);
    tf.dispose(pieces);
    return all;
  }

  /** The power on each detector, as a part of the power on all of them: [batch, 10]. */
  private shares(u: tf.Tensor4D): tf.Tensor2D {
    const power = tf.square(tf.reshape(this.network.pass(u), [u.shape[0], -1]));
    const detected = tf.matMul(power as tf.Tensor2D, this.masks);
    return tf.div(detected, tf.sum(detected, 1, true));
  }

  /** Cross-entropy of the softmax of the shares times a sharpness, over mini-batch i. */
  readonly loss = (i: number): tf.Tensor => {
    const chosen = this.next(i);
    const u = tf.gather(this.inputs, tf.tensor1d(chosen, 'int32'));
    const logits = tf.mul(this.options.sharpness ?? 25, this.shares(u)) as tf.Tensor2D;
    return crossEntropy(logits, this.data.labels, chosen);
  };

  /** The shares of each digit, ten numbers after ten. */
  detect(data: Digits): Float32Array {
    return tf.tidy(() => {
      const parts: tf.Tensor2D[] = [];
      const inputs = data === this.data ? this.inputs : this.arriving(data);
      for (let i = 0; i < data.count; i += 250)
        parts.push(
          tf.tidy(() => this.shares(tf.slice(inputs, i, Math.min(250, data.count - i)) as tf.Tensor4D)),
        );
      return tf.concat(parts).dataSync<'float32'>().slice();
    });
  }

  /** |u|^2 in the output plane for digit i. */
  output(data: Digits, i: number): Float32Array {
    const image = data.images.subarray(i * data.size ** 2, (i + 1) * data.size ** 2);
    return tf.tidy(() => {
      const one = { ...data, count: 1, images: image };
      return intensity(this.network.pass(this.arriving(one)))
        .dataSync<'float32'>()
        .slice();
    });
  }

  dispose(): void {
    this.network.dispose();
    tf.dispose([this.masks, this.inputs]);
  }
}

/** Softmax regression on the pixels: what a linear classifier makes of the same digits; dispose it. */
export class LinearTraining {
  readonly variables: tf.Variable[];
  private readonly inputs: tf.Tensor2D;
  private readonly next: (i: number) => Int32Array;

  constructor(
    private readonly data: Digits,
    { batch = 64, seed = 1 } = {},
  ) {
    const { normal } = random(seed);
    this.inputs = tf.tensor2d(data.images, [data.count, data.size ** 2]);
    this.variables = [normalVariable([data.size ** 2, 10], 0, normal), normalVariable([10], 0, normal)];
    this.next = shuffledBatches(data.count, batch, seed);
  }

  private logits(x: tf.Tensor2D): tf.Tensor2D {
    const [weights, bias] = this.variables as tf.Tensor[];
    return tf.add(tf.matMul(x, weights as tf.Tensor2D), bias);
  }

  readonly loss = (i: number): tf.Tensor => {
    const chosen = this.next(i);
    const x = tf.gather(this.inputs, tf.tensor1d(chosen, 'int32'));
    return crossEntropy(this.logits(x), this.data.labels, chosen);
  };

  detect(data: Digits): Float32Array {
    return tf.tidy(() => {
      const x = tf.tensor2d(data.images, [data.count, data.size ** 2]);
      return this.logits(x).dataSync<'float32'>().slice();
    });
  }

  dispose(): void {
    tf.dispose([...this.variables, this.inputs]);
  }
}

function crossEntropy(logits: tf.Tensor2D, labels: Uint8Array, chosen: Int32Array): tf.Tensor {
  const wanted = tf.oneHot(
    tf.tensor1d(
      Int32Array.from(chosen, (i) => labels[i]),
      'int32',
    ),
    10,
  );
  return tf.neg(tf.mean(tf.sum(tf.mul(wanted, tf.logSoftmax(logits)), 1)));
}

/** Every sample once in each pass, in a new order, and what is left over of a pass not at all. */
export function shuffledBatches(count: number, batch: number, seed: number): (i: number) => Int32Array {
  const { uniform } = random(seed);
  const order = Int32Array.from({ length: count }, (_, i) => i);
  const perPass = Math.floor(count / batch);
  return (i) => {
    if (i % perPass === 0)
      for (let j = count - 1; j > 0; j--) {
        const k = Math.floor(uniform() * (j + 1));
        [order[j], order[k]] = [order[k], order[j]];
      }
    return order.slice((i % perPass) * batch, ((i % perPass) + 1) * batch);
  };
}

/** Part of the digits whose largest score is that of their label. */
export function accuracy(scores: Float32Array, { labels, count }: Digits): number {
  let right = 0;
  labels.forEach((label, i) => {
    const row = scores.subarray(10 * i, 10 * i + 10);
    if (row.indexOf(Math.max(...row)) === label) right++;
  });
  return right / count;
}
