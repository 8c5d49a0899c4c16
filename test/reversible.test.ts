/**
 * reversible_heun and leapfrog, the methods whose steps can be taken back: their states against programs that are not
 * ours, their order, and what a symplectic method keeps. Their gradients are in reversible_adjoint.test.ts.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  InvalidArgumentError,
  iterate,
  iterateAsync,
  odeint,
  odeintAsync,
  odeintDense,
  odeintWith,
  solve,
  type MethodName,
  type PlainOptions,
} from 'tfjs-diffeq';
import { leapfrog, reversibleHeun } from 'tfjs-diffeq/solvers';
import { onBackends } from './backends.js';
import { leavesOnlyItsResult, tensorsIn, thrownBy } from './engine_probe.js';
import { readReference } from './reference_problems.js';
import { slope } from './slope.js';

type PlainField = (t: number, y: Float64Array) => number[];

interface Reference {
  reversible_heun: Record<string, { y0: number[]; t: number[]; y: number[][] }>;
  leapfrog: Record<string, { y0: number[]; h: number; every: number; y: number[][] }>;
}
const reference = readReference<Reference>('reversible.json');

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i])));

const harmonic: PlainField = (_t, [q, p]) => [p, -q];
const pendulum: PlainField = (_t, [q, p]) => [p, -Math.sin(q)];
const kepler: PlainField = (_t, [x, y, u, v]) => {
  const r3 = Math.hypot(x, y) ** 3;
  return [u, v, -x / r3, -y / r3];
};

describe('reversible_heun and leapfrog, step by step', () => {
  const heunFields: Record<string, PlainField> = {
    forced_van_der_pol: (t, [x, y]) => [y, (1 - x * x) * y - x + Math.sin(2 * t) * x],
    variable_logistic: (t, [x, y]) => [
      x * (1 + 0.5 * Math.cos(t) - x) + 0.1 * Math.exp(-t) * y,
      (-t * y) / (1 + x * x),
    ],
  };
  for (const [name, { y0, t, y }] of Object.entries(reference.reversible_heun)) {
    it(`reversible_heun agrees to 1e-12 with diffrax's ReversibleHeun: ${name}`, () => {
      const options = { method: 'reversible_heun', gridConstructor: () => t } as const;
      odeint(heunFields[name], y0, t, options).forEach((row, n) => {
        expect(distance(row, y[n]), `t = ${t[n]}`).to.be.below(1e-12);
      });
    });
  }

  const orbits: Record<string, PlainField> = { pendulum, kepler };
  for (const [name, { y0, h, every, y }] of Object.entries(reference.leapfrog)) {
    it(`leapfrog agrees to 1e-11 with a velocity Verlet of its own: ${name}`, () => {
      const t = y.map((_, i) => i * every * h);
      odeint(orbits[name], y0, t, { method: 'leapfrog', stepSize: h }).forEach((row, n) => {
        // 600 steps of an eccentric orbit magnify the rounding, which differs.
        expect(distance(row, y[n]), `t = ${t[n]}`).to.be.below(1e-11);
      });
    });
  }

  it('leapfrog of the harmonic oscillator is the closed form of its map', () => {
    // (q, p) -> (c q + h p, -h (1 - h^2 / 4) q + c p) with c = 1 - h^2 / 2 is a rotation by phi in the coordinates
    // (q, p / s), cos phi = c, s = sqrt(1 - h^2 / 4).
    const [q0, p0, h] = [0.7, -1.1, 0.25];
    const phi = Math.acos(1 - (h * h) / 2);
    const s = Math.sqrt(1 - (h * h) / 4);
    const times = Array.from({ length: 101 }, (_, n) => n * h);
    const ys = odeint(harmonic, [q0, p0], times, { method: 'leapfrog' });
    ys.forEach(([q, p], n) => {
      const [cos, sin] = [Math.cos(n * phi), Math.sin(n * phi)];
      expect(q).to.be.closeTo(q0 * cos + (p0 / s) * sin, 1e-13);
      expect(p).to.be.closeTo(p0 * cos - q0 * s * sin, 1e-13);
    });
  });

  it('reversible_heun evaluates func once in a step, leapfrog twice; odeintWith, solve and iterate take them too', () => {
    const fixed = { stepSize: 0.01 };
    const counted = (method: MethodName) => solve(harmonic, [1, 0], [0, 1], { method, ...fixed });
    expect(counted('reversible_heun').stats.nfe).to.equal(101);
    // One is the force at the start, two see whether the system is separable.
    expect(counted('leapfrog').stats.nfe).to.equal(203);
    for (const stepper of [reversibleHeun, leapfrog]) {
      const [, end] = counted(stepper.name as MethodName).y;
      expect([...odeintWith(stepper, harmonic, [1, 0], [0, 1], fixed)[1]]).to.deep.equal([...end]);
      const steps = [...iterate(harmonic, [1, 0], { t0: 0, t1: 1, method: stepper, ...fixed })];
      expect(steps).to.have.length(100);
      const stepwise = odeint(harmonic, [1, 0], [0, 1], { method: stepper, ...fixed });
      expect([...stepwise[1]]).to.deep.equal([...end]);
    }
  });
});

/*
 * Nonlinear, coupled, not autonomous; the coupling vanishes on the solution, but not beside it, where the stages are.
 * The second system is separable.
 */
