import {
  AbortedError,
  InvalidArgumentError,
  MaxStepsError,
  NonFiniteStateError,
  StepUnderflowError,
} from './errors.js';
import type { OdeError } from './errors.js';
import { AcceptedStep, integrate } from './integrate.js';
import { nonFiniteStep } from './step_sizes.js';
import type { Problem } from './problem.js';
import { readNorm, type Reading } from './reading.js';
import { sparseRow } from './space.js';

/** States at output times. They belong to whoever receives them. */
export interface Collected<S> {
  states: S[];
  /** What ended the solve early; `states` then holds what was reached. */
  failure: OdeError | null;
}

/** How states are collected. */
export interface CollectRun {
  /** Return what was reached when the solve fails, instead of throwing. */
  keepGoing?: boolean;
  breathing?: boolean;
  /** After every accepted step. */
  onStep?: () => void;
}

/** Runs a problem to its end, handing every accepted step to `consume`; returns the size of a next step. */
export function* consumeSteps<S>(
  problem: Problem<S>,
  breathing: boolean,
  consume: (step: AcceptedStep<S>) => void,
): Reading<number | null> {
  const loop = integrate(problem);
  try {
    for (let next = loop.next(); ;) {
      if (next.done) return next.value;
      const { value } = next;
      if (value instanceof AcceptedStep) {
        consume(value);
        if (breathing) yield null;
        next = loop.next();
      } else {
        next = loop.next(yield value);
      }
    }
  } finally {
    loop.return(null);
  }
}

/**
 * The states at `times`, the first of which is `t0`, the others in the order of travel; those that were reached, when an
 * event ends the solve.
 */
export function* collect<S>(
  problem: Problem<S>,
  times: Float64Array,
  { keepGoing = false, breathing = false, onStep }: CollectRun,
): Reading<Collected<S>> {
  const { space, direction, system } = problem;
  const states: S[] = [];
  let suspect = false;
  let unseen = false;
  const take = (step: AcceptedStep<S>): void => {
    if (onStep) onStep();
    suspect = false;
    while (states.length < times.length && (step.t1 - times[states.length]) * direction >= 0) {
      const t = times[states.length];
      const { nfe } = system.stats;
      const state = step.interpolate(t);
      space.disown(state);
      states.push(state);
      // No error estimate saw what was evaluated for the interpolant; only the first such stage begins the next step.
      const added = system.stats.nfe - nfe;
      suspect ||= added > 0 || (t !== step.t1 && problem.steps.kind === 'fixed');
      unseen ||= added > 1;
    }
  };
  try {
    states.push(problem.start());
    yield* consumeSteps(problem, breathing, take);
    if (suspect || unseen) yield* requireFiniteOutputs(problem, times, states);
    return { states, failure: null };
  } catch (error) {
    try {
      const failure = yield* findFailure(problem, times, states, error);
      if (keepGoing && isSolveFailure(failure)) return { states, failure };
      throw failure;
    } catch (final) {
      for (const state of states) space.release(space.adopt(state));
      throw final;
    }
  }
}

/* Drops the outputs from the first one on that is not finite, and throws if there is one. */
function* requireFiniteOutputs<S>(problem: Problem<S>, times: Float64Array, states: S[]): Reading<void> {
  const n = yield* countFinite(problem, states);
  if (n === states.length) return;
  for (const state of states.splice(n)) problem.space.release(problem.space.adopt(state));
  if (n > 0) throw nonFiniteStep(problem, times[n], problem.system.stats.lastStep);
  throw new InvalidArgumentError('y0 contains NaN or infinite values; expected finite numbers.', {
    t: times[0],
  });
}

/* How many of the states, from the first one on, are finite. If all are, that costs one read: 0 * NaN is NaN. */
function* countFinite<S>({ space }: Problem<S>, states: readonly S[]): Reading<number> {
  const others = states.slice(1);
  const all = space.advance(states[0], 0, sparseRow(others.map(() => 1)), others, null);
  const [flag] = Array.from(yield* readNorm(space.finiteness(all)));
  space.release(all);
  if (flag === 0) return states.length;
  let n = 0;
  while (n < states.length && (yield* readNorm(space.finiteness(states[n])))[0] === 0) n++;
  return n;
}

/* A solve on tensors with fixed steps learns at its end, or not at all, that something went wrong: look where. */
function* findFailure<S>(
  problem: Problem<S>,
  times: Float64Array,
  states: S[],
  error: unknown,
): Reading<unknown> {
  const unchecked = problem.steps.kind === 'fixed' || problem.t0 === problem.t1;
  if (!unchecked || problem.readsAreFree || !isSolveFailure(error)) return error;
  try {
    yield* requireFiniteOutputs(problem, times, states);
    return error;
  } catch (earlier) {
    return earlier;
  }
}

/** Whether an error ends a solve that was begun properly. */
function isSolveFailure(error: unknown): error is OdeError {
  return [AbortedError, MaxStepsError, NonFiniteStateError, StepUnderflowError].some(
    (kind) => error instanceof kind,
  );
}
