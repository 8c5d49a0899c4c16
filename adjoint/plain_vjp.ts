import type { ExplicitRungeKutta } from '../solvers/index.js';
import type { AnyOptions } from '../src/core/build_problem.js';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { prepare } from '../src/core/prepare.js';
import type { Problem } from '../src/core/problem.js';
import type { Reading } from '../src/core/reading.js';
import type { Stepper } from '../src/core/stepper.js';
import { recordSolve, reverseSolve, type Recording } from './checkpoint.js';
import { rungeKutta } from './modes.js';

/** Products of `lambda` with the Jacobians of func at `(t, y, args)`. */
export type PlainVjp<Args = unknown> = (
  t: number,
  y: Float64Array,
  args: Args,
  lambda: Float64Array,
) => { y: ArrayLike<number>; t?: number; args?: ArrayLike<number> };

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
  vjp?: PlainVjp;
  checkpoints?: number;
}

/** Solves on plain numbers, recording what the way back needs. */
export function* plainSolve(
  stepper: Stepper,
  func: unknown,
  y0: unknown,
  times: Float64Array,
  options: AnyOptions,
  { vjp, checkpoints = Infinity }: PlainAdjoint,
): Reading<{ ys: Float64Array[]; vjp: (gys: unknown) => PlainGradients; dispose: () => void }> {
  const method = rungeKutta(stepper, 'checkpoint');
  const problem = prepare(method, func, y0, times, options).problem as Problem<Float64Array>;
  const { recording, outputs } = yield* recordSolve(problem, times, checkpoints, problem.space.sibling());
  const solved: Solved = { problem, method, times, recording, outputs, checkpoints };
  return {
    ys: outputs.map((y) => y.slice()),
    vjp: (gys) => plainGradients(solved, checkRows(gys, outputs), options.args, vjp),
    dispose: () => recording.kept.clear(),
  };
}

interface Solved {
  problem: Problem<Float64Array>;
  method: ExplicitRungeKutta;
  times: Float64Array;
  recording: Recording<Float64Array>;
  outputs: readonly Float64Array[];
  checkpoints: number;
}

function checkRows(gys: unknown, outputs: readonly Float64Array[]): readonly ArrayLike<number>[] {
  const rows = gys as readonly ArrayLike<number>[];
  const size = outputs[0].length;
  if (Array.isArray(gys) && gys.length === outputs.length && rows.every((row) => row?.length === size))
    return rows;
  throw new InvalidArgumentError(
    `gys is ${describe(gys)}; expected ${outputs.length} arrays of ${size} numbers, as in ys.`,
  );
}

function plainGradients(
  { problem, method, times, recording, outputs, checkpoints }: Solved,
  gys: readonly ArrayLike<number>[],
  args: unknown,
  userVjp: PlainVjp | undefined,
): PlainGradients {
  if (recording.kept.size === 0) {
    throw new InvalidArgumentError('the recorded steps were disposed; call vjp before dispose().');
  }
  const space = problem.space.sibling();
  const system = problem.system.on(space);
  const toArgs = args instanceof Float64Array ? new Float64Array(args.length) : null;
  const f = (t: number, y: Float64Array): Float64Array => system.evaluate(t, y);
  const products = userVjp ? checkedVjp(userVjp, args, toArgs) : differences(f, args, toArgs);
  const lambda = reverseSolve({
    system,
    stepper: method,
    tableau: method.tableau,
    times,
    recording,
    checkpoints,
    cotangentOf: (i) => Float64Array.from(gys[i]),
    vjp: products,
  });
  const atStart = lambda ?? new Float64Array(outputs[0].length);
  system.restrict(-Infinity, Infinity);
  const slope = (i: number) => f(times[i], outputs[i]);
  return {
    y0: atStart.map((value, j) => value + gys[0][j]),
    t: times.map((_, i) => (i === 0 ? -dot(atStart, slope(0)) : dot(gys[i], slope(i)))),
    args: toArgs,
    params: [],
    jacobiansBy: userVjp ? 'vjp' : 'finite differences',
  };
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/* The user's products; those with args are added up in `toArgs`. */
function checkedVjp(vjp: PlainVjp, args: unknown, toArgs: Float64Array | null) {
  return (t: number, y: Float64Array, lambda: Float64Array): Float64Array => {
    const found = vjp(t, y, args, lambda);
    if (found?.y?.length !== y.length) {
      throw new InvalidArgumentError(
        `vjp returned ${describe(found)}; expected { y, args? } with lambda^T df/dy, ${y.length} numbers, as y.`,
      );
    }
    if (toArgs && found.args?.length !== toArgs.length) {
      throw new InvalidArgumentError(
        `vjp returned ${describe(found.args)} as args; expected lambda^T df/dargs, ${toArgs.length} numbers.`,
      );
    }
    for (let i = 0; toArgs && i < toArgs.length; i++) toArgs[i] += found.args![i];
    return Float64Array.from(found.y);
  };
}

/* Central differences of lambda . f, in y and in args. */
function differences(
  f: (t: number, y: Float64Array) => Float64Array,
  args: unknown,
  toArgs: Float64Array | null,
) {
  const partial = (point: Float64Array, i: number, value: () => number): number => {
    const x = point[i];
    const step = Math.cbrt(Number.EPSILON) * Math.max(1, Math.abs(x));
    point[i] = x + step;
    const above = value();
    const up = point[i];
    point[i] = x - step;
    const below = value();
    const width = up - point[i];
    point[i] = x;
    return (above - below) / width;
  };
  return (t: number, y: Float64Array, lambda: Float64Array): Float64Array => {
    const product = () => dot(lambda, f(t, y));
    const toState = y.map((_, i) => partial(y, i, product));
    if (toArgs) toArgs.forEach((_, i) => (toArgs[i] += partial(args as Float64Array, i, product)));
    return toState;
  };
}
