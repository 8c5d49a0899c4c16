import { Variable, type Optimizer as StockOptimizer, type Scalar, type Tensor } from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError, MissingGradientError } from '../src/core/errors.js';
import { isRecording, scoped } from '../src/core/tape.js';
import type { TreeLike } from '../src/core/types.js';
import { tensorsIn } from '../src/core/tree.js';
import { hold, release } from './held.js';
import { requireFinite, type Optimizer } from './optimizer.js';
import { checkOptions } from './options.js';
import { leavesAs, parametersOf, tidied, treeAs, type Parameters, type Updated } from './params.js';
import { lossGradients } from './value_and_grad.js';

/** An optimizer, and the parameters that it moves. */
export interface Assignment<O> {
  optimizer: O;
  /**
   * Paths of parameters, as `'w'`, `'layers[0].bias'`, or of branches with all below them, as `'layers'`; or a function of
   * the path. All parameters without it.
   */
  params?: readonly string[] | ((path: string) => boolean);
}

function checkAssignments(assignments: unknown): void {
  if (!Array.isArray(assignments)) {
    throw new InvalidArgumentError(
      `assignments are ${describe(assignments)}; expected an array such as [{ optimizer: adam(1e-3), params: ['w'] }].`,
    );
  }
  for (const assignment of assignments) {
    checkOptions(assignment, 'an assignment', ['optimizer', 'params']);
    const { params: chosen } = assignment as Assignment<never>;
    const paths = Array.isArray(chosen) && chosen.every((path) => typeof path === 'string');
    if (paths || chosen === undefined || typeof chosen === 'function') continue;
    throw new InvalidArgumentError(
      `params of an assignment are ${describe(chosen)}; expected paths such as ['w', 'layers[0].bias'], or a function of the path.`,
    );
  }
}

/** An optimizer of ours, with a state of any kind. */
/* eslint-disable-next-line @typescript-eslint/no-explicit-any -- every optimizer knows its own state only */
export type AnyOptimizer = Optimizer<any>;

interface Group<O> {
  optimizer: O;
  /** Positions of its parameters among the leaves. */
  members: number[];
  state: unknown;
}

const isStock = (optimizer: unknown): optimizer is StockOptimizer =>
  typeof (optimizer as Partial<StockOptimizer> | null)?.applyGradients === 'function';
const isOurs = (optimizer: unknown): optimizer is AnyOptimizer =>
  typeof (optimizer as Partial<AnyOptimizer> | null)?.update === 'function';

/* Gradients are taken once; every group moves its parameters with them, in turn. */
abstract class Groups<P, O extends AnyOptimizer | StockOptimizer> {
  private readonly checked: Parameters;
  private readonly groups: Group<O>[];

  /**
   * @param params Variables, or a tree of them.
   * @param assignments Optimizers with their parameters.
   * @throws `InvalidArgumentError` for a parameter that no optimizer moves, for a path that names none, and for
   * optimizers that this class does not take.
   */
  constructor(
    readonly params: P,
    assignments: readonly Assignment<O>[],
    accepts: { test: (optimizer: unknown) => boolean; expected: string; once: boolean },
  ) {
    this.checked = parametersOf(params);
    const { leaves, paths } = this.checked;
    leaves.forEach((leaf, i) => {
      if (leaf instanceof Variable) return;
      throw new InvalidArgumentError(
        `params.${paths[i]} is ${describe(leaf)}; expected a tf.variable, which a step assigns to.`,
      );
    });
    checkAssignments(assignments);
    const wrong = assignments.find(({ optimizer }) => !accepts.test(optimizer));
    if (wrong) {
      throw new InvalidArgumentError(
        `optimizer is ${describe(wrong.optimizer)}; expected ${accepts.expected}.`,
      );
    }
    const members = assignments.map(({ params: chosen }) => membersOf(paths, chosen));
    checkCover(paths, members, accepts.once);
    this.groups = assignments.map(({ optimizer }, g) => ({ optimizer, members: members[g], state: null }));
    for (const group of this.groups) {
      const { optimizer } = group;
      if (isOurs(optimizer))
        group.state = hold(() => optimizer.init(group.members.map((i) => leaves[i])), leaves);
    }
  }

  /**
   * Moves the variables one step down the gradient of the loss.
   * @param loss Receives the parameters, returns a float32 scalar.
   * @param returnCost Whether to return the loss, as a tensor of the caller.
   * @throws `MissingGradientError` inside a gradient, which cannot see that variables are assigned to.
   * @throws `InvalidArgumentError` for gradients that are not finite; nothing has changed then.
   */
  step(loss: (params: P) => Tensor, returnCost = false): Scalar | null {
    if (isRecording()) {
      throw new MissingGradientError(
        'step assigns to variables, which a gradient cannot see; inside tf.grad and tf.variableGrads use getStep.',
      );
    }
    const { checked, params } = this;
    const { leaves } = checked;
    return tidied(() => {
      const { value, grads } = lossGradients(loss, params, leaves);
      requireFinite(checked, grads);
      for (const group of this.groups) {
        const variables = group.members.map((i) => leaves[i] as Variable);
        const own = group.members.map((i) => grads[i]);
        const { optimizer, state } = group;
        if (isStock(optimizer)) {
          optimizer.applyGradients(Object.fromEntries(variables.map(({ name }, i) => [name, own[i]])));
          continue;
        }
        scoped(() => {
          const next = optimizer.update(own, state, variables);
          group.state = hold(() => next.state as unknown, tensorsIn(state));
          next.params.forEach((updated, i) => variables[i].assign(updated));
        });
        release(tensorsIn(state), tensorsIn(group.state));
      }
      return returnCost ? value : null;
    });
  }

