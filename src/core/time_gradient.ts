import {
  add,
  concat,
  customGrad,
  engine,
  mul,
  reshape,
  scalar,
  slice,
  stack,
  sub,
  sum,
  zeros,
  type Scalar,
  type Tensor,
  type Tensor1D,
} from '@tensorflow/tfjs-core';
import { concatLeaves, sizeOf, splitLeaves } from './flat.js';
import { slopeShapes } from './quadrature.js';
import { gradientOrForgotten, isTapeActive, withFreshTape } from './tape.js';
import { leafField, type LeafField, type TensorField } from './leaf_field.js';
import { unflattenTree } from './tree.js';

/*
 * Gradients to times. The solver's own times are constants; moving an output time by delta moves the output along
 * the flow: y(t + delta) = flow(y, t, t + delta), and moving t0 moves the start against it. At first order that is
 * dL/dt_i = g_i . f(t_i, y_i) and dL/dt_0 = -a(t_0) . f(t_0, y_0). For higher derivatives a classical Runge-Kutta
 * step of length zero stands for the flow: its derivatives are those of the flow up to the fourth.
 */

/** The vector field on states flattened to `[N]`. */
type FlatField = (t: Scalar, y: Tensor) => Tensor;

/** The field on one flat vector: all leaves of the state, and the quadratures behind them. */
export function flatField(field: LeafField): FlatField {
  const shapes = slopeShapes(field);
  const sizes = shapes.map(sizeOf);
  return (t, y) => {
    const leaves = splitLeaves(y, sizes, shapes).slice(0, field.leaves.length);
    return concatLeaves(field.call(t, leaves));
  };
}

/**
 * `[T, ...shape]` leaves whose gradient also reaches their times; later entries of `t`, which a solve
 * that ended early did not reach, get none.
 */
export function linkOutputTimes(
  f: FlatField,
  states: readonly Tensor[],
  t: Tensor1D,
  times: Float64Array,
): Tensor[] {
  const flat = concat(
    states.map((leaf) => reshape(leaf, [times.length, leaf.size / times.length])),
    1,
  );
  const linked = linkRows(f, flat, t, times);
  const sizes = states.map((leaf) => leaf.size / times.length);
  return splitLeaves(
    linked,
    sizes,
    states.map((leaf) => leaf.shape),
    1,
  );
}

function linkRows(f: FlatField, flat: Tensor, t: Tensor1D, times: Float64Array): Tensor {
  const rows = (matrix: Tensor, i: number) =>
    reshape(slice(matrix, [i, 0], [1, flat.shape[1]!]), [flat.shape[1]!]);
  return linked(flat, t, (y, moving, dy) => {
    const gradients: Tensor[] = [];
    const toTimes: Tensor[] = [];
    // At i = 0 this undoes the move of the start: the first output is y0, whenever that is.
    for (let i = 0; i < times.length; i++) {
      const [gy, gt] = flowGradient(f, rows(y, i), element(moving, i), times[i], 1, rows(dy, i));
      gradients.push(gy);
      toTimes.push(gt);
    }
    const unreached = moving.size - times.length;
    const all = unreached > 0 ? concat([stack(toTimes), zeros([unreached])]) : stack(toTimes);
    return [stack(gradients), all];
  });
}

/** `y0` as leaves whose gradient also reaches the start time `t[0]`. */
export function linkStartTime(
  f: FlatField,
  leaves: readonly Tensor[],
  t: Tensor1D,
  times: Float64Array,
): Tensor[] {
  const flat = concatLeaves(leaves);
  const start = linked(flat, t, (y, moving, dy) => {
    const [gy, gt] = flowGradient(f, y, element(moving, 0), times[0], -1, dy);
    const rest = moving.size - 1;
    const toTimes = rest > 0 ? concat([reshape(gt, [1]), zeros([rest])]) : reshape(gt, [1]);
    return [gy, toTimes];
  });
  const sizes = leaves.map((leaf) => leaf.size);
  return splitLeaves(
    start,
    sizes,
    leaves.map((leaf) => leaf.shape),
  );
}

/** `y0` that moves with its time `t0`, a tensor of one entry whose value is `time`. */
export function startingAt(func: unknown, y0: unknown, t0: Tensor, time: number, args: unknown): unknown {
  const field = leafField(func as TensorField<never>, y0, args);
  const times = Float64Array.of(time);
  const leaves = linkStartTime(flatField(field), field.leaves, reshape(t0, [1]), times);
  return unflattenTree(field.structure, leaves);
}

const element = (t: Tensor, i: number): Scalar => reshape(slice(t, [i], [1]), []);

/* The identity in y, with a gradient that also knows t. */
function linked(
  y: Tensor,
  t: Tensor1D,
  gradient: (y: Tensor, t: Tensor, dy: Tensor) => [Tensor, Tensor],
): Tensor {
  const identity = customGrad((...inputs) => {
    const [state, times, save] = inputs as unknown as [Tensor, Tensor, (saved: Tensor[]) => void];
    save([state, times]);
    return {
      value: state.clone(),
      gradFunc: (dy: Tensor, saved: Tensor[]) => gradientOrForgotten(() => gradient(saved[0], saved[1], dy)),
    };
  });
  return identity(y, t);
}

/*
 * Gradient of the flow over a time of length zero: towards the moving time (sign 1), or away from it (sign -1).
 */
function flowGradient(
  f: FlatField,
  y: Tensor,
  moving: Scalar,
  fixed: number,
  sign: 1 | -1,
  dy: Tensor,
): [Tensor, Tensor] {
  // func may take a gradient itself: on a tape of its own, not on the one that is being walked back.
  if (!isTapeActive()) {
    const slope = withFreshTape(() => f(scalar(fixed), y));
    return [dy, mul(sum(mul(dy, slope)), sign)];
  }
  const flow = (state: Tensor, time: Scalar): Tensor => {
    const anchor = scalar(fixed);
    return sign > 0 ? rungeKutta(f, state, anchor, time) : rungeKutta(f, state, time, anchor);
  };
  const { grads } = engine().gradients(() => flow(y, moving), [y, moving], dy);
  return [grads[0], grads[1]];
}

function rungeKutta(f: FlatField, y: Tensor, from: Scalar, to: Scalar): Tensor {
  const h = sub(to, from);
  const half = mul(h, 0.5);
  const middle = add(from, half) as Scalar;
  const k1 = f(from, y);
  const k2 = f(middle, add(y, mul(half, k1)));
  const k3 = f(middle, add(y, mul(half, k2)));
  const k4 = f(to, add(y, mul(h, k3)));
  return add(y, mul(mul(h, 1 / 6), add(add(k1, k4), mul(add(k2, k3), 2))));
}
