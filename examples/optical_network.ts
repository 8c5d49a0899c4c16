/**
 * A neural network of light: phase plates in free space form an image, and then sort handwritten digits.
 *
 * After Lin et al., https://doi.org/10.1126/science.aat8084. Run it with `npm run example optical_network`; with `-- --full`
 * it trains four times as long. The picture lands in out/.
 */
import { embeddedBackend } from './lib/backend.js';
import { accuracy } from './lib/classification.js';
import { digits } from './lib/digits.js';
import { ClassifierTraining, LinearTraining } from './lib/optical_digits.js';
import { ImageTraining, lorenzImage, setting, type ImageQuality } from './lib/optical_network.js';
import {
  accuracyPanel,
  detectorMarks,
  errorPanel,
  imagePanel,
  phasePanel,
  type Curve,
} from './lib/optical_network_figures.js';
import { spectrumByOdeint } from './lib/optics.js';
import { colors, savePlot, type Figure } from './lib/plot.js';
import { trainingProgress } from './lib/progress.js';
import { minimize } from './lib/training.js';
import { percent } from './lib/numbers.js';

const { description } = await embeddedBackend('wasm');
const started = performance.now();
console.log(`backend: ${description}`);
const longer = process.argv.includes('--full') ? 4 : 1;

const { grid, distance } = setting(64);
const { wavelength, pitch } = grid;
console.log(
  `light: wavelength ${wavelength.toFixed(4)} mm, pixels of ${pitch} mm; ` +
    `plates of 64 x 64, ${distance.toFixed(1)} mm apart\n`,
);

const small = setting(8);
const { solved, exact } = spectrumByOdeint(small.grid, distance, { rtol: 1e-10, atol: 1e-12 });
const apart = Math.max(...solved.map(([re, im], i) => Math.hypot(re - exact[i][0], im - exact[i][1])));
console.log(
  `dA/dz = i kz A by odeint, ${solved.length} plane waves: ${apart.toExponential(1)} from exp(i kz z)`,
);

const target = lorenzImage(64);
const [rounds, iterations] = [200 * longer, 200 * longer];

/** Trains plates for the image, and returns how well they do, and did on the way. */
function train(
  plates: number,
  power?: number,
): { quality: ImageQuality; errors: number[]; phases: Float32Array[] } {
  const training = new ImageTraining(target, { plates, power });
  const errors: number[] = [];
  const progress = trainingProgress(`${plates} ${plates === 1 ? 'plate' : 'plates'}`, iterations);
  const each = (i: number, loss: number) => {
    errors.push(loss);
    progress.update(i, loss);
  };
  try {
    minimize(training.loss, training.network.plates, { iterations, rate: 0.1, each });
  } finally {
    progress.stop();
  }
  const result = { quality: training.quality(), errors, phases: training.network.phases() };
  training.dispose();
  return result;
}

console.log(`\nthe image: a uniform beam is to show Lorenz's attractor`);
const classical = new ImageTraining(target, { plates: 1 });
const flat = classical.quality();
const classicalErrors: number[] = [];
classical.gerchbergSaxton(rounds, (_i, error) => classicalErrors.push(error));
const gerchbergSaxton = classical.quality();
classical.dispose();
const faint = train(1);
const one = train(1, 0.95);
const five = train(5, 0.95);

const stages = [1, 10, 25, 50, 100, 200].map((i) => i * longer);
console.log(`\nmean squared error on the way, of five plates (loss, at the exposure asked for):`);
for (const i of stages)
  console.log(`  iteration ${String(i).padStart(4)}   ${five.errors[i - 1].toExponential(2)}`);
const [before, during] = [stages.slice(0, -1), stages.slice(1)];
const falls = during.every((i, j) => five.errors[i - 1] < five.errors[before[j] - 1]);
console.log(`  ${falls ? 'it falls at every stage' : 'it does NOT fall at every stage'}`);

console.log(`\n                                            error   power in the window   on the target`);
const row = (name: string, { error, power, efficiency }: ImageQuality) =>
  console.log(
    `  ${name.padEnd(38)} ${error.toExponential(2)} ${percent(power).padStart(18)} ${percent(efficiency).padStart(17)}`,
  );
row('flat plate', flat);
row(`one plate, Gerchberg-Saxton`, gerchbergSaxton);
row('one plate, gradient', faint.quality);
row('one plate, gradient, asked for 95 %', one.quality);
row('five plates, gradient, asked for 95 %', five.quality);

