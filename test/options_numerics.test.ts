/**
 * Step size control: what its options mean, how errors turn into step sizes, and what the error norm measures.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  solve,
  StepUnderflowError,
  type PlainOptions,
  type StepReport,
  type TensorOptions,
} from 'tfjs-diffeq';
import { onBackends } from './backends.js';
import { fields, referenceProblems } from './reference_problems.js';
import { stepsOf } from './steps.js';

describe('maxStep, firstStep, minStep', () => {
  it('maxStep bounds every step', () => {
    const { sizes } = stepsOf(fields.sine_decay, [1], 0, 10, { rtol: 1e-2, atol: 1e-2, maxStep: 0.35 });
    expect(Math.max(...sizes)).to.be.closeTo(0.35, 1e-12);
    expect(sizes.length).to.equal(Math.ceil(10 / 0.35) + 1); // the first step is shorter
  });

  it('maxStep that divides the interval leaves no sliver of a step at its end', () => {
    for (const n of [3, 7, 10, 49, 1000]) {
      const { ends } = stepsOf(() => [1], [0], 0, 1, { maxStep: 1 / n, firstStep: 1 / n });
      expect(ends).to.have.lengthOf(n);
      expect(ends[n - 1]).to.equal(1);
    }
  });

  it('firstStep is the size of the first attempt, and spares the evaluation that would choose it', () => {
    const attempts: number[] = [];
    const options: PlainOptions = { firstStep: 0.125, onStep: ({ h }) => attempts.push(h) };
    const { stats } = solve(fields.sine_decay, [1], [0, 1], options);
    expect(attempts[0]).to.equal(0.125);
    expect(stats.nfe).to.equal(1 + 6 * stats.steps);
    expect(solve(fields.sine_decay, [1], [0, 1]).stats).to.satisfy(
      (chosen: typeof stats) => chosen.nfe === 2 + 6 * chosen.steps,
    );
  });

  it('firstStep beyond the end is cut to it, and is positive in reversed time too', () => {
    expect(stepsOf(() => [1], [0], 0, 1, { firstStep: 5 }).sizes).to.deep.equal([1]);
    expect(stepsOf(() => [1], [0], 1, 0, { firstStep: 5 }).sizes).to.deep.equal([-1]);
    expect(stepsOf(() => [1], [0], 1, 0, { firstStep: 0.5 }).sizes[0]).to.equal(-0.5);
  });

  it('the step that is chosen is that of Hairer, Nørsett & Wanner I, section II.4', () => {
    // y' = -y, y = 1, rtol = atol = 1e-6: d0 = d1 = 1 / 2e-6, h0 = 0.01, Euler probe 0.99, d2 = 1 / 2e-6,
    // h1 = (0.01 / max(d1, d2))^(1/5) = (2e-8)^(1/5), h = min(100 h0, h1).
    const attempts: number[] = [];
    const options: PlainOptions = { rtol: 1e-6, atol: 1e-6, onStep: ({ h }) => attempts.push(h) };
    solve(fields.detest_a1, [1], [0, 20], options);
    expect(attempts[0]).to.be.closeTo(2e-8 ** (1 / 5), 1e-10);
  });

  it('minStep throws where the tolerance needs less, and not otherwise', () => {
    // An orbit of eccentricity 0.9 needs its shortest steps where it comes close again, at t = 2 pi.
    const { y0 } = referenceProblems.detest_d5;
    const { sizes, ends } = stepsOf(fields.detest_d5, y0, 0, 8);
    const shortest = Math.min(...sizes.filter((_, i) => ends[i] > 5 && ends[i] < 7.5));
    const run = (minStep: number) => solve(fields.detest_d5, y0, [0, 8], { minStep, firstStep: 2 * minStep });
    expect(run(shortest / 2).status).to.equal('success');
    expect(() => run(shortest * 2)).to.throw(StepUnderflowError, /minStep/);
  });

  it('minStep leaves alone the steps that an end or a stop cuts short', () => {
    const { ends, sizes } = stepsOf(fields.sine_decay, [1], 0, 1, {
      minStep: 0.09,
      rtol: 1e-3,
      atol: 1e-3,
      stepT: [0.01],
    });
    expect(ends).to.include.members([0.01, 1]);
    expect(Math.min(...sizes)).to.be.below(0.09);
  });
});

/** Reports of every attempt. */
function attemptsOf(options: PlainOptions, name = 'lotka_volterra') {
  const attempts: (StepReport<Float64Array> & { accepted: boolean })[] = [];
  const { y0, t } = referenceProblems[name];
  solve(fields[name], y0, [t[0], t[t.length - 1]], {
    ...options,
    onAccept: (report) => attempts.push({ ...report, accepted: true }),
    onReject: (report) => attempts.push({ ...report, accepted: false }),
  });
  return attempts;
}

