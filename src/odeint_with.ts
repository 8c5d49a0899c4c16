import { tidy, type Tensor, type Tensor1D } from '@tensorflow/tfjs-core';
import { stepperOf } from '../solvers/stepper_of.js';
import type { ButcherTableau } from '../solvers/tableau.js';
import type { AnyOptions } from './core/build_problem.js';
import { collect, type Collected } from './core/collect.js';
import { describe, InvalidArgumentError, type SolveStats } from './core/errors.js';
import { verifyGradients } from './core/gradient_repair.js';
import { checkOptionsRecord } from './core/options.js';
import { prepare, type AnyPrepared } from './core/prepare.js';
import type { Reading } from './core/reading.js';
import { runSync } from './core/reading.js';
import type { Stepper } from './core/stepper.js';
import { isTapeActive, recordedOrForgotten } from './core/tape.js';
import { leafField, type TensorField } from './core/tensor_kind.js';
import { flatField, linkOutputTimes, linkStartTime } from './core/time_gradient.js';
import { readTimes, type TimeGrid } from './core/times.js';
import { flattenTree, isTensor, unflattenTree, type TreeOf } from './core/tree.js';
import type {
  InPlaceFunc,
  InPlaceOptions,
  PlainFunc,
  PlainOptions,
  PlainState,
  TensorFunc,
  TensorOptions,
  TreeLike,
} from './core/types.js';

/** What every entry point on a grid of times computes. */
export interface GridSolution {
  /** Output in the caller's structure. */
  y: unknown;
  /** The part of the grid it covers. */
  t: Float64Array;
  failure: Collected<unknown>['failure'];
  stats: SolveStats;
}

/** How a grid of times is solved. */
export interface GridRun {
  keepGoing?: boolean;
  breathing?: boolean;
  /** Further option names of the entry point. */
  extraOptions?: readonly string[];
}

/** Solves on a grid of times; the driver of the caller answers the reads. */
export function solveGrid(
  stepper: Stepper,
  func: unknown,
  y0: unknown,
  times: Float64Array,
  options: AnyOptions,
  run: GridRun = {},
): Reading<GridSolution> {
  return solvePrepared(prepare(stepper, func, y0, times, options, run.extraOptions), times, run);
}

/* A function of its own: each generator function made anew costs the engine several times a short solve. */
function* solvePrepared(prepared: AnyPrepared, times: Float64Array, run: GridRun): Reading<GridSolution> {
  const { problem } = prepared;
  const { states, failure } = yield* collect(problem, times, run);
  try {
    const y = prepared.stack(states);
    return { y, t: times.slice(0, states.length), failure, stats: problem.system.stats };
  } finally {
    for (const state of states) problem.space.release(problem.space.adopt(state));
  }
}

/**
 * Like `solveGrid`, run at once; while a gradient is being taken and `t` is a tensor, the gradient reaches it.
 */
export function solveGridSync(
  stepper: Stepper,
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyOptions,
  run: GridRun = {},
): GridSolution {
  const times = readTimes(t);
  const taped = isTapeActive();
  if (taped) verifyGradients();
  const start = taped && isTensor(t) ? startLeaves(y0) : null;
  if (!start) return runSync(solveGrid(stepper, func, y0, times, options, run));
  const field = leafField(func as TensorField<never>, y0, options.args);
  const { structure, leaves } = field;
  const sizes = leaves.map((leaf) => leaf.size);
  const flat = flatField(field, { sizes, shapes: leaves.map((leaf) => leaf.shape) });
  let solution!: GridSolution;
  const linked = recordedOrForgotten(() =>
    tidy((): Tensor[] => {
      const moved = unflattenTree(structure, linkStartTime(flat, leaves, t as Tensor1D, times));
      solution = runSync(solveGrid(stepper, func, moved, times, options, run));
      const covered = flattenTree(solution.y, 'y').leaves;
      // Of a solve that ended early only part of t has outputs.
      return linkOutputTimes(flat, covered, t as Tensor1D, solution.t);
    }),
  );
  return { ...solution, y: unflattenTree(structure, linked) };
}

/* The leaves of a state of tensors; anything else takes the plain way, which explains what is wrong. */
function startLeaves(y0: unknown): Tensor[] | null {
  try {
    return flattenTree(y0, 'y0').leaves;
  } catch {
    return null;
  }
}

/**
 * `odeint` for one method without the registry of names, so that a bundler leaves the other methods out.
 *
 * @param method A tableau, for example `dopri5` from `tfjs-diffeq/solvers`, or a stepper.
 * @returns As `odeint`.
 * @throws As `odeint`; {@link InvalidArgumentError} for the name of a method.
 *
 * @example
 * ```ts
 * import { odeintWith } from 'tfjs-diffeq';
 * import { rk4 } from 'tfjs-diffeq/solvers';
 *
 * const ys = odeintWith(rk4, (t, y) => [-y[0]], [1], [0, 1], { stepSize: 0.1 });
 * ```
 */
export function odeintWith<Y extends TreeOf<Y>, Args = unknown>(
  method: Stepper | ButcherTableau,
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options?: Omit<TensorOptions<Y, Args>, 'method'>,
): TreeLike<Y>;
export function odeintWith<Args = unknown>(
  method: Stepper | ButcherTableau,
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: Omit<InPlaceOptions<Args>, 'method'>,
): Float64Array[];
export function odeintWith<Args = unknown>(
  method: Stepper | ButcherTableau,
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options?: Omit<PlainOptions<Args>, 'method'>,
): Float64Array[];
export function odeintWith(
  method: unknown,
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyOptions = {},
): unknown {
  checkOptionsRecord(options);
  const stepper = stepperOf(method);
  if (!stepper) throw notAStepper(method);
  if (options.method === undefined) return solveGridSync(stepper, func, y0, t, options).y;
  throw new InvalidArgumentError(
    "odeintWith has its method as first argument; remove the option, or call odeint, which takes 'method'.",
  );
}

function notAStepper(method: unknown): InvalidArgumentError {
  const name = typeof method === 'string' && /^\w+$/.test(method) ? method : 'rk4';
  const variable = name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return new InvalidArgumentError(
    `odeintWith received ${describe(method)} as its method; expected a ButcherTableau or a Stepper. Names need odeint; ` +
      `here import { ${variable} } from 'tfjs-diffeq/solvers' and pass it first.`,
  );
}
