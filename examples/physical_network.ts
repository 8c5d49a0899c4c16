/**
 * A plate, a circuit and a crystal that classify: physical systems as layers of a network, trained by the gradients of an
 * imperfect model of them, beside a training on the model alone and beside one that knows the system. And a chain of
 * oscillators that is trained to be a convolution.
 *
 * After Wright et al., https://doi.org/10.1038/s41586-021-04223-6. Run it with `npm run example physical_network`; `-- --full`
 * trains three copies of each system, with other errors, on both tasks. The picture lands in out/.
 */
import * as tf from '@tensorflow/tfjs-core';
import { embeddedBackend } from './lib/backend.js';
import { digits } from './lib/digits.js';
import {
  answer,
  convolve,
  impulseResponse,
  kernels,
  kernelTimes,
  KernelTraining,
  relativeDifference,
} from './lib/physical_convolution.js';
import { coupledWaves, crystal, crystalParameters } from './lib/physical_light.js';
import {
  accuracy,
  Laboratory,
  modelError,
  PhysicalNetwork,
  softmaxRegression,
  train,
  trainings,
  type Task,
} from './lib/physical_network.js';
import { picture, type Result } from './lib/physical_network_figures.js';
import {
  circuit,
  circuitParameters,
  linearPlate,
  plate,
  plateParameters,
  type Build,
  type Parameters,
} from './lib/physical_systems.js';
import { savePlot } from './lib/plot.js';
import { trainingProgress } from './lib/progress.js';
import { vowelTask } from './lib/vowels.js';
import { percent } from './lib/numbers.js';

const { description } = await embeddedBackend('wasm');
const started = performance.now();
console.log(`backend: ${description}`);
console.log('solver: rk4_classic, gradients by odeintAdjoint: checkpoint\n');

const full = process.argv.includes('--full');
const iterations = 120;
const spread = 0.1;
const noise = { drive: 0.02, readout: 0.02 };

const vowels = vowelTask({ seen: 4000, heldBack: 2000 });
const tasks: Record<string, Task> = { vowels, digits: digitTask() };
type System = [build: Build<Parameters>, meant: Parameters];
const systems: Record<string, System> = {
  plate: [plate as Build<Parameters>, plateParameters],
  circuit: [circuit as Build<Parameters>, circuitParameters],
  crystal: [crystal as Build<Parameters>, crystalParameters],
};

console.log(
  `vowels: drawn from normal distributions with the means and covariances of Peterson & Barney's record,`,
);
console.log(
  `  ${vowels.seen.labels.length} to learn from, ${vowels.heldBack.labels.length} held back; four features, ten words`,
);
console.log(
  `digits: MNIST reduced to 8 x 8, ${tasks.digits.seen.labels.length} to learn from, ` +
    `${tasks.digits.heldBack.labels.length} held back`,
);
console.log(
  `mismatch: every parameter of a system off by ${100 * spread} %; noise: ${noise.drive} in controls and readouts\n`,
);

checkSimulators();
const linear = Object.fromEntries(
  Object.entries(tasks).map(([name, task]) => [name, softmaxRegression(task)]),
);
const pairs = full
  ? Object.keys(systems).flatMap((system) => ['digits', 'vowels'].map((task) => [system, task]))
  : [
      ['plate', 'digits'],
      ['circuit', 'vowels'],
      ['crystal', 'vowels'],
    ];
const results: Result[] = [];
for (const [system, task] of pairs)
  for (const seed of full ? [1, 2, 3] : [1]) results.push(experiment(system, task, seed));

const header = ['in silico,', 'in silico,', 'physics-', '', 'softmax', 'best'];
const header2 = ['on model', 'on system', 'aware', 'ideal', 'regression', 'possible'];
const cells = (texts: string[]) => texts.map((text) => text.padStart(12)).join('');
console.log(
  `\naccuracy on samples held back  model off by${cells(header)}\n${' '.repeat(43)}${cells(header2)}`,
);
for (const r of results) {
  const { system, task, seed, off, used } = r;
  const best = task === 'vowels' ? percent(vowels.bayes, 1) : '';
  const row = [r.believed, used['in silico'], used['physics-aware'], used.ideal, linear[task]].map((x) =>
    percent(x, 1),
  );
  console.log(
    `  ${`${system} ${seed}, ${task}`.padEnd(29)}${percent(off, 1).padStart(12)}${cells([...row, best])}`,
  );
}
const convolution = trainConvolution();

const { png, svg } = savePlot(
  'physical_network',
  picture({ results, linear, bayes: vowels.bayes, convolution, spread, noise }),
);
console.log(`\npicture:\n  ${png}, ${svg}`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);

