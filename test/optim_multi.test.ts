/**
 * Several optimizers under one step: each does what it does alone, gradients flow through getStep, wrong assignments are
 * refused.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { InvalidArgumentError, MissingGradientError } from 'tfjs-diffeq';
import {
  adam,
  MixedMultiOptimizer,
  MultiOptimizer,
  sgd,
  TfjsMultiOptimizer,
  type AnyOptimizer,
  type Assignment,
} from 'tfjs-diffeq/optim';
import { engineState } from './engine_probe.js';

const variables = () => ({
  body: [tf.tidy(() => tf.variable(tf.tensor1d([1, -2]))), tf.tidy(() => tf.variable(tf.scalar(0.5)))],
  head: tf.tidy(() => tf.variable(tf.scalar(3))),
});
type Params = { body: tf.Tensor[]; head: tf.Tensor };
const loss = ({ body: [a, b], head }: Params): tf.Tensor =>
  tf.addN([tf.sum(tf.square(a)), tf.square(tf.sub(tf.mul(b, head), 1)), tf.square(tf.sub(head, 1))]);
const values = ({ body: [a, b], head }: Params) => [a, b, head].flatMap((x) => Array.from(x.dataSync()));

describe('several optimizers', () => {
  it('over disjoint parameters move each as it would alone', () => {
    const [together, stock, mixed] = [variables(), variables(), variables()];
    const ours = new MultiOptimizer(together, [
      { optimizer: adam(0.1), params: ['body'] },
      { optimizer: sgd(0.1), params: (path) => path === 'head' },
    ]);
    const theirs = new TfjsMultiOptimizer(stock, [
      { optimizer: tf.train.adam(0.1), params: ['body[0]', 'body[1]'] },
      { optimizer: tf.train.sgd(0.1), params: ['head'] },
    ]);
    const both = new MixedMultiOptimizer(mixed, [
      { optimizer: tf.train.adam(0.1), params: ['body'] },
      { optimizer: sgd(0.1), params: ['head'] },
    ]);
    for (let i = 0; i < 10; i++) for (const optimizer of [ours, theirs, both]) optimizer.step(loss);
    const found = [together, stock, mixed].map(values);
    // tfjs's Adam has another place for its epsilon (1e-7).
    found[0].forEach((x, k) => {
      expect(found[1][k]).to.be.closeTo(x, 1e-5);
      expect(found[2][k]).to.be.closeTo(x, 1e-5);
    });
    expect(found[0][0]).to.be.closeTo(0.07, 0.03);
    for (const optimizer of [ours, theirs, both]) optimizer.dispose();
    tf.dispose([together, stock, mixed]);
  });

  it('over all parameters take turns with one gradient', () => {
    const x = tf.tidy(() => tf.variable(tf.scalar(1)));
    const optimizer = new MultiOptimizer(x, [{ optimizer: sgd(0.1) }, { optimizer: sgd(0.2) }]);
    const cost = optimizer.step((y) => tf.square(y), true)!;
    expect(cost.dataSync()[0]).to.equal(1);
    expect(x.dataSync()[0]).to.be.closeTo(1 - 0.3 * 2, 1e-6);
    optimizer.dispose();
    tf.dispose([x, cost]);
  });

  it('getStep is the step as a function, with its derivative, and changes nothing', () => {
    const params = variables();
    const optimizer = new MultiOptimizer(params, [
      { optimizer: sgd(0.1, { momentum: 0.5 }), params: ['body'] },
      { optimizer: adam(0.1), params: ['head'] },
    ]);
    optimizer.step(loss);
    const before = values(params);
    const predicted = optimizer.getStep(loss);
    expect(values(params)).to.deep.equal(before);
    optimizer.step(loss);
    values(params).forEach((x, k) => expect(values(predicted)[k]).to.be.closeTo(x, 1e-6));
    // a' = a - 0.1 (2 a + ...): da'/da = 0.8
    const moved = (a: tf.Tensor) =>
      tf.sum(optimizer.getStep(loss, { body: [a, params.body[1]], head: params.head }).body[0]);
    const slope = tf.tidy(() =>
      Array.from(
        tf
          .grad(moved)(tf.tensor1d([1, 2]))
          .dataSync(),
      ),
    );
    for (const g of slope) expect(g).to.be.closeTo(0.8, 1e-6);
    optimizer.dispose();
    tf.dispose([params, predicted]);
  });

  it('1000 steps leave no tensor behind, and dispose() leaves none', () => {
    const before = engineState();
    const params = variables();
    const optimizer = new MixedMultiOptimizer(params, [
      { optimizer: adam(0.01), params: ['body'] },
      { optimizer: tf.train.adam(0.01), params: ['head'] },
    ]);
    optimizer.step(loss);
    const after = engineState();
    for (let i = 0; i < 1000; i++) optimizer.step(loss);
    expect(engineState()).to.deep.equal(after);
    optimizer.dispose();
    tf.dispose(params);
    // Adam of tf.train keeps two scalars, which its dispose() leaves.
    const left = engineState().numTensors - before.numTensors;
    expect(left).to.be.at.most(2);
  });

  it('wrong assignments are refused', () => {
    const params = variables();
    const refused = (assignments: unknown, fragment: string, Kind: typeof MultiOptimizer = MultiOptimizer) =>
      expect(() => new Kind(params, assignments as Assignment<AnyOptimizer>[])).to.throw(
        InvalidArgumentError,
        fragment,
      );
    const all = { optimizer: sgd(0.1) };
    refused([{ ...all, params: ['body'] }], "parameter 'head' has no optimizer");
    refused(
      [{ ...all, params: ['bod'] }, all],
      "there is no parameter 'bod'; known are: body[0], body[1], head",
    );
    refused([{ ...all, params: [] }, all], 'an optimizer has no parameters');
    refused([{ optimizer: tf.train.sgd(0.1) }], 'for those of tf.train take TfjsMultiOptimizer');
    // A misspelt params would give the optimizer all of them.
    refused([{ ...all, parms: ['body'] }], 'unknown option parms of an assignment; did you mean params?');
    refused([sgd(0.1)], 'known are: optimizer, params');
    refused(undefined, "expected an array such as [{ optimizer: adam(1e-3), params: ['w'] }]");
    for (const chosen of ['head', { head: params.head }, [params.head], null]) {
      refused([{ ...all, params: chosen }], 'expected paths such as');
    }
    refused(
      [all, { ...all, params: ['head'] }],
      "parameter 'head' has 2 optimizers",
      MixedMultiOptimizer as never,
    );
    refused([all], 'tf.train.adam(1e-3)', TfjsMultiOptimizer as never);
    const fixed = tf.scalar(1);
    expect(() => new MultiOptimizer({ fixed }, [all])).to.throw(
      InvalidArgumentError,
      'expected a tf.variable',
    );
    expect(() => new MultiOptimizer({}, [all])).to.throw(InvalidArgumentError, 'without a tensor');
    expect(() => new MultiOptimizer({ a: params.head, b: params.head }, [all])).to.throw(
      InvalidArgumentError,
      'the same tensor',
    );
    tf.dispose([params, fixed]);
  });

  it('a step inside a gradient, and getStep of tf.train, throw', () => {
    const x = tf.tidy(() => tf.variable(tf.scalar(1)));
    const optimizer = new MultiOptimizer(x, [{ optimizer: sgd(0.1) }]);
    const outer = () => {
      optimizer.step((y) => tf.square(y));
      return tf.square(x) as tf.Scalar;
    };
    expect(() => tf.variableGrads(outer)).to.throw(MissingGradientError, 'use getStep');
    const stock = new TfjsMultiOptimizer(x, [{ optimizer: tf.train.sgd(0.1) }]);
    expect(() => stock.getStep((y) => tf.square(y))).to.throw(MissingGradientError, 'tfjs-diffeq/optim');
    expect(() => optimizer.step((y) => tf.sqrt(tf.sub(y, 1)))).to.throw(InvalidArgumentError, 'not finite');
    expect(x.dataSync()[0]).to.equal(1);
    x.dispose();
  });
});
