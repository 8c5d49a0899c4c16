/**
 * A neural network learns to bring a mass on a spring and a damper to rest, by gradients through the simulation. What it
 * costs is compared with the linear-quadratic regulator, which no controller can beat.
 *
 * Run it with `npm run example spring_damper_control`; `-- --full` trains five times as long. The picture lands in out/.
 */
import * as Plot from '@observablehq/plot';
import { embeddedBackend } from './lib/backend.js';
import { colors, savePlot, type Figure, type Panel } from './lib/plot.js';
import { trainingProgress } from './lib/progress.js';
import {
  algebraicRiccati,
  Controller,
  cost,
  free,
  oneSecond,
  optimalCost,
  optimalPath,
  riccati,
  simulatedCost,
  simulatedPath,
  start,
  system,
  tenSeconds,
  type Horizon,
  type Point,
} from './lib/spring_damper_control.js';

const { description } = await embeddedBackend('cpu');
const started = performance.now();
const longer = process.argv.includes('--full') ? 5 : 1;
console.log(`backend: ${description}`);
console.log('solver: midpoint and rk4_classic, gradients by odeintAdjoint: checkpoint\n');

const [p11, p12, p22] = algebraicRiccati();
const longRun = riccati([0, 30])[1];
const solverError = Math.max(...[p11, p12, p22].map((p, i) => Math.abs(p - longRun[i])));
console.log(
  `regulator: u = -${(p12 / cost.effort).toFixed(4)} x - ${(p22 / cost.effort).toFixed(4)} v (infinite horizon)`,
);
console.log(`Riccati equation solved over 30 s, less its closed form: ${solverError.toExponential(1)}\n`);

/** The epochs that are asked for are not enough: after them the network learns on, with a rate that falls. */
const epochs = 50;
interface Run {
  name: string;
  horizon: Horizon;
  costs: number[];
  optimal: number;
  uncontrolled: number;
  early: { cost: number; path: Point[] };
  final: { cost: number; path: Point[] };
}

function run(name: string, horizon: Horizon, more: number, rate: number): Run {
  const controller = new Controller(horizon);
  const costs: number[] = [];
  const progress = trainingProgress(name, epochs + more);
  const each = (_epoch: number, cost: number) => {
    costs.push(cost);
    progress.update(costs.length, cost);
  };
  const now = () => ({ cost: controller.cost(), path: controller.path() });
  try {
    controller.train(epochs, () => 1e-3, each);
    const early = now();
    controller.train(more, (epoch) => (rate * (1 + Math.cos((Math.PI * epoch) / more))) / 2, each);
    const uncontrolled = simulatedCost(free, horizon).dataSync()[0];
    return { name, horizon, costs, optimal: optimalCost(horizon.T), uncontrolled, early, final: now() };
  } finally {
    progress.stop();
    controller.dispose();
  }
}
const runs = [run('1 s', oneSecond, 300 * longer, 0.05), run('10 s', tenSeconds, 100 * longer, 0.01)];

const above = (cost: number, optimal: number) =>
  `${cost.toFixed(4)} (+${((cost / optimal - 1) * 100).toFixed(cost > 1.01 * optimal ? 0 : 2)}%)`;
console.log('\ncost           no control   network, 50 epochs    network, trained   regulator');
for (const { name, uncontrolled, early, final, optimal, costs } of runs) {
  const cells = [
    uncontrolled.toFixed(4).padStart(10),
    above(early.cost, optimal).padStart(20),
    above(final.cost, optimal).padStart(19),
    optimal.toFixed(4).padStart(11),
  ];
  console.log(`${name.padEnd(14)} ${cells.join(' ')}   ${costs.length} epochs`);
}

const { blue, vermilion: red, orange, grey } = colors;
const pale = '#c4c4c4';
const margins = { marginLeft: 58, marginBottom: 42, marginTop: 26, marginRight: 22 };

