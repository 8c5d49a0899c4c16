import { concat, engine, reshape, type Tensor } from '@tensorflow/tfjs-core';
import { InvalidArgumentError, NonFiniteStateError } from '../src/core/errors.js';
import type { CheckedEvent, EventPlan, EventValues } from '../src/core/events.js';
import { isTensor } from '../src/core/tree.js';
import type { Problem, Watch } from '../src/core/problem.js';
import { readNorm, type Reading } from '../src/core/reading.js';
import { chebyshevFit, chebyshevInterpolant, chebyshevNodes, findRoot, rootNear } from '../src/core/roots.js';
import { DeviceRead, type ErrorNorm } from '../src/core/space.js';
import type { StepState } from '../src/core/stepper.js';
import { scoped, untaped } from '../src/core/tape.js';
import { spacing } from '../src/core/time.js';

/** An event that was found. The state belongs to the space of the solve. */
export interface Located<S> {
  t: number;
  y: S;
  event: CheckedEvent;
  /** Its place among the events. */
  index: number;
  /** Which components crossed. */
  mask: boolean[];
}

/* A component that changes its sign between two times. */
interface Crossing {
  component: number;
  a: number;
  b: number;
  ga: number;
  gb: number;
  /* The side it comes to. */
  side: number;
}

/* Where a component crosses zero. */
interface Root {
  t: number;
  component: number;
  side: number;
  crossing: Crossing;
}

const nodesPerRead = 9;

/* After which a root is taken where it is, however rough its function. */
const maxReads = 10;

/**
 * Looks for events in every step of a solve: at the ends and a few places between, of the interpolant. A change of sign
 * there is followed to the root.
 *
 * On plain numbers by a bracketing method, to `eventTol` in `t`. On tensors by two reads: the first one of values at
 * Chebyshev points, whose polynomial has its root found in float64; the second one close around that, where a
 * cubic through all points smooths the rounding of float32.
 */
export class EventWatch<S> implements Watch<S> {
  /** Events of the step at hand, in the order of travel. */
  found: Located<S>[] = [];
  /** Components of each event function. */
  private sizes: number[] = [];
  private directions: Int8Array = new Int8Array(0);
  private before: Float64Array = new Float64Array(0);
  private sides: Int8Array = new Int8Array(0);
  /* Components that have not left their start yet. */
  private fresh: boolean[] = [];
  /* What rounding of the initial state does to the values. */
  private noise: Float64Array = new Float64Array(0);
  private attached: ArrayLike<number> | null = null;
  private readonly eventTol: number;
  private readonly samples: number;

  constructor(
    private readonly plan: EventPlan,
    private readonly values: EventValues<S>,
    private readonly plain: boolean,
  ) {
    this.eventTol = plan.eventTol ?? (plain ? 1e-9 : 1e-6);
    this.samples = plan.samples ?? (plain ? 8 : 4);
  }

  *begin(problem: Problem<S>, state: StepState<S>): Reading<void> {
    const { y0, t0 } = state;
    const points = untaped(() => {
      const slope = this.needsSlope() ? problem.stepper.slope(problem.system, state) : null;
      const shaken = this.plain ? [] : [true];
      return disposedOnThrow([false, ...shaken], (shake) => this.values(t0, y0, slope, shake));
    });
    this.sizes = points[0].map(sizeOf);
    const all = Float64Array.from(yield* this.read(points));
    const count = this.sizes.reduce((sum, size) => sum + size);
    this.before = all.slice(0, count);
    this.noise = this.before.map((g, j) => {
      const moved = Math.abs((all[count + j] ?? g) - g);
      return Number.isFinite(moved) ? moved : 0;
    });
    this.directions = this.readDirections();
    this.sides = new Int8Array(count);
    this.fresh = new Array<boolean>(count).fill(true);
  }

  private needsSlope(): boolean {
    return this.plan.events.some((event) => event.whileNegative);
  }

