import { engine, tidy, type Scalar, type Tensor, type Tensor1D, type Variable } from '@tensorflow/tfjs-core';
import { resolveMethod } from '../solvers/index.js';
import type { AnyOptions } from '../src/core/build_problem.js';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import type { PlainEventFunc, TensorEventFunc } from '../src/core/events.js';
import { isPlainState } from '../src/core/float64_kind.js';
import { withTimes } from '../src/core/held.js';
import { checkFunction, checkOptionsRecord, type Float64NormFunction } from '../src/core/options.js';
import { runAsync, runSync, type Reading } from '../src/core/reading.js';
import { withFreshTape } from '../src/core/tape.js';
import type { LeafField } from '../src/core/leaf_field.js';
import { outputTree, solveField } from '../src/core/quadrature.js';
import { readTimes, type TimeGrid } from '../src/core/times.js';
import {
  isTensor,
  leavesLike,
  pathTo,
  tensorsIn,
  unflattenTree,
  type Structure,
  type TreeOf,
} from '../src/core/tree.js';
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
} from '../src/core/types.js';
import { requireGradients } from '../src/core/vjp.js';
import { hasEvent, type AnyEventOptions, type EventSolveOptions } from '../src/event_solve.js';
import {
  checkArgs,
  checkModeOptions,
  chosenMode,
  findParameters,
  forwardOptions,
  planAdjoint,
  solveNames,
  warnOfUnread,
  type AdjointOptions,
} from './adjoint_options.js';
import { chooseMode, type ForwardSolve } from './modes.js';
import { plainEventVjp, tensorEventVjp } from './event_vjp.js';
import type { PlainVjp } from './plain_products.js';
import { disposedSolution, plainSolve, type PlainGradients } from './plain_vjp.js';

/** Gradients with respect to everything a solve on tensors depends on. They belong to the caller. */
export type TensorGradients<Y> = {
  y0: Y;
  /** One per output time. */
  t: Tensor1D;
  /** One per entry of `params`, or per variable that func reads. */
  params: Tensor[];
  /** One per float32 tensor in `args`, in the order of its keys. */
  args: Tensor[];
};

/** A solution with its vector-Jacobian product. */
export interface SolutionVjp<Ys, Gradients> {
  /** What `odeint` returns. */
  ys: Ys;
  /** Gradients of a loss from `gys = dL/dys`, a structure like `ys`; may be called repeatedly until `dispose()`. */
  vjp(this: void, gys: Ys): Gradients;
  /** Frees what the gradient needs; `ys` stays. */
  dispose(this: void): void;
}

/** A solution that ends at an event, with its vector-Jacobian product. */
export interface EventSolutionVjp<EventT, Ys, Gradients> extends Omit<SolutionVjp<Ys, Gradients>, 'vjp'> {
  /** The event's time. */
  eventT: EventT;
  /** Gradients of a loss from `gys = dL/dys` and `gEventT = dL/deventT`; of `t` only `t[0]` has one. */
  vjp(this: void, gys: Ys, gEventT?: EventT | number): Gradients;
}

