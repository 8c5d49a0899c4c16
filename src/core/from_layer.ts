import type { Scalar, Tensor } from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError } from './errors.js';

/** Anything with the `apply` of a tfjs layer or model. */
export interface LayerLike {
  apply(inputs: Tensor | Tensor[], options?: object): unknown;
}

/**
 * Makes a layer or model, whose output has the shape of its input, a vector field `dy/dt = model(y)`.
 *
 * @param model A `tf.LayersModel` or a layer; its variables are found by `odeintAdjoint`.
 * @returns A vector field of one tensor `[batch, features]`.
 * @throws {@link InvalidArgumentError} when `model` is a function, or has no `apply`.
 *
 * @example
 * ```ts
 * const model = tf.sequential({ layers: [
 *   tf.layers.dense({ units: 16, activation: 'tanh', inputShape: [2] }),
 *   tf.layers.dense({ units: 2 }),
 * ] });
 * const ys = odeint(fromLayer(model), tf.tensor2d([[1, 0]]), [0, 1]);
 * ```
 */
export function fromLayer(model: LayerLike): (t: Scalar, y: Tensor) => Tensor {
  if (typeof model === 'function') {
    throw new InvalidArgumentError(
      `fromLayer received ${describe(model)}; expected a layer or model. Pass a function (t, y) => dy to odeint as it is.`,
    );
  }
  if (typeof model?.apply !== 'function') {
    throw new InvalidArgumentError(
      `fromLayer received ${describe(model)}; expected a layer or model with apply().`,
    );
  }
  return (_t, y) => {
    const dy = model.apply(y);
    return (Array.isArray(dy) ? dy[0] : dy) as Tensor;
  };
}
