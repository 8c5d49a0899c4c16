import {
  add,
  clone,
  maximum,
  mul,
  neg,
  scalar,
  stack,
  sum,
  tidy,
  zeros,
  zerosLike,
} from '@tensorflow/tfjs-core';
import type { Scalar, Tensor } from '@tensorflow/tfjs-core';
import { buildProblem, makePlan, type AnyOptions } from '../src/core/build_problem.js';
import { rowOf } from '../src/core/flat.js';
import { consumeSteps } from '../src/core/collect.js';
import { MaxStepsError, NonFiniteStateError, OdeError, StepUnderflowError } from '../src/core/errors.js';
import { runSync, type Reading } from '../src/core/reading.js';
import type { Stepper } from '../src/core/stepper.js';
import { keptParts } from '../src/core/tensor_kind.js';
import type { LeafField } from '../src/core/leaf_field.js';
import { TensorSpace, type TensorNorm, type TensorState } from '../src/core/tensor_space.js';
import { vjp } from '../src/core/vjp.js';
import { largestNorm } from './backward_options.js';
import { relativeDistance, reportDrift } from './drift.js';

/** What the backward solve needs to know. */
export interface BacksolveProblem {
  field: LeafField;
  parameters: readonly Tensor[];
  /** Output times of the forward solve. */
  times: Float64Array;
  stepper: Stepper;
  /** Options of the backward solve, without tolerances and norm. */
  options: AnyOptions;
  /** Tolerances per leaf of the state, used for the state and its cotangent alike. */
  rtol: readonly number[];
  atol: readonly number[];
  /** Norm of the forward solve. */
  norm: TensorNorm;
  adjointNorm: 'full' | 'seminorm' | TensorNorm;
  /** Whether anybody asks for the gradient to the output times. */
  timeGradient: boolean;
  /**
   * The forward solution at any time, as leaves in the scope of the caller; `null` solves it backward together with
   * its cotangent.
   */
  trajectory: ((t: number) => Tensor[]) | null;
}

/** Gradients of a loss. They belong to the scope of the caller. */
export type AdjointGradients = {
  toState: Tensor[];
  toParameters: Tensor[];
  /** `dL/dt`, one per output time. */
  toTimes: Tensor;
};

/**
 * The continuous adjoint: from the last output time back to the first solves
 * `dy/dt = f(t, y)`, `da/dt = -a^T df/dy`, and the quadratures `dq/dt = -a^T df/dp`,
 * where `a` gains the loss's own cotangent at every output time and `y` starts afresh from the forward solution.
 * Then `dL/dy0 = a(t0)` and `dL/dp = q(t0)`. Memory does not grow with the number of steps. Quadratures `dr/dt = g(t, y)`
 * of the forward solve have cotangents that are constant between outputs; they join `a` and `f` in every product.
 *
 * Source: Chen et al. 2018, Neural Ordinary Differential Equations, https://doi.org/10.48550/arXiv.1806.07366;
 * the reset at output times avoids most of the drift of the reversed state.
 *
 * @param states Forward solution, leaves `[T, ...shape]`.
 * @param cotangents `dL/dstates`, of the same shapes.
 */
