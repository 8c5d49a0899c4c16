import { expect } from 'chai';
import fc from 'fast-check';
import { odeintVjp, type PlainFunc } from 'tfjs-diffeq';

/*
 * Steps of length 1 from t = 0. The midpoint method and bosh3 have one stage at the middle of a step and no other
 * there, so calls of func at n + 1/2 count how often step n is run.
 */
const fixed = { method: 'midpoint', stepSize: 1 } as const;
// Tolerances that always hold, and a first step that is the longest: as many steps, but nobody knows beforehand.
const adaptive = { method: 'bosh3', firstStep: 1, maxStep: 1, rtol: 1, atol: 1 } as const;
type Steps = typeof fixed | typeof adaptive;

function runsOf(steps: number, how: Steps, checkpoints?: number): number[] {
  const runs = new Array<number>(steps).fill(0);
  const decay: PlainFunc = (t, y) => {
    if (t % 1 === 0.5) runs[t - 0.5]++;
    return [-1e-4 * y[0]];
  };
  const vjp = (_t: number, _y: unknown, _args: unknown, lambda: Float64Array) => ({ y: [-1e-4 * lambda[0]] });
  const solved = odeintVjp(decay, [1], [0, steps], { ...how, vjp, checkpoints });
  solved.vjp([Float64Array.of(0), Float64Array.of(1)]);
  return runs;
}

/** How often each step is run beyond what is needed when all states are kept. */
function repetitions(steps: number, how: Steps, checkpoints: number): number[] {
  const needed = runsOf(steps, how)[0];
  return runsOf(steps, how, checkpoints).map((runs) => runs - needed);
}
const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);

/** Griewank & Walther 2000, https://doi.org/10.1145/347837.347846: steps run for the adjoint of a chain of `l`. */
function revolve(l: number, s: number): number {
  let r = 0;
  while (choose(s + r, s) < l) r++;
  return r * l - choose(s + r, r - 1);
}
const choose = (n: number, k: number): number =>
  k < 0 ? 0 : Array.from({ length: k }, (_, i) => i + 1).reduce((c, i) => (c * (n - k + i)) / i, 1);

/** The fewest repetitions of a solve: it is the first sweep over its steps and, as the last one, what follows. */
const fewest = (steps: number, slots: number): number => revolve(steps + 1, slots) - steps;
/** The least that the step which is repeated most often is repeated: steps + 1 <= C(s + r + 1, s). */
function leastOften(steps: number, slots: number): number {
  let r = 0;
  while (choose(slots + r + 1, slots) < steps + 1) r++;
  return r;
}

/*
 * Both again, by trying every place for a second state: `join` counts the sweep to it, the steps before it and those
 * after it. With one slot that place is the last step, which needs none. The forward solve is a sweep for nothing,
 * except where the only state is the first one.
 */
function bruteForce(
  most: number,
  slots: number,
  join: (sweep: number, before: number, after: number) => number,
) {
  const rows = () => Array.from({ length: slots + 1 }, () => new Array<number>(most + 1).fill(0));
  const [stretch, solve] = [rows(), rows()];
  stretch[0].fill(Infinity, 2);
  for (let s = 1; s <= slots; s++) {
    for (let l = 2; l <= most; l++) {
      const places = Array.from({ length: l - 1 }, (_, i) => i + 1);
      stretch[s][l] = Math.min(...places.map((m) => join(m, stretch[s][m], stretch[s - 1][l - m])));
      const split = (m: number) => join(0, stretch[s][m], solve[s - 1][l - m]);
      solve[s][l] = s === 1 ? stretch[s][l] : Math.min(...places.map(split));
    }
  }
  return solve;
}

const slotCounts = [1, 2, 3, 4, 5, 6, 8, 11, 15, 20];
const stepCounts = [1, 2, 3, 4, 6, 9, 11, 14, 20, 29, 41, 56, 69, 100, 151, 232, 500, 1000];

describe('The schedule of checkpoints', () => {
  it('is measured against formulas that trying every place confirms', () => {
    const least = bruteForce(60, 6, (sweep, before, after) => sweep + before + after);
    const rarest = bruteForce(60, 6, (sweep, before, after) => Math.max(before + Math.sign(sweep), after));
    for (let slots = 1; slots <= 6; slots++) {
      for (let steps = 1; steps <= 60; steps++) {
        expect(least[slots][steps], `${steps} steps, ${slots} slots`).to.equal(fewest(steps, slots));
        expect(rarest[slots][steps], `${steps} steps, ${slots} slots`).to.equal(leastOften(steps, slots));
      }
    }
  });

  it('repeats as few fixed steps as is possible at all, and none more often than it must be', () => {
    for (const slots of slotCounts) {
      for (const steps of stepCounts) {
        const repeated = repetitions(steps, fixed, slots);
        expect(sum(repeated), `${steps} steps, ${slots} slots`).to.equal(fewest(steps, slots));
        expect(Math.max(...repeated), `${steps} steps, ${slots} slots`).to.equal(leastOften(steps, slots));
      }
    }
  });

  it('knows the number of fixed steps, however they are given', () => {
    const runs = (t: number[], options: object): number => {
      let calls = 0;
      const func: PlainFunc = (_t, y) => {
        calls++;
        return [-y[0]];
      };
      const vjp = (_t: number, _y: unknown, _args: unknown, lambda: Float64Array) => ({ y: [-lambda[0]] });
      const count = (checkpoints?: number): number => {
        calls = 0;
        odeintVjp(func, [1], t, { method: 'euler', vjp, checkpoints, ...options }).vjp(
          t.map(() => Float64Array.of(1)),
        );
        return calls;
      };
      return count(4) - count();
    };
    const grid = Array.from({ length: 51 }, (_, i) => i / 50);
    expect(runs(grid, {}), 'output times').to.equal(fewest(50, 4));
    expect(runs([0, 1], { gridConstructor: () => grid }), 'gridConstructor').to.equal(fewest(50, 4));
    expect(runs([0, 1], { stepSize: 0.0201 }), 'a shorter last step').to.equal(fewest(50, 4));
    expect(runs([1, 0], { stepSize: 0.02 }), 'backward').to.equal(fewest(50, 4));
    expect(runs([0, 1], { stepSize: 0.02, stepT: [0.5, 0.51] }), 'stepT').to.equal(fewest(51, 4));
  });

  it('repeats no adaptive step more often than it must, though nobody knows how many there will be', () => {
    for (const slots of slotCounts) {
      for (const steps of stepCounts) {
        const most = Math.max(...repetitions(steps, adaptive, slots));
        expect(most, `${steps} steps, ${slots} slots`).to.equal(leastOften(steps, slots));
      }
    }
  });

  it('repeats hardly more adaptive steps than one who knew: 18 % at most, and 2 / s^2 with s slots', () => {
    // The worst of all up to 1000 steps are among these: 11 steps with 2 slots, 41 with 3, 232 with 20.
    const limitOf = (steps: number, slots: number) =>
      Math.min(1.18, 1 + 2 / slots ** 2) * fewest(steps, slots);
    for (const slots of slotCounts) {
      for (const steps of stepCounts) {
        const repeated = sum(repetitions(steps, adaptive, slots));
        expect(repeated, `${steps} steps, ${slots} slots`).to.be.at.most(limitOf(steps, slots));
      }
    }
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 20 }), (steps, slots) => {
        const repeated = repetitions(steps, adaptive, slots);
        return sum(repeated) <= limitOf(steps, slots) && Math.max(...repeated) === leastOften(steps, slots);
      }),
    );
  });
});
