/*
 * Roots of a function of one variable, in float64.
 */

/**
 * A root of `f` between `a` and `b`, where its signs differ, to within `tolerance` or the resolution of its argument.
 *
 * Source: Chandrupatla 1997, A new hybrid quadratic/bisection algorithm for finding the zero of a nonlinear function
 * without using derivatives, https://doi.org/10.1016/s0965-9978(96)00051-8.
 */
export function findRoot(
  f: (x: number) => number,
  [a, fa]: readonly [number, number],
  [b, fb]: readonly [number, number],
  tolerance: number,
): number {
  let [x1, f1, x2, f2] = [b, fb, a, fa];
  let part = 0.5;
  for (let n = 0; n < 200; n++) {
    const x = x1 + part * (x2 - x1);
    const fx = f(x);
    let [x3, f3] = [x2, f2];
    if (Math.sign(fx) === Math.sign(f1)) [x3, f3] = [x1, f1];
    else [x2, f2] = [x1, f1];
    [x1, f1] = [x, fx];
    const [best, least] = Math.abs(f2) < Math.abs(f1) ? [x2, f2] : [x1, f1];
    const width = Math.abs(x2 - x1);
    const limit = (2 * Number.EPSILON * Math.abs(best) + 0.5 * tolerance) / width;
    if (least === 0 || !(limit <= 0.5)) return best;
    const xi = (x1 - x2) / (x3 - x2);
    const phi = (f1 - f2) / (f3 - f2);
    const smooth = phi * phi < xi && (1 - phi) * (1 - phi) < 1 - xi;
    const inverse =
      (f1 / (f2 - f1)) * (f3 / (f2 - f3)) + ((x3 - x1) / (x2 - x1)) * (f1 / (f3 - f1)) * (f2 / (f3 - f2));
    part = Math.min(1 - limit, Math.max(limit, smooth && Number.isFinite(inverse) ? inverse : 0.5));
  }
  return x1;
}

/** Chebyshev points of the second kind, in `[0, 1]`, ascending, the ends included. */
export function chebyshevNodes(count: number): number[] {
  return Array.from({ length: count }, (_, i) => (1 - Math.cos((Math.PI * i) / (count - 1))) / 2);
}

/** The polynomial through values at the Chebyshev points, by the barycentric formula (Berrut & Trefethen 2004). */
export function chebyshevInterpolant(values: ArrayLike<number>): (x: number) => number {
  const nodes = chebyshevNodes(values.length);
  return (x) => {
    let above = 0;
    let below = 0;
    for (let i = 0; i < nodes.length; i++) {
      if (x === nodes[i]) return values[i];
      const end = i === 0 || i === nodes.length - 1 ? 0.5 : 1;
      const weight = ((i % 2 === 0 ? 1 : -1) * end) / (x - nodes[i]);
      above += weight * values[i];
      below += weight;
    }
    return above / below;
  };
}

/**
 * A polynomial of low degree near values at the Chebyshev points, by truncating their Chebyshev series: what is left out is
 * mostly rounding.
 */
export function chebyshevFit(values: ArrayLike<number>, degree: number): (x: number) => number {
  const n = values.length - 1;
  const coefficients = Array.from({ length: degree + 1 }, (_, k) => {
    let sum = 0;
    for (let i = 0; i <= n; i++) {
      const weight = i === 0 || i === n ? 0.5 : 1;
      // The points run from -1 to 1: cos(pi - pi i / n).
      sum += weight * values[i] * Math.cos(k * Math.PI * (1 - i / n));
    }
    return (sum * (k === 0 ? 1 : 2)) / n;
  });
  return (x) => {
    const u = 2 * x - 1;
    let [before, now] = [1, u];
    let sum = coefficients[0];
    for (let k = 1; k <= degree; k++) {
      sum += coefficients[k] * now;
      [before, now] = [now, 2 * u * now - before];
    }
    return sum;
  };
}

/** The root of a smooth function near `x`, by Newton's method with central differences. */
export function rootNear(f: (x: number) => number, x: number, step: number): number {
  for (let n = 0; n < 6; n++) {
    const slope = (f(x + step) - f(x - step)) / (2 * step);
    x -= f(x) / slope;
  }
  return x;
}
