import { engine, tidy, type NamedTensorMap, type Tensor } from '@tensorflow/tfjs-core';

/**
 * The one place that touches the state of tfjs's gradient tape (`engine().state`): everything here restores it,
 * also after an exception.
 */

/** Whether ops are being recorded for a gradient. */
export function isTapeActive(): boolean {
  return engine().state.gradientDepth > 0;
}

/** The tape in force, as a key; `null` without one. */
export function currentTape(): object | null {
  return isTapeActive() ? engine().state.activeTape : null;
}

/** The distinct inputs of the ops recorded so far. */
export function inputsOnTape(): Tensor[] {
  const nodes = engine().state.activeTape as { inputs: NamedTensorMap }[] | null;
  return [...new Set((nodes ?? []).flatMap((node) => Object.values(node.inputs)))];
}

/** Runs `compute` without recording it: for numbers that steer the solver and carry no gradient. */
export function untaped<T>(compute: () => T): T {
  const { state } = engine();
  state.kernelDepth++;
  try {
    return compute();
  } finally {
    state.kernelDepth--;
  }
}

/* Scopes that were open when the tape in force was begun: what lives there outlives it. */
let scopesOutside = 0;
/* Whether somebody keeps the tape in force for later, and disposes it. */
let tapeIsOwned = false;

/**
 * Runs `compute` with a tape of its own, as if no gradient were being taken outside: `tf.grads` inside a gradient
 * function would otherwise record on the caller's tape and clear it.
 */
export function withFreshTape<T>(compute: () => T): T {
  const { state } = engine();
  const { gradientDepth, activeTape, kernelDepth } = state;
  const [outside, owned] = [scopesOutside, tapeIsOwned];
  scopesOutside = (state.scopeStack as unknown[]).length;
  tapeIsOwned = false;
  state.gradientDepth = 0;
  state.kernelDepth = 0;
  state.activeTape = undefined as never;
  try {
    return compute();
  } finally {
    // After an exception tfjs leaves behind what its tape saved.
    forget(state.activeTape);
    [scopesOutside, tapeIsOwned] = [outside, owned];
    state.gradientDepth = gradientDepth;
    state.activeTape = activeTape;
    state.kernelDepth = kernelDepth;
  }
}

type TapeNodes = { saved?: { dispose(): void }[] }[] | null | undefined;

function forget(nodes: TapeNodes): void {
  for (const node of nodes ?? []) for (const tensor of node.saved ?? []) tensor.dispose();
}

/** What a computation left on a tape of its own. */
export interface OwnTape {
  outputs: Tensor[];
  /** Gradients of `inputs` from that of the value; once. Those that the value does not depend on are absent. */
  pullback(inputs: readonly Tensor[], dy: Tensor): (Tensor | undefined)[];
  /** Frees what was saved, if no gradient was asked for. */
  dispose(): void;
}

/** Runs `compute` on a tape of its own and keeps that: forward now, backward later. */
export function onOwnTape(compute: () => { outputs: Tensor[]; value: Tensor }): OwnTape {
  const { state } = engine();
  let tape: TapeNodes = [];
  const { outputs, value } = withFreshTape(() => {
    state.gradientDepth = 1;
    state.activeTape = tape as never;
    tapeIsOwned = true;
    // The scope that tfjs gives a loss.
    const result = tidy('forward', compute);
    // Taken away before the fresh tape is forgotten.
    state.activeTape = undefined as never;
    return result;
  });
  return {
    outputs,
    pullback: (inputs, dy) => {
      const resume = () => {
        state.activeTape = tape as never;
        tape = null;
        return value;
      };
      // tfjs walks back over the tape that is active once the function has run, and then frees what it saved.
      const { grads } = withFreshTape(() => engine().gradients(resume, [...inputs], dy, true));
      return grads as (Tensor | undefined)[];
    },
    dispose: () => {
      forget(tape);
      tape = null;
    },
  };
}

/**
 * Runs `compute` while what was recorded before is out of sight of the gradients it takes: tfjs would otherwise walk
 * from one input to another along it.
 */
export function aboveTape<T>(compute: () => T): T {
  const { state } = engine();
  const below = state.activeTape;
  const above: typeof below = [];
  state.activeTape = above;
  try {
    const result = compute();
    for (const node of above) below.push(node);
    return result;
  } catch (error) {
    // Nobody can reach those results.
    forget(above);
    throw error;
  } finally {
    state.activeTape = below;
  }
}

/**
 * Gradients of a `value` that was computed while the tape in force was recording; those that it does not depend on are
 * absent. What led to an input is out of sight, so that inputs are independent of each other. The gradients are
 * recorded themselves.
 */
export function recordedGradients(
  value: Tensor,
  inputs: readonly Tensor[],
  dy?: Tensor,
): (Tensor | undefined)[] {
  const { state } = engine();
  const below = state.activeTape;
  const given = new Set(inputs.map(({ id }) => id));
  const seen = below.filter(({ outputs }) => !outputs.some(({ id }) => given.has(id)));
  const before = seen.length;
  state.activeTape = seen;
  try {
    return engine().gradients(() => value, [...inputs], dy, true).grads as (Tensor | undefined)[];
  } finally {
    for (const node of seen.slice(before)) below.push(node);
    state.activeTape = below;
  }
}

