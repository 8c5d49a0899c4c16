/** The gallery's classifiers of handwritten digits, beside other ways to compute the same and beside scikit-learn and torchdiffeq. */
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import * as classification from '../examples/lib/classification.js';
import { convolution } from '../examples/lib/convolution.js';
import { digits, reduce, type Digits } from '../examples/lib/digits.js';
import * as mlp from '../examples/lib/digits_mlp.js';
import * as odenet from '../examples/lib/odenet_mnist.js';
import { minimize, random } from '../examples/lib/training.js';
import { warper } from '../examples/lib/warps.js';
import { defaultBackend } from './backends.js';

const reference = <T>(name: string) =>
  JSON.parse(readFileSync(new URL(`reference/${name}.json`, import.meta.url), 'utf8')) as T;

const normals = (shape: number[], seed: number) => {
  const { normal } = random(seed);
  return tf.tensor(Array.from({ length: tf.util.sizeFromShape(shape) }, normal), shape);
};

function expectClose(a: tf.Tensor, b: tf.Tensor, tolerance: number): void {
  expect(a.shape).to.deep.equal(b.shape);
  expect(tf.tidy(() => tf.max(tf.abs(tf.sub(a, b))).dataSync()[0])).to.be.below(tolerance);
}

describe('the classifiers of handwritten digits', () => {
  let originals: { seen: Digits; heldBack: Digits };

  before(async () => {
    await tf.setBackend('cpu');
    originals = digits();
  });
  after(async () => {
    await tf.setBackend(defaultBackend);
  });

  it('convolve with the gradients that tfjs has on cpu, to 1e-4', () => {
    tf.tidy(() => {
      const theirs = (x: tf.Tensor, f: tf.Tensor) =>
        tf.conv2d(x as tf.Tensor4D, f as tf.Tensor4D, 1, 'same') as tf.Tensor;
      const inputs = [normals([2, 5, 6, 3], 3), normals([3, 3, 3, 4], 4)];
      const [value, slope] = [theirs(inputs[0], inputs[1]), normals([2, 5, 6, 4], 5)];
      expectClose(convolution(inputs[0], inputs[1]), value, 1e-4);
      const [a, b] = [convolution, theirs].map((op) => tf.grads(op)(inputs, slope));
      a.forEach((gradient, i) => expectClose(gradient, b[i], 1e-4));
    });
  });

  it('have the cross entropy and the accuracy of a table of three rows, worked out by hand', () => {
    tf.tidy(() => {
      const p = [
        [0.7, 0.2, 0.1],
        [0.3, 0.3, 0.4],
        [0.1, 0.6, 0.3],
      ];
      const labels = Uint8Array.of(0, 1, 1);
      const scores = tf.add(tf.log(tf.tensor2d(p)), 5); // a softmax ignores what all scores have more
      const log = p.map((row) => row.map(Math.log));
      const plain = -(log[0][0] + log[1][1] + log[2][1]) / 3;
      const uniform = -log.flat().reduce((sum, x) => sum + x, 0) / 9;
      const smoothed = classification.crossEntropy(scores, labels, 0.1).dataSync()[0];
      expect(classification.crossEntropy(scores, labels).dataSync()[0]).to.be.closeTo(plain, 1e-6);
      expect(smoothed).to.be.closeTo(0.9 * plain + 0.1 * uniform, 1e-6);
      expect(classification.accuracy(scores.dataSync<'float32'>(), labels)).to.equal(2 / 3);
    });
  });

  describe('a multilayer perceptron', () => {
    const { size, window } = mlp;
    const still = { turn: 0, scale: 0, shear: 0, shift: 0, elastic: 0 };

    it('sees the very arrays that scikit-learn saw: their ink is the same to 1e-6', () => {
      const { heldBack } = digits({ size, window });
      const { inkOfHeldBack } = reference<{ inkOfHeldBack: number }>('digits');
      const ink = heldBack.images.reduce((sum, x) => sum + x, 0);
      expect(ink / inkOfHeldBack).to.be.closeTo(1, 1e-6);
    });

    it('sees the mean over the area of each pixel where nothing is deformed, to 1e-6', () => {
      const image = originals.seen.images.slice(0, 784);
      const warped = new Float32Array(size * size);
      warper({ size, window }, still, 1)(image, warped, 0);
      reduce(image, size, window).forEach((x, i) => expect(warped[i]).to.be.closeTo(x, 1e-6));
    });

    it('sees shifts with the standard deviation asked for, and scales that leave the middle where it is', () => {
      const disc = Float32Array.from({ length: 784 }, (_, i) => Number(Math.hypot((i % 28) - 13.5, Math.floor(i / 28) - 13.5) < 4)); // prettier-ignore
      const spread = (deformation: Partial<typeof still>) => {
        const warp = warper({ size: 28, window: 28 }, { ...still, ...deformation }, 1);
        const result = new Float32Array(784);
        const centres = Array.from({ length: 400 }, () => {
          warp(disc, result, 0);
          const ink = result.reduce((sum, x) => sum + x, 0);
          return result.reduce((sum, x, i) => sum + x * ((i % 28) - 13.5), 0) / ink;
        });
        return Math.sqrt(centres.reduce((sum, x) => sum + x * x, 0) / centres.length);
      };
      expect(spread({ shift: 1 })).to.be.within(0.9, 1.1);
      expect(spread({ scale: 0.1, turn: 0.2, shear: 0.2 })).to.be.below(0.02);
      expect(spread({ elastic: 1 })).to.be.within(0.2, 0.8);
    });

    it('reads nine of ten held-back digits after 600 batches of 64, the same in every run, and leaks nothing', () => {
      const before = tf.memory().numTensors;
      const { heldBack } = digits({ size, window });
      const options = { ...mlp.defaults, widths: [64, 128, 10], iterations: 600, batch: 64, rate: 5e-3 };
      const losses: number[][] = [[], []];
      const weights = mlp.train(originals.seen, { ...options, each: (_i, loss) => losses[0].push(loss) });
      const verdict = mlp.judge(mlp.classify(weights, heldBack), heldBack.labels);
      expect(verdict.accuracy).to.be.above(0.9);
      expect(verdict.wrong.length).to.equal(Math.round((1 - verdict.accuracy) * heldBack.count));
      const diagonal = verdict.confusion.reduce((sum, row, label) => sum + row[label], 0);
      expect(diagonal + verdict.wrong.length).to.equal(heldBack.count);
      tf.dispose(weights);
      const short = { ...options, each: (_i: number, loss: number) => losses[1].push(loss) };
      tf.dispose(mlp.train(originals.seen, { ...short, iterations: 2 }));
      expect(losses[1]).to.deep.equal(losses[0].slice(0, 2));
      expect(tf.memory().numTensors).to.equal(before);
    });
  });

  describe('an ODE-Net and its ResNet twin', () => {
    before(async () => {
      await tf.setBackend('wasm');
    });
    after(async () => {
      await tf.setBackend('cpu');
    });

    /** Pictures of random numbers, one of each of the digits 0 to 7, as in test/reference/odenet.py. */
    const eight = (): odenet.Batch => {
      const { uniform } = random(7);
      const images = Float32Array.from({ length: 8 * 784 }, uniform);
      const labels = Uint8Array.from({ length: 8 }, (_, i) => i);
      const x = odenet.patches({ count: 8, size: 28, images, labels }, labels);
      return { x, labels };
    };

    it('have the parameters that their filters, biases and linear layers add up to: 8126 and 20990', () => {
      const ends = (16 + 1) * 8 + (9 * 32 + 1) * 12 + (2 * 7 * 12 + 1) * 10;
      const convolution = (inputs: number) => (9 * inputs + 1) * 12;
      const counts = (['ode', 1, 6] as const).map((kind) => {
        const net = new odenet.Classifier(kind);
        net.dispose();
        return net.parameters;
      });
      expect(counts).to.deep.equal(
        [1, 1, 6].map((blocks, i) => ends + 2 * blocks * convolution(i ? 12 : 13)),
      );
      expect([counts[0], counts[2]]).to.deep.equal([8126, 20990]);
    });

    it('have patches whose product is a convolution of 4 x 4 in steps of 2, to 1e-5', () => {
      tf.tidy(() => {
        const { seen } = originals;
        const filter = normals([4, 4, 1, 3], 1);
        const image = tf.tensor4d(seen.images.slice(0, 784), [1, 28, 28, 1]);
        const whole = tf.conv2d(image, filter as tf.Tensor4D, 2, 1);
        const [n, s] = [7, 2];
        const rows = tf.matMul(odenet.patches(seen, [0]), tf.reshape(filter, [16, 3]) as tf.Tensor2D);
        const grid = tf.transpose(tf.reshape(rows, [n, n, s, s, 3]), [0, 2, 1, 3, 4]);
        expectClose(tf.reshape(grid, [1, 14, 14, 3]), whole, 1e-5);
      });
    });

    describe('untrained, beside torchdiffeq', () => {
      const expected = reference<{
        evaluations: Record<string, number>;
        logits: number[][];
        loss: number;
        gradientNorms: number[];
      }>('odenet');
      const tight = { ...odenet.defaultSolver, rtol: 1e-6, atol: 1e-6 };

      it('has the same scores and loss to 1e-4', () => {
        const net = new odenet.Classifier('ode', { solver: tight });
        tf.tidy(() => {
          const batch = eight();
          expectClose(net.logits(batch.x), tf.tensor2d(expected.logits), 1e-4);
          expect(net.loss(batch).dataSync()[0]).to.be.closeTo(expected.loss, 1e-4);
        });
        net.dispose();
      });

      it('takes as many evaluations, at every tolerance from 0.1 to 1e-5', () => {
        const net = new odenet.Classifier('ode');
        const { x } = eight();
        for (const [tolerance, count] of Object.entries(expected.evaluations)) {
          const { states, evaluations } = net.flow(x, [0, 1], Number(tolerance));
          expect(evaluations, tolerance).to.equal(count);
          states.dispose();
        }
        x.dispose();
        net.dispose();
      });

      for (const adjoint of ['checkpoint', 'backsolve'] as const) {
        // Each step across a kink of relu blurs it: the state within the tolerance, its derivative more.
        it(`has gradients of the same size, by ${adjoint}, to 5e-3 of the largest`, () => {
          const net = new odenet.Classifier('ode', { solver: { ...tight, adjoint } });
          const batch = eight();
          const { values } = net.gradient(batch);
          let from = 0;
          const largest = Math.max(...expected.gradientNorms);
          net.variables.forEach(({ size }, i) => {
            const norm = Math.hypot(...values.subarray(from, (from += size)));
            expect(norm).to.be.closeTo(expected.gradientNorms[i], 5e-3 * largest);
          });
          batch.x.dispose();
          net.dispose();
        });
      }
    });

    it('have a state at t = 1 that is within four times the tolerance of the one from 1e-6', () => {
      const net = new odenet.Classifier('ode');
      tf.tidy(() => {
        const { x } = eight();
        const y = (tolerance: number) => tf.gather(net.flow(x, [0, 1], tolerance).states, 1);
        const exact = y(1e-6);
        for (const tolerance of [1e-1, 1e-2, 1e-3, 1e-4]) {
          const scale = tf.add(tf.abs(exact), 1);
          const error = tf.div(tf.sub(y(tolerance), exact), scale);
          expect(Math.sqrt(tf.mean(tf.square(error)).dataSync()[0])).to.be.below(4 * tolerance);
        }
      });
      net.dispose();
    });

    for (const kind of [3, 'ode'] as const) {
      const name = kind === 'ode' ? 'an ODE-Net reads' : 'three residual blocks read';
      it(`${name} seven of ten held-back digits after 60 batches of 16, and leaks nothing`, () => {
        const before = tf.memory().numTensors;
        const net = new odenet.Classifier(kind);
        const next = odenet.batches(originals.seen, 16);
        const losses: number[] = [];
        const loss = () => net.loss(next());
        minimize(loss, net.variables, {
          iterations: 60,
          rate: 0.01,
          each: (_i, value) => losses.push(value),
        });
        expect(losses.slice(-10).reduce((a, b) => a + b) / 10).to.be.below(0.7 * losses[0]);
        const { heldBack } = originals;
        expect(net.accuracy({ ...heldBack, count: 300 })).to.be.above(0.7);
        net.dispose();
        expect(tf.memory().numTensors).to.equal(before);
      });
    }
  });
});
