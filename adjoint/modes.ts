import {
  add,
  engine,
  neg,
  scalar,
  stack,
  tidy,
  zeros,
  zerosLike,
  type Tensor,
  type Variable,
} from '@tensorflow/tfjs-core';
import { ExplicitRungeKutta } from '../solvers/index.js';
import type { AnyOptions } from '../src/core/build_problem.js';
import { InvalidArgumentError } from '../src/core/errors.js';
import { prepare } from '../src/core/prepare.js';
import type { Problem } from '../src/core/problem.js';
import { runSync } from '../src/core/reading.js';
import type { Stepper } from '../src/core/stepper.js';
import { scoped } from '../src/core/tape.js';
import { ownedByScope, type LeafField } from '../src/core/tensor_kind.js';
import type { TensorSpace, TensorState } from '../src/core/tensor_space.js';
import { vjp } from '../src/core/vjp.js';
import { solveGridSync } from '../src/odeint_with.js';
import { flattenTree, unflattenTree } from '../src/core/tree.js';
import { backsolve, rowsOf, slopeAlong, type AdjointGradients, type BacksolveProblem } from './backsolve.js';
import { recordSolve, reverseSolve, type Recording } from './checkpoint.js';

/** How a gradient is computed: what the forward solve leaves behind, and what the backward one makes of it. */
export interface AdjointMode {
  /** Solves from leaves; `carry` are tensors that the tape keeps until the gradient is done. */
  forward(start: readonly Tensor[]): { states: Tensor[]; carry: Tensor[] };
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
}

/** The continuous adjoint: nothing is carried but the output. */
export function backsolveMode(solve: ForwardSolve, problem: BacksolveProblem): AdjointMode {
  const { func, field, stepper, times, options, extraOptions } = solve;
  return {
    forward: (start) => {
      const y0 = unflattenTree(field.structure, start);
      const { y } = solveGridSync(stepper, func, y0, times, options, { extraOptions });
      return { states: flattenTree(y, 'y').leaves, carry: [] };
    },
    backward: (states, _carry, cotangents) => backsolve(problem, states, cotangents),
  };
}

/** The exact discrete adjoint: carries the states before some of the steps. */
export function checkpointMode(
  solve: ForwardSolve,
  parameters: readonly Variable[],
  checkpoints: number,
): AdjointMode {
  const { func, field, stepper, times, options, extraOptions } = solve;
  if (!(stepper instanceof ExplicitRungeKutta)) {
    throw new InvalidArgumentError(
      `adjoint 'checkpoint' knows the adjoint of explicit Runge-Kutta methods, and '${stepper.name}' is none of them; ` +
        "use adjoint: 'backsolve'.",
    );
  }
  let problem!: Problem<TensorState>;
  let recording!: Recording<TensorState>;
  let parts = 1;
  return {
    forward: (start) => {
      const y0 = unflattenTree(field.structure, start);
      problem = prepare(stepper, func, y0, times, options, extraOptions).problem as Problem<TensorState>;
      const archive = problem.space.sibling() as TensorSpace;
      try {
        const solved = runSync(recordSolve(problem, times, checkpoints, archive));
        recording = solved.recording;
        parts = solved.outputs[0].length;
        const carry = [...recording.kept.values()].flat().map((part) => part.clone());
        return { states: tidy(() => archive.stack(solved.outputs)), carry };
      } finally {
        archive.releaseAll();
      }
    },
    backward: (states, carry, cotangents) => {
      const kept = new Map<number, TensorState>();
      [...recording.kept.keys()].forEach((n, i) => kept.set(n, carry.slice(i * parts, (i + 1) * parts)));
      const sweep = { steps: recording.steps, kept };
      return tidy(() => sweepBack(solve, problem, sweep, parameters, checkpoints, states, cotangents));
    },
  };
}

function sweepBack(
  { field, stepper, times }: ForwardSolve,
  problem: Problem<TensorState>,
  recording: Recording<TensorState>,
  parameters: readonly Variable[],
  checkpoints: number,
  states: readonly Tensor[],
  cotangents: readonly Tensor[],
): AdjointGradients {
  const space = problem.space.sibling() as TensorSpace;
  const system = problem.system.on(space);
  let toParameters: Tensor[] = parameters.map((variable) => engine().keep(zerosLike(variable)));
  const own = (make: () => Tensor[]): TensorState =>
    scoped(() => make().map((part) => engine().keep(ownedByScope(part))));
  const stateVjp = (t: number, y: TensorState, cotangent: TensorState): TensorState =>
    own(() => {
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
      tableau: (stepper as ExplicitRungeKutta).tableau,
      times,
      recording,
      checkpoints,
      cotangentOf: (i) => space.adopt(own(() => space.pack(rowsOf(cotangents, i)))),
      vjp: stateVjp,
    });
    const atStart = lambda ? space.unpack(lambda).map((leaf) => leaf.clone()) : null;
    const first = rowsOf(cotangents, 0);
    const toTimes =
      times.length > 1 && atStart ? timeGradient(field, times, states, cotangents, atStart) : zeros([1]);
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
function timeGradient(
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
