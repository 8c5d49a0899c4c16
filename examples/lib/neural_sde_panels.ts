/** What the neural SDE is compared in, and the lower panels of its picture: errors, times, orders. */
import * as Plot from '@observablehq/plot';
import { type Diffusion, type Estimate } from './diffusion_theory.js';
import { type Likelihood, type Record } from './neural_sde.js';
import { colors, type Panel } from './plot.js';
import { type SchemeErrors } from './sde.js';

export interface Fit {
  name: string;
  by: Likelihood;
  dt: number;
  /** Of the log-likelihood of the record, over the truth's. */
  gain: number;
  learned: Diffusion;
  density: number[];
}

interface Split {
  error: number;
  /** For an endless record. */
  bias?: number;
}

export interface SchemeRow {
  name: string;
  sampled: (SchemeErrors & { standardError: number })[];
  exact: SchemeErrors[];
}

export interface Results {
  record: Record;
  /** By Euler's likelihood, the interval halved each time, and last by moments. */
  fits: Fit[];
  errors: { drift: Split; diffusion: Split }[];
  schemes: SchemeRow[];
  h: number[];
  truth: Diffusion;
  density: number[];
  /** Mean first-passage times to the right and back: of the truth, and of each fit. */
  passages: number[][];
  simulated: { [key in 'truth' | 'learned']: Estimate[] };
  /** Of the last fit's stationary density. */
  sample: number[];
}

const { blue, vermilion: red, orange, green, sky, ink, grey } = colors;
/** Of the fits. */
export const hues = [orange, sky, blue, red];
export const margins = { marginLeft: 56, marginBottom: 42, marginTop: 26, marginRight: 20 };
export const third = { ...margins, width: 347, height: 290 };

export function biasPanel({ fits, errors }: Results): Panel {
  const euler = fits.map(({ by, dt }, i) => ({ by, dt, i })).filter(({ by }) => by === 'euler');
  const keys = ['drift', 'diffusion'] as const;
  const predicted = keys.flatMap((key) => euler.map(({ dt, i }) => ({ dt, y: errors[i][key].bias, key })));
  const learned = keys.flatMap((key) =>
    fits.map(({ dt }, i) => ({ dt, y: errors[i][key].error, key, hue: hues[i] })),
  );
  const ends = predicted.filter(({ dt }) => dt === euler[2].dt);
  return {
    ...{ ...third, title: 'Errors of f and \u03c3 by interval' },
    x: {
      type: 'log',
      label: 'time between observations',
      labelAnchor: 'center',
      domain: [0.033, 0.28],
      ticks: [0.05, 0.1, 0.2],
      tickFormat: String,
    },
    y: {
      type: 'log',
      label: 'rms over the stationary density',
      domain: [0.006, 0.25],
      ticks: [0.01, 0.02, 0.05, 0.1, 0.2],
      tickFormat: String,
      grid: true,
    },
    color: { type: 'identity' },
    marks: [
      Plot.line(predicted, {
        x: 'dt',
        y: 'y',
        z: 'key',
        stroke: ink,
        strokeWidth: 1.5,
        strokeDasharray: '6 4',
      }),
      Plot.text(ends, {
        x: 'dt',
        y: 'y',
        text: ({ key }: { key: string }) => (key === 'drift' ? 'f' : '\u03c3'),
        dx: -14,
        fontSize: 14,
      }),
      Plot.dot(learned, {
        x: 'dt',
        y: 'y',
        fill: 'hue',
        stroke: 'white',
        r: 5.5,
        symbol: ({ key }: { key: string }) => (key === 'drift' ? 'circle' : 'square'),
      }),
    ],
    symbol: { type: 'identity' },
  };
}

export function passagePanel({ passages, simulated }: Results): Panel {
  const names = ['truth', 'dt 0.2', 'dt 0.1', 'dt 0.05', 'moments'];
  const bars = passages.flatMap((times, i) =>
    times.map((time, k) => ({ name: names[i], time, way: k, hue: [grey, ...hues][i] })),
  );
  const marks = [simulated.truth, simulated.learned].flatMap((pair, i) =>
    pair.map(({ mean, standardError }, way) => ({
      ...{ name: i === 0 ? names[0] : names[4], way, mean },
      ...{ low: mean - 2 * standardError, high: mean + 2 * standardError },
    })),
  );
  const side = (way: number) =>
    way === 0 ? { insetLeft: 3, insetRight: 26 } : { insetLeft: 26, insetRight: 3 };
  return {
    ...{ ...third, title: 'Mean time to the other well' },
    x: { label: null, domain: names, padding: 0.06 },
    y: { label: '\u22121 to 1 (left bar), and back (right bar)', domain: [0, 50], ticks: 5, grid: true },
    color: { type: 'identity' },
    marks: [
      ...[0, 1].map((way) =>
        Plot.barY(
          bars.filter((bar) => bar.way === way),
          { x: 'name', y: 'time', fill: 'hue', fillOpacity: way === 0 ? 0.85 : 0.5, ...side(way) },
        ),
      ),
      ...[0, 1].flatMap((way) => {
        const some = marks.filter((mark) => mark.way === way);
        const dx = way === 0 ? -12 : 12;
        return [
          Plot.ruleX(some, { x: 'name', y1: 'low', y2: 'high', stroke: ink, strokeWidth: 1.5, dx }),
          Plot.dot(some, { x: 'name', y: 'mean', stroke: ink, fill: 'white', r: 3, dx }),
        ];
      }),
      Plot.ruleY(passages[0], { stroke: grey, strokeDasharray: '5 4' }),
      Plot.ruleY([0]),
    ],
  };
}

export function orderPanel({ schemes, h }: Results): Panel {
  const tones = [blue, green, red];
  // On a logarithmic axis Plot would leave out most labels
  const place = (step: number) => Math.log2(step);
  const rows = schemes.flatMap(({ sampled, exact }, s) =>
    h.map((step, i) => ({
      x: place(step),
      sampled: sampled[i].strong,
      exact: exact[i].strong,
      tone: tones[s],
    })),
  );
  const labels = schemes.map(({ name, exact }, s) => ({
    name,
    x: place(h[2]),
    y: exact[2].strong,
    tone: tones[s],
  }));
  const beside = (chosen: typeof labels, options: Plot.TextOptions) =>
    Plot.text(chosen, { x: 'x', y: 'y', text: 'name', fill: 'tone', ...options });
  return {
    ...{ ...third, title: 'Strong errors of the schemes' },
    x: {
      ...{ label: 'step', labelAnchor: 'center', domain: [place(1 / 320), place(1 / 11)] },
      ...{ ticks: h.map(place), tickFormat: (x: number) => `1/${Math.round(2 ** -x)}` },
    },
    y: {
      ...{ type: 'log', label: 'rms error, geometric Brownian motion', domain: [0.001, 1], grid: true },
      ...{ ticks: [0.001, 0.01, 0.1, 1], tickFormat: String },
    },
    color: { type: 'identity' },
    marks: [
      Plot.line(rows, { x: 'x', y: 'exact', z: 'tone', stroke: 'tone', strokeWidth: 1.5 }),
      Plot.dot(rows, { x: 'x', y: 'sampled', fill: 'tone', stroke: 'white', r: 4.5 }),
      beside(labels.slice(0, 1), { textAnchor: 'end', dx: -4, dy: -10 }),
      beside(labels.slice(1), { textAnchor: 'start', dx: 6, dy: 12 }),
    ],
  };
}
