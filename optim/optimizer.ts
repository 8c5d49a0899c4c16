import { add, fill, mul, stack, sum, tidy, type Tensor } from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { verifyGradients } from '../src/core/gradient_repair.js';
import { untaped } from '../src/core/tape.js';
import { isTensor, unflattenTree, type TensorTree } from '../src/core/tree.js';
import {
  checkNumber,
  leavesAs,
  parametersOf,
  tidied,
  treeAs,
  type Parameters,
  type Updated,
} from './params.js';
import type { Schedule } from './schedules.js';

/**
 * An optimizer as a pair of pure functions. Nothing is changed in place: `update` returns new parameters and a new state,
 * both differentiable when a gradient is being taken, in the gradients, the parameters, the state and a learning
 * rate that is a tensor. What it returns belongs to the caller.
 */
export interface Optimizer<S = OptimizerState> {
  /** The state before the first step. */
  init(params: unknown): S;
  /**
   * One step.
   * @param grads Gradients, a tree like `params`.
   * @throws `InvalidArgumentError` for trees or shapes that differ, and for gradients that are not finite.
   */
  update<P>(grads: Updated<P>, state: S, params: P): { params: Updated<P>; state: S };
}

/** Steps taken, and trees like the parameters under the names of what they hold. */
export interface OptimizerState {
  readonly step: number;
  readonly slots: { readonly [name: string]: TensorTree };
}

/** Options of every optimizer. */
export interface OptimizerOptions {
  /**
   * Whether `update` reads the gradients, one number each time, and throws when one is not finite. On by default; turn it off
   * where a read is dear, and on WebGPU, which cannot read synchronously.
   */
  checkFinite?: boolean;
}

/** A learning rate: a number, a scalar tensor (which then gets a gradient), or a {@link Schedule}. */
export type LearningRate = number | Tensor | Schedule;

/** The rate of a step, counted from 0. */
export function rateAt(rate: LearningRate, step: number): number | Tensor {
  return typeof rate === 'function' ? rate(step) : rate;
}

export function checkRate(rate: unknown): void {
  if (typeof rate === 'function' || (isTensor(rate) && rate.dtype === 'float32')) return;
  if (typeof rate === 'number' && rate >= 0 && rate < Infinity) return;
  throw new InvalidArgumentError(
    `learningRate is ${describe(rate)}; expected a number >= 0, a float32 scalar, or a schedule (step) => rate.`,
  );
}

/** The update of one tensor: its new value, and those of its slots by name. */
export interface LeafRule {
  /** Names of what is kept from step to step; all start as zeros, or at `start`. */
  readonly slots: readonly string[];
  readonly start?: number;
  /** `step` counts from 1. */
  update(
    g: Tensor,
    p: Tensor,
    slots: Record<string, Tensor>,
    step: number,
    rate: number | Tensor,
  ): { value: Tensor; slots: Record<string, Tensor> };
}

/** The optimizer that applies a rule to every leaf. */
export function leafwise(rule: LeafRule, learningRate: LearningRate, options: OptimizerOptions): Optimizer {
  checkRate(learningRate);
  const { checkFinite = true } = options;
  const fresh = (leaf: Tensor): Tensor => fill(leaf.shape, rule.start ?? 0);
  return {
    init: (params) => {
      const checked = parametersOf(params);
      const slot = (): TensorTree => unflattenTree(checked.structure, checked.leaves.map(fresh));
      return { step: 0, slots: Object.fromEntries(rule.slots.map((name) => [name, slot()])) };
    },
    update: <P>(grads: Updated<P>, state: OptimizerState, params: P) => {
      // What a gradient outside records here must have the repaired gradients.
      verifyGradients();
      const checked = parametersOf(params);
      const gradients = leavesAs(checked, grads, 'grads');
      checkState(rule, state);
      if (checkFinite) requireFinite(checked, gradients);
      return tidied(() => {
        const before = rule.slots.map((name) => leavesAs(checked, state.slots[name], `state.slots.${name}`));
        const step = state.step + 1;
        const rate = rateAt(learningRate, state.step);
        const after = checked.leaves.map((p, i) => {
          const slots = Object.fromEntries(rule.slots.map((name, s) => [name, before[s][i]]));
          return rule.update(gradients[i], p, slots, step, rate);
        });
        const kept = (name: string): TensorTree =>
          unflattenTree(
            checked.structure,
            after.map(({ slots }) => slots[name]),
          );
        const slots = Object.fromEntries(rule.slots.map((name) => [name, kept(name)]));
        return {
          params: treeAs<P>(
            checked,
            after.map(({ value }) => value),
          ),
          state: { step, slots },
        };
      });
    },
  };
}

function checkState({ slots }: LeafRule, state: unknown): void {
  const { step, slots: held } = (state ?? {}) as Partial<OptimizerState>;
  if (typeof step === 'number' && held && slots.every((name) => name in held)) return;
  throw new InvalidArgumentError(
    `state is ${describe(state)}; expected what init(params) or the last update of this optimizer returned.`,
  );
}

/** Throws for gradients that are NaN or infinite, by one read. */
export function requireFinite({ paths }: Parameters, gradients: readonly Tensor[]): void {
  const sums = untaped(() => tidy(() => stack(gradients.map((g) => sum(mul(g, 0)))).dataSync()));
  const wrong = sums.findIndex((zero) => zero !== 0);
  if (wrong < 0) return;
  const path = paths[wrong] && ` of ${paths[wrong]}`;
  throw new InvalidArgumentError(
    `the gradient${path} is not finite; the parameters are left as they were. Lower the learning rate, clip ` +
      'with chain(clipByGlobalNorm(1), ...), or look for log, sqrt and division at 0 in the loss.',
  );
}

/** `g + decay p`, the gradient of the loss with an L2 penalty. */
export const withDecay = (g: Tensor, p: Tensor, decay: number): Tensor =>
  decay === 0 ? g : add(g, mul(p, decay));

/** `decay average + (1 - decay) x` */
export const moving = (average: Tensor, x: Tensor, decay: number): Tensor =>
  add(mul(average, decay), mul(x, 1 - decay));

/** Checks numbers that default to 0 or lie below 1. */
export function checkNumbers(numbers: Record<string, [value: unknown, high?: number]>): void {
  for (const [name, [value, high]] of Object.entries(numbers)) checkNumber(value, name, 0, high);
}
