/**
 * The adjoints of `odeintVjp` on plain numbers. Those of the steps ('checkpoint', 'reversible') are the derivative of
 * what was computed; the continuous ones converge to the derivative of the solution.
 */
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  InvalidArgumentError,
  odeint,
  odeintVjp,
  odeintVjpAsync,
  type MethodName,
  type PlainVjp,
} from 'tfjs-diffeq';
import { rungeKuttaMethods } from './methods.js';

/** (f(x + h) - f(x - h)) / (2 h) for every x_i, extrapolated to an error of order h^4. */
function slopes(f: (x: Float64Array) => number, x: ArrayLike<number>): number[] {
  return Array.from(x, (_, i) => {
    const quotient = (h: number) => {
      const moved = (by: number) => f(Float64Array.from(x, (v, j) => (i === j ? v + by : v)));
      return (moved(h) - moved(-h)) / (2 * h);
    };
    return (4 * quotient(1e-3) - quotient(2e-3)) / 3;
  });
}

function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  relative: number,
  title = '',
): void {
  expect(actual).to.have.length(expected.length);
  const scale = Math.max(1e-3, ...Array.from(expected, Math.abs));
  Array.from(actual).forEach((x, i) =>
    expect(x, `${title} entry ${i}`).to.be.closeTo(expected[i], relative * scale),
  );
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, x, i) => sum + x * b[i], 0);
const weightsOf = (count: number, size: number): Float64Array[] =>
  Array.from({ length: count }, (_, i) =>
    Float64Array.from({ length: size }, (_, j) => Math.cos(1 + 2 * i + 3 * j)),
  );

/* Separable, nonlinear, of time: q' = (1 + sin(t) / 3) p + a p^3, p' = -b sin(q) + cos(2 t) / 3. */
const separable = {
  field: (t: number, [q, p]: Float64Array, [a, b]: Float64Array) => [
    (1 + Math.sin(t) / 3) * p + a * p ** 3,
    -b * Math.sin(q) + Math.cos(2 * t) / 3,
  ],
  vjp: ((t, [q, p], [a, b], [l, m]) => ({
    y: [-b * Math.cos(q) * m, (1 + Math.sin(t) / 3 + 3 * a * p * p) * l],
    args: [p ** 3 * l, -Math.sin(q) * m],
  })) as PlainVjp<Float64Array>,
  y0: [1, 0.5],
  args: [0.2, 1.4],
};
/* With damping, and a force that jumps at t = 1. */
const jumping = {
  field: (t: number, [q, p]: Float64Array, [a, b]: Float64Array) => [p, (t < 1 ? -b : 2 * a) * Math.sin(q)],
  vjp: ((t, [q], [a, b], [l, m]) => ({
    y: [(t < 1 ? -b : 2 * a) * Math.cos(q) * m, l],
    args: t < 1 ? [0, -Math.sin(q) * m] : [2 * Math.sin(q) * m, 0],
  })) as PlainVjp<Float64Array>,
  y0: [1, 0.5],
  args: [0.2, 1.4],
};
const damped = {
  field: (t: number, [q, p]: Float64Array, [a, b]: Float64Array) => [p, -b * Math.sin(q) - a * t * p * q],
  vjp: ((t, [q, p], [a, b], [l, m]) => ({
    y: [(-b * Math.cos(q) - a * t * p) * m, l - a * t * q * m],
    args: [-t * p * q * m, -Math.sin(q) * m],
  })) as PlainVjp<Float64Array>,
  y0: [1, 0.5],
  args: [0.2, 1.4],
};

const harmonic = (_t: number, [q, p]: Float64Array) => [p, -q];

type Problem = typeof separable;
type Adjoint = 'checkpoint' | 'reversible' | 'backsolve' | 'interpolating';

