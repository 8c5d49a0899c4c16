/**
 * Problems whose gradient is wanted in every way there is: each vector field is written twice, on tensors and on plain
 * numbers with its vector-Jacobian product by hand. All numbers are float32 numbers, so that both engines start from
 * the same ones.
 */
import * as tf from '@tensorflow/tfjs';
import {
  odeint,
  odeintAdjoint,
  odeintVjp,
  type PlainVjp,
  type TensorOptions,
  type TensorTree,
  type AdjointOptions,
} from 'tfjs-diffeq';

/** A tree of tensors, seen by somebody who knows what is in it. */
/* eslint-disable-next-line @typescript-eslint/no-explicit-any -- every case has a structure of its own */
type Tree = any;

export interface GradientCase {
  name: string;
  times: number[];
  /** Flattened state at `times[0]`. */
  y0: number[];
  /** Shapes of its leaves on tensors, and the tree they make. */
  shapes: number[][];
  tree: (leaves: tf.Tensor[]) => TensorTree;
  leaves: (tree: Tree) => tf.Tensor[];
  /** Parameters that are variables on tensors; on plain numbers they come first in `args`. */
  variables: Record<string, tf.TensorLike>;
  /** Parameters that are passed in `args`. */
  args: Record<string, tf.TensorLike>;
  func: (variables: Record<string, tf.Tensor>) => (t: tf.Scalar, y: Tree, args: Tree) => Tree;
  field: (t: number, y: Float64Array, p: Float64Array) => number[];
  vjp: PlainVjp<Float64Array>;
}

const oneLeaf = {
  tree: ([leaf]: tf.Tensor[]) => leaf,
  leaves: (leaf: Tree) => [leaf as tf.Tensor],
};

/* y' = A y + u cos t */
const linear: GradientCase = {
  name: 'linear',
  times: [0, 0.25, 0.625, 1],
  y0: [2, 0.5],
  shapes: [[2]],
  ...oneLeaf,
  variables: {
    A: [
      [-0.5, 2],
      [-2, -0.25],
    ],
  },
  args: { u: [0.75, -0.5] },
  func:
    ({ A }) =>
    (t, y: tf.Tensor, { u }) =>
      tf.add(tf.reshape(tf.matMul(A as tf.Tensor2D, tf.reshape(y, [2, 1])), [2]), tf.mul(u, tf.cos(t))),
  field: (t, [x, y], [a, b, c, d, u, v]) => [
    a * x + b * y + u * Math.cos(t),
    c * x + d * y + v * Math.cos(t),
  ],
  vjp: (t, [x, y], [a, b, c, d], [l, m]) => ({
    y: [a * l + c * m, b * l + d * m],
    args: [l * x, l * y, m * x, m * y, l * Math.cos(t), m * Math.cos(t)],
  }),
};

/* x' = (alpha - beta y) x, y' = (delta x - gamma) y */
const lotkaVolterra: GradientCase = {
  name: 'Lotka-Volterra',
  times: [0, 0.25, 0.625, 1],
  y0: [1.5, 1.25],
  shapes: [[2]],
  ...oneLeaf,
  variables: { alpha: 1.5, beta: 1 },
  args: { gamma: 2, delta: 0.75 },
  func:
    ({ alpha, beta }) =>
    (_t, y: tf.Tensor, { gamma, delta }) => {
      const [prey, hunter] = tf.unstack(y);
      return tf.stack([
        tf.mul(tf.sub(alpha, tf.mul(beta, hunter)), prey),
        tf.mul(tf.sub(tf.mul(delta, prey), gamma), hunter),
      ]);
    },
  field: (_t, [x, y], [a, b, c, d]) => [(a - b * y) * x, (d * x - c) * y],
  vjp: (_t, [x, y], [a, b, c, d], [l, m]) => ({
    y: [(a - b * y) * l + d * y * m, -b * x * l + (d * x - c) * m],
    args: [x * l, -x * y * l, -y * m, x * y * m],
  }),
};

