import { add, neg, stack, tidy, zeros, type Tensor } from '@tensorflow/tfjs-core';
import type { AnyOptions } from '../src/core/build_problem.js';
import type { SolveStats } from '../src/core/errors.js';
import { largestTolerance } from '../src/core/options.js';
import { prepare } from '../src/core/prepare.js';
import type { Problem } from '../src/core/problem.js';
import type { Reading } from '../src/core/reading.js';
import type { Stepper } from '../src/core/stepper.js';
import { keptParts } from '../src/core/tensor_kind.js';
import type { LeafField } from '../src/core/leaf_field.js';
import { TensorSpace, type TensorState } from '../src/core/tensor_space.js';
import { slopeShapes } from '../src/core/quadrature.js';
import { outputOf, solveGrid } from '../src/odeint_with.js';
import { flattenTree, unflattenTree } from '../src/core/tree.js';
import type { AdjointPlan } from './adjoint_options.js';
import { ParameterProducts } from './parameter_products.js';
import { RecordedTrajectory } from './trajectory.js';
import { adjointOf } from './adjoint_of.js';
import { backsolve, rowsOf, slopeAlong, type AdjointGradients, type BacksolveProblem } from './backsolve.js';
import { relativeDistance, reportDrift } from './drift.js';
import { recordSolve, retraceSolve, reverseSolve, type Recording, type Sweep } from './checkpoint.js';

/** How a gradient is computed: what the forward solve leaves behind, and what the backward one makes of it. */
export interface AdjointMode {
  /** Solves from leaves; `carry` are tensors that the tape keeps until the gradient is done. */
  forward(start: readonly Tensor[]): Reading<{ states: Tensor[]; carry: Tensor[]; stats: SolveStats }>;
  /** Gradients from the states, the tensors carried, and the cotangents of the states. */
  backward(
    states: readonly Tensor[],
    carry: readonly Tensor[],
    cotangents: readonly Tensor[],
  ): AdjointGradients;
}

/** What every mode starts from. */
export interface ForwardSolve {
  func: unknown;
  field: LeafField;
  stepper: Stepper;
  times: Float64Array;
  options: AnyOptions;
  extraOptions: readonly string[];
  /** Whether anybody asks for the gradient to the output times. */
  timeGradient: boolean;
}

/* The continuous adjoint: nothing is carried but the output. */
function backsolveMode(solve: ForwardSolve, problem: BacksolveProblem): AdjointMode {
  const { func, field, stepper, times, options, extraOptions } = solve;
  return {
    *forward(start) {
      const y0 = unflattenTree(field.structure, start);
      const solution = yield* solveGrid(stepper, func, y0, times, options, { extraOptions });
      const { leaves } = flattenTree(outputOf(solution), 'y');
      return { states: leaves, carry: [], stats: solution.stats };
    },
    backward: (states, _carry, cotangents) => backsolve(problem, states, cotangents),
  };
}

/* The exact discrete adjoint: carries the states before some of the steps. */
function checkpointMode(
  solve: ForwardSolve,
  parameters: readonly Tensor[],
  checkpoints: number,
): AdjointMode {
  adjointOf(solve.stepper, 'checkpoint');
  return recordingMode(solve, checkpoints, (recorded, states, cotangents) =>
    sweepBack(solve, recorded, parameters, states, cotangents, (sweep) =>
      // That of the problem has the interpolant asked for.
      reverseSolve({ ...sweep, adjoint: adjointOf(sweep.stepper, 'checkpoint'), checkpoints }),
    ),
  );
}

/* The exact discrete adjoint of steps that can be taken back: carries the end of the last one. */
function reversibleMode(solve: ForwardSolve, parameters: readonly Tensor[]): AdjointMode {
  const adjoint = adjointOf(solve.stepper, 'reversible');
  const leaves = solve.field.leaves.length;
  const { rtol, atol } = solve.options;
  return recordingMode(solve, 'end', (recorded, states, cotangents) =>
    sweepBack(solve, recorded, parameters, states, cotangents, (sweep) => {
      const { lambda, start } = retraceSolve({ ...sweep, adjoint, checkpoints: 0 });
      if (start !== null) {
        const space = sweep.system.space as TensorSpace;
        const drift = tidy(() =>
          relativeDistance(
            space.unpack(start),
            rowsOf(states, 0).slice(0, leaves),
            states.slice(0, leaves),
            largestTolerance(atol, 1e-6),
          ),
        );
        reportDrift('reversible', drift.dataSync()[0], largestTolerance(rtol, 1e-5));
      }
      return lambda;
    }),
  );
}

/* The continuous adjoint along the forward solution: carries the states before all of the steps. */
function interpolatingMode(solve: ForwardSolve, backward: BacksolveProblem): AdjointMode {
  adjointOf(solve.stepper, 'interpolating');
  return recordingMode(solve, Infinity, ({ problem, recording }, states, cotangents) => {
    const path = new RecordedTrajectory(problem, recording);
    const space = problem.space as TensorSpace;
    const trajectory = (t: number) => path.at(t, (y) => space.unpack(y).map((leaf) => leaf.clone()));
    try {
      return backsolve({ ...backward, trajectory }, states, cotangents);
    } finally {
      path.dispose();
    }
  });
}

