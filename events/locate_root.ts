import type { Problem } from '../src/core/problem.js';
import type { Reading } from '../src/core/reading.js';
import { chebyshevFit, chebyshevInterpolant, chebyshevNodes, findRoot, rootNear } from '../src/core/roots.js';
import type { StepState } from '../src/core/stepper.js';
import { spacing } from '../src/core/time.js';
import type { Crossing } from './locate_sides.js';
import type { EventSampler } from './locate_values.js';

const nodesPerRead = 9;

/* After which a root is taken where it is, however rough its function. */
const maxReads = 10;

/**
 * Follows crossings in a step to their roots.
 *
 * On plain numbers by a bracketing method, to `eventTol` in `t`. On tensors by two reads: the first one of values at
 * Chebyshev points, whose polynomial has its root found in float64; the second one close around that, where a
 * cubic through all points smooths the rounding of float32.
 */
export class RootFinder<S> {
  constructor(private readonly sampler: EventSampler<S>) {}

  /** When the component of a crossing is zero, on the step's interpolant. */
  *root(problem: Problem<S>, state: StepState<S>, crossing: Crossing): Reading<number> {
    const { a, b, ga, gb, component } = crossing;
    if (gb === 0) return b;
    if (this.sampler.eventOf(component).event.whileNegative && Math.sign(ga) === Math.sign(gb)) return a;
    if (!this.sampler.plain) return yield* this.rootByReads(problem, state, crossing);
    const { index, first } = this.sampler.eventOf(component);
    const value = (t: number): number => {
      const values = this.sampler.at(problem, state, t) as readonly ArrayLike<number>[];
      return values[index][component - first];
    };
    // A start that counts as zero may have the wrong sign.
    const start = Math.sign(ga) === Math.sign(gb) ? -gb * Number.EPSILON : ga;
    return findRoot(value, [a, start], [b, gb], this.sampler.eventTol);
  }

  private *rootByReads(problem: Problem<S>, state: StepState<S>, crossing: Crossing): Reading<number> {
    const { component, gb } = crossing;
    const count = this.sampler.count;
    const nodes = chebyshevNodes(nodesPerRead);
    const values = function* (this: RootFinder<S>, a: number, b: number): Reading<number[]> {
      const times = nodes.map((x) => a + x * (b - a));
      const all = yield* this.sampler.read(this.sampler.valuesAt(problem, state, times));
      return nodes.map((_, i) => all[i * count + component]);
    }.bind(this);
    let { a, b } = crossing;
    let found: number[];
    let i: number;
    let root: number;
    for (let n = 1; ; n++) {
      found = yield* values(a, b);
      // A start that counts as zero may have the sign of the end: what matters is where that is reached from elsewhere.
      i = arrival(found, Math.sign(gb));
      if (i < 0) return Math.sign(found[0]) === Math.sign(gb) ? a : b;
      const ends = [
        [nodes[i - 1], found[i - 1]],
        [nodes[i], found[i]],
      ] as const;
      const x = findRoot(chebyshevInterpolant(found), ...ends, 1e-12);
      root = a + x * (b - a);
      if (n === maxReads || Math.abs(b - a) <= this.sampler.eventTol || isSmooth(found, i)) break;
      [a, b] = [a + nodes[i - 1] * (b - a), a + nodes[i] * (b - a)];
    }
    // The step that ends there has values of its own.
    if (this.sampler.eventOf(component).event.terminal) return root;
    // Between two neighbours where the function is not smooth, else close around the root.
    const half = 0.02 * (b - a);
    const close = [root - half, root + half] as const;
    const [left, right] = [Math.max(close[0] - a, 0) / (b - a), Math.min(close[1] - a, b - a) / (b - a)];
    const polynomial = chebyshevInterpolant(found);
    const brackets = polynomial(left) * polynomial(right) <= 0;
    [a, b] = brackets
      ? [a + left * (b - a), a + right * (b - a)]
      : [a + nodes[i - 1] * (b - a), a + nodes[i] * (b - a)];
    found = yield* values(a, b);
    if (brackets) {
      const near = rootNear(chebyshevFit(found, 3), 0.5, 1e-3);
      if (near >= 0 && near <= 1) return a + near * (b - a);
    }
    const k = arrival(found, Math.sign(gb));
    if (k < 0) return root;
    const line = found[k - 1] / (found[k - 1] - found[k]);
    return a + (nodes[k - 1] + line * (nodes[k] - nodes[k - 1])) * (b - a);
  }

