/**
 * With steps of size h the error shrinks like h^order: at the steps, between them, and in the slope of the dense
 * output. Everything runs on float64, above rounding.
 */
import { expect } from 'chai';
import { iterate, odeint, odeintDense, type DenseSolution, type PlainOptions } from 'tfjs-diffeq';
import * as solvers from 'tfjs-diffeq/solvers';
import { rungeKuttaMethods } from './methods.js';
import { slope } from './slope.js';

const tableaus = Object.values(solvers).filter(
  (value): value is solvers.ButcherTableau & { name: solvers.MethodName } =>
    value instanceof solvers.ButcherTableau,
);

/*
 * Nonlinear, coupled, and not autonomous. The coupling vanishes on the solution x = 1 / (2 - sin t), y = exp(cos t),
 * but not beside it, where the stages are.
 */
const t1 = 1.5;
const field = (t: number, [x, y]: Float64Array): number[] => [
  x * x * Math.cos(t) + x * (Math.log(y) - Math.cos(t)),
  -y * Math.sin(t) + Math.sin(1 / x - 2 + Math.sin(t)),
];
const exact = (t: number): number[] => [1 / (2 - Math.sin(t)), Math.exp(Math.cos(t))];
const exactSlope = (t: number): number[] => field(t, Float64Array.from(exact(t)));

/** Numbers of steps at which a method of this order is past its transient and above rounding. */
const stepCounts: Record<number, number[]> = {
  1: [64, 128, 256, 512],
  2: [64, 128, 256, 512],
  3: [32, 64, 128, 256],
  4: [32, 64, 128, 256],
  5: [12, 16, 24, 32],
  8: [6, 8, 12, 16],
};

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i])));

/** The largest error over output times, n steps apart or closer. */
function errorAt(times: readonly number[], options: PlainOptions): number {
  const ys = odeint(field, exact(0), times, options);
  return Math.max(...times.map((t, i) => distance(ys[i], exact(t))));
}

const stepEnds = (n: number): number[] => Array.from({ length: n + 1 }, (_, i) => (t1 * i) / n);
/** Places in a step where no interpolant is better than elsewhere. */
const thetas = [0.07, 0.2, 0.36, 0.55, 0.71, 0.9];
const between = (n: number): number[] => [
  0,
  ...Array.from({ length: n }, (_, i) => thetas.map((theta) => (t1 * (i + theta)) / n)).flat(),
  t1,
];

describe('convergence with fixed steps', () => {
  it('is tested for every method', () => {
    expect(tableaus.map((tableau) => tableau.name)).to.have.members(rungeKuttaMethods);
  });

  for (const { name: method, order, interpolantOrder } of tableaus) {
    const counts = stepCounts[order];
    const dense = (n: number): DenseSolution<Float64Array, Float64Array[]> =>
      odeintDense(field, exact(0), 0, t1, { method, stepSize: t1 / n });

    describe(`${method}`, () => {
      it(`converges with order ${order}`, () => {
        const observed = slope(counts, (n) => errorAt(stepEnds(n), { method, stepSize: t1 / n }));
        expect(observed).to.be.closeTo(order, 0.3);
      });

      it(`converges with order ${order} where the output times are the steps`, () => {
        // Methods with step control need gridConstructor for this.
        const grid = { gridConstructor: (_f: unknown, _y: unknown, t: Float64Array) => t };
        const observed = slope(counts, (n) => errorAt(stepEnds(n), { method, ...grid }));
        expect(observed).to.be.closeTo(order, 0.3);
      });

      it(`converges with order ${order} at output times between the steps`, () => {
        const observed = slope(counts, (n) => errorAt(between(n), { method, stepSize: t1 / n }));
        expect(observed).to.be.closeTo(order, 0.3);
      });

      it(`converges with order ${order} in dense output`, () => {
        const observed = slope(counts, (n) => {
          const solution = dense(n);
          return Math.max(...between(n).map((t) => distance(solution.evaluate(t), exact(t))));
        });
        expect(observed).to.be.closeTo(order, 0.3);
      });

      // The interpolant's own error is O(h^(q + 1)) in a step, so that of its derivative is O(h^q).
      const slopeOrder = Math.min(order, interpolantOrder);
      it(`converges with order ${slopeOrder} in the derivative of dense output`, () => {
        const observed = slope(counts, (n) => {
          const solution = dense(n);
          return Math.max(...between(n).map((t) => distance(solution.derivative(t), exactSlope(t))));
        });
        expect(observed).to.be.closeTo(slopeOrder, 0.3);
      });

      it(`converges with order ${Math.min(order, 2)} between the steps with interp 'linear'`, () => {
        const linear = { method, interp: 'linear' } as const;
        const observed = slope([64, 128, 256], (n) => errorAt(between(n), { ...linear, stepSize: t1 / n }));
        expect(observed).to.be.closeTo(Math.min(order, 2), 0.3);
      });

      it(`converges with order ${Math.min(order, 4)} between the steps with interp 'cubic'`, () => {
        const cubic = { method, interp: 'cubic' } as const;
        const observed = slope([64, 128, 256], (n) => errorAt(between(n), { ...cubic, stepSize: t1 / n }));
        expect(observed).to.be.closeTo(Math.min(order, 4), 0.3);
      });
    });
  }
});

