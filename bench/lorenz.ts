import { createRequire } from 'node:module';
import * as tf from '@tensorflow/tfjs';
import { odeint, solve } from 'tfjs-diffeq';
import { median, printTable, timeAt, timeInTurns, type Candidate, type Point } from './lib.js';

/** What this benchmark uses of npm `odex`, whose TypeScript source does not pass a strict compiler. */
interface Odex {
  Solver: new (n: number) => {
    relativeTolerance: number;
    absoluteTolerance: number;
    maxSteps: number;
    solve(f: (t: number, y: number[]) => number[], t0: number, y0: number[], t1: number): { y: number[] };
  };
}

/** What it uses of mathjs; its types leave this function out. */
interface Mathjs {
  solveODE(
    f: (t: number, y: number[]) => number[],
    span: [number, number],
    y0: number[],
    options: { tol: number; maxIter: number },
  ): { y: number[][] };
}

const require = createRequire(import.meta.url);
const { Solver } = require('odex') as Odex;
const { solveODE } = require('mathjs') as Mathjs;

// The same body for each solver, written out: what the engine learns about one solver's arrays must not slow another.
const lorenzForOdex = (_t: number, y: number[]) => [
  10 * (y[1] - y[0]),
  y[0] * (28 - y[2]) - y[1],
  y[0] * y[1] - (8 / 3) * y[2],
];
const lorenzForMathjs = (_t: number, y: number[]) => [
  10 * (y[1] - y[0]),
  y[0] * (28 - y[2]) - y[1],
  y[0] * y[1] - (8 / 3) * y[2],
];
const lorenzReturned = (_t: number, y: Float64Array) => [
  10 * (y[1] - y[0]),
  y[0] * (28 - y[2]) - y[1],
  y[0] * y[1] - (8 / 3) * y[2],
];
const lorenzInPlace = (_t: number, y: Float64Array, dy: Float64Array) => {
  dy[0] = 10 * (y[1] - y[0]);
  dy[1] = y[0] * (28 - y[2]) - y[1];
  dy[2] = y[0] * y[1] - (8 / 3) * y[2];
};

type State = ArrayLike<number>;
/** One solve from `y0` over a span of time, to its end. */
type Solve = (y0: State, span: number, rtol: number) => State;

const odex: Solve = (y0, span, rtol) => {
  const solver = new Solver(3);
  solver.relativeTolerance = rtol;
  solver.absoluteTolerance = rtol * 1e-3;
  solver.maxSteps = 1e6;
  return solver.solve(lorenzForOdex, 0, Array.from(y0), span).y;
};

/* Its one tolerance is absolute. */
const mathjs: Solve = (y0, span, rtol) => {
  const { y } = solveODE(lorenzForMathjs, [0, span], Array.from(y0), { tol: rtol, maxIter: 1e6 });
  return y[y.length - 1];
};

const ours =
  (method: string, inPlace: boolean): Solve =>
  (y0, span, rtol) => {
    const y = y0 as Float64Array;
    const atol = rtol * 1e-3;
    const ys = inPlace
      ? odeint(lorenzInPlace, y, [0, span], { method, rtol, atol, inPlace: true })
      : odeint(lorenzReturned, y, [0, span], { method, rtol, atol });
    return ys[1];
  };

const methods = ['bosh3', 'dopri5', 'tsit5', 'dopri8'];
const origin = Float64Array.of(1, 1, 1);

/** States of the solution at `times`, to about 1e-12 each from the one before. */
function reference(y0: Float64Array, times: number[]): Float64Array[] {
  return odeint(lorenzReturned, y0, times, { method: 'dopri8', rtol: 1e-14, atol: 1e-15 });
}

interface Problem {
  starts: Float64Array[];
  ends: State[];
  span: number;
}

interface Work {
  solver: string;
  rtol: number;
  error: number;
  run: Candidate;
}

/* Error at the end: root mean square over components and starts. */
function endError({ starts, ends, span }: Problem, solver: Solve, rtol: number): number {
  let sum = 0;
  starts.forEach((start, s) => {
    const y = solver(start, span, rtol);
    for (let i = 0; i < 3; i++) sum += (y[i] - ends[s][i]) ** 2;
  });
  return Math.sqrt(sum / (3 * starts.length));
}

const decades = (from: number, to: number, each = 1) =>
  Array.from({ length: Math.round((to - from) * each) + 1 }, (_, i) => 10 ** -(from + i / each));

