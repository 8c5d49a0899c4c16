/** The neural SDE of the gallery: its schemes beside geometric Brownian motion, its quadratures beside closed forms, its training beside the truth. */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import * as theory from '../examples/lib/diffusion_theory.js';
import {
  doubleWell,
  doubleWellSde,
  likelihoodGain,
  NeuralSde,
  observe,
  passages,
  thin,
  transition,
} from '../examples/lib/neural_sde.js';
import * as sde from '../examples/lib/sde.js';
import { defaultBackend } from './backends.js';

const { lambda, mu } = sde.geometric;
const on = (of: (x: number) => number) => theory.grid.map(of);
const within = (x: number) => theory.grid.flatMap((at, i) => (Math.abs(at) <= x ? [i] : []));

/** x' = -x + 0.5 W' */
const ornsteinUhlenbeck = { drift: (x: number) => -x, diffusion: () => 0.5 };

describe('the neural SDE of the gallery', () => {
  before(async () => {
    await tf.setBackend('wasm');
  });
  after(async () => {
    await tf.setBackend(defaultBackend);
  });

  describe('schemes on geometric Brownian motion', () => {
    const steps = [1024, 2048, 4096];
    const h = steps.map((n) => 1 / n);
    const fine = sde.increments(64, 2000, 1 / 64, 3);

    it('have strong order 1/2 (Euler-Maruyama), 1 (Milstein), 1 (Heun), and weak order 1', () => {
      const expected = { 'Euler-Maruyama': 0.5, Milstein: 1, Heun: 1 };
      for (const [name, scheme] of Object.entries(sde.schemes)) {
        const errors = steps.map((n) => sde.exactErrors(scheme, n));
        const strong = errors.map((e) => e.strong);
        expect(sde.order(h, strong), name).to.be.closeTo(expected[name as keyof typeof expected], 0.02);
        const weak = errors.map((e) => e.weak);
        expect(sde.order(h, weak), name).to.be.closeTo(1, 0.01);
      }
    });

    it('have sampled errors within 8 %, and means within four standard errors, of the exact ones', () => {
      for (const [name, scheme] of Object.entries(sde.schemes)) {
        for (const factor of [4, 1]) {
          const sampled = sde.sampledErrors(scheme, sde.coarsen(fine, factor));
          const exact = sde.exactErrors(scheme, 64 / factor);
          expect(sampled.strong / exact.strong, name).to.be.closeTo(1, 0.08);
          expect(Math.abs(sampled.weak - exact.weak), name).to.be.below(4 * sampled.standardError);
        }
      }
    });

    it('have gradients: of the end of an Euler path in lambda, to 1e-4 of the closed form', () => {
      const dW = [0.3, -0.2, 0.1, 0.05];
      const step = 0.25;
      const end = (rate: tf.Tensor) =>
        sde.integrate(
          sde.eulerMaruyama,
          { ...sde.geometricSde, drift: (x) => tf.mul(x, rate) },
          tf.ones([1]),
          step,
          dW.map((w) => tf.tensor1d([w])),
        );
      const slope = tf.tidy(
        () =>
          tf
            .grad((rate) => tf.sum(end(rate)))(tf.scalar(lambda))
            .dataSync()[0],
      );
      const factors = dW.map((w) => 1 + lambda * step + mu * w);
      const product = factors.reduce((a, b) => a * b);
      const exact = factors.reduce((sum, factor) => sum + (product * step) / factor, 0);
      expect(slope).to.be.closeTo(exact, 1e-4);
    });

    it('have a limit that odeint comes to along broken lines: at the knots to 1e-6, between them with order 1/2', () => {
      const some = sde.increments(128, 200, 1 / 128, 5);
      const errors = [8, 16, 32].map((n) => ({ n, ...sde.wongZakai(some, 128 / n) }));
      for (const { n, knots, between } of errors) {
        expect(knots).to.be.below(1e-6);
        expect(between / sde.wongZakaiExact(n, 128 / n)).to.be.closeTo(1, 0.12);
      }
      const exact = [512, 1024].map((n) => sde.wongZakaiExact(n, 64));
      expect(Math.log2(exact[0] / exact[1])).to.be.closeTo(0.5, 0.01);
    });
  });

  describe('theory', () => {
    it('gives the Ornstein-Uhlenbeck process its normal density to 1e-4', () => {
      const variance = 0.125;
      theory.stationaryDensity(ornsteinUhlenbeck).forEach((p, i) => {
        const x = theory.grid[i];
        expect(p).to.be.closeTo(Math.exp((-x * x) / 2 / variance) / Math.sqrt(2 * Math.PI * variance), 1e-4);
      });
    });

    it('gives it its conditional mean and variance to 1e-4', () => {
      const { drift, diffusion } = theory.exactMoments(ornsteinUhlenbeck, 0.3);
      for (const i of within(1.5)) {
        expect(drift[i]).to.be.closeTo((theory.grid[i] * (Math.exp(-0.3) - 1)) / 0.3, 1e-4);
        expect(diffusion[i] ** 2).to.be.closeTo((0.125 * (1 - Math.exp(-0.6))) / 0.3, 1e-4);
      }
    });

    it('gives Brownian motion, reflected at the end of the grid, its mean first-passage time to 1e-3', () => {
      const brownian = { drift: () => 0, diffusion: () => 1 };
      const from = theory.range.from;
      expect(theory.meanFirstPassage(brownian, -1, 0.5)).to.be.closeTo(
        (0.5 - from) ** 2 - (-1 - from) ** 2,
        1e-3,
      );
      expect(theory.meanFirstPassage(brownian, 1, -0.5)).to.be.closeTo(
        theory.meanFirstPassage(brownian, -1, 0.5),
        1e-9,
      );
    });

    it('agrees with simulated first passages of the double well, and their density, within four standard errors', () => {
      const quick = theory.tabulated({
        drift: doubleWell.drift,
        diffusion: (x) => 1.3 * doubleWell.diffusion(x),
      });
      for (const from of [-1, 1]) {
        const exact = theory.meanFirstPassage(quick, from, -from);
        const { mean, standardError } = theory.simulateFirstPassage(quick, {
          ...{ from, to: -from, h: 0.01, paths: 600, seed: 4 },
        });
        expect(standardError / exact).to.be.below(0.05);
        expect(Math.abs(mean - exact)).to.be.below(4 * standardError);
      }
      const right = theory.rightHalf(theory.stationaryDensity(quick));
      const sample = theory.simulateStationary(quick, { h: 0.02, time: 30, paths: 1000, seed: 2 });
      const share = sample.filter((x) => x > 0).length / sample.length;
      expect(Math.abs(share - right)).to.be.below(4 * Math.sqrt((right * (1 - right)) / sample.length));
    });

    it('has a bias of Euler likelihoods that is halved with the interval', () => {
      const p = theory.stationaryDensity(doubleWell);
      for (const key of ['drift', 'diffusion'] as const) {
        const [a, b] = [0.02, 0.01].map((dt) => {
          const learned = theory.exactMoments(doubleWell, dt)[key];
          return theory.weightedRms(
            learned.map((x, i) => x - doubleWell[key](theory.grid[i])),
            p,
          );
        });
        expect(Math.log2(a / b), key).to.be.closeTo(1, 0.1);
      }
    });
  });

  describe('training', () => {
    const record = observe({ paths: 256, time: 8, dt: 0.1, substeps: 10, seed: 3 });

    it('sees paths that change their well', () => {
      expect(record.x).to.have.length(81);
      expect(thin(record, 2).dt).to.equal(0.2);
      expect(
        passages({ x: [-1.2, 0, 0.9, 1.1, 0, -0.5, -1].map((x) => Float32Array.of(x)), dt: 1 }),
      ).to.equal(2);
    });

    it('has networks that the Milstein method takes: their slopes are central differences to 1e-3', () => {
      const net = new NeuralSde();
      net.train(record, { iterations: 30, batch: 256, rate: 0.03 });
      const plain = net.plain();
      const x = [-1.4, -0.3, 0.2, 1.1];
      const [slopes, next] = tf.tidy(() => {
        const at = tf.tensor2d(x, [4, 1]);
        return [net.slope(at).dataSync(), sde.milstein(net, at, 0.01, tf.fill([4, 1], 0.2)).dataSync()];
      });
      x.forEach((at, i) => {
        const slope = (plain.diffusion(at + 1e-4) - plain.diffusion(at - 1e-4)) / 2e-4;
        expect(slopes[i]).to.be.closeTo(slope, 1e-3);
        const sigma = plain.diffusion(at);
        const step = plain.drift(at) * 0.01 + sigma * 0.2 + (sigma * slope * (0.04 - 0.01)) / 2;
        expect(next[i]).to.be.closeTo(at + step, 1e-4);
      });
      net.dispose();
    });

    it('learns drift and diffusion by Euler steps, then by moments better, and leaks nothing', () => {
      const before = tf.memory().numTensors;
      const seen = thin(record, 2);
      const p = theory.stationaryDensity(doubleWell);
      const net = new NeuralSde();
      const errors = (key: 'drift' | 'diffusion') => {
        const learned = on(net.plain()[key]);
        return theory.weightedRms(
          learned.map((x, i) => x - doubleWell[key](theory.grid[i])),
          p,
        );
      };
      expect(errors('drift')).to.be.above(0.4);
      expect(errors('diffusion')).to.be.above(0.2);
      net.train(seen, { iterations: 150, batch: 1024, rate: 0.03 });
      const euler = { drift: errors('drift'), diffusion: errors('diffusion') };
      expect(euler.drift).to.be.below(0.2);
      expect(euler.diffusion).to.be.within(0.07, 0.1); // the bias is 0.087
      const gain = likelihoodGain(net, seen, 'moments');
      net.train(seen, { by: 'moments', iterations: 60, batch: 512, rate: 0.02 });
      expect(errors('drift')).to.be.below(euler.drift);
      expect(errors('diffusion')).to.be.below(0.04);
      expect(gain).to.be.below(-200);
      expect(likelihoodGain(net, seen, 'moments')).to.be.within(-60, 30);
      expect(likelihoodGain(doubleWellSde, seen, 'moments')).to.equal(0);
      net.dispose();
      expect(tf.memory().numTensors).to.equal(before);
    });

    it('has moments that are those of the Kolmogorov equation, drift to 0.005, diffusion to 0.01; an Euler step misses ten times as far', () => {
      const net = new NeuralSde();
      net.train(record, { iterations: 100, batch: 1024, rate: 0.03 });
      const exact = theory.exactMoments(net.plain(), 0.2);
      const p = theory.stationaryDensity(doubleWell);
      const error = (by: 'euler' | 'moments') => {
        const { mean, variance } = tf.tidy(() => {
          const x = tf.tensor2d(theory.grid, [theory.grid.length, 1]);
          const moments = transition(net, x, 0.2, by);
          return { mean: moments.mean.dataSync(), variance: moments.variance.dataSync() };
        });
        const drift = theory.grid.map((x, i) => (mean[i] - x) / 0.2 - exact.drift[i]);
        const diffusion = theory.grid.map((_, i) => Math.sqrt(variance[i] / 0.2) - exact.diffusion[i]);
        return [drift, diffusion].map((values) => theory.weightedRms(values, p));
      };
      const [moments, euler] = [error('moments'), error('euler')];
      expect(moments[0]).to.be.below(0.005);
      expect(moments[1]).to.be.below(0.01);
      expect(euler[0]).to.be.above(10 * moments[0]);
      expect(euler[1]).to.be.above(10 * moments[1]);
      net.dispose();
    });
  });
});