/**
 * The functional form of a differentiable solve: what `odeintAdjoint` is made of, for plain numbers, for people with a
 * vector-Jacobian product of their own, and for where tfjs's tape does not reach.
 *
 * On plain numbers give
 * `vjp(t, y, args, lambda) => { y, args? }` with `lambda^T df/dy`, `lambda^T df/dargs`, or central
 * differences stand for it, at `2 n` evaluations each and an accuracy of about ten digits. `args` is differentiated
 * when it is a `Float64Array`; `vjp` sees it as it was at the solve. Of tensors, the parameters must not change before
 * `vjp`, and what the gradient needs is kept until `dispose()`, in `tf.tidy` too.
 *
 * @param func The vector field, as for `odeint`.
 * @param y0 Initial state, as for `odeint`.
 * @param t Output times, as for `odeint`.
 * @param options Those of `odeint` and `odeintAdjoint`; `adjoint` is `'checkpoint'` by default.
 * @returns `ys`, and `vjp(gys)` that returns the gradients towards `y0`, `t`, `params` and `args`. With `eventFn` also
 *   `eventT`, and `vjp(gys, gEventT)`; the derivatives of an `eventFn` on plain numbers are central differences.
 * @throws As `odeint` and `odeintAdjoint`.
 *
 * @example
 * ```ts
 * // d y(1) / d y0 and d y(1) / d rate of y' = -rate y.
 * const { ys, vjp } = odeintVjp((t, y, [rate]) => [-rate * y[0]], [1], [0, 1], {
 *   args: Float64Array.of(0.5),
 *   vjp: (t, y, [rate], lambda) => ({ y: [-rate * lambda[0]], args: [-y[0] * lambda[0]] }),
 * });
 * const { y0, args } = vjp([Float64Array.of(0), Float64Array.of(1)]);
 * console.log(ys[1][0], y0[0], args![0]); // exp(-0.5), exp(-0.5), -exp(-0.5)
 * ```
 */
export function odeintVjp<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options?: TensorOptions<Y, Args> & AdjointOptions,
): SolutionVjp<TreeLike<Y>, TensorGradients<TreeLike<Y>>>;
export function odeintVjp<Y extends TreeOf<Y>, Q extends TreeOf<Q>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: QuadratureOptions<Y, Q, Args> & AdjointOptions,
): SolutionVjp<[TreeLike<Y>, TreeLike<Q>], TensorGradients<TreeLike<Y>>>;
export function odeintVjp<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: TensorOptions<Y, Args> & AdjointOptions & EventSolveOptions<TensorEventFunc<Y, Args>>,
): EventSolutionVjp<Scalar, TreeLike<Y>, TensorGradients<TreeLike<Y>>>;
export function odeintVjp<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: PlainOptions<Args> & PlainVjpOptions<Args> & EventSolveOptions<PlainEventFunc<Args>>,
): EventSolutionVjp<number, Float64Array[], PlainGradients>;
export function odeintVjp<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: InPlaceOptions<Args> & PlainVjpOptions<Args>,
): SolutionVjp<Float64Array[], PlainGradients>;
export function odeintVjp<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: InPlaceQuadratureOptions<Args> & PlainVjpOptions<Args>,
): SolutionVjp<[Float64Array[], Float64Array[]], PlainGradients>;
export function odeintVjp<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: PlainQuadratureOptions<Args> & PlainVjpOptions<Args>,
): SolutionVjp<[Float64Array[], Float64Array[]], PlainGradients>;
export function odeintVjp<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options?: PlainOptions<Args> & PlainVjpOptions<Args>,
): SolutionVjp<Float64Array[], PlainGradients>;
export function odeintVjp(func: unknown, y0: unknown, t: unknown, options: AnyVjpOptions = {}): unknown {
  checkOptionsRecord(options);
  return runSync(solutionVjp(func, y0, readTimes(t), options));
}

/**
 * `odeintVjp` that awaits every read from the device while it solves. On tensors its `vjp` runs the recorded steps
 * backward, which reads nothing.
 *
 * @returns A promise of what `odeintVjp` returns.
 * @throws As `odeintVjp`, by rejection; {@link InvalidArgumentError} for adjoints of tensors other than `'checkpoint'`.
 */
