import {
  broadcastTo,
  concat,
  expandDims,
  reshape,
  serialization,
  slice,
  tidy,
  tile,
  transpose,
  type Scalar,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { layers, type LayerVariable, type Shape } from '@tensorflow/tfjs-layers';
import { solveAdjoint } from '../adjoint/odeint_adjoint.js';
import { InvalidArgumentError, type SolveStats } from '../src/core/errors.js';
import { readConfig, savedOptions, type NeuralODEConfig, type NeuralODEOptions } from './config.js';
import { buildField, checkField, layerFromConfig, named, warnOfSharing, type SavedLayer } from './field.js';

/* What tfjs-layers does not export. */
type Kwargs = Parameters<layers.Layer['call']>[1];
type ConfigDict = serialization.ConfigDict;

/**
 * A layer whose output solves `dy/dt = layer(y)`, `y(t[0])` = its input: a residual network of continuous depth.
 *
 * Input `[batch, ...]` of any rank; output of the same shape, or `[batch, T, ...]` with `outputs: 'all'`. With
 * `timeDependent: true` the field is `layer([y, t])`. The weights are those of the inner layer, and their gradient that
 * of `odeintAdjoint`, `adjoint: 'checkpoint'` unless another is chosen. Step control looks at the whole batch.
 *
 * What the inner layer may hold: layers that draw random numbers in training, such as dropout, are refused. Batch
 * normalisation takes the statistics of the batch in training, and its moving averages then move at every evaluation,
 * those of the backward pass included; layer normalisation keeps no state. A mask is handed to the inner layer and
 * passed on.
 *
 * To use a field twice in a model, apply one NeuralODE twice: two around the same layer would train it twice in every
 * step of `fit` (a warning says so), and so would the layer itself beside one (which is not seen).
 *
 * Solving needs a backend that reads synchronously: any but WebGPU.
 *
 * Source: Chen et al. 2018, https://doi.org/10.48550/arXiv.1806.07366.
 *
 * @throws `InvalidArgumentError` when it is made, for options that are unknown, wrong, or cannot be saved; when it
 *   is built, if the inner layer changes the shape of the state. While solving, as `odeintAdjoint`.
 *
 * @example
 * ```ts
 * const field = tf.sequential({ layers: [
 *   tf.layers.dense({ units: 16, activation: 'tanh', inputShape: [2] }),
 *   tf.layers.dense({ units: 2 }),
 * ] });
 * const model = tf.sequential({ layers: [neuralODE({ layer: field, t: [0, 1], inputShape: [2] })] });
 * model.compile({ optimizer: 'adam', loss: 'meanSquaredError' });
 * ```
 */
export class NeuralODE extends layers.Layer {
  /** @internal */
  static className = 'NeuralODE';

  /** The vector field. */
  readonly layer: layers.Layer;
  /** Output times. */
  readonly t: readonly number[];
  /** What is returned: the state at the last time, or at all of them. */
  readonly outputs: 'last' | 'all';
  /** Whether `layer` sees `t`, as its last feature. */
  readonly timeDependent: boolean;
  /** Options of the solve. */
  readonly options: Readonly<NeuralODEOptions>;
  /** Counters of the last forward solve, `nfe` among them; `null` before the first. */
  stats: SolveStats | null = null;

  private frozen: LayerVariable[] = [];

  constructor(config: NeuralODEConfig) {
    const { layer, t, outputs, timeDependent, options } = readConfig(config);
    checkField(layer);
    super(config);
    this.layer = layer;
    this.t = t;
    this.outputs = outputs;
    this.timeDependent = timeDependent;
    this.options = options;
    this.supportsMasking = true;
  }

  override build(inputShape: Shape | Shape[]): void {
    const shape = onlyShape(inputShape);
    buildField(this.layer, shape, this.timeDependent);
    this.inputSpec = [{ shape: [null, ...shape.slice(1)] }];
    // tfjs leaves the variables of a layer made with trainable: false trainable, and only does not list them.
    for (const weight of this.layer.nonTrainableWeights) weight.trainable = false;
    if (!this.trainable) this.freeze();
    this.built = true;
  }

  override computeOutputShape(inputShape: Shape | Shape[]): Shape {
    const [batch, ...shape] = onlyShape(inputShape);
    return this.outputs === 'all' ? [batch, this.t.length, ...shape] : [batch, ...shape];
  }

  override call(inputs: Tensor | Tensor[], kwargs: Kwargs = {}): Tensor {
    return tidy(() => {
      this.invokeCallHook(inputs, kwargs);
      warnOfSharing(this.layer, this);
      const y0 = Array.isArray(inputs) ? inputs[0] : inputs;
      // Models write into the arguments they pass on.
      const field = (t: Scalar, y: Tensor) =>
        this.layer.apply(this.fieldInput(t, y), { ...kwargs }) as Tensor;
      const { output, stats } = solveAdjoint(field, y0, this.t, this.options);
      const y = output as Tensor;
      this.stats = { ...stats };
      return this.outputs === 'all' ? batchFirst(y) : lastState(y);
    });
  }

  private fieldInput(t: Scalar, y: Tensor): Tensor {
    if (!this.timeDependent) return y;
    return concat([y, broadcastTo(t, [...y.shape.slice(0, -1), 1])], y.rank - 1);
  }

  /** The mask of the input; with `outputs: 'all'` it holds at every time. */
  override computeMask(_inputs: Tensor | Tensor[], mask?: Tensor | Tensor[]): Tensor {
    const given = (Array.isArray(mask) ? mask[0] : mask) as Tensor;
    if (!given || this.outputs === 'last') return given;
    const times = [1, this.t.length, ...given.shape.slice(1).map(() => 1)];
    return tidy(() => tile(expandDims(given, 1), times));
  }

  override get trainable(): boolean {
    return this.trainable_;
  }

  override set trainable(trainable: boolean) {
    this.trainable_ = trainable;
    if (!trainable) this.freeze();
    else for (const weight of this.frozen.splice(0)) weight.trainable = true;
  }

  /* The variables too: the adjoint differentiates those it finds trainable. Remembers which they were. */
  private freeze(): void {
    const weights = this.layer.trainableWeights;
    for (const weight of weights) weight.trainable = false;
    this.frozen.push(...weights);
  }

  override get trainableWeights(): LayerVariable[] {
    return named(this.layer.trainableWeights, this.name);
  }

  override get nonTrainableWeights(): LayerVariable[] {
    return named(this.layer.nonTrainableWeights, this.name);
  }

  override calculateLosses(): Scalar[] {
    return this.layer.calculateLosses();
  }

  override setFastWeightInitDuringBuild(value: boolean): void {
    super.setFastWeightInitDuringBuild(value);
    this.layer.setFastWeightInitDuringBuild(value);
  }

  override getConfig(): ConfigDict {
    const layer = { className: this.layer.getClassName(), config: this.layer.getConfig() };
    const own = { layer, t: [...this.t], outputs: this.outputs, timeDependent: this.timeDependent };
    return { ...super.getConfig(), ...own, ...this.options } as unknown as ConfigDict;
  }

  /** @internal */
  static override fromConfig<T extends serialization.Serializable>(
    cls: serialization.SerializableConstructor<T>,
    config: ConfigDict,
    customObjects: ConfigDict = {},
    fastWeightInit = false,
  ): T {
    const objects = { ...customObjects, ...(config['customObjects'] as ConfigDict | undefined) };
    const layer = layerFromConfig(config['layer'] as unknown as SavedLayer, objects, fastWeightInit);
    return new cls({ ...savedOptions(config), layer });
  }
}

serialization.registerClass(NeuralODE);

/**
 * `new NeuralODE(config)`, in the style of `tf.layers.dense(config)`.
 *
 * @param config The vector field, the times and the options of the solve.
 * @returns The layer.
 * @throws `InvalidArgumentError` for options that are unknown, wrong, or cannot be saved.
 *
 * @example
 * ```ts
 * const depth = neuralODE({ layer: tf.layers.dense({ units: 8, activation: 'tanh' }), method: 'rk4', stepSize: 0.25 });
 * ```
 */
export function neuralODE(config: NeuralODEConfig): NeuralODE {
  return new NeuralODE(config);
}

function onlyShape(shape: Shape | Shape[]): Shape {
  if (!Array.isArray(shape[0])) return shape as Shape;
  if (shape.length === 1) return shape[0];
  throw new InvalidArgumentError(`NeuralODE received ${shape.length} inputs; expected one state.`);
}

/* [T, batch, ...] to [batch, ...] at the last time. */
function lastState(ys: Tensor): Tensor {
  const [times, ...shape] = ys.shape;
  return reshape(slice(ys, [times - 1], [1]), shape);
}

/* [T, batch, ...] to [batch, T, ...]. */
function batchFirst(ys: Tensor): Tensor {
  return transpose(ys, [1, 0, ...ys.shape.slice(2).map((_, d) => d + 2)]);
}
