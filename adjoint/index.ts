/**
 * Gradients of solutions.
 *
 * @module
 */
export { odeintAdjoint, type AdjointOptions } from './odeint_adjoint.js';
