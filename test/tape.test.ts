/**
 * Gradients of `odeint` by tfjs's tape, first and second ones, against closed forms. The vector fields use no exp,
 * tanh or sigmoid, whose second derivatives are wrong in tfjs itself.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { iterate, odeint, odeintDense, solve } from 'tfjs-diffeq';
import { backendNames, onBackends } from './backends.js';
import { onStockCpu } from './engine_probe.js';
import { generalMethods } from './methods.js';

const accurate = { rtol: 1e-6, atol: 1e-7 };

/** Numbers agree to `tolerance`, relative to the largest. */
function expectClose(
  actual: tf.Tensor | ArrayLike<number>,
  expected: readonly number[],
  tolerance = 1e-4,
): void {
  const values = actual instanceof tf.Tensor ? actual.dataSync() : actual;
  const scale = Math.max(1e-3, ...expected.map(Math.abs));
  expect(values).to.have.length(expected.length);
  expected.forEach((value, i) => expect(values[i], `element ${i}`).to.be.closeTo(value, tolerance * scale));
}

/* Element i of a vector, as something to differentiate. */
const pick = (x: tf.Tensor, i: number): tf.Scalar => tf.sum(tf.slice(tf.reshape(x, [x.size]), i, 1));

/* Rows of the Hessian of `loss` at `x`, by the gradient of the gradient. */
function hessian(loss: (x: tf.Tensor) => tf.Tensor, x: tf.Tensor): number[][] {
  return Array.from({ length: x.size }, (_, i) =>
    Array.from(
      tf
        .grad((z: tf.Tensor) => pick(tf.grad(loss)(z), i))(x)
        .dataSync(),
    ),
  );
}

