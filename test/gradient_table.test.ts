/**
 * One table: finite differences = tape = checkpoint = backsolve = interpolating, for every method, towards `y0`, every
 * output time, variables and args. The first three differentiate the same steps and agree to rounding; the last two
 * solve the adjoint equation and converge to them. Errors are relative to the largest entry of their group.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { MaxStepsError, type MethodName, OdeError, odeint, odeintAdjoint } from 'tfjs-diffeq';
import { onBackends } from './backends.js';
import {
  besideALargeLeaf,
  cases,
  gaps,
  type GradientCase,
  type Gradients,
  groups,
  largestGap,
  type Mode,
  parametersOf,
  plainGradients,
  stiff,
  tensorGradients,
  variableCount,
  weightsOf,
} from './gradient_cases.js';
import { rungeKuttaMethods } from './methods.js';

const orders: Partial<Record<MethodName, number>> = {
  euler: 1,
  midpoint: 2,
  heun2: 2,
  heun3: 3,
  rk4: 4,
  rk4_classic: 4,
  adaptive_heun: 2,
  fehlberg2: 2,
  bosh3: 3,
  dopri5: 5,
  tsit5: 5,
  dopri8: 8,
};
const adaptive = ['adaptive_heun', 'fehlberg2', 'bosh3', 'dopri5', 'tsit5', 'dopri8'] as const;

const discreteCases = [...cases, stiff(200)];
/** Fixed steps with outputs inside of them; stable ones for the stiff case. */
const stepSizeOf = ({ times }: GradientCase): number => 0.1875 / (times[times.length - 1] === 1 ? 1 : 24);

function expectGaps(actual: Gradients, expected: Gradients, limit: (group: string) => number): void {
  const found = gaps(actual, expected);
  for (const group of groups) expect(found[group], `dL/d${group}`).to.be.at.most(limit(group));
}

/* Central differences, extrapolated once: the error is of fourth order. */
function derivative(f: (x: number) => number, at: number, step = 1e-3): number {
  const h = step * Math.max(1, Math.abs(at));
  const central = (by: number) => (f(at + by) - f(at - by)) / (2 * by);
  return (4 * central(h / 2) - central(h)) / 3;
}

/*
 * Finite differences of the loss in float64, on steps that do not change. An output time moves its output along the
 * flow, and t0 moves the start against it: that is what a gradient to times means.
 */
function differences(problem: GradientCase, options: object): Gradients {
  const { field, times, y0 } = problem;
  const weights = weightsOf(problem);
  const p = parametersOf(problem);
  const weigh = (y: ArrayLike<number>, i: number) => weights[i].reduce((sum, w, j) => sum + w * y[j], 0);
  const solve = (start: number[], args: Float64Array) => odeint(field, start, times, { ...options, args });
  const loss = (start: number[], args: Float64Array, from = 0) =>
    solve(start, args).reduce((sum, y, i) => (i < from ? sum : sum + weigh(y, i)), 0);
  const moved = (x: ArrayLike<number>, i: number, value: number) =>
    Array.from(x, (v, j) => (i === j ? value : v));
  const flow = (y: ArrayLike<number>, t: number, by: number): number[] => {
    const accurate = { method: 'dopri8', rtol: 1e-12, atol: 1e-14, args: p } as const;
    return Array.from(odeint(field, Array.from(y), [t, t + by], accurate)[1]);
  };
  const ys = solve(y0, p);
  const short = stepSizeOf(problem) / 200;
  const toParameters = Array.from(p, (x, i) =>
    derivative((value) => loss(y0, Float64Array.from(moved(p, i, value))), x),
  );
  const n = variableCount(problem);
  return {
    y0: y0.map((x, i) => derivative((value) => loss(moved(y0, i, value), p), x)),
    t: times.map((t, i) =>
      i === 0
        ? derivative((by) => loss(flow(y0, t + by, -by), p, 1), 0, short)
        : derivative((by) => weigh(flow(ys[i], t, by), i), 0, short),
    ),
    variables: toParameters.slice(0, n),
    args: toParameters.slice(n),
  };
}

