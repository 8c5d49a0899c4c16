/**
 * Gradients in the places where people take them: between steps, of dense output, through layers, optimizers, custom
 * gradients and tidies, of several outputs, and of gradients. Against closed forms, in every mode.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  fromLayer,
  MissingGradientError,
  odeint,
  odeintAdjoint,
  odeintDense,
  odeintVjp,
  type TensorFunc,
} from 'tfjs-diffeq';
import { onBackends } from './backends.js';
import { type Mode, solveBy } from './gradient_cases.js';

const modes: Mode[] = ['tape', 'backsolve', 'checkpoint', 'checkpoints: 3', 'interpolating'];
const accurate = { rtol: 1e-6, atol: 1e-7 };

/* Numbers agree, relative to the largest. */
function expectClose(actual: tf.Tensor, expected: readonly number[], tolerance = 1e-4): void {
  const values = actual.dataSync();
  const scale = Math.max(...expected.map(Math.abs));
  expect(values).to.have.length(expected.length);
  expected.forEach((value, i) => expect(values[i], `element ${i}`).to.be.closeTo(value, tolerance * scale));
}

/* y' = p y (1 - y): y(t) = 1 / (1 + c exp(-p t)) with c = 1 / y0 - 1. */
const logistic = (y0: number, p: number, t: number) => 1 / (1 + (1 / y0 - 1) * Math.exp(-p * t));
const slopes = (y0: number, p: number, t: number) => {
  const y = logistic(y0, p, t);
  return { y0: (y * (1 - y)) / (y0 * (1 - y0)), p: t * y * (1 - y), t: p * y * (1 - y) };
};
const logisticField =
  (p: tf.Tensor): TensorFunc<tf.Tensor> =>
  (_t, y) =>
    tf.mul(p, tf.mul(y, tf.sub(1, y)));

