import {
  AvgPool,
  AvgPool3D,
  AvgPool3DGrad,
  AvgPoolGrad,
  backend_util,
  engine,
  equal,
  MaxPool,
  MaxPool3D,
  MaxPool3DGrad,
  MaxPoolGrad,
  mul,
  pad,
  slice,
  stridedSlice,
  tensor,
  where,
  zeros,
  zerosLike,
  type GradConfig,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { isTapeActive, untaped } from '../tape.js';
import { positions, returned, rule, run, transposeOf } from './rule.js';

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

/** Gradients of pooling, and of its gradients. */
export const poolingGradients: readonly GradConfig[] = [
  averagePooling(AvgPool, AvgPoolGrad),
  averagePooling(AvgPool3D, AvgPool3DGrad),
  transposeOf(AvgPoolGrad, AvgPool, 'input', 'x'),
  transposeOf(AvgPool3DGrad, AvgPool3D, 'input', 'x'),
  maxPooling(MaxPool, MaxPoolGrad),
  maxPooling(MaxPool3D, MaxPool3DGrad),
];
