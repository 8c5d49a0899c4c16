/// <reference lib="esnext.disposable" preserve="true" />
import { resolveMethod } from '../solvers/index.js';
import type { AnyOptions } from './core/build_problem.js';
import { describe, InvalidArgumentError, type SolveStats } from './core/errors.js';
import type { PlainEventFunc, TensorEventFunc } from './core/events.js';
import { AcceptedStep, integrate } from './core/integrate.js';
import { prepare, type AnyPrepared } from './core/prepare.js';
import { answerAsync, answerSync, breather } from './core/reading.js';
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
import { watchFor, type EventRecord } from './odeint_with.js';
import { readWatch, watchNames, type WatchOptions } from './solve.js';

/** One accepted step of `iterate`. */
export interface Step<Y> {
  /** End of the step. */
  readonly t: number;
  /** Its signed size: it began at `t - h`. */
  readonly h: number;
  /** State at `t`, borrowed until the iterator moves on: `keep()` it, or clone it. */
  readonly y: Y;
  /** Error over tolerance, at most 1; `null` for fixed steps. */
  readonly errorNorm: number | null;
  /** Counters so far. */
  readonly stats: SolveStats;
  /** Events in the step, in the order of travel; a terminal one, the last step's, is its end. Their states are yours. */
  readonly events: readonly EventRecord<Y>[];
  /** State at a time inside the step; belongs to the caller. */
  interpolate(t: number): Y;
  /** A copy of `y` that belongs to the caller. */
  keep(): Y;
}

/** The interval of `iterate`: without `t1` it has no end. */
export interface IterateInterval<EventFn = never> extends WatchOptions<EventFn> {
  t0: number;
  /** Default Infinity. */
  t1?: number;
}

/** The iterator of `iterate`; leaving it early (`return()`, `break`, `using`) frees what it holds. */
export type StepIterator<Y> = Generator<Step<Y>, void, void> & { [Symbol.dispose](): void };

/** The iterator of `iterateAsync`; leaving it early (`return()`, `break`, `await using`) frees what it holds. */
export type AsyncStepIterator<Y> = AsyncGenerator<Step<Y>, void, void> & {
  [Symbol.asyncDispose](): PromiseLike<void>;
};

/**
 * The accepted steps of a solve, one at a time, for loops that decide themselves when to stop: games, streams, live
 * plots.
 *
 * @param func The vector field, as for `odeint`.
 * @param y0 State at `t0`, as for `odeint`.
 * @param options Those of `odeint`, with `t0` and `t1` in place of output times.
 * @returns An iterator of steps.
 * @throws As `odeint`: input errors at the call, failures of the solve by `next()`.
 *
 * @example
 * ```ts
 * for (const step of iterate((t, y) => [y[1], -y[0]], [1, 0], { t0: 0, maxStep: 0.1 })) {
 *   if (step.y[0] < 0) { console.log('below zero at', step.t); break; }
 * }
 * ```
 */
export function iterate<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  options: TensorOptions<Y, Args> & IterateInterval<TensorEventFunc<Y, Args>>,
): StepIterator<TreeLike<Y>>;
export function iterate<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  options: InPlaceOptions<Args> & IterateInterval<PlainEventFunc<Args>>,
): StepIterator<Float64Array>;
export function iterate<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  options: PlainOptions<Args> & IterateInterval<PlainEventFunc<Args>>,
): StepIterator<Float64Array>;
export function iterate(
  func: unknown,
  y0: unknown,
  options: AnyOptions & IterateInterval<unknown>,
): StepIterator<unknown> {
  return disposable(stepsOf(prepareInterval(func, y0, options)), 'dispose');
}

/**
 * `iterate` that awaits every read from the device, and lets timers and input run in between.
 *
 * @returns An async iterator of steps.
 * @throws As `iterate`; {@link MissingGradientError} while a gradient is being taken.
 */
export function iterateAsync<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  options: TensorOptions<Y, Args> & IterateInterval<TensorEventFunc<Y, Args>>,
): AsyncStepIterator<TreeLike<Y>>;
export function iterateAsync<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  options: InPlaceOptions<Args> & IterateInterval<PlainEventFunc<Args>>,
): AsyncStepIterator<Float64Array>;
export function iterateAsync<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  options: PlainOptions<Args> & IterateInterval<PlainEventFunc<Args>>,
): AsyncStepIterator<Float64Array>;
export function iterateAsync(
  func: unknown,
  y0: unknown,
  options: AnyOptions & IterateInterval<unknown>,
): AsyncStepIterator<unknown> {
  refuseTape('iterateAsync', 'iterate');
  return disposable(stepsOfAsync(prepareInterval(func, y0, options)), 'asyncDispose');
}

