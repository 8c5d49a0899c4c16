import type { Scalar, Tensor, Variable } from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError, isPromiseLike } from './errors.js';
import type { Quadratures } from './quadrature.js';
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
  /** Side quantities to be integrated too; `null` for none. */
  readonly quadratures: Quadratures | null;
  /** The variables that func read wherever it was differentiated so far; absent where nobody asks. */
  readonly met?: Set<Variable>;
  /** `dy/dt` in the order of the leaves, then the slopes of the quadratures. Runs in the scope of the caller. */
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
    quadratures: null,
    met: new Set(),
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
