import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  InvalidArgumentError,
  odeint,
  odeintAdjoint,
  type TensorFunc,
  type TensorOptions,
  type AdjointOptions,
} from 'tfjs-diffeq';
import { generalMethods } from './methods.js';

/*
 * Both differentiate the very steps that were taken, one by tfjs's tape through every op, one by the hand-written
 * adjoint of a step: they agree to rounding, whatever the error of the steps.
 */
const weights = tf.tensor2d([
  [0.5, -0.7],
  [-1, 1],
  [0.3, -0.2],
  [0.8, -0.9],
]);
const times = [0, 0.4, 1.1, 2];
const oscillator: (w: tf.Variable) => TensorFunc<tf.Tensor> = (w) => (t, y) => {
  const [q, p] = tf.unstack(y);
  return tf.stack([p, tf.neg(tf.add(tf.mul(w, tf.sin(q)), tf.mul(0.3, tf.mul(t, p))))]);
};

type Options = TensorOptions<tf.Tensor> & AdjointOptions;

function gradients(solver: typeof odeint, w: tf.Variable, options: Options): number[] {
  return tf.tidy(() => {
    const y0 = tf.tensor1d([1, 0.2]);
    const t = tf.tensor1d(times);
    const loss = (start: tf.Tensor, grid: tf.Tensor) =>
      tf.sum(tf.mul(solver(oscillator(w), start, grid as tf.Tensor1D, options), weights)) as tf.Scalar;
    const byVariable = tf.variableGrads(() => loss(y0, t), [w]).grads[w.name];
    const [toStart, toTimes] = tf.grads(loss)([y0, t]);
    return [...byVariable.dataSync(), ...toStart.dataSync(), ...toTimes.dataSync()];
  });
}
const byCheckpoints = (checkpoints?: number): typeof odeint =>
  ((func: TensorFunc<tf.Tensor>, y0: tf.Tensor, t: number[], options: Options) =>
    odeintAdjoint(func, y0, t, {
      ...options,
      adjoint: 'checkpoint',
      checkpoints,
    })) as unknown as typeof odeint;

function expectClose(actual: number[], expected: number[], relative: number): void {
  const scale = Math.max(...expected.map(Math.abs));
  actual.forEach((x, i) => expect(x, `entry ${i}`).to.be.closeTo(expected[i], relative * scale));
}