function testsOfModes(): void {
  beforeEach(() => tf.engine().startScope('test'));
  afterEach(() => {
    tf.engine().endScope();
    tf.disposeVariables();
  });

  for (const mode of modes) {
    describe(mode, () => {
      it('of a loss on times between the steps, by methods of every kind', () => {
        // Steps are longer than the distance of outputs; every interpolant is read.
        const [start, rate, times] = [0.2, 1.5, [0, 0.1, 0.35, 0.52, 0.9, 1.3, 1.45]];
        const weights = times.map((_, i) => Math.cos(3 * i));
        const p = tf.variable(tf.scalar(rate));
        for (const [method, stepSize] of [
          ['dopri5', undefined],
          ['dopri8', undefined],
          ['tsit5', 0.4],
          ['bosh3', undefined],
          ['rk4', 0.11],
          ['rk4_classic', 0.11],
        ] as const) {
          const loss = (y0: tf.Tensor, t: tf.Tensor) => {
            const ys: tf.Tensor = solveBy(mode, logisticField(p), y0, t, { ...accurate, method, stepSize });
            return tf.sum(tf.mul(ys, tf.tensor2d(weights, [times.length, 1])));
          };
          const [toStart, toTimes, toRate] = tf.grads(loss as (...x: tf.Tensor[]) => tf.Tensor)([
            tf.tensor1d([start]),
            tf.tensor1d(times),
            p,
          ]);
          const exact = times.map((t) => slopes(start, rate, t));
          expectClose(toStart, [exact.reduce((sum, { y0 }, i) => sum + weights[i] * y0, 0)], 3e-4);
          expectClose(toRate, [exact.reduce((sum, { p: of }, i) => sum + weights[i] * of, 0)], 3e-4);
          const later = exact.map(({ t }, i) => weights[i] * t);
          expectClose(toTimes, [-later.slice(1).reduce((a, b) => a + b), ...later.slice(1)], 3e-4);
        }
      });

      it('of several outputs, one of them used twice and one not at all', () => {
        type Pair = { q: tf.Tensor; p: tf.Tensor; unused: tf.Tensor };
        const w = tf.variable(tf.scalar(2));
        // q' = p, p' = -w^2 q from (1, 0): q = cos(w t), p = -w sin(w t).
        const field = (_t: tf.Scalar, { q, p, unused }: Pair): Pair => ({
          q: p,
          p: tf.neg(tf.mul(tf.square(w), q)),
          unused: tf.neg(unused),
        });
        const loss = () => {
          const y0: Pair = { q: tf.scalar(1), p: tf.scalar(0), unused: tf.scalar(3) };
          const ys: Pair = solveBy(mode, field, y0, [0, 0.5, 1], accurate);
          const [, middle, end] = tf.unstack(ys.q);
          const speed = tf.gather(ys.p, 2);
          return tf.add(tf.mul(middle, end), tf.add(end, speed)) as tf.Scalar;
        };
        const { value, grads } = tf.variableGrads(loss);
        const [c, s, ch, sh] = [Math.cos(2), Math.sin(2), Math.cos(1), Math.sin(1)];
        expectClose(value, [ch * c + c - 2 * s]);
        expectClose(grads[w.name], [-0.5 * sh * c - ch * s - s - s - 2 * c]);
      });

      it('through fromLayer, tf.variableGrads and an optimizer, as the tape has it', () => {
        const model = tf.sequential({
          layers: [
            tf.layers.dense({
              units: 4,
              activation: 'tanh',
              inputShape: [2],
              kernelInitializer: tf.initializers.glorotNormal({ seed: 3 }),
            }),
            tf.layers.dense({ units: 2, kernelInitializer: tf.initializers.glorotNormal({ seed: 4 }) }),
          ],
        });
        const target = tf.tensor2d([
          [0.2, 0.7],
          [-0.4, 0.1],
        ]);
        const y0 = tf.tensor2d([
          [1, 0],
          [0, 1],
        ]);
        const loss = (way: Mode, options: object) => (): tf.Scalar => {
          const ys: tf.Tensor = solveBy(way, fromLayer(model), y0, [0, 0.4, 1], options);
          return tf.losses.meanSquaredError(target, tf.gather(ys, 2)) as tf.Scalar;
        };
        const found = tf.variableGrads(loss(mode, accurate)).grads;
        const expected = tf.variableGrads(loss('tape', accurate)).grads;
        expect(Object.keys(found)).to.have.length(4).and.to.have.members(Object.keys(expected));
        for (const [name, gradient] of Object.entries(expected)) {
          expectClose(found[name], Array.from(gradient.dataSync()), 1e-3);
        }
        const optimizer = tf.train.adam(0.05);
        const cheap = loss(mode, { method: 'rk4', stepSize: 0.5 });
        const first = cheap().dataSync()[0];
        for (let i = 0; i < 30; i++) optimizer.minimize(cheap);
        expect(cheap().dataSync()[0]).to.be.below(first / 10);
        optimizer.dispose();
        model.dispose();
      });

      it('behind a tf.customGrad, and inside tf.tidy', () => {
        const p = tf.variable(tf.scalar(0.7));
        // The gradient is cut to [-1, 1] on its way back to y0, and only there.
        const clipped = tf.customGrad((x) => ({
          value: (x as tf.Tensor).clone(),
          gradFunc: (dy: tf.Tensor) => tf.clipByValue(dy, -1, 1),
        }));
        const final = (y0: tf.Tensor) =>
          tf.tidy(() => {
            const ys: tf.Tensor = solveBy(
              mode,
              (_t: tf.Scalar, y: tf.Tensor) => tf.mul(p, y),
              y0,
              [0, 1],
              accurate,
            );
            return tf.tidy(() => tf.sum(tf.slice(ys, [1], [1])));
          });
        const [toStart, toP] = tf.grads((y0: tf.Tensor, _p: tf.Tensor) => final(clipped(y0)))([
          tf.tensor1d([1, 2]),
          p,
        ]);
        expectClose(toStart, [1, 1]); // exp(0.7) is more than 1
        expectClose(toP, [3 * Math.exp(0.7)]);
      });

      it('of a solve whose start is the end of another', () => {
        const p = tf.variable(tf.scalar(0.5));
        const func: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(p, y);
        const loss = () => {
          const once: tf.Tensor = solveBy(mode, func, tf.scalar(1), [0, 1], accurate);
          const twice: tf.Tensor = solveBy(mode, func, tf.square(tf.gather(once, 1)), [0, 1], accurate);
          return tf.gather(twice, 1) as tf.Scalar;
        };
        // exp(3 p)
        expectClose(tf.variableGrads(loss).grads[p.name], [3 * Math.exp(1.5)]);
      });

      it('of func that takes a gradient itself, with times that are a tensor', () => {
        // q'= p, p' = -dV/dq with V = k q^2 / 2, from (1, 0): q = cos(w t), w = sqrt(k).
        const k = tf.variable(tf.scalar(4));
        const potential = (q: tf.Tensor) => tf.sum(tf.mul(tf.mul(0.5, k), tf.square(q)));
        type Pair = { q: tf.Tensor; p: tf.Tensor };
        const field = (_t: tf.Scalar, { q, p }: Pair): Pair => ({ q: p, p: tf.neg(tf.grad(potential)(q)) });
        const loss = (q: tf.Tensor, t: tf.Tensor) => {
          const ys: Pair = solveBy(mode, field, { q, p: tf.zeros([1]) }, t, accurate);
          return tf.sum(tf.slice(ys.q, [1, 0], [1, 1]));
        };
        const [toStart, toTimes, toK] = tf.grads(loss as (...x: tf.Tensor[]) => tf.Tensor)([
          tf.tensor1d([1]),
          tf.tensor1d([0, 1]),
          k,
        ]);
        expectClose(toStart, [Math.cos(2)]);
        expectClose(toTimes, [2 * Math.sin(2), -2 * Math.sin(2)]);
        expectClose(toK, [-Math.sin(2) / 4]);
      });
    });
  }
}

