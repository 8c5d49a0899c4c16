/** The picture of the neural SDE. */
import * as Plot from '@observablehq/plot';
import { grid, type Diffusion } from './diffusion_theory.js';
import {
  biasPanel,
  hues,
  margins,
  orderPanel,
  passagePanel,
  third,
  type Results,
} from './neural_sde_panels.js';
import { colors, type Figure, type Panel } from './plot.js';

const { blue, vermilion: red, green, ink } = colors;
const pale = '#c4c4c4';

function pathsPanel({ record }: Results): Panel {
  const chosen = [0, 1, 2];
  const rows = record.x.flatMap((x, i) =>
    i % 2 > 0 ? [] : chosen.map((path) => ({ t: i * record.dt, x: x[path], path })),
  );
  return {
    ...{ ...margins, width: 1040, height: 210, title: 'Three of the paths, seen every 0.1' },
    x: { label: 'time', labelAnchor: 'center', domain: [0, 20], ticks: 10 },
    y: { label: 'x', domain: [-2, 2], ticks: [-2, -1, 0, 1, 2], tickFormat: String, grid: true },
    marks: [
      Plot.line(
        rows.filter(({ t }) => t <= 20),
        {
          x: 't',
          y: 'x',
          z: 'path',
          stroke: ({ path }: { path: number }) => [blue, red, green][path],
          strokeWidth: 1,
        },
      ),
    ],
    color: { type: 'identity' },
  };
}

function coefficientPanel(results: Results, key: 'drift' | 'diffusion'): Panel {
  const { fits, truth } = results;
  const inside = grid.filter((x, i) => Math.abs(x) <= 1.7 && i % 4 === 0);
  const points = (of: Diffusion) => inside.map((x) => ({ x, y: of[key](x) }));
  const line = (of: Diffusion, stroke: string, strokeWidth: number) =>
    Plot.line(points(of), { x: 'x', y: 'y', stroke, strokeWidth });
  const drift = key === 'drift';
  return {
    ...{ ...third, title: drift ? 'Drift f(x)' : 'Diffusion \u03c3(x)' },
    x: { label: 'x', labelAnchor: 'center', domain: [-1.7, 1.7], ticks: [-1, 0, 1], tickFormat: String },
    y: { label: drift ? 'f' : '\u03c3', domain: drift ? [-3, 3] : [0.3, 0.9], ticks: 6, grid: true },
    marks: [
      line(truth, pale, 7),
      ...fits.map(({ learned }, i) => line(learned, hues[i], i === 3 ? 2.4 : 1.6)),
    ],
    clip: true,
  };
}

function densityPanel({ fits, density, sample }: Results): Panel {
  const rows = (p: number[]) => grid.map((x, i) => ({ x, p: p[i] })).filter(({ x }) => Math.abs(x) <= 2);
  const width = 0.1;
  const bars = Array.from({ length: 40 }, (_, i) => {
    const left = -2 + i * width;
    return {
      left,
      right: left + width,
      p: sample.filter((x) => x >= left && x < left + width).length / sample.length / width,
    };
  });
  return {
    ...{ ...third, title: 'Stationary density' },
    x: { label: 'x', labelAnchor: 'center', domain: [-2, 2], ticks: [-2, -1, 0, 1, 2], tickFormat: String },
    y: { label: 'p', domain: [0, 1.25], ticks: 5, grid: true },
    marks: [
      Plot.rectY(bars, { x1: 'left', x2: 'right', y: 'p', fill: red, fillOpacity: 0.18, inset: 0.5 }),
      Plot.line(rows(density), { x: 'x', y: 'p', stroke: pale, strokeWidth: 7 }),
      ...fits.map((fit, i) =>
        Plot.line(rows(fit.density), { x: 'x', y: 'p', stroke: hues[i], strokeWidth: i === 3 ? 2.4 : 1.6 }),
      ),
    ],
  };
}

export function picture(results: Results): Figure {
  const [right] = results.passages[0];
  const [euler, , , moments] = results.errors;
  return {
    title: 'A neural stochastic differential equation: a double well with more noise on the right',
    subtitle:
      `seen every 0.2, the drift is learned to ${euler.drift.error.toFixed(3)} by Euler\u2019s likelihood and to ` +
      `${moments.drift.error.toFixed(3)} by moments; the mean time from \u22121 to 1 is ` +
      `${results.passages[4][0].toFixed(1)} by moments, truly ${right.toFixed(1)}`,
    legend: [
      { label: 'truth', color: pale, mark: 'area' },
      ...results.fits.map(({ by, dt }, i) => ({
        label: by === 'euler' ? `Euler, seen every ${dt}` : `moments by odeintAdjoint, every ${dt}`,
        color: hues[i],
      })),
      { label: 'simulated', color: ink, mark: 'ring' },
    ],
    rows: [
      [pathsPanel(results)],
      [coefficientPanel(results, 'drift'), coefficientPanel(results, 'diffusion'), densityPanel(results)],
      [biasPanel(results), passagePanel(results), orderPanel(results)],
    ],
    caption:
      'dX = (X \u2212 X\u00b3) dt + (0.6 + 0.15 tanh X) dW (Ito). Two networks 1-16-1, Adam. Below left: circles f, squares \u03c3, dashed what Euler\u2019s\n' +
      'likelihood learns from an endless record, by the backward Kolmogorov equation. Middle: bars by quadrature, rings two standard errors. Right: lines in closed form.',
  };
}
