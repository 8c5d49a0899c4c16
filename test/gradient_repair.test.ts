import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { odeint, odeintAdjoint, repairGradients, restoreStockGradients } from 'tfjs-diffeq';
import { gradientCases } from '../scripts/gradient-cases.js';
import { references, verdicts } from '../scripts/gradient-check.js';
import { onBackends, type BackendName } from './backends.js';

type Scalarwise = (x: tf.Tensor) => tf.Tensor;

function nthDerivative(f: Scalarwise, n: number): Scalarwise {
  let derivative = f;
  for (let k = 0; k < n; k++) derivative = tf.grad(derivative);
  return derivative;
}

/* Coefficients of P_n, where the n-th derivative of tanh is P_n(tanh): P_0 = u, P_(n+1) = P_n'(u) (1 - u^2). */
function tanhPolynomial(n: number): number[] {
  let p = [0, 1];
  for (let k = 0; k < n; k++) {
    const slope = p.map((c, i) => c * i).slice(1);
    p = [...slope, 0, 0].map((c, i) => c - (slope[i - 2] ?? 0));
  }
  return p;
}

/* The same for the logistic function: P_(n+1) = P_n'(s) (s - s^2). */
function sigmoidPolynomial(n: number): number[] {
  let p = [0, 1];
  for (let k = 0; k < n; k++) {
    const slope = p.map((c, i) => c * i).slice(1);
    p = [0, ...slope, 0].map((c, i) => c - (slope[i - 2] ?? 0));
  }
  return p;
}

const evaluate = (p: readonly number[], u: number): number => p.reduceRight((sum, c) => sum * u + c, 0);

const points = [-1.9, -0.8, -0.25, 0.4, 0.7, 1.3];

/* Relative to the largest value, since a derivative passes zero between the points. */
function expectClosedForm(f: Scalarwise, n: number, closedForm: (x: number) => number): void {
  const expected = points.map(closedForm);
  const actual = tf.tidy(() => Array.from(nthDerivative(f, n)(tf.tensor1d(points)).dataSync()));
  const scale = Math.max(...expected.map(Math.abs));
  actual.forEach((value, i) => {
    expect(Math.abs(value - expected[i]), `at ${points[i]}`).to.be.below(1e-4 * scale);
  });
}

/* Missing in tfjs: no kernel to differentiate with, on any backend or on this one. docs/gradients.md lists them. */
const throwing: Record<BackendName, RegExp> = {
  cpu: /^(complex|spectral|conv2d, dilations|dilation2d|image\.(rotate|crop|transform))/,
  wasm: /^(complex|spectral|dilation2d|image\.(rotate|crop|transform)|einsum|unsortedSegmentSum|conv(1|2)d|depthwise|separable|fused\.(conv|depth))/,
  tensorflow:
    /^(complex|spectral|conv2d, dilations|dilation2d|image\.(rotate|crop|transform)|searchSorted|gather, axis -2)/,
};
/*
 * Kernels of wasm that are wrong themselves: Conv3DBackpropInputV2 at times, MaxPool3D where all of a window is
 * negative, GatherV2 with two batch dimensions (it reads out of bounds).
 */
const unreliable: Partial<Record<BackendName, RegExp>> = { wasm: /^(conv3d|maxPool3d|gather, batchDims 2)/ };