export function backsolve(
  problem: BacksolveProblem,
  states: readonly Tensor[],
  cotangents: readonly Tensor[],
): AdjointGradients {
  const { times, parameters, field } = problem;
  const n = field.leaves.length;
  return tidy(() => {
    const last = times.length - 1;
    let carry: Carry = {
      adjoint: rowsOf(cotangents, last),
      quadratures: parameters.map((parameter) => zerosLike(parameter)),
    };
    const toTimes: Tensor[] = new Array<Tensor>(times.length).fill(zeros([]));
    const drifts: Tensor[] = [];
    let nextStep: number | null = null;
    for (let i = last; i > 0; i--) {
      // A scope for each interval: only what is carried on lives longer, however many output times there are.
      const { before, slopes, drift } = tidy(() => {
        const y = rowsOf(states, i).slice(0, n);
        const end = backOneInterval(problem, i, y, carry, nextStep);
        nextStep = end.nextStep;
        const given = rowsOf(cotangents, i - 1);
        const slope = (n: number, at: Tensor[], g: Tensor[]) =>
          problem.timeGradient ? slopeAlong(problem.field, times[n], at, g) : zeros([]);
        return {
          before: {
            adjoint: end.adjoint.map((a, leaf) => add(a, given[leaf])),
            quadratures: end.quadratures,
          },
          slopes: [
            slope(i, y, rowsOf(cotangents, i)),
            i === 1 ? neg(slope(0, rowsOf(states, 0).slice(0, n), end.adjoint)) : zeros([]),
          ],
          drift:
            end.y.length > 0
              ? [relativeDistance(end.y, rowsOf(states, i - 1).slice(0, n), y, Math.max(...problem.atol))]
              : [],
        };
      });
      for (const tensor of [...carry.adjoint, ...carry.quadratures]) tensor.dispose();
      carry = before;
      drifts.push(...drift);
      toTimes[i] = slopes[0];
      if (i === 1) toTimes[0] = slopes[1];
    }
    if (drifts.length > 0) {
      reportDrift('backsolve', Math.max(...stack(drifts).dataSync()), Math.max(...problem.rtol));
    }
    if (problem.adjointNorm === 'seminorm') requireFiniteGradient(carry.quadratures);
    return { toState: carry.adjoint.slice(0, n), toParameters: carry.quadratures, toTimes: stack(toTimes) };
  });
}

/* The seminorm looks away from quadratures: a NaN in one would pass unseen. */
function requireFiniteGradient(quadratures: readonly Tensor[]): void {
  if (quadratures.every((q) => sum(mul(q, 0)).dataSync()[0] === 0)) return;
  throw new NonFiniteStateError(
    "in the backward solve of the adjoint: the gradient of a parameter is NaN or infinite. Use adjointNorm: 'full' to " +
      'see where, and check the derivative of func (sqrt or log at 0, division by zero).',
  );
}

/* What goes from one interval to the one before: `adjoint` has the cotangents of quadratures behind those of the state. */
type Carry = { adjoint: Tensor[]; quadratures: Tensor[] };

/** Row `i` of leaves `[T, ...shape]`. */
export const rowsOf = (leaves: readonly Tensor[], i: number): Tensor[] =>
  leaves.map((leaf) => rowOf(leaf, i));

/** `<g, f(t, y)>`: how the loss changes when an output time moves. */
export function slopeAlong(field: LeafField, t: number, y: Tensor[], g: Tensor[]): Tensor {
  const leaves = y.slice(0, field.leaves.length);
  const products = field.call(scalar(t), leaves).map((slope, leaf) => sum(mul(slope, g[leaf])));
  return products.reduce((total, product) => add(total, product));
}

/* From times[i] to times[i - 1]. */
function backOneInterval(
  problem: BacksolveProblem,
  i: number,
  y: readonly Tensor[],
  { adjoint, quadratures }: Carry,
  nextStep: number | null,
): Carry & { y: Tensor[]; nextStep: number | null } {
  const { options, stepper, times } = problem;
  const leaves = problem.field.leaves.length;
  const sides = adjoint.slice(leaves);
  const main = [...(problem.trajectory ? [] : y), ...adjoint.slice(0, leaves)];
  const interval = Float64Array.of(times[i], times[i - 1]);
  const space = augmentedSpace(problem);
  // The step that fitted the interval before fits here too, which saves the search for a first step.
  const firstStep = nextStep === null ? {} : { firstStep: options.firstStep ?? nextStep };
  const plan = makePlan(stepper, interval, { ...options, ...firstStep }, []);
  const solve = buildProblem<TensorState>(plan, {
    space,
    field: augmentedField(problem, space, sides),
    start: () => keptParts(() => [...space.pack(main), ...quadratures]),
    withView: () => undefined,
    func: undefined,
    y0: undefined,
    readsAreFree: false,
  });
  let end: Tensor[] = [];
  const size = inBackwardSolve(
    problem.trajectory ? 'interpolating' : 'backsolve',
    consumeSteps(solve, false, (step) => {
      if (step.t1 !== interval[1]) return;
      end = [...space.unpack(step.y1), ...space.quadratures(step.y1)].map((part) => clone(part));
    }),
  );
  const first = main.length - leaves;
  return {
    y: end.slice(0, first),
    adjoint: [...end.slice(first, main.length), ...sides.map((side) => clone(side))],
    quadratures: end.slice(main.length),
    nextStep: size,
  };
}

