import { add, engine, scalar, zerosLike, type Tensor } from '@tensorflow/tfjs-core';
import type { LeafField } from '../src/core/leaf_field.js';
import { initialQuadratures } from '../src/core/quadrature.js';
import type { System } from '../src/core/system.js';
import { keptParts } from '../src/core/tensor_kind.js';
import type { TensorSpace, TensorState } from '../src/core/tensor_space.js';
import { linearize, type Linearization } from '../src/core/vjp.js';
import type { Linearized } from './step_adjoint.js';

/** Linearizations of func on tensors: it frees those left open, and adds up the products with the parameters. */
export class ParameterProducts {
  private totals: Tensor[];
  private readonly open = new Set<Linearization>();

  constructor(
    private readonly field: LeafField,
    private readonly parameters: readonly Tensor[],
    private readonly system: System<TensorState>,
    private readonly duals: TensorSpace,
  ) {
    this.totals = parameters.map((parameter) => engine().keep(zerosLike(parameter)));
  }

  linearize(t: number, y: TensorState): Linearized<TensorState> {
    const { field, parameters, system, duals, open } = this;
    const space = system.space as TensorSpace;
    let func!: Linearization;
    const slope = keptParts(() => {
      func = linearize(field, scalar(system.seen(t)), space.unpack(y), parameters);
      open.add(func);
      return space.packAll(func.derivative);
    });
    const pullback = (cotangent: TensorState): TensorState =>
      keptParts(() => {
        const found = func.pullback(duals.unpack(cotangent));
        this.gain(found.toParameters);
        return duals.pack([...found.toState, ...initialQuadratures(field)]);
      });
    return {
      slope: space.adopt(slope),
      pullback: (cotangent) => duals.adopt(pullback(cotangent)),
      dispose: () => {
        open.delete(func);
        func.dispose();
      },
    };
  }

  private gain(products: readonly Tensor[]): void {
    const before = this.totals;
    this.totals = before.map((total, i) => engine().keep(add(total, products[i])));
    for (const total of before) total.dispose();
  }

  /** Copies of the sums, in the scope of the caller. */
  sums(): Tensor[] {
    return this.totals.map((total) => total.clone());
  }

  dispose(): void {
    for (const func of this.open) func.dispose();
    for (const total of this.totals) total.dispose();
  }
}
