/** The picture of examples/latent_ode.ts. */
import * as Plot from '@observablehq/plot';
import { noise, points, position, times, type SpiralSet } from './latent_ode.js';
import { colors, type Figure, type Panel } from './plot.js';

/** What was found of the spirals held back, with `n` observations of each. */
export interface Evaluation {
  n: number;
  between: number;
  beyond: number;
  /** [2 points][spirals][2]. */
  found: ArrayLike<number>;
  /** Means of q(z0). */
  codes: number[][];
  /** Indices of the times observed. */
  times: number[][];
}

export interface LatentOdeResults {
  held: SpiralSet;
  evaluations: Evaluation[];
  elbos: { iteration: number; elbo: number }[];
}

const { blue, vermilion: red, green, ink, grey, shade } = colors;
const pale = '#c4c4c4';
const margins = { marginLeft: 50, marginBottom: 40, marginTop: 24, marginRight: 16 };

function spiralPanel({ held, evaluations }: LatentOdeResults, b: number): Panel {
  const { n, found, times: seen } = evaluations[0];
  const spiral = held.spirals[b];
  const count = held.spirals.length;
  const at = { x: 'x', y: 'y' } as const;
  const exact = times.map((t) => position(spiral, t)).map(([x, y]) => ({ x, y }));
  const pair = (of: ArrayLike<number>) => (k: number) => {
    const i = 2 * (k * count + b);
    return { x: of[i], y: of[i + 1] };
  };
  const curve = times.map((_, k) => pair(found)(k));
  const limit = 6.2;
  return {
    ...{ ...margins, marginLeft: 30, width: 265, height: 265 },
    title: `${spiral.turn > 0 ? 'Counter-clockwise' : 'Clockwise'}, ${n} seen`,
    x: { label: null, domain: [-limit, limit], ticks: [-5, 0, 5] },
    y: { label: null, domain: [-limit, limit], ticks: [-5, 0, 5] },
    marks: [
      Plot.line(exact, { ...at, stroke: pale, strokeWidth: 5, curve: 'linear' }),
      Plot.line(curve.slice(0, points), { ...at, stroke: spiral.turn > 0 ? blue : red, strokeWidth: 2 }),
      Plot.line(curve.slice(points - 1), {
        ...{ ...at, stroke: spiral.turn > 0 ? blue : red, strokeWidth: 2, strokeDasharray: '5 4' },
      }),
      Plot.dot(seen[b].map(pair(held.observed)), { ...at, r: 2.2, fill: ink }),
    ],
  };
}

/** The two directions in which some rows, of mean zero, vary most, by power iteration. */
function principal(rows: number[][]): number[][] {
  const dot = (a: number[], b: number[]) => a.reduce((sum, x, j) => sum + x * b[j], 0);
  const found: number[][] = [];
  for (let rest = rows; found.length < 2;) {
    let axis = rest[0].map((_, j) => 1 / (j + 1));
    for (let i = 0; i < 200; i++) {
      const products = rest.map((row) => dot(row, axis));
      const next = axis.map((_, j) => rest.reduce((sum, row, k) => sum + products[k] * row[j], 0));
      axis = next.map((x) => x / Math.sqrt(dot(next, next)));
    }
    found.push(axis);
    rest = rest.map((row) => row.map((x, j) => x - dot(row, axis) * axis[j]));
  }
  return rows.map((row) => found.map((axis) => dot(row, axis)));
}

function codesPanel({ held, evaluations }: LatentOdeResults): Panel {
  const { codes, n } = evaluations[evaluations.length - 1];
  const mean = codes[0].map((_, j) => codes.reduce((sum, code) => sum + code[j], 0) / codes.length);
  const data = principal(codes.map((code) => code.map((x, j) => x - mean[j]))).map(([u, v], i) => ({
    ...{ u, v, turn: held.spirals[i].turn },
  }));
  return {
    ...{ ...margins, width: 350, height: 290, title: `Means of q(z0), ${n} seen` },
    x: { label: 'first principal component', labelAnchor: 'center', ticks: 5 },
    y: { label: 'second', ticks: 5 },
    marks: [
      Plot.dot(data, {
        x: 'u',
        y: 'v',
        r: 2.8,
        fill: ({ turn }: { turn: number }) => (turn > 0 ? blue : red),
      }),
    ],
  };
}

