import type { Tensor } from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { isRecording } from '../src/core/tape.js';
import { tensorsIn } from '../src/core/tree.js';
import { adam, type AdamOptions } from './adaptive.js';
import { hold, release } from './held.js';
import { FunctionalNet } from './net.js';
import type { LearningRate, Optimizer, OptimizerState } from './optimizer.js';
import { parametersOf, treeAs, type Updated } from './params.js';
import { sgd, type SgdOptions } from './sgd.js';
import { lossGradients, type Loss } from './value_and_grad.js';

/* On a tape the results belong to the gradient, and end with it. */
const made = <T>(make: () => T, before: readonly Tensor[]): T =>
  isRecording() ? make() : hold(make, before);

/**
 * An optimizer of a {@link FunctionalNet} whose steps stay on the tape: inside `tf.grad`, `tf.grads` or
 * `tf.variableGrads` a later loss is differentiated through them, as with TorchOpt's `MetaOptimizer`.
 *
 * What a step makes inside a gradient ends with it. So keep the parameters to start from in variables, and build the net
 * inside the outer loss, or recover them there (`extractStateDict` and `recoverStateDict`).
 * Outside of a gradient steps train the net as any optimizer; `dispose()` frees it.
 *
 * @example
 * ```ts
 * // MAML: learn the start from which one step fits best.
 * const start = { a: tf.variable(tf.scalar(1)) };
 * const outer = (): tf.Scalar => {
 *   const net = functionalNet(({ a }, x: tf.Tensor) => tf.mul(a, tf.square(x)), start);
 *   const optimizer = new MetaSGD(net, 0.1);
 *   optimizer.step(net.apply(tf.scalar(2)));
 *   return net.apply(tf.scalar(2)) as tf.Scalar;
 * };
 * const { grads } = tf.variableGrads(outer);
 * ```
 */
export class MetaOptimizer<P, S = OptimizerState> {
  /** State of the optimizer; steps replace it. */
  state: S;

  /** @throws `InvalidArgumentError` unless given a net and an optimizer. */
  constructor(
    readonly net: FunctionalNet<P, never, unknown>,
    readonly optimizer: Optimizer<S>,
  ) {
    if (!(net instanceof FunctionalNet) || typeof optimizer?.update !== 'function') {
      throw new InvalidArgumentError(
        `a meta-optimizer received ${describe(net)} and ${describe(optimizer)}; expected a net made by functionalNet or ` +
          'layersNet, and an optimizer such as sgd(0.1).',
      );
    }
    this.state = made(() => optimizer.init(net.params), tensorsIn(net.params));
  }

  /**
   * Takes a step down the gradient of `loss` in the parameters of the net, and gives the net the new ones.
   * @param loss A scalar that was computed from `net` under the gradient that is being taken, or a function
   * `(params) => scalar`, which works outside of one too.
   * @throws `InvalidArgumentError` for a loss that is no scalar, parameters that were disposed, and gradients that
   * are not finite.
   * @throws `MissingGradientError` for a tensor outside of a gradient.
   */
  step(loss: Loss<Updated<P>>): void {
    const { net, state } = this;
    const { params } = net;
    const checked = parametersOf(params, 'net.params');
    const before = tensorsIn([params, state]);
    const next = made(() => {
      const { grads } = lossGradients(loss, params, checked.leaves);
      return this.optimizer.update(treeAs<Updated<P>>(checked, grads), state, params);
    }, before);
    net.params = next.params as Updated<P>;
    this.state = next.state;
    if (!isRecording()) release(before, tensorsIn([next.params, next.state]));
  }

  /** Frees what steps outside of gradients have made, the parameters of the net among it. */
  dispose(): void {
    release(tensorsIn([this.net.params, this.state]), []);
  }
}

/** {@link MetaOptimizer} with {@link sgd}; the learning rate may be a tensor, and be learned. */
export class MetaSGD<P> extends MetaOptimizer<P> {
  constructor(
    net: FunctionalNet<P, never, unknown>,
    learningRate: LearningRate = 1,
    options: SgdOptions = {},
  ) {
    super(net, sgd(learningRate, options));
  }
}

/** {@link MetaOptimizer} with {@link adam}. */
export class MetaAdam<P> extends MetaOptimizer<P> {
  constructor(
    net: FunctionalNet<P, never, unknown>,
    learningRate: LearningRate = 1e-3,
    options: AdamOptions = {},
  ) {
    super(net, adam(learningRate, options));
  }
}
