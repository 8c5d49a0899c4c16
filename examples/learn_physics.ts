/**
 * A ball was heard to bounce eight times. From these times, and no other data, its gravity, its absorption and the speed it
 * was thrown with are learned, by gradients through `odeintHybrid`; least squares by another program has the same answer.
 *
 * After torchdiffeq's examples/learn_physics.py. Run it with `npm run example learn_physics`. The picture lands in out/.
 */
import * as Plot from '@observablehq/plot';
import { embeddedBackend } from './lib/backend.js';
import { BouncingBall, guess, heights, learn, loadPhysics, type Parameters } from './lib/learn_physics.js';
import { colors, savePlot, type Figure, type Panel } from './lib/plot.js';
import { trainingProgress } from './lib/progress.js';

const { description } = await embeddedBackend('cpu');
const started = performance.now();
console.log(`backend: ${description}`);
console.log('solver: rk4_classic between events, gradients by odeintHybrid with odeintAdjoint: checkpoint\n');

const reference = loadPhysics();
const { bounces, fit, noise, standard_errors: errors } = reference;
const iterations = 400;
const ball = new BouncingBall(reference);
const losses: number[] = [];
const path: Parameters[] = [guess];
const progress = trainingProgress('ball', iterations);
try {
  learn(ball, iterations, (iteration, loss) => {
    losses.push(loss);
    path.push(ball.parameters);
    progress.update(iteration, loss);
  });
} finally {
  progress.stop();
}
const learned = ball.parameters;
const final = ball.loss().dataSync()[0];
const computed = Array.from(ball.solve().eventTimes.dataSync());
ball.dispose();

const names = ['gravity', 'absorption', 'speed'] as const;
console.log('\n                guess    learned   least squares   difference, standard errors      truth');
for (const name of names) {
  const difference = (learned[name] - fit[name]) / errors[name];
  const cells = [
    guess[name].toFixed(3).padStart(8),
    learned[name].toFixed(6).padStart(10),
    fit[name].toFixed(6).padStart(15),
    difference.toFixed(5).padStart(28),
    `${reference.true[name].toFixed(3)} (${((learned[name] - reference.true[name]) / errors[name]).toFixed(1)} away)`.padStart(
      19,
    ),
  ];
  console.log(`${name.padEnd(12)} ${cells.join(' ')}`);
}
console.log(
  `loss         ${losses[0].toFixed(1).padStart(8)} ${final.toFixed(6).padStart(10)} ${reference.loss.toFixed(6).padStart(15)}`,
);

const { blue, vermilion: red, orange, green, purple, ink, grey } = colors;
const pale = '#c4c4c4';
const margins = { marginLeft: 58, marginBottom: 42, marginTop: 26, marginRight: 22 };
const end = 11.4;

function trajectoryPanel(): Panel {
  const at = { x: 't', y: 'height' } as const;
  const heard = bounces.map((t) => ({ t, height: reference.radius }));
  const curve = (parameters: Parameters, until = end) => heights(reference, parameters, until);
  return {
    ...{ ...margins, width: 1040, height: 290, title: 'Height, which was never observed' },
    x: { label: 'time (s)', labelAnchor: 'center', domain: [0, end], ticks: 12 },
    y: { label: 'm', domain: [0, 11], ticks: 6, grid: true },
    marks: [
      Plot.ruleY([0]),
      Plot.line(curve(guess, 7.7), { ...at, stroke: grey, strokeWidth: 1.4, strokeDasharray: '5 4' }),
      Plot.line(curve(reference.true), { ...at, stroke: pale, strokeWidth: 7 }),
      Plot.line(curve(learned), { ...at, stroke: red, strokeWidth: 2.4 }),
      Plot.dot(heard, { ...at, r: 4.5, fill: blue, stroke: 'white' }),
    ],
  };
}

const iterationsAxis = {
  label: 'iteration',
  labelAnchor: 'center',
  domain: [0, iterations],
  ticks: 4,
} as const;

