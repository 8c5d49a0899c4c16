/** The optics of the gallery beside closed forms of Fourier optics, and what its plates learn in a short training. */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { accuracy } from '../examples/lib/classification.js';
import { digits } from '../examples/lib/digits.js';
import * as sorting from '../examples/lib/optical_digits.js';
import * as network from '../examples/lib/optical_network.js';
import * as optics from '../examples/lib/optics.js';
import { pixels } from '../examples/lib/pixels.js';
import { minimize, random } from '../examples/lib/training.js';
import { defaultBackend } from './backends.js';

type Complex = [number, number];

/** The complex numbers of a field of one image, row by row. */
function values(u: tf.Tensor4D): Complex[] {
  const size = u.shape[3];
  const data = u.dataSync();
  return Array.from({ length: size * size }, (_, i) => {
    const at = 2 * Math.floor(i / size) * size + (i % size);
    return [data[at], data[at + size]];
  });
}

const power = (u: tf.Tensor4D) => values(u).reduce((sum, [re, im]) => sum + re ** 2 + im ** 2, 0);

/** The field behind free space, and the tensors disposed. */
function propagated(grid: optics.Grid, distance: number, u: tf.Tensor4D): tf.Tensor4D {
  const space = new optics.Propagation(grid, distance);
  const moved = space.apply(u);
  space.dispose();
  u.dispose();
  return moved;
}

function randomField(size: number, seed: number): tf.Tensor4D {
  const { normal } = random(seed);
  return optics.field(size, () => [normal(), normal()]);
}

/** By the definition, in float64, of `period` points of which the field fills the first: [fx][fy]. */
function directTransform(u: Complex[], size: number, period: number): Complex[][] {
  return Array.from({ length: period }, (_, fx) =>
    Array.from({ length: period }, (_, fy) => {
      const sum: Complex = [0, 0];
      u.forEach(([re, im], i) => {
        const angle = (-2 * Math.PI * (fx * (i % size) + fy * Math.floor(i / size))) / period;
        sum[0] += (re * Math.cos(angle) - im * Math.sin(angle)) / period;
        sum[1] += (re * Math.sin(angle) + im * Math.cos(angle)) / period;
      });
      return sum;
    }),
  );
}

