/**
 * Properties that hold for every method: of time (its ends, reversal, shifts) and of the problem (linearity, args).
 */
import { expect } from 'chai';
import fc from 'fast-check';
import { odeint, solve, type PlainOptions } from 'tfjs-diffeq';
import * as solvers from 'tfjs-diffeq/solvers';
import { fields, referenceProblems } from './reference_problems.js';
import { stepsOf } from './steps.js';
import { generalMethods } from './methods.js';

const tableaus = Object.values(solvers).filter(
  (value): value is solvers.ButcherTableau & { name: solvers.MethodName } =>
    value instanceof solvers.ButcherTableau,
);
const adaptive = tableaus.filter((tableau) => tableau.bEmbedded).map((tableau) => tableau.name);

/** y' = -y + sin t, y(0) = 1: fields.sine_decay in closed form. */
const sineDecay = (t: number): number => 1.5 * Math.exp(-t) + (Math.sin(t) - Math.cos(t)) / 2;

describe('time', () => {
  const everyMethod: [method: string, options: PlainOptions][] = [
    ...generalMethods.map((method): [string, PlainOptions] => [
      `${method}, fixed`,
      { method, stepSize: 0.37 },
    ]),
    ...adaptive.map((method): [string, PlainOptions] => [method, { method, rtol: 1e-4, atol: 1e-4 }]),
  ];

  it('is never seen outside the interval, and the last step ends exactly at t1', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...everyMethod),
        fc.double({ min: -100, max: 100, noNaN: true }),
        fc.double({ min: 1e-6, max: 5, noNaN: true }),
        fc.boolean(),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 }),
        ([, options], t0, length, backward, inside) => {
          const t1 = backward ? t0 - length : t0 + length;
          let [low, high] = [Infinity, -Infinity];
          const field = (t: number, y: Float64Array) => {
            low = Math.min(low, t);
            high = Math.max(high, t);
            return [Math.cos(3 * t) * y[0]];
          };
          const between = inside.map((part) => t0 + part * (t1 - t0)).filter((t) => t !== t0 && t !== t1);
          const times = [t0, ...new Set(between.sort((a, b) => (a - b) * (t1 - t0))), t1];
          odeint(field, [1], times, options);
          expect(low).to.be.at.least(Math.min(t0, t1));
          expect(high).to.be.at.most(Math.max(t0, t1));
          const { ends } = stepsOf(field, [1], t0, t1, options);
          expect(ends[ends.length - 1]).to.equal(t1);
        },
      ),
      { numRuns: 300 },
    );
  });

  for (const [name, options] of everyMethod) {
    it(`reversed is forward on the negated problem, bit by bit: ${name}`, () => {
      const times = [0.5, 0.9, 2, 3.1];
      const { lotka_volterra: field } = fields;
      const forced = (t: number, y: ArrayLike<number>) => field(t, y).map((dy, i) => dy + Math.sin(t + i));
      const mirrored = (s: number, y: ArrayLike<number>) => forced(-s, y).map((dy) => -dy);
      const backward = [...times].reverse();
      const y0 = [20, 10];
      expect(odeint(forced, y0, backward, options)).to.deep.equal(
        odeint(
          mirrored,
          y0,
          backward.map((t) => -t),
          options,
        ),
      );
    });
  }

  it('there and back again returns to the start', () => {
    const { y0 } = referenceProblems.lotka_volterra;
    const options = { method: 'dopri8', rtol: 1e-11, atol: 1e-11 } as const;
    const [, there] = odeint(fields.lotka_volterra, y0, [0, 10], options);
    const [, back] = odeint(fields.lotka_volterra, there, [10, 0], options);
    back.forEach((value, i) => expect(value).to.be.closeTo(y0[i], 1e-8));
  });

  it('shifts out of an autonomous problem', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...everyMethod),
        fc.integer({ min: -4096, max: 4096 }).map((n) => n / 64),
        ([, options], shift) => {
          const times = [0, 0.5, 1.25, 2];
          const run = (start: number) => {
            const shifted = times.map((t) => t + start);
            return odeint(fields.lotka_volterra, [20, 10], shifted, options).flatMap((y) => [...y]);
          };
          const expected = run(0);
          // Steps may end an ulp of t elsewhere: 1e-14 of slopes up to 10.
          run(shift).forEach((value, i) => expect(value).to.be.closeTo(expected[i], 1e-11));
        },
      ),
    );
  });

  it('output times do not influence the steps', () => {
    for (const method of adaptive) {
      const options = { method, rtol: 1e-5, atol: 1e-5 };
      const few = solve(fields.sine_decay, [1], [0, 3], options);
      const many = solve(
        fields.sine_decay,
        [1],
        Array.from({ length: 31 }, (_, i) => i / 10),
        options,
      );
      expect(many.y[30]).to.deep.equal(few.y[1]);
      expect(many.stats.steps).to.equal(few.stats.steps);
      many.t.forEach((t, i) => expect(many.y[i][0], `${method} at ${t}`).to.be.closeTo(sineDecay(t), 2e-3));
    }
  });
});

describe('the problem', () => {
  it('is solved linearly in y0 when it is linear, with fixed steps', () => {
    const linear = (t: number, y: Float64Array) => [
      -0.3 * y[0] + Math.cos(t) * y[1],
      -Math.cos(t) * y[0] - 0.1 * y[1],
    ];
    const state = fc.tuple(
      fc.double({ min: -10, max: 10, noNaN: true }),
      fc.double({ min: -10, max: 10, noNaN: true }),
    );
    const factor = fc.double({ min: -5, max: 5, noNaN: true });
    fc.assert(
      fc.property(fc.constantFrom(...generalMethods), state, state, factor, factor, (method, u, v, p, q) => {
        const end = (y0: number[]) => odeint(linear, y0, [0, 0.33, 2], { method, stepSize: 0.1 }).slice(1);
        const [us, vs] = [end(u), end(v)];
        const sums = end(u.map((ui, i) => p * ui + q * v[i]));
        sums.forEach((sum, n) =>
          sum.forEach((value, i) => expect(value).to.be.closeTo(p * us[n][i] + q * vs[n][i], 1e-11)),
        );
      }),
    );
  });

  it('sees args as they are, and inPlace gives the same numbers', () => {
    const args = { rate: 0.7 };
    const seen = new Set<unknown>();
    const field = (t: number, y: Float64Array, given: typeof args) => {
      seen.add(given);
      return [-given.rate * y[0] + t];
    };
    const written = (t: number, y: Float64Array, dy: Float64Array, given: typeof args) => {
      dy[0] = -given.rate * y[0] + t;
    };
    for (const method of generalMethods) {
      const steps = adaptive.includes(method) ? {} : { stepSize: 0.1 };
      const times = [0, 0.25, 2];
      const ys = odeint(field, [1], times, { method, args, ...steps });
      expect(odeint(written, [1], times, { method, args, inPlace: true, ...steps })).to.deep.equal(ys);
    }
    expect([...seen]).to.deep.equal([args]);
  });
});
