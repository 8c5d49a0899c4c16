/** Every differentiable op of tfjs, with inputs away from its kinks. */
import * as tf from '@tensorflow/tfjs';

export type Op = (...xs: tf.Tensor[]) => tf.Tensor;
/** An input: its shape and its values, which are floats between the bounds, all different. */
export interface Input {
  shape: number[];
  values: number[];
}

export interface GradientCase {
  op: string;
  f: Op;
  inputs: Input[];
}

let seed = 1;
/* Numbers between lo and hi, each in a slot of its own, shuffled: no two are near each other. */
function spread(shape: number[], lo = -1, hi = 1): Input {
  const size = shape.reduce((a, b) => a * b, 1);
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const slots = Array.from({ length: size }, (_, i) => lo + ((hi - lo) * (i + 0.3 + 0.4 * random())) / size);
  for (let i = size - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [slots[i], slots[j]] = [slots[j], slots[i]];
  }
  return { shape, values: slots };
}
const given = (values: number[], shape = [values.length]): Input => ({ shape, values });

const cases: GradientCase[] = [];
const add = (op: string, f: Op, ...inputs: Input[]) => {
  cases.push({ op, f, inputs });
};

const x6 = given([-1.3, -0.7, -0.2, 0.3, 0.8, 1.4]);
const positive = given([0.3, 0.6, 0.9, 1.4, 2.1, 3.2]);
const inUnit = given([-0.8, -0.45, -0.2, 0.15, 0.5, 0.7]);
const as4 = (t: tf.Tensor) => t as tf.Tensor4D;
const as5 = (t: tf.Tensor) => t as tf.Tensor5D;
const i32 = (values: number[], shape: number[] = [values.length]) => tf.tensor(values, shape, 'int32');

function unary(): void {
  const everywhere = {
    abs: tf.abs,
    asinh: tf.asinh,
    atan: tf.atan,
    ceil: tf.ceil,
    cos: tf.cos,
    cosh: tf.cosh,
    elu: tf.elu,
    erf: tf.erf,
    exp: tf.exp,
    expm1: tf.expm1,
    floor: tf.floor,
    leakyRelu: (x: tf.Tensor) => tf.leakyRelu(x, 0.3),
    logSigmoid: tf.logSigmoid,
    neg: tf.neg,
    onesLike: tf.onesLike,
    relu: tf.relu,
    relu6: (x: tf.Tensor) => tf.relu6(tf.mul(x, 5)),
    round: tf.round,
    selu: tf.selu,
    sigmoid: tf.sigmoid,
    sign: tf.sign,
    sin: tf.sin,
    sinh: tf.sinh,
    softplus: tf.softplus,
    square: tf.square,
    step: (x: tf.Tensor) => tf.step(x, 0.2),
    tan: (x: tf.Tensor) => tf.tan(tf.mul(x, 0.8)),
    tanh: tf.tanh,
    zerosLike: tf.zerosLike,
    clone: tf.clone,
    clipByValue: (x: tf.Tensor) => tf.clipByValue(x, -0.5, 1),
    isNaN: (x: tf.Tensor) => tf.cast(tf.isNaN(x), 'float32'),
    isInf: (x: tf.Tensor) => tf.cast(tf.isInf(x), 'float32'),
    isFinite: (x: tf.Tensor) => tf.cast(tf.isFinite(x), 'float32'),
    "cast to 'int32' and back": (x: tf.Tensor) => tf.cast(tf.cast(tf.mul(x, 4), 'int32'), 'float32'),
  };
  for (const [name, f] of Object.entries(everywhere)) add(name, f as Op, x6);
  for (const f of [tf.log, tf.log1p, tf.reciprocal, tf.rsqrt, tf.sqrt])
    add(f.name.replace('__op', ''), f as Op, positive);
  for (const f of [tf.acos, tf.asin, tf.atanh]) add(f.name.replace('__op', ''), f as Op, inUnit);
  add('acosh', tf.acosh as Op, given([1.3, 1.6, 1.9, 2.4]));
}

