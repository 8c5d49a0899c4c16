import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { solve } from 'tfjs-diffeq';
import { printTable, timeInTurns } from './lib.js';

/**
 * What an eager dopri5 step costs beside func, for a state of two numbers: dispatch, not arithmetic. tf.add is the
 * measure, as every step needs about two launches per stage.
 */
export async function tensorStep(): Promise<void> {
  const rows = [['backend', 'us per step', 'of it func', 'solver', 'tf.add us', 'solver / tf.add']];
  for (const backend of ['cpu', 'wasm']) {
    await tf.setBackend(backend);
    rows.push([backend, ...measure()]);
  }
  printTable(rows);
}

function measure(): string[] {
  const y0 = tf.tensor1d([1, 2]);
  const field = (_t: tf.Scalar, y: tf.Tensor) => tf.neg(y);
  const repeats = 1000;
  const run = () => {
    const { y, stats } = solve(field, y0, [0, 20], { rtol: 1e-6, atol: 1e-9 });
    y.dispose();
    return stats;
  };
  const { steps, nfe } = run();
  const [solveMs, fieldMs, addMs] = timeInTurns(
    [
      run,
      () => {
        for (let i = 0; i < repeats; i++) tf.tidy(() => void field(tf.scalar(i), y0));
      },
      () => {
        for (let i = 0; i < repeats; i++) tf.add(y0, y0).dispose();
      },
    ],
    { rounds: 100 },
  );
  y0.dispose();
  const step = (1000 * solveMs) / steps;
  const func = (1000 * fieldMs * nfe) / (repeats * steps);
  const add = (1000 * addMs) / repeats;
  return [step, func, step - func, add, (step - func) / add].map((value) => value.toFixed(1));
}