/* Each row of y: y' = tanh(y w1 + b1 + c t) w2, 2-3-2, two rows. */
const hiddenUnits = (t: number, y: Float64Array, p: Float64Array, row: number): number[] =>
  [0, 1, 2].map((j) => Math.tanh(y[2 * row] * p[j] + y[2 * row + 1] * p[3 + j] + p[6 + j] + p[15 + j] * t));
const mlp: GradientCase = {
  name: 'MLP',
  times: [0, 0.25, 0.625, 1],
  y0: [1, -0.5, 0.25, 0.75],
  shapes: [[2, 2]],
  ...oneLeaf,
  variables: {
    w1: [
      [0.75, -1.25, 0.5],
      [1, 0.25, -0.75],
    ],
    b1: [0.125, -0.25, 0.375],
    w2: [
      [-0.5, 1],
      [1.25, 0.75],
      [0.25, -1.5],
    ],
  },
  args: { c: [0.5, -0.25, 1] },
  func:
    ({ w1, b1, w2 }) =>
    (t, y: tf.Tensor2D, { c }) => {
      const hidden = tf.tanh(tf.add(tf.add(tf.matMul(y, w1 as tf.Tensor2D), b1), tf.mul(c, t)));
      return tf.matMul(hidden as tf.Tensor2D, w2 as tf.Tensor2D);
    },
  field: (t, y, p) =>
    [0, 1].flatMap((row) => {
      const hidden = hiddenUnits(t, y, p, row);
      return [0, 1].map((k) => hidden.reduce((sum, h, j) => sum + h * p[9 + 2 * j + k], 0));
    }),
  vjp: (t, y, p, lambda) => {
    const toState = [0, 0, 0, 0];
    const args = new Float64Array(p.length);
    for (const row of [0, 1]) {
      hiddenUnits(t, y, p, row).forEach((h, j) => {
        const [l, m] = [lambda[2 * row], lambda[2 * row + 1]];
        const inner = (1 - h * h) * (l * p[9 + 2 * j] + m * p[10 + 2 * j]);
        toState[2 * row] += inner * p[j];
        toState[2 * row + 1] += inner * p[3 + j];
        args[j] += inner * y[2 * row];
        args[3 + j] += inner * y[2 * row + 1];
        args[6 + j] += inner;
        args[9 + 2 * j] += h * l;
        args[10 + 2 * j] += h * m;
        args[15 + j] += inner * t;
      });
    }
    return { y: toState, args };
  },
};

/* q' = p, p' = -k q - c p + e s, s' = cos t - s q_0 in a record that holds an array that holds a record. */
const nested: GradientCase = {
  name: 'a nested tree',
  times: [0, 0.25, 0.625, 1],
  y0: [1, -0.5, 0.25, 0.75, 0.5],
  shapes: [[2], [2, 1], []],
  tree: ([q, p, s]) => ({ q, rest: [p, { s }] }),
  leaves: ({ q, rest }) => [q, rest[0], rest[1].s],
  variables: { k: [4, 2.25] },
  args: { c: 0.25, e: 0.75 },
  func:
    ({ k }) =>
    (t, { q, rest: [p, { s }] }, { c, e }) => {
      const pull = tf.add(tf.neg(tf.mul(k, q)), tf.mul(e, s));
      const [first] = tf.unstack(q as tf.Tensor);
      return {
        rest: [tf.sub(tf.reshape(pull, [2, 1]), tf.mul(c, p)), { s: tf.sub(tf.cos(t), tf.mul(s, first)) }],
        q: tf.reshape(p, [2]),
      };
    },
  field: (t, [q0, q1, p0, p1, s], [k0, k1, c, e]) => [
    p0,
    p1,
    -k0 * q0 - c * p0 + e * s,
    -k1 * q1 - c * p1 + e * s,
    Math.cos(t) - s * q0,
  ],
  vjp: (_t, [q0, q1, p0, p1, s], [k0, k1, c, e], [l0, l1, l2, l3, l4]) => ({
    y: [-k0 * l2 - s * l4, -k1 * l3, l0 - c * l2, l1 - c * l3, e * (l2 + l3) - q0 * l4],
    args: [-q0 * l2, -q1 * l3, -(p0 * l2 + p1 * l3), s * (l2 + l3)],
  }),
};

