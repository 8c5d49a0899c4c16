/**
 * A ResNet whose blocks are replaced by one block that is integrated from t = 0 to 1: an ODE-Net, beside its twin, on
 * handwritten digits.
 *
 * After Chen et al., https://arxiv.org/abs/1806.07366, section 3. Run it with `npm run example odenet_mnist`; with `-- --full`
 * it trains four times as long, and once more with `adjoint: 'backsolve'`. The picture lands in out/.
 */
import * as tf from '@tensorflow/tfjs-core';
import { repairGradients } from 'tfjs-diffeq';
import { embeddedBackend } from './lib/backend.js';
import { accuracy } from './lib/classification.js';
import { digits } from './lib/digits.js';
import { batches, Classifier, defaultSolver, patches, type SolverOptions } from './lib/odenet_mnist.js';
import { drawing, type Reading, type Step, type Tolerance } from './lib/odenet_mnist_figures.js';
import { savePlot } from './lib/plot.js';
import { trainingProgress } from './lib/progress.js';
import { minimize } from './lib/training.js';
import { mean, percent } from './lib/numbers.js';

const { description } = await embeddedBackend('wasm');
// tfjs, imported just now, has brought its own again. The ResNet, trained without any solver, would be slower with them.
repairGradients();
const started = performance.now();
console.log(`backend: ${description}`);
const full = process.argv.includes('--full');
const iterations = full ? 2400 : 600;
const batchSize = 32;
const { rtol, atol } = defaultSolver;
const { seen, heldBack } = digits();
console.log(`solver: dopri5, rtol ${rtol}, atol ${atol}, gradients by odeintAdjoint: checkpoint`);
console.log(
  `${seen.count} digits seen, ${heldBack.count} held back; ${iterations} batches of ${batchSize}\n`,
);

interface Run {
  net: Classifier;
  steps: Step[];
  /** Of the processor, for all iterations. */
  time: number;
  accuracy: number;
}

const resnet = train('ResNet', 6);
const odenet = train('ODE-Net', 'ode');
const runs: [string, Run][] = [
  ['ResNet', resnet],
  ['ODE-Net', odenet],
];
if (full) runs.push(['ODE-Net, backsolve', train('ODE-Net, backsolve', 'ode', 'backsolve')]);

console.log('\n                      parameters   held-back accuracy   error   processor time / ResNet');
for (const [name, { net, accuracy, time }] of runs) {
  const { count } = heldBack;
  const error = Math.sqrt((accuracy * (1 - accuracy)) / count);
  const cells = [
    String(net.parameters).padStart(10),
    `${percent(accuracy)} +- ${percent(error)}`.padStart(20),
    percent(1 - accuracy).padStart(7),
    (time / resnet.time).toFixed(1).padStart(25),
  ];
  console.log(`  ${name.padEnd(20)}${cells.join(' ')}`);
}
const ratio = odenet.net.parameters / resnet.net.parameters;
console.log(`parameters of the ODE-Net / of the ResNet: ${ratio.toFixed(2)}`);
console.log(
  'published, for 60000 images of 28 x 28 and 160 epochs (https://arxiv.org/abs/1806.07366, table 1):',
);
console.log(
  '  ResNet 0.60 million parameters, error 0.41 %; ODE-Net 0.22 million, 0.42 %: 0.37 of the parameters',
);
console.log(`  here ${seen.count} images, ${((iterations * batchSize) / seen.count).toFixed(1)} epochs`);

console.log('\nevaluations of f as the training goes, means over a sixth of it');
console.log('  iterations      loss   forward   backward');
for (let i = 0; i < 6; i++) {
  const part = odenet.steps.slice((i * iterations) / 6, ((i + 1) * iterations) / 6);
  const meanOf = (of: (step: Step) => number) => mean(part.map(of));
  const range = `${part[0].iteration}-${part[part.length - 1].iteration}`;
  const cells = [meanOf((s) => s.loss).toFixed(3), meanOf((s) => s.forward).toFixed(1)];
  console.log(
    `  ${range.padEnd(10)} ${cells.map((c) => c.padStart(9)).join(' ')} ${meanOf((s) => s.backward)
      .toFixed(1)
      .padStart(10)}`,
  );
}

