/** The pictures of the spiral example, drawn from plain numbers: `savePictures(results)` writes all of them. */
import * as Plot from '@observablehq/plot';
import { colors, savePlot, type Figure, type LegendEntry, type Panel } from './plot.js';
import type { PlainField } from './spiral.js';

/** A vector field and the trajectory that it has from the demo's `y0`. */
export interface Learned {
  field: PlainField;
  y: ArrayLike<number>[];
}

export interface SpiralResults {
  times: number[];
  truth: Learned;
  /** The network at the evaluation with the lowest loss. */
  best: Learned & { iteration: number; loss: number };
  /** Iterations from one evaluation to the next; the first one is before training. */
  every: number;
  losses: number[];
  /** Losses of torchdiffeq: from the same start, and of all runs. */
  reference: { sameStart: number[]; runs: number[][] };
}

const { blue, vermilion: red, ink } = colors;
const band = '#c9d9e6';

/** Writes `out/spiral_{trajectory,field,loss}` and the overview `out/spiral`, as .svg and .png; returns the paths. */
export function savePictures(results: SpiralResults, folder = 'out'): { svg: string; png: string }[] {
  return [
    savePlot('spiral_trajectory', trajectoryFigure(results), folder),
    savePlot('spiral_field', fieldFigure(results), folder),
    savePlot('spiral_loss', lossFigure(results), folder),
    savePlot('spiral', overviewFigure(results), folder),
  ];
}

/** Both components over time. */
export function trajectoryFigure(results: SpiralResults): Figure {
  return {
    title: 'The spiral over time',
    legend: trajectoryLegend,
    rows: [[timePanel(results, 0, 960, 220)], [timePanel(results, 1, 960, 220)]],
    caption: drawn(results),
  };
}

/** Phase portraits over the vector fields, the learned one beside the truth. */
export function fieldFigure(results: SpiralResults): Figure {
  return {
    title: 'The spiral and its vector field',
    legend: trajectoryLegend,
    rows: [[phasePanel(results.truth, ink, 'Truth', 480), phasePanel(results.best, red, 'Learned', 480)]],
    caption: drawn(results),
  };
}

/** How the loss fell, beside torchdiffeq's. */
export function lossFigure(results: SpiralResults): Figure {
  return {
    title: 'Loss of the whole trajectory while training',
    legend: lossLegend(results),
    rows: [[lossPanel(results, 760, 400)]],
    caption: lossCaption,
  };
}

/** All of them in one picture. */
export function overviewFigure(results: SpiralResults): Figure {
  const size = 330;
  return {
    title:
      "torchdiffeq's spiral demo: a network learns y\u2032 = A y\u00b3 from short pieces of one trajectory",
    legend: [...trajectoryLegend, ...lossLegend(results)],
    rows: [
      [timePanel(results, 0, 545, 220), timePanel(results, 1, 545, 220)],
      [
        phasePanel(results.truth, ink, 'Truth', size),
        phasePanel(results.best, red, 'Learned', size),
        { ...lossPanel(results, 430, size), title: 'Loss while training' },
      ],
    ],
    caption: `${drawn(results)}\n${lossCaption}`,
  };
}

const trajectoryLegend: LegendEntry[] = [
  { label: 'truth', color: ink, mark: 'dot' },
  { label: 'tfjs-diffeq', color: red },
];

const lossLegend = ({ reference }: SpiralResults): LegendEntry[] => [
  { label: 'torchdiffeq, same weights and batches', color: blue },
  { label: `torchdiffeq, range of ${reference.runs.length} runs`, color: band, mark: 'area' },
];

const drawn = ({ best }: SpiralResults) =>
  `Learned: the evaluation with the lowest loss, ${best.loss.toFixed(3)} at iteration ${best.iteration}. ` +
  'Arrows: direction of the field; their length grows as its 0.4th power.';

const evaluations = 10;
const lossCaption =
  `Loss: mean |y \u2212 truth| over all of 0 \u2264 t \u2264 25. Dots: single evaluations; lines and band: mean of the last ` +
  `${evaluations} of them. Runs: five seeds, and four whose weights differ from the first by 1e-6 or 2e-6.`;

