import { Leapfrog, resolveMethod, type Stepper } from '../solvers/index.js';
import { makePlan, type AnyOptions } from '../src/core/build_problem.js';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import type { Tolerance } from '../src/core/options.js';
import { adjointNames, type AdjointOptions } from './adjoint_options.js';

/** How the way back is solved, whatever the kind of state. */
export interface BackwardSolve {
  stepper: Stepper;
  /** Options of the backward solve, without tolerances and norm. */
  options: AnyOptions;
  rtol: Tolerance | undefined;
  atol: Tolerance | undefined;
  adjointNorm: NonNullable<AdjointOptions['adjointNorm']>;
}

/** What is known of the solve that is to be differentiated. */
interface Forward {
  func: unknown;
  stepper: Stepper;
  times: Float64Array;
  options: AnyOptions;
}

/** Checks the options of the way back. Those left out are inherited, except what only watches the forward solve. */
export function backwardSolve(solve: Forward, y0: unknown, options: AdjointOptions): BackwardSolve {
  const { times, options: forward } = solve;
  const { rtol, atol, norm, gridConstructor, ...rest } = forward;
  const { onStep, onAccept, onReject, onProgress, args, quadrature, inPlace, ...inherited } = rest;
  void [norm, onStep, onAccept, onReject, onProgress, args, quadrature, inPlace];
  // The augmented system is not separable, whatever the forward one is.
  const separable = solve.stepper instanceof Leapfrog;
  const adjointMethod = options.adjointMethod ?? (separable ? 'rk4_classic' : undefined);
  const stepper = resolveMethod(adjointMethod ?? forward.method);
  if (stepper instanceof Leapfrog) {
    throw new InvalidArgumentError(
      "adjointMethod is 'leapfrog', which needs a separable system, and the backward one never is; use 'rk4_classic' or " +
        "'dopri5'.",
    );
  }
  checkAdjointOptions(options.adjointOptions);
  const base = adjointMethod === undefined ? inherited : commonOf(inherited);
  const backward: AnyOptions = { ...base, ...options.adjointOptions };
  const choosesSteps = adjointMethod !== undefined && stepper.embeddedOrder !== null;
  if (gridConstructor && !choosesSteps && backward.stepSize === undefined) {
    backward.gridConstructor = backwardGrid(solve, y0);
  }
  const { adjointNorm = 'full' } = options;
  if (adjointNorm !== 'full' && adjointNorm !== 'seminorm' && typeof adjointNorm !== 'function') {
    throw new InvalidArgumentError(
      `adjointNorm is ${describe(adjointNorm)}; expected 'full', 'seminorm' or a function.`,
    );
  }
  if (times.length > 1) makePlan(stepper, times, backward, []);
  return {
    stepper,
    options: backward,
    rtol: options.adjointRtol ?? rtol,
    atol: options.adjointAtol ?? atol,
    adjointNorm,
  };
}

/** A norm taken of every part of an error, the largest one: the state must not hide its cotangent, nor the reverse. */
export const largestNorm =
  <T, V>(norm: (part: T) => V, split: (all: T) => readonly T[], larger: (a: V, b: V) => V) =>
  (all: T): V =>
    split(all)
      .map((part) => norm(part))
      .reduce((a, b) => larger(a, b));

function checkAdjointOptions(options: object | undefined): void {
  const elsewhere: Record<string, string> = {
    norm: 'adjointNorm',
    rtol: 'adjointRtol',
    atol: 'adjointAtol',
    method: 'adjointMethod',
  };
  // What func gets is the same on the way back, and nothing there is anybody's step to watch.
  const forwardOnly = ['args', 'inPlace', 'quadrature', 'onStep', 'onAccept', 'onReject', 'onProgress'];
  for (const name of Object.keys(options ?? {})) {
    const remedy = Object.hasOwn(elsewhere, name)
      ? `set ${elsewhere[name]} beside it instead`
      : [...forwardOnly, ...adjointNames].includes(name)
        ? 'set it beside adjointOptions, or leave it out'
        : null;
    if (remedy) throw new InvalidArgumentError(`adjointOptions.${name} is not read; ${remedy}.`);
  }
}

/* The grid of the forward solve, walked back: the part inside each interval. */
function backwardGrid({ func, times, options }: Forward, y0: unknown): AnyOptions['gridConstructor'] {
  const grid = Array.from(options.gridConstructor!(func, y0, times)).reverse();
  return (_func, _y0, [from, to]) => [from, ...grid.filter((t) => (t - from) * (t - to) < 0), to];
}

/* What tunes the step control of one method says nothing about another: that is not inherited. */
function commonOf({ signal, maxNumSteps, stepT, jumpT, stepSize }: AnyOptions): AnyOptions {
  const common: AnyOptions = { signal, maxNumSteps, stepT, jumpT, stepSize };
  return Object.fromEntries(Object.entries(common).filter(([, value]) => value !== undefined));
}
