import {
  abs,
  add,
  concat,
  div,
  mul,
  neg,
  reshape,
  scalar,
  slice,
  sum,
  tensor1d,
  type Scalar,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { MissingGradientError, OdeError } from './errors.js';
import { checkTensorValue, type CheckedEvent } from './events.js';
import { concatLeaves, splitLeaves } from './flat.js';
import type { LeafField } from './leaf_field.js';
import { gradientOrForgotten, isTapeActive, withFreshTape, withGradient } from './tape.js';
import { tensorsIn, unflattenTree } from './tree.js';
import { discoverDependencies, linearize } from './vjp.js';

/*
 * Gradient of an event's time, by the implicit function theorem: g(T, y(T; p), p) = 0 along the solution gives
 * dT = -(dg/dy dy + dg/dp dp) / (dg/dt + dg/dy f), and the state there moves by f dT beside its own change.
 */

/*
 * A crossing slower than this is tangential: relative to the rate at which the value would change if the state changed by
 * its own size over the interval. Near the root of float32's resolution.
 */
const tangential = 1e-3;

/** An event that ended a solve, for its gradient. */
export interface CrossedEvent {
  event: CheckedEvent;
  /** Which component of the event function crossed. */
  component: number;
  t0: number;
  t: number;
  args: unknown;
}

/**
 * The event's time and state as functions of the state at that (fixed) time and of what the event function reads.
 *
 * @param field The vector field; its leaves are the state at the event, on the tape.
 */
export function linkEvent(field: LeafField, crossed: CrossedEvent): { t: Scalar; y: Tensor[] } {
  const { leaves } = field;
  const shapes = leaves.map((leaf) => leaf.shape);
  const sizes = leaves.map((leaf) => leaf.size);
  const parameters = eventParameters(field, crossed).filter((x) => !leaves.includes(x));
  const flat = withGradient(
    [...leaves, ...parameters],
    () => concat([tensor1d([crossed.t]), concatLeaves(leaves)]),
    (dy) => {
      refuseSecondOrder();
      const toTime = reshape(slice(dy, [0], [1]), []);
      const toState = splitLeaves(slice(dy, [1]), sizes, shapes);
      return gradientOrForgotten(() =>
        withFreshTape(() => {
          const slopes = eventSlopes(field, crossed, parameters);
          const [rate, size] = [slopes.rate, slopes.size].map((x) => x.dataSync()[0]);
          requireCrossing(rate, size, crossed);
          const found = eventGradients(slopes, toTime, toState);
          return [...found.toState, ...found.toParameters];
        }),
      );
    },
    unreachable,
  );
  return {
    t: reshape(slice(flat, [0], [1]), []),
    y: splitLeaves(slice(flat, [1]), sizes, shapes),
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
  /** `|dg/dy| |y|`, to compare it with. */
  size: Tensor;
}

/** Derivatives of the component that crossed, at the event. */
export function eventSlopes(
  field: LeafField,
  crossed: CrossedEvent,
  parameters: readonly Tensor[],
): EventSlopes {
  const { leaves } = field;
  const n = leaves.length;
  const time = scalar(crossed.t);
  const slope = field.call(scalar(crossed.t), leaves).slice(0, n);
  const event = linearize(fieldOf(field, crossed), time, [...leaves, time], parameters);
  const found = event.pullback([scalar(1)]);
  const toState = found.toState.slice(0, n);
  const magnitudes = (xs: readonly Tensor[]) => xs.map((x): Tensor => abs(x));
  return {
    ...{ slope, toState, toParameters: found.toParameters },
    rate: add(found.toState[n], inner(toState, slope)),
    size: inner(magnitudes(toState), magnitudes(leaves)),
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

/** Throws for a crossing that is none: the event's time has no derivative there. */
export function requireCrossing(
  rate: number,
  size: number,
  { event, t0, t }: Pick<CrossedEvent, 'event' | 't0' | 't'>,
  least = tangential,
): void {
  if (Math.abs(rate) > (least * size) / Math.max(Math.abs(t - t0), 1e-30)) return;
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
