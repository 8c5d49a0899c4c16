/**
 * The first gradients one takes: of a parabola, whose slope at 2 is 6, and of a network 10-20-1 that learns a function of ten
 * inputs from noisy samples. Its error on samples that were held back cannot be below the noise.
 *
 * Run it with `npm run example first_gradient`; `-- --full` takes five times as many epochs. The picture lands in out/.
 */
import * as Plot from '@observablehq/plot';
import * as tf from '@tensorflow/tfjs';
import { embeddedBackend } from './lib/backend.js';
import { draw, exactSlopes, Network, noise, rms, slopeOfParabola } from './lib/first_gradient.js';
import { colors, savePlot, type Figure, type Panel } from './lib/plot.js';
import { trainingProgress } from './lib/progress.js';

const { description } = await embeddedBackend('cpu');
const started = performance.now();
console.log(`backend: ${description}\n`);

const slope = slopeOfParabola(2);
console.log(`d(x² + 2x + 1)/dx at 2: ${slope} (exact: 6)\n`);

const epochs = process.argv.includes('--full') ? 500 : 100;
const [seen, heldBack] = [draw(4000, 11), draw(2000, 22)];
const network = new Network();
const errors: { epoch: number; seen: number; heldBack: number }[] = [];
const progress = trainingProgress('network', epochs);
const record = (epoch: number) => {
  errors.push({ epoch, seen: network.error(seen), heldBack: network.error(heldBack) });
  progress.update(epoch, errors.at(-1)!.heldBack ** 2);
};
try {
  record(0);
  network.fit(seen, epochs, 50, record);
} finally {
  progress.stop();
}
const last = errors.at(-1)!;
const floor = rms(tf.sub(heldBack.y, heldBack.clean));
const toTruth = rms(tf.sub(network.predict(heldBack.x), heldBack.clean));
const spread = rms(tf.sub(heldBack.y, tf.mean(heldBack.y)));
const [slopes, exact] = [network.meanSlopes(heldBack.x), exactSlopes(heldBack.x)];

console.log('\nrms error on 2000 samples that were held back');
const show = (name: string, value: number) => console.log(`  ${name.padEnd(46)}${value.toFixed(4)}`);
show('the mean of all', spread);
show('network', last.heldBack);
show('Friedman\u2019s function itself: the noise', floor);
show('network, less the function without noise', toTruth);
console.log(`  (on the 4000 it has seen: ${last.seen.toFixed(4)})`);
const difference = Math.max(...slopes.map((value, i) => Math.abs(value - exact[i])));
console.log(`\nmean gradient in the inputs: within ${difference.toFixed(2)} of the function's`);
console.log(`  network  ${Array.from(slopes, (x) => x.toFixed(2).padStart(6)).join(' ')}`);
console.log(`  exact    ${Array.from(exact, (x) => x.toFixed(2).padStart(6)).join(' ')}`);

const { blue, vermilion: red, orange, ink } = colors;
const pale = '#c4c4c4';
const margins = { marginLeft: 52, marginBottom: 42, marginTop: 26, marginRight: 22 };

function parabolaPanel(): Panel {
  const xs = Array.from({ length: 101 }, (_, i) => -3.5 + (8 * i) / 100);
  const curve = xs.map((x) => ({ x, y: (x + 1) ** 2 }));
  const tangent = [0.7, 3.8].map((x) => ({ x, y: 9 + slope * (x - 2) }));
  return {
    ...{ ...margins, width: 520, height: 290, title: `x² + 2x + 1, and its slope at 2: ${slope}` },
    x: { label: 'x', labelAnchor: 'center', domain: [-3.5, 4.5], ticks: 8 },
    y: { label: null, domain: [0, 25], ticks: 5, grid: true },
    clip: true,
    marks: [
      Plot.ruleY([0]),
      Plot.line(curve, { x: 'x', y: 'y', stroke: ink, strokeWidth: 2.2 }),
      Plot.line(tangent, { x: 'x', y: 'y', stroke: red, strokeWidth: 2.6 }),
      Plot.dot([{ x: 2, y: 9 }], { x: 'x', y: 'y', r: 5, fill: red, stroke: 'white' }),
    ],
  };
}

