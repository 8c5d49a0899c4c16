/** The third of the physical systems: second-harmonic generation by a shaped pulse of light. */
import * as tf from '@tensorflow/tfjs-core';
import { odeintAdjoint } from 'tfjs-diffeq';
import { amplified, type Build, type Parameters } from './physical_systems.js';

export interface CrystalParameters extends Parameters {
  /** Coupling times the length of the crystal, at unit amplitude. */
  coupling: number;
  /** Wave-vector mismatch `dk` times the length. */
  mismatch: number;
  /** Amplitude of the pump at each frequency, with the modulator open. */
  spectrum: number[];
}

const lines = 10;
export const crystalParameters: CrystalParameters = {
  ...{ coupling: 0.25, mismatch: 1 },
  spectrum: Array.from({ length: lines }, (_, m) => Math.exp(-(((m - (lines - 1) / 2) / 5) ** 2))),
};

/** Times of the pulse, enough for the frequencies of the second harmonic. */
const samples = 20;

/**
 * The coupled waves in a thin crystal, for z from 0 to 1, at every instant of the pulse:
 * `dA1/dz = i k A2 conj(A1) exp(-i dk z)`, `dA2/dz = i k A1^2 exp(i dk z)`. On the lines of the spectra the products are sums
 * over all pairs of lines. Solved are `a = k A1` and `b = k A2 exp(-i dk z)`, without z in the equations:
 * `a' = i b conj(a)`, `b' = i a^2 - i dk b`, as rows Re a, Im a, Re b, Im b of [4, anything].
 * Without mismatch and with `a` real at first, `|b|^2 = a^2 tanh(a z)^2`; always the energy `|a|^2 + |b|^2` stays (Manley & Rowe).
 * Source: Armstrong, Bloembergen, Ducuing & Pershan, https://doi.org/10.1103/PhysRev.127.1918.
 */
export function coupledWaves(mismatch: number) {
  const [r1, i1, r2, i2] = [0, 1, 2, 3];
  // y' = (A y)(B y) + (C y)(D y) + E y: one matrix picks all the factors, a few large operations for many small ones.
  const factors: [from: number, times: number][][] = [
    [[r2, 1], [r2, 1], [r1, -2], [r1, 1]], // prettier-ignore
    [[i1, 1], [r1, 1], [i1, 1], [r1, 1]], // prettier-ignore
    [[i2, -1], [i2, 1], [r1, 0], [i1, -1]], // prettier-ignore
    [[r1, 1], [i1, 1], [r1, 0], [i1, 1]], // prettier-ignore
    [[r1, 0], [r1, 0], [i2, mismatch], [r2, -mismatch]], // prettier-ignore
  ];
  const pick = tf.tensor2d(
    factors.flat().map(([from, times]) => [r1, i1, r2, i2].map((column) => (column === from ? times : 0))),
  );
  const field = (_z: tf.Scalar, y: tf.Tensor): tf.Tensor => {
    const [a, b, c, d, e] = tf.split(tf.matMul(pick, y as tf.Tensor2D), 5);
    return tf.addN([tf.mul(a, b), tf.mul(c, d), e]);
  };
  return {
    field,
    /** Fields at the exit from those at the entrance, both [4, anything]. */
    propagate: (y0: tf.Tensor, steps = 5): tf.Tensor =>
      tf.gather(
        odeintAdjoint(field, y0, [0, 1], {
          method: 'rk4_classic',
          stepSize: 1 / steps,
          adjoint: 'checkpoint',
        }),
        1,
      ),
    dispose: () => pick.dispose(),
  };
}

/** `f(2 pi W s / samples)` for frequencies `W` from `first` on (rows) at times `s`: [count, samples]. */
function waves(
  f: (turn: number) => number,
  first: number,
  count: number,
  amplitude = (_m: number) => 1,
): tf.Tensor2D {
  const row = (m: number) =>
    Array.from({ length: samples }, (_, s) => amplitude(m) * f((2 * Math.PI * (first + m) * s) / samples));
  return tf.tensor2d(Array.from({ length: count }, (_, m) => row(m)));
}

/** Gain of the detectors. */
const detector = 15;

/**
 * A pulse of 10 lines that a modulator multiplies with the controls; read out are the powers of the 13 middle lines of the
 * second harmonic that leave the crystal, less what they are with the modulator at rest.
 */
export const crystal: Build<CrystalParameters> = ({ coupling, mismatch, spectrum }) => {
  const optics = coupledWaves(mismatch);
  const first = -lines / 2;
  const [cos, sin] = [Math.cos, Math.sin].map((f) => waves(f, first, lines, (m) => coupling * spectrum[m]));
  const readouts = 2 * lines - 7;
  const spectrometer = tf.tidy(() => {
    const [re, im] = [Math.cos, Math.sin].map((f) => waves(f, 2 * first + 3, readouts, () => 1 / samples));
    return [tf.transpose(re), tf.transpose(im)] as tf.Tensor2D[];
  });
  const powers = (u: tf.Tensor) => {
    const open = amplified(u) as tf.Tensor2D;
    const [re, im] = [tf.matMul(open, cos), tf.matMul(open, sin)];
    const y0 = tf.reshape(tf.stack([re, im, tf.zerosLike(re), tf.zerosLike(re)]), [4, -1]);
    const out = tf.reshape(optics.propagate(y0), [4, -1, samples]);
    const [r, i] = [2, 3].map((row) => tf.reshape(tf.slice(out, row, 1), [-1, samples]) as tf.Tensor2D);
    const [c, s] = spectrometer;
    const real = tf.add(tf.matMul(r, c), tf.matMul(i, s));
    const imaginary = tf.sub(tf.matMul(i, c), tf.matMul(r, s));
    return tf.mul(detector / coupling ** 2, tf.add(tf.square(real), tf.square(imaginary)));
  };
  const rest = 0.7;
  const atRest = tf.tidy(() => powers(tf.fill([1, lines], rest)));
  return {
    ...{ controls: lines, readouts, rest },
    run: (u) => tf.tidy(() => tf.sub(powers(u), atRest)),
    dispose: () => {
      optics.dispose();
      tf.dispose([cos, sin, spectrometer, atRest]);
    },
  };
};
