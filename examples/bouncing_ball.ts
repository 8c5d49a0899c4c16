/**
 * A ball bounces, lower each time, infinitely often in finite time: `odeintHybrid` with both sides of every jump, on plain
 * numbers, beside the closed form.
 *
 * Run it with `npm run example bouncing_ball`. The picture lands in out/.
 */
import * as Plot from '@observablehq/plot';
import { ball, bounce, energy, exactBounce, exactEnergy, zenoTime } from './lib/bouncing_ball.js';
import { colors, savePlot, type Figure, type Panel } from './lib/plot.js';

const { blue, vermilion: red, orange, green, purple, ink, grey } = colors;
const end = zenoTime(ball);
console.log(
  `a ball dropped from ${ball.height} m keeps ${ball.restitution} of its speed at each bounce; it has bounced infinitely ` +
    `often by t = ${end.toFixed(6)} s\n`,
);

/** A solve until the bounces cannot be told apart, with a tolerance of their times. */
interface Run {
  eventTol: number;
  color: string;
  solution: ReturnType<typeof bounce>;
  /** Of the time of each bounce, s. */
  errors: number[];
}

const saveAt = Array.from({ length: 400 }, (_, i) => ((i + 0.5) * end) / 400);
const runs = [1e-9, 1e-12, 1e-15].map((eventTol, i): Run => {
  const solution = bounce(ball, { t1: 5, maxEvents: 200, eventTol, saveAt });
  const errors = Array.from(solution.eventTimes, (t, n) => Math.abs(t - exactBounce(ball, n)));
  return { eventTol, solution, errors, color: [orange, purple, ink][i] };
});
const finest = runs[runs.length - 1].solution;
/** Energies before and after each bounce, as they were saved. */
const energies = finest.events.map(({ row, t }, n) => ({
  ...{ n: n + 1, t },
  before: energy(ball, finest.y[row]),
  after: energy(ball, finest.y[row + 1]),
}));
/** Bounces whose flight is long enough for a speed to be told from rounding. */
const distinct = 60;
const energyError = Math.max(
  ...energies.slice(0, distinct).map(({ n, after }) => Math.abs(after / exactEnergy(ball, n) - 1)),
);

for (const { eventTol, solution, errors } of runs) {
  console.log(`eventTol ${eventTol.toExponential(0)}: status '${solution.status}', ${errors.length} bounces`);
  console.log(`  ${solution.message.split(':')[0]}`);
  const largest = Math.max(...errors.slice(0, distinct));
  console.log(`  largest error of the first ${distinct} times: ${largest.toExponential(1)} s`);
}
console.log(
  `\nerror of the last of them against the end, 1e-15: ${(finest.t.at(-1)! - end).toExponential(1)} s`,
);
console.log(
  `largest relative error of the energy after the first ${distinct} bounces: ${energyError.toExponential(1)}`,
);

const time = { label: 'time (s)', labelAnchor: 'center', domain: [0, 4.3] } as const;
const size = { width: 540, height: 270, marginLeft: 58, marginBottom: 42, marginTop: 26, marginRight: 22 };
const endRule = [Plot.ruleX([end], { stroke: grey, strokeDasharray: '4 4' })];

function statePanel(title: string, label: string, index: 0 | 1, color: string, exact: number[] = []): Panel {
  const points = Array.from(finest.t, (t, i) => ({ t, value: finest.y[i][index] }));
  return {
    ...{ ...size, title, x: time },
    y: { label, grid: true, ticks: 5 },
    marks: [
      ...endRule,
      Plot.ruleY([0]),
      Plot.line(points, { x: 't', y: 'value', stroke: color, strokeWidth: 1.8 }),
      Plot.dot(exact, { x: (t: number) => t, y: () => 0, r: 2.8, fill: ink, stroke: 'white' }),
    ],
  };
}

/** Drawn as dots; the others are too close to each other. */
const exactTimes = Array.from({ length: 12 }, (_, n) => exactBounce(ball, n));

