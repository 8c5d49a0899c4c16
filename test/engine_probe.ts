/**
 * Looks into tfjs's engine: what it holds, where its scopes and its tape stand, what it launches and reads.
 */
import * as tf from '@tensorflow/tfjs';
import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import { expect } from 'chai';
import { defaultBackend } from './backends.js';

/** What tfjs holds, and the state a call must leave as it found it. */
export function engineState() {
  const { numTensors, numBytes } = tf.memory();
  const { scopeStack, gradientDepth, kernelDepth } = tf.engine().state;
  return { numTensors, numBytes, scopes: scopeStack.length, gradientDepth, kernelDepth };
}

/** The tensors anywhere inside a value, each once. */
export function tensorsIn(value: unknown): tf.Tensor[] {
  const found = new Set<tf.Tensor>();
  const visit = (node: unknown): void => {
    if (node instanceof tf.Tensor) found.add(node);
    else if (Array.isArray(node)) node.forEach(visit);
    else if (node?.constructor === Object) Object.values(node).forEach(visit);
  };
  visit(value);
  return [...found];
}

function expectGrowth(before: ReturnType<typeof engineState>, returned: unknown): void {
  const tensors = tensorsIn(returned);
  const bytes = tensors.reduce((sum, tensor) => sum + 4 * tensor.size, 0);
  expect(engineState()).to.deep.equal({
    ...before,
    numTensors: before.numTensors + tensors.length,
    numBytes: before.numBytes + bytes,
  });
}

/** Runs `call`; the engine must have grown by exactly the tensors it returns, by nothing when it throws. */
export function leavesOnlyItsResult<T>(call: () => T): T {
  const before = engineState();
  let result: T;
  try {
    result = call();
  } catch (error) {
    expectGrowth(before, []);
    throw error;
  }
  expectGrowth(before, result);
  return result;
}

/** The same for a promise. */
export async function leavesOnlyItsResultAsync<T>(call: () => Promise<T>): Promise<T> {
  const before = engineState();
  let result: T;
  try {
    result = await call();
  } catch (error) {
    expectGrowth(before, []);
    throw error;
  }
  expectGrowth(before, result);
  return result;
}

/** What `call` throws; fails when it does not throw. */
export function thrownBy(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

/** What a promise is rejected with; fails when it is fulfilled. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error('nothing was thrown');
    },
    (error: unknown) => error,
  );
}

/** Kernel launches and host reads, outside whatever `uncounted` wraps. */
export interface Launches {
  /** Launches by kernel, without Reshape and Identity, which move nothing. */
  kernels: Record<string, number>;
  total: number;
  reads: number;
}

/** Counts what `run` makes the active backend do. Wrap func in `uncounted` to leave its own launches out. */
export function countLaunches(
  run: (uncounted: <F extends (...args: never[]) => unknown>(f: F) => F) => void,
): Launches {
  const counts: Launches = { kernels: {}, total: 0, reads: 0 };
  const engine = tf.engine();
  const backend = tf.backend();
  const runKernel = engine.runKernel.bind(engine);
  const readSync = backend.readSync.bind(backend);
  let counting = true;
  const uncounted = <F extends (...args: never[]) => unknown>(f: F): F =>
    ((...args: never[]) => {
      counting = false;
      try {
        return f(...args);
      } finally {
        counting = true;
      }
    }) as F;
  engine.runKernel = ((...args: Parameters<typeof runKernel>) => {
    const [name] = args;
    if (counting && name !== 'Reshape' && name !== 'Identity') {
      counts.kernels[name] = (counts.kernels[name] ?? 0) + 1;
      counts.total++;
    }
    return runKernel(...args);
  }) as typeof engine.runKernel;
  backend.readSync = (id) => {
    if (counting) counts.reads++;
    return readSync(id);
  };
  try {
    run(uncounted);
  } finally {
    // Both are methods of the class again.
    Reflect.deleteProperty(engine, 'runKernel');
    Reflect.deleteProperty(backend, 'readSync');
  }
  return counts;
}

/**
 * Switches to a copy of the cpu backend under another name, for which the library has no kernels of its own: what
 * stock ops do, on machines without a native backend too.
 */
export async function useStockCpu(): Promise<void> {
  const name = 'stock-cpu';
  if (!tf.engine().registryFactory[name]) {
    tf.registerBackend(name, () => new MathBackendCPU());
    tf.copyRegisteredKernels('cpu', name);
    for (const { kernelName } of tf.getKernelsForBackend(name)) {
      if (kernelName.startsWith('Ode')) tf.unregisterKernel(kernelName, name);
    }
  }
  await tf.setBackend(name);
}

/** Declares tests on that backend. */
export function onStockCpu(body: () => void): void {
  describe('on cpu with stock ops only', () => {
    before(useStockCpu);
    after(async () => {
      await tf.setBackend(defaultBackend);
    });
    body();
  });
}
