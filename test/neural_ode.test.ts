/**
 * The layer: closed forms, gradients against `odeintAdjoint`, training, saving and loading, freezing, and what it refuses.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { fromLayer, InvalidArgumentError, methodNames, odeint, odeintAdjoint, solve } from 'tfjs-diffeq';
import { NeuralODE, neuralODE, type NeuralODEConfig } from 'tfjs-diffeq/layers';
import { backendNames, onBackends } from './backends.js';
import { engineState, rejectionOf, thrownBy } from './engine_probe.js';

const values = (x: unknown): number[] => Array.from((x as tf.Tensor).dataSync());
const shapeOf = (x: unknown): number[] => (x as tf.Tensor).shape;

function expectClose(actual: unknown, expected: readonly number[], tolerance: number): void {
  const found = values(actual);
  expect(found).to.have.length(expected.length);
  found.forEach((x, i) => expect(x, `element ${i}`).to.be.closeTo(expected[i], tolerance));
}

/** `dy/dt = y K`, row vectors. */
function linear(kernel: number[][], extra: object = {}) {
  const weights = [tf.tensor2d(kernel)];
  return tf.layers.dense({ units: kernel[0].length, useBias: false, weights, ...extra });
}

/** A small network; its layers always have the same names. */
function network(features = 2, inputs = features): tf.Sequential {
  const kernelInitializer = () => tf.initializers.glorotNormal({ seed: 7 });
  return tf.sequential({
    layers: [
      tf.layers.dense({
        ...{ units: 6, activation: 'tanh', inputShape: [inputs], name: 'hidden' },
        kernelInitializer: kernelInitializer(),
      }),
      tf.layers.dense({ units: features, name: 'out', kernelInitializer: kernelInitializer() }),
    ],
  });
}

