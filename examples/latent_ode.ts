/**
 * A Latent ODE: a recurrent network reads noisy, irregular observations of a spiral backward in time and says with which state
 * of a neural ODE it began; the ODE goes on from there, between the observations and beyond them.
 *
 * After Chen et al., https://arxiv.org/abs/1806.07366, and Rubanova et al., https://arxiv.org/abs/1907.03907. Run it with
 * `npm run example latent_ode`; with `-- --full` it trains five times as long. The picture lands in out/.
 */
import * as tf from '@tensorflow/tfjs-core';
import { embeddedBackend } from './lib/backend.js';
import {
  batchOf,
  densities,
  directionsApart,
  drawTimes,
  interval,
  LatentOde,
  NextObservation,
  noise,
  points,
  position,
  residual,
  spiralSet,
  type Batch,
} from './lib/latent_ode.js';
import { latentOdeFigure } from './lib/latent_ode_figures.js';
import { savePlot } from './lib/plot.js';
import { trainingProgress } from './lib/progress.js';
import { minimize, random } from './lib/training.js';

const { description } = await embeddedBackend('wasm');
const started = performance.now();
console.log(`backend: ${description}`);
console.log('solver: rk4_classic, gradients by odeintAdjoint: checkpoint\n');

const longer = process.argv.includes('--full') ? 5 : 1;
const seen = spiralSet(1000, 1);
const held = spiralSet(200, 2);
const size = 64;

/** Batches that read 30, 50 and 100 observations in turn; half as many later ones are to be foretold. */
function* batches(seed: number): Generator<Batch, never> {
  const { uniform } = random(seed);
  for (let i = 0; ; i++) {
    const members = Array.from({ length: size }, () => Math.floor(seen.spirals.length * uniform()));
    const count = densities[i % densities.length];
    const [now, later] = [drawTimes(count, uniform), drawTimes(count / 2, uniform, points)];
    // The spirals of a batch share their times while it trains: the decoder has less to say.
    yield batchOf(seen, members, Array(size).fill(now), Array(size).fill(later));
  }
}

const model = new LatentOde();
const iterations = 700 * longer;
const elbos: { iteration: number; elbo: number }[] = [];
const { normal } = random(4);
const drawn = batches(3);
train('Latent ODE', iterations, 0.02, model.variables, (i) => {
  const batch = drawn.next().value;
  const epsilon = tf.tensor2d(Array.from({ length: size * model.dimension }, normal), [
    size,
    model.dimension,
  ]);
  const { elbo, fit, kl } = model.elbo(batch, epsilon);
  elbos.push({ iteration: i + 1, elbo: elbo.dataSync()[0] / batch.count });
  // The divergence counts in full after a third of the iterations: before, it would keep the encoder from saying anything.
  return tf.div(tf.sub(tf.mul(kl, Math.min(1, (3 * i) / iterations)), fit), batch.count);
});
const baseline = new NextObservation();
const again = batches(3);
// As much time as the Latent ODE has.
train('gated recurrent unit', 500 * longer, 0.02, baseline.variables, () => {
  const batch = again.next().value;
  return tf.div(tf.neg(baseline.logLikelihood(batch)), batch.count - 1);
});

function train(
  name: string,
  iterations: number,
  rate: number,
  variables: tf.Variable[],
  loss: (i: number) => tf.Tensor,
): void {
  const progress = trainingProgress(name, iterations);
  try {
    minimize(loss, variables, { iterations, rate, each: (i, loss) => progress.update(i, loss) });
  } finally {
    progress.stop();
  }
}

// Chen et al., table 2: root mean square errors over 100 times beyond the training's, of spirals of their own.
const published = { 30: [0.1642, 0.3937], 50: [0.1502, 0.3202], 100: [0.1346, 0.1813] } as Record<
  number,
  number[]
>;
/** Of the coordinates. */
const rms = (found: tf.Tensor, exact: tf.Tensor) =>
  tf.tidy(() => Math.sqrt(tf.mean(tf.squaredDifference(found, exact)).dataSync()[0]));

const count = held.spirals.length;
const exact = tf.tensor3d(held.exact, [2 * points, count, 2]);
const members = held.spirals.map((_, i) => i);
const evaluations = densities.map((n) => {
  const { uniform } = random(100 + n);
  const times = members.map(() => drawTimes(n, uniform));
  const batch = batchOf(held, members, times);
  const found = model.predict(batch);
  const half = (of: tf.Tensor, from: number) => tf.slice(of, from, points);
  const steps = Math.round(n / 2);
  const every = points / steps;
  // The baseline foretells as many observations as it was trained to, at even times: fewer steps than the ODE's 100 times.
  const firstGap = times.map((t) => (points - t[n - 1]) * interval);
  const foretold = baseline.extrapolate(batch, firstGap, every * interval, steps);
  const then = Array.from({ length: steps }, (_, i) => (points + i * every) * interval);
  const result = {
    n,
    residual: residual(batch, found),
    between: rms(half(found, 0), half(exact, 0)),
    beyond: rms(half(found, points), half(exact, points)),
    recurrent: tf.tidy(() =>
      rms(foretold, tf.tensor3d(then.map((t) => held.spirals.map((s) => position(s, t))))),
    ),
    found: found.dataSync().slice(),
    codes: tf.tidy(() => model.encode(batch)[0].arraySync() as number[][]),
    times,
  };
  tf.dispose([found, foretold]);
  return result;
});

console.log(`\n${count} spirals held back, noise ${noise}; rms of`);
console.log(
  '                 residuals   error between,  error beyond: Latent ODE  recurrent unit  (published: 2018)',
);
for (const { n, residual, between, beyond, recurrent } of evaluations) {
  const [latent, plain] = published[n];
  console.log(
    `  ${String(n).padStart(3)} of 100 seen ${residual.toFixed(3).padStart(8)} ${between.toFixed(3).padStart(15)} ` +
      `${beyond.toFixed(3).padStart(25)} ${recurrent.toFixed(3).padStart(18)}   (${latent}, ${plain})`,
  );
}
const extent = tf.tidy(() => rms(tf.slice(exact, points, points), tf.zeros([points, count, 2])));
console.log(`  the truth itself, beyond: ${extent.toFixed(3)}`);
console.log('the mean of q(z0) tells directions apart: spirals whose nearest neighbour runs the same way,');
for (const { n, codes } of evaluations)
  console.log(
    `  ${String(n).padStart(3)} of 100 seen: ${(100 * directionsApart(codes, held.spirals)).toFixed(1)} %`,
  );

const figure = latentOdeFigure({ held, evaluations, elbos });
tf.dispose(exact);
const { png, svg } = savePlot('latent_ode', figure);
console.log(`\npicture:\n  ${png}, ${svg}`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
