import type { AnyOptions, StateKind } from './build_problem.js';
import { ComponentSpace } from './component_space.js';
import { describe, InvalidArgumentError, isPromiseLike } from './errors.js';
import { checkPlainValue, type CheckedEvent, type EventValues } from './events.js';
import { Float64Space } from './float64_space.js';
import { quadratureKind } from './float64_quadrature.js';
import { checkFunction, checkTolerance, checkTolerancePairs, type Float64NormFunction } from './options.js';
import { isTensor } from './tree.js';
import type { InPlaceFunc, PlainFunc } from './types.js';

/** Whether `y0` asks for plain numbers. */
export function isPlainState(y0: unknown): y0 is ArrayLike<number> {
  if (y0 instanceof Float64Array || (ArrayBuffer.isView(y0) && !(y0 instanceof DataView))) return true;
  return (
    Array.isArray(y0) && (y0.length === 0 || y0.some((value) => typeof value !== 'object' || value === null))
  );
}

/** What plain numbers contribute to a problem. */
export interface Float64Kind extends StateKind<Float64Array> {
  /** The caller's part of a state; a view. */
  readonly stateOf: (state: Float64Array) => Float64Array;
  /** A copy of its quadratures. */
  readonly quadraturesOf: ((state: Float64Array) => Float64Array) | undefined;
  readonly eventValues: (events: readonly CheckedEvent[]) => EventValues<Float64Array>;
}

/** States of plain numbers. */
export function float64Kind(
  func: unknown,
  y0: ArrayLike<number>,
  options: AnyOptions,
  t0: number,
): Float64Kind {
  checkState(y0);
  const start = Float64Array.from(y0);
  const space = float64Space(start.length, options);
  const field = options.inPlace
    ? writtenField(func as InPlaceFunc, space, options.args)
    : returnedField(func as PlainFunc, space, options.args);
  checkFunction(options, 'quadrature');
  const common = { func, y0: start, readsAreFree: true };
  const eventValues =
    (stateOf: Float64Kind['stateOf']): Float64Kind['eventValues'] =>
    (events) =>
    (t, state, slope) =>
      events.map(({ eventFn, name }) =>
        checkPlainValue(eventFn(t, stateOf(state), options.args, slope && stateOf(slope)), name),
      );
  if (options.quadrature) {
    const kind = quadratureKind(options, start, t0, space, field);
    return { ...common, ...kind, eventValues: eventValues(kind.stateOf) };
  }
  return {
    ...common,
    eventValues: eventValues((state) => state),
    space,
    field,
    start: () => space.copy(start),
    withView: (states, use) => use(...states),
    stateOf: (state) => state,
    quadraturesOf: undefined,
  };
}

/** The space of `size` numbers, with the tolerances and the norm among the options. */
export function float64Space(size: number, options: AnyOptions): Float64Space {
  const rtol = componentTolerances('rtol', options.rtol ?? 1e-7, size);
  const atol = componentTolerances('atol', options.atol ?? 1e-9, size);
  const given: unknown = checkNorm(options.norm);
  const norm =
    typeof given === 'function' ? checkedNorm(given as Float64NormFunction) : (given as 'rms' | 'max');
  if (typeof rtol === 'number' && typeof atol === 'number') {
    checkTolerancePairs([rtol], [atol]);
    return new Float64Space(size, { rtol, atol, norm });
  }
  const each = (value: number | Float64Array) =>
    typeof value === 'number' ? new Float64Array(size).fill(value) : value;
  checkTolerancePairs(Array.from(each(rtol)), Array.from(each(atol)));
  return new ComponentSpace(size, each(rtol), each(atol), norm);
}

/** A number, or one for every component. `title` is what the caller calls it. */
export function componentTolerances(
  name: 'rtol' | 'atol',
  value: unknown,
  size: number,
  title: string = name,
): number | Float64Array {
  if (!Array.isArray(value) && !(value instanceof Float64Array)) {
    checkTolerance(name, title, value, Number.EPSILON);
    return value as number;
  }
  if (value.length !== size) {
    throw new InvalidArgumentError(
      `${title} has ${value.length} entries; expected ${size}, one for every component of y0, or one number.`,
    );
  }
  value.forEach((x: unknown, i: number) => checkTolerance(name, `${title}[${i}]`, x, Number.EPSILON));
  return Float64Array.from(value as ArrayLike<number>);
}