describe('gradient table: finite differences = checkpoint, in float64, to 1e-9', () => {
  for (const problem of discreteCases) {
    describe(problem.name, () => {
      for (const method of rungeKuttaMethods) {
        it(`${method}, fixed steps`, () => {
          const options = { method, stepSize: stepSizeOf(problem) };
          const expected = differences(problem, options);
          for (const checkpoints of [undefined, 3]) {
            expectGaps(plainGradients(problem, { ...options, checkpoints }), expected, () => 1e-9);
          }
        });
      }
      for (const method of adaptive) {
        it(`${method}, the steps it chose, frozen`, () => {
          const grid = [problem.times[0]];
          const onAccept = ({ t, h }: { t: number; h: number }) => void grid.push(t + h);
          const found = plainGradients(problem, { method, rtol: 1e-5, atol: 1e-6, onAccept });
          grid[grid.length - 1] = problem.times.at(-1)!;
          const frozen = { method, gridConstructor: () => grid };
          expect(largestGap(found, plainGradients(problem, frozen))).to.be.at.most(1e-12);
          expectGaps(found, differences(problem, frozen), () => 1e-9);
        });
      }
    });
  }

  it('the gradient to times is that of a loss whose output times move', () => {
    for (const problem of cases) {
      const { field, times, y0 } = problem;
      const options = { method: 'dopri8', rtol: 1e-12, atol: 1e-14 } as const;
      const args = parametersOf(problem);
      const weights = weightsOf(problem);
      const loss = (t: number[]) =>
        odeint(field, y0, t, { ...options, args }).reduce(
          (sum, y, i) => sum + weights[i].reduce((total, w, j) => total + w * y[j], 0),
          0,
        );
      const expected = times.map((t, i) =>
        derivative((value) => loss(times.map((other, j) => (i === j ? value : other))), t),
      );
      const found = plainGradients(problem, options).t;
      const scale = Math.max(...expected.map(Math.abs));
      found.forEach((x, i) => expect(x, `${problem.name}, t[${i}]`).to.be.closeTo(expected[i], 1e-9 * scale));
    }
  });
});

/**
 * Where 1e-6 is less than what rounding in float32 does: the largest value measured, and why.
 * `gap`: tape against checkpoint; `rounding`: either against float64.
 */
const exceptions: { of: RegExp; group: string; gap: number; rounding: number; why: string }[] = [
  {
    ...{ of: /^MLP (heun3|tsit5)$/, group: 't', gap: 1.1e-6, rounding: 1.7e-6 },
    why: 'measured 1.02e-6: dL/dt0 = -a . f is a sum of four products of both signs, and tsit5 has weights up to 12',
  },
  {
    ...{ of: /^a nested tree tsit5$/, group: 'variables', gap: 1e-6, rounding: 1.6e-6 },
    why: 'measured 1.52e-6: the contributions of the steps, of both signs, and of stages with weights up to 12, cancel',
  },
  {
    ...{ of: /^stiff/, group: 't', gap: 3.2e-6, rounding: 3e-5 },
    why: 'measured 3.2e-6 (euler) and 2.4e-5: f = -200 (y - a cos(w t)) is 200 times the rounding of y, 6e-8',
  },
  {
    ...{ of: /^stiff/, group: 'args', gap: 4.4e-6, rounding: 3e-5 },
    why: 'measured 4.3e-6 (dopri8) and 2.3e-5: at lambda h = 1.6 stages cancel, and the weights of the outputs do too',
  },
  {
    ...{ of: /^stiff.* tsit5$/, group: 'variables', gap: 1e-6, rounding: 1.1e-6 },
    why: 'measured 1.01e-6: the same cancellation',
  },
];

function limits(title: string, kind: 'gap' | 'rounding') {
  return (group: string): number =>
    exceptions.find(({ of, group: only }) => only === group && of.test(title))?.[kind] ?? 1e-6;
}

/* The limits are those of the cpu backend; other backends round otherwise, and approximate tanh and cos otherwise. */
const onCpu = (title: string, body: () => void) => describe(title, () => onBackends(['cpu'], body));

