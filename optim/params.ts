import { tidy, type Tensor, type TensorContainer, type Variable } from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { flattenTree, isTensor, leafPaths, unflattenTree, type Structure } from '../src/core/tree.js';

/** A tree of parameters after an update: tensors where there were variables. */
export type Updated<P> =
  P extends Variable<infer R> ? Tensor<R> : P extends Tensor ? P : { [K in keyof P]: Updated<P[K]> };

/** A tree of parameters, checked. */
export interface Parameters {
  readonly structure: Structure;
  readonly leaves: readonly Tensor[];
  /** Where each leaf is: `w`, `layers[0].bias`; empty for a single tensor. */
  readonly paths: readonly string[];
}

/**
 * The leaves of a tree of parameters.
 * @throws `InvalidArgumentError` for a tree without tensors, one that holds a tensor twice, and leaves that are
 * disposed or not float32.
 */
export function parametersOf(params: unknown, name = 'params', mayBeDisposed = false): Parameters {
  let tree: ReturnType<typeof flattenTree>;
  try {
    tree = flattenTree(params, name);
  } catch {
    throw new InvalidArgumentError(
      `${name} is ${describe(params)}; expected a float32 tensor or variable, or an array or record of them.`,
    );
  }
  const { structure, leaves } = tree;
  const full = leafPaths(structure);
  if (leaves.length === 0) {
    throw new InvalidArgumentError(
      `${name} is ${describe(params)}, without a tensor; there is nothing to optimise.`,
    );
  }
  leaves.forEach((leaf, i) => {
    if (!mayBeDisposed) requireFloat(leaf, full[i]);
    const first = leaves.indexOf(leaf);
    if (first === i) return;
    throw new InvalidArgumentError(
      `${full[first]} and ${full[i]} are the same tensor; every parameter may stand in the tree once.`,
    );
  });
  return { structure, leaves, paths: full.map((path) => path.slice(name.length).replace(/^\./, '')) };
}

function requireFloat(leaf: Tensor, path: string): void {
  if (leaf.isDisposed) {
    throw new InvalidArgumentError(
      `${path} has been disposed; a tensor made under a gradient or in tf.tidy ends with it: recover a state that outlives it.`,
    );
  }
  if (leaf.dtype !== 'float32') {
    throw new InvalidArgumentError(
      `${path} is ${describe(leaf)}; expected float32. Cast it with tf.cast(x, 'float32').`,
    );
  }
}

/**
 * The leaves of `value`, which must have the structure and shapes of the parameters; records may list their keys in
 * another order.
 */
export function leavesAs({ structure, leaves }: Parameters, value: unknown, name: string): Tensor[] {
  const found: Tensor[] = [];
  const wrong = (path: string, part: unknown, expected: string) =>
    new InvalidArgumentError(`${path} is ${describe(part)}; expected ${expected}, as in params.`);
  const visit = (node: Structure, part: unknown, path: string): void => {
    if (node.kind === 'leaf') {
      const like = leaves[found.length];
      if (!isTensor(part) || part.shape.join() !== like.shape.join()) {
        throw wrong(path, part, `a float32 tensor of shape [${like.shape.join(', ')}]`);
      }
      requireFloat(part, path);
      found.push(part);
    } else if (node.kind === 'array') {
      if (!Array.isArray(part) || part.length !== node.items.length) {
        throw wrong(path, part, `an array of ${node.items.length}`);
      }
      node.items.forEach((item, i) => visit(item, part[i], `${path}[${i}]`));
    } else {
      const record = (typeof part === 'object' && !isTensor(part) ? (part ?? {}) : {}) as Record<
        string,
        unknown
      >;
      const keys = Object.keys(record);
      if (keys.length !== node.keys.length || !node.keys.every((key) => keys.includes(key))) {
        throw wrong(path, part, `a record with the keys {${node.keys.join(', ')}}`);
      }
      node.items.forEach((item, i) => visit(item, record[node.keys[i]], `${path}.${node.keys[i]}`));
    }
  };
  visit(structure, value, name);
  return found;
}

/** Leaves as a tree like the parameters. */
export const treeAs = <P>({ structure }: Parameters, leaves: readonly Tensor[]): Updated<P> =>
  unflattenTree(structure, leaves) as Updated<P>;

/** `tf.tidy` for results of any type: what is not in them is disposed. */
export const tidied = <T>(compute: () => T): T => tidy(compute as () => TensorContainer) as T;

/** Throws unless `value` is a number in the given range. */
export function checkNumber(value: unknown, name: string, low: number, high = Infinity): void {
  if (typeof value === 'number' && value >= low && value < high) return;
  const bound = low === Number.MIN_VALUE ? '> 0' : `>= ${low}`;
  const range = high === Infinity ? `a number ${bound}` : `a number in [${low}, ${high})`;
  throw new InvalidArgumentError(`${name} is ${describe(value)}; expected ${range}.`);
}