describe('repaired gradients', () => {
  afterEach(repairGradients);

  onBackends(['cpu', 'wasm', 'tensorflow'], (name) => {
    for (const n of [1, 2, 3, 4, 5, 6, 7]) {
      it(`derivative ${n} of tanh is the polynomial P_${n}(tanh)`, () => {
        expectClosedForm(tf.tanh, n, (x) => evaluate(tanhPolynomial(n), Math.tanh(x)));
      });
    }

    it('large products of matrices, transposed, batched or broadcast, have the gradients of their sums', () => {
      // sum(W * A B) has the gradients W B^T and A^T W, of integers exactly.
      const [m, n, p] = [40, 30, 20];
      const entry = (i: number, j: number, seed: number) => ((7 * i + 3 * j + seed) % 5) - 2;
      const matrix = (rows: number, columns: number, seed: number) =>
        Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (_, j) => entry(i, j, seed)));
      const [A, B, W] = [matrix(m, n, 0), matrix(n, p, 1), matrix(m, p, 2)];
      const dA = A.map((row, i) => row.map((_, k) => W[i].reduce((s, w, j) => s + w * B[k][j], 0)));
      const dB = B.map((row, k) => row.map((_, j) => W.reduce((s, w, i) => s + w[j] * A[i][k], 0)));
      const flip = (x: number[][]) => x[0].map((_, j) => x.map((row) => row[j]));
      for (const ta of [false, true]) {
        for (const tb of [false, true]) {
          for (const batch of [0, 2]) {
            const check = tf.tidy(() => {
              const a = tf.tensor2d(ta ? flip(A) : A);
              const b = tf.tensor2d(tb ? flip(B) : B);
              const left = batch === 0 ? a : tf.stack([a, a]);
              const f = (x: tf.Tensor, y: tf.Tensor) =>
                tf.sum(tf.mul(tf.matMul(x, y, ta, tb), tf.tensor2d(W)));
              const [toA, toB] = tf.grads(f)([left, b]);
              const wanted = tf.tensor2d(ta ? flip(dA) : dA);
              const differences = [
                tf.max(tf.abs(tf.sub(toA, wanted))),
                tf.max(tf.abs(tf.sub(toB, tf.mul(Math.max(1, batch), tf.tensor2d(tb ? flip(dB) : dB))))),
              ];
              return differences.map((x) => x.dataSync()[0]);
            });
            expect(check, `${ta} ${tb} ${batch}`).to.deep.equal([0, 0]);
          }
        }
      }
    });

    it('third derivatives of exp and sigmoid are their closed forms', () => {
      expectClosedForm(tf.exp, 3, Math.exp);
      expectClosedForm(tf.sigmoid, 3, (x) => evaluate(sigmoidPolynomial(3), 1 / (1 + Math.exp(-x))));
    });

    it('the branch not taken does no harm far from zero', () => {
      const x = tf.tensor1d([120, -120, 0.5]);
      for (const f of [tf.elu, tf.selu] as Scalarwise[]) {
        expect(nthDerivative(f, 2)(x).dataSync()[0]).to.equal(0);
        expect(nthDerivative(f, 3)(x).dataSync()[0]).to.equal(0);
      }
    });

    for (const test of gradientCases.filter(({ op }) => !unreliable[name]?.test(op))) {
      const known = throwing[name].test(test.op);
      it(`${test.op}: ${known ? 'throws where tfjs cannot, and is never wrong' : 'right up to the third derivative'}`, () => {
        const found = verdicts(test, references(test, 3));
        if (known) expect(found).not.to.include('wrong');
        else expect(found).to.deep.equal(['ok', 'ok', 'ok']);
      });
    }

    it('leaves no tensor behind, also where a gradient is differentiated', () => {
      const x = tf.tensor1d([0.3, -0.6]);
      const f: Scalarwise = (y) => tf.mul(tf.logSoftmax(tf.tanh(y)), tf.exp(tf.elu(y)));
      const run = () => tf.tidy(() => void nthDerivative(f, 3)(x));
      run();
      const before = tf.memory().numTensors;
      run();
      expect(tf.memory().numTensors).to.equal(before);
    });
  });

  it('first derivatives run the kernels they ran before, copies of saved inputs aside', async () => {
    const x = tf.tensor1d([0.3, -0.6]);
    const kernels = async (f: Scalarwise) => {
      const { kernels: all } = await tf.profile(() => tf.grad(f)(x));
      return all.map((kernel) => kernel.name).filter((kernel) => kernel !== 'Identity');
    };
    for (const f of [tf.exp, tf.tanh, tf.sigmoid, tf.softmax, tf.elu, tf.logSoftmax] as Scalarwise[]) {
      repairGradients();
      const here = await kernels(f);
      restoreStockGradients();
      expect(here, f.name).to.have.length.at.most((await kernels(f)).length);
    }
  });

  it('a second derivative through odeint is right', () => {
    // y' = tanh(y) gives sinh(y(t)) = e^t sinh(y0), so d2y/dy0^2 follows from s = e^t sinh(y0).
    const y0 = 0.6;
    const [s, ds] = [Math.E * Math.sinh(y0), Math.E * Math.cosh(y0)];
    const expected = s / Math.sqrt(1 + s * s) - (s * ds * ds) / (1 + s * s) ** 1.5;
    const end = (y: tf.Tensor) =>
      tf.sum(
        odeint((_t, state: tf.Tensor) => tf.tanh(state), y, [0, 1], { rtol: 1e-6, atol: 1e-7 }).gather(1),
      );
    expect(nthDerivative(end, 2)(tf.scalar(y0)).dataSync()[0]).to.be.closeTo(expected, 1e-4);
  });
});

