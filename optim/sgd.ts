import { add, mul, sub } from '@tensorflow/tfjs-core';
import { InvalidArgumentError } from '../src/core/errors.js';
import {
  checkNumbers,
  leafwise,
  withDecay,
  type LeafRule,
  type LearningRate,
  type Optimizer,
  type OptimizerOptions,
} from './optimizer.js';
import { checkOptions } from './options.js';

/** Options of {@link sgd}. */
export interface SgdOptions extends OptimizerOptions {
  /** `mu` in `v <- mu v + g`; 0 by default. */
  momentum?: number;
  /** Steps along `g + mu v`. */
  nesterov?: boolean;
  /** Adds `weightDecay * p` to the gradient. */
  weightDecay?: number;
}

/**
 * Gradient descent with momentum: `g <- g + weightDecay p`, `v <- mu v + g`, `p <- p - learningRate v`, and with
 * `nesterov` `p <- p - learningRate (g + mu v)`, as in PyTorch. State: `slots.momentum`, with momentum only.
 *
 * Source: Sutskever et al., On the importance of initialization and momentum, ICML 2013.
 *
 * @example
 * ```ts
 * const optimizer = sgd(0.1, { momentum: 0.9 });
 * let params = { w: tf.tensor1d([1, 2]) };
 * let state = optimizer.init(params);
 * const { grads } = valueAndGrad(({ w }) => tf.sum(tf.square(w)), params);
 * ({ params, state } = optimizer.update(grads, state, params));
 * ```
 * @throws `InvalidArgumentError` for unknown options, numbers out of range, and for `nesterov` without momentum.
 */
export function sgd(learningRate: LearningRate, options: SgdOptions = {}): Optimizer {
  checkOptions(options, 'sgd', ['momentum', 'nesterov', 'weightDecay', 'checkFinite']);
  const { momentum = 0, nesterov = false, weightDecay = 0 } = options;
  checkNumbers({ momentum: [momentum], weightDecay: [weightDecay] });
  if (nesterov && momentum === 0) {
    throw new InvalidArgumentError('nesterov needs momentum; set momentum, for example 0.9.');
  }
  const rule: LeafRule = {
    slots: momentum > 0 ? ['momentum'] : [],
    update: (g, p, slots, _step, rate): ReturnType<LeafRule['update']> => {
      const decayed = withDecay(g, p, weightDecay);
      if (momentum === 0) return { value: sub(p, mul(decayed, rate)), slots: {} };
      const v = add(mul(slots.momentum, momentum), decayed);
      const direction = nesterov ? add(decayed, mul(v, momentum)) : v;
      return { value: sub(p, mul(direction, rate)), slots: { momentum: v } };
    },
  };
  return leafwise(rule, learningRate, options);
}
