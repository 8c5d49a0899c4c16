import { einsum, Einsum, mul, ones, reshape, type GradConfig, type Tensor } from '@tensorflow/tfjs-core';
import { rule, type InputGradients } from './rule.js';

/*
 * For `ab,bc->ac`: dA is `ac,bc->ab` of dy and B. A label that only A has (it was summed) becomes an axis of 1,
 * broadcast to A's extent. tfjs allows two operands, and no label twice in one of them.
 */
function operandGradient(dy: Tensor, operands: Tensor[], terms: string[], output: string, i: number): Tensor {
  const others = terms.filter((_, j) => j !== i);
  const known = new Set([output, ...others].join(''));
  const labels = [...terms[i]];
  const reachable = labels.filter((label) => known.has(label)).join('');
  const g = einsum(
    `${[output, ...others].join(',')}->${reachable}`,
    dy,
    ...operands.filter((_, j) => j !== i),
  );
  if (reachable.length === labels.length) return g;
  const shape = operands[i].shape.map((extent, axis) => (known.has(labels[axis]) ? extent : 1));
  return mul(reshape(g, shape), ones(operands[i].shape));
}

export const einsumGradient: GradConfig = rule<{ equation: string }>(
  Einsum,
  { allInputs: true },
  (dy, operands, { equation }) => {
    const [left, output] = equation.replace(/\s/g, '').split('->');
    const terms = left.split(',');
    const gradients: InputGradients = {};
    terms.forEach((_, i) => {
      gradients[i] = () => operandGradient(dy, operands, terms, output, i);
    });
    return gradients;
  },
);
