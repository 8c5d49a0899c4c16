import {
  add,
  clone,
  concat,
  engine,
  reshape,
  scalar,
  slice,
  stack,
  tidy,
  Variable,
  zeros,
  type Tensor,
} from '@tensorflow/tfjs-core';
import type { Stepper } from '../solvers/index.js';
import type { AnyOptions } from '../src/core/build_problem.js';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import {
  eventGradients,
  eventParameters,
  eventSlopes,
  requireCrossing,
  type CrossedEvent,
  type EventSlopes,
} from '../src/core/event_gradient.js';
import { checkPlainValue } from '../src/core/events.js';
import { rowOf } from '../src/core/flat.js';
import { leafField, type TensorField } from '../src/core/leaf_field.js';
import { prepare } from '../src/core/prepare.js';
import type { Problem } from '../src/core/problem.js';
import { readNorm, type Reading } from '../src/core/reading.js';
import { DeviceRead } from '../src/core/space.js';
import { scoped, withFreshTape } from '../src/core/tape.js';
import { flattenTree, isTensor, tensorsIn, unflattenTree } from '../src/core/tree.js';
import {
  readEventOptions,
  solveToEvent,
  upToEvent,
  withoutEvent,
  type AnyEventOptions,
} from '../src/event_solve.js';

/*
 * odeintVjp with eventFn: the solve up to the event is differentiated at the event's fixed time, and the implicit function
 * theorem adds what moves with that time.
 */

/** The functional form of a solve up to a fixed time. */
interface FixedSolution {
  ys: unknown;
  vjp: (gys: unknown) => { y0: unknown; t: unknown; args: unknown; params: unknown };
  dispose: () => void;
}

/** A solve that ends at an event, with its vector-Jacobian product. */
interface EventSolution extends FixedSolution {
  eventT: unknown;
  vjp: (gys: unknown, gEventT?: unknown) => ReturnType<FixedSolution['vjp']>;
}

/** What differentiates the solve up to the event. */
type FixedSolve = (times: Float64Array, options: AnyOptions) => Reading<FixedSolution>;

/** On plain numbers. Derivatives of `eventFn` are central differences. */
export function* plainEventVjp(
  stepper: Stepper,
  func: unknown,
  y0: unknown,
  times: Float64Array,
  options: AnyEventOptions,
  solve: FixedSolve,
): Reading<EventSolution> {
  const { event, end: limit } = readEventOptions(options, times);
  const { t, mask } = yield* solveToEvent(stepper, func, y0, times, options);
  const rest = upToEvent(withoutEvent(options), Float64Array.of(times[0], limit), t);
  const fixed = yield* solve(Float64Array.of(times[0], t), rest);
  const [start, end] = fixed.ys as Float64Array[];
  const component = mask.indexOf(true);
  const { args } = options;
  const problem = prepare(stepper, func, y0, Float64Array.of(times[0], t), rest)
    .problem as Problem<Float64Array>;
  const g = (time: number, y: Float64Array): number =>
    checkPlainValue(event.eventFn(time, y, args), event.name)[component];
  return {
    ...fixed,
    eventT: t,
    vjp: (gys, gEventT = 0) => {
      if (typeof gEventT !== 'number') {
        throw new InvalidArgumentError(`gEventT is ${describe(gEventT)}; expected a number, dL/deventT.`);
      }
      const rows = gys as readonly ArrayLike<number>[];
      const last = rows?.[1];
      if (last?.length !== end.length) return fixed.vjp(gys);
      const { slope, toY, rate } = rateAt(problem, g, t, end);
      const ahead = 0.01 * (t - times[0]);
      const next = rateAt(
        problem,
        g,
        t + ahead,
        end.map((x, i) => x + ahead * slope[i]),
      );
      const size = toY.reduce(
        (sum, x, i) => sum + Math.abs(x) * (Math.abs(end[i]) + Math.abs(end[i] - start[i])),
        0,
      );
      requireCrossing([rate, (next.rate - rate) / ahead, size], Number.EPSILON, { event, t });
      const later = slope.reduce((sum, x, i) => sum + x * last[i], gEventT);
      const share = -later / rate;
      const found = fixed.vjp([rows[0], Float64Array.from(last, (x, i) => x + share * toY[i])]);
      const ofArgs = found.args as Float64Array | null;
      if (ofArgs && args instanceof Float64Array) {
        for (let i = 0; i < args.length; i++) ofArgs[i] += share * derivative(args, i, () => g(t, end));
      }
      const toTimes = new Float64Array(times.length);
      toTimes[0] = (found.t as Float64Array)[0];
      return { ...found, t: toTimes };
    },
  };
}

/* How the value changes along the solution, and with each element of the state. */
function rateAt(
  { system }: Problem<Float64Array>,
  g: (t: number, y: Float64Array) => number,
  t: number,
  y: Float64Array,
): { slope: Float64Array; toY: Float64Array; rate: number } {
  const slope = system.evaluate(t, y);
  const point = y.slice();
  const toY = y.map((_, i) => derivative(point, i, () => g(t, point)));
  const moving = Float64Array.of(t);
  const toTime = derivative(moving, 0, () => g(moving[0], y));
  return { slope, toY, rate: toY.reduce((sum, x, i) => sum + x * slope[i], toTime) };
}

