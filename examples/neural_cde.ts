/**
 * A neural controlled differential equation reads closed curves from irregular observations with gaps, and says the area that
 * they enclose, positive where they run counter-clockwise: a number that Green's theorem knows.
 *
 * After Kidger et al., https://arxiv.org/abs/2005.08926. Run it with `npm run example neural_cde`; with `-- --full` it
 * trains five times as long. The picture lands in out/.
 */
import { embeddedBackend } from './lib/backend.js';
import {
  directionsRight,
  enclosedArea,
  irregularTimes,
  lost,
  observe,
  randomCurves,
  rms,
} from './lib/closed_curves.js';
import { hermiteCubic, naturalCubic } from './lib/control_path.js';
import {
  AreaTraining,
  areasBy,
  controlOf,
  DeviceControl,
  fixedSteps,
  GatedBaseline,
  NeuralCde,
  sweptAreas,
} from './lib/neural_cde.js';
import { neuralCdeFigure } from './lib/neural_cde_figures.js';
import { savePlot } from './lib/plot.js';
import { trainingProgress } from './lib/progress.js';
import { minimize } from './lib/training.js';
import { percent } from './lib/numbers.js';

const { description } = await embeddedBackend('wasm');
const started = performance.now();
console.log(`backend: ${description}`);
console.log('solver: rk4_classic, 16 steps, gradients by odeintAdjoint: checkpoint\n');

const longer = process.argv.includes('--full') ? 5 : 1;
const grid = irregularTimes(32, 5);
const curves = randomCurves(longer > 1 ? 8192 : 4096, 1);
const held = randomCurves(512, 2);
const exact = held.map(enclosedArea);
const training = new AreaTraining(curves, grid);
const cde = new NeuralCde();
const gated = new GatedBaseline();
const pass = training.batches;

/** The baseline takes half as long for an iteration, and so it gets twice as many. */
const cdeLosses = train('neural CDE', cde, 400 * longer, 0.02);
const gatedLosses = train('gated recurrent unit', gated, 800 * longer, 0.01);
training.dispose();

function train(name: string, model: NeuralCde | GatedBaseline, iterations: number, rate: number): number[] {
  const losses: number[] = [];
  const progress = trainingProgress(name, iterations);
  const each = (_i: number, loss: number) => progress.update(losses.push(loss), loss);
  try {
    minimize((i) => training.loss(model, i), model.variables, { iterations, rate, each });
  } finally {
    progress.stop();
  }
  return losses;
}

const spread = rms(
  exact,
  exact.map(() => 0),
);
console.log(`\n${held.length} curves held back, areas of ${spread.toFixed(3)} rms; rms error of the area:`);
console.log('                 natural cubic spline       Hermite cubic              gated');
console.log('  lost           path itself   neural CDE   path itself   neural CDE   recurrent unit');
const seed = 99;
const table = lost.map((dropped) => {
  const seen = observe(held, grid, { dropped, seed });
  const paths = [naturalCubic, hermiteCubic].map((by) => rms(sweptAreas(controlOf(seen, by)), exact));
  const found = areasBy(cde, seen);
  const hermite = areasBy(cde, seen, hermiteCubic);
  const baseline = areasBy(gated, seen);
  const errors = [found, hermite, baseline].map((a) => rms(a, exact));
  return { dropped, seen, found, baseline, paths, errors };
});
const [, thirdLost, halfLost] = table;
const cell = (x: number) => x.toFixed(4).padStart(13);
for (const { dropped, paths, errors } of table) {
  const cells = [paths[0], errors[0], paths[1], errors[1], errors[2]].map(cell).join('');
  console.log(`  ${aligned(dropped)}         ${cells}`);
}
console.log('directions told right, the sign of the area:');
for (const { dropped, found, baseline } of table) {
  const cells = [found, baseline].map((a) => aligned(directionsRight(a, exact), 1));
  console.log(`  ${aligned(dropped)} lost: neural CDE ${cells[0]}, gated recurrent unit ${cells[1]}`);
}

const pace = (t: number) => t + 0.13 * Math.sin(2 * Math.PI * t);
const paced = observe(held, grid, { dropped: thirdLost.dropped, seed, pace });
console.log('\nthe same curves run through at another pace, 30 % lost, rms error of the area:');
console.log(`  the path itself      ${cell(rms(sweptAreas(controlOf(paced, naturalCubic)), exact))}`);
console.log(
  `  neural CDE           ${cell(rms(areasBy(cde, paced), exact))}   before ${cell(thirdLost.errors[0])}`,
);
console.log(
  `  gated recurrent unit ${cell(rms(areasBy(gated, paced), exact))}   before ${cell(thirdLost.errors[2])}`,
);

// The path of the first table, warped itself: the equation says that nothing changes, and the solver's error is what is left.
const control = controlOf(thirdLost.seen, naturalCubic);
const tight = { method: 'dopri5', rtol: 1e-6, atol: 1e-6 } as const;
const square = { at: (t: number) => t * t, slope: (t: number) => 2 * t };
const [straight, warped] = [undefined, square].map((by) => solveOn(control, tight, by).areas);
console.log(
  `  X(t) and X(t²), the same path: areas by the neural CDE differ by ${rms(straight, warped).toExponential(1)} rms`,
);

console.log(
  '\nsolving all curves held back, 50 % lost:     evaluations   error of the solver, rms   error of the area',
);
for (const [name, interpolation] of [
  ['natural', naturalCubic],
  ['Hermite', hermiteCubic],
] as const) {
  const control = controlOf(halfLost.seen, interpolation);
  const reference = solveOn(control, { ...tight, stepT: grid }).areas;
  const adaptive = { method: 'dopri5', rtol: 1e-3, atol: 1e-3 } as const;
  const ways = {
    '16 steps of rk4': fixedSteps,
    'dopri5, 1e-3': adaptive,
    'dopri5, stepT: knots': { ...adaptive, stepT: grid },
  };
  for (const [way, options] of Object.entries(ways)) {
    const { areas, nfe } = solveOn(control, options);
    const label = `${name}, ${way}`.padEnd(42);
    const [solver, whole] = [rms(areas, reference).toExponential(1), rms(areas, exact).toFixed(4)];
    console.log(`  ${label} ${String(nfe).padStart(11)} ${solver.padStart(26)} ${whole.padStart(19)}`);
  }
}

function solveOn(
  control: ReturnType<typeof controlOf>,
  options: Parameters<NeuralCde['predict']>[1],
  by?: typeof square,
): { areas: number[]; nfe: number } {
  const onDevice = new DeviceControl(control, by);
  const result = cde.predict(onDevice, options);
  onDevice.dispose();
  return result;
}

function aligned(x: number, digits = 0): string {
  return percent(x, digits).padStart(4 + (digits && digits + 1));
}

const figure = neuralCdeFigure({ held, exact, table, cdeLosses, gatedLosses, pass, spread });
const { png, svg } = savePlot('neural_cde', figure);
console.log(`\npicture:\n  ${png}, ${svg}`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
