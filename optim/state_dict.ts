import { clone } from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { isRecording, untaped } from '../src/core/tape.js';
import { mapTensors, tensorsIn } from '../src/core/tree.js';
import { handOut, release } from './held.js';
import { MetaOptimizer } from './meta.js';
import { FunctionalNet } from './net.js';
import { leavesAs, parametersOf, type Updated } from './params.js';

/**
 * How a state is taken out:
 * - `'reference'`: the very tensors. Gradients flow through them.
 * - `'copy'`: copies on the tape. Gradients flow through them; they live as long as any result of this moment.
 * - `'detached'`: copies off the tape, values only.
 */
export type ExtractBy = 'reference' | 'copy' | 'detached';

/**
 * Takes out the parameters of a net or the state of a meta-optimizer, to come back to them with {@link recoverStateDict}: a
 * task of a batch starts where the one before it did. What is extracted belongs to the caller.
 * @throws `InvalidArgumentError` for another target, or another `by`.
 *
 * @example
 * ```ts
 * const start = extractStateDict(net);
 * const losses = tasks.map((x) => {
 *   recoverStateDict(net, start);
 *   new MetaSGD(net, 0.1).step(net.apply(x));
 *   return net.apply(x);
 * });
 * ```
 */
export function extractStateDict<P>(
  target: FunctionalNet<P, never, unknown>,
  options?: { by?: ExtractBy },
): Updated<P>;
export function extractStateDict<P, S>(target: MetaOptimizer<P, S>, options?: { by?: ExtractBy }): S;
export function extractStateDict(target: unknown, { by = 'reference' }: { by?: ExtractBy } = {}): unknown {
  const held = stateOf(target);
  if (by === 'reference') {
    handOut(held);
    // Records and arrays of its own: the tensors are the same.
    return mapTensors(held, (tensor) => tensor);
  }
  if (by === 'copy') return mapTensors(held, (tensor) => clone(tensor));
  if (by === 'detached') return untaped(() => mapTensors(held, (tensor) => clone(tensor)));
  throw new InvalidArgumentError(`by is ${describe(by)}; expected 'reference', 'copy' or 'detached'.`);
}

function stateOf(target: unknown): unknown {
  if (target instanceof FunctionalNet) return target.params;
  if (target instanceof MetaOptimizer) return target.state;
  throw new InvalidArgumentError(
    `the target is ${describe(target)}; expected a FunctionalNet or a MetaOptimizer.`,
  );
}

/**
 * Gives a net or a meta-optimizer back what {@link extractStateDict} took out of it. The tensors are used as they are, and
 * never disposed by later steps.
 * @throws `InvalidArgumentError` for a state of another structure, other shapes, or disposed tensors.
 */
export function recoverStateDict<P>(target: FunctionalNet<P, never, unknown>, state: Updated<P>): void;
export function recoverStateDict<P, S>(target: MetaOptimizer<P, S>, state: S): void;
export function recoverStateDict(target: unknown, state: unknown): void {
  if (target instanceof FunctionalNet) {
    const net = target as unknown as FunctionalNet<object, never, unknown>;
    // What the net has may have ended with the gradient it was made in.
    leavesAs(parametersOf(net.params, 'net.params', true), state, 'state');
    exchange(net.params, state);
    net.params = state as object;
    return;
  }
  stateOf(target);
  const optimizer = target as MetaOptimizer<unknown, unknown>;
  if (typeof state !== 'object' || state === null || shapesOf(state) !== shapesOf(optimizer.state)) {
    throw new InvalidArgumentError(
      `state is ${describe(state)}; expected what extractStateDict took out of this optimizer.`,
    );
  }
  exchange(optimizer.state, state);
  optimizer.state = state;
}

function exchange(before: unknown, after: unknown): void {
  handOut(after);
  if (!isRecording()) release(tensorsIn(before), tensorsIn(after));
}

/* Structure and shapes, of numbers too: steps taken may differ. */
const shapesOf = (state: unknown): string =>
  JSON.stringify(
    mapTensors(state, ({ shape }) => shape as never),
    (key, value: unknown) => (key === 'step' ? 0 : value),
  );
