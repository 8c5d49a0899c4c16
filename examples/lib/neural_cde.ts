/**
 * A neural controlled differential equation (https://arxiv.org/abs/2005.08926): `dz/dt = f(z) dX/dt`, with `X` a cubic path
 * through irregular observations with gaps. It learns the signed area of closed curves, which is known in closed form.
 */
import * as tf from '@tensorflow/tfjs-core';
import { odeint, odeintAdjoint, type TensorOptions } from 'tfjs-diffeq';
import { lost, observe, type Curve, type Observations } from './closed_curves.js';
import {
  hermiteCubic,
  intervalOf,
  levyArea,
  naturalCubic,
  throughGaps,
  type Cubics,
  type Interpolation,
} from './control_path.js';
import { GatedRecurrent, Linear } from './recurrent.js';
import { random, type Numbers } from './training.js';

/** The paths of a batch, on the grid that they share. */
export interface Control {
  grid: Numbers;
  paths: Cubics[][];
}

export const controlOf = ({ grid, values }: Observations, interpolation: Interpolation): Control => ({
  grid,
  paths: values.map((channels) => channels.map((x) => throughGaps(interpolation, grid, x))),
});

/** Of every path the area it really sweeps: what the best function of it could say. */
export const sweptAreas = ({ grid, paths }: Control): number[] =>
  paths.map(([x, y]) => levyArea(grid, [x, y]));

/** A control on the device: the slopes' coefficients, [intervals, 3, batch * channels]; dispose it. */
export class DeviceControl {
  readonly start: tf.Tensor2D;
  private readonly coefficients: tf.Tensor[];
  readonly shape: [number, number];
  readonly grid: Numbers;

  constructor(
    { grid, paths }: Control,
    private readonly pace?: { at(t: number): number; slope(t: number): number },
  ) {
    this.grid = grid;
    this.shape = [paths.length, paths[0].length];
    const row = (i: number, of: (c: Cubics[number]) => number) =>
      paths.flatMap((p) => p.map((c) => of(c[i])));
    this.start = tf.tensor2d(
      row(0, ([value]) => value),
      this.shape,
    );
    this.coefficients = Array.from({ length: grid.length - 1 }, (_, i) =>
      tf.tensor2d([row(i, (c) => c[1]), row(i, (c) => 2 * c[2]), row(i, (c) => 3 * c[3])]),
    );
  }

  /** dX/dt, [batch, channels]; of X(pace(t)) where there is a pace. */
  slope(t: number): tf.Tensor {
    const time = this.pace?.at(t) ?? t;
    const i = intervalOf(this.grid, time);
    const s = time - this.grid[i];
    const factor = this.pace?.slope(t) ?? 1;
    const powers = tf.tensor2d([[factor, factor * s, factor * s * s]]);
    return tf.reshape(tf.matMul(powers, this.coefficients[i] as tf.Tensor2D), this.shape);
  }

  dispose(): void {
    tf.dispose([this.start, this.coefficients]);
  }
}

/** The vector field `f(z) dX/dt` of a CDE, `matrix(z): [batch, hidden, channels]`. */
export const controlled =
  (control: DeviceControl, matrix: (z: tf.Tensor) => tf.Tensor) =>
  (t: tf.Scalar, z: tf.Tensor): tf.Tensor => {
    const slope = tf.expandDims(control.slope(t.dataSync()[0]), 2);
    return tf.squeeze(tf.matMul(matrix(z), slope), [2]);
  };

type SolveOptions = TensorOptions<tf.Tensor>;
/** Fixed steps while it trains: the same work for every batch. */
export const fixedSteps: SolveOptions = { method: 'rk4_classic', stepSize: 1 / 16 };

/** z(0) = linear in X(0), f = tanh of a network hidden-width-(hidden x 2), area = linear in z(1). */
export class NeuralCde {
  private readonly first: Linear;
  private readonly layers: Linear[];
  private readonly output: Linear;
  readonly variables: tf.Variable[];

  constructor(seed = 1) {
    const [hidden, width, channels] = [8, 32, 2];
    const { normal } = random(seed);
    this.first = new Linear(channels, hidden, normal);
    this.layers = [new Linear(hidden, width, normal), new Linear(width, hidden * channels, normal)];
    this.output = new Linear(hidden, 1, normal);
    this.variables = [this.first, ...this.layers, this.output].flatMap(({ variables }) => variables);
    this.matrix = (z) => {
      const flat = this.layers[1].apply(tf.tanh(this.layers[0].apply(z)));
      return tf.reshape(tf.tanh(flat), [-1, hidden, channels]);
    };
  }

