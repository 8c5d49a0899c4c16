import { concat, engine, reshape, zerosLike, type Scalar, type Tensor } from '@tensorflow/tfjs-core';
import { resolveMethod } from '../solvers/index.js';
import type { AnyOptions } from '../src/core/build_problem.js';
import { describe, InvalidArgumentError, MissingGradientError, type SolveStats } from '../src/core/errors.js';
import { sizeOf, splitLeaves } from '../src/core/flat.js';
import { isPlainState } from '../src/core/float64_kind.js';
import { checkOptionsRecord } from '../src/core/options.js';
import { runSync } from '../src/core/reading.js';
import {
  aboveTape,
  gradientOrForgotten,
  isTapeActive,
  withFreshTape,
  withGradient,
} from '../src/core/tape.js';
import { outputTree, slopeShapes, solveField } from '../src/core/quadrature.js';
import { readTimes, type TimeGrid } from '../src/core/times.js';
import { flattenTree, isTensor, unflattenTree, type TensorTree, type TreeOf } from '../src/core/tree.js';
import type { QuadratureOptions, TensorFunc, TensorOptions, TreeLike } from '../src/core/types.js';
import { requireGradients } from '../src/core/vjp.js';
import type { TensorEventFunc } from '../src/core/events.js';
import { eventSolution, hasEvent, type AnyEventOptions, type EventSolveOptions } from '../src/event_solve.js';
import { outputOf, solveGrid, solveGridSync } from '../src/odeint_with.js';
import {
  adjointNames,
  checkArgs,
  findParameters,
  forwardOptions,
  planAdjoint,
  solveNames,
  warnOfUnread,
  type AdjointOptions,
} from './adjoint_options.js';
import { chooseMode, type AdjointMode, type ForwardSolve } from './modes.js';

/**
 * `odeint` whose gradient comes from a second solve backward in time, at a memory that does not grow with the number
 * of steps.
 *
 * The trainable variables that `func` reads are found by themselves; a variable left out of `params`, or met later
 * only, throws instead of staying untrained. Gradients reach `y0`, `t` (when it is a tensor), the
 * variables, and the tensors in `args`; asking for that of another tensor `func` closes over throws. A gradient that is
 * itself differentiated is taken by the tape, as that of `odeint`, at the memory this takes.
 *
 * @param func The vector field on tensors, as for `odeint`.
 * @param y0 Initial state, a tensor or a tree of tensors.
 * @param t Output times, as for `odeint`.
 * @param options Those of `odeint` and {@link AdjointOptions}.
 * @returns As `odeint`: the structure of `y0` with a leading time axis.
 * @throws As `odeint`; {@link MissingGradientError} for variables that would silently get no gradient.
 *
 * @example
 * ```ts
 * const rate = tf.variable(tf.scalar(0.5));
 * const loss = () => tf.sum(odeintAdjoint((t, y) => tf.mul(tf.neg(rate), y), tf.scalar(1), [0, 1]));
 * const { grads } = tf.variableGrads(loss as () => tf.Scalar);
 * ```
 */
export function odeintAdjoint<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options?: TensorOptions<Y, Args> & AdjointOptions,
): TreeLike<Y>;
export function odeintAdjoint<Y extends TreeOf<Y>, Q extends TreeOf<Q>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: QuadratureOptions<Y, Q, Args> & AdjointOptions,
): [TreeLike<Y>, TreeLike<Q>];
export function odeintAdjoint<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: TensorOptions<Y, Args> & AdjointOptions & EventSolveOptions<TensorEventFunc<Y, Args>>,
): [Scalar, TreeLike<Y>];
export function odeintAdjoint(
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyEventOptions & AdjointOptions = {},
): unknown {
  checkOptionsRecord(options);
  if (!hasEvent(options)) return solveAdjoint(func, y0, t, options).output;
  refusePlain(y0);
  const stepper = resolveMethod(options.method);
  const inBackward = Object.fromEntries(
    Object.entries(options).filter(([name]) => (adjointNames as readonly string[]).includes(name)),
  );
  const forward = forwardOptions(options);
  return eventSolution(
    stepper,
    func,
    y0,
    t,
    forward,
    (start, times, rest) => solveAdjoint(func, start, times, { ...rest, ...inBackward }).output,
    solveNames,
  );
}

function refusePlain(y0: unknown): void {
  if (!isPlainState(y0)) return;
  throw new InvalidArgumentError(
    `y0 is ${describe(y0)}; odeintAdjoint differentiates tensors: wrap it with tf.tensor1d(y0). Plain numbers have no ` +
      'tape; differentiate them with odeintVjp.',
  );
}

