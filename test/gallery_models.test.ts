/** The models of the gallery that learn a part of a vector field, beside closed forms and beside the truth they came from. */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import * as hamiltonian from '../examples/lib/hamiltonian.js';
import { minimize } from '../examples/lib/training.js';
import * as universal from '../examples/lib/universal_ode.js';

const { pendulum } = hamiltonian;

describe('the models of the gallery', () => {
  before(async () => {
    await tf.setBackend('cpu');
  });

  describe('a Hamiltonian network', () => {
    const record = hamiltonian.observe(8, 0.05, 1);

    it('is compared with a period that the solved pendulum has to 1e-8', () => {
      for (const angle of [0.3, 1, 2])
        expect(hamiltonian.period(pendulum, angle)).to.be.closeTo(hamiltonian.exactPeriod(angle), 1e-8);
    });

    it('has slopes that are the central differences of its energy to 1e-8', () => {
      const training = new hamiltonian.HamiltonianTraining(record);
      const energy = training.energy();
      for (const { value, slope } of [energy.kinetic, energy.potential]) {
        for (const x of [-2, -0.3, 0, 1.1])
          expect((value(x + 1e-4) - value(x - 1e-4)) / 2e-4).to.be.closeTo(slope(x), 1e-8);
      }
      training.dispose();
    });

    it('has one gradient, by reversible and by checkpoint, to 1e-4 of its size', () => {
      const [reversible, checkpoint] = (['reversible', 'checkpoint'] as const).map((adjoint) => {
        const training = new hamiltonian.HamiltonianTraining(record, {}, adjoint);
        const gradient = tf.tidy(() => {
          const { grads } = tf.variableGrads(training.loss as () => tf.Scalar, training.variables);
          return training.variables.map(({ name }) => Array.from(grads[name].dataSync()));
        });
        training.dispose();
        return gradient;
      });
      reversible.forEach((gradient, i) => {
        const size = Math.max(...gradient.map(Math.abs));
        gradient.forEach((x, j) => expect(x).to.be.closeTo(checkpoint[i][j], 1e-4 * size));
      });
    });

    it('learns the energy to 0.1 in 40 iterations, and leaks nothing', () => {
      const before = tf.memory().numTensors;
      const training = new hamiltonian.HamiltonianTraining(record);
      expect(hamiltonian.energyError(training.energy(), 1.8)).to.be.above(0.3);
      minimize(training.lossOfPieces, training.weights, { iterations: 40, rate: 0.05 });
      expect(hamiltonian.energyError(training.energy(), 1.8)).to.be.below(0.1);
      training.dispose();
      expect(tf.memory().numTensors).to.equal(before);
    });

    it('keeps an energy to 1 % over 150 periods by leapfrog; dopri5 with the same work loses more', () => {
      const t = [0, 250, 500, 750, 1000];
      const { error, evaluations } = hamiltonian.drift(pendulum, [2, 0], t, {
        method: 'leapfrog',
        stepSize: 0.2,
      });
      const other = hamiltonian.drift(pendulum, [2, 0], t, { method: 'dopri5', rtol: 1e-4, atol: 1e-4 });
      expect(Math.max(...error.map(Math.abs))).to.be.below(0.01);
      expect(Math.max(...other.error.map(Math.abs))).to.be.above(0.02);
      expect(evaluations / other.evaluations).to.be.within(0.8, 1.25);
    });
  });

  describe('a universal differential equation', () => {
    const record = universal.observe(41, 0.1, 0.05, 1);
    const along = universal.populations(universal.trueInteraction, universal.y0, record.t);
    const { beta, delta } = universal.truth;

    it('is read by a least squares that finds the true terms to 1e-12', () => {
      [-beta, delta].forEach((exact, i) => {
        const values = along.map((y) => universal.trueInteraction(y)[i]);
        const { coefficients, residual } = universal.regress(values, along);
        expect(residual).to.be.below(1e-12);
        coefficients.forEach((c, j) =>
          expect(c).to.be.closeTo(universal.candidates[j].name === 'xy' ? exact : 0, 1e-12),
        );
        expect(universal.bestSingle(values, along).name).to.equal('xy');
      });
    });

    it('learns the interaction to 10 % in 150 iterations on pieces, sees that it is xy, and leaks nothing', () => {
      const before = tf.memory().numTensors;
      const training = new universal.UniversalTraining(record);
      const pieces = () => training.lossOfPieces();
      minimize(pieces, training.weights, { iterations: 150, rate: 0.05 });
      const learned = training.interaction();
      expect(Math.max(...universal.relativeErrors(learned, along))).to.be.below(0.1);
      [-beta, delta].forEach((exact, i) => {
        const values = along.map((y) => learned(y)[i]);
        const { name, coefficients } = universal.bestSingle(values, along);
        expect(name).to.equal('xy');
        expect(coefficients[3] / exact).to.be.closeTo(1, 0.05);
      });
      training.dispose();
      expect(tf.memory().numTensors).to.equal(before);
    });
  });
});
