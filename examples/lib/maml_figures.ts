/** The panels of the meta-learning example. */
import * as Plot from '@observablehq/plot';
import { colors, type Figure, type Panel } from './plot.js';

export type Curve = {
  iteration: number;
  before: number;
  after: number;
  seenBefore: number;
  seenAfter: number;
}[];

/** A training with one seed: expected returns after 0, 1, ... inner steps. */
export interface Run {
  curve: Curve;
  untrained: number[];
  /** Untrained, with an inner rate of 1. */
  longSteps: number[];
  final: number[];
}

/** Expected returns, one row per seed: before any inner step, after one, ..., after the last. */
export type Returns = Record<'untrained' | 'first' | 'second', number[][]>;
export type Reference = Returns & { iterations: number };

export interface Results {
  second: Run[];
  first: Run[];
  rows: [name: string, returns: number[]][];
  chance: number;
  planned: number;
  /** How many were held out. */
  tasks: number;
  optimum: number;
  ours: Returns;
  reference: Reference;
}

const { blue, vermilion: red, orange, green, sky, purple, ink, grey } = colors;
const margins = { marginLeft: 56, marginBottom: 42, marginTop: 26, marginRight: 20 };

const keys = ['before', 'after', 'seenBefore', 'seenAfter'] as const;

function average(runs: Run[]): object[] {
  return runs[0].curve.map(({ iteration }, i) => {
    const of = (key: (typeof keys)[number]) =>
      runs.reduce((sum, { curve }) => sum + curve[i][key], 0) / runs.length;
    return { iteration, ...Object.fromEntries(keys.map((key) => [key, of(key)])) };
  });
}

function curvesPanel({ second, first }: Results): Panel {
  const last = second[0].curve[second[0].curve.length - 1].iteration;
  const x = 'iteration';
  const lines = (runs: Run[], y: string, stroke: string) => [
    ...runs.map(({ curve }) => Plot.line(curve, { x, y, stroke, strokeWidth: 1, strokeOpacity: 0.35 })),
    Plot.line(average(runs), { x, y, stroke, strokeWidth: 2.8 }),
  ];
  const seen = (y: string, stroke: string) =>
    Plot.dot(average(second).slice(1), { x, y, fill: 'white', stroke, r: 3.5 });
  return {
    ...{
      ...margins,
      width: 1040,
      height: 320,
      title: 'Before and after one step, while the start is learned',
    },
    x: { label: 'outer iteration', labelAnchor: 'center', domain: [0, last], ticks: 10 },
    y: { label: 'expected sum of rewards', grid: true, ticks: 6, nice: true },
    marks: [
      ...lines(first, 'before', sky),
      ...lines(second, 'before', blue),
      ...lines(first, 'after', orange),
      ...lines(second, 'after', red),
      seen('seenBefore', blue),
      seen('seenAfter', red),
    ],
  };
}

const hues = [grey, green, orange, red];

function stepsPanel({ rows }: Results): Panel {
  const points = rows.flatMap(([name, returns]) => returns.map((value, step) => ({ name, value, step })));
  const hue = ({ name }: { name: string }) => hues[rows.findIndex((row) => row[0] === name)];
  return {
    ...{ ...margins, width: 350, height: 300, title: 'Several inner steps' },
    x: { label: 'inner steps', labelAnchor: 'center', ticks: 5, inset: 8 },
    y: { label: 'expected sum of rewards', grid: true, ticks: 6 },
    color: { type: 'identity' },
    marks: [
      Plot.line(points, { x: 'step', y: 'value', z: 'name', stroke: hue, strokeWidth: 2.2 }),
      Plot.dot(points, { x: 'step', y: 'value', fill: hue, r: 3.5 }),
    ],
  };
}

function referencePanel({ ours, reference }: Results): Panel {
  const names = { untrained: 'untrained', first: 'first order', second: 'second order' };
  const gains = (returns: Returns) =>
    (Object.keys(names) as (keyof Returns)[]).flatMap((key) =>
      returns[key].map((row) => ({ name: names[key], gain: row[1] - row[0] })),
    );
  return {
    ...{ ...margins, width: 330, height: 300, title: 'Gain of one step, each seed' },
    x: { label: null, domain: Object.values(names), padding: 0.5 },
    y: { label: 'gain in expected sum of rewards', grid: true, ticks: 6, zero: true, nice: true },
    marks: [
      Plot.ruleY([0]),
      Plot.dot(gains(reference), { x: 'name', y: 'gain', r: 4, stroke: ink, fill: 'white', dx: 10 }),
      Plot.dot(gains(ours), { x: 'name', y: 'gain', r: 4.5, fill: purple, dx: -10 }),
    ],
  };
}

function scalePanel({ rows, chance, planned, optimum }: Results): Panel {
  const final = rows[rows.length - 1][1];
  const bars = [
    { name: 'random', value: chance, fill: grey },
    { name: 'one step', value: final[1], fill: red },
    { name: `${final.length - 1} steps`, value: final[final.length - 1], fill: red },
    { name: 'model, plan', value: planned, fill: green },
    { name: 'best', value: optimum, fill: ink },
  ];
  return {
    ...{ ...margins, marginLeft: 84, marginRight: 44, width: 360, height: 300, title: 'How far that is' },
    x: { label: 'expected sum of rewards', labelAnchor: 'center', domain: [0, 22], ticks: 5 },
    y: { label: null, domain: bars.map(({ name }) => name), padding: 0.3 },
    color: { type: 'identity' },
    marks: [
      Plot.barX(bars, { x: 'value', y: 'name', fill: 'fill' }),
      Plot.text(bars, {
        x: 'value',
        y: 'name',
        text: (bar: { value: number }) => bar.value.toFixed(1),
        dx: 6,
        textAnchor: 'start',
      }),
      Plot.ruleX([0]),
    ],
  };
}

export function picture(results: Results): Figure {
  const [start, step] = results.rows[results.rows.length - 1][1];
  return {
    title: 'A start from which one step goes further: MAML on random Markov decision processes',
    subtitle:
      `on ${results.tasks} tasks held out, exactly: one policy-gradient step gains ${(step - start).toFixed(2)}, ` +
      `before meta-training ${(results.rows[0][1][1] - results.rows[0][1][0]).toFixed(2)}; the best policy has ${results.optimum.toFixed(1)}`,
    legend: [
      { label: 'before a step: second order,', color: blue },
      { label: 'first', color: sky },
      { label: 'after: second order,', color: red },
      { label: 'first', color: orange },
      { label: 'sampled, on the tasks of training', color: red, mark: 'ring' },
      { label: 'untrained', color: grey },
      { label: 'untrained, inner rate 1', color: green },
      { label: 'gain of a seed', color: purple, mark: 'dot' },
      { label: 'by PyTorch, with other random numbers', color: ink, mark: 'ring' },
    ],
    rows: [[curvesPanel(results)], [stepsPanel(results), referencePanel(results), scalePanel(results)]],
    caption:
      '10 states, 5 actions, horizon 10; 40 tasks of 20 trajectories per iteration; inner rate 0.1, outer Adam 0.001. Every ' +
      'policy that knows nothing of its task expects 10:\nonly what is learned after it has been seen can gain. ' +
      'Model, plan: value iteration on the posterior mean of the MDP after the same number of trajectories.',
  };
}
