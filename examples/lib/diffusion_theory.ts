/**
 * What drift and diffusion of a scalar Ito equation `dX = f(X) dt + sigma(X) dW` say of its paths, by quadrature, by the backward
 * Kolmogorov equation, and by simulation, on plain numbers.
 *
 * Source: C. W. Gardiner, Handbook of Stochastic Methods, chapters 3 and 5.
 */
import { odeint } from 'tfjs-diffeq';
import { random } from './training.js';

export interface Diffusion {
  drift: (x: number) => number;
  diffusion: (x: number) => number;
}

/** Paths hardly ever come to its ends. */
export const range = { from: -2.4, to: 2.4, cells: 960 };
const dx = (range.to - range.from) / range.cells;
export const grid = Array.from({ length: range.cells + 1 }, (_, i) => range.from + i * dx);
/** The node at x. */
const node = (x: number) => Math.round((x - range.from) / dx);

/** Integrals from the first node to each, by the trapezoidal rule. */
function primitive(values: number[]): number[] {
  let sum = 0;
  return values.map((value, i) => (i === 0 ? 0 : (sum += ((value + values[i - 1]) * dx) / 2)));
}

/** `integral of 2 f / sigma^2`, zero at the middle of the grid. */
function potential(sde: Diffusion): number[] {
  const phi = primitive(grid.map((x) => (2 * sde.drift(x)) / sde.diffusion(x) ** 2));
  const middle = phi[range.cells / 2];
  return phi.map((value) => value - middle);
}

/** The stationary density on the grid, `exp(integral of 2 f / sigma^2) / sigma^2` over its integral. */
export function stationaryDensity(sde: Diffusion): number[] {
  const phi = potential(sde);
  const p = grid.map((x, i) => Math.exp(phi[i]) / sde.diffusion(x) ** 2);
  const total = primitive(p)[range.cells];
  return p.map((value) => value / total);
}

/** How much of a density on the grid lies at x > 0. */
export const rightHalf = (p: number[]): number => {
  const sums = primitive(p);
  return sums[range.cells] - sums[node(0)];
};

/** Total variation: the largest difference of two probabilities, `integral of abs(p - q) / 2`. */
export const distance = (p: number[], q: number[]): number =>
  primitive(p.map((value, i) => Math.abs(value - q[i]) / 2))[range.cells];

/** Root mean square of values on the grid over a density. */
export const weightedRms = (values: number[], p: number[]): number =>
  Math.sqrt(primitive(values.map((value, i) => value ** 2 * p[i]))[range.cells]);

/**
 * The mean time after which a path from `from` has come to `to > from` for the first time:
 * `2 integral over y in (from, to) of exp(-phi(y)) integral over z < y of exp(phi(z)) / sigma(z)^2`.
 * To the left it is the mirrored equation.
 */
export function meanFirstPassage(sde: Diffusion, from: number, to: number): number {
  if (to < from) return meanFirstPassage(mirrored(sde), -from, -to);
  const phi = potential(sde);
  const below = primitive(grid.map((x, i) => Math.exp(phi[i]) / sde.diffusion(x) ** 2));
  const outer = primitive(below.map((value, i) => 2 * Math.exp(-phi[i]) * value));
  return outer[node(to)] - outer[node(from)];
}

const mirrored = ({ drift, diffusion }: Diffusion): Diffusion => ({
  drift: (x) => -drift(-x),
  diffusion: (x) => diffusion(-x),
});

/** Coefficients as tables with straight lines between their nodes: networks are slow one number at a time. */
export function tabulated({ drift, diffusion }: Diffusion): Diffusion {
  const [f, sigma] = [drift, diffusion].map((of) => Float64Array.from(grid, of));
  const look = (table: Float64Array) => (x: number) => {
    const place = Math.min(range.cells - 1e-9, Math.max(0, (x - range.from) / dx));
    const i = Math.floor(place);
    return table[i] + (place - i) * (table[i + 1] - table[i]);
  };
  return { drift: look(f), diffusion: look(sigma) };
}