  private readDirections(): Int8Array {
    const all = this.plan.events.flatMap(({ direction, name }, i) => {
      if (typeof direction === 'number') return new Array<number>(this.sizes[i]).fill(direction);
      if (direction.length === this.sizes[i]) return [...direction];
      throw new InvalidArgumentError(
        `direction of '${name}' has ${direction.length} entries, and its eventFn ${this.sizes[i]} components; give one ` +
          'for each, or one number.',
      );
    });
    return Int8Array.from(all);
  }

  attach(problem: Problem<S>, norm: ErrorNorm, state: StepState<S>): ErrorNorm {
    this.attached = null;
    if (!(norm instanceof DeviceRead)) return norm;
    // One read for the error and the values: the device is waited for once.
    let values: ReturnType<EventValues<S>>[];
    try {
      values = this.sample(problem, state);
    } catch (error) {
      norm.tensor.dispose();
      throw error;
    }
    const count = norm.tensor.size;
    return scopedRead(
      () => concat([reshape(norm.tensor, [count]), ...values.flat().map(flat)]),
      (all) => {
        this.attached = Array.from(all).slice(count);
        return norm.finish(Array.from(all).slice(0, count));
      },
      [norm.tensor, ...(values.flat() as Tensor[])],
    );
  }

  *inspect(problem: Problem<S>, state: StepState<S>): Reading<boolean> {
    this.found = [];
    const values = this.attached ?? (yield* this.read(this.sample(problem, state)));
    this.attached = null;
    const count = this.before.length;
    const rows = Array.from({ length: this.samples }, (_, k) =>
      Float64Array.from({ length: count }, (_, j) => values[k * count + j]),
    );
    const crossings = this.crossings(problem, state, [this.before, ...rows]);
    this.before = rows[rows.length - 1];
    if (crossings.length === 0) return false;
    return yield* this.locate(problem, state, crossings);
  }

  /* Values at the ends of all parts of a step but its beginning. */
  private sample(problem: Problem<S>, state: StepState<S>): ReturnType<EventValues<S>>[] {
    return this.valuesAt(
      problem,
      state,
      Array.from({ length: this.samples }, (_, k) => this.partEnd(state, k + 1)),
    );
  }

  /* Where eventFn throws at one of them, the values of those before go too. */
  private valuesAt(
    problem: Problem<S>,
    state: StepState<S>,
    times: readonly number[],
  ): ReturnType<EventValues<S>>[] {
    const points: ReturnType<EventValues<S>>[] = [];
    try {
      for (const t of times) points.push(this.at(problem, state, t));
      return points;
    } catch (error) {
      for (const value of points.flat()) if (isTensor(value)) value.dispose();
      throw error;
    }
  }

  private partEnd({ t0, t1 }: StepState<S>, k: number): number {
    return k === this.samples ? t1 : t0 + ((t1 - t0) * k) / this.samples;
  }

  private at(problem: Problem<S>, state: StepState<S>, t: number): ReturnType<EventValues<S>> {
    const { stepper, system, space } = problem;
    return untaped(() => {
      const y = t === state.t1 ? state.y1! : stepper.interpolate(system, state, t);
      const slope = this.needsSlope() ? stepper.derivative(system, state, t) : null;
      const values = this.values(system.seen(t), y, slope);
      if (t !== state.t1) space.release(y);
      if (slope !== null) space.release(slope);
      this.checkSizes(values);
      return values;
    });
  }

  private checkSizes(values: ReturnType<EventValues<S>>): void {
    const i = this.sizes.findIndex((size, n) => sizeOf(values[n]) !== size);
    if (i < 0) return;
    const received = sizeOf(values[i]);
    if (!this.plain) for (const value of values) (value as Tensor).dispose();
    throw new InvalidArgumentError(
      `eventFn of '${this.plan.events[i].name}' returned ${received} components, and ${this.sizes[i]} at the start; return ` +
        'as many every time.',
    );
  }

