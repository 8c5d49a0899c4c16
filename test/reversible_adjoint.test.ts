/**
 * Gradients through reversible_heun and leapfrog. `'reversible'` takes the steps back, `'checkpoint'` runs them again,
 * tfjs's tape goes through every op of them: the same derivative of the same steps, to rounding.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  InvalidArgumentError,
  methodNames,
  odeint,
  odeintAdjoint,
  odeintVjp,
  type TensorFunc,
} from 'tfjs-diffeq';
import { onBackends } from './backends.js';
import { engineState, tensorsIn } from './engine_probe.js';

type Pair = { q: tf.Tensor; p: tf.Tensor };
type Args = { stiffness: tf.Tensor };
type Field = (w: tf.Variable) => TensorFunc<Pair, Args>;
type Options = Record<string, unknown>;
type Method = 'reversible_heun' | 'leapfrog';
const methods: readonly Method[] = ['reversible_heun', 'leapfrog'];

const scaledTime = (t: tf.Scalar) => tf.add(1, tf.mul(0.3, tf.sin(t)));
const fields: Record<string, Field> = {
  /* dq/dt = (1 + 0.3 sin t) p / (1 + p^2 / 10), dp/dt = -stiffness sin(w q) + 0.3 cos(2 t) */
  separable: (w) => (t, y, args) => ({
    q: tf.mul(scaledTime(t), tf.div(y.p, tf.add(1, tf.mul(0.1, tf.square(y.p))))),
    p: tf.sub(tf.mul(0.3, tf.cos(tf.mul(2, t))), tf.mul(args.stiffness, tf.sin(tf.mul(w, y.q)))),
  }),
  /* With damping. */
  damped: (w) => (t, y, args) => ({
    q: tf.mul(scaledTime(t), y.p),
    p: tf.neg(tf.add(tf.mul(args.stiffness, tf.sin(tf.mul(w, y.q))), tf.mul(0.3, tf.mul(t, y.p)))),
  }),
  /* The force jumps at t = 1. */
  jumping: (w) => (t, y, args) => ({
    q: tf.mul(scaledTime(t), y.p),
    p: tf.mul(tf.where(tf.less(t, 1), tf.neg(args.stiffness), tf.mul(2, w)), tf.sin(y.q)),
  }),
};

type Solver = (func: TensorFunc<Pair, Args>, y0: Pair, t: tf.Tensor1D, options: object) => unknown;
const tape = odeint as unknown as Solver;
const by =
  (more: object): Solver =>
  (func, y0, t, options) =>
    odeintAdjoint(func, y0, t, { ...options, ...more } as never);
const discrete: Record<string, Solver> = {
  'the default': by({}),
  reversible: by({ adjoint: 'reversible' }),
  checkpoint: by({ adjoint: 'checkpoint' }),
  'two checkpoints': by({ adjoint: 'checkpoint', checkpoints: 2 }),
};

/* Some weight for every number of every output. */
const weigh = (ys: tf.Tensor): tf.Tensor =>
  tf.sum(tf.mul(ys, tf.cos(tf.add(1, tf.mul(2, tf.reshape(tf.range(0, ys.size), ys.shape))))));

/** dL/d(q, p, t, args, w): by name, for what failed. */
function gradients(
  solver: Solver,
  field: Field,
  times: readonly number[],
  options: Options,
): Record<string, number[]> {
  const w = tf.tidy(() => tf.variable(tf.scalar(1.3)));
  try {
    return tf.tidy(() => {
      const loss = (q: tf.Tensor, p: tf.Tensor, t: tf.Tensor, stiffness: tf.Tensor) => {
        const found = solver(field(w), { q, p }, t as tf.Tensor1D, { ...options, args: { stiffness } });
        return tf.addN(tensorsIn(found).map(weigh)) as tf.Scalar;
      };
      const inputs = [
        tf.tensor1d([1, 0.2]),
        tf.tensor1d([-0.4, 0.9]),
        tf.tensor1d([...times]),
        tf.scalar(1.5),
      ] as const;
      const byVariable = tf.variableGrads(() => loss(...inputs), [w]).grads[w.name];
      const found = tf.grads(loss as (...xs: tf.Tensor[]) => tf.Tensor)([...inputs]);
      const names = ['q', 'p', 't', 'args', 'w'];
      return Object.fromEntries([...found, byVariable].map((x, i) => [names[i], Array.from(x.dataSync())]));
    });
  } finally {
    w.dispose();
  }
}

