import { add, div, mul, square, sub, type Tensor } from '@tensorflow/tfjs-core';
import {
  checkNumbers,
  leafwise,
  moving,
  withDecay,
  type LearningRate,
  type LeafRule,
  type Optimizer,
  type OptimizerOptions,
} from './optimizer.js';
import { checkOptions } from './options.js';
import { rootPlus } from './root.js';

/** Options of {@link adam} and {@link adamw}. */
export interface AdamOptions extends OptimizerOptions {
  /** Decay of the mean of gradients, 0.9 by default. */
  beta1?: number;
  /** Decay of the mean of their squares, 0.999 by default. */
  beta2?: number;
  /** Added to the root, 1e-8 by default. */
  epsilon?: number;
  /** `adam`: adds `weightDecay * p` to the gradient. `adamw`: shrinks `p` by the factor `1 - learningRate * weightDecay`. */
  weightDecay?: number;
}

/**
 * Adam: `m <- beta1 m + (1 - beta1) g`, `v <- beta2 v + (1 - beta2) g^2`,
 * `p <- p - learningRate mhat / (sqrt(vhat) + epsilon)` with `mhat = m / (1 - beta1^t)`, `vhat = v / (1 - beta2^t)`, as in
 * PyTorch. State: `slots.m`, `slots.v`.
 *
 * The derivative of an update at a gradient of 0 is finite: where `sqrt(v)` vanishes beside `epsilon`, it has
 * derivative 0.
 *
 * Source: Kingma and Ba, https://doi.org/10.48550/arXiv.1412.6980.
 * @throws `InvalidArgumentError` for unknown options and numbers out of range.
 */
export function adam(learningRate: LearningRate = 1e-3, options: AdamOptions = {}): Optimizer {
  return leafwise(adamRule(options, false), learningRate, options);
}

/**
 * Adam with decoupled weight decay, `p <- p (1 - learningRate weightDecay)` before the step; `weightDecay` is 0.01 by
 * default, as in PyTorch. State: `slots.m`, `slots.v`.
 *
 * Source: Loshchilov and Hutter, https://doi.org/10.48550/arXiv.1711.05101.
 * @throws `InvalidArgumentError` for unknown options and numbers out of range.
 */
export function adamw(learningRate: LearningRate = 1e-3, options: AdamOptions = {}): Optimizer {
  return leafwise(adamRule({ weightDecay: 0.01, ...options }, true), learningRate, options);
}

function adamRule(options: AdamOptions, decoupled: boolean): LeafRule {
  checkOptions(options, decoupled ? 'adamw' : 'adam', [
    ...['beta1', 'beta2', 'epsilon', 'weightDecay', 'checkFinite'],
  ]);
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options;
  checkNumbers({ beta1: [beta1, 1], beta2: [beta2, 1], epsilon: [epsilon], weightDecay: [weightDecay] });
  return {
    slots: ['m', 'v'],
    update: (gradient, p, slots, step, rate) => {
      const g = decoupled ? gradient : withDecay(gradient, p, weightDecay);
      const m = moving(slots.m, g, beta1);
      const v = moving(slots.v, square(g), beta2);
      const denominator = rootPlus(v, 1 / (1 - beta2 ** step), epsilon);
      const move = mul(div(mul(m, 1 / (1 - beta1 ** step)), denominator), rate);
      const start = decoupled && weightDecay > 0 ? sub(p, mul(mul(p, weightDecay), rate)) : p;
      return { value: sub(start, move), slots: { m, v } };
    },
  };
}

/** Options of {@link rmsprop}. */
export interface RmspropOptions extends OptimizerOptions {
  /** Decay of the mean of squared gradients (`alpha` in PyTorch), 0.99 by default. */
  decay?: number;
  /** Added to the root, 1e-8 by default. */
  epsilon?: number;
  /** `mu` in `b <- mu b + g / root`; 0 by default. */
  momentum?: number;
  /** Subtracts the squared mean of gradients under the root. */
  centered?: boolean;
  /** Adds `weightDecay * p` to the gradient. */
  weightDecay?: number;
}

