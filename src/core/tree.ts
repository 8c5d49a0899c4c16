import { Tensor } from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError, isPromiseLike } from './errors.js';

/** A tensor, an array of trees, or a record of trees. */
export type TensorTree = Tensor | readonly TensorTree[] | { readonly [key: string]: TensorTree };

/**
 * What a state of tensors may be typed as: `Y extends TreeOf<Y>` is a {@link TensorTree}, or an interface whose members
 * are. (An interface has no index signature, so it is no `TensorTree` by itself.)
 */
export type TreeOf<Y> =
  | TensorTree
  | (object & {
      readonly [K in keyof Y]: Y[K] extends TensorTree ? Y[K] : Y[K] extends object ? TreeOf<Y[K]> : never;
    });

/** The shape of a tree without its leaves. */
export type Structure =
  | { readonly kind: 'leaf'; readonly path: string }
  | { readonly kind: 'array'; readonly items: readonly Structure[] }
  | { readonly kind: 'record'; readonly keys: readonly string[]; readonly items: readonly Structure[] };

/** Whether `value` is a tensor, of whichever copy of tfjs-core. */
export function isTensor(value: unknown): value is Tensor {
  return (
    value instanceof Tensor ||
    (typeof value === 'object' && value !== null && 'dataId' in value && 'dtype' in value && 'shape' in value)
  );
}

/** The leaves of a tree, arrays in order, records in the order of their keys. */
export function flattenTree(value: unknown, name: string): { structure: Structure; leaves: Tensor[] } {
  const leaves: Tensor[] = [];
  const visit = (node: unknown, path: string): Structure => {
    if (isTensor(node)) {
      leaves.push(node);
      return { kind: 'leaf', path };
    }
    if (Array.isArray(node)) {
      return { kind: 'array', items: node.map((item, i) => visit(item, `${path}[${i}]`)) };
    }
    if (isRecord(node)) {
      const keys = Object.keys(node);
      return { kind: 'record', keys, items: keys.map((key) => visit(node[key], `${path}.${key}`)) };
    }
    throw new InvalidArgumentError(
      `${path} is ${describe(node)}; expected a float32 tensor, or an array or record of tensors. ` +
        'Wrap numbers with tf.tensor(...) (or pass y0 as a number[] to solve without tensors).',
    );
  };
  return { structure: visit(value, name), leaves };
}

/** Puts leaves back into a structure. */
export function unflattenTree(structure: Structure, leaves: readonly Tensor[]): TensorTree {
  let next = 0;
  const build = (node: Structure): TensorTree => {
    if (node.kind === 'leaf') return leaves[next++];
    const items = node.items.map(build);
    if (node.kind === 'array') return items;
    return Object.fromEntries(node.keys.map((key, i) => [key, items[i]]));
  };
  return build(structure);
}

/** The leaves of `value`, which must have the given structure; records may list their keys in another order. */
export function leavesLike(structure: Structure, value: unknown, name: string): unknown[] {
  const leaves: unknown[] = [];
  const visit = (node: Structure, part: unknown, path: string): void => {
    if (node.kind === 'leaf') {
      leaves.push(part);
    } else if (node.kind === 'array') {
      if (!Array.isArray(part) || part.length !== node.items.length) {
        throw mismatch(path, part, `an array of ${node.items.length}, as in y0`);
      }
      node.items.forEach((item, i) => visit(item, part[i], `${path}[${i}]`));
    } else {
      const keys = isRecord(part) ? Object.keys(part) : [];
      if (keys.length !== node.keys.length || node.keys.some((key) => !keys.includes(key))) {
        throw mismatch(path, part, `a record with the keys of y0 {${node.keys.join(', ')}}`);
      }
      node.items.forEach((item, i) =>
        visit(item, (part as Record<string, unknown>)[node.keys[i]], `${path}.${node.keys[i]}`),
      );
    }
  };
  visit(structure, value, name);
  return leaves;
}

/** The paths of the leaves, in order, below `name`. */
export function leafPaths(structure: Structure): string[] {
  if (structure.kind === 'leaf') return [structure.path];
  return structure.items.flatMap(leafPaths);
}

/** The float32 tensors in anything: func's `args` may hold tensors among other things. */
export function tensorsIn(value: unknown): Tensor[] {
  if (isTensor(value)) return value.dtype === 'float32' ? [value] : [];
  if (Array.isArray(value)) return value.flatMap(tensorsIn);
  return isRecord(value) ? Object.values(value).flatMap(tensorsIn) : [];
}

/** The path of the first tensor that `wanted` picks from what {@link tensorsIn} looks through; `null` for none. */
export function pathTo(value: unknown, name: string, wanted: (tensor: Tensor) => boolean): string | null {
  if (isTensor(value)) return wanted(value) ? name : null;
  const parts = Array.isArray(value)
    ? value.map((part, i) => [`${name}[${i}]`, part] as const)
    : isRecord(value)
      ? Object.entries(value).map(([key, part]) => [`${name}.${key}`, part] as const)
      : [];
  for (const [path, part] of parts) {
    const found = pathTo(part, path, wanted);
    if (found !== null) return found;
  }
  return null;
}

/** The same with its float32 tensors replaced: what {@link tensorsIn} finds, at the same places. */
export function mapTensors(value: unknown, map: (tensor: Tensor) => Tensor): unknown {
  if (isTensor(value)) return value.dtype === 'float32' ? map(value) : value;
  if (Array.isArray(value)) return value.map((part) => mapTensors(part, map));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, mapTensors(part, map)]));
}

/** Frees the tensors of a state, or of a tree of them; plain numbers have none. */
export function disposeTree(state: unknown): void {
  for (const leaf of tensorsIn(state)) leaf.dispose();
}

function mismatch(path: string, part: unknown, expected: string): InvalidArgumentError {
  const hint = isPromiseLike(part)
    ? 'The vector field must be synchronous: make it a plain function, not an async one.'
    : part === undefined
      ? 'Is a return statement missing?'
      : 'Return dy in the structure of y0.';
  return new InvalidArgumentError(`${path} is ${describe(part)}; expected ${expected}. ${hint}`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
