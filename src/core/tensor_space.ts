import {
  abs,
  add,
  clone,
  engine,
  max,
  maximum,
  mul,
  stack,
  sum,
  tensor1d,
  type Scalar,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { concatLeaves, sizeOf, splitLeaves } from './flat.js';
import {
  combineByOps,
  ERROR_NORM,
  hasFusedKernels,
  runCombination,
  type ErrorNormAttributes,
} from './linear_combination.js';
import { halvesWithQuadratures, noHalves } from './halves.js';
import { DeviceRead, type Half, type SparseRow, type StateSpace } from './space.js';
import { scoped, untaped } from './tape.js';
import { callersNorm, packReads, scaledError, sumOfSquares } from './tensor_norm.js';
import { nextAfter32 } from './time.js';

/**
 * A state of tensors as the solvers see it: a list of parts. On backends with fused kernels a part is a leaf; on
 * others several leaves are packed into one vector, so that the number of launches does not grow with the leaves.
 */
export type TensorState = readonly Tensor[];

/** A norm of the scaled error, one tensor per leaf of the state. */
export type TensorNorm = 'rms' | 'max' | ((leaves: Tensor[]) => Scalar);

/** Tolerances per leaf, and the norm over them. */
export interface TensorTolerance {
  rtol: readonly number[];
  atol: readonly number[];
  norm: TensorNorm;
}

/** Tolerances of quadratures: parts that the vector field gives but does not read. */
export interface QuadratureTolerance {
  rtol: number;
  atol: number;
  /** Whether the embedded error of the quadratures must pass too. */
  checked: boolean;
}

const float32Epsilon = 2 ** -23;

/** States made of float32 tensors. */
export class TensorSpace implements StateSpace<TensorState> {
  readonly epsilon = float32Epsilon;
  private readonly owned = new Set<TensorState>();
  private readonly sizes: number[];
  private readonly packed: boolean;
  private readonly mainParts: number;
  /* |y| of the newest state: the next step needs it again. */
  private magnitude: { of: TensorState; value: Tensor[] } | null = null;
  private stale: Tensor[] = [];
  /* Tolerances that differ between packed leaves, one number per element: made once. */
  private spread: { rtol: Tensor; atol: Tensor } | null = null;

  constructor(
    private readonly shapes: readonly (readonly number[])[],
    private readonly tolerance: TensorTolerance,
    private readonly quadrature: QuadratureTolerance | null = null,
    private readonly halves: readonly Half[] | null = null,
  ) {
    this.sizes = shapes.map(sizeOf);
    this.packed = shapes.length > 1 && !hasFusedKernels();
    this.mainParts = this.packed ? 1 : shapes.length;
  }

  nextTime(t: number, sign: number): number {
    return nextAfter32(t, sign);
  }

  /** Leaves to parts. Records on the tape; the result is not owned yet. */
  pack(leaves: readonly Tensor[]): Tensor[] {
    if (!this.packed) return [...leaves];
    return [concatLeaves(leaves)];
  }

  /** Leaves and quadratures behind them to parts. */
  packAll(all: readonly Tensor[]): Tensor[] {
    const leaves = this.shapes.length;
    return this.packed ? [...this.pack(all.slice(0, leaves)), ...all.slice(leaves)] : [...all];
  }

  /** Parts to leaves: the same tensors, or views made in the current scope. */
  unpack(parts: TensorState): Tensor[] {
    if (!this.packed) return parts.slice(0, this.mainParts);
    return splitLeaves(parts[0], this.sizes, this.shapes);
  }

  /** Leaves of a state, kept until `end`: the parts themselves, or views of them. */
  lend(parts: TensorState): { leaves: Tensor[]; end: () => void } {
    if (!this.packed) return { leaves: this.unpack(parts), end: () => undefined };
    const leaves = scoped(() => this.unpack(parts).map((leaf) => engine().keep(leaf)));
    return { leaves, end: () => leaves.forEach((leaf) => leaf.dispose()) };
  }

  /** The quadratures of a state. */
  quadratures(parts: TensorState): readonly Tensor[] {
    return parts.slice(this.mainParts);
  }

  /** Leaves of `[T, ...shape]` from T states, made in the current scope. */
  stack(states: readonly TensorState[]): Tensor[] {
    const parts = Array.from({ length: this.mainParts }, (_, p) => stack(states.map((state) => state[p])));
    if (!this.packed) return parts;
    const shapes = this.shapes.map((shape) => [states.length, ...shape]);
    return splitLeaves(parts[0], this.sizes, shapes, 1);
  }

  /** Quadratures `[T, ...shape]` of T states, made in the current scope. */
  stackQuadratures(states: readonly TensorState[]): Tensor[] {
    return this.quadratures(states[0]).map((_, q) => stack(states.map((s) => s[this.mainParts + q])));
  }

  adopt(parts: TensorState): TensorState {
    for (const part of parts) engine().keep(part);
    this.owned.add(parts);
    return parts;
  }

  combine(y: TensorState, h: number, row: SparseRow, ks: readonly TensorState[]): TensorState {
    return this.sum(y, h, row, ks, 0, this.mainParts);
  }

  advance(
    y: TensorState,
    h: number,
    row: SparseRow,
    ks: readonly TensorState[],
    last: TensorState | null,
  ): TensorState {
    if (!last) return this.sum(y, h, row, ks, 0, y.length);
    if (y.length === this.mainParts) return last;
    const quadratures = this.sum(y, h, row, ks, this.mainParts, y.length);
    this.owned.delete(last);
    this.owned.delete(quadratures);
    return this.adopt([...last, ...quadratures]);
  }

  combineHalf(
    half: Half,
    y: TensorState,
    h: number,
    row: SparseRow,
    ks: readonly TensorState[],
  ): TensorState {
    if (this.quadrature) throw halvesWithQuadratures();
    const { halves } = this;
    if (!halves) throw noHalves('no halves');
    const mine = halves.flatMap((which, leaf) => (which === half ? [leaf] : []));
    const pick = (state: TensorState): Tensor[] => {
      const leaves = this.unpack(state);
      return mine.map((leaf) => leaves[leaf]);
    };
    return scoped(() => {
      const terms = row.indices.map((j) => pick(ks[j]));
      const moved = combination(pick(y), h, row, terms);
      const other = this.unpack(y);
      const leaves = halves.map((which, leaf) =>
        which === half ? moved[mine.indexOf(leaf)] : clone(other[leaf]),
      );
      return this.adopt(this.pack(leaves));
    });
  }

  increment(h: number, row: SparseRow, ks: readonly TensorState[]): TensorState {
    return this.sum(null, h, row, ks, 0, this.mainParts);
  }

  /* Parts first..last of [y +] h sum_j a_j k_j. */
  private sum(
    y: TensorState | null,
    h: number,
    row: SparseRow,
    ks: readonly TensorState[],
    first: number,
    last: number,
  ): TensorState {
    const part = (state: TensorState): TensorState =>
      first === 0 && last === state.length ? state : state.slice(first, last);
    const terms = row.indices.map((j) => part(ks[j]));
    const base = y && part(y);
    if (terms.length === 0) return this.adopt((base ?? []).map((tensor) => clone(tensor)));
    // Asked each time: between two steps somebody may choose another backend.
    if (hasFusedKernels()) return this.adopt(combination(base, h, row, terms));
    return scoped(() => this.adopt(combination(base, h, row, terms)));
  }

  errorNorm(
    h: number,
    row: SparseRow,
    ks: readonly TensorState[],
    y0: TensorState,
    y1: TensorState,
  ): DeviceRead {
    // The states are all that is differentiated: step sizes are constants.
    return untaped(() =>
      scoped(() => {
        const { norm } = this.tolerance;
        const read =
          !this.packed && typeof norm !== 'function' && hasFusedKernels()
            ? this.fusedNorm(h, row, ks, y0, y1, norm)
            : this.normByOps(h, row, ks, y0, y1);
        this.forget(this.stale);
        engine().keep(read.tensor);
        return read;
      }),
    );
  }

  private fusedNorm(
    h: number,
    row: SparseRow,
    ks: readonly TensorState[],
    y0: TensorState,
    y1: TensorState,
    norm: 'rms' | 'max',
  ): DeviceRead {
    const { coefficients, terms } = this.errorTerms(h, row, ks);
    const parts = this.checks(ks) ? y1.length : this.mainParts;
    const inputs: Record<string, Tensor> = {};
    [...terms, y0, y1].forEach((term, j) => {
      for (let p = 0; p < parts; p++) inputs[j * parts + p] = term[p];
    });
    const { rtol, atol } = this.partTolerances(parts);
    const attributes: ErrorNormAttributes = {
      coefficients,
      parts,
      rtol,
      atol,
      norm,
      mainParts: this.mainParts,
    };
    return new DeviceRead(engine().runKernel(ERROR_NORM, inputs, attributes as never));
  }

  /* Whether quadratures take part: the norm of a direction in the state, which has none, is that of the state. */
  private checks(ks: readonly TensorState[]): boolean {
    return this.quadrature?.checked === true && ks.every((k) => k.length > this.mainParts);
  }

  private partTolerances(parts: number): { rtol: number[]; atol: number[] } {
    const pad = new Array<number>(parts - this.mainParts);
    const { rtol, atol } = this.tolerance;
    return {
      rtol: [...rtol, ...pad.fill(this.quadrature?.rtol ?? 0)],
      atol: [...atol, ...pad.fill(this.quadrature?.atol ?? 0)],
    };
  }

  /* Every stage takes part, those of weight 0 too: 0 * NaN is NaN, so no stage fails unseen. */
  private errorTerms(h: number, row: SparseRow, ks: readonly TensorState[]) {
    const coefficients = new Array<number>(ks.length).fill(0);
    row.indices.forEach((j, i) => (coefficients[j] = h * row.values[i]));
    return { coefficients, terms: ks };
  }

  private normByOps(
    h: number,
    row: SparseRow,
    ks: readonly TensorState[],
    y0: TensorState,
    y1: TensorState,
  ): DeviceRead {
    const { coefficients, terms } = this.errorTerms(h, row, [...ks, y1]);
    const [before, after] = this.magnitudes(y0, y1);
    const ratio = (p: number, rtol: readonly number[], atol: readonly number[]): Tensor =>
      scaledError(
        coefficients,
        terms.map((k) => k[p]),
        maximum(before[p], after[p]),
        ...this.tolerancesOf(rtol, atol),
      );
    const { rtol, atol, norm } = this.tolerance;
    const ratios = this.packed ? [ratio(0, rtol, atol)] : rtol.map((_, p) => ratio(p, [rtol[p]], [atol[p]]));
    const quadrature = this.checks(ks) ? this.quadrature! : null;
    const extra = quadrature
      ? this.quadratures(y1).map((_, q) => ratio(this.mainParts + q, [quadrature.rtol], [quadrature.atol]))
      : [];
    if (typeof norm === 'function') {
      return packReads(
        // Whatever the norm leaves out, a NaN in it must not pass.
        [
          add(callersNorm(norm, this.unpack(ratios)), sum(stack(ratios.map((x) => sum(mul(x, 0)))))),
          ...extra.map(sumOfSquares),
        ],
        1,
        (values, i) => (i === 0 ? values[0] : Math.sqrt(values[i] / extra[i - 1].size)),
      );
    }
    const reduce = norm === 'max' ? (x: Tensor) => max(abs(x)) : sumOfSquares;
    const mains = this.unpack(ratios).map(reduce);
    const sizes = [...this.sizes, ...extra.map((x) => x.size)];
    return packReads([...mains, ...extra.map(sumOfSquares)], mains.length, (values, i) =>
      norm === 'max' && i < mains.length ? values[i] : Math.sqrt(values[i] / sizes[i]),
    );
  }

  /* One number for all elements where it is the same, else one for each. */
  private tolerancesOf(rtol: readonly number[], atol: readonly number[]): [number | Tensor, number | Tensor] {
    const [r, a] = [rtol[0], atol[0]];
    if (rtol.every((value) => value === r) && atol.every((value) => value === a)) return [r, a];
    this.spread ??= { rtol: this.perElement(rtol), atol: this.perElement(atol) };
    return [this.spread.rtol, this.spread.atol];
  }

  private perElement(values: readonly number[]): Tensor {
    const { sizes } = this;
    const all = new Float32Array(sizes.reduce((total, size) => total + size, 0));
    let start = 0;
    values.forEach((value, i) => all.fill(value, start, (start += sizes[i])));
    return engine().keep(tensor1d(all));
  }

  /* |y0| and |y1|; the latter is kept, for it is the former of the next step. */
  private magnitudes(y0: TensorState, y1: TensorState): [readonly Tensor[], readonly Tensor[]] {
    const of = (y: TensorState): Tensor[] => y.map((part) => abs(part));
    const before = this.magnitude?.of === y0 ? this.magnitude.value : of(y0);
    if (y1 === y0) return [before, before];
    const after = of(y1);
    this.stale = this.magnitude?.value ?? [];
    this.magnitude = { of: y1, value: after.map((tensor) => engine().keep(tensor)) };
    return [before, after];
  }

  finiteness(y: TensorState): DeviceRead {
    return untaped(() =>
      scoped(() => {
        const flags = y.map((part) => sum(mul(part, 0)));
        return new DeviceRead(engine().keep(flags.length > 1 ? sum(stack(flags)) : clone(flags[0])));
      }),
    );
  }

  copy(y: TensorState): TensorState {
    return this.adopt(y.map((part) => clone(part)));
  }

  release(y: TensorState): void {
    if (this.owned.delete(y)) for (const part of y) part.dispose();
  }

  disown(y: TensorState): void {
    this.owned.delete(y);
  }

  sibling(): TensorSpace {
    return new TensorSpace(this.shapes, this.tolerance, this.quadrature, this.halves);
  }

  releaseAll(): void {
    for (const state of this.owned) for (const part of state) part.dispose();
    this.owned.clear();
    this.forget(this.stale);
    this.forget(this.magnitude?.value ?? []);
    this.forget(Object.values(this.spread ?? {}));
    this.magnitude = null;
    this.spread = null;
  }

  private forget(tensors: Tensor[]): void {
    for (const tensor of tensors) tensor.dispose();
    this.stale = [];
  }
}

/* [base +] h sum_j a_j term_j, part by part, in the scope of the caller. */
function combination(
  base: readonly Tensor[] | null,
  h: number,
  { values }: SparseRow,
  terms: readonly (readonly Tensor[])[],
): Tensor[] {
  const coefficients = Array.from(values, (a) => h * a);
  if (hasFusedKernels()) {
    return base
      ? runCombination([1, ...coefficients], [base, ...terms])
      : runCombination(coefficients, terms);
  }
  // The state comes last, so that the small increments are added up before its rounding.
  const all = base ? [...terms, base] : terms;
  if (base) coefficients.push(1);
  return all[0].map((_, p) =>
    combineByOps(
      coefficients,
      all.map((term) => term[p]),
    ),
  );
}
