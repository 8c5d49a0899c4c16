/** The first gradients one takes: of a parabola, and of a network 10-20-1 that learns a function that is known. */
import * as tf from '@tensorflow/tfjs-core';

/** `d(x^2 + 2 x + 1)/dx = 2 x + 2`. */
export const parabola = (x: tf.Tensor): tf.Tensor => tf.add(tf.add(tf.square(x), tf.mul(2, x)), 1);

export const slopeOfParabola = (x: number): number =>
  tf.tidy(() => tf.grad(parabola)(tf.scalar(x)).dataSync()[0]);

/** Standard deviation of the noise: no model has a smaller error on data it has not seen. */
export const noise = 1;

/**
 * Friedman's function of ten inputs in [0, 1], of which the last five do nothing,
 * `10 sin(pi x1 x2) + 20 (x3 - 1/2)^2 + 10 x4 + 5 x5`. Source: https://doi.org/10.1214/aos/1176347963.
 */
export function friedman(x: tf.Tensor2D): tf.Tensor2D {
  const [x1, x2, x3, x4, x5] = tf.split(x, 10, 1);
  const wave = tf.mul(10, tf.sin(tf.mul(Math.PI, tf.mul(x1, x2))));
  const bowl = tf.mul(20, tf.square(tf.sub(x3, 0.5)));
  return tf.addN([wave, bowl, tf.mul(10, x4), tf.mul(5, x5)]) as tf.Tensor2D;
}

export interface Data {
  x: tf.Tensor2D;
  /** Without noise. */
  clean: tf.Tensor2D;
  y: tf.Tensor2D;
}

export const draw = (rows: number, seed: number): Data =>
  tf.tidy(() => {
    const x = tf.randomUniform([rows, 10], 0, 1, 'float32', seed) as tf.Tensor2D;
    const clean = friedman(x);
    return {
      x,
      clean,
      y: tf.add<tf.Tensor2D>(clean, tf.randomNormal([rows, 1], 0, noise, 'float32', seed + 1)),
    };
  });

/** Root of the mean of the squares. */
export const rms = (x: tf.Tensor): number => tf.tidy(() => tf.sqrt(tf.mean(tf.square(x))).dataSync()[0]);

/** A network 10-20-1 with tanh; dispose it. */
export class Network {
  private readonly variables: tf.Variable[];
  private readonly adam = tf.train.adam(0.02);

  constructor(seed = 1) {
    const glorot = (n: number, m: number, seed: number) =>
      tf.truncatedNormal([n, m], 0, Math.sqrt(2 / (n + m)), 'float32', seed);
    this.variables = tf.tidy(() =>
      [glorot(10, 20, seed), tf.zeros([20]), glorot(20, 1, seed + 1), tf.fill([1], 14)].map((x) =>
        tf.variable(x),
      ),
    );
  }

  predict = (x: tf.Tensor): tf.Tensor2D => {
    const [w1, b1, w2, b2] = this.variables;
    const hidden = tf.tanh(tf.add(tf.matMul(x as tf.Tensor2D, w1 as tf.Tensor2D), b1));
    return tf.add(tf.matMul(hidden, w2 as tf.Tensor2D), b2);
  };

  error = ({ x, y }: Pick<Data, 'x' | 'y'>): number => tf.tidy(() => rms(tf.sub(this.predict(x), y)));

  /** Adam on batches, with a rate that falls along half a cosine. */
  fit({ x, y }: Data, epochs: number, batch: number, each: (epoch: number) => void = () => {}): void {
    const rows = x.shape[0];
    for (let epoch = 0; epoch < epochs; epoch++) {
      Object.assign(this.adam, { learningRate: 0.01 * (1 + Math.cos((Math.PI * epoch) / epochs)) });
      for (let from = 0; from < rows; from += batch) {
        tf.tidy(() => {
          const [xs, ys] = [x, y].map((all) => tf.slice(all, [from, 0], [Math.min(batch, rows - from), -1]));
          this.adam.minimize(
            () => tf.mean(tf.squaredDifference(this.predict(xs), ys)) as tf.Scalar,
            false,
            this.variables,
          );
        });
      }
      each(epoch + 1);
    }
  }

  /** Mean gradient of the prediction in each of the ten inputs. */
  meanSlopes(x: tf.Tensor2D): Float32Array {
    return tf.tidy(() => tf.mean(tf.grad(this.predict)(x), 0).dataSync() as Float32Array);
  }

  dispose(): void {
    this.adam.dispose();
    tf.dispose(this.variables);
  }
}

/** Mean gradient of Friedman's function itself. */
export const exactSlopes = (x: tf.Tensor2D): Float32Array =>
  tf.tidy(() => tf.mean(tf.grad((x) => friedman(x as tf.Tensor2D))(x), 0).dataSync() as Float32Array);
