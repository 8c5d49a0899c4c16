/** The most that tfjs held while something ran. */
import * as tf from '@tensorflow/tfjs-core';

export interface Peak {
  tensors: number;
  bytes: number;
}

/**
 * Runs `action` and returns how far tensors and bytes rose above what there was before. tfjs's own counters are watched
 * at every change, so that nothing which lives between two calls of a vector field is missed.
 */
export function peakMemory(action: () => void): Peak {
  const { state } = tf.engine();
  const tensors = watch(state, 'numTensors');
  const bytes = watch(state, 'numBytes');
  try {
    action();
  } finally {
    tensors.stop();
    bytes.stop();
  }
  return { tensors: tensors.rise(), bytes: bytes.rise() };
}

function watch<K extends string>(counters: Record<K, number>, name: K) {
  const before = counters[name];
  let [value, most] = [before, before];
  const set = (next: number) => {
    value = next;
    if (next > most) most = next;
  };
  Object.defineProperty(counters, name, { get: () => value, set, configurable: true, enumerable: true });
  const plain = { writable: true, configurable: true, enumerable: true };
  return {
    rise: () => most - before,
    stop: () => void Object.defineProperty(counters, name, { ...plain, value }),
  };
}
