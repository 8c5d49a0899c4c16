import type { CheckedEvent, EventPlan, EventValues } from '../src/core/events.js';
import type { Problem, Watch } from '../src/core/problem.js';
import type { Reading } from '../src/core/reading.js';
import { DeviceRead, type ErrorNorm } from '../src/core/space.js';
import type { StepState } from '../src/core/stepper.js';
import { RootFinder } from './locate_root.js';
import { EventSides, type Crossing } from './locate_sides.js';
import { EventSampler, type Values } from './locate_values.js';

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

/* Where a component crosses zero. */
interface Root {
  t: number;
  component: number;
  side: number;
  crossing: Crossing;
}

/**
 * Looks for events in every step of a solve: at the ends and a few places between, of the interpolant. A change of sign
 * there is followed to the root.
 */
export class EventWatch<S> implements Watch<S> {
  /** Events of the step at hand, in the order of travel. */
  found: Located<S>[] = [];
  private readonly sampler: EventSampler<S>;
  private readonly roots: RootFinder<S>;
  private sides!: EventSides<S>;
  private attached: ArrayLike<number> | null = null;

  constructor(plan: EventPlan, values: EventValues<S>, plain: boolean) {
    this.sampler = new EventSampler(plan, values, plain);
    this.roots = new RootFinder(this.sampler);
  }

  *begin(problem: Problem<S>, state: StepState<S>): Reading<void> {
    const all = yield* this.sampler.begin(problem, state);
    this.sides = new EventSides(this.sampler, all);
  }

  attach(problem: Problem<S>, norm: ErrorNorm, state: StepState<S>): ErrorNorm {
    this.attached = null;
    if (!(norm instanceof DeviceRead)) return norm;
    let values: Values<S>[];
    try {
      values = this.sampler.sample(problem, state);
    } catch (error) {
      norm.tensor.dispose();
      throw error;
    }
    return this.sampler.attach(norm, values, (read) => (this.attached = read));
  }

  *inspect(problem: Problem<S>, state: StepState<S>): Reading<boolean> {
    this.found = [];
    const values = this.attached ?? (yield* this.sampler.read(this.sampler.sample(problem, state)));
    this.attached = null;
    const crossings = this.sides.crossings(problem, state, values);
    if (crossings.length === 0) return false;
    return yield* this.locate(problem, state, crossings);
  }

  private *locate(
    problem: Problem<S>,
    state: StepState<S>,
    crossings: readonly Crossing[],
  ): Reading<boolean> {
    const { direction } = problem;
    const roots: Root[] = [];
    for (const crossing of crossings) {
      const t = yield* this.roots.root(problem, state, crossing);
      roots.push({ t, component: crossing.component, side: crossing.side, crossing });
    }
    roots.sort((p, q) => (p.t - q.t) * direction);
    const last = roots.find(({ component }) => this.sampler.eventOf(component).event.terminal);
    const passed = last ? roots.slice(0, roots.indexOf(last)) : roots;
    this.record(problem, state, passed);
    if (!last) return false;
    const end = yield* this.roots.shorten(problem, state, last.t, last.crossing);
    // A condition that holds at the start ends the solve there, though a step has to have a length.
    const atStart = last.t === state.t0 && this.sampler.eventOf(last.component).event.whileNegative;
    const t = atStart ? state.t0 : end;
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
    const width = (0.25 * (t1 - t0)) / this.sampler.samples;
    const count = this.sampler.count;
    const all = yield* this.sampler.read(this.sampler.valuesAt(problem, state, [t1 - width, t1]));
    return roots.filter(({ component: j, side }, i) => {
      // Of two roots of one component the first decides.
      if (roots.findIndex((root) => root.component === j) !== i) return false;
      const [g0, g1] = [all[j], all[count + j]];
      const slope = (g1 - g0) / width;
      const zero = Math.abs(g1) <= Math.max(this.sampler.eventTol * Math.abs(slope), this.sides.noise[j]);
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
      const { event, index, first, size } = this.sampler.eventOf(component);
      const same = this.found.find(
        (other) => other.index === index && Math.abs(other.t - t) <= this.sampler.eventTol,
      );
      if (same) {
        same.mask[component - first] = true;
        continue;
      }
      const mask = Array.from({ length: size }, (_, i) => i === component - first);
      const y = this.sampler.stateAt(problem, state, t);
      this.found.push({ t, y, event, index, mask });
    }
  }
}