  /**
   * Takes the step again, up to the event, and once more where the root is of that step: what follows starts from a state
   * of the method's own order, not the interpolant's.
   */
  *shorten(problem: Problem<S>, state: StepState<S>, t: number, crossing: Crossing): Reading<number> {
    const { component } = crossing;
    const { stepper, system } = problem;
    const { t0, t1 } = state;
    const direction = Math.sign(t1 - t0);
    const inside = (time: number): number => {
      const least = t0 + direction * 8 * spacing(t0);
      return (time - least) * direction < 0 ? least : (time - t1) * direction > 0 ? t1 : time;
    };
    const retake = (time: number): void => {
      stepper.reject(system, state);
      stepper.step(system, state, time);
    };
    let at = inside(t);
    if (at !== t1) retake(at);
    if (this.sampler.eventOf(component).event.whileNegative) return at;
    for (let n = 0; n < (this.sampler.plain ? 4 : 1); n++) {
      const correction = yield* this.correction(
        problem,
        state,
        crossing,
        0.02 * ((t1 - t0) / this.sampler.samples),
      );
      const next = inside(at + correction);
      if (
        Math.abs(next - at) <= Math.max(this.sampler.plain ? 0.1 * this.sampler.eventTol : 0, 2 * spacing(at))
      )
        break;
      at = next;
      retake(at);
    }
    return at;
  }

  /* How far from the end of a step the root is, by values in a window before it; 0 where they say nothing. */
  private *correction(
    problem: Problem<S>,
    state: StepState<S>,
    { component, ga, gb }: Crossing,
    window: number,
  ): Reading<number> {
    const { t0, t1 } = state;
    const width = Math.sign(window) * Math.min(Math.abs(window), Math.abs(t1 - t0));
    const nodes = chebyshevNodes(this.sampler.plain ? 3 : nodesPerRead);
    const times = nodes.map((x) => (x === 1 ? t1 : t1 - (1 - x) * width));
    const points = this.sampler.valuesAt(problem, state, times);
    const all = yield* this.sampler.read(points);
    const values = nodes.map((_, i) => all[i * this.sampler.count + component]);
    // A function that jumps over zero has no root to come closer to.
    if (Math.abs(values[values.length - 1]) > 0.5 * Math.max(Math.abs(ga), Math.abs(gb))) return 0;
    // Float64 has no noise to smooth away.
    const fit = this.sampler.plain ? chebyshevInterpolant(values) : chebyshevFit(values, 3);
    // Beside a kink or a jump they would lead astray.
    const [start, middle, end] = [fit(0), fit(0.5), fit(1)];
    if (!(Math.abs(start - 2 * middle + end) < 0.5 * Math.abs(end - start))) return 0;
    const distance = (rootNear(fit, 1, 1e-3) - 1) * width;
    return Math.abs(distance) <= Math.abs(window) / 0.04 ? distance : 0;
  }
}

/* The first place where values take a sign that the one before has not; -1 for none. */
function arrival(values: readonly number[], sign: number): number {
  return values.findIndex((g, i) => i > 0 && Math.sign(g) === sign && Math.sign(values[i - 1]) !== sign);
}

/* Whether a polynomial of lower degree agrees with values on both sides of their root: beside a kink or a jump it does not. */
function isSmooth(values: readonly number[], i: number): boolean {
  const fit = chebyshevFit(values, 5);
  const nodes = chebyshevNodes(values.length);
  const most = 0.05 * Math.abs(values[i] - values[i - 1]);
  return [i - 1, i].every((k) => Math.abs(fit(nodes[k]) - values[k]) <= most);
}
