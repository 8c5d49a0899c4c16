/**
 * The energy of a pendulum, learned from noisy motions through the steps of leapfrog; on what was learned leapfrog keeps the
 * energy for as long as one likes, and dopri5 with the same work does not.
 *
 * After Greydanus et al., https://arxiv.org/abs/1906.01563. Run it with `npm run example hamiltonian`; with `-- --full` it
 * trains four times as long. The picture lands in out/.
 */
import * as Plot from '@observablehq/plot';
import { embeddedBackend } from './lib/backend.js';
import {
  drift,
  energyError,
  energyOf,
  exactPeriod,
  HamiltonianTraining,
  observe,
  pendulum,
  period,
  type Potential,
} from './lib/hamiltonian.js';
import { colors, savePlot, type Figure, type Panel } from './lib/plot.js';
import { trainingProgress } from './lib/progress.js';
import { minimize } from './lib/training.js';
import { percent } from './lib/numbers.js';

const { description } = await embeddedBackend('cpu');
const started = performance.now();
console.log(`backend: ${description}`);
console.log('solver: leapfrog, gradients by odeintAdjoint: reversible\n');

const longer = process.argv.includes('--full') ? 4 : 1;
const record = observe(48, 0.05, 1);
const highest = 1.8;
const training = new HamiltonianTraining(record);
const [rough, fine] = [60 * longer, 220 * longer];
const losses: number[] = [];
const progress = trainingProgress('energy', rough + fine);
const each = (_i: number, loss: number) => progress.update(losses.push(loss), loss);
try {
  minimize(training.lossOfPieces, training.weights, { iterations: rough, rate: 0.05, each });
  minimize(training.loss, training.variables, { iterations: fine, rate: 0.03, each });
} finally {
  progress.stop();
}
const learned = training.energy();
training.dispose();

const error = energyError(learned, highest);
console.log(
  `\nlearned - true energy, up to a constant: rms ${error.toFixed(4)} over the states with energy 0-${highest}`,
);

const degrees = (angle: number) => (angle * Math.PI) / 180;
console.log('\nperiod of swings of   learned   closed form   difference');
for (const angle of [30, 60, 90, 120]) {
  const [found, exact] = [period(learned, degrees(angle)), exactPeriod(degrees(angle))];
  console.log(
    `  ${String(angle).padStart(3)} degrees        ${found.toFixed(4)}   ${exact.toFixed(4).padStart(11)} ${percent(found / exact - 1).padStart(12)}`,
  );
}

const longEnd = 10000;
const samples = Array.from({ length: 5001 }, (_, i) => (longEnd * i) / 5000);
const y0 = [2, 0];
const runs = {
  leapfrog: drift(learned, y0, samples, { method: 'leapfrog', stepSize: 0.2 }),
  dopri5: drift(learned, y0, samples, { method: 'dopri5', rtol: 1e-4, atol: 1e-4 }),
};
console.log(
  `\nlearned energy of one swing from ${y0[0]} rad, over ${Math.round(longEnd / period(learned, y0[0]))} periods:`,
);
const decades = [100, 1000, 10000];
console.log(`             evaluations   ${decades.map((t) => `error to t = ${t}`.padStart(22)).join('')}`);
for (const [name, { error, evaluations }] of Object.entries(runs)) {
  const until = (t: number) => Math.max(...error.filter((_, i) => samples[i] <= t).map(Math.abs));
  const cells = decades.map((t) => percent(until(t)).padStart(22)).join('');
  console.log(`  ${name.padEnd(10)} ${String(evaluations).padStart(11)}   ${cells}`);
}

const { blue, vermilion: red, green, ink } = colors;
const pale = '#c4c4c4';
const margins = { marginLeft: 56, marginBottom: 42, marginTop: 26, marginRight: 20 };

function phasePanel(): Panel {
  const points = record.q.flatMap((row, i) => row.map((q, j) => ({ q, p: record.p[i][j] })));
  // Of minus the energy: the curves close around what is higher, not along the frame.
  const levels = { x1: -3.1, x2: 3.1, y1: -2.1, y2: 2.1, thresholds: [-1.6, -1.2, -0.8, -0.4, -0.1] };
  const contours = (of: typeof pendulum, stroke: string, strokeWidth: number) =>
    Plot.contour({ ...levels, value: (q: number, p: number) => -energyOf(of, [q, p]), stroke, strokeWidth });
  return {
    ...{ ...margins, width: 520, height: 340, title: 'Levels of the energy: 0.1, 0.4, 0.8, 1.2, 1.6' },
    x: { label: 'angle q', labelAnchor: 'center', domain: [-3.1, 3.1], ticks: 7 },
    y: { label: 'momentum p', domain: [-2.1, 2.1], ticks: 5 },
    marks: [
      Plot.dot(points, { x: 'q', y: 'p', r: 1.6, fill: blue, fillOpacity: 0.45 }),
      contours(pendulum, pale, 6),
      contours(learned, red, 1.8),
    ],
  };
}

