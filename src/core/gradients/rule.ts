import {
  broadcast_util,
  reshape,
  sum,
  zeros,
  type GradConfig,
  type NamedAttrMap,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { isTapeActive } from '../tape.js';

/** The gradient with respect to each input by name, computed on demand. */
export type InputGradients = Record<string, () => Tensor>;

/** What a kernel's gradient keeps of the forward pass: inputs by name, then the output if wanted. */
interface Saving {
  inputs?: string[];
  /** Inputs come as a list (`concat`, `einsum`): save them all. */
  allInputs?: boolean;
  outputs?: boolean[];
}

/** The gradient of a kernel with one output. */
export function rule<Attributes extends object>(
  kernelName: string,
  { inputs = [], allInputs = false, outputs = [] }: Saving,
  gradients: (dy: Tensor, saved: Tensor[], attrs: Attributes) => InputGradients,
): GradConfig {
  return {
    kernelName,
    inputsToSave: inputs,
    saveAllInputs: allInputs,
    outputsToSave: outputs,
    gradFunc: (dy, saved, attrs: NamedAttrMap) =>
      gradients(dy as Tensor, saved, attrs as unknown as Attributes),
  };
}

/**
 * A saved output as a function of the input. tfjs records the copy that is saved before the op itself, so for a
 * gradient of this gradient the copy is a constant and a term is lost: then it is computed again from the input.
 */
export function linked(output: Tensor, recompute: () => Tensor): Tensor {
  return isTapeActive() ? recompute() : output;
}

/** `dy` summed over the axes along which an input of `shape` was broadcast. */
export function unbroadcast(dy: Tensor, shape: number[]): Tensor {
  const axes = broadcast_util.getReductionAxes(shape, dy.shape);
  return reshape(axes.length > 0 ? sum(dy, axes) : dy, shape);
}

/** For a kernel that is constant wherever it has a derivative. */
export function constant(kernelName: string, inputs: string[]): GradConfig {
  return rule(kernelName, { inputs }, (_dy, saved) =>
    Object.fromEntries(inputs.map((name, i) => [name, () => zeros(saved[i].shape)])),
  );
}
