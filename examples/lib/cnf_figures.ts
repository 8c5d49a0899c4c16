/** The pictures of the flow between a normal distribution and two circles. */
import * as Plot from '@observablehq/plot';
import { animatedPng, type Frame } from './apng.js';
import { carried, lattice, logDensities, type Flow, type Solver } from './cnf.js';
import { pixels, type Colour } from './pixels.js';
import { colors, type Figure, type Panel } from './plot.js';
import { meanLogDensity, radialDensity } from './two_circles.js';

/** The flow at one time: its density on a square lattice, and where some samples are. */
export interface Snapshot {
  t: number;
  density: Float32Array;
  samples: number[][];
}

const side = 100;
const times = Array.from({ length: 25 }, (_, i) => i / 24);
const solver: Solver = { method: 'rk4_classic', stepSize: 1 / 8 };

/** The density is traced back to `t = 0` from a lattice over `|x|, |y| < half`, at each time anew. */
export function snapshots(flow: Flow, normals: number[][], half: number): Snapshot[] {
  let samples = normals;
  return times.map((t, i) => {
    if (i > 0) samples = carried(flow, samples, times[i - 1], t);
    return { t, density: logDensities(flow, lattice(half, side), solver, t).map(Math.exp), samples };
  });
}

const shades = 40;
const scale = Plot.scale({ color: { type: 'linear', scheme: 'magma', domain: [0, 1] } })!;
const rgb = (color: string) =>
  (color.startsWith('#')
    ? [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16))
    : color.match(/\d+/g)!.map(Number)) as unknown as Colour;
const palette = [
  ...Array.from({ length: shades }, (_, i) => rgb(String(scale.apply(i / (shades - 1))))),
  ...['#ffffff', colors.sky, colors.orange].map(rgb),
];
const [white, inner, outer] = [shades, shades + 1, shades + 2];

/* The densities of a ring are tall and those of the normal distribution flat: the root shows both. */
const shade = (density: number) => Math.min(shades - 1, Math.floor(shades * Math.sqrt(density / 1.25)));

/** The density at every pixel of a square, from its lattice by linear interpolation. */
function drawDensity(
  { density }: Snapshot,
  size: number,
  set: (x: number, y: number, color: number) => void,
) {
  const place = (i: number) => (i * (side - 1)) / (size - 1);
  const at = (column: number, row: number) =>
    density[Math.min(row, side - 1) * side + Math.min(column, side - 1)];
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const [i, j] = [Math.floor(place(x)), Math.floor(place(y))];
      const [a, b] = [place(x) - i, place(y) - j];
      const upper = (1 - a) * at(i, j) + a * at(i + 1, j);
      const lower = (1 - a) * at(i, j + 1) + a * at(i + 1, j + 1);
      set(x, y, shade((1 - b) * upper + b * lower));
    }
  }
}

/** An animated PNG: the density, and beside it samples, coloured by the half of the distribution in which they began. */
export function animation(frames: Snapshot[], half: number, size = 280): Buffer {
  const [width, gap] = [2 * size + 8, 8];
  const start = frames[0].samples.map(([x, y]) =>
    Math.hypot(x, y) < Math.sqrt(2 * Math.LN2) ? inner : outer,
  );
  const pages = frames.map((snapshot): Frame => {
    const page = new Uint8Array(width * size).fill(white);
    drawDensity(snapshot, size, (x, y, color) => (page[y * width + x] = color));
    snapshot.samples.forEach(([x, y], i) => {
      const [column, row] = [x, -y].map((v) => Math.round(((v / half + 1) / 2) * (size - 1)));
      if (column < 0 || row < 0 || column > size - 2 || row > size - 2) return;
      const at = row * width + size + gap + column;
      for (const corner of [0, 1, width, width + 1]) page[at + corner] = start[i];
    });
    return page;
  });
  const seconds = pages.map((_, i) => (i === 0 ? 0.8 : i === pages.length - 1 ? 2 : 0.09));
  return animatedPng(pages, { width, height: size, palette }, seconds);
}

const { blue, vermilion: red, ink, grey } = colors;
const margins = { marginLeft: 56, marginBottom: 42, marginTop: 26, marginRight: 20 };

function densityPanel(snapshot: Snapshot, half: number): Panel {
  const size = 200;
  const image = new Uint8Array(size * size);
  drawDensity(snapshot, size, (x, y, color) => (image[y * size + x] = color));
  const src = pixels(image, size, (index) => palette[index], 1);
  const [width, marginLeft, marginTop] = [212, 6, 6];
  return {
    ...{ width, height: width, marginLeft, marginTop, marginRight: 6, marginBottom: 6 },
    title: `t = ${snapshot.t}`,
    x: { domain: [-half, half], axis: null },
    y: { domain: [-half, half], axis: null },
    marks: [
      Plot.image([{ src }], {
        ...{
          src: 'src',
          x: 0,
          y: 0,
          width: size,
          height: size,
          preserveAspectRatio: 'none',
          imageRendering: 'optimizeSpeed',
        },
      }),
    ],
  };
}

