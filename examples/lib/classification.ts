/** What classifiers are trained by and judged by. */
import * as tf from '@tensorflow/tfjs-core';

/**
 * The mean of `-sum q log p` with p the softmax of logits [batch, classes]. The target q is 1 at the label; with smoothing
 * (https://arxiv.org/abs/1512.00567) it is `1 - smoothing` there, and the rest is spread over all classes, the label's among them.
 */
export function crossEntropy(logits: tf.Tensor, labels: ArrayLike<number>, smoothing = 0): tf.Tensor {
  const classes = logits.shape[1]!;
  const sure = tf.cast(tf.oneHot(tf.tensor1d(Int32Array.from(labels), 'int32'), classes), 'float32');
  const target = smoothing === 0 ? sure : tf.add(tf.mul(sure, 1 - smoothing), smoothing / classes);
  return tf.neg(tf.mean(tf.sum(tf.mul(target, tf.logSoftmax(logits)), 1)));
}

/** Part of the samples whose largest score is that of their label; scores [labels.length, classes], row by row. */
export function accuracy(scores: Float32Array, labels: Uint8Array): number {
  const classes = scores.length / labels.length;
  let right = 0;
  labels.forEach((label, i) => {
    const row = scores.subarray(classes * i, classes * (i + 1));
    if (row.indexOf(Math.max(...row)) === label) right++;
  });
  return right / labels.length;
}
