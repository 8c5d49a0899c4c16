/** The models of the gallery that read irregular series, beside closed forms and scipy. */
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { odeint } from 'tfjs-diffeq';
import * as curves from '../examples/lib/closed_curves.js';
import * as paths from '../examples/lib/control_path.js';
import * as latent from '../examples/lib/latent_ode.js';
import * as cde from '../examples/lib/neural_cde.js';
import { GatedRecurrent } from '../examples/lib/recurrent.js';
import { minimize, random } from '../examples/lib/training.js';
import { defaultBackend } from './backends.js';

interface DescribedPath {
  values: number[][];
  slopes: number[][];
  area: number;
}

interface CdeReference {
  t: number[];
  x: number[][];
  at: number[];
  natural: DescribedPath;
  hermite: DescribedPath;
  linear: { a: number[][]; z0: number[]; z: number[] };
}

const reference = JSON.parse(
  readFileSync(new URL('reference/neural_cde.json', import.meta.url), 'utf8'),
) as CdeReference;

describe('the models of the gallery that read series', () => {
  let tensors: number;
  before(async () => {
    await tf.setBackend('cpu');
  });
  after(async () => {
    await tf.setBackend(defaultBackend);
  });
  beforeEach(() => (tensors = tf.memory().numTensors));
  afterEach(() => expect(tf.memory().numTensors, 'tensors kept').to.equal(tensors));

  describe('cubic paths', () => {
    const { t, x, at } = reference;
    const ways = [
      ['natural', paths.naturalCubic],
      ['hermite', paths.hermiteCubic],
    ] as const;

    for (const [name, interpolation] of ways) {
      it(`${name}: values, slopes and swept area are scipy's to 1e-12`, () => {
        const cubics = x.map((values) => interpolation(t, values));
        cubics.forEach((path, c) =>
          at.forEach((time, i) => {
            const { x: value, dx } = paths.evaluate(t, path, time);
            expect(value).to.be.closeTo(reference[name].values[c][i], 1e-12);
            expect(dx).to.be.closeTo(reference[name].slopes[c][i], 1e-12);
          }),
        );
        expect(paths.levyArea(t, [cubics[0], cubics[1]])).to.be.closeTo(reference[name].area, 1e-12);
      });

      it(`${name}: gaps give the path through the values that are there, to 1e-12`, () => {
        const holes = x[0].map((value, i) => ([1, 4, 5, 9].includes(i) ? NaN : value));
        const kept = t.map((_, i) => i).filter((i) => !Number.isNaN(holes[i]));
        const knots = kept.map((i) => t[i]);
        const path = interpolation(
          knots,
          kept.map((i) => holes[i]),
        );
        const onGrid = paths.throughGaps(interpolation, t, holes);
        for (const time of at)
          expect(paths.evaluate(t, onGrid, time).x).to.be.closeTo(paths.evaluate(knots, path, time).x, 1e-12);
      });
    }

    it('Hermite cubics do not change before an interval when the value at its end does; splines do', () => {
      const other = [...x[0].slice(0, -1), 7];
      const change = (interpolation: paths.Interpolation) => {
        const [a, b] = [x[0], other].map((values) => interpolation(t, values));
        return Math.abs(paths.evaluate(t, a, 0.9 * t[10]).x - paths.evaluate(t, b, 0.9 * t[10]).x);
      };
      expect(change(paths.hermiteCubic)).to.equal(0);
      expect(change(paths.naturalCubic)).to.be.above(0.01);
    });

    it('rest before the first value and after the last, and refuse a channel without any', () => {
      const path = paths.throughGaps(paths.naturalCubic, [0, 1, 2, 3], [NaN, 4, NaN, NaN]);
      for (const time of [0, 0.5, 1.5, 3])
        expect(paths.evaluate([0, 1, 2, 3], path, time)).to.deep.equal({ x: 4, dx: 0 });
      expect(() => paths.throughGaps(paths.naturalCubic, [0, 1], [NaN, NaN])).to.throw('no observation');
    });
  });

  describe('a controlled differential equation', () => {
    const { t, x, linear } = reference;
    const grid = curves.irregularTimes(32, 5);

    /** dz = A z dX with one channel, solved on the cubic path through the reference's first series. */
    const solveLinear = (
      interpolation: paths.Interpolation,
      pace?: ConstructorParameters<typeof cde.DeviceControl>[1],
    ) => {
      const control = new cde.DeviceControl({ grid: t, paths: [[interpolation(t, x[0])]] }, pace);
      const z = tf.tidy(() => {
        const a = tf.tensor2d(linear.a);
        const matrix = (z: tf.Tensor) => tf.expandDims(tf.matMul(z as tf.Tensor2D, a, false, true), 2);
        const options = { rtol: 1e-6, atol: 1e-6, ...(!pace && { stepT: t }) };
        const ys = odeint(
          cde.controlled(control, matrix),
          tf.tensor2d([linear.z0]),
          [0, t[t.length - 1]],
          options,
        );
        return Array.from(tf.gather(ys, 1).dataSync());
      });
      control.dispose();
      return z;
    };

    it('with f(z) = A z is exp(A (X(end) - X(0))) z0, by scipy, to 1e-4: for both paths, at any pace', () => {
      const end = t[t.length - 1];
      const pace = { at: (s: number) => s ** 2 / end, slope: (s: number) => (2 * s) / end };
      for (const z of [
        solveLinear(paths.naturalCubic),
        solveLinear(paths.hermiteCubic),
        solveLinear(paths.naturalCubic, pace),
      ])
        z.forEach((value, i) => expect(value).to.be.closeTo(linear.z[i], 1e-4));
    });

    it('is asked for areas that an ellipse and the swept area of a dense path confirm', () => {
      expect(curves.enclosedArea([[3, 0, 0, 2]])).to.be.closeTo(6 * Math.PI, 1e-12);
      expect(curves.enclosedArea([[3, 0, 0, -2]])).to.be.closeTo(-6 * Math.PI, 1e-12);
      const some = curves.randomCurves(5, 4);
      const dense = Array.from({ length: 1001 }, (_, i) => i / 1000);
      const control = cde.controlOf(curves.observe(some, dense), paths.naturalCubic);
      cde
        .sweptAreas(control)
        .forEach((area, i) => expect(area).to.be.closeTo(curves.enclosedArea(some[i]), 1e-5));
    });

    it('loses the part of the observations that it is told to, and never the ends', () => {
      const { values } = curves.observe(curves.randomCurves(3, 1), grid, { dropped: 0.7 });
      for (const channel of values.flat()) {
        expect(channel.filter(Number.isNaN)).to.have.length(Math.round(0.7 * 31));
        expect([channel[0], channel[32]].some(Number.isNaN)).to.equal(false);
      }
    });

    it('learns areas to 0.7 of 1.7 in 24 iterations, the same for X(t) and X(t²), and leaks nothing', () => {
      const training = new cde.AreaTraining(curves.randomCurves(512, 1), grid);
      const model = new cde.NeuralCde();
      const held = curves.observe(curves.randomCurves(128, 2), grid, { dropped: 0.5 });
      const error = () => curves.rms(cde.areasBy(model, held), held.areas);
      expect(error()).to.be.above(1.2);
      minimize((i) => training.loss(model, i), model.variables, { iterations: 24, rate: 0.03 });
      expect(error()).to.be.below(0.7);
      const warp = { at: (t: number) => t * t, slope: (t: number) => 2 * t };
      const [straight, warped] = [undefined, warp].map((pace) => {
        const control = new cde.DeviceControl(cde.controlOf(held, paths.naturalCubic), pace);
        const { areas } = model.predict(control, { rtol: 1e-6, atol: 1e-6 });
        control.dispose();
        return areas;
      });
      expect(curves.rms(straight, warped)).to.be.below(1e-3);
      model.dispose();
      training.dispose();
    });
  });

  it('a gated recurrent unit is its equations, in float64, to 1e-6, and goes on from a state', () => {
    const [inputs, units, steps] = [2, 3, 4];
    const { normal } = random(1);
    const unit = new GatedRecurrent(inputs, units, normal);
    tf.tidy(() => unit.variables[1].assign(tf.tensor1d(Array.from({ length: 3 * units }, normal))));
    const [w, b, u] = unit.variables.map((v) => v.arraySync()) as [number[][], number[], number[][]];
    const x = Array.from({ length: steps }, () => Array.from({ length: inputs }, normal));
    const sigmoid = (a: number) => 1 / (1 + Math.exp(-a));
    const into = (v: number[], matrix: number[][], j: number) =>
      v.reduce((s, vi, i) => s + vi * matrix[i][j], 0);
    let h = [0, 0, 0];
    for (const now of x)
      h = h.map((old, j) => {
        const input = (gate: number) => into(now, w, gate * units + j) + b[gate * units + j];
        const state = (gate: number) => into(h, u, gate * units + j);
        const [reset, update] = [sigmoid(input(0) + state(0)), sigmoid(input(1) + state(1))];
        return update * old + (1 - update) * Math.tanh(input(2) + reset * state(2));
      });
    tf.tidy(() => {
      const xs = tf.tensor3d(x.flat(), [steps, 1, inputs]);
      const at2 = unit.states(tf.slice(xs, 0, 2))[1];
      for (const states of [unit.states(xs), unit.states(tf.slice(xs, 2), at2)])
        states
          .at(-1)!
          .dataSync()
          .forEach((value, j) => expect(value).to.be.closeTo(h[j], 1e-6));
    });
    tf.dispose(unit.variables);
  });

  describe('a Latent ODE', () => {
    it('has a divergence that its formula, and the mean of 20000 samples, confirm', () => {
      const [mu, logSigma] = [0.7, -0.4];
      const sigma = Math.exp(logSigma);
      const computed = tf.tidy(
        () => latent.divergence(tf.tensor1d([mu]), tf.tensor1d([logSigma])).dataSync()[0],
      );
      expect(computed).to.be.closeTo((sigma ** 2 + mu ** 2 - 1) / 2 - logSigma, 1e-6);
      expect(tf.tidy(() => latent.divergence(tf.zeros([4]), tf.zeros([4])).dataSync()[0])).to.equal(0);
      const { normal } = random(1);
      const samples = Array.from({ length: 20000 }, () => {
        const epsilon = normal();
        return ((mu + sigma * epsilon) ** 2 - epsilon ** 2) / 2 - logSigma;
      });
      expect(samples.reduce((sum, x) => sum + x, 0) / samples.length).to.be.closeTo(computed, 0.03);
    });

    it('has a bound that is the log-likelihood of a linear model at its true posterior, and below it elsewhere', () => {
      // z ~ N(0, 1), x = w z + N(0, s^2): p(x) = N(0, w^2 + s^2), p(z | x) = N(w x / (w^2 + s^2), s^2 / (w^2 + s^2)).
      const [w, s, x] = [1.3, 0.4, 0.9];
      const variance = w * w + s * s;
      const elbo = (mu: number, sigma: number) =>
        tf.tidy(() => {
          const fit = latent.logNormal(tf.tensor1d([x]), tf.tensor1d([w * mu]), s).dataSync()[0];
          const kl = latent.divergence(tf.tensor1d([mu]), tf.tensor1d([Math.log(sigma)])).dataSync()[0];
          return fit - (w * sigma) ** 2 / (2 * s * s) - kl;
        });
      const exact = -(x * x) / (2 * variance) - Math.log(2 * Math.PI * variance) / 2;
      const [mu, sigma] = [(w * x) / variance, s / Math.sqrt(variance)];
      expect(elbo(mu, sigma)).to.be.closeTo(exact, 1e-5);
      for (const [a, b] of [
        [mu + 0.1, sigma],
        [mu, 1.3 * sigma],
        [mu, 0.7 * sigma],
        [0, 1],
      ])
        expect(elbo(a, b)).to.be.below(exact - 0.01);
    });

    it('is shown spirals that are mirror images, and different times without replacement', () => {
      const [x, y] = latent.position({ start: 4, turn: 1 }, 2);
      expect(latent.position({ start: 4, turn: -1 }, 2)).to.deep.equal([x, -y]);
      expect(Math.hypot(x, y)).to.be.closeTo(0.3 * 6, 1e-12);
      const drawn = latent.drawTimes(30, random(1).uniform);
      expect(new Set(drawn).size).to.equal(30);
      expect([...drawn].sort((a, b) => a - b)).to.deep.equal(drawn);
    });

    it('reads backward with the time back to the observation before, the last of them back to 0', () => {
      const set = latent.spiralSet(2, 1);
      const seen = [
        [3, 10, 20],
        [0, 50, 99],
      ];
      const batch = latent.batchOf(set, [1, 0], seen, [[120], [150]]);
      const [backward, forward] = [batch.backward, batch.forward].map((x) => x.arraySync());
      const gaps = (of: number[][][], b: number) => of.map((row) => Math.round(row[b][2] / latent.interval));
      expect([0, 1].map((b) => gaps(backward, b))).to.deep.equal([[10, 7, 3], [49, 50, 0]]); // prettier-ignore
      expect([0, 1].map((b) => gaps(forward, b))).to.deep.equal([[7, 10, 100, 0], [50, 49, 51, 0]]); // prettier-ignore
      const at = 2 * (20 * 2 + 1);
      expect(backward[0][0].slice(0, 2)).to.deep.equal(Array.from(set.observed.subarray(at, at + 2)));
      expect(forward[2][0].slice(0, 2)).to.deep.equal(backward[0][0].slice(0, 2));
      tf.dispose(Object.values(batch));
    });

    it('has a baseline that goes on as if it had observed its own answers', () => {
      const set = latent.spiralSet(2, 1);
      const baseline = new latent.NextObservation();
      const [far, near] = [100, 20].map((k) => k * latent.interval);
      tf.tidy(() => {
        const [three, four] = [[0, 5, 9], [0, 5, 9, 109]].map((seen) => latent.batchOf(set, [0, 1], [seen, seen])); // prettier-ignore
        const found = baseline.extrapolate(three, [far, far], near, 2);
        const [once, twice] = tf.unstack(found).map((x) => tf.concat([x, tf.zeros([2, 1])], 1));
        const forward = tf.concat([tf.slice(four.forward, 0, 3), tf.expandDims(once, 0)]) as tf.Tensor3D;
        const again = baseline.extrapolate({ ...four, forward }, [near, near], 1, 1);
        const expected = tf.slice(twice, 0, [2, 2]).dataSync();
        again.dataSync().forEach((x, i) => expect(x).to.be.closeTo(expected[i], 1e-5));
        expect(Math.hypot(...expected)).to.be.above(0.1);
      });
      baseline.dispose();
    });

    it('counts only what was observed: an ELBO of times of their own is the mean of those of single spirals', () => {
      const set = latent.spiralSet(3, 1);
      const { uniform } = random(2);
      const drawn = [0, 1, 2].map(() => latent.drawTimes(12, uniform));
      const model = new latent.LatentOde();
      const fit = (members: number[]) =>
        tf.tidy(() => {
          const batch = latent.batchOf(
            set,
            members,
            members.map((m) => drawn[m]),
          );
          return model.elbo(batch, tf.zeros([members.length, 4])).elbo.dataSync()[0];
        });
      const single = [0, 1, 2].map((m) => fit([m]));
      const mean = single.reduce((sum, x) => sum + x, 0) / 3;
      expect(fit([0, 1, 2]) / mean).to.be.closeTo(1, 1e-4);
      model.dispose();
    });

    it('tells directions apart where codes of one direction are neighbours, and only there', () => {
      const { spirals } = latent.spiralSet(40, 1);
      const codes = (of: (i: number) => number) => spirals.map((_, i) => [of(i), 0.01 * i]);
      expect(
        latent.directionsApart(
          codes((i) => spirals[i].turn),
          spirals,
        ),
      ).to.equal(1);
      expect(
        latent.directionsApart(
          codes((i) => (i < 20 ? 1 : -1) * spirals[i].turn),
          spirals,
        ),
      ).to.equal(0);
    });

    it('loses a third of its error in 40 iterations, and leaks nothing', () => {
      const set = latent.spiralSet(200, 1);
      const model = new latent.LatentOde();
      const { uniform, normal } = random(3);
      const draw = (from: number, count: number) =>
        Array.from({ length: 32 }, () => latent.drawTimes(count, uniform, from));
      const members = () => Array.from({ length: 32 }, () => Math.floor(200 * uniform()));
      const loss = () => {
        const times = latent.drawTimes(12, uniform);
        const batch = latent.batchOf(set, members(), Array<number[]>(32).fill(times));
        const epsilon = tf.tensor2d(Array.from({ length: 32 * 4 }, normal), [32, 4]);
        return tf.div(tf.neg(model.elbo(batch, epsilon).elbo), 12);
      };
      const held = latent.spiralSet(32, 2);
      const batch = latent.batchOf(
        held,
        held.spirals.map((_, i) => i),
        draw(0, 12),
      );
      const error = () =>
        tf.tidy(() => {
          const found = tf.slice(model.predict(batch), 0, latent.points);
          const exact = tf.slice(tf.tensor3d(held.exact, [2 * latent.points, 32, 2]), 0, latent.points);
          return Math.sqrt(tf.mean(tf.squaredDifference(found, exact)).dataSync()[0]);
        });
      const before = error();
      minimize(loss, model.variables, { iterations: 40, rate: 0.03 });
      expect(error()).to.be.below((2 / 3) * before);
      tf.dispose([model.variables, ...Object.values(batch)]);
    });
  });
});
