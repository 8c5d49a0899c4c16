/**
 * A diffractive network: light passes phase plates at equal distances, and what each pixel of a plate delays it by is learned.
 * After Lin et al., https://doi.org/10.1126/science.aat8084: 0.4 THz, pixels of 0.4 mm, plates of 200 x 200 pixels 30 mm
 * apart. Here plates are smaller, and the distances with them, so that light spreads over as much of the next plate.
 */
import * as tf from '@tensorflow/tfjs-core';
import { odeint } from 'tfjs-diffeq';
import { field, intensity, Propagation, throughPlate, type Grid } from './optics.js';

/** In millimetres. */
export const terahertz = { wavelength: 299.792458 / 400, pitch: 0.4 };

/**
 * The plane of N x N pixels and the distance of the plates: 30 mm for the 200 x 200 of the paper. There `highestFrequency` is
 * that of the grid, to 0.1 %, so the kernel need not be cut.
 */
export const setting = (size: number): { grid: Grid; distance: number } => ({
  grid: { ...terahertz, size },
  distance: (30 * size) / 200,
});

/** Plates, and free space behind each; dispose it. */
export class DiffractiveNetwork {
  readonly plates: tf.Variable[];
  readonly space: Propagation;

  /** Phases begin as 0: flat glass. */
  constructor(
    readonly size: number,
    count: number,
  ) {
    this.plates = Array.from({ length: count }, () => tf.tidy(() => tf.variable(tf.zeros([size, size]))));
    const { grid, distance } = setting(size);
    this.space = new Propagation(grid, distance);
  }

  /** The field in the output plane, from the one on the first plate. */
  pass(u: tf.Tensor4D): tf.Tensor4D {
    for (const plate of this.plates) u = this.space.apply(throughPlate(u, plate as tf.Tensor2D));
    return u;
  }

  /** The phases of each plate. */
  phases(): Float32Array[] {
    return this.plates.map((plate) => plate.dataSync<'float32'>().slice());
  }

  dispose(): void {
    tf.dispose(this.plates);
    this.space.dispose();
  }
}

/** How well an image of the power 1 that came in shows a target. */
export interface ImageQuality {
  /** Mean squared error of the image at its best exposure, the target's largest value being 1. */
  error: number;
  /** Part of the power that reaches the image plane's window. */
  power: number;
  /** Part of the power on pixels where the target has a tenth of its largest value or more: diffraction efficiency. */
  efficiency: number;
  image: Float32Array;
}

/** Plates that make an image of a uniform beam. */
export class ImageTraining {
  readonly network: DiffractiveNetwork;
  private readonly beam: tf.Tensor4D;
  private readonly target: tf.Tensor2D;
  private readonly exposure?: number;

  /** With `power` that part of the beam's is asked for; without it any, and the image may be as faint as it likes. */
  constructor(
    private readonly goal: Float32Array,
    { plates = 5, power }: { plates?: number; power?: number } = {},
  ) {
    const size = Math.sqrt(goal.length);
    this.network = new DiffractiveNetwork(size, plates);
    this.beam = field(size, () => [1 / size, 0]);
    this.target = tf.tensor2d(goal, [size, size]);
    this.exposure = power === undefined ? undefined : goal.reduce((sum, x) => sum + x, 0) / power;
  }

  private image(): tf.Tensor {
    return intensity(this.network.pass(this.beam));
  }

  /** `mean (s I - T)^2`: s gives the target the power asked for, or is the best, `<I, T> / <I, I>`. */
  readonly loss = (): tf.Tensor => {
    const image = tf.squeeze(this.image(), [0]);
    const exposure = this.exposure ?? tf.div(tf.sum(tf.mul(image, this.target)), tf.sum(tf.square(image)));
    return tf.mean(tf.squaredDifference(tf.mul(exposure, image), this.target));
  };

  quality(): ImageQuality {
    const image = tf.tidy(() => this.image().dataSync<'float32'>().slice());
    return judge(image, this.goal);
  }

  /**
   * Gerchberg & Saxton, Optik 35, 237 (1972), for one plate: the amplitude asked for is put in the place of the one that
   * arrived, the field goes back, and of what comes back the phase is kept. `each` sees the error before a round.
   */
  gerchbergSaxton(rounds: number, each?: (round: number, error: number) => void): void {
    const { space, plates } = this.network;
    for (let i = 0; i < rounds; i++)
      tf.tidy(() => {
        const u = this.network.pass(this.beam);
        each?.(i, judge(intensity(u).dataSync<'float32'>(), this.goal).error);
        const amplitude = tf.maximum(tf.sqrt(intensity(u)), 1e-20);
        const asked = tf.mul(u, tf.expandDims(tf.div(tf.sqrt(this.target), amplitude), 2)) as tf.Tensor4D;
        const [re, im] = tf.unstack(tf.squeeze(space.apply(asked, true), [0]), 1);
        plates[0].assign(tf.atan2(im, re));
      });
  }

  dispose(): void {
    this.network.dispose();
    tf.dispose([this.beam, this.target]);
  }
}

export function judge(image: Float32Array, target: Float32Array): ImageQuality {
  let [it, ii, tt, power, efficiency] = [0, 0, 0, 0, 0];
  image.forEach((intensity, i) => {
    it += intensity * target[i];
    ii += intensity ** 2;
    tt += target[i] ** 2;
    power += intensity;
    if (target[i] >= 0.1) efficiency += intensity;
  });
  return { error: (tt - it ** 2 / ii) / image.length, power, efficiency, image };
}

/** Lorenz's attractor (https://doi.org/10.1175/1520-0469(1963)020%3C0130:DNF%3E2.0.CO;2), x to the right and z up, as an image. */
export function lorenzImage(size: number): Float32Array {
  const [steps, width] = [6000, 0.016 * size];
  const lorenz = (_t: number, [x, y, z]: Float64Array) => [
    10 * (y - x),
    x * (28 - z) - y,
    x * y - (8 / 3) * z,
  ];
  const t = Array.from({ length: steps + 1 }, (_, i) => 0.005 * i);
  const image = new Float32Array(size * size);
  for (const [x, , z] of odeint(lorenz, [1, 1, 20], t).slice(400)) {
    const [column, row] = [(0.5 + x / 48) * size, (0.96 - z / 52) * size];
    for (let i = Math.max(0, Math.floor(row) - 4); i < Math.min(size, row + 4); i++)
      for (let j = Math.max(0, Math.floor(column) - 4); j < Math.min(size, column + 4); j++)
        image[i * size + j] += Math.exp(-((i - row) ** 2 + (j - column) ** 2) / (2 * width ** 2));
  }
  // Bright where the motion lingers: saturated, as on a film.
  const level = 0.25 * Math.max(...image);
  return image.map((x) => 1 - Math.exp(-x / level));
}
