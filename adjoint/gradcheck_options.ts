import type { Scalar } from '@tensorflow/tfjs-core';
import type { AnyOptions } from '../src/core/build_problem.js';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { nearest } from '../src/core/options.js';
import type { Stepper } from '../src/core/stepper.js';
import type { TreeLike } from '../src/core/types.js';
import { hasAdjoint, isReversible } from './adjoint_of.js';
import {
  adjointNames,
  modes as adjointModes,
  solvesBackward,
  type AdjointOptions,
} from './adjoint_options.js';
import type { PlainVjpOptions } from './odeint_vjp.js';

/** A way to a gradient: tfjs's tape, or an adjoint. */
export type GradcheckMode = 'tape' | NonNullable<AdjointOptions['adjoint']>;

/** What every call of `gradcheck` takes. */
export interface GradcheckCommonOptions {
  /** The modes to check. Default: all that the method has. */
  modes?: readonly GradcheckMode[];
  /** Differences per tensor: a larger one is moved along this many random directions instead of entry by entry. Default 20. */
  samples?: number;
  /** Of the random directions and of the default loss. Default 1. */
  seed?: number;
  /**
   * Largest error over the scale of the gradient: its own size, at least a tenth of the largest one of its input.
   * Default for `'tape'`, `'checkpoint'` and `'reversible'`, which differentiate the steps themselves: 1e-3 on tensors, 1e-6 on plain
   * numbers. The other modes differentiate the continuous problem, with an error of the order of the solve's. Their
   * default is 300 `rtol` (of the solve or the adjoint), or ten times the change of the gradient when all steps are
   * halved, the larger one; at least three times the value above, at most 0.05.
   */
  gradRtol?: number;
  /** Error that passes beside it, in units of the gradient. Default 0. */
  gradAtol?: number;
  /** `false` prints nothing, a function receives the table. Default: `console.log`. */
  print?: boolean | ((table: string) => void);
  /** `false` returns the report where {@link GradientMismatchError} would be thrown. Default `true`. */
  throwOnFailure?: boolean;
}

/** Options of `gradcheck` on tensors, beside those of the solve and the adjoint. */
export interface GradcheckOptions<Y> extends GradcheckCommonOptions, Omit<AdjointOptions, 'adjoint'> {
  /** A loss of the outputs. Default: a fixed pseudo-random linear functional of all of them. */
  loss?: (ys: TreeLike<Y>) => Scalar;
}

/** Options of `gradcheck` on plain numbers, beside those of the solve. */
export interface PlainGradcheckOptions<Args>
  extends GradcheckCommonOptions, Omit<PlainVjpOptions<Args>, 'adjoint'> {
  /** A loss of the outputs. Default: a fixed pseudo-random linear functional of all of them. */
  loss?: (ys: Float64Array[]) => number;
}

/* eslint-disable-next-line @typescript-eslint/no-explicit-any -- options of any kind of state */
export type AnyGradcheckOptions = AnyOptions & GradcheckOptions<any> & { vjp?: unknown };

const ownNames = [
  ...['modes', 'loss', 'samples', 'seed', 'gradRtol', 'gradAtol', 'print', 'throwOnFailure'],
] as const;

/** Options that go to the way back. */
export const wayBackNames: readonly string[] = adjointNames.filter((name) => name !== 'adjoint');

/** The options that one mode reads. */
export function wayBackOf(mode: string, options: object): object {
  const unread = wayBackNames.filter((name) =>
    name === 'params' ? false : name === 'checkpoints' ? mode !== 'checkpoint' : !solvesBackward(mode),
  );
  return Object.fromEntries(Object.entries(options).filter(([name]) => !unread.includes(name)));
}

/** Names of all options that are not the solve's. */
export const gradcheckNames: readonly string[] = [...ownNames, ...wayBackNames];

interface ModeTraits {
  /** Whether it differentiates the continuous problem, not the steps. */
  continuous: boolean;
  /** Whether a method has it. */
  has: (stepper: Stepper) => boolean;
}

