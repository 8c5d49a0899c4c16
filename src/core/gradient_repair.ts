import { getGradient, registerGradient, unregisterGradient, type GradConfig } from '@tensorflow/tfjs-core';
import { arrayGradients } from './gradients/arrays.js';
import { imageGradients } from './gradients/images.js';
import { logSoftmaxGradients } from './gradients/log_softmax.js';
import { pointwiseGradients } from './gradients/pointwise.js';
import { poolingGradients } from './gradients/pooling.js';
import { productGradients } from './gradients/products.js';

/*
 * Some gradients of tfjs are silently wrong, mostly from the second derivative on, and some are missing
 * (docs/gradients.md has the table). The registry of gradients is global, and importing tfjs or tfjs-layers fills it
 * again, so what is registered here is verified wherever a gradient begins.
 */

interface Repair {
  configs: readonly GradConfig[];
  /** What was registered before, by kernel; undefined where tfjs has no gradient. */
  stock: Map<string, GradConfig | undefined>;
  optedOut: boolean;
}

/* As global as the registry, so that two copies of the package in one program do not repair each other. */
const shared = globalThis as { [key: symbol]: Repair | undefined };
const repair = (shared[Symbol.for('tfjs-diffeq.gradients')] ??= {
  configs: [
    ...pointwiseGradients,
    ...arrayGradients,
    ...logSoftmaxGradients,
    ...productGradients,
    ...imageGradients,
    ...poolingGradients,
  ],
  stock: new Map(),
  optedOut: false,
});

/**
 * Replaces the gradients of tfjs that are wrong, and adds those that are missing, unless they already are ours. Does
 * nothing after {@link restoreStockGradients}. Cheap: one look-up per kernel.
 */
export function verifyGradients(): void {
  if (repair.optedOut) return;
  for (const config of repair.configs) {
    const current = getGradient(config.kernelName);
    if (current === config) continue;
    repair.stock.set(config.kernelName, current);
    register(config);
  }
}

/**
 * Repairs the gradients of tfjs: those that are wrong, at first order or only as gradients of gradients, and those
 * that are missing. Importing the package does it already; this undoes {@link restoreStockGradients}.
 */
export function repairGradients(): void {
  repair.optedOut = false;
  verifyGradients();
}

/**
 * Puts the gradients of tfjs back as they were before the package was imported, and leaves them alone until
 * {@link repairGradients} is called. Second derivatives of `exp`, `tanh`, `sigmoid` and others are then silently wrong.
 */
export function restoreStockGradients(): void {
  repair.optedOut = true;
  for (const config of repair.configs) {
    const { kernelName } = config;
    // Whatever others registered since is theirs.
    if (getGradient(kernelName) !== config) continue;
    const before = repair.stock.get(kernelName);
    if (before) register(before);
    else unregisterGradient(kernelName);
  }
  repair.stock.clear();
}

/* tfjs warns of an overwritten gradient in debug mode. */
function register(config: GradConfig): void {
  if (getGradient(config.kernelName)) unregisterGradient(config.kernelName);
  registerGradient(config);
}
