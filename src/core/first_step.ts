import { InvalidArgumentError, NonFiniteStateError } from './errors.js';
import { readNorm, type Reading } from './reading.js';
import type { Problem } from './problem.js';
import { sparseRow } from './space.js';
import type { StepState } from './stepper.js';

const itself = sparseRow([1]);
const difference = sparseRow([1, -1]);

const plainHint =
  "It is called as (t, y, args), time first: scipy's odeint has (y, t), torchdiffeq and solve_ivp have (t, y).";
const tensorHint = 'On tensors, t is a tensor too: write tf.cos(t); Math.cos(t) is NaN.';

/**
 * Size of the first step, by the algorithm of Hairer, Norsett & Wanner (Solving Ordinary Differential Equations I,
 * section II.4): an explicit Euler probe estimates the second derivative.
 * @param k Order of the error estimate plus one.
 * @param bound Largest size allowed; the probe does not leave it either.
 */
export function* chooseFirstStep<S>(
  problem: Problem<S>,
  state: StepState<S>,
  k: number,
  bound: number,
): Reading<number> {
  const { space, system, stepper, direction } = problem;
  const { t0, y0 } = state;
  const norm = (row: typeof itself, ks: S[]) => readNorm(space.errorNorm(1, row, ks, y0, y0));
  const slope = stepper.slope(system, state);
  const [d0] = Array.from(yield* norm(itself, [y0]));
  if (!Number.isFinite(d0)) {
    const [finite] = Array.from(yield* readNorm(space.finiteness(y0)));
    throw new InvalidArgumentError(
      finite === 0
        ? 'y0 has elements that cannot be compared with their tolerance rtol |y| + atol: ones that are 0 need a ' +
            'positive atol, and very large ones another unit.'
        : 'y0 contains NaN or infinite values; expected finite numbers.',
      { t: t0 },
    );
  }
  const [d1] = Array.from(yield* norm(itself, [slope]));
  if (!Number.isFinite(d1)) {
    throw new NonFiniteStateError(
      `func returned NaN or infinite values at the start, t = ${t0}. Check it at y0 (division by zero, log or sqrt of ` +
        `a negative number). ${problem.readsAreFree ? plainHint : tensorHint}`,
      { t: t0, h: 0, stats: system.stats },
    );
  }
  const h0 = Math.min(bound, d0 < 1e-5 || d1 < 1e-5 ? 1e-6 : (0.01 * d0) / d1);
  const probe = space.combine(y0, direction * h0, itself, [slope]);
  const probeSlope = system.evaluate(t0 + direction * h0, probe);
  space.release(probe);
  const [change] = Array.from(yield* norm(difference, [probeSlope, slope]));
  space.release(probeSlope);
  const d2 = change / h0;
  if (!Number.isFinite(d2)) return Math.min(bound, 0.01 * h0);
  const h1 = d1 <= 1e-15 && d2 <= 1e-15 ? Math.max(1e-6, h0 * 1e-3) : (0.01 / Math.max(d1, d2)) ** (1 / k);
  return Math.min(100 * h0, h1, bound);
}
