/**
 * Optimizers that gradients can flow through, meta-learning, Newton and quasi-Newton methods, and second derivatives.
 *
 * @module
 */
export { adagrad, adam, adamw, rmsprop } from './adaptive.js';
export type { AdagradOptions, AdamOptions, RmspropOptions } from './adaptive.js';
export {
  chain,
  clipByGlobalNorm,
  type AnyTransform,
  type ChainState,
  type GradientTransform,
} from './chain.js';
export type { ConjugateGradientOptions } from './conjugate_gradient.js';
export { hessian, hvp, jacobian, jvp, nthDerivative } from './derivatives.js';
export { imaml, implicitMinimum, type ImamlOptions } from './implicit.js';
export { MetaAdam, MetaOptimizer, MetaSGD } from './meta.js';
export {
  MixedMultiOptimizer,
  MultiOptimizer,
  TfjsMultiOptimizer,
  type AnyOptimizer,
  type Assignment,
} from './multi.js';
export { FunctionalNet, functionalNet, layersNet, type LayersModelLike } from './net.js';
export { newtonStep } from './newton.js';
export {
  Newton,
  type NewtonLimits,
  type NewtonOptions,
  type NewtonResult,
  type NewtonState,
} from './newton_method.js';
export type { PlainObjective } from './objective.js';
export type { LearningRate, Optimizer, OptimizerOptions, OptimizerState } from './optimizer.js';
export type { Updated } from './params.js';
export { bfgs, lbfgs, type LbfgsOptions, type MinimizeOptions, type MinimizeResult } from './quasi_newton.js';
export {
  constantSchedule,
  cosineDecay,
  exponentialDecay,
  piecewiseConstant,
  warmup,
  type Schedule,
} from './schedules.js';
export { sgd, type SgdOptions } from './sgd.js';
export { extractStateDict, recoverStateDict, type ExtractBy } from './state_dict.js';
export { valueAndGrad, type Loss } from './value_and_grad.js';
