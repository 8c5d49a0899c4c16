import { clone, engine, scalar, type Scalar, type Tensor } from '@tensorflow/tfjs-core';
import type { AnyOptions, StateKind } from './build_problem.js';
import { describe, InvalidArgumentError, isPromiseLike } from './errors.js';
import { checkNorm } from './float64_kind.js';
import { checkTolerancePairs, leafTolerances } from './options.js';
import { scoped } from './tape.js';
import { TensorSpace, type TensorState } from './tensor_space.js';
import {
  flattenTree,
  leafPaths,
  leavesLike,
  unflattenTree,
  type Structure,
  type TensorTree,
} from './tree.js';

/** A vector field on tensors: `dy` has the structure, shapes and dtype of `y`. */
export type TensorField<Y = TensorTree, Args = unknown> = (t: Scalar, y: Y, args: Args) => Y;

/** A vector field on leaves, and the structure it stands for. */
export interface LeafField {
  readonly structure: Structure;
  readonly leaves: readonly Tensor[];
  /** `dy/dt` in the order of the leaves. Runs in the scope of the caller. */
  call(t: Scalar, leaves: readonly Tensor[]): Tensor[];
}

/** Checks a tree of tensors and wraps func so that it works on leaves. */
export function leafField(func: TensorField<never>, y0: unknown, args: unknown): LeafField {
  const { structure, leaves } = flattenTree(y0, 'y0');
  checkLeaves(structure, leaves);
  const paths = leafPaths(structure).map((path) => path.replace(/^y0/, 'dy'));
  const shapes = leaves.map((leaf) => leaf.shape);
  return {
    structure,
    leaves,
    call: (t, states) => {
      const y = unflattenTree(structure, states);
      const dy: unknown = (func as unknown as TensorField)(t, y, args);
      const parts = structure.kind === 'leaf' ? [dy] : leavesLike(structure, dy, 'dy');
      for (let i = 0; i < parts.length; i++) {
        if (!sameKind(parts[i], shapes[i])) throw badDerivative(parts[i], paths[i], shapes[i]);
      }
      return parts as Tensor[];
    },
  };
}

function checkLeaves(structure: Structure, leaves: readonly Tensor[]): void {
  const paths = leafPaths(structure);
  if (leaves.length === 0) {
    throw new InvalidArgumentError('y0 holds no tensors; expected at least one.');
  }
  leaves.forEach((leaf, i) => {
    const remedy =
      leaf.dtype === 'string'
        ? 'A state holds numbers.'
        : leaf.dtype === 'complex64'
          ? 'Solve for tf.real and tf.imag as two leaves.'
          : "Convert it with tf.cast(y0, 'float32').";
    if (leaf.dtype !== 'float32') {
      throw new InvalidArgumentError(`${paths[i]} is ${describe(leaf)}; expected float32. ${remedy}`);
    }
    if (leaf.isDisposed) {
      throw new InvalidArgumentError(`${paths[i]} is disposed; expected a tensor that is still alive.`);
    }
    if (leaf.size === 0) {
      throw new InvalidArgumentError(`${paths[i]} is empty, of shape [${leaf.shape.join(', ')}]; remove it.`);
    }
  });
}

function sameKind(value: unknown, shape: readonly number[]): boolean {
  const tensor = value as Partial<Tensor> | null | undefined;
  if (tensor?.dtype !== 'float32' || tensor.isDisposed || tensor.shape?.length !== shape.length) return false;
  for (let d = 0; d < shape.length; d++) if (tensor.shape[d] !== shape[d]) return false;
  return true;
}

function badDerivative(value: unknown, path: string, shape: readonly number[]): InvalidArgumentError {
  const hint = isPromiseLike(value)
    ? 'The vector field must be synchronous: make it a plain function, not an async one.'
    : value === undefined
      ? 'Is a return statement missing?'
      : (value as { isDisposed?: boolean } | null)?.isDisposed
        ? 'That tensor is disposed: return one that is still alive.'
        : 'The derivative has the structure, shapes and dtype of y0.';
  return new InvalidArgumentError(
    `func returned ${describe(value)} as ${path}; expected a float32 tensor of shape [${shape.join(', ')}]. ${hint}`,
  );
}

/* `tensor` if the active scope made it, else a copy: what the caller owns must survive our disposing. */
function ownedByScope(tensor: Tensor): Tensor {
  const mine = tensor.scopeId === engine().state.activeScope.id && !tensor.kept && !('assign' in tensor);
  return mine ? tensor : clone(tensor);
}

/** Makes parts in a scope of their own, of which nothing else survives. */
export function keptParts(make: () => readonly Tensor[]): TensorState {
  return scoped(() => make().map((part) => engine().keep(ownedByScope(part))));
}

/** The right-hand side on parts, from a field on leaves. */
export function partsField(
  space: TensorSpace,
  field: LeafField,
): (t: number, parts: TensorState) => TensorState {
  return (t, parts) => keptParts(() => space.pack(field.call(scalar(t, 'float32'), space.unpack(parts))));
}

/** What tensors contribute to a problem, with the way back to the caller's structure. */
export interface TensorKind extends StateKind<TensorState> {
  readonly space: TensorSpace;
  readonly structure: Structure;
}

/** States that are trees of tensors. */
export function tensorKind(func: unknown, y0: unknown, options: AnyOptions): TensorKind {
  if (options.inPlace) {
    throw new InvalidArgumentError(
      'inPlace needs plain numbers (a number[] or Float64Array y0); tensors are immutable.',
    );
  }
  const field = leafField(func as TensorField<never>, y0, options.args);
  const { structure, leaves } = field;
  const epsilon = 2 ** -23;
  const rtol = leafTolerances('rtol', options.rtol, structure, 1e-5, epsilon);
  const atol = leafTolerances('atol', options.atol, structure, 1e-6, epsilon);
  checkTolerancePairs(rtol, atol);
  const norm = checkNorm(options.norm);
  const shapes = leaves.map((leaf) => leaf.shape);
  const space = new TensorSpace(shapes, { rtol, atol, norm });
  return {
    space,
    structure,
    field: partsField(space, field),
    start: () => keptParts(() => space.pack(leaves)),
    withView: (states, use) => withViews(space, structure, states, use),
    func,
    y0,
    readsAreFree: false,
  };
}

/* What the callback itself makes belongs to it: no scope of ours is open around it. */
function withViews(
  space: TensorSpace,
  structure: Structure,
  states: readonly TensorState[],
  use: (...views: unknown[]) => void,
): void {
  const loans = states.map((state) => space.lend(state));
  try {
    use(...loans.map(({ leaves }) => unflattenTree(structure, leaves)));
  } finally {
    loans.forEach((loan) => loan.end());
  }
}
