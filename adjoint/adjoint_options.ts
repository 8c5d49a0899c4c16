import { scalar, Variable, type Tensor } from '@tensorflow/tfjs-core';
import type { Stepper } from '../solvers/index.js';
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
import type { LeafField } from '../src/core/leaf_field.js';
import type { TensorNorm } from '../src/core/tensor_space.js';
import { pathTo, tensorsIn, unflattenTree } from '../src/core/tree.js';
import { discoverDependencies, requireKnown } from '../src/core/vjp.js';
import { warnOnce } from '../src/core/warn.js';
import { isReversible } from './adjoint_of.js';
import type { BacksolveProblem } from './backsolve.js';
import { backwardSolve } from './backward_options.js';
import { eventNames } from '../src/event_solve.js';
import type { ForwardSolve } from './modes.js';

/**
 * Options of gradients. Those named `adjoint...` tune the backward solve of `'backsolve'` and `'interpolating'`, and
 * throw with the other modes, which have none; left out, they are taken from the forward solve.
 */
export interface AdjointOptions {
  /**
   * How the gradient is computed. `'backsolve'` solves the augmented system backward in time, at a memory that does not
   * grow with the steps; `'checkpoint'` differentiates the steps themselves: the exact gradient of what was computed.
   * `'interpolating'` solves backward for the cotangent alone and reads the state from the forward solution, of which it
   * keeps one state per step: for problems whose reversed state drifts. `'reversible'`, for the methods
   * `'reversible_heun'` and `'leapfrog'`, takes their steps back one by one: the exact gradient, at a memory that does not
   * grow with the steps.
   *
   * On a stiff problem, where stability and not accuracy holds the steps, the gradient of the steps is not that of the
   * solution, since the step size is a constant in it: take `'interpolating'` there.
   *
   * Default: `'reversible'` for these two methods, else `'backsolve'`; `'checkpoint'` in `odeintVjp`.
   */
  adjoint?: 'backsolve' | 'checkpoint' | 'interpolating' | 'reversible';
  /**
   * States that `'checkpoint'` keeps after the forward solve; on the way back it holds up to as many again. The steps
   * between them are run again: of fixed ones as few as possible, of adaptive ones, whose number is unknown beforehand,
   * hardly more (at most 18 %, and `2 / n^2` with `n` states, for all up to 10 000 steps). Default: all of them.
   */
  checkpoints?: number;
  /** The variables to differentiate; by default the trainable ones that `func` reads are found. */
  params?: readonly Variable[];
  /** Method of the backward solve; by default the forward one, or `'rk4_classic'` for `'leapfrog'`. */
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

/* Those that tune a backward solve. */
const tuningNames = ['adjointMethod', 'adjointRtol', 'adjointAtol', 'adjointNorm', 'adjointOptions'] as const;

/** Names that a differentiable solve takes beside those of the loop. */
export const solveNames = [...adjointNames, 'quadrature', ...eventNames];

/** The values of `adjoint`. */
export const modes = ['backsolve', 'checkpoint', 'interpolating', 'reversible'] as const;
/** How a gradient is computed. */
export type Mode = (typeof modes)[number];

/** The mode that is asked for, or the default of the method. */
export function chosenMode(mode: unknown, stepper: Stepper): Mode {
  if (mode === undefined) return isReversible(stepper) ? 'reversible' : 'backsolve';
  if (mode === 'reversible' && !isReversible(stepper)) {
    throw new InvalidArgumentError(
      `adjoint 'reversible' takes steps back, and those of '${stepper.name}' cannot be; use adjoint: 'checkpoint', or the ` +
        "method 'reversible_heun' (or 'leapfrog', for separable systems).",
    );
  }
  if (modes.includes(mode as Mode)) return mode as Mode;
  const suggestion = typeof mode === 'string' && nearest(mode, modes);
  throw new InvalidArgumentError(
    `adjoint is ${describe(mode)}; ` +
      (suggestion ? `did you mean '${suggestion}'?` : `expected one of ${modes.join(', ')}.`),
  );
}

/** Whether a mode solves an equation backward in time, and not the steps themselves. */
export const solvesBackward = (mode: string): boolean => mode === 'backsolve' || mode === 'interpolating';

/** Throws for options that the mode does not read. */
export function checkModeOptions(options: AdjointOptions, mode: Mode): void {
  const unread = solvesBackward(mode) ? undefined : tuningNames.find((name) => options[name] !== undefined);
  if (unread) {
    throw new InvalidArgumentError(
      `${unread} tunes a backward solve, and adjoint '${mode}' has none; set adjoint: 'backsolve' or 'interpolating', or ` +
        'remove it.',
    );
  }
  const { checkpoints } = options;
  if (checkpoints === undefined) return;
  if (mode !== 'checkpoint') {
    throw new InvalidArgumentError("checkpoints is an option of adjoint: 'checkpoint'; set that too.");
  }
  if (!(Number.isInteger(checkpoints) && checkpoints > 0)) {
    throw new InvalidArgumentError(`checkpoints is ${describe(checkpoints)}; expected a positive integer.`);
  }
}

function checkParams(params: readonly Variable[]): readonly Variable[] {
  if (Array.isArray(params) && params.every((variable) => variable instanceof Variable)) return params;
  const weights: readonly unknown[] = Array.isArray(params) ? params : [];
  const ofLayers = weights.some(
    (weight) => typeof (weight as { read?: unknown } | null)?.read === 'function',
  );
  throw new InvalidArgumentError(
    `params is ${describe(params)}; expected an array of tf.variable(...). ` +
      (ofLayers ? 'Leave params out: the weights of layers are found.' : 'Left out, they are found.'),
  );
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
  const parameters = [...new Set([...variables, ...tensorsIn(args)])];
  return { parameters, captured: found.captured.filter((tensor) => !parameters.includes(tensor)) };
}

/** Warns of variables in `params` that func read nowhere; to be called at the end of the way back. */
export function warnOfUnread({ met }: LeafField, params: readonly Variable[] | undefined): void {
  for (const variable of params ?? []) {
    if (met?.has(variable)) continue;
    warnOnce(
      `unread ${variable.name}`,
      `params names the variable '${variable.name}', which func never read: its gradient is 0.`,
    );
  }
}

/** Throws for a tensor in `args` that is disposed. */
export function checkArgs(args: unknown): void {
  const path = pathTo(args, 'args', (tensor) => tensor.isDisposed);
  if (path === null) return;
  throw new InvalidArgumentError(`${path} is a disposed tensor; expected one that is still alive.`);
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
  /** The backward solve; `null` in a mode that has none. */
  backward: BacksolveProblem | null;
}

/** Checks the options of the solve and of the way back. */
export function planAdjoint(solve: ForwardSolve, options: AdjointOptions): AdjointPlan {
  const mode = chosenMode(options.adjoint, solve.stepper);
  makePlan(solve.stepper, solve.times, solve.options, solve.extraOptions);
  checkModeOptions(options, mode);
  return {
    mode,
    checkpoints: options.checkpoints ?? Infinity,
    backward: solvesBackward(mode) ? backwardProblem(solve, options) : null,
  };
}

function backwardProblem(solve: ForwardSolve, options: AdjointOptions): BacksolveProblem {
  const { field, times } = solve;
  const { structure } = field;
  const back = backwardSolve(solve, unflattenTree(structure, field.leaves), options);
  const epsilon = 2 ** -23;
  const titles = [options.adjointRtol ? 'adjointRtol' : 'rtol', options.adjointAtol ? 'adjointAtol' : 'atol'];
  const rtol = leafTolerances('rtol', back.rtol, structure, 1e-5, epsilon, titles[0]);
  const atol = leafTolerances('atol', back.atol, structure, 1e-6, epsilon, titles[1]);
  checkTolerancePairs(rtol, atol);
  return {
    field,
    parameters: [],
    times,
    stepper: back.stepper,
    options: back.options,
    rtol,
    // Cotangents and quadratures begin at 0: without any absolute tolerance 0 / 0 would be their error.
    atol: atol.map((value) => Math.max(value, 1e-30)),
    norm: checkNorm<TensorNorm>(solve.options.norm),
    adjointNorm: back.adjointNorm as BacksolveProblem['adjointNorm'],
    trajectory: null,
    timeGradient: solve.timeGradient,
  };
}