function allWork(problem: Problem): Work[] {
  const work = (name: string, solver: Solve, tolerances: number[]) =>
    tolerances.map((rtol) => ({
      solver: name,
      rtol,
      error: endError(problem, solver, rtol),
      run: () => problem.starts.forEach((start) => solver(start, problem.span, rtol)),
    }));
  return [
    ...work('odex', odex, decades(3, 10)),
    ...work('mathjs', mathjs, decades(2, 7)),
    ...methods.flatMap((method) => {
      const tolerances = method === 'bosh3' ? decades(1, 6, 2) : decades(1, 11, 2);
      return [true, false].flatMap((inPlace) =>
        work(`${method} ${inPlace ? 'in place' : 'returned'}`, ours(method, inPlace), tolerances),
      );
    }),
  ];
}

/** Prints the diagram as a table: at the error odex reaches, the time of each solver. */
function workPrecision(problem: Problem, largestError: number): void {
  const work = allWork(problem);
  const times = timeInTurns(work.map(({ run }) => run));
  const curves = new Map<string, (Point & { rtol: number })[]>();
  work.forEach(({ solver, rtol, error }, i) => {
    curves.set(solver, [...(curves.get(solver) ?? []), { rtol, error, ms: times[i] }]);
  });
  const fastest = (form: string, error: number) =>
    methods
      .map((method) => ({ method, ms: timeAt(curves.get(`${method} ${form}`)!, error) ?? Infinity }))
      .reduce((a, b) => (b.ms < a.ms ? b : a));
  const ratios: Record<string, number[]> = { 'in place': [], returned: [] };
  const rows = [['odex rtol', 'error', 'odex ms', 'mathjs ms', 'in place ms', '', 'ratio', 'returned ms', '', 'ratio']];
  for (const { rtol, error, ms } of curves.get('odex')!.filter((point) => point.error < largestError)) {
    const peer = timeAt(curves.get('mathjs')!, error);
    const cells = Object.keys(ratios).flatMap((form) => {
      const best = fastest(form, error);
      ratios[form].push(ms / best.ms);
      return [best.ms.toFixed(3), best.method, (ms / best.ms).toFixed(2)];
    });
    rows.push([rtol.toExponential(0), error.toExponential(1), ms.toFixed(3), peer?.toFixed(1) ?? '-', ...cells]);
  }
  printTable(rows);
  for (const [form, values] of Object.entries(ratios)) {
    console.log(
      `odex time / our time, ${form}: least ${Math.min(...values).toFixed(2)}, median ${median(values).toFixed(2)}`,
    );
  }
}

/** Lorenz' system, sigma 10, rho 28, beta 8/3, from [1, 1, 1]: our plain numbers against npm odex and mathjs. */
export async function lorenz(): Promise<void> {
  // A program that also solves for tensors: the solvers' code is then shared by two kinds of states.
  await tf.setBackend('cpu');
  tf.tidy(() => odeint((_t, y: tf.Tensor) => tf.neg(y), tf.tensor1d([1, 2]), [0, 5]));

  console.log('One solve, t 0..20, rtol 1e-6, atol 1e-9 (mathjs: tol 1e-6)');
  const [, end] = reference(origin, [0, 20]);
  const whole: Problem = { starts: [origin], ends: [end], span: 20 };
  const solvers: [string, Solve][] = [
    ['odex', odex],
    ['mathjs', mathjs],
    ...methods.flatMap((method): [string, Solve][] => [
      [`${method} in place`, ours(method, true)],
      [`${method} returned`, ours(method, false)],
    ]),
  ];
  const times = timeInTurns(solvers.map(([, solver]) => () => solver(origin, 20, 1e-6)));
  printTable([
    ['solver', 'ms', 'odex time / its time', 'error at t = 20'],
    ...solvers.map(([name, solver], i) => [
      name,
      times[i].toFixed(3),
      (times[0] / times[i]).toFixed(2),
      endError(whole, solver, 1e-6).toExponential(1),
    ]),
  ]);
  console.log(`(dopri5 took ${solve(lorenzReturned, origin, [0, 20], { rtol: 1e-6, atol: 1e-9 }).stats.nfe} evaluations)`);

  console.log('\nWork-precision, t 0..20 in quarters that each start on the reference solution; ms for all four');
  const [, ...ends] = reference(origin, [0, 5, 10, 15, 20]);
  workPrecision({ starts: [origin, ...ends.slice(0, 3)], ends, span: 5 }, Infinity);

  console.log('\nWork-precision, t 0..20 in one solve, where an error at t = 0 has grown 1e7-fold; rows with error below 1');
  workPrecision(whole, 1);
}
