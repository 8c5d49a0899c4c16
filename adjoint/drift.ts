import { abs, div, max, maximum, stack, sub, type Tensor } from '@tensorflow/tfjs-core';
import { warnOnce } from '../src/core/warn.js';

/*
 * The reversed state should come back to where the forward solve was. Where it does not, as in problems that forget
 * their past, the gradient was computed along another trajectory.
 */

/** `max |a - b| / max |b|`, over all leaves. */
export function relativeDistance(a: readonly Tensor[], b: readonly Tensor[]): Tensor {
  const largest = (leaves: readonly Tensor[]) => max(stack(leaves.map((leaf) => max(abs(leaf)))));
  return div(largest(a.map((leaf, i) => sub(leaf, b[i]))), maximum(largest(b), 1e-30));
}

/** Warns, once for each mode, when the reversed state misses the forward solution by too much. */
export function reportDrift(mode: 'backsolve' | 'reversible', drift: number, rtol: number): void {
  if (drift <= Math.max(1e-2, 100 * rtol)) return;
  const percent = `${(100 * drift).toPrecision(2)} %`;
  warnOnce(
    `drift of ${mode}`,
    mode === 'backsolve'
      ? `the state solved backward by adjoint 'backsolve' misses the forward solution by ${percent} between two output ` +
          "times: its gradient is not to be trusted. Use adjoint: 'checkpoint', tighter tolerances, or more output times."
      : `the state taken back by adjoint 'reversible' misses y0 by ${percent}, since rounding grows on the way back: its ` +
          "gradient is not to be trusted. Use adjoint: 'checkpoint', or smaller steps.",
  );
}
