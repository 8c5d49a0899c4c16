/** The picture of the physical networks: accuracies, trainings, kernels, and an image that a chain of oscillators filters. */
import * as Plot from '@observablehq/plot';
import { kernels, kernelTimes } from './physical_convolution.js';
import { trainings, type Noise, type Training } from './physical_network.js';
import { colors, type Figure, type Panel } from './plot.js';
import { mean } from './numbers.js';

/** One system on one task. */
export interface Result {
  system: string;
  task: string;
  seed: number;
  /** Relative difference between system and model. */
  off: number;
  /** Accuracy that the training in silico sees on its model. */
  believed: number;
  /** Accuracy on the system itself. */
  used: Record<Training, number>;
  losses: Record<Training, number[]>;
}

interface Convolution {
  before: number[];
  after: number[][];
  wanted: number[][];
  closed: number[][];
  rows: number[][];
  answer: number[][];
  ideal: number[][];
}

interface Findings {
  results: Result[];
  /** Accuracy of softmax regression on each task. */
  linear: Record<string, number>;
  /** That of the best classifier of the vowels. */
  bayes: number;
  convolution: Convolution;
  spread: number;
  noise: Noise;
}

const { blue, vermilion: red, green, orange, ink, grey } = colors;
const pale = '#c4c4c4';
const color: Record<Training, string> = { 'in silico': red, 'physics-aware': blue, ideal: pale };
const margins = { marginLeft: 56, marginBottom: 42, marginTop: 26, marginRight: 20 };

function accuraciesPanel({ results, linear, bayes }: Findings): Panel {
  const groups = [...new Set(results.map(({ system, task }) => `${system}, ${task}`))];
  const of = (group: string) => results.filter(({ system, task }) => `${system}, ${task}` === group);
  const bars = groups.flatMap((group) =>
    trainings.map((training) => ({
      group,
      training,
      accuracy: mean(of(group).map(({ used }) => used[training])),
    })),
  );
  const single = results.flatMap(({ system, task, used }) =>
    trainings.map((training) => ({ group: `${system}, ${task}`, training, accuracy: used[training] })),
  );
  const lines = groups.flatMap((group) => {
    const task = group.split(', ')[1];
    const softmax = { group, accuracy: linear[task], stroke: ink };
    return task === 'vowels' ? [softmax, { group, accuracy: bayes, stroke: green }] : [softmax];
  });
  const believed = groups.map((group) => ({
    group,
    training: 'in silico',
    accuracy: mean(of(group).map((r) => r.believed)),
  }));
  const at = { fx: 'group', x: 'training', y: 'accuracy' } as const;
  return {
    ...{ ...margins, width: 640, height: 290, title: 'Accuracy on samples held back' },
    fx: { label: null, domain: groups, padding: 0.12 },
    x: { axis: null, domain: trainings, padding: 0.1 },
    y: {
      domain: [0, 1],
      percent: false,
      label: null,
      ticks: 5,
      tickFormat: (v: number) => `${100 * v} %`,
      grid: true,
    },
    marks: [
      Plot.barY(bars, { ...at, fill: ({ training }: { training: Training }) => color[training] }),
      Plot.text(bars, {
        ...{ ...at, text: ({ accuracy }: { accuracy: number }) => (100 * accuracy).toFixed(1), dy: 12 },
        fill: ({ training }: { training: Training }) => (training === 'ideal' ? ink : 'white'),
      }),
      ...(single.length > bars.length ? [Plot.dot(single, { ...at, r: 2.2, fill: ink })] : []),
      Plot.tickY(believed, { ...at, stroke: red, strokeWidth: 2, strokeDasharray: '4 3' }),
      Plot.ruleY(lines, { fx: 'group', y: 'accuracy', stroke: 'stroke', strokeWidth: 1.6 }),
      Plot.ruleY([0]),
    ],
  };
}

function lossPanel({ results }: Findings): Panel {
  const { system, task, losses } = results.find((result) => result.system === 'circuit')!;
  const smooth = (x: number[]) =>
    x
      .map((_, i) => x.slice(Math.max(0, i - 4), i + 5))
      .map((near) => near.reduce((s, v) => s + v, 0) / near.length);
  const points = trainings.flatMap((training) =>
    smooth(losses[training]).map((loss, i) => ({ iteration: i + 1, loss, training })),
  );
  return {
    ...{ ...margins, width: 400, height: 290, title: `Loss in the training itself: ${system}, ${task}` },
    x: { label: 'iteration', labelAnchor: 'center', domain: [0, losses.ideal.length], ticks: 4 },
    y: { label: 'cross-entropy, mean of nine', domain: [0, 2.5], ticks: 5, grid: true },
    marks: [...trainings].reverse().map((training) =>
      Plot.line(
        points.filter((point) => point.training === training),
        {
          x: 'iteration',
          y: 'loss',
          stroke: color[training],
          strokeWidth: training === 'ideal' ? 5 : 1.8,
          clip: true,
        },
      ),
    ),
  };
}

