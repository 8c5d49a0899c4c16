import { abs, div, max, maximum, mul, stack, sub, type Tensor } from '@tensorflow/tfjs-core';
import { warnOnce } from '../src/core/warn.js';

/*
 * The reversed state should come back to where the forward solve was. Where it does not, as in problems that forget
 * their past, the gradient was computed along another trajectory.
 */

/*
 * A leaf must not hide behind a larger one, nor an element behind its neighbours; but one that crosses 0, or is below
 * what the tolerance resolves, is measured by these.
 */
const shareOfLeaf = 0.1;
/* A solution may start at rest: this part of its size elsewhere counts for 0. */
const shareOfSolution = 0.01;
const multipleOfTolerance = 1e4;

/**
 * The largest `|a - b| / |b|`, where `|b|` counts as a tenth of its leaf's maximum at least, and as `1e4 atol`.
 * `elsewhere` are the same leaves at other times.
 */
export function relativeDistance(
  a: readonly Tensor[],
  b: readonly Tensor[],
  elsewhere: readonly Tensor[],
  atol: number,
): Tensor {
  const distances = a.map((leaf, i) => {
    const size = abs(b[i]);
    const own = maximum(mul(max(size), shareOfLeaf), mul(max(abs(elsewhere[i])), shareOfSolution));
    const least = maximum(own, multipleOfTolerance * atol);
    return max(div(abs(sub(leaf, b[i])), maximum(size, least)));
  });
  return max(stack(distances));
}

/** The same of plain numbers. */
export function plainDistance(
  a: Float64Array,
  b: Float64Array,
  elsewhere: Float64Array,
  atol: number,
): number {
  const largest = (values: Float64Array) => values.reduce((most, x) => worse(most, Math.abs(x)), 0);
  const own = Math.max(shareOfLeaf * largest(b), shareOfSolution * largest(elsewhere));
  const least = Math.max(own, multipleOfTolerance * atol);
  return a.reduce((most, x, i) => worse(most, Math.abs(x - b[i]) / Math.max(Math.abs(b[i]), least)), 0);
}

/** The larger one; NaN is worst. */
export const worse = (a: number, b: number): number => (Number.isNaN(b) ? NaN : Math.max(a, b));

/** Warns, once for each mode, when the reversed state misses the forward solution by too much. */
export function reportDrift(mode: 'backsolve' | 'reversible', drift: number, rtol: number): void {
  if (drift <= Math.max(1e-2, 100 * rtol)) return;
  const percent = `${(100 * drift).toPrecision(2)} %`;
  warnOnce(
    `drift of ${mode}`,
    mode === 'backsolve'
      ? `the state solved backward by adjoint 'backsolve' misses the forward solution by ${percent} between two output ` +
          "times: its gradient is not to be trusted. Use adjoint: 'interpolating' (for damped problems) or 'checkpoint'; where it misses " +
          'little, tighter tolerances or more output times may do.'
      : `the state taken back by adjoint 'reversible' misses y0 by ${percent}, since rounding grows on the way back: its ` +
          "gradient is not to be trusted. Use adjoint: 'checkpoint', or another method: smaller steps do not help.",
  );
}