/* Of fourth order, at the step where truncation and rounding are alike. Puts the point back. */
function derivative(point: Float64Array, i: number, value: () => number): number {
  const x = point[i];
  const largest = point.reduce((most, y) => Math.max(most, Math.abs(y)), 0) || 1;
  const h = Number.EPSILON ** 0.2 * Math.max(Math.abs(x), 1e-3 * largest);
  const at = (n: number): number => {
    point[i] = x + n * h;
    return value();
  };
  try {
    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h);
  } finally {
    point[i] = x;
  }
}

type TensorSolution = FixedSolution & { parameters: readonly Tensor[] };

/** On tensors. */
export function* tensorEventVjp(
  stepper: Stepper,
  func: unknown,
  y0: unknown,
  times: Float64Array,
  options: AnyEventOptions & { params?: readonly Variable[] },
  forward: AnyEventOptions,
  names: readonly string[],
  solve: (times: Float64Array, options: AnyOptions) => Reading<TensorSolution>,
): Reading<EventSolution> {
  const { event, end } = readEventOptions(options, times);
  const found = yield* solveToEvent(stepper, func, y0, times, forward, names);
  for (const leaf of flattenTree(found.ys, 'ys').leaves) leaf.dispose();
  const alone = upToEvent(withoutEvent(options), Float64Array.of(times[0], end), found.t);
  const fixed = yield* solve(Float64Array.of(times[0], found.t), alone);
  const { args } = forward;
  const component = found.mask.indexOf(true);
  const crossed = { event, component, t0: times[0], t: found.t, args };
  const { parameters, slopes, dispose } = heldSlopes(func, fixed.ys, crossed);
  const judged = Array.from(yield* readNorm(new DeviceRead(engine().keep(clone(slopes.judged)))));
  return {
    ys: fixed.ys,
    eventT: scalar(found.t),
    vjp: (gys, gEventT) => {
      requireCrossing(judged, 2 ** -23, crossed);
      return tidy(() => {
        const { structure, leaves } = flattenTree(gys, 'gys');
        const last = leaves.map((g) => rowOf(g, 1));
        const toTime = isTensor(gEventT)
          ? reshape(gEventT, [])
          : scalar((gEventT as number | undefined) ?? 0);
        const moved = eventGradients(slopes, toTime, last);
        const rows = leaves.map((g, i) => stack([rowOf(g, 0), moved.toState[i]]));
        const base = fixed.vjp(unflattenTree(structure, rows));
        const ofEvent = new Map(parameters.map((x, i) => [x, moved.toParameters[i]]));
        const t = concat([slice(base.t as Tensor, [0], [1]), zeros([times.length - 1])]);
        return {
          y0: base.y0,
          t,
          ...together(fixed, base, ofEvent, options.params, tensorsIn(args)),
        } as never;
      });
    },
    dispose: () => {
      fixed.dispose();
      dispose();
    },
  };
}

/* Derivatives of the event, kept until they are disposed: they do not depend on the cotangents. */
function heldSlopes(
  func: unknown,
  ys: unknown,
  crossed: Omit<CrossedEvent, 'start'>,
): { parameters: Tensor[]; slopes: EventSlopes; dispose: () => void } {
  const { structure, leaves } = flattenTree(ys, 'ys');
  const held: Tensor[] = [];
  const keep = (x: Tensor): Tensor => {
    held.push(engine().keep(clone(x)));
    return held[held.length - 1];
  };
  let parameters: Tensor[] = [];
  const slopes = scoped(() =>
    withFreshTape((): EventSlopes => {
      const end = unflattenTree(
        structure,
        leaves.map((leaf) => rowOf(leaf, 1)),
      );
      const field = leafField(func as TensorField<never>, end, crossed.args);
      const whole = { ...crossed, start: leaves.map((leaf) => rowOf(leaf, 0)) };
      parameters = eventParameters(field, whole);
      const { slope, toState, toParameters, rate, judged } = eventSlopes(field, whole, parameters);
      const each = (xs: Tensor[]) => xs.map(keep);
      return {
        ...{ slope: each(slope), toState: each(toState), toParameters: each(toParameters) },
        ...{ rate: keep(rate), judged: keep(judged) },
      };
    }),
  );
  return { parameters, slopes, dispose: () => held.forEach((tensor) => tensor.dispose()) };
}

/* Gradients to what func reads, what the event function reads, and what both do. */
function together(
  { parameters }: TensorSolution,
  base: { params: unknown; args: unknown },
  ofEvent: ReadonlyMap<Tensor, Tensor>,
  params: readonly Tensor[] | undefined,
  inArgs: readonly Tensor[],
): { params: Tensor[]; args: Tensor[] } {
  const ofFunc = parameters.filter((x) => !inArgs.includes(x));
  const alone = [...ofEvent.keys()].filter(
    (x) => x instanceof Variable && !inArgs.includes(x) && !ofFunc.includes(x),
  );
  const [baseParams, baseArgs] = [base.params as Tensor[], base.args as Tensor[]];
  const asked = params ?? ofFunc;
  const sum = (own: Tensor, x: Tensor): Tensor => {
    const other = ofEvent.get(x);
    return other ? add(own, other) : own;
  };
  return {
    params: [
      ...asked.map((x, i) => sum(baseParams[i], x)),
      ...(params ? [] : alone.map((x) => ofEvent.get(x)!)),
    ],
    args: inArgs.map((x, i) => sum(baseArgs[i], x)),
  };
}
