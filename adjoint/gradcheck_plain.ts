import { resolveMethod } from '../solvers/index.js';
import { checkFunction, largestTolerance } from '../src/core/options.js';
import { runSync } from '../src/core/reading.js';
import { readTimes } from '../src/core/times.js';
import { solveGrid } from '../src/odeint_with.js';
import { difference } from './gradcheck_difference.js';
import {
  chooseModes,
  continuousModes,
  gradcheckNames,
  modesOf,
  wayBackNames,
  wayBackOf,
  type AnyGradcheckOptions,
} from './gradcheck_options.js';
import {
  checkLossValue,
  frozenOptions,
  quietOptions,
  recordingOptions,
  type CheckedProblem,
  type Input,
  type ModeGradients,
} from './gradcheck_problem.js';
import { odeintVjp } from './odeint_vjp.js';
import { refuseArgs, withArgs, type PlainVjp } from './plain_products.js';

/** A problem on plain numbers. */
export function plainProblem(
  func: unknown,
  y0: ArrayLike<number>,
  t: unknown,
  options: AnyGradcheckOptions,
): CheckedProblem {
  const times = readTimes(t);
  const stepper = resolveMethod(options.method);
  const recording = recordingOptions(options, times);
  const extraOptions = [...gradcheckNames, 'vjp'];
  checkFunction(options, 'vjp');
  runSync(solveGrid(stepper, func, y0, times, recording.options, { extraOptions }));
  const modes = chooseModes(options.modes, modesOf.plain, stepper);
  const start = Float64Array.from(y0);
  const { args } = options;
  // In a mode it would be a row that failed.
  const userVjp = options.vjp as PlainVjp | undefined;
  if (userVjp && !(args instanceof Float64Array)) {
    refuseArgs(userVjp(times[0], start.slice(), args, new Float64Array(start.length)), args);
  }
  const inputs = [
    inputOf('y0', start),
    ...(args instanceof Float64Array ? [inputOf('args', args.slice())] : []),
  ];
  const quiet = Object.entries(quietOptions(options));
  const own = gradcheckNames.filter((name) => !wayBackNames.includes(name));
  const solveOptions = Object.fromEntries(quiet.filter(([name]) => !extraOptions.includes(name)));
  const backward = Object.fromEntries(quiet.filter(([name]) => !own.includes(name)));
  const rtol = largestTolerance(options.rtol, 1e-7);
  const given = options.loss as unknown as ((ys: Float64Array[]) => number) | undefined;
  const loss = given && (([ys]: readonly Float64Array[]) => checkLossValue(given(rowsOf(ys, times.length))));
  return {
    ...{ epsilon: Number.EPSILON, method: stepper.name, times, inputs, leaves: 1, grid: recording.grid() },
    jumps: Array.from(options.jumpT ?? []),
    timesAreDistinct: true,
    modes,
    continuous: continuousModes,
    rtol: stepper.embeddedOrder !== null && options.stepSize === undefined ? rtol : 0,
    solve: ([state, parameters], grid) =>
      withArgs(args, parameters, () => {
        const rows = solveGrid(stepper, func, state, times, frozenOptions(solveOptions, grid));
        return [flatten(runSync(rows).y as Float64Array[])];
      }),
    flow: ([state], from, to) => {
      if (from === to) return [state];
      const { inPlace, signal } = options;
      const kept = { args, ...(inPlace ? { inPlace } : {}), ...(signal ? { signal } : {}) };
      const short = solveGrid(resolveMethod('rk4_classic'), func, state, Float64Array.of(from, to), kept);
      return [(runSync(short).y as Float64Array[])[1]];
    },
    loss: loss ?? null,
    gradients: (mode, { weights, outputs }, grid) => {
      const gys = loss ? [cotangents(loss, outputs[0])] : weights;
      const own = wayBackOf(mode, backward);
      const steps = grid ? { ...frozenOptions(solveOptions, grid), vjp: options.vjp } : {};
      const kept = grid ? pick(own, wayBackNames) : own;
      return gradientsOf(func, start, times, { ...kept, ...steps, adjoint: mode }, gys[0]);
    },
  };
}

function gradientsOf(
  func: unknown,
  y0: Float64Array,
  times: Float64Array,
  options: object,
  gys: Float64Array,
): ModeGradients {
  const { vjp, dispose } = odeintVjp(func as never, y0, times, options);
  try {
    const found = vjp(rowsOf(gys, times.length));
    return { inputs: [found.y0, ...(found.args ? [found.args] : [])], t: found.t };
  } finally {
    dispose();
  }
}

const inputOf = (name: string, values: Float64Array): Input => ({
  name,
  values,
  entry: (i) => `${name}[${i}]`,
});

const flatten = (rows: readonly Float64Array[]): Float64Array =>
  Float64Array.from(rows.flatMap((row) => Array.from(row)));

function rowsOf(flat: Float64Array, count: number): Float64Array[] {
  const size = flat.length / count;
  return Array.from({ length: count }, (_, i) => flat.slice(i * size, (i + 1) * size));
}

/* The gradient of the caller's loss to every output: of a function of numbers, differences are all there is. */
function cotangents(loss: (outputs: readonly Float64Array[]) => number, ys: Float64Array): Float64Array {
  const point = ys.slice();
  const size = ys.reduce((largest, y) => Math.max(largest, Math.abs(y)), 0) || 1;
  const sigma = Number.EPSILON * Math.abs(loss([ys]));
  return ys.map((y, i) => {
    const scale = Math.max(Math.abs(y), 1e-3 * size);
    const along = (step: number): number => {
      point[i] = y + step * scale;
      const value = loss([point]);
      point[i] = y;
      return value;
    };
    return difference(along, { epsilon: Number.EPSILON, sigma, enough: 1e-9 }).value / scale;
  });
}

const pick = (options: object, names: readonly string[]): object =>
  Object.fromEntries(Object.entries(options).filter(([name]) => names.includes(name)));
