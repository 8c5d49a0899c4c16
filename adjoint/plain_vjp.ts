import type { Stepper } from '../solvers/index.js';
import type { AnyOptions } from '../src/core/build_problem.js';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { largestTolerance, type Float64NormFunction } from '../src/core/options.js';
import { componentTolerances } from '../src/core/float64_kind.js';
import { prepare } from '../src/core/prepare.js';
import type { Problem } from '../src/core/problem.js';
import type { Reading } from '../src/core/reading.js';
import { solveNames, solvesBackward, type AdjointOptions, type Mode } from './adjoint_options.js';
import { adjointOf } from './adjoint_of.js';
import { backwardSolve, type BackwardSolve } from './backward_options.js';
import { recordSolve, retraceSolve, reverseSolve, type Recording, type Sweep } from './checkpoint.js';
import { plainDistance, reportDrift } from './drift.js';
import { plainBacksolve } from './plain_backsolve.js';
import { productsOf, withArgs, type PlainVjp, type Products } from './plain_products.js';
import { RecordedTrajectory } from './trajectory.js';

/** Gradients of a solve on plain numbers. */
export interface PlainGradients {
  y0: Float64Array;
  /** One per output time. */
  t: Float64Array;
  /** Of `args`, when it is a `Float64Array`; else `null`. */
  args: Float64Array | null;
  /** Always empty: plain numbers have no variables. */
  params: never[];
  /** What gave the Jacobians of func. */
  jacobiansBy: 'vjp' | 'finite differences';
}

/** How the gradient is to be computed. */
export interface PlainAdjoint {
  mode: Mode;
  vjp: PlainVjp | undefined;
  checkpoints: number;
  adjoint: AdjointOptions;
}

/** What `odeintVjp` returns on plain numbers. */
interface PlainSolution {
  ys: unknown;
  vjp: (gys: unknown) => PlainGradients;
  dispose: () => void;
}

/** Solves on plain numbers, recording what the way back needs. */
export function* plainSolve(
  stepper: Stepper,
  func: unknown,
  y0: unknown,
  times: Float64Array,
  options: AnyOptions,
  how: PlainAdjoint,
): Reading<PlainSolution> {
  const { mode } = how;
  const { args } = options;
  const atSolve = args instanceof Float64Array ? args.slice() : undefined;
  const prepared = prepare(stepper, func, y0, times, options, [...solveNames, 'vjp']);
  const problem = prepared.problem as Problem<Float64Array>;
  const back = solvesBackward(mode)
    ? backwardSolve({ func, stepper, times, options }, y0, how.adjoint)
    : null;
  if (back) checkTolerances(how.adjoint, (y0 as ArrayLike<number>).length);
  const kept = {
    checkpoint: how.checkpoints,
    interpolating: Infinity,
    backsolve: 'end',
    reversible: 'end',
  } as const;
  if (mode !== 'backsolve') adjointOf(stepper, mode);
  const { recording, outputs } = yield* recordSolve(problem, times, kept[mode], problem.space.sibling());
  const ys = prepared.stack(outputs) as Float64Array[];
  const size = ys[0].length;
  const solved: Solved = {
    ...{ problem, times, recording, outputs, how, back, size },
    count: outputs[0].length - size,
    args,
    options,
  };
  let disposed = false;
  return {
    ys: options.quadrature ? [ys, prepared.stackQuadratures(outputs)] : ys,
    vjp: (gys) => {
      if (disposed) throw disposedSolution();
      const cotangents = checkCotangents(gys, solved, options.quadrature !== undefined);
      return withArgs(args, atSolve, () => plainGradients(solved, cotangents));
    },
    dispose: () => {
      disposed = true;
      recording.kept.clear();
    },
  };
}

/* Those of the backward solve, which would otherwise wait for it. */
function checkTolerances({ adjointRtol, adjointAtol }: AdjointOptions, size: number): void {
  if (adjointRtol !== undefined) componentTolerances('rtol', adjointRtol, size, 'adjointRtol');
  if (adjointAtol !== undefined) componentTolerances('atol', adjointAtol, size, 'adjointAtol');
}

/** The error of a gradient that is asked for too late. */
export const disposedSolution = (): InvalidArgumentError =>
  new InvalidArgumentError('the solution was disposed; call vjp before dispose().');

interface Solved {
  problem: Problem<Float64Array>;
  times: Float64Array;
  recording: Recording<Float64Array>;
  outputs: readonly Float64Array[];
  how: PlainAdjoint;
  /** Of a mode that solves backward. */
  back: BackwardSolve | null;
  /** Numbers in y, and quadratures behind them. */
  size: number;
  count: number;
  args: unknown;
  options: AnyOptions;
}

