import { DeviceRead, type ErrorNorm } from './space.js';
import { recordedOrForgotten } from './tape.js';

/** A loop that asks for reads and returns a result; `null` asks for nothing but lets the driver breathe. */
export type Reading<T> = Generator<DeviceRead | null, T, ArrayLike<number>>;

const nothing: ArrayLike<number> = [];

/** Asks the driver for the values of a norm, and disposes what was read. */
export function* readNorm(norm: ErrorNorm): Reading<ArrayLike<number>> {
  if (typeof norm === 'number') return [norm];
  if (!(norm instanceof DeviceRead)) return norm;
  try {
    return norm.finish(yield norm);
  } finally {
    norm.tensor.dispose();
  }
}

/** The values a read asks for, at once. */
export function answerSync(read: DeviceRead | null): ArrayLike<number> {
  return read ? read.tensor.dataSync() : nothing;
}

/** The values a read asks for, awaited. */
export async function answerAsync(read: DeviceRead | null): Promise<ArrayLike<number>> {
  return read ? read.tensor.data() : nothing;
}

/** Answers reads at once. */
export function runSync<T>(loop: Reading<T>): T {
  return recordedOrForgotten(() => {
    try {
      for (let next = loop.next(); ;) {
        if (next.done) return next.value;
        next = loop.next(answerSync(next.value));
      }
    } finally {
      loop.return(undefined as T);
    }
  });
}

/** Awaits reads, and lets other tasks run now and then. */
export async function runAsync<T>(loop: Reading<T>): Promise<T> {
  try {
    const breathe = breather();
    for (let next = loop.next(); ;) {
      if (next.done) return next.value;
      const values = await answerAsync(next.value);
      await breathe();
      next = loop.next(values);
    }
  } finally {
    loop.return(undefined as T);
  }
}

/**
 * A function to await often: every 10 ms it gives timers, input and other requests a turn. (Awaiting alone runs only
 * what is queued as microtasks.)
 */
export function breather(): () => Promise<void> | undefined {
  let last = performance.now();
  return () => {
    if (performance.now() - last < 10) return undefined;
    return new Promise((resolve) =>
      setTimeout(() => {
        last = performance.now();
        resolve();
      }),
    );
  };
}
