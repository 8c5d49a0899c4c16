import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  InvalidArgumentError,
  iterate,
  NonFiniteStateError,
  odeint,
  odeintAdjoint,
  odeintAsync,
  odeintDense,
  odeintVjp,
  odeintWith,
  solve,
  solveAsync,
} from 'tfjs-diffeq';
import { dopri5 } from 'tfjs-diffeq/solvers';
import { onBackends } from './backends.js';
import { generalMethods } from './methods.js';

/*
 * y' = -p y, y(t0) = c, with q' = w y^2: q(T) = w c^2 (1 - exp(-2 p (T - t0))) / (2 p). All derivatives below are
 * those of this formula.
 */
const [p, c, w, t0, end] = [0.7, 1.5, 1.3, 0.2, 2.2];
const span = end - t0;
const decayed = Math.exp(-2 * p * span);
const energy = (w * c * c * (1 - decayed)) / (2 * p);
const slopes = {
  c: (2 * energy) / c,
  w: energy / w,
  p: -energy / p + (w * c * c * span * decayed) / p,
  t0: -w * c * c * decayed,
  end: w * c * c * decayed,
};

const decay = (_t: tf.Scalar, y: tf.Tensor, { rate }: { rate: tf.Tensor }) => tf.neg(tf.mul(rate, y));

onBackends(['cpu', 'wasm', 'tensorflow'], () => {
  describe('quadrature on tensors', () => {
    const by = (more: object) =>
      ((func: never, y0: never, t: never, options: object) =>
        odeintAdjoint(func, y0, t, { ...options, ...more })) as unknown as typeof odeint;
    const ways = {
      tape: odeint,
      backsolve: by({ adjoint: 'backsolve' }),
      interpolating: by({ adjoint: 'interpolating' }),
      checkpoint: by({ adjoint: 'checkpoint' }),
      'three checkpoints': by({ adjoint: 'checkpoint', checkpoints: 3 }),
    };

    for (const [way, solver] of Object.entries(ways)) {
      it(`${way}: gradients of an integral to y0, t, variables and args are those of its closed form`, () => {
        const weight = tf.variable(tf.scalar(w));
        const integral = (start: tf.Tensor, t: tf.Tensor, rate: tf.Tensor) => {
          const [, qs] = solver(decay, start, t as tf.Tensor1D, {
            rtol: 1e-6,
            atol: 1e-7,
            args: { rate },
            quadrature: (_t: tf.Scalar, y: tf.Tensor) => ({ energy: tf.mul(weight, tf.square(y)) }),
          });
          return tf.gather(qs.energy, 2) as tf.Scalar;
        };
        const inputs = [tf.scalar(c), tf.tensor1d([t0, 1, end]), tf.scalar(p)] as const;
        const value = tf.tidy(() => integral(...inputs).dataSync()[0]);
        expect(value).to.be.closeTo(energy, 1e-5);
        const [toStart, toTimes, toRate] = tf.tidy(() =>
          tf
            .grads(integral as never)([...inputs])
            .map((g) => Array.from(g.dataSync())),
        );
        expect(toStart[0]).to.be.closeTo(slopes.c, 5e-5);
        expect(toRate[0]).to.be.closeTo(slopes.p, 5e-5);
        expect(toTimes[0]).to.be.closeTo(slopes.t0, 1e-5);
        expect(toTimes[1]).to.be.closeTo(0, 1e-6);
        expect(toTimes[2]).to.be.closeTo(slopes.end, 1e-5);
        const toWeight = tf.tidy(() => {
          const { grads } = tf.variableGrads(() => integral(...inputs), [weight]);
          return grads[weight.name].dataSync()[0];
        });
        expect(toWeight).to.be.closeTo(slopes.w, 1e-5);
        tf.dispose([...inputs, weight]);
      });
    }

    it('is a tree of any shapes beside a tree of states, and starts at 0', () => {
      const y0 = { a: tf.tensor1d([1, 2]), b: [tf.scalar(3)] };
      const before = tf.memory().numTensors;
      const [ys, qs] = odeint((_t, y) => ({ a: tf.neg(y.a), b: [tf.scalar(1)] }), y0, [0, 0.5, 1], {
        quadrature: (t, y) => [tf.outerProduct(y.a, y.a), { time: tf.mul(t, 2) }] as const,
        rtol: 1e-6,
      });
      expect(ys.a.shape).to.deep.equal([3, 2]);
      const [products, { time }] = qs;
      expect(products.shape).to.deep.equal([3, 2, 2]);
      // d/dt y_i y_j = -2 y_i y_j; the integral of 2 t is t^2.
      const kept = (1 - Math.exp(-2)) / 2;
      const expected = [0, 0, 0, 0, 1, 2, 2, 4].map((x) => x * kept);
      Array.from(tf.slice(products, [2]).dataSync()).forEach((x, i) => {
        expect(x).to.be.closeTo(expected[i + 4], 5e-5);
      });
      expect(Array.from(tf.slice(products, [0], [1]).dataSync())).to.deep.equal([0, 0, 0, 0]);
      Array.from(time.dataSync()).forEach((x, i) => expect(x).to.be.closeTo((i / 2) ** 2, 1e-6));
      tf.dispose([ys, qs as never]);
      expect(tf.memory().numTensors).to.equal(before + 2);
      tf.dispose(y0);
    });
  });
});

