/** Repeated oral doses of a drug in a two-compartment model: the hybrid solve, and the sum of its exponentials. */
import { odeintHybrid, type HybridSolution } from 'tfjs-diffeq';

/** Amounts `y = [gut, central, peripheral]` in mg, times in h, volumes in l, clearances in l/h, absorption in 1/h. */
export interface Drug {
  clearance: number;
  /** Between the two compartments. */
  exchange: number;
  central: number;
  peripheral: number;
  absorption: number;
}

/**
 * The medians of the priors with which the tutorial of Stan and Torsten begins its two-compartment model.
 *
 * Source: Margossian, Zhang & Gillespie 2022, Flexible and efficient Bayesian pharmacometrics modeling using Stan and
 * Torsten, Part I, https://doi.org/10.1002/psp4.12812.
 */
export const drug: Drug = { clearance: 10, exchange: 15, central: 35, peripheral: 105, absorption: 2.5 };

export interface Regimen {
  /** mg */
  dose: number;
  /** h */
  times: number[];
}

/** 80 mg every 12 hours for five days; the seventh is forgotten. */
export const regimen: Regimen = {
  dose: 80,
  times: Array.from({ length: 10 }, (_, i) => 12 * i).filter((t) => t !== 72),
};

/** mg/l; to be exceeded. */
export const threshold = 0.6;

/** Rate constants: central to outside, to peripheral, and back. */
const rates = ({ clearance, exchange, central, peripheral }: Drug) => ({
  k10: clearance / central,
  k12: exchange / central,
  k21: exchange / peripheral,
});

/** The doses, the crossings of the threshold, and the peaks. */
export function takeDoses(
  of: Drug,
  { dose, times }: Regimen,
  t1: number,
  saveAt: number[] = [],
): HybridSolution<Float64Array[], Float64Array> {
  const { k10, k12, k21 } = rates(of);
  const flow = (_t: number, [gut, central, peripheral]: Float64Array) => [
    -of.absorption * gut,
    of.absorption * gut - (k10 + k12) * central + k21 * peripheral,
    k12 * central - k21 * peripheral,
  ];
  const unchanged = (_t: number, y: Float64Array) => y;
  const swallow = (_t: number, [gut, central, peripheral]: Float64Array) => [gut + dose, central, peripheral];
  return odeintHybrid(flow, [0, 0, 0], 0, {
    ...{ t1, saveAt, rtol: 1e-9, atol: 1e-9 },
    discreteTimes: times.map((t) => ({ t, affect: swallow, name: 'dose' })),
    events: [
      {
        eventFn: (_t: number, [, central]: Float64Array) => central / of.central - threshold,
        affect: unchanged,
        name: 'threshold',
      },
      {
        eventFn: (t: number, y: Float64Array) => flow(t, y)[1],
        ...{ direction: -1, affect: unchanged, name: 'peak' },
      },
    ],
  });
}

/** Concentration in the central compartment, mg/l. */
export const concentration = ({ central }: Drug, y: ArrayLike<number>): number => y[1] / central;

/**
 * The concentration after one dose of 1 mg: `C(t) = A exp(-alpha t) + B exp(-beta t) - (A + B) exp(-ka t)`. The rates alpha
 * and beta are the eigenvalues of the two compartments.
 *
 * Source: Gibaldi & Perrier 1982, Pharmacokinetics, 2nd ed., Marcel Dekker.
 */
export function exponentials(of: Drug): { coefficient: number; rate: number }[] {
  const { k10, k12, k21 } = rates(of);
  const ka = of.absorption;
  const sum = k10 + k12 + k21;
  const alpha = (sum + Math.sqrt(sum * sum - 4 * k10 * k21)) / 2;
  const beta = (k10 * k21) / alpha;
  return [
    { coefficient: (ka * (k21 - alpha)) / ((ka - alpha) * (beta - alpha)), rate: alpha },
    { coefficient: (ka * (k21 - beta)) / ((ka - beta) * (alpha - beta)), rate: beta },
    { coefficient: (ka * (k21 - ka)) / ((alpha - ka) * (beta - ka)), rate: ka },
  ].map(({ coefficient, rate }) => ({ coefficient: coefficient / of.central, rate }));
}

/** The concentration after all doses, and its slope: doses add up, since the model is linear. */
export function superposition(of: Drug, { dose, times }: Regimen) {
  const terms = exponentials(of);
  const sum = (t: number, part: (coefficient: number, rate: number, since: number) => number): number =>
    times
      .filter((taken) => taken <= t)
      .reduce(
        (total, taken) =>
          total + terms.reduce((c, { coefficient, rate }) => c + part(coefficient, rate, t - taken), 0),
        0,
      );
  return {
    value: (t: number) => dose * sum(t, (c, rate, since) => c * Math.exp(-rate * since)),
    slope: (t: number) => dose * sum(t, (c, rate, since) => -c * rate * Math.exp(-rate * since)),
  };
}

/** Roots of `f` between the doses, by bisection of a fine grid: the outside truth about the events. */
export function rootsBetweenDoses(f: (t: number) => number, { times }: Regimen, t1: number): number[] {
  const ends = [...times, t1];
  const roots: number[] = [];
  const parts = 1000;
  for (let i = 0; i + 1 < ends.length; i++) {
    // Before the next dose, which is taken at the end of the interval.
    const [first, last] = [ends[i], ends[i + 1] - 1e-9];
    const at = (k: number) => first + ((last - first) * k) / parts;
    for (let k = 0; k < parts; k++) if (f(at(k)) * f(at(k + 1)) < 0) roots.push(bisect(f, at(k), at(k + 1)));
  }
  return roots;
}

function bisect(f: (t: number) => number, a: number, b: number): number {
  const side = Math.sign(f(a));
  for (let n = 0; n < 60; n++) {
    const middle = (a + b) / 2;
    if (Math.sign(f(middle)) === side) a = middle;
    else b = middle;
  }
  return (a + b) / 2;
}

/** Hours above the threshold: it is crossed upward, downward, upward, ... */
export function timeAbove(crossings: readonly number[], t1: number): number {
  const ends = crossings.length % 2 === 1 ? [...crossings, t1] : crossings;
  return ends.reduce((sum, t, i) => sum + (i % 2 === 1 ? t : -t), 0);
}
