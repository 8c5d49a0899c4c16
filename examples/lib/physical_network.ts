/**
 * Physical systems as the layers of a network, trained by gradients of a model of them: physics-aware training, after Wright
 * et al., https://doi.org/10.1038/s41586-021-04223-6. The forward pass runs the system itself, imperfect and noisy; the
 * backward pass differentiates the model where the system really was.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as classification from './classification.js';
import type { Build, Parameters, PhysicalSystem } from './physical_systems.js';
import { minimize, normalVariable, random } from './training.js';

/** From [batch, inputs] to [batch, outputs]. */
export type Layer = (u: tf.Tensor) => tf.Tensor;

/**
 * The value of `physical(u)`, with the vector-Jacobian product of `model` at `u`. What `physical` does is not recorded, and
 * so it need not be differentiable. In a chain every `u` comes from the physical layer before.
 */
export const physicsAware =
  (physical: Layer, model: Layer): Layer =>
  (u) => {
    const measured = tf.customGrad((...inputs) => {
      const [, controls] = inputs as tf.Tensor[];
      return {
        value: physical(controls),
        gradFunc: (dy: tf.Tensor) => [dy, tf.zerosLike(u)],
      };
    });
    return measured(model(u), u);
  };

/** The system that is built is not quite the one that was meant: each parameter is off by a factor `1 + spread * normal`. */
function builtWith<P extends Parameters>(meant: P, spread: number, seed: number): P {
  const { normal } = random(seed);
  const off = (x: number) => x * (1 + spread * normal());
  const entries = Object.entries(meant).map(([name, x]) => [
    name,
    typeof x === 'number' ? off(x) : x.map(off),
  ]);
  return Object.fromEntries(entries) as P;
}

/** Noise of standard deviation `drive` in what goes in and of `readout` in what comes out, new in every run. */
export function noisy(layer: Layer, { drive, readout }: Noise, normal: () => number): Layer {
  const add = (x: tf.Tensor, deviation: number) =>
    tf.add(
      x,
      tf.tensor(
        Float32Array.from({ length: x.size }, () => deviation * normal()),
        x.shape,
      ),
    );
  return (u) => tf.tidy(() => add(layer(add(u, drive)), readout));
}

export interface Noise {
  drive: number;
  readout: number;
}

/** Features [count, n] and classes. */
export interface Samples {
  x: Float32Array;
  labels: Uint8Array;
}

/** A task: what is learned from, and what is held back. */
export interface Task {
  features: number;
  classes: number;
  seen: Samples;
  heldBack: Samples;
}

/** Two passes through a physical system, weights before each, a gain and an offset for each class after the last. */
export class PhysicalNetwork {
  readonly variables: tf.Variable[];

  constructor({ features, classes }: Task, { controls, readouts, rest }: PhysicalSystem, seed: number) {
    const { normal } = random(seed);
    this.variables = [
      normalVariable([features, controls], 0.25 / Math.sqrt(features), normal),
      normalVariable([controls], 0.3, () => normal() + rest / 0.3),
      normalVariable([readouts, controls], 0.25 / Math.sqrt(readouts), normal),
      normalVariable([controls], 0.3, () => normal() + rest / 0.3),
      tf.tidy(() => tf.variable(tf.fill([classes], 4))),
      normalVariable([classes], 0, normal),
    ];
  }

  /** Logits [batch, classes], and the controls that both passes were given. */
  run(x: tf.Tensor, layer: Layer): { logits: tf.Tensor; controls: tf.Tensor } {
    const [w1, b1, w2, b2, gain, offset] = this.variables as tf.Tensor[];
    const into = (y: tf.Tensor, w: tf.Tensor, b: tf.Tensor) =>
      tf.add(tf.matMul(y as tf.Tensor2D, w as tf.Tensor2D), b);
    const first = into(x, w1, b1);
    const second = into(layer(first), w2, b2);
    const read = central(layer(second), gain.size);
    return { logits: tf.add(tf.mul(read, gain), offset), controls: tf.concat([first, second], 1) };
  }

  dispose(): void {
    tf.dispose(this.variables);
  }
}

/** The columns in the middle. */
const central = (y: tf.Tensor, count: number) => tf.slice(y, [0, (y.shape[1]! - count) >> 1], [-1, count]);

/** Amplifiers are linear to here, and the training pays for what is beyond. */
const limit = 1.5;

export interface TrainingOptions {
  iterations: number;
  batch: number;
  rate: number;
  seed: number;
  each?: (iteration: number, loss: number) => void;
}