type Found = Record<string, number[]>;
/** The largest difference over the largest entry. */
function difference(actual: Found, expected: Found): number {
  const scale = Math.max(...Object.values(expected).flat().map(Math.abs));
  return (
    Math.max(
      ...Object.entries(expected).flatMap(([name, x]) => x.map((v, i) => Math.abs(actual[name][i] - v))),
    ) / scale
  );
}

const times = [0, 0.4, 1.1, 2];
const quadrature = (_t: tf.Scalar, { q, p }: Pair, { stiffness }: Args) => ({
  energy: tf.add(tf.square(p), tf.mul(stiffness, tf.square(q))),
});

interface Situation {
  title: string;
  field: string;
  methods: readonly Method[];
  times?: readonly number[];
  options: object;
}
const onlyHeun: readonly Method[] = ['reversible_heun'];
const situations: Situation[] = [
  { title: 'outputs between fixed steps', field: 'separable', methods, options: { stepSize: 0.15 } },
  {
    title: 'outputs that are the steps',
    field: 'separable',
    methods,
    options: { gridConstructor: (_f: unknown, _y: unknown, t: Float64Array) => t },
  },
  { title: 'many outputs in one step', field: 'separable', methods, options: { stepSize: 1.5 } },
  {
    title: 'a grid of unequal steps',
    field: 'separable',
    methods,
    options: { gridConstructor: () => [0, 0.4, 0.5, 0.9, 1.4, 2] },
  },
  {
    title: 'reversed time',
    field: 'separable',
    methods,
    times: [2, 1.1, 0.4, 0],
    options: { stepSize: 0.15 },
  },
  { title: 'perturb', field: 'separable', methods, options: { stepSize: 0.2, perturb: true } },
  { title: 'stepT', field: 'separable', methods, options: { stepSize: 0.3, stepT: [0.5, 1.25] } },
  { title: 'a jump', field: 'jumping', methods, options: { stepSize: 0.15, jumpT: [1] } },
  { title: 'a jump, perturbed', field: 'jumping', methods, options: { stepSize: 0.25, perturb: true } },
  {
    title: 'a jump at an output',
    field: 'jumping',
    methods,
    times: [0, 0.5, 1, 2],
    options: { stepSize: 0.15, jumpT: [1] },
  },
  {
    title: 'a jump, backward',
    field: 'jumping',
    methods,
    times: [2, 0.3, 0],
    options: { stepSize: 0.15, jumpT: [1] },
  },
  { title: 'damping', field: 'damped', methods: onlyHeun, options: { stepSize: 0.15 } },
  { title: 'step control', field: 'damped', methods: onlyHeun, options: { rtol: 1e-3, atol: 1e-4 } },
  {
    title: 'step control, backward',
    field: 'damped',
    methods: onlyHeun,
    times: [2, 1.1, 0],
    options: { rtol: 1e-3, atol: 1e-4 },
  },
  {
    title: 'step control and a jump',
    field: 'jumping',
    methods: onlyHeun,
    options: { rtol: 1e-3, atol: 1e-4, jumpT: [1] },
  },
  { title: 'a quadrature', field: 'damped', methods: onlyHeun, options: { stepSize: 0.15, quadrature } },
  {
    title: 'a quadrature and step control',
    field: 'damped',
    methods: onlyHeun,
    options: { rtol: 1e-3, atol: 1e-4, quadrature },
  },
  {
    title: 'a quadrature and a jump',
    field: 'jumping',
    methods: onlyHeun,
    options: { stepSize: 0.15, jumpT: [1], quadrature },
  },
];

const everywhere = ['outputs between fixed steps', 'a jump', 'a quadrature'];

onBackends(['cpu', 'wasm', 'tensorflow'], (name) => {
  describe('reversible, checkpoint and the tape differentiate the same steps', () => {
    const chosen = situations.filter(({ title }) => name === 'cpu' || everywhere.includes(title));
    for (const { title, field, methods: which, times: t = times, options } of chosen) {
      for (const method of which) {
        it(`${method}: ${title}`, () => {
          const before = tf.memory().numTensors;
          const expected = gradients(tape, fields[field], t, { method, ...options });
          for (const [way, solver] of Object.entries(discrete)) {
            const found = gradients(solver, fields[field], t, { method, ...options });
            expect(difference(found, expected), `${way}: ${JSON.stringify([found, expected])}`).to.be.below(
              3e-6,
            );
          }
          expect(tf.memory().numTensors).to.equal(before);
        });
      }
    }
  });
});

