import type { Scalar, Tensor } from '@tensorflow/tfjs-core';
import type { ControllerOption } from './controller.js';
import { describe, InvalidArgumentError, type SolveStats } from './errors.js';
import type { Stepper } from './stepper.js';
import type { Structure } from './tree.js';

export { checkOptionNames, nearest } from './option_names.js';

/**
 * A number for every leaf, or a structure of numbers like `y0`'s: one per leaf of tensors, one per element of plain
 * numbers.
 */
export type Tolerance = number | Float64Array | readonly Tolerance[] | { readonly [leaf: string]: Tolerance };

/** The methods by name; `solvers/index.ts` fills it in, since nothing here knows a method. */
/* eslint-disable-next-line @typescript-eslint/no-empty-object-type -- filled in by declaration merging */
export interface MethodTable {}

/** A name that `method` accepts. */
export type MethodName = keyof MethodTable;

/** What callbacks receive. `y` and `y1` are borrowed: clone them to keep them. */
export interface StepReport<Y> {
  /** Start of the step. */
  t: number;
  /** Signed size of the step: it ends at `t + h`. */
  h: number;
  /** State at `t`. */
  y: Y;
  /** State at `t + h`; `null` before the step is attempted. */
  y1: Y | null;
  /** Error over tolerance, accepted up to 1; `null` before the attempt and for fixed steps. */
  errorNorm: number | null;
  /** Counters so far. */
  stats: Readonly<SolveStats>;
}

/** Options that every method takes. */
export interface CommonOptions<Y, Args = unknown> {
  /** Relative tolerance: a number, or a structure of numbers like `y0`. Default 1e-5 for tensors, 1e-7 for float64. */
  rtol?: Tolerance;
  /** Absolute tolerance, likewise, in units of `y`. Default 1e-6 for tensors, 1e-9 for float64. */
  atol?: Tolerance;
  /** Third argument of the vector field, passed as it is. */
  args?: Args;
  /** Ends the solve with an `AbortedError`. */
  signal?: AbortSignal;
  /** Attempted steps after which the solve gives up. Default 100000; without end for an endless `iterate`. */
  maxNumSteps?: number;
  /** Before each attempt. */
  onStep?: (report: StepReport<Y>) => void;
  /** After each accepted step. */
  onAccept?: (report: StepReport<Y>) => void;
  /** After each rejected step. */
  onReject?: (report: StepReport<Y>) => void;
  /** Part of the time interval that is solved, 0 to 1. */
  onProgress?: (fraction: number) => void;
  /** Times at which a step must end. */
  stepT?: ArrayLike<number>;
  /**
   * Times at which the vector field is discontinuous: a step ends there, the next one evaluates it afresh, and each
   * side sees its own.
   */
  jumpT?: ArrayLike<number>;
  /** `true` lets a vector field on plain numbers write its result: `(t, y, dy, args) => void`. */
  inPlace?: boolean;
}

/** Options of methods that choose their steps. */
export interface AdaptiveOptions<Norm> {
  /** Size of the first attempt; by default Hairer's algorithm chooses it. */
  firstStep?: number;
  /** Smallest step; a tolerance that needs less throws `StepUnderflowError`. Default 0. */
  minStep?: number;
  /** Largest step. Default Infinity. */
  maxStep?: number;
  /** Factor on the proposed step. Default 0.9. */
  safety?: number;
  /** Largest growth from one step to the next. Default 10. */
  ifactor?: number;
  /** Largest shrinkage. Default 0.2. */
  dfactor?: number;
  /** Step size control. Default `'i'`, as in torchdiffeq and scipy. */
  controller?: ControllerOption;
  /** Norm of the error over its tolerance. Default `'rms'`: root mean square per leaf, largest leaf. */
  norm?: Norm;
}

/** Options of fixed steps. */
export interface FixedStepOptions<Func, Y> {
  /** Size of the steps; the last one ends at the end. Given to an adaptive method it turns step control off. */
  stepSize?: number;
  /** The times of the steps, both ends included. With `eventFn` the last one is `maxTime`; steps end at the event. */
  gridConstructor?: (func: Func, y0: Y, t: Float64Array) => ArrayLike<number>;
  /** Evaluate each step's ends one ulp inside it, for vector fields that jump at grid points. */
  perturb?: boolean;
  /** How values between grid points are made. Default: the method's own interpolant, cubic Hermite or better. */
  interp?: 'linear' | 'cubic';
}

/** What a `ButcherTableau` looks like from here. */
export interface TableauLike {
  readonly name: string;
  readonly stages: number;
  readonly b: readonly number[];
}

/** All options of a solve. */
export interface SolveOptions<Func, Y, Norm, Args = unknown>
  extends CommonOptions<Y, Args>, AdaptiveOptions<Norm>, FixedStepOptions<Func, Y> {
  /** A method's name, a tableau or a stepper. Default `'dopri5'`. */
  // Names made at run time are strings; written this way, editors still complete the known ones.
  method?: MethodName | (string & Record<never, never>) | Stepper | TableauLike;
}