const t1 = 1.5;
interface Known {
  field: PlainField;
  exact: (t: number) => number[];
}
const known: Record<'reversible_heun' | 'leapfrog', Known> = {
  reversible_heun: {
    field: (t, [x, y]) => [
      x * x * Math.cos(t) + x * (Math.log(y) - Math.cos(t)),
      -y * Math.sin(t) + Math.sin(1 / x - 2 + Math.sin(t)),
    ],
    exact: (t) => [1 / (2 - Math.sin(t)), Math.exp(Math.cos(t))],
  },
  leapfrog: {
    field: (t, [q, p]) => [
      Math.log(p) + Math.sin(p - Math.exp(Math.cos(t))),
      -Math.sin(t) * Math.exp(Math.cos(t)) + 2 * Math.sin(q - 2 - Math.sin(t)),
    ],
    exact: (t) => [2 + Math.sin(t), Math.exp(Math.cos(t))],
  },
};

describe('reversible_heun and leapfrog converge with order 2', () => {
  const counts = [64, 128, 256, 512];
  const stepEnds = (n: number): number[] => Array.from({ length: n + 1 }, (_, i) => (t1 * i) / n);
  const thetas = [0.07, 0.2, 0.36, 0.55, 0.71, 0.9];
  const between = (n: number): number[] => [
    0,
    ...Array.from({ length: n }, (_, i) => thetas.map((theta) => (t1 * (i + theta)) / n)).flat(),
    t1,
  ];

  for (const [method, { field, exact }] of Object.entries(known) as [MethodName, Known][]) {
    const errorAt = (times: readonly number[], options: PlainOptions): number => {
      const ys = odeint(field, exact(0), times, { method, ...options });
      return Math.max(...times.map((t, i) => distance(ys[i], exact(t))));
    };
    const dense = (n: number) => odeintDense(field, exact(0), 0, t1, { method, stepSize: t1 / n });
    const exactSlope = (t: number): number[] => field(t, Float64Array.from(exact(t)));

    const errors: Record<string, (n: number) => number> = {
      'at the steps': (n) => errorAt(stepEnds(n), { stepSize: t1 / n }),
      'where the output times are the steps': (n) =>
        errorAt(stepEnds(n), { gridConstructor: (_f, _y, t) => t }),
      'at output times between the steps': (n) => errorAt(between(n), { stepSize: t1 / n }),
      'backward in time': (n) => {
        const ys = odeint(field, exact(t1), [t1, 0], { method, stepSize: t1 / n });
        return distance(ys[1], exact(0));
      },
      'in dense output': (n) => {
        const solution = dense(n);
        return Math.max(...between(n).map((t) => distance(solution.evaluate(t), exact(t))));
      },
      // Of reversible_heun the interpolant's slope is linear in a step; of leapfrog it is cubic Hermite's, of which the
      // values at its ends have an error that is smooth in t.
      'in the derivative of dense output': (n) => {
        const solution = dense(n);
        return Math.max(...between(n).map((t) => distance(solution.derivative(t), exactSlope(t))));
      },
    };
    for (const [where, error] of Object.entries(errors)) {
      it(`${method}: ${where}`, () => {
        expect(slope(counts, error)).to.be.closeTo(2, 0.15);
      });
    }

    it(`${method}: dense output has the derivative of what it evaluates, and is what odeint returns`, () => {
      const options = { method, stepSize: 0.11 };
      const solution = odeintDense(field, exact(0), 0, t1, options);
      const eps = 1e-5;
      for (const t of [0.1, 0.5, 0.8, 1.4]) {
        const [low, high] = [t - eps, t + eps].map((s) => solution.evaluate(s));
        const quotient = low.map((y, i) => (high[i] - y) / (2 * eps));
        expect(distance(solution.derivative(t), quotient)).to.be.below(1e-8);
      }
      const times = [0, 0.1, 0.33, 0.35, 0.8, t1];
      odeint(field, exact(0), times, options).forEach((row, i) => {
        expect(distance(row, solution.evaluate(times[i]))).to.be.below(1e-15);
      });
    });
  }

  it('leapfrog with a force that jumps, where jumpT says so', () => {
    // q'' = -1 before t = 1 and +3 after it: parabolas, of which leapfrog makes no error.
    const field: PlainField = (t, [, p]) => [p, t < 1 ? -1 : 3];
    const [, end] = odeint(field, [0, 1], [0, 2], { method: 'leapfrog', stepSize: 0.3, jumpT: [1] });
    expect(end[0]).to.be.closeTo(0.5 + 1.5, 1e-14);
    expect(end[1]).to.be.closeTo(3, 1e-14);
  });

  it('reversible_heun with a slope that jumps, where jumpT says so, at fixed and at chosen steps', () => {
    const field: PlainField = (t, [y]) => [t < 1 ? -y : 2 * y];
    for (const steps of [{ stepSize: 0.001 }, { rtol: 1e-7, atol: 1e-9 }]) {
      const [, end] = odeint(field, [1], [0, 2], { method: 'reversible_heun', jumpT: [1], ...steps });
      expect(end[0]).to.be.closeTo(Math.E, 1e-5);
    }
  });
});

