/**
 * The main example: two differential equations learn the Hudson's Bay record of hare and lynx, 1900-1920.
 *
 * 1. A Lotka-Volterra model whose four rates and two initial values are variables, fitted on the log scale and
 *    compared with a published Bayesian fit.
 * 2. A neural ODE on log populations, trained on the first 15 years and judged on the 6 that were held back.
 *
 * Run it with `npm start`. Pictures land in out/.
 */
import type * as tfjs from '@tensorflow/tfjs';
import { odeint, odeintAdjoint } from 'tfjs-diffeq';
import { carpenter2018, hudsonBay } from './data/hudson_bay.js';
import { pickBackend } from './lib/backend.js';
import { savePictures, type Fit, type Populations, type Rates } from './lib/hare_lynx_figures.js';
import { trainingProgress } from './lib/progress.js';
import { mean } from './lib/numbers.js';

const { tf, description } = await pickBackend('cpu');
const started = performance.now();

// Steps of half a year are accurate to well below the scatter of the record; the accuracy is printed with the fit.
const solver = { method: 'rk4', stepSize: 0.5 } as const;
// A backward solve is enough for Lotka-Volterra. A network in training has fields that forget where they came from, and
// cannot be solved backward in steps of half a year: it gets the exact gradient of its steps.
const gradients = { lotkaVolterra: 'backsolve', neuralOde: 'checkpoint' } as const;
console.log(`backend: ${description}`);
console.log(
  `solver: ${solver.method}, step ${solver.stepSize} years, gradients by odeintAdjoint:\n` +
    `  ${gradients.lotkaVolterra} for Lotka-Volterra, ${gradients.neuralOde} for the neural ODE\n`,
);

const years = hudsonBay.year.length;
const trainYears = 15;
const logRecord = hudsonBay.hare.map((hare, i) => [Math.log(hare), Math.log(hudsonBay.lynx[i])]);
const yearsFrom0 = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** One stage of a training: its name in the picture, a loss to minimise, for how long, how fast. */
interface Stage {
  stage: string;
  iterations: number;
  learningRate: number;
  loss: () => tfjs.Tensor;
}

/** Minimises the stages' losses one after the other with Adam; each stops early once it has converged. */
function train(name: string, stages: Stage[]): Fit['training'] {
  const total = stages.reduce((sum, { iterations }) => sum + iterations, 0);
  const progress = trainingProgress(name, total);
  let planned = 0;
  let outcome = 'all iterations used';
  try {
    return stages.map(({ stage, iterations, learningRate, loss }) => {
      const adam = tf.train.adam(learningRate);
      const losses: number[] = [];
      while (losses.length < iterations && !hasConverged(losses)) {
        const value = tf.tidy(() => adam.minimize(() => loss() as tfjs.Scalar, true)!.dataSync()[0]);
        losses.push(value);
        progress.update(planned + losses.length, value);
      }
      if (hasConverged(losses)) outcome = 'converged';
      planned += iterations;
      adam.dispose();
      return { stage, loss: losses };
    });
  } finally {
    progress.stop(outcome);
  }
}

/** Whether the mean of the last ten losses is within 0.1 % of that of the ten before. */
function hasConverged(losses: number[]): boolean {
  if (losses.length < 40) return false;
  const [before, now] = [mean(losses.slice(-20, -10)), mean(losses.slice(-10))];
  return Math.abs(before - now) < 1e-3 * before;
}

// --- 1. Lotka-Volterra -----------------------------------------------------------------------------------------

function fitLotkaVolterra(count: number): Fit & { rates: Rates; start: number[] } {
  // On the log scale every rate and population stays positive, and both animals weigh the same.
  const logRates = tf.variable(tf.tensor1d(firstGuess().map(Math.log)), true, 'logRates');
  const logStart = tf.variable(tf.tensor1d(logRecord[0]), true, 'logStart');
  // d log(hare)/dt = alpha - beta lynx, d log(lynx)/dt = delta hare - gamma
  const field = (_t: tfjs.Tensor, logs: tfjs.Tensor): tfjs.Tensor => {
    const [alpha, beta, gamma, delta] = tf.unstack(tf.exp(logRates));
    const [hare, lynx] = tf.unstack(tf.exp(logs));
    return tf.stack([tf.sub(alpha, tf.mul(beta, lynx)), tf.sub(tf.mul(delta, hare), gamma)]);
  };
  const known = tf.tensor2d(logRecord.slice(0, count));
  const loss = () =>
    tf.losses.meanSquaredError(
      known,
      odeintAdjoint(field, logStart as tfjs.Tensor, yearsFrom0(count), {
        ...solver,
        adjoint: gradients.lotkaVolterra,
      }),
    );
  const name = `Lotka-Volterra, ${count} years`;
  const training = train(name, [{ stage: '', iterations: 150, learningRate: 0.1, loss }]);
  const [alpha, beta, gamma, delta] = tf.tidy(() => tf.exp(logRates).dataSync());
  const start = tf.tidy(() => Array.from(tf.exp(logStart).dataSync()));
  tf.dispose([logRates, logStart, known]);
  const rates = { alpha, beta, gamma, delta };
  const curve = lotkaVolterraCurve(rates, start);
  return { curve, rates, start, training, fittedTo: hudsonBay.year[count - 1] };
}

