import { InvalidArgumentError } from '../src/core/errors.js';
import { readNorm, type Reading } from '../src/core/reading.js';
import { sparseRow, type ErrorNorm, type SparseRow, type StateSpace } from '../src/core/space.js';
import type { Stepper, StepState } from '../src/core/stepper.js';
import type { System } from '../src/core/system.js';

/** A step of leapfrog: `k` are evaluations whose `p` half is the force at `q`, `f` those at the states themselves. */
interface LeapfrogState<S> extends StepState<S> {
  k0: S | null;
  k1: S | null;
  f0: S | null;
  f1: S | null;
}

const itself = /* @__PURE__ */ sparseRow([1]);
const difference = /* @__PURE__ */ sparseRow([1, -1]);
/* No round number: y0 + f0 is zero where a half decays with rate 1. */
const elsewhere = /* @__PURE__ */ sparseRow([1, 0.7390851]);

/**
 * Leapfrog (velocity Verlet, Stoermer-Verlet), order 2, for separable systems `dq/dt = v(t, p)`, `dp/dt = F(t, q)`:
 *
 * `p = p0 + h/2 F(t0, q0)`, `q1 = q0 + h v(t0 + h/2, p)`, `p1 = p + h/2 F(t1, q1)`.
 *
 * It is symplectic and symmetric: the energy of a Hamiltonian system oscillates about its value and does not drift, and
 * a step can be taken back, so that `adjoint: 'reversible'` has the exact gradient of the steps at a memory that does not
 * grow with them. Steps are fixed, two evaluations each; two more at the start see whether the system is separable.
 *
 * Source: Hairer, Lubich & Wanner 2003, Geometric numerical integration illustrated by the Stoermer-Verlet method,
 * https://doi.org/10.1017/S0962492902000144.
 */
export class Leapfrog implements Stepper {
  readonly name = 'leapfrog';
  readonly order = 2;
  readonly embeddedOrder = null;

  init<S>(_system: System<S>, t: number, y: S): StepState<S> {
    return this.begin(t, y, null);
  }

  private begin<S>(t: number, y: S, k: S | null): StepState<S> {
    const own: LeapfrogState<S> = { t0: t, y0: y, t1: t, y1: null, k0: k, k1: null, f0: null, f1: null };
    return own;
  }

  *check<S>(system: System<S>, state: StepState<S>): Reading<void> {
    const { space } = system;
    const { t0, y0 } = state;
    const f0 = this.slope(system, state);
    const norm = (row: SparseRow, ks: readonly S[]) => readNorm(space.errorNorm(1, row, ks, y0, y0));
    for (const half of ['q', 'p'] as const) {
      const there = space.combineHalf(half, y0, 0.1, elsewhere, [y0, f0]);
      const slope = system.evaluate(t0, there);
      const change = space.combineHalf(half, y0, 1, difference, [slope, f0]);
      const [changed] = Array.from(yield* norm(difference, [change, y0]));
      const [size] = Array.from(yield* norm(itself, [f0]));
      for (const made of [there, slope, change]) space.release(made);
      if (!(changed > 1e3 * space.epsilon * size)) continue;
      throw new InvalidArgumentError(
        `d${half}/dt depends on ${half}: leapfrog needs a separable system, dq/dt a function of p and dp/dt one of q. Use ` +
          "another method, such as 'dopri5' or 'reversible_heun'.",
      );
    }
  }

  slope<S>(system: System<S>, state: StepState<S>): S {
    const own = state as LeapfrogState<S>;
    own.f0 ??= system.evaluate(own.t0, own.y0);
    return own.f0;
  }

  /* An evaluation with the force at q0: the last one of the step before, or f(t0, y0). */
  private force<S>(system: System<S>, own: LeapfrogState<S>): S {
    return own.k0 ?? this.slope(system, own);
  }

