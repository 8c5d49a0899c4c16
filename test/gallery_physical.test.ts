/** The physical networks of the gallery: the systems beside closed forms, their gradients beside plain backpropagation. */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { odeint } from 'tfjs-diffeq';
import * as convolution from '../examples/lib/physical_convolution.js';
import { coupledWaves, crystal, crystalParameters } from '../examples/lib/physical_light.js';
import * as network from '../examples/lib/physical_network.js';
import * as systems from '../examples/lib/physical_systems.js';
import { random } from '../examples/lib/training.js';
import { logDensity, cholesky, vowelTable, vowelTask } from '../examples/lib/vowels.js';

const built = {
  plate: () => systems.plate(systems.plateParameters),
  circuit: () => systems.circuit(systems.circuitParameters),
  crystal: () => crystal(crystalParameters),
};

const values = (x: tf.Tensor) => Array.from(x.dataSync());

function expectClose(actual: tf.Tensor, expected: tf.Tensor, tolerance: number): void {
  const size = Math.max(...values(expected).map(Math.abs));
  const difference = tf.tidy(() => values(tf.abs(tf.sub(actual, expected))));
  expect(actual.shape).to.deep.equal(expected.shape);
  expect(size).to.be.above(0);
  expect(Math.max(...difference)).to.be.below(tolerance * size);
}

