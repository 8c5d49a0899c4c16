import { resolveMethod } from '../solvers/index.js';
import type { AnyOptions } from './core/build_problem.js';
import { consumeSteps } from './core/collect.js';
import { describe, InvalidArgumentError, type SolveStats } from './core/errors.js';
import { requireFinite } from './core/integrate.js';
import { prepare, type AnyPrepared } from './core/prepare.js';
import { runAsync, runSync, type Reading } from './core/reading.js';
import { stepAt } from './core/locate_step.js';
import type { StateSpace } from './core/space.js';
import type { StepState } from './core/stepper.js';
import { type System } from './core/system.js';
import type { TreeOf } from './core/tree.js';
import type {
  InPlaceFunc,
  InPlaceOptions,
  PlainFunc,
  PlainOptions,
  PlainState,
  TensorFunc,
  TensorOptions,
  TreeLike,
} from './core/types.js';
import { refuseTape } from './odeint.js';

/** A solution that can be evaluated at any time of its interval. */
export interface DenseSolution<Y, Ys> {
  /** Beginning of the interval, the time of `y0`. */
  readonly t0: number;
  /** End of the interval. */
  readonly t1: number;
  readonly stats: SolveStats;
  /** State at `t`, as a value of the caller's. */
  evaluate(t: number): Y;
  /** States at several times, with a leading time axis. */
  evaluate(t: ArrayLike<number>): Ys;
  /** `dy/dt` of the interpolant at `t`. */
  derivative(t: number): Y;
  /** Frees the steps. What `evaluate` returned stays. */
  dispose(): void;
}

/**
 * Solves from `t0` to `t1` and keeps every step's interpolant: continuous output of the method's own order.
 *
 * @param func The vector field, as for `odeint`.
 * @param y0 State at `t0`, as for `odeint`.
 * @param t0 Beginning of the interval.
 * @param t1 Its end, before or after `t0`.
 * @param options As for `odeint`.
 * @returns The solution as a function of time; `dispose()` it when it holds tensors. (`tf.tidy` does not: the solution
 *   outlives the scopes it is made in.)
 * @throws As `odeint`.
 *
 * @example
 * ```ts
 * const orbit = odeintDense((t, [x, v]) => [v, -x], [1, 0], 0, 10);
 * console.log(orbit.evaluate(Math.PI)[0], orbit.derivative(0)[1]); // -1, -1
 * ```
 */
export function odeintDense<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t0: number,
  t1: number,
  options?: TensorOptions<Y, Args>,
): DenseSolution<TreeLike<Y>, TreeLike<Y>>;
export function odeintDense<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t0: number,
  t1: number,
  options: InPlaceOptions<Args>,
): DenseSolution<Float64Array, Float64Array[]>;
export function odeintDense<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t0: number,
  t1: number,
  options?: PlainOptions<Args>,
): DenseSolution<Float64Array, Float64Array[]>;
export function odeintDense(
  func: unknown,
  y0: unknown,
  t0: number,
  t1: number,
  options: AnyOptions = {},
): DenseSolution<unknown, unknown> {
  return runSync(denseSolution(prepareDense(func, y0, t0, t1, options), false));
}

/**
 * `odeintDense` that awaits every read from the device while it solves. `y0` may be disposed as soon as it has returned.
 *
 * @returns A promise of what `odeintDense` returns.
 * @throws As `odeintDense`, by rejection; at once {@link MissingGradientError} while a gradient is being taken.
 */
export function odeintDenseAsync<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t0: number,
  t1: number,
  options?: TensorOptions<Y, Args>,
): Promise<DenseSolution<TreeLike<Y>, TreeLike<Y>>>;
export function odeintDenseAsync<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t0: number,
  t1: number,
  options: InPlaceOptions<Args>,
): Promise<DenseSolution<Float64Array, Float64Array[]>>;
export function odeintDenseAsync<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t0: number,
  t1: number,
  options?: PlainOptions<Args>,
): Promise<DenseSolution<Float64Array, Float64Array[]>>;
export function odeintDenseAsync(
  func: unknown,
  y0: unknown,
  t0: number,
  t1: number,
  options: AnyOptions = {},
): Promise<DenseSolution<unknown, unknown>> {
  refuseTape('odeintDenseAsync', 'odeintDense');
  return denseLater(func, y0, t0, t1, options);
}

