import { scalar, zeros, type Scalar, type Tensor } from '@tensorflow/tfjs-core';
import type { AnyOptions } from './build_problem.js';
import { describe, InvalidArgumentError, resultHint } from './errors.js';
import { checkFunction } from './options.js';
import { scoped, withFreshTape } from './tape.js';
import { leafField, type LeafField, type TensorField } from './leaf_field.js';
import {
  flattenTree,
  leafPaths,
  leavesLike,
  unflattenTree,
  type Structure,
  type TensorTree,
} from './tree.js';

/*
 * Quadratures: side quantities dq/dt = r(t, y), q(t0) = 0, integrated with the solve. Nothing feeds back from them, so
 * stages do not carry them: their slopes travel behind those of the state.
 */

/** What the option `quadrature` of a solve on tensors gives. */
export interface Quadratures {
  readonly structure: Structure;
  readonly shapes: readonly (readonly number[])[];
}

/** The vector field of a solve on tensors, with the quadratures among its options, if any. */
export function solveField(func: unknown, y0: unknown, options: AnyOptions, t0: number): LeafField {
  const field = leafField(func as TensorField<never>, y0, options.args);
  checkFunction(options, 'quadrature');
  const { quadrature, args } = options;
  if (!quadrature) return field;
  const { structure, leaves } = field;
  const integrand = (t: Scalar, states: readonly Tensor[]): unknown =>
    quadrature(t, unflattenTree(structure, states), args);
  // One evaluation tells the structure; it belongs to no gradient.
  const quadratures = withFreshTape(() => scoped(() => quadraturesOf(integrand(scalar(t0), leaves))));
  return {
    ...field,
    quadratures,
    call: (t, states) => [...field.call(t, states), ...slopes(integrand(t, states), quadratures)],
  };
}

function quadraturesOf(value: unknown): Quadratures {
  const bad = (part: unknown, path: string) =>
    new InvalidArgumentError(
      `quadrature returned ${describe(part)} as ${path}; expected a float32 tensor, or a tree of them.${resultHint(value)}`,
    );
  let tree: ReturnType<typeof flattenTree>;
  try {
    tree = flattenTree(value, 'dq');
  } catch {
    throw bad(value, 'dq');
  }
  const paths = leafPaths(tree.structure);
  if (tree.leaves.length === 0) throw bad(value, 'dq');
  tree.leaves.forEach((leaf, i) => {
    if (leaf.dtype !== 'float32' || leaf.isDisposed || leaf.size === 0) throw bad(leaf, paths[i]);
  });
  return { structure: tree.structure, shapes: tree.leaves.map((leaf) => [...leaf.shape]) };
}

function slopes(value: unknown, { structure, shapes }: Quadratures): Tensor[] {
  const leaves = leavesLike(structure, value, 'dq') as Tensor[];
  leaves.forEach((leaf, i) => {
    if (leaf?.dtype === 'float32' && !leaf.isDisposed && leaf.shape.join() === shapes[i].join()) return;
    throw new InvalidArgumentError(
      `quadrature returned ${describe(leaf)}; expected a float32 tensor of shape [${shapes[i].join(', ')}], as at t0.`,
    );
  });
  return leaves;
}

/** `q(t0)`, in the scope of the caller. */
export function initialQuadratures({ quadratures }: LeafField): Tensor[] {
  return quadratures ? quadratures.shapes.map((shape) => zeros([...shape])) : [];
}

/** Shapes of everything a field has a slope for: the state's leaves, then the quadratures. */
export function slopeShapes({ leaves, quadratures }: LeafField): (readonly number[])[] {
  return [...leaves.map((leaf) => leaf.shape), ...(quadratures?.shapes ?? [])];
}

/** Outputs to what the caller is given: a tree like `y0`, or that and one of quadratures. */
export function outputTree(
  { structure, leaves, quadratures }: LeafField,
  outputs: readonly Tensor[],
): TensorTree {
  const y = unflattenTree(structure, outputs);
  return quadratures ? [y, unflattenTree(quadratures.structure, outputs.slice(leaves.length))] : y;
}
