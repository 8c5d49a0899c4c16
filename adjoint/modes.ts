import { add, engine, neg, scalar, stack, tidy, zeros, zerosLike, type Tensor } from '@tensorflow/tfjs-core';
import { ExplicitRungeKutta } from '../solvers/index.js';
import type { AnyOptions } from '../src/core/build_problem.js';
import { InvalidArgumentError } from '../src/core/errors.js';
import { prepare } from '../src/core/prepare.js';
import type { Problem } from '../src/core/problem.js';
import type { Reading } from '../src/core/reading.js';
import type { Stepper } from '../src/core/stepper.js';
import { keptParts, type LeafField } from '../src/core/tensor_kind.js';
import type { TensorSpace, TensorState } from '../src/core/tensor_space.js';
import { vjp } from '../src/core/vjp.js';
import { solveGrid } from '../src/odeint_with.js';
import { flattenTree, unflattenTree } from '../src/core/tree.js';
import type { AdjointPlan } from './adjoint_options.js';
import { RecordedTrajectory } from './trajectory.js';
import { backsolve, rowsOf, slopeAlong, type AdjointGradients, type BacksolveProblem } from './backsolve.js';
import { recordSolve, reverseSolve, type Recording } from './checkpoint.js';

/** How a gradient is computed: what the forward solve leaves behind, and what the backward one makes of it. */
export interface AdjointMode {
  /** Solves from leaves; `carry` are tensors that the tape keeps until the gradient is done. */
  forward(start: readonly Tensor[]): Reading<{ states: Tensor[]; carry: Tensor[] }>;
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
      const { y } = yield* solveGrid(stepper, func, y0, times, options, { extraOptions });
      return { states: flattenTree(y, 'y').leaves, carry: [] };
    },
    backward: (states, _carry, cotangents) => backsolve(problem, states, cotangents),
  };
}

/** The stepper, if it is one whose steps can be run again and reversed. */
export function rungeKutta(stepper: Stepper, mode: string): ExplicitRungeKutta {
  if (stepper instanceof ExplicitRungeKutta) return stepper;
  throw new InvalidArgumentError(
    `adjoint '${mode}' runs the steps of explicit Runge-Kutta methods again, and '${stepper.name}' is none of them; ` +
      "use adjoint: 'backsolve'.",
  );
}

/* The exact discrete adjoint: carries the states before some of the steps. */
function checkpointMode(
  solve: ForwardSolve,
  parameters: readonly Tensor[],
  checkpoints: number,
): AdjointMode {
  const stepper = rungeKutta(solve.stepper, 'checkpoint');
  return recordingMode(solve, checkpoints, (recorded, states, cotangents) =>
    sweepBack(solve, stepper, recorded, parameters, checkpoints, states, cotangents),
  );
}

/* The continuous adjoint along the forward solution: carries the states before all of the steps. */
function interpolatingMode(solve: ForwardSolve, backward: BacksolveProblem): AdjointMode {
  const stepper = rungeKutta(solve.stepper, 'interpolating');
  return recordingMode(solve, Infinity, ({ problem, recording }, states, cotangents) => {
    const trajectory = new RecordedTrajectory(problem, stepper, recording);
    try {
      return backsolve({ ...backward, trajectory: (t) => trajectory.at(t) }, states, cotangents);
    } finally {
      trajectory.dispose();
    }
  });
}

/** The mode of a plan, for what is differentiated. */
export function chooseMode(
  solve: ForwardSolve,
  plan: AdjointPlan,
  parameters: readonly Tensor[],
): AdjointMode {
  const backward = { ...plan.backward, parameters };
  if (plan.mode === 'checkpoint') return checkpointMode(solve, parameters, plan.checkpoints);
  return plan.mode === 'interpolating' ? interpolatingMode(solve, backward) : backsolveMode(solve, backward);
}

/** A forward solve and what it recorded. */
interface Recorded {
  problem: Problem<TensorState>;
  recording: Recording<TensorState>;
}

/* The states that are kept travel as tensors the tape owns, so that a gradient nobody asks for leaks nothing. */
function recordingMode(
  { func, field, stepper, times, options, extraOptions }: ForwardSolve,
  checkpoints: number,
  backward: (
    recorded: Recorded,
    states: readonly Tensor[],
    cotangents: readonly Tensor[],
  ) => AdjointGradients,
): AdjointMode {
  let recorded!: Recorded;
  let parts = 1;
  return {
    *forward(start) {
      const y0 = unflattenTree(field.structure, start);
      const problem = prepare(stepper, func, y0, times, options, extraOptions)
        .problem as Problem<TensorState>;
      const archive = problem.space.sibling() as TensorSpace;
      try {
        const { recording, outputs } = yield* recordSolve(problem, times, checkpoints, archive);
        recorded = { problem, recording };
        parts = outputs[0].length;
        const carry = [...recording.kept.values()].flat().map((part) => part.clone());
        return { states: tidy(() => archive.stack(outputs)), carry };
      } finally {
        archive.releaseAll();
      }
    },
    backward: (states, carry, cotangents) => {
      const { problem, recording } = recorded;
      const kept = new Map<number, TensorState>();
      [...recording.kept.keys()].forEach((n, i) => kept.set(n, carry.slice(i * parts, (i + 1) * parts)));
      return tidy(() =>
        backward({ problem, recording: { steps: recording.steps, kept } }, states, cotangents),
      );
    },
  };
}

function sweepBack(
  { field, times, timeGradient }: ForwardSolve,
  stepper: ExplicitRungeKutta,
  { problem, recording }: Recorded,
  parameters: readonly Tensor[],
  checkpoints: number,
  states: readonly Tensor[],
  cotangents: readonly Tensor[],
): AdjointGradients {
  const space = problem.space.sibling() as TensorSpace;
  const system = problem.system.on(space);
  let toParameters: Tensor[] = parameters.map((parameter) => engine().keep(zerosLike(parameter)));
  const stateVjp = (t: number, y: TensorState, cotangent: TensorState): TensorState =>
    keptParts(() => {
      const found = vjp(field, scalar(t), space.unpack(y), parameters, space.unpack(cotangent));
      const before = toParameters;
      toParameters = before.map((total, i) => engine().keep(add(total, found.toParameters[i])));
      for (const total of before) total.dispose();
      return space.pack(found.toState);
    });
  try {
    const lambda = reverseSolve({
      system,
      stepper,
      tableau: stepper.tableau,
      times,
      recording,
      checkpoints,
      cotangentOf: (i) => space.adopt(keptParts(() => space.pack(rowsOf(cotangents, i)))),
      vjp: stateVjp,
    });
    const atStart = lambda ? space.unpack(lambda).map((leaf) => leaf.clone()) : null;
    const first = rowsOf(cotangents, 0);
    const toTimes =
      timeGradient && atStart
        ? gradientToTimes(field, times, states, cotangents, atStart)
        : zeros([times.length]);
    return {
      toState: atStart ? atStart.map((leaf, i) => add(leaf, first[i])) : first,
      toParameters: toParameters.map((total) => total.clone()),
      toTimes,
    };
  } finally {
    space.releaseAll();
    for (const total of toParameters) total.dispose();
  }
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