describe('the optics of the gallery', () => {
  before(async () => {
    await tf.setBackend('cpu');
  });
  after(async () => {
    await tf.setBackend(defaultBackend);
  });
  beforeEach(() => tf.engine().startScope());
  afterEach(() => tf.engine().endScope());

  describe('free space by the angular spectrum', () => {
    it('is the transform by the definition, exp(i kz z), and the transform back, to 2e-6, also on a doubled grid', () => {
      for (const period of [8, 16]) {
        const grid = { wavelength: 1, pitch: 0.55, size: 8, period };
        const u = randomField(8, 3);
        const spectrum = directTransform(values(u), 8, period);
        const kz = optics.axialWaveNumber(grid);
        const z = 2.3;
        const after = values(propagated(grid, z, u));
        after.forEach(([re, im], i) => {
          const sum = [0, 0];
          spectrum.forEach((column, fx) =>
            column.forEach(([a, b], fy) => {
              const [k, kappa] = kz(fx, fy);
              const angle = k * z + (2 * Math.PI * (fx * (i % 8) + fy * Math.floor(i / 8))) / period;
              sum[0] += (Math.exp(-kappa * z) * (a * Math.cos(angle) - b * Math.sin(angle))) / period;
              sum[1] += (Math.exp(-kappa * z) * (a * Math.sin(angle) + b * Math.cos(angle))) / period;
            }),
          );
          expect(Math.hypot(re - sum[0], im - sum[1])).to.be.below(2e-6);
        });
      }
    });

    it('gives a plane wave the phase kz z, to 2e-6', () => {
      const [size, z] = [16, 37.7];
      const grid = { wavelength: 0.75, pitch: 0.4, size, period: size };
      for (const [fx, fy] of [
        [0, 0],
        [3, 0],
        [-2, 5],
        [6, 6],
      ]) {
        const angle = (x: number, y: number) => (2 * Math.PI * (fx * x + fy * y)) / size;
        const wave = optics.field(size, (x, y) => [Math.cos(angle(x, y)), Math.sin(angle(x, y))]);
        const [kx, ky] = [fx, fy].map((f) => (2 * Math.PI * f) / (size * grid.pitch));
        const kz = Math.sqrt((2 * Math.PI) ** 2 / grid.wavelength ** 2 - kx ** 2 - ky ** 2);
        values(propagated(grid, z, wave)).forEach(([re, im], i) => {
          const phase = angle(i % size, Math.floor(i / size)) + kz * z;
          expect(Math.hypot(re - Math.cos(phase), im - Math.sin(phase))).to.be.below(2e-6);
        });
      }
    });

    it('widens a Gaussian beam as w0 sqrt(1 + (z / zR)^2), to 0.3 %, at one and at two Rayleigh lengths', () => {
      const [size, w0, wavelength] = [64, 6, 1];
      const rayleigh = (Math.PI * w0 ** 2) / wavelength;
      const centre = (size - 1) / 2;
      const radius = (u: tf.Tensor4D) => {
        const [sum, moment] = values(u).reduce(
          ([sum, moment], [re, im], i) => {
            const light = re ** 2 + im ** 2;
            return [sum + light, moment + light * ((i % size) - centre) ** 2];
          },
          [0, 0],
        );
        return 2 * Math.sqrt(moment / sum); // 1 / e^2 of the intensity
      };
      for (const z of [0, rayleigh, 2 * rayleigh]) {
        const beam = optics.field(size, (x, y) => [
          Math.exp(-((x - centre) ** 2 + (y - centre) ** 2) / w0 ** 2),
          0,
        ]);
        const measured = radius(propagated({ wavelength, pitch: 1, size }, z, beam));
        expect(measured / (w0 * Math.hypot(1, z / rayleigh))).to.be.closeTo(1, 0.003);
      }
    });

    it('images a grating on itself at lambda / (1 - sqrt(1 - (lambda / d)^2)), not at the paraxial 2 d^2 / lambda', () => {
      const [size, period, wavelength] = [24, 6, 1];
      const d = period * 0.3;
      const grid = { wavelength, pitch: 0.3, size, period: size };
      const shape = (x: number) => 1 + Math.cos((2 * Math.PI * x) / period); // orders -1, 0, 1
      const contrast = (z: number, shift: number) => {
        const light = tf.tidy(() =>
          optics.intensity(
            propagated(
              grid,
              z,
              optics.field(size, (x) => [shape(x), 0]),
            ),
          ),
        );
        const miss = Array.from(light.dataSync(), (x, i) => Math.abs(x - shape((i % size) + shift) ** 2));
        return Math.max(...miss);
      };
      const talbot = wavelength / (1 - Math.sqrt(1 - (wavelength / d) ** 2));
      expect(contrast(talbot, 0)).to.be.below(5e-5);
      expect(contrast(talbot / 2, period / 2)).to.be.below(5e-5);
      expect(contrast((2 * d * d) / wavelength, 0)).to.be.above(0.3);
    });

    it('is the integral of Rayleigh and Sommerfeld, to 1 % of the largest field, with the border of the plane opaque', () => {
      const [size, z, wavelength, pitch] = [24, 3, 1, 0.5];
      const k = (2 * Math.PI) / wavelength;
      const beam = (x: number, y: number) => Math.exp(-((x - 11.5) ** 2 + (y - 11.5) ** 2) / 16);
      const u = values(
        propagated(
          { wavelength, pitch, size },
          z,
          optics.field(size, (x, y) => [beam(x, y), 0]),
        ),
      );
      const largest = Math.max(...u.map(([re, im]) => Math.hypot(re, im)));
      for (const [x, y] of [
        [11, 11],
        [4, 12],
        [0, 0],
        [20, 7],
      ]) {
        const sum = [0, 0];
        for (let i = 0; i < size; i++)
          for (let j = 0; j < size; j++) {
            // Source: Goodman, equation 3-41: z / r exp(i k r) / r (1 / (2 pi r) + 1 / (i lambda)).
            const r = Math.hypot((x - i) * pitch, (y - j) * pitch, z);
            const [a, b] = [1 / (2 * Math.PI * r), -1 / wavelength];
            const scale = (beam(i, j) * z * pitch ** 2) / r ** 2;
            sum[0] += scale * (a * Math.cos(k * r) - b * Math.sin(k * r));
            sum[1] += scale * (a * Math.sin(k * r) + b * Math.cos(k * r));
          }
        const [re, im] = u[y * size + x];
        expect(Math.hypot(re - sum[0], im - sum[1])).to.be.below(0.01 * largest);
      }
    });

    it('is what odeint makes of dA/dz = i kz A: dopri5 to 1e-8, leapfrog to its order 2', () => {
      const grid = { ...network.terahertz, size: 4 };
      const largest = (options: Parameters<typeof optics.spectrumByOdeint>[2]) => {
        const { solved, exact } = optics.spectrumByOdeint(grid, 4.8, options);
        return Math.max(...solved.map(([re, im], i) => Math.hypot(re - exact[i][0], im - exact[i][1])));
      };
      expect(largest({ method: 'dopri5', rtol: 1e-10, atol: 1e-12 })).to.be.below(1e-8);
      const leapfrog = (stepSize: number) => largest({ method: 'leapfrog', stepSize });
      expect(Math.log2(leapfrog(0.0048) / leapfrog(0.0024))).to.be.closeTo(2, 0.1);
    });
  });

  describe('energy', () => {
    it('is conserved by plates and by free space where all waves propagate, to 1e-6', () => {
      const [size, plates] = [16, 4];
      const space = new optics.Propagation({ wavelength: 1, pitch: 0.8, size, period: size }, 21);
      let u = randomField(size, 1);
      const came = power(u);
      const { uniform } = random(2);
      for (let i = 0; i < plates; i++) {
        const phase = tf.tensor2d(
          Array.from({ length: size * size }, () => 7 * uniform()),
          [size, size],
        );
        u = optics.throughPlate(u, phase);
        expect(power(u) / came).to.be.closeTo(1, 1e-6);
        u = space.apply(u);
        expect(power(u) / came).to.be.closeTo(1, 1e-6);
      }
    });

    it('of evanescent waves falls as exp(-2 kappa z), to 1e-5, and of a pixel-sized source to the sum of these', () => {
      const [size, z] = [12, 0.3];
      const grid = { ...network.terahertz, size, period: size };
      const kz = optics.axialWaveNumber(grid);
      const checked = [
        [6, 6],
        [5, 6],
        [6, 4],
      ].map(([fx, fy]) => {
        const [k, kappa] = kz(fx, fy);
        expect(k).to.equal(0);
        const angle = (x: number, y: number) => (2 * Math.PI * (fx * x + fy * y)) / size;
        const wave = optics.field(size, (x, y) => [Math.cos(angle(x, y)), Math.sin(angle(x, y))]);
        const expected = Math.exp(-2 * kappa * z);
        expect(power(propagated(grid, z, wave)) / size ** 2 / expected).to.be.closeTo(1, 1e-5);
        return expected;
      });
      expect(Math.min(...checked)).to.be.below(0.2);
      const point = optics.field(size, (x, y) => [x === 5 && y === 5 ? 1 : 0, 0]);
      let sum = 0;
      for (let fx = 0; fx < size; fx++)
        for (let fy = 0; fy < size; fy++) sum += Math.exp(-2 * kz(fx, fy)[1] * z) / size ** 2;
      expect(power(propagated(grid, z, point)) / sum).to.be.closeTo(1, 1e-6);
    });

    it('never grows on the doubled grid, where light that misses the next plate is lost', () => {
      const { grid, distance } = network.setting(16);
      const u = randomField(16, 5);
      const came = power(u);
      const arrived = power(propagated(grid, distance, u)) / came;
      expect(arrived).to.be.within(0.1, 0.9);
      expect(optics.highestFrequency(grid, distance)).to.be.closeTo(1 / (2 * grid.pitch), 0.002);
    });
  });

  describe('gradients', () => {
    const size = 6;
    const grid = { ...network.terahertz, size };

    it('pass free space by its adjoint: <A u, v> = <u, A* v>, and the tape of its ops agrees to 1e-5', () => {
      const space = new optics.Propagation(grid, 1.1);
      const [u, v] = [randomField(size, 1), randomField(size, 2)];
      const inner = (a: tf.Tensor, b: tf.Tensor) => tf.sum(tf.mul(a, b)).dataSync()[0];
      expect(inner(space.apply(u), v)).to.be.closeTo(inner(u, space.apply(v, true)), 1e-4);
      const loss = (pass: (u: tf.Tensor4D) => tf.Tensor) => (u: tf.Tensor) =>
        tf.sum(tf.mul(v, tf.square(pass(u as tf.Tensor4D))));
      const written = tf
        .grad(loss((u) => space.apply(u)))(u)
        .dataSync();
      const taped = tf
        .grad(loss((u) => space.byOps(u)))(u)
        .dataSync();
      written.forEach((g, i) => expect(g).to.be.closeTo(taped[i], 1e-5 * Math.max(...taped)));
      space.dispose();
    });

    it('of a plate are those of the tape to 1e-5, and central differences of a loss behind two plates to 1 %', () => {
      const { normal } = random(4);
      const [u, v] = [randomField(size, 1), randomField(size, 2)];
      const space = new optics.Propagation(grid, 1.1);
      const phases = [0, 1].map(() => tf.tensor2d(Array.from({ length: size * size }, normal), [size, size]));
      const loss =
        (plate: typeof optics.turn) =>
        (u: tf.Tensor, first: tf.Tensor, second: tf.Tensor): tf.Tensor => {
          const between = space.apply(plate(u as tf.Tensor4D, first as tf.Tensor2D));
          return tf.sum(tf.mul(v, tf.square(space.apply(plate(between, second as tf.Tensor2D)))));
        };
      const written = tf.grads(loss(optics.throughPlate))([u, ...phases]);
      const taped = tf.grads(loss(optics.turn))([u, ...phases]);
      written.forEach((gradient, i) => {
        const expected = taped[i].dataSync();
        const largest = Math.max(...expected.map(Math.abs));
        gradient.dataSync().forEach((g, j) => expect(g).to.be.closeTo(expected[j], 1e-5 * largest));
      });
      const direction = tf.tensor2d(Array.from({ length: size * size }, normal), [size, size]);
      const h = 0.01;
      const [up, down] = [h, -h].map(
        (h) => loss(optics.throughPlate)(u, tf.add(phases[0], tf.mul(h, direction)), phases[1]).dataSync()[0],
      );
      const slope = tf.sum(tf.mul(written[1], direction)).dataSync()[0];
      expect((up - down) / (2 * h) / slope).to.be.closeTo(1, 0.01);
      space.dispose();
    });
  });

  describe('a diffractive network', () => {
    before(async () => {
      await tf.setBackend('wasm');
    });
    it('forms an image better than Gerchberg and Saxton with one plate, its error falls, and nothing leaks', () => {
      const target = network.lorenzImage(16);
      const leaked = tf.memory().numTensors;
      const classical = new network.ImageTraining(target, { plates: 1 });
      const flat = classical.quality();
      classical.gerchbergSaxton(40);
      const gerchbergSaxton = classical.quality();
      const training = new network.ImageTraining(target, { plates: 3, power: 0.9 });
      const errors: number[] = [];
      const each = (_i: number, loss: number) => errors.push(loss);
      minimize(training.loss, training.network.plates, { iterations: 60, rate: 0.2, each });
      const { error, power, efficiency } = training.quality();
      expect(gerchbergSaxton.error).to.be.below(flat.error / 3);
      expect(error).to.be.below(gerchbergSaxton.error / 2);
      expect(power).to.be.within(efficiency, 1);
      [1, 10, 20, 40].forEach((i, j, all) => {
        if (j > 0) expect(errors[i - 1]).to.be.below(errors[all[j - 1] - 1]);
      });
      classical.dispose();
      training.dispose();
      expect(tf.memory().numTensors).to.equal(leaked);
    });

    it('has ten detectors that do not overlap', () => {
      const { edge, corners } = sorting.detectors(28);
      corners.forEach(([x, y], i) => {
        expect(Math.min(x, y)).to.be.at.least(0);
        expect(Math.max(x, y) + edge).to.be.at.most(28);
        for (const [x2, y2] of corners.slice(0, i))
          expect(Math.max(Math.abs(x - x2), Math.abs(y - y2))).to.be.at.least(edge);
      });
    });

    it('sorts 70 % of digits held back after 60 steps on 12 x 12 pixels, and leaks nothing', () => {
      const { seen, heldBack } = digits({ size: 12, heldBack: 1000 });
      const some = {
        ...seen,
        count: 1200,
        images: seen.images.slice(0, 1200 * 144),
        labels: seen.labels.slice(0, 1200),
      };
      const leaked = tf.memory().numTensors;
      const training = new sorting.ClassifierTraining(some, { plates: 2, batch: 20 });
      expect(accuracy(training.detect(heldBack), heldBack.labels)).to.be.below(0.3);
      minimize(training.loss, training.network.plates, { iterations: 60, rate: 0.3 });
      const shares = training.detect(heldBack);
      expect(accuracy(shares, heldBack.labels)).to.be.above(0.7);
      expect(shares.slice(0, 10).reduce((sum, x) => sum + x, 0)).to.be.closeTo(1, 1e-5);
      training.dispose();
      expect(tf.memory().numTensors).to.equal(leaked);
    });
  });

  it('draws pixels as a PNG, whose checksum of an empty end is the one of the standard', () => {
    const [, data] = pixels([0, 1, 1, 0], 2, (x) => [255 * x, 0, 0], 1).split(',');
    const png = Buffer.from(data, 'base64');
    expect(png.subarray(1, 4).toString()).to.equal('PNG');
    expect(png.readUInt32BE(png.length - 4)).to.equal(0xae426082);
  });
});