onCpu('gradient table: tape = checkpoint = three checkpoints, in float32, to 1e-6', () => {
  for (const problem of discreteCases) {
    describe(problem.name, () => {
      for (const method of rungeKuttaMethods) {
        it(`${method}, and all of them = checkpoint in float64`, () => {
          const title = `${problem.name} ${method}`;
          const options = { method, stepSize: stepSizeOf(problem) };
          const tape = tensorGradients(problem, 'tape', options);
          const exact = plainGradients(problem, options);
          expectGaps(tape, exact, limits(title, 'rounding'));
          for (const mode of ['checkpoint', 'checkpoints: 3'] as const) {
            const found = tensorGradients(problem, mode, options);
            expectGaps(found, tape, limits(title, 'gap'));
            expectGaps(found, exact, limits(title, 'rounding'));
          }
        });
      }
    });
  }
});

const continuous = ['backsolve', 'interpolating'] as const;

/** Step sizes whose gaps lie between the truncation of a few steps and the rounding of float32, by order. */
const refinements: Record<number, { first: number; halvings: number; times?: number[] }> = {
  1: { first: 1 / 32, halvings: 2 },
  2: { first: 1 / 8, halvings: 2 },
  3: { first: 1 / 8, halvings: 2 },
  4: { first: 1 / 2, halvings: 3 },
  5: { first: 1 / 2, halvings: 2, times: [0, 0.5, 1, 2] },
  8: { first: 3 / 2, halvings: 1, times: [0, 1.5, 3] },
};
/* A gap below this has reached rounding: the slope is taken up to there. */
const floor = 1e-5;
/* Where the steps that float32 can tell apart are too long for the order to show, the slope there is. */
const slower: Record<string, number> = {
  'MLP dopri8': 5, // tanh has poles near: measured 5.2 from h = 1.5, and rounding from h = 0.75 on
};

onCpu('gradient table: continuous adjoints converge to the discrete gradient', () => {
  for (const problem of cases) {
    describe(problem.name, () => {
      for (const method of rungeKuttaMethods) {
        it(`${method}, fixed steps: at order ${orders[method]}`, () => {
          const { first, halvings, times = problem.times } = refinements[orders[method]!];
          const stretched = { ...problem, times };
          const sizes = Array.from({ length: halvings + 1 }, (_, i) => first / 2 ** i);
          const discrete = sizes.map((stepSize) =>
            tensorGradients(stretched, 'checkpoint', { method, stepSize }),
          );
          for (const mode of continuous) {
            const found = sizes.map((stepSize, i) =>
              largestGap(tensorGradients(stretched, mode, { method, stepSize }), discrete[i]),
            );
            const reached = found.findIndex((gap) => gap < floor);
            const last = reached > 0 ? reached : halvings;
            const slope = Math.log2(found[0] / found[last]) / last;
            const least = slower[`${problem.name} ${method}`] ?? orders[method]! - 0.3;
            expect(slope, `${mode}: ${found.join(', ')}`).to.be.at.least(least);
          }
        });
      }

      for (const method of adaptive) {
        it(`${method}: to 1e-4 at a tight tolerance`, () => {
          // adaptive_heun takes hundreds of steps, and fehlberg2 underestimates its error by two orders of magnitude.
          const tight = method === 'adaptive_heun' ? 1e-5 : method === 'fehlberg2' ? 2e-7 : 1e-6;
          const [loose, final] = [1e-3, tight].map((rtol) => {
            const options = { method, rtol, atol: rtol / 10 };
            const discrete = tensorGradients(problem, 'checkpoint', options);
            return continuous.map((mode) => largestGap(tensorGradients(problem, mode, options), discrete));
          });
          continuous.forEach((mode, i) => {
            expect(final[i], mode).to.be.at.most(1e-4);
            expect(final[i], mode).to.be.at.most(Math.max(floor, loose[i] / 30));
          });
        });
      }
    });
  }
});

/*
 * What `run` returns or throws, and the warnings it gives, each of which would be given once in a program: here the
 * library's memory of them is made to forget.
 */
function observed(run: () => Gradients): { found: Gradients | null; error: unknown; warnings: string[] } {
  const warnings: string[] = [];
  const { warn } = console;
  /* eslint-disable-next-line @typescript-eslint/unbound-method -- put back below */
  const { has } = Set.prototype;
  console.warn = (message: string) => void warnings.push(message);
  Set.prototype.has = function (value: unknown) {
    return value !== 'drift of backsolve' && has.call(this, value);
  };
  try {
    return { found: run(), error: null, warnings };
  } catch (error) {
    return { found: null, error, warnings };
  } finally {
    console.warn = warn;
    Set.prototype.has = has;
  }
}