function prepareInterval(func: unknown, y0: unknown, options: AnyOptions & IterateInterval<unknown>): Walk {
  const { t0, t1 = Infinity } = options ?? {};
  if (typeof t0 !== 'number' || !Number.isFinite(t0)) {
    throw new InvalidArgumentError(
      `t0 is ${describe(t0)}; expected the finite time of y0, as in { t0: 0, t1: 10 }.`,
    );
  }
  if (typeof t1 !== 'number' || Number.isNaN(t1) || t1 === t0) {
    throw new InvalidArgumentError(`t1 is ${describe(t1)}; expected a number other than t0, or Infinity.`);
  }
  const names = ['t0', 't1', ...watchNames];
  const { watching, recorded } = watchFor(readWatch(options));
  const stepper = resolveMethod(options.method);
  const prepared = prepare(stepper, func, y0, Float64Array.of(t0, t1), options, names, watching);
  return { prepared, recorded: () => recorded(prepared) };
}

/** An interval to walk over, and the events of the step at hand. */
interface Walk {
  prepared: AnyPrepared;
  recorded: () => EventRecord<unknown>[];
}

/* Nothing is allocated before the first next(), so an iterator that is never started holds nothing. */
function* stepsOf({ prepared, recorded }: Walk): Generator<Step<unknown>, void, void> {
  const loop = integrate(prepared.problem);
  try {
    for (let next = loop.next(); !next.done;) {
      const { value } = next;
      if (value instanceof AcceptedStep) {
        yield* lendStep(prepared, value, recorded());
        next = loop.next();
      } else {
        next = loop.next(answerSync(value));
      }
    }
  } finally {
    loop.return(null);
  }
}

async function* stepsOfAsync({ prepared, recorded }: Walk): AsyncGenerator<Step<unknown>, void, void> {
  const loop = integrate(prepared.problem);
  const breathe = breather();
  try {
    for (let next = loop.next(); !next.done;) {
      const { value } = next;
      if (value instanceof AcceptedStep) {
        yield* lendStep(prepared, value, recorded());
        await breathe();
        next = loop.next();
      } else {
        next = loop.next(await answerAsync(value));
      }
    }
  } finally {
    loop.return(null);
  }
}

function* lendStep(
  prepared: AnyPrepared,
  accepted: AcceptedStep<unknown>,
  events: readonly EventRecord<unknown>[],
): Generator<Step<unknown>, void, void> {
  const { problem } = prepared;
  const { view, end } = prepared.lend(accepted.y1);
  const { t0, t1, errorNorm } = accepted;
  let borrowed = true;
  const copy = (make: () => unknown): unknown => {
    if (borrowed) return make();
    throw new InvalidArgumentError(
      `the step to t = ${t1} is over; call keep() or interpolate() before the next step.`,
    );
  };
  try {
    yield {
      t: t1,
      h: t1 - t0,
      y: view,
      errorNorm,
      events,
      stats: { ...problem.system.stats },
      keep: () => copy(() => prepared.copyOut(accepted.y1)),
      interpolate: (t) =>
        copy(() => {
          if (!((t - t0) * (t - t1) <= 0)) {
            throw new InvalidArgumentError(
              `interpolate(${t}): expected a time in the step, from ${t0} to ${t1}.`,
            );
          }
          const state = accepted.interpolate(t);
          const out = prepared.copyOut(state);
          problem.space.release(state);
          return out;
        }),
    };
  } finally {
    borrowed = false;
    end();
  }
}

/* Generators are disposable by themselves from Node 24 on. */
function disposable<Y extends { return(): unknown }>(iterator: Y, name: 'dispose' | 'asyncDispose'): Y {
  const symbol = (Symbol as Partial<SymbolConstructor>)[name];
  if (symbol && !(symbol in iterator)) {
    Object.defineProperty(iterator, symbol, { value: () => iterator.return(), configurable: true });
  }
  return iterator;
}
