import { tensor, tidy, type Tensor } from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { concatLeaves, sizeOf } from '../src/core/flat.js';
import { withFreshTape } from '../src/core/tape.js';
import { parametersOf, tidied, treeAs } from './params.js';
import { lossGradients } from './value_and_grad.js';

/** A function on plain numbers with its gradient. `x` is borrowed: do not change it. */
export type PlainObjective = (x: Float64Array) => { value: number; gradient: ArrayLike<number> };

/** What the minimisers see: value and gradient at a vector. */
export interface Objective {
  readonly start: Float64Array;
  evaluate(x: Float64Array): { value: number; gradient: Float64Array };
  /** The vector as the caller knows it: numbers, or a tree of tensors. */
  result(x: Float64Array): unknown;
  /** Whether values are float32. */
  readonly single: boolean;
}

/** Either kind of objective. */
export function objectiveOf(f: unknown, x0: unknown): Objective {
  if (typeof f !== 'function') {
    throw new InvalidArgumentError(`f is ${describe(f)}; expected a function.`);
  }
  const plain = x0 instanceof Float64Array || (Array.isArray(x0) && x0.every((x) => typeof x === 'number'));
  return plain ? plainObjective(f as PlainObjective, Float64Array.from(x0)) : tensorObjective(f, x0);
}

function plainObjective(f: PlainObjective, start: Float64Array): Objective {
  if (start.length === 0 || !start.every(Number.isFinite)) {
    throw new InvalidArgumentError(`x0 is ${describe(start)}; expected finite numbers, at least one.`);
  }
  const evaluate = (x: Float64Array): { value: number; gradient: Float64Array } => {
    const result: unknown = f(x);
    const { value, gradient } = (result ?? {}) as Partial<ReturnType<PlainObjective>>;
    if (typeof value !== 'number' || gradient?.length !== start.length) {
      throw new InvalidArgumentError(
        `f returned ${describe(result)}; expected { value, gradient }, with ${start.length} numbers in gradient.`,
      );
    }
    return { value, gradient: Float64Array.from(gradient) };
  };
  return { start, evaluate, result: (x) => x, single: false };
}

function tensorObjective(f: unknown, x0: unknown): Objective {
  const checked = parametersOf(x0, 'x0');
  const shapes = checked.leaves.map(({ shape }) => shape);
  const tree = (x: Float64Array): unknown => {
    let begin = 0;
    const leaves = shapes.map((shape): Tensor => {
      const end = begin + sizeOf(shape);
      const values = Float32Array.from(x.subarray(begin, end));
      begin = end;
      return tensor(values, [...shape], 'float32');
    });
    return treeAs(checked, leaves);
  };
  const evaluate = (x: Float64Array): { value: number; gradient: Float64Array } =>
    withFreshTape(() =>
      tidied(() => {
        const params = tree(x);
        const { value, grads } = lossGradients(f, params, parametersOf(params).leaves);
        return { value: value.dataSync()[0], gradient: Float64Array.from(concatLeaves(grads).dataSync()) };
      }),
    );
  const start = Float64Array.from(tidy(() => concatLeaves(checked.leaves).dataSync()));
  return { start, evaluate, result: tree, single: true };
}
