/** The picture of examples/neural_cde.ts. */
import * as Plot from '@observablehq/plot';
import { position, type Curve, type Observations } from './closed_curves.js';
import { evaluate, hermiteCubic, naturalCubic, throughGaps } from './control_path.js';
import { colors, type Figure, type Panel } from './plot.js';

export interface NeuralCdeResults {
  held: Curve[];
  exact: number[];
  /** Of every part that is lost: what is seen, what both models say, and rms errors of paths (natural, Hermite) and models. */
  table: {
    dropped: number;
    seen: Observations;
    found: number[];
    baseline: number[];
    paths: number[];
    errors: number[];
  }[];
  cdeLosses: number[];
  gatedLosses: number[];
  /** Batches of one pass through the curves. */
  pass: number;
  /** The rms of the areas. */
  spread: number;
}

const { blue, vermilion: red, green, ink, grey } = colors;
const pale = '#c4c4c4';
const margins = { marginLeft: 56, marginBottom: 42, marginTop: 26, marginRight: 20 };
const shown = 7;
/** The row with half of the observations lost. */
const half = ({ table }: NeuralCdeResults) => table.find(({ dropped }) => dropped === 0.5)!;

function curvePanel(results: NeuralCdeResults): Panel {
  const { held } = results;
  const { grid, values } = half(results).seen;
  const seen = values[shown];
  const fine = Array.from({ length: 401 }, (_, i) => i / 400);
  const at = { x: 'x', y: 'y' } as const;
  const through = (by: typeof naturalCubic) => {
    const [x, y] = seen.map((values) => throughGaps(by, grid, values));
    return fine.map((t) => ({ x: evaluate(grid, x, t).x, y: evaluate(grid, y, t).x }));
  };
  const exactly = fine.map((t) => position(held[shown], t)).map(([x, y]) => ({ x, y }));
  const points = grid.map((t, i) => {
    const [x, y] = position(held[shown], t);
    return { x, y, known: seen.filter((values) => !Number.isNaN(values[i])).length };
  });
  const both = points.filter(({ known }) => known === 2);
  const one = points.filter(({ known }) => known === 1);
  return {
    ...{ ...margins, width: 400, height: 340, title: 'A curve, half of each coordinate lost' },
    x: { label: 'x', labelAnchor: 'center', ticks: 5 },
    y: { label: 'y', ticks: 5 },
    marks: [
      Plot.line(exactly, { ...at, stroke: pale, strokeWidth: 6, curve: 'linear' }),
      Plot.line(through(hermiteCubic), { ...at, stroke: green, strokeWidth: 1.6 }),
      Plot.line(through(naturalCubic), { ...at, stroke: blue, strokeWidth: 1.6 }),
      Plot.dot(one, { ...at, r: 3, fill: 'white', stroke: ink, strokeWidth: 1.2 }),
      Plot.dot(both, { ...at, r: 3, fill: ink }),
    ],
  };
}

function scatterPanel(results: NeuralCdeResults): Panel {
  const { exact } = results;
  const row = half(results);
  const points = (found: number[]) => found.map((area, i) => ({ exact: exact[i], area }));
  const at = { x: 'exact', y: 'area', r: 1.8, fillOpacity: 0.7 } as const;
  const domain = [-6, 6];
  return {
    ...{ ...margins, width: 360, height: 340, title: `Areas of ${exact.length} such curves held back` },
    x: { label: "exact, by Green's theorem", labelAnchor: 'center', domain, ticks: 6, clamp: true },
    y: { label: 'found', domain, ticks: 6, clamp: true },
    marks: [
      Plot.line([{ v: -6 }, { v: 6 }], { x: 'v', y: 'v', stroke: pale, strokeWidth: 4 }),
      Plot.ruleX([0], { stroke: grey, strokeWidth: 0.5 }),
      Plot.ruleY([0], { stroke: grey, strokeWidth: 0.5 }),
      Plot.dot(points(row.baseline), { ...at, fill: red }),
      Plot.dot(points(row.found), { ...at, fill: blue }),
    ],
  };
}

