/**
 * A convolution whose gradients run on the kernels that every backend has and has made fast: on wasm tfjs has no gradient of a
 * convolution's filter.
 */
import * as tf from '@tensorflow/tfjs-core';

/** One pixel on every side; `pad: 1` means that for square filters only. */
const border: tf.backend_util.ExplicitPadding = [
  [0, 0],
  [1, 1],
  [1, 1],
  [0, 0],
];

/**
 * The 3 x 3 convolution with a border of zeros, x `[n, height, width, p]`, filter `[3, 3, p, q]`. The gradient of x is a
 * convolution of g with the filter turned by 180 degrees; that of the filter one of x with g as its filter, where images and
 * channels have changed places.
 */
export const convolution = tf.customGrad((x, filter, save) => {
  (save as tf.GradSaveFunc)([x as tf.Tensor, filter as tf.Tensor]);
  const gradFunc = (g: tf.Tensor, [x, filter]: tf.Tensor[]) => {
    const turned = tf.transpose(tf.reverse(filter as tf.Tensor4D, [0, 1]), [0, 1, 3, 2]);
    const images = tf.transpose(x as tf.Tensor4D, [3, 1, 2, 0]);
    const slope = tf.transpose(g as tf.Tensor4D, [1, 2, 0, 3]);
    return [
      tf.conv2d(g as tf.Tensor4D, turned, 1, 'same'),
      tf.transpose(tf.conv2d(images, slope, 1, border), [1, 2, 0, 3]),
    ];
  };
  return { value: tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, 'same'), gradFunc };
}) as (x: tf.Tensor, filter: tf.Tensor) => tf.Tensor4D;