function kernelPanel({ convolution: { before, after, wanted, closed } }: Findings): Panel {
  const rows = (values: number[]) => values.map((value, i) => ({ t: kernelTimes[i], value }));
  const at = { x: 't', y: 'value' } as const;
  const hues = [orange, blue, green];
  const places = [[3.2, 0.7], [2.9, -0.75], [2.45, 1.12]]; // prettier-ignore
  const names = kernels.map(({ name }, i) => ({ t: places[i][0], value: places[i][1], name, fill: hues[i] }));
  return {
    ...{ ...margins, width: 480, height: 300, title: 'Impulse responses of a chain of oscillators' },
    x: { label: 'time', labelAnchor: 'center', domain: [0, 8], ticks: 8 },
    y: { label: 'sum of deflections', domain: [-1, 1.25], ticks: 5, grid: true },
    marks: [
      Plot.ruleY([0]),
      Plot.line(rows(before), { ...at, stroke: grey, strokeDasharray: '5 4', clip: true }),
      ...wanted.map((values) => Plot.line(rows(values), { ...at, stroke: pale, strokeWidth: 6 })),
      ...closed.map((values, i) => Plot.line(rows(values), { ...at, stroke: hues[i], strokeWidth: 1.8 })),
      ...after.map((values, i) => Plot.dot(rows(values), { ...at, r: 2.4, fill: hues[i] })),
      Plot.text(names, { ...at, text: 'name', fill: 'fill', fontWeight: 'bold' }),
    ],
  };
}

function imagePanel(title: string, rows: number[][], symmetric: boolean): Panel {
  const cells = rows.flatMap((row, y) => row.map((value, x) => ({ x, y, value })));
  const most = Math.max(...cells.map(({ value }) => Math.abs(value)));
  return {
    ...{ width: 190, height: 216, marginLeft: 10, marginRight: 10, marginTop: 26, marginBottom: 20, title },
    x: { axis: null, domain: [0, 28] },
    y: { axis: null, domain: [28, 0] },
    color: symmetric
      ? { type: 'diverging', scheme: 'RdBu', domain: [-most, most] }
      : { scheme: 'Greys', domain: [0, most] },
    marks: [
      Plot.rect(cells, {
        x1: 'x',
        x2: ({ x }: { x: number }) => x + 1,
        y1: 'y',
        y2: ({ y }: { y: number }) => y + 1,
        fill: 'value',
        inset: -0.2,
      }),
    ],
  };
}

/** Of an answer the part that belongs to the image: the kernels look for what was 2 time units ago, 7 numbers. */
const inPlace = (rows: number[][]) => rows.map((row) => row.slice(7, 35));

export function picture(findings: Findings): Figure {
  const { convolution, spread, noise } = findings;
  return {
    title: 'A plate, a circuit and a crystal that classify',
    subtitle:
      'Two passes through a system with weights before each: gradients of a model that is off, taken where the system really was,\n' +
      'train it almost as well as its own gradients would',
    legend: [
      { label: 'trained on the model alone', color: red, mark: 'area' },
      { label: 'the same, on its model', color: red, mark: 'dashed' },
      { label: 'physics-aware', color: blue, mark: 'area' },
      { label: 'ideal / target', color: pale, mark: 'area' },
      { label: 'softmax regression', color: ink },
      { label: 'best possible', color: green },
    ],
    rows: [
      [accuraciesPanel(findings), lossPanel(findings)],
      [
        kernelPanel(findings),
        imagePanel('Scanned', convolution.rows, false),
        imagePanel('Edges: chain', inPlace(convolution.answer), true),
        imagePanel('Edges: target', inPlace(convolution.ideal), true),
      ],
    ],
    caption:
      `Every parameter of a system is off by ${100 * spread} % of its model's, with noise of ${noise.drive} in controls and readouts. ` +
      'rk4_classic, odeintAdjoint: checkpoint; Adam.\nBelow: dots by the solver, lines by the closed form, dashed before training; ' +
      'an image, line by line, drives the chain that looks for edges.',
  };
}