function binary(): void {
  const row = spread([1, 3], 0.4, 1.6);
  const both = [spread([2, 3], 0.5, 1.5), spread([2, 3], 0.45, 1.45)];
  const apart = [
    given([0.5, 1.2, -0.7, 0.9, -1.1, 0.2], [2, 3]),
    given([0.8, 0.6, -0.2, 1.4, -1.5, 0.5], [2, 3]),
  ];
  const ops: Record<string, Op> = {
    add: tf.add as Op,
    sub: tf.sub as Op,
    mul: tf.mul as Op,
    div: tf.div as Op,
    divNoNan: tf.divNoNan as Op,
    pow: tf.pow as Op,
    atan2: tf.atan2 as Op,
    squaredDifference: tf.squaredDifference as Op,
  };
  for (const [name, f] of Object.entries(ops)) {
    add(name, f, ...both);
    add(`${name}, broadcast`, f, both[0], row);
    add(`${name}, broadcast the other way`, f, row, both[0]);
  }
  const choosing: Record<string, Op> = { maximum: tf.maximum as Op, minimum: tf.minimum as Op };
  for (const [name, f] of Object.entries(choosing)) {
    add(name, f, ...apart);
    add(`${name}, broadcast`, f, apart[0], given([0.35], [1, 1]));
  }
  add('floorDiv', tf.floorDiv as Op, given([2.5, -3.3, 4.7, 1.2]), given([1, 1.2, 1.5, 0.7]));
  add('mod', tf.mod as Op, given([2.5, -3.3, 4.7, 1.2]), given([1, 1.2, 1.5, 0.7]));
  add('mod, broadcast', tf.mod as Op, given([2.5, -3.3, 4.7, 1.2]), given([0.8], [1]));
  add('prelu', tf.prelu as Op, spread([2, 3]), given([0.2, 0.3, 0.1], [1, 3]));
  add('addN', (a, b) => tf.addN([a, b]), ...both);
  add('pow, base <= 0', (x) => tf.pow(x, 3), given([-1.2, -0.4, 0, 0.7]));
  add('pow, base 0, exponent differentiated', (x) => tf.pow(tf.tensor1d([0, 2]), x), given([1.5, 2.5]));
}

function choosing(): void {
  const comparisons: Record<string, (a: tf.Tensor, b: tf.Tensor) => tf.Tensor> = {
    equal: tf.equal,
    notEqual: tf.notEqual,
    less: tf.less,
    lessEqual: tf.lessEqual,
    greater: tf.greater,
    greaterEqual: tf.greaterEqual,
  };
  const other = given([0.55], [1]);
  for (const [name, compare] of Object.entries(comparisons)) {
    add(`where(${name}(x, c), ...)`, (x, c) => tf.where(compare(x, c), tf.sin(x), tf.mul(x, x)), x6, other);
  }
  const logical: Record<string, (a: tf.Tensor, b: tf.Tensor) => tf.Tensor> = {
    logicalAnd: tf.logicalAnd,
    logicalOr: tf.logicalOr,
    logicalXor: tf.logicalXor,
  };
  for (const [name, join] of Object.entries(logical)) {
    add(
      `where(${name}(...), ...)`,
      (x) => tf.where(join(tf.less(x, 0.5), tf.greater(x, -0.5)), tf.sin(x), x),
      x6,
    );
  }
  add('where(logicalNot(...), ...)', (x) => tf.where(tf.logicalNot(tf.less(x, 0)), tf.sin(x), x), x6);
  add('where(any(...), ...)', (x) => tf.where(tf.any(tf.less(x, 0)), tf.sin(x), x), x6);
  add('where(all(...), ...)', (x) => tf.where(tf.all(tf.less(x, 0)), x, tf.sin(x)), x6);
  const mask = () => tf.tensor([1, 0, 1], [3], 'bool');
  add('where, branches broadcast', (a, b) => tf.where(mask(), a, b), spread([2, 3]), spread([2, 1]));
  add('where, condition broadcast', (a) => tf.where(tf.tensor([1, 0], [2, 1], 'bool'), a, 1), spread([2, 3]));
  add('oneHot(argMax(x))', (x) => tf.mul(tf.cast(tf.oneHot(tf.argMax(x), 6), 'float32'), x), x6);
  add('oneHot(argMin(x))', (x) => tf.mul(tf.cast(tf.oneHot(tf.argMin(x), 6), 'float32'), x), x6);
  add('gather at floor(x)', (x) => tf.mul(x, tf.gather(tf.range(0, 9), tf.cast(tf.add(x, 3), 'int32'))), x6);
  add('searchSorted', (x) => tf.mul(x, tf.cast(tf.searchSorted(tf.tensor1d([-1, 0, 1]), x), 'float32')), x6);
  add('dropout(rate 0.5, fixed seed)', (x) => tf.dropout(x, 0.5, undefined, 7), x6);
}

