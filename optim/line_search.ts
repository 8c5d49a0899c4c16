/** A point of a search along a line: `phi(t) = f(x + t d)`. */
export interface LinePoint {
  t: number;
  value: number;
  /** `phi'(t)` */
  slope: number;
}

const sufficient = 1e-4;
const curvature = 0.9;
const maxEvaluations = 40;

/**
 * A step with the strong Wolfe conditions `phi(t) <= phi(0) + c1 t phi'(0)`, `|phi'(t)| <= c2 |phi'(0)|`, c1 = 1e-4,
 * c2 = 0.9: first outward until such a step is bracketed, then inward by cubic interpolation. A value that is not finite
 * counts as too high.
 *
 * Source: Nocedal and Wright, Numerical Optimization (2006), algorithms 3.5 and 3.6.
 * @returns `null` when there is none within the resolution of the numbers.
 */
export function strongWolfe<T extends LinePoint>(
  evaluate: (t: number) => T,
  origin: LinePoint,
  first: number,
): T | null {
  const tooHigh = ({ t, value }: LinePoint): boolean =>
    !(value <= origin.value + sufficient * t * origin.slope);
  const flat = ({ slope }: LinePoint): boolean => Math.abs(slope) <= -curvature * origin.slope;
  let left: LinePoint = origin;
  let t = first;
  for (let k = 0; k < maxEvaluations; k++) {
    const point = evaluate(t);
    if (tooHigh(point) || (k > 0 && point.value >= left.value))
      return inward(left, point, maxEvaluations - k);
    if (flat(point)) return point;
    if (point.slope >= 0) return inward(point, left, maxEvaluations - k);
    const wide = interpolated(left, point);
    left = point;
    // As far as the cubic says, but neither timid nor wild.
    t = Math.min(10 * t, Math.max(2 * t, Number.isFinite(wide) ? wide : 0));
  }
  return null;

  /* `low` fulfils the first condition and has the lowest value so far; a minimum lies between. */
  function inward(low: LinePoint, high: LinePoint, tries: number): T | null {
    for (let k = 0; k < tries; k++) {
      const point = evaluate(between(low, high));
      if (tooHigh(point) || point.value >= low.value) {
        high = point;
      } else {
        if (flat(point)) return point;
        if (point.slope * (high.t - low.t) >= 0) high = low;
        low = point;
      }
      if (Math.abs(high.t - low.t) <= 1e-15 * Math.max(high.t, low.t)) break;
    }
    return null;
  }
}

/* The minimum of the cubic through values and slopes; NaN when there is none. Source: as above, (3.59). */
function interpolated(a: LinePoint, b: LinePoint): number {
  const d1 = a.slope + b.slope - (3 * (a.value - b.value)) / (a.t - b.t);
  const d2 = Math.sign(b.t - a.t) * Math.sqrt(d1 * d1 - a.slope * b.slope);
  return b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2));
}

function between(low: LinePoint, high: LinePoint): number {
  const [from, to] = [Math.min(low.t, high.t), Math.max(low.t, high.t)];
  const edge = 0.1 * (to - from);
  const t = interpolated(low, high);
  return t >= from + edge && t <= to - edge ? t : (from + to) / 2;
}
