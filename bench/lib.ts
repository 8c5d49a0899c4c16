/** Something to time: it runs once per call. */
export type Candidate = () => unknown;

/** Median of a list of numbers. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function milliseconds(run: Candidate): number {
  const start = performance.now();
  run();
  return performance.now() - start;
}

/**
 * Median wall time in ms of every candidate, run in turns A B C A B C ..., so that what else the machine does meets
 * all of them alike. A slow candidate sits out rounds: it gets about as much time as the others.
 */
export function timeInTurns(candidates: readonly Candidate[], { rounds = 150, warmUp = 100 } = {}): number[] {
  const first = candidates.map(milliseconds);
  const typical = median(first);
  const stride = first.map((ms) => Math.min(rounds >> 2, Math.max(1, Math.round(ms / (10 * typical)))));
  const samples: number[][] = candidates.map(() => []);
  for (let round = -warmUp; round < rounds; round++) {
    candidates.forEach((run, i) => {
      if (round % stride[i] !== 0) return;
      const ms = milliseconds(run);
      if (round >= 0) samples[i].push(ms);
    });
  }
  return samples.map(median);
}

/** `10^-from, ..., 10^-to`, so many to a decade. */
export function decades(from: number, to: number, each = 1): number[] {
  return Array.from({ length: Math.round((to - from) * each) + 1 }, (_, i) => 10 ** -(from + i / each));
}

/** A point of a work-precision diagram. */
export interface Point {
  error: number;
  ms: number;
}

/**
 * The time at which a method reaches `error`, on the straight line between its nearest points in logarithmic scales;
 * `null` beyond its smallest error. For an error larger than all of its points it is the time of the fastest of them: a
 * method is not charged for being more accurate than asked.
 */
export function timeAt(points: readonly Point[], error: number): number | null {
  const good = points.filter((point) => point.error <= error).sort((a, b) => b.error - a.error);
  const poor = points.filter((point) => point.error > error).sort((a, b) => a.error - b.error);
  if (good.length === 0) return null;
  if (poor.length === 0) return Math.min(...good.map((point) => point.ms));
  const [fine] = good;
  const [coarse] = poor;
  const part = Math.log(coarse.error / error) / Math.log(coarse.error / fine.error);
  return coarse.ms * (fine.ms / coarse.ms) ** part;
}

/** A table with aligned columns; the first row is the head. */
export function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  rows.forEach((row, i) => {
    console.log(row.map((cell, column) => cell.padStart(widths[column])).join('  '));
    if (i === 0) console.log(widths.map((width) => '-'.repeat(width)).join('  '));
  });
}
