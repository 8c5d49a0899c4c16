/**
 * Handwritten digits sorted by light: each is the amplitude of a coherent field, and the plates send most of it to one of ten
 * detectors. Beside it a linear classifier. After Lin et al., https://doi.org/10.1126/science.aat8084; the loss is that of
 * Mengu et al., https://doi.org/10.1109/JSTQE.2019.2921376: a softmax of the detectors' signals.
 */
import * as tf from '@tensorflow/tfjs-core';
import { crossEntropy } from './classification.js';
import type { Digits } from './digits.js';
import { intensity } from './optics.js';
import { DiffractiveNetwork } from './optical_network.js';
import { random } from './training.js';

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

/** What the shares, numbers from 0 to 1, are multiplied by: a softmax of them alone could never be sure. */
const sharpness = 25;

export interface ClassifierOptions {
  plates?: number;
  batch?: number;
}

/** Seed of the order of the digits: the classifiers compared see the same batches. */
const seed = 1;

/** Plates that send the light of a digit to its detector; dispose it. */
export class ClassifierTraining {
  readonly network: DiffractiveNetwork;
  private readonly masks: tf.Tensor2D;
  private readonly inputs: tf.Tensor4D;
  private readonly next: (i: number) => Int32Array;

  constructor(
    private readonly data: Digits,
    { plates = 5, batch = 32 }: ClassifierOptions = {},
  ) {
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
    this.next = shuffledBatches(data.count, batch);
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
    return crossEntropy(tf.mul(sharpness, this.shares(u)), labelsOf(this.data, chosen));
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
    { batch = 32 } = {},
  ) {
    this.inputs = tf.tensor2d(data.images, [data.count, data.size ** 2]);
    this.variables = [[data.size ** 2, 10], [10]].map((shape) => tf.tidy(() => tf.variable(tf.zeros(shape))));
    this.next = shuffledBatches(data.count, batch);
  }

  private logits(x: tf.Tensor2D): tf.Tensor2D {
    const [weights, bias] = this.variables as tf.Tensor[];
    return tf.add(tf.matMul(x, weights as tf.Tensor2D), bias);
  }

  readonly loss = (i: number): tf.Tensor => {
    const chosen = this.next(i);
    const x = tf.gather(this.inputs, tf.tensor1d(chosen, 'int32'));
    return crossEntropy(this.logits(x), labelsOf(this.data, chosen));
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

const labelsOf = ({ labels }: Digits, chosen: Int32Array) => chosen.map((i) => labels[i]);

/** Every sample once in each pass, in a new order, and what is left over of a pass not at all. */
function shuffledBatches(count: number, batch: number): (i: number) => Int32Array {
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
