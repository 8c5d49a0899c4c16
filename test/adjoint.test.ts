import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import {
  fromLayer,
  InvalidArgumentError,
  MissingGradientError,
  odeint,
  odeintAdjoint,
  type TensorFunc,
  type TensorOptions,
  type AdjointOptions,
} from 'tfjs-diffeq';
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
    const checkpoint = (n?: number) => (func: never, y0: never, t: never, options: object) =>
      odeintAdjoint(func, y0, t, { ...options, adjoint: 'checkpoint', checkpoints: n });
    const solvers = {
      'odeint (tape)': odeint,
      'odeintAdjoint (backsolve)': odeintAdjoint as typeof odeint,
      'odeintAdjoint (interpolating)': ((func: never, y0: never, t: never, options: object) =>
        odeintAdjoint(func, y0, t, { ...options, adjoint: 'interpolating' })) as unknown as typeof odeint,
      'odeintAdjoint (checkpoint)': checkpoint() as unknown as typeof odeint,
      'odeintAdjoint (checkpoint, 3 states)': checkpoint(3) as unknown as typeof odeint,
    };
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

type Adjoint = TensorOptions<tf.Tensor> & AdjointOptions;

/* d/dp of the last state of y' = func(t, y; p). */
function parameterGradient(
  p: tf.Variable,
  func: TensorFunc<tf.Tensor>,
  t: number[],
  options: Adjoint = {},
  y0: tf.Tensor = tf.scalar(0),
): number {
  return tf.tidy(() => {
    const loss = () => {
      const ys = odeintAdjoint(func, y0, t, options);
      return tf.sum(tf.slice(ys, [t.length - 1], [1])) as tf.Scalar;
    };
    return tf.variableGrads(loss, [p]).grads[p.name].dataSync()[0];
  });
}

