import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { MissingGradientError, odeint, odeintAdjoint, type TensorFunc } from 'tfjs-diffeq';
import { onBackends } from './backends.js';

/* Gradients by forward sensitivity equations in float64: test/reference/adjoint.py. */
interface Case {
  y0: number[];
  t: number[];
  weights: number[][];
  parameters: Record<string, number | number[] | number[][]>;
  sensitivities: Record<string, number[] | number[][] | number>;
}
const { cases } = JSON.parse(
  readFileSync(new URL('./reference/adjoint.json', import.meta.url), 'utf8'),
) as unknown as { cases: Record<string, Case> };

type Params = Record<string, tf.Tensor>;
type Field = (t: tf.Scalar, y: tf.Tensor, p: Params) => tf.Tensor;

const fields: Record<string, Field> = {
  lotka_volterra: (_t, y, { alpha, beta, gamma, delta }) => {
    const [prey, hunter] = tf.unstack(y);
    const meet = tf.mul(prey, hunter);
    return tf.stack([
      tf.sub(tf.mul(alpha, prey), tf.mul(beta, meet)),
      tf.sub(tf.mul(delta, meet), tf.mul(gamma, hunter)),
    ]);
  },
  linear: (_t, y, { A }) => tf.reshape(tf.matMul(A as tf.Tensor2D, tf.reshape(y, [2, 1])), [2]),
  mlp: (_t, y, { w1, b1, w2, b2 }) => {
    const hidden = tf.tanh(tf.add(tf.matMul(tf.reshape(y, [1, 2]), w1 as tf.Tensor2D), b1));
    return tf.reshape(tf.add(tf.matMul(hidden, w2 as tf.Tensor2D), b2), [2]);
  },
  forced: (t, y, { a, b, w }) => tf.sub(tf.mul(b, tf.sin(tf.mul(w, t))), tf.mul(a, y)),
};

/* The largest error relative to the largest entry of the reference. */
function relativeError(actual: tf.Tensor, expected: unknown): number {
  const reference = tf.tensor(expected as number[], actual.shape).dataSync();
  const scale = Math.max(...Array.from(reference, Math.abs));
  return Math.max(...Array.from(actual.dataSync(), (x, i) => Math.abs(x - reference[i]))) / scale;
}

function gradients(name: string, solver: typeof odeint, options: object) {
  const { y0, t, weights, parameters } = cases[name];
  const names = Object.keys(parameters);
  const variables = names.map((key) => tf.variable(tf.tensor(parameters[key] as number[])));
  const params = Object.fromEntries(names.map((key, i) => [key, variables[i] as tf.Tensor]));
  const loss = (start: tf.Tensor, times: tf.Tensor): tf.Tensor => {
    const func: TensorFunc<tf.Tensor> = (time, y) => fields[name](time, y, params);
    const ys = solver(func, start, times as tf.Tensor1D, options);
    return tf.sum(tf.mul(ys, tf.tensor(weights)));
  };
  const [start, times] = [tf.tensor1d(y0), tf.tensor1d(t)];
  const { grads } = tf.variableGrads(() => loss(start, times) as tf.Scalar, variables);
  const [toStart, toTimes] = tf.grads(loss)([start, times]);
  const byName = Object.fromEntries(names.map((key, i) => [key, grads[variables[i].name]]));
  variables.forEach((variable) => variable.dispose());
  return { y0: toStart, t: toTimes, ...byName } as Record<string, tf.Tensor>;
}

onBackends(['cpu', 'wasm', 'tensorflow'], () => {
  describe('gradients agree with sensitivity equations', () => {
    const solvers = { 'odeint (tape)': odeint, 'odeintAdjoint (backsolve)': odeintAdjoint as typeof odeint };
    for (const [title, solver] of Object.entries(solvers)) {
      for (const [name, { sensitivities }] of Object.entries(cases)) {
        it(`${title}: ${name}`, () => {
          const found = tf.tidy(() => {
            const all = gradients(name, solver, { rtol: 3e-6, atol: 1e-6, method: 'dopri5' });
            return Object.fromEntries(
              Object.entries(all).map(([key, value]) => [key, relativeError(value, sensitivities[key])]),
            );
          });
          for (const [key, error] of Object.entries(found)) expect(error, `dL/d${key}`).to.be.below(1e-4);
        });
      }
    }
  });
});

void MissingGradientError;
