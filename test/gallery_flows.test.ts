/** The flows of the gallery, beside the closed form of the density that they learn. */
import { inflateSync } from 'node:zlib';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { expect } from 'chai';
import { animatedPng } from '../examples/lib/apng.js';
import * as cnf from '../examples/lib/cnf.js';
import { crc32 } from '../examples/lib/png.js';
import { minimize, random } from '../examples/lib/training.js';
import * as circles from '../examples/lib/two_circles.js';
import { mean } from '../examples/lib/numbers.js';

describe('the flows of the gallery', () => {
  let other: string;
  before(async () => {
    other = tf.getBackend();
    await tf.setBackend('wasm');
  });
  after(() => tf.setBackend(other));

  describe('two circles', () => {
    it("have Bessel's function I0 as scipy.special.i0e has it, to 1e-13", () => {
      const scipy = { 0: 1, 1: 0.46575960759364043, 100: 0.03994437929909668, 1000: 0.012617240455891257 };
      for (const [x, value] of Object.entries(scipy))
        expect(circles.besselI0e(Number(x)) / value).to.be.closeTo(1, 1e-13);
    });

    it('have a density that integrates to 1, and the entropy that scipy.integrate.quad finds, to 1e-10', () => {
      let total = 0;
      for (let i = 1; i < 3200; i++) total += 0.0005 * circles.radialDensity(0.0005 * i);
      expect(total).to.be.closeTo(1, 1e-10);
      expect(circles.meanLogDensity()).to.be.closeTo(-0.7876452934220131, 1e-10);
    });

    it('are drawn from that density: radii within 0.02, mean log-density within four standard errors', () => {
      for (const angles of ['independent', 'even'] as const) {
        const points = circles.sampler(3, angles)(10000);
        expect(circles.radialDistance(points)).to.be.below(0.02); // Kolmogorov: 0.0195 with a chance of 0.001
        const logs = points.map(circles.logDensity);
        const deviation = Math.sqrt(mean(logs.map((x) => x * x)) - mean(logs) ** 2);
        expect(mean(logs)).to.be.closeTo(circles.meanLogDensity(), (4 * deviation) / 100);
      }
      expect(circles.radialDistance([[0.3, 0]])).to.be.above(0.9);
    });

    it('are 0.90 nats more likely than the normal distribution with their moments', () => {
      const normal = circles.fittedNormal(circles.sampler(1, 'even')(20000));
      const points = circles.sampler(2, 'independent')(20000);
      // Of a normal distribution with their variance, v = (1 + 1/4) / 4 + sigma^2, in both directions.
      const exact = -Math.log(2 * Math.PI * ((1 + 0.25) / 4 + circles.sigma ** 2)) - 1;
      expect(mean(points.map(normal))).to.be.closeTo(exact, 0.02);
      expect(circles.meanLogDensity() - exact).to.be.closeTo(0.9, 0.01);
    });

    it('are blurred by kernels as by more noise', () => {
      const kernels = circles.kernelDensity([[0.2, -0.1]], 0.3);
      expect(kernels([0.5, 0.3])).to.be.closeTo(-0.25 / 0.18 - Math.log(2 * Math.PI * 0.09), 1e-12);
      const [points, others] = [1, 2].map((seed) => circles.sampler(seed, 'independent')(1000));
      expect(circles.bestWidth(points, others, [0.005, 0.04, 0.3])).to.equal(0.04);
    });
  });

  describe('a continuous normalizing flow', () => {
    let flow: cnf.Flow;
    const points = circles.sampler(4, 'independent')(64);

    before(() => {
      flow = new cnf.Flow({ width: 8 });
    });
    after(() => flow.dispose());

    const values = (x: () => tf.Tensor) => tf.tidy(() => Array.from(x().dataSync()));

    it('has the trace of the Jacobian that tf.grad finds, column by column, to 1e-5', () => {
      const [t, weights] = [tf.scalar(0), flow.weights(1)];
      const column = (z: tf.Tensor, i: number) => tf.gather(cnf.field(t, z, weights), i, 1);
      const z = tf.tensor2d(points);
      const jacobian = (i: number) => tf.gather(tf.grad((x: tf.Tensor) => column(x, i))(z), i, 1);
      const expected = values(() => tf.add(jacobian(0), jacobian(1)));
      values(() => cnf.trace(t, z, weights)).forEach((x, i) => expect(x).to.be.closeTo(expected[i], 1e-5));
      tf.dispose([z, t, weights.products]);
    });

    it("has Hutchinson's estimates e . (df/dz) e, whose mean over all four probes is the trace, to 1e-5", () => {
      const [t, z, weights] = [tf.scalar(0), tf.tensor2d(points), flow.weights(2)];
      const f = (x: tf.Tensor) => cnf.field(t, x, weights);
      const mean = new Array<number>(points.length).fill(0);
      for (const row of [
        [1, 1],
        [1, -1],
        [-1, 1],
        [-1, -1],
      ]) {
        const probe = tf.tensor2d(points.map(() => row));
        const estimates = values(() => cnf.estimate(probe)(t, z, weights));
        const product = values(() => tf.sum(tf.mul(probe, tf.grad(f)(z, probe)), 1));
        estimates.forEach((x, i) => {
          expect(x).to.be.closeTo(product[i], 1e-5);
          mean[i] += x / 4;
        });
        probe.dispose();
      }
      values(() => cnf.trace(t, z, weights)).forEach((x, i) => expect(x).to.be.closeTo(mean[i], 1e-5));
      tf.dispose([z, t, weights.products]);
    });

    it('has no bias in 400 random probes: their mean is about its standard error from the trace', () => {
      const { spread, miss } = cnf.probeStatistics(flow, points, 400, 1);
      expect(spread).to.be.above(0.1);
      expect(miss).to.be.within(0.7, 1.3);
    });

    it('has a density that integrates to 1 to 0.001, at t = 0.4 and at t = 1', () => {
      const [half, count] = [7, 141];
      const cell = ((2 * half) / (count - 1)) ** 2;
      for (const t of [0.4, 1]) {
        const density = cnf.logDensities(flow, cnf.lattice(half, count), cnf.fine, t).map(Math.exp);
        expect(mean(density) * count ** 2 * cell).to.be.closeTo(1, 1e-3);
      }
    });

    it('comes back to 3e-4, and gains on the way forth what it loses on the way back, to 1e-3', () => {
      expect(cnf.roundTrip(flow, points)).to.be.below(3e-4);
      const [back, forth] = tf.tidy(() => {
        const back = flow.transport(tf.tensor2d(points), 1, 0, cnf.fine);
        const forth = flow.transport(back.z, 0, 1, cnf.fine);
        return [back, forth].map(({ integral }) => integral.dataSync().slice());
      });
      back.forEach((x, i) => expect(x).to.be.closeTo(-forth[i], 1e-3));
    });

    it('has the gradient of the log-likelihood that a difference along a direction finds, to 1 %', () => {
      const x = tf.tensor2d(points);
      const { uniform } = random(3);
      const probe = cnf.signs(points.length, uniform);
      for (const options of [{}, { probe }]) {
        const loss = () => tf.mean(flow.logDensity(x, { solver: cnf.coarse(0), ...options })) as tf.Scalar;
        const direction = flow.variables.map(({ shape }) => tf.randomNormal(shape, 0, 1, 'float32', 1));
        const slope = tf.tidy(() => {
          const { grads } = tf.variableGrads(loss, flow.variables);
          const along = flow.variables.map(({ name }, i) => tf.sum(tf.mul(grads[name], direction[i])));
          return tf.addN(along).dataSync()[0];
        });
        const h = 0.003;
        const move = (size: number) =>
          flow.variables.forEach((v, i) => tf.tidy(() => v.assign(tf.add(v, tf.mul(size, direction[i])))));
        const at = (size: number) => {
          move(size);
          const value = tf.tidy(() => loss().dataSync()[0]);
          move(-size);
          return value;
        };
        expect((at(h) - at(-h)) / (2 * h) / slope).to.be.closeTo(1, 0.01);
        tf.dispose(direction);
      }
      tf.dispose([x, probe]);
    });

    for (const hutchinson of [false, true]) {
      const name = hutchinson ? "Hutchinson's estimate" : 'the exact trace';
      it(`beats the normal distribution after 40 iterations with ${name}, not the truth, and leaks nothing`, () => {
        const before = tf.memory().numTensors;
        const learner = new cnf.Flow({ width: 16 });
        const held = circles.sampler(5, 'independent')(1000);
        const missing = () => {
          const logs = cnf.logDensities(learner, held);
          return mean(held.map((x, i) => circles.logDensity(x) - logs[i]));
        };
        expect(missing()).to.be.above(1.2);
        const draw = circles.sampler(1, 'even');
        const loss = cnf.lossOfBatches(learner, () => draw(128), hutchinson);
        minimize(loss, learner.variables, { iterations: 40, rate: 0.08 });
        expect(missing()).to.be.within(0, 0.8);
        learner.dispose();
        expect(tf.memory().numTensors).to.equal(before);
      });
    }
  });

  it('are drawn in animated PNGs: chunks in order, their checksums, and the pixels again', () => {
    expect(crc32(Buffer.from('123456789'))).to.equal(0xcbf43926); // the customary check value of CRC-32
    const [width, height] = [3, 2];
    const frames = [Uint8Array.of(0, 1, 2, 2, 1, 0), Uint8Array.of(2, 2, 2, 0, 0, 0)];
    const palette = [
      [0, 0, 0],
      [255, 0, 0],
      [0, 0, 255],
    ] as const;
    const file = animatedPng(frames, { width, height, palette }, [0.5, 1]);
    const chunks: { type: string; data: Buffer }[] = [];
    for (let at = 8; at < file.length;) {
      const end = at + 8 + file.readUInt32BE(at);
      expect(file.readUInt32BE(end)).to.equal(crc32(file.subarray(at + 4, end)));
      chunks.push({ type: file.toString('latin1', at + 4, at + 8), data: file.subarray(at + 8, end) });
      at = end + 4;
    }
    const types = chunks.map(({ type }) => type);
    expect(types).to.deep.equal(['IHDR', 'acTL', 'PLTE', 'fcTL', 'IDAT', 'fcTL', 'fdAT', 'IEND']);
    const sequence = chunks
      .filter(({ type }) => type.startsWith('f'))
      .map(({ data }) => data.readUInt32BE(0));
    expect(sequence).to.deep.equal([0, 1, 2]);
    const pixels = [inflateSync(chunks[4].data), inflateSync(chunks[6].data.subarray(4))];
    pixels.forEach((lines, i) =>
      expect([...lines]).to.deep.equal([0, ...frames[i].subarray(0, 3), 0, ...frames[i].subarray(3)]),
    );
  });
});