/** What a file would hold. */
async function saved(model: tf.LayersModel): Promise<tf.io.ModelArtifacts> {
  let artifacts!: tf.io.ModelArtifacts;
  const info = { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' as const } };
  await model.save(
    tf.io.withSaveHandler(async (given) => {
      artifacts = given;
      return info;
    }),
  );
  const topology = JSON.stringify(artifacts.modelTopology);
  return { ...artifacts, modelTopology: JSON.parse(topology) as object };
}

const reloaded = async (model: tf.LayersModel): Promise<tf.LayersModel> =>
  tf.loadLayersModel(tf.io.fromMemory(await saved(model)));

describe('NeuralODE', () => {
  onBackends(backendNames, () => {
    it('of a linear layer is the exponential of its matrix: a rotation, and a Jordan block', () => {
      tf.tidy(() => {
        const rotation = neuralODE({ layer: linear([[0, 1], [-1, 0]]), t: [0, 2] }); // prettier-ignore
        const [c, s] = [Math.cos(2), Math.sin(2)];
        expectClose(rotation.apply(tf.tensor2d([[1, 0], [0, 1], [3, -2]])), [c, s, -s, c, 3 * c + 2 * s, 3 * s - 2 * c], 2e-5); // prettier-ignore
        const jordan = neuralODE({ layer: linear([[-0.5, 1, 0], [0, -0.5, 1], [0, 0, -0.5]]), t: [0, 2] }); // prettier-ignore
        const e = Math.exp(-1);
        expectClose(jordan.apply(tf.tensor2d([[1, 0, 0]])), [e, 2 * e, 2 * e], 1e-5);
      });
    });

    it("outputs: 'all' has the times as second axis, the input first", () => {
      tf.tidy(() => {
        const t = [0, 0.5, 1, 2];
        const layer = neuralODE({ layer: linear([[0, 1], [-1, 0]]), t, outputs: 'all' }); // prettier-ignore
        const ys = layer.apply(tf.tensor2d([[1, 0], [0, 2]])); // prettier-ignore
        expect(shapeOf(ys)).to.deep.equal([2, 4, 2]);
        const first = t.flatMap((time) => [Math.cos(time), Math.sin(time)]);
        const second = t.flatMap((time) => [-2 * Math.sin(time), 2 * Math.cos(time)]);
        expectClose(ys, [...first, ...second], 3e-5);
        expect(layer.computeOutputShape([null, 2])).to.deep.equal([null, 4, 2]);
      });
    });

    it("timeDependent solves y' = a y + b t", () => {
      tf.tidy(() => {
        const [a, b, y0, t] = [-0.5, 0.8, 1.5, 2];
        const layer = neuralODE({ layer: linear([[a], [b]]), t: [0, t], timeDependent: true });
        const exact = (y0 + b / a ** 2) * Math.exp(a * t) - (b * t) / a - b / a ** 2;
        expectClose(layer.apply(tf.tensor2d([[y0]])), [exact], 1e-5);
      });
    });

    it('goes backward in time, and starts elsewhere than at 0', () => {
      tf.tidy(() => {
        const layer = neuralODE({ layer: linear([[1]]), t: [3, 1] });
        expectClose(layer.apply(tf.tensor2d([[1]])), [Math.exp(-2)], 1e-5);
      });
    });

    it('takes states of any rank', () => {
      tf.tidy(() => {
        const conv = tf.layers.conv2d({ filters: 2, kernelSize: 3, padding: 'same', activation: 'tanh' });
        const y0 = tf.randomNormal([3, 4, 5, 2], 0, 1, 'float32', 1);
        const layer = neuralODE({ layer: conv });
        const expected = tf.gather(odeint(fromLayer(conv), (layer.apply(y0), y0), [0, 1]), 1);
        expectClose(layer.apply(y0), values(expected), 1e-6);
        const timed = tf.layers.conv2d({ filters: 2, kernelSize: 1, useBias: false, weights: [tf.tensor4d([0, 0, 0, 0, 3, 4], [1, 1, 3, 2])] }); // prettier-ignore
        const moved = tf.sub(neuralODE({ layer: timed, timeDependent: true }).apply(y0) as tf.Tensor, y0);
        expectClose(moved, values(tf.mul(tf.onesLike(y0), tf.tensor1d([1.5, 2]))), 1e-4);
        const scalars = neuralODE({ layer: tf.layers.activation({ activation: 'linear' }) });
        expectClose(scalars.apply(tf.tensor1d([1, -2])), [Math.E, -2 * Math.E], 5e-5);
      });
    });

    for (const adjoint of ['checkpoint', 'backsolve', 'interpolating'] as const) {
      it(`has the gradients of odeintAdjoint, adjoint: '${adjoint}'`, () => {
        tf.tidy(() => {
          const field = network(2, 3);
          const t = [0, 0.7, 1.5];
          const layer = neuralODE({ layer: field, t, outputs: 'all', timeDependent: true, adjoint });
          const y0 = tf.tensor2d([[1, 0], [0.3, -2]]); // prettier-ignore
          const timed = (time: tf.Scalar, y: tf.Tensor) =>
            field.apply(tf.concat([y, tf.fill([2, 1], time.dataSync()[0])], 1)) as tf.Tensor;
          const weight = tf.randomNormal([2, 3, 2], 0, 1, 'float32', 3);
          const loss = (ys: unknown) => tf.sum(tf.mul(weight, ys as tf.Tensor)) as tf.Scalar;
          layer.apply(y0);
          const variables = field.weights.map((w) => w.read() as tf.Variable);
          const ours = tf.variableGrads(() => loss(layer.apply(y0)), variables);
          const hand = tf.variableGrads(
            () => loss(tf.transpose(odeintAdjoint(timed, y0, t, { adjoint }) as tf.Tensor, [1, 0, 2])),
            variables,
          );
          expect(Object.keys(ours.grads)).to.have.length(4);
          for (const name of Object.keys(hand.grads))
            expectClose(ours.grads[name], values(hand.grads[name]), 1e-5);
          const toInput = tf.grad((y) => loss(layer.apply(y)))(y0);
          const byHand = tf.grad((y) =>
            loss(tf.transpose(odeintAdjoint(timed, y, t, { adjoint }) as tf.Tensor, [1, 0, 2])),
          )(y0);
          expectClose(toInput, values(byHand), 1e-5);
        });
      });
    }

    it('has the closed form gradient of exponential growth: d y0 e^(w T) / dw = y0 T e^(w T)', () => {
      tf.tidy(() => {
        const layer = neuralODE({ layer: linear([[0.3]]), t: [0, 2] });
        const y0 = tf.tensor2d([[1.5]]);
        layer.apply(y0);
        const { grads } = tf.variableGrads(() => tf.sum(layer.apply(y0) as tf.Tensor) as tf.Scalar);
        expectClose(Object.values(grads)[0], [3 * Math.exp(0.6)], 1e-3);
      });
    });

    it('learns a rotation with fit, and its generator', async () => {
      const field = tf.layers.dense({ units: 2, useBias: false, kernelInitializer: 'zeros' });
      const model = tf.sequential({ layers: [neuralODE({ layer: field, inputShape: [2] })] });
      model.compile({ optimizer: tf.train.adam(0.1), loss: 'meanSquaredError' });
      const [c, s] = [Math.cos(1.2), Math.sin(1.2)];
      const x = tf.randomNormal([32, 2], 0, 1, 'float32', 5);
      const y = tf.tidy(() => tf.matMul(x, tf.tensor2d([[c, s], [-s, c]]))); // prettier-ignore
      await model.fit(x, y, { epochs: 120, batchSize: 32, verbose: 0 });
      const loss = model.evaluate(x, y) as tf.Scalar;
      expect(loss.dataSync()[0]).to.be.below(1e-4);
      expectClose(field.getWeights()[0], [0, 1.2, -1.2, 0], 0.05);
      tf.dispose([x, y, loss]);
      model.dispose();
    });

    it('holds no more tensors after 200 steps of training than after the first', async () => {
      const before = tf.memory().numTensors;
      const model = tf.sequential({
        layers: [
          tf.layers.dense({ units: 2, inputShape: [3] }),
          neuralODE({ layer: network(2, 3), timeDependent: true, method: 'heun2', stepSize: 0.5 }),
          neuralODE({ layer: network(), t: [0, 0.5, 1], outputs: 'all', rtol: 0.1, atol: 0.1 }),
        ],
      });
      const optimizer = tf.train.adam(0.001);
      model.compile({ optimizer, loss: 'meanSquaredError' });
      const [x, y] = [tf.ones([4, 3]), tf.ones([4, 3, 2])];
      await model.trainOnBatch(x, y);
      const { numTensors } = tf.memory();
      await model.fit(x, y, { epochs: 200, batchSize: 4, verbose: 0 });
      expect(tf.memory().numTensors).to.equal(numTensors);
      model.dispose();
      optimizer.dispose();
      tf.dispose([x, y]);
      expect(tf.memory().numTensors).to.be.at.most(before + 1); // the step counter of adam
    });
  });

  describe('in models', () => {
    it('works in functional models, and applied twice it shares its weights', () => {
      const state = tf.input({ shape: [2] });
      const layer = neuralODE({ layer: linear([[0, 1], [-1, 0]]) }); // prettier-ignore
      const once = layer.apply(state) as tf.SymbolicTensor;
      const model = tf.model({ inputs: state, outputs: layer.apply(once) as tf.SymbolicTensor });
      expect(model.countParams()).to.equal(4);
      tf.tidy(() => expectClose(model.predict(tf.tensor2d([[1, 0]])), [Math.cos(2), Math.sin(2)], 3e-5));
      model.dispose();
    });

    it('takes a functional model as its field', async () => {
      const y = tf.input({ shape: [2] });
      const hidden = tf.layers.dense({ units: 5, activation: 'tanh' }).apply(y) as tf.SymbolicTensor;
      const dy = tf.layers.dense({ units: 2 }).apply(hidden) as tf.SymbolicTensor;
      const field = tf.model({ inputs: y, outputs: tf.layers.add().apply([dy, y]) as tf.SymbolicTensor });
      const model = tf.sequential({ layers: [neuralODE({ layer: field, inputShape: [2] })] });
      const other = await reloaded(model);
      tf.tidy(() => {
        const x = tf.tensor2d([[0.3, -1]]);
        const expected = tf.gather(odeint(fromLayer(field), x, [0, 1]), 1);
        expectClose(model.predict(x), values(expected), 1e-6);
        expectClose(other.predict(x), values(expected), 0);
      });
    });

    it('stats are the counters of the last forward solve, as solve counts them', () => {
      tf.tidy(() => {
        const field = network();
        const y0 = tf.ones([3, 2]);
        const t = [0, 0.35, 0.9];
        for (const method of ['dopri5', 'dopri8', 'bosh3']) {
          const layer = neuralODE({ layer: field, t, method });
          expect(layer.stats).to.equal(null);
          const { stats } = solve(fromLayer(field), y0, t, { method });
          layer.apply(y0);
          expect(layer.stats).to.deep.equal(stats);
          layer.stats = null;
          tf.grad((y) => layer.apply(y) as tf.Tensor)(y0);
          expect(layer.stats).to.deep.equal(stats);
        }
      });
    });

    it('passes masks on; at every time with all outputs', () => {
      tf.tidy(() => {
        const x = tf.tensor3d([[[1, 2], [-1, -1]], [[3, 4], [5, 6]]]); // prettier-ignore
        const pooled = (layers: tf.layers.Layer[]) => {
          const model = tf.sequential({
            layers: [tf.layers.masking({ maskValue: -1, inputShape: [2, 2] }), ...layers],
          });
          return model.predict(x) as tf.Tensor;
        };
        const rnn = () =>
          tf.layers.simpleRNN({ units: 2, kernelInitializer: 'ones', recurrentInitializer: 'ones' });
        const still = () => neuralODE({ layer: tf.layers.dense({ units: 2, kernelInitializer: 'zeros' }) });
        expectClose(pooled([still(), rnn()]), values(pooled([rnn()])), 1e-6);
        const all = neuralODE({ layer: network(), t: [0, 1, 2], outputs: 'all' });
        const mask = tf.tensor2d([[1, 0], [1, 1]], [2, 2], 'bool'); // prettier-ignore
        const spread = all.computeMask(x, [mask]);
        expect([spread.shape, values(spread)]).to.deep.equal([[2, 3, 2], [1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1]]); // prettier-ignore
        expect(all.computeMask(x)).to.equal(undefined);
        expect(all.supportsMasking).to.equal(true);
      });
    });

    it('adds the regularisers of the field to the loss, once', async () => {
      const l2 = tf.regularizers.l2({ l2: 0.5 });
      const layer = linear([[0, 1], [-1, 0]], { kernelRegularizer: l2 }); // prettier-ignore
      const model = tf.sequential({ layers: [neuralODE({ layer, inputShape: [2] })] });
      model.compile({ optimizer: tf.train.sgd(0), loss: 'meanSquaredError' });
      const x = tf.zeros([1, 2]);
      // 0.5 (1 + 1), and no error: 0 stays 0.
      expect(await model.trainOnBatch(x, x)).to.be.closeTo(1, 1e-6);
      x.dispose();
      model.dispose();
    });

    it('batch normalisation in the field moves its averages in training, and only then', async () => {
      const field = tf.sequential({
        layers: [tf.layers.dense({ units: 2, inputShape: [2] }), tf.layers.batchNormalization()],
      });
      const model = tf.sequential({ layers: [neuralODE({ layer: field, inputShape: [2] })] });
      model.compile({ optimizer: tf.train.sgd(0.01), loss: 'meanSquaredError' });
      const average = () => field.layers[1].getWeights()[2].dataSync().slice();
      expect(model.layers[0].nonTrainableWeights).to.have.length(2);
      const [x, y] = [tf.randomNormal([8, 2], 3, 1, 'float32', 2), tf.zeros([8, 2])];
      const start = average();
      (model.predict(x) as tf.Tensor).dispose();
      expect(average()).to.deep.equal(start);
      await model.fit(x, y, { epochs: 1, batchSize: 8, verbose: 0 });
      expect(average()).not.to.deep.equal(start);
      const { numTensors } = tf.memory();
      await model.fit(x, y, { epochs: 3, batchSize: 8, verbose: 0 });
      expect(tf.memory().numTensors).to.equal(numTensors);
    });

    it('disposing the model disposes the weights of the field', () => {
      const before = engineState();
      const model = tf.sequential({ layers: [neuralODE({ layer: network(), inputShape: [2] })] });
      expect(model.dispose().numDisposedVariables).to.equal(4);
      expect(engineState()).to.deep.equal(before);
    });

    it('a solve that fails inside fit rejects it with the error of the solver, and leaks nothing', async () => {
      const layer = neuralODE({ layer: network(), inputShape: [2], maxNumSteps: 1, firstStep: 1e-3 });
      const model = tf.sequential({ layers: [layer] });
      model.compile({ optimizer: tf.train.sgd(0.1), loss: 'meanSquaredError' });
      const x = tf.ones([2, 2]);
      const before = engineState();
      const error = await rejectionOf(model.trainOnBatch(x, x));
      expect(error).to.have.property('name', 'MaxStepsError');
      expect(engineState()).to.deep.equal(before);
    });
  });

  describe('freezing', () => {
    const gradientNames = (layer: NeuralODE): string[] =>
      tf.tidy(() => {
        const input = tf.ones([1, 2]);
        const outer = tf.variable(tf.scalar(1), true, `outer_${layer.name}`);
        const loss = () => tf.sum(tf.mul(outer, layer.apply(input) as tf.Tensor)) as tf.Scalar;
        const { grads } = tf.variableGrads(loss);
        const mine = new Set(layer.weights.map(({ name }) => name));
        const found = Object.keys(grads).filter((name) => grads[name] !== null && mine.has(name));
        outer.dispose();
        return found.map((name) => layer.weights.find((w) => w.name === name)!.originalName.split('/').slice(1).join('/')); // prettier-ignore
      });
    const all = ['hidden/kernel', 'hidden/bias', 'out/kernel', 'out/bias'];

    it('trainable = false takes the gradients away, true brings back those there were', () => {
      const field = network();
      const layer = neuralODE({ layer: field });
      layer.build([null, 2]);
      expect(gradientNames(layer)).to.have.members(all);
      field.layers[0].trainable = false;
      expect(gradientNames(layer)).to.have.members(all.slice(2));
      expect(layer.trainableWeights).to.have.length(2);
      layer.trainable = false;
      expect(gradientNames(layer)).to.deep.equal([]);
      expect([layer.trainableWeights, layer.nonTrainableWeights].map(({ length }) => length)).to.deep.equal([
        0, 4,
      ]);
      layer.trainable = true;
      expect(gradientNames(layer)).to.have.members(all.slice(2));
      layer.trainableWeights[0].trainable = false;
      expect(layer.trainableWeights).to.have.length(1);
    });

    it('reaches models inside models, and layers made with trainable: false', () => {
      const nested = tf.sequential({ layers: [network()] });
      const layer = neuralODE({ layer: nested, trainable: false });
      layer.build([null, 2]);
      expect(gradientNames(layer)).to.deep.equal([]);
      const fixed = neuralODE({ layer: tf.layers.dense({ units: 2, trainable: false }) });
      fixed.build([null, 2]);
      expect(gradientNames(fixed)).to.deep.equal([]);
    });

    it('fit leaves a frozen layer alone, also after saving and loading', async () => {
      const frozen = neuralODE({ layer: network(), trainable: false });
      const model = tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [2] }), frozen] });
      for (const each of [model, await reloaded(model)]) {
        each.compile({ optimizer: tf.train.sgd(0.1), loss: 'meanSquaredError' });
        const weights = () => each.layers[1].getWeights().map((w) => Array.from(w.dataSync()));
        const [head, field] = [values(each.layers[0].getWeights()[0]), weights()];
        const [x, y] = [tf.ones([2, 2]), tf.zeros([2, 2])];
        await each.fit(x, y, { epochs: 1, verbose: 0 });
        expect(weights()).to.deep.equal(field);
        expect(values(each.layers[0].getWeights()[0])).not.to.deep.equal(head);
      }
    });
  });

  describe('saving', () => {
    it('two layers whose fields have layers of the same names: loaded, the model predicts the same', async () => {
      const model = tf.sequential({
        layers: [
          neuralODE({ layer: network(), inputShape: [2], outputs: 'last', name: 'first' }),
          neuralODE({ layer: network(), t: [0, 0.5, 1], outputs: 'all' }),
        ],
      });
      model.compile({ optimizer: tf.train.adam(0.01), loss: 'meanSquaredError' });
      const [x, y] = [tf.randomNormal([5, 2], 0, 1, 'float32', 8), tf.zeros([5, 3, 2])];
      await model.fit(x, y, { epochs: 3, verbose: 0 });
      const { weightSpecs } = await saved(model);
      const names = weightSpecs!.map(({ name }) => name);
      expect(names).to.include('first/hidden/kernel');
      expect(new Set(names)).to.have.property('size', 8);
      const loaded = await reloaded(model);
      expect(values(loaded.predict(x))).to.deep.equal(values(model.predict(x)));
      expect((loaded.layers[0] as NeuralODE).layer.getConfig()).to.deep.equal(
        (model.layers[0] as NeuralODE).layer.getConfig(),
      );
      const again = await reloaded(loaded);
      expect(values(again.predict(x))).to.deep.equal(values(model.predict(x)));
    });

    it('a field that is one layer, built by the NeuralODE or before', async () => {
      const x = tf.tensor2d([[1, 2]]);
      for (const built of [false, true]) {
        const layer = tf.layers.dense({ units: 2, activation: 'tanh' });
        if (built) layer.apply(tf.zeros([1, 2]));
        const model = tf.sequential({ layers: [neuralODE({ layer, inputShape: [2] })] });
        const loaded = await reloaded(model);
        expect(values(loaded.predict(x))).to.deep.equal(values(model.predict(x)));
      }
    });

    it('the field alone keeps its own names', async () => {
      const field = network();
      tf.sequential({ layers: [neuralODE({ layer: field, inputShape: [2] })] });
      const loaded = await reloaded(field);
      const x = tf.tensor2d([[1, 2]]);
      expect(values(loaded.predict(x))).to.deep.equal(values(field.predict(x)));
    });

    const options: Partial<NeuralODEConfig>[] = [
      {},
      ...methodNames.map((method) => ({ method })),
      { t: [1, 0.5, -2], outputs: 'all', timeDependent: true, trainable: false },
      { rtol: 1e-3, atol: 1e-4, norm: 'max', firstStep: 0.1, minStep: 1e-6, maxStep: 0.7 },
      { safety: 0.8, ifactor: 5, dfactor: 0.3, controller: 'pid', maxNumSteps: 50 },
      { controller: { pCoeff: 0.3, iCoeff: 0.4, dCoeff: 0.1 }, maxStep: 2 },
      { stepT: [0.3], jumpT: [0.6] },
      { method: 'rk4', stepSize: 0.25, perturb: true, interp: 'linear' },
      { adjoint: 'checkpoint', checkpoints: 3 },
      { adjoint: 'backsolve', adjointMethod: 'adaptive_heun', adjointRtol: 1e-3, adjointAtol: 1e-3 },
      {
        adjoint: 'interpolating',
        adjointNorm: 'seminorm',
        adjointOptions: { maxNumSteps: 99, maxStep: 0.5 },
      },
    ];
    for (const given of options) {
      it(`keeps ${JSON.stringify(given)}`, async () => {
        const layer = network(2, given.timeDependent ? 3 : 2);
        const model = tf.sequential({ layers: [neuralODE({ layer, inputShape: [2], ...given })] });
        const copy = await tf.models.modelFromJSON(
          JSON.parse(model.toJSON() as string) as Parameters<typeof tf.models.modelFromJSON>[0],
        );
        const config = copy.layers[0].getConfig();
        expect(copy.layers[0]).to.be.instanceOf(NeuralODE);
        expect(config).to.deep.equal(model.layers[0].getConfig());
        expect(config).to.deep.include(given);
      });
    }

    it('an infinite maxStep, which JSON turns into null, and times in typed arrays', async () => {
      const layer = neuralODE({
        ...{ layer: network(), inputShape: [2], maxStep: Infinity },
        ...{ t: Float64Array.of(0, 0.1), stepT: Float64Array.of(0.05) },
      });
      const model = tf.sequential({ layers: [layer] });
      const { options, t } = (await reloaded(model)).layers[0] as NeuralODE;
      expect(options).to.deep.equal({ method: 'dopri5', adjoint: 'checkpoint', stepT: [0.05] });
      expect(t).to.deep.equal([0, 0.1]);
    });

    it('a layer class of the user: registered, or handed over when the model is loaded', async () => {
      class Decay extends tf.layers.Layer {
        static className = 'Decay';
        override call(y: tf.Tensor | tf.Tensor[]) {
          return tf.neg(Array.isArray(y) ? y[0] : y);
        }
      }
      const model = tf.sequential({ layers: [neuralODE({ layer: new Decay({}), inputShape: [1] })] });
      const x = tf.tensor2d([[1]]);
      expectClose(model.predict(x), [Math.exp(-1)], 1e-5);
      const json = (): Parameters<typeof tf.models.modelFromJSON>[0] =>
        JSON.parse(model.toJSON() as string) as Parameters<typeof tf.models.modelFromJSON>[0];
      const error = await rejectionOf(tf.models.modelFromJSON(json()));
      expect(error).to.be.instanceOf(InvalidArgumentError);
      expect((error as Error).message).to.match(/'Decay'.*registerClass/);
      const known = { Decay: [Decay, () => new Decay({})] } as unknown as tf.serialization.ConfigDict;
      expectClose((await tf.models.modelFromJSON(json(), known)).predict(x), [Math.exp(-1)], 1e-5);
      tf.serialization.registerClass(Decay as never);
      expectClose((await tf.models.modelFromJSON(json())).predict(x), [Math.exp(-1)], 1e-5);
    });

    it('getWeights and setWeights carry the weights of the field', () => {
      const [one, other] = [network(), network()].map((layer) => {
        const ode = neuralODE({ layer });
        ode.build([null, 2]);
        return ode;
      });
      const doubled = one.getWeights().map((w) => tf.mul(w, 2));
      other.setWeights(doubled);
      expect(other.layer.getWeights().map(values)).to.deep.equal(doubled.map(values));
      expect(one.countParams()).to.equal(6 * 2 + 6 + 12 + 2);
    });
  });

  describe('refuses', () => {
    const layer = () => network();
    const wrong: [why: string, config: object, message: RegExp][] = [
      ['no layer', {}, /layer is undefined; expected a tf\.layers\.Layer/],
      ['a function', { layer: (y: tf.Tensor) => y }, /layer is a function.*odeintAdjoint/],
      [
        'model instead of layer',
        { model: layer() },
        /unknown option model; the vector field is called layer/,
      ],
      ['a misspelt option', { layer: layer(), metod: 'rk4' }, /did you mean method\?/],
      [
        'a misspelt option of its own',
        { layer: layer(), timeDependant: true },
        /did you mean timeDependent\?/,
      ],
      ["torchdiffeq's spelling", { layer: layer(), max_num_steps: 3 }, /did you mean maxNumSteps\?/],
      ['an unknown method', { layer: layer(), method: 'dopri6' }, /did you mean 'dopri5'/],
      ['a method that is no name', { layer: layer(), method: { name: 'rk4' } }, /method is a record/],
      ['a norm that is a function', { layer: layer(), norm: () => 0 }, /norm is a function.*cannot be saved/],
      ['callbacks', { layer: layer(), onStep: () => 0 }, /onStep cannot be saved.*odeintAdjoint/],
      ['params', { layer: layer(), params: [] }, /params cannot be saved.*trainable = false/],
      ['a negative tolerance', { layer: layer(), rtol: -1 }, /rtol is number -1/],
      ['a tolerance below float32', { layer: layer(), rtol: 1e-9 }, /below the resolution of float32/],
      ['a negative first step', { layer: layer(), firstStep: -1 }, /firstStep is number -1/],
      ['stepSize with step control', { layer: layer(), stepSize: 0.1, safety: 0.5 }, /safety has no effect/],
      ['an unknown adjoint', { layer: layer(), adjoint: 'checkpoints' }, /did you mean 'checkpoint'/],
      [
        'checkpoints of another adjoint',
        { layer: layer(), adjoint: 'backsolve', checkpoints: 2 },
        /checkpoints/,
      ],
      [
        'unknown outputs',
        { layer: layer(), outputs: 'al' },
        /outputs is the string 'al'; did you mean 'all'/,
      ],
      ['a timeDependent that is no flag', { layer: layer(), timeDependent: 1 }, /timeDependent is number 1/],
      ['one time', { layer: layer(), t: [0] }, /t has one time/],
      ['times that turn round', { layer: layer(), t: [0, 2, 1] }, /turns round/],
      ['times on a device', { layer: layer(), t: tf.tensor1d([0, 1]) }, /t is a float32 tensor.*constants/],
    ];
    for (const [why, config, message] of wrong) {
      it(why, () => {
        const error = thrownBy(() => neuralODE(config as NeuralODEConfig));
        expect(error).to.be.instanceOf(InvalidArgumentError);
        expect((error as Error).message).to.match(message);
      });
    }

    const at = (layerOf: () => tf.layers.Layer, shape: (number | null)[], config: object = {}) =>
      thrownBy(() => neuralODE({ layer: layerOf(), ...config }).build(shape));
    const shapes: [why: string, error: () => unknown, message: RegExp][] = [
      [
        'a layer that changes the shape, naming both',
        () => at(() => tf.layers.dense({ units: 3 }), [null, 2]),
        /maps \[batch, 2\] to \[batch, 3\]; expected \[batch, 2\]/,
      ],
      [
        'a model that changes the shape',
        () => at(() => network(2, 3), [null, 3]),
        /maps \[batch, 3\] to \[batch, 2\]; expected \[batch, 3\]/,
      ],
      [
        'a model with one feature too many, and says what for',
        () => at(() => network(2, 3), [null, 2]),
        /takes \[batch, 3\]; expected \[batch, 2\].*Set timeDependent: true/,
      ],
      [
        'a model without a feature for t',
        () => at(() => network(), [null, 2], { timeDependent: true }),
        /takes \[batch, 2\]; expected \[batch, 3\].*one more feature, for t/,
      ],
      [
        'a model of another size altogether',
        () => at(() => network(5), [null, 2]),
        /takes \[batch, 5\]; expected \[batch, 2\].*inputShape/,
      ],
      [
        'timeDependent without an axis to append to',
        () => at(() => tf.layers.activation({ activation: 'tanh' }), [null], { timeDependent: true }),
        /shape \[batch\]; timeDependent needs a last axis/,
      ],
      [
        'several inputs',
        () =>
          thrownBy(() => {
            const input = () => tf.input({ shape: [2] });
            neuralODE({ layer: network() }).apply([input(), input()]);
          }),
        /received 2 inputs/,
      ],
    ];
    for (const [why, error, message] of shapes) {
      it(why, () => {
        expect(error()).to.be.instanceOf(InvalidArgumentError);
        expect((error() as Error).message).to.match(message);
      });
    }

    it('layers that draw random numbers, wherever they are; not those that are off or have a seed', () => {
      const inside = (...layers: tf.layers.Layer[]) =>
        tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [2] }), ...layers] });
      const refused = [
        tf.layers.dropout({ rate: 0.5 }),
        inside(tf.layers.dropout({ rate: 0.1, name: 'culprit' })),
        inside(inside(tf.layers.gaussianNoise({ stddev: 0.1 }))),
        tf.layers.alphaDropout({ rate: 0.1 }),
        tf.layers.gaussianDropout({ rate: 0.1 }),
        tf.layers.timeDistributed({ layer: tf.layers.dropout({ rate: 0.5 }) }),
        tf.layers.lstm({ units: 2, returnSequences: true, recurrentDropout: 0.2 }),
        tf.layers.bidirectional({
          layer: tf.layers.gru({ units: 2, dropout: 0.2 }) as tf.RNN,
          mergeMode: 'sum',
        }),
      ];
      for (const layer of refused) {
        const error = thrownBy(() => neuralODE({ layer }));
        expect(error).to.be.instanceOf(InvalidArgumentError);
        expect((error as Error).message).to.match(/draws random numbers at every evaluation/);
      }
      expect(() => neuralODE({ layer: refused[1] })).to.throw("'culprit' (Dropout)");
      neuralODE({ layer: inside(tf.layers.dropout({ rate: 0 }), tf.layers.dropout({ rate: 0.5, seed: 3 })) });
    });

    it('stateful layers, and models of several inputs', () => {
      const stateful = tf.layers.simpleRNN({ units: 2, returnSequences: true, stateful: true });
      expect(() => neuralODE({ layer: stateful })).to.throw(InvalidArgumentError, 'is stateful');
      const [a, b] = [tf.input({ shape: [2] }), tf.input({ shape: [2] })];
      const sum = tf.model({ inputs: [a, b], outputs: tf.layers.add().apply([a, b]) as tf.SymbolicTensor });
      expect(() => neuralODE({ layer: sum })).to.throw(InvalidArgumentError, 'has 2 inputs');
    });
  });
});
