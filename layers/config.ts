import type { layers, Shape } from '@tensorflow/tfjs-layers';
import type { DataType, Tensor } from '@tensorflow/tfjs-core';
import {
  adjointNames,
  forwardOptions,
  planAdjoint,
  type AdjointOptions,
} from '../adjoint/adjoint_options.js';
import { resolveMethod } from '../solvers/index.js';
import type { AnyOptions } from '../src/core/build_problem.js';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { checkTolerance, nearest, type MethodName } from '../src/core/options.js';
import { prepare } from '../src/core/prepare.js';
import { readTimes } from '../src/core/times.js';
import { isTensor } from '../src/core/tree.js';
import type { TensorOptions } from '../src/core/types.js';

/** Options of the solve inside a `NeuralODE`: those of `odeintAdjoint` that JSON can hold. */
export interface NeuralODEOptions
  extends
    Pick<
      TensorOptions,
      | 'stepSize'
      | 'perturb'
      | 'interp'
      | 'firstStep'
      | 'minStep'
      | 'maxStep'
      | 'safety'
      | 'ifactor'
      | 'dfactor'
      | 'controller'
      | 'stepT'
      | 'jumpT'
      | 'maxNumSteps'
    >,
    Pick<AdjointOptions, 'checkpoints' | 'adjointOptions'> {
  /** A method's name. Default `'dopri5'`. */
  method?: MethodName | (string & Record<never, never>);
  /** Relative tolerance. Default 1e-5. */
  rtol?: number;
  /** Absolute tolerance, in units of the state. Default 1e-6. */
  atol?: number;
  /** Norm of the error over its tolerance, of the whole batch. Default `'rms'`. */
  norm?: 'rms' | 'max';
  /**
   * How the gradient is computed, as for `odeintAdjoint`. Default `'checkpoint'`: the exact gradient of the steps
   * taken.
   */
  adjoint?: AdjointOptions['adjoint'];
  /** Method of the backward solve of `'backsolve'` and `'interpolating'`; the other modes have none. */
  adjointMethod?: MethodName | (string & Record<never, never>);
  /** Its relative tolerance. */
  adjointRtol?: number;
  /** Its absolute tolerance. */
  adjointAtol?: number;
  /** Its error norm. */
  adjointNorm?: 'full' | 'seminorm';
}

/** What a {@link NeuralODE} is made of. */
export interface NeuralODEConfig extends NeuralODEOptions {
  /**
   * The vector field `dy/dt = layer(y)`: a layer or model whose output has the shape of its input `[batch, ...]`. It is
   * not copied, so it stays at hand after training.
   */
  layer: layers.Layer;
  /** Output times, strictly increasing or decreasing; the input is the state at the first. Default `[0, 1]`. */
  t?: readonly number[] | Float64Array | Float32Array;
  /** `'last'` (default) returns `y` at the last time; `'all'` returns `[batch, T, ...]`, the input first. */
  outputs?: 'last' | 'all';
  /** `true` appends `t` to the input of `layer`, as one more feature of its last axis. Default `false`. */
  timeDependent?: boolean;
  /** Name of the layer, unique in its model. */
  name?: string;
  /** `false` freezes all weights of `layer`. Default `true`. */
  trainable?: boolean;
  /** Shape of the state without the batch, where this layer is the first of a model. */
  inputShape?: Shape;
  /** The same with the batch. */
  batchInputShape?: Shape;
  /** Size of the batch, with `inputShape`. */
  batchSize?: number;
  /** Dtype of the input where this layer is the first of a model. Default `'float32'`. */
  dtype?: DataType;
  /** Initial values of the weights, in the order of `getWeights()`. */
  weights?: Tensor[];
}

const solverNames = [
  ...['method', 'rtol', 'atol', 'norm', 'stepSize', 'perturb', 'interp', 'firstStep', 'minStep', 'maxStep'],
  ...['safety', 'ifactor', 'dfactor', 'controller', 'stepT', 'jumpT', 'maxNumSteps'],
  ...adjointNames.filter((name) => name !== 'params'),
];
const ownNames = ['layer', 't', 'outputs', 'timeDependent'];
const tfjsNames = [
  'name',
  'trainable',
  'inputShape',
  'batchInputShape',
  'batchSize',
  'dtype',
  'inputDType',
  'weights',
];

/** Options of odeintAdjoint that no JSON can hold, with what to do instead. */
const unsaved: Record<string, string> = {
  ...Object.fromEntries(
    [
      'args',
      'signal',
      'onStep',
      'onAccept',
      'onReject',
      'onProgress',
      'gridConstructor',
      'inPlace',
      'quadrature',
    ].map((name) => [name, 'call odeintAdjoint in a layer of your own']),
  ),
  params: 'the weights of layer are found; freeze some with trainable = false',
};

const callsItLayer = /^(func|function|field|vectorField|f|model|net|network|layers|inner|cell)$/i;

/** A config that has been checked. */
export interface Settings {
  layer: layers.Layer;
  t: number[];
  outputs: 'last' | 'all';
  timeDependent: boolean;
  /** What odeintAdjoint receives, and JSON keeps. */
  options: NeuralODEOptions;
}