/* One array per output time, the quadratures' cotangents behind those of the state. */
function checkCotangents(gys: unknown, { outputs, size, count }: Solved, paired: boolean): Float64Array[] {
  if (!paired) return checkRows(gys, outputs.length, size, 'gys').map((row) => Float64Array.from(row));
  if (!Array.isArray(gys) || gys.length !== 2) {
    throw new InvalidArgumentError(`gys is ${describe(gys)}; expected [gys, gqs], as in ys.`);
  }
  const sides = checkRows(gys[1], outputs.length, count, 'gys[1]');
  return checkRows(gys[0], outputs.length, size, 'gys[0]').map((row, i) =>
    Float64Array.from([...Array.from(row), ...Array.from(sides[i])]),
  );
}

function checkRows(rows: unknown, times: number, size: number, name: string): readonly ArrayLike<number>[] {
  const given = rows as readonly ArrayLike<number>[];
  if (Array.isArray(rows) && rows.length === times && given.every((row) => row?.length === size)) {
    return given;
  }
  throw new InvalidArgumentError(
    `${name} is ${describe(rows)}; expected ${times} arrays of ${size} numbers, as in ys.`,
  );
}

function plainGradients(solved: Solved, cotangents: readonly Float64Array[]): PlainGradients {
  const { problem, times, outputs, how, size, count, args } = solved;
  const system = problem.system.on(problem.space.sibling());
  const toArgs = args instanceof Float64Array ? new Float64Array(args.length) : null;
  const sizes = Float64Array.from({ length: size }, (_, i) =>
    outputs.reduce((most, y) => Math.max(most, Math.abs(y[i])), 0),
  );
  const products = productsOf(system, sizes, count, args, how.vjp);
  const way = how.mode === 'checkpoint' || how.mode === 'reversible' ? discrete : continuous;
  const atStart = way(solved, system, products, cotangents, toArgs);
  system.restrict(-Infinity, Infinity);
  const slope = (i: number) => system.evaluate(times[i], outputs[i]);
  return {
    y0: atStart.slice(0, size).map((value, j) => value + cotangents[0][j]),
    t: times.map((_, i) => (i === 0 ? -dot(atStart, slope(0)) : dot(cotangents[i], slope(i)))),
    args: toArgs,
    params: [],
    jacobiansBy: products.by,
  };
}

/* a(t0) without the first cotangent, that of the quadratures behind it. */
function discrete(
  { problem, times, recording, outputs, how, options, size }: Solved,
  system: Sweep<Float64Array>['system'],
  products: Products,
  cotangents: readonly Float64Array[],
  toArgs: Float64Array | null,
): Float64Array {
  const { stepper } = problem;
  const sweep: Sweep<Float64Array> = {
    ...{ system, stepper, times, recording, duals: system.space, checkpoints: how.checkpoints },
    adjoint: adjointOf(stepper, how.mode),
    cotangentOf: (i) => cotangents[i].slice(),
    linearize: (t, y) => ({
      slope: system.evaluate(t, y),
      pullback: (lambda) => {
        const found = new Float64Array(lambda.length);
        found.set(products.toState(system.seen(t), y.subarray(0, size), lambda, toArgs));
        return found;
      },
      dispose: () => undefined,
    }),
  };
  const zero = new Float64Array(outputs[0].length);
  if (how.mode !== 'reversible') return reverseSolve(sweep) ?? zero;
  const { lambda, start } = retraceSolve(sweep);
  if (start) {
    const [was, first, last] = [start, outputs[0], outputs[outputs.length - 1]].map((y) =>
      y.subarray(0, size),
    );
    const drift = plainDistance(was, first, last, largestTolerance(options.atol, 1e-9));
    reportDrift('reversible', drift, largestTolerance(options.rtol, 1e-7));
  }
  return lambda ?? zero;
}

function continuous(
  { problem, times, recording, outputs, how, back, size, count, options }: Solved,
  system: Sweep<Float64Array>['system'],
  products: Products,
  cotangents: readonly Float64Array[],
  toArgs: Float64Array | null,
): Float64Array {
  const path = how.mode === 'interpolating' ? new RecordedTrajectory(problem, recording) : null;
  const trajectory = path && ((t: number) => path.at(t, (y) => y.slice(0, size)));
  const args = toArgs?.length ?? 0;
  const norm = options.norm as Float64NormFunction | undefined;
  const way = { system, size, count, times, back: back!, norm, products, args, trajectory };
  const found = plainBacksolve(way, outputs, cotangents);
  toArgs?.set(found.toArgs);
  return times.length > 1 ? found.atStart : new Float64Array(size + count);
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