describe('reversible_heun with step control', () => {
  it('meets tolerances: the error falls with rtol, and stays within 3 rtol', () => {
    const { field, exact } = known.reversible_heun;
    const errors = [1e-3, 1e-4, 1e-5, 1e-6, 1e-7].map((rtol) => {
      const options = { method: 'reversible_heun', rtol, atol: rtol } as const;
      const { y, stats } = solve(field, exact(0), [0, 0.4, 0.9, t1], options);
      expect(stats.rejected, `rejections at ${rtol}`).to.be.at.most(stats.accepted / 2);
      return Math.max(...[0, 0.4, 0.9, t1].map((t, i) => distance(y[i], exact(t)))) / rtol;
    });
    for (const error of errors) expect(error).to.be.below(3);
  });
});

describe('leapfrog', () => {
  const energyOf = ([q, p]: ArrayLike<number> & Iterable<number>) => (p * p) / 2 - Math.cos(q);

  it('keeps the energy of a pendulum within h^2 over 100 000 steps, without drift', () => {
    const h = 0.1;
    const start = [1.5, 0];
    const errors: number[] = [];
    const onAccept = ({ y1 }: { y1: Float64Array | null }) =>
      void errors.push(energyOf(y1!) - energyOf(start));
    odeint(pendulum, start, [0, 1e4], { method: 'leapfrog', stepSize: h, onAccept });
    expect(errors).to.have.length(1e5);
    const largest = (part: readonly number[]) => part.reduce((most, e) => Math.max(most, Math.abs(e)), 0);
    expect(largest(errors)).to.be.below(h * h);
    const mean = (part: readonly number[]) => part.reduce((sum, e) => sum + e, 0) / part.length;
    const [first, last] = [errors.slice(0, 1e4), errors.slice(-1e4)];
    expect(mean(last)).to.be.closeTo(mean(first), 1e-3 * largest(errors));
    expect(largest(last)).to.be.closeTo(largest(first), 1e-3 * largest(errors));
    // What a method that is not symplectic does with the same number of evaluations.
    const [, heun] = odeint(pendulum, start, [0, 1e4], { method: 'heun2', stepSize: h });
    expect(Math.abs(energyOf(heun) - energyOf(start))).to.be.above(10 * largest(errors));
  });

  it('is symplectic: J^T Omega J = Omega, so that the determinant of a step is 1', () => {
    const after = (y: number[]): Float64Array => odeint(kepler, y, [0, 0.3], { method: 'leapfrog' })[1];
    const start = [0.8, -0.3, 0.4, 1.1];
    // Richardson: differences of order h^4.
    const column = (i: number): number[] => {
      const quotient = (eps: number) => {
        const moved = (by: number) => after(start.map((x, j) => (i === j ? x + by : x)));
        const [plus, minus] = [moved(eps), moved(-eps)];
        return Array.from(plus, (x, j) => (x - minus[j]) / (2 * eps));
      };
      const [coarse, fine] = [quotient(2e-3), quotient(1e-3)];
      return fine.map((x, j) => (4 * x - coarse[j]) / 3);
    };
    const columns = start.map((_, i) => column(i));
    const omega = (a: number[], b: number[]) => a[0] * b[2] + a[1] * b[3] - a[2] * b[0] - a[3] * b[1];
    columns.forEach((a, i) => {
      columns.forEach((b, j) => {
        const expected = j === i + 2 ? 1 : i === j + 2 ? -1 : 0;
        expect(omega(a, b), `${i}, ${j}`).to.be.closeTo(expected, 1e-9);
      });
    });
  });

  it('is reversible: back in time it returns to where it began, with a force of time too', () => {
    const forced: PlainField = (t, [q, p]) => [
      p * (1 + 0.1 * Math.cos(t)),
      -Math.sin(q) + 0.3 * Math.sin(2 * t),
    ];
    for (const field of [pendulum, forced]) {
      const options = { method: 'leapfrog', stepSize: 0.125 } as const;
      const [, there] = odeint(field, [1, 0.5], [0, 50], options);
      expect(distance(there, [1, 0.5])).to.be.above(0.1);
      const [, back] = odeint(field, there, [50, 0], options);
      expect(distance(back, [1, 0.5])).to.be.below(1e-12);
    }
  });

  it('is reversible in the momenta too: negated at the end, they lead back forward in time', () => {
    const options = { method: 'leapfrog', stepSize: 0.125 } as const;
    const [, [q, p]] = odeint(pendulum, [1, 0.5], [0, 50], options);
    const [, back] = odeint(pendulum, [q, -p], [0, 50], options);
    expect(distance(back, [1, -0.5])).to.be.below(1e-12);
  });

  describe('refuses what it cannot solve, and says what to use instead', () => {
    const call =
      (field: PlainField, y0: number[], more: object = {}) =>
      () =>
        odeint(field, y0, [0, 1], { method: 'leapfrog', stepSize: 0.1, ...more });

    it('a system that is not separable', () => {
      const systems: [string, PlainField, number[]][] = [
        ['dp/dt depends on p', (_t, [q, p]) => [p, -q - 0.1 * p], [1, 0.5]],
        ['dp/dt depends on p', (_t, [q, p]) => [p, -q - 0.1 * p], [1, 0]],
        ['dp/dt depends on p', (_t, [q, p]) => [p, -q - 1e-6 * p], [1, 0.5]],
        // y0 + f(y0) has no momentum.
        ['dp/dt depends on p', (_t, [q, p]) => [p, -q - p], [0, 1]],
        ['dq/dt depends on q', (_t, [q, p]) => [q * p, -q], [1, 0.5]],
        ['dq/dt depends on q', (_t, [q]) => [-q, 1], [1, 0.5]],
      ];
      for (const [words, field, y0] of systems) {
        expect(call(field, y0), words).to.throw(InvalidArgumentError, words);
        expect(call(field, y0)).to.throw(/another method, such as 'dopri5' or 'reversible_heun'/);
      }
    });

    it('a state without halves, and quadratures', () => {
      expect(call(() => [0, 0, 0], [1, 2, 3])).to.throw(InvalidArgumentError, /3 numbers.*half.*'dopri5'/);
      expect(call(harmonic, [1, 0], { quadrature: () => 1 })).to.throw(
        InvalidArgumentError,
        /quadrature.*'reversible_heun'/,
      );
      const before = tf.memory().numTensors;
      const one = tf.scalar(1);
      const states: [unknown, (t: tf.Scalar, y: never) => unknown][] = [
        [tf.tensor1d([1, 0]), (_t, y) => tf.neg(y)],
        [[one, one], (_t, [q, p]: tf.Tensor[]) => [p, tf.neg(q)]],
        [{ x: one, v: one }, (_t, { x, v }: Record<string, tf.Tensor>) => ({ x: v, v: tf.neg(x) })],
        [{ q: one, p: one, r: one }, (_t, y) => y],
      ];
      for (const [y0, field] of states) {
        const error = thrownBy(() =>
          odeint(field as never, y0 as tf.Tensor, [0, 1], { method: 'leapfrog', stepSize: 0.1 }),
        );
        expect(error).to.be.instanceOf(InvalidArgumentError);
        expect((error as Error).message).to.match(/record \{ q, p \}.*'dopri5'/);
      }
      const pair = { q: one, p: one };
      const quadrature = () => one;
      const field = (_t: tf.Scalar, { q, p }: typeof pair) => ({ q: p, p: tf.neg(q) });
      expect(() => odeint(field, pair, [0, 1], { method: 'leapfrog', quadrature })).to.throw(
        InvalidArgumentError,
        /quadrature/,
      );
      tf.dispose([one, states[0][0] as tf.Tensor]);
      expect(tf.memory().numTensors).to.equal(before);
    });

    it('step control', () => {
      expect(call(harmonic, [1, 0], { firstStep: 0.1 })).to.throw(InvalidArgumentError, /fixed steps/);
      expect(call(harmonic, [1, 0], { interp: 'linear' })).to.throw(InvalidArgumentError, /interp/);
    });
  });
});

