import {
  engine,
  getGradient,
  getKernel,
  matMul,
  registerGradient,
  registerKernel,
  reshape,
  stack,
  tensor,
  type KernelBackend,
  type NamedTensorMap,
  type Tensor,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

/** Name of the kernels this package registers on backends whose memory JavaScript can reach. */
export const LINEAR_COMBINATION = 'OdeLinearCombination';
export const ERROR_NORM = 'OdeErrorNorm';

interface KernelCall {
  inputs: Record<string, TensorInfo>;
  attrs?: unknown;
  backend: unknown;
}

interface CpuBackend extends KernelBackend {
  data: { get(id: object): { values: ArrayLike<number> } };
  makeTensorInfo(shape: number[], dtype: string, values: Float32Array): TensorInfo;
}

interface WasmBackend extends KernelBackend {
  makeOutput(shape: number[], dtype: string): TensorInfo;
  typedArrayFromHeap(info: TensorInfo): Float32Array;
}

/** Direct access to a backend's memory: how to view an input, and how to make an output. */
interface Memory {
  view(info: TensorInfo): ArrayLike<number>;
  create(shape: number[]): { info: TensorInfo; values(): Float32Array };
}

function cpuMemory(backend: unknown): Memory {
  const cpu = backend as CpuBackend;
  return {
    view: (info) => cpu.data.get(info.dataId).values,
    create: (shape) => {
      const values = new Float32Array(shape.reduce((size, extent) => size * extent, 1));
      return { info: cpu.makeTensorInfo(shape, 'float32', values), values: () => values };
    },
  };
}

function wasmMemory(backend: unknown): Memory {
  const wasm = backend as WasmBackend;
  return {
    view: (info) => wasm.typedArrayFromHeap(info),
    create: (shape) => {
      const info = wasm.makeOutput(shape, 'float32');
      // Viewed late: making another output may move the heap.
      return { info, values: () => wasm.typedArrayFromHeap(info) };
    },
  };
}

const memories: Record<string, ((backend: unknown) => Memory) | undefined> = {
  cpu: cpuMemory,
  wasm: wasmMemory,
};

/**
 * Whether the active backend runs a linear combination and an error norm as one kernel each; registers them on
 * first use. Other backends get the same results from stock ops.
 */
export function hasFusedKernels(): boolean {
  const { backendName, backend } = engine();
  if (getKernel(LINEAR_COMBINATION, backendName)) return true;
  const memory = memories[backendName];
  if (!memory || !speaksAs(backendName, backend)) return false;
  const kernel = (name: string, run: (call: KernelCall, memory: Memory) => TensorInfo[]) =>
    registerKernel({
      kernelName: name,
      backendName,
      kernelFunc: (call) => {
        const outputs = run(call as unknown as KernelCall, memory(call.backend));
        return outputs.length === 1 ? outputs[0] : outputs;
      },
    });
  kernel(LINEAR_COMBINATION, combineKernel);
  kernel(ERROR_NORM, errorNormKernel);
  if (!getGradient(LINEAR_COMBINATION)) registerCombinationGradient();
  return true;
}

function speaksAs(name: string, backend: unknown): boolean {
  const wasm = backend as Partial<WasmBackend>;
  const cpu = backend as Partial<CpuBackend>;
  return name === 'wasm'
    ? typeof wasm.makeOutput === 'function' && typeof wasm.typedArrayFromHeap === 'function'
    : typeof cpu.makeTensorInfo === 'function' && cpu.data !== undefined;
}

export interface CombinationAttributes {
  /** One per term. */
  coefficients: number[];
  /** Tensors per term: input `j * parts + p` is part `p` of term `j`. */
  parts: number;
}

/* Sums in float64 and rounds once. */
function combineKernel(call: KernelCall, memory: Memory): TensorInfo[] {
  const { coefficients, parts } = call.attrs as CombinationAttributes;
  const terms = coefficients.length;
  const outputs = [];
  for (let p = 0; p < parts; p++) outputs.push(memory.create([...call.inputs[p].shape]));
  return outputs.map((output, p) => {
    const out = output.values();
    const xs = coefficients.map((_, j) => memory.view(call.inputs[j * parts + p]));
    for (let i = 0; i < out.length; i++) {
      let sum = 0;
      for (let j = terms - 1; j >= 0; j--) sum += coefficients[j] * xs[j][i];
      out[i] = sum;
    }
    return output.info;
  });
}

/* d(sum c_j x_j)/dx_j = c_j: linear, so right at every order. */
function registerCombinationGradient(): void {
  registerGradient({
    kernelName: LINEAR_COMBINATION,
    gradFunc: (dy, _saved, attrs) => {
      const { coefficients, parts } = attrs as unknown as CombinationAttributes;
      const cotangents = Array.isArray(dy) ? dy : [dy];
      const gradients: Record<string, () => Tensor> = {};
      coefficients.forEach((c, j) => {
        for (let p = 0; p < parts; p++) {
          gradients[j * parts + p] = () => runCombination([c], [[cotangents[p]]])[0];
        }
      });
      return gradients;
    },
  });
}

/** `sum_j c_j x_j` by the fused kernel, for terms that are lists of tensors of equal shapes. */
export function runCombination(coefficients: number[], terms: readonly (readonly Tensor[])[]): Tensor[] {
  const inputs: NamedTensorMap = {};
  const parts = terms[0].length;
  terms.forEach((term, j) => {
    for (let p = 0; p < parts; p++) inputs[j * parts + p] = term[p];
  });
  const attributes: CombinationAttributes = { coefficients, parts };
  const out: Tensor | Tensor[] = engine().runKernel(LINEAR_COMBINATION, inputs, attributes as never);
  return Array.isArray(out) ? out : [out];
}

export interface ErrorNormAttributes extends CombinationAttributes {
  rtol: number[];
  atol: number[];
  norm: 'rms' | 'max';
  /** Parts from here on are quadratures: their norm comes second. */
  mainParts: number;
}

/* Inputs: the terms, then y0, then y1. Outputs [main] or [main, quadratures]. */
function errorNormKernel(call: KernelCall, memory: Memory): TensorInfo[] {
  const { coefficients, parts, rtol, atol, norm, mainParts } = call.attrs as ErrorNormAttributes;
  const terms = coefficients.length;
  const input = (j: number, p: number) => memory.view(call.inputs[j * parts + p]);
  const norms = mainParts < parts ? [0, 0] : [0];
  for (let p = 0; p < parts; p++) {
    const xs = coefficients.map((_, j) => input(j, p));
    const value = partNorm(coefficients, xs, input(terms, p), input(terms + 1, p), rtol[p], atol[p], norm);
    const which = p < mainParts ? 0 : 1;
    // Not Math.max alone: a NaN must win.
    norms[which] = Number.isNaN(value) ? NaN : Math.max(norms[which], value);
  }
  const output = memory.create([norms.length]);
  output.values().set(norms);
  return [output.info];
}

function partNorm(
  coefficients: readonly number[],
  xs: readonly ArrayLike<number>[],
  y0: ArrayLike<number>,
  y1: ArrayLike<number>,
  rtol: number,
  atol: number,
  norm: 'rms' | 'max',
): number {
  let sum = 0;
  let max = 0;
  let reach = 0;
  for (let i = 0; i < y1.length; i++) {
    let error = 0;
    for (let j = 0; j < xs.length; j++) error += coefficients[j] * xs[j][i];
    const size = Math.max(Math.abs(y0[i]), Math.abs(y1[i]));
    const ratio = error / (atol + rtol * size);
    reach += size;
    sum += ratio * ratio;
    max = Math.max(max, Math.abs(ratio));
  }
  if (!(reach < Infinity)) return NaN;
  return norm === 'max' ? max : Math.sqrt(sum / y1.length);
}

/**
 * `sum_j c_j x_j` of tensors of one shape from two stock ops. The matrix product has a single column: such products
 * are not computed in reduced precision (TF32) on recent GPUs, as wider ones are.
 */
export function combineByOps(coefficients: readonly number[], terms: readonly Tensor[]): Tensor {
  const { shape, size } = terms[0];
  const columns = stack(
    terms.map((term) => reshape(term, [size])),
    1,
  );
  return reshape(matMul(columns, tensor(coefficients as number[], [coefficients.length, 1])), shape);
}
