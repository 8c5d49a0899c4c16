import {
  Add,
  clone,
  engine,
  getGradient,
  scalar,
  zeros,
  zerosLike,
  Variable,
  type Scalar,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { concatLeaves, sizeOf, splitLeaves } from './flat.js';
import { MissingGradientError } from './errors.js';
import { verifyGradients } from './gradient_repair.js';
import { slopeShapes } from './quadrature.js';
import { inputsOnTape, onOwnTape, scoped, withFreshTape } from './tape.js';
import type { LeafField } from './leaf_field.js';

/*
 * The one door to derivatives of func. Every gradient reduces to
 * vjp(t, y, params, lambda) = (f, lambda^T df/dy, lambda^T df/dparams).
 */

/** `f(t, y)` with its vector-Jacobian products. All tensors belong to the scope of the caller. */
export interface VjpResult {
  /** `dy/dt`, then the slopes of the quadratures. */
  derivative: Tensor[];
  toState: Tensor[];
  toParameters: Tensor[];
}

/** Repairs tfjs's gradients, and throws unless tfjs knows how to differentiate: tfjs-core alone, in Node, does not. */
export function requireGradients(): void {
  verifyGradients();
  if (getGradient(Add) !== undefined) return;
  throw new MissingGradientError(
    "no gradients are registered: in Node, '@tensorflow/tfjs-core' alone cannot differentiate. Import " +
      "'@tensorflow/tfjs', '@tensorflow/tfjs-node' or '@tensorflow/tfjs-node-gpu' once, at the start of the program.",
  );
}

/** What func reads beside `t` and `y`. */
export interface Dependencies {
  /** Trainable variables, in the order func meets them. */
  variables: Variable[];
  /** Other float32 tensors that existed before the call: constants of the caller, or results a gradient could reach. */
  captured: Tensor[];
}

/** What func reads at `(t, leaves)`, by one evaluation on a tape of its own. */
export function discoverDependencies(field: LeafField, t: Scalar, leaves: readonly Tensor[]): Dependencies {
  return withFreshTape(() =>
    scoped(() => {
      const first = scalar(0).id;
      let found: Dependencies = { variables: [], captured: [] };
      // Recording needs some input to differentiate; the gradient itself is not wanted.
      engine().gradients(
        () => {
          const known = (x: Tensor) => x.id < first;
          const [derivative] = linkedOutputs(field.call(t, leaves), known);
          const inputs = meet(field);
          const outside = (x: Tensor) =>
            known(x) && x !== t && !leaves.includes(x) && !(x instanceof Variable);
          found = {
            variables: trainable(inputs),
            captured: inputs.filter((x) => x.dtype === 'float32' && outside(x)),
          };
          return derivative;
        },
        [leaves[0]],
        undefined,
        true,
      );
      return found;
    }),
  );
}

/**
 * Evaluates func and the products of `cotangents` (of the state's leaves, then of the quadratures) with its Jacobians.
 * `t` is a constant here.
 * @throws {@link MissingGradientError} when func reads a trainable variable that `parameters` does not hold.
 */
export function vjp(
  field: LeafField,
  t: Scalar,
  leaves: readonly Tensor[],
  parameters: readonly Tensor[],
  cotangents: readonly Tensor[],
): VjpResult {
  const shapes = slopeShapes(field);
  const single = shapes.length === 1;
  const forward = (): Tensor => {
    const derivative = knownOutputs(field, t, leaves, parameters);
    return single ? derivative[0] : concatLeaves(derivative);
  };
  const dy = single ? cotangents[0] : concatLeaves(cotangents);
  const inputs = [...leaves, ...parameters];
  const { value, grads } = withFreshTape(() => engine().gradients(forward, inputs, dy, true));
  const gradients = inputs.map((input, i) => (grads[i] as Tensor | undefined) ?? zerosLike(input));
  return {
    derivative: single ? [value] : splitLeaves(value, shapes.map(sizeOf), shapes),
    toState: gradients.slice(0, leaves.length),
    toParameters: gradients.slice(leaves.length),
  };
}

/** func at `(t, y)`, of which the products with its Jacobians are asked for later, at most once. */
export interface Linearization {
  /** `dy/dt`, then the slopes of the quadratures. */
  derivative: Tensor[];
  pullback(cotangents: readonly Tensor[]): Pick<VjpResult, 'toState' | 'toParameters'>;
  /** Frees what the products need, if nobody asked for them. */
  dispose(): void;
}

/** Like `vjp`, forward now and backward later. */
export function linearize(
  field: LeafField,
  t: Scalar,
  leaves: readonly Tensor[],
  parameters: readonly Tensor[],
): Linearization {
  const tape = onOwnTape(() => {
    const outputs = knownOutputs(field, t, leaves, parameters);
    return { outputs, value: outputs.length === 1 ? outputs[0] : concatLeaves(outputs) };
  });
  const inputs = [...leaves, ...parameters];
  return {
    derivative: tape.outputs,
    pullback: (cotangents) => {
      const dy = cotangents.length === 1 ? cotangents[0] : concatLeaves(cotangents);
      const grads = tape.pullback(inputs, dy);
      const gradients = inputs.map((input, i) => grads[i] ?? zeros(input.shape));
      return { toState: gradients.slice(0, leaves.length), toParameters: gradients.slice(leaves.length) };
    },
    dispose: () => tape.dispose(),
  };
}

/* The outputs of func as ends of a tape; throws when it reads a trainable variable that is not known. */
function knownOutputs(
  field: LeafField,
  t: Scalar,
  leaves: readonly Tensor[],
  parameters: readonly Tensor[],
): Tensor[] {
  const given = (x: Tensor) => x instanceof Variable || leaves.includes(x) || parameters.includes(x);
  const outputs = linkedOutputs(field.call(t, leaves), given);
  requireKnown(trainable(meet(field)), parameters);
  return outputs;
}

/* An output that is itself an input has no op that leads to it: a copy has. */
const linkedOutputs = (outputs: readonly Tensor[], isInput: (x: Tensor) => boolean): Tensor[] =>
  outputs.map((output) => (isInput(output) ? clone(output) : output));

/* The inputs on the tape, of which the field remembers the variables. */
function meet({ met }: LeafField): Tensor[] {
  const inputs = inputsOnTape();
  for (const input of inputs) if (input instanceof Variable) met?.add(input);
  return inputs;
}

const trainable = (inputs: readonly Tensor[]): Variable[] =>
  inputs.filter((input): input is Variable => input instanceof Variable && input.trainable);

/** Throws for trainable variables that are met but not known. */
export function requireKnown(met: readonly Variable[], parameters: readonly Tensor[]): void {
  for (const variable of met) {
    if (parameters.includes(variable)) continue;
    throw new MissingGradientError(
      `func reads the trainable variable '${variable.name}', which the solve did not know of: it would silently stay ` +
        'untrained. Add it to params (or leave params out), or freeze it with variable.trainable = false. A variable ' +
        'that func reads only at some times must be named in params.',
    );
  }
}