/** Powers of ten as 10ⁿ. */
const power = (x: number) =>
  `10${[...String(Math.round(Math.log10(x)))].map((c) => '⁰¹²³⁴⁵⁶⁷⁸⁹⁻'['0123456789-'.indexOf(c)]).join('')}`;

function energyPanel(): Panel {
  const shown = energies.slice(0, 13);
  const stairs = [
    { t: 0, value: exactEnergy(ball, 0) },
    ...shown.flatMap(({ t, before, after }) => [
      { t, value: before },
      { t, value: after },
    ]),
  ];
  // In the middle of each flight, where nothing was saved.
  const steps = shown.slice(0, -1).map(({ n }) => ({
    t: (exactBounce(ball, n - 1) + exactBounce(ball, n)) / 2,
    value: exactEnergy(ball, n),
  }));
  const decades = [0.01, 0.1, 1, 10];
  return {
    ...{ ...size, title: 'Energy: each bounce keeps 0.64 of it', x: time },
    y: { type: 'log', label: 'energy (J/kg)', domain: [0.02, 16] },
    marks: [
      Plot.gridY(decades.slice(1)),
      Plot.axisY(decades.slice(1), { tickFormat: String }),
      ...endRule,
      Plot.line(stairs, { x: 't', y: 'value', stroke: red, strokeWidth: 1.8 }),
      Plot.dot(steps, { x: 't', y: 'value', r: 2.8, fill: ink, stroke: 'white' }),
      Plot.text([end], {
        x: [end],
        y: [12],
        text: ['infinitely many\nbounces'],
        textAnchor: 'end',
        dx: -6,
        fill: grey,
      }),
    ],
  };
}

function errorPanel(): Panel {
  const decades = [1e-16, 1e-14, 1e-12, 1e-10, 1e-8];
  const floor = 1e-16;
  return {
    ...{ ...size, title: 'Error of the time of each bounce' },
    x: { label: 'bounce', labelAnchor: 'center', domain: [0, 150] },
    y: { type: 'log', label: 's', domain: [floor / 2, 2e-6] },
    marks: [
      Plot.gridY([...decades, 1e-6]),
      Plot.axisY([...decades, 1e-6], { tickFormat: power }),
      ...runs.flatMap(({ errors, color, eventTol }) => {
        const points = errors.map((error, i) => ({ n: i + 1, error: Math.max(error, floor) }));
        const last = points.slice(-1);
        const name = { x: 'n', y: 'error', text: () => `eventTol ${power(eventTol)}`, fill: color };
        return [
          Plot.line(points, { x: 'n', y: 'error', stroke: color, strokeWidth: 1 }),
          Plot.dot(points, { x: 'n', y: 'error', r: 1.6, fill: color }),
          Plot.text(last, { ...name, dy: -26, textAnchor: 'end', stroke: 'white' }),
        ];
      }),
    ],
  };
}

const picture: Figure = {
  title: 'A ball that bounces infinitely often in four seconds',
  legend: [
    { label: 'height', color: blue },
    { label: 'speed', color: green },
    { label: 'energy', color: red },
    { label: 'closed form', color: ink, mark: 'dot' },
    { label: `end of the bounces, t = ${end.toFixed(3)} s`, color: grey, mark: 'dashed' },
  ],
  rows: [
    [
      statePanel('Height', 'm', 0, blue, exactTimes),
      statePanel('Speed: both sides of every jump', 'm/s', 1, green),
    ],
    [energyPanel(), errorPanel()],
  ],
  caption:
    `odeintHybrid on plain numbers; dropped from ${ball.height} m, ${ball.restitution} of the speed is kept. Smaller errors ` +
    'than 10⁻¹⁶ s are drawn there. Once flights take less\nthan a few eventTol, bounces can no longer be told apart: ' +
    "every solve ends with status 'max-events'.",
};
const { png, svg } = savePlot('bouncing_ball', picture);
console.log(`\npicture:\n  ${png}, ${svg}`);
