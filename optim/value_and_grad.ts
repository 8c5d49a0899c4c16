import { clone, engine, zerosLike, type Scalar, type Tensor } from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError, MissingGradientError, resultHint } from '../src/core/errors.js';
import {
  aboveTape,
  isRecording,
  onOwnTape,
  recordedGradients,
  recordedOrForgotten,
  withFreshTape,
} from '../src/core/tape.js';
import { isTensor } from '../src/core/tree.js';
import { requireGradients } from '../src/core/vjp.js';
import { parametersOf, tidied, treeAs, type Updated } from './params.js';

/**
 * Value of `compute` and its gradients, absent where it does not depend on an input. They are recorded when a gradient is
 * being taken outside, so that it can flow through them.
 */
function gradientsOf(
  compute: () => Tensor,
  inputs: readonly Tensor[],
): { value: Tensor; grads: (Tensor | undefined)[] } {
  requireGradients();
  const linked = (): Tensor => {
    const value = compute();
    // A value that is an input, or was there before, has no op that leads to it.
    return isTensor(value) ? clone(value) : value;
  };
  const differentiate = () => engine().gradients(linked, [...inputs], undefined, true);
  const { value, grads } = isRecording()
    ? recordedOrForgotten(() => aboveTape(differentiate))
    : withFreshTape(differentiate);
  return { value, grads };
}

/**
 * Runs `compute` while a tape records, so that {@link gradientsTo} can be asked for what it has made, again and again: on
 * the tape of a gradient outside, or on one of its own that is forgotten afterwards.
 */
export function taped(compute: () => Tensor[]): Tensor[] {
  requireGradients();
  if (isRecording()) return recordedOrForgotten(() => aboveTape(compute));
  const tape = onOwnTape(() => {
    const results = compute();
    return { outputs: results, value: results[0] };
  });
  tape.dispose();
  return tape.outputs;
}

/** Inside {@link taped}: gradients of what was made there, zero where it does not depend on an input. */
export const gradientsTo = (value: Tensor, inputs: readonly Tensor[], dy?: Tensor): Tensor[] =>
  filled(inputs, recordedGradients(value, inputs, dy));

const filled = (inputs: readonly Tensor[], grads: readonly (Tensor | undefined)[]): Tensor[] =>
  inputs.map((input, i) => grads[i] ?? zerosLike(input));

/* A loss that reads no parameter at all is a mistake: it was computed before, or from others. */
function required(leaves: readonly Tensor[], grads: readonly (Tensor | undefined)[]): Tensor[] {
  if (grads.some((gradient) => gradient !== undefined)) return filled(leaves, grads);
  throw new MissingGradientError(
    'the loss does not depend on any of the parameters. Compute it inside the function, from the parameters that it ' +
      'receives, or from net.apply after the last step.',
  );
}

/** What a loss must return. */
export function checkLoss(value: unknown): asserts value is Scalar {
  if (isTensor(value) && value.size === 1 && value.dtype === 'float32') return;
  const hint = isTensor(value) ? ' Reduce it with tf.sum or tf.mean.' : resultHint(value);
  throw new InvalidArgumentError(`the loss is ${describe(value)}; expected a float32 scalar.${hint}`);
}

/** A loss as an optimizer takes it: a function, or a scalar that the tape has seen being made. */
export type Loss<P> = ((params: P) => Tensor) | Tensor;

/** Gradients of a loss to leaves. */
export function lossGradients(
  loss: unknown,
  argument: unknown,
  leaves: readonly Tensor[],
): { value: Scalar; grads: Tensor[] } {
  if (typeof loss === 'function') {
    const call = loss as (params: unknown) => unknown;
    const { value, grads } = gradientsOf(() => {
      const result = call(argument);
      checkLoss(result);
      return result;
    }, leaves);
    return { value: value as Scalar, grads: required(leaves, grads) };
  }
  checkLoss(loss);
  requireGradients();
  if (!isRecording()) {
    throw new MissingGradientError(
      'the loss is a tensor, and no gradient is being taken that could have recorded how it was made; pass a function ' +
        'that returns the loss, or call this inside tf.grad, tf.grads or tf.variableGrads.',
    );
  }
  return { value: loss, grads: required(leaves, recordedGradients(loss, leaves)) };
}

/**
 * A loss and its gradient, `(L, dL/dparams)`, as a tree like `params`. Inside `tf.grad` and `tf.variableGrads` both are
 * recorded, and can be differentiated; outside they belong to the caller.
 *
 * @param loss Receives `params`, returns a float32 scalar. It may close over variables among them.
 * @param params A tensor or variable, or a tree of them. A parameter the loss does not read has gradient 0.
 * @throws `InvalidArgumentError` for an empty tree, one that holds a tensor twice, a loss that is no scalar.
 * @throws `MissingGradientError` for a loss that reads none of the parameters, and when tfjs has no gradients
 * registered.
 *
 * @example
 * ```ts
 * const { value, grads } = valueAndGrad(({ w }) => tf.sum(tf.square(w)), { w: tf.tensor1d([1, 2]) });
 * ```
 */
export function valueAndGrad<P>(
  loss: (params: P) => Tensor,
  params: P,
): { value: Scalar; grads: Updated<P> } {
  const checked = parametersOf(params);
  const compute = (): { value: Scalar; grads: Updated<P> } => {
    const { value, grads } = lossGradients(loss, params, checked.leaves);
    return { value, grads: treeAs<P>(checked, grads) };
  };
  return isRecording() ? compute() : tidied(compute);
}