function lossPanel(): Panel {
  const decades = [0.1, 1, 10, 100, 1000, 10000];
  const points = losses.map((loss, i) => ({ iteration: i, loss }));
  return {
    ...{ ...margins, width: 347, height: 280, title: 'Loss', x: iterationsAxis },
    y: { type: 'log', label: 'mean squared miss, in units of the noise', domain: [0.2, 10000] },
    marks: [
      Plot.gridY(decades.slice(1)),
      Plot.axisY(decades.slice(1), { tickFormat: (x: number) => x.toLocaleString('en') }),
      Plot.ruleY([reference.loss], { stroke: ink, strokeDasharray: '5 4' }),
      Plot.line(points, { x: 'iteration', y: 'loss', stroke: red, strokeWidth: 2 }),
    ],
  };
}

function distancePanel(): Panel {
  const decades = [1e-3, 1e-2, 0.1, 1, 10, 100];
  const lines = { gravity: green, absorption: orange, speed: purple };
  const marks = names.map((name) => {
    const distances = path.map((p) => Math.abs(p[name] - fit[name]) / errors[name]);
    const away = Array.from({ length: iterations / 10 }, (_, i) => ({
      iteration: 10 * i + 5,
      distance: Math.max(...distances.slice(10 * i, 10 * i + 10)),
    }));
    return Plot.line(away, { x: 'iteration', y: 'distance', stroke: lines[name], strokeWidth: 2 });
  });
  return {
    ...{ ...margins, width: 347, height: 280, title: 'Distance to least squares', x: iterationsAxis },
    y: { type: 'log', label: 'standard errors, most of ten iterations', domain: [2e-4, 150] },
    marks: [Plot.gridY(decades), Plot.axisY(decades, { tickFormat: String }), ...marks],
  };
}

function missPanel(): Panel {
  const misses = bounces.map((t, i) => ({ bounce: i + 1, miss: (t - computed[i]) * 1000 }));
  const [low, high] = [-noise * 1000, noise * 1000];
  return {
    ...{ ...margins, width: 346, height: 280, title: 'Heard, less computed' },
    x: { label: 'bounce', labelAnchor: 'center', domain: [0.5, 8.5], ticks: 8 },
    y: { label: 'ms', domain: [-50, 50], ticks: 5, grid: true },
    marks: [
      Plot.rectY([0], { y1: low, y2: high, fill: colors.shade }),
      Plot.ruleY([0]),
      Plot.ruleX(misses, { x: 'bounce', y1: 0, y2: 'miss', stroke: blue, strokeWidth: 1.6 }),
      Plot.dot(misses, { x: 'bounce', y: 'miss', r: 4, fill: blue, stroke: 'white' }),
    ],
  };
}

const picture: Figure = {
  title: 'Physics learned from eight bounces of a ball',
  subtitle:
    `learned: gravity ${learned.gravity.toFixed(3)} m/s², absorption ${learned.absorption.toFixed(4)}, thrown upward with ` +
    `${learned.speed.toFixed(3)} m/s; truth: ${reference.true.gravity}, ${reference.true.absorption}, ${reference.true.speed}`,
  legend: [
    { label: 'bounces heard', color: blue, mark: 'dot' },
    { label: 'learned', color: red },
    { label: 'truth', color: pale, mark: 'area' },
    { label: 'guess; loss of least squares', color: grey, mark: 'dashed' },
    { label: 'gravity', color: green },
    { label: 'absorption', color: orange },
    { label: 'speed', color: purple },
    { label: 'noise', color: colors.shade, mark: 'area' },
  ],
  rows: [[trajectoryPanel()], [lossPanel(), distancePanel(), missPanel()]],
  caption:
    `Times with noise of ${noise * 1000} ms; the height of the throw, 10 m, is known. Gradients by odeintHybrid through the ` +
    'times of the bounces; Adam. Standard errors and least squares: scipy.',
};
const { png, svg } = savePlot('learn_physics', picture);
console.log(`\npicture:\n  ${png}, ${svg}`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
