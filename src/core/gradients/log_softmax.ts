import {
  cast,
  clone,
  customGrad,
  engine,
  exp,
  expandDims,
  LogSoftmax,
  logSoftmax,
  mul,
  sub,
  sum,
  type GradConfig,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { isTapeActive } from '../tape.js';
import { linked, rule } from './rule.js';

/*
 * `logSoftmax` and `softmaxCrossEntropy` are custom gradients inside tfjs that save an output, and not the logits it
 * came from. tfjs looks for their gradient in the registry under the name of the op's scope first.
 */
const LOG_SOFTMAX_OP = 'logSoftmax__op';
const CROSS_ENTROPY_OP = 'softmaxCrossEntropy__op';

/* d/dx: dy - softmax(x) sum(dy), with softmax(x) = exp(value). */
const throughLogSoftmax = (dy: Tensor, value: Tensor): Tensor => sub(dy, mul(sum(dy, -1, true), exp(value)));

type Save = (tensors: Tensor[]) => void;

/* `value`, known to be logSoftmax(logits), as a function of logits. Only their place on the tape counts. */
function asFunctionOf(logits: Tensor, value: Tensor): Tensor {
  return customGrad((...args) => {
    const [x, save] = args as unknown as [Tensor, Save];
    const copy = clone(value);
    save([copy]);
    return {
      value: copy,
      gradFunc: (dy: Tensor, [saved]: Tensor[]) =>
        throughLogSoftmax(
          dy,
          linked(saved, () => asFunctionOf(x, saved)),
        ),
    };
  })(logits);
}

/* While the gradient is being differentiated: the inputs of the op whose gradient was handed `saved`. */
function inputsOf(saved: Tensor[]): Tensor[] {
  const tape = engine().state.activeTape as { inputs: Record<string, Tensor>; saved?: Tensor[] }[];
  const node = tape.find((candidate) => candidate.saved === saved);
  return node ? Object.values(node.inputs) : [];
}

function linkedToLogits(saved: Tensor[], input: number, value: Tensor): Tensor {
  if (!isTapeActive()) return value;
  const logits = inputsOf(saved).at(input);
  return logits ? asFunctionOf(logits, value) : value;
}

/** Gradients of the logarithm of `softmax`. */
export const logSoftmaxGradients: readonly GradConfig[] = [
  rule(LogSoftmax, { inputs: ['logits'], outputs: [true] }, (dy, [x, y]) => ({
    logits: () =>
      throughLogSoftmax(
        dy,
        linked(y, () => logSoftmax(x)),
      ),
  })),
  rule(LOG_SOFTMAX_OP, {}, (dy, saved) => ({
    0: () => throughLogSoftmax(dy, linkedToLogits(saved, 0, saved[0])),
  })),
  // -sum(labels * log softmax(logits)); labels that don't sum to 1 are allowed.
  rule(CROSS_ENTROPY_OP, {}, (dy, saved) => {
    const [labels] = saved;
    const flow = (): Tensor => expandDims(dy, -1);
    const value = (): Tensor => linkedToLogits(saved, 1, saved[1]);
    return {
      0: () => mul(flow(), sub(0, value())),
      1: () => {
        const target = cast(labels, 'float32');
        const share = mul(exp(value()), sum(target, -1, true));
        return mul(flow(), sub(share, target));
      },
    };
  }),
];