describe('the physical networks of the gallery', () => {
  before(async () => {
    await tf.setBackend('cpu');
  });

  describe('physics-aware training', () => {
    for (const [name, build] of Object.entries(built)) {
      it(`has the gradient of plain backpropagation where the model of the ${name} is exact, to 1e-5`, () => {
        const before = tf.memory().numTensors;
        const system = build();
        tf.tidy(() => {
          const { normal } = random(2);
          const u = tf.tensor2d(
            Array.from({ length: 3 * system.controls }, () => 0.5 * normal()),
            [3, system.controls],
          );
          const w = tf.tensor2d(
            Array.from({ length: system.readouts * system.controls }, () => 0.2 * normal()),
            [system.readouts, system.controls],
          );
          const chain = (layer: network.Layer) => (x: tf.Tensor) =>
            layer(tf.matMul(layer(x) as tf.Tensor2D, w));
          const aware = network.physicsAware(system.run, system.run);
          expectClose(chain(aware)(u), chain(system.run)(u), 1e-6);
          const loss = (layer: network.Layer) => (x: tf.Tensor) => tf.sum(tf.square(chain(layer)(x)));
          expectClose(tf.grad(loss(aware))(u), tf.grad(loss(system.run))(u), 1e-5);
        });
        system.dispose();
        expect(tf.memory().numTensors).to.equal(before);
      });
    }

    it('takes the vjp of the model at the activations of the system, which need not be differentiable', () => {
      const before = tf.memory().numTensors;
      tf.tidy(() => {
        const [a, b] = [tf.tensor2d([[1, 2], [-1, 0.5]]), tf.tensor2d([[1.2, 1.7], [-0.8, 0.6]])]; // prettier-ignore
        const model: network.Layer = (u) => tf.square(tf.matMul(u as tf.Tensor2D, a));
        const physical: network.Layer = (u) => tf.floor(tf.mul(10, tf.matMul(u as tf.Tensor2D, b)));
        const aware = network.physicsAware(physical, model);
        const x = tf.tensor2d([[0.3, -0.4]]);
        const gradient = tf.grad((x: tf.Tensor) => tf.sum(aware(aware(x))))(x);
        // d square(u a) = 2 (u a) du a: by hand, at x and at floor(10 x b) = [[6, 2]]
        expect(values(physical(x))).to.deep.equal([6, 2]);
        const back = (u: tf.Tensor, dy: tf.Tensor) =>
          tf.matMul(tf.mul(tf.mul(2, tf.matMul(u as tf.Tensor2D, a)), dy) as tf.Tensor2D, a, false, true);
        expectClose(gradient, back(x, back(physical(x), tf.ones([1, 2]))), 1e-6);
      });
      expect(tf.memory().numTensors).to.equal(before);
    });

    it('learns vowels on a circuit that its model does not describe, better than in silico, and leaks nothing', () => {
      const before = tf.memory().numTensors;
      const task = vowelTask({ seen: 1000, heldBack: 500 });
      const laboratory = new network.Laboratory(systems.circuit, systems.circuitParameters, {
        ...{ spread: 0.1, noise: { drive: 0.02, readout: 0.02 }, seed: 1 },
      });
      expect(network.modelError(laboratory, 1)).to.be.within(0.1, 0.4);
      const accuracy = (['in silico', 'physics-aware'] as const).map((training) => {
        const net = new network.PhysicalNetwork(task, laboratory.model, 1);
        const layer = laboratory.layer(training);
        network.train((x) => net.run(x, layer), net.variables, task, {
          iterations: 30,
          batch: 32,
          rate: 0.06,
          seed: 1,
        });
        const used = network.accuracy((x) => net.run(x, laboratory.used), task.heldBack, task.features);
        net.dispose();
        return used;
      });
      laboratory.dispose();
      expect(accuracy[1]).to.be.within(0.6, task.bayes);
      expect(accuracy[1] - accuracy[0]).to.be.above(0.05);
      expect(tf.memory().numTensors).to.equal(before);
    });
  });

  describe('the systems', () => {
    it('a crystal without mismatch converts tanh(a)^2 of the pump, and the solver keeps the energy', () => {
      const amplitudes = [0.2, 0.7, 1.2, 1.8];
      const zeros = amplitudes.map(() => 0);
      const run = (mismatch: number, rows: number[][], steps: number) => {
        const optics = coupledWaves(mismatch);
        const out = tf.tidy(() => optics.propagate(tf.tensor2d(rows), steps).arraySync() as number[][]);
        optics.dispose();
        return out;
      };
      const [r1, i1, r2, i2] = run(0, [amplitudes, zeros, zeros, zeros], 20);
      amplitudes.forEach((a, j) => {
        expect((r2[j] ** 2 + i2[j] ** 2) / a ** 2).to.be.closeTo(Math.tanh(a) ** 2, 2e-5);
        expect((r1[j] ** 2 + i1[j] ** 2) / a ** 2).to.be.closeTo(1 / Math.cosh(a) ** 2, 2e-5);
      });
      const mixed = [amplitudes, [0.5, -0.3, 0.8, 0.1], [0.1, 0.4, -0.6, 0.2], [0.2, 0.2, 0.1, -0.5]];
      const energy = (rows: number[][], j: number) => rows.reduce((sum, row) => sum + row[j] ** 2, 0);
      const out = run(1.3, mixed, 20);
      amplitudes.forEach((_, j) => expect(energy(out, j) / energy(mixed, j)).to.be.closeTo(1, 1e-4));
    });

    it('a crystal with mismatch converts little light by the square of sin(dk / 2) / (dk / 2)', () => {
      const [a, dk] = [0.01, 2.4];
      const optics = coupledWaves(dk);
      const [, , r2, i2] = tf.tidy(
        () => optics.propagate(tf.tensor2d([[a], [0], [0], [0]]), 20).arraySync() as number[][],
      );
      optics.dispose();
      expect((r2[0] ** 2 + i2[0] ** 2) / a ** 4).to.be.closeTo((Math.sin(dk / 2) / (dk / 2)) ** 2, 2e-4);
    });

    it('a plate that does not stretch adds the answers of damped modes to its tones, in closed form', () => {
      const parameters = { ...systems.plateParameters, stretch: 0 };
      const plate = systems.plate(parameters, 48);
      const { normal } = random(4);
      const u = Array.from({ length: plate.controls }, () => 0.4 * normal());
      const solved = tf.tidy(() => values(plate.run(tf.tensor2d([u]))));
      plate.dispose();
      const exact = systems.linearPlate(parameters, u);
      const size = Math.max(...exact.map(Math.abs));
      solved.forEach((x, i) => expect(x / size).to.be.closeTo(exact[i] / size, 1e-4));
    });

    it('a circuit solves its equations as they are written, by dopri5 in float64, to 1 % of the largest voltage', () => {
      const { resonances: w, conductance, resistance, currents, gains } = systems.circuitParameters;
      const n = w.length;
      const circuit = built.circuit();
      const { normal } = random(5);
      const u = Array.from({ length: circuit.controls }, () => 0.7 * normal());
      const solved = tf.tidy(() => values(circuit.run(tf.tensor2d([u]))));
      circuit.dispose();
      const slope = (t: number, y: Float64Array) => {
        const d = new Float64Array(2 * n);
        for (let j = 0; j < n; j++) {
          const drive = u[j] * Math.cos(0.7 * t) + u[n + j] * Math.cos(1.9 * t);
          const pairs = currents[j] * Math.tanh(y[(j + n - 1) % n]) - Math.tanh(y[j]);
          d[j] = y[n + j] - conductance * y[j] + pairs;
          d[n + j] = -(w[j] ** 2) * y[j] - resistance * y[n + j] + 2 * gains[j] * drive;
        }
        return d;
      };
      const states = odeint(slope, new Float64Array(2 * n), [0, 2.4, 4], { rtol: 1e-9, atol: 1e-9 });
      const exact = states.slice(1).flatMap((y) => Array.from(y.slice(0, n)));
      const size = Math.max(...exact.map(Math.abs));
      expect(size).to.be.above(1); // where tanh bends
      solved.forEach((x, i) => expect(x / size).to.be.closeTo(exact[i] / size, 0.01));
    });

    it('stretching couples the modes: twice the force is not twice the deflection', () => {
      const plate = built.plate();
      const [one, two] = tf.tidy(() => {
        const u = tf.fill([1, plate.controls], 0.4);
        return [plate.run(u), plate.run(tf.mul(u, 2))].map(values);
      });
      plate.dispose();
      expect(Math.max(...one.map((x, i) => Math.abs(two[i] - 2 * x)))).to.be.above(0.1);
    });
  });

  describe('the vowels', () => {
    it('have the means of the table that Peterson and Barney print, to 2.7 %', () => {
      const { groups } = vowelTable();
      const printed = {
        men: [136, 270, 2290, 3010],
        women: [235, 310, 2790, 3310],
        children: [272, 370, 3200, 3730],
      };
      for (const [kind, frequencies] of Object.entries(printed))
        frequencies.forEach((x, i) => expect(groups[kind][0].hertz[i] / x).to.be.closeTo(1, 0.027));
    });

    it('have a best classifier, whose density is the normal one, and which softmax regression does not reach', () => {
      const L = cholesky([[4, 1], [1, 2]]); // prettier-ignore
      // By hand: determinant 7, inverse [[2, -1], [-1, 4]] / 7, x - mean = [1, 2]
      const exact = -Math.log(2 * Math.PI) - Math.log(7) / 2 - (2 - 4 + 16) / 14;
      expect(logDensity([2, 3], [1, 1], L)).to.be.closeTo(exact, 1e-12);
      const task = vowelTask({ seen: 1000, heldBack: 1000 });
      expect(task.bayes).to.be.within(0.85, 0.92);
      expect(network.softmaxRegression(task, 1000)).to.be.within(0.8, task.bayes);
    });
  });

  describe('a chain of oscillators', () => {
    it('answers a blow and any force by its closed form, and can be taught a kernel', () => {
      const before = tf.memory().numTensors;
      const training = new convolution.KernelTraining();
      const wanted = convolution.kernels.map(({ value }) => convolution.kernelTimes.map(value));
      const missed = () => convolution.relativeDifference(training.solved(), wanted);
      expect(missed()).to.be.above(0.9);
      training.train(25);
      expect(missed()).to.be.below(0.6);
      const chain = training.chains()[0];
      const h = convolution.impulseResponse(chain);
      const closed = convolution.kernelTimes.map(h);
      expect(convolution.relativeDifference([training.solved()[0]], [closed])).to.be.below(0.02);
      const inputs = [[0, 1, -0.5, 0.3], [0.2, 0, 0, 1]]; // prettier-ignore
      const solved = convolution.answer(chain, inputs, 0.3, 10);
      expect(convolution.relativeDifference(solved, convolution.convolve(h, inputs, 0.3, 10))).to.be.below(
        2e-3,
      );
      training.dispose();
      expect(tf.memory().numTensors).to.equal(before);
    });
  });
});