export function odeintVjpAsync<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options?: TensorOptions<Y, Args> & AdjointOptions,
): Promise<SolutionVjp<TreeLike<Y>, TensorGradients<TreeLike<Y>>>>;
export function odeintVjpAsync<Y extends TreeOf<Y>, Q extends TreeOf<Q>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: QuadratureOptions<Y, Q, Args> & AdjointOptions,
): Promise<SolutionVjp<[TreeLike<Y>, TreeLike<Q>], TensorGradients<TreeLike<Y>>>>;
export function odeintVjpAsync<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: TensorOptions<Y, Args> & AdjointOptions & EventSolveOptions<TensorEventFunc<Y, Args>>,
): Promise<EventSolutionVjp<Scalar, TreeLike<Y>, TensorGradients<TreeLike<Y>>>>;
export function odeintVjpAsync<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: PlainOptions<Args> & PlainVjpOptions<Args> & EventSolveOptions<PlainEventFunc<Args>>,
): Promise<EventSolutionVjp<number, Float64Array[], PlainGradients>>;
export function odeintVjpAsync<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: InPlaceOptions<Args> & PlainVjpOptions<Args>,
): Promise<SolutionVjp<Float64Array[], PlainGradients>>;
export function odeintVjpAsync<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: InPlaceQuadratureOptions<Args> & PlainVjpOptions<Args>,
): Promise<SolutionVjp<[Float64Array[], Float64Array[]], PlainGradients>>;
export function odeintVjpAsync<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: PlainQuadratureOptions<Args> & PlainVjpOptions<Args>,
): Promise<SolutionVjp<[Float64Array[], Float64Array[]], PlainGradients>>;
export function odeintVjpAsync<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options?: PlainOptions<Args> & PlainVjpOptions<Args>,
): Promise<SolutionVjp<Float64Array[], PlainGradients>>;
export async function odeintVjpAsync(
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyVjpOptions = {},
): Promise<unknown> {
  checkOptionsRecord(options);
  if (!isPlainState(y0) && (options.adjoint ?? 'checkpoint') !== 'checkpoint') {
    throw new InvalidArgumentError(
      `adjoint '${options.adjoint}' reads the device on its way back; on tensors odeintVjpAsync needs adjoint: ` +
        "'checkpoint'.",
    );
  }
  return withTimes(t, y0, (times, start) => runAsync(solutionVjp(func, start, times, options)));
}

/** Options of `odeintVjp` on plain numbers. */
export interface PlainVjpOptions<Args = unknown> extends Omit<AdjointOptions, 'params' | 'adjointNorm'> {
  /** As for tensors; a function gets `[error of y and of its cotangent]`. */
  adjointNorm?: 'full' | 'seminorm' | Float64NormFunction;
  /** Products of `lambda` with the Jacobians of func; by default central differences. */
  vjp?: PlainVjp<Args>;
}

type AnyVjpOptions = AnyEventOptions &
  Omit<AdjointOptions, 'adjointNorm'> & {
    adjointNorm?: PlainVjpOptions['adjointNorm'] | AdjointOptions['adjointNorm'];
    vjp?: PlainVjp;
  };

function* solutionVjp(
  func: unknown,
  y0: unknown,
  times: Float64Array,
  options: AnyVjpOptions,
): Reading<SolutionVjp<unknown, unknown>> {
  if (isPlainState(y0)) {
    checkFunction(options, 'vjp');
    if (options.params !== undefined) {
      throw new InvalidArgumentError(
        'params are tensors; on plain numbers pass what to differentiate in args.',
      );
    }
    const { vjp, ...rest } = options as AnyOptions & AdjointOptions & { vjp?: PlainVjp };
    const forward = forwardOptions(rest);
    const stepper = resolveMethod(forward.method);
    const mode = chosenMode(rest.adjoint ?? 'checkpoint', stepper);
    checkModeOptions(rest as AdjointOptions, mode);
    const { checkpoints = Infinity } = rest;
    const how = { mode, vjp, checkpoints, adjoint: rest };
    if (!hasEvent(options)) return yield* plainSolve(stepper, func, y0, times, forward, how);
    return yield* plainEventVjp(stepper, func, y0, times, forward, (interval, alone) =>
      plainSolve(stepper, func, y0, interval, alone, how),
    );
  }
  if (options.vjp !== undefined) {
    throw new InvalidArgumentError(
      'vjp is for plain numbers; on tensors tfjs differentiates func. Remove it.',
    );
  }
  const all = { adjoint: 'checkpoint', ...options } as AnyEventOptions & AdjointOptions;
  if (!hasEvent(all)) return yield* tensorSolve(func, y0, times, all);
  const stepper = resolveMethod(all.method);
  return yield* tensorEventVjp(
    stepper,
    func,
    y0,
    times,
    all,
    forwardOptions(all),
    solveNames,
    (interval, alone) => tensorSolve(func, y0, interval, alone),
  );
}