  /* All values, one point after another. */
  private *read(points: readonly ReturnType<EventValues<S>>[]): Reading<ArrayLike<number>> {
    const all = points.flat();
    if (!isTensor(all[0])) return all.flatMap((value) => Array.from(value as ArrayLike<number>));
    const tensors = all as Tensor[];
    return yield* readNorm(
      scopedRead(
        () => concat(tensors.map(flat)),
        (values) => values,
        tensors,
      ),
    );
  }

  private crossings({ t1: end }: Problem<S>, state: StepState<S>, rows: readonly Float64Array[]): Crossing[] {
    const { sides, samples } = this;
    const found: Crossing[] = [];
    for (let j = 0; j < sides.length; j++) {
      const fresh = this.fresh[j];
      if (fresh) {
        sides[j] = this.firstSide(state, rows, j);
        this.fresh[j] = sides[j] === 0;
      }
      for (let k = 1; k <= samples; k++) {
        const value = rows[k][j];
        if (Number.isNaN(value)) throw this.notANumber(state, k, j);
        if (this.fresh[j]) continue;
        // A zero at the very end has no other side to be seen on.
        const last = k === samples && state.t1 === end && value === 0;
        const side = last ? -sides[j] : fresh && Math.abs(value) <= this.noise[j] ? 0 : Math.sign(value);
        if (!side || side === sides[j]) continue;
        const crossed = sides[j] !== 0 && (this.directions[j] === 0 || this.directions[j] === side);
        if (crossed) {
          const [a, b] = [this.partEnd(state, k - 1), this.partEnd(state, k)];
          found.push({ component: j, a, b, ga: rows[k - 1][j], gb: value, side });
        }
        sides[j] = side;
      }
    }
    return found;
  }

  private notANumber(state: StepState<S>, k: number, j: number): NonFiniteStateError {
    const t = this.partEnd(state, k);
    return new NonFiniteStateError(
      `eventFn of '${this.eventOf(j).event.name}' is NaN at t = ${t}: where it has no sign, no root can be found. Give it ` +
        'a value along the whole solution, as by Math.max(x, 0) under a root.',
      { t },
    );
  }

  /*
   * The side a component starts on. A value that counts as zero, |g| <= eventTol |dg/dt| or what rounding of the state makes
   * of it, is on the side it leaves to: a solve that starts at an event, as after a bounce, does not find it again. 0 while
   * it has not left.
   */
  private firstSide({ t0, t1 }: StepState<S>, rows: readonly Float64Array[], j: number): number {
    const g0 = rows[0][j];
    if (this.eventOf(j).event.whileNegative) return 1;
    const values = rows.map((row) => row[j]);
    const change = initialSlope(values);
    const tolerance = Math.max(this.eventTol, 8 * spacing(t0));
    const noise = this.noise[j];
    if (Math.abs(g0) > Math.max((tolerance * Math.abs(change)) / Math.abs(t1 - t0), noise))
      return Math.sign(g0);
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (largest <= noise) return 0;
    // A start at rest, as g = t^2, has a slope of rounding errors only.
    if (Math.abs(change) > 2 * noise + (this.plain ? 1e-6 : 1e-4) * largest) return Math.sign(change);
    return Math.sign(values.slice(1).find((value) => Math.abs(value) > noise) ?? 0);
  }

  private eventOf(component: number): { event: CheckedEvent; index: number; first: number } {
    let first = 0;
    for (let index = 0; ; index++) {
      if (component < first + this.sizes[index]) return { event: this.plan.events[index], index, first };
      first += this.sizes[index];
    }
  }

