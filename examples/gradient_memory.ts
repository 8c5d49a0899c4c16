/**
 * How much memory a gradient takes: the most tensors and bytes that tfjs held during one, for 10 to 10000 steps of rk4 and
 * every way to differentiate them. docs/gradients.md has the table and the picture.
 *
 * Run it with `npm run example gradient_memory`.
 */
import * as Plot from '@observablehq/plot';
import * as tf from '@tensorflow/tfjs';
import { odeint, odeintAdjoint, type AdjointOptions } from 'tfjs-diffeq';
import { embeddedBackend } from './lib/backend.js';
import { peakMemory, type Peak } from './lib/peak_memory.js';
import { colors, savePlot, type Figure, type LegendEntry, type Panel } from './lib/plot.js';

const { description } = await embeddedBackend('cpu');
const started = performance.now();

/** A way to differentiate; no options: `odeint` under tfjs's tape. */
interface Way {
  name: string;
  adjoint?: AdjointOptions & { method?: 'reversible_heun' };
  color: string;
  dash?: string;
}
const ways: Way[] = [
  { name: 'tape', color: colors.vermilion },
  { name: 'checkpoint', adjoint: { adjoint: 'checkpoint' }, color: colors.blue },
  { name: 'interpolating', adjoint: { adjoint: 'interpolating' }, color: colors.orange, dash: '7 4' },
  { name: 'checkpoints: 10', adjoint: { adjoint: 'checkpoint', checkpoints: 10 }, color: colors.purple },
  { name: 'backsolve', adjoint: { adjoint: 'backsolve' }, color: colors.green, dash: '7 4' },
  { name: 'reversible', adjoint: { adjoint: 'reversible', method: 'reversible_heun' }, color: colors.ink },
];
const counts = [10, 100, 1000, 10000];

/** y' = tanh(y w + b), for 8 states of 16 numbers. */
const w = tf.variable(tf.randomNormal([16, 16], 0, 0.25, 'float32', 1)) as tf.Variable<tf.Rank.R2>;
const b = tf.variable(tf.zeros([16]));
const y0 = tf.randomNormal([8, 16], 0, 1, 'float32', 2);
let calls = 0;
const field = (_t: tf.Scalar, y: tf.Tensor): tf.Tensor => {
  calls++;
  return tf.tanh(tf.add(tf.matMul(y as tf.Tensor2D, w), b));
};

interface Measurement extends Peak {
  way: Way;
  steps: number;
  callsPerStep: number;
}

function measure(way: Way, steps: number): Measurement {
  const options = { method: 'rk4', stepSize: 1 / steps } as const;
  const solve = () =>
    way.adjoint
      ? odeintAdjoint(field, y0, [0, 1], { ...options, ...way.adjoint })
      : odeint(field, y0, [0, 1], options);
  const loss = () => tf.sum(tf.gather(solve(), 1)) as tf.Scalar;
  calls = 0;
  const peak = peakMemory(() => tf.tidy(() => void tf.variableGrads(loss, [w, b])));
  return { way, steps, ...peak, callsPerStep: calls / steps };
}

function print(measured: Measurement[]): void {
  const lookUp = (way: Way, steps: number) => measured.find((m) => m.way === way && m.steps === steps);
  const table = (title: string, show: (m: Measurement) => string) => {
    console.log(`\n${title.padEnd(34)}${counts.map((steps) => `${steps} steps`.padStart(13)).join('')}`);
    for (const way of ways) {
      const cells = counts.map((steps) => {
        const found = lookUp(way, steps);
        return (found ? show(found) : '').padStart(13);
      });
      console.log(`  ${way.name.padEnd(32)}${cells.join('')}`);
    }
  };
  table('peak of tensors', ({ tensors }) => `${tensors}`);
  table('peak of memory, MB', ({ bytes }) => (bytes / 1e6).toPrecision(3));
  table('calls of func per step', ({ callsPerStep }) => callsPerStep.toFixed(1));
}

function panel(measured: Measurement[], title: string, label: string, of: (m: Measurement) => number): Panel {
  const at = { x: 'steps', y: 'value' } as const;
  const curves = ways.map((way) => ({
    ...way,
    points: measured.filter((m) => m.way === way).map((m) => ({ steps: m.steps, value: of(m) })),
  }));
  const values = measured.map(of);
  const decades = [];
  for (let d = Math.floor(Math.log10(Math.min(...values))); d <= Math.log10(Math.max(...values)); d++)
    decades.push(Number(`1e${d}`));
  return {
    title,
    ...{ width: 460, height: 340, marginLeft: 66, marginBottom: 42, marginRight: 24 },
    x: { type: 'log' },
    y: { type: 'log', label, domain: [decades[0], Math.max(...values) * 1.4] },
    marks: [
      Plot.gridY(decades),
      Plot.axisY(decades, { tickFormat: (x: number) => x.toLocaleString('en') }),
      Plot.axisX(counts, {
        label: 'steps',
        labelAnchor: 'center',
        tickFormat: (x: number) => x.toLocaleString('en'),
      }),
      ...curves.flatMap(({ points, color, dash }) => [
        Plot.line(points, { ...at, stroke: color, strokeWidth: 2.4, strokeDasharray: dash }),
        Plot.dot(points, { ...at, r: 3.6, fill: color, stroke: 'white' }),
      ]),
    ],
  };
}

function picture(measured: Measurement[]): Figure {
  return {
    title: 'Memory of a gradient',
    legend: ways.map(({ name, color, dash }): LegendEntry => ({
      ...{ label: name, color, mark: dash ? 'dashed' : 'line' },
    })),
    rows: [
      [
        panel(measured, 'Tensors', 'most tensors at a time', ({ tensors }) => tensors),
        panel(measured, 'Bytes', 'most megabytes at a time', ({ bytes }) => bytes / 1e6),
      ],
    ],
    caption:
      'rk4 (reversible: reversible_heun), y\u2032 = tanh(y w + b), 8 states of 16 float32 numbers; forward and backward pass.',
  };
}

console.log(`backend: ${description}`);
const plan = counts.flatMap((steps) => ways.map((way) => ({ way, steps })));
const measured = plan.map(({ way, steps }) => {
  console.log(`measuring ${way.name}, ${steps} steps`);
  return measure(way, steps);
});
print(measured);
const { png, svg } = savePlot('gradient_memory', picture(measured));
console.log(`\npicture:\n  ${png}, ${svg}\n`);
console.log(`done in ${((performance.now() - started) / 1000).toFixed(0)} s`);
