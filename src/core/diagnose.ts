import { readNorm, type Reading } from './reading.js';
import type { Problem } from './problem.js';
import { sparseRow } from './space.js';
import type { StepState } from './stepper.js';

/* Only failures come here: a few more evaluations of func buy a message that names the cause. */

const itself = sparseRow([1]);
const difference = sparseRow([1, -1]);

/** Why a solve may have used up its steps. `h` is the last accepted step. */
export function* diagnoseSteps<S>(problem: Problem<S>, state: StepState<S>, h: number): Reading<string> {
  const raise = 'raise maxNumSteps';
  if (problem.steps.kind === 'fixed') return `Use a larger stepSize, or ${raise}.`;
  const { hint } = problem.stepper;
  if (hint) return `${hint} Otherwise loosen rtol and atol, shorten the interval, or ${raise}.`;
  const rate = yield* fastestRate(problem, state);
  if (h * rate > 1) {
    return (
      `The problem looks stiff: func reacts to changes of y at a rate of about ${rate.toExponential(1)} per unit of t, ` +
      'and stability, not accuracy, holds the steps of an explicit method near the inverse of that. Loosening the ' +
      'tolerance will not help, and this package has only explicit methods so far: remove the fast mode from the model, ' +
      `or ${raise}; a method made for stiff problems (BDF, Radau) must come from elsewhere.`
    );
  }
  return `The solution needs short steps at this tolerance: loosen rtol and atol, shorten the interval, or ${raise}.`;
}

/** Why a step may have become too small. */
export function* diagnoseUnderflow<S>(
  problem: Problem<S>,
  state: StepState<S>,
  belowMinimum: boolean,
): Reading<string> {
  if (belowMinimum) return 'Lower minStep, or loosen rtol and atol.';
  const { stepper, system, direction } = problem;
  const size = yield* norm(problem, state, itself, [state.y0]);
  const slope = yield* norm(problem, state, itself, [stepper.slope(system, state)]);
  const growthTime = size / slope;
  if (growthTime < 1e-6 * Math.max(Math.abs(state.t0 - problem.t0), 1e-9)) {
    const end = state.t0 + direction * growthTime;
    return (
      `The solution changes by its own size within ${growthTime.toExponential(1)}: it seems to grow without bound near ` +
      `t = ${end.toPrecision(6)}. End the interval before that time, or check the sign of the growing term in func.`
    );
  }
  return (
    'func seems to be discontinuous or noisy there: name the time in jumpT, make func smooth and deterministic, or ' +
    `loosen rtol and atol.${stepper.hint ? ` ${stepper.hint}` : ''}`
  );
}

/*
 * Spectral radius of df/dy by the power method on finite differences.
 */
function* fastestRate<S>(problem: Problem<S>, state: StepState<S>): Reading<number> {
  const { space, system, stepper } = problem;
  const { t0, y0 } = state;
  const slope = stepper.slope(system, state);
  const size = Math.max(1, yield* norm(problem, state, itself, [y0]));
  let direction = space.copy(slope);
  let rate = 0;
  for (let i = 0; i < 12; i++) {
    const length = yield* norm(problem, state, itself, [direction]);
    if (!(length > 0) || !Number.isFinite(length)) break;
    const step = (Math.sqrt(space.epsilon) * size) / length;
    const moved = space.combine(y0, step, itself, [direction]);
    const there = system.evaluate(t0, moved);
    space.release(moved);
    space.release(direction);
    direction = space.increment(1 / step, difference, [there, slope]);
    space.release(there);
    const stretched = yield* norm(problem, state, itself, [direction]);
    if (!Number.isFinite(stretched)) break;
    rate = stretched / length;
  }
  space.release(direction);
  return rate;
}

function* norm<S>({ space }: Problem<S>, { y0 }: StepState<S>, row: typeof itself, ks: S[]): Reading<number> {
  return (yield* readNorm(space.errorNorm(1, row, ks, y0, y0)))[0];
}
