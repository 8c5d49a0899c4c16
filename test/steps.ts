/** What several tests of steps need: the steps of a solve, and the numbers next to a time. */
import { iterate, type PlainOptions } from 'tfjs-diffeq';

/** Ends and signed sizes of the accepted steps. */
export function stepsOf(
  field: (t: number, y: Float64Array) => number[],
  y0: number[],
  t0: number,
  t1: number,
  options: PlainOptions = {},
) {
  const steps = [...iterate(field, y0, { t0, t1, ...options })].map(({ t, h }) => ({ t, h }));
  return { ends: steps.map((step) => step.t), sizes: steps.map((step) => step.h) };
}

/** The float64 next to `t` on the side of `sign`. */
export const neighbour64 = (t: number, sign: number): number => {
  const bits = new BigInt64Array(Float64Array.of(t).buffer);
  bits[0] += t > 0 === sign > 0 ? 1n : -1n;
  return new Float64Array(bits.buffer)[0];
};
/** The float32 next to the rounded `t` on the side of `sign`. */
export const neighbour32 = (t: number, sign: number): number => {
  const bits = new Int32Array(Float32Array.of(t).buffer);
  bits[0] += t > 0 === sign > 0 ? 1 : -1;
  return new Float32Array(bits.buffer)[0];
};