describe('continuous adjoints of reversible_heun and leapfrog', () => {
  for (const method of methods) {
    for (const adjoint of ['backsolve', 'interpolating'] as const) {
      for (const field of ['separable', ...(method === 'leapfrog' ? [] : ['damped'])]) {
        it(`${method}: '${adjoint}' converges to the gradient of the steps, ${field}`, () => {
          const error = (stepSize: number): number => {
            const exact = gradients(discrete.reversible, fields[field], times, { method, stepSize });
            return difference(gradients(by({ adjoint }), fields[field], times, { method, stepSize }), exact);
          };
          const [coarse, fine] = [error(0.1), error(0.0125)];
          expect(fine).to.be.below(5e-4);
          expect(coarse / fine, `${coarse} -> ${fine}`).to.be.above(20);
        });
      }
    }
  }

  it('leapfrog: a quadrature is refused by every adjoint, with a remedy', () => {
    const y0 = { q: tf.scalar(1), p: tf.scalar(0) };
    const before = tf.memory().numTensors;
    for (const adjoint of [undefined, 'reversible', 'checkpoint', 'backsolve', 'interpolating'] as const) {
      const call = () =>
        odeintAdjoint((_t, { q, p }: Pair) => ({ q: p, p: tf.neg(q) }), y0, [0, 1], {
          method: 'leapfrog',
          stepSize: 0.1,
          adjoint,
          quadrature: (_t, { q }) => tf.square(q),
        });
      const grads = () => tf.tidy(() => void tf.variableGrads(() => tf.sum(call()[1]) as tf.Scalar));
      expect(call, adjoint).to.throw(InvalidArgumentError, /quadrature.*'reversible_heun'/);
      expect(grads, adjoint).to.throw();
    }
    expect(tf.memory().numTensors).to.equal(before);
    tf.dispose([y0.q, y0.p]);
  });
});