describe('interpolants, one step from the exact solution', () => {
  for (const { name: method, interpolantOrder: q } of tableaus) {
    it(`of ${method} err by h^${q + 1} everywhere inside the step`, () => {
      const start = 0.4;
      const localError = (n: number): number => {
        const h = 1 / n;
        const solution = odeintDense(field, exact(start), start, start + h, { method, stepSize: h });
        return Math.max(
          ...thetas.map((theta) => distance(solution.evaluate(start + theta * h), exact(start + theta * h))),
        );
      };
      expect(slope(q > 5 ? [2, 3, 4, 6] : [8, 16, 32, 64], localError)).to.be.closeTo(q + 1, 0.4);
    });
  }
});

describe('dense output', () => {
  const adaptive = tableaus.filter((tableau) => tableau.bEmbedded).map((tableau) => tableau.name);

  for (const method of adaptive) {
    it(`of ${method} is C1: value and slope meet at the steps it chose`, () => {
      const options = { method, rtol: 1e-5, atol: 1e-7 };
      const solution = odeintDense(field, exact(0), 0, t1, options);
      const joints = [...iterate(field, exact(0), { t0: 0, t1, ...options })]
        .map((step) => step.t)
        .slice(0, -1);
      expect(joints).to.have.length.above(1);
      for (const t of joints) {
        // On both sides of the joint, extrapolated to it by the slope there.
        const eps = 1e-9;
        const [before, after] = [t - eps, t + eps].map((s) => solution.derivative(s));
        expect(distance(before, after), `slope at ${t}`).to.be.below(1e-6);
        const [left, right] = [
          solution.evaluate(t - eps).map((y, i) => y + eps * before[i]),
          solution.evaluate(t + eps).map((y, i) => y - eps * after[i]),
        ];
        // Of dopri8's interpolant the coefficients reach 490 and cancel.
        expect(distance(left, right), `value at ${t}`).to.be.below(method === 'dopri8' ? 1e-12 : 1e-14);
      }
    });

    it(`of ${method} has the derivative of what it evaluates`, () => {
      const solution = odeintDense(field, exact(0), 0, t1, { method, rtol: 1e-4, atol: 1e-6 });
      const eps = 1e-5;
      for (const t of [0.1, 0.5, 0.77, 1.4]) {
        const [low, high] = [t - eps, t + eps].map((s) => solution.evaluate(s));
        const quotient = low.map((y, i) => (high[i] - y) / (2 * eps));
        expect(distance(solution.derivative(t), quotient)).to.be.below(1e-7);
      }
    });

    it(`of ${method} agrees with the output times of odeint`, () => {
      const options = { method, rtol: 1e-6, atol: 1e-8 };
      const times = [0, 0.1, 0.35, 0.8, 1.2, t1];
      const solution = odeintDense(field, exact(0), 0, t1, options);
      const ys = odeint(field, exact(0), times, options);
      expect(
        distance(
          solution.evaluate(times).flatMap((y) => [...y]),
          ys.flatMap((y) => [...y]),
        ),
      ).to.equal(0);
    });
  }
});
