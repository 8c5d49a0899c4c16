/** A ball that is dropped and keeps a part of its speed at each bounce: the hybrid solve, and its closed form. */
import { odeintHybrid, type HybridSolution } from 'tfjs-diffeq';

/** Dropped from rest at `height` (m), under `gravity` (m/s^2), it keeps `restitution` of its speed. */
export interface Ball {
  height: number;
  gravity: number;
  restitution: number;
}

export const ball: Ball = { height: 1, gravity: 9.81, restitution: 0.8 };

export interface BounceOptions {
  t1: number;
  maxEvents?: number;
  eventTol?: number;
  /** Further times at which the state is wanted. */
  saveAt?: number[];
}

/** Height and speed, with both sides of every bounce. */
export function bounce(
  { height, gravity, restitution }: Ball,
  options: BounceOptions,
): HybridSolution<Float64Array[], Float64Array> {
  const fall = (_t: number, [, v]: Float64Array) => [v, -gravity];
  const floor = {
    eventFn: (_t: number, [h]: Float64Array) => h,
    direction: -1 as const,
    affect: (_t: number, [, v]: Float64Array) => [0, -restitution * v],
    name: 'bounce',
  };
  return odeintHybrid(fall, [height, 0], 0, { ...options, events: [floor] });
}

/** Bounce number n = 0, 1, ... is at `T0 (1 + 2 (r + ... + r^n))`, where `T0 = sqrt(2 height / gravity)`. */
export function exactBounce({ height, gravity, restitution: r }: Ball, n: number): number {
  return Math.sqrt((2 * height) / gravity) * (1 + (2 * r * (1 - r ** n)) / (1 - r));
}

/** The time by which infinitely many bounces have happened. */
export const zenoTime = (of: Ball): number => exactBounce(of, Infinity);

/** Energy per mass (J/kg) after so many bounces. */
export const exactEnergy = ({ height, gravity, restitution }: Ball, bounces: number): number =>
  gravity * height * restitution ** (2 * bounces);

export const energy = ({ gravity }: Ball, [h, v]: ArrayLike<number> & Iterable<number>): number =>
  gravity * h + (v * v) / 2;