  private *locate(
    problem: Problem<S>,
    state: StepState<S>,
    crossings: readonly Crossing[],
  ): Reading<boolean> {
    const { direction } = problem;
    const roots: Root[] = [];
    for (const crossing of crossings) {
      const t = yield* this.root(problem, state, crossing);
      roots.push({ t, component: crossing.component, side: crossing.side, crossing });
    }
    roots.sort((p, q) => (p.t - q.t) * direction);
    const last = roots.find(({ component }) => this.eventOf(component).event.terminal);
    const passed = last ? roots.slice(0, roots.indexOf(last)) : roots;
    this.record(problem, state, passed);
    if (!last) return false;
    const t = yield* this.shorten(problem, state, last.t, last.crossing);
    const later = roots.slice(passed.length + 1);
    for (const event of this.found) if ((event.t - t) * direction > 0) event.t = t;
    // What was close behind it on the interpolant is judged by the step that ends there.
    const reached = later.length > 0 ? yield* this.reached(problem, state, later) : [];
    this.record(
      problem,
      state,
      [...reached, last].map(({ component }) => ({ t, component })),
    );
    this.found.sort((p, q) => Number(p.event.terminal) - Number(q.event.terminal));
    return true;
  }

  /* Which of the roots are at or before the end of a shortened step. */
  private *reached(problem: Problem<S>, state: StepState<S>, roots: readonly Root[]): Reading<Root[]> {
    const { t0, t1 } = state;
    const width = (0.25 * (t1 - t0)) / this.samples;
    const count = this.before.length;
    const all = yield* this.read(this.valuesAt(problem, state, [t1 - width, t1]));
    return roots.filter(({ component: j, side }, i) => {
      // Of two roots of one component the first decides.
      if (roots.findIndex((root) => root.component === j) !== i) return false;
      const [g0, g1] = [all[j], all[count + j]];
      const slope = (g1 - g0) / width;
      const zero = Math.abs(g1) <= Math.max(this.eventTol * Math.abs(slope), this.noise[j]);
      // On that side already before, it has another root to come.
      return Math.sign(g0) === -side && (zero || Math.sign(g1) === side);
    });
  }

  /* Adds the events of some roots; components that cross together are one event. */
  private record(
    problem: Problem<S>,
    state: StepState<S>,
    roots: readonly { t: number; component: number }[],
  ): void {
    for (const { t, component } of roots) {
      const { event, index, first } = this.eventOf(component);
      const same = this.found.find(
        (other) => other.index === index && Math.abs(other.t - t) <= this.eventTol,
      );
      if (same) {
        same.mask[component - first] = true;
        continue;
      }
      const mask = Array.from({ length: this.sizes[index] }, (_, i) => i === component - first);
      const y = this.stateAt(problem, state, t);
      this.found.push({ t, y, event, index, mask });
    }
  }

  private stateAt({ stepper, system, space }: Problem<S>, state: StepState<S>, t: number): S {
    return t === state.t1 ? space.copy(state.y1!) : stepper.interpolate(system, state, t);
  }

