import {
  add,
  AvgPool,
  AvgPool3D,
  AvgPool3DGrad,
  AvgPoolGrad,
  backend_util,
  Conv2D,
  Conv2DBackpropFilter,
  Conv2DBackpropInput,
  Conv3D,
  Conv3DBackpropFilterV2,
  Conv3DBackpropInputV2,
  DepthwiseConv2dNative,
  DepthwiseConv2dNativeBackpropFilter,
  DepthwiseConv2dNativeBackpropInput,
  engine,
  equal,
  eye,
  LRN,
  matMul,
  LRNGrad,
  MaxPool,
  MaxPool3D,
  MaxPool3DGrad,
  MaxPoolGrad,
  mul,
  pad,
  pow,
  reshape,
  ResizeBilinear,
  ResizeBilinearGrad,
  ResizeNearestNeighbor,
  ResizeNearestNeighborGrad,
  slice,
  square,
  stridedSlice,
  sub,
  tensor,
  transpose,
  where,
  zeros,
  zerosLike,
  type GradConfig,
  type NamedAttrMap,
  type NamedTensorMap,
  type Tensor,
  type Tensor2D,
} from '@tensorflow/tfjs-core';
import { isTapeActive, untaped } from '../tape.js';
import { positions, returned, rule } from './rule.js';

const run = (kernelName: string, inputs: NamedTensorMap, attrs: object): Tensor =>
  engine().runKernel<Tensor>(kernelName, inputs, attrs as NamedAttrMap);

/*
 * <g, conv(x, w)> is linear in g, x and w: the gradient of each of the three kernels is made of the other two. tfjs
 * knows that for the forward kernel only.
 */
function convolution(forward: string, toInput: string, toFilter: string, unit: unknown): GradConfig[] {
  const plain = { dilations: unit, dataFormat: 'NHWC' };
  return [
    rule(toInput, { inputs: ['dy', 'filter'] }, (g, [dy, filter], attrs) => ({
      dy: () => run(forward, { x: g, filter }, { ...plain, ...attrs }),
      filter: () => run(toFilter, { x: g, dy }, { ...plain, ...attrs, filterShape: filter.shape }),
    })),
    rule(toFilter, { inputs: ['x', 'dy'] }, (g, [x, dy], attrs) => ({
      x: () => run(toInput, { dy, filter: g }, { ...plain, ...attrs, inputShape: x.shape }),
      dy: () => run(forward, { x, filter: g }, { ...plain, ...attrs }),
    })),
  ];
}

/* dx of y = R x along `axis` of [batch, height, width, channels], R being a matrix. */
function transposedAlong(axis: 1 | 2, R: Tensor2D, dy: Tensor): Tensor {
  const order = axis === 1 ? [0, 1, 2, 3] : [0, 2, 1, 3];
  const moved = transpose(dy, order);
  const [batch, , other, channels] = moved.shape as number[];
  const [count, extent] = R.shape;
  const g = matMul(reshape(R, [1, count, extent]), reshape(moved, [batch, count, other * channels]), true);
  return transpose(reshape(g, [batch, extent, other, channels]), order);
}

interface ResizeAttributes {
  size: [number, number];
  halfPixelCenters: boolean;
}

/*
 * Resizing is linear along each axis; resizing the identity gives the matrix. The gradient kernels of tfjs ignore
 * halfPixelCenters.
 */
const resizing = (forward: string, gradient: string): GradConfig =>
  rule<ResizeAttributes>(forward, { inputs: ['images'] }, (dy, [images], attrs) => ({
    images: () => {
      if (!attrs.halfPixelCenters) return run(gradient, { dy, images }, attrs);
      const matrix = (extent: number, count: number): Tensor2D => {
        const identity = reshape(eye(extent), [1, extent, 1, extent]);
        return reshape(run(forward, { images: identity }, { ...attrs, size: [count, 1] }), [count, extent]);
      };
      const [, height, width] = images.shape;
      const rows = transposedAlong(1, matrix(height, attrs.size[0]), dy);
      return transposedAlong(2, matrix(width, attrs.size[1]), rows);
    },
  }));

