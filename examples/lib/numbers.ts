/** What the examples print numbers with. */

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

/** `12.34 %` of 0.1234. */
export function percent(x: number, digits = 2): string {
  return `${(100 * x).toFixed(digits)} %`;
}
