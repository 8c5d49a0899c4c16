/**
 * Gradients of solutions.
 *
 * @module
 */
export type { AdjointOptions } from './adjoint_options.js';
export { odeintAdjoint } from './odeint_adjoint.js';
export {
  odeintVjp,
  odeintVjpAsync,
  type PlainVjpOptions,
  type SolutionVjp,
  type TensorGradients,
} from './odeint_vjp.js';
export type { PlainVjp } from './plain_products.js';
export type { PlainGradients } from './plain_vjp.js';
