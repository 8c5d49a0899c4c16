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
    scale = 1,
  ) {
    const weights = normalVariable([inputs, outputs], scale / Math.sqrt(inputs), normal);
    this.variables = [weights, normalVariable([outputs], 0, normal)];
  }

  apply(x: tf.Tensor): tf.Tensor {
    const [w, b] = this.variables as tf.Tensor[];
    const flat = tf.reshape(x, [-1, this.inputs]);
    const y = tf.add(tf.matMul(flat as tf.Tensor2D, w as tf.Tensor2D), b);
    return tf.reshape(y, [...x.shape.slice(0, -1), this.outputs]);
  }
}

/** `h = tanh(x W + b + h U)`, or a gated recurrent unit (https://arxiv.org/abs/1406.1078); `h = 0` at first. */
export class Recurrent {
  readonly variables: tf.Variable[];
  private readonly input: Linear;

  constructor(
    inputs: number,
    readonly units: number,
    normal: () => number,
    private readonly gated = false,
  ) {
    const columns = gated ? 3 * units : units;
    this.input = new Linear(inputs, columns, normal);
    const weights = normalVariable([units, columns], 1 / Math.sqrt(units), normal);
    this.variables = [...this.input.variables, weights];
  }

  /** All hidden states of the sequences `xs: [T, batch, inputs]`; from `h: [batch, units]` where it is given. */
  states(xs: tf.Tensor, h?: tf.Tensor): tf.Tensor[] {
    const inputs = tf.unstack(this.input.apply(xs)); // one product for all times
    let state = h ?? tf.zeros([xs.shape[1]!, this.units]);
    return inputs.map((input) => (state = this.gated ? this.gate(input, state) : this.plain(input, state)));
  }

  private product(h: tf.Tensor): tf.Tensor2D {
    return tf.matMul(h as tf.Tensor2D, this.variables[2] as tf.Tensor as tf.Tensor2D);
  }

  private plain(input: tf.Tensor, h: tf.Tensor): tf.Tensor {
    return tf.tanh(tf.add(input, this.product(h)));
  }

  private gate(input: tf.Tensor, h: tf.Tensor): tf.Tensor {
    const [ofInput, ofState] = [input, this.product(h)].map((x) =>
      tf.split(x, [2 * this.units, this.units], 1),
    );
    const [reset, update] = tf.split(tf.sigmoid(tf.add(ofInput[0], ofState[0])), 2, 1);
    const candidate = tf.tanh(tf.add(ofInput[1], tf.mul(reset, ofState[1])));
    return tf.add(candidate, tf.mul(update, tf.sub(h, candidate)));
  }
}
