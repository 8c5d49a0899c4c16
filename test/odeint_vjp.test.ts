import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { InvalidArgumentError, odeint, odeintVjp, odeintVjpAsync, type PlainVjp } from 'tfjs-diffeq';
import { generalMethods } from './methods.js';

/* Gradients by forward sensitivity equations in float64: test/reference/adjoint.py. */
interface Case {
  y0: number[];
  t: number[];
  weights: number[][];
  parameters: Record<'alpha' | 'beta' | 'gamma' | 'delta', number>;
  sensitivities: Record<string, number[] & number>;
}
const reference = JSON.parse(readFileSync(new URL('./reference/adjoint.json', import.meta.url), 'utf8')) as {
  cases: { lotka_volterra: Case };
};
const { y0, t, weights, parameters, sensitivities } = reference.cases.lotka_volterra;

const field = (_t: number, [x, y]: Float64Array, [a, b, c, d]: Float64Array) => [
  (a - b * y) * x,
  (d * x - c) * y,
];
const rates = () => Float64Array.of(parameters.alpha, parameters.beta, parameters.gamma, parameters.delta);
const products: PlainVjp<Float64Array> = (_t, [x, y], [a, b, c, d], [l, m]) => ({
  y: [(a - b * y) * l + d * y * m, -b * x * l + (d * x - c) * m],
  args: [x * l, -x * y * l, -y * m, x * y * m],
});

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, relative: number): void {
  const scale = Math.max(...Array.from(expected, Math.abs));
  Array.from(actual).forEach((x, i) => expect(x, `entry ${i}`).to.be.closeTo(expected[i], relative * scale));
}

describe('odeintVjp on plain numbers', () => {
  const expected = [sensitivities.alpha, sensitivities.beta, sensitivities.gamma, sensitivities.delta];

  for (const [title, vjp] of [
    ['a vjp of the caller', products],
    ['finite differences', undefined],
  ] as const) {
    it(`agrees with sensitivity equations: ${title}`, () => {
      const options = { args: rates(), vjp, method: 'dopri8', rtol: 1e-11, atol: 1e-12 } as const;
      const { ys, vjp: back } = odeintVjp(field, y0, t, options);
      expect(ys).to.deep.equal(
        odeint(field, y0, t, { args: rates(), method: 'dopri8', rtol: 1e-11, atol: 1e-12 }),
      );
      const found = back(weights.map((row) => Float64Array.from(row)));
      expect(found.jacobiansBy).to.equal(vjp ? 'vjp' : 'finite differences');
      expectClose(found.y0, sensitivities.y0, 1e-8);
      expectClose(found.args!, expected, 1e-8);
      expectClose(found.t, sensitivities.t, 1e-8);
    });
  }

  for (const method of generalMethods) {
    it(`${method}: finite differences on the same steps, to 1e-9, with all states and with two`, () => {
      const times = [0, 0.7, 1.3, 2];
      const grid = { gridConstructor: () => Float64Array.of(0, 0.2, 0.5, 0.9, 1.4, 2) };
      const loss = (start: number[], args: Float64Array) =>
        odeint(field, start, times, { method, args, ...grid }).reduce(
          (sum, row, i) => sum + row[0] * weights[i][0] + row[1] * weights[i][1],
          0,
        );
      const start = [3, 2];
      const h = 1e-5;
      const difference = (plus: () => number, minus: () => number) => (plus() - minus()) / (2 * h);
      const moved = (x: ArrayLike<number>, i: number, by: number) =>
        Float64Array.from(x, (v, j) => (i === j ? v + by : v));
      const byStart = start.map((_, i) =>
        difference(
          () => loss([...moved(start, i, h)], rates()),
          () => loss([...moved(start, i, -h)], rates()),
        ),
      );
      const byArgs = Array.from(rates(), (_, i) =>
        difference(
          () => loss(start, moved(rates(), i, h)),
          () => loss(start, moved(rates(), i, -h)),
        ),
      );
      for (const checkpoints of [undefined, 2]) {
        const { vjp } = odeintVjp(field, start, times, {
          method,
          args: rates(),
          vjp: products,
          checkpoints,
          ...grid,
        });
        const found = vjp(weights.slice(0, 4).map((row) => Float64Array.from(row)));
        expectClose(found.y0, byStart, 1e-9);
        expectClose(found.args!, byArgs, 1e-9);
      }
    });
  }

  it('works without args, backward in time, and when called twice', async () => {
    const { vjp } = await odeintVjpAsync((_t, [x]) => [-x], [2], [1, 0], { rtol: 1e-10, atol: 1e-12 });
    for (const weight of [1, 3]) {
      const found = vjp([Float64Array.of(0), Float64Array.of(weight)]);
      expect(found.y0[0]).to.be.closeTo(weight * Math.E, 1e-8);
      expect(found.args).to.equal(null);
      expect(found.t[1]).to.be.closeTo(-weight * 2 * Math.E, 1e-7);
    }
  });

  it('explains what it cannot use', () => {
    const call = (options: object) => () => odeintVjp(field, y0, t, { args: rates(), ...options });
    expect(call({ adjoint: 'backwards' })).to.throw(InvalidArgumentError, /one of backsolve, checkpoint/);
    expect(call({ adjoint: 'reversible' })).to.throw(InvalidArgumentError, /'reversible_heun'/);
    expect(call({ params: [] })).to.throw(InvalidArgumentError, /args/);
    expect(call({ vjp: 1 })).to.throw(InvalidArgumentError, /vjp/);
    const { vjp, dispose } = odeintVjp(field, y0, t, { args: rates(), vjp: () => ({ y: [1] }) });
    expect(() => vjp([])).to.throw(InvalidArgumentError, /gys/);
    expect(() => vjp(weights.map((row) => Float64Array.from(row)))).to.throw(
      InvalidArgumentError,
      /lambda\^T df\/dy/,
    );
    dispose();
    expect(() => vjp(weights.map((row) => Float64Array.from(row)))).to.throw(InvalidArgumentError, /dispose/);
  });
});

