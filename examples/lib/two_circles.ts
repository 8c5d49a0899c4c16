/**
 * Two concentric circles of radius 1 and 0.5 with normal noise around them, as `make_circles(noise=0.06, factor=0.5)` of
 * scikit-learn draws them. The density is known: around a circle of radius R, with a = r R / sigma^2, it is
 * `exp(-(r^2 + R^2) / (2 sigma^2)) I0(a) / (2 pi sigma^2)`, and the radius has Rice's distribution
 * (https://doi.org/10.1002/j.1538-7305.1945.tb00453.x).
 */
import { random } from './training.js';
import { mean } from './numbers.js';

export const radii = [1, 0.5];
export const sigma = 0.06;

export type Point = number[];

/** `exp(-x) I0(x)`: the mean of `exp(x (cos a - 1))` over a turn. The sum converges faster than any power of its length. */
export function besselI0e(x: number): number {
  const count = 32 + Math.ceil(8 * Math.sqrt(x));
  let sum = 0;
  for (let i = 0; i < count; i++) sum += Math.exp(x * (Math.cos((2 * Math.PI * i) / count) - 1));
  return sum / count;
}

/** Density in the plane at a distance r from the middle. */
export const density = (r: number): number =>
  radii
    .map((R) => Math.exp(-((r - R) ** 2) / (2 * sigma ** 2)) * besselI0e((r * R) / sigma ** 2))
    .reduce((sum, x) => sum + x / (4 * Math.PI * sigma ** 2), 0);

/** Density of the distance from the middle. */
export const radialDensity = (r: number): number => 2 * Math.PI * r * density(r);

export const logDensity = ([x, y]: Point): number => Math.log(density(Math.hypot(x, y)));

/** The mean of `log p` over the distribution itself, by quadrature in r: no model has more, on average. */
export function meanLogDensity(): number {
  const h = 0.0005;
  let sum = 0;
  for (let r = h; r < 1.6; r += h) sum += h * radialDensity(r) * Math.log(density(r));
  return sum;
}

/** Points on either circle in turn, at angles that are independent, or as scikit-learn has them, evenly spaced. */
export function sampler(seed: number, angles: 'independent' | 'even'): (n: number) => Point[] {
  const { normal, uniform } = random(seed);
  return (n) => {
    const turns = radii.map(uniform);
    return Array.from({ length: n }, (_, i) => {
      const turn = angles === 'even' ? turns[i % 2] + (i >> 1) / Math.ceil(n / 2) : uniform();
      const [R, angle] = [radii[i % 2], 2 * Math.PI * turn];
      return [R * Math.cos(angle) + sigma * normal(), R * Math.sin(angle) + sigma * normal()];
    });
  };
}

/** The baseline that knows nothing: the log-density of a normal distribution fitted to points. */
export function fittedNormal(points: Point[]): (point: Point) => number {
  const [mx, my] = [0, 1].map((i) => mean(points.map((p) => p[i])));
  const moment = (i: number, j: number) =>
    mean(points.map((p) => (p[i] - [mx, my][i]) * (p[j] - [mx, my][j])));
  const [a, b, c] = [moment(0, 0), moment(0, 1), moment(1, 1)];
  const determinant = a * c - b * b;
  return ([x, y]) => {
    const [u, v] = [x - mx, y - my];
    const distance = (c * u * u - 2 * b * u * v + a * v * v) / determinant;
    return -distance / 2 - Math.log(2 * Math.PI) - Math.log(determinant) / 2;
  };
}

/** The log-density of normal kernels of one width on points; kernels further away than seven widths are left out. */
export function kernelDensity(points: Point[], width: number): (point: Point) => number {
  const sorted = Float64Array.from(points, ([x]) => x).sort();
  const ys = Float64Array.from(
    [...points].sort((p, q) => p[0] - q[0]),
    ([, y]) => y,
  );
  const reach = 7 * width;
  const first = (x: number) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < x) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return ([x, y]) => {
    let sum = 0;
    for (let i = first(x - reach); i < sorted.length && sorted[i] < x + reach; i++) {
      const square = (sorted[i] - x) ** 2 + (ys[i] - y) ** 2;
      if (square < reach * reach) sum += Math.exp(-square / (2 * width * width));
    }
    return Math.log(sum / (points.length * 2 * Math.PI * width * width));
  };
}

/** The width that gives points which were not used for the kernels the highest mean log-density. */
export function bestWidth(points: Point[], others: Point[], widths: number[]): number {
  const scores = widths.map((width) => mean(others.map(kernelDensity(points, width))));
  return widths[scores.indexOf(Math.max(...scores))];
}

/** Kolmogorov's distance: the largest between the distribution of some points' radii and the true one. */
export function radialDistance(points: Point[]): number {
  const r = Float64Array.from(points, ([x, y]) => Math.hypot(x, y)).sort();
  const h = 0.0005;
  let [passed, below, largest] = [0, 0, 0];
  for (let edge = h; edge < 3; edge += h) {
    below += h * radialDensity(edge - h / 2);
    while (passed < r.length && r[passed] < edge) passed++;
    largest = Math.max(largest, Math.abs(passed / r.length - below));
  }
  return largest;
}