function errorPanel({ held, evaluations }: LatentOdeResults): Panel {
  const count = held.spirals.length;
  const strokes = [green, grey, ink];
  const rows = evaluations.map(({ n, found }) =>
    times.map((t, k) => {
      let sum = 0;
      for (let i = 2 * k * count; i < 2 * (k + 1) * count; i++) sum += (found[i] - held.exact[i]) ** 2;
      return { t, n, error: Math.sqrt(sum / (2 * count)) };
    }),
  );
  const end = times[points];
  const top = 0.1 + Math.max(...rows.flat().map(({ error }) => error));
  const text = (t: number, text: string) =>
    Plot.text([{ t, error: 0.97 * top, text }], { x: 't', y: 'error', text: 'text', fill: grey });
  return {
    ...{ ...margins, width: 360, height: 290, title: 'Error of all spirals held back' },
    x: { label: 'time', labelAnchor: 'center', domain: [0, 2 * end], ticks: 8 },
    y: { label: 'rms error of a coordinate', domain: [0, top], ticks: 5, grid: true },
    marks: [
      Plot.rectX([0], { x1: end, x2: 2 * end, fill: shade }),
      Plot.ruleY([noise], { stroke: grey, strokeDasharray: '4 4' }),
      ...rows.map((data, i) => Plot.line(data, { x: 't', y: 'error', stroke: strokes[i], strokeWidth: 2 })),
      text(end / 2, 'read'),
      text(1.5 * end, 'foretold'),
    ],
  };
}

function elboPanel({ elbos }: LatentOdeResults): Panel {
  const width = 15;
  const smooth = elbos.slice(width).map(({ iteration }, i) => ({
    iteration,
    elbo: elbos.slice(i, i + width).reduce((sum, { elbo }) => sum + elbo, 0) / width,
  }));
  const lowest = -10; // it begins far below
  const best = -Math.log(2 * Math.PI * noise ** 2) - 1;
  return {
    ...{ ...margins, width: 350, height: 290, title: 'Evidence lower bound, running mean' },
    x: { label: 'iteration', labelAnchor: 'center', domain: [0, elbos.length], ticks: 4 },
    y: { label: 'nats per observation', domain: [lowest, 1], ticks: 5, grid: true },
    marks: [
      Plot.ruleY([best], { stroke: grey, strokeDasharray: '4 4' }),
      Plot.line(
        smooth.filter(({ elbo }) => elbo > lowest),
        { x: 'iteration', y: 'elbo', stroke: ink, strokeWidth: 1.6 },
      ),
    ],
  };
}

export function latentOdeFigure(results: LatentOdeResults): Figure {
  const [sparse] = results.evaluations;
  return {
    title: 'Spirals read from a few noisy observations, and continued',
    subtitle:
      `${sparse.n} of 100 times seen with noise of ${noise}: rms error ${sparse.between.toFixed(2)} between them, ` +
      `${sparse.beyond.toFixed(2)} over the same length of time beyond`,
    legend: [
      { label: 'counter-clockwise', color: blue },
      { label: 'clockwise', color: red },
      { label: 'foretold', color: ink, mark: 'dashed' },
      { label: 'observed', color: ink, mark: 'dot' },
      { label: 'truth', color: pale, mark: 'area' },
      { label: '30 seen', color: green },
      { label: '50 seen', color: grey },
      { label: '100 seen', color: ink },
    ],
    rows: [
      [0, 1, 2, 3].map((b) => spiralPanel(results, b)),
      [codesPanel(results), errorPanel(results), elboPanel(results)],
    ],
    caption:
      'A recurrent network reads backward in time; a latent state of dimension 4, a network 4-20-4 its slope. Thin dashes: the ' +
      'noise, and the bound of a model\nthat knows every spiral. rk4_classic, odeintAdjoint: checkpoint; Adam.',
  };
}
