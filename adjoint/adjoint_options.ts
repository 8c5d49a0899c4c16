import { scalar, Variable, type Tensor } from '@tensorflow/tfjs-core';
import { resolveMethod } from '../solvers/index.js';
import { makePlan, type AnyOptions } from '../src/core/build_problem.js';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { leafTolerances, nearest, type TensorNormFunction, type Tolerance } from '../src/core/options.js';
import { scoped } from '../src/core/tape.js';
import type { LeafField } from '../src/core/tensor_kind.js';
import { tensorsIn } from '../src/core/tree.js';
import { discoverDependencies } from '../src/core/vjp.js';
import type { BacksolveProblem } from './backsolve.js';
import type { ForwardSolve } from './modes.js';

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

/** Names of the options that are not the forward solve's. */
export const adjointNames = [
  'adjoint',
  'checkpoints',
  'params',
  'adjointMethod',
  'adjointRtol',
  'adjointAtol',
  'adjointNorm',
  'adjointOptions',
] as const;

const modes = ['backsolve', 'checkpoint', 'interpolating'] as const;
/** How a gradient is computed. */
export type Mode = (typeof modes)[number];

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

/** The options of the forward solve among those of an adjoint one. */
export function forwardOptions(options: AnyOptions & AdjointOptions): AnyOptions {
  const forward: AnyOptions = { ...options };
  for (const name of adjointNames) delete (forward as AdjointOptions)[name];
  return forward;
}

/** Everything about the way back that does not depend on what is differentiated. */
export interface AdjointPlan {
  mode: Mode;
  checkpoints: number;
  backward: BacksolveProblem;
}

/** Checks the options of the way back. Those left out are inherited, except what only watches the forward solve. */
export function planAdjoint(
  { field, times, options: forward }: ForwardSolve,
  options: AdjointOptions,
): AdjointPlan {
  const mode = checkMode(options.adjoint);
  checkCheckpoints(options.checkpoints, mode);
  return {
    mode,
    checkpoints: options.checkpoints ?? Infinity,
    backward: backwardProblem(field, times, forward, options),
  };
}

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
