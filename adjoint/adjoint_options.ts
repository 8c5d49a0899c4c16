import { scalar, Variable, type Tensor } from '@tensorflow/tfjs-core';
import { resolveMethod } from '../solvers/index.js';
import { makePlan, type AnyOptions } from '../src/core/build_problem.js';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import {
  checkTolerancePairs,
  leafTolerances,
  nearest,
  type AdaptiveOptions,
  type CommonOptions,
  type FixedStepOptions,
  type TensorNormFunction,
  type Tolerance,
} from '../src/core/options.js';
import { checkNorm } from '../src/core/float64_kind.js';
import { scoped } from '../src/core/tape.js';
import type { LeafField } from '../src/core/tensor_kind.js';
import type { TensorNorm } from '../src/core/tensor_space.js';
import { tensorsIn, unflattenTree } from '../src/core/tree.js';
import { discoverDependencies, requireKnown } from '../src/core/vjp.js';
import { warnOnce } from '../src/core/warn.js';
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
  adjointOptions?: Omit<AdaptiveOptions<never>, 'norm'> &
    Pick<FixedStepOptions<never, never>, 'stepSize' | 'perturb'> &
    Pick<CommonOptions<never>, 'maxNumSteps'>;
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
  requireKnown(found.variables, variables);
  for (const variable of params ?? []) {
    if (found.variables.includes(variable)) continue;
    warnOnce(
      `unread ${variable.name}`,
      `params names the variable '${variable.name}', which func does not read at t0: its gradient is 0 so far.`,
    );
  }
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
export function planAdjoint(solve: ForwardSolve, options: AdjointOptions): AdjointPlan {
  const mode = checkMode(options.adjoint);
  checkCheckpoints(options.checkpoints, mode);
  return {
    mode,
    checkpoints: options.checkpoints ?? Infinity,
    backward: backwardProblem(solve, options),
  };
}

function backwardProblem(solve: ForwardSolve, options: AdjointOptions): BacksolveProblem {
  const { field, times, options: forward } = solve;
  const { rtol, atol, norm, onStep, onAccept, onReject, onProgress, args, gridConstructor, ...inherited } =
    forward;
  void [onStep, onAccept, onReject, onProgress, args];
  const stepper = resolveMethod(options.adjointMethod ?? forward.method);
  checkAdjointOptions(options.adjointOptions);
  const base = options.adjointMethod === undefined ? inherited : commonOf(inherited);
  const backward: AnyOptions = { ...base, ...options.adjointOptions };
  if (gridConstructor && options.adjointMethod === undefined && backward.stepSize === undefined) {
    backward.gridConstructor = backwardGrid(solve);
  }
  const { adjointNorm = 'full' } = options;
  if (adjointNorm !== 'full' && adjointNorm !== 'seminorm' && typeof adjointNorm !== 'function') {
    throw new InvalidArgumentError(
      `adjointNorm is ${describe(adjointNorm)}; expected 'full', 'seminorm' or a function.`,
    );
  }
  if (times.length > 1) makePlan(stepper, times, backward, adjointNames);
  const { structure } = field;
  const epsilon = 2 ** -23;
  const backwardRtol = leafTolerances('rtol', options.adjointRtol ?? rtol, structure, 1e-5, epsilon);
  const backwardAtol = leafTolerances('atol', options.adjointAtol ?? atol, structure, 1e-6, epsilon);
  checkTolerancePairs(backwardRtol, backwardAtol);
  return {
    field,
    parameters: [],
    times,
    stepper,
    options: backward,
    rtol: backwardRtol,
    // Cotangents and quadratures begin at 0: without any absolute tolerance 0 / 0 would be their error.
    atol: backwardAtol.map((value) => Math.max(value, 1e-30)),
    norm: checkNorm<TensorNorm>(norm),
    adjointNorm,
    trajectory: null,
    timeGradient: solve.timeGradient,
  };
}

function checkAdjointOptions(options: object | undefined): void {
  const elsewhere: Record<string, string> = {
    norm: 'adjointNorm',
    rtol: 'adjointRtol',
    atol: 'adjointAtol',
    method: 'adjointMethod',
  };
  for (const name of Object.keys(options ?? {})) {
    if (!Object.hasOwn(elsewhere, name)) continue;
    throw new InvalidArgumentError(
      `adjointOptions.${name} is not read; set ${elsewhere[name]} beside it instead.`,
    );
  }
}

/* The grid of the forward solve, walked back: the part inside each interval. */
function backwardGrid({ func, field, times, options }: ForwardSolve): AnyOptions['gridConstructor'] {
  const y0 = unflattenTree(field.structure, field.leaves);
  const grid = Array.from(options.gridConstructor!(func, y0, times)).reverse();
  return (_func, _y0, [from, to]) => [from, ...grid.filter((t) => (t - from) * (t - to) < 0), to];
}

/* What tunes the step control of one method says nothing about another: that is not inherited. */
function commonOf({ signal, maxNumSteps, stepT, jumpT, stepSize }: AnyOptions): AnyOptions {
  const common: AnyOptions = { signal, maxNumSteps, stepT, jumpT, stepSize };
  return Object.fromEntries(Object.entries(common).filter(([, value]) => value !== undefined));
}