describe('odeintVjp on plain numbers: the adjoints of steps', () => {
  const both = ['reversible_heun', 'leapfrog'] as const;
  const times = [0, 0.7, 1.3, 2];
  const cases: {
    title: string;
    problem: Problem;
    methods: readonly MethodName[];
    t?: number[];
    options: object;
  }[] = [
    { title: 'outputs between fixed steps', problem: separable, methods: both, options: { stepSize: 0.15 } },
    {
      title: 'outputs that are the steps',
      problem: separable,
      methods: both,
      options: { gridConstructor: (_f: unknown, _y: unknown, t: number[]) => t },
    },
    {
      title: 'unequal steps',
      problem: separable,
      methods: both,
      options: { gridConstructor: () => [0, 0.2, 0.5, 0.9, 1.4, 2] },
    },
    {
      title: 'reversed time',
      problem: separable,
      methods: both,
      t: [2, 1.3, 0.7, 0],
      options: { stepSize: 0.15 },
    },
    {
      title: 'a jump',
      problem: jumping,
      methods: [...both, 'dopri5'],
      options: { stepSize: 0.15, jumpT: [1] },
    },
    {
      title: 'a jump, backward in time',
      problem: jumping,
      methods: [...both, 'bosh3'],
      t: [2, 1.3, 0.7, 0],
      options: { stepSize: 0.15, jumpT: [1] },
    },
    {
      title: 'perturb',
      problem: jumping,
      methods: [...both, 'rk4'],
      options: { stepSize: 0.25, perturb: true },
    },
    {
      title: 'damping',
      problem: damped,
      methods: ['reversible_heun', 'tsit5', 'dopri8'],
      options: { stepSize: 0.15 },
    },
  ];

  for (const { title, problem, methods, t = times, options } of cases) {
    for (const method of methods) {
      it(`${method}: Richardson's differences on the same steps, to 1e-9: ${title}`, () => {
        const { field, vjp, y0, args } = problem;
        const weights = weightsOf(t.length, 2);
        const loss = (start: Float64Array, rates: Float64Array): number =>
          odeint(field, start, t, { method, args: rates, ...options }).reduce(
            (sum, row, i) => sum + dot(row, weights[i]),
            0,
          );
        const byStart = slopes((x) => loss(x, Float64Array.from(args)), y0);
        const byArgs = slopes((x) => loss(Float64Array.from(y0), x), args);
        const reversible = both.includes(method as never) ? [{ adjoint: 'reversible' } as const] : [];
        for (const way of [{ adjoint: 'checkpoint' }, { checkpoints: 2 }, ...reversible] as const) {
          const solved = odeintVjp(field, y0, t, {
            ...{ method, args: Float64Array.from(args), vjp },
            ...{ ...options, ...way },
          });
          const name = JSON.stringify(way);
          const found = solved.vjp(weights);
          expectClose(found.y0, byStart, 1e-9, `${name} y0`);
          expectClose(found.args!, byArgs, 1e-9, `${name} args`);
          expect(found.jacobiansBy).to.equal('vjp');
          // dL/dt_i = g_i . f(t_i, y_i); dL/dt_0 = -a(t_0) . f(t_0, y_0) with a(t_0) free of g_0.
          const byTimes = t.map((time, i) => {
            const slope = field(time, solved.ys[i], Float64Array.from(args));
            return i > 0
              ? dot(weights[i], slope)
              : -dot(
                  found.y0.map((x, j) => x - weights[0][j]),
                  slope,
                );
          });
          expectClose(found.t, byTimes, 1e-12, `${name} t`);
          expect(solved.vjp(weights), 'asked again').to.deep.equal(found);
          solved.dispose();
          expect(() => solved.vjp(weights)).to.throw(InvalidArgumentError, /dispose/);
        }
      });
    }
  }

  it("reversible_heun with step control: 'reversible' is 'checkpoint', with quadratures too", () => {
    const { field, vjp, y0, args } = damped;
    const rows = weightsOf(times.length, 2);
    const gradient = (adjoint: Adjoint, withQuadrature: boolean) => {
      const common = { method: 'reversible_heun', rtol: 1e-5, atol: 1e-6, adjoint, vjp } as const;
      const options = { ...common, args: Float64Array.from(args) };
      if (!withQuadrature) return odeintVjp(field, y0, times, options).vjp(rows);
      const quadrature = (_t: number, [q, p]: Float64Array) => [p * p, q];
      return odeintVjp(field, y0, times, { ...options, quadrature }).vjp([rows, rows]);
    };
    for (const withQuadrature of [false, true]) {
      const [first, second] = [
        gradient('reversible', withQuadrature),
        gradient('checkpoint', withQuadrature),
      ];
      for (const key of ['y0', 't', 'args'] as const) expectClose(first[key]!, second[key]!, 1e-10, key);
    }
  });

  it('leapfrog refuses what is not separable, and quadratures, whatever the adjoint', () => {
    for (const adjoint of ['checkpoint', 'reversible', 'backsolve', 'interpolating'] as const) {
      const call = (problem: Problem, more: object) => () =>
        odeintVjp(problem.field, problem.y0, times, {
          ...{ method: 'leapfrog', stepSize: 0.1, adjoint },
          ...{ args: Float64Array.from(problem.args), ...more },
        });
      const rubbed = { ...separable, field: (_t: number, [q, p]: Float64Array) => [p, -q - p] };
      expect(call(rubbed, {}), adjoint).to.throw(InvalidArgumentError, /dp\/dt depends on p/);
      expect(call(separable, { quadrature: () => 1 }), adjoint).to.throw(InvalidArgumentError, /quadrature/);
    }
  });
});