export interface Estimate {
  mean: number;
  standardError: number;
}

/** First-passage times of Euler and Maruyama's paths. Between two steps a path may have been there and gone back: a bridge says how likely. */
export function simulateFirstPassage(
  sde: Diffusion,
  { from, to, h, paths, seed }: { from: number; to: number; h: number; paths: number; seed: number },
): Estimate {
  const { normal, uniform } = random(seed);
  const side = Math.sign(to - from);
  const times = Array.from({ length: paths }, () => {
    let [x, steps] = [from, 0];
    for (;;) {
      const sigma = sde.diffusion(x);
      const next = x + sde.drift(x) * h + sigma * Math.sqrt(h) * normal();
      steps++;
      const [before, after] = [(to - x) * side, (to - next) * side];
      if (after <= 0 || uniform() < Math.exp((-2 * before * after) / (sigma ** 2 * h))) return steps * h;
      x = next;
    }
  });
  const mean = times.reduce((sum, t) => sum + t, 0) / paths;
  const variance = times.reduce((sum, t) => sum + (t - mean) ** 2, 0) / (paths - 1);
  return { mean, standardError: Math.sqrt(variance / paths) };
}

/** Where paths are that began in both wells long ago. */
export function simulateStationary(
  sde: Diffusion,
  { h = 0.01, time = 60, paths = 4000, seed = 1 } = {},
): number[] {
  const { normal } = random(seed);
  return Array.from({ length: paths }, (_, path) => {
    let x = path % 2 === 0 ? -1 : 1;
    for (let i = 0; i < time / h; i++) x += sde.drift(x) * h + sde.diffusion(x) * Math.sqrt(h) * normal();
    return x;
  });
}

/** What Gaussian increments over an interval dt would be fitted by: `E (X(dt) - x) / dt` and `sqrt(Var X(dt) / dt)`. */
export interface Moments {
  drift: number[];
  diffusion: number[];
}

/**
 * The first two conditional moments of X(dt) given X(0) = x, on the grid: `u(x, dt) = E g(X(dt))` solves the backward
 * Kolmogorov equation `u_t = f u_x + sigma^2 u_xx / 2`, `u(x, 0) = g(x)`; here for `g = x` and `g = x^2` on every fourth node.
 * A path that leaves the grid is far from everything that is asked: there u goes on as a straight line.
 */
export function exactMoments(sde: Diffusion, dt: number): Moments {
  const x = grid.filter((_, i) => i % 4 === 0);
  const [n, step] = [x.length, 4 * dx];
  const f = x.map(sde.drift);
  const half = x.map((at) => sde.diffusion(at) ** 2 / 2);
  const field = (_t: number, u: Float64Array) =>
    u.map((value, k) => {
      const i = k % n;
      if (i === 0) return (f[i] * (u[k + 1] - value)) / step;
      if (i === n - 1) return (f[i] * (value - u[k - 1])) / step;
      return (
        (f[i] * (u[k + 1] - u[k - 1])) / (2 * step) +
        (half[i] * (u[k + 1] - 2 * value + u[k - 1])) / step ** 2
      );
    });
  const [, u] = odeint(field, [...x, ...x.map((at) => at * at)], [0, dt], { rtol: 1e-7, atol: 1e-9 });
  const coarse: Diffusion = {
    drift: (at) => (u[node(at) / 4] - at) / dt,
    diffusion: (at) => Math.sqrt((u[n + node(at) / 4] - u[node(at) / 4] ** 2) / dt),
  };
  return spread(x, coarse);
}

/** Straight lines from every fourth node to all of them. */
function spread(x: number[], { drift, diffusion }: Diffusion): Moments {
  const all = (of: (at: number) => number) => {
    const values = x.map(of);
    return grid.map((_, i) => {
      const [k, part] = [Math.floor(i / 4), (i % 4) / 4];
      return values[k] + (part === 0 ? 0 : part * (values[k + 1] - values[k]));
    });
  };
  return { drift: all(drift), diffusion: all(diffusion) };
}
