/**
 * Schemes for a batch of scalar stochastic differential equations (Ito) `dX = f(X) dt + sigma(X) dW`, every op of which is on
 * tfjs's tape, and geometric Brownian motion, `dX = lambda X dt + mu X dW`, which has everything in closed form.
 *
 * Sources: D. J. Higham, https://doi.org/10.1137/S0036144500378302; P. E. Kloeden and E. Platen,
 * https://doi.org/10.1007/978-3-662-12616-5.
 */
import * as tf from '@tensorflow/tfjs-core';
import { odeint } from 'tfjs-diffeq';
import { random } from './training.js';
import { mean } from './numbers.js';

/** On tensors of any shape. */
export interface Sde {
  drift: (x: tf.Tensor) => tf.Tensor;
  diffusion: (x: tf.Tensor) => tf.Tensor;
  /** Of the diffusion: sigma'(x). */
  slope: (x: tf.Tensor) => tf.Tensor;
}

/** `x` after a step `h` with an increment `dW` of the shape of `x`. */
export type Scheme = (sde: Sde, x: tf.Tensor, h: number, dW: tf.Tensor) => tf.Tensor;

/** `x + f h + sigma dW`: strong order 1/2, weak order 1. */
export const eulerMaruyama: Scheme = ({ drift, diffusion }, x, h, dW) =>
  tf.add(x, tf.add(tf.mul(drift(x), h), tf.mul(diffusion(x), dW)));

/** Euler and Maruyama's step `+ sigma sigma' (dW^2 - h) / 2`: strong order 1, weak order 1. */
export const milstein: Scheme = ({ drift, diffusion, slope }, x, h, dW) => {
  const sigma = diffusion(x);
  const correction = tf.mul(tf.mul(sigma, slope(x)), tf.mul(tf.sub(tf.square(dW), h), 0.5));
  return tf.add(tf.add(x, tf.mul(drift(x), h)), tf.add(tf.mul(sigma, dW), correction));
};

/**
 * Heun's method on the Stratonovich equation of the same solution, whose drift is `f - sigma sigma' / 2`: strong order 1 for
 * one noise, weak order 1. Heun's method on f itself would solve another equation.
 */
export const stochasticHeun: Scheme = ({ drift, diffusion, slope }, x, h, dW) => {
  const increment = (at: tf.Tensor) => {
    const sigma = diffusion(at);
    const stratonovich = tf.sub(drift(at), tf.mul(tf.mul(sigma, slope(at)), 0.5));
    return tf.add(tf.mul(stratonovich, h), tf.mul(sigma, dW));
  };
  const first = increment(x);
  return tf.add(x, tf.mul(tf.add(first, increment(tf.add(x, first))), 0.5));
};

export const schemes = { 'Euler-Maruyama': eulerMaruyama, Milstein: milstein, Heun: stochasticHeun };

/** Where a path is after as many steps as there are increments. */
export function integrate(scheme: Scheme, sde: Sde, x0: tf.Tensor, h: number, dW: tf.Tensor[]): tf.Tensor {
  return dW.reduce((x, increment) => scheme(sde, x, h, increment), x0);
}

/** Brownian increments over `steps` steps of `h`, one row of `paths` per step. */
export function increments(steps: number, paths: number, h: number, seed: number): Float64Array[] {
  const { normal } = random(seed);
  return Array.from({ length: steps }, () =>
    Float64Array.from({ length: paths }, () => Math.sqrt(h) * normal()),
  );
}

/** The same Brownian paths in steps that are `factor` times as long. */
export function coarsen(dW: Float64Array[], factor: number): Float64Array[] {
  return Array.from({ length: dW.length / factor }, (_, i) =>
    dW[0].map((_x, path) => dW.slice(i * factor, (i + 1) * factor).reduce((sum, row) => sum + row[path], 0)),
  );
}

/** X(0) = 1, and the end is at 1. With more noise than this the tails of X^2 want more paths than are drawn here. */
export const geometric = { lambda: 1, mu: 0.5 };
const { lambda, mu } = geometric;
/** The drift of the Stratonovich equation: `X = exp(drift t + mu W)`. */
const stratonovichDrift = lambda - mu ** 2 / 2;

export const geometricSde: Sde = {
  drift: (x) => tf.mul(x, lambda),
  diffusion: (x) => tf.mul(x, mu),
  slope: (x) => tf.fill(x.shape, mu),
};

export const geometricExact = (t: number, w: number): number => Math.exp(stratonovichDrift * t + mu * w);

export interface SchemeErrors {
  /** `sqrt(E (X_N - X(1))^2)` */
  strong: number;
  /** `E X_N - E X(1)` */
  weak: number;
}

