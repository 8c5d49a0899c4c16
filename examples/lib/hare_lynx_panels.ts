/** The panels that the hare-lynx pictures are composed of, and what they are drawn from: plain numbers. */
import * as Plot from '@observablehq/plot';
import { colors, type Panel } from './plot.js';

/** Pelts in thousands, year by year (a record) or at any times (a curve). */
export interface Populations {
  year: number[];
  hare: number[];
  lynx: number[];
}

/** `hare' = alpha hare - beta hare lynx`, `lynx' = -gamma lynx + delta hare lynx`. */
export interface Rates {
  alpha: number;
  beta: number;
  gamma: number;
  delta: number;
}

export interface Fit {
  /** Dense enough to look smooth: ten points a year will do. */
  curve: Populations;
  /** The last year that the training saw; what comes later is drawn as a forecast. */
  fittedTo: number;
  /** The loss (mean squared error of log populations) of every iteration, one entry per stage of the training. */
  training: { stage?: string; loss: number[] }[];
}

export interface HareLynxResults {
  record: Populations;
  lotkaVolterra: Fit & { rates: Rates };
  neuralOde: Fit;
  /** A forecast of the held-back years that uses no model, one point a year. */
  naive?: { name: string; forecast: Populations };
}

export const { blue, vermilion: red, ink, grey, shade } = colors;

type Animal = 'hare' | 'lynx';
type Point = Record<'year' | Animal, number>;

const points = ({ year, hare, lynx }: Populations): Point[] =>
  year.map((y, i) => ({ year: y, hare: hare[i], lynx: lynx[i] }));

/** One population over the years: the record, the fits and their forecasts. */
export function timePanel(results: HareLynxResults, animal: Animal, width: number, height: number): Panel {
  const { record, lotkaVolterra, neuralOde, naive } = results;
  const [left, right] = [record.year[0] - 0.4, record.year[record.year.length - 1] + 0.4];
  const at = { x: 'year', y: animal } as const;
  return {
    title: animal === 'hare' ? 'Hare' : 'Lynx',
    ...{ width, height, marginLeft: 52, marginBottom: 40 },
    x: { label: 'year', labelAnchor: 'center', domain: [left, right], tickFormat: 'd', ticks: 11 },
    y: { label: 'thousand pelts', domain: [0, ceiling(results, animal)], ticks: 5, grid: true },
    marks: [
      Plot.rectX([0], { x1: neuralOde.fittedTo + 0.5, x2: right, fill: shade }),
      Plot.ruleY([0]),
      ...trajectory(lotkaVolterra, at, blue),
      ...trajectory(neuralOde, at, red),
      Plot.dot(naive ? points(naive.forecast) : [], { ...at, r: 3.6, fill: 'white', stroke: grey }),
      Plot.dot(points(record), { ...at, r: 3.6, fill: ink, stroke: 'white' }),
    ],
  };
}

/** Lynx against hare, over the vector field of the fitted Lotka-Volterra model. */
export function phasePanel(results: HareLynxResults, width: number, height: number): Panel {
  const { record, lotkaVolterra, neuralOde } = results;
  const { alpha, beta, gamma, delta } = lotkaVolterra.rates;
  const [hareMax, lynxMax] = [ceiling(results, 'hare'), ceiling(results, 'lynx')];
  const scale = { hare: (width - 72) / hareMax, lynx: (height - 66) / lynxMax }; // pixels per thousand pelts
  const at = { x: 'hare', y: 'lynx' } as const;
  const equilibrium = { hare: gamma / delta, lynx: alpha / beta };
  const name = { ...at, fontSize: 11, textAnchor: 'start' } as const;
  return {
    ...{ width, height, marginLeft: 52, marginBottom: 42, marginTop: 24, marginRight: 20 },
    x: { label: 'hare (thousand pelts)', domain: [0, hareMax], labelAnchor: 'center' },
    y: { label: 'lynx (thousand pelts)', domain: [0, lynxMax] },
    length: { range: [0, 15] },
    marks: [
      Plot.vector(vectorField(lotkaVolterra.rates, hareMax, lynxMax, scale), {
        ...{ ...at, rotate: 'angle', length: 'length', stroke: '#b5c7d6', r: 2.5 },
      }),
      Plot.ruleX([0]),
      Plot.ruleY([0]),
      ...trajectory(lotkaVolterra, at, blue),
      ...trajectory(neuralOde, at, red),
      Plot.dot([equilibrium], { ...at, symbol: 'plus', stroke: blue, strokeWidth: 2, r: 5 }),
      Plot.text([equilibrium], { ...name, text: () => 'equilibrium', fill: blue, dx: 9, stroke: 'white' }),
      Plot.dot(points(record), { ...at, r: 3.2, fill: ink, stroke: 'white' }),
      Plot.text(points(record).filter(isPeak), {
        ...{ ...name, text: (d: Point) => `${d.year}`, fill: ink, stroke: 'white', dx: 7 },
      }),
    ],
  };
}

