import { AbortedError, GradientMismatchError, MissingGradientError } from '../src/core/errors.js';
import { isPlainState } from '../src/core/float64_kind.js';
import type { GradcheckReport, GradcheckRow } from '../src/core/gradient_report.js';
import { checkOptionsRecord } from '../src/core/options.js';
import { isTapeActive, scoped } from '../src/core/tape.js';
import type { TimeGrid } from '../src/core/times.js';
import type { TreeOf } from '../src/core/tree.js';
import type {
  InPlaceFunc,
  InPlaceOptions,
  PlainFunc,
  PlainOptions,
  PlainState,
  TensorFunc,
  TensorOptions,
} from '../src/core/types.js';
import { changeOfGradients, takeDifferences } from './gradcheck_checks.js';
import {
  readSettings,
  type AnyGradcheckOptions,
  type GradcheckOptions,
  type GradcheckSettings,
  type PlainGradcheckOptions,
} from './gradcheck_options.js';
import { plainProblem } from './gradcheck_plain.js';
import { lossAtHand, type CheckedProblem, type LossAtHand } from './gradcheck_problem.js';
import { compare, type ModeOutcome } from './gradcheck_compare.js';
import { makeReport, mismatchMessage } from './gradcheck_report.js';
import { tensorProblem } from './gradcheck_tensors.js';

/**
 * Checks the gradients of a model: every way to them against central differences. Prints a table, and throws when one
 * is wrong.
 *
 * On tensors it checks the tape through `odeint` and every `adjoint` of `odeintAdjoint`, towards `y0`, `t`, the trainable
 * variables that `func` reads (or `params`), and the float32 tensors in `args`. On plain numbers it checks `odeintVjp`,
 * and with it the `vjp` that you wrote: towards `y0`, `t`, and `args` when it is a `Float64Array`.
 *
 * The differences are those of one discrete map: the steps of a first solve are frozen, so that moving an input by a
 * little changes no step. They are of fourth order, `(8 (L(h) - L(-h)) - (L(2h) - L(-2h))) / 12h`, with h from the
 * resolution of the numbers and halved until two of them agree; their noise is measured and allowed for. An output time
 * moves its state along the flow `dy/dt = func(t, y)`, as the gradient to times is defined.
 *
 * It solves six times and more for every entry, or for every one of `samples` directions of a larger tensor: a small
 * model, a short interval and few outputs tell as much. `onStep` and the other callbacks are called in the first solve
 * only. Variables are moved in place and put back bit by bit.
 *
 * @param func The vector field, as for `odeint`.
 * @param y0 Initial state, as for `odeint`.
 * @param t Output times, as for `odeint`.
 * @param options Those of `odeint` and the adjoint, and {@link GradcheckOptions} or {@link PlainGradcheckOptions}.
 * @returns Whether all gradients are right, the rows, and the table.
 * @throws {@link GradientMismatchError} when a row fails, with the report; as `odeint` when the problem cannot be solved
 *   at all; {@link MissingGradientError} inside `tf.grad` and its like. A mode that throws is a row that failed.
 *
 * @example
 * ```ts
 * const rate = tf.variable(tf.scalar(0.5), true, 'rate');
 * gradcheck((t, y) => tf.neg(tf.mul(rate, y)), tf.tensor1d([1, 2]), [0, 1, 2], { method: 'tsit5' });
 *
 * // A vector-Jacobian product written by hand.
 * gradcheck((t, y, [k]) => [y[1], -k * y[0]], [1, 0], [0, 1], {
 *   args: Float64Array.of(2),
 *   vjp: (t, y, [k], lambda) => ({ y: [-k * lambda[1], lambda[0]], args: [-y[0] * lambda[1]] }),
 * });
 * ```
 */