  /**
   * What a step from `params` would lead to, with the states the optimizers have now; nothing is changed. Inside `tf.grad`
   * and `tf.variableGrads` the result is differentiable.
   * @param params A tree like the variables; those by default.
   * @throws `MissingGradientError` for optimizers of `tf.train`, whose updates are no functions.
   */
  getStep(
    loss: (params: Updated<P>) => Tensor,
    params: TreeLike<P> = this.params as TreeLike<P>,
  ): Updated<P> {
    const { checked } = this;
    const leaves = leavesAs(checked, params, 'params');
    return tidied(() => {
      const { grads } = lossGradients(loss, params, leaves);
      const moved = [...leaves];
      for (const { optimizer, members, state } of this.groups) {
        if (isStock(optimizer)) {
          throw new MissingGradientError(
            'an optimizer of tf.train assigns to variables: its step is no function of them, and has no gradient. ' +
              'Take one of tfjs-diffeq/optim (sgd, adam, rmsprop, ...) for getStep.',
          );
        }
        const own = members.map((i) => moved[i]);
        const next = optimizer.update(
          members.map((i) => grads[i]),
          state,
          own,
        );
        members.forEach((i, k) => (moved[i] = next.params[k]));
      }
      return treeAs<P>(checked, moved);
    });
  }

  /** Frees the states of the optimizers, those of `tf.train` among them; the variables are the caller's. */
  dispose(): void {
    for (const { optimizer, state } of this.groups) {
      if (isStock(optimizer)) optimizer.dispose();
      else release(tensorsIn(state), []);
    }
  }
}

function membersOf(paths: readonly string[], chosen: Assignment<never>['params']): number[] {
  const all = paths.map((_, i) => i);
  if (chosen === undefined) return all;
  if (typeof chosen === 'function') return all.filter((i) => chosen(paths[i]));
  const below = (path: string, branch: string) =>
    path === branch || (path.startsWith(branch) && /^[.[]/.test(path.slice(branch.length)));
  for (const branch of chosen) {
    if (paths.some((path) => below(path, branch))) continue;
    throw new InvalidArgumentError(`there is no parameter '${branch}'; known are: ${paths.join(', ')}.`);
  }
  return all.filter((i) => chosen.some((branch) => below(paths[i], branch)));
}

function checkCover(paths: readonly string[], members: readonly number[][], once: boolean): void {
  if (members.some((group) => group.length === 0)) {
    throw new InvalidArgumentError(`an optimizer has no parameters; assign it some of: ${paths.join(', ')}.`);
  }
  paths.forEach((path, i) => {
    const covered = members.filter((group) => group.includes(i)).length;
    if (covered === 0) {
      throw new InvalidArgumentError(
        `parameter '${path}' has no optimizer, and would silently stay untrained; assign it to one, or leave it out of params.`,
      );
    }
    if (once && covered > 1) {
      throw new InvalidArgumentError(
        `parameter '${path}' has ${covered} optimizers; assign it to one of them, or use MultiOptimizer, where each takes its turn.`,
      );
    }
  });
}

/**
 * Several optimizers under one step, over all parameters or some of them. A parameter with several optimizers is moved by
 * each in turn, with the same gradient.
 *
 * @example
 * ```ts
 * const params = { encoder: tf.variable(tf.ones([2])), head: tf.variable(tf.scalar(0)) };
 * const optimizer = new MultiOptimizer(params, [
 *   { optimizer: adam(1e-3), params: ['encoder'] },
 *   { optimizer: sgd(0.1), params: ['head'] },
 * ]);
 * optimizer.step(({ encoder, head }) => tf.square(tf.sub(tf.sum(encoder), head)));
 * ```
 */
export class MultiOptimizer<P> extends Groups<P, AnyOptimizer> {
  constructor(params: P, assignments: readonly Assignment<AnyOptimizer>[]) {
    super(params, assignments, {
      test: isOurs,
      expected:
        'one such as adam(1e-3); for those of tf.train take TfjsMultiOptimizer or MixedMultiOptimizer',
      once: false,
    });
  }
}

/** {@link MultiOptimizer} for optimizers of `tf.train`. `getStep` throws: their updates are no functions. */
export class TfjsMultiOptimizer<P> extends Groups<P, StockOptimizer> {
  constructor(params: P, assignments: readonly Assignment<StockOptimizer>[]) {
    super(params, assignments, { test: isStock, expected: 'one such as tf.train.adam(1e-3)', once: false });
  }
}

/**
 * {@link MultiOptimizer} for optimizers of both kinds, where every parameter has exactly one.
 *
 * @example
 * ```ts
 * const optimizer = new MixedMultiOptimizer(params, [
 *   { optimizer: adam(1e-3), params: ['encoder'] },
 *   { optimizer: tf.train.sgd(0.1), params: ['head'] },
 * ]);
 * ```
 */
export class MixedMultiOptimizer<P> extends Groups<P, AnyOptimizer | StockOptimizer> {
  constructor(params: P, assignments: readonly Assignment<AnyOptimizer | StockOptimizer>[]) {
    const test = (optimizer: unknown): boolean => isOurs(optimizer) || isStock(optimizer);
    super(params, assignments, {
      test,
      expected: 'one such as adam(1e-3) or tf.train.adam(1e-3)',
      once: true,
    });
  }
}
