import { clone, engine, type Tensor } from '@tensorflow/tfjs-core';
import { readTimes, readTimesAsync } from './times.js';
import { flattenTree, isTensor, unflattenTree } from './tree.js';

/**
 * Calls `use` with the output times, and with a `y0` that is the caller's at the time of this call: while a tensor `t` is
 * being read the caller may dispose or change its own.
 */
export async function withTimes<T>(
  t: unknown,
  y0: unknown,
  use: (times: Float64Array, y0: unknown) => Promise<T>,
): Promise<T> {
  // Without a wait y0 is read at the call.
  if (!isTensor(t)) return use(readTimes(t), y0);
  const { state, release } = hold(y0);
  try {
    return await use(await readTimesAsync(t), state);
  } finally {
    release();
  }
}

function hold(y0: unknown): { state: unknown; release: () => void } {
  const nothing = () => undefined;
  if (y0 instanceof Float64Array) return { state: y0.slice(), release: nothing };
  let tree: ReturnType<typeof flattenTree>;
  try {
    tree = flattenTree(y0, 'y0');
  } catch {
    // Plain numbers, or something that is refused where input is checked.
    return { state: Array.isArray(y0) ? [...(y0 as unknown[])] : y0, release: nothing };
  }
  if (tree.leaves.some((leaf) => leaf.isDisposed)) return { state: y0, release: nothing };
  const leaves = tree.leaves.map((leaf): Tensor => engine().keep(clone(leaf)));
  return {
    state: unflattenTree(tree.structure, leaves),
    release: () => leaves.forEach((leaf) => leaf.dispose()),
  };
}
