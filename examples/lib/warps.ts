/** Random small deformations of handwriting, so that a training sees every image in a new form each time. */
import { random } from './training.js';

/** Standard deviations of what happens to an image; pixels are those of the 28 x 28 original. */
export interface WarpOptions {
  /** Turn, radians. */
  turn: number;
  /** Change of size, of each axis alone, a part of 1. */
  scale: number;
  /** Slant: how far rows slide per row. */
  shear: number;
  /** Shift, pixels. */
  shift: number;
  /** Elastic displacement of each knot, pixels. */
  elastic: number;
}

export interface WarpOutput {
  /** Pixels of an edge of the result. */
  size: number;
  /** The central square that is looked at, in pixels of the original. */
  window: number;
}

const edge = 28;
const knots = 6;

/**
 * `warp(image, result, offset)` deforms one 28 x 28 image and reduces it: an affine map, and a smooth random displacement
 * after Simard, Steinkraus & Platt (https://doi.org/10.1109/ICDAR.2003.1227801), here a cubic B-spline of `knots x knots`
 * normal numbers. Each new pixel is the mean of samples about a pixel apart.
 */
export function warper(
  { size, window }: WarpOutput,
  { turn, scale, shear, shift, elastic }: WarpOptions,
  seed: number,
): (image: Float32Array, result: Float32Array, offset: number) => void {
  const { normal } = random(seed);
  const perPixel = Math.max(1, Math.round(window / size));
  const count = size * perPixel;
  const splines = cubicSplines(count);
  const displacements = [new Float64Array(count * count), new Float64Array(count * count)];
  const samples = new Float64Array(count * count);
  const at = Float64Array.from({ length: count }, (_, i) => ((i + 0.5) / count - 0.5) * window);

  return (image, result, offset) => {
    const [angle, slant] = [turn * normal(), shear * normal()];
    const [sx, sy] = [Math.exp(scale * normal()), Math.exp(scale * normal())];
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    const [xx, xy, yx, yy] = [sx * c, sx * (slant * c - s), sy * s, sy * (slant * s + c)];
    const [dx, dy] = [shift * normal(), shift * normal()].map((d) => d + (edge - 1) / 2);
    for (const field of displacements) smoothField(field, splines, elastic, normal);
    sample(image, samples, at, displacements, [xx, xy, dx, yx, yy, dy]);
    reduceInto(result, offset, samples, size, perPixel);
  };
}

function sample(
  image: Float32Array,
  samples: Float64Array,
  at: Float64Array,
  [ex, ey]: Float64Array[],
  [xx, xy, x0, yx, yy, y0]: number[],
): void {
  const count = at.length;
  for (let i = 0, k = 0; i < count; i++) {
    for (let j = 0; j < count; j++, k++)
      samples[k] = bilinear(
        image,
        xx * at[j] + xy * at[i] + x0 + ex[k],
        yx * at[j] + yy * at[i] + y0 + ey[k],
      );
  }
}

function reduceInto(
  result: Float32Array,
  offset: number,
  samples: Float64Array,
  size: number,
  perPixel: number,
): void {
  const count = size * perPixel;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      let sum = 0;
      for (let a = 0; a < perPixel; a++) {
        const row = (i * perPixel + a) * count + j * perPixel;
        for (let b = 0; b < perPixel; b++) sum += samples[row + b];
      }
      result[offset + i * size + j] = sum / perPixel ** 2;
    }
  }
}

/** Zero outside: the outermost pixels are empty. */
function bilinear(image: Float32Array, x: number, y: number): number {
  if (!(x >= 0 && y >= 0 && x < edge - 1 && y < edge - 1)) return 0;
  const left = Math.floor(x);
  const top = Math.floor(y);
  const u = x - left;
  const k = top * edge + left;
  const upper = image[k] + u * (image[k + 1] - image[k]);
  const lower = image[k + edge] + u * (image[k + edge + 1] - image[k + edge]);
  return upper + (y - top) * (lower - upper);
}

interface Splines {
  /** The first of the four splines that are not zero at each place. */
  first: Int32Array;
  /** Their values, [count][4]. */
  weights: Float64Array;
}

/** Cubic B-splines at `count` places of an edge. */
function cubicSplines(count: number): Splines {
  const spline = (z: number) => (z < 1 ? 2 / 3 - z * z + z ** 3 / 2 : (2 - z) ** 3 / 6);
  const places = Array.from({ length: count }, (_, i) => ((i + 0.5) / count) * (knots - 3) + 1);
  return {
    first: Int32Array.from(places, (x) => Math.floor(x) - 1),
    weights: Float64Array.from(
      places.flatMap((x) => [-1, 0, 1, 2].map((k) => spline(Math.abs(x - Math.floor(x) - k)))),
    ),
  };
}

/** A displacement at `count * count` places from normal numbers at the knots. */
function smoothField(
  field: Float64Array,
  { first, weights }: Splines,
  size: number,
  normal: () => number,
): void {
  const values = new Float64Array(knots * knots);
  for (let k = 0; k < values.length; k++) values[k] = size * normal();
  const row = new Float64Array(knots);
  const count = first.length;
  for (let i = 0; i < count; i++) {
    row.fill(0);
    for (let m = 0; m < 4; m++) {
      const w = weights[4 * i + m];
      const start = (first[i] + m) * knots;
      for (let k = 0; k < knots; k++) row[k] += w * values[start + k];
    }
    for (let j = 0; j < count; j++) {
      const [k, m] = [first[j], 4 * j];
      field[i * count + j] =
        weights[m] * row[k] +
        weights[m + 1] * row[k + 1] +
        weights[m + 2] * row[k + 2] +
        weights[m + 3] * row[k + 3];
    }
  }
}
