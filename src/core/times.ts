import type { Tensor, Tensor1D } from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError } from './errors.js';
import { isTensor } from './tree.js';

/** Output times: numbers, or a 1-D tensor to which gradients flow. */
export type TimeGrid = readonly number[] | Float64Array | Float32Array | Tensor1D;

/** Reads and checks output times. A tensor is read from its device. */
export function readTimes(t: unknown): Float64Array {
  return checkTimes(isTensor(t) ? fromTensor(t, alive(t).dataSync()) : t);
}

/** `readTimes` for backends without synchronous reads. */
export async function readTimesAsync(t: unknown): Promise<Float64Array> {
  return checkTimes(isTensor(t) ? fromTensor(t, await alive(t).data()) : t);
}

function alive(t: Tensor): Tensor {
  if (t.isDisposed) throw new InvalidArgumentError('t is disposed; expected a tensor that is still alive.');
  return t;
}

function fromTensor(t: Tensor, values: ArrayLike<number>): Float64Array {
  if (t.rank === 1 && t.dtype !== 'string' && t.dtype !== 'bool') return Float64Array.from(values);
  throw new InvalidArgumentError(
    `t is ${describe(t)}; expected a 1-D float32 tensor of times, strictly increasing or decreasing.`,
  );
}

function checkTimes(t: unknown): Float64Array {
  const list = Array.isArray(t) || (ArrayBuffer.isView(t) && !(t instanceof DataView));
  if (!list) {
    throw new InvalidArgumentError(
      `t is ${describe(t)}; expected the output times as a number[], a Float64Array or a 1-D tensor, ` +
        'for example [0, 1]: the first one is the time of y0.',
    );
  }
  const times = t as ArrayLike<number>;
  if (times.length === 0) {
    throw new InvalidArgumentError('t is empty; expected at least one time, that of y0.');
  }
  for (let i = 0; i < times.length; i++) {
    if (typeof times[i] !== 'number' || !Number.isFinite(times[i])) {
      throw new InvalidArgumentError(`t[${i}] is ${describe(times[i])}; expected a finite number.`);
    }
  }
  const direction = Math.sign(times[1] - times[0]);
  for (let i = 1; i < times.length; i++) {
    const step = times[i] - times[i - 1];
    if (step === 0) {
      throw new InvalidArgumentError(
        `t[${i - 1}] and t[${i}] are both ${times[i]}; remove the repeated time.`,
      );
    }
    if (Math.sign(step) !== direction) {
      throw new InvalidArgumentError(
        `t turns round at t[${i}] = ${times[i]}, after ${times[i - 1]}; expected strictly increasing or strictly ` +
          'decreasing times. Sort them.',
      );
    }
  }
  return Float64Array.from(times);
}
