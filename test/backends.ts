/**
 * Which tfjs backend a test runs on.
 *
 * Mocha loads this file before the others: from then on tfjs knows its gradients, and every test runs on
 * `cpu`, or on the backend that the environment variable `TFJS_BACKEND` names.
 */
import { createRequire } from 'node:module';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';

export const backendNames = ['cpu', 'wasm', 'tensorflow'] as const;
/** `tensorflow` is the native backend of tfjs-node. */
export type BackendName = (typeof backendNames)[number];

/** Why a backend cannot be used on this machine, for the titles of what is skipped. */
const missing = new Map<BackendName, string>();

function loadNative(): void {
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  try {
    createRequire(import.meta.url)('@tensorflow/tfjs-node');
    void tf.setBackend('tensorflow');
    tf.tidy(() => tf.matMul([[1]], [[1]]).dataSync());
  } catch (error) {
    const notInstalled = (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    const reason = (error as Error).message.split('\n', 1)[0];
    missing.set(
      'tensorflow',
      notInstalled ? '@tensorflow/tfjs-node is not installed' : `tfjs-node fails: ${reason}`,
    );
  }
}

function readDefaultBackend(): BackendName {
  const name = process.env.TFJS_BACKEND ?? 'cpu';
  const known = backendNames.find((candidate) => candidate === name);
  if (known === undefined)
    throw new Error(`TFJS_BACKEND is "${name}", expected one of ${backendNames.join(', ')}`);
  const reason = missing.get(known);
  if (reason !== undefined) throw new Error(`TFJS_BACKEND is "${name}", but ${reason}`);
  return known;
}

tf.env().set('PROD', true); // silences the cpu backend's advertisement of tfjs-node
loadNative();

/** The backend of every test that does not ask for one with `onBackends`. */
export const defaultBackend = readDefaultBackend();
void tf.setBackend(defaultBackend === 'wasm' ? 'cpu' : defaultBackend); // tensors made while files load
before(async () => {
  await tf.setBackend(defaultBackend);
});

/** The backends that this machine has, `cpu` first. */
export async function availableBackends(): Promise<BackendName[]> {
  const current = tf.getBackend();
  const found: BackendName[] = [];
  for (const name of backendNames) {
    if (!missing.has(name) && (await canStart(name))) found.push(name);
  }
  await tf.setBackend(current);
  return found;
}

async function canStart(name: BackendName): Promise<boolean> {
  try {
    return await tf.setBackend(name);
  } catch {
    return false;
  }
}

/**
 * Declares the same tests once per backend. A backend that is missing here, or ruled out by `TFJS_BACKEND`,
 * is skipped with the reason in its title.
 *
 *     onBackends(['cpu', 'wasm', 'tensorflow'], (name) => {
 *       it('conserves energy', () => { ... });
 *     });
 */
export function onBackends(names: readonly BackendName[], body: (name: BackendName) => void): void {
  for (const name of names) {
    const reason = whyNot(name);
    if (reason !== undefined) {
      describe.skip(`on ${name} (skipped: ${reason})`, () => body(name));
      continue;
    }
    describe(`on ${name}`, () => {
      before(async () => {
        if (!(await tf.setBackend(name))) throw new Error(`backend ${name} did not start`);
      });
      after(async () => {
        await tf.setBackend(defaultBackend);
      });
      body(name);
    });
  }
}

function whyNot(name: BackendName): string | undefined {
  const forced = process.env.TFJS_BACKEND;
  if (forced !== undefined && forced !== name) return `TFJS_BACKEND is ${forced}`;
  return missing.get(name);
}
