import { InvalidArgumentError } from '../src/core/errors.js';
import { sparseRow, type SparseRow } from '../src/core/space.js';
import { orderResidual } from './order_conditions.js';

/** The printed coefficients of an explicit Runge-Kutta method with s stages. */
export interface TableauData {
  /** The method's name, in messages and in `method`. */
  name: string;
  /** Order of the propagated solution. */
  order: number;
  /** Order of the embedded solution. */
  embeddedOrder?: number;
  /** Nodes, s of them. */
  c: readonly number[];
  /** Row i holds the i coefficients `a_i0 .. a_i,i-1`. */
  a: readonly (readonly number[])[];
  /** Weights of the propagated solution. */
  b: readonly number[];
  /** Weights of the embedded solution; the error estimate is `h sum_i (b_i - bEmbedded_i) k_i`. */
  bEmbedded?: readonly number[];
  /** Order of the continuous extension: the local error of the interpolant is O(h^(interpolantOrder + 1)). */
  interpolantOrder?: number;
  /**
   * Continuous extension `y(t0 + theta h) = y0 + h sum_i b_i(theta) k_i` with
   * `b_i(theta) = sum_d interpolant[i][d] theta^(d + 1)`. Rows: the s stages; then, unless the last stage is that,
   * `f(t1, y1)`; then the dense stages. Left out, it is the cubic Hermite polynomial.
   */
  interpolant?: readonly (readonly number[])[];
  /** Further stages that only the interpolant needs, evaluated when somebody asks for a time inside the step. */
  denseStages?: { c: readonly number[]; a: readonly (readonly number[])[] };
}

/**
 * An explicit Runge-Kutta method as data:
 * `k_i = f(t0 + c_i h, y0 + h sum_(j<i) a_ij k_j)`, `y1 = y0 + h sum_i b_i k_i`.
 * What follows from the coefficients (stages, first same as last, error weights) is derived here, and a tableau that
 * does not have the orders it claims throws `InvalidArgumentError`.
 *
 * @example
 * ```ts
 * import { ButcherTableau, odeint } from 'tfjs-diffeq';
 *
 * const ralston = new ButcherTableau({
 *   name: 'ralston', order: 2,
 *   c: [0, 2 / 3],
 *   a: [[], [2 / 3]],
 *   b: [1 / 4, 3 / 4],
 * });
 * const ys = odeint((t, y) => [-y[0]], [1], [0, 1], { method: ralston, stepSize: 0.1 });
 * ```
 */
export class ButcherTableau {
  readonly name: string;
  readonly order: number;
  readonly embeddedOrder: number | null;
  readonly stages: number;
  readonly c: readonly number[];
  readonly a: readonly (readonly number[])[];
  readonly b: readonly number[];
  readonly bEmbedded: readonly number[] | null;
  /** Whether the last stage is `f(t1, y1)`, which the next step uses as its first. */
  readonly fsal: boolean;
  readonly interpolantOrder: number;
  readonly interpolant: readonly (readonly number[])[];
  readonly denseStages: { readonly c: readonly number[]; readonly a: readonly (readonly number[])[] };
  /** Nonzero coefficients, as the stepper reads them. */
  readonly rows: { a: SparseRow[]; b: SparseRow; error: SparseRow; dense: SparseRow[] };

  constructor(data: TableauData) {
    this.name = data.name;
    this.order = data.order;
    this.stages = data.c.length;
    this.c = data.c;
    this.a = data.a;
    this.b = data.b;
    this.bEmbedded = data.bEmbedded ?? null;
    this.embeddedOrder = data.bEmbedded ? (data.embeddedOrder ?? NaN) : null;
    this.denseStages = data.denseStages ?? { c: [], a: [] };
    this.checkShape();
    const last = this.a[this.stages - 1];
    this.fsal =
      this.stages > 1 &&
      this.c[this.stages - 1] === 1 &&
      this.b[this.stages - 1] === 0 &&
      last.every((value, j) => value === this.b[j]);
    this.interpolant = data.interpolant ?? this.hermite();
    this.interpolantOrder = data.interpolant ? (data.interpolantOrder ?? NaN) : Math.min(3, this.order);
    this.checkInterpolant();
    this.rows = {
      a: this.a.map(sparseRow),
      b: sparseRow(this.b),
      error: sparseRow(this.b.map((value, i) => value - (this.bEmbedded?.[i] ?? value))),
      dense: this.denseStages.a.map(sparseRow),
    };
    this.checkOrders();
  }

  /** The stages the interpolant refers to, with the rows that define them. */
  extendedRows(): readonly (readonly number[])[] {
    return [...this.a, ...(this.fsal ? [] : [this.b]), ...this.denseStages.a];
  }

