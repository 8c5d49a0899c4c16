import { clone, engine, mul, scalar, tensor, type Tensor } from '@tensorflow/tfjs-core';
import type { AnyOptions, StateKind } from './build_problem.js';
import { InvalidArgumentError } from './errors.js';
import { checkNorm } from './float64_kind.js';
import type { LeafField } from './leaf_field.js';
import { checkTolerancePairs, leafTolerances } from './options.js';
import { scoped } from './tape.js';
import { checkTensorValue, type CheckedEvent, type EventValues } from './events.js';
import { halvesOf } from './halves.js';
import { initialQuadratures, solveField, type Quadratures } from './quadrature.js';
import { TensorSpace, type TensorState } from './tensor_space.js';
import { unflattenTree, type Structure } from './tree.js';

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
  return (t, parts) => keptParts(() => space.packAll(field.call(scalar(t, 'float32'), space.unpack(parts))));
}

/** What tensors contribute to a problem, with the way back to the caller's structure. */
export interface TensorKind extends StateKind<TensorState> {
  readonly space: TensorSpace;
  readonly structure: Structure;
  readonly quadratures: Quadratures | null;
  readonly eventValues: (events: readonly CheckedEvent[]) => EventValues<TensorState>;
}

/** States that are trees of tensors. */
export function tensorKind(func: unknown, y0: unknown, options: AnyOptions, t0: number): TensorKind {
  if (options.inPlace) {
    throw new InvalidArgumentError(
      'inPlace needs plain numbers (a number[] or Float64Array y0); tensors are immutable.',
    );
  }
  const field = solveField(func, y0, options, t0);
  const { structure, leaves, quadratures } = field;
  const epsilon = 2 ** -23;
  const rtol = leafTolerances('rtol', options.rtol, structure, 1e-5, epsilon);
  const atol = leafTolerances('atol', options.atol, structure, 1e-6, epsilon);
  checkTolerancePairs(rtol, atol);
  const norm = checkNorm(options.norm);
  const shapes = leaves.map((leaf) => leaf.shape);
  const side = { rtol: Math.max(...rtol), atol: Math.max(...atol, 1e-30), checked: true };
  const tolerance = { rtol, atol, norm };
  const space = new TensorSpace(shapes, tolerance, quadratures ? side : null, halvesOf(structure));
  return {
    space,
    structure,
    quadratures,
    field: partsField(space, field),
    start: () => keptParts(() => space.packAll([...leaves, ...initialQuadratures(field)])),
    withView: (states, use) => withViews(space, structure, states, use),
    eventValues: (events) => (t, state, slope, shaken) => {
      const tree = (of: TensorState) => {
        const parts = space.unpack(of);
        return unflattenTree(structure, shaken && of === state ? parts.map(shake) : parts);
      };
      return keptParts(() =>
        events.map(({ eventFn, name }) =>
          checkTensorValue(eventFn(scalar(t), tree(state), options.args, slope && tree(slope)), name),
        ),
      ) as Tensor[];
    },
    func,
    y0,
    readsAreFree: false,
  };
}

/* Every number by a few rounding errors of its own, so that they do not cancel in differences. */
function shake(leaf: Tensor): Tensor {
  const factors = Float32Array.from({ length: leaf.size }, (_, i) => {
    const part = 0.5 + ((0.618 * (i + 1)) % 1) / 2;
    return 1 + (i % 2 === 0 ? 1 : -1) * part * 2 ** -20;
  });
  return mul(leaf, tensor(factors, leaf.shape));
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