/* The one list of modes: an adjoint that is added to adjoint_options.ts must say here what it is. */
const traits: Record<GradcheckMode, ModeTraits> = {
  tape: { continuous: false, has: () => true },
  checkpoint: { continuous: false, has: hasAdjoint },
  reversible: { continuous: false, has: isReversible },
  backsolve: { continuous: true, has: () => true },
  interpolating: { continuous: true, has: hasAdjoint },
};

const allModes = Object.keys(traits) as GradcheckMode[];

/** Modes of tensors, and of plain numbers: those that `odeintVjp` has there. */
export const modesOf = {
  tensors: allModes.filter((mode) => mode === 'tape' || adjointModes.includes(mode)),
  plain: allModes.filter((mode) => mode !== 'tape'),
};

/** Modes whose gradient is that of the continuous problem. */
export const continuousModes: readonly string[] = allModes.filter((mode) => traits[mode].continuous);

/** Options of `gradcheck` itself, with their defaults. */
export interface GradcheckSettings {
  samples: number;
  seed: number;
  gradRtol: number | null;
  gradAtol: number;
  print: (table: string) => void;
  throwOnFailure: boolean;
}

/** Checks the options of `gradcheck` itself. */
export function readSettings(options: AnyGradcheckOptions): GradcheckSettings {
  const { samples = 20, seed = 1, print = true, throwOnFailure = true } = options;
  if (!(Number.isInteger(samples) && samples > 0)) {
    throw new InvalidArgumentError(`samples is ${describe(samples)}; expected a positive integer.`);
  }
  if (!Number.isInteger(seed)) {
    throw new InvalidArgumentError(`seed is ${describe(seed)}; expected an integer.`);
  }
  if (typeof print !== 'boolean' && typeof print !== 'function') {
    throw new InvalidArgumentError(`print is ${describe(print)}; expected true, false or a function.`);
  }
  if (typeof throwOnFailure !== 'boolean') {
    throw new InvalidArgumentError(`throwOnFailure is ${describe(throwOnFailure)}; expected true or false.`);
  }
  if (options.loss !== undefined && typeof options.loss !== 'function') {
    throw new InvalidArgumentError(
      `loss is ${describe(options.loss)}; expected a function of the outputs, which returns a scalar.`,
    );
  }
  if (options.quadrature !== undefined) {
    throw new InvalidArgumentError(
      'gradcheck does not take quadrature; check func without it, or make the integral a part of y.',
    );
  }
  if ('adjoint' in options) {
    throw new InvalidArgumentError(
      "gradcheck checks every adjoint; name those to be checked in modes: ['checkpoint'], in place of adjoint.",
    );
  }
  return {
    samples,
    seed,
    gradRtol: tolerance(options, 'gradRtol'),
    gradAtol: tolerance(options, 'gradAtol') ?? 0,
    // Looked up when it is called: programs and tests replace console.log.
    print: typeof print === 'function' ? print : (table) => void (print && console.log(table)),
    throwOnFailure,
  };
}

function tolerance(options: AnyGradcheckOptions, name: 'gradRtol' | 'gradAtol'): number | null {
  const value: unknown = options[name];
  if (value === undefined) return null;
  if (typeof value === 'number' && value >= 0 && value < Infinity) return value;
  throw new InvalidArgumentError(`${name} is ${describe(value)}; expected a number that is not negative.`);
}

/** The modes to check: those asked for, else all that the method has. */
export function chooseModes(
  asked: unknown,
  available: readonly GradcheckMode[],
  stepper: Stepper,
): GradcheckMode[] {
  if (asked === undefined) return available.filter((mode) => traits[mode].has(stepper));
  if (!Array.isArray(asked) || asked.length === 0) {
    throw new InvalidArgumentError(
      `modes are ${describe(asked)}; expected an array of ${available.join(', ')}.`,
    );
  }
  for (const mode of asked as unknown[]) {
    if (available.includes(mode as GradcheckMode)) continue;
    const suggestion = typeof mode === 'string' && nearest(mode, available);
    throw new InvalidArgumentError(
      `modes holds ${describe(mode)}; ` +
        (suggestion ? `did you mean '${suggestion}'?` : `expected some of ${available.join(', ')}.`),
    );
  }
  return [...new Set(asked as GradcheckMode[])];
}