/** Checks everything but the layer, so that a wrong option does not wait for the first solve. */
export function readConfig(config: NeuralODEConfig): Settings {
  if (typeof config !== 'object' || config === null) {
    throw new InvalidArgumentError(
      `the config of NeuralODE is ${describe(config)}; expected a record such as { layer: tf.sequential(...) }.`,
    );
  }
  const { layer, outputs = 'last', timeDependent = false } = config;
  const t = readOutputTimes(config.t);
  const given: Record<string, unknown> = { method: 'dopri5', adjoint: 'checkpoint' };
  for (const [name, value] of Object.entries(config)) {
    if (value === undefined) continue;
    refuseUnsaved(name);
    if (name !== 'layer' && callsItLayer.test(name)) {
      throw new InvalidArgumentError(`unknown option ${name}; the vector field is called layer.`);
    }
    if (!ownNames.includes(name) && !tfjsNames.includes(name)) given[name] = savedForm(name, value);
  }
  checkOptions(given, t);
  checkChoice('outputs', outputs, ['last', 'all']);
  if (typeof timeDependent !== 'boolean') {
    throw new InvalidArgumentError(`timeDependent is ${describe(timeDependent)}; expected true or false.`);
  }
  return { layer, t, outputs, timeDependent, options: given };
}

function refuseUnsaved(name: string): void {
  if (!Object.hasOwn(unsaved, name)) return;
  throw new InvalidArgumentError(
    `option ${name} cannot be saved with a model, so NeuralODE does not take it; ${unsaved[name]}.`,
  );
}

function readOutputTimes(t: NeuralODEConfig['t'] = [0, 1]): number[] {
  if (isTensor(t)) {
    throw new InvalidArgumentError(
      `t is ${describe(t)}; expected an array: the times of a layer are constants, saved with it. For gradients to them ` +
        'call odeintAdjoint in a layer of your own.',
    );
  }
  const times = Array.from(readTimes(t));
  if (times.length > 1) return times;
  throw new InvalidArgumentError(
    `t has one time, ${times[0]}; expected the time of the input and later ones.`,
  );
}

/* Solves of plain numbers are checked without a device; what differs for tensors is the tolerance of float32. */
function checkOptions(given: Record<string, unknown>, t: readonly number[]): void {
  const options = given as AnyOptions & AdjointOptions;
  const names = [...adjointNames.filter((name) => name !== 'params'), ...ownNames, ...tfjsNames];
  const times = Float64Array.from(t);
  const stepper = resolveMethod(options.method);
  const func = (): number[] => [0];
  const forward = forwardOptions(options);
  prepare(stepper, func, [0], times, forward, names);
  for (const name of ['rtol', 'atol'] as const) {
    if (options[name] !== undefined) checkTolerance(name, name, options[name], 2 ** -23);
  }
  const field = {
    structure: { kind: 'leaf', path: 'y0' } as const,
    leaves: [],
    quadratures: null,
    call: () => [],
  };
  const solve = { func, field, stepper, times, options: forward, extraOptions: names, timeGradient: false };
  planAdjoint(solve, options);
}

function checkChoice(name: string, value: unknown, choices: readonly string[]): void {
  if (choices.includes(value as string)) return;
  const near = typeof value === 'string' && nearest(value, choices);
  throw new InvalidArgumentError(
    `${name} is ${describe(value)}; ` +
      (near ? `did you mean '${near}'?` : `expected ${choices.join(' or ')}.`),
  );
}

/* The value as JSON keeps it. Names that nobody knows pass: they have an error of their own. */
function savedForm(name: string, value: unknown): unknown {
  if (!solverNames.includes(name)) return value;
  if (ArrayBuffer.isView(value)) return Array.from(value as Float64Array);
  if (Array.isArray(value)) return [...(value as unknown[])];
  const isRecord = typeof value === 'object' && value && Object.getPrototypeOf(value) === Object.prototype;
  if (isRecord) {
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, entry]) => entry !== undefined)
        .map(([key, entry]) => [key, savedForm(name, entry)]),
    );
  }
  if (['number', 'string', 'boolean'].includes(typeof value)) return value;
  throw new InvalidArgumentError(
    `${name} is ${describe(value)}, which cannot be saved with a model; expected a name, a number or a record of them. ` +
      'For anything else call odeintAdjoint in a layer of your own.',
  );
}

/** The options in a config that went through JSON: tfjs rewrites names such as rk4_classic, and infinity is null there. */
export function savedOptions(config: Record<string, unknown>): Record<string, unknown> {
  const present = Object.entries(config).filter(
    ([name, value]) => value !== null && name !== 'customObjects',
  );
  return Object.fromEntries(
    present.map(([name, value]) => {
      if (name === 'adjointOptions') return [name, savedOptions(value as Record<string, unknown>)];
      const isMethod = name === 'method' || name === 'adjointMethod';
      return [name, isMethod ? (value as string).replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`) : value];
    }),
  );
}
