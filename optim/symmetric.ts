import {
  abs,
  add,
  div,
  greater,
  maximum,
  mul,
  neg,
  onesLike,
  sqrt,
  square,
  sub,
  where,
  zerosLike,
  type Tensor,
} from '@tensorflow/tfjs-core';

/*
 * Symmetric matrices of 1 to 3 rows as arrays of their entries, each a tensor over the batch: many small problems are
 * solved by ops on each element.
 */

export type Vector = readonly Tensor[];
export type Matrix = readonly Vector[];

export const dot = (a: Vector, b: Vector): Tensor =>
  a.map((x, i): Tensor => mul(x, b[i])).reduce((s, x) => add(s, x));

/** The largest `|x_i|`. */
export const largest = (x: Vector): Tensor =>
  x.map((entry): Tensor => abs(entry)).reduce((a, b) => maximum(a, b));

/** `A x` */
export const times = (a: Matrix, x: Vector): Vector => a.map((row) => dot(row, x));

/** `A + mu I` */
export const shifted = (a: Matrix, mu: Tensor): Matrix =>
  a.map((row, i) => row.map((x, j) => (i === j ? add(x, mu) : x)));

/** `A^-1 b` of a positive definite matrix, by elimination: its determinant may be lost in rounding. */
export function solve(a: Matrix, b: Vector): Vector {
  const rows = a.map((row) => [...row]);
  const x = [...b];
  rows.forEach((pivot, k) => {
    for (let i = k + 1; i < x.length; i++) {
      const factor: Tensor = div(rows[i][k], pivot[k]);
      for (let j = k + 1; j < x.length; j++) rows[i][j] = sub(rows[i][j], mul(factor, pivot[j]));
      x[i] = sub(x[i], mul(factor, x[k]));
    }
  });
  for (let i = x.length - 1; i >= 0; i--) {
    for (let j = i + 1; j < x.length; j++) x[i] = sub(x[i], mul(rows[i][j], x[j]));
    x[i] = div(x[i], rows[i][i]);
  }
  return x;
}

/* One rotation brings 2 rows to diagonal form; four rounds bring 3 rows there to float32. */
const rounds = [0, 0, 1, 4];

/**
 * Eigenvalues and eigenvectors (`vectors[k]` belongs to `values[k]`) by Jacobi's rotations, which are as accurate where
 * eigenvalues meet, as closed formulas are not. For numbers that steer: it is not meant to be differentiated.
 */
export function eigen(matrix: Matrix): { values: Vector; vectors: Matrix } {
  const n = matrix.length;
  const a = matrix.map((row) => [...row]);
  const vectors = a.map((row, i) => row.map((x, j) => (i === j ? onesLike(x) : zerosLike(x))));
  for (let round = 0; round < rounds[n]; round++) {
    for (let p = 0; p < n - 1; p++) for (let q = p + 1; q < n; q++) rotate(a, vectors, p, q);
  }
  return { values: a.map((row, i) => row[i]), vectors };
}

/* Golub and Van Loan, Matrix Computations, section 8.5: t is the smaller root of t^2 + 2 theta t = 1. */
function rotate(a: Tensor[][], vectors: Tensor[][], p: number, q: number): void {
  const off = a[p][q];
  const needed = greater(abs(off), 0);
  const theta = div(sub(a[q][q], a[p][p]), mul(where(needed, off, onesLike(off)), 2));
  const sign = where(greater(theta, 0), onesLike(theta), neg(onesLike(theta)));
  const small = div(sign, add(abs(theta), sqrt(add(square(theta), 1))));
  const t = where(needed, small, zerosLike(small));
  const c = div(1, sqrt(add(square(t), 1)));
  const s = mul(t, c);
  const turn = (x: Tensor, y: Tensor): [Tensor, Tensor] => [
    sub(mul(c, x), mul(s, y)),
    add(mul(s, x), mul(c, y)),
  ];
  for (const row of a) [row[p], row[q]] = turn(row[p], row[q]);
  for (let k = 0; k < a.length; k++) [a[p][k], a[q][k]] = turn(a[p][k], a[q][k]);
  const [vp, vq] = [vectors[p], vectors[q]];
  for (let k = 0; k < a.length; k++) [vp[k], vq[k]] = turn(vp[k], vq[k]);
}