async function denseLater(
  func: unknown,
  y0: unknown,
  t0: number,
  t1: number,
  options: AnyOptions,
): Promise<DenseSolution<unknown, unknown>> {
  return runAsync(denseSolution(prepareDense(func, y0, t0, t1, options), true));
}

function prepareDense(func: unknown, y0: unknown, t0: number, t1: number, options: AnyOptions): AnyPrepared {
  for (const [name, value] of Object.entries({ t0, t1 })) {
    if (typeof value === 'number' && Number.isFinite(value)) continue;
    throw new InvalidArgumentError(`${name} is ${describe(value)}; expected a finite number.`);
  }
  if (t0 === t1) throw new InvalidArgumentError(`t0 and t1 are both ${t0}; expected an interval.`);
  return prepare(resolveMethod(options?.method), func, y0, Float64Array.of(t0, t1), options);
}

function* denseSolution(prepared: AnyPrepared, breathing: boolean): Reading<DenseSolution<unknown, unknown>> {
  const { problem } = prepared;
  const archive = problem.space.sibling();
  const steps: StepState<unknown>[] = [];
  try {
    yield* consumeSteps(problem, breathing, (step) => steps.push(step.detach(archive)));
    const last = steps[steps.length - 1];
    if (problem.steps.kind === 'fixed') yield* requireFinite(problem, last.t1, last.y1);
  } catch (error) {
    archive.releaseAll();
    throw error;
  }
  return new ArchivedSteps(prepared, archive, steps);
}

class ArchivedSteps implements DenseSolution<unknown, unknown> {
  readonly t0: number;
  readonly t1: number;
  readonly stats: SolveStats;
  private readonly system: System<unknown>;
  private disposed = false;

  constructor(
    private readonly prepared: AnyPrepared,
    private readonly archive: StateSpace<unknown>,
    private readonly steps: readonly StepState<unknown>[],
  ) {
    const { t0, t1, system } = prepared.problem;
    this.t0 = t0;
    this.t1 = t1;
    this.stats = { ...system.stats };
    this.system = system.on(archive);
  }

  evaluate(t: number): unknown;
  evaluate(t: ArrayLike<number>): unknown;
  evaluate(t: number | ArrayLike<number>): unknown {
    if (typeof t === 'number') {
      return this.out([this.at(this.find(t, 'evaluate'), t)], ([state]) => this.prepared.copyOut(state));
    }
    if (!Array.isArray(t) && !ArrayBuffer.isView(t)) {
      throw new InvalidArgumentError(
        `evaluate received ${describe(t)}; expected a time or an array of times.`,
      );
    }
    if (t.length === 0) throw new InvalidArgumentError('evaluate received no times; expected at least one.');
    const steps = Array.from(t, (time) => this.find(time, 'evaluate'));
    return this.out(
      steps.map((step, i) => this.at(step, t[i])),
      (states) => this.prepared.stack(states),
    );
  }

  derivative(t: number): unknown {
    const step = this.find(t, 'derivative');
    const state = this.prepared.problem.stepper.derivative(this.system, step, t);
    return this.out([state], ([only]) => this.prepared.copyOut(only));
  }

  dispose(): void {
    this.disposed = true;
    this.archive.releaseAll();
  }

  private out(states: unknown[], convert: (states: unknown[]) => unknown): unknown {
    try {
      return convert(states);
    } finally {
      for (const state of states) this.archive.release(state);
    }
  }

  private at(step: StepState<unknown>, t: number): unknown {
    if (t === step.t1) return this.archive.copy(step.y1);
    if (t === step.t0) return this.archive.copy(step.y0);
    return this.prepared.problem.stepper.interpolate(this.system, step, t);
  }

  private find(t: number, caller: string): StepState<unknown> {
    if (this.disposed)
      throw new InvalidArgumentError('the dense solution was disposed; evaluate it before dispose().');
    const { t0, t1, steps } = this;
    if (typeof t !== 'number' || !((t - t0) * (t - t1) <= 0)) {
      throw new InvalidArgumentError(
        `${caller}(${describe(t)}): expected a time from ${t0} to ${t1}, the interval solved.`,
      );
    }
    const { direction } = this.prepared.problem;
    return steps[stepAt(steps, t, direction)];
  }
}
