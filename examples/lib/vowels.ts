/**
 * Ten American vowels by the frequencies of the voice and of its first three formants. Single measurements are not here: samples
 * are drawn from normal distributions of the log frequencies, one for each vowel and kind of speaker, whose means and
 * covariances are those of Peterson & Barney, https://doi.org/10.1121/1.1906875 (test/reference/vowels.py).
 * What is drawn from known distributions has a best classifier, in closed form: on average no network can do better.
 */
import { readFileSync } from 'node:fs';
import type { Samples, Task } from './physical_network.js';
import { random, type Numbers } from './training.js';

interface Group {
  count: number;
  /** Means in Hz. */
  hertz: number[];
  /** Of the logarithms of the frequencies in Hz. */
  mean: number[];
  covariance: number[][];
}

export interface VowelTable {
  words: string[];
  groups: Record<string, Group[]>;
}

export const vowelTable = (): VowelTable =>
  JSON.parse(readFileSync(new URL('../data/vowels.json', import.meta.url), 'utf8')) as VowelTable;

/** The lower triangle `L` of `L L^T = a`. */
export function cholesky(a: number[][]): number[][] {
  const L = a.map((row) => row.map(() => 0));
  for (let i = 0; i < a.length; i++) {
    for (let j = 0; j <= i; j++) {
      const rest = a[i][j] - L[i].slice(0, j).reduce((sum, x, k) => sum + x * L[j][k], 0);
      L[i][j] = i === j ? Math.sqrt(rest) : rest / L[j][j];
    }
  }
  return L;
}

/** Log of the normal density of x; `L` is the Cholesky factor of the covariance. */
export function logDensity(x: Numbers, mean: Numbers, L: number[][]): number {
  const z: number[] = [];
  let log = (-x.length / 2) * Math.log(2 * Math.PI);
  for (let i = 0; i < x.length; i++) {
    z.push((x[i] - mean[i] - z.reduce((sum, zj, j) => sum + L[i][j] * zj, 0)) / L[i][i]);
    log -= z[i] ** 2 / 2 + Math.log(L[i][i]);
  }
  return log;
}

/** Every vowel as often as any other, every kind of speaker as often as in the record; features with mean 0, deviation 1. */
export function vowelTask(counts: { seen: number; heldBack: number }, seed = 1): Task & { bayes: number } {
  const { words, groups } = vowelTable();
  const kinds = Object.values(groups).map((group) =>
    group.map(({ count, mean, covariance }) => ({ count, mean, L: cholesky(covariance) })),
  );
  const total = kinds.reduce((sum, kind) => sum + kind[0].count, 0);
  const { uniform, normal } = random(seed);
  const draw = (): { x: number[]; label: number } => {
    const label = Math.floor(words.length * uniform());
    let rest = total * uniform();
    const kind = kinds.find(([{ count }]) => (rest -= count) < 0)!;
    const { mean, L } = kind[label];
    const z = mean.map(normal);
    return { label, x: mean.map((m, i) => m + L[i].reduce((sum, l, j) => sum + l * z[j], 0)) };
  };
  const likelihood = (x: number[], label: number) =>
    kinds.reduce(
      (sum, kind) => sum + kind[label].count * Math.exp(logDensity(x, kind[label].mean, kind[label].L)),
      0,
    );
  const [seen, heldBack] = [counts.seen, counts.heldBack].map((count) => Array.from({ length: count }, draw));
  const right = heldBack.filter(({ x, label }) => {
    const all = words.map((_, i) => likelihood(x, i));
    return all[label] === Math.max(...all);
  });
  const standard = standardize(seen.map(({ x }) => x));
  const samples = (drawn: typeof seen): Samples => ({
    x: Float32Array.from(drawn.flatMap(({ x }) => standard(x))),
    labels: Uint8Array.from(drawn, ({ label }) => label),
  });
  return {
    ...{ features: 4, classes: words.length, seen: samples(seen), heldBack: samples(heldBack) },
    bayes: right.length / heldBack.length,
  };
}

function standardize(rows: number[][]): (x: number[]) => number[] {
  const mean = rows[0].map((_, i) => rows.reduce((sum, x) => sum + x[i], 0) / rows.length);
  const deviation = mean.map((m, i) =>
    Math.sqrt(rows.reduce((sum, x) => sum + (x[i] - m) ** 2, 0) / rows.length),
  );
  return (x) => x.map((v, i) => (v - mean[i]) / deviation[i]);
}