/** One component over time: the truth as dots that let the line be seen. */
function timePanel({ times, truth, best }: SpiralResults, i: 0 | 1, width: number, height: number): Panel {
  const points = ({ y }: Learned) => times.map((t, n) => ({ t, y: y[n][i] }));
  const at = { x: 't', y: 'y' } as const;
  return {
    title: i === 0 ? 'First component' : 'Second component',
    ...{ width, height, marginLeft: 40, marginBottom: 40, marginRight: 16 },
    x: { label: 't', labelAnchor: 'center', domain: [0, 25] },
    y: { label: `y${i + 1}`, domain: [-2.1, 2.1], ticks: 5, grid: true },
    marks: [
      Plot.line(points(best), { ...at, stroke: red, strokeWidth: 2.2, curve: 'catmull-rom' }),
      Plot.dot(
        points(truth).filter((_, n) => n % 5 === 0),
        { ...at, r: 1.5, fill: ink },
      ),
    ],
  };
}

const reach = 2.3;

function phasePanel({ field, y }: Learned, color: string, title: string, size: number): Panel {
  const margins = { marginLeft: 40, marginRight: 14, marginTop: 24, marginBottom: 42 };
  const at = { x: (point: number[]) => point[0], y: (point: number[]) => point[1] };
  return {
    title,
    ...{ width: size, height: size + 12, ...margins },
    x: { label: 'y1', labelAnchor: 'center', domain: [-reach, reach], ticks: 5 },
    y: { label: 'y2', domain: [-reach, reach], ticks: 5 },
    length: { domain: [0, 6], range: [0, 20], clamp: true },
    marks: [
      Plot.vector(arrows(field), {
        x: 'x',
        y: 'y',
        rotate: 'angle',
        length: 'length',
        stroke: '#9db4c6',
        r: 2.5,
      }),
      Plot.line(y, { ...at, stroke: color, strokeWidth: 1.8, curve: 'catmull-rom' }),
      Plot.dot([y[0]], { ...at, r: 3.6, fill: color, stroke: 'white' }),
    ],
  };
}

/** Directions clockwise from north. */
function arrows(field: PlainField) {
  const grid = Array.from({ length: 15 }, (_, i) => ((i - 7) * 2.1) / 7);
  return grid.flatMap((x) =>
    grid.map((y) => {
      const [right, up] = field(0, [x, y]);
      return { x, y, angle: (Math.atan2(right, up) * 180) / Math.PI, length: Math.hypot(right, up) ** 0.4 };
    }),
  );
}

function lossPanel(results: SpiralResults, width: number, height: number): Panel {
  const { every, reference } = results;
  const count = results.losses.length - 1;
  // The loss before training is far above the others.
  const trained = (values: number[]) => values.slice(1, count + 1);
  const curve = (values: number[]) => values.map((loss, i) => ({ iteration: (i + 1) * every, loss }));
  const [losses, sameStart] = [trained(results.losses), trained(reference.sameStart)];
  const runs = reference.runs.map((run) => runningMean(trained(run)));
  const range = losses.map((_, i) => {
    const all = runs.map((run) => run[i]);
    return { iteration: (i + 1) * every, low: Math.min(...all), high: Math.max(...all) };
  });
  const at = { x: 'iteration', y: 'loss' } as const;
  const ticks = [0.05, 0.1, 0.2, 0.4, 0.8];
  const highest = Math.max(...losses, ...sameStart, ...range.map(({ high }) => high), 0.9);
  return {
    ...{ width, height, marginLeft: 46, marginBottom: 42, marginTop: 24 },
    x: { label: 'iteration', labelAnchor: 'center', domain: [0, count * every], ticks: 5 },
    y: { type: 'log', base: 2, label: 'mean |y \u2212 truth|', domain: [0.05, highest * 1.05] },
    marks: [
      Plot.gridY(ticks),
      Plot.areaY(range, { x: 'iteration', y1: 'low', y2: 'high', fill: band }),
      Plot.axisY(ticks, { tickFormat: String }),
      Plot.dot(curve(sameStart), { ...at, r: 1.4, fill: blue }),
      Plot.dot(curve(losses), { ...at, r: 1.4, fill: red }),
      Plot.line(curve(runningMean(sameStart)), { ...at, strokeWidth: 2, stroke: blue }),
      Plot.line(curve(runningMean(losses)), { ...at, strokeWidth: 2, stroke: red }),
    ],
  };
}

/** Of the last ten values, of fewer at the beginning. */
function runningMean(values: number[]): number[] {
  return values.map((_, i) => {
    const last = values.slice(Math.max(0, i - evaluations + 1), i + 1);
    return last.reduce((sum, x) => sum + x, 0) / last.length;
  });
}
