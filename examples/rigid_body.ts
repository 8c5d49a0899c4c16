/**
 * A body is pushed and turned to a given pose by a force that turns with it and a torque. Both are learned by gradients
 * through its motion, and end at the least effort that the calculus of variations has in closed form.
 *
 * Run it with `npm run example rigid_body`; `-- --full` learns three times as long. The picture lands in out/.
 */
import * as Plot from '@observablehq/plot';
import { embeddedBackend } from './lib/backend.js';
import { colors, savePlot, type Figure, type Panel } from './lib/plot.js';
import { trainingProgress } from './lib/progress.js';
import { body, firstGuess, leastEffort, optimal, Programme, task, type Pose } from './lib/rigid_body.js';

const { description } = await embeddedBackend('cpu');
const started = performance.now();
console.log(`backend: ${description}`);
console.log('solver: rk4_classic, gradients by odeintAdjoint: checkpoint, the effort a quadrature\n');

const rounds = process.argv.includes('--full') ? 36 : 12;
const inRound = 40;
const programme = new Programme();
const samples = 80;
const guessed = { ...programme.evaluate(), path: programme.path(samples) };
const history: { iteration: number; miss: number; excess: number }[] = [];
const progress = trainingProgress('rigid body', rounds * inRound);
try {
  programme.learn(rounds, inRound, (iteration, effort, miss) => {
    history.push({ iteration, miss, excess: Math.abs(effort / leastEffort() - 1) });
    progress.update(iteration, effort);
  });
} finally {
  progress.stop();
}
const learned = { ...programme.evaluate(), path: programme.path(samples) };
programme.dispose();

const { T, target } = task;
const poseOf = (state: Float32Array): Pose => ({ x: state[0], y: state[1], angle: state[2] });
const reached = poseOf(learned.path.at(-1)!.state);
const show = ({ x, y, angle }: Pose) =>
  `[${x.toFixed(4)}, ${y.toFixed(4)}], ${((angle * 180) / Math.PI).toFixed(2)}°`;
console.log(`\nfirst guess     force [${firstGuess[0]}, ${firstGuess[1]}] N, torque ${firstGuess[2]} N m`);
console.log(`it reaches      ${show(poseOf(guessed.path.at(-1)!.state))}`);
console.log(`learned         ${show(reached)}`);
console.log(`target          ${show(target)}`);
console.log(`speed at the end: ${Math.hypot(...learned.miss.slice(3)).toExponential(1)}`);
console.log(
  `effort          ${learned.effort.toFixed(5)}, least effort in closed form ${leastEffort().toFixed(5)} ` +
    `(+${((learned.effort / leastEffort() - 1) * 100).toPrecision(2)}%)`,
);

const { blue, vermilion: red, orange, green, purple, ink, grey } = colors;
const pale = '#c4c4c4';
const margins = { marginLeft: 58, marginBottom: 42, marginTop: 26, marginRight: 22 };

/** The body is drawn as a wedge, so that one sees where its front is. */
function outline({ x, y, angle }: Pose, id: number): { id: number; x: number; y: number }[] {
  const corners = [
    [-0.055, -0.035],
    [0.035, -0.035],
    [0.075, 0],
    [0.035, 0.035],
    [-0.055, 0.035],
    [-0.055, -0.035],
  ];
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return corners.map(([a, b]) => ({ id, x: x + cos * a - sin * b, y: y + sin * a + cos * b }));
}

