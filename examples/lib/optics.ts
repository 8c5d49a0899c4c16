/**
 * Scalar wave optics on tensors of real numbers, since tfjs has no gradients of complex ones.
 *
 * A field u on N x N points is a tensor [batch, N, 2, N]: row y, part (real, imaginary), column x. Plane waves are
 * `exp(i (kx x + ky y + kz z))`, so that over a distance each component of the angular spectrum is multiplied by
 * `exp(i kz z)`, `kz = sqrt(k^2 - kx^2 - ky^2)`; an evanescent one, where kz = i kappa, by `exp(-kappa z)`.
 * Source: Goodman, Introduction to Fourier Optics, section 3.10; Matsushima & Shimobaba, https://doi.org/10.1364/OE.17.019662.
 */
import * as tf from '@tensorflow/tfjs-core';
import { odeint } from 'tfjs-diffeq';

/** Lengths in one unit, any. */
export interface Grid {
  wavelength: number;
  /** Distance of neighbouring points. */
  pitch: number;
  /** Points of an edge of the plane: N. */
  size: number;
  /**
   * Points of an edge of the grid on which plane waves are periodic: M >= N. By default 2 N: what leaves the plane is
   * lost, as behind an opaque frame. With N the plane itself is periodic, and nothing is lost.
   */
  period?: number;
}

/** A field from one complex number per point. */
export function field(size: number, value: (x: number, y: number) => readonly [number, number]): tf.Tensor4D {
  const values = new Float32Array(2 * size * size);
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const [re, im] = value(x, y);
      values[2 * y * size + x] = re;
      values[(2 * y + 1) * size + x] = im;
    }
  return tf.tensor4d(values, [1, size, 2, size]);
}

/** |u|^2: [batch, N, N]. */
export const intensity = (u: tf.Tensor4D): tf.Tensor3D => tf.sum(tf.square(u), 2);

/** i u: a product of matrices too, since on wasm `tf.reverse` and `tf.concat` take longer. */
function quarterTurn(u: tf.Tensor4D): tf.Tensor4D {
  const width = u.shape[3];
  const matrix = new Float32Array(4 * width * width);
  for (let x = 0; x < width; x++) {
    matrix[2 * x * width + width + x] = 1;
    matrix[2 * (width + x) * width + x] = -1;
  }
  return rows(u, tf.tensor2d(matrix, [2 * width, 2 * width]));
}

/**
 * u exp(i phase), with a phase [N, N]: what a thin transparent plate does.
 *
 * Its gradient is written out, `u* = g exp(-i phase)` and `phase* = sum of Re(conj(g) i u exp(i phase))` over the batch: half
 * of the memory that the tape of its ops would hold.
 */
export function throughPlate(u: tf.Tensor4D, phase: tf.Tensor2D): tf.Tensor4D {
  const op = tf.customGrad((u, phase, save) => {
    const passed = turn(u as tf.Tensor4D, phase as tf.Tensor2D);
    (save as tf.GradSaveFunc)([passed, phase as tf.Tensor]);
    return {
      value: passed,
      gradFunc: (g: tf.Tensor, saved: tf.Tensor[]) => {
        const [passed, phase] = saved as [tf.Tensor4D, tf.Tensor2D];
        const ofField = throughPlate(g as tf.Tensor4D, tf.neg(phase));
        return [ofField, tf.sum(tf.mul(g, quarterTurn(passed)), [0, 2])];
      },
    };
  });
  return op(u, phase) as tf.Tensor4D;
}

/** The same by ops with gradients of their own. */
export function turn(u: tf.Tensor4D, phase: tf.Tensor2D): tf.Tensor4D {
  const columns = tf.expandDims(phase, 1);
  return tf.add(tf.mul(u, tf.cos(columns)), tf.mul(quarterTurn(u), tf.sin(columns)));
}

/**
 * The real matrix [2 N, 2 M] that multiplies rows (real parts, imaginary parts) by `exp(sign 2 pi i x f / max(N, M)) /
 * sqrt(max(N, M))`: the unitary discrete Fourier transform of rows of N of M points, or its inverse cut to M of N.
 */
function fourierMatrix(from: number, to: number, sign: 1 | -1): Float32Array {
  const period = Math.max(from, to);
  const matrix = new Float32Array(4 * from * to);
  for (let x = 0; x < from; x++)
    for (let f = 0; f < to; f++) {
      const angle = (sign * 2 * Math.PI * ((x * f) % period)) / period;
      const [c, s] = [Math.cos(angle) / Math.sqrt(period), Math.sin(angle) / Math.sqrt(period)];
      matrix[2 * x * to + f] = matrix[2 * (from + x) * to + to + f] = c;
      matrix[(2 * x + 1) * to + f] = s;
      matrix[2 * (from + x) * to + f] = -s;
    }
  return matrix;
}

/** kz of component (fx, fy) of the discrete transform, as a complex number: [kz, 0], or [0, kappa] of an evanescent wave. */
export function axialWaveNumber({ wavelength, pitch, size, period = 2 * size }: Grid) {
  const step = 1 / (period * pitch);
  const frequency = (f: number) => (f < period / 2 ? f : f - period) * step;
  return (fx: number, fy: number): [number, number] => {
    const square = 1 / wavelength ** 2 - frequency(fx) ** 2 - frequency(fy) ** 2;
    const kz = 2 * Math.PI * Math.sqrt(Math.abs(square));
    return square >= 0 ? [kz, 0] : [0, kz];
  };
}

