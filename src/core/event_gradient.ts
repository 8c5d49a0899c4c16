import {
  abs,
  add,
  clone,
  concat,
  div,
  mul,
  neg,
  reshape,
  scalar,
  slice,
  stack,
  sub,
  sum,
  tensor1d,
  zerosLike,
  type Scalar,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { MissingGradientError, OdeError } from './errors.js';
import { checkTensorValue, type CheckedEvent } from './events.js';
import { concatLeaves, splitLeaves } from './flat.js';
import { leafField, type LeafField, type TensorField } from './leaf_field.js';
import { gradientOrForgotten, isTapeActive, withFreshTape, withGradient } from './tape.js';
import { tensorsIn, unflattenTree } from './tree.js';
import { discoverDependencies, linearize } from './vjp.js';

/*
 * Gradient of an event's time, by the implicit function theorem: g(T, y(T; p), p) = 0 along the solution gives
 * dT = -(dg/dy dy + dg/dp dp) / (dg/dt + dg/dy f), and the state there moves by f dT beside its own change.
 */

/* Where an event function touches zero its value is rounding, and this many roundings may have moved its root. */
const roundings = 16;

/** An event that ended a solve, for its gradient. */
export interface CrossedEvent {
  event: CheckedEvent;
  /** Which component of the event function crossed. */
  component: number;
  t0: number;
  /** The state at `t0`, as leaves. */
  start: readonly Tensor[];
  t: number;
  args: unknown;
}

/**
 * The event's time and state as functions of the state at that (fixed) time and of what the event function reads.
 *
 * @param end The state at the event, on the tape.
 */
export function linkEvent(func: unknown, end: unknown, crossed: CrossedEvent): { t: Scalar; y: unknown } {
  const field = leafField(func as TensorField<never>, end, crossed.args);
  const { structure, leaves } = field;
  // Inputs too, so that they are there when the gradient is taken; copies, since an input must not occur twice.
  const start = crossed.start.map((leaf) => clone(leaf));
  const shapes = leaves.map((leaf) => leaf.shape);
  const sizes = leaves.map((leaf) => leaf.size);
  const parameters = eventParameters(field, crossed).filter((x) => !leaves.includes(x));
  const flat = withGradient(
    [...leaves, ...parameters, ...start],
    () => concat([tensor1d([crossed.t]), concatLeaves(leaves)]),
    (dy) => {
      refuseSecondOrder();
      const toTime = reshape(slice(dy, [0], [1]), []);
      const toState = splitLeaves(slice(dy, [1]), sizes, shapes);
      return gradientOrForgotten(() =>
        withFreshTape(() => {
          const slopes = eventSlopes(field, { ...crossed, start }, parameters);
          requireCrossing(slopes.judged.dataSync(), 2 ** -23, crossed);
          const found = eventGradients(slopes, toTime, toState);
          return [...found.toState, ...found.toParameters, ...start.map((leaf) => zerosLike(leaf))];
        }),
      );
    },
    unreachable,
  );
  return {
    t: reshape(slice(flat, [0], [1]), []),
    y: unflattenTree(structure, splitLeaves(slice(flat, [1]), sizes, shapes)),
  };
}

/** What an event function reads: variables, tensors in `args`, and others it closes over. */
export function eventParameters(field: LeafField, crossed: CrossedEvent): Tensor[] {
  const time = scalar(crossed.t);
  const found = discoverDependencies(fieldOf(field, crossed), time, [...field.leaves, time]);
  return [...new Set<Tensor>([...found.variables, ...tensorsIn(crossed.args), ...found.captured])];
}

/* The component that crossed, as a field on the state's leaves and t. */
function fieldOf({ structure, leaves }: LeafField, { event, component, args }: CrossedEvent): LeafField {
  return {
    ...{ structure, leaves, quadratures: null },
    call: (_t, states) => {
      const time = states[leaves.length];
      const value = checkTensorValue(event.eventFn(time, unflattenTree(structure, states), args), event.name);
      return [reshape(slice(reshape(value, [value.size]), [component], [1]), [])];
    },
  };
}

/** The derivatives that the implicit function theorem needs, in the scope of the caller. */
export interface EventSlopes {
  /** `f` at the event. */
  slope: Tensor[];
  toState: Tensor[];
  toParameters: Tensor[];
  /** `dg/dt + dg/dy f`. */
  rate: Tensor;
  /** That rate, how it changes along the solution, and the size of what `g` is made of: see `requireCrossing`. */
  judged: Tensor;
}

/** Derivatives of the component that crossed, at the event. */
export function eventSlopes(
  field: LeafField,
  crossed: CrossedEvent,
  parameters: readonly Tensor[],
): EventSlopes {
  const { leaves } = field;
  const { t0, t, start } = crossed;
  const n = leaves.length;
  const eventField = fieldOf(field, crossed);
  const at = (time: number, y: readonly Tensor[]) => {
    const slope = field.call(scalar(time), y).slice(0, n);
    const event = linearize(eventField, scalar(time), [...y, scalar(time)], parameters);
    const { toState, toParameters } = event.pullback([scalar(1)]);
    return { slope, toState, toParameters, rate: add(toState[n], inner(toState.slice(0, n), slope)) };
  };
  const here = at(t, leaves);
  const ahead = 0.01 * (t - t0);
  const there = at(
    t + ahead,
    leaves.map((leaf, i) => add(leaf, mul(here.slope[i], ahead))),
  );
  const toState = here.toState.slice(0, n);
  const size = inner(
    toState.map((g) => abs(g)),
    leaves.map((leaf, i) => add(abs(leaf), abs(sub(leaf, start[i])))),
  );
  const bend = div(sub(there.rate, here.rate), ahead);
  return {
    ...{ slope: here.slope, toState, toParameters: here.toParameters, rate: here.rate },
    judged: stack([here.rate, bend, size]),
  };
}

/** Gradients to the state at the fixed time and to the parameters, from those to the event's time and state. */
export function eventGradients(
  slopes: EventSlopes,
  toTime: Tensor,
  toState: readonly Tensor[],
): { toState: Tensor[]; toParameters: Tensor[] } {
  // How the loss changes when the event comes later, its state moving along.
  const later = add(toTime, inner(toState, slopes.slope));
  const share = neg(div(later, slopes.rate));
  return {
    toState: toState.map((g, i) => add(g, mul(share, slopes.toState[i]))),
    toParameters: slopes.toParameters.map((g) => mul(share, g)),
  };
}

const inner = (a: readonly Tensor[], b: readonly Tensor[]): Tensor =>
  a.map((x, i): Tensor => sum(mul(x, b[i]))).reduce((total, part) => add(total, part));

/**
 * Throws for a crossing that is none: the event's time has no derivative there. A value that touches zero is
 * `g'' (t - T)^2 / 2` near it, so that rounding of `g` leaves a rate of about `sqrt(2 g'' epsilon size)`.
 *
 * @param judged The rate of change of `g` along the solution, its own rate of change, and the size of what `g` is made of.
 */
export function requireCrossing(
  judged: ArrayLike<number>,
  epsilon: number,
  { event, t }: Pick<CrossedEvent, 'event' | 't'>,
): void {
  const [rate, bend, size] = Array.from(judged);
  if (rate * rate > 2 * Math.abs(bend) * roundings * epsilon * size) return;
  throw new OdeError(
    `'${event.name}' touches zero at t = ${t} without crossing it (its rate of change is ${rate}): the time of the event ` +
      'has no derivative there. Leave it out of the loss, or choose an event function that crosses zero.',
    { t },
  );
}

function refuseSecondOrder(): void {
  if (!isTapeActive()) return;
  throw new MissingGradientError(
    'a gradient of a gradient was asked for, and that of an event is of first order only: it would be silently wrong. ' +
      'Differentiate the solve up to a fixed time instead.',
  );
}

function unreachable(): never {
  throw new Error('every input of an event has a gradient');
}
