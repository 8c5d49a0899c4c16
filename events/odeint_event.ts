import { add, concat, reshape, tidy, type Scalar, type Tensor } from '@tensorflow/tfjs-core';
import type { AdjointOptions, odeintAdjoint } from '../adjoint/index.js';
import type { AnyOptions } from '../src/core/build_problem.js';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import type { PlainEventFunc, TensorEventFunc } from '../src/core/events.js';
import { checkOptionsRecord } from '../src/core/options.js';
import { isTensor, type TreeOf } from '../src/core/tree.js';
import type {
  InPlaceFunc,
  InPlaceOptions,
  PlainFunc,
  PlainOptions,
  PlainState,
  TensorFunc,
  TensorOptions,
  TreeLike,
} from '../src/core/types.js';
import type { EventSolveOptions } from '../src/event_solve.js';
import { odeint, odeintAsync, refuseTape } from '../src/odeint.js';

/** What `odeintEvent` takes beside the options of its solve and those of `eventFn`. */
export interface EventInterface {
  /** Solves backward in time. Default `false`. */
  reverseTime?: boolean;
  /** The solve up to the event, `odeint` (default) or `odeintAdjoint`: how it is differentiated. */
  odeintInterface?: typeof odeint | typeof odeintAdjoint;
}

/**
 * Solves from `t0` until a component of `eventFn(t, y)` crosses zero.
 *
 * The time and the state are differentiable in `y0`, `t0` (when it is a scalar tensor), and everything that `func` and
 * `eventFn` read, by the implicit function theorem: `dT = -(dg/dy dy + dg/dp dp) / (dg/dt + dg/dy f)`. An event
 * function that is zero at `t0`, to within `eventTol`, leaves zero first: a solve may go on from an event.
 *
 * Source: Chen, Amos & Nickel 2021, Learning Neural Event Functions for Ordinary Differential Equations,
 * https://doi.org/10.48550/arXiv.2011.03902.
 *
 * @param func The vector field, as for `odeint`.
 * @param y0 State at `t0`, as for `odeint`.
 * @param t0 Its time, a number or a scalar tensor.
 * @param options `eventFn`, `direction`, `eventTol`, `maxTime`, `reverseTime`, `odeintInterface`, and those of the solve.
 * @returns `[eventT, ys]`: the time (a scalar, or a number for plain numbers), and the states at `t0` and at the event with
 *   a leading axis of 2.
 * @throws As `odeint`; {@link NoEventError} when there is no event before `maxTime`, or within `maxNumSteps`. In the
 *   gradient {@link OdeError} where the solution touches zero without crossing it.
 *
 * @example
 * ```ts
 * // A ball falls from 1 m: it lands after sqrt(2 / 9.81) s.
 * const [t] = odeintEvent((t, [height, speed]) => [speed, -9.81], [1, 0], 0, { eventFn: (t, [height]) => height });
 * ```
 */
export function odeintEvent<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t0: number | Tensor,
  options: TensorOptions<Y, Args> &
    AdjointOptions &
    EventSolveOptions<TensorEventFunc<Y, Args>> &
    EventInterface,
): [Scalar, TreeLike<Y>];
export function odeintEvent<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t0: number,
  options: InPlaceOptions<Args> & EventSolveOptions<PlainEventFunc<Args>> & EventInterface,
): [number, Float64Array[]];
export function odeintEvent<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t0: number,
  options: PlainOptions<Args> & EventSolveOptions<PlainEventFunc<Args>> & EventInterface,
): [number, Float64Array[]];
export function odeintEvent(func: unknown, y0: unknown, t0: unknown, options: AnyOptions): unknown {
  const { solve, rest, reverse } = readInterface(options);
  const call = (t: unknown): unknown => solve(func, y0, t, rest);
  if (!isTensor(t0)) return call(interval(t0, reverse));
  return tidy(() => {
    if (t0.size !== 1) {
      throw new InvalidArgumentError(`t0 is ${describe(t0)}; expected a number or a scalar tensor.`);
    }
    const start = reshape(t0, [1]);
    // Only its first entry and its direction count.
    return call(concat([start, add(start, reverse ? -1 : 1)])) as never;
  });
}

/**
 * `odeintEvent` that awaits every read from the device.
 *
 * @returns A promise of what `odeintEvent` returns.
 * @throws As `odeintEvent`, by rejection; at once {@link MissingGradientError} while a gradient is being taken.
 */
export function odeintEventAsync<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t0: number,
  options: TensorOptions<Y, Args> &
    EventSolveOptions<TensorEventFunc<Y, Args>> &
    Pick<EventInterface, 'reverseTime'>,
): Promise<[Scalar, TreeLike<Y>]>;
export function odeintEventAsync<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t0: number,
  options: InPlaceOptions<Args> &
    EventSolveOptions<PlainEventFunc<Args>> &
    Pick<EventInterface, 'reverseTime'>,
): Promise<[number, Float64Array[]]>;
export function odeintEventAsync<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t0: number,
  options: PlainOptions<Args> & EventSolveOptions<PlainEventFunc<Args>> & Pick<EventInterface, 'reverseTime'>,
): Promise<[number, Float64Array[]]>;
export function odeintEventAsync(
  func: unknown,
  y0: unknown,
  t0: unknown,
  options: AnyOptions,
): Promise<unknown> {
  refuseTape('odeintEventAsync', 'odeintEvent');
  return eventLater(func, y0, t0, options);
}

async function eventLater(func: unknown, y0: unknown, t0: unknown, options: AnyOptions): Promise<unknown> {
  const { rest, reverse, solve } = readInterface(options);
  if (solve !== (odeint as unknown)) {
    throw new InvalidArgumentError('odeintEventAsync solves with odeintAsync; leave odeintInterface out.');
  }
  return odeintAsync(func as never, y0 as never, interval(t0, reverse), rest as never);
}

function readInterface(options: AnyOptions & EventInterface & { eventFn?: unknown }) {
  checkOptionsRecord(options);
  const { reverseTime: reverse = false, odeintInterface: solve = odeint, ...rest } = options;
  if (typeof reverse !== 'boolean') {
    throw new InvalidArgumentError(`reverseTime is ${describe(reverse)}; expected true or false.`);
  }
  if (typeof solve !== 'function') {
    throw new InvalidArgumentError(
      `odeintInterface is ${describe(solve)}; expected the function odeint or odeintAdjoint.`,
    );
  }
  if (rest.eventFn === undefined) {
    throw new InvalidArgumentError('odeintEvent needs eventFn: (t, y) => value, whose root ends the solve.');
  }
  return { reverse, rest, solve: solve as (...call: unknown[]) => unknown };
}

function interval(t0: unknown, reverse: boolean): [number, number] {
  if (typeof t0 !== 'number' || !Number.isFinite(t0)) {
    throw new InvalidArgumentError(`t0 is ${describe(t0)}; expected a finite number, or a scalar tensor.`);
  }
  return [t0, t0 + (reverse ? -1 : 1) * Math.max(1, Math.abs(t0))];
}