  readonly matrix: (z: tf.Tensor) => tf.Tensor;

  private begin = (control: DeviceControl) => this.first.apply(control.start);

  /** Differentiable, in fixed steps. */
  train(control: DeviceControl): tf.Tensor {
    const options = { ...fixedSteps, adjoint: 'checkpoint' as const };
    const z = odeintAdjoint(controlled(control, this.matrix), this.begin(control), [0, 1], options);
    return this.output.apply(tf.gather(z, 1));
  }

  /** Areas of a whole set, with the number of evaluations of f that they took. */
  predict(control: DeviceControl, options: SolveOptions = fixedSteps): { areas: number[]; nfe: number } {
    return tf.tidy(() => {
      let nfe = 0;
      const field = controlled(control, (z) => (nfe++, this.matrix(z)));
      const z = odeint(field, this.begin(control), [0, 1], options);
      return { areas: Array.from(this.output.apply(tf.gather(z, 1)).dataSync()), nfe };
    });
  }

  dispose(): void {
    tf.dispose(this.variables);
  }
}

/** The baseline: a gated recurrent unit that reads, time by time, the last values seen, which of them are new, and the gap. */
export class GatedBaseline {
  private readonly cell: GatedRecurrent;
  private readonly output: Linear;
  readonly variables: tf.Variable[];

  constructor(seed = 1) {
    const { normal } = random(seed);
    const units = 24;
    this.cell = new GatedRecurrent(5, units, normal);
    this.output = new Linear(units, 1, normal);
    this.variables = [...this.cell.variables, ...this.output.variables];
  }

  /** [T, batch, 5] of some observations; dispose it. */
  static inputs({ grid, values }: Observations): tf.Tensor3D {
    const data = new Float32Array(grid.length * values.length * 5);
    values.forEach((channels, b) => {
      const last = [0, 0];
      grid.forEach((t, i) => {
        const seen = channels.map((x) => !Number.isNaN(x[i]));
        seen.forEach((fresh, c) => (last[c] = fresh ? channels[c][i] : last[c]));
        data.set([...last, ...seen.map(Number), i > 0 ? t - grid[i - 1] : 0], 5 * (i * values.length + b));
      });
    });
    return tf.tensor3d(data, [grid.length, values.length, 5]);
  }

  apply(inputs: tf.Tensor): tf.Tensor {
    return this.output.apply(this.cell.states(inputs).at(-1)!);
  }

  dispose(): void {
    tf.dispose(this.variables);
  }
}

/** A set of curves in batches on the device, for both models; each batch has lost another part of its observations. */
export class AreaTraining {
  private readonly controls: DeviceControl[] = [];
  private readonly inputs: tf.Tensor[] = [];
  private readonly areas: tf.Tensor[] = [];

  constructor(curves: Curve[], grid: number[], size = 64) {
    for (let b = 0; (b + 1) * size <= curves.length; b++) {
      const members = curves.slice(b * size, (b + 1) * size);
      const observations = observe(members, grid, { dropped: lost[b % lost.length], seed: b });
      const interpolation = Math.floor(b / lost.length) % 2 === 0 ? naturalCubic : hermiteCubic;
      this.controls.push(new DeviceControl(controlOf(observations, interpolation)));
      this.inputs.push(GatedBaseline.inputs(observations));
      this.areas.push(tf.tensor2d(observations.areas, [size, 1]));
    }
  }

  /** Batches of one pass. */
  get batches(): number {
    return this.areas.length;
  }

  /** Mean squared error of the area over one batch. */
  loss(model: NeuralCde | GatedBaseline, i: number): tf.Tensor {
    const b = i % this.areas.length;
    const found = model instanceof NeuralCde ? model.train(this.controls[b]) : model.apply(this.inputs[b]);
    return tf.mean(tf.squaredDifference(found, this.areas[b]));
  }

  dispose(): void {
    this.controls.forEach((control) => control.dispose());
    tf.dispose([this.inputs, this.areas]);
  }
}

/** What a model says of some observations. */
export function areasBy(
  model: NeuralCde | GatedBaseline,
  observations: Observations,
  interpolation: Interpolation = naturalCubic,
): number[] {
  if (model instanceof GatedBaseline)
    return tf.tidy(() => Array.from(model.apply(GatedBaseline.inputs(observations)).dataSync()));
  const control = new DeviceControl(controlOf(observations, interpolation));
  const { areas } = model.predict(control);
  control.dispose();
  return areas;
}
