import { InvalidArgumentError, describe } from '../src/core/errors.js';

/**
 * Fewest steps to repeat when the adjoint of `steps` steps is taken with `slots` stored states, the first one among
 * them: `r l - C(s + r, r - 1)` with the smallest r for which `C(s + r, s) >= l`.
 *
 * Source: Griewank & Walther 2000, Revolve, https://doi.org/10.1145/347837.347846.
 */
export function repeatedSteps(steps: number, slots: number): number {
  if (steps <= 1) return 0;
  let r = 0;
  let reach = 1; // C(s + r, s)
  let below = 0; // C(s + r, r - 1)
  while (reach < steps) {
    r++;
    // C(s + r, r - 1) = C(s + r, s + 1) = reach r / (s + 1) with the new reach.
    reach = (reach * (slots + r)) / r;
    below = (reach * r) / (slots + 1);
  }
  return r * steps - below;
}

/** Where to store a state in a stretch of steps, so that the fewest are repeated: steps from its beginning. */
export function bestSplit(steps: number, slots: number): number {
  let best = 1;
  let least = Infinity;
  for (let m = 1; m < steps; m++) {
    const cost = m + repeatedSteps(steps - m, slots - 1) + repeatedSteps(m, slots);
    if (cost < least) [best, least] = [m, cost];
  }
  return best;
}

/**
 * Which states to keep while the number of steps is still unknown: every `stride`-th, and twice as far apart whenever
 * there would be too many.
 */
export class OnlineThinning<S> {
  readonly kept = new Map<number, S>();
  private stride = 1;

  constructor(
    private readonly slots: number,
    private readonly release: (state: S) => void,
  ) {
    if (!(slots === Infinity || (Number.isInteger(slots) && slots > 0))) {
      throw new InvalidArgumentError(`checkpoints is ${describe(slots)}; expected a positive integer.`);
    }
  }

  /** Offers the state before step `n`; `copy` is called when it is to be kept. */
  offer(n: number, copy: () => S): void {
    if (n % this.stride !== 0) return;
    if (this.kept.size === this.slots) {
      this.stride *= 2;
      for (const [index, state] of this.kept) {
        if (index % this.stride === 0) continue;
        this.release(state);
        this.kept.delete(index);
      }
      if (n % this.stride !== 0 || this.kept.size === this.slots) return;
    }
    this.kept.set(n, copy());
  }
}
