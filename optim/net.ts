import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { parametersOf, type Updated } from './params.js';

/**
 * A function of parameters and inputs, with the parameters it has now. A meta-optimizer replaces those by tensors that
 * remember how they were made, which a `tf.Variable` cannot: assigning to it cuts the graph.
 */
export class FunctionalNet<P, Inputs extends unknown[] = [Tensor], Output = Tensor> {
  /** What {@link FunctionalNet.apply} uses. Steps replace it, and outside of gradients dispose what they had made. */
  params: Updated<P>;

  /** @throws `InvalidArgumentError` for a tree without tensors, or that holds one twice. */
  constructor(
    private readonly func: (params: Updated<P>, ...inputs: Inputs) => Output,
    params: P,
  ) {
    if (typeof func !== 'function') {
      throw new InvalidArgumentError(
        `func is ${describe(func)}; expected a function (params, ...inputs) => output. For a tf.LayersModel call layersNet(model).`,
      );
    }
    parametersOf(params);
    this.params = params as Updated<P>;
  }

  /** The output for the parameters of this moment. */
  apply(...inputs: Inputs): Output {
    return this.func(this.params, ...inputs);
  }
}

/**
 * A {@link FunctionalNet} from a function of `(params, ...inputs)` and a tree of tensors or variables.
 *
 * @example
 * ```ts
 * const net = functionalNet(({ w }, x: tf.Tensor) => tf.matMul(x, w), { w: tf.variable(tf.eye(2)) });
 * ```
 */
export function functionalNet<P, Inputs extends unknown[], Output>(
  func: (params: Updated<P>, ...inputs: Inputs) => Output,
  params: P,
): FunctionalNet<P, Inputs, Output> {
  return new FunctionalNet(func, params);
}

/** A weight as `tfjs-layers` has it. */
interface LayerWeight {
  readonly name: string;
  read(): Tensor;
}

/** A built `tf.LayersModel`, or a layer. */
export interface LayersModelLike {
  apply(inputs: Tensor | Tensor[], options?: object): unknown;
  readonly trainableWeights: readonly object[];
}

/**
 * A {@link FunctionalNet} from a model of `tfjs-layers`. Its parameters are the model's trainable variables, by name; while
 * `apply` runs, the layers read the parameters of the net instead. The model itself stays as it is: steps of a
 * meta-optimizer do not train it.
 *
 * @param model A built model (one with an `inputShape`). It must compute in `apply`, of tfjs's own or your own layers
 * that read their weights by `weight.read()`, as all of tfjs's do.
 * @throws `InvalidArgumentError` when it is no model, or has no trainable weights yet.
 */
export function layersNet(
  model: LayersModelLike,
): FunctionalNet<Record<string, Variable>, [inputs: Tensor | Tensor[], options?: object], Tensor> {
  const weights = (model as Partial<LayersModelLike> | null)?.trainableWeights as LayerWeight[] | undefined;
  if (typeof model?.apply !== 'function' || !weights?.length) {
    throw new InvalidArgumentError(
      `layersNet received ${describe(model)}; expected a tf.LayersModel or layer with trainable weights. ` +
        'Build it first: give the first layer an inputShape, or apply it once.',
    );
  }
  const params = Object.fromEntries(weights.map((weight) => [weight.name, weight.read() as Variable]));
  const apply = (current: Record<string, Tensor>, inputs: Tensor | Tensor[], options?: object): Tensor => {
    // An own property hides the method of the class.
    for (const weight of weights) weight.read = () => current[weight.name];
    try {
      return model.apply(inputs, options) as Tensor;
    } finally {
      for (const weight of weights) delete (weight as Partial<LayerWeight>).read;
    }
  };
  return new FunctionalNet(apply, params);
}
