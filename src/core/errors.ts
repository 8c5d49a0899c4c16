import type { GradcheckReport } from './gradient_report.js';

/** Counters of one solve. */
export interface SolveStats {
  /** Attempted steps: `accepted + rejected`. */
  steps: number;
  /** Steps whose error estimate passed (every step of a fixed-step method). */
  accepted: number;
  /** Steps that were tried again with a smaller size. */
  rejected: number;
  /** Evaluations of the vector field. */
  nfe: number;
  /** Evaluations of its Jacobian (0 for explicit methods). */
  njev: number;
  /** Size of the last accepted step, a magnitude in units of `t`. */
  lastStep: number;
}

/** Where a solve stood when it failed. */
export interface FailurePoint {
  /** Time reached, in units of `t`. */
  t?: number;
  /** Size of the step that was tried, a magnitude in units of `t`. */
  h?: number;
  /** Counters up to the failure. */
  stats?: SolveStats;
  /** The error that led to this one. */
  cause?: unknown;
}

/**
 * Base of every error this package throws. `t`, `h` and `stats` say where the solve stood; the message names a
 * remedy.
 */
export class OdeError extends Error {
  override name = 'OdeError';
  /** Time reached when the error arose; `undefined` for errors of input. */
  readonly t: number | undefined;
  /** Step size at that time, a magnitude. */
  readonly h: number | undefined;
  /** Counters of the solve; `undefined` for errors of input. */
  readonly stats: SolveStats | undefined;

  constructor(message: string, at: FailurePoint = {}) {
    super(message, at.cause === undefined ? undefined : { cause: at.cause });
    this.t = at.t;
    this.h = at.h;
    this.stats = at.stats && { ...at.stats };
  }
}

/** Input that cannot be used: the message says what was received, what was expected, and the remedy. */
export class InvalidArgumentError extends OdeError {
  override name = 'InvalidArgumentError';
}

/** `maxNumSteps` attempts did not reach the end of the interval. */
export class MaxStepsError extends OdeError {
  override name = 'MaxStepsError';
}

/** The tolerance asks for a step smaller than `minStep`, or than the resolution of `t` in float64. */
export class StepUnderflowError extends OdeError {
  override name = 'StepUnderflowError';
}

/** The state or its derivative became NaN or infinite, and smaller steps did not help. */
export class NonFiniteStateError extends OdeError {
  override name = 'NonFiniteStateError';
}

/** An event that had to end the solve did not occur. */
export class NoEventError extends OdeError {
  override name = 'NoEventError';
}

/** A gradient was asked for that the computation cannot give. */
export class MissingGradientError extends OdeError {
  override name = 'MissingGradientError';
}

/** `gradcheck` found a gradient that central differences do not confirm; `report` has all the numbers. */
export class GradientMismatchError extends OdeError {
  override name = 'GradientMismatchError';

  constructor(
    message: string,
    readonly report: GradcheckReport,
  ) {
    super(message);
  }
}

/**
 * The `AbortSignal` of the solve was triggered. Its `name` is `'AbortError'`, as for aborted fetches; `cause` is the
 * signal's reason.
 */
export class AbortedError extends OdeError {
  override name = 'AbortError';
}

/** A short description of any value, for error messages. */
export function describe(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'string')
    return `the string '${value.length > 40 ? `${value.slice(0, 40)}...` : value}'`;
  if (typeof value === 'function') return `a function${value.name ? ` '${value.name}'` : ''}`;
  if (typeof value !== 'object')
    return value === undefined ? 'undefined' : `${typeof value} ${String(value as number)}`;
  if (isPromiseLike(value)) return 'a promise';
  if (Array.isArray(value)) {
    const shown = value.slice(0, 4).map((v) => (typeof v === 'object' ? describe(v) : String(v)));
    return `an array of ${value.length} [${shown.join(', ')}${value.length > 4 ? ', ...' : ''}]`;
  }
  if (isTensorLike(value)) return `a ${value.dtype} tensor of shape [${value.shape.join(', ')}]`;
  if (ArrayBuffer.isView(value)) {
    return `a ${value.constructor.name} of length ${(value as Float64Array).length}`;
  }
  const keys = Object.keys(value);
  const kind = Object.getPrototypeOf(value) === Object.prototype ? 'record' : value.constructor?.name;
  return `a ${kind ?? 'record'} with keys {${keys.slice(0, 6).join(', ')}${keys.length > 6 ? ', ...' : ''}}`;
}

/** What may be wrong with a function whose result cannot be used, as the end of a message. */
export function resultHint(value: unknown): string {
  if (isPromiseLike(value)) return ' The function must be synchronous.';
  return value === undefined ? ' Is a return statement missing?' : '';
}

/** Whether `value` can be awaited. */
export function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null)?.then === 'function';
}

function isTensorLike(value: object): value is { dtype: string; shape: number[] } {
  return 'dtype' in value && 'shape' in value && Array.isArray(value.shape);
}
