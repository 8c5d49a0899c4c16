/** Slope of log(error) over log(h) where there are n steps of size ~1 / n, by least squares: the observed order. */
export function slope(counts: readonly number[], error: (n: number) => number): number {
  const x = counts.map((n) => -Math.log(n));
  const y = counts.map((n) => Math.log(error(n)));
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [mx, my] = [mean(x), mean(y)];
  return mean(x.map((xi, i) => (xi - mx) * (y[i] - my))) / mean(x.map((xi) => (xi - mx) ** 2));
}