  step<S>(system: System<S>, state: StepState<S>, t1: number): StepState<S> {
    const { space } = system;
    const own = state as LeapfrogState<S>;
    const { t0, y0 } = own;
    const h = t1 - t0;
    const middle = space.combineHalf('p', y0, h / 2, itself, [this.force(system, own)]);
    const velocity = system.evaluate(t0 + h / 2, middle);
    const moved = space.combineHalf('q', middle, h, itself, [velocity]);
    const k1 = system.evaluate(t1, moved);
    own.t1 = t1;
    own.y1 = space.combineHalf('p', moved, h / 2, itself, [k1]);
    own.k1 = k1;
    for (const made of [middle, velocity, moved]) space.release(made);
    return own;
  }

  errorNorm(): ErrorNorm {
    throw new InvalidArgumentError(
      'leapfrog has no error estimate: give stepSize, or output times as steps.',
    );
  }

  /* Cubic Hermite. */
  interpolate<S>(system: System<S>, state: StepState<S>, t: number): S {
    const own = state as LeapfrogState<S>;
    const { t0, t1, y0, y1 } = own;
    const h = t1 - t0;
    const [f0, f1] = this.slopes(system, own);
    const { towards, b0, b1 } = hermite((t - t0) / h);
    const row = sparseRow([-towards, towards, h * b0, h * b1]);
    return system.space.combine(y0, 1, row, [y0, y1!, f0, f1]);
  }

  derivative<S>(system: System<S>, state: StepState<S>, t: number): S {
    const own = state as LeapfrogState<S>;
    const { t0, t1, y0, y1 } = own;
    const h = t1 - t0;
    const x = (t - t0) / h;
    const [f0, f1] = this.slopes(system, own);
    const towards = (6 * x * (1 - x)) / h;
    const row = sparseRow([-towards, towards, 1 - 4 * x + 3 * x * x, 3 * x * x - 2 * x]);
    return system.space.increment(1, row, [y0, y1!, f0, f1]);
  }

  private slopes<S>(system: System<S>, own: LeapfrogState<S>): [S, S] {
    own.f1 ??= system.evaluate(own.t1, own.y1!);
    return [this.slope(system, own), own.f1];
  }

  accept<S>(system: System<S>, state: StepState<S>, restart: boolean): StepState<S> {
    const { space } = system;
    const own = state as LeapfrogState<S>;
    for (const old of [own.y0, own.k0, own.f0]) if (old !== null) space.release(old);
    if (restart) for (const old of [own.k1, own.f1]) if (old !== null) space.release(old);
    own.t0 = own.t1;
    own.y0 = own.y1!;
    own.k0 = restart ? null : own.k1;
    own.f0 = restart ? null : own.f1;
    own.y1 = own.k1 = own.f1 = null;
    return own;
  }

  reject<S>(system: System<S>, state: StepState<S>): StepState<S> {
    const own = state as LeapfrogState<S>;
    for (const made of [own.y1, own.k1, own.f1]) if (made !== null) system.space.release(made);
    own.y1 = own.k1 = own.f1 = null;
    own.t1 = own.t0;
    return own;
  }

  detach<S>(system: System<S>, state: StepState<S>, archive: StateSpace<S>): StepState<S> {
    const own = state as LeapfrogState<S>;
    const [f0, f1] = this.slopes(system, own).map((s) => archive.copy(s));
    const [y0, y1] = [archive.copy(own.y0), archive.copy(own.y1!)];
    return { ...own, y0, y1, f0, f1, k0: null, k1: null } as StepState<S>;
  }

  carried<S>(system: System<S>, state: StepState<S>, at: 'start' | 'end'): readonly S[] {
    const own = state as LeapfrogState<S>;
    return at === 'start' ? [own.y0, this.force(system, own)] : [own.y1!, own.k1!];
  }

  resume<S>(_system: System<S>, t: number, [y, k]: readonly S[]): StepState<S> {
    return this.begin(t, y, k);
  }
}

/** `y(theta) = y0 + towards (y1 - y0) + h b0 f0 + h b1 f1`. */
export function hermite(x: number): { towards: number; b0: number; b1: number } {
  return { towards: x * x * (3 - 2 * x), b0: x * (1 - x) ** 2, b1: x * x * (x - 1) };
}

/** {@link Leapfrog}, the only one there is. */
export const leapfrog = /* @__PURE__ */ new Leapfrog();
