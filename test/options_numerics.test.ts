/**
 * What the options mean numerically: where steps end, what the vector field sees, how errors turn into step sizes.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  iterate,
  methodNames,
  odeint,
  odeintDense,
  solve,
  StepUnderflowError,
  type PlainOptions,
  type StepReport,
  type TensorOptions,
} from 'tfjs-diffeq';
import * as solvers from 'tfjs-diffeq/solvers';
import { onBackends } from './backends.js';
import { fields, referenceProblems } from './reference_problems.js';

const tableaus = Object.values(solvers).filter((value) => value instanceof solvers.ButcherTableau);
const adaptive = tableaus.filter((tableau) => tableau.bEmbedded).map((tableau) => tableau.name);

/** y' = -y + sin t, y(0) = 1: fields.sine_decay in closed form. */
const sineDecay = (t: number): number => 1.5 * Math.exp(-t) + (Math.sin(t) - Math.cos(t)) / 2;

/** Ends and signed sizes of the accepted steps. */
function stepsOf(
  field: (t: number, y: Float64Array) => number[],
  y0: number[],
  t0: number,
  t1: number,
  options: PlainOptions = {},
) {
  const steps = [...iterate(field, y0, { t0, t1, ...options })].map(({ t, h }) => ({ t, h }));
  return { ends: steps.map((step) => step.t), sizes: steps.map((step) => step.h) };
}

const neighbour64 = (t: number, sign: number): number => {
  const bits = new BigInt64Array(Float64Array.of(t).buffer);
  bits[0] += t > 0 === sign > 0 ? 1n : -1n;
  return new Float64Array(bits.buffer)[0];
};
const neighbour32 = (t: number, sign: number): number => {
  const bits = new Int32Array(Float32Array.of(t).buffer);
  bits[0] += t > 0 === sign > 0 ? 1 : -1;
  return new Float32Array(bits.buffer)[0];
};

describe('stepT', () => {
  for (const [direction, t0, t1] of [
    ['forward', 0, 2],
    ['in reversed time', 2, 0],
  ] as const) {
    it(`makes steps end exactly there, ${direction}`, () => {
      const stops = [1.9, 0.3, 1 / 3, 1.1, 0.30000001];
      for (const options of [{}, { method: 'rk4', stepSize: 0.25 }, { method: 'dopri8', rtol: 1e-3 }]) {
        const { ends } = stepsOf(fields.sine_decay, [1], t0, t1, { ...options, stepT: stops });
        expect(ends).to.include.members([...stops, t1]);
      }
    });
  }

  it('ignores times outside the interval and at its beginning', () => {
    const plain = stepsOf(fields.sine_decay, [1], 0, 2);
    expect(stepsOf(fields.sine_decay, [1], 0, 2, { stepT: [-1, 0, 2, 3] })).to.deep.equal(plain);
  });

  it('goes on after a stop with the step it had, not with the rest it was cut to', () => {
    const { sizes: free, ends } = stepsOf(fields.harmonic, [1, 0], 0, 20);
    const stop = ends[30] + 0.1 * free[31];
    const { sizes } = stepsOf(fields.harmonic, [1, 0], 0, 20, { stepT: [stop] });
    expect(sizes[31] / free[31]).to.be.closeTo(0.1, 1e-9);
    expect(sizes[32] / free[31]).to.be.within(0.95, 1.05);
  });

  it('does not evaluate func afresh: first same as last holds across a stop', () => {
    const { stats } = solve(fields.sine_decay, [1], [0, 1], {
      stepT: [0.5],
      firstStep: 0.5,
      rtol: 1e-2,
      atol: 1e-2,
    });
    expect(stats).to.include({ steps: 2, nfe: 2 * 6 + 1 });
  });
});

/*
 * y' = y up to c, then y' = cos t: each side a smooth problem, the slope jumps from 2 to 0.8 at c. Neither float64 nor
 * float32 has 0.7.
 */