  /** The same method whose interior values come from another polynomial. */
  withInterpolant(kind: 'linear' | 'cubic'): ButcherTableau {
    const { name, order, c, a, b } = this;
    const embedded = this.bEmbedded && { bEmbedded: this.bEmbedded, embeddedOrder: this.embeddedOrder! };
    const data: TableauData = { name, order, c, a, b, ...embedded };
    if (kind === 'cubic') return new ButcherTableau(data);
    return new ButcherTableau({ ...data, interpolantOrder: 1, interpolant: b.map((value) => [value]) });
  }

  /*
   * y0 + theta h f0 + theta^2 (3 (y1 - y0) - h (2 f0 + f1)) + theta^3 (h (f0 + f1) - 2 (y1 - y0)), with
   * y1 - y0 = h sum b_i k_i written out.
   */
  private hermite(): number[][] {
    const rows = this.b.map((value) => [0, 3 * value, -2 * value]);
    if (!this.fsal) rows.push([0, 0, 0]);
    const add = (row: number[], terms: number[]) => terms.forEach((term, d) => (row[d] += term));
    add(rows[0], [1, -2, 1]);
    add(rows[rows.length - 1], [0, -1, 1]);
    return rows;
  }

  private checkShape(): void {
    const { a, b, c, stages, bEmbedded, denseStages } = this;
    const fail = (what: string) => {
      throw new InvalidArgumentError(`tableau '${this.name}': ${what}`);
    };
    if (stages === 0) fail('c is empty; expected one node per stage.');
    if (a.length !== stages) fail(`a has ${a.length} rows; expected ${stages}, one per entry of c.`);
    if (b.length !== stages) fail(`b has ${b.length} weights; expected ${stages}, one per stage.`);
    if (bEmbedded && bEmbedded.length !== stages) {
      fail(`bEmbedded has ${bEmbedded.length} weights; expected ${stages}.`);
    }
    const isOrder = (value: unknown) => Number.isInteger(value) && (value as number) >= 1;
    if (!isOrder(this.order)) fail(`order is ${this.order}; expected 1, 2, 3, ...`);
    if (bEmbedded?.every((value, i) => value === b[i])) {
      fail('bEmbedded equals b: the error estimate would always be 0. Leave it out for fixed steps.');
    }
    if (bEmbedded && !isOrder(this.embeddedOrder)) {
      fail(`bEmbedded needs embeddedOrder, its order (1, 2, 3, ...), and that is ${this.embeddedOrder}.`);
    }
    if (c[0] !== 0) fail(`c[0] is ${c[0]}; the first stage of an explicit method is at 0.`);
    a.forEach((row, i) => {
      if (row.length !== i) {
        fail(
          `row ${i} of a has ${row.length} entries; an explicit method has ${i} there, written without zeros.`,
        );
      }
      this.checkNode(row, c[i], `row ${i} of a`, fail);
    });
    denseStages.a.forEach((row, i) =>
      this.checkNode(row, denseStages.c[i], `row ${i} of denseStages.a`, fail),
    );
  }

  private checkInterpolant(): void {
    const { name, stages, interpolant, interpolantOrder } = this;
    const most = this.extendedRows().length;
    if (interpolant.length !== stages && interpolant.length !== most) {
      throw new InvalidArgumentError(
        `tableau '${name}': interpolant has ${interpolant.length} rows; expected ${stages}, one per stage` +
          (most > stages ? `, or ${most} with f(t1, y1) and the dense stages.` : '.'),
      );
    }
    if (!(Number.isInteger(interpolantOrder) && interpolantOrder >= 1)) {
      throw new InvalidArgumentError(
        `tableau '${name}': interpolant needs interpolantOrder, its order (1, 2, 3, ...), and that is ${interpolantOrder}.`,
      );
    }
  }

  private checkNode(row: readonly number[], c: number, where: string, fail: (what: string) => void): void {
    const total = row.reduce((sum, value) => sum + value, 0);
    if (!(Math.abs(total - c) < 1e-10)) fail(`${where} adds up to ${total}; expected its node ${c}.`);
  }

  private checkOrders(): void {
    const check = (weights: readonly number[], order: number, what: string, theta = 1) => {
      const residual = orderResidual(this.extendedRows(), weights, order, theta);
      if (!(residual < 1e-9)) {
        throw new InvalidArgumentError(
          `tableau '${this.name}': ${what} misses the conditions of order ${order} by ${residual.toExponential(1)}; ` +
            'check the coefficients, or claim a lower order.',
        );
      }
    };
    check(this.b, this.order, 'b');
    if (this.bEmbedded) check(this.bEmbedded, this.embeddedOrder!, 'bEmbedded');
    const middle = this.interpolant.map((row) => row.reduce((sum, p, d) => sum + p * 0.5 ** (d + 1), 0));
    check(middle, this.interpolantOrder, 'interpolant', 0.5);
  }
}
