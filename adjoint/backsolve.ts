import {
  add,
  clone,
  engine,
  mul,
  neg,
  scalar,
  slice,
  reshape,
  stack,
  sum,
  tidy,
  zeros,
  zerosLike,
} from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { buildProblem, makePlan, type AnyOptions } from '../src/core/build_problem.js';
import { consumeSteps } from '../src/core/collect.js';
import { runSync } from '../src/core/reading.js';
import type { Stepper } from '../src/core/stepper.js';
import { scoped } from '../src/core/tape.js';
import { ownedByScope, type LeafField } from '../src/core/tensor_kind.js';
import { TensorSpace, type TensorNorm, type TensorState } from '../src/core/tensor_space.js';
import { vjp } from '../src/core/vjp.js';

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
  norm: 'full' | 'seminorm' | TensorNorm;
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
 * Then `dL/dy0 = a(t0)` and `dL/dp = q(t0)`. Memory does not grow with the number of steps.
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
  const { times, parameters } = problem;
  return tidy(() => {
    const last = times.length - 1;
    let adjoint = rowsOf(cotangents, last);
    let quadratures: Tensor[] = parameters.map((parameter) => zerosLike(parameter));
    const toTimes: Tensor[] = new Array<Tensor>(times.length).fill(zeros([]));
    let nextStep: number | null = null;
    for (let i = last; i > 0; i--) {
      const y = rowsOf(states, i);
      toTimes[i] = slopeAlong(problem.field, times[i], y, rowsOf(cotangents, i));
      const end = backOneInterval(
        problem,
        i,
        problem.trajectory ? adjoint : [...y, ...adjoint],
        quadratures,
        nextStep,
      );
      nextStep = end.nextStep;
      quadratures = end.quadratures;
      if (i === 1) toTimes[0] = neg(slopeAlong(problem.field, times[0], rowsOf(states, 0), end.adjoint));
      adjoint = end.adjoint.map((a, leaf) => add(a, rowsOf(cotangents, i - 1)[leaf]));
    }
    return { toState: adjoint, toParameters: quadratures, toTimes: stack(toTimes) };
  });
}

/** Row `i` of leaves `[T, ...shape]`. */
export const rowsOf = (leaves: readonly Tensor[], i: number): Tensor[] =>
  leaves.map((leaf) => {
    const [, ...shape] = leaf.shape;
    return reshape(slice(leaf, [i, ...shape.map(() => 0)], [1, ...shape]), shape);
  });

/** `<g, f(t, y)>`: how the loss changes when an output time moves. */
export function slopeAlong(field: LeafField, t: number, y: Tensor[], g: Tensor[]): Tensor {
  const products = field.call(scalar(t), y).map((slope, leaf) => sum(mul(slope, g[leaf])));
  return products.reduce((total, product) => add(total, product));
}

/* From times[i] to times[i - 1]. */
function backOneInterval(
  problem: BacksolveProblem,
  i: number,
  main: readonly Tensor[],
  quadratures: readonly Tensor[],
  nextStep: number | null,
) {
  const { options, stepper, times } = problem;
  const interval = Float64Array.of(times[i], times[i - 1]);
  const space = augmentedSpace(problem);
  // The step that fitted the interval before fits here too, which saves the search for a first step.
  const firstStep = nextStep === null ? {} : { firstStep: options.firstStep ?? nextStep };
  const plan = makePlan(stepper, interval, { ...options, ...firstStep }, []);
  const solve = buildProblem<TensorState>(plan, {
    space,
    field: augmentedField(problem, space),
    start: () =>
      scoped(() => [...space.pack(main), ...quadratures].map((part) => engine().keep(ownedByScope(part)))),
    withView: () => undefined,
    func: undefined,
    y0: undefined,
    readsAreFree: false,
  });
  const leaves = problem.field.leaves.length;
  let end: Tensor[] = [];
  const size = runSync(
    consumeSteps(solve, false, (step) => {
      if (step.t1 !== interval[1]) return;
      end = [...space.unpack(step.y1).slice(-leaves), ...space.quadratures(step.y1)].map((part) =>
        clone(part),
      );
    }),
  );
  return { adjoint: end.slice(0, leaves), quadratures: end.slice(leaves), nextStep: size };
}

function augmentedSpace({ field, parameters, rtol, atol, norm, trajectory }: BacksolveProblem): TensorSpace {
  const shapes = field.leaves.map((leaf) => leaf.shape);
  const both = <T>(values: readonly T[]): readonly T[] => (trajectory ? values : [...values, ...values]);
  return new TensorSpace(
    both(shapes),
    {
      rtol: both(rtol),
      atol: both(atol),
      norm: norm === 'full' || norm === 'seminorm' ? 'rms' : norm,
    },
    parameters.length > 0
      ? { rtol: Math.max(...rtol), atol: Math.max(...atol), checked: norm !== 'seminorm' }
      : null,
  );
}

/* (y, a) -> (f, -a^T df/dy, -a^T df/dp), without the first where y is known. */
function augmentedField({ field, parameters, trajectory }: BacksolveProblem, space: TensorSpace) {
  const leaves = field.leaves.length;
  return (t: number, parts: TensorState): TensorState =>
    scoped(() => {
      const main = space.unpack(parts);
      const cotangents = main.slice(-leaves).map((a) => neg(a));
      const y = trajectory ? trajectory(t) : main.slice(0, leaves);
      const { derivative, toState, toParameters } = vjp(field, scalar(t), y, parameters, cotangents);
      const all = [...space.pack(trajectory ? toState : [...derivative, ...toState]), ...toParameters];
      return all.map((part) => engine().keep(ownedByScope(part)));
    });
}
