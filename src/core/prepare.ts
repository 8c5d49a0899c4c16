import { tidy } from '@tensorflow/tfjs-core';
import { buildProblem, makePlan, type AnyOptions } from './build_problem.js';
import { describe, InvalidArgumentError } from './errors.js';
import { float64Kind, isPlainState } from './float64_kind.js';
import type { CheckedEvent, EventValues } from './events.js';
import type { Problem, Watch } from './problem.js';
import type { Stepper } from './stepper.js';
import { tensorKind } from './tensor_kind.js';
import { unflattenTree } from './tree.js';

/** A problem with the way back to what the caller works with. */
export interface Prepared<S> {
  readonly problem: Problem<S>;
  /** States at several times to the caller's structure with a leading time axis; the states stay as they are. */
  stack(states: readonly S[]): unknown;
  /** Their quadratures, likewise; `undefined` without the option. */
  stackQuadratures(states: readonly S[]): unknown;
  /** One state in the caller's structure, as a copy that belongs to the caller. */
  copyOut(state: S): unknown;
  /** Lends one state in the caller's structure; the function returned ends the loan. */
  lend(state: S): { view: unknown; end: () => void };
}

/* eslint-disable-next-line @typescript-eslint/no-explicit-any -- the caller does not care which kind of state */
export type AnyPrepared = Prepared<any>;

/** Events, and who looks for them. */
export interface Watching {
  events: readonly CheckedEvent[];
  /* eslint-disable-next-line @typescript-eslint/no-explicit-any -- of any kind of state */
  watch(values: EventValues<any>, plain: boolean): Watch<any>;
}

/** Normalises the input of every entry point, once. Nothing is allocated on a device here. */
export function prepare(
  stepper: Stepper,
  func: unknown,
  y0: unknown,
  times: Float64Array,
  options: AnyOptions,
  extraOptions: readonly string[] = [],
  watching: Watching | null = null,
): AnyPrepared {
  if (typeof func !== 'function') {
    throw new InvalidArgumentError(
      `func is ${describe(func)}; expected a function (t, y) => dy. ` +
        (hasApply(func) ? 'Wrap a layer or model with fromLayer(model).' : 'It is the first argument.'),
    );
  }
  const plan = makePlan(stepper, times, options, extraOptions);
  if (isPlainState(y0)) {
    const kind = float64Kind(func, y0, options, times[0]);
    const { stateOf, quadraturesOf } = kind;
    return {
      problem: buildProblem(plan, kind, watching && watching.watch(kind.eventValues(watching.events), true)),
      stack: (states: readonly Float64Array[]) => states.map((state) => stateOf(state).slice()),
      stackQuadratures: (states: readonly Float64Array[]) => quadraturesOf && states.map(quadraturesOf),
      copyOut: (state: Float64Array) => stateOf(state).slice(),
      lend: (state: Float64Array) => ({ view: stateOf(state), end: () => undefined }),
    };
  }
  const kind = tensorKind(func, y0, options, times[0]);
  const { space, structure, quadratures } = kind;
  return {
    problem: buildProblem(plan, kind, watching && watching.watch(kind.eventValues(watching.events), false)),
    stack: (states) =>
      unflattenTree(
        structure,
        tidy(() => space.stack(states)),
      ),
    stackQuadratures: (states) =>
      quadratures
        ? unflattenTree(
            quadratures.structure,
            tidy(() => space.stackQuadratures(states)),
          )
        : undefined,
    copyOut: (state) =>
      unflattenTree(
        structure,
        tidy(() => space.unpack(state).map((leaf) => leaf.clone())),
      ),
    lend: (state) => {
      const { leaves, end } = space.lend(state);
      return { view: unflattenTree(structure, leaves), end };
    },
  };
}

function hasApply(value: unknown): boolean {
  return typeof (value as { apply?: unknown } | null)?.apply === 'function';
}