/** Runs the way back, whose failures are none of the caller's y0. */
export function inBackwardSolve<T>(mode: 'backsolve' | 'interpolating', loop: Reading<T>): T {
  try {
    return runSync(loop);
  } catch (error) {
    if (error instanceof OdeError) {
      error.message = `in the backward solve of the adjoint: ${error.message}${remedyFor(error, mode)}`;
    }
    throw error;
  }
}

/* Damped problems grow when they are solved backward, and stiff ones beyond all bounds. */
function remedyFor(error: OdeError, mode: 'backsolve' | 'interpolating'): string {
  const failed = [MaxStepsError, StepUnderflowError, NonFiniteStateError].some(
    (kind) => error instanceof kind,
  );
  if (!failed) return '';
  return mode === 'backsolve'
    ? " If the forward solve is fine, use adjoint: 'interpolating' (for damped and stiff problems), which does not solve " +
        "the state backward, or 'checkpoint', which solves nothing backward."
    : " If the forward solve is fine, use adjoint: 'checkpoint', which solves nothing backward.";
}

function augmentedSpace({
  field,
  parameters,
  rtol,
  atol,
  norm,
  adjointNorm,
  trajectory,
}: BacksolveProblem): TensorSpace {
  const shapes = field.leaves.map((leaf) => leaf.shape);
  const both = <T>(values: readonly T[]): readonly T[] => (trajectory ? values : [...values, ...values]);
  return new TensorSpace(
    both(shapes),
    {
      rtol: both(rtol),
      atol: both(atol),
      norm:
        adjointNorm === 'full' || adjointNorm === 'seminorm' ? onEachHalf(norm, shapes.length) : adjointNorm,
    },
    parameters.length > 0
      ? { rtol: Math.max(...rtol), atol: Math.max(...atol), checked: adjointNorm !== 'seminorm' }
      : null,
  );
}

/* The forward norm, of the state and of its cotangent, the larger one. */
function onEachHalf(norm: TensorNorm, leaves: number): TensorNorm {
  if (typeof norm !== 'function') return norm;
  const halves = (all: Tensor[]) => (all.length > leaves ? [all.slice(0, leaves), all.slice(leaves)] : [all]);
  return largestNorm(norm, halves, (a, b): Scalar => maximum(a, b));
}

/* (y, a) -> (f, -a^T df/dy, -a^T df/dp), without the first where y is known. `sides` are the cotangents of quadratures. */
function augmentedField(
  { field, parameters, trajectory }: BacksolveProblem,
  space: TensorSpace,
  sides: readonly Tensor[],
) {
  const leaves = field.leaves.length;
  return (t: number, parts: TensorState): TensorState =>
    keptParts(() => {
      const main = space.unpack(parts);
      const cotangents = [...main.slice(-leaves), ...sides].map((a) => neg(a));
      const y = trajectory ? trajectory(t) : main.slice(0, leaves);
      const { derivative, toState, toParameters } = vjp(field, scalar(t), y, parameters, cotangents);
      return [
        ...space.pack(trajectory ? toState : [...derivative.slice(0, leaves), ...toState]),
        ...toParameters,
      ];
    });
}
