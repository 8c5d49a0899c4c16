import { companion, outputWeights } from '../solvers/reversible_heun.js';
import { hermite } from '../solvers/leapfrog.js';
import { sparseRow, type Half, type StateSpace } from '../src/core/space.js';
import { weightedSum, type AdjointContext, type Linearized, type StepAdjoint } from './step_adjoint.js';

/*
 * The adjoints of the methods whose steps can be taken back. Both carry their last evaluation k of func, so that each
 * evaluation of the solve is differentiated once; where a step began with a fresh one, that is undone there.
 */

const half = sparseRow([-0.5, -0.5]);
const itself = sparseRow([1]);

function release<S>(space: StateSpace<S>, states: readonly (S | null)[]): void {
  for (const state of states) if (state !== null) space.release(state);
}

/* The product at (t, y), or zero. Takes over the cotangent. */
function product<S>(context: AdjointContext<S>, t: number, y: S, cotangent: S | null): S | null {
  if (cotangent === null) return null;
  const func = context.linearize(t, y);
  context.system.space.release(func.slope);
  return pulled(context, func, cotangent);
}

/* The product where func was evaluated, or zero. Takes over the cotangent. */
function pulled<S>({ duals }: AdjointContext<S>, func: Linearized<S>, cotangent: S | null): S | null {
  const result = cotangent === null ? null : func.pullback(cotangent);
  func.dispose();
  if (cotangent !== null) duals.release(cotangent);
  return result;
}

/**
 * Reversible Heun carries `(y, z, k)`: `z1 = 2 y0 - z0 + h k0`, `k1 = f(t1, z1)`, `y1 = y0 + h (k0 + k1) / 2`. Backward:
 * `kbar1 += h/2 ybar1`, `zbar1 += J1^T kbar1`, and
 * `ybar0 = ybar1 + 2 zbar1`, `zbar0 = -zbar1`, `kbar0 = h zbar1 + h/2 ybar1`.
 */
export const reversibleHeunAdjoint: StepAdjoint = {
  reverse(context, { t0, t1, before: [y0, z0, k0], restart, after, outputs }) {
    const { system, duals } = context;
    const { space } = system;
    const h = t1 - t0;
    const [ybar, zbar, kbar] = after;
    const inside = outputs.map(({ theta, cotangent }) => ({ row: outputWeights(theta).values, cotangent }));
    const outer = (i: 0 | 1) => inside.map(({ row, cotangent }) => [h * row[i], cotangent] as const);
    const z1 = companion(space, y0, z0, h, k0);
    const toSlope = weightedSum(duals, [[h / 2, ybar], [1, kbar], ...outer(1)]);
    const mu = product(context, t1, z1, toSlope);
    space.release(z1);
    const toCompanion = weightedSum(duals, [
      [1, zbar],
      [1, mu],
    ]);
    const given = outputs.map(({ cotangent }) => [1, cotangent] as const);
    const toState = weightedSum(duals, [[1, ybar], [2, toCompanion], ...given]);
    const first = weightedSum(duals, [[h, toCompanion], [h / 2, ybar], ...outer(0)]);
    const back = weightedSum(duals, [[-1, toCompanion]]);
    release(duals, [mu, toCompanion]);
    if (!restart) return [toState, back, first];
    const fresh = product(context, t0, z0, first);
    const toStart = weightedSum(duals, [
      [1, back],
      [1, fresh],
    ]);
    release(duals, [back, fresh]);
    return [toState, toStart, null];
  },

  undo(system, t0, t1, [y1, z1, k1]) {
    const { space } = system;
    const h = t1 - t0;
    const z0 = companion(space, y1, z1, -h, k1);
    const k0 = system.evaluate(t0, z0);
    return [space.combine(y1, h, half, [k0, k1]), z0, k0];
  },

  evaluateCarried: (system, t, [, z]) => system.evaluate(t, z),
};

/**
 * Leapfrog carries `(y, k)`, of whose `k` the half of the force counts. A kick or drift `y + c P f(t, y)`, where `P`
 * takes one half, has the adjoint `ybar + J^T (c P ybar)`.
 */
export const leapfrogAdjoint: StepAdjoint = {
  reverse(context, { t0, t1, before: [y0, k0], restart, after, outputs }) {
    const { system, duals } = context;
    const { space } = system;
    const h = t1 - t0;
    const inside = outputs.map(({ theta, cotangent }) => ({ ...hermite(theta), cotangent }));
    const weigh = (weight: (output: (typeof inside)[number]) => number) =>
      inside.map((output) => [weight(output), output.cotangent] as const);
    const middle = space.combineHalf('p', y0, h / 2, itself, [k0]);
    const velocity = context.linearize(t0 + h / 2, middle);
    const moved = space.combineHalf('q', middle, h, itself, [velocity.slope]);
    const force = context.linearize(t1, moved);
    const atEnd = weightedSum(duals, [[1, after[0]], ...weigh(({ towards }) => towards)]);
    let ybar = atEnd;
    const gain = (more: (typeof after)[number]): void => {
      const sum = weightedSum(duals, [
        [1, ybar],
        [1, more],
      ]);
      release(duals, [ybar, more]);
      ybar = sum;
    };
    if (inside.length > 0) {
      const y1 = space.combineHalf('p', moved, h / 2, itself, [force.slope]);
      const slope = weightedSum(
        duals,
        weigh(({ b1 }) => h * b1),
      );
      gain(product(context, t1, y1, slope));
      space.release(y1);
    }
    const kick = halfOf(duals, 'p', [
      [h / 2, ybar],
      [1, after[1]],
    ]);
    gain(pulled(context, force, kick));
    const drift = halfOf(duals, 'q', [[h, ybar]]);
    gain(pulled(context, velocity, drift));
    release(space, [middle, velocity.slope, moved, force.slope]);
    let kbar = halfOf(duals, 'p', [[h / 2, ybar]]);
    if (inside.length > 0) {
      gain(
        weightedSum(
          duals,
          weigh(({ towards }) => 1 - towards),
        ),
      );
      const slope = weightedSum(
        duals,
        weigh(({ b0 }) => h * b0),
      );
      gain(product(context, t0, y0, slope));
    }
    if (restart) {
      gain(product(context, t0, y0, kbar));
      kbar = null;
    }
    return [ybar, kbar];
  },

  undo(system, t0, t1, [y1, k1]) {
    const { space } = system;
    const h = t1 - t0;
    const middle = space.combineHalf('p', y1, -h / 2, itself, [k1]);
    const velocity = system.evaluate(t0 + h / 2, middle);
    const moved = space.combineHalf('q', middle, -h, itself, [velocity]);
    const k0 = system.evaluate(t0, moved);
    const y0 = space.combineHalf('p', moved, -h / 2, itself, [k0]);
    release(space, [middle, velocity, moved]);
    return [y0, k0];
  },

  evaluateCarried: (system, t, [y]) => system.evaluate(t, y),
};

/* A weighted sum, and zero in the other half. */
function halfOf<S>(
  space: StateSpace<S>,
  which: Half,
  terms: readonly (readonly [number, S | null | undefined])[],
): S | null {
  const sum = weightedSum(space, terms);
  if (sum === null) return null;
  const masked = space.combineHalf(which === 'q' ? 'p' : 'q', sum, -1, itself, [sum]);
  space.release(sum);
  return masked;
}
