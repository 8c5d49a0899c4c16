import {
  abs,
  add,
  fill,
  greater,
  greaterEqual,
  logicalAnd,
  maximum,
  minimum,
  mul,
  neg,
  reshape,
  sqrt,
  stack,
  sub,
  tidy,
  where,
  zerosLike,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { describe, InvalidArgumentError } from '../src/core/errors.js';
import { untaped, withFreshTape } from '../src/core/tape.js';
import { isTensor } from '../src/core/tree.js';
import { derivatives, moved, sizesOf, trustRegionStep } from './newton.js';
import { checkOptions } from './options.js';
import { checkNumber, tidied } from './params.js';
import { dot, largest, times, type Vector } from './symmetric.js';
import { taped } from './value_and_grad.js';

/** Options of {@link Newton}. */
export interface NewtonOptions {
  /** Where the radius begins, 1 by default: about the distance over which the loss looks like a parabola. */
  trustRadius?: number;
  /** The radius does not grow beyond it; 1000 by default. */
  maxTrustRadius?: number;
}

/** How far a quadratic model is trusted, at each point of the batch. */
export interface NewtonState {
  /** `[batch]` */
  readonly trustRadius: Tensor;
}

/** When {@link Newton.minimize} ends. */
export interface NewtonLimits {
  /** A point is done where no entry of the gradient is larger, and it is no saddle; 1e-4 by default. */
  gtol?: number;
  /** A point is done where the model promises a gain below `ftol max(1, |loss|)`; 1e-7 by default. */
  ftol?: number;
  /** 100 by default. */
  maxIterations?: number;
}

/** Where {@link Newton.minimize} ended; one entry for each point of the batch. */
export interface NewtonResult {
  /** Of the shape of `x0`; the caller's. */
  x: Tensor;
  value: Float32Array;
  /** The largest entry of the gradient. */
  gradient: Float32Array;
  converged: boolean[];
  iterations: number;
}

/* Where the model's gain is lost in the rounding of the loss, the ratio of both says nothing. */
const rounding = 10 * 2 ** -23;

/**
 * Newton's method with a trust radius that adapts, for 1, 2 or 3 unknowns at a time and whole batches of such problems. With
 * the ratio `rho` of the gain of a step of {@link newtonStep} to the gain that the quadratic model promised, the radius is
 * `|s| / 4` below 1/4, and up to doubled above 3/4 where the step reached it; a step is taken when `rho > 1e-4`.
 *
 * `step` is differentiable in `x` and in all that the loss reads; whether a step is taken, and the radius, are constants to
 * differentiation.
 *
 * Source: Nocedal and Wright, Numerical Optimization (2006), algorithm 4.1; rounding after Conn, Gould and Toint,
 * Trust-Region Methods (2000), section 17.4.2.
 *
 * @example
 * ```ts
 * const rosenbrock = (x: tf.Tensor) => {
 *   const [a, b] = tf.unstack(x);
 *   return tf.add(tf.square(tf.sub(1, a)), tf.mul(100, tf.square(tf.sub(b, tf.square(a)))));
 * };
 * const { x, converged } = new Newton().minimize(rosenbrock, tf.tensor1d([-1.2, 1]));
 * ```
 */
export class Newton {
  private readonly trustRadius: number;
  private readonly maxTrustRadius: number;

  /** @throws `InvalidArgumentError` for unknown options and radii that are not positive. */
  constructor(options: NewtonOptions = {}) {
    checkOptions(options, 'Newton', ['trustRadius', 'maxTrustRadius']);
    const { trustRadius = 1, maxTrustRadius = Math.max(1000, trustRadius) } = options;
    checkNumber(trustRadius, 'trustRadius', Number.MIN_VALUE);
    checkNumber(maxTrustRadius, 'maxTrustRadius', Number.MIN_VALUE);
    if (maxTrustRadius < trustRadius) {
      throw new InvalidArgumentError(
        `maxTrustRadius is ${maxTrustRadius}, below trustRadius ${trustRadius}; expected it to be larger.`,
      );
    }
    this.trustRadius = trustRadius;
    this.maxTrustRadius = maxTrustRadius;
  }

  /** The state before the first step. */
  init(x: Tensor): NewtonState {
    return { trustRadius: fill([sizesOf(x).batch], this.trustRadius) };
  }

  /**
   * One step, or none where it would not lower the loss; the radius learns from either.
   * @param loss Of one point a scalar; of a batch `[batch]`, each entry of which depends on its own row only.
   * @param x A point `[n]` or a scalar, or a batch `[batch, n]`, with n = 1, 2 or 3.
   * @returns New tensors of the caller.
   * @throws `InvalidArgumentError` for other shapes, and a state of another batch.
   */
  step(loss: (x: Tensor) => Tensor, x: Tensor, state: NewtonState): { x: Tensor; state: NewtonState } {
    return tidied(() => {
      const { x: next, trustRadius } = this.advance(loss, x, state);
      return { x: next, state: { trustRadius } };
    });
  }

  /**
   * Steps until every point of the batch is done. It reads the device once for each step, and is not recorded: for a minimum
   * that is differentiable in parameters of the loss, take one more `newtonStep` from where it ended.
   * @throws `InvalidArgumentError` as `step`, and where the loss or its derivatives are not finite at `x0`.
   */
  minimize(loss: (x: Tensor) => Tensor, x0: Tensor, limits: NewtonLimits = {}): NewtonResult {
    checkOptions(limits, 'minimize', ['gtol', 'ftol', 'maxIterations']);
    const { gtol = 1e-4, ftol = 1e-7, maxIterations = 100 } = limits;
    for (const [name, value] of Object.entries({ gtol, ftol, maxIterations })) checkNumber(value, name, 0);
    const { batch } = sizesOf(x0);
    return withFreshTape(() =>
      tidied(() => {
        let [x, state]: [Tensor, NewtonState] = [x0, this.init(x0)];
        for (let iterations = 0; ; iterations++) {
          const next = this.advance(loss, x, state);
          const rows = [next.value, next.slope, next.promised, next.curvature];
          const read = tidy(() => stack(rows).dataSync()) as Float32Array;
          const [value, gradient, promised, curvature] = rows.map((_, i) =>
            read.slice(i * batch, (i + 1) * batch),
          );
          if (iterations === 0) requireFinite(read);
          const converged = Array.from(value, (f, i) => {
            const little = ftol * Math.max(1, Math.abs(f));
            // At a saddle the gradient vanishes too.
            return promised[i] <= little || (gradient[i] <= gtol && curvature[i] >= -little);
          });
          if (converged.every(Boolean) || iterations >= maxIterations)
            return { x: x === x0 ? add(x, 0) : x, value, gradient, converged, iterations };
          x = next.x;
          state = { trustRadius: next.trustRadius };
        }
      }),
    );
  }

  private advance(loss: (x: Tensor) => Tensor, x: Tensor, state: NewtonState): Advance {
    const { n, batch } = sizesOf(x);
    const radius = radiusOf(state, batch);
    const [next, trustRadius, value, slope, promised, curvature] = taped(() =>
      tidied(() => {
        const { value, gradient, hessian } = derivatives(loss, x, n, batch);
        requireOneEach(value, batch);
        const s = trustRegionStep(gradient, hessian, radius);
        const before = reshape(value, [batch]);
        const after = withFreshTape(() => tidy(() => reshape(loss(moved(x, s)), [batch])));
        const { taken, trustRadius, slope, promised, curvature } = untaped(() => {
          const curvature = dot(s, times(hessian, s));
          const promised = neg(add(dot(gradient, s), mul(0.5, curvature)));
          const slope = largest(gradient);
          return {
            ...this.judge(sub(before, after), promised, before, s, radius),
            slope,
            promised,
            curvature,
          };
        });
        const next = moved(
          x,
          s.map((part) => where(taken, part, zerosLike(part))),
        );
        return [next, trustRadius, before, slope, promised, curvature];
      }),
    );
    return { x: next, trustRadius, value, slope, promised, curvature };
  }

  private judge(gain: Tensor, promised: Tensor, before: Tensor, s: Vector, radius: Tensor) {
    const slack = mul(rounding, maximum(1, abs(before)));
    const [won, hoped] = [add(gain, slack), add(promised, slack)];
    const length = sqrt(dot(s, s));
    const better = (part: number): Tensor => greaterEqual(won, mul(part, hoped));
    const reached = greater(length, mul(0.99, radius));
    const grown = where(
      logicalAnd(better(0.75), reached),
      minimum(mul(2, radius), this.maxTrustRadius),
      radius,
    );
    // Not-a-number is not better than anything: the step was too long.
    const trustRadius: Tensor = where(better(0.25), grown, minimum(mul(0.25, length), radius));
    return { taken: better(1e-4), trustRadius: maximum(trustRadius, 1e-30) };
  }
}

interface Advance {
  x: Tensor;
  trustRadius: Tensor;
  /** Loss at the old point. */
  value: Tensor;
  /** Largest entry of the gradient there. */
  slope: Tensor;
  /** What the model promised to gain, `-(g^T s + s^T H s / 2)`. */
  promised: Tensor;
  /** `s^T H s` */
  curvature: Tensor;
}

function radiusOf(state: unknown, batch: number): Tensor {
  const { trustRadius } = (state ?? {}) as Partial<NewtonState>;
  if (isTensor(trustRadius) && trustRadius.size === batch) return reshape(trustRadius, [batch]);
  throw new InvalidArgumentError(
    `state is ${describe(state)}; expected what init(x) or the last step returned, for ${batch} points.`,
  );
}

function requireOneEach(value: Tensor, batch: number): void {
  if (value.size === batch) return;
  throw new InvalidArgumentError(
    `the loss is ${describe(value)}; expected a float32 tensor [${batch}]: which radius to change is told by the loss of each row.`,
  );
}

function requireFinite(numbers: Float32Array): void {
  if (numbers.every(Number.isFinite)) return;
  throw new InvalidArgumentError(
    'the loss or a derivative of it is not finite at x0; start elsewhere, or mind log, sqrt and division at 0.',
  );
}
