/**
 * A rigid body in the plane, pushed by a force that turns with it and by a torque. Both are tensors of a programme that
 * is learned by gradients through the motion, and the programme of least effort has a closed form.
 */
import * as tf from '@tensorflow/tfjs-core';
import { odeint, odeintAdjoint } from 'tfjs-diffeq';

export const body = { mass: 1, inertia: 0.1 };

export interface Pose {
  x: number;
  y: number;
  angle: number;
}

/** From rest at the origin to rest at `target`, in `T` seconds; the programme is linear between `nodes + 1` times. */
export const task = { T: 2, target: { x: 1, y: 0.5, angle: Math.PI / 2 } as Pose, nodes: 20 };

/** Force forward and to the left, torque: what each node of the programme is in the beginning. */
export const firstGuess = [0.1, 0, 0.01] as const;

/**
 * A solve in steps of the distance of two nodes, in which the programme is smooth. `int |F|^2 / m + torque^2 / I dt` is
 * the effort.
 */
const options = { method: 'rk4_classic', stepSize: task.T / task.nodes } as const;

/** The programme at time `t`, `[3]`: every op is on the tape, so that its gradient reaches the nodes. */
function programmeAt(t: tf.Scalar, programme: tf.Tensor2D): tf.Tensor1D {
  const i = tf.range(0, task.nodes + 1);
  const hats = tf.relu(tf.sub(1, tf.abs(tf.sub(tf.mul(t, task.nodes / task.T), i))));
  return tf.squeeze(tf.matMul(tf.reshape(hats, [1, -1]), programme), [0]);
}

/** `(x, y, angle, x', y', angle')' = (x', y', angle', R(angle) F / m, torque / I)`. */
export function motion(t: tf.Scalar, state: tf.Tensor, { programme }: { programme: tf.Tensor2D }): tf.Tensor {
  const [, , angle, vx, vy, spin] = tf.unstack(state);
  const [forward, left, torque] = tf.unstack(programmeAt(t, programme));
  const [cos, sin] = [tf.cos(angle), tf.sin(angle)];
  const fx = tf.sub(tf.mul(cos, forward), tf.mul(sin, left));
  const fy = tf.add(tf.mul(sin, forward), tf.mul(cos, left));
  return tf.stack([vx, vy, spin, tf.div(fx, body.mass), tf.div(fy, body.mass), tf.div(torque, body.inertia)]);
}

const power = (t: tf.Scalar, _state: tf.Tensor, { programme }: { programme: tf.Tensor2D }): tf.Tensor => {
  const inverse = tf.tensor1d([1 / body.mass, 1 / body.mass, 1 / body.inertia]);
  return tf.sum(tf.mul(inverse, tf.square(programmeAt(t, programme))));
};

/** What is learned; dispose it. */
export class Programme {
  readonly nodes: tf.Variable<tf.Rank.R2>;
  /** Of the six conditions at the end, by the method of multipliers: a penalty alone would miss the target. */
  private readonly multipliers = new Float32Array(6);
  private readonly adam = tf.train.adam(0.1, 0.9, 0.99);
  private readonly scale = tf.tensor1d([1, 1, body.inertia]);

  constructor(guess: readonly number[] = firstGuess) {
    const inUnits = guess.map((x, i) => (i === 2 ? x / body.inertia : x));
    this.nodes = tf.tidy(() => tf.variable(tf.tile(tf.tensor2d([...inUnits], [1, 3]), [task.nodes + 1, 1])));
  }

  /** Newtons and newton metres. The variable itself has accelerations, which are of one size: Adam's steps are. */
  private tensor(): tf.Tensor2D {
    return tf.mul(this.nodes, this.scale);
  }

  /** The end `[6]` less the target, and the effort; differentiable. */
  private end(): [miss: tf.Tensor, effort: tf.Tensor] {
    const { x, y, angle } = task.target;
    const start = tf.zeros([6]);
    const args = { programme: this.tensor() };
    const solve = { ...options, adjoint: 'checkpoint', args, quadrature: power } as const;
    const [states, efforts] = odeintAdjoint(motion, start, [0, task.T], solve);
    return [tf.sub(tf.gather(states, 1), tf.tensor1d([x, y, angle, 0, 0, 0])), tf.gather(efforts, 1)];
  }

