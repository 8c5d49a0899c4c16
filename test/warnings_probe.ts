/* Run by adjoint_pitfalls.test.ts in a process of its own: each warning is given once in a program. */
import * as tf from '@tensorflow/tfjs';
import { odeintAdjoint, type TensorFunc } from 'tfjs-diffeq';

tf.env().set('PROD', true);
const warnings: string[] = [];
console.warn = (message: string) => void warnings.push(message);

const k = tf.variable(tf.scalar(1));
const unread = tf.variable(tf.scalar(1), true, 'unread');

function report(title: string, rate: number, params?: tf.Variable[]): void {
  warnings.length = 0;
  const func: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(tf.mul(k, -rate), y);
  const loss = () => {
    const options = { adjoint: 'backsolve', rtol: 1e-4, atol: 1e-4, params } as const;
    return tf.sum(odeintAdjoint(func, tf.scalar(1), [0, 1], options)) as tf.Scalar;
  };
  for (let i = 0; i < 3; i++) tf.tidy(() => void tf.variableGrads(loss, [k]));
  const count = `${warnings.length} warning${warnings.length === 1 ? '' : 's'}`;
  console.log([`${title}: ${count}`, ...warnings].join(': '));
}

report('slow decay', 1);
// Backward, y' = -12 y grows by e^12, and with it the error of its value at the end.
report('fast decay', 12);
report('params', 1, [k, unread]);
