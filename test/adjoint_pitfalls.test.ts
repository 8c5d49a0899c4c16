import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  InvalidArgumentError,
  MissingGradientError,
  odeint,
  odeintAdjoint,
  type TensorFunc,
  type TensorOptions,
  type AdjointOptions,
} from 'tfjs-diffeq';

/* What people write, and what used to go wrong without a word. */
type Options = TensorOptions<tf.Tensor> & AdjointOptions;
const modes = ['backsolve', 'checkpoint', 'interpolating'] as const;

/* d/dv of the sum of the last state. */
function toVariable(
  v: tf.Variable,
  func: TensorFunc<tf.Tensor>,
  options: Options = {},
  y0: tf.Tensor = tf.tensor1d([1, 2]),
): number {
  return tf.tidy(() => {
    const loss = () =>
      tf.sum(
        tf.slice(odeintAdjoint(func, y0, [0, 1], { rtol: 1e-6, atol: 1e-6, ...options }), [1], [1]),
      ) as tf.Scalar;
    return tf.sum(tf.variableGrads(loss, [v]).grads[v.name]).dataSync()[0];
  });
}

for (const adjoint of modes) {
  describe(`pitfalls of odeintAdjoint, ${adjoint}`, () => {
    let k: tf.Variable;
    beforeEach(() => (k = tf.variable(tf.scalar(0.5))));
    afterEach(() => tf.disposeVariables());

    it('finds a variable that func returns as it is', () => {
      const drift = tf.variable(tf.tensor1d([0.1, 0.2]));
      expect(toVariable(drift, () => drift, { adjoint })).to.be.closeTo(2, 1e-5);
      const tree = (_t: tf.Scalar, { a }: { a: tf.Tensor; b: tf.Tensor }) => ({ a: tf.mul(k, a), b: drift });
      const loss = () => {
        const { a, b } = odeintAdjoint(tree, { a: tf.scalar(1), b: tf.zeros([2]) }, [0, 1], { adjoint });
        return tf.add(tf.sum(a), tf.sum(b)) as tf.Scalar;
      };
      const { grads } = tf.variableGrads(loss);
      expect(Array.from(grads[drift.name].dataSync()).map((x) => Math.round(1e4 * x) / 1e4)).to.deep.equal([
        1, 1,
      ]);
    });

    it('lets func take gradients itself: a Hamiltonian system', () => {
      // H = k q^2 / 2 + p^2 / 2 from (1, 0): q(1) = cos(sqrt k), dq/dk = -sin(sqrt k) / (2 sqrt k).
      const energy = (y: tf.Tensor) => {
        const [q, p] = tf.unstack(y);
        return tf.mul(0.5, tf.add(tf.mul(k, tf.square(q)), tf.square(p)));
      };
      const func: TensorFunc<tf.Tensor> = (_t, y) => {
        const [toQ, toP] = tf.unstack(tf.grad(energy)(y));
        return tf.stack([toP, tf.neg(toQ)]);
      };
      const loss = () =>
        tf.sum(
          tf.slice(
            odeintAdjoint(func, tf.tensor1d([1, 0]), [0, 1], { adjoint, rtol: 1e-6, atol: 1e-6 }),
            [1, 0],
            [1, 1],
          ),
        ) as tf.Scalar;
      const found = tf.tidy(() => tf.variableGrads(loss, [k]).grads[k.name].dataSync()[0]);
      expect(found).to.be.closeTo(-Math.sin(Math.SQRT1_2) / (2 * Math.SQRT1_2), 1e-5);
    });

    it('keeps constants that the loss made for itself until the backward pass', () => {
      const before = tf.memory().numTensors;
      const found = tf.tidy(() => {
        const loss = () => {
          const push = tf.mul(tf.scalar(3), 2);
          const args = { scale: tf.scalar(2) };
          const func = (_t: tf.Scalar, y: tf.Tensor, { scale }: typeof args) =>
            tf.add(tf.mul(tf.mul(scale, k), y), push);
          return tf.sum(
            tf.slice(
              odeintAdjoint(func, tf.scalar(1), [0, 1], { args, adjoint, rtol: 1e-6, atol: 1e-6 }),
              [1],
              [1],
            ),
          ) as tf.Scalar;
        };
        return tf.variableGrads(loss, [k]).grads[k.name].dataSync()[0];
      });
      // y' = 2 k y + 6, y(0) = 1 at k = 1/2: dy(1)/dk = 2 (e (1 + 6) - 6 (e - 1)) = 2 (e + 6).
      expect(found).to.be.closeTo(2 * (Math.E + 6), 1e-3);
      expect(tf.memory().numTensors).to.equal(before);
    });

    it('throws when a parameter is transformed outside func and closed over, and works through args', () => {
      const closed = () => {
        const rate = tf.exp(k);
        return tf.sum(
          odeintAdjoint((_t, y: tf.Tensor) => tf.mul(rate, y), tf.scalar(1), [0, 1], { adjoint }),
        ) as tf.Scalar;
      };
      expect(() => tf.tidy(() => tf.variableGrads(closed, [k]))).to.throw(MissingGradientError, /args/);
      const passed = () => {
        const args = { rate: tf.exp(k) };
        const func = (_t: tf.Scalar, y: tf.Tensor, { rate }: typeof args) => tf.mul(rate, y);
        return tf.sum(
          odeintAdjoint(func, tf.scalar(1), [0, 1], { adjoint, args, rtol: 1e-6, atol: 1e-6 }),
        ) as tf.Scalar;
      };
      // L = 1 + exp(exp k): dL/dk = exp(k) exp(exp k).
      const found = tf.tidy(() => tf.variableGrads(passed, [k]).grads[k.name].dataSync()[0]);
      expect(found).to.be.closeTo(Math.exp(0.5) * Math.exp(Math.exp(0.5)), 1e-3);
    });

    it('counts a parameter named twice once', () => {
      const func: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(k, y);
      expect(toVariable(k, func, { adjoint, params: [k, k] })).to.be.closeTo(3 * Math.exp(0.5), 1e-4);
    });

    it('takes a gridConstructor, and atol 0', () => {
      const func: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(k, y);
      const grid = (_f: unknown, y0: unknown, [t0, t1]: Float64Array) => {
        expect(y0).to.be.instanceOf(tf.Tensor);
        return [t0, t0 + 0.3, t0 + 0.7, t1];
      };
      const options: Options = {
        adjoint,
        method: 'rk4',
        gridConstructor: grid,
        rtol: undefined,
        atol: undefined,
      };
      expect(toVariable(k, func, options)).to.be.closeTo(3 * Math.exp(0.5), 1e-3);
      const partly = () => {
        const ys = odeintAdjoint(func, tf.tensor1d([1, 2]), [0, 1], { adjoint, rtol: 1e-4, atol: 0 });
        return tf.sum(tf.slice(ys, [1, 0], [1, 1])) as tf.Scalar;
      };
      const found = tf.tidy(() => tf.variableGrads(partly, [k]).grads[k.name].dataSync()[0]);
      expect(found).to.be.closeTo(Math.exp(0.5), 1e-3);
    });
  });
}