  /*
   * Takes the step again, up to the event, and once more where the root is of that step: what follows starts from a state
   * of the method's own order, not the interpolant's.
   */
  private *shorten(problem: Problem<S>, state: StepState<S>, t: number, crossing: Crossing): Reading<number> {
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
    if (this.eventOf(component).event.whileNegative) return at;
    for (let n = 0; n < (this.plain ? 4 : 1); n++) {
      const correction = yield* this.correction(problem, state, crossing, 0.02 * ((t1 - t0) / this.samples));
      const next = inside(at + correction);
      if (Math.abs(next - at) <= Math.max(this.plain ? 0.1 * this.eventTol : 0, 2 * spacing(at))) break;
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
    const nodes = chebyshevNodes(this.plain ? 3 : nodesPerRead);
    const times = nodes.map((x) => (x === 1 ? t1 : t1 - (1 - x) * width));
    const points = this.valuesAt(problem, state, times);
    const all = yield* this.read(points);
    const values = nodes.map((_, i) => all[i * this.before.length + component]);
    // A function that jumps over zero has no root to come closer to.
    if (Math.abs(values[values.length - 1]) > 0.5 * Math.max(Math.abs(ga), Math.abs(gb))) return 0;
    // Float64 has no noise to smooth away.
    const fit = this.plain ? chebyshevInterpolant(values) : chebyshevFit(values, 3);
    // Beside a kink or a jump they would lead astray.
    const [start, middle, end] = [fit(0), fit(0.5), fit(1)];
    if (!(Math.abs(start - 2 * middle + end) < 0.5 * Math.abs(end - start))) return 0;
    const distance = (rootNear(fit, 1, 1e-3) - 1) * width;
    return Math.abs(distance) <= Math.abs(window) / 0.04 ? distance : 0;
  }

  private *root(problem: Problem<S>, state: StepState<S>, crossing: Crossing): Reading<number> {
    const { a, b, ga, gb, component } = crossing;
    if (gb === 0) return b;
    if (this.eventOf(component).event.whileNegative && Math.sign(ga) === Math.sign(gb)) return a;
    if (!this.plain) return yield* this.rootByReads(problem, state, crossing);
    const { index, first } = this.eventOf(component);
    const value = (t: number): number => {
      const values = this.at(problem, state, t) as readonly ArrayLike<number>[];
      return values[index][component - first];
    };
    // A start that counts as zero may have the wrong sign.
    const start = Math.sign(ga) === Math.sign(gb) ? -gb * Number.EPSILON : ga;
    return findRoot(value, [a, start], [b, gb], this.eventTol);
  }

  private *rootByReads(problem: Problem<S>, state: StepState<S>, crossing: Crossing): Reading<number> {
    const { component, gb } = crossing;
    const count = this.before.length;
    const nodes = chebyshevNodes(nodesPerRead);
    const values = function* (this: EventWatch<S>, a: number, b: number): Reading<number[]> {
      const times = nodes.map((x) => a + x * (b - a));
      const all = yield* this.read(this.valuesAt(problem, state, times));
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
      if (n === maxReads || Math.abs(b - a) <= this.eventTol || isSmooth(found, i)) break;
      [a, b] = [a + nodes[i - 1] * (b - a), a + nodes[i] * (b - a)];
    }
    // The step that ends there has values of its own.
    if (this.eventOf(component).event.terminal) return root;
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

const sizeOf = (value: Tensor | ArrayLike<number>): number => (isTensor(value) ? value.size : value.length);

/* What is made of a list; when that throws, the tensors made before are freed. */
function disposedOnThrow<T, V extends readonly unknown[]>(list: readonly T[], make: (item: T) => V): V[] {
  const made: V[] = [];
  try {
    for (const item of list) made.push(make(item));
    return made;
  } catch (error) {
    for (const value of made.flat()) if (isTensor(value)) value.dispose();
    throw error;
  }
}

const flat = (value: unknown): Tensor => reshape(value as Tensor, [(value as Tensor).size]);

/* A read of a tensor made of others, which are no longer needed then. */
function scopedRead(
  make: () => Tensor,
  finish: (values: ArrayLike<number>) => ArrayLike<number>,
  parts: readonly Tensor[],
): DeviceRead {
  const tensor = untaped(() => scoped(() => engine().keep(make())));
  for (const part of parts) part.dispose();
  return new DeviceRead(tensor, finish);
}

/* The derivative at the beginning of a step, over the step, of the polynomial through values at equal distances. */
function initialSlope(values: readonly number[]): number {
  let slope = 0;
  let differences = [...values];
  // Higher differences of many values are rounding, or belong to a function that the parts do not resolve.
  for (let order = 1; order < Math.min(values.length, 5); order++) {
    differences = differences.slice(1).map((value, i) => value - differences[i]);
    slope += ((order % 2 === 1 ? 1 : -1) * differences[0]) / order;
  }
  return slope * (values.length - 1);
}
