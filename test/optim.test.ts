/**
 * Functional optimizers: their steps against PyTorch's, gradients through them against differences and closed forms,
 * schedules, chains, wrong input, memory.
 */
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { InvalidArgumentError } from 'tfjs-diffeq';
import {
  adagrad,
  adam,
  adamw,
  bfgs,
  chain,
  clipByGlobalNorm,
  constantSchedule,
  cosineDecay,
  exponentialDecay,
  imaml,
  implicitMinimum,
  lbfgs,
  piecewiseConstant,
  rmsprop,
  sgd,
  valueAndGrad,
  warmup,
  type Optimizer,
} from 'tfjs-diffeq/optim';
import { backendNames, onBackends } from './backends.js';
import { engineState, leavesOnlyItsResult } from './engine_probe.js';

interface Reference {
  start: number[];
  steps: Record<string, number[][]>;
}
const reference = JSON.parse(
  readFileSync(new URL('./reference/optim.json', import.meta.url), 'utf8'),
) as Reference;

const optimizers: Record<string, () => Optimizer> = {
  sgd: () => sgd(0.05),
  'sgd momentum': () => sgd(0.02, { momentum: 0.9 }),
  'sgd nesterov': () => sgd(0.02, { momentum: 0.9, nesterov: true }),
  'sgd weight decay': () => sgd(0.02, { momentum: 0.5, weightDecay: 0.1 }),
  adam: () => adam(0.1),
  'adam weight decay': () => adam(0.1, { beta1: 0.8, beta2: 0.95, epsilon: 1e-4, weightDecay: 0.1 }),
  adamw: () => adamw(0.1),
  'adamw weight decay': () => adamw(0.1, { weightDecay: 0.2 }),
  rmsprop: () => rmsprop(0.05),
  'rmsprop centered': () => rmsprop(0.01, { decay: 0.9, momentum: 0.5, centered: true, weightDecay: 0.1 }),
  adagrad: () => adagrad(0.3),
  'adagrad weight decay': () => adagrad(0.3, { initialAccumulator: 0.1, weightDecay: 0.1 }),
};

type Params = { w: tf.Tensor; b: tf.Tensor };

/* As in test/reference/optim.py. */
function loss({ w, b }: Params): tf.Tensor {
  const quadratic = tf.sum(tf.mul([0.5, 2, 5], tf.square(tf.sub(w, [0, 1, -1]))));
  const row = tf.square(tf.add(tf.sum(tf.mul(w, [0.3, -0.2, 0.1])), b));
  return tf.addN([tf.div(quadratic, 2), row, tf.cosh(b)]);
}

const startParams = (): Params => {
  const [b] = reference.start.slice(3);
  return { w: tf.tensor1d(reference.start.slice(0, 3)), b: tf.scalar(b) };
};

function testsOfSteps(): void {
  for (const [name, make] of Object.entries(optimizers)) {
    it(`${name}: 20 steps as PyTorch's`, () =>
      void tf.tidy(() => {
        const optimizer = make();
        let params = startParams();
        let state = optimizer.init(params);
        for (const [i, expected] of reference.steps[name].entries()) {
          const { grads } = valueAndGrad(loss, params);
          ({ params, state } = optimizer.update(grads, state, params));
          const found = [...params.w.dataSync(), ...params.b.dataSync()];
          // float32 against float64
          found.forEach((x, k) => expect(x, `step ${i + 1}`).to.be.closeTo(expected[k], 1e-6));
        }
        expect(state.step).to.equal(20);
      }));
  }
}

/* The sum of the parameters after three steps, as a function of the learning rate and of the start. */
function afterSteps(make: (rate: tf.Tensor) => Optimizer) {
  return (rate: tf.Tensor, start: tf.Tensor): tf.Tensor => {
    const optimizer = make(rate);
    let params = [start];
    let state = optimizer.init(params);
    for (let i = 0; i < 3; i++) {
      const inner = ([x]: tf.Tensor[]) => tf.sum(tf.add(tf.square(tf.square(x)), tf.mul(x, [1, -2])));
      const { grads } = valueAndGrad(inner, params);
      ({ params, state } = optimizer.update(grads, state, params));
    }
    return tf.sum(tf.mul(params[0], [1, 2]));
  };
}

