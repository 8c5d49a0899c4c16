/**
 * What the entry points take, return, call back and count.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  ButcherTableau,
  ExplicitRungeKutta,
  fromLayer,
  InvalidArgumentError,
  iterate,
  iterateAsync,
  odeint,
  odeintAsync,
  odeintDense,
  odeintDenseAsync,
  odeintWith,
  solve,
  solveAsync,
  type MethodName,
  type PlainFunc,
  type Stepper,
  type StepReport,
  type TensorTree,
} from 'tfjs-diffeq';
import * as solvers from 'tfjs-diffeq/solvers';
import { backendNames, onBackends } from './backends.js';
import { generalMethods, rungeKuttaMethods } from './methods.js';

const fixedOnly = generalMethods.filter((name) => solvers.resolveMethod(name).embeddedOrder === null);
/** Options with which every method solves the problems here to 1e-4. */
const optionsOf = (method: MethodName) =>
  fixedOnly.includes(method) ? { method, stepSize: 0.003 } : { method };

const oscillator: PlainFunc = (_t, [x, v]) => [v, -x];
const tolerance = (method: string) =>
  ['euler', 'adaptive_heun', 'fehlberg2'].includes(method) ? 5e-3 : 1e-4;

/** `func` that counts its calls. */
function counted<F extends (...args: never[]) => unknown>(func: F): F & { calls: number } {
  const wrapped = ((...args: never[]) => {
    wrapped.calls++;
    return func(...args);
  }) as F & { calls: number };
  wrapped.calls = 0;
  return wrapped;
}

function inTidy(body: () => void): () => void {
  return () => void tf.tidy(body);
}

