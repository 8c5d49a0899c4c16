/**
 * Tensors are float32: what the solvers compute on them agrees with the float64 engine, on every backend, and the
 * error norm does not lose digits on large states.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { odeint, odeintDense, solve } from 'tfjs-diffeq';
import * as solvers from 'tfjs-diffeq/solvers';
import { onBackends } from './backends.js';
import { fields, referenceProblems } from './reference_problems.js';
import { generalMethods } from './methods.js';

const tableaus = Object.values(solvers).filter(
  (value): value is solvers.ButcherTableau & { name: solvers.MethodName } =>
    value instanceof solvers.ButcherTableau,
);
const adaptive = tableaus.filter((tableau) => tableau.bEmbedded).map((tableau) => tableau.name);

const rtol = 1e-5;
const atol = 1e-6;

/** The problems of reference_problems.ts, in tfjs ops on one tensor of shape [n]. */
const tensorFields: Record<string, (t: tf.Scalar, y: tf.Tensor) => tf.Tensor> = {
  sine_decay: (t, y) => tf.sub(tf.sin(t), y),
  harmonic: (_t, y) => tf.mul(tf.reverse(y), [1, -1]),
  lotka_volterra: (_t, y) => {
    const [prey, hunters] = tf.split(y, 2);
    const met = tf.mul(prey, hunters);
    return tf.concat([
      tf.sub(tf.mul(0.55, prey), tf.mul(0.028, met)),
      tf.sub(tf.mul(0.026, met), tf.mul(0.84, hunters)),
    ]);
  },
  detest_a3: (t, y) => tf.mul(y, tf.cos(t)),
};

/** The largest `|a - b| / (atol + rtol |b|)`. */
function inTolerances(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Math.max(...Array.from(b, (value, i) => Math.abs(a[i] - value) / (atol + rtol * Math.abs(value))));
}

const flat = (ys: Float64Array[]): number[] => ys.flatMap((y) => [...y]);

onBackends(['cpu', 'wasm', 'tensorflow'], () => {
  for (const method of adaptive) {
    for (const [name, field] of Object.entries(tensorFields)) {
      it(`${method} agrees with float64 on ${name} to 5 tolerances, at rtol 1e-5 and atol 1e-6`, () => {
        const { y0, t: grid } = referenceProblems[name];
        const t = method === 'adaptive_heun' ? grid.slice(0, 3) : grid; // it takes some hundred steps per unit
        const options = { method, rtol, atol };
        const expected = odeint(fields[name], y0, t, options);
        const ys = tf.tidy(() => odeint(field, tf.tensor1d(y0), t, options).dataSync());
        expect(inTolerances(ys, flat(expected))).to.be.below(5);
      });
    }
  }

  for (const method of generalMethods) {
    it(`${method} agrees with float64 to float32 rounding, step by step and between the steps`, () => {
      // 40 steps of relative rounding 2^-24 each, amplified little: a few 1e-6.
      const options = { method, stepSize: 0.25 };
      const { y0 } = referenceProblems.lotka_volterra;
      const t = [0, 0.1, 1, 3.3, 7.35, 10];
      const expected = flat(odeint(fields.lotka_volterra, y0, t, options));
      const ys = tf.tidy(() => odeint(tensorFields.lotka_volterra, tf.tensor1d(y0), t, options).dataSync());
      expected.forEach((value, i) => expect(ys[i] / value).to.be.closeTo(1, 1e-5));
    });
  }

  it('a tree of scalars is solved like one tensor with the largest component as its norm', () => {
    // The default norm is the root mean square in each leaf, then the largest leaf.
    const { y0, t } = referenceProblems.lotka_volterra;
    const field = (_t: tf.Scalar, y: { prey: tf.Tensor; hunters: tf.Tensor }) => {
      const met = tf.mul(y.prey, y.hunters);
      return {
        hunters: tf.sub(tf.mul(0.026, met), tf.mul(0.84, y.hunters)),
        prey: tf.sub(tf.mul(0.55, y.prey), tf.mul(0.028, met)),
      };
    };
    tf.tidy(() => {
      const expected = odeint(tensorFields.lotka_volterra, tf.tensor1d(y0), t, { norm: 'max' }).dataSync();
      const { prey, hunters } = odeint(field, { prey: tf.scalar(y0[0]), hunters: tf.scalar(y0[1]) }, t);
      expect(inTolerances(tf.stack([prey, hunters], 1).dataSync(), expected)).to.be.below(1);
    });
  });

  it('dense output and its derivative agree with the closed form', () => {
    // y = 1.5 exp(-t) + (sin t - cos t) / 2
    const exact = (t: number) => 1.5 * Math.exp(-t) + (Math.sin(t) - Math.cos(t)) / 2;
    const slope = (t: number) => Math.sin(t) - exact(t);
    tf.tidy(() => {
      const solution = odeintDense(tensorFields.sine_decay, tf.tensor1d([1]), 0, 5, { rtol, atol });
      for (const t of [0, 0.3, 1.7, 4.1, 5]) {
        expect(solution.evaluate(t).dataSync()[0]).to.be.closeTo(exact(t), 1e-4);
        expect(solution.derivative(t).dataSync()[0]).to.be.closeTo(slope(t), 2e-3);
      }
      solution.dispose();
    });
  });

  it('the error norm of a million elements is accurate to 1e-4', () => {
    // Copies of a small state have its root mean square. Steps are all of one size, so that both see the same ones.
    const errorNorms = (copies: number): number[] => {
      const found: number[] = [];
      const y0 = tf.tile(tf.tensor1d([1, -0.5, 0.25, 2]), [copies]);
      const field = (t: tf.Scalar, y: tf.Tensor) => tf.sub(tf.sin(t), tf.mul(y, tf.abs(y)));
      const { y, stats } = solve(field, y0, [0, 0.25], {
        ...{ rtol: 1e-4, atol: 1e-5, firstStep: 0.125, maxStep: 0.125 },
        onAccept: ({ errorNorm }) => found.push(errorNorm!),
      });
      expect(stats).to.include({ accepted: 2, rejected: 0 });
      tf.dispose([y0, y]);
      return found;
    };
    const expected = errorNorms(1);
    errorNorms(250_000).forEach((value, i) => expect(value / expected[i]).to.be.closeTo(1, 1e-4));
  });
});