/** From features to logits, and the controls that were asked for, if any were. */
type Predict = (x: tf.Tensor) => { logits: tf.Tensor; controls?: tf.Tensor };

/** Cross-entropy by Adam on random batches, all trainings alike. */
export function train(
  predict: Predict,
  variables: tf.Variable[],
  { features, seen }: Task,
  { batch, seed, ...options }: TrainingOptions,
): void {
  const { uniform } = random(seed);
  const count = seen.labels.length;
  const loss = () => {
    const chosen = Array.from({ length: batch }, () => Math.floor(count * uniform()));
    const x = tf.tensor2d(gatherRows(seen.x, chosen, features), [batch, features]);
    const { logits, controls } = predict(x);
    const entropy = classification.crossEntropy(
      logits,
      chosen.map((i) => seen.labels[i]),
    );
    if (controls === undefined) return entropy;
    return tf.add(entropy, tf.mean(tf.square(tf.relu(tf.sub(tf.abs(controls), limit)))));
  };
  minimize(loss, variables, options);
}

function gatherRows(x: Float32Array, rows: number[], width: number): Float32Array {
  const chosen = new Float32Array(rows.length * width);
  rows.forEach((row, i) => chosen.set(x.subarray(row * width, (row + 1) * width), i * width));
  return chosen;
}

/** Part of the samples that a network puts in their class. */
export function accuracy(predict: Predict, { x, labels }: Samples, features: number): number {
  const scores = tf.tidy(
    () => predict(tf.tensor2d(x, [labels.length, features])).logits.dataSync() as Float32Array,
  );
  return classification.accuracy(scores, labels);
}

/** The accuracy of the best that weights alone do, without physics: convex, and more iterations do not help. */
export function softmaxRegression(task: Task, iterations = 4000): number {
  const { features, classes, heldBack } = task;
  const variables = [[features, classes], [classes]].map((shape) =>
    tf.tidy(() => tf.variable(tf.zeros(shape))),
  );
  const [w, b] = variables as tf.Tensor[];
  const predict = (x: tf.Tensor) => ({ logits: tf.add(tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D), b) });
  train(predict, variables, task, { iterations, batch: 64, rate: 0.05, seed: 3 });
  const result = accuracy(predict, heldBack, features);
  tf.dispose(variables);
  return result;
}

/** The meant system and the one that was built, and layers made of them. */
export class Laboratory<P extends Parameters> {
  readonly model: PhysicalSystem;
  readonly real: PhysicalSystem;
  private readonly noise: Noise;
  private readonly normal: () => number;

  constructor(
    build: Build<P>,
    meant: P,
    { spread, noise, seed }: { spread: number; noise: Noise; seed: number },
  ) {
    this.model = build(meant);
    this.real = build(builtWith(meant, spread, seed));
    this.normal = random(seed + 1).normal;
    this.noise = noise;
  }

  /** What runs when the network is used: the real system, with noise. */
  get used(): Layer {
    return noisy(this.real.run, this.noise, this.normal);
  }

  /** The model with the same noise: what a training in silico believes to be the system. */
  get believed(): Layer {
    return noisy(this.model.run, this.noise, this.normal);
  }

  /** The layer of each training: what it runs forward, and what it differentiates. */
  layer(training: Training): Layer {
    const { model, real, used, believed } = this;
    if (training === 'in silico') return physicsAware(believed, model.run);
    return physicsAware(used, training === 'ideal' ? real.run : model.run);
  }

  dispose(): void {
    this.model.dispose();
    this.real.dispose();
  }
}

export type Training = 'in silico' | 'physics-aware' | 'ideal';
export const trainings: Training[] = ['in silico', 'physics-aware', 'ideal'];

/** Root mean square of the difference between system and model at random controls, over that of the model about its mean. */
export function modelError(
  { model, real }: { model: PhysicalSystem; real: PhysicalSystem },
  seed: number,
): number {
  const { normal } = random(seed);
  const { controls, rest } = model;
  const values = Array.from({ length: 200 * controls }, () => rest + 0.5 * normal());
  return tf.tidy(() => {
    const u = tf.tensor2d(values, [200, controls]);
    const [meant, built] = [model.run(u), real.run(u)];
    const spread = tf.sub(meant, tf.mean(meant, 0, true));
    const ratio = tf.div(tf.mean(tf.squaredDifference(meant, built)), tf.mean(tf.square(spread)));
    return Math.sqrt(ratio.dataSync()[0]);
  });
}