onBackends(['cpu', 'wasm', 'tensorflow'], () => {
  describe('reversible_heun and leapfrog on tensors', () => {
    type Nested = { q: { a: tf.Tensor; b: [tf.Tensor] }; p: { a: tf.Tensor; b: [tf.Tensor] } };
    /* A pendulum in every element of a, oscillators in b, whose momenta are stored transposed. */
    const nested = (_t: tf.Scalar, { q, p }: Nested): Nested => ({
      q: { a: p.a, b: [tf.transpose(p.b[0])] },
      p: { a: tf.neg(tf.sin(q.a)), b: [tf.transpose(tf.neg(q.b[0]))] },
    });
    const make = (): Nested => ({
      q: { a: tf.tensor1d([1, -0.5, 2]), b: [tf.tensor2d([[1, 2]])] },
      p: { a: tf.tensor1d([0.2, 1, 0]), b: [tf.tensor2d([[0.5], [-1]])] },
    });
    const times = [0, 0.35, 1];

    for (const method of ['reversible_heun', 'leapfrog'] as const) {
      it(`${method}: trees of q and p are solved as plain numbers are, and leave their result only`, async () => {
        const y0 = make();
        const options = { method, stepSize: 0.1 };
        const ys = leavesOnlyItsResult(() => odeint(nested, y0, times, options));
        const plain = odeint(
          (_t, [q1, q2, q3, q4, q5, p1, p2, p3, p4, p5]) => [
            ...[p1, p2, p3, p4, p5],
            ...[-Math.sin(q1), -Math.sin(q2), -Math.sin(q3), -q4, -q5],
          ],
          [1, -0.5, 2, 1, 2, 0.2, 1, 0, 0.5, -1],
          times,
          options,
        );
        const rows = [ys.q.a, ys.q.b[0], ys.p.a, ys.p.b[0]].map((leaf) =>
          Array.from(tf.unstack(leaf), (row) => Array.from(row.dataSync())),
        );
        times.forEach((t, i) => {
          expect(
            distance(
              rows.flatMap((leaf) => leaf[i]),
              plain[i],
            ),
            `t = ${t}`,
          ).to.be.below(3e-6);
        });
        const later = await odeintAsync(nested, y0, times, options);
        expect(Array.from(later.p.a.dataSync())).to.deep.equal(Array.from(ys.p.a.dataSync()));
        tf.disposeVariables();
        tf.dispose([y0, ys, later] as never);
      });
    }

    it('leapfrog finds q and p in any order of keys, and of different shapes', () => {
      type Pair = { p: tf.Tensor; q: tf.Tensor };
      const run = (y0: Pair, flipped: boolean) =>
        tf.tidy(() => {
          // q' = p[0] + p[1], p' = -q (1, 2)
          const func = (_t: tf.Scalar, { q, p }: Pair): Pair => {
            const dq = tf.sum(p);
            const dp = tf.mul(tf.neg(q), [1, 2]);
            return flipped ? { p: dp, q: dq } : { q: dq, p: dp };
          };
          const { q, p } = odeint(func, y0, times, { method: 'leapfrog', stepSize: 0.05 });
          return [...q.dataSync(), ...p.dataSync()];
        });
      const [q, p] = [tf.scalar(1), tf.tensor1d([0.5, -1])];
      const expected = run({ q, p }, false);
      expect(run({ p, q }, true)).to.deep.equal(expected);
      expect(run({ p, q }, false)).to.deep.equal(expected);
      // q'' = -3 q, q(0) = 1, q'(0) = -0.5.
      const w = Math.sqrt(3);
      expect(expected[2]).to.be.closeTo(Math.cos(w) - (0.5 / w) * Math.sin(w), 2e-3);
      tf.dispose([q, p]);
    });

    it('steps, dense output and iterators leave nothing behind', async () => {
      for (const method of ['reversible_heun', 'leapfrog'] as const) {
        const y0 = make();
        const before = tf.memory().numTensors;
        const dense = odeintDense(nested, y0, 0, 1, { method, stepSize: 0.1 });
        tf.dispose([tensorsIn(dense.evaluate(0.55)), tensorsIn(dense.derivative(0.55))] as never);
        dense.dispose();
        for (const step of iterate(nested, y0, { t0: 0, t1: 1, method, stepSize: 0.1 })) {
          tf.dispose(tensorsIn(step.interpolate(step.t - step.h / 3)));
          if (step.t > 0.5) break;
        }
        for await (const step of iterateAsync(nested, y0, { t0: 0, t1: 1, method, stepSize: 0.1 })) {
          tf.dispose(tensorsIn(step.keep()));
        }
        expect(tf.memory().numTensors, method).to.equal(before);
        tf.dispose(tensorsIn(y0));
      }
    });

    it('func that throws at any call leaks nothing', () => {
      const y0 = make();
      for (const method of ['reversible_heun', 'leapfrog'] as const) {
        let calls = 0;
        let limit = Infinity;
        const func = (t: tf.Scalar, y: Nested): Nested => {
          if (++calls > limit) throw new RangeError('stop');
          return nested(t, y);
        };
        const run = () => odeint(func, y0, [0, 0.13, 0.3], { method, stepSize: 0.1 });
        tf.dispose(tensorsIn(run()));
        const total = calls;
        for (limit = 0; limit < total; limit++) {
          calls = 0;
          expect(() => leavesOnlyItsResult(run), `call ${limit + 1}`).to.throw('stop');
        }
      }
      tf.dispose(tensorsIn(y0));
    });
  });
});
