import { createRequire } from 'node:module';
import * as Plot from '@observablehq/plot';
import * as tf from '@tensorflow/tfjs';
import { odeint, type MethodName } from 'tfjs-diffeq';
import { colors, savePlot } from '../examples/lib/plot.js';
import { decades, median, printTable, timeAt, timeInTurns, type Point } from './lib.js';

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
  solveODE: (
    f: (t: number, y: number[]) => number[],
    span: [number, number],
    y0: number[],
    options: { tol: number; maxIter: number },
  ) => { y: number[][] };
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

/** One solve from `y0` over a span of time, to its end. */
type Solve = (y0: Float64Array, span: number, rtol: number) => ArrayLike<number>;

/* Without dense output, which it then need not compute. */
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

const inPlace =
  (method: MethodName): Solve =>
  (y0, span, rtol) =>
    odeint(lorenzInPlace, y0, [0, span], { method, rtol, atol: rtol * 1e-3, inPlace: true })[1];

const returned =
  (method: MethodName): Solve =>
  (y0, span, rtol) =>
    odeint(lorenzReturned, y0, [0, span], { method, rtol, atol: rtol * 1e-3 })[1];

const methods = ['bosh3', 'dopri5', 'tsit5', 'dopri8'] as const;
const forms = { 'in place': inPlace, returned };
type Form = keyof typeof forms;
const formNames = Object.keys(forms) as Form[];

/** Every form of every method of ours, by name. */
const ours: Record<string, Solve> = Object.fromEntries(
  methods.flatMap((method) => formNames.map((form) => [`${method} ${form}`, forms[form](method)])),
);

/** Solves of equal spans, each from a point of the reference solution. */
interface Problem {
  starts: Float64Array[];
  ends: Float64Array[];
  span: number;
}

/** The interval 0..20 in equal parts. */
function inParts(parts: number): Problem {
  const span = 20 / parts;
  const times = Array.from({ length: parts + 1 }, (_, i) => i * span);
  const states = odeint(lorenzReturned, [1, 1, 1], times, { method: 'dopri8', rtol: 1e-14, atol: 1e-15 });
  return { starts: states.slice(0, -1), ends: states.slice(1), span };
}

/* Euclidean distance from the reference at the end of a part; of several parts the geometric mean. */
function endError({ starts, ends, span }: Problem, solver: Solve, rtol: number): number {
  const distances = starts.map((start, part) => {
    const y = solver(start, span, rtol);
    return Math.hypot(...ends[part].map((value, i) => value - y[i]));
  });
  return Math.exp(distances.reduce((sum, distance) => sum + Math.log(distance), 0) / distances.length);
}

/** Work-precision points of every solver, all timed in one run. */
function workPrecision(problem: Problem): Map<string, (Point & { rtol: number })[]> {
  const fine = decades(1, 11, 2);
  const solvers: [string, Solve, number[]][] = [
    ['odex', odex, decades(3, 10)],
    ['mathjs', mathjs, decades(2, 7)],
    ...Object.entries(ours).map(([name, solver]): [string, Solve, number[]] => [
      name,
      solver,
      name.startsWith('bosh3') ? decades(1, 6, 2) : fine,
    ]),
  ];
  const work = solvers.flatMap(([name, solver, tolerances]) =>
    tolerances.map((rtol) => ({ name, solver, rtol })),
  );
  const times = timeInTurns(
    work.map(({ solver, rtol }) => () => {
      for (const start of problem.starts) solver(start, problem.span, rtol);
    }),
  );
  const curves = new Map<string, (Point & { rtol: number })[]>(solvers.map(([name]) => [name, []]));
  work.forEach(({ name, solver, rtol }, i) => {
    curves.get(name)!.push({ rtol, error: endError(problem, solver, rtol), ms: times[i] });
  });
  return curves;
}