function potentialPanel(): Panel {
  const curve = ({ value }: Potential, to: number) =>
    Array.from({ length: 201 }, (_, i) => (to * (i - 100)) / 100).map((x) => ({ x, energy: value(x) }));
  const line = (of: Potential, to: number, stroke: string, strokeWidth: number) =>
    Plot.line(curve(of, to), { x: 'x', y: 'energy', stroke, strokeWidth });
  return {
    ...{ ...margins, width: 520, height: 340, title: 'Its parts, of the angle and of the momentum' },
    x: { label: 'q, p', labelAnchor: 'center', domain: [-2.6, 2.6], ticks: 6 },
    y: { label: 'energy, 0 at rest', domain: [-0.1, 2], ticks: 5, grid: true },
    marks: [
      line(pendulum.potential, 2.5, pale, 6),
      line(pendulum.kinetic, 1.9, pale, 6),
      line(learned.potential, 2.5, red, 2),
      line(learned.kinetic, 1.9, green, 2),
      Plot.text([{ x: 2.25, y: 1.42, text: 'V(q)' }], { x: 'x', y: 'y', text: 'text', fill: red }),
      Plot.text([{ x: 1.42, y: 1.42, text: 'T(p)' }], { x: 'x', y: 'y', text: 'text', fill: green }),
    ],
  };
}

/** The largest error of each stretch of the run: leapfrog's swings between zero and its bound in every period. */
function driftPanel(): Panel {
  const largest = ({ error }: { error: number[] }) =>
    Array.from({ length: 250 }, (_, i) => ({
      t: samples[20 * i + 10],
      error: Math.max(...error.slice(20 * i + 1, 20 * i + 21).map(Math.abs)),
    }));
  const powers = [0.001, 0.01, 0.1, 1];
  return {
    ...{ ...margins, width: 660, height: 290, title: 'Energy lost or won on the learned model' },
    x: { label: 'time', labelAnchor: 'center', domain: [0, longEnd], ticks: 5 },
    y: { type: 'log', label: 'relative error of the learned energy', domain: [0.001, 1] },
    marks: [
      Plot.gridY(powers),
      Plot.axisY(powers, { tickFormat: (x: number) => `${100 * x} %` }),
      Plot.line(largest(runs.dopri5), { x: 't', y: 'error', stroke: ink, strokeWidth: 2 }),
      Plot.line(largest(runs.leapfrog), { x: 't', y: 'error', stroke: red, strokeWidth: 2 }),
      Plot.text([{ t: 0.6 * longEnd, error: 0.14, text: `dopri5, ${runs.dopri5.evaluations} evaluations` }], {
        ...{ x: 't', y: 'error', text: 'text', fill: ink },
      }),
      Plot.text(
        [{ t: 0.6 * longEnd, error: 0.0055, text: `leapfrog, ${runs.leapfrog.evaluations} evaluations` }],
        {
          ...{ x: 't', y: 'error', text: 'text', fill: red },
        },
      ),
    ],
  };
}

function periodPanel(): Panel {
  const angles = Array.from({ length: 27 }, (_, i) => 10 + 5 * i);
  const exact = angles.map((angle) => ({ angle, period: exactPeriod(degrees(angle)) }));
  const found = angles
    .filter((angle) => angle % 10 === 0)
    .map((angle) => ({ angle, period: period(learned, degrees(angle)) }));
  const at = { x: 'angle', y: 'period' } as const;
  return {
    ...{ ...margins, width: 380, height: 290, title: 'Period of a swing' },
    x: { label: 'amplitude, degrees', labelAnchor: 'center', domain: [0, 145], ticks: 6 },
    y: { label: 'period', domain: [6, 11], ticks: 5, grid: true },
    marks: [
      Plot.line(exact, { ...at, stroke: pale, strokeWidth: 6 }),
      Plot.dot(found, { ...at, r: 3.6, fill: red, stroke: 'white', strokeWidth: 0.8 }),
    ],
  };
}

const picture: Figure = {
  title: 'The energy of a pendulum, learned from noisy motions',
  subtitle: `H = T(p) + V(q), two networks of 16 units: rms error ${error.toFixed(4)} up to a constant, of energies from 0 to ${highest}`,
  legend: [
    { label: 'observed', color: blue, mark: 'dot' },
    { label: 'learned', color: red },
    { label: 'truth', color: pale, mark: 'area' },
  ],
  rows: [
    [phasePanel(), potentialPanel()],
    [driftPanel(), periodPanel()],
  ],
  caption:
    `${record.q[0].length} motions of length 4, 17 times each, with noise of ${record.noise}; trained through leapfrog with ` +
    'odeintAdjoint: reversible. Truth of the periods: the arithmetic-geometric mean.',
};
const { png, svg } = savePlot('hamiltonian', picture);
console.log(`\npicture:\n  ${png}, ${svg}`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
