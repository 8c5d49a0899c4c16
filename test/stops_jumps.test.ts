/**
 * `stepT` and `jumpT`: steps end there, and at a jump each side of the vector field is shown its own side only.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { odeint, odeintDense, solve } from 'tfjs-diffeq';
import * as solvers from 'tfjs-diffeq/solvers';
import { onBackends } from './backends.js';
import { fields } from './reference_problems.js';
import { neighbour32, neighbour64, stepsOf } from './steps.js';

const tableaus = Object.values(solvers).filter(
  (value): value is solvers.ButcherTableau & { name: solvers.MethodName } =>
    value instanceof solvers.ButcherTableau,
);
const adaptive = tableaus.filter((tableau) => tableau.bEmbedded).map((tableau) => tableau.name);

describe('stepT', () => {
  for (const [direction, t0, t1] of [
    ['forward', 0, 2],
    ['in reversed time', 2, 0],
  ] as const) {
    it(`makes steps end exactly there, ${direction}`, () => {
      const stops = [1.9, 0.3, 1 / 3, 1.1, 0.30000001];
      for (const options of [
        {},
        { method: 'rk4', stepSize: 0.25 },
        { method: 'dopri8', rtol: 1e-3 },
      ] as const) {
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
    const stop = ends[30] + 0.02 * free[31]; // ifactor is 10
    const { sizes } = stepsOf(fields.harmonic, [1, 0], 0, 20, { stepT: [stop] });
    expect(sizes[31] / free[31]).to.be.closeTo(0.02, 1e-9);
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
    for (const method of ['rk4', 'dopri5', 'tsit5', 'dopri8'] as const) {
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
      for (const steps of [
        { method: 'dopri5' },
        { method: 'bosh3' },
        { method: 'rk4', stepSize: 1 / 16 },
      ] as const) {
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

    it('at t = 0 shows a number that backends which flush denormals tell from 0', () => {
      const field = (t: tf.Scalar, y: tf.Tensor): tf.Tensor =>
        tf.where(
          tf.greater(t, 0),
          tf.onesLike(y),
          tf.where(tf.less(t, 0), tf.mul(-5, tf.onesLike(y)), tf.fill([1], NaN)),
        );
      tf.tidy(() => {
        const [, at0, at1] = odeint(field, tf.tensor1d([0]), [-1, 0, 1], { jumpT: [0] }).dataSync();
        expect(at0).to.be.closeTo(-5, 1e-5);
        expect(at1).to.be.closeTo(-4, 1e-5);
      });
    });
  });
});
