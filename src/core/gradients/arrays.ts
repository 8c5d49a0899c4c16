import {
  BatchMatMul,
  concat,
  Cumprod,
  cumprod,
  Cumsum,
  cumsum,
  DepthToSpace,
  Diag,
  engine,
  FlipLeftRight,
  gather,
  gatherND,
  GatherNd,
  GatherV2,
  matMul,
  MirrorPad,
  mul,
  ones,
  Prod,
  range,
  reshape,
  reverse,
  scatterND,
  ScatterNd,
  slice,
  SparseToDense,
  StridedSlice,
  sub,
  sum,
  tensorScatterUpdate,
  TensorScatterUpdate,
  Tile,
  TopK,
  transpose,
  util,
  zeros,
  zerosLike,
  add,
  type GradConfig,
  type NamedAttrMap,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { rule, unbroadcast } from './rule.js';

const sizeOf = (shape: readonly number[]): number => shape.reduce((size, extent) => size * extent, 1);

/* [before the axis, the axis, after it] */
const aroundAxis = (shape: readonly number[], axis: number): [number, number, number] => [
  sizeOf(shape.slice(0, axis)),
  shape[axis],
  sizeOf(shape.slice(axis + 1)),
];

/* Products. */

interface MatMulAttributes {
  transposeA: boolean;
  transposeB: boolean;
}

const matrixProduct = rule<MatMulAttributes>(
  BatchMatMul,
  { inputs: ['a', 'b'] },
  (dy, [a, b], { transposeA, transposeB }) => ({
    a: () => {
      const da = transposeA ? matMul(b, dy, transposeB, true) : matMul(dy, b, false, !transposeB);
      return unbroadcast(da, a.shape);
    },
    b: () => {
      const db = transposeB ? matMul(dy, a, true, transposeA) : matMul(a, dy, !transposeA, false);
      return unbroadcast(db, b.shape);
    },
  }),
);

interface ScanAttributes {
  axis: number;
  exclusive: boolean;
  reverse: boolean;
}

const runningSum = rule<ScanAttributes>(Cumsum, {}, (dy, _saved, { axis, exclusive, reverse: backward }) => ({
  x: () => cumsum(dy, axis, exclusive, !backward),
}));

/* x moved by `by` along axis 1 of [outer, n, inner]; positive moves to the right. `fill` comes in. */
function shifted(x: Tensor, by: number, fill: (shape: number[]) => Tensor): Tensor {
  const [outer, n, inner] = x.shape as [number, number, number];
  const reach = Math.abs(by);
  if (reach >= n) return fill(x.shape);
  const kept = slice(x, [0, by > 0 ? 0 : reach, 0], [outer, n - reach, inner]);
  const edge = fill([outer, reach, inner]);
  return concat(by > 0 ? [edge, kept] : [kept, edge], 1);
}

/*
 * The running product by doubling: y <- y * (y moved by 1, 2, 4, ...). Its reverse needs no division, so zeros among
 * the factors do no harm.
 */
function runningProductGradient(x: Tensor, dy: Tensor): Tensor {
  const stages = [x];
  const n = x.shape[1] as number;
  for (let s = 1; s < n; s *= 2) {
    const y = stages[stages.length - 1];
    stages.push(mul(y, shifted(y, s, ones)));
  }
  let g = dy;
  for (let k = stages.length - 2; k >= 0; k--) {
    const y = stages[k];
    const s = 2 ** k;
    g = add(mul(g, shifted(y, s, ones)), shifted(mul(g, y), -s, zeros));
  }
  return g;
}

const runningProduct = rule<ScanAttributes>(
  Cumprod,
  { inputs: ['x'] },
  (dy, [x], { axis, exclusive, reverse: backward }) => ({
    x: () => {
      const view = aroundAxis(x.shape, util.parseAxisParam(axis, x.shape)[0]);
      const turn = (t: Tensor): Tensor => (backward ? reverse(reshape(t, view), 1) : reshape(t, view));
      const flow = turn(dy);
      const g = runningProductGradient(turn(x), exclusive ? shifted(flow, -1, zeros) : flow);
      return reshape(backward ? reverse(g, 1) : g, x.shape);
    },
  }),
);

/* The product of all others: what stands before times what comes after. */
const product = rule<{ axis?: number | number[] | null }>(Prod, { inputs: ['x'] }, (dy, [x], { axis }) => ({
  x: () => {
    const axes = util.parseAxisParam(axis as number[], x.shape);
    const others = x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
    const order = [...others, ...axes];
    const moved = transpose(x, order);
    const rows = reshape(moved, [sizeOf(others.map((i) => x.shape[i])), -1]);
    const rest = mul(cumprod(rows, 1, true, false), cumprod(rows, 1, true, true));
    const g = reshape(mul(reshape(dy, [rows.shape[0], 1]), rest), moved.shape);
    const back = order.map((_, i) => order.indexOf(i));
    return transpose(g, back);
  },
}));

/* Rearrangements: each element of the output is one of the input, or a constant. */

/* dx when output element i is element source[i] of an input of this shape. */
const returned = (dy: Tensor, source: Tensor, shape: number[]): Tensor =>
  reshape(scatterND(reshape(source, [-1, 1]), reshape(dy, [-1]), [sizeOf(shape)]), shape);

/* For a kernel of one input: the kernel itself, run on the positions of its input, tells where elements come from. */
const rearrangement = (kernelName: string, input: string): GradConfig =>
  rule<NamedAttrMap>(kernelName, { inputs: [input] }, (dy, [x], attrs) => ({
    [input]: () => {
      const positions = reshape(range(0, x.size, 1, 'int32'), x.shape);
      return returned(dy, engine().runKernel<Tensor>(kernelName, { [input]: positions }, attrs), x.shape);
    },
  }));

const flip = rule(FlipLeftRight, {}, (dy) => ({
  image: () => engine().runKernel<Tensor>(FlipLeftRight, { image: dy }),
}));

const diagonal = rule(Diag, { inputs: ['x'] }, (dy, [x]) => ({
  x: () => reshape(gather(reshape(dy, [-1]), range(0, x.size ** 2, x.size + 1, 'int32')), x.shape),
}));

const tiling = rule<{ reps: number[] }>(Tile, { inputs: ['x'] }, (dy, [x], { reps }) => ({
  x: () => {
    let g = dy;
    reps.forEach((times, axis) => {
      if (times === 1) return;
      const [outer, , inner] = aroundAxis(g.shape, axis);
      const shape = g.shape.map((extent, i) => (i === axis ? x.shape[i] : extent));
      g = reshape(sum(reshape(g, [outer, times, x.shape[axis] * inner]), 1), shape);
    });
    return reshape(g, x.shape);
  },
}));

interface GatherAttributes {
  axis: number;
  batchDims: number;
}

const gathering = rule<GatherAttributes>(
  GatherV2,
  { inputs: ['x', 'indices'] },
  (dy, [x, indices], { axis, batchDims = 0 }) => ({
    x: () => {
      const at = util.parseAxisParam(axis, x.shape)[0];
      const batch = sizeOf(x.shape.slice(0, batchDims));
      const [outer, n, inner] = aroundAxis(x.shape.slice(batchDims), at - batchDims);
      const each = indices.size / batch;
      const values = transpose(reshape(dy, [batch, outer, each, inner]), [0, 2, 1, 3]);
      const starts = mul(range(0, batch, 1, 'int32'), n);
      const rows = add(reshape(starts, [batch, 1]), reshape(indices, [batch, each]));
      const g = scatterND(reshape(rows, [batch * each, 1]), reshape(values, [batch * each, outer * inner]), [
        batch * n,
        outer * inner,
      ]);
      return reshape(transpose(reshape(g, [batch, n, outer, inner]), [0, 2, 1, 3]), x.shape);
    },
    indices: () => zeros(indices.shape),
  }),
);

const gatheringND = rule(GatherNd, { inputs: ['params', 'indices'] }, (dy, [params, indices]) => ({
  params: () => scatterND(indices, dy, params.shape),
  indices: () => zeros(indices.shape),
}));

const scatteringND = rule(ScatterNd, { inputs: ['indices'] }, (dy, [indices]) => ({
  updates: () => gatherND(dy, indices),
  indices: () => zeros(indices.shape),
}));

const scatterUpdate = rule(
  TensorScatterUpdate,
  { inputs: ['indices', 'updates'] },
  (dy, [indices, updates]) => ({
    tensor: () => tensorScatterUpdate(dy, indices, zerosLike(updates)),
    updates: () => gatherND(dy, indices),
    indices: () => zeros(indices.shape),
  }),
);

/* Values may be one for all indices. */
const sparseToDenseRule = rule(
  SparseToDense,
  { inputs: ['sparseIndices', 'sparseValues'] },
  (dy, [indices, values]) => {
    const picked = (): Tensor => {
      const rows = indices.rank === 2 ? indices : reshape(indices, [-1, 1]);
      return gatherND(dy, rows);
    };
    return {
      sparseValues: () => (values.rank === 0 ? sum(picked()) : reshape(picked(), values.shape)),
      defaultValue: () => sub(sum(dy), sum(picked())),
    };
  },
);

const largest: GradConfig = {
  kernelName: TopK,
  inputsToSave: ['x'],
  outputsToSave: [false, true],
  gradFunc: (dy, [x, indices]) => ({
    x: () => {
      const [values] = dy as Tensor[];
      const n = x.shape[x.rank - 1];
      const k = indices.shape[x.rank - 1];
      const starts = reshape(mul(range(0, x.size / n, 1, 'int32'), n), [-1, 1]);
      return returned(values, add(starts, reshape(indices, [-1, k])), x.shape);
    },
  }),
};

/** Gradients of kernels that multiply, move or select elements along axes. */
export const arrayGradients: readonly GradConfig[] = [
  matrixProduct,
  runningSum,
  runningProduct,
  product,
  rearrangement(MirrorPad, 'x'),
  rearrangement(StridedSlice, 'x'),
  rearrangement(DepthToSpace, 'x'),
  flip,
  diagonal,
  tiling,
  gathering,
  gatheringND,
  scatteringND,
  scatterUpdate,
  sparseToDenseRule,
  largest,
];
