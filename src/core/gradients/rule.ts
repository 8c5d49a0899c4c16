import {
  broadcast_util,
  engine,
  cast,
  range,
  reshape,
  scatterND,
  sum,
  zeros,
  type GradConfig,
  type NamedAttrMap,
  type NamedTensorMap,
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

export const sizeOf = (shape: readonly number[]): number => shape.reduce((size, extent) => size * extent, 1);

/**
 * The position of each element in a tensor of `shape`. In float32 while that is exact: some wasm kernels take integers
 * for floats.
 */
export const positions = (shape: number[]): Tensor => {
  const size = sizeOf(shape);
  return reshape(range(0, size, 1, size < 2 ** 24 ? 'float32' : 'int32'), shape);
};

/** The gradient of an input of `shape`, when element i of the output is its element `source[i]`. */
export const returned = (dy: Tensor, source: Tensor, shape: number[]): Tensor =>
  reshape(scatterND(reshape(cast(source, 'int32'), [-1, 1]), reshape(dy, [-1]), [sizeOf(shape)]), shape);

/** `[before the axis, the axis, after it]` */
export const aroundAxis = (shape: readonly number[], axis: number): [number, number, number] => [
  sizeOf(shape.slice(0, axis)),
  shape[axis],
  sizeOf(shape.slice(axis + 1)),
];

/** Runs a kernel by name. */
export const run = (kernelName: string, inputs: NamedTensorMap, attrs: object): Tensor =>
  engine().runKernel<Tensor>(kernelName, inputs, attrs as NamedAttrMap);

/** The gradient of a linear kernel is linear, and its transpose is the kernel itself. */
export const transposeOf = (
  gradient: string,
  forward: string,
  input: string,
  forwardInput = input,
): GradConfig =>
  rule(gradient, { inputs: [input] }, (g, [x], attrs) => ({
    dy: () => run(forward, { [forwardInput]: g }, attrs),
    [input]: () => zeros(x.shape),
  }));