function lostPanel({ table }: NeuralCdeResults): Panel {
  const rows = table.flatMap(({ dropped, paths, errors }) => [
    { dropped: 100 * dropped, error: paths[0], of: 'path', by: 'natural' },
    { dropped: 100 * dropped, error: paths[1], of: 'path', by: 'hermite' },
    { dropped: 100 * dropped, error: errors[0], of: 'cde', by: 'natural' },
    { dropped: 100 * dropped, error: errors[1], of: 'cde', by: 'hermite' },
    { dropped: 100 * dropped, error: errors[2], of: 'gated', by: 'gated' },
  ]);
  const curve = (of: string, by: string, stroke: string, dashed = false) => {
    const data = rows.filter((row) => row.of === of && row.by === by);
    const at = { x: 'dropped', y: 'error' } as const;
    return [
      Plot.line(data, { ...at, stroke, strokeWidth: 2, ...(dashed && { strokeDasharray: '6 4' }) }),
      Plot.dot(data, { ...at, r: 3, fill: stroke }),
    ];
  };
  const ticks = [0.001, 0.01, 0.1, 1];
  return {
    ...{ ...margins, width: 400, height: 300, title: 'Error of the area against what is lost' },
    x: { label: 'observations lost, %', labelAnchor: 'center', domain: [-4, 74], ticks: [0, 30, 50, 70] },
    y: { type: 'log', label: 'rms error', domain: [0.0003, 1] },
    marks: [
      Plot.gridY(ticks),
      Plot.axisY(ticks, { tickFormat: String }),
      ...curve('path', 'natural', blue, true),
      ...curve('path', 'hermite', green, true),
      ...curve('cde', 'hermite', green),
      ...curve('cde', 'natural', blue),
      ...curve('gated', 'gated', red),
    ],
  };
}

function lossPanel({ cdeLosses, gatedLosses, pass }: NeuralCdeResults): Panel {
  const smooth = (losses: number[]) =>
    losses.slice(pass).map((_, i) => ({
      part: (i + pass) / losses.length,
      loss: losses.slice(i, i + pass).reduce((sum, x) => sum + x, 0) / pass,
    }));
  const ticks = [0.01, 0.1, 1];
  const at = { x: 'part', y: 'loss', strokeWidth: 1.6 } as const;
  return {
    ...{ ...margins, width: 360, height: 300, title: 'Loss, running mean of one pass' },
    x: { label: 'part of the training', labelAnchor: 'center', domain: [0, 1], ticks: 5, tickFormat: '%' },
    y: { type: 'log', label: 'mean squared error of the area', domain: [0.004, 4] },
    marks: [
      Plot.gridY(ticks),
      Plot.axisY(ticks, { tickFormat: String }),
      Plot.line(smooth(gatedLosses), { ...at, stroke: red }),
      Plot.line(smooth(cdeLosses), { ...at, stroke: blue }),
    ],
  };
}

export function neuralCdeFigure(results: NeuralCdeResults): Figure {
  const row = half(results);
  return {
    title: 'A neural CDE measures areas from irregular observations with gaps',
    subtitle:
      `half of each coordinate lost: rms error ${row.errors[0].toFixed(3)} of areas of ${results.spread.toFixed(2)} rms; ` +
      `gated recurrent unit ${row.errors[2].toFixed(3)}`,
    legend: [
      { label: 'natural cubic spline', color: blue },
      { label: 'Hermite, backward differences', color: green },
      { label: 'gated recurrent unit', color: red },
      { label: 'the path itself', color: ink, mark: 'dashed' },
      { label: 'truth', color: pale, mark: 'area' },
      { label: 'both coordinates seen', color: ink, mark: 'dot' },
      { label: 'one seen', color: ink, mark: 'ring' },
    ],
    rows: [
      [curvePanel(results), scatterPanel(results)],
      [lostPanel(results), lossPanel(results)],
    ],
    caption:
      'dz = f(z) dX, f a network 8-32-16, X a cubic path through what was seen. Dashed: the exact area of that path, beside the ' +
      'truth.\nOne network for all parts lost and for both kinds of paths. rk4_classic, odeintAdjoint: checkpoint; Adam.',
  };
}