/** Prints the diagram as a table: at the error that odex reaches, the time of each solver. */
function printDiagram(curves: ReturnType<typeof workPrecision>, largestError: number): void {
  const ratios: Record<Form, number[]> = { 'in place': [], returned: [] };
  const rows = [
    [
      'odex rtol',
      'error',
      'odex ms',
      'mathjs ms',
      'in place ms',
      'method',
      'ratio',
      'returned ms',
      'method',
      'ratio',
    ],
  ];
  for (const { rtol, error, ms } of curves.get('odex')!.filter((point) => point.error < largestError)) {
    const best = formNames.flatMap((form) => {
      const [fastest] = methods
        .map((method) => ({ method, ms: timeAt(curves.get(`${method} ${form}`)!, error) ?? Infinity }))
        .sort((a, b) => a.ms - b.ms);
      ratios[form].push(ms / fastest.ms);
      return [fastest.ms.toFixed(3), fastest.method, (ms / fastest.ms).toFixed(2)];
    });
    const peer = timeAt(curves.get('mathjs')!, error);
    rows.push([
      rtol.toExponential(0),
      error.toExponential(1),
      ms.toFixed(3),
      peer?.toFixed(1) ?? '-',
      ...best,
    ]);
  }
  printTable(rows);
  for (const form of formNames) {
    const least = Math.min(...ratios[form]).toFixed(2);
    console.log(
      `odex time / our time at equal error, ${form}: least ${least}, median ${median(ratios[form]).toFixed(2)}`,
    );
  }
}

function drawDiagram(curves: ReturnType<typeof workPrecision>, parts: number): void {
  const drawn: [string, string][] = [
    ['mathjs', colors.grey],
    ['odex', colors.vermilion],
    ['bosh3 in place', colors.orange],
    ['dopri5 in place', colors.sky],
    ['tsit5 in place', colors.green],
    ['dopri8 in place', colors.blue],
  ];
  const paths = savePlot('bench-lorenz', {
    title: 'Work and precision on the Lorenz system',
    subtitle: `t 0..20 in ${parts} parts that start on the reference solution; lower is faster`,
    legend: drawn.map(([label, color]) => ({ label, color })),
    rows: [
      [
        {
          width: 720,
          height: 440,
          marginLeft: 60,
          marginBottom: 50,
          x: {
            type: 'log',
            reverse: true,
            label: 'error at the end of a part',
            grid: true,
            tickFormat: '.0e',
          },
          y: { type: 'log', label: 'ms', grid: true, tickFormat: '~g', ticks: 4 },
          marks: drawn.map(([name, color]) => {
            // Larger errors are those of another orbit.
            const points = curves.get(name)!.filter(({ error }) => error < 1);
            return Plot.line(points, { x: 'error', y: 'ms', stroke: color, marker: 'circle' });
          }),
        },
      ],
    ],
    caption: `Node ${process.version}, median wall times of one run`,
  });
  console.log(`picture: ${paths.png}, ${paths.svg}`);
}

/** Times of one solve of 0..20 at rtol 1e-6, atol 1e-9; `between` runs in turns with the solvers. */
function printOneSolve(solvers: Record<string, Solve>, between: () => void = () => undefined): void {
  const whole = inParts(1);
  const runs = Object.values(solvers).map((solver) => () => solver(whole.starts[0], 20, 1e-6));
  const times = timeInTurns([...runs, between]);
  printTable([
    ['solver', 'ms', 'odex time / its time', 'error at t = 20'],
    ...Object.entries(solvers).map(([name, solver], i) => [
      name,
      times[i].toFixed(3),
      (times[0] / times[i]).toPrecision(3),
      endError(whole, solver, 1e-6).toExponential(1),
    ]),
  ]);
}

/** Lorenz' system, sigma 10, rho 28, beta 8/3, from [1, 1, 1]: our plain numbers against npm odex and mathjs. */
export async function lorenz(): Promise<void> {
  const parts = 5;
  console.log(
    `Work-precision, t 0..20 in ${parts} parts that start on the reference solution; ms for all of them`,
  );
  const curves = workPrecision(inParts(parts));
  printDiagram(curves, Infinity);
  drawDiagram(curves, parts);

  console.log(
    '\nWork-precision, t 0..20 in one solve (an error at t = 0 grows 1e7-fold); where the error is below 1',
  );
  printDiagram(workPrecision(inParts(1)), 1);

  console.log('\nOne solve, t 0..20, rtol 1e-6, atol 1e-9 (mathjs: tol 1e-6)');
  printOneSolve({ odex, mathjs, ...ours });

  console.log(
    '\nThe same in a program that also solves for tensors: the steppers then serve two kinds of state',
  );
  await tf.setBackend('cpu');
  printOneSolve({ odex, ...ours }, () => {
    tf.tidy(() => odeint((_t, y: tf.Tensor) => tf.neg(y), tf.tensor1d([1, 2]), [0, 1]));
  });
}
