/** A room whose heater is switched on at one temperature and off at another: the hybrid solve, and its closed form. */
import { odeintHybrid, type HybridSolution } from 'tfjs-diffeq';

/**
 * `dT/dt = rate (outside + lift heater - T)`, Newton's law of cooling; the heater is 0 or 1.
 *
 * Temperatures in degrees Celsius, the rate in 1/h.
 */
export interface Room {
  rate: number;
  outside: number;
  /** By how much the heater, never switched off, would lift the temperature. */
  lift: number;
  /** The temperature at which it is switched on, */
  on: number;
  /** and off. */
  off: number;
}

export const room: Room = { rate: 0.2, outside: 5, lift: 25, on: 19, off: 21 };

/** Temperature and heater from a start with the heater on, to `t1` hours. */
export function heat(
  { rate, outside, lift, on, off }: Room,
  start: number,
  t1: number,
  saveAt: number[] = [],
): HybridSolution<Float64Array[], Float64Array> {
  const cooling = (_t: number, [temperature, heater]: Float64Array) => [
    rate * (outside + lift * heater - temperature),
    0,
  ];
  return odeintHybrid(cooling, [start, 1], 0, {
    ...{ t1, saveAt, rtol: 1e-10, atol: 1e-12 },
    events: [
      {
        eventFn: (_t: number, [temperature]: Float64Array) => temperature - off,
        direction: 1,
        affect: () => [off, 0],
        name: 'off',
      },
      {
        eventFn: (_t: number, [temperature]: Float64Array) => temperature - on,
        direction: -1,
        affect: () => [on, 1],
        name: 'on',
      },
    ],
  });
}

/** Hours that the room takes from one temperature to another, while both approach `limit`. */
const passage = (rate: number, limit: number, from: number, to: number): number =>
  Math.log((limit - from) / (limit - to)) / rate;

/** Hours of a cycle with the heater on and off. */
export function exactCycle({ rate, outside, lift, on, off }: Room): { heating: number; cooling: number } {
  return {
    heating: passage(rate, outside + lift, on, off),
    cooling: passage(rate, outside, off, on),
  };
}

/** Times of the first switches: off, on, off, ... */
export function exactSwitches(of: Room, start: number, count: number): number[] {
  const { heating, cooling } = exactCycle(of);
  let t = passage(of.rate, of.outside + of.lift, start, of.off);
  return Array.from({ length: count }, (_, i) => {
    if (i > 0) t += i % 2 === 1 ? cooling : heating;
    return t;
  });
}

/** The part of the time that the heater is on, in whole cycles. */
export function exactDuty(of: Room): number {
  const { heating, cooling } = exactCycle(of);
  return heating / (heating + cooling);
}

/** The same from the switches of a solve: from the first one to the last one of the same kind. */
export function duty({ events }: Pick<HybridSolution<unknown, unknown>, 'events'>): number {
  const cycles = (events.length - 1) >> 1;
  if (cycles < 1) throw new Error(`there are ${events.length} switches; expected three, a whole cycle`);
  let heating = 0;
  for (let i = 0; i < 2 * cycles; i++) if (events[i].name === 'on') heating += events[i + 1].t - events[i].t;
  return heating / (events[2 * cycles].t - events[0].t);
}
