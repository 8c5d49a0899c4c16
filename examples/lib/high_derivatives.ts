/** Derivatives of tanh by `tf.grad` of `tf.grad` of ..., and their closed forms. */
import * as tf from '@tensorflow/tfjs-core';
import { repairGradients, restoreStockGradients } from 'tfjs-diffeq';

/**
 * Coefficients of the polynomial `P_n` of which the `n`-th derivative of tanh is `P_n(tanh x)`:
 * `P_0 = u`, `P_(n+1) = P_n'(u) (1 - u^2)`.
 */
export function tanhPolynomial(n: number): number[] {
  let p = [0, 1];
  for (let k = 0; k < n; k++) {
    const slope = p.map((c, i) => c * i).slice(1);
    p = [...slope, 0, 0].map((c, i) => c - (slope[i - 2] ?? 0));
  }
  return p;
}

export function exactDerivative(n: number, x: number): number {
  const u = Math.tanh(x);
  return tanhPolynomial(n).reduceRight((sum, c) => sum * u + c, 0);
}

type Scalarwise = (x: tf.Tensor) => tf.Tensor;

function nested(f: Scalarwise, n: number, points: readonly number[]): number[] {
  let derivative = f;
  for (let k = 0; k < n; k++) derivative = tf.grad(derivative);
  return tf.tidy(() => Array.from(derivative(tf.tensor1d([...points])).dataSync()));
}

/** The `n`-th derivative of tanh at `points`, by `n` nested gradients. */
export const nestedDerivative = (n: number, points: readonly number[]): number[] =>
  nested(tf.tanh, n, points);

/** What `action` returns with the gradients of tfjs as they are without this package. */
export function withStockGradients<T>(action: () => T): T {
  restoreStockGradients();
  try {
    return action();
  } finally {
    repairGradients();
  }
}

/**
 * The same as a part of `tanh(x) + x^8 / 8!`: less the derivative of the power, which tfjs has right. Of tanh alone its
 * own second derivative throws; in a sum with other functions of `x` nothing is noticed.
 */
export function derivativeInSum(n: number, points: readonly number[]): number[] {
  const power: Scalarwise = (x) => tf.div(tf.square(tf.square(tf.square(x))), factorial(8));
  const sum = nested((x) => tf.add(tf.tanh(x), power(x)), n, points);
  return sum.map((value, i) => value - points[i] ** (8 - n) / factorial(8 - n));
}

const factorial = (n: number): number => (n === 0 ? 1 : n * factorial(n - 1));

/** The largest difference to the closed form, relative to the largest value of that. */
export function largestError(n: number, points: readonly number[], values: readonly number[]): number {
  const exact = points.map((x) => exactDerivative(n, x));
  const scale = Math.max(...exact.map(Math.abs));
  return Math.max(...values.map((value, i) => Math.abs(value - exact[i]))) / scale;
}