/** A norm of scaled errors: of tensors, or of plain numbers. */
export type TensorNormFunction = (leaves: Tensor[]) => Scalar;
export type Float64NormFunction = (leaves: Float64Array[]) => number;

/** A positive number, or the default. */
export function positive(options: object, name: string, fallback: number, allowInfinity = false): number {
  const value: unknown = (options as Record<string, unknown>)[name];
  if (value === undefined) return fallback;
  if (typeof value === 'number' && value > 0 && (allowInfinity || Number.isFinite(value))) return value;
  throw new InvalidArgumentError(`${name} is ${describe(value)}; expected a positive number.`);
}

/** A function, or nothing. */
export function checkFunction(options: object, name: string): void {
  const value: unknown = (options as Record<string, unknown>)[name];
  if (value !== undefined && typeof value !== 'function') {
    throw new InvalidArgumentError(`${name} is ${describe(value)}; expected a function.`);
  }
}

/** Throws unless the options are a record. */
export function checkOptionsRecord(options: unknown): void {
  if (typeof options === 'object' && options !== null) return;
  throw new InvalidArgumentError(
    `options are ${describe(options)}; expected a record such as { rtol: 1e-6 }.`,
  );
}

/** Checks what does not depend on the kind of state. */
export function checkCommonOptions(options: CommonOptions<never>): void {
  for (const name of ['onStep', 'onAccept', 'onReject', 'onProgress']) checkFunction(options, name);
  const { maxNumSteps, signal, inPlace } = options;
  if (maxNumSteps !== undefined && !(Number.isInteger(maxNumSteps) && maxNumSteps > 0)) {
    throw new InvalidArgumentError(`maxNumSteps is ${describe(maxNumSteps)}; expected a positive integer.`);
  }
  if (signal !== undefined && typeof signal?.aborted !== 'boolean') {
    throw new InvalidArgumentError(
      `signal is ${describe(signal)}; expected an AbortSignal (controller.signal).`,
    );
  }
  if (inPlace !== undefined && typeof inPlace !== 'boolean') {
    throw new InvalidArgumentError(`inPlace is ${describe(inPlace)}; expected true or false.`);
  }
}

/** One tolerance per leaf of a structure; a number stands for every leaf below it. `title` is what the caller calls it. */
export function leafTolerances(
  name: 'rtol' | 'atol',
  value: Tolerance | undefined,
  structure: Structure,
  fallback: number,
  epsilon: number,
  title: string = name,
): number[] {
  const found: number[] = [];
  const visit = (node: Structure, part: unknown, path: string): void => {
    if (node.kind !== 'leaf' && typeof part === 'object' && part !== null) {
      const keys = node.kind === 'array' ? node.items.map((_, i) => String(i)) : node.keys;
      const given = Object.keys(part);
      if (given.length !== keys.length || keys.some((key) => !given.includes(key))) {
        throw new InvalidArgumentError(
          `${path} has the entries {${given.join(', ')}}; expected those of y0 {${keys.join(', ')}}, or one number.`,
        );
      }
      node.items.forEach((item, i) =>
        visit(item, (part as Record<string, unknown>)[keys[i]], `${path}.${keys[i]}`),
      );
      return;
    }
    checkTolerance(name, path, part, epsilon);
    for (let i = 0; i < leafCount(node); i++) found.push(part as number);
  };
  visit(structure, value ?? fallback, title);
  return found;
}

function leafCount(node: Structure): number {
  return node.kind === 'leaf' ? 1 : node.items.reduce((count, item) => count + leafCount(item), 0);
}

/** The largest of tolerances in any structure. */
export function largestTolerance(value: unknown, fallback: number): number {
  if (typeof value === 'number') return value;
  if (typeof value !== 'object' || value === null) return fallback;
  return Math.max(...Object.values(value).map((part) => largestTolerance(part, fallback)));
}

/** Throws unless `x` can be a tolerance. */
export function checkTolerance(name: string, path: string, x: unknown, epsilon: number): void {
  if (typeof x !== 'number' || !(x >= 0 && x < Infinity)) {
    throw new InvalidArgumentError(`${path} is ${describe(x)}; expected a number that is not negative.`);
  }
  if (name === 'rtol' && x > 0 && x < epsilon) {
    const single = epsilon > 1e-10;
    throw new InvalidArgumentError(
      `rtol ${x} is below the resolution of ${single ? 'float32' : 'float64'} (${epsilon.toPrecision(3)}); ` +
        (single
          ? "tensors are float32, while torchdiffeq's default of 1e-7 needs float64. Use rtol 1e-6 or larger, or plain " +
            'numbers (a number[] or Float64Array y0) for float64.'
          : 'use a larger rtol, or rtol 0 with a positive atol.'),
    );
  }
}

/** A tolerance of zero altogether cannot be met. */
export function checkTolerancePairs(rtol: readonly number[], atol: readonly number[]): void {
  rtol.forEach((r, i) => {
    if (r === 0 && atol[i] === 0) {
      throw new InvalidArgumentError('rtol and atol are both 0; at least one of them must be positive.');
    }
  });
}
