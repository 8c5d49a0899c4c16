/**
 * Differential equations for TensorFlow.js.
 *
 * @module
 */
import { repairGradients, restoreStockGradients, verifyGradients } from './core/gradient_repair.js';

verifyGradients();

export { repairGradients, restoreStockGradients };
export { odeint, odeintAsync } from './odeint.js';
export { odeintWith } from './odeint_with.js';
export { odeintDense, odeintDenseAsync, type DenseSolution } from './dense.js';
export {
  solve,
  solveAsync,
  type Solution,
  type SolveOnlyOptions,
  type SolveStatus,
  type WatchOptions,
} from './solve.js';
export {
  iterate,
  iterateAsync,
  type AsyncStepIterator,
  type IterateInterval,
  type Step,
  type StepIterator,
} from './iterate.js';
export {
  gradcheck,
  odeintAdjoint,
  odeintVjp,
  odeintVjpAsync,
  type AdjointOptions,
  type EventSolutionVjp,
  type GradcheckCommonOptions,
  type GradcheckEntry,
  type GradcheckMode,
  type GradcheckOptions,
  type GradcheckReport,
  type GradcheckRow,
  type PlainGradcheckOptions,
  type PlainGradients,
  type PlainVjp,
  type PlainVjpOptions,
  type SolutionVjp,
  type TensorGradients,
} from '../adjoint/index.js';
export {
  odeintEvent,
  odeintEventAsync,
  odeintHybrid,
  odeintHybridAsync,
  terminateAtSteadyState,
  type EventInterface,
  type HybridEvent,
  type HybridOptions,
  type HybridRecord,
  type HybridSolution,
  type PlainAffect,
  type TensorAffect,
  type SteadyStateOptions,
} from '../events/index.js';
export type { EventRecord } from './odeint_with.js';
export type { EventSolveOptions } from './event_solve.js';
export type { Direction, EventOption, PlainEventFunc, TensorEventFunc } from './core/events.js';
export { fromLayer, type LayerLike } from './core/from_layer.js';
export { ButcherTableau, ExplicitRungeKutta, methodNames, type TableauData } from '../solvers/index.js';
export type { Stepper, StepState } from './core/stepper.js';
export {
  AbortedError,
  GradientMismatchError,
  InvalidArgumentError,
  MaxStepsError,
  MissingGradientError,
  NoEventError,
  NonFiniteStateError,
  OdeError,
  StepUnderflowError,
  type FailurePoint,
  type SolveStats,
} from './core/errors.js';
export type { ControllerOption } from './core/controller.js';
export type {
  AdaptiveOptions,
  CommonOptions,
  FixedStepOptions,
  Float64NormFunction,
  MethodName,
  SolveOptions,
  StepReport,
  TableauLike,
  TensorNormFunction,
  Tolerance,
} from './core/options.js';
export type { TimeGrid } from './core/times.js';
export type { TensorTree, TreeOf } from './core/tree.js';
export type {
  InPlaceFunc,
  InPlaceOptions,
  InPlaceQuadratureOptions,
  InPlaceSolveOptions,
  PlainFunc,
  PlainOptions,
  PlainQuadratureOptions,
  PlainSolveOptions,
  PlainState,
  QuadratureOptions,
  TensorFunc,
  TensorOptions,
  TensorSolveOptions,
  TreeLike,
} from './core/types.js';