/**
 * Above this frequency `exp(i kz z)` turns faster than the grid can follow, and waves would come back through its border:
 * `1 / (wavelength sqrt((2 z / (M pitch))^2 + 1))`, Matsushima & Shimobaba's equation 20.
 */
export const highestFrequency = ({ wavelength, pitch, size, period = 2 * size }: Grid, distance: number) =>
  1 / (wavelength * Math.hypot((2 * distance) / (period * pitch), 1));

/** Free space between two planes; dispose it. */
export class Propagation {
  private readonly transform: tf.Tensor2D;
  private readonly inverse: tf.Tensor2D;
  /** Real and imaginary part of `exp(i kz z)`, each [M, 1, M]. */
  private readonly kernel: tf.Tensor3D[];

  constructor(
    readonly grid: Grid,
    readonly distance: number,
  ) {
    const { size, period = 2 * size } = grid;
    this.transform = tf.tensor2d(fourierMatrix(size, period, -1), [2 * size, 2 * period]);
    this.inverse = tf.tensor2d(fourierMatrix(period, size, 1), [2 * period, 2 * size]);
    const kz = axialWaveNumber(grid);
    const parts = [0, 1].map(() => new Float32Array(period ** 2));
    for (let fx = 0; fx < period; fx++)
      for (let fy = 0; fy < period; fy++) {
        const [phase, decay] = kz(fx, fy).map((k) => k * distance);
        parts[0][fx * period + fy] = Math.exp(-decay) * Math.cos(phase);
        parts[1][fx * period + fy] = Math.exp(-decay) * Math.sin(phase);
      }
    this.kernel = parts.map((part) => tf.tensor3d(part, [period, 1, period]));
  }

  /**
   * The field a distance further on. The gradient of a linear map is its adjoint: here the same map with the conjugate
   * kernel, which undoes propagating waves. So nothing is saved.
   */
  apply(u: tf.Tensor4D, conjugate = false): tf.Tensor4D {
    const op = tf.customGrad((u) => ({
      value: this.byOps(u as tf.Tensor4D, conjugate),
      gradFunc: (g: tf.Tensor) => [this.apply(g as tf.Tensor4D, !conjugate)],
    }));
    return op(u) as tf.Tensor4D;
  }

  /** The same by ops with gradients of their own. */
  byOps(u: tf.Tensor4D, conjugate = false): tf.Tensor4D {
    const [re, im] = this.kernel;
    const spectrum = rows(transposed(rows(u, this.transform)), this.transform); // [batch, fx, 2, fy]
    const [inPhase, turnedOn] = [tf.mul(spectrum, re), tf.mul(quarterTurn(spectrum), im)];
    const moved = (conjugate ? tf.sub(inPhase, turnedOn) : tf.add(inPhase, turnedOn)) as tf.Tensor4D;
    return rows(transposed(rows(moved, this.inverse)), this.inverse);
  }

  dispose(): void {
    tf.dispose([this.transform, this.inverse, this.kernel]);
  }
}

/** Every row times a matrix [2 N, 2 M]: one product of two matrices, which is what backends are fastest at. */
function rows(u: tf.Tensor4D, matrix: tf.Tensor2D): tf.Tensor4D {
  const [batch, height, , width] = u.shape;
  const product = tf.matMul(tf.reshape(u, [batch * height, 2 * width]), matrix);
  return tf.reshape(product, [batch, height, 2, matrix.shape[1] / 2]);
}

const transposed = (u: tf.Tensor4D): tf.Tensor4D => tf.transpose(u, [0, 3, 2, 1]);

/**
 * `dA/dz = i kz A` from A = 1, one equation for each component of the angular spectrum, solved on plain numbers: [re, im] at
 * the distance, beside the exact `exp(i kz z)`. State: the real parts, then the imaginary ones.
 */
export function spectrumByOdeint(
  grid: Grid,
  distance: number,
  options: { method?: 'dopri5' | 'leapfrog'; rtol?: number; atol?: number; stepSize?: number } = {},
): { solved: [number, number][]; exact: [number, number][] } {
  const { size, period = 2 * size } = grid;
  const kz = axialWaveNumber(grid);
  const all = Array.from({ length: period ** 2 }, (_, i) => kz(Math.floor(i / period), i % period));
  // Leapfrog wants q' to depend on p only, and so do propagating waves.
  const numbers = options.method === 'leapfrog' ? all.filter(([, kappa]) => kappa === 0) : all;
  const n = numbers.length;
  const slopes = (_z: number, a: Float64Array) => {
    const d = new Float64Array(2 * n);
    numbers.forEach(([k, kappa], i) => {
      d[i] = -kappa * a[i] - k * a[n + i];
      d[n + i] = k * a[i] - kappa * a[n + i];
    });
    return d;
  };
  const start = Float64Array.from({ length: 2 * n }, (_, i) => (i < n ? 1 : 0));
  const [, end] = odeint(slopes, start, [0, distance], options);
  return {
    solved: numbers.map((_, i): [number, number] => [end[i], end[n + i]]),
    exact: numbers.map(([k, kappa]): [number, number] => {
      const left = Math.exp(-kappa * distance);
      return [left * Math.cos(k * distance), left * Math.sin(k * distance)];
    }),
  };
}