describe('functional optimizers', () => {
  onBackends(backendNames, testsOfSteps);

  describe('are differentiable', () => {
    const differentiable: Record<string, (rate: tf.Tensor) => Optimizer<never>> = {
      sgd: (rate) => sgd(rate, { momentum: 0.9, nesterov: true, weightDecay: 0.1 }) as never,
      adam: (rate) => adam(rate) as never,
      adamw: (rate) => adamw(rate, { weightDecay: 0.1 }) as never,
      rmsprop: (rate) => rmsprop(rate, { momentum: 0.5, centered: true, epsilon: 1e-3 }) as never,
      adagrad: (rate) => adagrad(rate) as never,
      'chain with clipping': (rate) => chain(clipByGlobalNorm(0.5), sgd(rate, { momentum: 0.5 })) as never,
    };
    for (const [name, make] of Object.entries(differentiable)) {
      it(`${name}: in the learning rate and the start, against central differences`, () =>
        void tf.tidy(() => {
          const f = afterSteps(make as never);
          const [rate, start] = [0.05, [0.4, -0.3]];
          const [toRate, toStart] = tf.grads(f)([tf.scalar(rate), tf.tensor1d(start)]);
          const value = (r: number, x: number[]) => f(tf.scalar(r), tf.tensor1d(x)).dataSync()[0];
          const h = 1e-3;
          const slope = (value(rate + h, start) - value(rate - h, start)) / (2 * h);
          expect(toRate.dataSync()[0]).to.be.closeTo(slope, 5e-3 * Math.max(1, Math.abs(slope)));
          const found = toStart.dataSync();
          start.forEach((_, i) => {
            const moved = (by: number) => start.map((x, k) => (k === i ? x + by : x));
            const expected = (value(rate, moved(h)) - value(rate, moved(-h))) / (2 * h);
            expect(found[i]).to.be.closeTo(expected, 5e-3 * Math.max(1, Math.abs(expected)));
          });
        }));
    }

    it('at gradients of zero, twice, without NaN', () => {
      const all = { adam, adamw, rmsprop, adagrad };
      for (const [name, make] of Object.entries(all)) {
        tf.tidy(() => {
          // x = 0 is the minimum of x^4; y has a gradient.
          const moved = (x: tf.Tensor) => {
            const optimizer = make(0.1);
            const { grads } = valueAndGrad(([p]) => tf.sum(tf.square(tf.square(p))), [x]);
            return tf.sum(optimizer.update(grads, optimizer.init([x]), [x]).params[0]);
          };
          const x = tf.tensor1d([0, 0.5]);
          const first = tf.grad(moved)(x);
          const second = tf.grad((z: tf.Tensor) => tf.sum(tf.grad(moved)(z)))(x);
          for (const value of [...first.dataSync(), ...second.dataSync()]) {
            expect(value, name).to.satisfy(Number.isFinite);
          }
          // Without a gradient, and with one that does not change at first order, nothing moves but by the decay.
          expect(first.dataSync()[0], name).to.be.closeTo(name === 'adamw' ? 1 - 0.1 * 0.01 : 1, 1e-6);
        });
      }
    });

    it('the first step of adam from a gradient of 0 has the derivative -rate / epsilon', () => {
      const moved = (g: tf.Tensor) => {
        const optimizer = adam(0.1, { epsilon: 1e-2 });
        const params = tf.scalar(1);
        return optimizer.update(g, optimizer.init(params), params).params;
      };
      const slope = tf.tidy(() => tf.grad(moved)(tf.scalar(0)).dataSync()[0]);
      expect(slope).to.be.closeTo(-10, 1e-4);
    });

    it('clipping a gradient of zero', () => {
      const clipped = (g: tf.Tensor) => clipByGlobalNorm(1).transform(g, {}, g).grads;
      tf.tidy(() => {
        expect(
          Array.from(
            tf
              .grad(clipped)(tf.zeros([2]))
              .dataSync(),
          ),
        ).to.deep.equal([1, 1]);
        expect(Array.from(clipped(tf.tensor1d([3, 4])).dataSync(), (x) => Math.fround(x))).to.deep.equal(
          [0.6, 0.8].map(Math.fround),
        );
        expect(Array.from(clipped(tf.tensor1d([0.3, 0.4])).dataSync())).to.deep.equal(
          [0.3, 0.4].map(Math.fround),
        );
      });
    });
  });

  it('schedules follow their formulas', () => {
    const at = (schedule: (step: number) => number, steps: number[]) => steps.map(schedule);
    expect(at(constantSchedule(0.3), [0, 9])).to.deep.equal([0.3, 0.3]);
    expect(at(exponentialDecay(1, { decay: 0.25, steps: 10 }), [0, 5, 10])).to.deep.equal([1, 0.5, 0.25]);
    const stairs = exponentialDecay(1, { decay: 0.25, steps: 10, staircase: true });
    expect(at(stairs, [9, 10, 29])).to.deep.equal([1, 0.25, 0.0625]);
    const cosine = cosineDecay(2, { steps: 10, floor: 0.1 });
    [2, 1.1, 0.2, 0.2].forEach((rate, i) => expect(cosine([0, 5, 10, 99][i])).to.be.closeTo(rate, 1e-15));
    expect(at(warmup(4, exponentialDecay(1, { decay: 0.5, steps: 1 })), [0, 1, 4, 5])).to.deep.equal([
      0, 0.25, 1, 0.5,
    ]);
    expect(at(piecewiseConstant([2, 4], [3, 2, 1]), [0, 1, 2, 3, 4])).to.deep.equal([3, 3, 2, 2, 1]);
    expect(() => piecewiseConstant([2, 1], [1, 2, 3])).to.throw(InvalidArgumentError, 'rising');
    expect(() => piecewiseConstant([2], [1])).to.throw(InvalidArgumentError, 'one rate more');
  });

  it('take the rate of their step from a schedule', () =>
    void tf.tidy(() => {
      const optimizer = sgd(piecewiseConstant([1], [1, 0.5]));
      let params = tf.scalar(0);
      let state = optimizer.init(params);
      for (const expected of [-1, -1.5, -2]) {
        ({ params, state } = optimizer.update(tf.scalar(1), state, params));
        expect(params.dataSync()[0]).to.equal(expected);
      }
    }));

  it('change nothing in place, and leave nothing but their result', () => {
    for (const make of [...Object.values(optimizers), () => chain(clipByGlobalNorm(1), adam(0.1)) as never]) {
      const before = engineState();
      const optimizer = make();
      const params = startParams();
      const { value, grads } = leavesOnlyItsResult(() => valueAndGrad(loss, params));
      const state = leavesOnlyItsResult(() => optimizer.init(params));
      const next = leavesOnlyItsResult(() => optimizer.update(grads, state, params));
      expect(Array.from(params.w.dataSync())).to.deep.equal(reference.start.slice(0, 3));
      expect(grads.w.isDisposed || params.b.isDisposed).to.equal(false);
      tf.dispose([params, value, grads, state, next] as never);
      expect(engineState()).to.deep.equal(before);
    }
  });

  it('1000 steps leave no tensor behind', () => {
    const optimizer = chain(clipByGlobalNorm(1), adam(0.01));
    let params = startParams();
    let state = optimizer.init(params);
    const step = () => {
      const { value, grads } = valueAndGrad(loss, params);
      const next = optimizer.update(grads, state, params);
      tf.dispose([value, grads, params, state] as never);
      ({ params, state } = next);
    };
    step();
    const before = engineState();
    for (let i = 0; i < 1000; i++) step();
    expect(engineState()).to.deep.equal(before);
    tf.dispose([params, state] as never);
  });

  it('refuse what they cannot use', () => {
    const refused = (call: () => unknown, ...fragments: string[]) => {
      for (const fragment of fragments) {
        expect(() => tf.tidy(() => void call())).to.throw(InvalidArgumentError, fragment);
      }
    };
    const before = engineState();
    const w = tf.tensor1d([1, 2]);
    const optimizer = adam(0.1);
    const state = optimizer.init({ w });
    const update = (grads: unknown, params: unknown = { w }, from: unknown = state) =>
      optimizer.update(grads as never, from as never, params as never);
    refused(() => update({ w: tf.tensor1d([1, NaN]) }), 'gradient of w is not finite', 'clip');
    refused(() => update({ w: tf.tensor1d([Infinity, 1]) }), 'not finite');
    refused(() => update({ v: w }), 'grads is a record with keys {v}; expected a record with the keys {w}');
    refused(() => update([w]), 'grads is an array of 1');
    refused(() => update({ w: tf.ones([3]) }), 'grads.w is a float32 tensor of shape [3]', 'shape [2]');
    refused(() => update({ w }, { w }, {}), 'state is a record', 'init(params)');
    refused(() => update({ w }, { w }, sgd(1).init({ w })), 'state is');
    refused(() => optimizer.init({}), 'without a tensor');
    refused(() => optimizer.init([]), 'without a tensor');
    refused(() => optimizer.init({ a: w, b: w }), 'params.a and params.b are the same tensor');
    refused(() => optimizer.init({ a: 1 }), 'expected a float32 tensor or variable');
    refused(() => optimizer.init(tf.tensor1d([1], 'int32')), 'expected float32');
    refused(() => valueAndGrad((x) => x, w), 'the loss is a float32 tensor of shape [2]', 'tf.sum');
    refused(() => valueAndGrad((() => undefined) as never, w), 'return statement');
    refused(() => sgd(-1), 'learningRate is number -1');
    refused(() => sgd('fast' as never), 'learningRate');
    refused(() => sgd(1, { nesterov: true }), 'needs momentum');
    refused(() => adam(1, { beta1: 1 }), 'beta1 is number 1; expected a number in [0, 1)');
    const options: [(options: never) => unknown, string, string][] = [
      [(o) => sgd(1, o), 'weight_decay', 'did you mean weightDecay?'],
      [(o) => sgd(1, o), 'dampening', 'known are: momentum, nesterov, weightDecay, checkFinite'],
      [(o) => adam(1, o), 'betas', 'did you mean beta1 and beta2?'],
      [(o) => adamw(1, o), 'eps', 'unknown option eps of adamw; did you mean epsilon?'],
      [(o) => rmsprop(1, o), 'alpha', 'did you mean decay?'],
      [(o) => adagrad(1, o), 'initialAcumulator', 'did you mean initialAccumulator?'],
      [(o) => cosineDecay(1, o), 'step', 'did you mean steps?'],
      [
        (o) =>
          imaml(
            () => w,
            { w },
            () => ({ w }),
            o,
          ),
        'lamda',
        'did you mean lambda?',
      ],
      [(o) => lbfgs(() => tf.sum(w), w, o), 'history_size', 'did you mean memory?'],
      [(o) => bfgs(() => tf.sum(w), w, o), 'maxIter', 'did you mean maxIterations?'],
    ];
    for (const [call, name, remedy] of options) refused(() => call({ [name]: 1 } as never), name, remedy);
    refused(() => sgd(1, 0.9 as never), 'options of sgd are number 0.9; expected a record');
    refused(() => clipByGlobalNorm(0), 'maxNorm');
    refused(() => chain(adam(1) as never, clipByGlobalNorm(1) as never), 'chain received', 'last argument');
    const disposed = tf.scalar(1);
    disposed.dispose();
    refused(() => optimizer.init(disposed), 'has been disposed');
    tf.dispose([w, state] as never);
    expect(engineState()).to.deep.equal(before);
  });

  it('a loss that does not depend on the parameters, or is no tensor, leaves nothing behind', () => {
    const w = tf.scalar(1);
    const before = engineState();
    const refused = (loss: () => unknown, fragment: string) =>
      expect(() => valueAndGrad(loss as () => tf.Tensor, w)).to.throw(fragment);
    refused(() => tf.scalar(3), 'does not depend on any of the parameters');
    refused(() => tf.stack([w, w]), 'Reduce it with tf.sum or tf.mean.');
    refused(() => undefined, 'Is a return statement missing?');
    refused(() => Promise.resolve(w), 'The function must be synchronous.');
    expect(engineState()).to.deep.equal(before);
    w.dispose();
  });

  it('imaml and implicitMinimum without a way to solve are refused', () => {
    const w = tf.scalar(1);
    const message = 'solve is a record with keys {lambda}; expected a function';
    const options = { lambda: 1 } as never;
    expect(() => imaml(() => w, w, options)).to.throw(InvalidArgumentError, message);
    expect(() => implicitMinimum(() => w, w, options)).to.throw(InvalidArgumentError, message);
    w.dispose();
  });

  it('checkFinite: false lets NaN through', () =>
    void tf.tidy(() => {
      const optimizer = sgd(1, { checkFinite: false });
      const x = tf.scalar(1);
      const { params } = optimizer.update(tf.scalar(NaN), optimizer.init(x), x);
      expect(params.dataSync()[0]).to.satisfy(Number.isNaN);
    }));
});
