import { clone, scalar, tensor, Variable, type Scalar, type Tensor } from '@tensorflow/tfjs-core';
import type { AnyOptions } from '../src/core/build_problem.js';
import type { Stepper } from '../src/core/stepper.js';
import { leafField, type TensorField } from '../src/core/leaf_field.js';
import {
  flattenTree,
  leafPaths,
  mapTensors,
  pathTo,
  tensorsIn,
  unflattenTree,
  type Structure,
} from '../src/core/tree.js';
import { discoverDependencies } from '../src/core/vjp.js';
import { gradcheckNames, wayBackNames, type AnyGradcheckOptions } from './gradcheck_options.js';
import { quietOptions, type Input } from './gradcheck_problem.js';

/** An input with the tensor that func reads. */
export interface TensorInput extends Input {
  tensor: Tensor;
}

/** What every solve of a checked problem starts from. */
export interface Setup {
  func: unknown;
  stepper: Stepper;
  times: Float64Array;
  structure: Structure;
  inputs: TensorInput[];
  leaves: number;
  /** Of the solve alone, without callbacks; `args` holds our copies. */
  solveOptions: AnyOptions;
  wayBack: object;
  loss: ((ys: unknown) => Scalar) | undefined;
}

/** Copies `y0` and `args`, and finds what can be moved. */
export function setUp(
  func: unknown,
  stepper: Stepper,
  y0: unknown,
  times: Float64Array,
  options: AnyGradcheckOptions,
): Setup {
  const { structure, leaves } = flattenTree(y0, 'y0');
  const copies = new Map<Tensor, Tensor>();
  const args: unknown = mapTensors(options.args, (x) => {
    if (!copies.has(x)) copies.set(x, x instanceof Variable ? x : clone(x));
    return copies.get(x)!;
  });
  const start = leaves.map((leaf) => clone(leaf));
  const field = leafField(func as TensorField<never>, unflattenTree(structure, start), args);
  const { variables, captured } = dependencies(field, times[0], options.params);
  // What func closes over instead of reading its arguments stays where it is when the argument moves.
  const beyond = (original: Tensor, path: string) =>
    captured.includes(original) && !(original instanceof Variable)
      ? `func closes over the tensor ${path} itself; read it from the arguments of func, so that it can be moved.`
      : undefined;
  const paths = leafPaths(structure);
  const inputs = start.map((leaf, i) => inputOf(paths[i], leaf, beyond(leaves[i], paths[i])));
  const inArgs = [...new Set(tensorsIn(options.args))];
  for (const original of inArgs) {
    const path = pathTo(options.args, 'args', (x) => x === original)!;
    inputs.push(inputOf(path, copies.get(original)!, beyond(original, path)));
  }
  for (const variable of new Set(variables)) {
    if (!inArgs.includes(variable)) inputs.push(inputOf(nameOf(variable), variable));
  }
  const quiet = quietOptions(options) as Record<string, unknown>;
  const entries = Object.entries(quiet);
  const solveOptions = Object.fromEntries(entries.filter(([name]) => !gradcheckNames.includes(name)));
  const wayBack = Object.fromEntries(entries.filter(([name]) => wayBackNames.includes(name)));
  return {
    ...{ func, stepper, times, structure, inputs, leaves: leaves.length, wayBack },
    solveOptions: { ...solveOptions, args },
    loss: options.loss as Setup['loss'],
  };
}

/* A func that tfjs cannot differentiate fails in every mode, with tfjs's message: that belongs into the table. */
function dependencies(
  field: ReturnType<typeof leafField>,
  t: number,
  params: readonly Variable[] | undefined,
): { variables: readonly Variable[]; captured: Tensor[] } {
  try {
    const found = discoverDependencies(field, scalar(t), field.leaves);
    return { variables: params ?? found.variables, captured: found.captured };
  } catch {
    return { variables: params ?? [], captured: [] };
  }
}

/* tfjs counts the variables that were given no name. */
const nameOf = ({ name }: Variable): string => (/^\d+$/.test(name) ? `variable '${name}'` : name);

/** Float64 numbers as a float32 tensor. */
export const tensorOf = (values: Float64Array, shape: number[]): Tensor =>
  tensor(Float32Array.from(values), shape);

function inputOf(name: string, x: Tensor, failure?: string): TensorInput {
  const { shape } = x;
  const entry = (i: number): string => {
    const index: number[] = [];
    for (let d = shape.length - 1; d >= 0; d--) {
      index.unshift(i % shape[d]);
      i = Math.floor(i / shape[d]);
    }
    return index.length === 0 ? name : `${name}[${index.join(', ')}]`;
  };
  return { name, values: Float64Array.from(x.dataSync()), entry, failure, tensor: x };
}
