/** Random closed curves whose signed area is known in closed form, seen at irregular times with gaps. */
import { random, type Numbers } from './training.js';

/**
 * A closed curve with period 1, `x = sum a_k cos(2 pi k t) + b_k sin(2 pi k t)` and `y` with c and d: rows [a, b, c, d].
 * By Green's theorem it encloses `pi sum k (a_k d_k - b_k c_k)`, positive where it runs counter-clockwise.
 */
export type Curve = number[][];

export function position(curve: Curve, t: number): [number, number] {
  let [x, y] = [0, 0];
  curve.forEach(([a, b, c, d], i) => {
    const [cos, sin] = [Math.cos(2 * Math.PI * (i + 1) * t), Math.sin(2 * Math.PI * (i + 1) * t)];
    [x, y] = [x + a * cos + b * sin, y + c * cos + d * sin];
  });
  return [x, y];
}

export const enclosedArea = (curve: Curve): number =>
  curve.reduce((sum, [a, b, c, d], i) => sum + Math.PI * (i + 1) * (a * d - b * c), 0);

/** Curves of three harmonics, whose coefficients have the standard deviation 0.6 / k^2. */
export function randomCurves(count: number, seed: number): Curve[] {
  const { normal } = random(seed);
  const harmonic = (k: number) => Array.from({ length: 4 }, () => (0.6 * normal()) / k ** 2);
  return Array.from({ length: count }, () => [1, 2, 3].map(harmonic));
}

/** Irregular times from 0 to 1, the gaps between them within a factor of seven. */
export function irregularTimes(intervals: number, seed: number): number[] {
  const { uniform } = random(seed);
  const sums = [0];
  for (let i = 0; i < intervals; i++) sums.push(sums[i] + 0.25 + 1.5 * uniform());
  return sums.map((s) => s / sums[intervals]);
}

/** Parts of the observations that are lost, in the training and in the tables. */
export const lost = [0, 0.3, 0.5, 0.7];

/** Observations of many curves on one grid: `values[curve][channel][time]`, NaN where one was lost. */
export interface Observations {
  grid: number[];
  values: number[][][];
  areas: number[];
}

/** Both ends are always seen; of the others each channel loses the part `dropped`. `pace` warps the time, [0, 1] to itself. */
export function observe(
  curves: Curve[],
  grid: number[],
  { dropped = 0, seed = 1, pace = (t: number) => t } = {},
): Observations {
  const { uniform } = random(seed);
  const values = curves.map((curve) => {
    const path = grid.map((t) => position(curve, pace(t)));
    return [0, 1].map((channel) => {
      const kept = drop(grid.length - 2, dropped, uniform);
      return path.map((p, i) => (i === 0 || i === grid.length - 1 || kept[i - 1] ? p[channel] : NaN));
    });
  });
  return { grid, values, areas: curves.map(enclosedArea) };
}

function drop(count: number, part: number, uniform: () => number): boolean[] {
  const order = Array.from({ length: count }, (_, i) => [uniform(), i]).sort(([a], [b]) => a - b);
  const kept = new Array<boolean>(count).fill(true);
  for (const [, i] of order.slice(0, Math.round(part * count))) kept[i] = false;
  return kept;
}

export const rms = (a: Numbers, b: Numbers): number =>
  Math.sqrt(Array.from(a, (x, i) => (x - b[i]) ** 2).reduce((sum, x) => sum + x, 0) / a.length);

/** The part of the curves whose direction, the sign of the area, is told right. */
export const directionsRight = (found: Numbers, exact: Numbers): number =>
  Array.from(found, (x, i) => Number(x > 0 === exact[i] > 0)).reduce((sum, x) => sum + x, 0) / found.length;
