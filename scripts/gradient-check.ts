/** Checks derivatives up to the third by central differences of what stands below them. */
import * as tf from '@tensorflow/tfjs';
import { type GradientCase, type Input, type Op } from './gradient-cases.js';

/** How a derivative came out; what was thrown otherwise. */
export type Verdict = 'ok' | 'wrong' | 'no reference' | `throws: ${string}`;

type Derivative = (...xs: tf.Tensor[]) => tf.Tensor[];

/* A weight per element, none special. */
const weights = (size: number, phase: number) =>
  Float32Array.from({ length: size }, (_, i) => 1 + 0.5 * Math.sin(2 * i + phase));

/*
 * The loss: half the weighted square of the output, so that its cotangent depends on the inputs, and a cubic term, so
 * that an op without any derivative is still differentiated in a function that has all.
 */
const loss =
  (f: Op): Op =>
  (...xs) => {
    const y = f(...xs);
    const w = tf.tensor(weights(y.size, 0.3), y.shape);
    const cubes = xs.map((x) => tf.mul(0.05, tf.sum(tf.mul(tf.mul(x, x), x))));
    return tf.add(tf.mul(0.5, tf.sum(tf.mul(w, tf.mul(y, y)))), tf.addN(cubes));
  };

const directions = (xs: readonly tf.Tensor[]) => xs.map((x, i) => tf.tensor(weights(x.size, i + 1), x.shape));

/* The gradient, then the gradient of its product with a fixed direction, and so on. */
function derivative(f: Op, order: number): Derivative {
  if (order === 1) return (...xs) => tf.grads(loss(f) as never)(xs);
  const below = derivative(f, order - 1);
  const along: Op = (...xs) => tf.addN(below(...xs).map((g, i) => tf.sum(tf.mul(g, directions(xs)[i]))));
  return (...xs) => tf.grads(along as never)(xs);
}

const flat = (tensors: tf.Tensor[]): number[] => tensors.flatMap((t) => Array.from(t.dataSync()));
const tensors = (inputs: readonly Input[], values: readonly number[]): tf.Tensor[] => {
  let at = 0;
  return inputs.map(({ shape, values: own }) => tf.tensor(values.slice(at, (at += own.length)), shape));
};

/* By central differences, in float64 outside the op: of the loss for order 1, of the derivative below for others. */
function differences({ f, inputs }: GradientCase, order: number): number[] {
  const x = inputs.flatMap((input) => input.values);
  const h = 1e-2;
  const atShifted = <T>(shift: (i: number) => number, compute: (xs: tf.Tensor[]) => T): T => {
    let result!: T;
    tf.tidy(() => {
      result = compute(
        tensors(
          inputs,
          x.map((value, i) => value + shift(i)),
        ),
      );
    });
    return result;
  };
  if (order === 1) {
    const value = (xs: tf.Tensor[]) => {
      const y = f(...xs).dataSync();
      const w = weights(y.length, 0.3);
      const cubes = flat(xs).reduce((sum, v) => sum + 0.05 * v ** 3, 0);
      return Array.from(y).reduce((sum, v, i) => sum + 0.5 * w[i] * v * v, cubes);
    };
    return x.map((_, k) => {
      const at = (sign: number) => atShifted((i) => (i === k ? sign * h : 0), value);
      return (8 * (at(0.5) - at(-0.5)) - (at(1) - at(-1))) / (6 * h);
    });
  }
  const v = inputs.flatMap(({ values }, i) => Array.from(weights(values.length, i + 1)));
  const at = (sign: number) =>
    atShifted(
      (i) => sign * h * v[i],
      (xs) => flat(derivative(f, order - 1)(...xs)),
    );
  const [plus, minus, halfPlus, halfMinus] = [1, -1, 0.5, -0.5].map(at);
  return plus.map((_, i) => (8 * (halfPlus[i] - halfMinus[i]) - (plus[i] - minus[i])) / (6 * h));
}

/** References for the derivatives of order 1, 2 and 3: those below must be right. */
export function references(test: GradientCase, orders: number): (number[] | null)[] {
  return Array.from({ length: orders }, (_, k) => {
    try {
      return differences(test, k + 1);
    } catch {
      return null;
    }
  });
}

/** Compares with the references: at a relative 2%, which a missing term exceeds and rounding does not reach. */
export function verdicts({ f, inputs }: GradientCase, expected: (number[] | null)[]): Verdict[] {
  return expected.map((reference, k): Verdict => {
    if (reference === null) return 'no reference';
    try {
      const start = inputs.flatMap(({ values }) => values);
      let actual: number[] = [];
      tf.tidy(() => {
        actual = flat(derivative(f, k + 1)(...tensors(inputs, start)));
      });
      const scale = Math.max(1e-3, ...reference.map(Math.abs));
      return actual.every((a, i) => Math.abs(a - reference[i]) <= 0.02 * scale) ? 'ok' : 'wrong';
    } catch (error) {
      return `throws: ${(error as Error).message.split('\n')[0]}`;
    }
  });
}
