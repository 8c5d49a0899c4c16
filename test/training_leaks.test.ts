/**
 * A thousand training steps leave no tensor behind, and an exception in func leaves the caller's tape, scopes, backend
 * and tensors as they were, wherever it comes: in the forward solve, in the search for variables, on the way back.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { MissingGradientError, odeintVjp, type TensorFunc } from 'tfjs-diffeq';
import { onBackends } from './backends.js';
import { engineState, thrownBy } from './engine_probe.js';
import { type Mode, solveBy } from './gradient_cases.js';

const modes: Mode[] = ['tape', 'backsolve', 'checkpoint', 'checkpoints: 2', 'interpolating'];
const optimizers: Record<string, () => tf.Optimizer> = {
  sgd: () => tf.train.sgd(0.05),
  adam: () => tf.train.adam(0.02),
};

type Pair = { q: tf.Tensor; rest: [tf.Tensor] };

/* Everything a call may not change. */
function wholeState() {
  const { state } = tf.engine();
  const scope = state.activeScope as typeof state.activeScope | null;
  return {
    ...engineState(),
    backend: tf.getBackend(),
    // Outside of a gradient the last one's is still there, and means nothing.
    tape: state.gradientDepth > 0 ? [...(state.activeTape as unknown[])] : null,
    scope: scope?.id,
    inScope: scope?.track.filter((tensor) => !tensor.isDisposed).length,
    variables: Object.keys(state.registeredVariables).length,
  };
}

describe('training leaves no tensor behind', () => {
  for (const mode of modes) {
    for (const [name, make] of Object.entries(optimizers)) {
      it(`1000 steps of ${name}, ${mode}`, () => {
        const [rate, shift] = [tf.variable(tf.scalar(0.2)), tf.variable(tf.tensor1d([0.1, 0]))];
        const target = tf.tensor1d([0.4, 0.6]);
        const y0 = tf.tensor1d([1, 2]);
        const args = { scale: tf.scalar(1.5) };
        const func = (_t: tf.Scalar, y: tf.Tensor, { scale }: typeof args) =>
          tf.sub(shift, tf.mul(tf.mul(rate, scale), y));
        const loss = () => {
          const ys: tf.Tensor = solveBy(mode, func, y0, [0, 0.7, 1], {
            method: 'midpoint',
            stepSize: 0.5,
            args,
          });
          return tf.sum(tf.squaredDifference(tf.gather(ys, 2), target)) as tf.Scalar;
        };
        const optimizer = make();
        const cost = () => tf.tidy(() => loss().dataSync()[0]);
        const first = cost();
        optimizer.minimize(loss); // its accumulators are made once
        const before = wholeState();
        for (let i = 0; i < 1000; i++) optimizer.minimize(loss);
        expect(wholeState()).to.deep.equal(before);
        expect(cost()).to.be.below(first / 100);
        optimizer.dispose();
        tf.dispose([rate, shift, target, y0, args.scale]);
      });
    }
  }

  it('1000 gradients by odeintVjp, in every mode', () => {
    const rate = tf.variable(tf.scalar(0.2));
    const y0 = tf.tensor1d([1, 2]);
    const gys = tf.ones([2, 2]);
    for (const adjoint of ['backsolve', 'checkpoint', 'interpolating'] as const) {
      const before = wholeState();
      for (let i = 0; i < 1000; i++) {
        const options = { adjoint, method: 'heun2', stepSize: 0.5 } as const;
        const { ys, vjp, dispose } = odeintVjp(
          (_t, y: tf.Tensor) => tf.neg(tf.mul(rate, y)),
          y0,
          [0, 1],
          options,
        );
        const found = vjp(gys);
        dispose();
        tf.dispose([ys, found.y0, found.t, ...found.params]);
      }
      expect(wholeState(), adjoint).to.deep.equal(before);
    }
    tf.dispose([rate, y0, gys]);
  });
});

const boom = new RangeError('thrown by the caller');