/*
 * x' = -a x, y' = b x^2, with the integral of x y: with s = t - t0 and x0 = c, y0 = d
 *
 *   x = c e^(-a s),  y = d + b c^2 (1 - e^(-2 a s)) / (2 a),
 *   q = c (d + b c^2 / (2 a)) (1 - e^(-a s)) / a - b c^3 (1 - e^(-3 a s)) / (6 a^2).
 */
const decay = {
  field: (_t: number, [x]: Float64Array, [a, b]: Float64Array) => [-a * x, b * x * x],
  vjp: ((_t, [x], [a, b], [l, m]) => ({
    y: [-a * l + 2 * b * x * m, 0],
    args: [-x * l, x * x * m],
  })) as PlainVjp<Float64Array>,
  quadrature: (_t: number, [x, y]: Float64Array) => x * y,
  exact: (
    s: number,
    [c, d]: ArrayLike<number> & Iterable<number>,
    [a, b]: ArrayLike<number> & Iterable<number>,
  ) => {
    const lost = (n: number) => 1 - Math.exp(-n * a * s);
    const y = (b * c * c) / (2 * a);
    return [
      c * Math.exp(-a * s),
      d + y * lost(2),
      (c * (d + y) * lost(1)) / a - (b * c ** 3 * lost(3)) / (6 * a * a),
    ];
  },
};
const start = [1.5, -0.4];
const rates = [0.7, 0.6];

type More = Record<string, unknown>;
/** The largest error of the gradients to y0, t and args, relative to the largest entry of each. */
function errorOfDecay(adjoint: Adjoint, t: readonly number[], options: More, withQuadrature = false): number {
  const size = withQuadrature ? 3 : 2;
  const weights = weightsOf(t.length, size);
  const loss = (y0: ArrayLike<number>, times: ArrayLike<number>, args: ArrayLike<number>): number =>
    weights.reduce((sum, row, i) => {
      const values = decay.exact(times[i] - times[0], y0 as never, args as never).slice(0, size);
      return sum + dot(row, values);
    }, 0);
  const expected = {
    y0: slopes((x) => loss(x, t, rates), start),
    t: slopes((x) => loss(start, x, rates), t),
    args: slopes((x) => loss(start, t, x), rates),
  };
  const rows = weights.map((row) => row.slice(0, 2));
  const sides = weights.map((row) => row.slice(2));
  const common = { args: Float64Array.from(rates), vjp: decay.vjp, adjoint, ...(options as object) };
  const { quadrature } = decay;
  const found = withQuadrature
    ? odeintVjp(decay.field, start, t, { ...common, quadrature }).vjp([rows, sides])
    : odeintVjp(decay.field, start, t, common).vjp(rows);
  return Math.max(
    ...(['y0', 't', 'args'] as const).map((key) => {
      const scale = Math.max(...expected[key].map(Math.abs));
      expect(found[key]).to.have.length(expected[key].length);
      return Math.max(...expected[key].map((x, i) => Math.abs(found[key]![i] - x))) / scale;
    }),
  );
}