/** `y' = -lambda (y - a cos(w t))`: what is far from the slow solution is gone after a few `1 / lambda`. */
export const stiff = (lambda: number, times = [0, 0.0625, 0.15625, 0.25]): GradientCase => ({
  name: `stiff, lambda = ${lambda}`,
  times,
  y0: [1.5],
  shapes: [[1]],
  ...oneLeaf,
  variables: { lambda, w: 2 },
  args: { a: 1 },
  func:
    ({ lambda: rate, w }) =>
    (t, y: tf.Tensor, { a }) =>
      tf.neg(tf.mul(rate, tf.sub(y, tf.mul(a, tf.cos(tf.mul(w, t)))))),
  field: (t, [y], [rate, w, a]) => [-rate * (y - a * Math.cos(w * t))],
  vjp: (t, [y], [rate, w, a], [l]) => ({
    y: [-rate * l],
    args: [-(y - a * Math.cos(w * t)) * l, -rate * a * t * Math.sin(w * t) * l, rate * Math.cos(w * t) * l],
  }),
});

export const cases = [linear, lotkaVolterra, mlp, nested];

/** Weights of the loss `L = sum_ij w_ij y_j(t_i)`. */
export const weightsOf = ({ times, y0 }: GradientCase): number[][] =>
  times.map((_, i) => y0.map((__, j) => Math.fround(Math.cos(1 + 2 * i + 3 * j))));

/** Gradients of the loss, flattened. */
export interface Gradients {
  y0: number[];
  t: number[];
  variables: number[];
  args: number[];
}
export const groups = ['y0', 't', 'variables', 'args'] as const;

const flatNumbers = (value: tf.TensorLike): number[] => [value].flat(Infinity as 3) as number[];
const tensorOf = (value: tf.TensorLike): tf.Tensor => tf.tensor(value as number[]);

/** Variables first, then args, as plain numbers. */
export const parametersOf = ({ variables, args }: GradientCase): Float64Array =>
  Float64Array.from([...Object.values(variables), ...Object.values(args)].flatMap(flatNumbers));
/** How many of them are variables. */
export const variableCount = ({ variables }: GradientCase): number =>
  Object.values(variables).flatMap(flatNumbers).length;

export type Mode =
  'tape' | 'backsolve' | 'checkpoint' | 'checkpoints: 2' | 'checkpoints: 3' | 'interpolating';
type Options = TensorOptions<Tree, Tree> & AdjointOptions;

/** `odeint` or `odeintAdjoint` as the mode asks. */
export function solveBy(mode: Mode, func: Tree, y0: Tree, t: Tree, options: object): Tree {
  if (mode === 'tape') {
    const { adjointOptions, ...forward } = options as Options & object;
    void adjointOptions;
    return odeint(func, y0, t, forward);
  }
  return odeintAdjoint(func, y0, t, { ...options, ...wayOf(mode) });
}

function wayOf(mode: Exclude<Mode, 'tape'>): Options {
  if (mode === 'checkpoints: 2') return { adjoint: 'checkpoint', checkpoints: 2 };
  if (mode === 'checkpoints: 3') return { adjoint: 'checkpoint', checkpoints: 3 };
  return { adjoint: mode };
}

/** Gradients on tensors, float32, all four by one backward pass. */
export function tensorGradients(problem: GradientCase, mode: Mode, options: object): Gradients {
  const variables = Object.entries(problem.variables).map(
    ([name, value]) => [name, tf.variable(tensorOf(value))] as const,
  );
  let found!: Gradients;
  try {
    tf.tidy(() => {
      found = gradientsOf(problem, mode, options, variables);
    });
    return found;
  } finally {
    for (const [, variable] of variables) variable.dispose();
  }
}

