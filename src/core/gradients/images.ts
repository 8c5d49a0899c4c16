import {
  add,
  Conv2D,
  Conv2DBackpropFilter,
  Conv2DBackpropInput,
  Conv3D,
  Conv3DBackpropFilterV2,
  Conv3DBackpropInputV2,
  DepthwiseConv2dNative,
  DepthwiseConv2dNativeBackpropFilter,
  DepthwiseConv2dNativeBackpropInput,
  eye,
  LRN,
  matMul,
  LRNGrad,
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
  sub,
  transpose,
  zerosLike,
  type GradConfig,
  type Tensor,
  type Tensor2D,
} from '@tensorflow/tfjs-core';
import { isTapeActive } from '../tape.js';
import { rule, run, transposeOf } from './rule.js';

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

/** Gradients of gradients of convolution, normalisation and resizing. */
export const imageGradients: readonly GradConfig[] = [
  ...convolution(Conv2D, Conv2DBackpropInput, Conv2DBackpropFilter, 1),
  ...convolution(Conv3D, Conv3DBackpropInputV2, Conv3DBackpropFilterV2, 1),
  ...convolution(
    DepthwiseConv2dNative,
    DepthwiseConv2dNativeBackpropInput,
    DepthwiseConv2dNativeBackpropFilter,
    [1, 1],
  ),
  resizing(ResizeBilinear, ResizeBilinearGrad),
  resizing(ResizeNearestNeighbor, ResizeNearestNeighborGrad),
  transposeOf(ResizeBilinearGrad, ResizeBilinear, 'images'),
  transposeOf(ResizeNearestNeighborGrad, ResizeNearestNeighbor, 'images'),
  responseNormalization,
];
