/**
 * A ball whose bounces were heard: its gravity, its absorption and the speed it was thrown with are variables, and the
 * times of its bounces depend on them. The observations, and what least squares make of them, are those of
 * test/reference/learn_physics.json.
 */
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { odeint, odeintAdjoint, odeintHybrid, type HybridSolution } from 'tfjs-diffeq';

export interface Parameters {
  /** m/s^2 */
  gravity: number;
  /** The part of the speed that a bounce takes. */
  absorption: number;
  /** Upward, m/s. */
  speed: number;
}

/** The observations and their least-squares fit: test/reference/learn_physics.py. */
export interface PhysicsReference {
  /** Known: where the ball was thrown, and its radius (m), at which it touches the floor. */
  height: number;
  radius: number;
  true: Parameters;
  /** Standard deviation of the noise, s. */
  noise: number;
  bounces: number[];
  fit: Parameters;
  standard_errors: Parameters;
  /** Mean of the squares of (fitted - observed) / noise. */
  loss: number;
  /** The gradient of the loss at the guess below, by central differences of the closed form. */
  gradient_at_guess: Parameters;
}

export const loadPhysics = (): PhysicsReference =>
  JSON.parse(readFileSync(new URL('../../test/reference/learn_physics.json', import.meta.url), 'utf8'));

/** Far from the truth: half its gravity, twice its absorption, at rest. */
export const guess: Parameters = { gravity: 5, absorption: 0.4, speed: 0 };

/** How the solves between bounces are differentiated. */
export type PhysicsGradient = 'tape' | 'checkpoint';

/** A ball with parameters to be learned; dispose it. */
export class BouncingBall {
  /** Gravity is positive, and an absorption is between 0 and 1. */
  private readonly logGravity: tf.Variable;
  private readonly logitAbsorption: tf.Variable;
  /** `speed / gravity` in s, by which the first bounce is later: Adam takes variables one by one. */
  private readonly riseTime: tf.Variable;
  private readonly observed: tf.Tensor1D;

  constructor(
    private readonly reference: PhysicsReference,
    { gravity, absorption, speed }: Parameters = guess,
    private readonly gradient: PhysicsGradient = 'checkpoint',
  ) {
    const variable = (value: number) => tf.tidy(() => tf.variable(tf.scalar(value)));
    this.logGravity = variable(Math.log(gravity));
    this.logitAbsorption = variable(Math.log(absorption / (1 - absorption)));
    this.riseTime = variable(speed / gravity);
    this.observed = tf.tensor1d(reference.bounces);
  }

  /** Height and speed until the ball has bounced as often as was heard; differentiable. */
  solve(): HybridSolution<tf.Tensor[], tf.Tensor1D> {
    const { height, radius, bounces } = this.reference;
    const fall = (_t: tf.Scalar, [, v]: tf.Tensor[]) => [v, tf.neg(tf.exp(this.logGravity))];
    const touch = (_t: tf.Scalar, [h]: tf.Tensor[]) => tf.sub(h, radius);
    const rebound = (_t: tf.Scalar, [, v]: tf.Tensor[]) => [
      tf.scalar(radius), // without the rounding of the height at which the event was found
      tf.neg(tf.mul(tf.sub(1, tf.sigmoid(this.logitAbsorption)), v)),
    ];
    const speed = tf.mul(this.riseTime, tf.exp(this.logGravity));
    return odeintHybrid(fall, [tf.scalar(height), speed], 0, {
      t1: 1000,
      events: [{ eventFn: touch, direction: -1, affect: rebound }],
      maxEvents: bounces.length,
      method: 'rk4_classic', // exact: the height is a polynomial of degree 2
      stepSize: 4,
      ...(this.gradient === 'tape'
        ? { odeintInterface: odeint }
        : { odeintInterface: odeintAdjoint, adjoint: this.gradient }),
    });
  }

  /** Mean of the squares of (computed - observed) / noise. */
  readonly loss = (): tf.Scalar =>
    tf.tidy(() => {
      const misses = tf.div(tf.sub(this.solve().eventTimes, this.observed), this.reference.noise);
      return tf.mean(tf.square(misses)) as tf.Scalar;
    });

  get parameters(): Parameters {
    const [logGravity, logit, riseTime] = this.variables.map((variable) => variable.dataSync()[0]);
    const gravity = Math.exp(logGravity);
    return { gravity, absorption: 1 / (1 + Math.exp(-logit)), speed: riseTime * gravity };
  }

  /** Gradient of the loss in the parameters themselves, by the chain rule. */
  gradientOfLoss(): Parameters {
    return tf.tidy(() => {
      const { grads } = tf.variableGrads(this.loss, this.variables);
      const [logGravity, logit, riseTime] = this.variables.map(({ name }) => grads[name].dataSync()[0]);
      const { gravity, absorption, speed } = this.parameters;
      return {
        gravity: logGravity / gravity - (riseTime * speed) / gravity ** 2,
        absorption: logit / (absorption * (1 - absorption)),
        speed: riseTime / gravity,
      };
    });
  }

  get variables(): tf.Variable[] {
    return [this.logGravity, this.logitAbsorption, this.riseTime];
  }

  dispose(): void {
    tf.dispose([...this.variables, this.observed]);
  }
}

/** Height over time, on plain numbers. */
export function heights(
  { height, radius }: Pick<PhysicsReference, 'height' | 'radius'>,
  { gravity, absorption, speed }: Parameters,
  t1: number,
): { t: number; height: number }[] {
  const { t, y } = odeintHybrid((_t: number, [, v]: Float64Array) => [v, -gravity], [height, speed], 0, {
    t1,
    saveAt: Array.from({ length: 600 }, (_, i) => ((i + 0.5) * t1) / 600),
    events: [
      {
        eventFn: (_t: number, [h]: Float64Array) => h - radius,
        direction: -1,
        affect: (_t: number, [, v]: Float64Array) => [radius, (absorption - 1) * v],
      },
    ],
  });
  return Array.from(t, (time, i) => ({ t: time, height: y[i][0] }));
}

/**
 * Adam with a rate that falls along half a cosine, as in torchdiffeq's example; calls `each` with the loss before a step.
 *
 * Its memory of squared gradients is short: the first ones are a thousand times those that come later.
 */
export function learn(
  ball: BouncingBall,
  iterations: number,
  each: (iteration: number, loss: number) => void = () => {},
): void {
  const rate = 0.1;
  const adam = tf.train.adam(rate, 0.9, 0.9);
  for (let i = 0; i < iterations; i++) {
    // tfjs has no schedules: this is where its optimizers keep the rate.
    Object.assign(adam, { learningRate: (rate * (1 + Math.cos((Math.PI * i) / iterations))) / 2 });
    each(
      i + 1,
      tf.tidy(() => adam.minimize(ball.loss, true, ball.variables)!.dataSync()[0]),
    );
  }
  adam.dispose();
}