describe("adjoint: 'reversible'", () => {
  let w: tf.Variable;
  let y0: Pair;
  beforeEach(() => {
    w = tf.tidy(() => tf.variable(tf.scalar(1.3)));
    y0 = { q: tf.tensor1d([1, 0.2]), p: tf.tensor1d([-0.4, 0.9]) };
  });
  afterEach(() => {
    w.dispose();
    tf.dispose([y0.q, y0.p]);
  });
  const oscillator =
    (seen: () => void): TensorFunc<Pair> =>
    (_t, { q, p }) => {
      seen();
      return { q: tf.mul(p, 1), p: tf.neg(tf.mul(w, q)) };
    };
  const gradient = (func: TensorFunc<Pair>, options: object, t = [0, 1]): void =>
    tf.tidy(
      () =>
        void tf.variableGrads(() => {
          const ys = odeintAdjoint(func, y0, t, { params: [w], ...options });
          return tf.add(tf.sum(ys.q), tf.sum(ys.p)) as tf.Scalar;
        }, [w]),
    );

  for (const method of methods) {
    it(`${method}: holds as many tensors at 10 steps as at 1000`, () => {
      const peak = (steps: number, options: object): number => {
        let most = 0;
        const before = tf.memory().numTensors;
        const func = oscillator(() => (most = Math.max(most, tf.memory().numTensors - before)));
        gradient(func, { method, stepSize: 1 / steps, ...options });
        return most;
      };
      const few = peak(10, {});
      expect(peak(100, {})).to.equal(few);
      expect(peak(1000, {})).to.equal(few);
      expect(peak(1000, { adjoint: 'checkpoint' })).to.be.above(1000);
    });

    it(`${method}: the gradient costs a known number of evaluations, the forward solve's included`, () => {
      let calls = 0;
      const func = oscillator(() => calls++);
      const count = (run: () => void): number => {
        calls = 0;
        run();
        return calls;
      };
      const steps = 100;
      const fixed = { method, stepSize: 1 / steps };
      const expected = {
        // One evaluation forward, and one that is differentiated; 'reversible' takes a step back with another.
        reversible_heun: { forward: 1, reversible: 3, checkpoint: 2 },
        // Two forward, and two that are differentiated; two more take a step back.
        leapfrog: { forward: 2, reversible: 6, checkpoint: 4 },
      }[method];
      // Some more at the start: the first slope, what looks for variables, what sees whether a system is separable.
      const forward = count(() => tf.tidy(() => void odeint(func, y0, [0, 1], fixed)));
      expect(forward / steps).to.be.closeTo(expected.forward, 0.06);
      for (const adjoint of ['reversible', 'checkpoint'] as const) {
        const all = count(() => gradient(func, { ...fixed, adjoint }));
        expect(all / steps, adjoint).to.be.closeTo(expected[adjoint], 0.06);
        expect(all, adjoint).to.be.at.most(4 * forward);
      }
    });

    it(`${method}: leaks nothing when func throws, at any call, forward or back`, () => {
      let calls = 0;
      let limit = Infinity;
      const func = oscillator(() => {
        if (++calls > limit) throw new RangeError('stop');
      });
      for (const options of [
        { adjoint: 'reversible' },
        { adjoint: 'checkpoint' },
        { adjoint: 'checkpoint', checkpoints: 2 },
        { adjoint: 'interpolating' },
        { adjoint: 'backsolve' },
        { adjoint: 'reversible', jumpT: [0.5], perturb: true },
      ]) {
        const run = () => gradient(func, { method, stepSize: 0.25, ...options }, [0, 0.4, 0.75, 1]);
        limit = Infinity;
        calls = 0;
        run();
        const total = calls;
        const before = engineState();
        for (limit = 0; limit < total; limit++) {
          calls = 0;
          expect(run, JSON.stringify(options)).to.throw(RangeError, 'stop');
          expect(engineState(), `${JSON.stringify(options)}, call ${limit + 1}`).to.deep.equal(before);
        }
      }
    });

    it(`${method}: leaks nothing when nobody asks for the gradient`, () => {
      const before = engineState();
      tf.tidy(
        () =>
          void tf.variableGrads(() => {
            tf.dispose(
              tensorsIn(
                odeintAdjoint(
                  oscillator(() => undefined),
                  y0,
                  [0, 1],
                  { method, stepSize: 0.1 },
                ),
              ),
            );
            return tf.mul(w, 2) as tf.Scalar;
          }, [w]),
      );
      expect(engineState()).to.deep.equal(before);
    });

    it(`${method}: odeintVjp on tensors gives the same gradients, as often as it is asked`, () => {
      const before = tf.memory().numTensors;
      const found = (['reversible', 'checkpoint'] as const).map((adjoint) => {
        const { ys, vjp, dispose } = odeintVjp(
          oscillator(() => undefined),
          y0,
          [0, 0.55, 1],
          {
            method,
            stepSize: 0.1,
            adjoint,
          },
        );
        const gys = { q: tf.onesLike(ys.q), p: tf.mul(ys.p, 2) };
        const [first, second] = [vjp(gys), vjp(gys)].map((all) => {
          const values = tensorsIn(all).flatMap((x) => Array.from(x.dataSync()));
          tf.dispose(tensorsIn(all));
          return values;
        });
        expect(second).to.deep.equal(first);
        dispose();
        tf.dispose([...tensorsIn(ys), ...tensorsIn(gys)]);
        return first;
      });
      expect(tf.memory().numTensors).to.equal(before);
      const scale = Math.max(...found[1].map(Math.abs));
      found[0].forEach((x, i) => expect(x).to.be.closeTo(found[1][i], 3e-6 * scale));
    });
  }

  it('is for the two methods whose steps can be taken back', () => {
    for (const method of methodNames) {
      const call = () =>
        gradient(
          oscillator(() => undefined),
          { method, stepSize: 0.5, adjoint: 'reversible' },
        );
      if (methods.includes(method as Method)) call();
      else expect(call, method).to.throw(InvalidArgumentError, /'reversible_heun'.*'leapfrog'/);
    }
    const call = () =>
      gradient(
        oscillator(() => undefined),
        { method: 'leapfrog', checkpoints: 2 },
      );
    expect(call).to.throw(InvalidArgumentError, /adjoint: 'checkpoint'/);
  });

  it('of a single output time is its cotangent', () => {
    for (const method of methods) {
      const found = tf.tidy(() =>
        tf
          .grad((q: tf.Tensor) => {
            const ys = odeintAdjoint(
              oscillator(() => undefined),
              { q, p: y0.p },
              [0.5],
              { method, params: [w] },
            );
            return tf.add(tf.sum(tf.mul(ys.q, [3, 4])), tf.mul(0, w));
          })(y0.q)
          .dataSync(),
      );
      expect([...found]).to.deep.equal([3, 4]);
    }
  });

  it('says once when rounding grew too much on the way back, and names checkpoint', () => {
    const probe = fileURLToPath(new URL('./drift_probe.ts', import.meta.url));
    const output = execFileSync(process.execPath, ['--import', 'tsx', probe, 'tensors'], {
      encoding: 'utf8',
    });
    const lines = output.trim().split('\n');
    expect(lines.slice(0, 2)).to.deep.equal(['slow decay: 0 warnings', 'from rest: 0 warnings']);
    expect(lines[2]).to.match(/^fast growth: 1 warning: .*adjoint 'reversible' misses y0 .*'checkpoint'/);
  });
});
