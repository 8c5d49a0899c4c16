import { concat, reshape, scalar, split, Variable, type Tensor } from '@tensorflow/tfjs-core';
import { resolveMethod } from '../solvers/index.js';
import { makePlan, type AnyOptions } from '../src/core/build_problem.js';
import { describe, InvalidArgumentError, MissingGradientError } from '../src/core/errors.js';
import { isPlainState } from '../src/core/float64_kind.js';
import { leafTolerances, nearest, type TensorNormFunction, type Tolerance } from '../src/core/options.js';
import { gradientOrForgotten, isTapeActive, scoped, withFreshTape, withGradient } from '../src/core/tape.js';
import { leafField, type LeafField, type TensorField } from '../src/core/tensor_kind.js';
import { readTimes, type TimeGrid } from '../src/core/times.js';
import { isTensor, tensorsIn, unflattenTree, type TensorTree } from '../src/core/tree.js';
import type { TensorFunc, TensorOptions, TreeLike } from '../src/core/types.js';
import { discoverDependencies, requireGradients } from '../src/core/vjp.js';
import { solveGridSync } from '../src/odeint_with.js';
import type { BacksolveProblem } from './backsolve.js';
import {
  backsolveMode,
  checkpointMode,
  interpolatingMode,
  type AdjointMode,
  type ForwardSolve,
} from './modes.js';

/** Options of the backward solve. Those left out are taken from the forward solve. */
export interface AdjointOptions {
  /**
   * How the gradient is computed. `'backsolve'` (default) solves the augmented system backward in time, at a memory
   * that does not grow with the steps; `'checkpoint'` differentiates the steps themselves: the exact gradient of what
   * was computed. `'interpolating'` solves backward for the cotangent alone and reads the state from the forward
   * solution, of which it keeps one state per step: for problems whose reversed state drifts.
   */
  adjoint?: 'backsolve' | 'checkpoint' | 'interpolating';
  /** States that `'checkpoint'` keeps; the steps between them are run again. Default: all of them. */
  checkpoints?: number;
  /** The variables to differentiate; by default the trainable ones that `func` reads are found. */
  params?: readonly Variable[];
  /** Method of the backward solve. */
  adjointMethod?: AnyOptions['method'];
  /** Its relative tolerance. */
  adjointRtol?: Tolerance;
  /** Its absolute tolerance. */
  adjointAtol?: Tolerance;
  /**
   * Its error norm: `'full'` (default) also checks the quadratures that become the parameters' gradients,
   * `'seminorm'` does not (fewer evaluations, but a gradient that may be wrong unnoticed), a function gets the leaves
   * of the state and of its cotangent.
   */
  adjointNorm?: 'full' | 'seminorm' | TensorNormFunction;
  /** Its other options, such as `stepSize` or `maxNumSteps`, in place of the forward ones. */
  adjointOptions?: Pick<
    AnyOptions,
    | 'stepSize'
    | 'firstStep'
    | 'minStep'
    | 'maxStep'
    | 'maxNumSteps'
    | 'safety'
    | 'ifactor'
    | 'dfactor'
    | 'controller'
    | 'perturb'
  >;
}

const adjointNames = [
  'adjoint',
  'checkpoints',
  'params',
  'adjointMethod',
  'adjointRtol',
  'adjointAtol',
  'adjointNorm',
  'adjointOptions',
] as const;

/**
 * `odeint` whose gradient comes from a second solve backward in time, at a memory that does not grow with the number
 * of steps.
 *
 * The trainable variables that `func` reads are found by themselves; a variable left out of `params`, or met later
 * only, throws instead of staying untrained. Gradients reach `y0`, `t` (when it is a tensor), the
 * variables, and the tensors in `args`; asking for that of another tensor `func` closes over throws.
 *
 * @param func The vector field on tensors, as for `odeint`.
 * @param y0 Initial state, a tensor or a tree of tensors.
 * @param t Output times, as for `odeint`.
 * @param options Those of `odeint` and {@link AdjointOptions}.
 * @returns As `odeint`: the structure of `y0` with a leading time axis.
 * @throws As `odeint`; {@link MissingGradientError} for variables that would silently get no gradient, and for
 *   gradients of gradients.
 *
 * @example
 * ```ts
 * const rate = tf.variable(tf.scalar(0.5));
 * const loss = () => tf.sum(odeintAdjoint((t, y) => tf.mul(tf.neg(rate), y), tf.scalar(1), [0, 1]));
 * const { grads } = tf.variableGrads(loss as () => tf.Scalar);
 * ```
 */