describe('gradients everywhere', () => {
  onBackends(['cpu', 'wasm', 'tensorflow'], testsOfModes);
});

describe('gradients by odeintVjp inside a tf.customGrad of the caller', () => {
  for (const adjoint of ['backsolve', 'checkpoint', 'interpolating'] as const) {
    it(`${adjoint}: the value as it is, and of its gradient the sign`, () => {
      const rate = tf.variable(tf.scalar(0.7));
      const grow = (_t: tf.Scalar, y: tf.Tensor) => tf.mul(rate, y);
      // What vjp needs must outlive the scope in which tf.customGrad computes the value: dispose() frees it.
      const signed = tf.customGrad((y0) => {
        const { ys, vjp, dispose } = odeintVjp(grow, y0 as tf.Tensor, [0, 1], { ...accurate, adjoint });
        return {
          value: tf.gather(ys, 1),
          gradFunc: (dy: tf.Tensor) => {
            const found = vjp(tf.stack([tf.zerosLike(dy), dy]));
            dispose();
            return tf.sign(found.y0);
          },
        };
      });
      const loss = (y0: tf.Tensor) => tf.sum(tf.square(signed(y0)));
      tf.tidy(() => {
        const { value, grad } = tf.valueAndGrad(loss)(tf.tensor1d([1, -2]));
        expectClose(value, [5 * Math.exp(1.4)]);
        expectClose(grad, [1, -1]);
      });
      rate.dispose();
    });
  }
});

