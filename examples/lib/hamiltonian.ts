/**
 * A pendulum, `H(q, p) = p^2 / 2 + 1 - cos q`, and a network that learns its energy, `H = T(p) + V(q)`, from noisy
 * trajectories: every motion of the network conserves the energy that it has learned (https://arxiv.org/abs/1906.01563).
 */
import * as tf from '@tensorflow/tfjs-core';
import { odeint, odeintAdjoint, odeintEvent, solve } from 'tfjs-diffeq';
import { normalVariable, random, type Numbers } from './training.js';

/** A function of one number and its derivative. */
export interface Potential {
  value: (x: number) => number;
  slope: (x: number) => number;
}

/** A separable Hamiltonian: `q' = T'(p)`, `p' = -V'(q)`. */
export interface Energy {
  kinetic: Potential;
  potential: Potential;
}

export const pendulum: Energy = {
  kinetic: { value: (p) => p ** 2 / 2, slope: (p) => p },
  potential: { value: (q) => 1 - Math.cos(q), slope: Math.sin },
};

export const energyOf = ({ kinetic, potential }: Energy, [q, p]: Numbers): number =>
  kinetic.value(p) + potential.value(q);

/** The vector field of an energy on plain numbers `[q, p]`. */
export const motion =
  ({ kinetic, potential }: Energy) =>
  (_t: number, [q, p]: Numbers): number[] => [kinetic.slope(p), -potential.slope(q)];

/** Period of a swing that begins at rest at `angle`: the time until the speed falls through zero. */
export function period(energy: Energy, angle: number): number {
  const [time] = odeintEvent(motion(energy), [angle, 0], 0, {
    eventFn: (_t: number, [, p]: Numbers) => p,
    direction: -1,
    rtol: 1e-10,
    atol: 1e-12,
  });
  return time;
}

/** Its closed form, `4 K(sin(angle / 2))`, by the arithmetic-geometric mean. */
export function exactPeriod(angle: number): number {
  let [a, g] = [1, Math.cos(angle / 2)];
  for (let i = 0; i < 8; i++) [a, g] = [(a + g) / 2, Math.sqrt(a * g)];
  return (2 * Math.PI) / a;
}

/** How the relative error of the energy grows along one solve, and what the solve cost. */
export function drift(
  energy: Energy,
  y0: number[],
  t: number[],
  options: { method: 'leapfrog'; stepSize: number } | { method: 'dopri5'; rtol: number; atol: number },
): { error: number[]; evaluations: number } {
  const { y, stats } = solve(motion(energy), y0, t, { ...options, maxNumSteps: 1e6 });
  const [start, bottom] = [energyOf(energy, y0), energyOf(energy, [0, 0])];
  const error = y.map((state) => (energyOf(energy, state) - start) / (start - bottom));
  return { error, evaluations: stats.nfe };
}

/** Motions of the pendulum, observed with noise: `q` and `p` are `[time][motion]`. */
export interface Record {
  t: number[];
  q: number[][];
  p: number[][];
  noise: number;
}

/** Short motions that begin anywhere inside the energy 1.8: the pendulum does not turn over. */
export function observe(motions: number, noise: number, seed: number): Record {
  const { uniform, normal } = random(seed);
  const t = Array.from({ length: 17 }, (_, i) => i / 4);
  const starts: number[][] = [];
  while (starts.length < motions) {
    const start = [5.2 * (uniform() - 0.5), 4 * (uniform() - 0.5)];
    if (energyOf(pendulum, start) < 1.8) starts.push(start);
  }
  const exact = starts.map((start) => odeint(motion(pendulum), start, t));
  const noisy = (component: number) => t.map((_, i) => exact.map((y) => y[i][component] + noise * normal()));
  return { t, q: noisy(0), p: noisy(1), noise };
}

const logCosh = (x: number) => Math.abs(x) + Math.log1p(Math.exp(-2 * Math.abs(x))) - Math.LN2;

/** `value(x) = log(cosh(x w1 + b)) w2` for a column x, so that its slope is a network of tanh. */
class PotentialNetwork {
  readonly variables: tf.Variable[];

  /** The slope starts as a smooth staircase with its steps spread over `|x| < 2.5`: any slope is near. */
  constructor(width: number, normal: () => number) {
    const steepness = 1.5;
    const steps = Array.from({ length: width }, (_, i) => 5 * ((i + 0.5) / width - 0.5));
    const variable = (values: number[], shape: number[]) =>
      tf.tidy(() => tf.variable(tf.tensor(values, shape)));
    this.variables = [
      variable(steps.map(() => steepness), [1, width]), // prettier-ignore
      variable(steps.map((x) => -steepness * x), [width]), // prettier-ignore
      normalVariable([width, 1], 0.1, normal),
    ];
  }

  /** Its derivative, written out: gradients of it are of first order then. */
  slope(x: tf.Tensor): tf.Tensor {
    const [w1, b, w2] = this.variables as tf.Tensor[];
    const hidden = tf.tanh(tf.add(tf.mul(x, w1), b));
    return tf.matMul(hidden as tf.Tensor2D, tf.mul(tf.transpose(w1), w2));
  }