const c = 0.7;
const broken = (t: number, y: Float64Array): number[] => [t < c ? y[0] : Math.cos(t)];
const brokenExact = (t: number): number => (t < c ? Math.exp(t) : Math.exp(c) + Math.sin(t) - Math.sin(c));

/** All before c, then all beyond, or the other way round; never c itself. */
function expectOneSideAfterTheOther(seen: readonly number[], direction: 1 | -1): void {
  const crossing = seen.findIndex((t) => (t - c) * direction > 0);
  expect(crossing).to.be.above(0);
  seen.forEach((t, i) => {
    if (i < crossing) expect((c - t) * direction, `evaluation ${i}, before the jump`).to.be.above(0);
    else expect((t - c) * direction, `evaluation ${i}, after the jump`).to.be.above(0);
  });
}

describe('jumpT', () => {
  for (const method of adaptive) {
    for (const [direction, times] of [
      [1, [0, 0.4, 0.9, 1.5]],
      [-1, [1.5, 0.9, 0.4, 0]],
    ] as const) {
      it(`gives ${method} the accuracy it has on smooth problems, ${direction > 0 ? 'forward' : 'backward'}`, () => {
        const tolerance = method === 'adaptive_heun' || method === 'fehlberg2' ? 1e-6 : 1e-9;
        const seen: number[] = [];
        const field = (t: number, y: Float64Array) => {
          seen.push(t);
          return broken(t, y);
        };
        const options = { method, rtol: tolerance, atol: tolerance };
        const { y, stats } = solve(field, [brokenExact(times[0])], times, { ...options, jumpT: [c] });
        expectOneSideAfterTheOther(seen, direction);
        // scipy's errors on smooth problems are of this size (reference/scipy_errors.json, sine_decay); fehlberg2's
        // are 256 times its estimate (agreement.test.ts).
        const unit = 10 * tolerance * (method === 'fehlberg2' ? 256 : 1);
        times.forEach((t, i) => {
          expect(Math.abs(y[i][0] - brokenExact(t)) / (1 + brokenExact(t)), `at t = ${t}`).to.be.below(unit);
        });
        expect(stats.rejected).to.be.at.most(2);
      });
    }
  }

  it('saves the rejections that finding the jump costs', () => {
    const options = { rtol: 1e-9, atol: 1e-9 };
    const groping = solve(broken, [1], [0, 1.5], options).stats;
    const told = solve(broken, [1], [0, 1.5], { ...options, jumpT: [c] }).stats;
    expect(groping.rejected).to.be.above(10);
    expect(told.rejected).to.equal(0);
    expect(told.nfe).to.be.below(groping.nfe / 2);
  });

  it('shows each side the float64 next to the jump, and evaluates func afresh there', () => {
    const seen: number[] = [];
    const field = (t: number, y: Float64Array) => {
      seen.push(t);
      return broken(t, y);
    };
    odeint(field, [1], [0, 1.5], { jumpT: [c], rtol: 1e-4, atol: 1e-4 });
    const crossing = seen.findIndex((t) => t > c);
    expect(seen[crossing - 1]).to.equal(neighbour64(c, -1));
    expect(seen[crossing]).to.equal(neighbour64(c, 1));
  });

  it('keeps the initial step, probe included, before a jump close to the beginning', () => {
    for (const near of [1e-3, 1e-6, 1e-9]) {
      const seen: number[] = [];
      const field = (t: number) => {
        seen.push(t - near);
        return [t < near ? 1 : -1];
      };
      const [, end] = odeint(field, [1], [0, 1], { jumpT: [near] });
      const crossing = seen.findIndex((t) => t >= 0);
      expect(seen.slice(crossing).every((t) => t > 0)).to.equal(true);
      expect(end[0]).to.be.closeTo(1 + near - (1 - near), 1e-14);
    }
  });

  it('at the beginning and at the end shows only the inside', () => {
    const seen: number[] = [];
    const field = (t: number) => {
      seen.push(t);
      return [t > 0 && t < 1 ? 1 : NaN];
    };
    const [, end] = odeint(field, [0], [0, 1], { jumpT: [0, 1] });
    expect(end[0]).to.be.closeTo(1, 1e-15);
    expect(Math.min(...seen)).to.be.above(0);
    expect(Math.max(...seen)).to.be.below(1);
  });

  it('ends a fixed step there too', () => {
    for (const { name: method, order } of tableaus) {
      const seen: number[] = [];
      const field = (t: number, y: Float64Array) => {
        seen.push(t);
        return broken(t, y);
      };
      const times = [0, 0.65, 0.75, 1.5];
      const ys = odeint(field, [1], times, { method, stepSize: 1 / 64, jumpT: [c] });
      expectOneSideAfterTheOther(seen, 1);
      // Without the jump the error would be a step's worth of slope, 1e-2.
      times.forEach((t, i) => expect(ys[i][0], method).to.be.closeTo(brokenExact(t), 3 * (1 / 64) ** order));
    }
  });

  it('keeps the interpolants of dense output on their side', () => {
    for (const method of ['rk4', 'dopri5', 'tsit5', 'dopri8']) {
      const steps = method === 'rk4' ? { stepSize: 1 / 64 } : { rtol: 1e-8, atol: 1e-8 };
      const solution = odeintDense(broken, [1], 0, 1.5, { method, jumpT: [c], ...steps });
      for (const t of [c - 1e-3, c - 1e-9, c + 1e-9, c + 1e-3]) {
        expect(solution.evaluate(t)[0], method).to.be.closeTo(brokenExact(t), 1e-7);
        expect(solution.derivative(t)[0], method).to.be.closeTo(t < c ? brokenExact(t) : Math.cos(t), 1e-5);
      }
    }
  });

  onBackends(['cpu', 'wasm', 'tensorflow'], () => {
    for (const direction of [1, -1] as const) {
      for (const steps of [{ method: 'dopri5' }, { method: 'bosh3' }, { method: 'rk4', stepSize: 1 / 16 }]) {
        it(`shows ${steps.method} on tensors the float32 next to it, ${direction > 0 ? 'forward' : 'backward'}`, () => {
          // The field compares in float32, where c is a float32 too.
          const seen: number[] = [];
          const sides: number[] = [];
          const field = (t: tf.Scalar, y: tf.Tensor): tf.Tensor => {
            const before = tf.less(t, c);
            const beyond = tf.greater(t, c);
            seen.push(t.dataSync()[0]);
            sides.push(beyond.dataSync()[0] - before.dataSync()[0]);
            return tf.where(before, y, tf.mul(tf.onesLike(y), tf.cos(t)));
          };
          const times = direction > 0 ? [0, 0.4, 0.9, 1.5] : [1.5, 0.9, 0.4, 0];
          tf.tidy(() => {
            const y0 = tf.tensor1d([brokenExact(times[0])]);
            const ys = odeint(field, y0, times, { ...steps, jumpT: [c] }).dataSync();
            times.forEach((t, i) => expect(ys[i]).to.be.closeTo(brokenExact(t), 1e-4));
          });
          const crossing = sides.indexOf(direction);
          sides.forEach((side, i) => expect(side).to.equal(i < crossing ? -direction : direction));
          expect(seen[crossing - 1]).to.equal(neighbour32(c, -direction));
          expect(seen[crossing]).to.equal(neighbour32(c, direction));
        });
      }
    }
  });
});

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
      for (const method of ['bosh3', 'dopri5', 'tsit5', 'dopri8']) {
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

describe('fixed steps', () => {
  it('stepSize 0.1 cuts [0, 1] into exactly ten steps, the last one ending at 1', () => {
    const { ends, sizes } = stepsOf(fields.sine_decay, [1], 0, 1, { method: 'rk4', stepSize: 0.1 });
    expect(ends).to.have.lengthOf(10);
    expect(ends[9]).to.equal(1);
    sizes.forEach((h) => expect(h).to.be.closeTo(0.1, 1e-15));
  });

  it('stepSize that divides the interval gives the quotient, whatever its rounding', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 400 }),
        fc.double({ min: -1e3, max: 1e3, noNaN: true }),
        fc.double({ min: 0.01, max: 1e3, noNaN: true }),
        fc.boolean(),
        (n, t0, length, backward) => {
          const t1 = backward ? t0 - length : t0 + length;
          const stepSize = Math.abs(t1 - t0) / n;
          const { ends } = stepsOf(() => [1], [0], t0, t1, { method: 'euler', stepSize });
          expect(ends).to.have.lengthOf(n);
          expect(ends[n - 1]).to.equal(t1);
        },
      ),
    );
  });

  it('stepSize that does not divide the interval leaves a shorter last step', () => {
    const { sizes } = stepsOf(fields.sine_decay, [1], 0, 1, { method: 'rk4', stepSize: 0.3 });
    expect(sizes).to.have.lengthOf(4);
    expect(sizes[3]).to.be.closeTo(0.1, 1e-15);
  });

  it('stepSize turns step control of an adaptive method off', () => {
    const { stats } = solve(fields.sine_decay, [1], [0, 10], { method: 'dopri5', stepSize: 2.5 });
    expect(stats).to.include({ steps: 4, rejected: 0, nfe: 25 });
  });

  it('without stepSize the output times are the steps of a method without step control', () => {
    const times = [0, 0.1, 0.5, 0.6, 2];
    const seen: number[] = [];
    odeint((t) => [seen.push(t)], [1], times, { method: 'euler' });
    expect(seen).to.deep.equal(times.slice(0, -1));
  });

  it('gridConstructor receives func, y0 and t, and its times are the steps', () => {
    const grid = [0, 0.125, 0.5, 0.75, 1];
    const y0 = [1];
    const times = [0, 0.3, 1];
    let received: unknown[] = [];
    const gridConstructor = (...all: unknown[]) => {
      received = all;
      return grid;
    };
    const seen: number[] = [];
    const field = (t: number) => [seen.push(t) * 0];
    odeint(field, y0, times, { method: 'euler', interp: 'linear', gridConstructor });
    expect(seen).to.deep.equal(grid.slice(0, -1));
    expect(received[0]).to.equal(field);
    expect(received[1]).to.deep.equal(Float64Array.from(y0));
    expect(received[2]).to.deep.equal(Float64Array.from(times));
  });

  it("interp 'linear' joins the grid points by straight lines", () => {
    const times = [0, 0.5, 1];
    const corners = odeint(fields.sine_decay, [1], times, { method: 'rk4', stepSize: 0.5 });
    const ys = odeint(fields.sine_decay, [1], [0, 0.125, 0.7, 1], {
      method: 'rk4',
      stepSize: 0.5,
      interp: 'linear',
    });
    const along = (from: number, to: number, theta: number) => (1 - theta) * from + theta * to;
    expect(ys[1][0]).to.be.closeTo(along(corners[0][0], corners[1][0], 0.25), 1e-15);
    expect(ys[2][0]).to.be.closeTo(along(corners[1][0], corners[2][0], 0.4), 1e-15);
  });

  it("interp 'cubic' is the Hermite polynomial through values and slopes", () => {
    const h = 0.5;
    const [y0, y1] = odeint(fields.sine_decay, [1], [0, h], { method: 'dopri5', stepSize: h }).map(
      (y) => y[0],
    );
    const [f0, f1] = [-y0, -y1 + Math.sin(h)];
    const at = (theta: number) =>
      (2 * theta ** 3 - 3 * theta ** 2 + 1) * y0 +
      (theta ** 3 - 2 * theta ** 2 + theta) * h * f0 +
      (3 * theta ** 2 - 2 * theta ** 3) * y1 +
      (theta ** 3 - theta ** 2) * h * f1;
    const options = { method: 'dopri5', stepSize: h, interp: 'cubic' } as const;
    const ys = odeint(fields.sine_decay, [1], [0, 0.1, 0.35, h], options);
    expect(ys[1][0]).to.be.closeTo(at(0.2), 1e-15);
    expect(ys[2][0]).to.be.closeTo(at(0.7), 1e-15);
  });

  it('perturb shows func the float64 next to both ends of a step, inside', () => {
    const seen: number[] = [];
    const field = (t: number) => [seen.push(t) * 0];
    odeint(field, [1], [0.5, 1, 1.75], { method: 'heun2', perturb: true });
    expect(seen).to.deep.equal([
      neighbour64(0.5, 1),
      neighbour64(1, -1),
      neighbour64(1, 1),
      neighbour64(1.75, -1),
    ]);
  });

  it('perturb in reversed time, first same as last included', () => {
    for (const method of ['heun2', 'bosh3']) {
      const seen: number[] = [];
      const field = (t: number) => [seen.push(t) * 0];
      odeint(field, [1], [1.75, 1], { method, perturb: true, stepSize: 0.25 });
      expect(
        seen.filter((t) => [1, 1.25, 1.5, 1.75].includes(t)),
        method,
      ).to.have.lengthOf(0);
      expect(seen).to.include.members([1.5, 1.25].flatMap((t) => [neighbour64(t, 1), neighbour64(t, -1)]));
    }
  });

  onBackends(['cpu', 'wasm', 'tensorflow'], () => {
    it('perturb on tensors shows the next float32', () => {
      const seen: number[] = [];
      const field = (t: tf.Scalar, y: tf.Tensor) => {
        seen.push(t.dataSync()[0]);
        return tf.zerosLike(y);
      };
      tf.tidy(() => odeint(field, tf.scalar(1), [0.5, 1, 1.7], { method: 'heun2', perturb: true }));
      const at = (t: number, sign: number) => neighbour32(t, sign);
      expect(seen).to.deep.equal([at(0.5, 1), at(1, -1), at(1, 1), at(1.7, -1)]);
    });
  });
});

