/**
 * A multilayer perceptron for digits of 8 x 8 pixels, trained on images that are deformed a little each time they are seen.
 */
import * as tf from '@tensorflow/tfjs-core';
import { adam, cosineDecay, valueAndGrad } from 'tfjs-diffeq/optim';
import { crossEntropy } from './classification.js';
import type { Digits } from './digits.js';
import { random, shuffle } from './training.js';
import { warper, type WarpOptions } from './warps.js';

export const size = 8;
/** The central square that holds almost all ink. */
export const window = 24;
const classes = 10;

/** Chosen on a part of the seen digits. */
const deformation: WarpOptions = { turn: 0.12, scale: 0.1, shear: 0.15, shift: 0.8, elastic: 1.6 };

/** Weights and biases in turn: [w1, b1, w2, b2, ...]. */
export type Weights = tf.Tensor[];

/** He's normal weights (https://doi.org/10.1109/ICCV.2015.123) for layers of these widths, the input first. */
export function initialWeights(widths: number[], seed: number): Weights {
  const { normal } = random(seed);
  return widths.slice(1).flatMap((width, i) => {
    const values = Array.from({ length: widths[i] * width }, () => Math.sqrt(2 / widths[i]) * normal());
    return [tf.tensor2d(values, [widths[i], width]), tf.zeros([width])];
  });
}

/** About the mean of a pixel: without it all inputs are positive, and the gradients in a unit's weights have one sign. */
const meanPixel = 0.15;

/** relu between layers; the last are the logits, [batch, 10]. */
export function logits(weights: Weights, x: tf.Tensor): tf.Tensor2D {
  let y = tf.sub(x, meanPixel);
  for (let i = 0; i < weights.length; i += 2) {
    y = tf.add(tf.matMul(y as tf.Tensor2D, weights[i] as tf.Tensor2D), weights[i + 1]);
    if (i + 2 < weights.length) y = tf.relu(y);
  }
  return y as tf.Tensor2D;
}

export interface TrainingOptions {
  widths: number[];
  iterations: number;
  batch: number;
  rate: number;
  smoothing: number;
  seed?: number;
  each?: (iteration: number, loss: number) => void;
}

export const defaults: TrainingOptions = {
  widths: [size * size, 320, 256, classes],
  iterations: 8000,
  batch: 128,
  rate: 2e-3,
  smoothing: 0.1,
};

/** How far back the mean of the weights looks, as a part of the run. */
const memory = 0.1;

/** Adam along half a cosine; returns a mean of the last weights, with weights that decay exponentially; dispose it. */
export function train(originals: Digits, options: TrainingOptions): Weights {
  const { widths, iterations, batch, rate, smoothing, seed = 1, each } = options;
  const next = batches(originals, batch, seed);
  const optimizer = adam(cosineDecay(rate, { steps: iterations, floor: 0.01 }));
  let params = initialWeights(widths, seed);
  let state = optimizer.init(params);
  const decay = 1 - 1 / (1 + memory * iterations);
  let mean = params.map((w) => tf.zerosLike(w));
  let weight = 0;
  for (let i = 0; i < iterations; i++) {
    const { x, labels } = next();
    const loss = (w: Weights) => crossEntropy(logits(w, x), labels, smoothing);
    const { value, grads } = valueAndGrad(loss, params);
    const updated = optimizer.update(grads, state, params);
    const moved = mean.map((m, j) =>
      tf.tidy(() => tf.add(tf.mul(m, decay), tf.mul(updated.params[j], 1 - decay))),
    );
    weight = weight * decay + 1 - decay;
    each?.(i + 1, value.dataSync()[0]);
    tf.dispose([x, value, grads, params, state, mean] as tf.TensorContainer);
    ({ params, state } = updated);
    mean = moved;
  }
  const result = mean.map((m) => tf.tidy(() => tf.div(m, weight)));
  tf.dispose([params, state, mean] as tf.TensorContainer);
  return result;
}

/** An endless walk through the images, in a new order each time round. */
function batches(originals: Digits, batch: number, seed: number) {
  const { uniform } = random(seed + 1000);
  const { count, images, labels } = originals;
  const warp = warper({ size, window }, deformation, seed + 2000);
  const order = Int32Array.from({ length: count }, (_, i) => i);
  let place = count;
  return () => {
    const x = new Float32Array(batch * size * size);
    const chosen = Array.from({ length: batch }, () => {
      if (place === count) {
        shuffle(order, uniform);
        place = 0;
      }
      return order[place++];
    });
    const pixels = originals.size ** 2;
    chosen.forEach((from, i) =>
      warp(images.subarray(from * pixels, (from + 1) * pixels), x, i * size * size),
    );
    return { x: tf.tensor2d(x, [batch, size * size]), labels: chosen.map((from) => labels[from]) };
  };
}

/** Probabilities of the ten digits, [count, 10] row by row. */
export function classify(weights: Weights, images: Digits): Float32Array {
  return tf.tidy(() => {
    const x = tf.tensor2d(images.images, [images.count, images.size ** 2]);
    return tf.softmax(logits(weights, x)).dataSync() as Float32Array;
  });
}

export interface Verdict {
  accuracy: number;
  /** [label][read] */
  confusion: number[][];
  /** Those read wrongly, and the probability of what was read instead. */
  wrong: { index: number; label: number; read: number; probability: number }[];
}

export function judge(probabilities: Float32Array, labels: Uint8Array): Verdict {
  const confusion = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  const wrong: Verdict['wrong'] = [];
  labels.forEach((label, index) => {
    const row = probabilities.subarray(index * classes, (index + 1) * classes);
    const read = row.indexOf(Math.max(...row));
    confusion[label][read]++;
    if (read !== label) wrong.push({ index, label, read, probability: row[read] });
  });
  return { accuracy: 1 - wrong.length / labels.length, confusion, wrong };
}
