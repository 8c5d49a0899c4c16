/**
 * Systems whose events are known in closed form, on plain numbers and on tensors, and the numbers of
 * `reference/events.json`.
 */
import * as tf from '@tensorflow/tfjs';
import { readReference } from './reference_problems.js';

/** What `reference/events.py` writes. */
export interface EventReference {
  henon_heiles: { y0: number[]; section: number[][] };
  pendulum: [angle: number, period: number][];
  directions: {
    t0: number;
    t1: number;
    direction: -1 | 0 | 1;
    terminal: boolean;
    status: 0 | 1;
    end: number;
    times: number[][];
  }[];
  sensitivities: {
    y0: number[];
    parameters: number[];
    level: number;
    t: number;
    y: number[];
    dt: number[];
    dhunter: number[];
  };
  two_compartments: {
    rates: number[];
    doses: [t: number, amount: number][];
    t: number[];
    before: number[][];
  };
}
export const reference = readReference<EventReference>('events.json');

/** q' = p, p' = -q. */
export const harmonic = (_t: number, [q, p]: Float64Array): number[] => [p, -q];
export const harmonicTensor = (_t: tf.Scalar, [q, p]: Pair): Pair => [p, tf.neg(q)];

/** h' = v, v' = -g. */
export const g = 9.81;
export const fall = (_t: number, [, v]: Float64Array): number[] => [v, -g];
export const fallTensor = (_t: tf.Scalar, [, v]: Pair): Pair => [v, tf.mul(-g, tf.onesLike(v))];

/** y' = 1: y is a clock. */
export const clock = (): number[] => [1];
export const clockTensor = (_t: tf.Scalar, y: tf.Tensor): tf.Tensor => tf.onesLike(y);

export type Pair = [tf.Tensor, tf.Tensor];
export const height = (_t: unknown, [h]: Float64Array): number => h;
export const heightTensor = (_t: unknown, [h]: Pair): tf.Tensor => h;
export const pair = (a: number, b: number): Pair => [tf.scalar(a), tf.scalar(b)];

/** When a body thrown up at `v0` from `h0` is on the ground. */
export const landing = (h0: number, v0: number, gravity = g): number =>
  (v0 + Math.sqrt(v0 * v0 + 2 * gravity * h0)) / gravity;

/** Times at which a ball dropped from `h0` is on the ground, with `e` of its speed left by each bounce. */
export function bounces(h0: number, e: number, count: number): number[] {
  const first = landing(h0, 0);
  const speed = g * first;
  // Between bounces n and n + 1 it flies for 2 e^n v / g.
  const times = [first];
  for (let n = 1; n < count; n++) times.push(times[n - 1] + (2 * e ** n * speed) / g);
  return times;
}