  /** The same, as it is now, on plain numbers. */
  plain(): Potential {
    const [w1, b, w2] = this.variables.map((variable) => variable.dataSync());
    const sum = (term: (i: number) => number) => Array.from(b, (_, i) => term(i)).reduce((a, x) => a + x, 0);
    return {
      value: (x) => sum((i) => w2[i] * logCosh(w1[i] * x + b[i])),
      slope: (x) => sum((i) => w2[i] * w1[i] * Math.tanh(w1[i] * x + b[i])),
    };
  }
}

interface Phase {
  q: tf.Tensor;
  p: tf.Tensor;
}

/** The two networks, and where every observed motion began; dispose it. */
export class HamiltonianTraining {
  private readonly kinetic: PotentialNetwork;
  private readonly potential: PotentialNetwork;
  private readonly start: { q: tf.Variable; p: tf.Variable };
  private readonly observed: Phase;

  constructor(
    private readonly record: Record,
    { width = 16, seed = 1 } = {},
    private readonly adjoint: 'reversible' | 'checkpoint' = 'reversible',
  ) {
    const { normal } = random(seed);
    this.kinetic = new PotentialNetwork(width, normal);
    this.potential = new PotentialNetwork(width, normal);
    const column = (values: number[]) => tf.tidy(() => tf.variable(tf.tensor2d(values, [values.length, 1])));
    this.start = { q: column(record.q[0]) as tf.Variable, p: column(record.p[0]) as tf.Variable };
    this.observed = tf.tidy(() => ({
      q: tf.expandDims(tf.tensor2d(record.q), 2),
      p: tf.expandDims(tf.tensor2d(record.p), 2),
    }));
  }

  private readonly field = (_t: tf.Scalar, { q, p }: Phase): Phase => ({
    q: this.kinetic.slope(p),
    p: tf.neg(this.potential.slope(q)),
  });

  private solve(start: Phase, t: number[]): Phase {
    return odeintAdjoint(this.field, start, t, {
      method: 'leapfrog',
      stepSize: 0.125,
      adjoint: this.adjoint,
    });
  }

  private misses(computed: Phase, observed: Phase): tf.Tensor {
    const miss = (of: keyof Phase) => tf.mean(tf.squaredDifference(computed[of], observed[of]));
    return tf.div(tf.add(miss('q'), miss('p')), 2 * this.record.noise ** 2);
  }

  /** Of all steps from one observation to the next: rough, cheap, and without traps far from the truth. */
  readonly lossOfPieces = (): tf.Tensor => {
    const { t } = this.record;
    const [q, p] = [this.observed.q, this.observed.p];
    const from = (x: tf.Tensor, i: number) =>
      tf.reshape(tf.slice(x, [i, 0, 0], [t.length - 1, -1, -1]), [-1, 1]);
    const ends = this.solve({ q: from(q, 0), p: from(p, 0) }, [t[0], t[1]]);
    const last = (x: tf.Tensor) => tf.gather(x, 1);
    return this.misses({ q: last(ends.q), p: last(ends.p) }, { q: from(q, 1), p: from(p, 1) });
  };

  /** Of the whole motions: the mean of the squares of (computed - observed) / noise; differentiable. */
  readonly loss = (): tf.Tensor => {
    const start: Phase = { q: tf.add(this.start.q, 0), p: tf.add(this.start.p, 0) };
    return this.misses(this.solve(start, this.record.t), this.observed);
  };

  /** The variables of the networks alone. */
  get weights(): tf.Variable[] {
    return [...this.kinetic.variables, ...this.potential.variables];
  }

  get variables(): tf.Variable[] {
    return [...this.weights, this.start.q, this.start.p];
  }

  /** What has been learned, on plain numbers, with the constant chosen so that the pendulum at rest has none. */
  energy(): Energy {
    const zeroAtRest = ({ value, slope }: Potential): Potential => {
      const rest = value(0);
      return { value: (x) => value(x) - rest, slope };
    };
    return { kinetic: zeroAtRest(this.kinetic.plain()), potential: zeroAtRest(this.potential.plain()) };
  }

  dispose(): void {
    tf.dispose([...this.variables, this.observed.q, this.observed.p]);
  }
}

/** Root mean square of learned - true energy over the states with a true energy below `most`, less its mean. */
export function energyError(learned: Energy, most: number): number {
  const errors: number[] = [];
  for (let q = -Math.PI; q < Math.PI; q += 0.05) {
    for (let p = -2; p <= 2; p += 0.05) {
      const exact = energyOf(pendulum, [q, p]);
      if (exact < most) errors.push(energyOf(learned, [q, p]) - exact);
    }
  }
  const mean = errors.reduce((sum, x) => sum + x, 0) / errors.length;
  return Math.sqrt(errors.reduce((sum, x) => sum + (x - mean) ** 2, 0) / errors.length);
}