function checkState(y0: ArrayLike<number>): void {
  if (y0.length === 0) throw new InvalidArgumentError('y0 is empty; expected at least one number.');
  if (!(y0 instanceof Float64Array) && !Array.isArray(y0)) {
    throw new InvalidArgumentError(
      `y0 is ${describe(y0)}; expected a number[] or a Float64Array (states are float64: Float64Array.from(y0)).`,
    );
  }
  for (let i = 0; i < y0.length; i++) {
    if (typeof y0[i] !== 'number') {
      throw new InvalidArgumentError(
        `y0[${i}] is ${describe(y0[i])}; expected a number (or tensors: an array of them, or one made by tf.tensor).`,
      );
    }
    if (!Number.isFinite(y0[i]))
      throw new InvalidArgumentError(`y0[${i}] is ${y0[i]}; expected a finite number.`);
  }
}

/** Checks a norm that the caller gave. */
export function checkNorm<Norm>(norm: Norm | 'rms' | 'max' | undefined): Norm | 'rms' | 'max' {
  if (norm === undefined) return 'rms';
  if (norm === 'rms' || norm === 'max' || typeof norm === 'function') return norm;
  throw new InvalidArgumentError(`norm is ${describe(norm)}; expected 'rms', 'max' or a function.`);
}

function checkedNorm(norm: Float64NormFunction): Float64NormFunction {
  return (leaves) => {
    const value: unknown = norm(leaves);
    if (typeof value === 'number') return value;
    throw new InvalidArgumentError(`norm returned ${describe(value)}; expected a number.`);
  };
}

function returnedField(func: PlainFunc, space: Float64Space, args: unknown) {
  const { size } = space;
  let first = true;
  return (t: number, y: Float64Array): Float64Array => {
    const value = first ? firstResult(func, t, y, args) : func(t, y, args);
    first = false;
    if (value?.length !== size) throw badResult(value, size);
    const out = space.take();
    for (let i = 0; i < size; i++) out[i] = value[i];
    return out;
  };
}

/* What people who come from tensors, or forget inPlace, meet at the first call. Other errors of theirs pass unchanged. */
function firstResult(func: PlainFunc, t: number, y: Float64Array, args: unknown): ArrayLike<number> {
  try {
    return func(t, y, args);
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof Error && /must be a Tensor/.test(message)) {
      throw new InvalidArgumentError(
        `func uses tensor ops, and y0 is plain numbers, which are solved without tensors: t is a number and y a ` +
          `Float64Array. Pass tf.tensor1d(y0), or write func with plain numbers. (${message})`,
        { cause: error },
      );
    }
    if (error instanceof TypeError && func.length >= 3 && args === undefined) {
      throw new InvalidArgumentError(
        `func has ${func.length} parameters and failed at its first call: the third one is undefined. Set inPlace: true ` +
          `if it is the dy that func writes, or pass the option args. (${message})`,
        { cause: error },
      );
    }
    throw error;
  }
}

function badResult(value: unknown, size: number): InvalidArgumentError {
  const hint = isPromiseLike(value)
    ? 'The vector field must be synchronous: make it a plain function, not an async one.'
    : value === undefined
      ? 'Return it, or set inPlace: true if func writes it into its third parameter.'
      : isTensor(value)
        ? 'A number[] y0 is solved without tensors: pass tf.tensor1d(y0), or return plain numbers.'
        : 'Return dy/dt with the length of y0.';
  return new InvalidArgumentError(`func returned ${describe(value)}; expected ${size} numbers. ${hint}`);
}

function writtenField(func: InPlaceFunc, space: Float64Space, args: unknown) {
  let first = true;
  return (t: number, y: Float64Array): Float64Array => {
    const out = space.take();
    if (first) {
      // Elements that func forgets show up at once.
      out.fill(NaN);
      first = false;
      const value: unknown = func(t, y, out, args);
      if (value !== undefined) {
        throw new InvalidArgumentError(
          `func returned ${describe(value)}; with inPlace: true it is called as (t, y, dy, args), must write dy, and ` +
            'return nothing.',
        );
      }
      return out;
    }
    func(t, y, out, args);
    return out;
  };
}