  evaluate(): { miss: number[]; effort: number } {
    return tf.tidy(() => {
      const [miss, effort] = this.end();
      return { miss: Array.from(miss.dataSync()), effort: effort.dataSync()[0] };
    });
  }

  /** Gradient of `x(T) + 2 y(T) + 3 angle(T)` in every node, by the adjoint or by the tape alone. */
  gradientOfEnd(by: 'adjoint' | 'tape'): Float32Array {
    const weights = [1, 2, 3, 0, 0, 0];
    const solver = by === 'tape' ? odeint : odeintAdjoint;
    return tf.tidy(() => {
      const end = (programme: tf.Tensor) => {
        const args = { programme: programme as tf.Tensor2D };
        const states = solver(motion, tf.zeros([6]), [0, task.T], { ...options, args });
        return tf.sum(tf.mul(tf.gather(states, 1), tf.tensor1d(weights)));
      };
      return tf.grad(end)(this.tensor()).dataSync() as Float32Array;
    });
  }

  /**
   * `rounds` of `iterations` each: least effort with a penalty on the miss, whose multipliers grow after each round by
   * what is missed still. The rate falls along half a cosine from round to round.
   */
  learn(
    rounds: number,
    iterations: number,
    each: (iteration: number, effort: number, miss: number) => void = () => {},
  ): void {
    const penalty = 5;
    const total = rounds * iterations;
    for (let i = 0; i < total; i++) {
      // tfjs has no schedules: this is where its optimizers keep the rate.
      Object.assign(this.adam, { learningRate: 0.1 * (1 + Math.cos((Math.PI * i) / total)) });
      let [effort, missed]: [number, Float32Array] = [NaN, new Float32Array(6)];
      tf.tidy(() => {
        const loss = () => {
          const [miss, work] = this.end();
          [effort, missed] = [work.dataSync()[0], miss.dataSync() as Float32Array];
          const forces = tf.add(tf.tensor1d(this.multipliers), tf.mul(penalty, miss));
          return tf.add(work, tf.sum(tf.mul(miss, forces))) as tf.Scalar;
        };
        this.adam.minimize(loss, false, [this.nodes as tf.Variable]);
      });
      each(i + 1, effort, Math.hypot(...missed.slice(0, 2)));
      if ((i + 1) % iterations === 0) missed.forEach((x, k) => (this.multipliers[k] += 2 * penalty * x));
    }
  }

  /** Rows of time, state, force forward and to the left, torque. */
  path(samples: number): { t: number; state: Float32Array; input: Float32Array }[] {
    const times = Array.from({ length: samples + 1 }, (_, i) => (i * task.T) / samples);
    return tf.tidy(() => {
      const programme = this.tensor();
      const states = odeint(motion, tf.zeros([6]), times, { ...options, args: { programme } }).dataSync();
      return times.map((t, i) => ({
        t,
        state: Float32Array.from(states.slice(6 * i, 6 * i + 6)),
        input: programmeAt(tf.scalar(t), programme).dataSync() as Float32Array,
      }));
    });
  }

  dispose(): void {
    this.adam.dispose();
    tf.dispose([this.nodes, this.scale]);
  }
}

/**
 * Least effort, in closed form. Turning a force does not change its size, so the ways in x, y and angle do not disturb
 * each other: each is a cubic, `3 s^2 - 2 s^3` of its distance at `s = t / T`.
 */
export function leastEffort(): number {
  const { x, y, angle } = task.target;
  return (12 / task.T ** 3) * (body.mass * (x * x + y * y) + body.inertia * angle * angle);
}

/** The pose of least effort at time `t`, and its programme in the frame of the body. */
export function optimal(t: number): { pose: Pose; input: [forward: number, left: number, torque: number] } {
  const { x, y, angle } = task.target;
  const s = t / task.T;
  const [way, acceleration] = [s * s * (3 - 2 * s), (6 - 12 * s) / task.T ** 2];
  const pose = { x: x * way, y: y * way, angle: angle * way };
  const [cos, sin] = [Math.cos(pose.angle), Math.sin(pose.angle)];
  const [fx, fy] = [body.mass * x * acceleration, body.mass * y * acceleration];
  return {
    pose,
    input: [cos * fx + sin * fy, cos * fy - sin * fx, body.inertia * angle * acceleration],
  };
}