function radiusPanel(samples: number[][]): Panel {
  const radii = samples.map(([x, y]) => ({ r: Math.hypot(x, y) }));
  const curve = Array.from({ length: 301 }, (_, i) => ({
    r: 1.5 * (i / 300),
    p: radialDensity(1.5 * (i / 300)),
  }));
  const width = 0.025;
  const density = (bin: unknown[]) => bin.length / samples.length / width;
  return {
    ...{ ...margins, width: 350, height: 280, title: `Radius of ${samples.length} samples` },
    x: { label: 'distance from the middle', labelAnchor: 'center', domain: [0, 1.5], ticks: 4 },
    y: { label: 'density', domain: [0, 4], ticks: 5, grid: true },
    marks: [
      Plot.rectY(
        radii,
        Plot.binX(
          { y: density } as never,
          {
            ...{
              x: 'r',
              thresholds: Array.from({ length: 61 }, (_, i) => i * width),
              fill: blue,
              inset: 0.3,
            },
            fillOpacity: 0.55,
          } as never,
        ),
      ),
      Plot.line(curve, { x: 'r', y: 'p', stroke: ink, strokeWidth: 2 }),
      Plot.ruleY([0]),
    ],
  };
}

function lossPanel(losses: number[][]): Panel {
  const smooth = (values: number[]) =>
    values.map((_, i) => {
      const near = values.slice(Math.max(0, i - 5), i + 6);
      return { iteration: i + 1, log: -near.reduce((a, x) => a + x, 0) / near.length };
    });
  const line = (values: number[], stroke: string) =>
    Plot.line(smooth(values), { x: 'iteration', y: 'log', stroke, strokeWidth: 1.8, clip: true });
  return {
    ...{ ...margins, width: 350, height: 280, title: 'Training, means of 11 batches' },
    x: { label: 'iteration', labelAnchor: 'center', domain: [0, losses[0].length], ticks: 4 },
    y: { label: 'log-likelihood, nats', domain: [-2, -0.7], ticks: 6, grid: true },
    marks: [
      Plot.ruleY([meanLogDensity()], { stroke: ink, strokeWidth: 2, strokeDasharray: '5 4' }),
      line(losses[1], red),
      line(losses[0], blue),
    ],
  };
}

interface Row {
  name: string;
  below: number;
}

function tablePanel(rows: Row[]): Panel {
  const models = rows.slice(1);
  const stroke = ({ name }: Row) => (name.includes('Hutch') ? red : name.includes('exact') ? blue : grey);
  const ticks = [0.001, 0.01, 0.1, 1];
  return {
    ...{ ...margins, marginLeft: 158, width: 360, height: 280, title: 'Nats below the truth, held out' },
    x: { type: 'log', label: 'mean of log p true \u2212 log p', labelAnchor: 'center', domain: [0.001, 2] },
    y: { label: null, domain: models.map(({ name }) => name), tickSize: 0 },
    marks: [
      Plot.gridX(ticks),
      Plot.axisX(ticks, { tickFormat: String }),
      Plot.ruleY(models, { x1: 0.001, x2: 'below', y: 'name', stroke, strokeWidth: 2 }),
      Plot.dot(models, { x: 'below', y: 'name', r: 5, fill: stroke }),
      Plot.text(models, { x: 'below', y: 'name', text: (d: Row) => d.below.toFixed(3), dy: -12, fill: ink }),
    ],
  };
}

export interface Results {
  frames: Snapshot[];
  half: number;
  rows: Row[];
  samples: number[][];
  losses: number[][];
}

export const picture = ({ frames, half, rows, samples, losses }: Results): Figure => ({
  title: 'From a normal distribution to two circles: the density of a continuous normalizing flow',
  subtitle: 'Four blocks 2-32-2, trained to the highest likelihood; the true density of the circles is known',
  legend: [
    { label: 'flow, exact trace', color: blue },
    { label: "flow, Hutchinson's estimate", color: red },
    { label: 'truth', color: ink },
    { label: 'highest mean log-likelihood possible', color: ink, mark: 'dashed' },
  ],
  rows: [
    frames.filter((_, i) => i % 6 === 0).map((frame) => densityPanel(frame, half)),
    [radiusPanel(samples), lossPanel(losses), tablePanel(rows)],
  ],
  caption:
    'Densities by the flow trained with the exact trace, colour by their root. rk4_classic with 8 and 12 steps in turn, ' +
    'odeintAdjoint: checkpoint with quadrature; Adam.',
});
