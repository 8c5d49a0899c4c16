/**
 * Second-order helpers against closed forms.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { InvalidArgumentError } from 'tfjs-diffeq';
import { hessian, hvp, jacobian, jvp, nthDerivative } from 'tfjs-diffeq/optim';
import { backendNames, onBackends } from './backends.js';
import { engineState, leavesOnlyItsResult } from './engine_probe.js';

function close(actual: tf.Tensor, expected: readonly number[], tolerance = 1e-5): void {
  const values = actual.dataSync();
  const scale = Math.max(1, ...expected.map(Math.abs));
  expect(values).to.have.length(expected.length);
  expected.forEach((x, i) => expect(values[i], `entry ${i}`).to.be.closeTo(x, tolerance * scale));
}

/* Derivatives of tanh as polynomials in y = tanh x: p <- p'(y) (1 - y^2). */
function tanhDerivative(n: number, x: number): number {
  let p = [0, 1];
  for (let k = 0; k < n; k++) {
    const slope = p.slice(1).map((c, i) => c * (i + 1));
    p = Array.from({ length: p.length + 1 }, (_, i) => (slope[i] ?? 0) - (slope[i - 2] ?? 0));
  }
  return p.reduce((sum, c, i) => sum + c * Math.tanh(x) ** i, 0);
}

function testsOfDerivatives(): void {
  beforeEach(() => tf.engine().startScope('test'));
  afterEach(() => tf.engine().endScope());
  const [a, b] = [0.3, -0.7];
  const x = () => tf.tensor1d([a, b]);
  // f = exp(x0) sin(x1)
  const f = (z: tf.Tensor) => tf.mul(tf.exp(tf.gather(z, 0)), tf.sin(tf.gather(z, 1)));
  const [es, ec] = [Math.exp(a) * Math.sin(b), Math.exp(a) * Math.cos(b)];

  it('hessian and hvp of exp(x0) sin(x1)', () => {
    const matrix = hessian(f)(x());
    expect(matrix.shape).to.deep.equal([2, 2]);
    close(matrix, [es, ec, ec, -es]);
    close(hvp(f)(x(), tf.tensor1d([2, -1])), [2 * es - ec, 2 * ec + es]);
    expect(hessian((z) => tf.sum(tf.square(z)))(tf.ones([2, 1])).shape).to.deep.equal([2, 1, 2, 1]);
    close(hessian((z) => tf.sum(z))(x()), [0, 0, 0, 0]);
  });

  it('hvp in a tree', () => {
    // f = p^2 q: H = [[2 q, 2 p], [2 p, 0]]
    const g = ({ p, q: [q] }: { p: tf.Tensor; q: tf.Tensor[] }) => tf.mul(tf.square(p), q);
    const at = { p: tf.scalar(3), q: [tf.scalar(5)] };
    const product = hvp(g)(at, { p: tf.scalar(1), q: [tf.scalar(2)] });
    close(product.p, [2 * 5 + 2 * 3 * 2]);
    close(product.q[0], [2 * 3]);
  });

  it('jacobian and jvp of a map to another shape', () => {
    const g = (z: tf.Tensor) => tf.stack([f(z), tf.sum(tf.square(z)), tf.scalar(4)]);
    const J = [es, ec, 2 * a, 2 * b, 0, 0];
    const matrix = jacobian(g)(x());
    expect(matrix.shape).to.deep.equal([3, 2]);
    close(matrix, J);
    close(jvp(g)(x(), tf.tensor1d([1, 10])), [J[0] + 10 * J[1], J[2] + 10 * J[3], 0]);
    close(jacobian((z) => z)(x()), [1, 0, 0, 1]);
  });

  it('tanh to the seventh order', () => {
    const points = [-1.3, 0, 0.4, 2];
    for (let n = 0; n <= 7; n++) {
      close(
        nthDerivative((z) => tf.tanh(z), n)(tf.tensor1d(points)),
        points.map((z) => tanhDerivative(n, z)),
        // Terms of alternating sign, in float32: 272 is the largest coefficient of the seventh.
        5e-6 * (1 + n * n),
      );
    }
  });

  it('are differentiable themselves, and take what is around as constant', () => {
    // d/dc of the second derivative of sin(c x) is -2 c sin(c x) - c^2 x cos(c x)
    const [c, z] = [1.5, 0.6];
    const second = (k: tf.Tensor) => nthDerivative((y) => tf.sin(tf.mul(k, y)), 2)(tf.scalar(z));
    close(tf.grad(second)(tf.scalar(c)), [-2 * c * Math.sin(c * z) - c * c * z * Math.cos(c * z)]);
    const outer = (y: tf.Tensor) => {
      const twice = tf.mul(y, 2);
      return hessian((w) => tf.mul(tf.square(w), twice))(y); // 2 * twice: 4 y
    };
    close(tf.grad(outer)(tf.scalar(z)), [4]);
    const trace = (y: tf.Tensor) => tf.sum(jacobian((w) => tf.square(w))(y));
    close(tf.grad(trace)(x()), [2, 2]);
    close(
      tf.grad((y: tf.Tensor) => tf.sum(jvp((w: tf.Tensor) => tf.square(w))(y, tf.tensor1d([1, 3]))))(x()),
      [2, 6],
    );
  });
}

describe('second-order helpers', () => {
  onBackends(backendNames, testsOfDerivatives);

  it('leave nothing but their result', () => {
    const x = tf.tensor1d([0.3, -0.7]);
    const v = tf.tensor1d([1, 2]);
    const f = (z: tf.Tensor) => tf.sum(tf.tanh(tf.square(z)));
    for (const call of [
      () => hessian(f)(x),
      () => hvp(f)(x, v),
      () => jacobian((z) => tf.tanh(z))(x),
      () => jvp((z: tf.Tensor) => tf.tanh(z))(x, v),
      () => nthDerivative((z) => tf.tanh(z), 4)(x),
      () => nthDerivative((z) => z, 0)(x),
    ]) {
      leavesOnlyItsResult(call).dispose();
      const before = engineState();
      for (let i = 0; i < 50; i++) call().dispose();
      expect(engineState()).to.deep.equal(before);
    }
    tf.dispose([x, v]);
  });

  it('refuse what they cannot use, and leave nothing', () => {
    const x = tf.tensor1d([1, 2]);
    const before = engineState();
    const refused = (call: () => unknown, fragment: string) =>
      expect(call).to.throw(InvalidArgumentError, fragment);
    refused(() => hessian((z) => tf.square(z))(x), 'expected a float32 scalar');
    refused(() => hessian(5 as never)(x), 'expected a function');
    refused(() => jacobian(() => 1 as never)(x), 'f returned number 1');
    refused(() => jacobian((z) => z)([1] as never), 'expected a float32 tensor');
    refused(() => nthDerivative((z) => tf.sum(z), 1)(x), 'expected the same shape');
    refused(() => nthDerivative((z) => z, 1.5), 'natural number');
    refused(() => hvp((z: tf.Tensor) => tf.sum(z))(x, { v: x } as never), 'v is a record');
    expect(engineState()).to.deep.equal(before);
    x.dispose();
  });
});
