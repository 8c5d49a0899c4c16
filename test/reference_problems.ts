/**
 * The initial value problems of `reference/problems.json` as vector fields; their formulas are the `rhs` there, written
 * a second time in `reference/problems.py`.
 */
import { readFileSync } from 'node:fs';

export interface ReferenceProblem {
  rhs: string;
  parameters: Record<string, number>;
  y0: number[];
  t: number[];
  y: number[][];
}

export type Field = (t: number, y: ArrayLike<number>) => number[];

/** A JSON file of `reference/`. */
export function readReference<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`./reference/${name}`, import.meta.url), 'utf8')) as T;
}

/** The problems with their reference states, by name. */
export const referenceProblems = readReference<{ problems: Record<string, ReferenceProblem> }>(
  'problems.json',
).problems;

const orbit: Field = (_t, y) => {
  const r3 = Math.hypot(y[0], y[1]) ** 3;
  return [y[2], y[3], -y[0] / r3, -y[1] / r3];
};

export const fields: Record<string, Field> = {
  sine_decay: (t, y) => [-y[0] + Math.sin(t)],
  harmonic: (_t, y) => [y[1], -y[0]],
  lotka_volterra: (_t, y) => [0.55 * y[0] - 0.028 * y[0] * y[1], -0.84 * y[1] + 0.026 * y[0] * y[1]],
  lorenz: (_t, y) => [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - (8 / 3) * y[2]],
  arenstorf: (_t, y) => {
    const mu = 0.012277471;
    const d1 = ((y[0] + mu) ** 2 + y[1] ** 2) ** 1.5;
    const d2 = ((y[0] - 1 + mu) ** 2 + y[1] ** 2) ** 1.5;
    return [
      y[2],
      y[3],
      y[0] + 2 * y[3] - ((1 - mu) * (y[0] + mu)) / d1 - (mu * (y[0] - 1 + mu)) / d2,
      y[1] - 2 * y[2] - ((1 - mu) * y[1]) / d1 - (mu * y[1]) / d2,
    ];
  },
  detest_a1: (_t, y) => [-y[0]],
  detest_a2: (_t, y) => [-(y[0] ** 3) / 2],
  detest_a3: (t, y) => [y[0] * Math.cos(t)],
  detest_a4: (_t, y) => [(y[0] / 4) * (1 - y[0] / 20)],
  detest_a5: (t, y) => [(y[0] - t) / (y[0] + t)],
  detest_b1: (_t, y) => [2 * (y[0] - y[0] * y[1]), -(y[1] - y[0] * y[1])],
  detest_b2: (_t, y) => [-y[0] + y[1], y[0] - 2 * y[1] + y[2], y[1] - y[2]],
  detest_b3: (_t, y) => [-y[0], y[0] - y[1] ** 2, y[1] ** 2],
  detest_b4: (_t, y) => {
    const r = Math.hypot(y[0], y[1]);
    return [-y[1] - (y[0] * y[2]) / r, y[0] - (y[1] * y[2]) / r, y[0] / r];
  },
  detest_b5: (_t, y) => [y[1] * y[2], -y[0] * y[2], -0.51 * y[0] * y[1]],
  detest_c1: (_t, y) => [-y[0], ...Array.from({ length: 8 }, (_, i) => y[i] - y[i + 1]), y[8]],
  detest_d1: orbit,
  detest_d5: orbit,
  detest_e2: (_t, y) => [y[1], (1 - y[0] ** 2) * y[1] - y[0]],
};
