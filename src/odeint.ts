import { resolveMethod } from '../solvers/index.js';
import type { Scalar } from '@tensorflow/tfjs-core';
import type { AnyOptions } from './core/build_problem.js';
import { MissingGradientError } from './core/errors.js';
import type { PlainEventFunc, TensorEventFunc } from './core/events.js';
import { withTimes } from './core/held.js';
import { checkOptionsRecord } from './core/options.js';
import { runAsync } from './core/reading.js';
import { isTapeActive } from './core/tape.js';
import type { TimeGrid } from './core/times.js';
import type { TreeOf } from './core/tree.js';
import type {
  InPlaceFunc,
  InPlaceOptions,
  InPlaceQuadratureOptions,
  PlainFunc,
  PlainOptions,
  PlainQuadratureOptions,
  PlainState,
  QuadratureOptions,
  TensorFunc,
  TensorOptions,
  TreeLike,
} from './core/types.js';
import {
  eventNames,
  eventOutput,
  eventSolution,
  hasEvent,
  solveToEvent,
  type AnyEventOptions,
  type EventSolveOptions,
} from './event_solve.js';
import { outputOf, solveGrid, solveGridSync, type GridRun, type GridSolution } from './odeint_with.js';

/**
 * Solves the initial value problem `dy/dt = func(t, y)`, `y(t[0]) = y0`, and returns `y` at the times `t`.
 *
 * On tensors the result is differentiable by tfjs's tape (`tf.grads`, `tf.variableGrads`), in `y0`, in `t` when it is
 * a tensor, and in every variable and tensor that `func` uses. For gradients at constant memory see `odeintAdjoint`.
 *
 * @param func The vector field `(t, y, args) => dy`. On tensors `t` is a scalar and `dy` has the structure, shapes and
 *   dtype of `y`; on plain numbers `t` is a number and `y` a `Float64Array`.
 * @param y0 Initial state: a float32 tensor, a tree of them (arrays, records), or a `number[]` / `Float64Array`, which
 *   is solved in float64 without tfjs.
 * @param t Output times, strictly increasing or decreasing, beginning with that of `y0`.
 * @param options Method, tolerances and everything else; unknown names throw. With `eventFn` the solve ends at its first
 *   root: only `t[0]` and the direction of `t` count then, and `maxTime` bounds the search.
 * @returns The structure of `y0` with a leading time axis, `[T, ...shape]`; for plain numbers T `Float64Array`s. With
 *   `quadrature` `[ys, qs]`; with `eventFn` `[eventT, ys]`, where `ys` are the states at `t[0]` and at the event.
 * @throws {@link InvalidArgumentError} for input that cannot be used; {@link MaxStepsError},
 *   {@link StepUnderflowError}, {@link NonFiniteStateError} when the solve fails; {@link NoEventError} when `eventFn` has
 *   no root; {@link AbortedError} when its signal is triggered.
 *
 * @example
 * ```ts
 * // A pendulum, in float64.
 * const ys = odeint((t, [angle, speed]) => [speed, -Math.sin(angle)], [1, 0], [0, 5, 10]);
 * console.log(ys[2][0]);
 * ```
 */
export function odeint<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options?: TensorOptions<Y, Args>,
): TreeLike<Y>;
export function odeint<Y extends TreeOf<Y>, Q extends TreeOf<Q>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: QuadratureOptions<Y, Q, Args>,
): [TreeLike<Y>, TreeLike<Q>];
export function odeint<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: TensorOptions<Y, Args> & EventSolveOptions<TensorEventFunc<Y, Args>>,
): [Scalar, TreeLike<Y>];
export function odeint<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: PlainOptions<Args> & EventSolveOptions<PlainEventFunc<Args>>,
): [number, Float64Array[]];
export function odeint<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: InPlaceOptions<Args>,
): Float64Array[];
export function odeint<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: InPlaceQuadratureOptions<Args>,
): [Float64Array[], Float64Array[]];
export function odeint<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: PlainQuadratureOptions<Args>,
): [Float64Array[], Float64Array[]];
export function odeint<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options?: PlainOptions<Args>,
): Float64Array[];
export function odeint(func: unknown, y0: unknown, t: unknown, options: AnyOptions = {}): unknown {
  checkOptionsRecord(options);
  const stepper = resolveMethod(options.method);
  const run = { extraOptions: eventNames };
  if (!hasEvent(options)) return outputOf(solveGridSync(stepper, func, y0, t, options, run));
  return eventSolution(stepper, func, y0, t, options, (start, times, rest) =>
    outputOf(solveGridSync(stepper, func, start, times, rest)),
  );
}

/**
 * `odeint` that awaits every read from the device, as WebGPU needs, and lets timers and input run in between.
 *
 * `y0` and `t` may be disposed as soon as it has returned.
 *
 * @returns A promise of what `odeint` returns.
 * @throws As `odeint`, by rejection; at once {@link MissingGradientError} inside `tf.grad` and its like, whose tape is
 *   synchronous.
 */
export function odeintAsync<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options?: TensorOptions<Y, Args>,
): Promise<TreeLike<Y>>;
export function odeintAsync<Y extends TreeOf<Y>, Q extends TreeOf<Q>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: QuadratureOptions<Y, Q, Args>,
): Promise<[TreeLike<Y>, TreeLike<Q>]>;
export function odeintAsync<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: TensorOptions<Y, Args> & EventSolveOptions<TensorEventFunc<Y, Args>>,
): Promise<[Scalar, TreeLike<Y>]>;
export function odeintAsync<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: PlainOptions<Args> & EventSolveOptions<PlainEventFunc<Args>>,
): Promise<[number, Float64Array[]]>;
export function odeintAsync<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: InPlaceOptions<Args>,
): Promise<Float64Array[]>;
export function odeintAsync<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: InPlaceQuadratureOptions<Args>,
): Promise<[Float64Array[], Float64Array[]]>;
export function odeintAsync<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: PlainQuadratureOptions<Args>,
): Promise<[Float64Array[], Float64Array[]]>;
export function odeintAsync<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options?: PlainOptions<Args>,
): Promise<Float64Array[]>;
export function odeintAsync(
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyOptions = {},
): Promise<unknown> {
  refuseTape('odeintAsync', 'odeint');
  if (!hasEvent(options))
    return solveGridAsync(func, y0, t, options, { extraOptions: eventNames }).then(outputOf);
  return eventLater(func, y0, t, options);
}

async function eventLater(
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyEventOptions,
): Promise<unknown> {
  checkOptionsRecord(options);
  const stepper = resolveMethod(options.method);
  return withTimes(t, y0, async (times, start) =>
    eventOutput(await runAsync(solveToEvent(stepper, func, start, times, options, [], true))),
  );
}

/** Like `solveGridSync`, awaiting what is read. */
export async function solveGridAsync(
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyOptions,
  run: GridRun = {},
): Promise<GridSolution> {
  checkOptionsRecord(options);
  const stepper = resolveMethod(options.method);
  return withTimes(t, y0, (times, start) =>
    runAsync(solveGrid(stepper, func, start, times, options, { ...run, breathing: true })),
  );
}

/**
 * Throws while a gradient is being taken: what is awaited is not on tfjs's tape. To be called before any promise is
 * made: tfjs's loss would drop a rejected one.
 */
export function refuseTape(name: string, instead: string): void {
  if (!isTapeActive()) return;
  throw new MissingGradientError(
    `${name} was called while a gradient is being taken, and tfjs records synchronous code only: its result would ` +
      `silently get no gradient. Use ${instead} inside tf.grad and tf.variableGrads.`,
  );
}