function reductions(): void {
  const x = spread([2, 3, 2], -1.2, 1.5);
  const all: Record<string, (x: tf.Tensor, axis?: number | number[]) => tf.Tensor> = {
    sum: tf.sum,
    mean: tf.mean,
    max: tf.max,
    min: tf.min,
    prod: tf.prod,
    logSumExp: tf.logSumExp,
    norm: (t, axis) => tf.norm(t, 'euclidean', axis),
    euclideanNorm: (t, axis) => tf.euclideanNorm(t, axis),
    'moments().variance': (t, axis) => tf.moments(t, axis).variance,
  };
  for (const [name, f] of Object.entries(all)) {
    add(name, (t) => f(t), x);
    for (const axis of [0, 1, -1]) add(`${name}, axis ${axis}`, (t) => f(t, axis), x);
    add(`${name}, axes [0, 2]`, (t) => f(t, [0, 2]), x);
  }
  add('prod, some factors 0', (t) => tf.prod(t, 1), given([0.5, 0, 2, 0, 0, 3, 1, 2, 3], [3, 3]));
  for (const axis of [0, 1, 2]) {
    for (const exclusive of [false, true]) {
      for (const reverse of [false, true]) {
        const how = `axis ${axis}${exclusive ? ', exclusive' : ''}${reverse ? ', reverse' : ''}`;
        add(`cumsum, ${how}`, (t) => tf.cumsum(t, axis, exclusive, reverse), x);
        add(`cumprod, ${how}`, (t) => tf.cumprod(t, axis, exclusive, reverse), spread([2, 3, 2], 0.5, 2));
      }
    }
  }
  add('cumsum, axis 0 of a square', (t) => tf.cumsum(t, 0), spread([3, 3]));
  add('cumprod, some factors 0', (t) => tf.cumprod(t, 1), given([0.5, 0, 2, 0, 0, 3, 1, 2, 3], [3, 3]));
  add(
    'unsortedSegmentSum',
    (t) => tf.unsortedSegmentSum(t, tf.tensor1d([1, 0, 1, 2], 'int32'), 3),
    spread([4, 2]),
  );
}

function softmaxes(): void {
  const x = spread([2, 4], -1.5, 1.5);
  const y = spread([2, 4], 0.1, 0.9);
  add('softmax', (t) => tf.softmax(t), x);
  add('logSoftmax', (t) => tf.logSoftmax(t), x);
  const none = tf.Reduction.NONE;
  const losses: Record<string, Op> = {
    softmaxCrossEntropy: (p, t) => tf.losses.softmaxCrossEntropy(p, t, undefined, 0, none),
    sigmoidCrossEntropy: (p, t) => tf.losses.sigmoidCrossEntropy(p, t, undefined, 0, none),
    absoluteDifference: (p, t) => tf.losses.absoluteDifference(p, t, undefined, none),
    cosineDistance: (p, t) => tf.losses.cosineDistance(p, t, 1, undefined, none),
    hingeLoss: (p, t) => tf.losses.hingeLoss(p, t, undefined, none),
    huberLoss: (p, t) => tf.losses.huberLoss(p, t, undefined, 0.7, none),
    meanSquaredError: (p, t) => tf.losses.meanSquaredError(p, t, undefined, none),
  };
  for (const [name, f] of Object.entries(losses))
    add(`losses.${name}`, f, y, name === 'hingeLoss' ? spread([2, 4], -0.9, 0.9) : x);
  add(
    'losses.logLoss',
    (p, t) => tf.losses.logLoss(p, t, undefined, 1e-7, none),
    y,
    spread([2, 4], 0.1, 0.9),
  );
  const labels = () =>
    tf.tensor2d([
      [0, 1, 0, 0],
      [0, 0, 0, 1],
    ]);
  add('losses.softmaxCrossEntropy, one-hot labels', (t) => tf.losses.softmaxCrossEntropy(labels(), t), x);
}