function gradientsOf(
  problem: GradientCase,
  mode: Mode,
  options: object,
  variables: (readonly [string, tf.Variable])[],
): Gradients {
  const { shapes, times } = problem;
  const names = Object.keys(problem.args);
  const func = problem.func(Object.fromEntries(variables));
  const weights = split(weightsOf(problem), shapes, (values, shape) =>
    tf.tensor(values, [times.length, ...shape]),
  );
  const loss = (...inputs: tf.Tensor[]): tf.Tensor => {
    const leaves = inputs.slice(0, shapes.length);
    const args = Object.fromEntries(names.map((name, i) => [name, inputs[shapes.length + 1 + i]]));
    const ys = solveBy(mode, func, problem.tree(leaves), inputs[shapes.length], { ...options, args });
    return problem
      .leaves(ys)
      .map((leaf, i) => tf.sum(tf.mul(leaf, weights[i])))
      .reduce((a, b) => tf.add(a, b));
  };
  const start = split([problem.y0], shapes, (values, shape) => tf.tensor(values, shape));
  const args = Object.values(problem.args).map(tensorOf);
  // Variables are inputs like others; func closes over them, as it does in a program.
  const inputs = [...start, tf.tensor1d(times), ...args, ...variables.map(([, variable]) => variable)];
  const found = tf
    .grads(loss)(inputs)
    .map((gradient) => Array.from(gradient.dataSync()));
  const [n, m] = [start.length, args.length];
  return {
    y0: found.slice(0, n).flat(),
    t: found[n],
    variables: found.slice(n + 1 + m).flat(),
    args: found.slice(n + 1, n + 1 + m).flat(),
  };
}

/* Columns of rows, by leaf. */
function split<T>(rows: number[][], shapes: number[][], make: (values: number[], shape: number[]) => T): T[] {
  let from = 0;
  return shapes.map((shape) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const values = rows.flatMap((row) => row.slice(from, from + size));
    from += size;
    return make(values, shape);
  });
}

/** The largest difference of each group, relative to its largest entry. */
export function gaps(actual: Gradients, expected: Gradients): Record<(typeof groups)[number], number> {
  const gap = (a: number[], b: number[]): number => {
    if (a.length !== b.length) return NaN;
    const scale = Math.max(...b.map(Math.abs));
    return Math.max(...a.map((x, i) => Math.abs(x - b[i]))) / scale;
  };
  return {
    y0: gap(actual.y0, expected.y0),
    t: gap(actual.t, expected.t),
    variables: gap(actual.variables, expected.variables),
    args: gap(actual.args, expected.args),
  };
}
export const largestGap = (actual: Gradients, expected: Gradients): number =>
  Math.max(...Object.values(gaps(actual, expected)));

/** Gradients on plain numbers, float64, of the steps taken. */
export function plainGradients(problem: GradientCase, options: object): Gradients {
  const { field, vjp, y0, times } = problem;
  const solved = odeintVjp(field, y0, times, { args: parametersOf(problem), vjp, ...options });
  const { args, ...found } = solved.vjp(weightsOf(problem).map((row) => Float64Array.from(row)));
  const n = variableCount(problem);
  return {
    y0: [...found.y0],
    t: [...found.t],
    variables: [...args!.slice(0, n)],
    args: [...args!.slice(n)],
  };
}

/**
 * `y' = -20 (y^2 - a cos(w t))` beside a constant of 1000, in another leaf. The reversed y leaves the slow solution for
 * the other branch of the root, an error of 2 that is small only beside 1000, and there the cotangent grows.
 */
export const besideALargeLeaf: GradientCase = {
  name: 'stiff, beside a large leaf',
  times: [0, 1],
  y0: [0.5, 1000],
  shapes: [[1], [1]],
  tree: ([y, size]) => ({ size, y }),
  leaves: ({ y, size }) => [y, size],
  variables: { w: 1 },
  args: { a: 1 },
  func:
    ({ w }) =>
    (t, { y, size }, { a }) => ({
      y: tf.mul(-20, tf.sub(tf.square(y as tf.Tensor), tf.mul(a, tf.cos(tf.mul(w, t))))),
      size: tf.zerosLike(size),
    }),
  field: (t, [y], [w, a]) => [-20 * (y * y - a * Math.cos(w * t)), 0],
  vjp: (t, [y], [w, a], [l]) => ({
    y: [-40 * y * l, 0],
    args: [-20 * a * t * Math.sin(w * t) * l, 20 * Math.cos(w * t) * l],
  }),
};