/** The mode of a plan, for what is differentiated. */
export function chooseMode(
  solve: ForwardSolve,
  plan: AdjointPlan,
  parameters: readonly Tensor[],
): AdjointMode {
  const backward = () => ({ ...plan.backward!, parameters });
  switch (plan.mode) {
    case 'checkpoint':
      return checkpointMode(solve, parameters, plan.checkpoints);
    case 'reversible':
      return reversibleMode(solve, parameters);
    case 'interpolating':
      return interpolatingMode(solve, backward());
    case 'backsolve':
      return backsolveMode(solve, backward());
  }
}

/** A forward solve and what it recorded. */
interface Recorded {
  problem: Problem<TensorState>;
  recording: Recording<TensorState>;
}

/* The states that are kept travel as tensors the tape owns, so that a gradient nobody asks for leaks nothing. */
function recordingMode(
  { func, field, stepper, times, options, extraOptions }: ForwardSolve,
  keep: number | 'end',
  backward: (
    recorded: Recorded,
    states: readonly Tensor[],
    cotangents: readonly Tensor[],
  ) => AdjointGradients,
): AdjointMode {
  let recorded!: Recorded;
  return {
    *forward(start) {
      const y0 = unflattenTree(field.structure, start);
      const problem = prepare(stepper, func, y0, times, options, extraOptions)
        .problem as Problem<TensorState>;
      const archive = problem.space.sibling() as TensorSpace;
      try {
        const { recording, outputs } = yield* recordSolve(problem, times, keep, archive);
        recorded = { problem, recording };
        const carry = [...recording.kept.values()].flat(2).map((part) => part.clone());
        const states = tidy(() => [...archive.stack(outputs), ...archive.stackQuadratures(outputs)]);
        return { states, carry, stats: { ...problem.system.stats } };
      } finally {
        archive.releaseAll();
      }
    },
    backward: (states, carry, cotangents) => {
      const { problem, recording } = recorded;
      let next = 0;
      const kept = new Map<number, readonly TensorState[]>();
      for (const [n, carried] of recording.kept) {
        kept.set(
          n,
          carried.map((state) => carry.slice(next, (next += state.length))),
        );
      }
      return tidy(() =>
        backward({ problem, recording: { steps: recording.steps, kept } }, states, cotangents),
      );
    },
  };
}

function sweepBack(
  { field, times, timeGradient }: ForwardSolve,
  { problem, recording }: Recorded,
  parameters: readonly Tensor[],
  states: readonly Tensor[],
  cotangents: readonly Tensor[],
  sweep: (sweep: Omit<Sweep<TensorState>, 'adjoint' | 'checkpoints'>) => TensorState | null,
): AdjointGradients {
  const space = problem.space.sibling() as TensorSpace;
  const system = problem.system.on(space);
  const duals = dualSpace(field, space);
  const products = new ParameterProducts(field, parameters, system, duals);
  try {
    const lambda = sweep({
      ...{ system, duals, stepper: problem.stepper, times, recording },
      cotangentOf: (i) => duals.adopt(keptParts(() => duals.pack(rowsOf(cotangents, i)))),
      linearize: (t, y) => products.linearize(t, y),
    });
    const atStart = lambda ? duals.unpack(lambda).map((leaf) => leaf.clone()) : null;
    const first = rowsOf(cotangents, 0).slice(0, field.leaves.length);
    const toTimes =
      timeGradient && atStart
        ? gradientToTimes(field, times, states, cotangents, atStart)
        : zeros([times.length]);
    return {
      toState: atStart ? first.map((leaf, i) => add(leaf, atStart[i])) : first,
      toParameters: products.sums(),
      toTimes,
    };
  } finally {
    products.dispose();
    space.releaseAll();
    duals.releaseAll();
  }
}

/* Cotangents have quadratures among their leaves, where states carry them behind. */
function dualSpace(field: LeafField, space: TensorSpace): TensorSpace {
  if (!field.quadratures) return space;
  const shapes = slopeShapes(field);
  const none = shapes.map(() => 0);
  return new TensorSpace(shapes, { rtol: none, atol: none, norm: 'rms' });
}

/* dL/dt_i = g_i . f(t_i, y_i), dL/dt_0 = -a(t_0) . f(t_0, y_0). */
function gradientToTimes(
  field: LeafField,
  times: Float64Array,
  states: readonly Tensor[],
  cotangents: readonly Tensor[],
  atStart: Tensor[],
): Tensor {
  return stack(
    Array.from(times, (t, i) =>
      i === 0
        ? neg(slopeAlong(field, t, rowsOf(states, 0), atStart))
        : slopeAlong(field, t, rowsOf(states, i), rowsOf(cotangents, i)),
    ),
  );
}