describe('entry points', () => {
  describe('states and what comes back', () => {
    it('numbers: an array of Float64Arrays, the first of which is y0', () => {
      for (const y0 of [[1, 0], Float64Array.of(1, 0)]) {
        const ys = odeint(oscillator, y0, [0, 1, 2]);
        expect(ys).to.have.length(3);
        for (const y of ys) expect(y).to.be.instanceOf(Float64Array).with.length(2);
        expect(Array.from(ys[0])).to.deep.equal([1, 0]);
        expect(ys[2][0]).to.be.closeTo(Math.cos(2), 1e-6);
      }
    });

    onBackends(backendNames, () => {
      const solved = (y0: TensorTree): TensorTree => {
        const grow = (node: unknown): unknown => {
          if (node instanceof tf.Tensor) return tf.ones(node.shape);
          if (Array.isArray(node)) return node.map(grow);
          // Other order of keys than in y0.
          return Object.fromEntries(
            Object.entries(node as object)
              .reverse()
              .map(([key, value]) => [key, grow(value)]),
          );
        };
        return odeint((_t, y: TensorTree) => grow(y) as never, y0, [0, 1, 3]) as TensorTree;
      };
      const expectRamp = (ys: unknown, y0: tf.Tensor) => {
        expect(ys).to.be.instanceOf(tf.Tensor);
        const { shape, dtype } = ys as tf.Tensor;
        expect(shape).to.deep.equal([3, ...y0.shape]);
        expect(dtype).to.equal('float32');
        const expected = [0, 1, 3].flatMap((t) => Array.from(y0.dataSync(), (y) => y + t));
        (ys as tf.Tensor).dataSync().forEach((y, i) => expect(y).to.be.closeTo(expected[i], 1e-5));
      };

      it(
        'one tensor, of any rank',
        inTidy(() => {
          for (const shape of [[], [1], [3], [2, 3], [2, 1, 3], [1, 2, 1, 2], [2, 1, 2, 1, 2]]) {
            const y0 = tf.randomUniform(shape);
            expectRamp(solved(y0), y0);
          }
        }),
      );

      it(
        'an array, a nested record, one leaf inside',
        inTidy(() => {
          const [a, b, c] = [tf.scalar(2), tf.tensor2d([[1, 2, 3]]), tf.tensor1d([4])];
          const list = solved([a, b]) as unknown[];
          expect(list).to.be.an('array').with.length(2);
          expectRamp(list[0], a);
          expectRamp(list[1], b);
          const tree = solved({ z: [a, { deep: b }], a: c }) as {
            z: [tf.Tensor, { deep: tf.Tensor }];
            a: tf.Tensor;
          };
          expect(Object.keys(tree)).to.deep.equal(['z', 'a']);
          expectRamp(tree.z[0], a);
          expectRamp(tree.z[1].deep, b);
          expectRamp(tree.a, c);
          const single = solved([{ only: b }]) as [{ only: tf.Tensor }];
          expectRamp(single[0].only, b);
        }),
      );

      it(
        'a variable, and a tree that holds one tensor twice',
        inTidy(() => {
          const variable = tf.variable(tf.tensor1d([1, 2]));
          expectRamp(solved(variable), variable);
          const [first, second] = solved([variable, variable]) as tf.Tensor[];
          expectRamp(first, variable);
          expectRamp(second, variable);
          variable.dispose();
        }),
      );

      it(
        'func sees the structure of y0, a scalar t, and args as they are',
        inTidy(() => {
          const args = { rate: 2 };
          const y0 = { u: tf.ones([2]), list: [tf.scalar(1)] };
          odeint(
            (t, y, given: typeof args) => {
              expect(given).to.equal(args);
              expect([t.rank, t.dtype]).to.deep.equal([0, 'float32']);
              expect(y.u.shape).to.deep.equal([2]);
              expect(y.list).to.have.length(1);
              return { u: tf.mul(y.u, given.rate), list: y.list };
            },
            y0,
            [0, 0.1],
            { args },
          );
        }),
      );
    });

    it('one output time gives y0 back, without calling func', () => {
      const never = counted(oscillator);
      for (const method of generalMethods) {
        const { t, y, status, stats } = solve(never, [1, 2], [7], { method });
        expect([Array.from(t), y.map((state) => Array.from(state)), status]).to.deep.equal([
          [7],
          [[1, 2]],
          'success',
        ]);
        expect(stats).to.include({ steps: 0, nfe: 0 });
      }
      expect(never.calls).to.equal(0);
      const one = tf.tidy(() => odeint((_t, y: tf.Tensor) => y, tf.ones([2]), [7]).shape);
      expect(one).to.deep.equal([1, 2]);
    });
  });

  describe('output times', () => {
    it('may be an array, a Float64Array, a Float32Array or a tensor; all mean the same', () => {
      const grid = [0, 0.25, 0.5, 2];
      const expected = odeint(oscillator, [1, 0], grid);
      const t = tf.tensor1d(grid);
      for (const times of [Float64Array.from(grid), Float32Array.from(grid), t]) {
        expect(odeint(oscillator, [1, 0], times)).to.deep.equal(expected);
      }
      t.dispose();
    });

    it('are not changed, and not kept', () => {
      const grid = [0, 1];
      const { t } = solve(oscillator, [1, 0], grid);
      t[0] = 5;
      expect(grid).to.deep.equal([0, 1]);
    });

    for (const method of generalMethods) {
      it(`${method}: between steps, on them, and backwards`, () => {
        const grid = [0, 0.0001, 0.3, 0.303, 1, 1.7, 3];
        const times = [grid, grid.map((t) => -t), grid.map((t) => 3 - t)];
        for (const t of times) {
          const start = [Math.cos(t[0]), -Math.sin(t[0])];
          odeint(oscillator, start, t, optionsOf(method)).forEach((y, i) => {
            expect(y[0]).to.be.closeTo(Math.cos(t[i]), tolerance(method));
            expect(y[1]).to.be.closeTo(-Math.sin(t[i]), tolerance(method));
          });
        }
      });
    }

    it('between steps do not change the steps', () => {
      for (const method of generalMethods) {
        const grid = Float64Array.from({ length: 50 }, (_, i) => i / 49);
        const few = solve(oscillator, [1, 0], [0, 1], optionsOf(method));
        const many = solve(oscillator, [1, 0], grid, optionsOf(method));
        expect(many.stats.steps).to.equal(few.stats.steps);
        expect(many.y[49]).to.deep.equal(few.y[1]);
      }
    });
  });

  describe('methods of the caller', () => {
    const ralston = new ButcherTableau({
      name: 'ralston',
      order: 2,
      c: [0, 2 / 3],
      a: [[], [2 / 3]],
      b: [1 / 4, 3 / 4],
    });

    it('a tableau', () => {
      const [, y] = odeint((_t, y) => [-y[0]], [1], [0, 1], { method: ralston, stepSize: 0.1 });
      expect(y[0]).to.be.closeTo((1 - 0.1 + 0.005) ** 10, 1e-14);
    });

    it('every registered method is the tableau that solvers exports, also without the registry', () => {
      const tableaus = Object.values(solvers).filter((value) => value instanceof ButcherTableau);
      expect(tableaus.map(({ name }) => name)).to.have.members([...rungeKuttaMethods]);
      for (const tableau of tableaus) {
        const { method, ...options } = optionsOf(tableau.name as MethodName);
        const expected = odeint(oscillator, [1, 0], [0, 0.3, 1], { method, ...options });
        const stepper = new ExplicitRungeKutta(tableau);
        expect(odeint(oscillator, [1, 0], [0, 0.3, 1], { ...options, method: tableau })).to.deep.equal(
          expected,
        );
        expect(odeint(oscillator, [1, 0], [0, 0.3, 1], { ...options, method: stepper })).to.deep.equal(
          expected,
        );
        expect(odeintWith(stepper, oscillator, [1, 0], [0, 0.3, 1], options)).to.deep.equal(expected);
      }
    });

    /* Euler's method once more, written against the interface. */
    const itself = { indices: [0], values: Float64Array.of(1) };
    interface EulerState<S> {
      t0: number;
      y0: S;
      t1: number;
      y1: S | null;
      k: S | null;
    }
    const euler: Stepper = {
      name: 'my_euler',
      order: 1,
      embeddedOrder: null,
      init: (_system, t, y) => ({ t0: t, y0: y, t1: t, y1: null, k: null }),
      slope: <S>(system: { evaluate(t: number, y: S): S }, state: object) => {
        const own = state as EulerState<S>;
        return (own.k ??= system.evaluate(own.t0, own.y0));
      },
      step(system, state, t1) {
        const k = this.slope(system, state);
        const y1 = system.space.advance(state.y0, t1 - state.t0, itself, [k], null);
        return Object.assign(state, { t1, y1 });
      },
      errorNorm: () => {
        throw new Error('has none');
      },
      interpolate(system, state, t) {
        return system.space.advance(state.y0, t - state.t0, itself, [this.slope(system, state)], null);
      },
      derivative(system, state) {
        return system.space.copy(this.slope(system, state));
      },
      accept(system, state) {
        const own = state as unknown as EulerState<typeof state.y0>;
        if (own.k !== null) system.space.release(own.k);
        system.space.release(own.y0);
        return Object.assign(state, { t0: own.t1, y0: own.y1!, y1: null, k: null });
      },
      reject: (_system, state) => state,
      detach: (_system, state, archive) => {
        const own = state as unknown as EulerState<typeof state.y0>;
        return Object.assign(
          { ...state, y0: archive.copy(own.y0), y1: archive.copy(own.y1!) },
          { k: archive.copy(own.k!) },
        );
      },
    };

    it('a stepper written against the interface, on numbers and tensors, in every entry point', () => {
      const t = [0, 0.25, 0.5, 2];
      const options = { stepSize: 0.25 };
      const expected = odeint(oscillator, [1, 0], t, { ...options, method: 'euler' });
      expect(odeint(oscillator, [1, 0], t, { ...options, method: euler })).to.deep.equal(expected);
      expect(odeintWith(euler, oscillator, [1, 0], t, options)).to.deep.equal(expected);
      expect(odeintDense(oscillator, [1, 0], 0, 2, { ...options, method: euler }).evaluate(t)).to.deep.equal(
        expected,
      );
      const steps = [...iterate(oscillator, [1, 0], { ...options, t0: 0, t1: 2, method: euler })];
      expect(steps).to.have.length(8);
      const before = tf.memory().numTensors;
      tf.tidy(() => {
        const field = (_t: tf.Scalar, { x, v }: { x: tf.Tensor; v: tf.Tensor }) => ({ x: v, v: tf.neg(x) });
        const { x } = odeint(field, { x: tf.scalar(1), v: tf.scalar(0) }, t, { ...options, method: euler });
        x.dataSync().forEach((value, i) => expect(value).to.be.closeTo(expected[i][0], 1e-6));
      });
      expect(tf.memory().numTensors).to.equal(before);
      expect(() => odeint(oscillator, [1, 0], t, { method: euler, interp: 'cubic' })).to.throw(
        InvalidArgumentError,
        "'my_euler' has an interpolant of its own",
      );
    });
  });

  describe('callbacks', () => {
    const curved: PlainFunc = (t, [y]) => [y * Math.cos(5 * t) * 5];
    const curvedT = (t: tf.Scalar, y: tf.Tensor) => tf.mul(y, tf.mul(5, tf.cos(tf.mul(5, t))));

    type Log = {
      name: string;
      t: number;
      h: number;
      errorNorm: number | null;
      y: number;
      y1: number | null;
      steps: number;
    };
    const logged = (run: (callbacks: object) => void): Log[] => {
      const log: Log[] = [];
      const first = (y: unknown) => (y instanceof tf.Tensor ? y.dataSync()[0] : (y as Float64Array)[0]);
      const record = (name: string) => (report: StepReport<unknown>) => {
        const { t, h, errorNorm, y, y1, stats } = report;
        log.push({
          name,
          t,
          h,
          errorNorm,
          y: first(y),
          y1: y1 === null ? null : first(y1),
          steps: stats.steps,
        });
      };
      run({ onStep: record('step'), onAccept: record('accept'), onReject: record('reject') });
      return log;
    };

    const check = (log: Log[], adaptive: boolean) => {
      let t = 0;
      let attempts = 0;
      for (let i = 0; i < log.length; i += 2) {
        const [step, outcome] = [log[i], log[i + 1]];
        expect(step).to.include({ name: 'step', y1: null, errorNorm: null, steps: attempts++ });
        expect(outcome.name).to.be.oneOf(['accept', 'reject']);
        expect(outcome).to.include({ t: step.t, h: step.h, y: step.y, steps: attempts });
        expect(step.t).to.equal(t);
        if (adaptive) expect(outcome.errorNorm! <= 1).to.equal(outcome.name === 'accept');
        else expect(outcome).to.include({ errorNorm: null, name: 'accept' });
        if (outcome.name === 'accept') {
          t = step.t + step.h;
          if (log[i + 2]) {
            expect(log[i + 2].y).to.equal(outcome.y1);
            // t + h may differ from the end in the last bit
            expect(log[i + 2].t).to.be.closeTo(t, 1e-15);
            t = log[i + 2].t;
          }
        }
      }
      expect(t).to.be.closeTo(2, 1e-15);
    };

    it('onStep before each attempt, then onAccept or onReject, on numbers and tensors', () => {
      const options = { firstStep: 1, rtol: 1e-5, atol: 1e-6 };
      const plain = logged((callbacks) => odeint(curved, [1], [0, 2], { ...options, ...callbacks }));
      check(plain, true);
      expect(plain.filter(({ name }) => name === 'reject')).to.not.be.empty;
      const tensors = logged((callbacks) =>
        tf.tidy(() => void odeint(curvedT, tf.ones([1]), [0, 2], { ...options, ...callbacks })),
      );
      check(tensors, true);
      expect(tensors.filter(({ name }) => name === 'reject')).to.not.be.empty;
      const fixed = { method: 'rk4', stepSize: 0.3 } as const;
      check(
        logged((callbacks) => odeint(curved, [1], [0, 2], { ...fixed, ...callbacks })),
        false,
      );
    });

    it('onProgress rises to exactly 1, forwards and backwards', () => {
      for (const end of [3, -3]) {
        for (const method of generalMethods) {
          const fractions: number[] = [];
          odeint(oscillator, [1, 0], [0, end], {
            ...optionsOf(method),
            onProgress: (x) => fractions.push(x),
          });
          expect(fractions.every((x, i) => x > (fractions[i - 1] ?? 0) && x <= 1)).to.equal(true);
          expect(fractions[fractions.length - 1]).to.equal(1);
        }
      }
    });

    it('work in async solves and iterators alike', async () => {
      const options = { firstStep: 1 };
      const expected = logged((callbacks) => odeint(curved, [1], [0, 2], { ...options, ...callbacks }));
      const log: string[] = [];
      const callbacks = {
        onStep: () => log.push('step'),
        onAccept: () => log.push('accept'),
        onReject: () => log.push('reject'),
      };
      await odeintAsync(curved, [1], [0, 2], { ...options, ...callbacks });
      expect(log).to.deep.equal(expected.map(({ name }) => name));
      log.length = 0;
      for (const step of iterate(curved, [1], { ...options, ...callbacks, t0: 0, t1: 2 })) void step;
      expect(log).to.deep.equal(expected.map(({ name }) => name));
    });

    it('a report is a copy of the counters', () => {
      const kept: StepReport<Float64Array>[] = [];
      odeint(oscillator, [1, 0], [0, 2], { onAccept: (report) => kept.push(report) });
      expect(kept.map(({ stats }) => stats.accepted)).to.deep.equal(kept.map((_, i) => i + 1));
    });
  });

  describe('counters', () => {
    const grid = [0, 0.1, 0.33, 1.2, 2];
    for (const method of generalMethods) {
      it(`${method}: nfe is the number of calls, steps = accepted + rejected`, () => {
        const f = counted(oscillator);
        const options = optionsOf(method);
        const check = ({ nfe, steps, accepted, rejected, lastStep }: ReturnType<typeof solve>['stats']) => {
          expect(nfe).to.equal(f.calls);
          expect(steps).to.equal(accepted + rejected);
          expect(lastStep).to.be.above(0);
          f.calls = 0;
        };
        check(solve(f, [1, 0], grid, options).stats);
        check(solve(f, [1, 0], [0, 2], options).stats);
        check(solve(f, [1, 0], [0, 1e3], { ...options, maxNumSteps: 10, throwOnFailure: false }).stats);
        check(odeintDense(f, [1, 0], 0, 2, options).stats);
        for (const step of iterate(f, [1, 0], { ...options, t0: 0, t1: 2 })) {
          expect(step.stats.nfe).to.equal(f.calls);
          expect(step.stats.lastStep).to.be.closeTo(step.h, 1e-15);
        }
        const fT = counted((_t: tf.Scalar, y: tf.Tensor) => tf.neg(y));
        tf.tidy(() => {
          const { stats } = solve(fT, tf.ones([2]), grid, options);
          expect(stats.nfe).to.equal(fT.calls);
        });
      });
    }

    it('a method whose last stage begins the next step evaluates one less in each', () => {
      const { stats } = solve(oscillator, [1, 0], [0, 20]);
      expect(stats.nfe).to.equal(2 + 6 * stats.steps); // the first stage, and the probe of the initial step
    });

    it('solve says what it did', () => {
      const { t, status, message, stats } = solve(oscillator, [1, 0], [0, 1]);
      expect(Array.from(t)).to.deep.equal([0, 1]);
      expect(status).to.equal('success');
      expect(message).to.equal(`reached t = 1 in ${stats.accepted} steps.`);
      expect(stats.njev).to.equal(0);
    });
  });

  describe('iterate', () => {
    it('yields steps that join, forwards and backwards, and ends at t1', () => {
      for (const [t0, t1] of [
        [0, 3],
        [3, -1],
      ] as const) {
        let t: number = t0;
        for (const step of iterate(oscillator, [Math.cos(t0), -Math.sin(t0)], { t0, t1 })) {
          expect(step.t - step.h).to.be.closeTo(t, 1e-14);
          t = step.t;
          expect(step.y[0]).to.be.closeTo(Math.cos(t), 1e-5);
          expect(step.interpolate(t - step.h / 2)[0]).to.be.closeTo(Math.cos(t - step.h / 2), 1e-5);
          expect(step.errorNorm).to.be.within(0, 1);
          expect(step.interpolate(t)).to.deep.equal(step.y);
        }
        expect(t).to.equal(t1);
      }
    });

    it('takes the steps that solve takes', () => {
      const { stats, y } = solve(oscillator, [1, 0], [0, 5]);
      const steps = [...iterate(oscillator, [1, 0], { t0: 0, t1: 5 })].map(
        ({ stats: { accepted } }) => accepted,
      );
      expect(steps).to.deep.equal(Array.from({ length: stats.accepted }, (_, i) => i + 1));
      let last!: Float64Array;
      for (const step of iterate(oscillator, [1, 0], { t0: 0, t1: 5 })) last = step.keep();
      expect(last).to.deep.equal(y[1]);
    });

    it('refuses times outside the step, and use after it', () => {
      const iterator = iterate(oscillator, [1, 0], { t0: 0 });
      const first = iterator.next().value!;
      expect(() => first.interpolate(first.t + 1e-9)).to.throw(
        InvalidArgumentError,
        'expected a time in the step',
      );
      expect(() => first.interpolate(-1)).to.throw(InvalidArgumentError, 'from 0 to');
      expect(() => first.interpolate(NaN)).to.throw(InvalidArgumentError, 'interpolate(NaN)');
      const kept = first.keep();
      const value = Array.from(kept);
      iterator.next();
      expect(() => first.keep()).to.throw(InvalidArgumentError, 'is over');
      expect(Array.from(kept)).to.deep.equal(value);
      iterator.return();
    });

    it('without t1 goes on past the number of steps that ends a solve', () => {
      let steps = 0;
      for (const step of iterate((_t, y) => [-y[0]], [1], { t0: 0, method: 'euler', stepSize: 1 / 64 })) {
        if (++steps < 100_010) continue;
        expect(step.t).to.equal(steps / 64);
        break;
      }
      expect(() => {
        for (const step of iterate(oscillator, [1, 0], { t0: 0, maxNumSteps: 5 })) void step;
      }).to.throw('maxNumSteps = 5');
    });

    it('without t1 ends when t outgrows the numbers', () => {
      const steps = [...iterate(() => [0], [1], { t0: 0 })];
      expect(steps.length).to.be.within(100, 1000);
      expect(steps[steps.length - 1].t).to.be.above(1e300);
    });

    it('lands on stepT, also with fixed steps that have no end', () => {
      for (const options of [{ maxStep: 0.3 }, { method: 'rk4', stepSize: 0.3 }] as const) {
        const seen: number[] = [];
        for (const step of iterate(oscillator, [1, 0], { ...options, t0: 0, stepT: [0.5, 1, 1.2] })) {
          seen.push(step.t);
          if (step.t > 2) break;
        }
        expect(seen).to.include.members([0.5, 1, 1.2]);
        expect(seen.every((t, i) => i === 0 || t > seen[i - 1])).to.equal(true);
      }
    });

    it('is disposable', async () => {
      const iterator = iterate(oscillator, [1, 0], { t0: 0 });
      iterator.next();
      iterator[Symbol.dispose]();
      expect(iterator.next().done).to.equal(true);
      const later = iterateAsync(oscillator, [1, 0], { t0: 0 });
      await later.next();
      await later[Symbol.asyncDispose]();
      expect((await later.next()).done).to.equal(true);
    });
  });

  describe('dense output', () => {
    for (const method of generalMethods) {
      it(`${method}: agrees with the solution inside the interval, forwards and backwards`, async () => {
        for (const end of [3, -3]) {
          const options = optionsOf(method);
          const dense = odeintDense(oscillator, [1, 0], 0, end, options);
          expect([dense.t0, dense.t1]).to.deep.equal([0, end]);
          const times = Array.from({ length: 31 }, (_, i) => (end * i) / 30);
          dense.evaluate(times).forEach((y, i) => {
            expect(y[0]).to.be.closeTo(Math.cos(times[i]), tolerance(method));
            expect(Array.from(dense.evaluate(times[i]))).to.deep.equal(Array.from(y));
            const slope = dense.derivative(times[i]);
            expect(slope[0]).to.be.closeTo(-Math.sin(times[i]), 10 * tolerance(method));
          });
          const later = await odeintDenseAsync(oscillator, [1, 0], 0, end, options);
          expect(later.evaluate(times)).to.deep.equal(dense.evaluate(times));
        }
      });
    }

    it('refuses times outside, and use after dispose()', () => {
      const dense = odeintDense(oscillator, [1, 0], 0, 3);
      for (const t of [-0.1, 3.1, NaN, '1', undefined] as number[]) {
        expect(() => dense.evaluate(t)).to.throw(InvalidArgumentError, 'expected a time');
        expect(() => dense.evaluate([1, t])).to.throw(InvalidArgumentError, 'from 0 to 3');
        expect(() => dense.derivative(t)).to.throw(InvalidArgumentError, 'derivative(');
      }
      expect(() => dense.evaluate([])).to.throw(InvalidArgumentError, 'at least one');
      expect(() => dense.evaluate(tf.scalar(1) as never)).to.throw(InvalidArgumentError, 'a float32 tensor');
      dense.dispose();
      expect(() => dense.evaluate(1)).to.throw(InvalidArgumentError, 'was disposed');
      expect(() => dense.derivative(1)).to.throw(InvalidArgumentError, 'was disposed');
    });
  });

  describe('async', () => {
    const field = (_t: tf.Scalar, y: tf.Tensor) => tf.neg(y);

    it('gives what the sync form gives', async () => {
      const y0 = tf.tensor1d([1, 2]);
      const t = [0, 0.3, 1];
      const now = odeint(field, y0, t);
      const later = await odeintAsync(field, y0, t);
      expect(later.dataSync()).to.deep.equal(now.dataSync());
      const solution = await solveAsync(oscillator, [1, 0], t);
      expect(solution).to.deep.equal(solve(oscillator, [1, 0], t));
      const grid = tf.tensor1d([0, 0.5, 1]);
      const ys = await odeintAsync(oscillator, [1, 0], grid);
      expect(ys).to.deep.equal(odeint(oscillator, [1, 0], [0, 0.5, 1]));
      const steps: number[] = [];
      for await (const step of iterateAsync(oscillator, [1, 0], { t0: 0, t1: 3 })) steps.push(step.keep()[0]);
      expect(steps).to.deep.equal(
        Array.from(iterate(oscillator, [1, 0], { t0: 0, t1: 3 }), (step) => step.keep()[0]),
      );
      tf.dispose([y0, now, later, grid]);
    });

    it('y0 may be disposed as soon as the call has returned', async () => {
      const y0 = tf.tensor1d([1, 2]);
      const solution = odeintAsync(field, y0, [0, 1]);
      y0.dispose();
      const ys = await solution;
      expect(ys.dataSync()[2]).to.be.closeTo(Math.exp(-1), 1e-5);
      ys.dispose();
    });

    it('lets timers run in between, on tensors and on numbers', async () => {
      for (const solving of [
        () => odeintAsync(oscillator, [1, 0], [0, 1], { maxStep: 2e-5 }),
        () => odeintAsync(field, tf.ones([2]), [0, 1], { maxStep: 2e-4 }),
      ]) {
        let turns = 0;
        let finished = false;
        const timer = setInterval(() => {
          if (!finished) turns++;
        });
        const result = await solving();
        finished = true;
        clearInterval(timer);
        expect(turns).to.be.above(1);
        tf.dispose(result as never);
      }
    });

    it('two solves that take turns give the same as one after the other', async () => {
      const fields = {
        a: (_t: tf.Scalar, y: tf.Tensor) => tf.neg(y),
        b: (t: tf.Scalar, y: tf.Tensor) => tf.mul(y, tf.cos(t)),
      };
      const y0 = tf.tensor1d([1, 2, 3]);
      const turns: string[] = [];
      const start = (name: 'a' | 'b', method: MethodName) => {
        const func = (t: tf.Scalar, y: tf.Tensor) => {
          turns.push(name);
          return fields[name](t, y);
        };
        return odeintAsync(func, y0, [0, 0.5, 4], { method });
      };
      for (const method of ['dopri5', 'dopri8', 'bosh3'] as const) {
        const [a, b] = [await start('a', method), await start('b', method)];
        turns.length = 0;
        const [a2, b2] = await Promise.all([start('a', method), start('b', method)]);
        expect(turns.join('')).to.match(/a+b+a+b+a/);
        expect(a2.dataSync()).to.deep.equal(a.dataSync());
        expect(b2.dataSync()).to.deep.equal(b.dataSync());
        tf.dispose([a, b, a2, b2]);
      }
      y0.dispose();
    });
  });

  describe('fromLayer', () => {
    it('makes a model a vector field', () => {
      const model = tf.sequential({
        layers: [tf.layers.dense({ units: 2, useBias: false, inputShape: [2] })],
      });
      model.setWeights([
        tf.tensor2d([
          [0, -1],
          [1, 0],
        ]),
      ]); // x' = v, v' = -x
      tf.tidy(() => {
        const ys = odeint(
          fromLayer(model),
          tf.tensor2d([
            [1, 0],
            [0, 1],
          ]),
          [0, 1],
        );
        const expected = [1, 0, 0, 1, Math.cos(1), -Math.sin(1), Math.sin(1), Math.cos(1)];
        ys.dataSync().forEach((y, i) => expect(y).to.be.closeTo(expected[i], 1e-5));
      });
      // d/dK of x(1) for x' = K x by the tape reaches the weights of the layer.
      const { grads } = tf.variableGrads(() =>
        odeint(fromLayer(model), tf.tensor2d([[1, 0]]), [0, 1])
          .slice([1, 0, 0], [1, 1, 1])
          .asScalar(),
      );
      const [toKernel] = Object.values(grads);
      // y_j' gets d K_ij y_i, to which x(1) responds by cos(1 - s) for j = 0 and sin(1 - s) for j = 1.
      const sine = Math.sin(1) / 2;
      const cosine = Math.cos(1) / 2;
      const expected = [cosine + sine, sine, -sine, cosine - sine];
      toKernel.dataSync().forEach((g, i) => expect(g).to.be.closeTo(expected[i], 1e-5));
      tf.dispose(Object.values(grads));
      model.dispose();
    });
  });
});