describe('step size control', () => {
  const controllers = ['i', 'pi', 'pid', { pCoeff: 0.7, iCoeff: 0.4 }, { iCoeff: 0.5 }] as const;

  for (const controller of controllers) {
    it(`controller ${JSON.stringify(controller)} reaches the tolerance at reasonable cost`, () => {
      for (const method of ['bosh3', 'dopri5', 'tsit5', 'dopri8'] as const) {
        for (const tolerance of [1e-4, 1e-6, 1e-8]) {
          const { y0, t, y } = referenceProblems.sine_decay;
          const options = { method, rtol: tolerance, atol: tolerance };
          const plain = solve(fields.sine_decay, y0, t, options);
          const { y: ys, stats } = solve(fields.sine_decay, y0, t, { ...options, controller });
          // With scipy's controller, 'i', the errors are up to 8 tolerances (reference/scipy_errors.json).
          y.forEach((expected, n) => expect(ys[n][0]).to.be.closeTo(expected[0], 16 * tolerance));
          expect(stats.nfe).to.be.within(0.5 * plain.stats.nfe, 1.5 * plain.stats.nfe);
        }
      }
    });
  }

  it("'i' proposes h safety e^(-1/k) after every accepted step, within dfactor and ifactor", () => {
    const [safety, ifactor, dfactor] = [0.8, 1.5, 0.4];
    const attempts = attemptsOf({ safety, ifactor, dfactor });
    let checked = 0;
    for (let i = 1; i < attempts.length - 2; i++) {
      const [before, last, next] = [attempts[i - 1], attempts[i], attempts[i + 1]];
      if (!before.accepted || !last.accepted) continue; // after a rejection the step does not grow
      const factor = Math.min(ifactor, Math.max(dfactor, safety * last.errorNorm! ** (-1 / 5)));
      expect(next.h / last.h).to.be.closeTo(factor, 1e-12);
      checked++;
    }
    expect(checked).to.be.above(20);
  });

  it("'pid' proposes by the gains 0.01, 0.47, 0.1 and the last three errors", () => {
    const [p, i, d, k] = [0.01, 0.47, 0.1, 5];
    const attempts = attemptsOf({ controller: 'pid' });
    let checked = 0;
    for (let n = 2; n < attempts.length - 2; n++) {
      const window = attempts.slice(n - 2, n + 1);
      if (!window.every((attempt) => attempt.accepted)) continue;
      const [e2, e1, e0] = window.map((attempt) => attempt.errorNorm!);
      const factor = 0.9 * e0 ** (-(p + i + d) / k) * e1 ** ((p + 2 * d) / k) * e2 ** (-d / k);
      expect(attempts[n + 1].h / attempts[n].h).to.be.closeTo(factor, 1e-12);
      checked++;
    }
    expect(checked).to.be.above(20);
  });

  it('a rejected attempt is repeated by dfactor to safety times its size, and not enlarged at once', () => {
    const [safety, dfactor] = [0.85, 0.5];
    const attempts = attemptsOf({ safety, dfactor, rtol: 1e-5, atol: 1e-5 }, 'detest_d5');
    let rejections = 0;
    attempts.slice(0, -1).forEach(({ accepted, h, t, errorNorm }, i) => {
      const next = attempts[i + 1];
      if (accepted) return;
      rejections++;
      expect(errorNorm).to.be.above(1);
      expect(next.t).to.equal(t);
      const factor = Math.max(dfactor, Math.min(safety, safety * errorNorm! ** (-1 / 5)));
      expect(next.h / h).to.be.closeTo(factor, 1e-12);
      if (next.accepted) expect(attempts[i + 2].h / next.h).to.be.at.most(1 + 1e-12);
    });
    expect(rejections).to.be.above(5);
  });

  it('a smaller safety makes more, and more accurate, steps', () => {
    const run = (safety: number) => {
      const { y, stats } = solve(fields.harmonic, [1, 0], [0, 20], { safety });
      return { error: Math.abs(y[1][0] - Math.cos(20)), steps: stats.accepted };
    };
    const [bold, careful] = [run(0.9), run(0.6)];
    expect(careful.steps / bold.steps).to.be.closeTo(0.9 / 0.6, 0.1);
    expect(careful.error).to.be.below(bold.error * (0.6 / 0.9) ** 4);
  });
});

