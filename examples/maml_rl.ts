/**
 * Model-agnostic meta-learning (https://arxiv.org/abs/1703.03400) on random tabular MDPs (https://arxiv.org/abs/1611.02779):
 * a start for a policy is learned from which one policy-gradient step on a new task goes far. The outer gradient goes through
 * the inner step, by `MetaSGD`. How far, dynamic programming says exactly.
 *
 * What was sampled is a constant of the tape: as in MAML and in TorchOpt's example, the outer gradient leaves out that the
 * start also decides what is sampled (E-MAML, https://arxiv.org/abs/1803.01118, and DiCE, https://arxiv.org/abs/1802.05098, add it).
 *
 * Run it with `npm run example maml_rl`; with `-- --full` it trains four times as long. The picture lands in out/.
 */
import { readFileSync } from 'node:fs';
import { embeddedBackend } from './lib/backend.js';
import { picture, type Curve, type Reference, type Run } from './lib/maml_figures.js';
import { adaptation, MetaTraining, rates } from './lib/maml_rl.js';
import { savePlot } from './lib/plot.js';
import { trainingProgress } from './lib/progress.js';
import * as mdps from './lib/tabular_mdp.js';
import { random } from './lib/training.js';
import { mean } from './lib/numbers.js';

const { description } = await embeddedBackend('wasm');
const started = performance.now();
console.log(`backend: ${description}`);
console.log(`inner steps by MetaSGD, rate ${rates.inner}; outer steps by MetaAdam, rate ${rates.outer}`);
console.log('40 tasks of 20 trajectories per iteration, gamma 0.99, lambda 0.95\n');

const iterations = process.argv.includes('--full') ? 2000 : 500;
const every = iterations / 20;
const steps = 5;
const seeds = [1, 2, 3];
const text = (x: number) => x.toFixed(3).padStart(9);

/** Tasks held out for each seed. */
const heldOut = seeds.map((seed) => {
  const rng = random(770 + seed);
  return Array.from({ length: 400 }, () => mdps.randomMdp(rng));
});
const all = heldOut.flat();
const rng = random(78);
const uniform = all.map((mdp) => mdps.expectedReturn(mdp, mdps.uniformPolicy(mdp)));
const chance = mean(uniform);
const scatter = Math.sqrt(mean(uniform.map((x) => (x - chance) ** 2)) / all.length);
const optimum = mean(all.map(mdps.optimalReturn));
const planned = mean(
  all.map((mdp) => mdps.plannedReturn(mdp, mdps.rollouts(mdp, mdps.uniformPolicy(mdp), 20, rng))),
);

function train(order: 'first' | 'second', seed: number): Run {
  using training = new MetaTraining({ order, seed });
  const tasks = heldOut[seeds.indexOf(seed)];
  /** Mean expected returns of the tasks held out, after 0, 1, ... steps. */
  const evaluate = (steps: number, rate?: number) =>
    adaptation(training.params, tasks, { steps, rate, seed: 500 + seed }).map(mean);
  const untrained = evaluate(steps);
  const longSteps = evaluate(steps, 1);
  const curve: Curve = [];
  let sampled: { before: number; after: number }[] = [];
  const point = (iteration: number, [before, after]: number[]) => {
    const seen = (['before', 'after'] as const).map((key) => mean(sampled.map((x) => x[key])));
    curve.push({ iteration, before, after, seenBefore: seen[0], seenAfter: seen[1] });
    sampled = [];
  };
  using progress = trainingProgress(`${order} order, seed ${seed}`, iterations);
  point(0, untrained);
  for (let i = 1; i <= iterations; i++) {
    const sums = training.iterate();
    sampled.push(sums);
    progress.update(i, sums.loss);
    if (i % every === 0) point(i, evaluate(1));
  }
  return { curve, untrained, longSteps, final: evaluate(steps) };
}

const runs = {
  second: seeds.map((seed) => train('second', seed)),
  first: seeds.map((seed) => train('first', seed)),
};
const average = (runs: Run[], of: (run: Run) => number[]) =>
  of(runs[0]).map((_, i) => mean(runs.map((run) => of(run)[i])));

console.log(`\nsum of rewards, second order, mean of ${seeds.length} seeds`);
console.log('                 sampled tasks           tasks held out, expected');
console.log('iteration      before    after        before    after     gain');
runs.second[0].curve.forEach(({ iteration }, i) => {
  if (i % 4 > 0) return;
  const [a, b, before, after] = (['seenBefore', 'seenAfter', 'before', 'after'] as const).map((key) =>
    mean(runs.second.map(({ curve }) => curve[i][key])),
  );
  const seen = i === 0 ? ' '.repeat(18) : [a, b].map(text).join('');
  const held = [before, after, after - before].map(text).join('');
  console.log(`${String(iteration).padStart(9)}   ${seen}     ${held}`);
});

/** Of the way from the random policy to the best one. */
const closed = (gain: number) => `${((100 * gain) / (optimum - chance)).toFixed(1)} %`;
const row = (name: string, value: number) =>
  console.log(`  ${name.padEnd(48)}${text(value)}${closed(value - chance).padStart(12)}`);
console.log(`\nexpected return, mean of ${all.length} tasks held out; of the way from random to the best`);
row(`random policy (standard error ${scatter.toFixed(2)})`, chance);
row('plan from a model, after 20 episodes as well', planned);
row('best policy, by value iteration', optimum);

const rows: [string, number[]][] = [
  ['no meta-training', average(runs.second, (run) => run.untrained)],
  ['no meta-training, inner rate 1', average(runs.second, (run) => run.longSteps)],
  ['meta-trained, first order', average(runs.first, (run) => run.final)],
  ['meta-trained, second order', average(runs.second, (run) => run.final)],
];
console.log('\ninner steps                              0        1        2        3        4        5');
for (const [name, returns] of rows) {
  console.log(`  ${name.padEnd(31)}${returns.map(text).join('')}`);
  const gains = returns.map((x) => closed(x - returns[0]).padStart(9));
  console.log(`    its gain${' '.repeat(23)}${gains.join('')}`);
}

const file = new URL('../test/reference/maml.json', import.meta.url);
const reference = (JSON.parse(readFileSync(file, 'utf8')) as { training: Reference }).training;
const ours = {
  untrained: runs.second.map(({ untrained }) => untrained),
  first: runs.first.map(({ final }) => final),
  second: runs.second.map(({ final }) => final),
};
const range = (gains: number[]) =>
  `${mean(gains).toFixed(3)} (${Math.min(...gains).toFixed(3)}-${Math.max(...gains).toFixed(3)})`.padStart(
    24,
  );
console.log(`\ngain: mean and range    here, ${seeds.length} seeds, ${iterations} iterations`);
console.log(`and by PyTorch, ${reference.second.length} seeds, ${reference.iterations} iterations`);
for (const steps of ['one', 'five']) {
  for (const name of ['untrained', 'first', 'second'] as const) {
    const gains = (returns: number[][]) =>
      returns.map((row) => row[steps === 'one' ? 1 : row.length - 1] - row[0]);
    const cells = [ours[name], reference[name]].map((returns) => range(gains(returns)));
    console.log(`  ${steps.padEnd(6)}${name.padEnd(12)}${cells.join('')}`);
  }
}

const drawing = picture({ ...runs, tasks: all.length, rows, chance, planned, optimum, ours, reference });
const { png, svg } = savePlot('maml_rl', drawing);
console.log(`\npicture:\n  ${png}, ${svg}`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
