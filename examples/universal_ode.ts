/**
 * A universal differential equation: the growth of a prey and the death of its predator are known, their interaction is a
 * network, learned from one short noisy record; least squares then reads an equation off the network.
 *
 * After Rackauckas et al., https://arxiv.org/abs/2001.04385. Run it with `npm run example universal_ode`; with `-- --full`
 * it trains five times as long. The picture lands in out/.
 */
import * as Plot from '@observablehq/plot';
import { embeddedBackend } from './lib/backend.js';
import { colors, savePlot, type Figure, type Panel } from './lib/plot.js';
import { trainingProgress } from './lib/progress.js';
import { minimize, type Numbers } from './lib/training.js';
import {
  bestSingle,
  candidates,
  observe,
  populations,
  regress,
  relativeErrors,
  trueInteraction,
  truth,
  UniversalTraining,
  y0,
} from './lib/universal_ode.js';
import { percent } from './lib/numbers.js';

const { description } = await embeddedBackend('cpu');
const started = performance.now();
console.log(`backend: ${description}`);
console.log('solver: rk4_classic, gradients by odeintAdjoint: checkpoint\n');

const longer = process.argv.includes('--full') ? 5 : 1;
const record = observe(41, 0.1, 0.05, 1);
const end = record.t[record.t.length - 1];
const training = new UniversalTraining(record);
const [rough, fine] = [200 * longer, 900 * longer];
const losses: number[] = [];
const progress = trainingProgress('interaction', rough + fine);
const each = (_i: number, loss: number) => progress.update(losses.push(loss), loss);
try {
  const pieces = () => training.lossOfPieces();
  minimize(pieces, training.weights, { iterations: rough, rate: 0.05, each });
  minimize(training.loss, training.variables, { iterations: fine, rate: 0.015, each });
} finally {
  progress.stop();
}
const learned = training.interaction();
const start = training.start;
training.dispose();

const grid = (to: number, count: number) => Array.from({ length: count + 1 }, (_, i) => (to * i) / count);
const along = populations(trueInteraction, y0, grid(end, 400));
const errors = relativeErrors(learned, along);
console.log(`\nlearned interaction along the true populations, relative rms error:`);
console.log(`  of the prey ${percent(errors[0])}, of the predator ${percent(errors[1])}`);

const states = populations(learned, start, grid(end, 400));
const values = [0, 1].map((i) => states.map((y) => learned(y)[i]));
const all = values.map((v) => regress(v, states));
const single = values.map((v) => bestSingle(v, states));
const exact = [-truth.beta, truth.delta];
const cell = (x: number) => x.toFixed(3).padStart(8);
console.log(
  `\nleast squares            ${candidates.map(({ name }) => name.padStart(8)).join('')}     left over`,
);
['prey', 'predator'].forEach((name, i) => {
  const row = (label: string, coefficients: number[], end = '') =>
    console.log(`  ${label.padEnd(23)}${coefficients.map(cell).join('')}${end}`);
  row(`${name}, all five`, all[i].coefficients, percent(all[i].residual).padStart(14));
  row(`${name}, best alone`, single[i].coefficients, percent(single[i].residual).padStart(14));
  row(
    `${name}, truth`,
    candidates.map((c) => (c.name === 'xy' ? exact[i] : 0)),
  );
});
const [beta, delta] = [-coefficient(0), coefficient(1)];
console.log(`\n          learned   truth   difference`);
print('beta', beta, truth.beta);
print('delta', delta, truth.delta);

const forecastEnd = 12;
const later = grid(forecastEnd - end, 400).map((t) => end + t);
const recovered = ([x, y]: Numbers) => [-beta * x * y, delta * x * y];
const forecastStates = populations(recovered, states[states.length - 1], later);
const missed = populations(trueInteraction, y0, [0, ...later])
  .slice(1)
  .flatMap((y, i) => [y[0] - forecastStates[i][0], y[1] - forecastStates[i][1]]);
const rms = Math.sqrt(missed.reduce((sum, x) => sum + x * x, 0) / missed.length);
console.log(`\nforecast of ${forecastEnd - end} time units, twice the record: rms error ${rms.toFixed(3)}`);

/** The coefficient of the candidate that explains most: `xy`, or the run is a failure. */
function coefficient(i: number): number {
  if (single[i].name !== 'xy') throw new Error(`the network looks like ${single[i].name}; expected xy`);
  return single[i].coefficients[candidates.findIndex(({ name }) => name === 'xy')];
}

function print(name: string, value: number, true_: number): void {
  const difference = percent(value / true_ - 1).padStart(12);
  console.log(`  ${name.padEnd(7)} ${value.toFixed(4)}  ${true_.toFixed(4)} ${difference}`);
}

const { blue, vermilion: red, ink, grey, shade } = colors;
const pale = '#c4c4c4';
const margins = { marginLeft: 56, marginBottom: 42, marginTop: 26, marginRight: 20 };

