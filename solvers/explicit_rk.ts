import type { SparseRow, StateSpace } from '../src/core/space.js';
import type { Stepper, StepState } from '../src/core/stepper.js';
import type { System } from '../src/core/system.js';
import type { ButcherTableau } from './tableau.js';

/** A step of an explicit Runge-Kutta method: its stage derivatives, and what the interpolant needs beyond them. */
interface RungeKuttaState<S> extends StepState<S> {
  /** Stage derivatives of the attempt; `k[0]` is `f(t0, y0)` as soon as it is known. */
  readonly k: S[];
  started: boolean;
  /** `f(t1, y1)` of a method whose last stage is something else, once somebody needed it. */
  f1: S | null;
  /** Stages of the interpolant: `k`, `f1`, dense stages; empty until asked for. */
  readonly extended: S[];
}

/** Steps of any explicit Runge-Kutta method, on any space of states. */
export class ExplicitRungeKutta implements Stepper {
  readonly name: string;
  readonly order: number;
  readonly embeddedOrder: number | null;
  private readonly c: Float64Array;
  private readonly weights: SparseRow;

  constructor(readonly tableau: ButcherTableau) {
    this.name = tableau.name;
    this.order = tableau.order;
    this.embeddedOrder = tableau.embeddedOrder;
    this.c = Float64Array.from(tableau.c);
    const { length } = tableau.interpolant;
    this.weights = { indices: Array.from({ length }, (_, i) => i), values: new Float64Array(length) };
  }

  withInterpolant(kind: 'linear' | 'cubic'): Stepper {
    return new ExplicitRungeKutta(this.tableau.withInterpolant(kind));
  }

  init<S>(_system: System<S>, t: number, y: S): StepState<S> {
    // One literal: spreads would give each state a hidden class of its own, and slow every access to it.
    const own: RungeKuttaState<S> = {
      t0: t,
      y0: y,
      t1: t,
      y1: null,
      k: [],
      started: false,
      f1: null,
      extended: [],
    };
    return own;
  }

  slope<S>(system: System<S>, state: StepState<S>): S {
    const own = state as RungeKuttaState<S>;
    if (!own.started) {
      own.k[0] = system.evaluate(own.t0, own.y0);
      own.started = true;
    }
    return own.k[0];
  }

  step<S>(system: System<S>, state: StepState<S>, t1: number): StepState<S> {
    const { c } = this;
    const { rows, stages, fsal } = this.tableau;
    const { space } = system;
    const { k, t0, y0 } = state as RungeKuttaState<S>;
    const h = t1 - t0;
    this.slope(system, state);
    let last: S | null = null;
    for (let i = 1; i < stages; i++) {
      const y = space.combine(y0, h, rows.a[i], k);
      k[i] = system.evaluate(c[i] === 1 ? t1 : t0 + c[i] * h, y);
      if (fsal && i === stages - 1) last = y;
      else space.release(y);
    }
    state.t1 = t1;
    state.y1 = space.advance(y0, h, rows.b, k, last);
    return state;
  }

  errorNorm<S>(system: System<S>, state: StepState<S>) {
    const { k, t0, t1, y0, y1 } = state as RungeKuttaState<S>;
    return system.space.errorNorm(t1 - t0, this.tableau.rows.error, k, y0, y1!);
  }

  interpolate<S>(system: System<S>, state: StepState<S>, t: number): S {
    const { t0, t1, y0 } = state;
    const k = this.extend(system, state as RungeKuttaState<S>);
    const theta = (t - t0) / (t1 - t0);
    const { values } = this.weights;
    this.tableau.interpolant.forEach((row, i) => {
      let sum = 0;
      for (let d = row.length - 1; d >= 0; d--) sum = (sum + row[d]) * theta;
      values[i] = sum;
    });
    return system.space.advance(y0, t1 - t0, this.weights, k, null);
  }

  derivative<S>(system: System<S>, state: StepState<S>, t: number): S {
    const { t0, t1 } = state;
    const k = this.extend(system, state as RungeKuttaState<S>);
    const theta = (t - t0) / (t1 - t0);
    const { values } = this.weights;
    this.tableau.interpolant.forEach((row, i) => {
      let sum = 0;
      for (let d = row.length - 1; d >= 0; d--) sum = sum * theta + (d + 1) * row[d];
      values[i] = sum;
    });
    return system.space.increment(1, this.weights, k);
  }

  /* The stages the interpolant reads, evaluating those that are missing. */
  private extend<S>(system: System<S>, state: RungeKuttaState<S>): readonly S[] {
    const { interpolant, stages, fsal, rows, denseStages } = this.tableau;
    const { t0, t1, y0, y1, k, extended } = state;
    if (interpolant.length === stages) return k;
    if (extended.length > 0) return extended;
    extended.push(...k);
    if (!fsal) extended.push((state.f1 ??= system.evaluate(t1, y1!)));
    const { space } = system;
    for (let i = 0; extended.length < interpolant.length; i++) {
      const h = t1 - t0;
      const y = space.combine(y0, h, rows.dense[i], extended);
      extended.push(system.evaluate(t0 + denseStages.c[i] * h, y));
      space.release(y);
    }
    return extended;
  }

  accept<S>(system: System<S>, state: StepState<S>, restart: boolean): StepState<S> {
    const own = state as RungeKuttaState<S>;
    const { space } = system;
    const { fsal, stages } = this.tableau;
    const f1 = fsal ? own.k[stages - 1] : own.f1;
    own.f1 = null;
    this.forgetStages(system, own, 0, fsal ? stages - 1 : stages);
    if (f1 !== null) {
      own.started = !restart;
      if (restart) space.release(f1);
      else own.k[0] = f1;
    } else {
      own.started = false;
    }
    space.release(own.y0);
    own.t0 = own.t1;
    own.y0 = own.y1!;
    own.y1 = null;
    return own;
  }

  reject<S>(system: System<S>, state: StepState<S>): StepState<S> {
    const own = state as RungeKuttaState<S>;
    this.forgetStages(system, own, 1, this.tableau.stages);
    if (own.f1 !== null) system.space.release(own.f1);
    own.f1 = null;
    if (own.y1 !== null) system.space.release(own.y1);
    own.y1 = null;
    own.t1 = own.t0;
    return own;
  }

  /* Releases stages `first` to `end - 1`, and what the interpolant added. */
  private forgetStages<S>(system: System<S>, own: RungeKuttaState<S>, first: number, end: number): void {
    const { space } = system;
    const { k, extended } = own;
    for (let i = first; i < end; i++) space.release(k[i]);
    if (extended.length === 0) return;
    const added = this.tableau.stages + (this.tableau.fsal ? 0 : 1);
    for (let i = added; i < extended.length; i++) space.release(extended[i]);
    extended.length = 0;
  }

  detach<S>(system: System<S>, state: StepState<S>, archive: StateSpace<S>): StepState<S> {
    const own = state as RungeKuttaState<S>;
    const stages = this.extend(system, own);
    const keep = (s: S): S => archive.copy(s);
    const copies = stages.map(keep);
    const extended = stages === own.k ? [] : copies;
    return { ...own, y0: keep(own.y0), y1: keep(own.y1!), k: copies, extended } as RungeKuttaState<S>;
  }
}
