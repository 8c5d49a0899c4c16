/**
 * A training, iteration by iteration, beside torchdiffeq's: its demo, from the same weights and with the same batches
 * (test/reference/spiral.py).
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  batches,
  distance,
  loadReference,
  plainNetwork,
  SpiralTraining,
  trajectory,
  type Gradient,
  type WeightName,
} from '../examples/lib/spiral.js';

const reference = loadReference();
const run = reference.seeds[0];
/** How many iterations of it are compared. */
const modes: Record<Gradient, number> = { checkpoint: 50, tape: 50, backsolve: 20, interpolating: 20 };

describe('the spiral demo', () => {
  it('has the batches of the reference', () => {
    expect(batches(0).next().value).to.deep.equal(run.first_batch);
  });

  for (const [mode, iterations] of Object.entries(modes)) {
    describe(`with gradients by ${mode}`, () => {
      let training: SpiralTraining;
      beforeEach(() => {
        training = new SpiralTraining(run, 0, mode as Gradient);
      });
      afterEach(() => training.dispose());

      it('has the first gradient of torch.autograd in float64, to 1e-4 of the largest entry', () => {
        const gradient = training.gradientOf(run.first_batch!);
        for (const [name, expected] of Object.entries(run.first_gradient!)) {
          const actual = gradient[name as WeightName].dataSync();
          const largest = Math.max(...expected.map(Math.abs));
          expected.forEach((x, i) => expect(actual[i], name).to.be.closeTo(x, 1e-4 * largest));
        }
        tf.dispose(gradient);
      });

      // Measured: 4e-6 at most, on every backend. tf.train.rmsprop in place of PyTorch's would be off by 5e-5.
      it(`has the losses of ${iterations} iterations of torchdiffeq to 2e-5, and leaks nothing`, () => {
        const whole = () => distance(trajectory(plainNetwork(training.weights)), training.truth);
        expect(whole()).to.be.closeTo(reference.losses[0][0], 1e-5);
        let tensors = 0;
        run.first_losses!.slice(0, iterations).forEach((expected, i) => {
          expect(training.step() / expected, `iteration ${i + 1}`).to.be.closeTo(1, 2e-5);
          if (i === 0) tensors = tf.memory().numTensors; // RMSprop made its averages
          const evaluation = (i + 1) / reference.test_frequency;
          if (Number.isInteger(evaluation))
            expect(whole() / reference.losses[0][evaluation], `after ${i + 1}`).to.be.closeTo(1, 2e-5);
        });
        expect(tf.memory().numTensors).to.equal(tensors);
      });
    });
  }
});
