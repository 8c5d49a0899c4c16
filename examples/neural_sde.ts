/**
 * A neural stochastic differential equation: drift and diffusion of a double well are learned from where its paths were seen,
 * by the likelihood of Euler and Maruyama's steps, and by that of moments from `odeintAdjoint`. Quadrature says how
 * often the learned equation changes its well, and how often it should.
 *
 * Run it with `npm run example neural_sde`; with `-- --full` it sees four times as long a record and trains four times as long.
 * The picture lands in out/.
 */
import { repairGradients } from 'tfjs-diffeq';
import { embeddedBackend } from './lib/backend.js';
import * as theory from './lib/diffusion_theory.js';
import {
  doubleWell,
  likelihoodGain,
  NeuralSde,
  observe,
  passages,
  thin,
  type Likelihood,
} from './lib/neural_sde.js';
import { picture } from './lib/neural_sde_figures.js';
import { type Fit, type SchemeRow } from './lib/neural_sde_panels.js';
import { savePlot } from './lib/plot.js';
import { trainingProgress } from './lib/progress.js';
import * as sde from './lib/sde.js';

const { description } = await embeddedBackend('wasm');
// tfjs, imported just now, has brought its own again: slower here, where the first training calls no solver.
repairGradients();
const started = performance.now();
console.log(`backend: ${description}\n`);

const longer = process.argv.includes('--full') ? 4 : 1;
const row = (name: string, ...cells: string[]) =>
  console.log(`  ${name.padEnd(34)}${cells.map((cell) => cell.padStart(13)).join('')}`);
const digits = (x: number, n = 4) => x.toFixed(n);
const plusMinus = (x: number, error: number, n: number) => `${x.toFixed(n)} (${error.toFixed(n)})`;

console.log(
  `schemes on geometric Brownian motion, lambda ${sde.geometric.lambda}, mu ${sde.geometric.mu}, 4000 paths to t = 1`,
);
const steps = [16, 32, 64, 128, 256];
const h = steps.map((n) => 1 / n);
const fine = sde.increments(256, 4000, 1 / 256, 7);
const schemes: SchemeRow[] = Object.entries(sde.schemes).map(([name, scheme]) => ({
  name,
  sampled: steps.map((n) => sde.sampledErrors(scheme, sde.coarsen(fine, 256 / n))),
  exact: steps.map((n) => sde.exactErrors(scheme, n)),
}));
row('', 'rms, 256', 'closed form', 'order', 'closed form');
for (const { name, sampled, exact } of schemes) {
  const [a, b] = [sampled, exact].map((errors) => errors.map(({ strong }) => strong));
  row(
    `${name}, strong`,
    ...[digits(a[4]), digits(b[4]), digits(sde.order(h, a), 2), digits(sde.order(h, b), 2)],
  );
}
row('', 'mean, 16', 'closed form', 'order', 'closed form');
for (const { name, sampled, exact } of schemes) {
  const [a, b] = [sampled, exact].map((errors) => errors.map(({ weak }) => weak));
  const first = plusMinus(a[0], sampled[0].standardError, 4);
  row(`${name}, weak`, first, digits(b[0]), digits(sde.order(h, a), 2), digits(sde.order(h, b), 2));
}
console.log(
  '\nodeint along broken lines through W (Wong and Zakai): rms difference from Stratonovich\u2019s solution',
);
row('', 'at the knots', 'all times', 'closed form');
const some = fine.map((increments) => increments.slice(0, 400));
const zakai = [8, 16, 32, 64].map((n) => ({ n, ...sde.wongZakai(some, 256 / n) }));
for (const { n, knots, between } of zakai)
  row(`${n} lines`, knots.toExponential(1), digits(between), digits(sde.wongZakaiExact(n, 256 / n)));

const record = observe({ time: 20 * longer });
const found = passages(record);
console.log(
  `\n${record.x[0].length} paths of ${20 * longer} time units, ${found} passages from -1 to 1 or back\n`,
);
const truth = theory.tabulated(doubleWell);
const density = theory.stationaryDensity(doubleWell);

