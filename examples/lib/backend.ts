/** The fastest TensorFlow.js that is installed: native with CUDA, native, or else the embedded one. */
import type * as tfjs from '@tensorflow/tfjs';

type TensorFlow = typeof tfjs;

export interface Backend {
  tf: TensorFlow;
  /** As `tf.getBackend()` says: 'tensorflow', 'cpu' or 'wasm'. */
  name: string;
  /** For a line such as `backend: ${description}`. */
  description: string;
}

/**
 * Tries `@tensorflow/tfjs-node-gpu`, then `@tensorflow/tfjs-node`, which the user may have installed, and falls back on
 * the embedded default; `TFJS_BACKEND=cpu` or `wasm` skips the native ones. One that is installed but does not run here is named on stderr and passed over.
 */
export async function pickBackend(embedded: 'cpu' | 'wasm' = 'cpu'): Promise<Backend> {
  const wanted = process.env.TFJS_BACKEND;
  if (wanted === 'cpu' || wanted === 'wasm') return embeddedBackend(wanted);
  for (const packageName of ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node']) {
    const tf = await tryNative(packageName);
    if (tf === undefined) continue;
    const { isUsingGpuDevice } = tf.backend() as { isUsingGpuDevice?: boolean };
    const device = isUsingGpuDevice === true ? 'on the GPU' : 'on the CPU';
    return { tf, name: 'tensorflow', description: `${packageName} ${tf.version_core} ${device}` };
  }
  return embeddedBackend(embedded);
}

/** What `@tensorflow/tfjs` brings: on tensors of a few hundred numbers faster than a native backend. */
export async function embeddedBackend(embedded: 'cpu' | 'wasm'): Promise<Backend> {
  const tf = await import('@tensorflow/tfjs');
  tf.enableProdMode(); // no advice to install tfjs-node in the middle of the progress bar
  if (embedded === 'wasm') await import('@tensorflow/tfjs-backend-wasm');
  await select(tf, embedded);
  const language = embedded === 'wasm' ? 'WebAssembly' : 'plain JavaScript';
  return {
    tf,
    name: embedded,
    description: `@tensorflow/tfjs ${tf.version_core}, ${embedded} (${language})`,
  };
}

async function tryNative(packageName: string): Promise<TensorFlow | undefined> {
  try {
    const tf = (await import(packageName)) as TensorFlow;
    await select(tf, 'tensorflow');
    return tf;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const absent = code === 'ERR_MODULE_NOT_FOUND' && message.includes(`'${packageName}'`);
    if (!absent)
      console.error(`${packageName} is installed but does not run here: ${message.split('\n')[0]}`);
    return undefined;
  }
}

/** A first sum shows whether the backend works at all: tfjs-node can be imported on a Node that it cannot run on. */
async function select(tf: TensorFlow, name: string): Promise<void> {
  if (!(await tf.setBackend(name))) throw new Error(`the backend "${name}" did not start`);
  const sum = tf.tidy(() => tf.sum(tf.tensor1d([1, 2, 3])).dataSync()[0]);
  if (sum !== 6) throw new Error(`the backend "${name}" computed 1 + 2 + 3 = ${sum}`);
}