/**
 * RMSprop: `v <- decay v + (1 - decay) g^2`, `p <- p - learningRate g / (sqrt(v) + epsilon)`; `centered` takes
 * `sqrt(v - a^2)` with `a <- decay a + (1 - decay) g`, and `momentum` accumulates the quotient, as in PyTorch.
 * State: `slots.v`, `slots.mean` when centered, `slots.momentum` with momentum.
 *
 * Source: Tieleman and Hinton, Lecture 6.5, 2012; centered: Graves, https://doi.org/10.48550/arXiv.1308.0850.
 * @throws `InvalidArgumentError` for unknown options and numbers out of range.
 */
export function rmsprop(learningRate: LearningRate = 1e-2, options: RmspropOptions = {}): Optimizer {
  checkOptions(options, 'rmsprop', [
    ...['decay', 'epsilon', 'momentum', 'centered', 'weightDecay', 'checkFinite'],
  ]);
  const { decay = 0.99, epsilon = 1e-8, momentum = 0, centered = false, weightDecay = 0 } = options;
  checkNumbers({
    ...{ decay: [decay, 1], epsilon: [epsilon], momentum: [momentum], weightDecay: [weightDecay] },
  });
  const slots = ['v', ...(centered ? ['mean'] : []), ...(momentum > 0 ? ['momentum'] : [])];
  const rule: LeafRule = {
    slots,
    update: (gradient, p, before, _step, rate) => {
      const g = withDecay(gradient, p, weightDecay);
      const after: Record<string, Tensor> = { v: moving(before.v, square(g), decay) };
      if (centered) after.mean = moving(before.mean, g, decay);
      const variance = centered ? sub(after.v, square(after.mean)) : after.v;
      const direction = div(g, rootPlus(variance, 1, epsilon));
      if (momentum === 0) return { value: sub(p, mul(direction, rate)), slots: after };
      after.momentum = add(mul(before.momentum, momentum), direction);
      return { value: sub(p, mul(after.momentum, rate)), slots: after };
    },
  };
  return leafwise(rule, learningRate, options);
}

/** Options of {@link adagrad}. */
export interface AdagradOptions extends OptimizerOptions {
  /** Added to the root, 1e-10 by default. */
  epsilon?: number;
  /** Where the sum of squares begins, 0 by default. */
  initialAccumulator?: number;
  /** Adds `weightDecay * p` to the gradient. */
  weightDecay?: number;
}

/**
 * Adagrad: `s <- s + g^2`, `p <- p - learningRate g / (sqrt(s) + epsilon)`, as in PyTorch. State: `slots.sum`.
 *
 * Source: Duchi, Hazan and Singer, JMLR 12 (2011), 2121-2159.
 * @throws `InvalidArgumentError` for unknown options and numbers out of range.
 */
export function adagrad(learningRate: LearningRate = 1e-2, options: AdagradOptions = {}): Optimizer {
  checkOptions(options, 'adagrad', ['epsilon', 'initialAccumulator', 'weightDecay', 'checkFinite']);
  const { epsilon = 1e-10, initialAccumulator = 0, weightDecay = 0 } = options;
  checkNumbers({
    ...{ epsilon: [epsilon], initialAccumulator: [initialAccumulator], weightDecay: [weightDecay] },
  });
  const rule: LeafRule = {
    slots: ['sum'],
    start: initialAccumulator,
    update: (gradient, p, slots, _step, rate) => {
      const g = withDecay(gradient, p, weightDecay);
      const sum = add(slots.sum, square(g));
      return { value: sub(p, mul(div(g, rootPlus(sum, 1, epsilon)), rate)), slots: { sum } };
    },
  };
  return leafwise(rule, learningRate, options);
}
