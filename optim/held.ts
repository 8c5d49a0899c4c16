import { engine, type Tensor } from '@tensorflow/tfjs-core';
import { scoped } from '../src/core/tape.js';
import { tensorsIn } from '../src/core/tree.js';

/*
 * Tensors that an optimizer made outside of a gradient for itself, and nobody was given: they live until the next step
 * replaces them, like a variable, and in no scope.
 */
const held = new WeakSet<Tensor>();

/** Runs `make` in a scope and holds what it returns, but for tensors that were there before. */
export function hold<T>(make: () => T, before: readonly Tensor[]): T {
  return scoped(() => {
    const result = make();
    for (const tensor of tensorsIn(result)) if (!before.includes(tensor)) held.add(engine().keep(tensor));
    return result;
  });
}

/** Disposes what is held, but for what goes on being used. */
export function release(tensors: readonly Tensor[], inUse: readonly Tensor[]): void {
  for (const tensor of tensors) if (held.has(tensor) && !inUse.includes(tensor)) tensor.dispose();
}

/** Somebody else has these from now on, and disposes them. */
export function handOut(value: unknown): void {
  for (const tensor of tensorsIn(value)) held.delete(tensor);
}