/** Whether ops of this moment end up on a tape: not inside a kernel or the forward pass of a custom gradient. */
export function isRecording(): boolean {
  return isTapeActive() && engine().state.kernelDepth === 0;
}

/**
 * Runs `compute`; when it throws, takes what it recorded off the tape again. Nobody can reach those results, and tfjs
 * would keep what they saved for ever.
 */
export function recordedOrForgotten<T>(compute: () => T): T {
  const { state } = engine();
  const tape = state.activeTape as TapeNodes;
  const mark = tape?.length ?? 0;
  try {
    return compute();
  } catch (error) {
    if (tape && state.activeTape === (tape as unknown)) forget(tape.splice(mark));
    throw error;
  }
}

/**
 * Runs the body of a gradient function; when it throws, frees what the tape outside saved, inside of another gradient in a
 * microtask. The exception ends that gradient, and tfjs would keep it for ever.
 */
export function gradientOrForgotten<T>(compute: () => T): T {
  try {
    return compute();
  } catch (error) {
    const { state } = engine();
    if (state.gradientDepth === 0) {
      forget(state.activeTape);
      state.activeTape = null as never;
    } else {
      forgetSoon(state.activeTape);
    }
    throw error;
  }
}

/* Gradients are synchronous: when a microtask runs the exception has ended this one, or its caller caught it and it is done. */
function forgetSoon(tape: TapeNodes, until: object = {}): void {
  if (tapeIsOwned) return;
  if (unfinished.size === 0) {
    queueMicrotask(() => {
      for (const left of new Set(unfinished.values())) forget(left);
      unfinished.clear();
    });
  }
  unfinished.set(until, tape);
}

/* Tapes to be forgotten, each until what it stands under is done. */
const unfinished = new Map<object, TapeNodes>();

/**
 * A tensor with a gradient of our own, like `tf.customGrad`, except that
 * - a gradient may be refused for some inputs: `refuse` is called, and must throw, only when somebody asks for the
 *   gradient of input `i` and it was given as `null`;
 * - what the loss made for itself outlives it until the gradient is done: func may close over it.
 *
 * @param forward Computes the value; what it saves stays until the gradient is done.
 * @param backward Gradients of the inputs from that of the value.
 */
export function withGradient(
  inputs: readonly Tensor[],
  forward: (save: (tensors: Tensor[]) => void) => Tensor,
  backward: (dy: Tensor, saved: Tensor[]) => readonly (Tensor | null)[],
  refuse: () => never,
): Tensor {
  type Engine = { runKernelFunc(call: object): Tensor };
  const result = (engine() as unknown as Engine).runKernelFunc({
    inputs: Object.fromEntries(inputs.map((input, i) => [i, input])),
    forwardFunc: (_backend: unknown, save: (tensors: Tensor[]) => void) =>
      gradientOrForgotten(() => forward(save)),
    backwardsFunc: (dy: Tensor, saved: Tensor[]) => {
      const gradients = backward(dy, saved);
      return Object.fromEntries(inputs.map((_, i) => [i, () => gradients[i] ?? gradientOrForgotten(refuse)]));
    },
  });
  keepUntilGradient();
  return result;
}

/*
 * tfjs disposes what a node of the tape saved once the gradient is done: what lives in the scopes of the loss joins. All of
 * it, since func may read at a later time what it did not read at first, as the pieces of an interpolated series.
 */
function keepUntilGradient(): void {
  // Otherwise the last node is that of another op, which counts what it saved.
  if (!isRecording()) return;
  const { state } = engine();
  const tape = state.activeTape as unknown as NonNullable<TapeNodes>;
  const scopes = state.scopeStack as unknown as { name: string; track: Tensor[] }[];
  const start = scopes.findIndex(({ name }, i) => i >= scopesOutside && name === 'forward');
  const alive = scopes
    .slice(start < 0 ? scopes.length : start)
    .flatMap(({ track }) => track)
    .filter((tensor) => !tensor.kept && !tensor.isDisposed && !Object.hasOwn(tensor, 'dispose'));
  tape.at(-1)?.saved?.push(postponedDisposal(alive, tape));
}

/* Scopes that end do not dispose them until this is disposed. What the loss returns is not disposed at all. */
function postponedDisposal(tensors: readonly Tensor[], tape: TapeNodes): { dispose(): void } {
  const due = new Set<Tensor>();
  for (const tensor of tensors) tensor.dispose = () => void due.add(tensor);
  const postponed = {
    dispose: () => {
      unfinished.delete(postponed);
      for (const tensor of tensors) delete (tensor as Partial<Tensor>).dispose;
      for (const tensor of due) tensor.dispose();
      due.clear();
    },
  };
  // A loss that throws later leaves its tape behind.
  forgetSoon(tape, postponed);
  return postponed;
}

/** Runs `compute` in an engine scope: what it creates and does not `keep` is disposed, also when it throws. */
export function scoped<T>(compute: () => T): T {
  engine().startScope('tfjs-diffeq');
  try {
    return compute();
  } finally {
    engine().endScope();
  }
}