describe('restoreStockGradients', () => {
  afterEach(repairGradients);

  const kernels = Object.values(tf).filter((value) => typeof value === 'string');
  const registered = () => new Map(kernels.map((name) => [name, tf.getGradient(name)]));

  it('brings back the very objects that were registered before, and repairGradients ours', () => {
    repairGradients();
    const ours = registered();
    restoreStockGradients();
    const stock = registered();
    expect(stock.get('Less')).to.equal(undefined);
    expect(stock.get('Tanh')).not.to.equal(ours.get('Tanh'));
    repairGradients();
    expect([...registered()]).to.deep.equal([...ours]);
    restoreStockGradients();
    for (const [name, config] of stock) expect(tf.getGradient(name), name).to.equal(config);
  });

  it('opts out for good: gradient entry points leave the registry alone', () => {
    restoreStockGradients();
    const stock = tf.getGradient('Tanh');
    const field = (_t: tf.Scalar, y: tf.Tensor) => tf.tanh(y);
    tf.grad((y) => tf.sum(odeint(field, y, [0, 1])))(tf.scalar(1));
    tf.grad((y) => tf.sum(odeintAdjoint(field, y, [0, 1])))(tf.scalar(1));
    expect(tf.getGradient('Tanh')).to.equal(stock);
  });

  it('leaves a gradient that somebody else registered since', () => {
    const ours = tf.getGradient('Less');
    const theirs = { kernelName: 'Less', gradFunc: () => ({}) };
    tf.unregisterGradient('Less');
    tf.registerGradient(theirs);
    restoreStockGradients();
    expect(tf.getGradient('Less')).to.equal(theirs);
    tf.unregisterGradient('Less');
    repairGradients();
    expect(tf.getGradient('Less')).to.equal(ours);
  });

  it('says nothing on the console, in debug mode either', () => {
    const warnings: unknown[] = [];
    const { warn } = console;
    console.warn = (...args) => void warnings.push(args);
    tf.env().set('DEBUG', true);
    try {
      warnings.length = 0;
      restoreStockGradients();
      repairGradients();
      repairGradients();
    } finally {
      tf.env().set('DEBUG', false);
      console.warn = warn;
    }
    expect(warnings).to.deep.equal([]);
  });
});

/* The registry is global, so each order of imports is a process of its own. */
describe('the order of imports', () => {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const run = (script: string): unknown => {
    const wrapped = `(async () => { ${script} })().then((x) => console.log(JSON.stringify(x)), (e) => { console.error(e); process.exit(1); })`;
    const output = execFileSync('node', ['--import', 'tsx', '-e', wrapped], { cwd: root, encoding: 'utf8' });
    return JSON.parse(output.trim().split('\n').at(-1) as string) as unknown;
  };
  const ours = `const { odeint, odeintAdjoint } = await import('tfjs-diffeq');`;
  const quiet = `tf.env().set('PROD', true); await tf.setBackend('cpu');`;
  // Not tanh alone: in tfjs its second derivative has no path left, and throws.
  const second = `tf.grad(tf.grad((y) => tf.mul(y, tf.tanh(y))))(tf.scalar(0.5)).dataSync()[0]`;
  const solve = `tf.grad((y) => tf.sum(odeint((t, s) => tf.tanh(s), y, [0, 1])))(tf.scalar(0.5));`;
  const [, slope, bend] = [0, 1, 2].map((n) => evaluate(tanhPolynomial(n), Math.tanh(0.5)));
  const expected = 2 * slope + 0.5 * bend;

  it('tfjs, then this package: repaired by the import', () => {
    const value = run(`const tf = await import('@tensorflow/tfjs'); ${ours} ${quiet} return ${second};`);
    expect(value).to.be.closeTo(expected, 1e-5);
  });

  it('this package, then tfjs: repaired by the next gradient entry point', () => {
    const values = run(
      `${ours} const tf = await import('@tensorflow/tfjs'); ${quiet} const before = ${second}; ${solve} return [before, ${second}];`,
    ) as number[];
    expect(values[0]).not.to.be.closeTo(expected, 1e-2);
    expect(values[1]).to.be.closeTo(expected, 1e-5);
  });

  it('tfjs-layers after both: repaired by odeintAdjoint', () => {
    const value = run(
      `const core = await import('@tensorflow/tfjs-core'); await import('@tensorflow/tfjs-backend-cpu'); ${ours}
       await import('@tensorflow/tfjs-layers'); const tf = core; ${quiet}
       tf.grad((y) => tf.sum(odeintAdjoint((t, s) => tf.tanh(s), y, [0, 1])))(tf.scalar(0.5)); return ${second};`,
    );
    expect(value).to.be.closeTo(expected, 1e-5);
  });

  it('tfjs-core alone solves, and a gradient is a MissingGradientError', () => {
    const value = run(
      `${ours} const tf = await import('@tensorflow/tfjs-core'); await import('@tensorflow/tfjs-backend-cpu'); ${quiet}
       const field = (t, s) => tf.tanh(s);
       const end = odeint(field, tf.scalar(1), [0, 1]).dataSync()[1];
       try { tf.grad((y) => tf.sum(odeintAdjoint(field, y, [0, 1])))(tf.scalar(1)); } catch (e) { return [end, e.name]; }`,
    ) as [number, string];
    expect(value[0]).to.be.closeTo(Math.asinh(Math.E * Math.sinh(1)), 1e-4);
    expect(value[1]).to.equal('MissingGradientError');
  });
});
