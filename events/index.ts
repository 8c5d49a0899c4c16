/**
 * Events: solves that end at a root, hybrid systems, steady states.
 *
 * @module
 */
export { odeintEvent, odeintEventAsync, type EventInterface } from './odeint_event.js';
export {
  odeintHybrid,
  odeintHybridAsync,
  type HybridEvent,
  type HybridOptions,
  type HybridSolution,
  type PlainAffect,
  type TensorAffect,
} from './odeint_hybrid.js';
export type { HybridRecord } from './hybrid_walk.js';
export { terminateAtSteadyState, type SteadyStateOptions } from './steady_state.js';