describe('time', () => {
  const everyMethod: [method: string, options: PlainOptions][] = [
    ...methodNames.map((method): [string, PlainOptions] => [`${method}, fixed`, { method, stepSize: 0.37 }]),
    ...adaptive.map((method): [string, PlainOptions] => [method, { method, rtol: 1e-4, atol: 1e-4 }]),
  ];

  it('is never seen outside the interval, and the last step ends exactly at t1', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...everyMethod),
        fc.double({ min: -100, max: 100, noNaN: true }),
        fc.double({ min: 1e-6, max: 5, noNaN: true }),
        fc.boolean(),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 }),
        ([, options], t0, length, backward, inside) => {
          const t1 = backward ? t0 - length : t0 + length;
          let [low, high] = [Infinity, -Infinity];
          const field = (t: number, y: Float64Array) => {
            low = Math.min(low, t);
            high = Math.max(high, t);
            return [Math.cos(3 * t) * y[0]];
          };
          const between = inside.map((part) => t0 + part * (t1 - t0)).filter((t) => t !== t0 && t !== t1);
          const times = [t0, ...new Set(between.sort((a, b) => (a - b) * (t1 - t0))), t1];
          odeint(field, [1], times, options);
          expect(low).to.be.at.least(Math.min(t0, t1));
          expect(high).to.be.at.most(Math.max(t0, t1));
          const { ends } = stepsOf(field, [1], t0, t1, options);
          expect(ends[ends.length - 1]).to.equal(t1);
        },
      ),
      { numRuns: 300 },
    );
  });

  for (const [name, options] of everyMethod) {
    it(`reversed is forward on the negated problem, bit by bit: ${name}`, () => {
      const times = [0.5, 0.9, 2, 3.1];
      const { lotka_volterra: field } = fields;
      const forced = (t: number, y: ArrayLike<number>) => field(t, y).map((dy, i) => dy + Math.sin(t + i));
      const mirrored = (s: number, y: ArrayLike<number>) => forced(-s, y).map((dy) => -dy);
      const backward = [...times].reverse();
      const y0 = [20, 10];
      expect(odeint(forced, y0, backward, options)).to.deep.equal(
        odeint(
          mirrored,
          y0,
          backward.map((t) => -t),
          options,
        ),
      );
    });
  }

  it('there and back again returns to the start', () => {
    const { y0 } = referenceProblems.lotka_volterra;
    const options = { method: 'dopri8', rtol: 1e-11, atol: 1e-11 };
    const [, there] = odeint(fields.lotka_volterra, y0, [0, 10], options);
    const [, back] = odeint(fields.lotka_volterra, there, [10, 0], options);
    back.forEach((value, i) => expect(value).to.be.closeTo(y0[i], 1e-8));
  });

  it('shifts out of an autonomous problem', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...everyMethod),
        fc.integer({ min: -4096, max: 4096 }).map((n) => n / 64),
        ([, options], shift) => {
          const times = [0, 0.5, 1.25, 2];
          const run = (start: number) => {
            const shifted = times.map((t) => t + start);
            return odeint(fields.lotka_volterra, [20, 10], shifted, options).flatMap((y) => [...y]);
          };
          const expected = run(0);
          // Steps may end an ulp of t elsewhere: 1e-14 of slopes up to 10.
          run(shift).forEach((value, i) => expect(value).to.be.closeTo(expected[i], 1e-11));
        },
      ),
    );
  });

  it('output times do not influence the steps', () => {
    for (const method of adaptive) {
      const options = { method, rtol: 1e-5, atol: 1e-5 };
      const few = solve(fields.sine_decay, [1], [0, 3], options);
      const many = solve(
        fields.sine_decay,
        [1],
        Array.from({ length: 31 }, (_, i) => i / 10),
        options,
      );
      expect(many.y[30]).to.deep.equal(few.y[1]);
      expect(many.stats.steps).to.equal(few.stats.steps);
      many.t.forEach((t, i) => expect(many.y[i][0], `${method} at ${t}`).to.be.closeTo(sineDecay(t), 2e-3));
    }
  });
});

