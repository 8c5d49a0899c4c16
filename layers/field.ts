import { serialization } from '@tensorflow/tfjs-core';
import { input, LayersModel, type layers, type LayerVariable, type Shape } from '@tensorflow/tfjs-layers';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { currentTape } from '../src/core/tape.js';
import { warnOnce } from '../src/core/warn.js';

/* What NeuralODE does with the layer inside it: checks it, builds it, names its weights, reads it from JSON. */

type Layer = layers.Layer;

/** Layers that draw random numbers in training, and the number in their config that turns this off at 0. */
const random: Record<string, string> = {
  Dropout: 'rate',
  SpatialDropout1D: 'rate',
  AlphaDropout: 'rate',
  GaussianDropout: 'rate',
  GaussianNoise: 'stddev',
};

/** Throws unless `layer` can be a vector field: a layer that answers the same whenever it is asked the same. */
export function checkField(layer: unknown): void {
  const { apply, getConfig, getClassName } = (layer ?? {}) as Partial<Layer>;
  if (!apply || !getConfig || !getClassName) {
    const remedy =
      typeof layer === 'function'
        ? 'Wrap a function in a layer, or solve with odeintAdjoint.'
        : 'It is the vector field dy/dt = layer(y).';
    throw new InvalidArgumentError(
      `layer is ${describe(layer)}; expected a tf.layers.Layer or a model. ${remedy}`,
    );
  }
  const field = layer as Layer;
  if (field instanceof LayersModel && (field.inputs.length !== 1 || field.outputs.length !== 1)) {
    throw new InvalidArgumentError(
      `layer '${field.name}' has ${field.inputs.length} inputs and ${field.outputs.length} outputs; expected one of each.`,
    );
  }
  if (field.stateful) {
    throw new InvalidArgumentError(
      `layer '${field.name}' is stateful: its result would depend on how often the solver has asked. Set stateful: false.`,
    );
  }
  refuseRandom({ className: field.getClassName(), config: field.getConfig() });
}

/* Looks into models, wrappers and cells: they all hold { className, config } of what is inside. */
function refuseRandom(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  const { className, config } = node as { className?: string; config?: Record<string, unknown> };
  if (className && config) {
    const amounts = [config[random[className]], config['dropout'], config['recurrentDropout']];
    // With a seed the mask is the same at every evaluation.
    if (config['seed'] == null && amounts.some((amount) => typeof amount === 'number' && amount > 0)) {
      throw new InvalidArgumentError(
        `layer holds '${String(config['name'])}' (${className}), which draws random numbers at every evaluation: in ` +
          'training the solver would follow another equation at each stage, and the gradient yet another. Put it before ' +
          'or after the NeuralODE.',
      );
    }
  }
  Object.values(node).forEach(refuseRandom);
}

/**
 * Builds `layer` for states of `stateShape`, batch first. Called in the name scope of the NeuralODE, which the weights
 * of a layer that is not built yet take as the first part of their names.
 * @throws `InvalidArgumentError` when the layer does not map a state to its derivative.
 */
export function buildField(layer: Layer, stateShape: Shape, timeDependent: boolean): void {
  if (timeDependent && stateShape.length < 2) {
    throw new InvalidArgumentError(
      `the input has shape ${text(stateShape)}; timeDependent needs a last axis to append t to: reshape it to [batch, 1].`,
    );
  }
  const inputShape = timeDependent ? withTime(stateShape) : stateShape;
  const declared = layer instanceof LayersModel ? layer.inputs[0].shape : null;
  if (declared && !agree(declared, inputShape)) throw wrongInput(layer, declared, stateShape, timeDependent);
  if (!layer.built) {
    if (layer instanceof LayersModel) layer.build(inputShape);
    else layer.apply(input({ batchShape: inputShape }));
  }
  const outputShape = layer.computeOutputShape(inputShape) as Shape;
  if (agree(outputShape, stateShape)) return;
  throw new InvalidArgumentError(
    `layer '${layer.name}' maps ${text(inputShape)} to ${text(outputShape)}; expected ${text(stateShape)}, the shape of ` +
      `the state${timeDependent ? ' without t' : ''}: dy/dt has the shape of y.`,
  );
}