/** Rates of a cycle of ten years around the mean populations: near the equilibrium its frequency is sqrt(alpha gamma). */
function firstGuess(): number[] {
  const frequency = (2 * Math.PI) / 10;
  return [frequency, frequency / mean(hudsonBay.lynx), frequency, frequency / mean(hudsonBay.hare)];
}

/** The fitted model on plain numbers: the same `odeint`, in float64 and without a tensor. */
function lotkaVolterra({ alpha, beta, gamma, delta }: Rates, start: number[], times: number[], options = {}) {
  const field = (_t: number, [hare, lynx]: Float64Array) => [
    (alpha - beta * lynx) * hare,
    (delta * hare - gamma) * lynx,
  ];
  return odeint(field, start, times, options);
}

function lotkaVolterraCurve(rates: Rates, start: number[]): Populations {
  const times = plotTimes();
  const ys = lotkaVolterra(rates, start, times);
  return {
    year: times.map((t) => t + hudsonBay.year[0]),
    hare: ys.map((y) => y[0]),
    lynx: ys.map((y) => y[1]),
  };
}

function printRates({ rates, start }: { rates: Rates; start: number[] }): void {
  const ours = { ...rates, hare0: start[0], lynx0: start[1] };
  console.log('\n          ours     published (Carpenter 2018)   difference');
  for (const [name, { mean, sd }] of Object.entries(carpenter2018)) {
    const value = ours[name as keyof typeof ours];
    const published = `${mean} (sd ${sd})`.padEnd(26);
    const difference = ((value - mean) / sd).toFixed(1).padStart(4);
    console.log(`${name.padEnd(8)}  ${value.toPrecision(3).padEnd(7)}  ${published}   ${difference} sd`);
  }
}

/** How far the steps of the training are from a solution to seven digits. */
function printAccuracy({ rates, start }: { rates: Rates; start: number[] }): void {
  const ends = [solver, {}].map((options) => lotkaVolterra(rates, start, yearsFrom0(years), options));
  const gaps = ends[0].flatMap((y, i) => Array.from(y, (value, j) => Math.abs(value / ends[1][i][j] - 1)));
  console.log(
    `the steps of the training are within ${(100 * Math.max(...gaps)).toFixed(1)} % of dopri5 at rtol 1e-7\n`,
  );
}

// --- 2. Neural ODE ---------------------------------------------------------------------------------------------

function fitNeuralOde(): Fit {
  const centre = [0, 1].map((j) => mean(logRecord.slice(0, trainYears).map((row) => row[j])));
  const sd = [0, 1].map((j) =>
    Math.sqrt(mean(logRecord.slice(0, trainYears).map((row) => (row[j] - centre[j]) ** 2))),
  );
  const standard = tf.tensor2d(logRecord.map((row) => row.map((value, j) => (value - centre[j]) / sd[j])));
  const scale = tf.tensor1d(sd);
  const weights = initialWeights(2, 16, 2);
  const start = tf.variable(tf.slice(standard, 0, 1), true, 'start');
  const field = (_t: tfjs.Tensor, y: tfjs.Tensor): tfjs.Tensor => {
    const hidden = tf.tanh(tf.add(tf.matMul(y as tfjs.Tensor2D, weights.w1), weights.b1));
    return tf.add(tf.matMul(hidden as tfjs.Tensor2D, weights.w2), weights.b2);
  };
  const exact = { ...solver, adjoint: gradients.neuralOde };
  const meanSquare = (error: tfjs.Tensor) => tf.mean(tf.square(tf.mul(error, scale)));

  // First every window of four years, all at once as a batch: long trajectories of an untrained field teach little.
  const window = 4;
  const starts = tf.slice(standard, 0, trainYears - window);
  const targets = tf.stack(yearsFrom0(window + 1).map((i) => tf.slice(standard, i, trainYears - window)));
  const windowLoss = () =>
    meanSquare(tf.sub(odeintAdjoint(field, starts as tfjs.Tensor, yearsFrom0(window + 1), exact), targets));
  const known = tf.reshape(tf.slice(standard, 0, trainYears), [trainYears, 1, 2]);
  const fullLoss = () =>
    meanSquare(tf.sub(odeintAdjoint(field, start as tfjs.Tensor, yearsFrom0(trainYears), exact), known));
  const training = train('neural ODE', [
    { stage: `windows of ${window} years`, iterations: 200, learningRate: 0.05, loss: windowLoss },
    { stage: `all ${trainYears} years`, iterations: 100, learningRate: 0.003, loss: fullLoss },
  ]);

  const times = plotTimes();
  const logs = tf.tidy(() => {
    const ys = odeint(field, start as tfjs.Tensor, times);
    return tf.exp(tf.add(tf.mul(tf.reshape(ys, [times.length, 2]), scale), tf.tensor1d(centre))).arraySync();
  }) as number[][];
  tf.dispose([standard, scale, start, starts, targets, known, ...Object.values(weights)]);
  return {
    training,
    fittedTo: hudsonBay.year[trainYears - 1],
    curve: {
      year: times.map((t) => t + hudsonBay.year[0]),
      hare: logs.map((y) => y[0]),
      lynx: logs.map((y) => y[1]),
    },
  };
}