/** The errors at t = 1 along given paths, and the standard error of the weak one. */
export function sampledErrors(scheme: Scheme, dW: Float64Array[]): SchemeErrors & { standardError: number } {
  const end = dW[0].map((_x, path) =>
    geometricExact(
      1,
      dW.reduce((sum, row) => sum + row[path], 0),
    ),
  );
  const computed = tf.tidy(() => {
    const x0 = tf.ones([end.length]);
    const rows = dW.map((row) => tf.tensor1d(Float32Array.from(row)));
    return integrate(scheme, geometricSde, x0, 1 / dW.length, rows).dataSync();
  });
  const errors = Array.from(end, (x, path) => computed[path] - x);
  const weak = mean(errors);
  const strong = Math.sqrt(mean(errors.map((e) => e * e)));
  return { strong, weak, standardError: Math.sqrt((strong ** 2 - weak ** 2) / end.length) };
}

/**
 * The same errors exactly. A step multiplies X by a factor `R(dW)`, independent from step to step, and the solution by
 * `S(dW)`; the expectation is `(E R^2)^N - 2 (E R S)^N + (E S^2)^N`.
 */
export function exactErrors(scheme: Scheme, steps: number): SchemeErrors {
  const h = 1 / steps;
  // The trapezoidal rule under a normal density: its error is below rounding
  const z = Array.from({ length: 401 }, (_, i) => (i - 200) / 16);
  const factor = stepFactor(scheme, h);
  const expectation = (g: (w: number) => number) =>
    z.reduce((sum, x) => sum + g(Math.sqrt(h) * x) * Math.exp((-x * x) / 2), 0) / 16 / Math.sqrt(2 * Math.PI);
  const R = factor;
  const S = (w: number) => geometricExact(h, w);
  const power = (g: (w: number) => number) => expectation(g) ** steps;
  const square = power((w) => R(w) ** 2) - 2 * power((w) => R(w) * S(w)) + power((w) => S(w) ** 2);
  return { strong: Math.sqrt(square), weak: power(R) - Math.exp(lambda) };
}

/** In float64, by hand: the errors are differences of large numbers. */
function stepFactor(scheme: Scheme, h: number): (w: number) => number {
  if (scheme === eulerMaruyama) return (w) => 1 + lambda * h + mu * w;
  if (scheme === milstein) return (w) => 1 + lambda * h + mu * w + (mu ** 2 / 2) * (w * w - h);
  return (w) => {
    const s = stratonovichDrift * h + mu * w;
    return 1 + s + s ** 2 / 2;
  };
}

/** Least squares of log(error) on log(h): the order. */
export function order(h: number[], errors: number[]): number {
  const [x, y] = [h.map(Math.log), errors.map((e) => Math.log(Math.abs(e)))];
  const [mx, my] = [mean(x), mean(y)];
  return mean(x.map((a, i) => (a - mx) * (y[i] - my))) / mean(x.map((a) => (a - mx) ** 2));
}

/**
 * Wong and Zakai (https://doi.org/10.1214/aoms/1177699916): driven by broken lines through `W(0), W(h), W(2h), ...` the ordinary
 * differential equation `X' = a X + mu X W'` has, as h shrinks, the solution of the Stratonovich equation with drift a as its
 * limit. `odeint` is told the knots by `jumpT`: W' jumps there.
 *
 * @returns The rms difference from the closed form at the knots, and at all times of `fine` increments.
 */
export function wongZakai(fine: Float64Array[], factor: number): { knots: number; between: number } {
  const dW = coarsen(fine, factor);
  const [steps, paths] = [dW.length, fine[0].length];
  const knots = Array.from({ length: steps + 1 }, (_, i) => i / steps);
  const times = Array.from({ length: fine.length + 1 }, (_, i) => i / fine.length);
  const field = (t: number, y: Float64Array) => {
    const slopes = dW[Math.min(steps - 1, Math.floor(t * steps))];
    return y.map((x, path) => x * (stratonovichDrift + mu * slopes[path] * steps));
  };
  const start = new Float64Array(paths).fill(1);
  const states = odeint(field, start, times, { jumpT: knots.slice(1, -1), rtol: 1e-8, atol: 1e-10 });
  const w = new Float64Array(paths);
  const squares = times.map((t, i) => {
    if (i > 0) fine[i - 1].forEach((increment, path) => (w[path] += increment));
    return mean(Array.from(states[i], (x, path) => (x - geometricExact(t, w[path])) ** 2));
  });
  const atKnots = squares.filter((_, i) => i % factor === 0);
  return { knots: Math.sqrt(mean(atKnots)), between: Math.sqrt(mean(squares)) };
}

/**
 * The second of these exactly. Between the knots W is its broken line L plus a bridge B, independent of it, of variance
 * `v = tau (1 - tau) h`; the difference is `exp(a t + mu L) (exp(mu B) - 1)`.
 */
export function wongZakaiExact(steps: number, factor: number): number {
  const squares = Array.from({ length: steps * factor + 1 }, (_, i) => {
    const [t, tau] = [i / (steps * factor), (i % factor) / factor];
    const v = (tau * (1 - tau)) / steps;
    const line = Math.exp(2 * stratonovichDrift * t + 2 * mu ** 2 * (t - v));
    return line * (Math.exp(2 * mu ** 2 * v) - 2 * Math.exp((mu ** 2 * v) / 2) + 1);
  });
  return Math.sqrt(mean(squares));
}
