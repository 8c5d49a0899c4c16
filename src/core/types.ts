import type { Scalar, Tensor } from '@tensorflow/tfjs-core';
import type { Float64NormFunction, SolveOptions, TensorNormFunction } from './options.js';
import type { TensorTree } from './tree.js';

/** A tree of the same structure whose tensors may have any rank. */
export type TreeLike<Y> = TensorTree extends Y
  ? TensorTree
  : Y extends Tensor
    ? Tensor
    : { [K in keyof Y]: TreeLike<Y[K]> };

/** A state of plain numbers. */
export type PlainState = readonly number[] | Float64Array;

/**
 * A vector field on tensors: `dy/dt = func(t, y, args)` has the structure, shapes and dtype of `y`. It is synchronous;
 * what it creates and does not return is disposed after the call.
 */
export type TensorFunc<Y, Args = unknown> = (t: Scalar, y: Y, args: Args) => TreeLike<Y>;

/**
 * A vector field on plain numbers. `y` is borrowed and must not be changed; the result is copied at once, so one
 * buffer may serve every call.
 */
export type PlainFunc<Args = unknown> = (t: number, y: Float64Array, args: Args) => ArrayLike<number>;

/** A vector field on plain numbers that writes every element of `dy`, for `inPlace: true`. */
export type InPlaceFunc<Args = unknown> = (t: number, y: Float64Array, dy: Float64Array, args: Args) => void;

/** Options of a solve on tensors. */
export type TensorOptions<Y = TensorTree, Args = unknown> = TensorSolveOptions<Y, Args> & {
  quadrature?: undefined;
};

/** The options of every solve on tensors. */
export type TensorSolveOptions<Y, Args> = SolveOptions<
  TensorFunc<Y, Args>,
  Y,
  'rms' | 'max' | TensorNormFunction,
  Args
>;

/**
 * Options of a solve on tensors with side quantities `dq/dt = quadrature(t, y, args)`, `q(t[0]) = 0`: a kinetic energy,
 * the norm of a Jacobian, the trace of a continuous flow. The solve then returns `[ys, qs]`.
 *
 * They feed nothing back, so that they don't propose steps, but their own embedded error must pass too.
 */
export type QuadratureOptions<Y = TensorTree, Q = TensorTree, Args = unknown> = TensorSolveOptions<
  Y,
  Args
> & {
  /** The slopes: a float32 tensor of any shape, or a tree of them. It is evaluated wherever func is. */
  quadrature: (t: Scalar, y: Y, args: Args) => Q;
};

/** Options of a solve on plain numbers. */
export type PlainOptions<Args = unknown> = PlainSolveOptions<Args> & { quadrature?: undefined };

/** The options of every solve on plain numbers. */
export type PlainSolveOptions<Args> = SolveOptions<
  PlainFunc<Args>,
  Float64Array,
  'rms' | 'max' | Float64NormFunction,
  Args
> & { inPlace?: false };

/** {@link QuadratureOptions} for plain numbers: the slopes are a number, or several. */
export type PlainQuadratureOptions<Args = unknown> = PlainSolveOptions<Args> & {
  quadrature: (t: number, y: Float64Array, args: Args) => number | ArrayLike<number>;
};

/** Options of a solve on plain numbers whose vector field writes its result. */
export type InPlaceOptions<Args = unknown> = InPlaceSolveOptions<Args> & { quadrature?: undefined };

/** The options of every solve on plain numbers whose vector field writes its result. */
export type InPlaceSolveOptions<Args> = SolveOptions<
  InPlaceFunc<Args>,
  Float64Array,
  'rms' | 'max' | Float64NormFunction,
  Args
> & { inPlace: true };

/** {@link PlainQuadratureOptions} where the vector field writes its result; the slopes are returned as ever. */
export type InPlaceQuadratureOptions<Args = unknown> = InPlaceSolveOptions<Args> &
  Pick<PlainQuadratureOptions<Args>, 'quadrature'>;
