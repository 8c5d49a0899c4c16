/**
 * Three physical systems that compute: a plate that is shaken, a circuit of coupled oscillators, and a crystal that doubles the
 * frequency of light. Each takes controls `u` [batch, controls], evolves by a differential equation (rk4_classic on the whole
 * batch, gradients by odeintAdjoint: checkpoint), and is read out to numbers [batch, readouts].
 * They are the three of Wright et al., https://doi.org/10.1038/s41586-021-04223-6, small and without units.
 */
import * as tf from '@tensorflow/tfjs-core';
import { odeintAdjoint } from 'tfjs-diffeq';

/** What somebody can measure of a system: every entry is a number or several. */
export type Parameters = Record<string, number | number[]>;

export interface PhysicalSystem {
  controls: number;
  readouts: number;
  /** Where the controls are when training begins, on average. */
  rest: number;
  /** [batch, controls] to [batch, readouts]; differentiable in `u`. */
  run: (u: tf.Tensor) => tf.Tensor;
  dispose(): void;
}

export type Build<P extends Parameters> = (parameters: P) => PhysicalSystem;

const grid = (end: number, steps: number) => Array.from({ length: steps + 1 }, (_, i) => (end * i) / steps);
const range = (count: number) => Array.from({ length: count }, (_, i) => i);
/** A matrix of numbers as a tensor. */
const matrix = (rows: number, columns: number, value: (i: number, j: number) => number) =>
  tf.tensor2d(
    range(rows).map((i) => range(columns).map((j) => value(i, j))),
    [rows, columns],
  );

/** Amplifiers and modulators give no more than this. */
const saturation = 2;
/** Controls as they arrive. */
export const amplified = (u: tf.Tensor): tf.Tensor => tf.clipByValue(u, -saturation, saturation);

type Field = (t: tf.Scalar, y: tf.Tensor, args: tf.Tensor) => tf.Tensor;

/** States at `t[read..]`, from `y0`: [times, batch, n]. */
const evolve = (field: Field, y0: tf.Tensor, t: number[], args: tf.Tensor): tf.Tensor =>
  odeintAdjoint(field, y0, t, { method: 'rk4_classic', adjoint: 'checkpoint', args });

/**
 * What shakes a system: amplifier `i` plays the tones `sum_k u_ki cos(nu_k t)` into the components of `y'` that `into`
 * [amplifiers, n] says. `prepare` turns controls [batch, tones * amplifiers] into what `at` needs.
 */
function tones(frequencies: number[], into: tf.Tensor2D) {
  const nu = tf.tensor2d(frequencies, [1, frequencies.length]);
  const [amplifiers, n] = into.shape;
  return {
    controls: frequencies.length * amplifiers,
    prepare: (u: tf.Tensor): tf.Tensor => {
      const byTone = tf.transpose(tf.reshape(amplified(u), [-1, frequencies.length, amplifiers]), [1, 0, 2]);
      const forces = tf.matMul(tf.reshape(byTone, [-1, amplifiers]), into);
      return tf.reshape(forces, [frequencies.length, -1]);
    },
    at: (t: tf.Scalar, forces: tf.Tensor): tf.Tensor =>
      tf.reshape(tf.matMul(tf.cos(tf.mul(nu, t)), forces as tf.Tensor2D), [-1, n]),
    dispose: () => tf.dispose([nu, into]),
  };
}

/** Readouts [batch, times * pickups] of the states at the last `times` of ys [steps + 1, batch, n]. */
function readOut(ys: tf.Tensor, times: number[], pickups: tf.Tensor2D): tf.Tensor {
  const [n, count] = pickups.shape;
  const seen = tf.reshape(tf.matMul(tf.reshape(tf.gather(ys, times), [-1, n]), pickups), [
    times.length,
    -1,
    count,
  ]);
  return tf.reshape(tf.transpose(seen, [1, 0, 2]), [-1, times.length * count]);
}

export interface PlateParameters extends Parameters {
  /** Length over width. */
  aspect: number;
  /** Part of the critical damping. */
  zeta: number;
  /** What stretching of the middle plane adds to the stiffness of mode (1, 1) at unit deflection. */
  stretch: number;
  /** Gain of each actuator. */
  gains: number[];
  /** Error of each mode's frequency, as a factor: a real plate is not quite the plate of the formula. */
  factors: number[];
}

