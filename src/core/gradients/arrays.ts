import {
  add,
  cast,
  concat,
  DepthToSpace,
  Diag,
  engine,
  equal,
  FlipLeftRight,
  gather,
  gatherND,
  GatherNd,
  GatherV2,
  MirrorPad,
  mul,
  onesLike,
  range,
  reshape,
  scatterND,
  ScatterNd,
  SparseToDense,
  SplitV,
  stack,
  StridedSlice,
  sub,
  sum,
  TensorScatterUpdate,
  Tile,
  TopK,
  transpose,
  Unpack,
  util,
  zeros,
  type GradConfig,
  type NamedAttrMap,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { aroundAxis, positions, returned, rule, sizeOf } from './rule.js';

/* Rearrangements: each element of the output is one of the input, or a constant. */

/* For a kernel of one input: the kernel itself, run on the positions of its input, tells where elements come from. */
const rearrangement = (kernelName: string, input: string): GradConfig =>
  rule<NamedAttrMap>(kernelName, { inputs: [input] }, (dy, [x], attrs) => ({
    [input]: () => {
      const places = engine().runKernel<Tensor>(kernelName, { [input]: positions(x.shape) }, attrs);
      return returned(dy, places, x.shape);
    },
  }));

/* With a single output dy is not a list. */
const listed = (dy: Tensor | Tensor[]): Tensor[] => (Array.isArray(dy) ? dy : [dy]);

const unstacking: GradConfig = {
  kernelName: Unpack,
  gradFunc: (dy, _saved, attrs) => ({ value: () => stack(listed(dy), attrs.axis as number) }),
};

const splitting: GradConfig = {
  kernelName: SplitV,
  gradFunc: (dy, _saved, attrs) => ({ x: () => concat(listed(dy), attrs.axis as number) }),
};

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
      const starts = range(0, batch * n, n, 'int32');
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

/* Not by the kernel itself, which on the cpu backend writes into its input. */
const scatterUpdate = rule(
  TensorScatterUpdate,
  { inputs: ['indices', 'updates'] },
  (dy, [indices, updates]) => ({
    tensor: () => {
      const replaced = scatterND(indices, onesLike(updates), dy.shape);
      return mul(dy, cast(equal(replaced, 0), 'float32'));
    },
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
      const starts = reshape(range(0, x.size, n, 'int32'), [-1, 1]);
      return returned(values, add(starts, reshape(indices, [-1, k])), x.shape);
    },
  }),
};

/** Gradients of kernels that move or select elements. */
export const arrayGradients: readonly GradConfig[] = [
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
  unstacking,
  splitting,
];