describe('odeintVjp on plain numbers: every adjoint converges to the closed form', () => {
  const t = [0.2, 0.9, 1, 2.2];
  const adaptive: MethodName[] = ['dopri5', 'tsit5', 'dopri8'];
  const tight = { rtol: 1e-11, atol: 1e-12 };

  for (const adjoint of ['checkpoint', 'backsolve', 'interpolating'] as const) {
    for (const method of adaptive) {
      it(`${method}, '${adjoint}': to 1e-8 at rtol 1e-11, with quadratures and backward in time too`, () => {
        const options = { method, ...tight };
        expect(errorOfDecay(adjoint, t, options), 'forward').to.be.below(1e-8);
        expect(errorOfDecay(adjoint, [2.2, 1, 0.2], options), 'backward').to.be.below(1e-8);
        expect(errorOfDecay(adjoint, t, options, true), 'quadrature').to.be.below(1e-8);
        expect(errorOfDecay(adjoint, [2.2, 1, 0.2], options, true), 'quadrature, backward').to.be.below(1e-8);
      });

      it(`${method}, '${adjoint}': the error falls with the tolerance`, () => {
        const errors = [1e-4, 1e-7, 1e-10].map((rtol) =>
          errorOfDecay(adjoint, t, { method, rtol, atol: rtol }),
        );
        expect(errors[0]).to.be.below(2e-2);
        expect(errors[1]).to.be.below(2e-5);
        expect(errors[2]).to.be.below(3e-8);
      });
    }

    it(`'${adjoint}': fixed steps of every Runge-Kutta method`, () => {
      for (const method of rungeKuttaMethods) {
        const [coarse, fine] = [0.1, 0.0125].map((stepSize) =>
          errorOfDecay(adjoint, t, { method, stepSize }, true),
        );
        expect(fine, method).to.be.below(method === 'euler' ? 0.05 : 1e-3);
        expect(coarse / fine > 5 || fine < 1e-9, `${method}: ${coarse} -> ${fine}`).to.equal(true);
      }
    });

    it(`'${adjoint}': tolerances per component, norms, steps of its own`, () => {
      const options = { method: 'dopri5', ...tight };
      const more: Record<string, More> = {
        'rtol and atol per component': { rtol: [1e-11, 1e-10], atol: [1e-12, 1e-11] },
        'norm: max': { norm: 'max' },
        'a norm': { norm: ([e]: Float64Array[]) => Math.sqrt(dot(e, e)) },
        'adjointNorm: seminorm': { adjointNorm: 'seminorm' },
        'an adjointNorm': { adjointNorm: ([e]: Float64Array[]) => Math.max(...Array.from(e, Math.abs)) },
        'a method of its own': { adjointMethod: 'tsit5', adjointRtol: 1e-10, adjointAtol: 1e-11 },
        'adjoint tolerances per component': { adjointRtol: [1e-11, 1e-10], adjointAtol: [1e-12, 1e-12] },
        'fixed steps back': { adjointMethod: 'rk4', adjointOptions: { stepSize: 0.002 } },
        'steps that stop': { stepT: [0.5, 1.7], jumpT: [1.1] },
      };
      const tunesBackward = (extra: More) => Object.keys(extra).some((name) => name.startsWith('adjoint'));
      for (const [title, extra] of Object.entries(more)) {
        if (adjoint === 'checkpoint' && tunesBackward(extra)) continue;
        for (const withQuadrature of [false, true]) {
          const error = errorOfDecay(adjoint, t, { ...options, ...extra }, withQuadrature);
          expect(error, `${title}, ${withQuadrature}`).to.be.below(1e-8);
        }
      }
    });
  }

  for (const method of ['reversible_heun', 'leapfrog'] as const) {
    for (const adjoint of ['backsolve', 'interpolating'] as const) {
      it(`${method}, '${adjoint}': converges to 'reversible' with order 2 or more`, () => {
        const { field, vjp, y0, args } = method === 'leapfrog' ? separable : damped;
        const times = [0, 0.7, 1.3, 2];
        const gradient = (way: Adjoint, stepSize: number) => {
          const options = { method, stepSize, adjoint: way, vjp, args: Float64Array.from(args) };
          const found = odeintVjp(field, y0, times, options).vjp(weightsOf(4, 2));
          return [...found.y0, ...found.t, ...found.args!];
        };
        const error = (stepSize: number) => {
          const exact = gradient('reversible', stepSize);
          return Math.max(...gradient(adjoint, stepSize).map((x, i) => Math.abs(x - exact[i])));
        };
        const [coarse, fine] = [error(0.02), error(0.0025)];
        expect(fine).to.be.below(1e-4);
        expect(coarse / fine).to.be.above(45);
      });
    }
  }

  it("adjointNorm 'seminorm' does not see an integral over p = 0, and 'full' does", () => {
    // y' = p sin^2(5 t), y(0) = 0, p = 0: dy(10)/dp is the integral of sin^2(5 t), 5 - sin(100) / 20.
    for (const adjoint of ['backsolve', 'interpolating'] as const) {
      const slope = (adjointNorm?: 'full' | 'seminorm') =>
        odeintVjp((t, _y, [p]) => [p * Math.sin(5 * t) ** 2], [0], [0, 10], {
          ...{ adjoint, adjointNorm, rtol: 1e-5, atol: 1e-6 },
          args: Float64Array.of(0),
          vjp: (t, _y, _args, [l]) => ({ y: [0], args: [Math.sin(5 * t) ** 2 * l] }),
        }).vjp([Float64Array.of(0), Float64Array.of(1)]).args![0];
      const exact = 5 - Math.sin(100) / 20;
      expect(slope(), adjoint).to.be.closeTo(exact, 1e-3);
      expect(slope('full'), adjoint).to.equal(slope());
      expect(Math.abs(slope('seminorm') - exact), adjoint).to.be.above(0.1);
    }
  });

  it('takes finite differences for a vjp, leaves args that are no Float64Array alone, and awaits', async () => {
    for (const adjoint of ['checkpoint', 'backsolve', 'interpolating'] as const) {
      expect(errorOfDecay(adjoint, t, { ...tight, vjp: undefined }), adjoint).to.be.below(1e-7);
      const { vjp } = odeintVjp((_t, [y], { rate }) => [-rate * y], [2], [0, 1], {
        ...{ adjoint, ...tight },
        args: { rate: 0.5 },
      });
      const { y0, args } = vjp([Float64Array.of(0), Float64Array.of(1)]);
      expect(y0[0]).to.be.closeTo(Math.exp(-0.5), 1e-8);
      expect(args).to.equal(null);
    }
    const { vjp } = await odeintVjpAsync(harmonic, [1, 0], [0, 1], { method: 'leapfrog', stepSize: 0.01 });
    const { y0 } = vjp([Float64Array.of(0, 0), Float64Array.of(1, 0)]);
    expectClose(y0, [Math.cos(1), Math.sin(1)], 1e-4);
  });

  it('func or vjp that throws on the way back leaves a solution that can be asked again', () => {
    for (const adjoint of ['checkpoint', 'reversible', 'backsolve', 'interpolating'] as const) {
      let left = Infinity;
      const guarded = () => {
        if (--left < 0) throw new RangeError('stop');
      };
      const { field, args, y0, vjp } = separable;
      const solved = odeintVjp(
        (time, y, a) => {
          guarded();
          return field(time, y, a);
        },
        y0,
        [0, 0.7, 1],
        {
          ...{ method: 'leapfrog', stepSize: 0.25, adjoint },
          args: Float64Array.from(args),
          vjp: (time, y, a, lambda) => {
            guarded();
            return vjp(time, y, a, lambda);
          },
        },
      );
      const expected = solved.vjp(weightsOf(3, 2));
      for (let n = 0; ; n++) {
        left = n;
        try {
          expect(solved.vjp(weightsOf(3, 2)), `${adjoint}, ${n}`).to.deep.equal(expected);
          break;
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
        }
      }
      left = Infinity;
      expect(solved.vjp(weightsOf(3, 2)), adjoint).to.deep.equal(expected);
    }
  });

  it('says once when the state comes back elsewhere', () => {
    const probe = fileURLToPath(new URL('./drift_probe.ts', import.meta.url));
    const output = execFileSync(process.execPath, ['--import', 'tsx', probe, 'plain'], { encoding: 'utf8' });
    const lines = output.trim().split('\n');
    expect(lines[0]).to.equal('backsolve, slow decay: 0 warnings');
    expect(lines[1]).to.equal('backsolve, from rest: 0 warnings');
    expect(lines[2]).to.match(/^backsolve, fast decay: 1 warning: .*'backsolve' misses .*'checkpoint'/);
    expect(lines[3]).to.equal('reversible, slow decay: 0 warnings');
    expect(lines[4]).to.equal('reversible, from rest: 0 warnings');
    expect(lines[5]).to.match(/^reversible, fast growth: 1 warning: .*'reversible' misses y0 .*'checkpoint'/);
  });
});
