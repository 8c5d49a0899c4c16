import type { ButcherTableau } from '../solvers/index.js';
import { sparseRow, type StateSpace } from '../src/core/space.js';
import type { System } from '../src/core/system.js';

/** func at a state, of which the product with its Jacobian may be asked for later, once. */
export interface Linearized<S> {
  /** `f(t, y)`, owned by the system's space. */
  slope: S;
  /** The product with a cotangent, owned by `duals`; those with the parameters are added up behind it. */
  pullback(cotangent: S): S;
  /** Frees what the product needs, if nobody asked for it. */
  dispose(): void;
}

/** What the adjoint of a step works with. */
export interface AdjointContext<S> {
  system: System<S>;
  /** Where cotangents live. */
  duals: StateSpace<S>;
  linearize: (t: number, y: S) => Linearized<S>;
}

/** Cotangents of what a method carries from step to step; absent or `null` for zero. */
export type Cotangents<S> = readonly (S | null)[];

/** The cotangent of an output inside a step, at `t0 + theta (t1 - t0)`. */
export interface InnerOutput<S> {
  theta: number;
  cotangent: S;
}

/** One step whose adjoint is wanted. */
export interface StepToReverse<S> {
  t0: number;
  t1: number;
  /** What the method carried at `t0`, the state first; borrowed. */
  before: readonly S[];
  /** Whether it evaluated func afresh there. */
  restart: boolean;
  /** Cotangents of what it carried at `t1`; borrowed. */
  after: Cotangents<S>;
  outputs: readonly InnerOutput<S>[];
}

/** The adjoint of the steps of a method. */
export interface StepAdjoint {
  /** Cotangents of `before`, owned by `duals`. */
  reverse<S>(context: AdjointContext<S>, step: StepToReverse<S>): (S | null)[];
  /** What was carried at `t0`, from what is carried at `t1`, of a method whose steps can be taken back. */
  undo?<S>(system: System<S>, t0: number, t1: number, after: readonly S[]): S[];
  /** The evaluation of func that such a method carries last, from what it carries beside; at `t`. */
  evaluateCarried?<S>(system: System<S>, t: number, carried: readonly S[]): S;
}

/** The adjoint of the steps of an explicit Runge-Kutta method, which carry nothing but the state. */
export function rungeKuttaAdjoint(tableau: ButcherTableau): StepAdjoint {
  return { reverse: (context, step) => [reverseStep(context, tableau, step)] };
}

/** `sum_j c_j x_j`, leaving out what is zero; owned by the space. */
export function weightedSum<S>(
  space: StateSpace<S>,
  terms: readonly (readonly [number, S | null | undefined])[],
): S | null {
  const present = terms.filter((term): term is [number, S] => term[0] !== 0 && term[1] != null);
  if (present.length === 0) return null;
  return space.increment(
    1,
    sparseRow(present.map(([c]) => c)),
    present.map(([, x]) => x),
  );
}

/**
 * The exact adjoint of one step of an explicit Runge-Kutta method, interpolated outputs included. With the cotangent
 * lambda of y1 and the cotangents g_m of outputs at theta_m, for i from the last stage to the first
 *
 * `kbar_i = h b_i lambda + sum_m h b_i(theta_m) g_m + h sum_(j>i) a_ji mu_j`, `mu_i = (df/dy)_i^T kbar_i`,
 *
 * and `ybar = lambda + sum_m g_m + sum_i mu_i`. The step size is a constant.
 *
 * @returns The cotangent of `y0`, owned by `duals`; `null` for zero.
 */
function reverseStep<S>(
  context: AdjointContext<S>,
  tableau: ButcherTableau,
  step: StepToReverse<S>,
): S | null {
  const { duals, system } = context;
  const { t0, t1, outputs } = step;
  const lambda = step.after[0] ?? null;
  const h = t1 - t0;
  const sources = [...(lambda === null ? [] : [lambda]), ...outputs.map((output) => output.cotangent)];
  if (sources.length === 0) return null;
  const rows = outputs.length > 0 ? tableau.extendedRows() : tableau.a;
  const weights = stageWeights(tableau, rows.length, step);
  const stages = linearizedStages(context, tableau, rows, weights, step);
  const mu: S[] = [];
  const muStage: number[] = [];
  for (let i = rows.length - 1; i >= 0; i--) {
    const coefficients = [...weights[i], ...muStage.map((j) => rows[j][i] ?? 0)];
    if (coefficients.every((c) => c === 0)) continue;
    const kbar = duals.increment(h, sparseRow(coefficients), [...sources, ...mu]);
    mu.push(stages[i]!.func.pullback(kbar));
    muStage.push(i);
    duals.release(kbar);
  }
  const all = [...sources, ...mu];
  const ybar = duals.increment(1, sparseRow(all.map(() => 1)), all);
  for (const state of mu) duals.release(state);
  for (const stage of stages) {
    if (!stage) continue;
    stage.func.dispose();
    for (const state of [stage.y, stage.func.slope]) system.space.release(state);
  }
  return ybar;
}

/* b_i, then b_i(theta_m), for every stage. */
function stageWeights<S>(
  { b, interpolant }: ButcherTableau,
  count: number,
  { after, outputs }: StepToReverse<S>,
): number[][] {
  return Array.from({ length: count }, (_, i) => [
    ...((after[0] ?? null) === null ? [] : [b[i] ?? 0]),
    ...outputs.map(({ theta }) => (interpolant[i] ?? []).reduceRight((sum, p) => (sum + p) * theta, 0)),
  ]);
}

interface Stage<S> {
  y: S;
  func: Linearized<S>;
}

/* The stages that anything depends on, made again from y0: each evaluation of func is also the one differentiated. */
function linearizedStages<S>(
  { system, linearize }: AdjointContext<S>,
  { c, fsal, denseStages }: ButcherTableau,
  rows: readonly (readonly number[])[],
  weights: readonly (readonly number[])[],
  { t0, t1, before: [y0] }: StepToReverse<S>,
): (Stage<S> | null)[] {
  const { space } = system;
  const h = t1 - t0;
  const nodes = [...c, ...(fsal ? [] : [1]), ...denseStages.c];
  const counts = (i: number): boolean =>
    weights[i].some((w) => w !== 0) || rows.some((row, j) => j > i && (row[i] ?? 0) !== 0 && needed[j]);
  const needed: boolean[] = [];
  for (let i = rows.length - 1; i >= 0; i--) needed[i] = counts(i);
  const k: S[] = [];
  return rows.map((row, i) => {
    if (!needed[i]) return null;
    const y = i === 0 ? space.copy(y0) : space.combine(y0, h, sparseRow(row), k);
    const func = linearize(nodes[i] === 1 ? t1 : t0 + nodes[i] * h, y);
    k[i] = func.slope;
    return { y, func };
  });
}
