import type { StateKind } from './build_problem.js';
import { describe, InvalidArgumentError, isPromiseLike } from './errors.js';
import { Float64Space } from './float64_space.js';
import { checkTolerancePairs, leafTolerances, type Float64NormFunction } from './options.js';
import type { AnyOptions } from './build_problem.js';

/** A vector field on plain numbers. */
export type Float64Field<Args = unknown> = (t: number, y: Float64Array, args: Args) => ArrayLike<number>;

/** A vector field on plain numbers that writes its result. */
export type Float64FieldInPlace<Args = unknown> = (
  t: number,
  y: Float64Array,
  dy: Float64Array,
  args: Args,
) => void;

/** Whether `y0` asks for plain numbers. */
export function isPlainState(y0: unknown): y0 is ArrayLike<number> {
  if (y0 instanceof Float64Array || (ArrayBuffer.isView(y0) && !(y0 instanceof DataView))) return true;
  return (
    Array.isArray(y0) && (y0.length === 0 || y0.some((value) => typeof value !== 'object' || value === null))
  );
}

const oneLeaf = { kind: 'leaf', path: 'y0' } as const;

/** States of plain numbers. */
export function float64Kind(
  func: unknown,
  y0: ArrayLike<number>,
  options: AnyOptions,
): StateKind<Float64Array> {
  checkState(y0);
  const start = Float64Array.from(y0);
  const [rtol] = leafTolerances('rtol', options.rtol, oneLeaf, 1e-7, Number.EPSILON);
  const [atol] = leafTolerances('atol', options.atol, oneLeaf, 1e-9, Number.EPSILON);
  checkTolerancePairs([rtol], [atol]);
  const norm = checkNorm(options.norm);
  const space = new Float64Space(start.length, {
    rtol,
    atol,
    norm: typeof norm === 'function' ? checkedNorm(norm) : norm,
  });
  return {
    space,
    field: options.inPlace
      ? writtenField(func as Float64FieldInPlace, space, options.args)
      : returnedField(func as Float64Field, space, options.args),
    start: () => space.copy(start),
    withView: (states, use) => use(...states),
    func,
    y0: start,
    readsAreFree: true,
  };
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

function returnedField(func: Float64Field, space: Float64Space, args: unknown) {
  const { size } = space;
  return (t: number, y: Float64Array): Float64Array => {
    const value = func(t, y, args);
    if (value?.length !== size) throw badResult(value, size);
    const out = space.take();
    for (let i = 0; i < size; i++) out[i] = value[i];
    return out;
  };
}

function badResult(value: unknown, size: number): InvalidArgumentError {
  const hint = isPromiseLike(value)
    ? 'The vector field must be synchronous: make it a plain function, not an async one.'
    : value === undefined
      ? 'Return it, or set inPlace: true if func writes it into its third parameter.'
      : 'Return dy/dt with the length of y0.';
  return new InvalidArgumentError(`func returned ${describe(value)}; expected ${size} numbers. ${hint}`);
}

function writtenField(func: Float64FieldInPlace, space: Float64Space, args: unknown) {
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