const tolerances = sweep(odenet.net, 1000);
console.log('\nthe trained ODE-Net at other tolerances, on 1000 held-back digits');
console.log('  tolerance   evaluations   rms difference of y(1) from 1e-6   accuracy');
for (const { tolerance, evaluations, difference, accuracy } of tolerances) {
  const cells = [String(evaluations).padStart(13), difference.toExponential(1).padStart(34)];
  console.log(`  ${String(tolerance).padStart(9)} ${cells.join(' ')} ${percent(accuracy).padStart(10)}`);
}
compareAdjoints(odenet.net);
const readings = along(odenet.net, 1000);
const early = [0, 5, 10, 15, 20].map((i) => `t = ${readings[i].t}: ${percent(readings[i].accuracy)}`);
console.log(`\naccuracy on them if the integration stopped at\n  ${early.join(', ')}`);

const { png, svg } = savePlot(
  'odenet_mnist',
  drawing({
    resnet: resnet.steps,
    odenet: odenet.steps,
    tolerances,
    readings,
    accuracies: [resnet.accuracy, odenet.accuracy],
    parameters: [resnet.net.parameters, odenet.net.parameters],
    caption:
      `${seen.count} digits seen, ${heldBack.count} held back; ${iterations} batches of ${batchSize}. dopri5, tolerances ` +
      `${rtol}; odeintAdjoint: checkpoint; Adam.\nPublished for 60000 digits and 160 epochs: errors of 0.41 and 0.42 %.`,
  }),
);
for (const [, { net }] of runs) net.dispose();
console.log(`\npicture:\n  ${png}, ${svg}`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);

function train(name: string, kind: 'ode' | number, adjoint: SolverOptions['adjoint'] = 'checkpoint'): Run {
  const net = new Classifier(kind, { solver: { ...defaultSolver, adjoint } });
  const next = batches(seen, batchSize);
  const steps: Step[] = [];
  let forward = 0;
  const before = process.cpuUsage();
  const loss = () => {
    net.evaluations = 0;
    const value = net.loss(next());
    forward = net.evaluations;
    return value;
  };
  const progress = trainingProgress(name, iterations);
  const each = (iteration: number, value: number) => {
    steps.push({ iteration, loss: value, forward, backward: net.evaluations - forward });
    progress.update(iteration, value);
  };
  try {
    minimize(loss, net.variables, { iterations, rate: 0.01, each });
  } finally {
    progress.stop();
  }
  const time = process.cpuUsage(before).user;
  return { net, steps, time, accuracy: net.accuracy(heldBack) };
}

/** The state at t = 1 from loose and tight tolerances, and the digits that are read from it. */
function sweep(net: Classifier, count: number): Tolerance[] {
  const x = patches(heldBack, range(count));
  const exact = tf.tidy(() => tf.gather(net.flow(x, [0, 1], 1e-6).states, 1));
  const size = tf.tidy(() => tf.mean(tf.square(exact)).dataSync()[0]);
  const rows = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5].map((tolerance) =>
    tf.tidy(() => {
      const { states, evaluations } = net.flow(x, [0, 1], tolerance);
      const y = tf.gather(states, 1);
      const difference = Math.sqrt(tf.mean(tf.squaredDifference(y, exact)).dataSync()[0] / size);
      return { tolerance, evaluations, difference, accuracy: read(net, y) };
    }),
  );
  tf.dispose([x, exact]);
  return rows;
}

/** The part of the first held-back digits that is read rightly from their states. */
function read(net: Classifier, y: tf.Tensor): number {
  return accuracy(net.back(y).dataSync<'float32'>(), heldBack.labels.subarray(0, y.shape[0]));
}

function compareAdjoints(net: Classifier): void {
  const batch = batches(seen, batchSize, 2)();
  const results = (['checkpoint', 'backsolve'] as const).map((adjoint) => {
    net.solver = { ...defaultSolver, adjoint };
    return net.gradient(batch);
  });
  net.solver = defaultSolver;
  const [exact, other] = results.map(({ values }) => values);
  const norm = (v: Float32Array) => Math.hypot(...v);
  const difference = norm(exact.map((x, i) => x - other[i])) / norm(exact);
  console.log(
    `\none gradient: backsolve differs from checkpoint by ${percent(difference)}; evaluations backward: checkpoint ` +
      `${results[0].backward}, backsolve ${results[1].backward}`,
  );
  batch.x.dispose();
}

/** The accuracy if the integration stopped at t: what the linear layer, which learned to read y(1), reads from y(t). */
function along(net: Classifier, count: number): Reading[] {
  const t = range(21).map((i) => i / 20);
  return tf.tidy(() => {
    const { states } = net.flow(patches(heldBack, range(count)), t, rtol);
    return tf.unstack(states).map((y, i) => ({ t: t[i], accuracy: read(net, y) }));
  });
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
