/**
 * The derivatives of tanh up to the seventh, by nested gradients, beside their closed forms, and what tfjs gives without
 * the repair of its gradients that importing this package makes.
 *
 * Run it with `npm run example high_derivatives`. The picture lands in out/.
 */
import * as Plot from '@observablehq/plot';
import { embeddedBackend } from './lib/backend.js';
import {
  derivativeInSum,
  exactDerivative,
  largestError,
  nestedDerivative,
  withStockGradients,
} from './lib/high_derivatives.js';
import { colors, savePlot, type Figure, type Panel } from './lib/plot.js';

const { description } = await embeddedBackend('cpu');
const started = performance.now();
console.log(`backend: ${description}\n`);

const points = Array.from({ length: 301 }, (_, i) => -3 + (6 * i) / 300);
const orders = [1, 2, 3, 4, 5, 6, 7];

console.log('errors are relative to the largest value\n');
console.log('order   largest value   with tfjs-diffeq   tfjs alone, in a sum   tfjs alone');
const alone = (n: number): string => {
  try {
    return largestError(
      n,
      points,
      withStockGradients(() => nestedDerivative(n, points)),
    ).toExponential(1);
  } catch {
    return 'throws';
  }
};
const derivatives = orders.map((n) => {
  const exact = points.map((x) => exactDerivative(n, x));
  const repaired = nestedDerivative(n, points);
  const stock = withStockGradients(() => derivativeInSum(n, points));
  const errors = { repaired: largestError(n, points, repaired), stock: largestError(n, points, stock) };
  const cells = [
    Math.max(...exact.map(Math.abs))
      .toFixed(3)
      .padStart(15),
    errors.repaired.toExponential(1).padStart(18),
    errors.stock.toExponential(1).padStart(22),
    alone(n).padStart(12),
  ];
  console.log(`${String(n).padStart(5)} ${cells.join(' ')}`);
  return { n, exact, repaired, stock, errors };
});

const { blue, vermilion: red } = colors;
const pale = '#c4c4c4';
const margins = { marginLeft: 52, marginBottom: 38, marginTop: 14, marginRight: 14 };
const ordinals = ['First', 'Second', 'Third', 'Fourth', 'Fifth', 'Sixth', 'Seventh'];

function derivativePanel({ n, exact, repaired, stock }: (typeof derivatives)[number]): Panel {
  const rows = points.map((x, i) => ({ x, exact: exact[i], repaired: repaired[i], stock: stock[i] }));
  const high = 1.25 * Math.max(...exact.map(Math.abs));
  const line = (y: 'exact' | 'repaired' | 'stock', stroke: string, strokeWidth: number) =>
    Plot.line(rows, { x: 'x', y, stroke, strokeWidth });
  return {
    ...{ ...margins, width: 275, height: 230, title: `${ordinals[n - 1]} derivative` },
    x: { label: 'x', domain: [-3, 3], ticks: 6 },
    y: { label: null, domain: [n === 1 ? -0.25 : -high, high], ticks: 5, grid: true },
    clip: true,
    marks: [
      Plot.ruleY([0], { strokeWidth: 0.8 }),
      line('exact', pale, 7),
      line('stock', red, 1.6),
      line('repaired', blue, 2.2),
    ],
  };
}

function errorPanel(): Panel {
  const decades = [1e-8, 1e-6, 1e-4, 1e-2, 1];
  const line = (key: 'repaired' | 'stock', stroke: string) => {
    const rows = derivatives.map(({ n, errors }) => ({ n, error: Math.max(errors[key], 1e-8) }));
    const at = { x: 'n', y: 'error' } as const;
    return [
      Plot.line(rows, { ...at, stroke, strokeWidth: 2 }),
      Plot.dot(rows, { ...at, r: 3.6, fill: stroke, stroke: 'white' }),
    ];
  };
  return {
    ...{ ...margins, width: 275, height: 230, title: 'Largest error, relative' },
    x: { label: 'order', domain: [0.6, 7.4], ticks: 7 },
    y: { type: 'log', label: null, domain: [1e-8, 10] },
    marks: [
      Plot.gridY(decades),
      Plot.axisY(decades, { tickFormat: (x: number) => x.toExponential(0) }),
      ...line('stock', red),
      ...line('repaired', blue),
    ],
  };
}

const panels = [...derivatives.map(derivativePanel), errorPanel()];
const picture: Figure = {
  title: 'Seven derivatives of tanh, by gradients of gradients',
  subtitle:
    'tf.grad(tf.grad(... tf.tanh)), in float32; importing tfjs-diffeq repairs what tfjs gets wrong from the second on',
  legend: [
    { label: 'closed form', color: pale, mark: 'area' },
    { label: 'with tfjs-diffeq', color: blue },
    { label: 'tfjs alone, tanh in a sum: restoreStockGradients()', color: red },
  ],
  rows: [panels.slice(0, 4), panels.slice(4)],
  caption:
    'Closed form: polynomials of tanh x, P(n+1) = P(n)\u2032 (1 \u2212 tanh² x). tfjs alone: derivatives of tanh x + x⁸/8!, ' +
    'less those of the power, which are right; of tanh by itself the second derivative throws.',
};
const { png, svg } = savePlot('high_derivatives', picture);
console.log(`\npicture:\n  ${png}, ${svg}`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