describe('odeintVjp on tensors', () => {
  it('gives every gradient of every adjoint, and leaks nothing', async () => {
    const rate = tf.variable(tf.scalar(0.5));
    const factor = tf.scalar(2);
    const start = { y: tf.tensor1d([1, 2]) };
    type State = { y: tf.Tensor };
    const func = (_t: tf.Scalar, { y }: State, args: { factor: tf.Tensor }) => ({
      y: tf.neg(tf.mul(tf.mul(rate, args.factor), y)),
    });
    const before = tf.memory().numTensors;
    for (const adjoint of ['checkpoint', 'backsolve', 'interpolating'] as const) {
      const options = { args: { factor }, adjoint, rtol: 1e-6, atol: 1e-6 };
      const solved = odeintVjp(func, start, [0, 1], options);
      const gys = {
        y: tf.tensor2d([
          [0, 0],
          [1, 1],
        ]),
      };
      const found = solved.vjp(gys);
      // y(1) = y0 exp(-rate factor), and L is the sum of both entries.
      expect(found.y0.y.dataSync()[0], adjoint).to.be.closeTo(Math.exp(-1), 1e-5);
      expect(found.params[0].dataSync()[0], adjoint).to.be.closeTo(-6 * Math.exp(-1), 1e-4);
      expect(found.args[0].dataSync()[0], adjoint).to.be.closeTo(-1.5 * Math.exp(-1), 1e-4);
      expect(found.t.dataSync()[1], adjoint).to.be.closeTo(-3 * Math.exp(-1), 1e-4);
      solved.dispose();
      tf.dispose([solved.ys.y, gys.y, found.y0.y, found.t, ...found.params, ...found.args]);
      expect(tf.memory().numTensors, adjoint).to.equal(before);
    }
    const { ys, vjp, dispose } = await odeintVjpAsync(func, start, [0, 1], { args: { factor } });
    const { params } = tf.tidy(() => vjp({ y: tf.onesLike(ys.y) }));
    expect(params).to.have.length(1);
    dispose();
    tf.dispose([ys.y, params]);
    rate.dispose();
    tf.dispose([factor, start.y]);
  });
});