/** What `odeintAdjoint` returns, with the counters of the forward solve. */
export function solveAdjoint(
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyOptions & AdjointOptions,
): { output: unknown; stats: SolveStats } {
  refusePlain(y0);
  checkOptionsRecord(options);
  const forward = forwardOptions(options);
  const stepper = resolveMethod(forward.method);
  checkArgs(options.args);
  const times = readTimes(t);
  const field = solveField(func, y0, forward, times[0]);
  const moving = isTensor(t) ? t : null;
  const solve: ForwardSolve = {
    ...{ func, field, stepper, times },
    ...{ options: forward, extraOptions: solveNames, timeGradient: moving !== null },
  };
  const plan = planAdjoint(solve, options);
  if (!isTapeActive()) {
    const solution = runSync(solveGrid(stepper, func, y0, times, forward, { extraOptions: solveNames }));
    return { output: outputOf(solution), stats: solution.stats };
  }
  requireGradients();
  const found = findParameters(field, times[0], options.params, forward.args);
  const { params } = options;
  return record(solve, chooseMode(solve, plan, found.parameters), { ...found, moving, params });
}

/* What is differentiated beside the state. */
interface Inputs {
  parameters: Tensor[];
  captured: Tensor[];
  /** Output times that are a tensor. */
  moving: Tensor | null;
  /** The variables that the caller named. */
  params: AdjointOptions['params'];
}

/*
 * tfjs's custom gradients have one output tensor: leaves are flattened to [T, N] on the way out. Variables are inputs,
 * since those a custom gradient closes over get nothing; captured tensors are too, so that asking for theirs throws.
 */
function record(
  solve: ForwardSolve,
  mode: AdjointMode,
  { parameters, captured, moving, params }: Inputs,
): { output: TensorTree; stats: SolveStats } {
  const { field, times } = solve;
  const { leaves } = field;
  const slopes = slopeShapes(field);
  const sizes = slopes.map(sizeOf);
  const shapes = slopes.map((shape) => [times.length, ...shape]);
  const toLeaves = (flat: Tensor): Tensor[] => splitLeaves(flat, sizes, shapes, 1);
  let counted!: SolveStats;
  const solution = withGradient(
    [...leaves, ...(moving ? [moving] : []), ...parameters, ...captured],
    (save) => {
      const { states, carry, stats } = withFreshTape(() => runSync(mode.forward(leaves)));
      counted = stats;
      const flat = flatten(states, times.length);
      // The leaves too: a solver that this one runs in frees its states before the gradient is taken.
      save([flat, ...leaves, ...carry]);
      return flat;
    },
    (dy, [saved, ...rest]) => {
      const [start, carried] = [rest.slice(0, leaves.length), rest.slice(leaves.length)];
      if (isTapeActive()) {
        const gradients = gradientOrForgotten(() => tapedGradients(solve, start, moving, parameters, dy));
        return [...gradients, ...captured.map(() => null)];
      }
      const { toState, toParameters, toTimes } = gradientOrForgotten(() =>
        withFreshTape(() => mode.backward(toLeaves(saved), carried, toLeaves(dy))),
      );
      warnOfUnread(field, params);
      return [...toState, ...(moving ? [toTimes] : []), ...toParameters, ...captured.map(() => null)];
    },
    refuseCaptured,
  );
  return { output: outputTree(field, toLeaves(solution)), stats: counted };
}

function refuseCaptured(): never {
  throw new MissingGradientError(
    'a gradient was asked for with respect to a tensor that func closes over, and the adjoint cannot see it: it would ' +
      'silently be missing. Pass the tensor in args (a tensor, or arrays and plain records of them), make it a tf.variable, or use odeint, whose tape sees everything.',
  );
}

function flatten(leaves: readonly Tensor[], times: number): Tensor {
  const flat = leaves.map((leaf) => reshape(leaf, [times, leaf.size / times]));
  return flat.length === 1 ? flat[0] : concat(flat, 1);
}

/*
 * While a gradient is itself being differentiated it is taken by the tape, through the steps of the solve: that can be
 * differentiated again, any number of times. (The backward solve is not recorded.)
 */
function tapedGradients(
  { func, field, stepper, times, options, extraOptions }: ForwardSolve,
  start: readonly Tensor[],
  moving: Tensor | null,
  parameters: readonly Tensor[],
  dy: Tensor,
): Tensor[] {
  const y0 = unflattenTree(field.structure, start);
  const inputs = [...start, ...(moving ? [moving] : []), ...parameters];
  const solve = (): Tensor => {
    const solution = solveGridSync(stepper, func, y0, moving ?? times, options, { extraOptions });
    return flatten(flattenTree(outputOf(solution), 'y').leaves, times.length);
  };
  // y0 may be made of a parameter, or be one: that path is the caller's, and its gradient is found there.
  const { grads } = aboveTape(() => engine().gradients(solve, inputs, dy, true));
  return inputs.map((input, i) =>
    inputs.indexOf(input) === i ? ((grads[i] as Tensor | undefined) ?? zerosLike(input)) : zerosLike(input),
  );
}