describe('quadrature', () => {
  for (const method of generalMethods) {
    it(`${method}: the integral converges with the method, on plain numbers`, () => {
      const [ys, qs] = odeint((_t, y) => [-p * y[0]], [c], [t0, end], {
        method,
        stepSize: 0.001,
        quadrature: (_t, y) => w * y[0] ** 2,
      });
      expect(ys[1]).to.have.length(1);
      expect(qs[1][0]).to.be.closeTo(energy, method === 'euler' ? 2e-3 : 1e-6);
    });
  }

  it('does not propose steps, but a step whose integral is inaccurate is rejected', () => {
    const steps = (quadrature?: (t: number, y: Float64Array) => number[]) => {
      const ends: number[] = [];
      const options = {
        rtol: 1e-6,
        atol: 1e-8,
        onAccept: ({ t, h }: { t: number; h: number }) => ends.push(t + h),
      };
      const field = (_t: number, y: Float64Array) => [-p * y[0]];
      if (quadrature) {
        const [, qs] = odeint(field, [c], [0, 10], { ...options, quadrature });
        return { ends, q: qs[1][0] };
      }
      odeint(field, [c], [0, 10], options);
      return { ends, q: NaN };
    };
    expect(steps((_t, y) => [w * y[0] ** 2, y[0]]).ends).to.deep.equal(steps().ends);
    // sin^2(5 t): nothing in y tells how fast it changes.
    const { ends, q } = steps((t) => [Math.sin(5 * t) ** 2]);
    expect(q).to.be.closeTo(5 - Math.sin(100) / 20, 1e-5);
    expect(ends.length).to.be.greaterThan(steps().ends.length);
  });

  it('comes from every entry point on a grid', async () => {
    const field = (_t: number, y: Float64Array) => [-p * y[0]];
    const options = { rtol: 1e-9, quadrature: (_t: number, y: Float64Array) => [w * y[0] ** 2] };
    const t = [t0, end];
    const found = [
      odeint(field, [c], t, options)[1],
      (await odeintAsync(field, [c], t, options))[1],
      odeintWith(dopri5, field, [c], t, options)[1],
      solve(field, [c], t, options).quadrature,
      (await solveAsync(field, [c], t, options)).quadrature,
      odeintVjp(field, [c], t, options).ys[1],
    ];
    for (const qs of found) {
      expect(qs).to.have.length(2);
      expect(qs[0][0]).to.equal(0);
      expect(qs[1][0]).to.be.closeTo(energy, 1e-8);
    }
  });

  it('on plain numbers has the gradients of its closed form', () => {
    const { vjp, dispose } = odeintVjp((_t, y, [rate]) => [-rate * y[0]], [c], [t0, end], {
      rtol: 1e-10,
      atol: 1e-12,
      args: Float64Array.of(p, w),
      quadrature: (_t, y, [, weight]) => weight * y[0] ** 2,
    });
    const zero = Float64Array.of(0);
    const { y0, t, args } = vjp([
      [zero, zero],
      [zero, Float64Array.of(1)],
    ]);
    expect(y0[0]).to.be.closeTo(slopes.c, 1e-8);
    expect(t[0]).to.be.closeTo(slopes.t0, 1e-8);
    expect(t[1]).to.be.closeTo(slopes.end, 1e-8);
    expect(args![0]).to.be.closeTo(slopes.p, 1e-8);
    expect(args![1]).to.be.closeTo(slopes.w, 1e-8);
    dispose();
  });

  it('second derivatives of an integral are those of its closed form, by the tape', () => {
    // d2q/dc2 = 2 q / c^2.
    const integral = (start: tf.Tensor) => {
      const [, qs] = odeint((_t, y) => tf.mul(-p, y), start, [t0, end], {
        rtol: 1e-6,
        quadrature: (_t, y) => tf.mul(w, tf.square(y)),
      });
      return tf.gather(qs, 1) as tf.Scalar;
    };
    const second = tf.tidy(() => tf.grad(tf.grad(integral))(tf.scalar(c)).dataSync()[0]);
    expect(second).to.be.closeTo((2 * energy) / (c * c), 1e-5);
  });

  it('says what it expects', () => {
    const tensors = (quadrature: unknown) => () =>
      odeint((_t, y) => tf.neg(y), tf.scalar(1), [0, 1], { quadrature } as never);
    const plain = (quadrature: unknown) => () =>
      odeint((_t, y) => [-y[0]], [1], [0, 1], { quadrature } as never);
    const before = tf.memory().numTensors;
    for (const [call, words] of [
      [tensors(3), 'expected a function'],
      [tensors(() => 3), 'expected a float32 tensor'],
      [tensors(() => undefined), 'return statement'],
      [tensors(() => []), 'expected a float32 tensor'],
      [tensors((t: tf.Scalar) => tf.zeros([t.dataSync()[0] > 0 ? 2 : 1])), 'shape [1], as at t0'],
      [plain(() => 'x'), 'expected a number'],
      [plain(() => tf.scalar(1)), 'expected a number'],
      [plain((t: number) => (t > 0 ? [1, 2] : [1])), 'expected 1 numbers'],
    ] as const) {
      expect(call, words).to.throw(InvalidArgumentError, words);
    }
    expect(plain(() => NaN)).to.throw(NonFiniteStateError);
    expect(tf.memory().numTensors).to.be.at.most(before + 9);
    const options = { quadrature: () => 1 } as never;
    expect(() => odeintDense((_t, y) => [-y[0]], [1], 0, 1, options)).to.throw('an option of odeint');
    expect(() => iterate((_t, y) => [-y[0]], [1], options)).to.throw(InvalidArgumentError);
  });
});