function rearranging(): void {
  const x = spread([2, 3, 2]);
  const m = spread([3, 4]);
  add('reshape', (t) => tf.reshape(t, [4, 3]), x);
  add('expandDims', (t) => tf.expandDims(t, 1), x);
  add('squeeze', (t) => tf.squeeze(t), spread([2, 1, 3]));
  add('transpose', (t) => tf.transpose(t, [2, 0, 1]), x);
  add('reverse', (t) => tf.reverse(t, [0, 2]), x);
  add('slice', (t) => tf.slice(t, [0, 1, 0], [2, 2, 1]), x);
  add('stridedSlice', (t) => tf.stridedSlice(t, [0, 3], [3, 0], [2, -1]), m);
  add('stridedSlice, axis dropped', (t) => tf.stridedSlice(t, [1, 0], [2, 4], [1, 2], 0, 0, 0, 0, 1), m);
  add(
    'pad',
    (t) =>
      tf.pad(
        t,
        [
          [1, 2],
          [0, 1],
        ],
        0.5,
      ),
    m,
  );
  add(
    'mirrorPad, reflect',
    (t) =>
      tf.mirrorPad(
        t,
        [
          [1, 2],
          [2, 1],
        ],
        'reflect',
      ),
    m,
  );
  add(
    'mirrorPad, symmetric',
    (t) =>
      tf.mirrorPad(
        t,
        [
          [1, 2],
          [2, 1],
        ],
        'symmetric',
      ),
    m,
  );
}

function joining(): void {
  const x = spread([2, 3, 2]);
  add('concat', (a, b) => tf.concat([a, b], 1), spread([2, 2]), spread([2, 3]));
  add('stack', (a, b) => tf.stack([a, b], 1), spread([2, 2]), spread([2, 2]));
  add('unstack', (t) => tf.mul(tf.unstack(t, 1)[0], tf.unstack(t, 1)[2]), x);
  add(
    'split',
    (t) => tf.mul(tf.split(t, [1, 2], 1)[0], tf.slice(tf.split(t, [1, 2], 1)[1], [0, 0, 0], [2, 1, 2])),
    x,
  );
  add('tile', (t) => tf.tile(t, [2, 1, 3]), x);
  add('tile, rank 5', (t) => tf.tile(t, [2, 1, 1, 2, 1]), spread([1, 2, 1, 2, 1]));
  add('broadcastTo', (t) => tf.broadcastTo(t, [2, 3, 2]), spread([3, 1]));
}

function indexing(): void {
  const x = spread([2, 3, 2]);
  const m = spread([3, 4]);
  add('gather', (t) => tf.gather(t, tf.tensor1d([2, 0, 2], 'int32'), 1), x);
  add('gather, axis -2', (t) => tf.gather(t, tf.tensor1d([2, 0, 2], 'int32'), -2), x);
  add('gather, indices of rank 2', (t) => tf.gather(t, i32([2, 0, 1, 2], [2, 2]), 0), spread([3, 2]));
  add('gather, batchDims 1', (t) => tf.gather(t, i32([2, 0, 1, 1], [2, 2]), 1, 1), x);
  add('gather, batchDims 1, axis 2', (t) => tf.gather(t, i32([1, 0, 1, 1], [2, 2]), 2, 1), x);
  add('gather, batchDims 2', (t) => tf.gather(t, i32([1, 0, 1, 1, 0, 0], [2, 3, 1]), 2, 2), x);
  add('gatherND', (t) => tf.gatherND(t, i32([0, 1, 2, 3, 0, 1], [3, 2])), m);
  add('scatterND', (t) => tf.scatterND(i32([1, 3, 1], [3, 1]), t, [5, 2]), spread([3, 2]));
  add(
    'tensorScatterUpdate',
    (t, u) => tf.tensorScatterUpdate(tf.add(t, 0), i32([1, 0], [2, 1]), u),
    m,
    spread([2, 4]),
  );
  add(
    'sparseToDense',
    (v, d) => tf.sparseToDense(i32([0, 3]), v, [5], tf.reshape(d, [])),
    spread([2]),
    spread([1]),
  );
  add('topk().values', (t) => tf.topk(t, 2).values, m);
}

function spreading(): void {
  const grid = spread([1, 4, 4, 1]);
  add('diag', (t) => tf.diag(t), spread([3]));
  add('linalg.bandPart', (t) => tf.linalg.bandPart(t, 1, 0), spread([3, 3]));
  add('depthToSpace', (t) => tf.depthToSpace(t as tf.Tensor4D, 2), spread([1, 2, 1, 8]));
  add(
    'spaceToBatchND',
    (t) =>
      tf.spaceToBatchND(
        t,
        [2, 2],
        [
          [0, 0],
          [0, 0],
        ],
      ),
    grid,
  );
  add(
    'batchToSpaceND',
    (t) =>
      tf.batchToSpaceND(
        t,
        [2, 2],
        [
          [0, 1],
          [0, 0],
        ],
      ),
    spread([4, 2, 2, 1]),
  );
  add(
    'meshgrid',
    (a, b) => tf.mul(...(tf.meshgrid(a, b) as [tf.Tensor, tf.Tensor])),
    spread([2]),
    spread([3]),
  );
  add('complex, real, imag', (a, b) => tf.real(tf.complex(a, b)), spread([3]), spread([3]));
  add('spectral.rfft', (t) => tf.abs(tf.spectral.rfft(t)), spread([4]));
}