/* The gradient of a linear kernel is linear, and its transpose is the kernel itself. */
const transposeOf = (gradient: string, forward: string, input: string, forwardInput = input): GradConfig =>
  rule(gradient, { inputs: [input] }, (g, [x], attrs) => ({
    dy: () => run(forward, { [forwardInput]: g }, attrs),
    [input]: () => zeros(x.shape),
  }));

interface PoolAttributes {
  filterSize: number | number[];
  strides: number | number[];
  pad: 'valid' | 'same' | number;
  dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/* Windows along the spatial axes: how many, how wide, how far apart, and where the first begins. */
function windows(shape: number[], attrs: PoolAttributes) {
  const { filterSize, strides, pad: padding, dimRoundingMode } = attrs;
  if (shape.length === 4) {
    const info = backend_util.computePool2DInfo(
      shape as [number, number, number, number],
      filterSize as number,
      strides as number,
      1,
      padding,
      dimRoundingMode,
    );
    return {
      counts: [info.outHeight, info.outWidth],
      widths: [info.filterHeight, info.filterWidth],
      strides: [info.strideHeight, info.strideWidth],
      starts: [info.padInfo.top, info.padInfo.left],
    };
  }
  const info = backend_util.computePool3DInfo(
    shape as [number, number, number, number, number],
    filterSize as number,
    strides as number,
    1,
    padding as 'valid',
    dimRoundingMode,
  );
  return {
    counts: [info.outDepth, info.outHeight, info.outWidth],
    widths: [info.filterDepth, info.filterHeight, info.filterWidth],
    strides: [info.strideDepth, info.strideHeight, info.strideWidth],
    starts: [info.padInfo.front, info.padInfo.top, info.padInfo.left],
  };
}

/*
 * The mean is over what is inside x, but the gradient kernels of tfjs divide by the whole window. They agree where no
 * window sticks out: so `dy` is scaled, and the gradient is that of the padded x.
 */
const averagePooling = (forward: string, gradient: string): GradConfig =>
  rule<PoolAttributes>(forward, { inputs: ['x'] }, (dy, [x], attrs) => ({
    x: () => {
      const { counts, widths, strides, starts } = windows(x.shape, attrs);
      const after = overhang(x.shape, attrs);
      if ([...starts, ...after].every((edge) => edge === 0)) return run(gradient, { dy, input: x }, attrs);
      let scaled = dy;
      counts.forEach((count, i) => {
        const inside = Array.from({ length: count }, (_, k) => {
          const from = k * strides[i] - starts[i];
          return Math.min(from + widths[i], x.shape[i + 1]) - Math.max(from, 0);
        });
        const shape = dy.shape.map((extent, axis) => (axis === i + 1 ? extent : 1));
        scaled = mul(
          scaled,
          tensor(
            inside.map((n) => widths[i] / n),
            shape,
          ),
        );
      });
      const wide = x.shape.map(
        (extent, axis) => extent + ([0, ...starts][axis] ?? 0) + ([0, ...after][axis] ?? 0),
      );
      const g = run(gradient, { dy: scaled, input: zeros(wide) }, { ...attrs, pad: 'valid' });
      return slice(g, [0, ...starts, 0], x.shape);
    },
  }));

/* How far the last window sticks out, per spatial axis. */
function overhang(shape: number[], attrs: PoolAttributes): number[] {
  const { counts, widths, strides, starts } = windows(shape, attrs);
  return counts.map((count, i) =>
    Math.max(0, (count - 1) * strides[i] + widths[i] - starts[i] - shape[i + 1]),
  );
}

/* The position in x of the first largest element of each window. */
function positionsOfMaxima(x: Tensor, y: Tensor, attrs: PoolAttributes): Tensor {
  const { counts, widths, strides, starts } = windows(x.shape, attrs);
  const spans = counts.map((count, i) => (count - 1) * strides[i] + 1);
  const after = overhang(x.shape, attrs);
  const padded = (t: Tensor, value: number): Tensor => {
    return pad(t, [[0, 0], ...starts.map((start, i): [number, number] => [start, after[i]]), [0, 0]], value);
  };
  const values = padded(x, -Infinity);
  const places = padded(positions(x.shape), 0);
  const at = (t: Tensor, offset: number[]): Tensor =>
    stridedSlice(
      t,
      [0, ...offset, 0],
      [x.shape[0], ...spans.map((span, i) => offset[i] + span), x.shape[x.rank - 1]],
      [1, ...strides, 1],
    );
  let found = zerosLike(
    at(
      places,
      widths.map(() => 0),
    ),
  );
  // From the last to the first, so that the first stays.
  for (let k = widths.reduce((a, b) => a * b) - 1; k >= 0; k--) {
    let rest = k;
    const offset = [...widths].reverse().map((width) => {
      const o = rest % width;
      rest = (rest - o) / width;
      return o;
    });
    offset.reverse();
    found = where(equal(at(values, offset), y), at(places, offset), found);
  }
  return found;
}

const maxPooling = (forward: string, gradient: string): GradConfig =>
  rule<PoolAttributes>(forward, { inputs: ['x'], outputs: [true] }, (dy, [x, y], attrs) => ({
    x: () => {
      // The kernel of wasm misplaces maxima where a window sticks out.
      const trusted = engine().backendName !== 'wasm';
      if (trusted && !isTapeActive()) return run(gradient, { dy, input: x, output: y }, attrs);
      return returned(
        dy,
        untaped(() => positionsOfMaxima(x, y, attrs)),
        x.shape,
      );
    },
  }));

/* The sum over 2 r + 1 neighbouring channels. */
function channelWindow(x: Tensor, r: number): Tensor {
  const wide = pad(x, [
    [0, 0],
    [0, 0],
    [0, 0],
    [r, r],
  ]);
  let total = zerosLike(x);
  for (let k = 0; k <= 2 * r; k++) total = add(total, slice(wide, [0, 0, 0, k], x.shape));
  return total;
}

/* y = x s^-beta, s = bias + alpha * (sum of squares over the window). */
const responseNormalization = rule<{ depthRadius: number; bias: number; alpha: number; beta: number }>(
  LRN,
  { inputs: ['x'], outputs: [true] },
  (dy, [x, y], attrs) => ({
    x: () => {
      if (!isTapeActive()) return run(LRNGrad, { x, y, dy }, attrs);
      const { depthRadius, bias, alpha, beta } = attrs;
      const s = add(bias, mul(alpha, channelWindow(square(x), depthRadius)));
      const shared = channelWindow(mul(mul(dy, x), pow(s, -beta - 1)), depthRadius);
      return sub(mul(dy, pow(s, -beta)), mul(mul(2 * alpha * beta, x), shared));
    },
  }),
);

/** Gradients of gradients of convolution, pooling and resizing. */
export const imageGradients: readonly GradConfig[] = [
  ...convolution(Conv2D, Conv2DBackpropInput, Conv2DBackpropFilter, 1),
  ...convolution(Conv3D, Conv3DBackpropInputV2, Conv3DBackpropFilterV2, 1),
  ...convolution(
    DepthwiseConv2dNative,
    DepthwiseConv2dNativeBackpropInput,
    DepthwiseConv2dNativeBackpropFilter,
    [1, 1],
  ),
  transposeOf(AvgPoolGrad, AvgPool, 'input', 'x'),
  transposeOf(AvgPool3DGrad, AvgPool3D, 'input', 'x'),
  averagePooling(AvgPool, AvgPoolGrad),
  averagePooling(AvgPool3D, AvgPool3DGrad),
  resizing(ResizeBilinear, ResizeBilinearGrad),
  resizing(ResizeNearestNeighbor, ResizeNearestNeighborGrad),
  transposeOf(ResizeBilinearGrad, ResizeBilinear, 'images'),
  transposeOf(ResizeNearestNeighborGrad, ResizeNearestNeighbor, 'images'),
  maxPooling(MaxPool, MaxPoolGrad),
  maxPooling(MaxPool3D, MaxPool3DGrad),
  responseNormalization,
];