export function gradcheck<Y extends TreeOf<Y>, Args = unknown>(
  func: TensorFunc<Y, Args>,
  y0: Y,
  t: TimeGrid,
  options?: TensorOptions<Y, Args> & GradcheckOptions<Y>,
): GradcheckReport;
export function gradcheck<Args = unknown>(
  func: InPlaceFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options: InPlaceOptions<Args> & PlainGradcheckOptions<Args>,
): GradcheckReport;
export function gradcheck<Args = unknown>(
  func: PlainFunc<Args>,
  y0: PlainState,
  t: TimeGrid,
  options?: PlainOptions<Args> & PlainGradcheckOptions<Args>,
): GradcheckReport;
export function gradcheck(func: unknown, y0: unknown, t: unknown, options: object = {}): GradcheckReport {
  checkOptionsRecord(options);
  refuseInsideGradient();
  const given = options as AnyGradcheckOptions;
  const settings = readSettings(given);
  const plain = isPlainState(y0);
  const { report, continuous } = scoped(() => {
    const problem = plain ? plainProblem(func, y0, t, given) : tensorProblem(func, y0, t, given);
    return { report: check(problem, settings), continuous: problem.continuous };
  });
  settings.print(report.table);
  if (report.passed || !settings.throwOnFailure) return report;
  throw new GradientMismatchError(
    mismatchMessage(report.rows, continuous, plain ? (given.vjp ? 'vjp' : 'numbers') : 'tensors'),
    report,
  );
}

function refuseInsideGradient(): void {
  if (!isTapeActive()) return;
  throw new MissingGradientError(
    'gradcheck was called while a gradient is being taken, and its solves would be recorded. Call it outside of ' +
      'tf.grad and tf.variableGrads: it takes gradients itself.',
  );
}

function check(problem: CheckedProblem, settings: GradcheckSettings): GradcheckReport {
  const { modes, continuous, epsilon, method, grid } = problem;
  const loss = lossAtHand(problem, settings);
  const discrete = settings.gradRtol ?? (epsilon > 1e-10 ? 1e-3 : 1e-6);
  const looser = settings.gradRtol ?? Math.max(3 * discrete, Math.min(0.05, 300 * problem.rtol));
  const wanted = settings.gradRtol === null && modes.some((mode) => continuous.includes(mode));
  const change = wanted ? changeOfGradients(problem, loss) : null;
  const inputs = takeDifferences(problem, loss, settings, 0.1 * discrete);
  const { gradAtol } = settings;
  const rows = modes.flatMap((mode) =>
    compare(
      mode,
      gradientsBy(mode, problem, loss),
      inputs,
      continuous.includes(mode)
        ? { gradRtol: looser, gradAtol, change }
        : { gradRtol: discrete, gradAtol, change: null },
    ),
  );
  const judged = isJudged(rows)
    ? rows
    : rows.map((row) => ({ ...row, passed: false, failure: nothingJudged }));
  const steps = grid.length - 1;
  const title =
    `gradcheck: ${method}, ${steps} ${steps === 1 ? 'step' : 'steps'}, ${epsilon > 1e-10 ? 'float32' : 'float64'}, ` +
    (problem.loss ? 'loss of the caller' : 'loss: a random linear functional of all outputs');
  return makeReport(title, judged, inputs);
}

const nothingJudged =
  'there is nothing to compare: no input changes the loss. It must depend on the outputs that it receives.';

/* Whether any derivative differs from zero, or could not be taken. */
const isJudged = (rows: readonly GradcheckRow[]): boolean =>
  rows.some(
    ({ failure, entries }) =>
      failure !== undefined || entries.some((entry) => entry.difference !== 0 || entry.gradient !== 0),
  );

function gradientsBy(mode: string, problem: CheckedProblem, loss: LossAtHand): ModeOutcome {
  try {
    return { gradients: problem.gradients(mode, loss) };
  } catch (error) {
    if (error instanceof AbortedError) throw error;
    const { name, message } = error as Error;
    return { failure: `${name}: ${message}` };
  }
}