function learn(every: number, by: Likelihood): Fit {
  const seen = thin(record, every);
  const net = new NeuralSde();
  const euler = 800 * longer;
  const moments = by === 'moments' ? 1000 * longer : 0;
  const name = `${by}, dt ${seen.dt}`;
  const losses: number[] = [];
  {
    using progress = trainingProgress(name, euler + moments);
    const each = (_i: number, loss: number) => progress.update(losses.push(loss), loss);
    net.train(seen, { iterations: euler, batch: 4096, rate: 0.02, each });
    if (moments > 0) net.train(seen, { by, iterations: moments, batch: 1024, rate: 0.03, seed: 2, each });
  }
  const learned = net.plain();
  const gain = likelihoodGain(net, seen, by);
  net.dispose();
  return {
    gain,
    name,
    by,
    dt: seen.dt,
    learned: theory.tabulated(learned),
    density: theory.stationaryDensity(learned),
  };
}

const fits = [learn(4, 'euler'), learn(2, 'euler'), learn(1, 'euler'), learn(4, 'moments')];
const on = (of: (x: number) => number) => theory.grid.map(of);
const apart = (a: number[], b: number[]) =>
  theory.weightedRms(
    a.map((x, i) => x - b[i]),
    density,
  );
const errors = fits.map(({ by, dt, learned }) => {
  const expected = theory.exactMoments(doubleWell, dt);
  const pair = (['drift', 'diffusion'] as const).map((key) => ({
    error: apart(on(learned[key]), on(doubleWell[key])),
    bias: by === 'euler' ? apart(expected[key], on(doubleWell[key])) : undefined,
    rest: by === 'euler' ? apart(on(learned[key]), expected[key]) : undefined,
  }));
  return { drift: pair[0], diffusion: pair[1] };
});
console.log(
  '\nrms over the stationary density: learned - true; predicted for a record without end; learned - predicted',
);
for (const key of ['drift', 'diffusion'] as const) {
  const size = theory.weightedRms(on(doubleWell[key]), density);
  row(`${key}, its rms ${digits(size, 3)}`, 'error', 'predicted', 'rest');
  fits.forEach(({ name }, i) => {
    const { error, bias, rest } = errors[i][key];
    row(`  ${name}`, ...[error, bias, rest].map((x) => (x === undefined ? '' : digits(x))));
  });
}

console.log('\nlog-likelihood of the record, learned - true');
fits.forEach(({ name, gain }) => row(`  ${name}`, digits(gain, 1)));

const times = (of: theory.Diffusion) => [
  theory.meanFirstPassage(of, -1, 1),
  theory.meanFirstPassage(of, 1, -1),
];
const simulate = (of: theory.Diffusion) =>
  [-1, 1].map((from) => theory.simulateFirstPassage(of, { from, to: -from, h: 0.01, paths: 2000, seed: 5 }));
const simulated = { truth: simulate(truth), learned: simulate(fits[3].learned) };
console.log('\nstationary density and mean first-passage times, by quadrature; simulated (standard error)');
row('', 'variation', 'P(x > 0)', '-1 to 1', '1 to -1');
const passage = (name: string, of: theory.Diffusion, p: number[]) =>
  row(
    name,
    ...[
      digits(theory.distance(p, density), 3),
      digits(theory.rightHalf(p), 3),
      ...times(of).map((t) => digits(t, 2)),
    ],
  );
passage('truth', doubleWell, density);
fits.forEach(({ name, learned, density }) => passage(name, learned, density));
for (const key of ['truth', 'learned'] as const)
  row(
    `${key === 'truth' ? 'truth' : fits[3].name}, 2000 paths`,
    ...['', '', ...simulated[key].map((t) => plusMinus(t.mean, t.standardError, 2))],
  );

const drawing = picture({
  ...{ record, fits, errors, schemes, h, density, truth: doubleWell, simulated },
  passages: [doubleWell, ...fits.map(({ learned }) => learned)].map(times),
  sample: theory.simulateStationary(fits[3].learned),
});
const { png, svg } = savePlot('neural_sde', drawing);
console.log(`\npicture:\n  ${png}, ${svg}`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
