/**
 * torchdiffeq's spiral demo, and its loss beside torchdiffeq's: a network learns `y' = y^3 A` from short pieces of one
 * trajectory, from the weights and with the batches that torchdiffeq had (test/reference/spiral.py).
 *
 * Run it with `npm run example spiral`; `npm run example spiral -- 200 3` stops after 200 iterations, from seed 3 of 0 to
 * 4. Pictures land in out/.
 */
import { embeddedBackend } from './lib/backend.js';
import { trainingProgress } from './lib/progress.js';
import {
  distance,
  loadReference,
  plainNetwork,
  SpiralTraining,
  times,
  trajectory,
  trueField,
  trueTrajectory,
  type PlainField,
} from './lib/spiral.js';
import { savePictures } from './lib/spiral_figures.js';
import { mean } from './lib/numbers.js';

const { description } = await embeddedBackend('cpu');
const started = performance.now();
const reference = loadReference();
const every = reference.test_frequency;
const [iterations, seed] = readArguments();
console.log(`backend: ${description}`);
console.log(
  `solver: dopri5, gradients by odeintAdjoint: checkpoint; ${iterations} iterations, seed ${seed}\n`,
);

/** The network at one evaluation. */
interface Evaluation {
  iteration: number;
  loss: number;
  field: PlainField;
  y: ArrayLike<number>[];
}

/** Trains, and looks at the whole trajectory every 20 iterations. */
function train(): { losses: number[]; best: Evaluation } {
  const training = new SpiralTraining(reference.seeds[seed], seed);
  const progress = trainingProgress('spiral', iterations);
  const evaluate = (iteration: number): Evaluation => {
    const field = plainNetwork(training.weights);
    const y = trajectory(field);
    return { iteration, loss: distance(y, training.truth), field, y };
  };
  let best = evaluate(0);
  const losses = [best.loss];
  try {
    for (let iteration = 1; iteration <= iterations; iteration++) {
      training.step();
      if (iteration % every !== 0) continue;
      const now = evaluate(iteration);
      losses.push(now.loss);
      if (now.loss < best.loss) best = now;
      progress.update(iteration, now.loss);
    }
  } finally {
    progress.stop();
    training.dispose();
  }
  return { losses, best };
}

/** Single evaluations scatter by a factor of five once the network is good, in torchdiffeq too: so means are compared. */
function printComparison(losses: number[]): void {
  const last = Math.min(25, losses.length - 1);
  const upTo = (all: number[]) => all.slice(1, losses.length);
  const columns = ['tfjs-diffeq', 'torchdiffeq', 'its seeds'];
  if (seed === 0) columns.splice(2, 0, 'weights +- 2e-6');
  console.log('\nloss of the whole trajectory, mean |y - truth|:');
  console.log(`  ${''.padEnd(32)}${columns.map((name) => name.padEnd(17)).join('')}`);
  const row = (name: string, of: (all: number[]) => number) => {
    const range = (runs: number[][]) => {
      const values = runs.map(of);
      return `${Math.min(...values).toFixed(3)} - ${Math.max(...values).toFixed(3)}`;
    };
    const cells = [of(losses).toFixed(3), of(reference.losses[seed]).toFixed(3), range(reference.losses)];
    if (seed === 0) cells.splice(2, 0, range(reference.losses_perturbed));
    console.log(`  ${name.padEnd(32)}${cells.map((cell) => cell.padEnd(17)).join('')}`);
  };
  row('before training', (all) => all[0]);
  for (const at of [20, 40, 60])
    if (at <= iterations) row(`after ${at} iterations`, (all) => all[at / every]);
  row(`mean of iterations ${iterations - (last - 1) * every}-${iterations}`, (all) =>
    mean(upTo(all).slice(-last)),
  );
  row('lowest', (all) => Math.min(...upTo(all)));
}

function readArguments(): [number, number] {
  const most = (reference.losses[0].length - 1) * every;
  const [count = most, first = 0] = process.argv.slice(2).map(Number);
  if (count % every !== 0 || !(count > 0 && count <= most) || reference.losses[first] === undefined) {
    throw new Error(
      `arguments are ${process.argv.slice(2).join(' ')}; expected iterations, a multiple of ${every} up to ${most}, and ` +
        `a seed from 0 to ${reference.losses.length - 1}.`,
    );
  }
  return [count, first];
}

const { losses, best } = train();
printComparison(losses);
console.log('\npictures:');
for (const { png, svg } of savePictures({
  ...{ times, losses, every, best },
  truth: { field: trueField, y: trueTrajectory() },
  reference: {
    sameStart: reference.losses[seed],
    runs: [...reference.losses, ...reference.losses_perturbed],
  },
})) {
  console.log(`  ${png}, ${svg}`);
}
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