describe('gradients of dense output by the tape', () => {
  beforeEach(() => tf.engine().startScope('test'));
  afterEach(() => {
    tf.engine().endScope();
    tf.disposeVariables();
  });
  const [start, rate] = [0.2, 1.5];
  const used = <T>(
    loss: (dense: ReturnType<typeof solved>) => T,
    y0: tf.Tensor,
    p: tf.Tensor,
    method: string,
  ): T => {
    const dense = solved(y0, p, method);
    const value = loss(dense);
    dense.dispose();
    return value;
  };
  const solved = (y0: tf.Tensor, p: tf.Tensor, method: string) =>
    odeintDense(logisticField(p), y0, 0, 2, {
      ...(method === 'rk4' ? { stepSize: 0.05 } : accurate),
      method,
    });

  for (const method of ['dopri5', 'tsit5', 'dopri8', 'bosh3', 'rk4'] as const) {
    it(`${method}: evaluate and derivative, to y0 and to a parameter`, () => {
      const inputs = [tf.tensor1d([start]), tf.scalar(rate)];
      for (const t of [0.01, 0.37, 1.234, 2]) {
        const [valueToStart, valueToRate] = tf.grads((y0: tf.Tensor, p: tf.Tensor) =>
          used((dense) => tf.sum(dense.evaluate(t)), y0, p, method),
        )(inputs);
        const exact = slopes(start, rate, t);
        expectClose(valueToStart, [exact.y0], 2e-4);
        expectClose(valueToRate, [exact.p], 2e-4);
        const [slopeToStart, slopeToRate] = tf.grads((y0: tf.Tensor, p: tf.Tensor) =>
          used((dense) => tf.sum(dense.derivative(t)), y0, p, method),
        )(inputs);
        // dy/dt = p y (1 - y)
        const y = logistic(start, rate, t);
        expectClose(slopeToStart, [rate * (1 - 2 * y) * exact.y0], 2e-3);
        expectClose(slopeToRate, [y * (1 - y) + rate * (1 - 2 * y) * exact.p], 2e-3);
      }
    });
  }

  it('of several times at once, and of a value and a slope together', () => {
    const toStart = tf.grad((y0: tf.Tensor) =>
      used(
        (dense) => tf.add(tf.sum(dense.evaluate([0.5, 1.5])), tf.sum(dense.derivative(1))),
        y0,
        tf.scalar(rate),
        'dopri5',
      ),
    )(tf.tensor1d([start]));
    const y = logistic(start, rate, 1);
    const expected =
      slopes(start, rate, 0.5).y0 +
      slopes(start, rate, 1.5).y0 +
      rate * (1 - 2 * y) * slopes(start, rate, 1).y0;
    expectClose(toStart, [expected], 2e-4);
  });
});