/* A field of a tree with a variable and a tensor in args, if asked for with a gradient inside; its n-th call throws. */
function failingField(rate: tf.Variable, ownGradient: boolean) {
  const counter = { calls: 0, limit: Infinity };
  const energy = (q: tf.Tensor) => tf.sum(tf.mul(rate, tf.square(q)));
  const func = (t: tf.Scalar, { q, rest: [p] }: Pair, { push }: { push: tf.Tensor }): Pair => {
    const force = ownGradient ? tf.grad(energy)(q) : tf.mul(tf.mul(2, rate), q);
    // It fails with tensors of its own half made.
    if (++counter.calls > counter.limit) throw boom;
    return { q: p, rest: [tf.sub(tf.mul(push, tf.cos(t)), force)] };
  };
  return { counter, func };
}

function testsOfExceptions(): void {
  for (const mode of modes) {
    for (const ownGradient of [false, true]) {
      const options = ownGradient
        ? { method: 'dopri5', rtol: 1e-2, atol: 1e-2 }
        : { method: 'bosh3', stepSize: 0.4 };
      const kind = ownGradient ? 'adaptive steps, func with a gradient of its own' : 'fixed steps';
      it(`${mode}, ${kind}: func throws at its n-th call, for every n`, () => {
        const rate = tf.variable(tf.scalar(0.8));
        const { counter, func } = failingField(rate, ownGradient);
        const start = [tf.tensor1d([1, 0.5]), tf.tensor1d([0, 0.25]), tf.scalar(0.3)];
        const inputs = ownGradient ? start : [...start, tf.tensor1d([0, 0.7, 1])];
        const loss = (q: tf.Tensor, p: tf.Tensor, push: tf.Tensor, t?: tf.Tensor) => {
          const times = t ?? [0, 0.7, 1];
          const ys: Pair = solveBy(mode, func, { q, rest: [p] }, times, { ...options, args: { push } });
          return tf.add(tf.sum(ys.q), tf.sum(tf.square(ys.rest[0])));
        };
        const gradients = () => {
          counter.calls = 0;
          return tf.tidy(() =>
            tf
              .grads(loss)(inputs)
              .map((gradient) => Array.from(gradient.dataSync())),
          );
        };
        counter.limit = Infinity;
        const expected = gradients();
        const total = counter.calls;
        const before = wholeState();
        for (let limit = 0; limit < total; limit++) {
          counter.limit = limit;
          expect(thrownBy(gradients), `call ${limit}`).to.equal(boom);
          expect(wholeState(), `call ${limit} of ${total}`).to.deep.equal(before);
        }
        counter.limit = Infinity;
        expect(gradients(), 'the next gradient is not spoiled').to.deep.equal(expected);
        expect(inputs.some((tensor) => tensor.isDisposed)).to.equal(false);
        tf.dispose([rate, ...inputs]);
      });
    }

    it(`${mode}: an optimizer's loss that throws, inside the caller's tidy`, () => {
      const rate = tf.variable(tf.scalar(0.8));
      const y0 = tf.tensor1d([1, 2]);
      const counter = { calls: 0, limit: Infinity };
      const func: TensorFunc<tf.Tensor> = (_t, y) => {
        const dy = tf.neg(tf.mul(rate, y));
        if (++counter.calls > counter.limit) throw boom;
        return dy;
      };
      const optimizer = tf.train.adam(0.01);
      const loss = () =>
        tf.sum(solveBy(mode, func, y0, [0, 0.3, 1], { method: 'heun2', stepSize: 0.25 })) as tf.Scalar;
      // The value of the loss is left by tfjs itself, in the scope around: it has a scope here.
      const step = () => {
        counter.calls = 0;
        tf.tidy(() => void optimizer.minimize(loss));
      };
      step();
      const total = counter.calls;
      const value = rate.dataSync()[0];
      tf.tidy(() => {
        const mine = tf.scalar(7);
        const before = wholeState();
        for (counter.limit = 0; counter.limit < total; counter.limit++) {
          expect(thrownBy(step)).to.equal(boom);
          expect(wholeState(), `call ${counter.limit} of ${total}`).to.deep.equal(before);
        }
        expect(mine.dataSync()[0]).to.equal(7);
      });
      expect(rate.dataSync()[0], 'no half a step was taken').to.equal(value);
      optimizer.dispose();
      tf.dispose([rate, y0]);
    });
  }

  it('a failure that the loss catches leaves the tape of the loss as it was', () => {
    const rate = tf.variable(tf.scalar(0.8));
    for (const mode of modes) {
      const counter = { calls: 0, limit: Infinity };
      const func: TensorFunc<tf.Tensor> = (_t, y) => {
        const dy = tf.neg(tf.mul(rate, tf.square(y)));
        if (++counter.calls > counter.limit) throw boom;
        return dy;
      };
      const solve = (y: tf.Tensor): tf.Tensor =>
        tf.sum(solveBy(mode, func, y, [0, 0.3, 1], { method: 'heun2', stepSize: 0.25 }));
      let caught = 0;
      // Once the solve alone, recorded on the tape of the loss; once a gradient of it, taken inside the loss.
      const attempts = [solve, (y: tf.Tensor) => tf.grad(solve)(y)];
      for (const attempt of attempts) {
        const loss = (x: tf.Tensor): tf.Tensor => {
          const cube = tf.mul(x, tf.square(x));
          const before = wholeState();
          try {
            counter.calls = 0;
            attempt(x);
          } catch (error) {
            // A gradient of a gradient is refused by the adjoints, which is a failure like another.
            if (!(error instanceof MissingGradientError)) expect(error).to.equal(boom);
            // What an inner gradient recorded before it failed, tfjs itself leaves to the outer one.
            if (attempt === solve) expect(wholeState(), `${mode}, ${counter.calls}`).to.deep.equal(before);
            caught++;
          }
          return tf.add(cube, x);
        };
        const gradient = () => tf.tidy(() => tf.grad(loss)(tf.scalar(2)).dataSync()[0]);
        counter.limit = Infinity;
        expect(gradient()).to.equal(13);
        const total = counter.calls;
        const before = wholeState();
        for (counter.limit = 0; counter.limit < total; counter.limit++) {
          expect(gradient(), `${mode}, call ${counter.limit} of ${total}`).to.equal(13);
          expect(wholeState(), `${mode}, call ${counter.limit} of ${total}`).to.deep.equal(before);
        }
        expect(caught).to.be.at.least(total);
        caught = 0;
      }
    }
    rate.dispose();
  });

  it('odeintVjp: func throws at its n-th call, for every n', () => {
    const rate = tf.variable(tf.scalar(0.8));
    const y0 = tf.tensor1d([1, 2]);
    const gys = tf.ones([3, 2]);
    const counter = { calls: 0, limit: Infinity };
    const func: TensorFunc<tf.Tensor> = (_t, y) => {
      const dy = tf.neg(tf.mul(rate, y));
      if (++counter.calls > counter.limit) throw boom;
      return dy;
    };
    for (const adjoint of ['backsolve', 'checkpoint', 'interpolating'] as const) {
      const run = () => {
        counter.calls = 0;
        const solved = odeintVjp(func, y0, [0, 0.3, 1], { adjoint, method: 'heun2', stepSize: 0.25 });
        try {
          const { y0: toStart, t, params } = solved.vjp(gys);
          tf.dispose([toStart, t, ...params]);
        } finally {
          solved.dispose();
          solved.ys.dispose();
        }
      };
      counter.limit = Infinity;
      run();
      const total = counter.calls;
      const before = wholeState();
      for (counter.limit = 0; counter.limit < total; counter.limit++) {
        expect(thrownBy(run)).to.equal(boom);
        expect(wholeState(), `${adjoint}, call ${counter.limit} of ${total}`).to.deep.equal(before);
      }
    }
    tf.dispose([rate, y0, gys]);
  });
}

describe('an exception in func during a gradient changes nothing of the caller', () => {
  onBackends(['cpu', 'wasm', 'tensorflow'], testsOfExceptions);
});
