/**
 * A solve as a layer of `tf.sequential` and `tf.model`. Needs `@tensorflow/tfjs-layers`, which `@tensorflow/tfjs` brings.
 *
 * @module
 */
export { NeuralODE, neuralODE } from './neural_ode.js';
export type { NeuralODEConfig, NeuralODEOptions } from './config.js';
