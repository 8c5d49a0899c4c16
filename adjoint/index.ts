/**
 * Gradients of solutions.
 *
 * @module
 */
export type { AdjointOptions } from './adjoint_options.js';
export { gradcheck } from './gradcheck.js';
export type {
  GradcheckCommonOptions,
  GradcheckMode,
  GradcheckOptions,
  PlainGradcheckOptions,
} from './gradcheck_options.js';
export type { GradcheckEntry, GradcheckReport, GradcheckRow } from '../src/core/gradient_report.js';
export { odeintAdjoint } from './odeint_adjoint.js';
export {
  odeintVjp,
  odeintVjpAsync,
  type EventSolutionVjp,
  type PlainVjpOptions,
  type SolutionVjp,
  type TensorGradients,
} from './odeint_vjp.js';
export type { PlainVjp } from './plain_products.js';
export type { PlainGradients } from './plain_vjp.js';
