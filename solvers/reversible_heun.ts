import { sparseRow, type SparseRow, type StateSpace } from '../src/core/space.js';
import type { Stepper, StepState } from '../src/core/stepper.js';
import type { System } from '../src/core/system.js';

/** A step of reversible Heun: the state `y`, a companion `z` that is advanced beside it, and `k = f(t, z)`. */
interface ReversibleHeunState<S> extends StepState<S> {
  z0: S;
  k0: S | null;
  z1: S | null;
  k1: S | null;
}

const half = /* @__PURE__ */ sparseRow([0.5, 0.5]);
const error = /* @__PURE__ */ sparseRow([-0.5, 0.5]);

/**
 * Reversible Heun, order 2(1), one evaluation per step:
 *
 * `z1 = 2 y0 - z0 + h f(t0, z0)`, `y1 = y0 + h (f(t0, z0) + f(t1, z1)) / 2`, with `z = y` at the start.
 *
 * A step can be taken back in closed form, so that `adjoint: 'reversible'` has the exact gradient of the steps at a
 * memory that does not grow with them. Its stability region is the interval `[-i, i]`, so it is not for damped problems:
 * an error grows like `exp(lambda T)` over a time `T` under damping `lambda`, whatever the step. It is for oscillations
 * and short intervals.
 *
 * Source: Kidger, Foster, Li & Lyons 2021, Efficient and Accurate Gradients for Neural SDEs,
 * https://doi.org/10.48550/arXiv.2105.13493.
 */
export class ReversibleHeun implements Stepper {
  readonly name = 'reversible_heun';
  readonly order = 2;
  readonly embeddedOrder = 1;
  readonly hint =
    "Steps of 'reversible_heun' are unstable where the solution is damped, whatever their size: their error grows there, " +
    "and step control answers with ever shorter steps. For a damped problem use another method, such as 'dopri5'.";

  init<S>({ space }: System<S>, t: number, y: S): StepState<S> {
    return this.begin(t, y, space.copy(y), null);
  }

  private begin<S>(t: number, y: S, z: S, k: S | null): StepState<S> {
    const own: ReversibleHeunState<S> = {
      t0: t,
      y0: y,
      t1: t,
      y1: null,
      z0: z,
      k0: k,
      z1: null,
      k1: null,
    };
    return own;
  }

  slope<S>(system: System<S>, state: StepState<S>): S {
    const own = state as ReversibleHeunState<S>;
    own.k0 ??= system.evaluate(own.t0, own.z0);
    return own.k0;
  }

  step<S>(system: System<S>, state: StepState<S>, t1: number): StepState<S> {
    const { space } = system;
    const own = state as ReversibleHeunState<S>;
    const { t0, y0, z0 } = own;
    const h = t1 - t0;
    const k0 = this.slope(system, state);
    own.t1 = t1;
    own.z1 = companion(space, y0, z0, h, k0);
    own.k1 = system.evaluate(t1, own.z1);
    own.y1 = space.advance(y0, h, half, [k0, own.k1], null);
    return own;
  }

  errorNorm<S>(system: System<S>, state: StepState<S>) {
    const { t0, t1, y0, y1, k0, k1 } = state as ReversibleHeunState<S>;
    return system.space.errorNorm(t1 - t0, error, [k0!, k1!], y0, y1!);
  }

  /* The quadratic with slopes k0 and k1 at its ends: y0 + h ((theta - theta^2 / 2) k0 + theta^2 / 2 k1). */
  interpolate<S>(system: System<S>, state: StepState<S>, t: number): S {
    const { t0, t1, y0, k0, k1 } = state as ReversibleHeunState<S>;
    const h = t1 - t0;
    return system.space.advance(y0, h, outputWeights((t - t0) / h), [k0!, k1!], null);
  }

  derivative<S>(system: System<S>, state: StepState<S>, t: number): S {
    const { t0, t1, k0, k1 } = state as ReversibleHeunState<S>;
    const theta = (t - t0) / (t1 - t0);
    return system.space.increment(1, sparseRow([1 - theta, theta]), [k0!, k1!]);
  }

  accept<S>(system: System<S>, state: StepState<S>, restart: boolean): StepState<S> {
    const { space } = system;
    const own = state as ReversibleHeunState<S>;
    space.release(own.y0);
    space.release(own.z0);
    space.release(own.k0!);
    if (restart) space.release(own.k1!);
    own.t0 = own.t1;
    own.y0 = own.y1!;
    own.z0 = own.z1!;
    own.k0 = restart ? null : own.k1;
    own.y1 = own.z1 = own.k1 = null;
    return own;
  }

  reject<S>(system: System<S>, state: StepState<S>): StepState<S> {
    const own = state as ReversibleHeunState<S>;
    for (const made of [own.y1, own.z1, own.k1]) if (made !== null) system.space.release(made);
    own.y1 = own.z1 = own.k1 = null;
    own.t1 = own.t0;
    return own;
  }

  detach<S>(_system: System<S>, state: StepState<S>, archive: StateSpace<S>): StepState<S> {
    const own = state as ReversibleHeunState<S>;
    const { y0, y1, k0, k1, z0, z1 } = own;
    const [first, last, slope0, slope1] = [y0, y1!, k0!, k1!].map((s) => archive.copy(s));
    // Nobody asks an archived step for z.
    return { ...own, y0: first, y1: last, k0: slope0, k1: slope1, z0, z1 } as StepState<S>;
  }

  carried<S>(system: System<S>, state: StepState<S>, at: 'start' | 'end'): readonly S[] {
    const { y0, z0, y1, z1, k1 } = state as ReversibleHeunState<S>;
    return at === 'start' ? [y0, z0, this.slope(system, state)] : [y1!, z1!, k1!];
  }

  resume<S>(_system: System<S>, t: number, [y, z, k]: readonly S[]): StepState<S> {
    return this.begin(t, y, z, k);
  }
}

/* One row for all steps: plain numbers allocate nothing. */
const companionRow = /* @__PURE__ */ sparseRow([1, -1, NaN]);

/** `2 y - z + h k`: the companion one step on, or, with the state there and `-h`, one step back. */
export function companion<S>(space: StateSpace<S>, y: S, z: S, h: number, k: S): S {
  companionRow.values[2] = h;
  return space.combine(y, 1, companionRow, [y, z, k]);
}

/** Weights of `h k0` and `h k1` in an output inside a step. */
export function outputWeights(theta: number): SparseRow {
  return sparseRow([theta - theta ** 2 / 2, theta ** 2 / 2]);
}

/** {@link ReversibleHeun}, the only one there is. */
export const reversibleHeun = /* @__PURE__ */ new ReversibleHeun();