function posesPanel(): Panel {
  const shown = learned.path.filter((_, i) => i % (samples / 10) === 0);
  const outlines = shown.flatMap(({ state }, i) => outline(poseOf(state), i));
  const lastGuess = outline(poseOf(guessed.path.at(-1)!.state), 0);
  const arrows = shown
    .filter((_, i) => i !== 5)
    .map(({ state, input }) => {
      const [cos, sin] = [Math.cos(state[2]), Math.sin(state[2])];
      const [fx, fy] = [cos * input[0] - sin * input[1], sin * input[0] + cos * input[1]];
      const [x, y] = [state[0] - 0.06, state[1] + 0.11]; // beside the body, not across it
      return { x, y, x2: x + 0.045 * fx, y2: y + 0.045 * fy };
    });
  const ways = (path: typeof learned.path) => path.map(({ state }) => poseOf(state));
  const exact = Array.from({ length: 41 }, (_, i) => optimal((i * T) / 40).pose);
  const at = { x: 'x', y: 'y' } as const;
  return {
    ...{ ...margins, width: 1040, height: 530, title: 'Poses, every 0.2 s, and the force' },
    x: { label: 'x (m)', labelAnchor: 'center', domain: [-0.2, 1.284], ticks: 8 },
    y: { label: 'y (m)', domain: [-0.06, 0.655], ticks: 6, grid: true },
    marks: [
      Plot.line(exact, { ...at, stroke: pale, strokeWidth: 7 }),
      Plot.line(ways(guessed.path), { ...at, stroke: grey, strokeWidth: 1.4, strokeDasharray: '5 4' }),
      Plot.line(lastGuess, { ...at, stroke: grey, strokeDasharray: '4 3', strokeWidth: 1.4 }),
      Plot.line(outlines, { ...at, z: 'id', fill: blue, fillOpacity: 0.16, stroke: blue, strokeWidth: 1.6 }),
      Plot.line(outline(target, 0), { ...at, stroke: ink, strokeWidth: 2.4 }),
      Plot.line(ways(learned.path), { ...at, stroke: blue, strokeWidth: 2.2 }),
      Plot.arrow(arrows, {
        x1: 'x',
        y1: 'y',
        x2: 'x2',
        y2: 'y2',
        stroke: red,
        strokeWidth: 2.2,
        headLength: 6,
      }),
    ],
  };
}

function programmePanel(): Panel {
  const series = [orange, green, purple];
  const units = [1, 1, 1 / body.inertia];
  const exact = Array.from({ length: 81 }, (_, i) => ({
    t: (i * T) / 80,
    input: optimal((i * T) / 80).input,
  }));
  const marks = series.flatMap((stroke, k) => {
    const of = (rows: { t: number; input: ArrayLike<number> }[]) =>
      rows.map(({ t, input }) => ({ t, value: input[k] * units[k] }));
    return [
      Plot.line(of(exact), { x: 't', y: 'value', stroke: pale, strokeWidth: 6 }),
      Plot.line(of(learned.path), { x: 't', y: 'value', stroke, strokeWidth: 2 }),
    ];
  });
  return {
    ...{ ...margins, width: 520, height: 290, title: 'Force and torque in the frame of the body' },
    x: { label: 'time (s)', labelAnchor: 'center', domain: [0, T], ticks: 5 },
    y: { label: 'N; 0.1 N m', ticks: 7, grid: true },
    marks: [Plot.ruleY([0], { stroke: grey, strokeWidth: 0.8 }), ...marks],
  };
}

function historyPanel(): Panel {
  const decades = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1];
  const line = (y: 'miss' | 'excess', stroke: string) =>
    Plot.line(history, { x: 'iteration', y, stroke, strokeWidth: 1.8 });
  return {
    ...{ ...margins, width: 520, height: 290, title: 'Learning' },
    x: { label: 'iteration', labelAnchor: 'center', domain: [0, history.length], ticks: 6 },
    y: {
      type: 'log',
      label: 'distance to the target (m), effort less the least (relative)',
      domain: [1e-6, 2],
    },
    clip: true,
    marks: [
      Plot.gridY(decades),
      Plot.axisY(decades, { tickFormat: (x: number) => x.toExponential(0) }),
      line('miss', ink),
      line('excess', red),
    ],
  };
}

const picture: Figure = {
  title: 'Force and torque learned through the motion of a rigid body',
  subtitle:
    `mass ${body.mass} kg, inertia ${body.inertia} kg m²; from rest to rest at [${target.x}, ${target.y}], turned by 90°, in ${T} s. ` +
    `Effort: ${learned.effort.toFixed(4)}, least effort in closed form: ${leastEffort().toFixed(4)}`,
  legend: [
    { label: 'learned', color: blue },
    { label: 'closed form', color: pale, mark: 'area' },
    { label: 'first guess', color: grey, mark: 'dashed' },
    { label: 'target; distance to it', color: ink },
    { label: 'force; effort too much', color: red },
    { label: 'force forward', color: orange },
    { label: 'to the left', color: green },
    { label: 'torque', color: purple },
  ],
  rows: [[posesPanel()], [programmePanel(), historyPanel()]],
  caption:
    `The force turns with the body. ${task.nodes + 1} nodes of a programme that is linear between them; Adam and the method of ` +
    'multipliers; effort: \u222b |F|² / m + torque² / I dt.',
};
const { png, svg } = savePlot('rigid_body', picture);
console.log(`\npicture:\n  ${png}, ${svg}`);
console.log(`\ndone in ${((performance.now() - started) / 1000).toFixed(0)} s`);