function initialWeights(inputs: number, hidden: number, outputs: number) {
  const glorot = (rows: number, columns: number, seed: number) =>
    tf.variable(
      tf.randomNormal([rows, columns], 0, Math.sqrt(2 / (rows + columns)), 'float32', seed),
    ) as tfjs.Variable<tfjs.Rank.R2>;
  return {
    w1: glorot(inputs, hidden, 1),
    b1: tf.variable(tf.zeros([hidden])),
    w2: glorot(hidden, outputs, 2),
    b2: tf.variable(tf.zeros([outputs])),
  };
}

/** Prints the rms error of log populations over the held-back years, beside naive forecasts and the other model's. */
function judge(neural: Populations, mechanistic: Populations): Populations {
  const held = yearsFrom0(years).slice(trainYears);
  const error = (forecast: (year: number) => number[]) =>
    Math.sqrt(
      mean(
        held.flatMap((year) => forecast(year).map((value, j) => (Math.log(value) - logRecord[year][j]) ** 2)),
      ),
    );
  const pelts = (year: number) => [hudsonBay.hare[year], hudsonBay.lynx[year]];
  const along = (curve: Populations) => (year: number) => [
    curve.hare[year * pointsPerYear],
    curve.lynx[year * pointsPerYear],
  ];
  const errors = {
    'neural ODE': error(along(neural)),
    'naive: as ten years before': error((year) => pelts(year - 10)),
    'naive: as in the last year seen': error(() => pelts(trainYears - 1)),
    'Lotka-Volterra fitted to the same years': error(along(mechanistic)),
  };
  const first = hudsonBay.year[trainYears];
  console.log(
    `\nforecast of the held-back years ${first}-${hudsonBay.year[years - 1]}, rms error of log populations:`,
  );
  for (const [name, value] of Object.entries(errors)) console.log(`  ${name.padEnd(40)}${value.toFixed(2)}`);
  const [ours, ...naive] = Object.values(errors);
  const won = ours < Math.min(naive[0], naive[1]);
  console.log(`  -> the neural ODE ${won ? 'beats' : 'does not beat'} the better naive forecast`);
  return {
    year: held.map((year) => hudsonBay.year[year]),
    hare: held.map((year) => hudsonBay.hare[year - 10]),
    lynx: held.map((year) => hudsonBay.lynx[year - 10]),
  };
}

// --- helpers, and the run --------------------------------------------------------------------------------------

const pointsPerYear = 10;
function plotTimes(): number[] {
  return Array.from({ length: (years - 1) * pointsPerYear + 1 }, (_, i) => i / pointsPerYear);
}
const fitted = fitLotkaVolterra(years);
printRates(fitted);
printAccuracy(fitted);
const fittedToSame = fitLotkaVolterra(trainYears);
const neuralOde = fitNeuralOde();
const naive = { name: 'naive: ten years before', forecast: judge(neuralOde.curve, fittedToSame.curve) };

console.log('\npictures:');
for (const { png, svg } of savePictures({ record: hudsonBay, lotkaVolterra: fitted, neuralOde, naive })) {
  console.log(`  ${png}, ${svg}`);
}
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