export function odeintAdjoint<Y extends TensorTree, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options: TensorOptions<Y, Args> & AdjointOptions = {},
): TreeLike<Y> {
  if (isPlainState(y0)) {
    throw new InvalidArgumentError(
      `y0 is ${describe(y0)}; odeintAdjoint differentiates tensors: wrap it with tf.tensor1d(y0). Plain numbers have no ` +
        'tape; solve them with odeint.',
    );
  }
  const forward: AnyOptions = { ...options };
  for (const name of adjointNames) delete (forward as AdjointOptions)[name];
  const stepper = resolveMethod(forward.method);
  const mode = checkMode(options.adjoint);
  checkCheckpoints(options.checkpoints, mode);
  const field = leafField(func as unknown as TensorField<never>, y0, forward.args);
  const times = readTimes(t);
  const backward = backwardProblem(field, times, forward, options);
  const extraOptions = adjointNames;
  const solve: ForwardSolve = { func, field, stepper, times, options: forward, extraOptions };
  if (!isTapeActive())
    return solveGridSync(stepper, func, y0, times, forward, { extraOptions }).y as TreeLike<Y>;
  requireGradients();
  const { parameters, captured } = findParameters(field, times[0], options.params, forward.args);
  const augmented = { ...backward, parameters };
  const way =
    mode === 'checkpoint'
      ? checkpointMode(solve, parameters, options.checkpoints ?? Infinity)
      : mode === 'interpolating'
        ? interpolatingMode(solve, augmented)
        : backsolveMode(solve, augmented);
  return record(solve, way, { parameters, captured, moving: isTensor(t) ? t : null }) as TreeLike<Y>;
}

const modes = ['backsolve', 'checkpoint', 'interpolating'] as const;
type Mode = (typeof modes)[number];

function checkMode(mode: unknown = 'backsolve'): Mode {
  if (modes.includes(mode as Mode)) return mode as Mode;
  const suggestion = typeof mode === 'string' && nearest(mode, modes);
  throw new InvalidArgumentError(
    `adjoint is ${describe(mode)}; ` +
      (suggestion ? `did you mean '${suggestion}'?` : `expected one of ${modes.join(', ')}.`),
  );
}

function checkCheckpoints(checkpoints: unknown, mode: Mode): void {
  if (checkpoints === undefined) return;
  if (mode !== 'checkpoint') {
    throw new InvalidArgumentError("checkpoints is an option of adjoint: 'checkpoint'; set that too.");
  }
  if (!(Number.isInteger(checkpoints) && (checkpoints as number) > 0)) {
    throw new InvalidArgumentError(`checkpoints is ${describe(checkpoints)}; expected a positive integer.`);
  }
}

function checkParams(params: readonly Variable[]): readonly Variable[] {
  if (Array.isArray(params) && params.every((variable) => variable instanceof Variable)) return params;
  throw new InvalidArgumentError(`params is ${describe(params)}; expected an array of tf.variable(...).`);
}

/** What is differentiated: variables and the tensors in `args`; and what func uses beside them. */
export function findParameters(
  field: LeafField,
  t: number,
  params: readonly Variable[] | undefined,
  args: unknown,
): { parameters: Tensor[]; captured: Tensor[] } {
  const found = scoped(() => discoverDependencies(field, scalar(t), field.leaves));
  const variables: readonly Tensor[] = params ? checkParams(params) : found.variables;
  const parameters = [...new Set([...variables, ...tensorsIn(args)])];
  return { parameters, captured: found.captured.filter((tensor) => !parameters.includes(tensor)) };
}

