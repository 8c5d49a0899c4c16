/** Recurrent networks over a batch of sequences: what reads irregular observations, and what continuous models are compared with. */
import * as tf from '@tensorflow/tfjs-core';
import { normalVariable } from './training.js';

/** `x W + b` of the last axis; `x` of any rank. */
export class Linear {
  readonly variables: tf.Variable[];

  constructor(
    private readonly inputs: number,
    private readonly outputs: number,
    normal: () => number,
  ) {
    const weights = normalVariable([inputs, outputs], 1 / Math.sqrt(inputs), normal);
    this.variables = [weights, normalVariable([outputs], 0, normal)];
  }

  apply(x: tf.Tensor): tf.Tensor {
    const [w, b] = this.variables as tf.Tensor[];
    const flat = tf.reshape(x, [-1, this.inputs]);
    const y = tf.add(tf.matMul(flat as tf.Tensor2D, w as tf.Tensor2D), b);
    return tf.reshape(y, [...x.shape.slice(0, -1), this.outputs]);
  }
}

/**
 * A gated recurrent unit (https://arxiv.org/abs/1406.1078), `h = 0` at first:
 * `r, u = sigmoid(x W + b + h U)`, `c = tanh(x W' + b' + r (h U'))`, `h <- u h + (1 - u) c`. As in PyTorch the reset gate r
 * acts behind the product, so that the three products with h are one.
 */
export class GatedRecurrent {
  /** `[W W']`, `[b b']` and `[U U']`; in each the columns of r, of u and of c. */
  readonly variables: tf.Variable[];
  private readonly input: Linear;

  constructor(
    inputs: number,
    private readonly units: number,
    normal: () => number,
  ) {
    this.input = new Linear(inputs, 3 * units, normal);
    const weights = normalVariable([units, 3 * units], 1 / Math.sqrt(units), normal);
    this.variables = [...this.input.variables, weights];
  }

  /** All hidden states of the sequences `xs: [T, batch, inputs]`; from `h: [batch, units]` where it is given. */
  states(xs: tf.Tensor, h?: tf.Tensor): tf.Tensor[] {
    const inputs = tf.unstack(this.input.apply(xs)); // one product for all times
    let state = h ?? tf.zeros([xs.shape[1]!, this.units]);
    return inputs.map((input) => (state = this.step(input, state)));
  }

  private step(input: tf.Tensor, h: tf.Tensor): tf.Tensor {
    const product = tf.matMul(h as tf.Tensor2D, this.variables[2] as tf.Tensor as tf.Tensor2D);
    const [ofInput, ofState] = [input, product].map((x) => tf.split(x, [2 * this.units, this.units], 1));
    const [reset, update] = tf.split(tf.sigmoid(tf.add(ofInput[0], ofState[0])), 2, 1);
    const candidate = tf.tanh(tf.add(ofInput[1], tf.mul(reset, ofState[1])));
    return tf.add(candidate, tf.mul(update, tf.sub(h, candidate)));
  }
}
