const float64 = new Float64Array(1);
const bits64 = new BigInt64Array(float64.buffer);
const float32 = new Float32Array(1);
const bits32 = new Int32Array(float32.buffer);

/** The float64 next to `t` on the side of `sign`. */
export function nextAfter64(t: number, sign: number): number {
  if (!Number.isFinite(t)) return t;
  if (t === 0) return sign * Number.MIN_VALUE;
  float64[0] = t;
  bits64[0] += t > 0 === sign > 0 ? 1n : -1n;
  return float64[0];
}

/**
 * The float32 next to the rounded `t` on the side of `sign`: strictly beyond `t`, and beyond what `t` becomes when a
 * vector field compares with it in float32.
 */
export function nextAfter32(t: number, sign: number): number {
  const rounded = Math.fround(t);
  if (!Number.isFinite(rounded)) return rounded;
  // Next to 0 are denormal numbers, which native and GPU backends take for 0: the smallest normal one is used.
  if (Math.abs(rounded) < 2 ** -126) return sign * 2 ** -126;
  float32[0] = rounded;
  bits32[0] += rounded > 0 === sign > 0 ? 1 : -1;
  return float32[0];
}

/** Spacing of float64 numbers at `t`, at least the smallest normal one. */
export function spacing(t: number): number {
  return Math.max(Math.abs(t) * Number.EPSILON, 2 ** -1022);
}