function populationsPanel(): Panel {
  const t = grid(forecastEnd, 600);
  const lines = (t: number[], curve: Numbers[]) =>
    t.map((time, i) => ({ t: time, x: curve[i][0], y: curve[i][1] }));
  const exactly = lines(t, populations(trueInteraction, y0, t));
  const fitted = lines(grid(end, 400), states);
  const forecast = lines(later, forecastStates);
  const seen = record.t.map((time, i) => ({ t: time, x: record.y[i][0], y: record.y[i][1] }));
  const species = (y: 'x' | 'y', stroke: string) => [
    Plot.line(exactly, { x: 't', y, stroke: pale, strokeWidth: 6 }),
    Plot.line(fitted, { x: 't', y, stroke, strokeWidth: 2 }),
    Plot.line(forecast, { x: 't', y, stroke, strokeWidth: 2, strokeDasharray: '7 4' }),
    Plot.dot(seen, { x: 't', y, r: 3, fill: stroke, stroke: 'white', strokeWidth: 0.8 }),
  ];
  return {
    ...{
      ...margins,
      width: 1040,
      height: 280,
      title: 'Populations, fitted with the network and forecast with the equation read off it',
    },
    x: { label: 'time', labelAnchor: 'center', domain: [0, forecastEnd], ticks: 12 },
    y: { label: 'population', domain: [0, 6], ticks: 6, grid: true },
    marks: [
      Plot.rectX([0], { x1: end, x2: forecastEnd, fill: shade }),
      Plot.ruleY([0]),
      ...species('x', blue),
      ...species('y', red),
    ],
  };
}

function interactionPanel(): Panel {
  const t = grid(end, 400);
  const rows = along.map((y, i) => {
    const [exactly, now] = [trueInteraction(y), learned(y)];
    return { t: t[i], u: exactly[0], v: exactly[1], nu: now[0], nv: now[1] };
  });
  const curve = (y: string, stroke: string, strokeWidth: number) =>
    Plot.line(rows, { x: 't', y, stroke, strokeWidth });
  return {
    ...{ ...margins, width: 360, height: 280, title: 'The missing terms' },
    x: { label: 'time', labelAnchor: 'center', domain: [0, end], ticks: 4 },
    y: { label: 'along the true populations', ticks: 6, grid: true },
    marks: [
      Plot.ruleY([0]),
      curve('u', pale, 6),
      curve('v', pale, 6),
      curve('nu', blue, 2),
      curve('nv', red, 2),
    ],
  };
}

function candidatesPanel(): Panel {
  const bars = all.flatMap(({ coefficients }, i) =>
    candidates.map(({ name }, j) => {
      const size = (f: (y: Float64Array) => number) =>
        Math.sqrt(states.reduce((sum, y) => sum + f(y) ** 2, 0) / states.length);
      const share =
        (coefficients[j] * size(([x, y]) => candidates[j].value(x, y))) / size((y) => learned(y)[i]);
      return { name, share, species: i };
    }),
  );
  const half = (i: number) => ({
    ...{ x: 'name', y: 'share', fill: i === 0 ? blue : red },
    ...(i === 0 ? { insetLeft: 3, insetRight: 23 } : { insetLeft: 23, insetRight: 3 }),
  });
  return {
    ...{ ...margins, width: 340, height: 280, title: 'Least squares on five terms' },
    x: { label: null, domain: candidates.map(({ name }) => name), padding: 0.1 },
    y: { label: 'rms of the term / rms of the network', domain: [-1.2, 1.2], ticks: 5, grid: true },
    marks: [
      ...[0, 1].map((i) =>
        Plot.barY(
          bars.filter(({ species }) => species === i),
          half(i),
        ),
      ),
      Plot.ruleY([0]),
    ],
  };
}

function lossPanel(): Panel {
  const points = losses.map((loss, i) => ({ iteration: i + 1, loss }));
  const decades = [1, 10, 100, 1000];
  return {
    ...{ ...margins, width: 340, height: 280, title: 'Loss: pieces, then the whole record' },
    x: { label: 'iteration', labelAnchor: 'center', domain: [0, rough + fine], ticks: 4 },
    y: { type: 'log', label: 'mean squared miss, in units of the noise', domain: [0.5, 1000] },
    marks: [
      Plot.gridY(decades),
      Plot.axisY(decades, { tickFormat: String }),
      Plot.ruleX([rough], { stroke: grey, strokeDasharray: '5 4' }),
      Plot.line(points, { x: 'iteration', y: 'loss', stroke: ink, strokeWidth: 1.6 }),
    ],
  };
}

const picture: Figure = {
  title: 'The missing term of Lotka and Volterra, learned and then read',
  subtitle:
    `prey x, predator y: read off the network \u2212${beta.toFixed(3)} xy and ${delta.toFixed(3)} xy; ` +
    `truth \u2212${truth.beta} xy and ${truth.delta} xy`,
  legend: [
    { label: 'prey', color: blue },
    { label: 'predator', color: red },
    { label: 'record', color: ink, mark: 'dot' },
    { label: 'forecast', color: ink, mark: 'dashed' },
    { label: 'truth', color: pale, mark: 'area' },
    { label: 'not seen', color: shade, mark: 'area' },
  ],
  rows: [[populationsPanel()], [interactionPanel(), candidatesPanel(), lossPanel()]],
  caption:
    `One record of ${record.t.length} times with noise of ${record.noise}. Growth ${truth.alpha} x and death ` +
    `\u2212${truth.gamma} y are known; a network 2-16-2 is the rest. rk4_classic, odeintAdjoint: checkpoint; Adam.`,
};
const { png, svg } = savePlot('universal_ode', picture);
console.log(`\npicture:\n  ${png}, ${svg}`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
