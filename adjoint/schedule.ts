import { InvalidArgumentError, describe } from '../src/core/errors.js';

/*
 * What is known of keeping s states (Griewank & Walther 2000, Revolve, https://doi.org/10.1145/347837.347846): from the
 * first of them, the adjoint of l steps can be taken so that none is run more than r times beforehand if and only if
 * l <= C(s + r, s); and then the fewest runs are r l - C(s + r, r - 1) with the smallest such r.
 */

/** `C(slots + repeats, slots)`: the most steps of which none is run more than `repeats` times. */
function reach(slots: number, repeats: number): number {
  let value = repeats < 0 ? 0 : 1;
  for (let r = 1; r <= repeats; r++) value = (value * (slots + r)) / r;
  return value;
}

/** The smallest number of runs, of the step that is run most often, from the first of `slots` states. */
function leastRepeats(steps: number, slots: number): number {
  let r = 0;
  for (let value = 1; value < steps; value = (value * (slots + r)) / r) r++;
  return r;
}

/** Fewest steps to run before the adjoints of `steps` steps, with `slots` states, the first one stored already. */
function repeatedSteps(steps: number, slots: number): number {
  const r = leastRepeats(steps, slots);
  return r * steps - reach(slots + 1, r - 1);
}

/**
 * Where to store the second of `slots > 1` states in a stretch of `steps > 1` steps, so that the fewest are repeated:
 * steps from its beginning. Both parts then have as many steps as the adjoint of one step more costs the same in either.
 */
export function bestSplit(steps: number, slots: number): number {
  const r = leastRepeats(steps, slots);
  return r === 1 ? 1 : Math.max(reach(slots, r - 2), steps - reach(slots - 1, r));
}

/*
 * What follows the last step counts as one more: its state is the output, and nothing is run for its adjoint. So the
 * forward solve is the first sweep over a chain of steps + 1.
 */

/** States to keep of a solve with `steps` steps: Revolve's. */
function plannedStarts(steps: number, slots: number): Set<number> {
  const starts = new Set([0]);
  let last = 0;
  for (let left = slots; left > 1 && last < steps; left--) {
    last += bestSplit(steps + 1 - last, left);
    starts.add(last);
  }
  return starts;
}

/**
 * Which states to keep while the number of steps is unknown. After every step there are `slots + 1`, and one is given
 * up: the one without which the fewest steps would be repeated if the solve ended there, among those without which no
 * step is repeated more often than it must be, whenever the solve ends.
 *
 * That the least number of repetitions can be kept up is due to Wang, Moin & Iaccarino 2009,
 * https://doi.org/10.1137/080727890. Their levels say little about the sum, which is what Stumm & Walther 2010,
 * https://doi.org/10.1137/080742439, aim at; here it decides between all that the repetitions allow.
 *
 * With `r` repetitions, the i-th stretch between kept states (i = 0, 1, ...) may have `C(s - i + r, r)` steps. If all
 * have, the states between them are the only ones from which that many steps can be repeated so rarely: these anchors
 * stay once they are reached. The first state that is none can always be given up, because the anchors around it are
 * no farther apart than is allowed.
 */
class OnlinePlacement {
  private repeats = -1;
  private anchors = new Set<number>();

  constructor(private readonly slots: number) {}

  /** The place, among `starts`, of the one to give up; the last one is the start of the last step. */
  leaving(starts: readonly number[]): number {
    const { slots } = this;
    const end = starts[slots] + 1;
    this.prepare(end);
    let best = slots;
    let least = Infinity;
    // Steps repeated elsewhere than where two stretches become one, but for a constant.
    let elsewhere = 0;
    for (let i = slots; i > 0; i--) {
      const left = slots - i + 1;
      const next = starts[i + 1] ?? end;
      const merged = next - starts[i - 1];
      const cost = elsewhere + repeatedSteps(merged, left);
      if (cost < least && !this.anchors.has(starts[i]) && leastRepeats(merged, left) <= this.repeats) {
        [best, least] = [i, cost];
      }
      if (i === 1) break;
      elsewhere += repeatedSteps(next - starts[i], left);
      elsewhere -= repeatedSteps(starts[i - 1] - starts[i - 2], left + 1);
    }
    return best;
  }

  private prepare(steps: number): void {
    const repeats = leastRepeats(steps + 1, this.slots) - 1;
    if (repeats === this.repeats) return;
    this.repeats = repeats;
    this.anchors = new Set();
    let anchor = 0;
    for (let left = this.slots; left > 1; left--) this.anchors.add((anchor += reach(left, repeats)));
  }
}

/** The states before some of the steps, at most `slots` of them, so that few steps must be run again. */
export class KeptStates<S> {
  /** By the index of the step, in ascending order. */
  readonly kept = new Map<number, S>();
  private readonly planned: ReadonlySet<number> | null;
  private readonly placement: OnlinePlacement;

  /** @param steps How many there will be; `null` when that is unknown. */
  constructor(
    private readonly slots: number,
    steps: number | null,
    private readonly release: (state: S) => void,
  ) {
    if (!(slots === Infinity || (Number.isInteger(slots) && slots > 0))) {
      throw new InvalidArgumentError(`checkpoints is ${describe(slots)}; expected a positive integer.`);
    }
    this.planned = steps === null ? null : plannedStarts(steps, slots);
    this.placement = new OnlinePlacement(slots);
  }

  /** Offers the state before step `n`, for n = 0, 1, ...; `copy` is called when it is to be kept. */
  offer(n: number, copy: () => S): void {
    if (this.planned) {
      if (this.planned.has(n)) this.kept.set(n, copy());
      return;
    }
    if (this.kept.size === this.slots) {
      const starts = [...this.kept.keys(), n];
      const leaving = starts[this.placement.leaving(starts)];
      if (leaving === n) return;
      this.release(this.kept.get(leaving)!);
      this.kept.delete(leaving);
    }
    this.kept.set(n, copy());
  }
}