const plateModes = [[1, 1], [2, 1], [1, 2], [2, 2], [3, 1], [1, 3]]; // prettier-ignore
const actuators = [[0.18, 0.25], [0.41, 0.18], [0.86, 0.15], [0.13, 0.72], [0.58, 0.83], [0.79, 0.66]]; // prettier-ignore
const pickups = [[0.29, 0.4], [0.53, 0.47], [0.74, 0.46], [0.22, 0.88], [0.9, 0.85]]; // prettier-ignore

export const plateParameters: PlateParameters = {
  ...{ aspect: 1.1, zeta: 0.03, stretch: 0.5 },
  gains: actuators.map(() => 1),
  factors: plateModes.map(() => 1),
};

const plateTones = [0.8, 2, 3.2, 4.8];
const plateEnd = 2.4;
/** Shape of mode (m, k) at a point, lengths in those of the edges. */
const shape = ([m, k]: number[], [x, y]: number[]) => Math.sin(m * Math.PI * x) * Math.sin(k * Math.PI * y);

/** Eigenvalue of minus the Laplacian of mode (m, n), that of (1, 1) being 1; the frequency is proportional to it. */
const plateEigenvalue = ([m, n]: number[], aspect: number) =>
  (m ** 2 + (n * aspect) ** 2) / (1 + aspect ** 2);

/** Angular frequencies of a simply supported thin plate (Kirchhoff), that of mode (1, 1) being 1. */
const plateFrequencies = ({ aspect, factors }: PlateParameters): number[] =>
  plateModes.map((mode, i) => factors[i] * plateEigenvalue(mode, aspect));

/**
 * Modes of a simply supported rectangular plate whose deflection stretches it (Berger, J. Appl. Mech. 22, 465 (1955)):
 * `q_i'' + 2 zeta w_i q_i' + w_i^2 q_i + stretch l_i q_i sum_j l_j q_j^2 = F_i(t)`, with `l` the eigenvalues of minus the
 * Laplacian and `w_i = factors_i l_i`. Actuators at points push with 4 tones each; pickups at others measure the deflection.
 * Without `stretch` the modes are damped oscillators. The unit of time is 1 / w_1; a unit of q_1 adds `stretch` to its w_1^2 of 1.
 */
export const plate = (parameters: PlateParameters, steps = 12): PhysicalSystem => {
  const n = plateModes.length;
  const { aspect, zeta, stretch, gains } = parameters;
  const w = plateFrequencies(parameters);
  const l = plateModes.map((mode) => plateEigenvalue(mode, aspect));
  // Rows are what acts, columns what is acted upon, in y = [q, q'].
  const linear = matrix(2 * n, 2 * n, (i, j) => {
    if (j < n) return i === j + n ? 1 : 0;
    if (i < n) return i === j - n ? -(w[i] ** 2) : 0;
    return i === j ? -2 * zeta * w[i - n] : 0;
  });
  const stretching = matrix(2 * n, 2 * n, (i, j) => (i < n && j === i + n ? -stretch * l[i] : 0));
  const slope = matrix(2 * n, 1, (i) => (i < n ? l[i] : 0));
  const force = matrix(actuators.length, 2 * n, (i, j) =>
    j < n ? 0 : gains[i] * shape(plateModes[j - n], actuators[i]),
  );
  const drive = tones(plateTones, force);
  const microphones = matrix(2 * n, pickups.length, (i, j) =>
    i < n ? 2 * shape(plateModes[i], pickups[j]) : 0,
  );
  const field: Field = (t, y, forces) => {
    const tension = tf.matMul(tf.square(y) as tf.Tensor2D, slope);
    const bent = tf.mul(tf.matMul(y as tf.Tensor2D, stretching), tension);
    return tf.addN([tf.matMul(y as tf.Tensor2D, linear), bent, drive.at(t, forces)]);
  };
  return {
    controls: drive.controls,
    rest: 0,
    readouts: 2 * pickups.length,
    run: (u) =>
      tf.tidy(() => {
        const ys = evolve(field, tf.zeros([u.shape[0]!, 2 * n]), grid(plateEnd, steps), drive.prepare(u));
        return readOut(ys, [(2 * steps) / 3, steps], microphones);
      }),
    dispose: () => {
      drive.dispose();
      tf.dispose([linear, stretching, slope, microphones]);
    },
  };
};

