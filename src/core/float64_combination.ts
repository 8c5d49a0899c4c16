import type { SparseRow } from './space.js';

/**
 * `out = y + h sum_j a_j k_j`. Up to eight elements at a time, whose sums stay in registers: a plain loop over the terms
 * inside one over the elements takes up to twice as long.
 */
export function linearCombination(
  out: Float64Array,
  y: Float64Array,
  h: number,
  row: SparseRow,
  ks: readonly Float64Array[],
): void {
  const n = out.length;
  let i = 0;
  for (; i + 8 <= n; i += 8) combineEight(out, y, h, row, ks, i);
  for (; i + 4 <= n; i += 4) combineFour(out, y, h, row, ks, i);
  const rest = n - i;
  if (rest === 3) combineThree(out, y, h, row, ks, i);
  else if (rest === 2) combineTwo(out, y, h, row, ks, i);
  else if (rest === 1) combineOne(out, y, h, row, ks, i);
}

function combineEight(
  out: Float64Array,
  y: Float64Array,
  h: number,
  { indices, values }: SparseRow,
  ks: readonly Float64Array[],
  i: number,
): void {
  const terms = indices.length;
  let p = 0;
  let q = 0;
  let r = 0;
  let s = 0;
  let u = 0;
  let v = 0;
  let w = 0;
  let x = 0;
  for (let j = 0; j < terms; j++) {
    const a = values[j];
    const k = ks[indices[j]];
    p += a * k[i];
    q += a * k[i + 1];
    r += a * k[i + 2];
    s += a * k[i + 3];
    u += a * k[i + 4];
    v += a * k[i + 5];
    w += a * k[i + 6];
    x += a * k[i + 7];
  }
  out[i] = y[i] + h * p;
  out[i + 1] = y[i + 1] + h * q;
  out[i + 2] = y[i + 2] + h * r;
  out[i + 3] = y[i + 3] + h * s;
  out[i + 4] = y[i + 4] + h * u;
  out[i + 5] = y[i + 5] + h * v;
  out[i + 6] = y[i + 6] + h * w;
  out[i + 7] = y[i + 7] + h * x;
}

function combineFour(
  out: Float64Array,
  y: Float64Array,
  h: number,
  { indices, values }: SparseRow,
  ks: readonly Float64Array[],
  i: number,
): void {
  const terms = indices.length;
  let p = 0;
  let q = 0;
  let r = 0;
  let s = 0;
  for (let j = 0; j < terms; j++) {
    const a = values[j];
    const k = ks[indices[j]];
    p += a * k[i];
    q += a * k[i + 1];
    r += a * k[i + 2];
    s += a * k[i + 3];
  }
  out[i] = y[i] + h * p;
  out[i + 1] = y[i + 1] + h * q;
  out[i + 2] = y[i + 2] + h * r;
  out[i + 3] = y[i + 3] + h * s;
}

function combineThree(
  out: Float64Array,
  y: Float64Array,
  h: number,
  { indices, values }: SparseRow,
  ks: readonly Float64Array[],
  i: number,
): void {
  const terms = indices.length;
  let p = 0;
  let q = 0;
  let r = 0;
  for (let j = 0; j < terms; j++) {
    const a = values[j];
    const k = ks[indices[j]];
    p += a * k[i];
    q += a * k[i + 1];
    r += a * k[i + 2];
  }
  out[i] = y[i] + h * p;
  out[i + 1] = y[i + 1] + h * q;
  out[i + 2] = y[i + 2] + h * r;
}

function combineTwo(
  out: Float64Array,
  y: Float64Array,
  h: number,
  { indices, values }: SparseRow,
  ks: readonly Float64Array[],
  i: number,
): void {
  const terms = indices.length;
  let p = 0;
  let q = 0;
  for (let j = 0; j < terms; j++) {
    const a = values[j];
    const k = ks[indices[j]];
    p += a * k[i];
    q += a * k[i + 1];
  }
  out[i] = y[i] + h * p;
  out[i + 1] = y[i + 1] + h * q;
}

function combineOne(
  out: Float64Array,
  y: Float64Array,
  h: number,
  { indices, values }: SparseRow,
  ks: readonly Float64Array[],
  i: number,
): void {
  const terms = indices.length;
  let p = 0;
  for (let j = 0; j < terms; j++) p += values[j] * ks[indices[j]][i];
  out[i] = y[i] + h * p;
}
