import {
  add,
  clone,
  engine,
  mul,
  sum,
  tensor1d,
  Variable,
  type Scalar,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { resolveMethod } from '../solvers/index.js';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { largestTolerance } from '../src/core/options.js';
import { runSync } from '../src/core/reading.js';
import { scoped, withFreshTape } from '../src/core/tape.js';
import { readTimes } from '../src/core/times.js';
import { flattenTree, isTensor, mapTensors, unflattenTree } from '../src/core/tree.js';
import { requireGradients } from '../src/core/vjp.js';
import { odeint } from '../src/odeint.js';
import { solveGrid } from '../src/odeint_with.js';
import {
  chooseModes,
  continuousModes,
  gradcheckNames,
  modesOf,
  wayBackOf,
  type AnyGradcheckOptions,
} from './gradcheck_options.js';
import {
  checkLossValue,
  frozenOptions,
  recordingOptions,
  type CheckedProblem,
  type ModeGradients,
} from './gradcheck_problem.js';
import { setUp, tensorOf, type Setup } from './gradcheck_setup.js';
import { odeintAdjoint } from './odeint_adjoint.js';

/**
 * A problem on tensors. To be called in a scope of its own, which must stay open while the problem is used: it holds
 * copies of `y0` and of the tensors in `args`, so that a tensor given twice is two inputs.
 */
export function tensorProblem(
  func: unknown,
  y0: unknown,
  t: unknown,
  options: AnyGradcheckOptions,
): CheckedProblem {
  requireGradients();
  const times = readTimes(t);
  const stepper = resolveMethod(options.method);
  const recording = recordingOptions(options, times);
  const run = { extraOptions: gradcheckNames };
  scoped(() => runSync(solveGrid(stepper, func, y0, times, recording.options, run)));
  const modes = chooseModes(options.modes, modesOf.tensors, stepper);
  const setup = setUp(func, stepper, y0, times, options);
  const { inputs, leaves, loss } = setup;
  const adaptive = stepper.embeddedOrder !== null && options.stepSize === undefined;
  const rtol = largestTolerance(options.rtol, 1e-5);
  return {
    ...{ epsilon: 2 ** -23, method: stepper.name, times, inputs, leaves, grid: recording.grid() },
    jumps: Array.from(options.jumpT ?? []),
    timesAreDistinct: new Set(Float32Array.from(times)).size === times.length,
    modes,
    continuous: continuousModes,
    rtol: adaptive ? Math.max(rtol, largestTolerance(options.adjointRtol, rtol)) : 0,
    solve: (values, grid) => solveMoved(setup, values, grid),
    flow: (state, from, to) => flow(setup, state, from, to),
    loss: loss ? (outputs) => scoped(() => lossValue(loss, treeOf(setup, outputs))) : null,
    gradients: (mode, { weights }, grid) =>
      scoped(() => gradientsOf(grid ? frozen(setup, grid) : setup, mode, weights)),
  };
}

/* Solves with some inputs moved. Variables are moved in place and put back as they were, bit by bit. */
function solveMoved(setup: Setup, values: readonly Float64Array[], grid: Float64Array): Float64Array[] {
  const { inputs, leaves, solveOptions, structure, stepper, func, times } = setup;
  return scoped(() => {
    const moved = inputs.map(({ tensor: x, values: own }, i) =>
      values[i] === own ? x : tensorOf(values[i], x.shape),
    );
    const changed = inputs.flatMap(({ tensor: x }, i) =>
      x instanceof Variable && moved[i] !== x ? [{ variable: x, to: moved[i], before: clone(x) }] : [],
    );
    const now = new Map(inputs.map(({ tensor: x }, i) => [x, x instanceof Variable ? x : moved[i]]));
    const args: unknown = mapTensors(solveOptions.args, (x) => now.get(x) ?? x);
    const options = frozenOptions({ ...solveOptions, args }, grid);
    try {
      for (const { variable, to } of changed) variable.assign(to);
      const y0 = unflattenTree(structure, moved.slice(0, leaves));
      const { y } = runSync(solveGrid(stepper, func, y0, times, options));
      return flattenTree(y, 'y').leaves.map((leaf) => Float64Array.from(leaf.dataSync()));
    } finally {
      for (const { variable, before } of changed) variable.assign(before);
    }
  });
}

/* One classical Runge-Kutta step: its error is of fifth order in the distance, as that of the differences. */
function flow(
  { func, structure, inputs, leaves, solveOptions: { args, signal } }: Setup,
  state: readonly Float64Array[],
  from: number,
  to: number,
): Float64Array[] {
  if (from === to) return [...state];
  return scoped(() => {
    const start = inputs.slice(0, leaves).map(({ tensor: { shape } }, i) => tensorOf(state[i], shape));
    const y0 = unflattenTree(structure, start);
    const options = { args, ...(signal ? { signal } : {}) };
    const solution = solveGrid(resolveMethod('rk4_classic'), func, y0, Float64Array.of(from, to), options);
    const ends = flattenTree(runSync(solution).y, 'y').leaves;
    return ends.map((leaf) => Float64Array.from(leaf.dataSync().slice(leaf.size / 2)));
  });
}

/* Flat outputs as the tree that odeint returns. */
function treeOf({ inputs, leaves, structure, times }: Setup, outputs: readonly Float64Array[]): unknown {
  const shapes = inputs.slice(0, leaves).map(({ tensor: { shape } }) => [times.length, ...shape]);
  return unflattenTree(
    structure,
    outputs.map((y, i) => tensorOf(y, shapes[i])),
  );
}

function checkedLoss(loss: (ys: unknown) => Scalar, ys: unknown): Scalar {
  const value: unknown = loss(ys);
  if (isTensor(value) && value.size === 1 && value.rank === 0 && value.dtype === 'float32')
    return value as Scalar;
  throw new InvalidArgumentError(`loss returned ${describe(value)}; expected a float32 scalar.`);
}

const lossValue = (loss: (ys: unknown) => Scalar, ys: unknown): number =>
  checkLossValue(checkedLoss(loss, ys).dataSync()[0]);

const frozen = (setup: Setup, grid: Float64Array): Setup => ({
  ...setup,
  solveOptions: frozenOptions(setup.solveOptions, grid),
});

/* As a user takes them: one loss, one tape. */
function gradientsOf(setup: Setup, mode: string, weights: readonly Float64Array[]): ModeGradients {
  const { func, structure, inputs, leaves, times, loss, wayBack, solveOptions } = setup;
  const y0 = unflattenTree(
    structure,
    inputs.slice(0, leaves).map((input) => input.tensor),
  );
  const shapes = inputs.slice(0, leaves).map(({ tensor: { shape } }) => [times.length, ...shape]);
  const factors = weights.map((w, i) => tensorOf(w, shapes[i]));
  const functional = (ys: unknown): Tensor =>
    loss
      ? checkedLoss(loss, ys)
      : flattenTree(ys, 'ys')
          .leaves.map((leaf, i): Tensor => sum(mul(leaf, factors[i])))
          .reduce((total, part) => add(total, part));
  const backward = {
    ...solveOptions,
    ...wayBackOf(mode, wayBack),
  };
  const solver = (t: unknown): unknown =>
    mode === 'tape'
      ? odeint(func as never, y0 as never, t as never, solveOptions as never)
      : odeintAdjoint(func as never, y0 as never, t as never, { ...backward, adjoint: mode } as never);
  const gradients = (t: unknown, xs: Tensor[]): Float64Array[] => {
    const { grads } = withFreshTape(() =>
      engine().gradients(() => functional(solver(t)), xs, undefined, true),
    );
    return xs.map((x, i) => (grads[i] ? Float64Array.from(grads[i].dataSync()) : new Float64Array(x.size)));
  };
  const moving = tensor1d(Float32Array.from(times));
  const tensors = inputs.map((input) => input.tensor);
  // Times that float32 holds need one tape only; others would change the steps.
  if (times.every((time) => Math.fround(time) === time)) {
    const all = gradients(moving, [...tensors, moving]);
    return { inputs: all.slice(0, -1), t: all[tensors.length] };
  }
  const distinct = new Set(Float32Array.from(times)).size === times.length;
  return {
    inputs: gradients(times, tensors),
    t: distinct ? gradients(moving, [moving])[0] : new Float64Array(times.length),
  };
}