function errorPanel(): Panel {
  const ticks = [1, 2, 5];
  return {
    ...{ ...margins, width: 520, height: 290, title: 'Learning a function of ten inputs' },
    x: { label: 'epoch', labelAnchor: 'center', domain: [0, epochs], ticks: 5 },
    y: { type: 'log', label: 'rms error', domain: [0.9, 6] },
    marks: [
      Plot.gridY(ticks),
      Plot.axisY(ticks, { tickFormat: String }),
      Plot.ruleY([floor], { stroke: ink, strokeDasharray: '5 4', strokeWidth: 1.6 }),
      Plot.line(errors, { x: 'epoch', y: 'seen', stroke: orange, strokeWidth: 2 }),
      Plot.line(errors, { x: 'epoch', y: 'heldBack', stroke: blue, strokeWidth: 2.2 }),
    ],
  };
}

function predictionPanel(): Panel {
  const [predicted, clean] = [network.predict(heldBack.x).dataSync(), heldBack.clean.dataSync()];
  const points = Array.from({ length: 1000 }, (_, i) => ({ truth: clean[i], predicted: predicted[i] }));
  const range = { domain: [0, 30], ticks: 6 };
  return {
    ...{
      ...margins,
      width: 520,
      height: 330,
      title: 'Held back: network against the function without noise',
    },
    x: { ...range, label: 'function', labelAnchor: 'center' },
    y: { ...range, label: 'network', grid: true },
    marks: [
      Plot.line([0, 30], { x: [0, 30], y: [0, 30], stroke: pale, strokeWidth: 6 }),
      Plot.dot(points, { x: 'truth', y: 'predicted', r: 1.8, fill: blue, fillOpacity: 0.55 }),
    ],
  };
}

function slopePanel(): Panel {
  const rows = Array.from(slopes, (value, i) => ({ input: i + 1, value, exact: exact[i] }));
  return {
    ...{ ...margins, width: 520, height: 330, title: 'Mean gradient in each input' },
    x: { label: 'input', labelAnchor: 'center', domain: [0.4, 10.6], ticks: 10 },
    y: { label: null, domain: [-1, 11], ticks: 6, grid: true },
    marks: [
      Plot.rectY(rows, {
        x1: (d: { input: number }) => d.input - 0.3,
        x2: (d: { input: number }) => d.input + 0.3,
        y: 'exact',
        fill: pale,
      }),
      Plot.ruleY([0]),
      Plot.dot(rows, { x: 'input', y: 'value', r: 4.5, fill: blue, stroke: 'white' }),
    ],
  };
}

const picture: Figure = {
  title: 'First gradients: a parabola, and a network that learns a known function',
  subtitle:
    `network 10-20-1 on Friedman's function; rms error of samples held back ${last.heldBack.toFixed(3)}, of which noise ` +
    `${floor.toFixed(3)}; of the function without noise ${toTruth.toFixed(3)}`,
  legend: [
    { label: 'tf.grad', color: red },
    { label: 'network; error on samples held back', color: blue },
    { label: 'error on samples seen', color: orange },
    { label: 'noise', color: ink, mark: 'dashed' },
    { label: 'exact', color: pale, mark: 'area' },
  ],
  rows: [
    [parabolaPanel(), errorPanel()],
    [predictionPanel(), slopePanel()],
  ],
  caption:
    `10 sin(\u03c0 x1 x2) + 20 (x3 \u2212 1/2)² + 10 x4 + 5 x5 and noise of standard deviation ${noise}; inputs 6 to 10 do nothing. ` +
    '4000 samples seen, 2000 held back.',
};
const { png, svg } = savePlot('first_gradient', picture);
network.dispose();
console.log(`\npicture:\n  ${png}, ${svg}`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