function products(): void {
  const a = spread([2, 3]);
  const b = spread([3, 2]);
  add('matMul', (s, t) => tf.matMul(s, t), a, b);
  add('matMul, transposeA', (s, t) => tf.matMul(s, t, true), b, spread([3, 4]));
  add('matMul, transposeB', (s, t) => tf.matMul(s, t, false, true), a, spread([4, 3]));
  add('matMul, both transposed', (s, t) => tf.matMul(s, t, true, true), b, spread([4, 3]));
  add('matMul, batch broadcast', (s, t) => tf.matMul(s, t), spread([2, 2, 3]), spread([1, 3, 2]));
  add('matMul, rank 3 by rank 2', (s, t) => tf.matMul(s, t), spread([2, 2, 3]), b);
  add('dot', (s, t) => tf.dot(s, t), spread([3]), b);
  add(
    'outerProduct',
    (s, t) => tf.outerProduct(s as tf.Tensor1D, t as tf.Tensor1D),
    spread([2]),
    spread([3]),
  );
  add('fused.matMul, linear', (s, t) => tf.fused.matMul({ a: s, b: t }), a, b);
  add(
    'fused.matMul, relu and bias',
    (s, t, c) => tf.fused.matMul({ a: s, b: t, bias: c, activation: 'relu' }),
    a,
    b,
    spread([2]),
  );
  add('einsum ij,jk->ik', (s, t) => tf.einsum('ij,jk->ik', s, t), a, b);
  add('einsum bij,bjk->bik', (s, t) => tf.einsum('bij,bjk->bik', s, t), spread([2, 2, 3]), spread([2, 3, 2]));
  add('einsum i,j->ji', (s, t) => tf.einsum('i,j->ji', s, t), spread([2]), spread([3]));
  add('einsum ij,ij->', (s, t) => tf.einsum('ij,ij->', s, t), a, spread([2, 3]));
  add('einsum ij->i', (s) => tf.einsum('ij->i', s), a);
  add('einsum ij->ji', (s) => tf.einsum('ij->ji', s), a);
  add('linalg.qr', (t) => tf.linalg.qr(t)[1], given([2, 0.5, 0.3, 1.5], [2, 2]));
  add(
    'linalg.gramSchmidt',
    (t) => tf.linalg.gramSchmidt(t as tf.Tensor2D) as tf.Tensor,
    given([2, 0.5, 0.3, 1.5], [2, 2]),
  );
}

function images(): void {
  const image = spread([1, 4, 4, 2]);
  const volume = spread([1, 3, 2, 2, 1], -2, 2);
  add('conv2d', (t, w) => tf.conv2d(as4(t), as4(w), 1, 'same'), image, spread([2, 2, 2, 1]));
  add('conv2d, strides 2', (t, w) => tf.conv2d(as4(t), as4(w), 2, 'valid'), image, spread([2, 2, 2, 1]));
  add(
    'conv2d, dilations 2',
    (t, w) => tf.conv2d(as4(t), as4(w), 1, 'valid', 'NHWC', 2),
    image,
    spread([2, 2, 2, 1]),
  );
  add(
    'conv1d',
    (t, w) => tf.conv1d(t as tf.Tensor3D, w as tf.Tensor3D, 1, 'same'),
    spread([1, 5, 2]),
    spread([3, 2, 1]),
  );
  add(
    'conv2dTranspose',
    (t, w) => tf.conv2dTranspose(as4(t), as4(w), [1, 4, 4, 1], 2, 'same'),
    spread([1, 2, 2, 1]),
    spread([2, 2, 1, 1]),
  );
  add(
    'depthwiseConv2d',
    (t, w) => tf.depthwiseConv2d(as4(t), as4(w), 1, 'same'),
    image,
    spread([2, 2, 2, 1]),
  );
  add(
    'separableConv2d',
    (t, d, p) => tf.separableConv2d(as4(t), as4(d), as4(p), 1, 'valid'),
    image,
    spread([2, 2, 2, 1]),
    spread([1, 1, 2, 1]),
  );
  add('conv3d', (t, w) => tf.conv3d(as5(t), as5(w), 1, 'same'), volume, spread([2, 1, 2, 1, 1]));
  add(
    'conv3dTranspose',
    (t, w) => tf.conv3dTranspose(as5(t), as5(w), [1, 4, 2, 2, 1], 2, 'same'),
    spread([1, 2, 1, 1, 1]),
    spread([2, 2, 2, 1, 1]),
  );
  add(
    'fused.conv2d',
    (t, w) => tf.fused.conv2d({ x: as4(t), filter: as4(w), strides: 1, pad: 'same' }),
    image,
    spread([2, 2, 2, 1]),
  );
  add(
    'fused.depthwiseConv2d',
    (t, w) => tf.fused.depthwiseConv2d({ x: as4(t), filter: as4(w), strides: 1, pad: 'same' }),
    image,
    spread([2, 2, 2, 1]),
  );
}