onCpu('gradient table: stiff problems', () => {
  // An error of y becomes one of f = -lambda (y - ...), and so of dL/dt, that is lambda times as large. fehlberg2
  // underestimates its error by two orders of magnitude.
  const tolerances = (method: MethodName, rtol: number) =>
    method === 'fehlberg2' ? { rtol: 2e-7, atol: 2e-8 } : { rtol, atol: rtol / 10 };
  for (const [problem, rtol] of [
    [stiff(200), 1e-5],
    [stiff(1000), 2e-6],
    [besideALargeLeaf, 1e-5],
  ] as const) {
    describe(problem.name, () => {
      // The gradient of accurate steps; their own error is below 1e-8.
      const exact = plainGradients(problem, { method: 'dopri8', rtol: 1e-11, atol: 1e-13 });
      for (const method of adaptive) {
        const gradientBy = (mode: Mode, options: object = {}) =>
          tensorGradients(problem, mode, { method, ...tolerances(method, rtol), ...options });

        // Its forward solve is that wrong at the tightest tolerance of float32: 1.8 % measured, dL/dt = g . f(t, y).
        const limit = (group: string) =>
          method === 'fehlberg2' && problem.name === 'stiff, lambda = 1000' && group === 't' ? 2e-2 : 1e-2;
        it(`${method}: interpolating is right to 1 %`, () => {
          expectGaps(gradientBy('interpolating'), exact, limit);
        });

        // The gradient of steps that are at the edge of stability throughout is that of the steps: see the end.
        const onTheEdge = method === 'fehlberg2' && problem.name === 'stiff, lambda = 1000';
        it(`${method}: checkpoint is right to ${onTheEdge ? 'the gradient of the tape' : '1 %'}`, () => {
          // Rounding grows as the gradient does.
          if (onTheEdge) expectGaps(gradientBy('checkpoint'), gradientBy('tape'), () => 2e-2);
          else expectGaps(gradientBy('checkpoint'), exact, limit);
        });

        it(`${method}: backsolve is right to 1 %, or says that it is not`, () => {
          const adjointOptions = { maxNumSteps: 1500 };
          const { found, error, warnings } = observed(() => gradientBy('backsolve', { adjointOptions }));
          if (error !== null) {
            expect(error, (error as Error).message).to.be.instanceOf(OdeError);
            return;
          }
          if (warnings.some((text) => text.includes("adjoint 'backsolve' misses"))) return;
          expectGaps(found!, exact, limit);
        });
      }
    });
  }

  it('where frozen steps would not be stable checkpoint is right for the steps, interpolating for the solution', () => {
    // The state is right to 1e-4, but the product of the steps' growth factors is 2 at the end instead of exp(-250):
    // what keeps adaptive steps stable is that a larger error makes them shorter, and h is a constant here.
    const problem = { ...stiff(1000), variables: { lambda: 1000, w: 1 } };
    const exact = plainGradients(problem, { method: 'dopri8', rtol: 1e-11, atol: 1e-13 });
    const found = tensorGradients(problem, 'checkpoint', { method: 'dopri5', rtol: 1e-5, atol: 1e-6 });
    const options = { method: 'dopri5', rtol: 1e-5, atol: 1e-6 };
    expectGaps(found, tensorGradients(problem, 'tape', options), () => 2e-2);
    expect(gaps(found, exact).y0).to.be.greaterThan(1);
    expect(gaps(tensorGradients(problem, 'interpolating', options), exact).y0).to.be.at.most(1e-2);
  });

  it('a backward solve that fails says so by an error of ours, with variables too', () => {
    const rate = tf.variable(tf.scalar(3));
    const loss = (y0: tf.Tensor) =>
      tf.sum(
        odeintAdjoint((_t, y: tf.Tensor) => tf.neg(tf.mul(rate, tf.square(y))), y0, [0, 2], {
          adjoint: 'backsolve',
          adjointOptions: { maxNumSteps: 5 },
        }),
      );
    expect(() => tf.tidy(() => tf.grad(loss)(tf.scalar(1)))).to.throw(MaxStepsError, /backward solve/);
    rate.dispose();
  });

  it('nothing of this is left on the tape', () => {
    expect(tf.engine().state.gradientDepth).to.equal(0);
    expect(tf.engine().state.kernelDepth).to.equal(0);
  });
});