/** The losses of both trainings; a stage of a training has a line and a name of its own. */
export function lossPanel(
  { lotkaVolterra, neuralOde }: HareLynxResults,
  width: number,
  height: number,
): Panel {
  const at = { x: 'iteration', y: 'loss' } as const;
  const marks = ({ training }: Fit, color: string) => {
    let iteration = 0;
    return training.flatMap(({ stage, loss }) => {
      const curve = loss.map((value) => ({ iteration: ++iteration, loss: value }));
      const middle = curve.filter((_, i) => i === loss.length >> 1);
      const name = { text: () => stage ?? '', fill: color, fontSize: 12 };
      return [
        Plot.line(curve, { ...at, stroke: color, strokeWidth: 2 }),
        Plot.text(middle, { ...at, ...name, textAnchor: 'start', dx: 4, dy: -10 }),
      ];
    });
  };
  const losses = [lotkaVolterra, neuralOde].flatMap((fit) => fit.training.flatMap(({ loss }) => loss));
  const [low, high] = [Math.min(...losses) * 0.7, Math.max(...losses)];
  const decades = [];
  for (let d = Math.ceil(Math.log10(low)); 10 ** d <= high; d++) decades.push(Number(`1e${d}`));
  return {
    ...{ width, height, marginLeft: 58, marginBottom: 42 },
    x: { label: 'iteration', labelAnchor: 'center' },
    y: { type: 'log', label: 'mean squared error of log populations', domain: [low, high] },
    marks: [
      Plot.gridY(decades),
      Plot.axisY(decades, { tickFormat: String }),
      ...marks(lotkaVolterra, blue),
      ...marks(neuralOde, red),
    ],
  };
}

/** The part that was fitted as a solid line, the forecast dashed. */
function trajectory({ curve, fittedTo }: Fit, at: { x: string; y: string }, stroke: string): Plot.Markish[] {
  const style = { ...at, stroke, strokeWidth: 2.2, curve: 'catmull-rom' } as const;
  const fitted = points(curve).filter(({ year }) => year <= fittedTo);
  const forecast = points(curve).filter(({ year }) => year >= fittedTo);
  return [Plot.line(fitted, style), Plot.line(forecast, { ...style, strokeDasharray: '7 4' })];
}

/** The first year, and those in which one of the populations is at a height. */
function isPeak(point: Point, i: number, all: Point[]): boolean {
  const atHeight = (animal: Animal) =>
    point[animal] > 45 && [all[i - 1], all[i + 1]].every((other) => other?.[animal] < point[animal]);
  return i === 0 || atHeight('hare') || atHeight('lynx');
}

/** Directions as they look on the picture, clockwise from north. */
function vectorField(rates: Rates, hareMax: number, lynxMax: number, scale: Record<Animal, number>) {
  const { alpha, beta, gamma, delta } = rates;
  const arrows: { hare: number; lynx: number; angle: number; length: number }[] = [];
  const [dx, dy] = [34 / scale.hare, 34 / scale.lynx];
  for (let hare = dx / 2; hare < hareMax; hare += dx) {
    for (let lynx = dy / 2; lynx < lynxMax; lynx += dy) {
      const right = (alpha * hare - beta * hare * lynx) * scale.hare;
      const up = (delta * hare * lynx - gamma * lynx) * scale.lynx;
      const angle = (Math.atan2(right, up) * 180) / Math.PI;
      arrows.push({ hare, lynx, angle, length: Math.hypot(right, up) ** 0.4 });
    }
  }
  return arrows;
}

/** Somewhat above everything drawn of this population. */
function ceiling({ record, lotkaVolterra, neuralOde, naive }: HareLynxResults, animal: Animal): number {
  const drawn = [record, lotkaVolterra.curve, neuralOde.curve, ...(naive ? [naive.forecast] : [])];
  const top = Math.max(...drawn.flatMap((populations) => populations[animal]).filter(Number.isFinite));
  return top * 1.07;
}