function pooling(): void {
  const image = spread([1, 4, 4, 2]);
  const one = spread([1, 4, 4, 1], -2, 2);
  const volume = spread([1, 3, 2, 2, 1], -2, 2);
  add('avgPool', (t) => tf.avgPool(as4(t), 2, 1, 'same'), one);
  add('avgPool3d', (t) => tf.avgPool3d(as5(t), 2, 1, 'same'), volume);
  add('maxPool', (t) => tf.maxPool(as4(t), 2, 2, 'valid'), one);
  add('maxPool, overlapping', (t) => tf.maxPool(as4(t), 3, 1, 'same'), image);
  add('maxPool3d', (t) => tf.maxPool3d(as5(t), 2, 1, 'same'), volume);
  add('pool, avg', (t) => tf.pool(as4(t), 2, 'avg', 'same', 1, 1), one);
  add(
    'dilation2d',
    (t, w) => tf.dilation2d(as4(t), w as tf.Tensor3D, 1, 'same'),
    one,
    given([0.1, -0.2, 0.15, 0.3], [2, 2, 1]),
  );
  add(
    'localResponseNormalization',
    (t) => tf.localResponseNormalization(as4(t), 1, 1.5, 0.7, 0.6),
    spread([1, 1, 2, 4]),
  );
}

function normalizing(): void {
  const image = spread([1, 4, 4, 2]);
  const one = spread([1, 4, 4, 1], -2, 2);
  const bn: Op = (t, mean, variance, offset, scale) =>
    tf.batchNorm(
      t as tf.Tensor4D,
      mean as tf.Tensor1D,
      variance as tf.Tensor1D,
      offset as tf.Tensor1D,
      scale as tf.Tensor1D,
    );
  add('batchNorm', bn, image, spread([2]), spread([2], 0.5, 1.5), spread([2]), spread([2], 0.5, 1.5));
  add('image.resizeBilinear', (t) => tf.image.resizeBilinear(as4(t), [3, 6]), one);
  add('image.resizeBilinear, alignCorners', (t) => tf.image.resizeBilinear(as4(t), [3, 6], true), one);
  add(
    'image.resizeBilinear, halfPixelCenters',
    (t) => tf.image.resizeBilinear(as4(t), [3, 6], false, true),
    one,
  );
  add('image.resizeNearestNeighbor', (t) => tf.image.resizeNearestNeighbor(as4(t), [3, 6]), one);
  add(
    'image.resizeNearestNeighbor, halfPixelCenters',
    (t) => tf.image.resizeNearestNeighbor(as4(t), [3, 6], false, true),
    one,
  );
  add('image.flipLeftRight', (t) => tf.image.flipLeftRight(as4(t)), image);
  add('image.rotateWithOffset', (t) => tf.image.rotateWithOffset(as4(t), 0.5), one);
  add('image.cropAndResize', (t) => tf.image.cropAndResize(as4(t), [[0.1, 0.1, 0.9, 0.9]], [0], [3, 3]), one);
  add('image.transform', (t) => tf.image.transform(as4(t), tf.tensor2d([[1, 0.1, 0, 0, 1, 0, 0, 0]])), one);
  add('image.grayscaleToRGB', (t) => tf.image.grayscaleToRGB(as4(t)), one);
}

for (const group of [
  unary,
  binary,
  choosing,
  reductions,
  softmaxes,
  rearranging,
  joining,
  indexing,
  spreading,
  products,
  images,
  pooling,
  normalizing,
])
  group();

/** All of them. */
export const gradientCases: readonly GradientCase[] = cases;