describe('odeintAdjoint', () => {
  const decay: TensorFunc<tf.Tensor> = (_t, y) => tf.neg(y);
  let p: tf.Variable;
  beforeEach(() => (p = tf.variable(tf.scalar(0.5))));
  afterEach(() => tf.disposeVariables());

  it('checks the quadrature error where the state itself is trivial', () => {
    // y' = p sin^2(5 t) at p = 0: y and its cotangent are constant, only the quadrature moves.
    // Closed form: dL/dp = 5 - sin(100) / 20.
    p.assign(tf.scalar(0));
    const func: TensorFunc<tf.Tensor> = (t) => tf.mul(p, tf.square(tf.sin(tf.mul(t, 5))));
    const exact = 5 - Math.sin(100) / 20;
    const full = parameterGradient(p, func, [0, 10], { rtol: 1e-5 });
    const seminorm = parameterGradient(p, func, [0, 10], { rtol: 1e-5, adjointNorm: 'seminorm' });
    expect(full).to.be.closeTo(exact, 1e-3);
    expect(Math.abs(seminorm - exact), 'seminorm is wrong here').to.be.greaterThan(1);
  });

  it('converges to the gradient of the tape as the tolerance falls', () => {
    const func: TensorFunc<tf.Tensor> = (t, y) => tf.mul(tf.sin(tf.mul(p, y)), tf.cos(t));
    const loss = (solver: typeof odeint, rtol: number) => () =>
      tf.sum(solver(func, tf.scalar(1), [0, 1, 3], { rtol, atol: rtol })) as tf.Scalar;
    const gradient = (solver: typeof odeint, rtol: number) =>
      tf.tidy(() => tf.variableGrads(loss(solver, rtol), [p]).grads[p.name].dataSync()[0]);
    const adjoint = odeintAdjoint as typeof odeint;
    const gaps = [1e-2, 1e-4, 1e-6].map((rtol) => Math.abs(gradient(adjoint, rtol) - gradient(odeint, rtol)));
    expect(gaps[1]).to.be.below(Math.max(gaps[0], 1e-4));
    expect(gaps[2]).to.be.below(1e-5);
  });

  it('works on trees, backward in time, with fixed steps and another backward method', () => {
    // q' = p, p' = -w q from 1 to 0: L = q(0) with w = 4, q(1) = 1, p(1) = 0, so q(0) = cos(2).
    const w = tf.variable(tf.scalar(4));
    type Oscillator = { q: tf.Tensor; p: tf.Tensor };
    const func = (_t: tf.Scalar, { q, p }: Oscillator) => ({ p: tf.neg(tf.mul(w, q)), q: p });
    const y0: Oscillator = { q: tf.scalar(1), p: tf.scalar(0) };
    const gradient = (options: TensorOptions<Oscillator> & AdjointOptions) =>
      tf
        .variableGrads(
          () => tf.slice(odeintAdjoint(func, y0, [1, 0.3, 0], options).q, [2], [1]).sum() as tf.Scalar,
        )
        .grads[w.name].dataSync()[0];
    // d cos(sqrt w) / dw = -sin(sqrt w) / (2 sqrt w).
    const exact = -Math.sin(2) / 4;
    expect(gradient({ rtol: 1e-6, atol: 1e-6 })).to.be.closeTo(exact, 1e-5);
    expect(gradient({ method: 'rk4', stepSize: 0.02 })).to.be.closeTo(exact, 1e-5);
    expect(gradient({ rtol: 1e-6, atol: 1e-6, adjointMethod: 'tsit5' })).to.be.closeTo(exact, 1e-5);
    expect(
      gradient({ rtol: 1e-6, atol: 1e-6, adjointMethod: 'rk4', adjointOptions: { stepSize: 0.02 } }),
    ).to.be.closeTo(exact, 1e-5);
  });

  it('needs no more tensors for more steps', () => {
    const peak = (stepSize: number): number => {
      let most = 0;
      const func: TensorFunc<tf.Tensor> = (_t, y) => {
        most = Math.max(most, tf.memory().numTensors);
        return tf.mul(tf.neg(p), y);
      };
      parameterGradient(p, func, [0, 1], { method: 'rk4', stepSize }, tf.scalar(1));
      return most;
    };
    expect(peak(0.001)).to.be.at.most(peak(0.1));
  });

  it('trains a tf.layers model through an optimizer', () => {
    const model = tf.sequential({
      layers: [
        tf.layers.dense({
          units: 8,
          activation: 'tanh',
          inputShape: [2],
          kernelInitializer: tf.initializers.glorotNormal({ seed: 1 }),
        }),
        tf.layers.dense({ units: 2, kernelInitializer: tf.initializers.glorotNormal({ seed: 2 }) }),
      ],
    });
    const optimizer = tf.train.adam(0.02);
    const target = tf.tensor2d([[0.2, 0.7]]);
    const step = () =>
      optimizer
        .minimize(() => {
          const ys = odeintAdjoint(fromLayer(model), tf.tensor2d([[1, 0]]), [0, 1], {
            method: 'rk4',
            stepSize: 0.25,
          });
          return tf.losses.meanSquaredError(target, tf.reshape(tf.slice(ys, [1], [1]), [1, 2])) as tf.Scalar;
        }, true)!
        .dataSync()[0];
    const first = tf.tidy(step);
    for (let i = 0; i < 60; i++) tf.tidy(() => void step());
    expect(tf.tidy(step)).to.be.below(first / 100);
    model.dispose();
  });

  describe('never loses a parameter', () => {
    it('throws when params leaves out what func reads', () => {
      const other = tf.variable(tf.scalar(2), true, 'forgotten');
      const func: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(tf.mul(p, other), y);
      expect(() => parameterGradient(p, func, [0, 1], { params: [p] }, tf.scalar(1)))
        .to.throw(MissingGradientError, /forgotten/)
        .with.property('message')
        .that.matches(/params|trainable = false/);
    });

    it('leaves frozen variables alone', () => {
      const frozen = tf.variable(tf.scalar(2), false);
      const func: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(tf.mul(p, frozen), y);
      // y(1) = exp(2 p), dy/dp = 2 exp(2 p).
      const found = parameterGradient(p, func, [0, 1], { rtol: 1e-6, atol: 1e-6 }, tf.scalar(1));
      expect(found).to.be.closeTo(2 * Math.exp(1), 1e-4);
    });

    it('throws for a variable first met on the way', () => {
      const late = tf.variable(tf.scalar(2), true, 'late');
      const func: TensorFunc<tf.Tensor> = (t, y) => tf.mul(t.dataSync()[0] > 0.5 ? tf.mul(p, late) : p, y);
      expect(() => parameterGradient(p, func, [0, 1], {}, tf.scalar(1))).to.throw(
        MissingGradientError,
        /late/,
      );
    });

    it('gives a variable named in params that func does not read a zero', () => {
      const unused = tf.variable(tf.scalar(2));
      expect(parameterGradient(unused, decay, [0, 1], { params: [unused] }, tf.scalar(1))).to.equal(0);
    });
  });

  it('reaches tensors in args, whatever they are packed in', () => {
    // y(1) = exp(-a b): d/da = -b exp(-a b).
    type Args = { rate: { a: tf.Tensor }; others: [tf.Tensor, string] };
    const func = (_t: tf.Scalar, y: tf.Tensor, { rate, others }: Args) =>
      tf.neg(tf.mul(tf.mul(rate.a, others[0]), y));
    for (const adjoint of ['backsolve', 'checkpoint', 'interpolating'] as const) {
      const loss = (a: tf.Tensor, b: tf.Tensor) => {
        const args: Args = { rate: { a }, others: [b, 'unused'] };
        const ys = odeintAdjoint(func, tf.scalar(1), [0, 1], { args, adjoint, rtol: 1e-6, atol: 1e-6 });
        return tf.sum(tf.slice(ys, [1], [1]));
      };
      const [toA, toB] = tf.grads(loss)([tf.scalar(0.5), tf.scalar(2)]);
      expect(toA.dataSync()[0], adjoint).to.be.closeTo(-2 * Math.exp(-1), 1e-5);
      expect(toB.dataSync()[0], adjoint).to.be.closeTo(-0.5 * Math.exp(-1), 1e-5);
    }
  });

  it('throws when a gradient is asked for with respect to a tensor func closes over, and only then', () => {
    const constant = tf.scalar(2);
    const loss = (rate: tf.Tensor) => (y0: tf.Tensor) =>
      tf.sum(odeintAdjoint((_t, y: tf.Tensor) => tf.neg(tf.mul(tf.mul(rate, constant), y)), y0, [0, 1]));
    expect(() =>
      tf.tidy(() => tf.grad((rate: tf.Tensor) => loss(rate)(tf.scalar(1)))(tf.scalar(1))),
    ).to.throw(MissingGradientError, /args|tf\.variable/);
    const fine = tf.tidy(
      () =>
        tf
          .grad(loss(tf.scalar(0.5)))(tf.scalar(1))
          .dataSync()[0],
    );
    expect(fine).to.be.closeTo(1 + Math.exp(-1), 1e-3);
  });

  for (const adjoint of ['backsolve', 'checkpoint', 'interpolating', 'reversible'] as const) {
    it(`${adjoint}: derivatives of derivatives are those of the closed form`, () => {
      // y' = -p y^2, L = y(1)^2 = (y0 / u)^2 with u = 1 + p y0:
      // L' = 2 y0 / u^3, L'' = (2 - 4 p y0) / u^4, L''' = 12 p (p y0 - 1) / u^5, dL'/dp = -6 y0^2 / u^4.
      const [y0, p] = [1.5, 0.7];
      const u = 1 + p * y0;
      const rate = tf.variable(tf.scalar(p));
      const method = adjoint === 'reversible' ? 'reversible_heun' : 'dopri5';
      const options = { method, adjoint, rtol: 1e-6, atol: 1e-7 };
      const loss = (start: tf.Tensor) => {
        const ys = odeintAdjoint((_t, y) => tf.neg(tf.mul(rate, tf.square(y))), start, [0, 1], options);
        return tf.square(tf.gather(ys, 1));
      };
      const first = tf.grad(loss);
      const second = tf.grad(first);
      tf.tidy(() => {
        const at = (f: (y: tf.Tensor) => tf.Tensor) => f(tf.scalar(y0)).dataSync()[0];
        expect(at(first)).to.be.closeTo((2 * y0) / u ** 3, 3e-5);
        expect(at(second)).to.be.closeTo((2 - 4 * p * y0) / u ** 4, 5e-5);
        expect(at(tf.grad(second))).to.be.closeTo((12 * p * (p * y0 - 1)) / u ** 5, 2e-4);
        const { grads } = tf.variableGrads(() => first(tf.scalar(y0)) as tf.Scalar, [rate]);
        expect(grads[rate.name].dataSync()[0]).to.be.closeTo((-6 * y0 * y0) / u ** 4, 1e-4);
      });
      rate.dispose();
    });
  }

  it('explains what it cannot use', () => {
    const y0 = tf.scalar(1);
    const call =
      (options: object, y: unknown = y0) =>
      () =>
        odeintAdjoint(decay, y as tf.Tensor, [0, 1], options);
    expect(call({}, [1])).to.throw(InvalidArgumentError, /tensor1d/);
    expect(call({ adjoint: 'backsolv' })).to.throw(InvalidArgumentError, /did you mean 'backsolve'/);
    expect(call({ adjoinMethod: 'rk4' })).to.throw(InvalidArgumentError, /adjointMethod/);
    expect(call({ params: [y0] })).not.to.throw(); // outside a gradient params are not looked at ...
    expect(() =>
      tf.grad((y: tf.Tensor) => odeintAdjoint(decay, y, [0, 1], { params: [y0 as tf.Variable] }))(y0),
    ).to.throw(InvalidArgumentError, /tf.variable/);
    expect(call({ adjointNorm: 'semi' })).to.throw(InvalidArgumentError, /seminorm/);
    expect(call({ adjointRtol: 1e-9 })).to.throw(InvalidArgumentError, /rtol/);
  });

  it('gives everything back after an exception in the backward pass', () => {
    const { state } = tf.engine();
    let calls = 0;
    const func =
      (limit: number): TensorFunc<tf.Tensor> =>
      (_t, y) => {
        if (++calls > limit) throw new Error('stop');
        return tf.mul(p, tf.square(y));
      };
    parameterGradient(p, func(Infinity), [0, 0.5, 1], { method: 'bosh3' }, tf.scalar(1));
    const total = calls;
    const y0 = tf.scalar(1);
    for (let limit = 0; limit < total; limit += 3) {
      calls = 0;
      const before = tf.memory().numTensors;
      expect(() => parameterGradient(p, func(limit), [0, 0.5, 1], { method: 'bosh3' }, y0)).to.throw('stop');
      expect(tf.memory().numTensors, `limit ${limit}`).to.equal(before);
      expect([state.gradientDepth, state.kernelDepth]).to.deep.equal([0, 0]);
    }
  });
});