function* tensorSolve(
  func: unknown,
  y0: unknown,
  times: Float64Array,
  options: AnyOptions & AdjointOptions,
): Reading<SolutionVjp<unknown, TensorGradients<unknown>> & { parameters: Tensor[] }> {
  requireGradients();
  const forward = forwardOptions(options);
  checkArgs(forward.args);
  const stepper = resolveMethod(forward.method);
  const field = solveField(func, y0, forward, times[0]);
  const { structure, leaves } = field;
  const solve: ForwardSolve = {
    ...{ func, field, stepper, times },
    ...{ options: forward, extraOptions: solveNames, timeGradient: true },
  };
  const plan = planAdjoint(solve, options);
  const { parameters } = findParameters(field, times[0], options.params, forward.args);
  const way = chooseMode(solve, plan, parameters);
  const { states, carry } = yield* way.forward(leaves);
  // Like a dense solution it outlives the scopes it is made in.
  const kept = [...states.map((state) => state.clone()), ...carry].map((tensor) => engine().keep(tensor));
  const forBackward = { states: kept.slice(0, states.length), carry: kept.slice(states.length) };
  const inArgs = tensorsIn(forward.args);
  const requireUnchanged = guardOf(parameters, forward.args);
  let disposed = false;
  return {
    parameters,
    ys: outputTree(field, states),
    vjp: (gys: unknown) => {
      if (disposed) throw disposedSolution();
      requireUnchanged();
      const cotangents = checkCotangents(field, states, gys);
      return tidy(() => {
        const found = withFreshTape(() => way.backward(forBackward.states, forBackward.carry, cotangents));
        const of = (tensors: readonly Tensor[]) =>
          tensors.map((x) => found.toParameters[parameters.indexOf(x)].clone());
        warnOfUnread(field, options.params);
        const variables = parameters.filter((x): x is Variable => !inArgs.includes(x));
        return {
          y0: unflattenTree(structure, found.toState) as never,
          t: found.toTimes as Tensor1D,
          params: of(options.params ?? variables),
          args: of(inArgs),
        };
      });
    },
    dispose: () => {
      disposed = true;
      kept.forEach((tensor) => tensor.dispose());
    },
  };
}

/*
 * The way back evaluates func again. Parameters that have other values by then would give the gradient of neither solve.
 */
function guardOf(parameters: readonly Tensor[], args: unknown): () => void {
  const before = parameters.map(({ dataId }) => dataId);
  return () => {
    const i = parameters.findIndex((x, n) => x.isDisposed || x.dataId !== before[n]);
    if (i < 0) return;
    const changed = parameters[i];
    const path = pathTo(args, 'args', (x) => x === changed);
    const name = path ?? `the variable '${(changed as Variable).name}'`;
    throw new InvalidArgumentError(
      `${name} was ${changed.isDisposed ? 'disposed' : 'assigned another value'} after the solve, whose gradient needs it ` +
        'as it was; call vjp first.',
    );
  };
}

function checkCotangents(
  { structure, quadratures }: LeafField,
  states: readonly Tensor[],
  gys: unknown,
): Tensor[] {
  const like: Structure = quadratures
    ? { kind: 'array', items: [structure, quadratures.structure] }
    : structure;
  const leaves = leavesLike(like, gys, 'gys');
  leaves.forEach((leaf, i) => {
    const shape = states[i].shape;
    if (isTensor(leaf) && leaf.dtype === 'float32' && leaf.shape.join() === shape.join()) return;
    throw new InvalidArgumentError(
      `gys holds ${describe(leaf)}; expected a float32 tensor of shape [${shape.join(', ')}], as in ys.`,
    );
  });
  return leaves as Tensor[];
}
