/**
 * FFJORD: a continuous normalizing flow learns the density of two circles, whose true density is known; with the exact
 * trace of its Jacobian, and with Hutchinson's estimate of it.
 *
 * After Grathwohl et al., https://arxiv.org/abs/1810.01367. Run it with `npm run example cnf`; with `-- --full` it trains
 * three times as long, at half the rate. A picture and an animation land in out/.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { embeddedBackend } from './lib/backend.js';
import { animation, picture, snapshots } from './lib/cnf_figures.js';
import {
  carried,
  coarse,
  fine,
  Flow,
  lattice,
  logDensities,
  lossOfBatches,
  probeStatistics,
  roundTrip,
} from './lib/cnf.js';
import { savePlot } from './lib/plot.js';
import { trainingProgress } from './lib/progress.js';
import { minimize, random } from './lib/training.js';
import * as circles from './lib/two_circles.js';
import { mean } from './lib/numbers.js';

const { description } = await embeddedBackend('wasm');
const started = performance.now();
console.log(`backend: ${description}`);
console.log(
  'solver: rk4_classic in training, dopri5 for the numbers; gradients by odeintAdjoint: checkpoint\n',
);

// The longer the training and the higher its rate, the more of the solver's errors the flow finds out to use.
const [iterations, rate] = process.argv.includes('--full') ? [1800, 0.03] : [600, 0.06];
const batch = 256;
const held = circles.sampler(12, 'independent')(10000);

function train(name: string, hutchinson: boolean) {
  const flow = new Flow();
  const draw = circles.sampler(1, 'even');
  const losses: number[] = [];
  const progress = trainingProgress(name, iterations);
  const each = (i: number, loss: number) => progress.update(losses.push(loss) && i, loss);
  try {
    const loss = lossOfBatches(flow, () => draw(batch), hutchinson);
    minimize(loss, flow.variables, { iterations, rate, each });
  } finally {
    progress.stop();
  }
  return { flow, losses, logs: logDensities(flow, held) };
}

const exact = train('exact trace', false);
const hutchinson = train("Hutchinson's", true);

const exactly = held.map(circles.logDensity);
const seen = circles.sampler(1, 'even')(iterations * batch);
const kernels = (count: number) => {
  const points = circles.sampler(2, 'independent')(count);
  const width = circles.bestWidth(points, circles.sampler(3, 'independent')(1000), [
    ...[0.01, 0.014, 0.02, 0.028, 0.04, 0.056],
  ]);
  return held.map(circles.kernelDensity(points, width));
};
const rows = [
  { name: 'the true density', logs: exactly },
  { name: `kernels on ${seen.length} points`, logs: kernels(seen.length) },
  { name: 'kernels on 4000 points', logs: kernels(4000) },
  { name: 'flow, exact trace', logs: exact.logs },
  { name: "flow, Hutchinson's", logs: hutchinson.logs },
  { name: 'normal distribution', logs: held.map(circles.fittedNormal(seen)) },
].map(({ name, logs }) => {
  const missing = exactly.map((x, i) => x - logs[i]);
  const below = mean(missing);
  const error = Math.sqrt(mean(missing.map((x) => (x - below) ** 2)) / missing.length);
  return { name, log: mean(logs), below, error };
});
console.log(`\nmean log-likelihood of ${held.length} points held out, in nats   below the truth`);
for (const { name, log, below, error } of rows) {
  const difference = name === 'the true density' ? '' : `${below.toFixed(4)} +- ${error.toFixed(4)}`;
  console.log(`  ${name.padEnd(44)} ${log.toFixed(4).padStart(9)}   ${difference.padStart(17)}`);
}
console.log(
  `  (the true density, closed form: ${circles.meanLogDensity().toFixed(4)} on average over all points)`,
);

const [few, many] = [coarse(0), fine].map((solver) => mean(logDensities(exact.flow, held, solver)));
const { normal } = random(11);
const normals = Array.from({ length: 10000 }, () => [normal(), normal()]);
const samples = carried(exact.flow, normals, 0, 1);
const [half, count] = [2.2, 177];
const learned = logDensities(exact.flow, lattice(half, count));
const total = mean(learned.map(Math.exp)) * count ** 2 * ((2 * half) / (count - 1)) ** 2;
const probes = probeStatistics(exact.flow, held.slice(0, 500), 400, 5);
console.log('\nof the flow trained with the exact trace');
console.log(`  log-likelihood by 8 steps of rk4_classic ${few.toFixed(4)}, by dopri5 ${many.toFixed(4)}`);
console.log(`  integral of its density over the square |x|, |y| < ${half}: ${total.toFixed(5)}`);
console.log(
  `  back to the normal distribution and forth: ${roundTrip(exact.flow, held).toExponential(1)} at most`,
);
console.log(
  `  radii of 10000 samples: largest distance of distribution functions ${circles.radialDistance(samples).toFixed(4)}`,
);
console.log(
  `  Hutchinson: one probe has a standard deviation of ${probes.spread.toFixed(2)}; the mean of 400 is ` +
    `${probes.miss.toFixed(2)} of its standard error from the trace`,
);

const frames = snapshots(exact.flow, normals.slice(0, 1500), half);
const { png, svg } = savePlot(
  'cnf',
  picture({ frames, half, rows, samples, losses: [exact.losses, hutchinson.losses] }),
);
mkdirSync('out', { recursive: true });
writeFileSync('out/cnf_animation.png', animation(frames, half));
console.log(`\npicture:\n  ${png}, ${svg}\nanimation:\n  out/cnf_animation.png`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
[exact, hutchinson].forEach(({ flow }) => flow.dispose());