describe('norm', () => {
  // The second component does not err: f = 0.
  const half = (t: number): number[] => [Math.sin(3 * t), 0];

  const firstError = (options: PlainOptions): number => {
    let error = NaN;
    solve(half, [1, 1], [0, 0.2], {
      firstStep: 0.2,
      ...options,
      onAccept: (report) => (error = report.errorNorm!),
    });
    return error;
  };

  it("'rms' counts every component, 'max' the worst", () => {
    const options = { rtol: 1e-3, atol: 1e-3 };
    expect(firstError({ ...options, norm: 'max' })).to.be.above(0);
    expect(firstError({ ...options, norm: 'rms' }) / firstError({ ...options, norm: 'max' })).to.be.closeTo(
      Math.SQRT1_2,
      1e-15,
    );
  });

  it('as a function receives the errors in units of their tolerance', () => {
    const norm = ([errors]: Float64Array[]) => Math.sqrt((errors[0] ** 2 + errors[1] ** 2) / 2);
    const { y0, t } = referenceProblems.lotka_volterra;
    const own = solve(fields.lotka_volterra, y0, t, { norm });
    const rms = solve(fields.lotka_volterra, y0, t, { norm: 'rms' });
    expect(own.y).to.deep.equal(rms.y);
    expect(own.stats).to.deep.equal(rms.stats);
  });

  it('as a function may ignore a component', () => {
    const stiff = (t: number, y: Float64Array) => [Math.cos(t), -50 * (y[1] - Math.sin(40 * t))];
    const all = solve(stiff, [0, 0], [0, 1]).stats;
    const first = solve(stiff, [0, 0], [0, 1], { norm: ([errors]) => Math.abs(errors[0]) }).stats;
    expect(first.steps).to.be.below(all.steps / 4);
  });

  it('is taken at rtol 1e-7, atol 1e-9 unless told otherwise', () => {
    const explicit = { rtol: 1e-7, atol: 1e-9, norm: 'rms' } as const;
    const { y0, t } = referenceProblems.lotka_volterra;
    expect(solve(fields.lotka_volterra, y0, t)).to.deep.equal(solve(fields.lotka_volterra, y0, t, explicit));
  });

  it('is measured against atol + rtol max(|y0|, |y1|)', () => {
    // One step of bosh3 on y' = 1 - t^2... by hand: E = h (b - bEmbedded) . k = h sum_i e_i f(c_i h).
    const h = 0.5;
    const f = (t: number) => 3 - 12 * t * t;
    const e = [2 / 9 - 7 / 24, 1 / 3 - 1 / 4, 4 / 9 - 1 / 3, -1 / 8];
    const nodes = [0, 1 / 2, 3 / 4, 1];
    const estimate = h * e.reduce((sum, ei, i) => sum + ei * f(nodes[i] * h), 0);
    const y1 = 1 + 3 * h - 4 * h ** 3; // exact: order 3 on a polynomial of degree 3
    const errors: number[] = [];
    const options: PlainOptions = { method: 'bosh3', firstStep: h, rtol: 0.1, atol: 0.05 };
    solve((t) => [f(t)], [1], [0, h], { ...options, onAccept: (report) => errors.push(report.errorNorm!) });
    expect(errors[0]).to.be.closeTo(Math.abs(estimate) / (0.05 + 0.1 * y1), 1e-14);
  });

  onBackends(['cpu', 'wasm', 'tensorflow'], () => {
    const field = (_t: tf.Scalar, y: { a: tf.Tensor; b: tf.Tensor }) => ({
      b: tf.mul(-0.5, tf.mul(y.b, y.b)),
      a: tf.neg(y.a),
    });
    const start = () => ({ b: tf.tensor2d([[1, 0.5, 2]]), a: tf.tensor1d([1, 2]) });
    const run = (options: TensorOptions<ReturnType<typeof start>>) => {
      let values: number[] = [];
      let steps = 0;
      tf.tidy(() => {
        const { y, stats } = solve(field, start(), [0, 3], options);
        values = [...y.a.dataSync(), ...y.b.dataSync()];
        steps = stats.steps;
      });
      return { values, steps };
    };

    it('as a function on tensors receives one leaf of scaled errors per leaf of the state', () => {
      const shapes: number[][][] = [];
      const norm = (leaves: tf.Tensor[]): tf.Scalar => {
        shapes.push(leaves.map((leaf) => leaf.shape));
        const each = leaves.map((leaf) => tf.sqrt(tf.mean(tf.square(leaf))));
        return tf.max(tf.stack(each));
      };
      const own = run({ norm });
      const rms = run({ norm: 'rms' });
      expect(own.steps).to.equal(rms.steps);
      own.values.forEach((value, i) => expect(value).to.be.closeTo(rms.values[i], 1e-6));
      expect(shapes[0]).to.have.deep.members([[2], [1, 3]]);
    });

    it('is taken at rtol 1e-5, atol 1e-6 on tensors unless told otherwise', () => {
      expect(run({})).to.deep.equal(run({ rtol: 1e-5, atol: 1e-6, norm: 'rms' }));
    });

    it('rtol and atol by leaf hold for their leaf', () => {
      const stepsAlone = (alone: (t: tf.Scalar, y: tf.Tensor) => tf.Tensor, y0: number[]): number => {
        let steps = 0;
        tf.tidy(() => {
          steps = solve(alone, tf.tensor1d(y0), [0, 3], { rtol: 1e-6, atol: 1e-6 }).stats.steps;
        });
        return steps;
      };
      // Where one leaf's tolerance is out of reach, the steps are those of the other alone.
      const aDecides = run({ rtol: { a: 1e-6, b: 1e-2 }, atol: { a: 1e-6, b: 1e3 } });
      expect(aDecides.steps).to.equal(stepsAlone((_t, y) => tf.neg(y), [1, 2]));
      const bDecides = run({ rtol: { a: 1e-2, b: 1e-6 }, atol: { a: 1e3, b: 1e-6 } });
      expect(bDecides.steps).to.equal(stepsAlone((_t, y) => tf.mul(-0.5, tf.mul(y, y)), [1, 0.5, 2]));
      expect(aDecides.steps).not.to.equal(bDecides.steps);
    });
  });
});
