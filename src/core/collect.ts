import { AbortedError, InvalidArgumentError, MaxStepsError, NonFiniteStateError, StepUnderflowError } from './errors.js';
import type { OdeError } from './errors.js';
import { AcceptedStep, integrate, requireFinite } from './integrate.js';
import type { Problem } from './problem.js';
import type { Reading } from './reading.js';

/** States at output times. They belong to whoever receives them. */
export interface Collected<S> {
  states: S[];
  /** What ended the solve early; `states` then holds what was reached. */
  failure: OdeError | null;
}

/** Runs a problem to its end, handing every accepted step to `consume`; returns the size of a next step. */
export function* consumeSteps<S>(
  problem: Problem<S>,
  breathing: boolean,
  consume: (step: AcceptedStep<S>) => void,
): Reading<number | null> {
  const loop = integrate(problem);
  try {
    for (let next = loop.next(); ; ) {
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
 * The states at `times`, the first of which is `t0`, the others in the order of travel.
 * @param keepGoing Return what was reached when the solve fails, instead of throwing.
 */
export function* collect<S>(
  problem: Problem<S>,
  times: Float64Array,
  { keepGoing = false, breathing = false },
): Reading<Collected<S>> {
  const { space, direction, system } = problem;
  const states: S[] = [];
  let suspect = false;
  const take = (step: AcceptedStep<S>): void => {
    suspect = false;
    while (states.length < times.length && (step.t1 - times[states.length]) * direction >= 0) {
      const t = times[states.length];
      const { nfe } = system.stats;
      const state = step.interpolate(t);
      space.disown(state);
      states.push(state);
      // Evaluations for the interpolant alone were not seen by any error estimate.
      suspect ||= system.stats.nfe > nfe || (t !== step.t1 && problem.steps.kind === 'fixed');
    }
  };
  try {
    states.push(problem.start());
    yield* consumeSteps(problem, breathing, take);
    if (suspect) yield* requireFiniteOutputs(problem, times, states);
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

function* requireFiniteOutputs<S>(problem: Problem<S>, times: Float64Array, states: readonly S[]): Reading<void> {
  for (let i = 0; i < states.length; i++) yield* requireFinite(problem, times[i], states[i]);
}

/* A solve with fixed steps learns at its end that something went wrong: look where it began. */
function* findFailure<S>(
  problem: Problem<S>,
  times: Float64Array,
  states: S[],
  error: unknown,
): Reading<unknown> {
  const late = error instanceof NonFiniteStateError && problem.steps.kind === 'fixed' && !problem.readsAreFree;
  if (!late) return error;
  for (let i = 0; i < states.length; i++) {
    try {
      yield* requireFinite(problem, times[i], states[i]);
    } catch (earlier) {
      if (i === 0) {
        return new InvalidArgumentError('y0 contains NaN or infinite values; expected finite numbers.', {
          t: times[0],
        });
      }
      for (const state of states.splice(i)) problem.space.release(problem.space.adopt(state));
      return earlier;
    }
  }
  return error;
}

/** Whether an error ends a solve that was begun properly. */
function isSolveFailure(error: unknown): error is OdeError {
  return [AbortedError, MaxStepsError, NonFiniteStateError, StepUnderflowError].some((kind) => error instanceof kind);
}