function pathPanel({ horizon, early, final }: Run, component: 'x' | 'v' | 'u'): Panel {
  const { T } = horizon;
  const at = { x: 't', y: component } as const;
  const names = { x: 'Position (m)', v: 'Speed (m/s)', u: 'Control (N)' };
  const uncontrolled = component === 'u' ? [] : simulatedPath(free, horizon, 100);
  return {
    ...{
      ...margins,
      width: 347,
      height: 250,
      title: `${names[component]}, ${T === 1 ? 'one second' : 'ten seconds'}`,
    },
    x: { label: 'time (s)', labelAnchor: 'center', domain: [0, T], ticks: 5 },
    y: { label: null, ticks: 6, grid: true, nice: true },
    marks: [
      Plot.ruleY([0], { stroke: grey, strokeWidth: 0.8 }),
      Plot.line(uncontrolled, { ...at, stroke: grey, strokeWidth: 1.4, strokeDasharray: '5 4' }),
      Plot.line(optimalPath(T, 100), { ...at, stroke: pale, strokeWidth: 7 }),
      Plot.line(early.path, { ...at, stroke: orange, strokeWidth: 1.8 }),
      Plot.line(final.path, { ...at, stroke: blue, strokeWidth: 2.4 }),
    ],
  };
}

function gapPanel({ name, costs, optimal }: Run): Panel {
  const decades = [1e-4, 1e-3, 1e-2, 0.1, 1];
  const points = costs.map((cost, epoch) => ({ epoch, gap: Math.max(cost / optimal - 1, 1e-5) }));
  return {
    ...{
      ...margins,
      width: 520,
      height: 260,
      title: `Cost above the regulator's, ${name === '1 s' ? 'one second' : 'ten seconds'}`,
    },
    x: { label: 'epoch', labelAnchor: 'center', domain: [0, costs.length], ticks: 8 },
    y: { type: 'log', label: 'relative', domain: [5e-5, 5] },
    marks: [
      Plot.rectX([{ x1: 0, x2: epochs }], { x1: 'x1', x2: 'x2', fill: '#fdf1d6' }),
      Plot.gridY(decades),
      Plot.axisY(decades, { tickFormat: (x: number) => `${Number((x * 100).toPrecision(1))}%` }),
      Plot.line(points, { x: 'epoch', y: 'gap', stroke: red, strokeWidth: 2 }),
    ],
  };
}

const { mass, damping, stiffness } = system;
const picture: Figure = {
  title: 'A neural network brings a mass on a spring to rest',
  subtitle:
    `m = ${mass}, c = ${damping}, k = ${stiffness}, from x = ${start[0]}, v = ${start[1]}; u = network(x, v), 2-20-1, relu. ` +
    `Cost: \u222b (x² + v² + ${cost.effort} u²) dt + ${cost.rest} (x² + v²) at the end`,
  legend: [
    { label: 'regulator: the optimum', color: pale, mark: 'area' },
    { label: 'network, trained', color: blue },
    { label: 'network after 50 epochs of Adam 1e-3', color: orange },
    { label: 'no control', color: grey, mark: 'dashed' },
    { label: 'cost above the optimum', color: red },
  ],
  rows: [
    ...runs.map((one) => (['x', 'v', 'u'] as const).map((component) => pathPanel(one, component))),
    runs.map(gapPanel),
  ],
  caption:
    `Cost over 1 s: network ${runs[0].final.cost.toFixed(4)}, optimum ${runs[0].optimal.toFixed(4)}; over 10 s: ` +
    `${runs[1].final.cost.toFixed(4)}, ${runs[1].optimal.toFixed(4)}. Shaded: the first 50 epochs; then the rate is higher, and falls. ` +
    'Optimum: the Riccati equation, in float64.',
};
const { png, svg } = savePlot('spring_damper_control', picture);
console.log(`\npicture:\n  ${png}, ${svg}`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