/* Backward options inherit the forward ones, except for what only concerns watching the forward solve. */
function backwardProblem(
  field: LeafField,
  times: Float64Array,
  forward: AnyOptions,
  options: AdjointOptions,
): BacksolveProblem {
  const { rtol, atol, norm, onStep, onAccept, onReject, onProgress, args, ...inherited } = forward;
  void [norm, onStep, onAccept, onReject, onProgress, args];
  const stepper = resolveMethod(options.adjointMethod ?? forward.method);
  const own = options.adjointOptions ?? (options.adjointMethod === undefined ? {} : null);
  const backward: AnyOptions = own ? { ...inherited, ...own } : commonOf(inherited);
  const { adjointNorm = 'full' } = options;
  if (adjointNorm !== 'full' && adjointNorm !== 'seminorm' && typeof adjointNorm !== 'function') {
    throw new InvalidArgumentError(
      `adjointNorm is ${describe(adjointNorm)}; expected 'full', 'seminorm' or a function.`,
    );
  }
  if (times.length > 1) makePlan(stepper, times, backward, adjointNames);
  const { structure } = field;
  return {
    field,
    parameters: [],
    times,
    stepper,
    options: backward,
    rtol: leafTolerances('rtol', options.adjointRtol ?? rtol, structure, 1e-5, 2 ** -23),
    atol: leafTolerances('atol', options.adjointAtol ?? atol, structure, 1e-6, 2 ** -23),
    norm: adjointNorm,
    trajectory: null,
  };
}

/* Another method has its own steps: only what is not about steps carries over. */
function commonOf({ signal, maxNumSteps, stepT, jumpT, stepSize }: AnyOptions): AnyOptions {
  const common: AnyOptions = { signal, maxNumSteps, stepT, jumpT, stepSize };
  return Object.fromEntries(Object.entries(common).filter(([, value]) => value !== undefined));
}

/*
 * tfjs's custom gradients have one output tensor: leaves are flattened to [T, N] on the way out. Variables are inputs,
 * since those a custom gradient closes over get nothing; captured tensors are too, so that asking for theirs throws.
 */
function record(
  { field, times }: ForwardSolve,
  mode: AdjointMode,
  { parameters, captured, moving }: { parameters: Tensor[]; captured: Tensor[]; moving: Tensor | null },
): TensorTree {
  const { structure, leaves } = field;
  const sizes = leaves.map((leaf) => leaf.size);
  const shapes = leaves.map((leaf) => [times.length, ...leaf.shape]);
  const toLeaves = (flat: Tensor): Tensor[] =>
    (sizes.length === 1 ? [flat] : split(flat, sizes, 1)).map((leaf, i) => reshape(leaf, shapes[i]));
  const solution = withGradient(
    [...leaves, ...(moving ? [moving] : []), ...parameters, ...captured],
    (save) => {
      const { states, carry } = mode.forward(leaves);
      const flat = flatten(states, times.length);
      save([flat, ...carry]);
      return flat;
    },
    (dy, [saved, ...carried]) => {
      refuseSecondOrder();
      const { toState, toParameters, toTimes } = gradientOrForgotten(() =>
        withFreshTape(() => mode.backward(toLeaves(saved), carried, toLeaves(dy))),
      );
      return [...toState, ...(moving ? [toTimes] : []), ...toParameters, ...captured.map(() => null)];
    },
    refuseCaptured,
  );
  return unflattenTree(structure, toLeaves(solution));
}

function refuseCaptured(): never {
  throw new MissingGradientError(
    'a gradient was asked for with respect to a tensor that func closes over, and the adjoint cannot see it: it would ' +
      'silently be missing. Pass the tensor in args, make it a tf.variable, or use odeint, whose tape sees everything.',
  );
}

function flatten(leaves: readonly Tensor[], times: number): Tensor {
  const flat = leaves.map((leaf) => reshape(leaf, [times, leaf.size / times]));
  return flat.length === 1 ? flat[0] : concat(flat, 1);
}

function refuseSecondOrder(): void {
  if (!isTapeActive()) return;
  throw new MissingGradientError(
    'a gradient of a gradient was asked for, and the backward solve of odeintAdjoint is not recorded: it would be ' +
      'silently wrong. Use odeint, whose tape has second derivatives.',
  );
}