describe('pitfalls of backsolve', () => {
  afterEach(() => tf.disposeVariables());

  it('holds one copy of the parameter gradients, however many output times there are', () => {
    const weight = tf.variable(tf.randomNormal([64, 64], 0, 0.1, 'float32', 1));
    const peak = (count: number): number => {
      let most = 0;
      const func: TensorFunc<tf.Tensor> = (_t, y) => {
        most = Math.max(most, tf.memory().numBytes);
        return tf.matMul(y as tf.Tensor2D, weight as tf.Tensor2D);
      };
      const times = Array.from({ length: count }, (_, i) => i / count);
      const loss = () =>
        tf.sum(odeintAdjoint(func, tf.ones([1, 64]), times, { method: 'euler' })) as tf.Scalar;
      tf.tidy(() => void tf.variableGrads(loss, [weight]));
      return most;
    };
    const bytes = 64 * 64 * 4;
    expect(peak(60) - peak(10)).to.be.below(3 * bytes + 50 * 64 * 4 * 6);
  });

  it('says once when the reversed state drifts away, or a named variable is not read', () => {
    const probe = fileURLToPath(new URL('./warnings_probe.ts', import.meta.url));
    const lines = execFileSync(process.execPath, ['--import', 'tsx', probe], { encoding: 'utf8' })
      .trim()
      .split('\n');
    expect(lines[0]).to.equal('slow decay: 0 warnings');
    expect(lines[1]).to.match(/^fast decay: 1 warning: .*adjoint 'backsolve' misses .* 'checkpoint'/);
    expect(lines[2]).to.match(/^params: 1 warning: .*'unread'/);
  });

  it('refuses options where nobody reads them', () => {
    const call = (adjointOptions: object) => () =>
      odeintAdjoint((_t, y: tf.Tensor) => y, tf.scalar(1), [0, 1], { adjointOptions });
    expect(call({ norm: 'seminorm' })).to.throw(InvalidArgumentError, /adjointNorm/);
    expect(call({ rtol: 1e-3 })).to.throw(InvalidArgumentError, /adjointRtol/);
  });
});

describe('pitfalls of odeint', () => {
  it('a NaN does not pass a norm that looks away', () => {
    const func = (_t: tf.Scalar, { a, b }: { a: tf.Tensor; b: tf.Tensor }) => ({
      a: tf.neg(a),
      b: tf.neg(tf.sqrt(b)),
    });
    const norm = (leaves: tf.Tensor[]) => tf.sqrt(tf.mean(tf.square(leaves[0]))) as tf.Scalar;
    expect(() =>
      tf.tidy(() => odeint(func, { a: tf.scalar(1), b: tf.scalar(1) }, [0, 5], { norm })),
    ).to.throw(/NaN/);
  });

  it('minStep is tried before it is given up', () => {
    const options = { rtol: 1e-4, atol: 1e-6, minStep: 0.591, firstStep: 1.18 };
    expect(odeint((_t, [y]) => [-y], [1], [0, 1.18], options)[1][0]).to.be.closeTo(Math.exp(-1.18), 1e-3);
  });

  it('a stop that coincides with a grid point up to rounding makes no sliver', () => {
    const ends: number[] = [];
    const onAccept = ({ t, h }: { t: number; h: number }) => void ends.push(t + h);
    odeint((_t, [y]) => [-y], [1], [0, 1], { method: 'rk4', stepSize: 0.1, stepT: [0.3, 0.7], onAccept });
    expect(ends).to.have.length(10);
    expect(ends).to.include(0.3);
  });
});