describe('gradients of gradients by the tape', () => {
  beforeEach(() => tf.engine().startScope('test'));
  afterEach(() => {
    tf.engine().endScope();
    tf.disposeVariables();
  });
  const [start, rate, end] = [0.3, 1.2, 1.5];

  for (const method of ['dopri5', 'tsit5', 'dopri8', 'rk4'] as const) {
    const options = method === 'rk4' ? { method, stepSize: 0.05 } : { ...accurate, method };
    const final = (func: (p: tf.Tensor) => TensorFunc<tf.Tensor>) => (y0: tf.Tensor, p: tf.Tensor) =>
      tf.sum(tf.gather(odeint(func(p), y0, [0, end], options), 1));
    const second = (loss: (y0: tf.Tensor, p: tf.Tensor) => tf.Tensor) => {
      const inputs = [tf.scalar(start), tf.scalar(rate)];
      const [yy, yp] = tf.grads((y0: tf.Tensor, p: tf.Tensor) => tf.grads(loss)([y0, p])[0])(inputs);
      const [py, pp] = tf.grads((y0: tf.Tensor, p: tf.Tensor) => tf.grads(loss)([y0, p])[1])(inputs);
      return [yy, yp, py, pp].map((x) => x.dataSync()[0]);
    };

    it(`${method}: d2L/dy0^2 and d2L/dy0dp of y' = -p y, L = y(t)^2`, () => {
      const loss = final((p) => (_t, y) => tf.neg(tf.mul(p, y)));
      const found = second((y0, p) => tf.square(loss(y0, p)));
      // L = y0^2 exp(-2 p t)
      const decay = Math.exp(-2 * rate * end);
      const mixed = -4 * start * end * decay;
      expectClose(tf.tensor1d(found), [2 * decay, mixed, mixed, 4 * start ** 2 * end ** 2 * decay], 5e-4);
    });

    it(`${method}: of the logistic equation`, () => {
      const found = second(final(logisticField));
      const y = logistic(start, rate, end);
      const { y0: toStart, p: toRate } = slopes(start, rate, end);
      const [u, v] = [y * (1 - y), start * (1 - start)];
      // dy/dy0 = y (1 - y) / (y0 (1 - y0)), dy/dp = t y (1 - y)
      const yy = ((1 - 2 * y) * toStart) / v - (u * (1 - 2 * start)) / v ** 2;
      const yp = ((1 - 2 * y) * toRate) / v;
      const pp = end * (1 - 2 * y) * toRate;
      expectClose(tf.tensor1d(found), [yy, yp, yp, pp], 5e-4);
    });
  }

  it('a penalty on the gradient trains: the derivative of (dL/dy0)^2 to a variable', () => {
    const p = tf.variable(tf.scalar(rate));
    const func: TensorFunc<tf.Tensor> = (_t, y) => tf.neg(tf.mul(p, y));
    const sensitivity = (y0: tf.Tensor) => tf.sum(tf.gather(odeint(func, y0, [0, end], accurate), 1));
    const penalty = () => tf.square(tf.grad(sensitivity)(tf.scalar(start))) as tf.Scalar;
    // (dy/dy0)^2 = exp(-2 p t)
    expectClose(tf.variableGrads(penalty).grads[p.name], [-2 * end * Math.exp(-2 * rate * end)], 5e-4);
  });
});

describe('what a gradient may not lose', () => {
  beforeEach(() => tf.engine().startScope('test'));
  afterEach(() => {
    tf.engine().endScope();
    tf.disposeVariables();
  });

  for (const adjoint of ['backsolve', 'checkpoint', 'interpolating'] as const) {
    it(`${adjoint}: a variable that is named and not read gets zeros, and one warning`, () => {
      const used = tf.variable(tf.scalar(0.5));
      const unread = tf.variable(tf.ones([2, 3]), true, `unread by ${adjoint}`);
      const warnings: string[] = [];
      const { warn } = console;
      console.warn = (message: string) => void warnings.push(message);
      try {
        for (let i = 0; i < 3; i++) {
          const func: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(used, y);
          const options = { ...accurate, adjoint, params: [used, unread] };
          const loss = () => tf.sum(odeintAdjoint(func, tf.scalar(1), [0, 1], options)) as tf.Scalar;
          const { grads } = tf.variableGrads(loss, [used, unread]);
          expectClose(grads[used.name], [Math.exp(0.5)]);
          expect(Array.from(grads[unread.name].dataSync())).to.deep.equal([0, 0, 0, 0, 0, 0]);
          expect(grads[unread.name].shape).to.deep.equal([2, 3]);
        }
      } finally {
        console.warn = warn;
      }
      expect(warnings).to.have.length(1);
      expect(warnings[0]).to.include(`'unread by ${adjoint}'`);
    });

    it(`${adjoint}: a tensor made from a variable outside of func, through a layer, is refused`, () => {
      const kernel = tf.variable(tf.tensor2d([[0.5]]));
      const loss = () => {
        const features = tf.tanh(tf.matMul(tf.ones([1, 1]), kernel as tf.Tensor2D));
        const func: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(tf.reshape(features, []), y);
        return tf.sum(odeintAdjoint(func, tf.scalar(1), [0, 1], { adjoint })) as tf.Scalar;
      };
      expect(() => tf.variableGrads(loss)).to.throw(MissingGradientError, /args/);
    });
  }
});