function testsOfGradients(): void {
  beforeEach(() => tf.engine().startScope('test'));
  afterEach(() => tf.engine().endScope());

  // y' = y^2: y(t) = y0 / (1 - y0 (t - t0))
  const square = (_t: tf.Scalar, y: tf.Tensor) => tf.square(y);
  const gap = (y0: number, t0: number, t: number) => 1 - y0 * (t - t0);

  it("to y0 and every time: y' = y^2", () => {
    const weights = [0.5, 2, -1];
    const [y0, times] = [0.8, [0.25, 0.5, 1]];
    const loss = (y: tf.Tensor, t: tf.Tensor) =>
      tf.sum(tf.mul(odeint(square, y, t as tf.Tensor1D, accurate), tf.tensor2d(weights, [3, 1])));
    const [toY, toT] = tf.grads(loss)([tf.tensor1d([y0]), tf.tensor1d(times)]);
    const y = times.map((t) => y0 / gap(y0, times[0], t));
    expectClose(toY, [weights.reduce((sum, w, i) => sum + w / gap(y0, times[0], times[i]) ** 2, 0)]);
    // dy_i/dt_i = y_i^2, dy_i/dt_0 = -y_i^2, and y_0 is y0 whenever t_0 is.
    const later = [1, 2].map((i) => weights[i] * y[i] ** 2);
    expectClose(toT, [-(later[0] + later[1]), ...later]);
  });

  it("second derivatives in y0 and the times: y' = y^2", () => {
    const point = [0.8, 0.25, 1.25];
    const final = (x: tf.Tensor) => {
      const [y, t] = [tf.slice(x, 0, 1), tf.slice(x, 1, 2)];
      return pick(odeint(square, y, t as tf.Tensor1D, accurate), 1);
    };
    const [y0, t0, t1] = point;
    const d = gap(y0, t0, t1);
    const y = y0 / d;
    // dy/dy0 = d^-2, dy/dt = y^2, d2y/dy0^2 = 2 (t - t0) d^-3, d2y/dy0 dt = 2 y d^-2, d2y/dt^2 = 2 y^3
    const [yy, yt, tt] = [(2 * (t1 - t0)) / d ** 3, (2 * y) / d ** 2, 2 * y ** 3];
    const rows = hessian(final, tf.tensor1d(point));
    expectClose(rows.flat(), [yy, -yt, yt, -yt, tt, -tt, yt, -tt, tt], 1e-3);
  });

  it("second derivatives in the times of a field that depends on t: y' = t y", () => {
    const times = [0.5, 1, 1.5];
    const field = (t: tf.Scalar, y: tf.Tensor) => tf.mul(t, y);
    const final = (t: tf.Tensor) => pick(odeint(field, tf.tensor1d([1.5]), t as tf.Tensor1D, accurate), 2);
    // y = y0 exp((t^2 - t0^2) / 2)
    const [t0, , t] = times;
    const y = 1.5 * Math.exp((t * t - t0 * t0) / 2);
    const rows = hessian(final, tf.tensor1d(times));
    expectClose(
      rows.flat(),
      [y * (t0 * t0 - 1), 0, -y * t0 * t, 0, 0, 0, -y * t0 * t, 0, y * (1 + t * t)],
      1e-3,
    );
  });

  it('to variables, captured tensors and args of func, each on its own', () => {
    const [a, b, c] = [tf.variable(tf.scalar(0.7)), tf.scalar(0.3), tf.scalar(-0.2)];
    // y' = (a + b + c) y: the derivative to each is y(1) = y0 exp(a + b + c)
    const final = (given: { captured: tf.Tensor; c: tf.Tensor }) => {
      const func = (_t: tf.Scalar, y: tf.Tensor, args: { c: tf.Tensor }) =>
        tf.mul(tf.add(tf.add(a, given.captured), args.c), y);
      return pick(odeint(func, tf.tensor1d([2]), [0, 1], { ...accurate, args: { c: given.c } }), 1);
    };
    const y = 2 * Math.exp(0.8);
    const { value, grads } = tf.variableGrads(() => final({ captured: b, c }));
    expectClose(value, [y]);
    expectClose(grads[a.name], [y]);
    const [toB, toC] = tf.grads((x: tf.Tensor, z: tf.Tensor) => final({ captured: x, c: z }))([b, c]);
    expectClose(toB, [y]);
    expectClose(toC, [y]);
    // and the second one
    expectClose(hessian((x) => final({ captured: x, c }), b).flat(), [y], 1e-3);
    a.dispose();
  });

  it("through a tree: x' = v, v' = -w x", () => {
    type Body = { x: tf.Tensor; v: tf.Tensor };
    const [x0, v0, w, t] = [0.6, -0.4, 2.25, 1.2];
    const root = Math.sqrt(w);
    const final = (x: tf.Tensor, v: tf.Tensor, spring: tf.Tensor, times: tf.Tensor): tf.Tensor => {
      const field = (_t: tf.Scalar, body: Body): Body => ({ x: body.v, v: tf.neg(tf.mul(spring, body.x)) });
      const path = odeint(field, { x, v }, times as tf.Tensor1D, accurate);
      return tf.add(pick(path.x, 1), tf.mul(2, pick(path.v, 1)));
    };
    const inputs = [tf.scalar(x0), tf.scalar(v0), tf.scalar(w), tf.tensor1d([0, t])];
    const [toX, toV, toW, toT] = tf.grads(final)(inputs);
    const [s, c] = [Math.sin(root * t), Math.cos(root * t)];
    const x = x0 * c + (v0 / root) * s;
    const v = v0 * c - x0 * root * s;
    expectClose(toX, [c - 2 * root * s]);
    expectClose(toV, [s / root + 2 * c]);
    const slope = v - 2 * w * x;
    expectClose(toT, [-slope, slope]);
    // d/dw of x and v through root = sqrt(w)
    const dx = -x0 * t * s - (v0 / w) * s + (v0 / root) * t * c;
    const dv = -v0 * t * s - x0 * s - x0 * root * t * c;
    expectClose(toW, [(dx + 2 * dv) / (2 * root)]);
  });

  it('backwards in time', () => {
    const [toY, toT] = tf.grads((y: tf.Tensor, t: tf.Tensor) =>
      pick(odeint(square, y, t as tf.Tensor1D, accurate), 1),
    )([tf.tensor1d([2]), tf.tensor1d([1, 0.5])]);
    const d = gap(2, 1, 0.5);
    expectClose(toY, [d ** -2]);
    expectClose(toT, [-((2 / d) ** 2), (2 / d) ** 2]);
  });

  it('of one output time: to y0, and none to the time', () => {
    const [toY, toT] = tf.grads((y: tf.Tensor, t: tf.Tensor) => tf.sum(odeint(square, y, t as tf.Tensor1D)))([
      tf.tensor1d([2, 3]),
      tf.tensor1d([1]),
    ]);
    expectClose(toY, [1, 1]);
    expectClose(toT, [0]);
  });

  it('times as a variable', () => {
    const t = tf.variable(tf.tensor1d([0, 1]));
    const { grads } = tf.variableGrads(() =>
      pick(odeint(square, tf.tensor1d([0.5]), t as tf.Tensor1D, accurate), 1),
    );
    expectClose(grads[t.name], [-1, 1]);
    t.dispose();
  });

  it('of fixed steps are those of the discrete map: y1 = (1 + a h)^n y0', () => {
    const [a, n] = [0.8, 8];
    const final = (x: tf.Tensor) => {
      const field = (_t: tf.Scalar, y: tf.Tensor) => tf.mul(x, y);
      return pick(odeint(field, tf.tensor1d([1]), [0, 1], { method: 'euler', stepSize: 1 / n }), 1);
    };
    expectClose(tf.grad(final)(tf.scalar(a)), [(1 + a / n) ** (n - 1)], 1e-6);
    expectClose(hessian(final, tf.scalar(a)).flat(), [((n - 1) / n) * (1 + a / n) ** (n - 2)], 1e-5);
  });

  it('of every method, at outputs between its steps too', () => {
    for (const method of generalMethods) {
      const loss = (y: tf.Tensor) => tf.sum(odeint(square, y, [0, 0.123, 0.5], { method, stepSize: 0.02 }));
      const expected = 1 + gap(0.8, 0, 0.123) ** -2 + gap(0.8, 0, 0.5) ** -2;
      expectClose(tf.grad(loss)(tf.tensor1d([0.8])), [expected], method === 'euler' ? 3e-2 : 1e-3);
    }
  });

  it('of solve, of its partial result, of dense output and of kept steps', () => {
    const y0 = tf.tensor1d([0.8]);
    const partial = (y: tf.Tensor, t: tf.Tensor) => {
      const solution = solve(square, y, t as tf.Tensor1D, { ...accurate, throwOnFailure: false });
      expect(solution.status).to.equal('step-underflow');
      return pick(solution.y, 1);
    };
    const [toY, toT] = tf.grads(partial)([y0, tf.tensor1d([0, 1, 2])]); // the pole is at 1.25
    expectClose(toY, [gap(0.8, 0, 1) ** -2]);
    const slope = (0.8 / gap(0.8, 0, 1)) ** 2;
    expectClose(toT, [-slope, slope, 0]);

    const dense = (y: tf.Tensor) => {
      const solution = odeintDense(square, y, 0, 1, accurate);
      const sum = tf.add(pick(solution.evaluate(0.4), 0), pick(solution.evaluate([0.2, 1]), 1));
      solution.dispose();
      return sum;
    };
    expectClose(tf.grad(dense)(y0), [gap(0.8, 0, 0.4) ** -2 + gap(0.8, 0, 1) ** -2]);

    const stepped = (y: tf.Tensor) => {
      let last!: tf.Tensor;
      for (const step of iterate(square, y, { ...accurate, t0: 0, t1: 1 })) last = step.keep();
      return pick(last, 0);
    };
    expectClose(tf.grad(stepped)(y0), [gap(0.8, 0, 1) ** -2]);
  });

  it('costs the tape nothing for error norms', () => {
    const loss = (y: tf.Tensor) => {
      const ys = odeint(square, y, [0, 1], accurate);
      const tape = tf.engine().state.activeTape as unknown as { kernelName: string }[];
      const recorded = new Set(tape.map(({ kernelName }) => kernelName));
      for (const name of ['OdeErrorNorm', 'Abs', 'Maximum', 'RealDiv']) expect(recorded).to.not.include(name);
      expect([...recorded]).to.include('Square');
      return tf.sum(ys);
    };
    tf.grad(loss)(tf.tensor1d([0.8]));
  });

  it('of a solve inside the field of a solve', () => {
    // z' = y(1) with y' = y, y(0) = z: z' = e z
    const inner = (_t: tf.Scalar, y: tf.Tensor) => y;
    const outer = (_t: tf.Scalar, z: tf.Tensor) =>
      tf.reshape(tf.slice(odeint(inner, z, [0, 1], accurate), 1, 1), z.shape);
    const final = (z: tf.Tensor) => pick(odeint(outer, z, [0, 0.5], { method: 'rk4', stepSize: 0.05 }), 1);
    expectClose(tf.grad(final)(tf.tensor1d([0.3])), [Math.exp(Math.E / 2)]);
  });

  it('is the same with callbacks, rejected steps, stops and a norm of the caller', () => {
    const loss = (options: object) => (y: tf.Tensor) =>
      pick(odeint(square, y, [0, 1], { ...accurate, ...options }), 1);
    const callbacks = {
      onStep: () => tf.scalar(1),
      onAccept: ({ y }: { y: tf.Tensor }) => tf.square(y),
      onReject: () => {},
    };
    const norm = ([leaf]: tf.Tensor[]) => tf.max(tf.abs(leaf));
    for (const options of [
      callbacks,
      { firstStep: 1 },
      { stepT: [0.3], jumpT: [0.6] },
      { norm },
      { norm: 'max' },
    ]) {
      expectClose(tf.grad(loss(options))(tf.tensor1d([0.8])), [gap(0.8, 0, 1) ** -2]);
    }
  });
}

describe('odeint under the tape', () => {
  onBackends(backendNames, testsOfGradients);
  onStockCpu(testsOfGradients);
});