describe('the problem', () => {
  it('is solved linearly in y0 when it is linear, with fixed steps', () => {
    const linear = (t: number, y: Float64Array) => [
      -0.3 * y[0] + Math.cos(t) * y[1],
      -Math.cos(t) * y[0] - 0.1 * y[1],
    ];
    const state = fc.tuple(
      fc.double({ min: -10, max: 10, noNaN: true }),
      fc.double({ min: -10, max: 10, noNaN: true }),
    );
    const factor = fc.double({ min: -5, max: 5, noNaN: true });
    fc.assert(
      fc.property(fc.constantFrom(...methodNames), state, state, factor, factor, (method, u, v, p, q) => {
        const end = (y0: number[]) => odeint(linear, y0, [0, 0.33, 2], { method, stepSize: 0.1 }).slice(1);
        const [us, vs] = [end(u), end(v)];
        const sums = end(u.map((ui, i) => p * ui + q * v[i]));
        sums.forEach((sum, n) =>
          sum.forEach((value, i) => expect(value).to.be.closeTo(p * us[n][i] + q * vs[n][i], 1e-11)),
        );
      }),
    );
  });

  it('sees args as they are, and inPlace gives the same numbers', () => {
    const args = { rate: 0.7 };
    const seen = new Set<unknown>();
    const field = (t: number, y: Float64Array, given: typeof args) => {
      seen.add(given);
      return [-given.rate * y[0] + t];
    };
    const written = (t: number, y: Float64Array, dy: Float64Array, given: typeof args) => {
      dy[0] = -given.rate * y[0] + t;
    };
    for (const method of methodNames) {
      const steps = adaptive.includes(method) ? {} : { stepSize: 0.1 };
      const times = [0, 0.25, 2];
      const ys = odeint(field, [1], times, { method, args, ...steps });
      expect(odeint(written, [1], times, { method, args, inPlace: true, ...steps })).to.deep.equal(ys);
    }
    expect([...seen]).to.deep.equal([args]);
  });
});
