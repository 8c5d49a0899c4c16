import {
  All,
  Any,
  ArgMax,
  ArgMin,
  cast,
  Cast,
  clone,
  Elu,
  EluGrad,
  engine,
  Equal,
  exp,
  Exp,
  FloorDiv,
  greater,
  Greater,
  greaterEqual,
  GreaterEqual,
  less,
  Less,
  lessEqual,
  LessEqual,
  log,
  LogicalAnd,
  LogicalNot,
  LogicalOr,
  LogicalXor,
  Maximum,
  minimum,
  Minimum,
  mul,
  NotEqual,
  onesLike,
  pow,
  Pow,
  SearchSorted,
  Selu,
  sigmoid,
  Sigmoid,
  softmax,
  Softmax,
  square,
  SquaredDifference,
  sub,
  sum,
  tanh,
  Tanh,
  where,
  zerosLike,
  type GradConfig,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { isTapeActive } from '../tape.js';
import { constant, linked, rule, unbroadcast } from './rule.js';

const float = (x: Tensor): Tensor => cast(x, 'float32');

const output = { inputs: ['x'], outputs: [true] };

/* Functions whose derivative is a function of their value. */
const byValue = [
  rule(Exp, output, (dy, [x, y]) => ({
    x: () =>
      mul(
        dy,
        linked(y, () => exp(float(x))),
      ),
  })),
  rule(Tanh, output, (dy, [x, y]) => ({
    x: () => mul(sub(1, square(linked(y, () => tanh(float(x))))), dy),
  })),
  rule(Sigmoid, output, (dy, [x, y]) => ({
    x: () => {
      const s = linked(y, () => sigmoid(float(x)));
      return mul(dy, mul(s, sub(1, s)));
    },
  })),
  rule<{ dim: number }>(Softmax, { inputs: ['logits'], outputs: [true] }, (dy, [x, y], { dim }) => ({
    logits: () => {
      const p = linked(y, () => softmax(float(x), dim));
      const weighted = mul(dy, p);
      return sub(weighted, mul(sum(weighted, [dim], true), p));
    },
  })),
];

/* exp(x) for x < 0; its clamp keeps the branch not taken finite, which would otherwise bring 0 * Infinity. */
const expOfNegative = (x: Tensor): Tensor => exp(minimum(float(x), 0));

const seluScale = 1.0507009873554805;
const seluScaleAlpha = 1.7580993408473768;

const units = [
  rule(Elu, output, (dy, [x, y]) => ({
    x: () =>
      isTapeActive()
        ? where(greater(x, 0), dy, mul(dy, expOfNegative(x)))
        : engine().runKernel<Tensor>(EluGrad, { dy, y }),
  })),
  rule(Selu, { inputs: ['x'] }, (dy, [x]) => ({
    x: () => where(greater(x, 0), mul(dy, seluScale), mul(mul(dy, seluScaleAlpha), expOfNegative(x))),
  })),
];

/* d(a^b)/da = b a^(b - 1), d(a^b)/db = a^b log a, taken as 0 where a <= 0. */
const power = rule(Pow, { inputs: ['a', 'b'], outputs: [true] }, (dy, [a, b, y]) => ({
  a: () => {
    const exponent = float(b);
    return unbroadcast(mul(dy, mul(exponent, pow(a, sub(exponent, 1)))), a.shape);
  },
  b: () => {
    const positive = greater(a, 0);
    // The derivative of the branch not taken must be finite too.
    const safe = isTapeActive() ? where(positive, a, onesLike(a)) : a;
    const logarithm = where(positive, log(float(safe)), zerosLike(float(a)));
    return unbroadcast(
      mul(
        dy,
        mul(
          linked(y, () => pow(a, b)),
          logarithm,
        ),
      ),
      b.shape,
    );
  },
}));

/* The chosen operand gets all; at a tie that is `a`, as in tfjs. */
const choice = (name: string, chooseA: typeof less, chooseB: typeof less): GradConfig =>
  rule(name, { inputs: ['a', 'b'] }, (dy, [a, b]) => ({
    a: () => unbroadcast(mul(dy, float(chooseA(a, b))), a.shape),
    b: () => unbroadcast(mul(dy, float(chooseB(a, b))), b.shape),
  }));

const squaredDifference = rule(SquaredDifference, { inputs: ['a', 'b'] }, (dy, [a, b]) => ({
  a: () => unbroadcast(mul(dy, mul(2, sub(a, b))), a.shape),
  b: () => unbroadcast(mul(dy, mul(2, sub(b, a))), b.shape),
}));

/* Rounding towards zero is constant; between numbers of any width nothing is lost. */
const casting = rule<{ dtype: string }>(Cast, {}, (dy, _saved, { dtype }) => ({
  x: () => (dtype === 'int32' || dtype === 'bool' ? zerosLike(dy) : clone(dy)),
}));

const binary = ['a', 'b'];
const steps = [
  ...[Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual].map((name) => constant(name, binary)),
  ...[LogicalAnd, LogicalOr, LogicalXor].map((name) => constant(name, binary)),
  ...[LogicalNot, All, Any, ArgMax, ArgMin].map((name) => constant(name, ['x'])),
  constant(FloorDiv, binary),
  constant(SearchSorted, ['sortedSequence', 'values']),
];

/** Gradients of kernels that act on each element, or on each vector of logits. */
export const pointwiseGradients: readonly GradConfig[] = [
  ...byValue,
  ...units,
  power,
  choice(Maximum, greaterEqual, less),
  choice(Minimum, lessEqual, greater),
  squaredDifference,
  casting,
  ...steps,
];