/** The simulators in the steps that the networks take, beside closed forms. */
function checkSimulators(): void {
  const unstretched = { ...plateParameters, stretch: 0 };
  const optics = coupledWaves(0);
  const simulated = plate(unstretched);
  const u = Array.from({ length: simulated.controls }, (_, i) => Math.sin(i));
  const amplitude = 1.5;
  const [deflections, fields] = tf.tidy(() => [
    simulated.run(tf.tensor2d([u])).arraySync() as number[][],
    optics.propagate(tf.tensor2d([[amplitude], [0], [0], [0]])).arraySync() as number[][],
  ]);
  simulated.dispose();
  optics.dispose();
  const [, , re, im] = fields.map(([x]) => x / amplitude);
  const energy = fields.reduce((sum, [x]) => sum + (x / amplitude) ** 2, 0);
  const off = relativeDifference(deflections, [linearPlate(unstretched, u)]);
  console.log(`plate without stretching: ${percent(off, 1)} from the closed form of its modes`);
  console.log(
    `crystal without mismatch: converts ${percent(re ** 2 + im ** 2, 1)}, closed form tanh(${amplitude})^2 = ` +
      `${percent(Math.tanh(amplitude) ** 2, 1)}; keeps ${percent(energy)} of the energy\n`,
  );
}

/** Images 8 x 8, as long as the 24 x 24 pixels in the middle, the mean grey about zero. */
function digitTask(): Task {
  const { seen, heldBack } = digits({ size: 8, window: 24 });
  const samples = ({ images, labels }: typeof seen) => ({ x: images.map((ink) => 2 * (ink - 0.2)), labels });
  return { features: 64, classes: 10, seen: samples(seen), heldBack: samples(heldBack) };
}

/** The three trainings of one system, from the same weights, on the same batches. */
function experiment(system: string, task: string, seed: number): Result {
  const laboratory = new Laboratory(...systems[system], { spread, noise, seed });
  const { features, heldBack } = tasks[task];
  const off = modelError(laboratory, 1);
  let believed = 0;
  const used = {} as Result['used'];
  const allLosses = {} as Result['losses'];
  for (const training of trainings) {
    const network = new PhysicalNetwork(tasks[task], laboratory.model, seed);
    const layer = laboratory.layer(training);
    const losses: number[] = [];
    const progress = trainingProgress(`${system} ${seed}, ${task}, ${training}`, iterations);
    const each = (i: number, loss: number) => progress.update(losses.push(loss), loss);
    try {
      train((x) => network.run(x, layer), network.variables, tasks[task], {
        iterations,
        batch: 64,
        rate: 0.03,
        seed,
        each,
      });
    } finally {
      progress.stop();
    }
    const measure = (l: typeof layer) => accuracy((x) => network.run(x, l), heldBack, features);
    used[training] = measure(laboratory.used);
    if (training === 'in silico') believed = measure(laboratory.believed);
    allLosses[training] = losses;
    network.dispose();
  }
  laboratory.dispose();
  return { system, task, seed, off, believed, used, losses: allLosses };
}

/** Impulse responses before and after, and a digit scanned line by line by the one that looks for edges. */
function trainConvolution() {
  const [step, tail, chosen] = [0.3, 14, 1];
  const training = new KernelTraining();
  const before = training.solved();
  training.train(full ? 1000 : 300);
  const after = training.solved();
  const chains = training.chains();
  training.dispose();
  const wanted = kernels.map(({ value }) => kernelTimes.map(value));
  const closed = chains.map((chain) => kernelTimes.map(impulseResponse(chain)));
  const { heldBack } = digits();
  const five = heldBack.labels.indexOf(5);
  const image = heldBack.images.subarray(five * 28 ** 2, (five + 1) * 28 ** 2);
  const rows = Array.from({ length: 28 }, (_, i) => Array.from(image.subarray(28 * i, 28 * i + 28)));
  const answers = chains.map((chain) => answer(chain, rows, step, tail));
  const exact = chains.map((chain) => convolve(impulseResponse(chain), rows, step, tail));
  const ideal = kernels.map(({ value }) => convolve(value, rows, step, tail));
  console.log('\ncontrollable convolution, relative rms difference:');
  console.log(
    `                 kernel and target    kernel, solver    answer to an image, solver     answer and that`,
  );
  console.log(
    `                 before      after    and closed form   and closed form's integral     of the target`,
  );
  kernels.forEach(({ name }, i) => {
    const texts = [
      relativeDifference([before[i]], [wanted[i]]).toPrecision(2).padStart(16),
      relativeDifference([closed[i]], [wanted[i]]).toPrecision(2).padStart(11),
      relativeDifference([after[i]], [closed[i]]).toPrecision(2).padStart(19),
      relativeDifference(answers[i], exact[i]).toPrecision(2).padStart(29),
      relativeDifference(answers[i], ideal[i]).toPrecision(2).padStart(20),
    ];
    console.log(`  ${name.padEnd(7)}${texts.join('')}`);
  });
  return {
    ...{ before: before[chosen], after, wanted, closed },
    ...{ rows, answer: answers[chosen], ideal: ideal[chosen] },
  };
}