describe("odeintAdjoint with adjoint: 'checkpoint'", () => {
  let w: tf.Variable;
  beforeEach(() => (w = tf.variable(tf.scalar(1.5))));
  afterEach(() => tf.disposeVariables());

  for (const method of generalMethods) {
    it(`${method}: the gradient of the tape, to rounding, outputs between steps included`, () => {
      for (const options of [{ method, stepSize: 0.15 }, { method }]) {
        const tape = gradients(odeint, w, options);
        expectClose(gradients(byCheckpoints(), w, options), tape, 3e-6);
        expectClose(gradients(byCheckpoints(2), w, options), tape, 3e-6);
      }
    });
  }

  it('keeps to its side of a jump, as the forward solve does', () => {
    const func: TensorFunc<tf.Tensor> = (t, y) =>
      tf.mul(tf.where(tf.less(t, 1), tf.mul(w, 1), tf.mul(w, -2)), y);
    // y(2) = y0 exp(w - 2 w): dy/dw = -y0 exp(-w).
    const loss = () => {
      const ys = odeintAdjoint(func, tf.scalar(1), [0, 2], {
        adjoint: 'checkpoint',
        jumpT: [1],
        rtol: 1e-6,
        atol: 1e-6,
      });
      return tf.sum(tf.slice(ys, [1], [1])) as tf.Scalar;
    };
    const found = tf.tidy(() => tf.variableGrads(loss, [w]).grads[w.name].dataSync()[0]);
    expect(found).to.be.closeTo(-Math.exp(-1.5), 1e-5);
  });

  it('keeps only as many states as it may, however many steps there are', () => {
    const peak = (stepSize: number, checkpoints?: number): number => {
      let most = 0;
      const func: TensorFunc<tf.Tensor> = (_t, y) => {
        most = Math.max(most, tf.memory().numTensors);
        return tf.mul(tf.neg(w), y);
      };
      const loss = () =>
        tf.sum(
          odeintAdjoint(func, tf.scalar(1), [0, 1], {
            method: 'rk4',
            stepSize,
            adjoint: 'checkpoint',
            checkpoints,
          }),
        ) as tf.Scalar;
      tf.tidy(() => void tf.variableGrads(loss, [w]));
      return most;
    };
    expect(peak(0.001, 5)).to.be.at.most(peak(0.02, 5) + 2);
    expect(peak(0.001)).to.be.greaterThan(1000);
  });

  it('repeats as few steps as is possible with so many states', () => {
    // Griewank & Walther 2000: r l - C(s + r, r - 1) = 4 * 101 - 84 advances for the 100 steps and the loss that follows,
    // with 5 snapshots; the forward solve is the first 100.
    const steps = 100;
    const slots = 5;
    let calls = 0;
    const func: TensorFunc<tf.Tensor> = (_t, y) => {
      calls++;
      return tf.mul(tf.neg(w), y);
    };
    const count = (checkpoints?: number): number => {
      calls = 0;
      const loss = () =>
        tf.sum(
          odeintAdjoint(func, tf.scalar(1), [0, 1], {
            method: 'euler',
            stepSize: 1 / steps,
            adjoint: 'checkpoint',
            checkpoints,
            params: [w],
          }),
        ) as tf.Scalar;
      tf.tidy(() => void tf.variableGrads(loss, [w]));
      return calls;
    };
    expect(count(slots) - count()).to.equal(4 * 101 - 84 - 100);
  });

  it('costs three evaluations of func per evaluation of the forward solve, its own included', () => {
    let calls = 0;
    const func: TensorFunc<tf.Tensor> = (_t, y) => {
      calls++;
      return tf.mul(tf.neg(w), tf.sin(y));
    };
    const options: Options = { method: 'dopri5', stepSize: 0.05, params: [w] };
    tf.tidy(() => void odeint(func, tf.scalar(1), [0, 1], options && { method: 'dopri5', stepSize: 0.05 }));
    const forward = calls;
    calls = 0;
    const loss = () =>
      tf.sum(odeintAdjoint(func, tf.scalar(1), [0, 1], { ...options, adjoint: 'checkpoint' })) as tf.Scalar;
    tf.tidy(() => void tf.variableGrads(loss, [w]));
    expect(calls - 1, 'one call looks for variables').to.be.at.most(3 * forward);
  });

  it('leaks nothing, also when func throws on the way back or the gradient is never asked for', () => {
    let calls = 0;
    let limit = Infinity;
    const func: TensorFunc<tf.Tensor> = (_t, y) => {
      if (++calls > limit) throw new Error('stop');
      return tf.mul(w, tf.square(y));
    };
    const y0 = tf.scalar(0.3);
    const solve = () =>
      odeintAdjoint(func, y0, [0, 0.5, 1], { adjoint: 'checkpoint', checkpoints: 2, method: 'bosh3' });
    const run = () => tf.tidy(() => void tf.variableGrads(() => tf.sum(solve()) as tf.Scalar, [w]));
    run();
    const total = calls;
    const before = tf.memory().numTensors;
    for (limit = 0; limit < total; limit += 4) {
      calls = 0;
      expect(run).to.throw('stop');
      expect(tf.memory().numTensors, `limit ${limit}`).to.equal(before);
    }
    limit = Infinity;
    const unused = () => {
      solve().dispose();
      return tf.mul(w, 2) as tf.Scalar;
    };
    tf.tidy(() => void tf.variableGrads(unused as () => tf.Scalar, [w]));
    expect(tf.memory().numTensors).to.equal(before);
    y0.dispose();
  });

  it('explains what it cannot use', () => {
    const call = (options: object) => () =>
      odeintAdjoint(oscillator(w), tf.tensor1d([1, 0]), [0, 1], options);
    expect(call({ adjoint: 'chekpoint' })).to.throw(InvalidArgumentError, /did you mean 'checkpoint'/);
    expect(call({ adjoint: 'checkpoint', checkpoints: 0 })).to.throw(
      InvalidArgumentError,
      /positive integer/,
    );
    expect(call({ checkpoints: 3 })).to.throw(InvalidArgumentError, /adjoint: 'checkpoint'/);
  });
});
