import {
  add,
  BatchMatMul,
  concat,
  Cumprod,
  cumprod,
  Cumsum,
  cumsum,
  einsum,
  Einsum,
  getBackend,
  matMul,
  mul,
  ones,
  Prod,
  reshape,
  reverse,
  slice,
  sum,
  transpose,
  util,
  zeros,
  type GradConfig,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { aroundAxis, rule, sizeOf, unbroadcast } from './rule.js';

interface MatMulAttributes {
  transposeA: boolean;
  transposeB: boolean;
}

/*
 * tfjs's wasm backend has fast kernels only for a product without transposes: with one it takes up to 20 times as long, which
 * pays for moving the elements from some thousand multiplications on.
 */
function times(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  const inner = a.shape[a.rank - (transposeA ? 2 : 1)] as number;
  const outer = b.shape[b.rank - (transposeB ? 2 : 1)] as number;
  const work = (a.size / inner) * inner * outer;
  if (work < 8192 || getBackend() !== 'wasm') return matMul(a, b, transposeA, transposeB);
  return matMul(transposeA ? swapped(a) : a, transposeB ? swapped(b) : b);
}

function swapped(x: Tensor): Tensor {
  const axes = x.shape.map((_, i) => i);
  return transpose(x, [...axes.slice(0, -2), x.rank - 1, x.rank - 2]);
}

const matrixProduct = rule<MatMulAttributes>(
  BatchMatMul,
  { inputs: ['a', 'b'] },
  (dy, [a, b], { transposeA, transposeB }) => ({
    a: () => {
      const da = transposeA ? times(b, dy, transposeB, true) : times(dy, b, false, !transposeB);
      return unbroadcast(da, a.shape);
    },
    b: () => {
      const db = transposeB ? times(dy, a, true, transposeA) : times(a, dy, !transposeA, false);
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

/*
 * For `ab,bc->ac`: dA is `ac,bc->ab` of dy and B. A label that only A has (it was summed) becomes an axis of 1,
 * broadcast to A's extent. tfjs allows two operands, and no label twice in one of them.
 */
function operandGradient(dy: Tensor, operands: Tensor[], terms: string[], output: string, i: number): Tensor {
  const labels = [...terms[i]];
  const { tensor, term } = reduced(operands[1 - i], terms[1 - i] ?? '', output + terms[i]);
  const reachable = labels.filter((label) => (output + term).includes(label));
  const g = tensor
    ? einsum(`${output},${term}->${reachable.join('')}`, dy, tensor)
    : transpose(
        dy,
        reachable.map((label) => output.indexOf(label)),
      );
  const shape = operands[i].shape.map((extent, axis) => (reachable.includes(labels[axis]) ? extent : 1));
  return reachable.length < labels.length ? mul(reshape(g, shape), ones(operands[i].shape)) : g;
}

/* Without the labels nobody else has: tfjs miscounts axes when it must sum those of one operand in a product. */
function reduced(
  tensor: Tensor | undefined,
  term: string,
  others: string,
): { tensor?: Tensor; term: string } {
  if (!tensor) return { term };
  const own = [...term].flatMap((label, axis) => (others.includes(label) ? [] : [axis]));
  const kept = [...term].filter((label) => others.includes(label)).join('');
  return { tensor: own.length > 0 ? sum(tensor, own) : tensor, term: kept };
}

const einsumGradient = rule<{ equation: string }>(
  Einsum,
  { allInputs: true },
  (dy, operands, { equation }) => {
    const [left, output] = equation.replace(/\s/g, '').split('->');
    const terms = left.split(',');
    return Object.fromEntries(
      terms.map((_, i) => [i, () => operandGradient(dy, operands, terms, output, i)]),
    );
  },
);

/** Gradients of kernels that sum and multiply along axes. */
export const productGradients: readonly GradConfig[] = [
  matrixProduct,
  runningSum,
  runningProduct,
  product,
  einsumGradient,
];
