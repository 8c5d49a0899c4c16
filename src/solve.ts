import { resolveMethod } from '../solvers/index.js';
import type { AnyOptions } from './core/build_problem.js';
import {
  AbortedError,
  describe,
  InvalidArgumentError,
  MaxStepsError,
  NonFiniteStateError,
  type OdeError,
  type SolveStats,
} from './core/errors.js';
import { checkOptionsRecord } from './core/options.js';
import type { TimeGrid } from './core/times.js';
import type { TreeOf } from './core/tree.js';
import type {
  InPlaceFunc,
  InPlaceOptions,
  PlainFunc,
  PlainOptions,
  PlainQuadratureOptions,
  PlainState,
  QuadratureOptions,
  TensorFunc,
  TensorOptions,
  TreeLike,
} from './core/types.js';
import { refuseTape, solveGridAsync } from './odeint.js';
import { solveGridSync, type GridSolution } from './odeint_with.js';

/** How a solve ended. */
export type SolveStatus = 'success' | 'event' | 'max-steps' | 'step-underflow' | 'non-finite' | 'aborted';

/** The result of `solve`. */
export interface Solution<Y> {
  /** The part of the output times that was reached; all of it on success. */
  t: Float64Array;
  /** States at these times, as `odeint` returns them. */
  y: Y;
  status: SolveStatus;
  /** What the status means here, and what to do about it. */
  message: string;
  stats: SolveStats;
}

/** Options only `solve` takes. */
export interface SolveOnlyOptions {
  /** `false` returns the part that was solved, with its status, where an error would be thrown. Default `true`. */
  throwOnFailure?: boolean;
}

const extraOptions = ['throwOnFailure'];

/**
 * `odeint` with an account of how it went.
 *
 * @param func The vector field, as for `odeint`.
 * @param y0 Initial state, as for `odeint`.
 * @param t Output times, as for `odeint`.
 * @param options Those of `odeint`, and `throwOnFailure`.
 * @returns Times reached, states, status, message, and counters.
 * @throws As `odeint`. With `throwOnFailure: false` only {@link InvalidArgumentError}, and what `func` throws.
 *
 * @example
 * ```ts
 * const { t, y, status, stats } = solve((t, y) => [y[0] ** 2], [1], [0, 0.5, 2], { throwOnFailure: false });
 * console.log(status, t, y[1][0], stats.nfe); // the solution ends at t = 1
 * ```
 */
export function solve<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options?: TensorOptions<Y, Args> & SolveOnlyOptions,
): Solution<TreeLike<Y>>;
export function solve<Y extends TreeOf<Y>, Q extends TreeOf<Q>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: QuadratureOptions<Y, Q, Args> & SolveOnlyOptions,
): Solution<TreeLike<Y>> & { quadrature: TreeLike<Q> };
export function solve<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: InPlaceOptions<Args> & SolveOnlyOptions,
): Solution<Float64Array[]>;
export function solve<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: PlainQuadratureOptions<Args> & SolveOnlyOptions,
): Solution<Float64Array[]> & { quadrature: Float64Array[] };
export function solve<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options?: PlainOptions<Args> & SolveOnlyOptions,
): Solution<Float64Array[]>;
export function solve(
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyOptions & SolveOnlyOptions = {},
): Solution<unknown> {
  checkOptionsRecord(options);
  const run = { extraOptions, keepGoing: keepsGoing(options) };
  return describeSolution(solveGridSync(resolveMethod(options.method), func, y0, t, options, run));
}

/**
 * `solve` that awaits every read from the device. `y0` and `t` may be disposed as soon as it has returned.
 *
 * @returns A promise of what `solve` returns.
 * @throws As `solve`, by rejection; at once {@link MissingGradientError} while a gradient is being taken.
 */
export function solveAsync<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options?: TensorOptions<Y, Args> & SolveOnlyOptions,
): Promise<Solution<TreeLike<Y>>>;
export function solveAsync<Y extends TreeOf<Y>, Q extends TreeOf<Q>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: QuadratureOptions<Y, Q, Args> & SolveOnlyOptions,
): Promise<Solution<TreeLike<Y>> & { quadrature: TreeLike<Q> }>;
export function solveAsync<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: InPlaceOptions<Args> & SolveOnlyOptions,
): Promise<Solution<Float64Array[]>>;
export function solveAsync<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: PlainQuadratureOptions<Args> & SolveOnlyOptions,
): Promise<Solution<Float64Array[]> & { quadrature: Float64Array[] }>;
export function solveAsync<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options?: PlainOptions<Args> & SolveOnlyOptions,
): Promise<Solution<Float64Array[]>>;
export function solveAsync(
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyOptions & SolveOnlyOptions = {},
): Promise<Solution<unknown>> {
  refuseTape('solveAsync', 'solve');
  return describeAsync(func, y0, t, options);
}

async function describeAsync(
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyOptions & SolveOnlyOptions,
): Promise<Solution<unknown>> {
  const run = { extraOptions, keepGoing: keepsGoing(options) };
  return describeSolution(await solveGridAsync(func, y0, t, options, run));
}

function keepsGoing(options: SolveOnlyOptions | null): boolean {
  const throws = options?.throwOnFailure ?? true;
  if (typeof throws === 'boolean') return !throws;
  throw new InvalidArgumentError(`throwOnFailure is ${describe(throws)}; expected true or false.`);
}

function describeSolution(solution: GridSolution): Solution<unknown> {
  const { t, y, quadratures, failure, stats } = solution;
  const status = failure ? statusOf(failure) : 'success';
  const message = failure?.message ?? `reached t = ${t[t.length - 1]} in ${stats.accepted} steps.`;
  const sides = quadratures === undefined ? {} : { quadrature: quadratures };
  return { t, y, ...sides, status, message, stats: { ...stats } };
}

function statusOf(failure: OdeError): SolveStatus {
  if (failure instanceof MaxStepsError) return 'max-steps';
  if (failure instanceof NonFiniteStateError) return 'non-finite';
  if (failure instanceof AbortedError) return 'aborted';
  return 'step-underflow';
}