/** Readouts of a plate that does not stretch, for one row of controls, in closed form: each mode is a damped oscillator. */
export function linearPlate(parameters: PlateParameters, u: number[]): number[] {
  const { zeta, gains } = parameters;
  const w = plateFrequencies(parameters);
  const deflection = (mode: number, nu: number, t: number) => {
    const [inertia, loss] = [w[mode] ** 2 - nu ** 2, 2 * zeta * w[mode] * nu];
    const size = inertia ** 2 + loss ** 2;
    const [decay, wd] = [zeta * w[mode], w[mode] * Math.sqrt(1 - zeta ** 2)];
    const steady = inertia * Math.cos(nu * t) + loss * Math.sin(nu * t);
    // Begins at rest: the free oscillation takes away what the steady one has at t = 0.
    const free = inertia * Math.cos(wd * t) + ((loss * nu + decay * inertia) / wd) * Math.sin(wd * t);
    return (steady - Math.exp(-decay * t) * free) / size;
  };
  const mode = (i: number, t: number) =>
    u.reduce((sum, amplitude, control) => {
      const [tone, at] = [Math.floor(control / actuators.length), control % actuators.length];
      return (
        sum + amplitude * gains[at] * shape(plateModes[i], actuators[at]) * deflection(i, plateTones[tone], t)
      );
    }, 0);
  return [(2 / 3) * plateEnd, plateEnd].flatMap((t) =>
    pickups.map((point) => plateModes.reduce((sum, m, i) => sum + 2 * shape(m, point) * mode(i, t), 0)),
  );
}

export interface CircuitParameters extends Parameters {
  /** Resonance of each tank, `1 / sqrt(L C)`. */
  resonances: number[];
  /** Loss of each tank: conductance, and resistance of the coil. */
  conductance: number;
  resistance: number;
  /** Current of the transistor pair into each tank, at full swing. */
  currents: number[];
  /** Gain of each input. */
  gains: number[];
}

const tanks = 8;
export const circuitParameters: CircuitParameters = {
  resonances: range(tanks).map((i) => 0.8 + 0.2 * i),
  ...{ conductance: 0.1, resistance: 0.1 },
  currents: range(tanks).map((i) => (i % 2 === 0 ? 1.5 : -1.5)),
  gains: range(tanks).map(() => 1),
};

/**
 * A ring of tanks, each a capacitor and a coil, with a pair of bipolar transistors from each to the next: the current of such
 * a pair is `I tanh(V / 2 V_T)`. With V in units of `2 V_T` (52 mV), I of that over `sqrt(L / C)`, and time of `sqrt(L C)`,
 * `V_j' = I_j - conductance V_j + currents_j tanh(V_{j-1}) - tanh(V_j)`, `I_j' = -w_j^2 V_j - resistance I_j + 2 gains_j u_j(t)`.
 * The second tanh is a pair that loads its own tank. u_j are two tones that drive the coils; the voltages are read out.
 */
export const circuit: Build<CircuitParameters> = (parameters) => {
  const { resonances: w, conductance, resistance, currents, gains } = parameters;
  const n = tanks;
  const linear = matrix(2 * n, 2 * n, (i, j) => {
    if (j < n) return i === j ? -conductance : i === j + n ? 1 : 0;
    return i === j ? -resistance : i === j - n ? -(w[i] ** 2) : 0;
  });
  const pairs = matrix(2 * n, 2 * n, (i, j) => {
    if (i >= n || j >= n) return 0;
    return (i === j ? -1 : 0) + (i === (j + n - 1) % n ? currents[j] : 0);
  });
  const drive = tones(
    [0.7, 1.9],
    matrix(n, 2 * n, (i, j) => (j === i + n ? 2 * gains[i] : 0)),
  );
  const probes = matrix(2 * n, n, (i, j) => (i === j ? 1 : 0));
  const field: Field = (t, y, forces) => {
    const currentsOfPairs = tf.matMul(tf.tanh(y) as tf.Tensor2D, pairs);
    return tf.addN([tf.matMul(y as tf.Tensor2D, linear), currentsOfPairs, drive.at(t, forces)]);
  };
  return {
    controls: drive.controls,
    rest: 0,
    readouts: 2 * n,
    run: (u) =>
      tf.tidy(() => {
        const ys = evolve(field, tf.zeros([u.shape[0]!, 2 * n]), grid(4, 10), drive.prepare(u));
        return readOut(ys, [6, 10], probes);
      }),
    dispose: () => {
      drive.dispose();
      tf.dispose([linear, pairs, probes]);
    },
  };
};
