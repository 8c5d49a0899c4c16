import { addN, div, maximum, mul, square, sum, tidy, type Tensor } from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { verifyGradients } from '../src/core/gradient_repair.js';
import { rootPlus } from './root.js';
import type { Optimizer, OptimizerState } from './optimizer.js';
import { checkNumber, leavesAs, parametersOf, tidied, treeAs, type Updated } from './params.js';

/** Something done to gradients before an optimizer sees them. */
export interface GradientTransform<S = unknown> {
  init(params: unknown): S;
  transform<P>(grads: Updated<P>, state: S, params: P): { grads: Updated<P>; state: S };
}

/** A transform with a state of any kind. */
/* eslint-disable-next-line @typescript-eslint/no-explicit-any -- every transform knows its own state only */
export type AnyTransform = GradientTransform<any>;

/**
 * Scales all gradients together so that their norm, over all leaves, is at most `maxNorm`:
 * `g <- g maxNorm / max(maxNorm, |g|)`. Differentiable, at zero gradients too.
 * @throws `InvalidArgumentError` unless `maxNorm > 0`.
 */
export function clipByGlobalNorm(maxNorm: number): GradientTransform<Record<string, never>> {
  checkNumber(maxNorm, 'maxNorm', Number.MIN_VALUE);
  return {
    init: () => ({}),
    transform: <P>(grads: Updated<P>, state: Record<string, never>, params: P) => {
      verifyGradients();
      const checked = parametersOf(params);
      const leaves = leavesAs(checked, grads, 'grads');
      const clipped = tidy(() => {
        // Only the ratio to maxNorm counts, and squares of it stay in the range of float32.
        const squares = leaves.map((g): Tensor => sum(square(div(g, maxNorm))));
        const factor = div(1, maximum(1, rootPlus(addN(squares), 1, 0)));
        return leaves.map((g) => mul(g, factor));
      });
      return { grads: treeAs<P>(checked, clipped), state };
    },
  };
}

/** State of a {@link chain}. */
export interface ChainState<S = OptimizerState> {
  readonly transforms: readonly unknown[];
  readonly optimizer: S;
}

/**
 * An optimizer behind transforms of the gradients, in their order.
 *
 * @example
 * ```ts
 * const optimizer = chain(clipByGlobalNorm(1), adam(cosineDecay(1e-2, { steps: 1000 })));
 * ```
 * @throws `InvalidArgumentError` unless the last argument is an optimizer and all others transforms.
 */
export function chain<S>(
  ...parts: [...transforms: AnyTransform[], optimizer: Optimizer<S>]
): Optimizer<ChainState<S>> {
  const optimizer = parts.at(-1) as Optimizer<S>;
  const transforms = parts.slice(0, -1) as AnyTransform[];
  const wrong = transforms.findIndex((part) => typeof part?.transform !== 'function');
  if (typeof optimizer?.update !== 'function' || wrong >= 0) {
    throw new InvalidArgumentError(
      `chain received ${describe(wrong < 0 ? optimizer : transforms[wrong])}; expected transforms such as ` +
        'clipByGlobalNorm(1), and one optimizer such as adam(1e-3) as the last argument.',
    );
  }
  return {
    init: (params) => ({
      transforms: transforms.map((part) => part.init(params)),
      optimizer: optimizer.init(params),
    }),
    update: <P>(grads: Updated<P>, state: ChainState<S>, params: P) =>
      tidied(() => {
        let passed = grads;
        const states = transforms.map((part, i) => {
          const result = part.transform(passed, state.transforms[i], params);
          passed = result.grads;
          return result.state;
        });
        const updated = optimizer.update(passed, state.optimizer, params);
        return { params: updated.params, state: { transforms: states, optimizer: updated.state } };
      }),
  };
}
