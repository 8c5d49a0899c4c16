/**
 * A multilayer perceptron reads digits of 8 x 8 pixels: 8000 images, deformed a little each time they are seen, and 2000 held back.
 *
 * After Simard, Steinkraus & Platt, https://doi.org/10.1109/ICDAR.2003.1227801. Run it with `npm run example digits_mlp`; with
 * `-- --full` it trains four times as long. The picture lands in out/.
 */
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { embeddedBackend } from './lib/backend.js';
import { digits } from './lib/digits.js';
import { classify, defaults, judge, size, train, window } from './lib/digits_mlp.js';
import { drawing } from './lib/digits_mlp_figures.js';
import { savePlot } from './lib/plot.js';
import { trainingProgress } from './lib/progress.js';
import { mean, percent } from './lib/numbers.js';

const { description } = await embeddedBackend('wasm');
const started = performance.now();
console.log(`backend: ${description}`);
const longer = process.argv.includes('--full') ? 4 : 1;
const options = { ...defaults, iterations: defaults.iterations * longer };
const { widths, iterations, batch } = options;
const originals = digits().seen;
const { seen, heldBack } = digits({ size, window });
const parameters = widths.slice(1).reduce((sum, width, i) => sum + (widths[i] + 1) * width, 0);
console.log(`network ${widths.join('-')}, ${parameters} parameters; ${seen.count} digits seen, each about`);
console.log(
  `${Math.round((iterations * batch) / seen.count)} times, deformed; ${heldBack.count} held back\n`,
);

const losses: number[] = [];
const progress = trainingProgress('perceptron', iterations);
const each = (i: number, loss: number) => {
  losses.push(loss);
  progress.update(i, loss);
};
let weights;
try {
  weights = train(originals, { ...options, each });
} finally {
  progress.stop();
}
const onSeen = judge(classify(weights, seen), seen.labels);
const result = judge(classify(weights, heldBack), heldBack.labels);
tf.dispose(weights);

interface Reference {
  supportVectorMachine: number;
  multilayerPerceptron: number[];
}
const file = new URL('../test/reference/digits.json', import.meta.url);
const reference = JSON.parse(readFileSync(file, 'utf8')) as Reference;
const scikit = reference.multilayerPerceptron;
const standardError = (part: number) => Math.sqrt((part * (1 - part)) / heldBack.count);
const measured = (part: number) => `${percent(part)} +- ${percent(standardError(part))}`;
console.log(`\naccuracy on the held-back digits: ${measured(result.accuracy)}`);
console.log(
  `  ${result.wrong.length} of ${heldBack.count} wrong; on those seen, undeformed, ${percent(onSeen.accuracy)}`,
);
console.log('\nscikit-learn, on the same 8 x 8 arrays without deformations (test/reference/digits.py):');
console.log(`  multilayer perceptron 256-256, five seeds: ${scikit.map((x) => percent(x)).join(', ')}`);
console.log(`    their mean:           ${percent(mean(scikit))}`);
console.log(`  support vector machine: ${measured(reference.supportVectorMachine)}`);
console.log('published error rates, on all of MNIST: 60000 images of 28 x 28 seen, another 10000 held back');
console.log(
  '  LeCun et al. 1998 (https://doi.org/10.1109/5.726791): 4.7 % for 300 hidden units, 2.95 % for 500-150,',
);
console.log(
  '  3.6 % and 2.45 % with deformations; Simard et al. 2003: 1.6 % for 800, 0.7 % with elastic deformations',
);
console.log(`  here: ${percent(1 - result.accuracy)}, from ${seen.count} images of ${size} x ${size}`);

console.log('\ndigit, and how often each was read from it');
console.log(`      ${Array.from({ length: 10 }, (_, k) => String(k).padStart(5)).join('')}   rightly`);
result.confusion.forEach((row, label) => {
  const right = row[label] / row.reduce((a, b) => a + b, 0);
  console.log(`  ${label}   ${row.map((n) => String(n).padStart(5)).join('')} ${percent(right).padStart(9)}`);
});

const figure = drawing({
  losses,
  result,
  heldBack: digits().heldBack,
  reduced: heldBack,
  title: `Digits of 8 x 8 pixels, read by a perceptron: ${percent(result.accuracy)} right`,
  subtitle:
    `${heldBack.count} held-back digits, standard error ${percent(standardError(result.accuracy))}; ` +
    `scikit-learn without deformations: perceptron ${percent(mean(scikit))}, support vector machine ${percent(reference.supportVectorMachine)}`,
  caption:
    `Network ${widths.join('-')}, relu; ${seen.count} digits seen, each about ${Math.round((iterations * batch) / seen.count)} times, ` +
    'with random affine and elastic deformations; adam, cosineDecay, a mean of the last weights.',
});
const { png, svg } = savePlot('digits_mlp', figure);
console.log(`\npicture:\n  ${png}, ${svg}`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
