/** What trainings share: seeded random numbers, and Adam with a rate that falls. */
import * as tf from '@tensorflow/tfjs-core';

/** A state of plain numbers. */
export type Numbers = readonly number[] | Float64Array;

/**
 * Random numbers that are the same on every machine: Park and Miller's generator, and Box and Muller's normals. The streams
 * of two seeds are multiples of each other, modulo 1: what must be independent comes from one stream.
 */
export function random(seed: number): { uniform: () => number; normal: () => number } {
  let x = seed + 1;
  const uniform = () => (x = (48271 * x) % (2 ** 31 - 1)) / (2 ** 31 - 1);
  for (let i = 0; i < 10; i++) uniform(); // neighbouring seeds begin alike
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal };
}

/** Puts some items into random order, in place. */
export function shuffle<T extends unknown[] | Int32Array>(items: T, uniform: () => number): T {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(uniform() * (i + 1));
    [items[i], items[j]] = [items[j], items[i]];
  }
  return items;
}

/** A variable of normal numbers with standard deviation `scale`. */
export function normalVariable(shape: number[], scale: number, normal: () => number): tf.Variable {
  const values = Array.from({ length: tf.util.sizeFromShape(shape) }, () => scale * normal());
  return tf.tidy(() => tf.variable(tf.tensor(values, shape)));
}

/**
 * Adam with a rate that rises over the first twentieth, falls along half a cosine, and calls `each` with the loss before a
 * step. Without the rise Adam's first steps, all of one size, would undo what an earlier stage has learned.
 */
export function minimize(
  loss: (iteration: number) => tf.Tensor,
  variables: tf.Variable[],
  { iterations, rate, each }: { iterations: number; rate: number; each?: (i: number, loss: number) => void },
): void {
  const adam = tf.train.adam(rate);
  for (let i = 0; i < iterations; i++) {
    const rise = Math.min(1, (20 * (i + 1)) / iterations);
    // tfjs has no schedules: this is where its optimizers keep the rate.
    Object.assign(adam, { learningRate: (rise * rate * (1 + Math.cos((Math.PI * i) / iterations))) / 2 });
    const value = tf.tidy(() => adam.minimize(() => loss(i) as tf.Scalar, true, variables)!.dataSync()[0]);
    each?.(i + 1, value);
  }
  adam.dispose();
}