function wrongInput(
  layer: Layer,
  declared: Shape,
  state: Shape,
  timeDependent: boolean,
): InvalidArgumentError {
  const other = timeDependent ? state : withTime(state);
  const hint = !agree(declared, other)
    ? 'Change the inputShape of one of them.'
    : timeDependent
      ? 'Give it one more feature, for t, or leave timeDependent out.'
      : 'Set timeDependent: true if its last feature is t.';
  return new InvalidArgumentError(
    `layer '${layer.name}' takes ${text(declared)}; expected ${text(timeDependent ? withTime(state) : state)}, the ` +
      `state${timeDependent ? ' with t as its last feature' : ''}. ${hint}`,
  );
}

const withTime = (shape: Shape): Shape =>
  shape.map((size, i) => (i === shape.length - 1 && size !== null ? size + 1 : size));

/** Whether two shapes can be the same; null stands for any size. */
const agree = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((size, i) => size === null || b[i] === null || size === b[i]);

export const text = (shape: Shape): string => `[${shape.map((size) => size ?? 'batch').join(', ')}]`;

/**
 * The weights of a field under names that begin with `prefix`: the layers of two fields in one model may have the same
 * names, and tfjs saves and loads weights by name. The values are shared, and the field keeps its own names.
 */
export function named(weights: readonly LayerVariable[], prefix: string): LayerVariable[] {
  return weights.map((weight) => {
    const { originalName } = weight;
    if (originalName.startsWith(`${prefix}/`)) return weight;
    return Object.create(weight, {
      originalName: { value: `${prefix}/${originalName}` },
      trainable: {
        get: () => weight.trainable,
        set: (trainable: boolean) => (weight.trainable = trainable),
      },
    }) as LayerVariable;
  });
}

/* Of every tape, which NeuralODE solved with each field. */
const solvedOn = new WeakMap<object, Map<Layer, object>>();

/**
 * Warns when two NeuralODEs around one field run in the same loss: each lists its weights, and the optimizer of a model
 * takes a step for every one that is listed. (Around one field in two models they are fine: one may train it, and the
 * other predict with other times.)
 */
export function warnOfSharing(field: Layer, ode: Layer): void {
  const tape = currentTape();
  if (!tape || field.trainableWeights.length === 0) return;
  const owners = solvedOn.get(tape) ?? new Map<Layer, object>();
  solvedOn.set(tape, owners);
  if ((owners.get(field) ?? ode) !== ode) {
    warnOnce(
      `sharing ${field.name}`,
      `two NeuralODEs, one of them '${ode.name}', solve with the same layer '${field.name}' in one model: fit would ` +
        'train its weights twice in every step. To use a field twice, apply one NeuralODE twice.',
    );
  }
  owners.set(field, ode);
}

/** A layer as `getConfig` of NeuralODE holds it. */
export interface SavedLayer {
  className: string;
  config: serialization.ConfigDict;
}

/* tfjs-layers does this in a function that it does not export. */
export function layerFromConfig(
  saved: SavedLayer,
  customObjects: serialization.ConfigDict,
  fastWeightInit: boolean,
): Layer {
  const { className, config } = saved;
  const registered = { ...serialization.SerializationMap.getMap().classNameMap, ...customObjects };
  const found = registered[className] as [unknown, (...args: unknown[]) => unknown] | undefined;
  if (!found) {
    throw new InvalidArgumentError(
      `the saved layer is of the class '${className}', which nobody knows here; import the module that defines it, or ` +
        'register it with tf.serialization.registerClass.',
    );
  }
  const [cls, fromConfig] = found;
  return fromConfig(cls, { ...config, customObjects }, customObjects, fastWeightInit) as Layer;
}