const size = 28;
const { seen, heldBack } = digits({ size });
const passes = 3 * longer;
const batch = 32;
const steps = passes * Math.floor(seen.count / batch);
console.log(
  `\nthe digits: ${seen.count} of ${size} x ${size} pixels, seen ${passes} times; ${heldBack.count} held back`,
);
const classifier = new ClassifierTraining(seen, { plates: 5, batch });
const progress = trainingProgress('five plates', steps);
const each = (i: number, loss: number) => progress.update(i, loss);
try {
  minimize(classifier.loss, classifier.network.plates, { iterations: steps, rate: 0.2, each });
} finally {
  progress.stop();
}
const linear = new LinearTraining(seen, { batch });
minimize(linear.loss, linear.variables, { iterations: steps, rate: 0.01 });

const scores = {
  optical: accuracy(classifier.detect(heldBack), heldBack.labels),
  opticalSeen: accuracy(classifier.detect(seen), seen.labels),
  linear: accuracy(linear.detect(heldBack), heldBack.labels),
  linearSeen: accuracy(linear.detect(seen), seen.labels),
};
// Lin et al., figure 2, and Mengu et al., abstract: numerical, five phase-only layers of 200 x 200, 55,000 digits seen.
const published = { squares: 0.9175, softmax: 0.9718 };
console.log(`\nright                                             held back      seen`);
const line = (name: string, right: number, ofSeen?: number) =>
  console.log(
    `  ${name.padEnd(46)} ${percent(right).padStart(10)} ${(ofSeen === undefined ? '' : percent(ofSeen)).padStart(9)}`,
  );
line(`five plates of ${size} x ${size}`, scores.optical, scores.opticalSeen);
line('linear classifier, same images, same code', scores.linear, scores.linearSeen);
line('published, same loss, 200 x 200, 55,000 seen', published.softmax);
line('published, squared errors, 200 x 200, 55,000', published.squares);

const shown = heldBack.labels.indexOf(3);
const example = heldBack.images.subarray(shown * size ** 2, (shown + 1) * size ** 2);
const output = classifier.output(heldBack, shown);
const digitPlates = classifier.network.phases();
classifier.dispose();
linear.dispose();

const { blue, vermilion: red, ink, grey } = colors;
const pale = '#c4c4c4';
const curves: Curve[] = [
  { name: 'one, G.-S.', errors: classicalErrors, stroke: ink },
  { name: 'one plate', errors: one.errors, stroke: blue },
  { name: 'five plates', errors: five.errors, stroke: red },
];
const bars = [
  { name: 'linear', value: 100 * scores.linear, fill: grey },
  { name: 'plates', value: 100 * scores.optical, fill: red },
  { name: '2018', value: 100 * published.squares, fill: pale },
  { name: '2019', value: 100 * published.softmax, fill: pale },
];
const large = { zoom: 4, width: 272 };
const width = 216;
const picture: Figure = {
  title: 'A neural network of light: five phase plates form an image, and five others read digits',
  subtitle:
    `Mean squared error of the image ${gerchbergSaxton.error.toExponential(1)} with one plate by Gerchberg and Saxton, ` +
    `${five.quality.error.toExponential(1)} with five by gradients;\n` +
    `${percent(scores.optical)} of ${heldBack.count} held-back digits go to their detector`,
  rows: [
    [
      imagePanel(target, { title: 'Target', ...large }),
      imagePanel(flat.image, { title: 'Flat plate', ...large }, 0.001), // 4 times the beam's 1 / 64^2
      imagePanel(gerchbergSaxton.image, { title: 'One plate, Gerchberg-Saxton', ...large }),
      imagePanel(five.quality.image, { title: 'Five plates, gradients', ...large }),
    ],
    five.phases.map((phases, i) => phasePanel(phases, { title: `Phase of plate ${i + 1}`, zoom: 3, width })),
    [
      errorPanel(curves, 374),
      imagePanel(example, { title: 'A digit comes in', zoom: 7, width }),
      imagePanel(output, { title: 'Light on the detectors', zoom: 7, width, marks: detectorMarks(size, 3) }),
      accuracyPanel(bars, 270),
    ],
    digitPlates.map((phases, i) => phasePanel(phases, { title: `Digits: plate ${i + 1}`, zoom: 7, width })),
  ],
  caption:
    '0.4 THz, pixels of 0.4 mm; five plates, free space by the angular spectrum method, phases by Adam. Phases: one turn of ' +
    'colour from white over blue, black and red to white.\nDigits: 8000 seen. Published: five layers of 200 x 200, 55,000 digits; ' +
    '2018 Lin et al., doi 10.1126/science.aat8084; 2019 Mengu et al., doi 10.1109/JSTQE.2019.2921376.',
};
const { png, svg } = savePlot('optical_network', picture);
console.log(`\npicture:\n  ${png}, ${svg}`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
