/* Run by tests in a process of its own, since each warning is given once in a program: `drift_probe.ts tensors|plain`. */
import * as tf from '@tensorflow/tfjs';
import { odeintAdjoint, odeintVjp, type PlainVjp, type TensorFunc } from 'tfjs-diffeq';

tf.env().set('PROD', true);
const warnings: string[] = [];
console.warn = (message: string) => void warnings.push(message);

function report(title: string, run: () => void): void {
  warnings.length = 0;
  for (let i = 0; i < 3; i++) run();
  const count = `${warnings.length} warning${warnings.length === 1 ? '' : 's'}`;
  console.log([`${title}: ${count}`, ...warnings].join(': '));
}

const k = tf.variable(tf.scalar(1));
/* y' = -rate y. The error of reversible_heun has a part that changes the other way: rounding grows by e^|rate|. */
const tensors =
  (rate: number, y0 = 1, force = 0) =>
  () => {
    const func: TensorFunc<tf.Tensor> = (_t, y) => tf.add(force, tf.mul(tf.mul(k, -rate), y));
    const loss = () =>
      tf.sum(odeintAdjoint(func, tf.scalar(y0), [0, 1], { method: 'reversible_heun', stepSize: 0.01 }));
    tf.tidy(() => void tf.variableGrads(loss as () => tf.Scalar, [k]));
  };
const plain =
  (adjoint: 'backsolve' | 'reversible', rate: number, y0 = 1, force = 0) =>
  () => {
    const vjp: PlainVjp = (_t, _y, _args, [l]) => ({ y: [-rate * l] });
    const method = adjoint === 'reversible' ? { method: 'reversible_heun', stepSize: 0.001 } : {};
    const solved = odeintVjp((_t, [y]) => [force - rate * y], [y0], [0, 1], { adjoint, vjp, ...method });
    solved.vjp([Float64Array.of(0), Float64Array.of(1)]);
  };

if (process.argv[2] === 'tensors') {
  report('slow decay', tensors(1));
  report('from rest', tensors(1, 0, 1));
  report('fast growth', tensors(-20));
} else {
  report('backsolve, slow decay', plain('backsolve', 1));
  report('backsolve, from rest', plain('backsolve', 1, 0, 1));
  report('backsolve, fast decay', plain('backsolve', 30));
  report('reversible, slow decay', plain('reversible', 1));
  report('reversible, from rest', plain('reversible', 1, 0, 1));
  report('reversible, fast growth', plain('reversible', -45));
}
