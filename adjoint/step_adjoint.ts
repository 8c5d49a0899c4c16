import type { ButcherTableau } from '../solvers/index.js';
import { sparseRow } from '../src/core/space.js';
import type { System } from '../src/core/system.js';

/** Products of a cotangent with the Jacobian of func; those with its parameters are added up behind it. */
export type StateVjp<S> = (t: number, y: S, cotangent: S) => S;

/** The cotangent of an output inside a step, at `t0 + theta (t1 - t0)`. */
export interface InnerOutput<S> {
  theta: number;
  cotangent: S;
}

/** One step whose adjoint is wanted. */
export interface StepToReverse<S> {
  t0: number;
  t1: number;
  /** State at `t0`; borrowed. */
  y0: S;
  /** Cotangent of the state at `t1`, borrowed; `null` for zero. */
  lambda: S | null;
  outputs: readonly InnerOutput<S>[];
}

/**
 * The exact adjoint of one step of an explicit Runge-Kutta method, interpolated outputs included. With the cotangent
 * lambda of y1 and the cotangents g_m of outputs at theta_m, for i from the last stage to the first
 *
 * `kbar_i = h b_i lambda + sum_m h b_i(theta_m) g_m + h sum_(j>i) a_ji mu_j`, `mu_i = (df/dy)_i^T kbar_i`,
 *
 * and `ybar = lambda + sum_m g_m + sum_i mu_i`. The step size is a constant.
 *
 * @returns The cotangent of `y0`, owned by the space; `null` for zero.
 */
export function reverseStep<S>(
  system: System<S>,
  tableau: ButcherTableau,
  step: StepToReverse<S>,
  vjp: StateVjp<S>,
): S | null {
  const { space } = system;
  const { t0, t1, lambda, outputs } = step;
  const h = t1 - t0;
  const sources = [...(lambda === null ? [] : [lambda]), ...outputs.map((output) => output.cotangent)];
  if (sources.length === 0) return null;
  const rows = outputs.length > 0 ? tableau.extendedRows() : tableau.a;
  const weights = stageWeights(tableau, rows.length, step);
  const stages = stageStates(system, tableau, rows, step);
  const mu: S[] = [];
  const muStage: number[] = [];
  for (let i = rows.length - 1; i >= 0; i--) {
    const coefficients = [...weights[i], ...muStage.map((j) => rows[j][i] ?? 0)];
    if (coefficients.every((c) => c === 0)) continue;
    const kbar = space.increment(h, sparseRow(coefficients), [...sources, ...mu]);
    mu.push(space.adopt(vjp(stages[i].t, stages[i].y, kbar)));
    muStage.push(i);
    space.release(kbar);
  }
  const all = [...sources, ...mu];
  const ybar = space.increment(1, sparseRow(all.map(() => 1)), all);
  for (const state of mu) space.release(state);
  for (const { y } of stages) space.release(y);
  return ybar;
}

/* b_i, then b_i(theta_m), for every stage. */
function stageWeights<S>(
  { b, interpolant }: ButcherTableau,
  count: number,
  { lambda, outputs }: StepToReverse<S>,
): number[][] {
  return Array.from({ length: count }, (_, i) => [
    ...(lambda === null ? [] : [b[i] ?? 0]),
    ...outputs.map(({ theta }) => (interpolant[i] ?? []).reduceRight((sum, p) => (sum + p) * theta, 0)),
  ]);
}

interface Stage<S> {
  t: number;
  y: S;
}

/* The arguments of all stages, made again from y0. */
function stageStates<S>(
  system: System<S>,
  { c, fsal, denseStages }: ButcherTableau,
  rows: readonly (readonly number[])[],
  { t0, t1, y0 }: StepToReverse<S>,
): Stage<S>[] {
  const { space } = system;
  const h = t1 - t0;
  const nodes = [...c, ...(fsal ? [] : [1]), ...denseStages.c];
  const k: S[] = [];
  const made = rows.map((row, i) => {
    const y = i === 0 ? space.copy(y0) : space.combine(y0, h, sparseRow(row), k);
    const t = nodes[i] === 1 ? t1 : t0 + nodes[i] * h;
    const needed = rows.slice(i + 1).some((later) => (later[i] ?? 0) !== 0);
    if (needed) k[i] = system.evaluate(t, y);
    return { t: system.seen(t), y };
  });
  k.forEach((state) => space.release(state));
  return made;
}
