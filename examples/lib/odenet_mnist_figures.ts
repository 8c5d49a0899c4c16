/** The picture of the example odenet_mnist. */
import * as Plot from '@observablehq/plot';
import { colors, type Figure, type Panel } from './plot.js';

export interface Step {
  iteration: number;
  loss: number;
  /** Evaluations of f in the solve, and for the gradient. */
  forward: number;
  backward: number;
}

export interface Tolerance {
  tolerance: number;
  evaluations: number;
  /** Of y(1), rms, relative to its size. */
  difference: number;
  accuracy: number;
}

/** Accuracy from the state at time t. */
export interface Reading {
  t: number;
  accuracy: number;
}

export interface Drawn {
  resnet: Step[];
  odenet: Step[];
  tolerances: Tolerance[];
  readings: Reading[];
  /** Of the ResNet and the ODE-Net. */
  accuracies: number[];
  parameters: number[];
  caption: string;
}

const { blue, vermilion: red, ink } = colors;
const margins = { marginLeft: 56, marginBottom: 42, marginTop: 26, marginRight: 20 };
const [width, height] = [480, 270];

/** Means over `span` iterations. */
function smooth(steps: Step[], of: (step: Step) => number, span: number): { x: number; y: number }[] {
  return Array.from({ length: Math.floor(steps.length / span) }, (_, i) => {
    const part = steps.slice(i * span, (i + 1) * span);
    return { x: (i + 0.5) * span, y: part.reduce((sum, step) => sum + of(step), 0) / span };
  });
}

function lossPanel({ resnet, odenet }: Drawn): Panel {
  const span = Math.ceil(odenet.length / 60);
  const line = (steps: Step[], stroke: string) =>
    Plot.line(
      smooth(steps, ({ loss }) => loss, span),
      { x: 'x', y: 'y', stroke, strokeWidth: 2 },
    );
  const ticks = [0.03, 0.1, 0.3, 1, 3];
  return {
    ...{ ...margins, width, height, title: `Loss, means of ${span} batches` },
    x: { label: 'iteration', labelAnchor: 'center', domain: [0, odenet.length], ticks: 4 },
    y: { type: 'log', label: 'cross entropy', domain: [0.03, 3] },
    marks: [
      Plot.gridY(ticks),
      Plot.axisY(ticks, { tickFormat: String }),
      line(resnet, ink),
      line(odenet, red),
    ],
  };
}

function evaluationsPanel({ odenet }: Drawn): Panel {
  const dots = (of: 'forward' | 'backward', fill: string) =>
    Plot.dot(odenet, { x: 'iteration', y: of, r: 1.4, fill, fillOpacity: 0.5 });
  const most = 6 * Math.ceil((Math.max(...odenet.map(({ forward }) => forward)) + 2) / 6);
  return {
    ...{ ...margins, width, height, title: 'Evaluations of f by the ODE-Net' },
    x: { label: 'iteration', labelAnchor: 'center', domain: [0, odenet.length], ticks: 4 },
    y: { label: 'evaluations per batch', domain: [0, most], ticks: 5, grid: true },
    marks: [dots('backward', blue), dots('forward', red), Plot.ruleY([0])],
  };
}

function tolerancePanel({ tolerances }: Drawn): Panel {
  const decades = [1e-4, 1e-3, 1e-2];
  return {
    ...{ ...margins, width, height, title: 'Trained, at other tolerances: their accuracy' },
    x: { label: 'evaluations of f', labelAnchor: 'center', domain: [0, 1.25 * Math.max(...tolerances.map((t) => t.evaluations))], ticks: 6 }, // prettier-ignore
    y: { type: 'log', label: 'relative difference of y(1)', domain: [3e-5, 0.02] },
    marks: [
      Plot.gridY(decades),
      Plot.axisY(decades, { tickFormat: (y: number) => (y >= 1e-3 ? String(y) : y.toExponential(0)) }),
      Plot.line(tolerances, { x: 'evaluations', y: 'difference', stroke: red, strokeWidth: 2 }),
      Plot.dot(tolerances, { x: 'evaluations', y: 'difference', r: 4, fill: red, stroke: 'white' }),
      Plot.text(tolerances, {
        ...{ x: 'evaluations', y: 'difference', dx: 8, dy: -9, textAnchor: 'start', fill: ink },
        text: ({ tolerance, accuracy }: Tolerance) =>
          `${tolerance.toExponential(0)}: ${(100 * accuracy).toFixed(1)} %`,
      }),
    ],
  };
}

function readingsPanel({ readings }: Drawn): Panel {
  const lowest = Math.floor(10 * Math.min(...readings.map(({ accuracy }) => accuracy))) / 10;
  return {
    ...{ ...margins, width, height, title: 'Accuracy if the integration stopped at t' },
    x: { label: 't', labelAnchor: 'center', domain: [0, 1], ticks: 4 },
    y: { label: '%', domain: [100 * lowest, 100], ticks: 5, grid: true },
    marks: [
      Plot.line(readings, {
        ...{ x: 't', stroke: red, strokeWidth: 2 },
        y: ({ accuracy }: Reading) => 100 * accuracy,
      }),
    ],
  };
}

export function drawing(drawn: Drawn): Figure {
  const [resnet, odenet] = drawn.accuracies.map((a) => `${(100 * a).toFixed(2)} %`);
  const [many, few] = drawn.parameters;
  return {
    title: 'An ODE-Net and its ResNet twin on handwritten digits',
    subtitle:
      `held-back accuracy: six residual blocks ${resnet} with ${many} parameters, one block integrated from 0 to 1 ` +
      `${odenet} with ${few}`,
    legend: [
      { label: 'ResNet', color: ink },
      { label: 'ODE-Net; evaluations forward', color: red },
      { label: 'evaluations backward', color: blue, mark: 'dot' },
    ],
    rows: [
      [lossPanel(drawn), evaluationsPanel(drawn)],
      [tolerancePanel(drawn), readingsPanel(drawn)],
    ],
    caption: drawn.caption,
  };
}
