/** Cubic paths through irregular observations, on plain numbers in float64: the controls of neural CDEs. */
import type { Numbers } from './training.js';

/** On each interval of a grid of times `value + slope s + curve s^2 + jerk s^3`, `s` the time since its beginning. */
export type Cubics = [value: number, slope: number, curve: number, jerk: number][];

/** How a path is put through its knots: times and values, at least two of them. */
export type Interpolation = (t: Numbers, x: Numbers) => Cubics;

/** The natural cubic spline: two derivatives are continuous, and the second vanishes at both ends. */
export const naturalCubic: Interpolation = (t, x) => {
  const last = t.length - 1;
  const h = Array.from({ length: last }, (_, i) => t[i + 1] - t[i]);
  const rise = h.map((width, i) => (x[i + 1] - x[i]) / width);
  // Second derivatives m: h[i-1] m[i-1] + 2 (h[i-1] + h[i]) m[i] + h[i] m[i+1] = 6 (rise[i] - rise[i-1]), solved by Thomas'
  // algorithm, m = 0 at both ends.
  const upper = new Float64Array(last + 1);
  const m = new Float64Array(last + 1);
  for (let i = 1; i < last; i++) {
    const pivot = 2 * (h[i - 1] + h[i]) - h[i - 1] * upper[i - 1];
    upper[i] = h[i] / pivot;
    m[i] = (6 * (rise[i] - rise[i - 1]) - h[i - 1] * m[i - 1]) / pivot;
  }
  for (let i = last - 1; i > 0; i--) m[i] -= upper[i] * m[i + 1];
  return h.map((width, i) => {
    const slope = rise[i] - (width * (2 * m[i] + m[i + 1])) / 6;
    return [x[i], slope, m[i] / 2, (m[i + 1] - m[i]) / (6 * width)];
  });
};

/**
 * Hermite cubics with backward differences (https://arxiv.org/abs/2106.11028): the slope at a knot is that of the line from
 * the knot before, and of the first line at the first knot. Until a time the path depends on no observation after the next.
 */
export const hermiteCubic: Interpolation = (t, x) => {
  const rise = (i: number) => (x[i + 1] - x[i]) / (t[i + 1] - t[i]);
  return Array.from({ length: t.length - 1 }, (_, i) => {
    const [h, slope, next] = [t[i + 1] - t[i], rise(Math.max(i - 1, 0)), rise(i)];
    // The slope is `slope` at the beginning, `next` at the end, and the mean of it is `next` too.
    return [x[i], slope, (2 * (next - slope)) / h, (slope - next) / h ** 2];
  });
};

/** The interval of an increasing grid that holds `t`; the first and the last go on beyond the grid. */
export function intervalOf(grid: Numbers, t: number): number {
  let [low, high] = [0, grid.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (t >= grid[middle]) low = middle;
    else high = middle;
  }
  return low;
}

/**
 * A path through the observed values only: where `x` is NaN nothing was observed. The cubics are those of every interval of
 * `grid`, so channels and sequences with other gaps share it. Before the first and after the last value the path rests.
 */
export function throughGaps(interpolation: Interpolation, grid: Numbers, x: Numbers): Cubics {
  const seen = Array.from(grid, (_, i) => i).filter((i) => !Number.isNaN(x[i]));
  if (seen.length === 0) throw new Error('a channel has no observation; expected one at least');
  const knots = seen.map((i) => grid[i]);
  const cubics =
    seen.length > 1
      ? interpolation(
          knots,
          seen.map((i) => x[i]),
        )
      : [];
  return Array.from({ length: grid.length - 1 }, (_, i) => {
    if (i < seen[0]) return [x[seen[0]], 0, 0, 0];
    if (i >= seen[seen.length - 1]) return [x[seen[seen.length - 1]], 0, 0, 0];
    const j = intervalOf(knots, grid[i]);
    const s = grid[i] - knots[j];
    const [value, slope, curve, jerk] = cubics[j];
    return [
      ...[value + s * (slope + s * (curve + s * jerk)), slope + s * (2 * curve + 3 * s * jerk)],
      ...[curve + 3 * s * jerk, jerk],
    ] as Cubics[number];
  });
}

/** Value and derivative of a path at a time. */
export function evaluate(grid: Numbers, cubics: Cubics, t: number): { x: number; dx: number } {
  const i = intervalOf(grid, t);
  const [value, slope, curve, jerk] = cubics[i];
  const s = t - grid[i];
  return { x: value + s * (slope + s * (curve + s * jerk)), dx: slope + s * (2 * curve + 3 * s * jerk) };
}

// Gauss and Legendre's three points integrate polynomials of degree five, and x dy of two cubics has no other.
const nodes = [0.5 - Math.sqrt(0.15), 0.5, 0.5 + Math.sqrt(0.15)];
const weights = [5 / 18, 8 / 18, 5 / 18];

/** The Lévy area of a path, `1/2 integral (x - x(0)) dy - (y - y(0)) dx`, exact but for rounding. */
export function levyArea(grid: Numbers, [x, y]: readonly [Cubics, Cubics]): number {
  let area = 0;
  for (let i = 0; i + 1 < grid.length; i++) {
    const width = grid[i + 1] - grid[i];
    nodes.forEach((node, j) => {
      const t = grid[i] + node * width;
      const [u, v] = [evaluate(grid, x, t), evaluate(grid, y, t)];
      area += (weights[j] * width * ((u.x - x[0][0]) * v.dx - (v.x - y[0][0]) * u.dx)) / 2;
    });
  }
  return area;
}
