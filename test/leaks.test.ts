/**
 * After any call, also one that throws, is aborted or abandoned, tfjs holds exactly what the call returned: tensors,
 * bytes, scopes and tape are compared before and after. Nothing that belongs to the caller is disposed.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import * as fc from 'fast-check';
import {
  AbortedError,
  type DenseSolution,
  InvalidArgumentError,
  iterate,
  iterateAsync,
  MaxStepsError,
  type MethodName,
  NonFiniteStateError,
  odeint,
  odeintAsync,
  odeintDense,
  odeintDenseAsync,
  solve,
  solveAsync,
  StepUnderflowError,
  type TensorOptions,
  type TensorTree,
} from 'tfjs-diffeq';
import { backendNames, onBackends } from './backends.js';
import {
  engineState,
  leavesOnlyItsResult,
  leavesOnlyItsResultAsync,
  onStockCpu,
  rejectionOf,
  tensorsIn,
  thrownBy,
} from './engine_probe.js';
import { generalMethods } from './methods.js';

type Pair = { q: tf.Tensor; p: tf.Tensor };
type Field = (t: tf.Scalar, y: Pair) => Pair;

const oscillator: Field = (_t, { q, p }) => ({ q: p, p: tf.neg(q) });
const times = [0, 0.3, 0.35, 1];

/** Methods of every kind: first same as last or not, dense stages, fixed steps. */
const kinds = ['dopri5', 'dopri8', 'adaptive_heun', 'rk4', 'euler'] as const;

/** Entry points that return only when the solve is over, by what they return. */
const entries: Record<string, (func: Field, y0: Pair, options?: TensorOptions<Pair>) => unknown> = {
  odeint: (func, y0, options) => odeint(func, y0, times, options),
  solve: (func, y0, options) => solve(func, y0, times, options).y,
  odeintDense: (func, y0, options) => {
    const dense = odeintDense(func, y0, 0, 1, options);
    try {
      return [dense.evaluate(times), dense.evaluate(0.5), dense.derivative(0.5)];
    } finally {
      dense.dispose();
    }
  },
  iterate: (func, y0, options) => {
    const kept: unknown[] = [];
    try {
      for (const step of iterate(func, y0, { ...options, t0: 0, t1: 1 })) {
        kept.push(step.keep());
        kept.push(step.interpolate(step.t - step.h / 3));
      }
    } catch (error) {
      tf.dispose(kept as tf.Tensor[]);
      throw error;
    }
    return kept;
  },
};

const asyncEntries: Record<
  string,
  (func: Field, y0: Pair, options?: TensorOptions<Pair>) => Promise<unknown>
> = {
  odeintAsync: (func, y0, options) => odeintAsync(func, y0, times, options),
  solveAsync: async (func, y0, options) => (await solveAsync(func, y0, times, options)).y,
  odeintDenseAsync: async (func, y0, options) => {
    const dense = await odeintDenseAsync(func, y0, 0, 1, options);
    const values = dense.evaluate(times);
    dense.dispose();
    return values;
  },
  iterateAsync: async (func, y0, options) => {
    const kept: unknown[] = [];
    try {
      for await (const step of iterateAsync(func, y0, { ...options, t0: 0, t1: 1 })) {
        kept.push(step.keep());
        kept.push(step.interpolate(step.t - step.h / 3));
      }
    } catch (error) {
      tf.dispose(kept as tf.Tensor[]);
      throw error;
    }
    return kept;
  },
};

/** `func`, but its n-th call is replaced. */
function failingAt<F extends (...args: never[]) => unknown>(func: F, n: number, instead: () => unknown): F {
  let calls = 0;
  return ((...args: never[]) => (++calls === n ? instead() : func(...args))) as F;
}

const boom = new RangeError('thrown by the caller');
const throwBoom = (): never => {
  // What func had made before it failed must go too.
  tf.mul(2, 3);
  throw boom;
};

function testsOfLeaks(): void {
  let y0: Pair;

  beforeEach(() => {
    y0 = { q: tf.tensor2d([[1, 2, 3]]), p: tf.fill([1, 3], 0.5) };
  });
  afterEach(() => {
    expect(tensorsIn(y0).map((leaf) => leaf.isDisposed)).to.deep.equal([false, false]);
    expect(Array.from(y0.q.dataSync())).to.deep.equal([1, 2, 3]);
    tf.disposeVariables();
    tf.dispose(tensorsIn(y0));
  });

  describe('success', () => {
    for (const [name, call] of Object.entries(entries)) {
      it(`${name} leaves its result and nothing else, with every method`, () => {
        for (const method of generalMethods) {
          const result = leavesOnlyItsResult(() => call(oscillator, y0, { method }));
          for (const tensor of tensorsIn(result))
            expect(tensor.dataSync().every(Number.isFinite)).to.equal(true);
          tf.dispose(tensorsIn(result));
        }
      });

      it(`${name} inside tf.tidy: what is returned survives, all else goes`, () => {
        for (const method of kinds) {
          const result = leavesOnlyItsResult(() =>
            tf.tidy(() => call(oscillator, y0, { method }) as tf.Tensor[]),
          );
          for (const tensor of tensorsIn(result))
            expect(tensor.dataSync().every(Number.isFinite)).to.equal(true);
          tf.dispose(tensorsIn(result));
          leavesOnlyItsResult(() => tf.tidy(() => void call(oscillator, y0, { method })));
        }
      });
    }

    for (const [name, call] of Object.entries(asyncEntries)) {
      it(`${name} leaves its result and nothing else`, async () => {
        for (const method of kinds) {
          tf.dispose(tensorsIn(await leavesOnlyItsResultAsync(() => call(oscillator, y0, { method }))));
        }
      });
    }

    it('one output time', () => {
      tf.dispose(tensorsIn(leavesOnlyItsResult(() => odeint(oscillator, y0, [3]))));
    });

    it("a tensor of times stays the caller's", () => {
      const t = tf.tensor1d(times);
      tf.dispose(tensorsIn(leavesOnlyItsResult(() => odeint(oscillator, y0, t))));
      expect(t.dataSync()).to.have.length(4);
      t.dispose();
    });

    it('options that take other paths: norms, tolerances per leaf, jumps, callbacks', () => {
      const seen: number[] = [];
      const norm = (leaves: tf.Tensor[]): tf.Scalar =>
        tf.max(tf.stack(leaves.map((leaf) => tf.max(tf.abs(leaf)))));
      const variants: TensorOptions<Pair>[] = [
        { norm },
        { norm: 'max' },
        { rtol: { p: 1e-3, q: 1e-4 }, atol: { q: 0, p: 1e-3 } },
        { rtol: 0 },
        { jumpT: [0.2, 0.5], stepT: [0.7] },
        { stepSize: 0.23, perturb: true, interp: 'cubic' },
        { method: 'rk4', stepSize: 0.23, interp: 'linear', stepT: [0.1] },
        {
          firstStep: 1,
          rtol: 1e-6,
          onReject: ({ y, y1 }) => seen.push(y.q.dataSync()[0], y1!.p.dataSync()[0]),
        },
        {
          onStep: ({ y, y1 }) => seen.push(y.q.dataSync()[0], y1 === null ? 0 : 1),
          onAccept: () => seen.push(2),
        },
      ];
      for (const options of variants) {
        for (const call of Object.values(entries)) {
          tf.dispose(tensorsIn(leavesOnlyItsResult(() => call(oscillator, y0, options))));
        }
      }
      expect(seen).to.not.be.empty;
    });

    it('a nested solve inside func', () => {
      const nested: Field = (_t, { q, p }) => {
        const { q: path } = odeint(oscillator, { q, p }, [0, 0.1], { method: 'rk4' });
        return { q: tf.sub(tf.gather(path, 1), q), p: tf.neg(q) };
      };
      tf.dispose(tensorsIn(leavesOnlyItsResult(() => odeint(nested, y0, [0, 1]))));
    });
  });

  describe('what func may return', () => {
    it('its argument, a view of it, a captured tensor, a variable, one tensor twice, a kept tensor', () => {
      const captured = tf.ones([1, 3]);
      const variable = tf.variable(tf.ones([1, 3]));
      const kept = tf.tidy(() => tf.keep(tf.ones([1, 3])));
      const fields: Record<string, Field> = {
        'its argument': (_t, y) => y,
        'its leaves, exchanged': (_t, { q, p }) => ({ q: p, p: q }),
        'one leaf twice': (_t, { q }) => ({ q, p: q }),
        'views of it': (_t, { p }) => ({ q: tf.reshape(p, [1, 3]), p: p.clone() }),
        'a captured tensor': () => ({ q: captured, p: captured }),
        'a variable': (_t, { q }) => ({ q: variable, p: q }),
        'a kept tensor': () => ({ q: kept, p: kept }),
        'one new tensor twice': (_t, { q }) => {
          const dy = tf.neg(q);
          return { q: dy, p: dy };
        },
        'the result of a tidy': (_t, { q, p }) => tf.tidy(() => ({ q: tf.neg(tf.neg(p)), p: tf.neg(q) })),
      };
      for (const [what, field] of Object.entries(fields)) {
        for (const method of kinds) {
          for (const [name, call] of Object.entries(entries)) {
            const result = leavesOnlyItsResult(() => call(field, y0, { method, rtol: 1e-3 }));
            expect(
              tensorsIn(result).every((x) => x.dataSync().every(Number.isFinite)),
              `${what} ${name}`,
            ).to.equal(true);
            tf.dispose(tensorsIn(result));
          }
        }
      }
      for (const tensor of [captured, variable, kept]) {
        expect(Array.from(tensor.dataSync())).to.deep.equal([1, 1, 1]);
        tensor.dispose();
      }
    });

    it('for a state of one tensor: itself, a captured tensor, a variable', () => {
      const captured = tf.ones([3]);
      const variable = tf.variable(tf.ones([3]));
      const start = tf.ones([3]);
      for (const dy of [null, captured, variable, start]) {
        for (const method of kinds) {
          const result = leavesOnlyItsResult(() =>
            odeint((_t, y: tf.Tensor) => dy ?? y, start, times, { method }),
          );
          result.dispose();
        }
      }
      for (const tensor of [captured, variable, start]) {
        expect(Array.from(tensor.dataSync())).to.deep.equal([1, 1, 1]);
        tensor.dispose();
      }
    });

    it('a variable as y0 is copied, not changed', () => {
      const start = tf.variable(tf.ones([3]));
      const result = leavesOnlyItsResult(() => odeint((_t, y: tf.Tensor) => tf.neg(y), start, times));
      expect(Array.from(start.dataSync())).to.deep.equal([1, 1, 1]);
      tf.dispose([result, start]);
    });
  });

  describe('failure', () => {
    for (const [name, call] of Object.entries(entries)) {
      it(`${name}: func throws at its n-th call, n = 1..15, and the error comes through as it is`, () => {
        for (const method of kinds) {
          for (let n = 1; n <= 15; n++) {
            const steps = method === 'rk4' || method === 'euler' ? { stepSize: 0.06 } : { maxStep: 0.3 };
            const failing = failingAt(oscillator, n, throwBoom);
            const error = leavesOnlyItsResult(() => thrownBy(() => call(failing, y0, { method, ...steps })));
            expect(error).to.equal(boom);
          }
        }
      });

      it(`${name}: func returns something else at its n-th call`, () => {
        const wrong = [undefined, 3, null, { q: 1 }, Promise.resolve(1)];
        for (let n = 1; n <= 9; n++) {
          const failing = failingAt(oscillator, n, () => wrong[n % wrong.length]);
          const error = leavesOnlyItsResult(() => thrownBy(() => call(failing, y0, {})));
          expect(error).to.be.instanceOf(InvalidArgumentError);
        }
        const shapes = failingAt(oscillator, 4, () => ({ q: tf.zeros([2]), p: tf.zeros([1, 3]) }));
        leavesOnlyItsResult(() => thrownBy(() => call(shapes, y0, {})));
      });

      it(`${name}: a callback or the norm throws`, () => {
        const names = ['onStep', 'onAccept', 'onReject', 'onProgress', 'norm'];
        for (const option of names) {
          const options = { firstStep: 1, rtol: 1e-6, [option]: throwBoom };
          expect(
            leavesOnlyItsResult(() => tf.tidy(() => thrownBy(() => call(oscillator, y0, options)) as never)),
          ).to.equal(boom);
        }
      });

      it(`${name}: NaN, a pole, too many steps, an abort, a wrong option`, () => {
        const nan = failingAt(oscillator, 4, () => ({ q: tf.fill([1, 3], NaN), p: tf.zeros([1, 3]) }));
        const once = leavesOnlyItsResult(() => call(nan, y0, {})); // one NaN costs a step, no more
        tf.dispose(tensorsIn(once));
        const nowhere: Field = (t, { q, p }) => ({
          q: tf.log(tf.sub(0.5, t)).add(tf.mul(0, p)),
          p: tf.neg(q),
        });
        const pole: Field = (_t, { q, p }) => ({ q: tf.square(q), p });
        const failures: [Field, TensorOptions<Pair>, new (message: string) => Error][] = [
          [nowhere, {}, NonFiniteStateError],
          [nowhere, { stepSize: 0.1 }, NonFiniteStateError],
          [pole, {}, StepUnderflowError],
          [oscillator, { maxNumSteps: 2 }, MaxStepsError],
          [oscillator, { method: 'rk4', stepSize: 0.01, maxNumSteps: 5 }, MaxStepsError],
          [oscillator, { signal: AbortSignal.abort() }, AbortedError],
          [oscillator, { method: 'nope' as never }, InvalidArgumentError],
          [oscillator, { rtol: -1 }, InvalidArgumentError],
        ];
        for (const [field, options, kind] of failures) {
          const error = leavesOnlyItsResult(() => thrownBy(() => call(field, y0, options)));
          expect(error).to.be.instanceOf(kind);
        }
      });

      it(`${name}: abort from a callback`, () => {
        const controller = new AbortController();
        const options = { signal: controller.signal, maxStep: 0.1, onAccept: () => controller.abort() };
        const error = leavesOnlyItsResult(() => thrownBy(() => call(oscillator, y0, options)));
        expect(error).to.be.instanceOf(AbortedError);
      });
    }

    for (const [name, call] of Object.entries(asyncEntries)) {
      it(`${name}: func throws at its n-th call, n = 1..15`, async () => {
        for (let n = 1; n <= 15; n++) {
          const failing = failingAt(oscillator, n, throwBoom);
          const error = await leavesOnlyItsResultAsync(() =>
            rejectionOf(call(failing, y0, { maxStep: 0.3 })),
          );
          expect(error).to.equal(boom);
        }
      });

      it(`${name}: abort between two reads`, async () => {
        const controller = new AbortController();
        const field: Field = (t, y) => {
          queueMicrotask(() => controller.abort());
          return oscillator(t, y);
        };
        const options = { signal: controller.signal, maxStep: 0.01 };
        const error = await leavesOnlyItsResultAsync(() => rejectionOf(call(field, y0, options)));
        expect(error).to.be.instanceOf(AbortedError);
      });
    }

    it('solve with throwOnFailure: false leaves the partial result', () => {
      const pole: Field = (_t, { q, p }) => ({ q: tf.square(q), p });
      for (const options of [
        {},
        { stepSize: 0.05 },
        { maxNumSteps: 3 },
        { method: 'rk4', maxNumSteps: 2 },
      ] as const) {
        const { y } = leavesOnlyItsResult(() =>
          solve(pole, y0, [0, 0.1, 0.2, 2], { ...options, throwOnFailure: false }),
        );
        tf.dispose(tensorsIn(y));
      }
    });
  });

  describe('iterators', () => {
    const open = { t0: 0, maxStep: 0.1 };

    it('abandoned before the first next()', () => {
      leavesOnlyItsResult(() => void iterate(oscillator, y0, open));
      leavesOnlyItsResult(() => void iterate(oscillator, y0, open).return());
      leavesOnlyItsResult(() => iterate(oscillator, y0, open)[Symbol.dispose]());
    });

    it('left after n steps by return(), twice, by throw(), by dispose, by break, by an exception', () => {
      for (let n = 1; n <= 4; n++) {
        const walk = () => {
          const iterator = iterate(oscillator, y0, open);
          for (let i = 0; i < n; i++) iterator.next();
          return iterator;
        };
        leavesOnlyItsResult(() => {
          const iterator = walk();
          iterator.return();
          iterator.return();
          expect(iterator.next().done).to.equal(true);
        });
        expect(leavesOnlyItsResult(() => thrownBy(() => walk().throw(boom)))).to.equal(boom);
        leavesOnlyItsResult(() => walk()[Symbol.dispose]());
        leavesOnlyItsResult(() => {
          let steps = 0;
          for (const _step of iterate(oscillator, y0, open)) if (++steps === n) break;
        });
        const error = leavesOnlyItsResult(() =>
          thrownBy(() => {
            for (const _step of iterate(oscillator, y0, open)) throw boom;
          }),
        );
        expect(error).to.equal(boom);
      }
    });

    it('survive a tf.tidy of the consumer around next()', () => {
      const exact = (t: number) => Math.cos(t) + 0.5 * Math.sin(t);
      for (const method of ['dopri5', 'dopri8', 'adaptive_heun'] as const) {
        leavesOnlyItsResult(() => {
          const iterator = iterate(oscillator, y0, { t0: 0, t1: 1, method });
          let next!: ReturnType<typeof iterator.next>;
          const advance = () => {
            next = iterator.next();
            if (!next.done) next.value.interpolate(next.value.t); // belongs to the tidy
          };
          for (tf.tidy(advance); !next.done; tf.tidy(advance)) {
            const { t, y } = next.value;
            expect(y.q.dataSync()[0]).to.be.closeTo(exact(t), 1e-4);
          }
        });
      }
    });

    it('lend y until the next step, and keep() gives it away', () => {
      const iterator = iterate(oscillator, y0, open);
      const first = iterator.next().value!;
      const kept = leavesOnlyItsResult(() => first.keep());
      const before = Array.from(kept.q.dataSync());
      expect(Array.from(first.y.q.dataSync())).to.deep.equal(before);
      iterator.next();
      expect(() => first.keep()).to.throw(InvalidArgumentError, 'before the next step');
      expect(() => first.interpolate(0.01)).to.throw(InvalidArgumentError, 'before the next step');
      iterator.return();
      expect(Array.from(kept.q.dataSync())).to.deep.equal(before);
      tf.dispose(tensorsIn(kept));
    });

    it('async: abandoned, left after n steps, broken off', async () => {
      await leavesOnlyItsResultAsync(async () => void iterateAsync(oscillator, y0, open));
      await leavesOnlyItsResultAsync(async () => void (await iterateAsync(oscillator, y0, open).return()));
      for (let n = 1; n <= 4; n++) {
        await leavesOnlyItsResultAsync(async () => {
          const iterator = iterateAsync(oscillator, y0, open);
          for (let i = 0; i < n; i++) await iterator.next();
          await iterator.return();
          await iterator.return();
        });
        await leavesOnlyItsResultAsync(async () => {
          let steps = 0;
          for await (const _step of iterateAsync(oscillator, y0, open)) if (++steps === n) break;
        });
        await leavesOnlyItsResultAsync(async () => {
          const iterator = iterateAsync(oscillator, y0, open);
          for (let i = 0; i < n; i++) await iterator.next();
          const pending = iterator.next();
          await iterator.return(); // queued behind the step that is under way
          await pending;
        });
      }
    });

    it('keep no engine scope open while the caller has the turn', async () => {
      const { scopes, gradientDepth, kernelDepth } = engineState();
      const expectClosed = () => expect(engineState()).to.include({ scopes, gradientDepth, kernelDepth });
      for (const step of iterate(oscillator, y0, { ...open, t1: 0.5 })) {
        expectClosed();
        expect(step.t).to.be.above(0);
      }
      for await (const step of iterateAsync(oscillator, y0, { ...open, t1: 0.5 })) {
        expectClosed();
        expect(step.t).to.be.above(0);
      }
      let turns = 0;
      const timer = setInterval(() => {
        turns++;
        expectClosed();
      });
      const ys = await odeintAsync(oscillator, y0, [0, 1], { maxStep: 0.002 });
      clearInterval(timer);
      expect(turns).to.be.above(0);
      tf.dispose(tensorsIn(ys));
    });

    it("belongs to the loop: what the consumer makes between two steps stays the consumer's", async () => {
      const made: tf.Tensor[] = [];
      for (const { y } of iterate(oscillator, y0, { ...open, t1: 0.5 })) made.push(tf.add(y.q, y.p));
      for await (const { y } of iterateAsync(oscillator, y0, { ...open, t1: 0.5 }))
        made.push(tf.add(y.q, y.p));
      await odeintAsync(oscillator, y0, [0, 0.5], { onAccept: ({ y }) => made.push(tf.neg(y.q)) }).then(
        ({ q, p }) => tf.dispose([q, p]),
      );
      for (const tensor of made) expect(tensor.dataSync().every(Number.isFinite)).to.equal(true);
      tf.dispose(made);
    });
  });

  describe('dense output', () => {
    it('is freed by dispose(), also twice; values stay', () => {
      for (const method of kinds) {
        const before = engineState();
        const dense = odeintDense(oscillator, y0, 0, 1, { method });
        const value = leavesOnlyItsResult(() => dense.evaluate([0, 0.25, 1]));
        leavesOnlyItsResult(() => thrownBy(() => dense.evaluate([0.5, 2])));
        dense.dispose();
        dense.dispose();
        expect(() => dense.evaluate(0.5)).to.throw(InvalidArgumentError, 'disposed');
        expect(value.q.shape).to.deep.equal([3, 1, 3]);
        tf.dispose(tensorsIn(value));
        expect(engineState()).to.deep.equal(before);
      }
    });

    it('survives the tidy it was made in', () => {
      const before = engineState();
      let dense!: DenseSolution<Pair, Pair>;
      tf.tidy(() => {
        dense = odeintDense(oscillator, y0, 0, 1);
      });
      const value = dense.evaluate(Math.PI / 6);
      expect(value.q.dataSync()[0]).to.be.closeTo(Math.cos(Math.PI / 6) + 0.25, 1e-5);
      dense.dispose();
      tf.dispose(tensorsIn(value));
      expect(engineState()).to.deep.equal(before);
    });
  });

  describe('under the tape', () => {
    const loss = (field: Field, options: object) => (q: tf.Tensor, p: tf.Tensor) => {
      const ys = odeint(field, { q, p }, [0, 0.5, 1], options);
      return tf.sum(tf.add(ys.q, tf.square(ys.p)));
    };

    it('a gradient leaves gradients and nothing else', () => {
      for (const method of kinds) {
        const grads = leavesOnlyItsResult(() => tf.grads(loss(oscillator, { method }))([y0.q, y0.p]));
        tf.dispose(grads);
      }
    });

    it('func throws at its n-th call, n = 1..15', () => {
      for (const method of ['dopri5', 'adaptive_heun']) {
        for (let n = 1; n <= 15; n++) {
          const error = leavesOnlyItsResult(() =>
            thrownBy(() => tf.grads(loss(failingAt(oscillator, n, throwBoom), { method }))([y0.q, y0.p])),
          );
          expect(error).to.equal(boom);
        }
      }
    });

    it('a solve that fails under the tape does not spoil the next gradient', () => {
      thrownBy(() => tf.grads(loss(oscillator, { maxNumSteps: 2 }))([y0.q, y0.p]));
      const [toQ] = tf.grads(loss(() => ({ q: tf.zeros([1, 3]), p: tf.zeros([1, 3]) }), {}))([y0.q, y0.p]);
      expect(Array.from(toQ.dataSync())).to.deep.equal([3, 3, 3]);
      toQ.dispose();
    });
  });

  it('random programs leave their results only', () => {
    fc.assert(fc.property(program, runProgram), {
      numRuns: Number(process.env.FUZZ_RUNS ?? 150),
      seed: Number(process.env.FUZZ_SEED ?? 4),
    });
  });
}

/** A random tree of shapes, method, options, entry point, and a call of func that fails (0: none). */
interface Program {
  tree: Shapes;
  method: MethodName;
  stepSize: number | undefined;
  entry: 'odeint' | 'solve' | 'iterate' | 'odeintDense';
  failAt: number;
  failure: 'throws' | 'NaN' | 'wrong shape' | 'aborts';
  times: number[];
  tidied: boolean;
  callbacks: boolean;
}
type Shapes = number[] | { items: Shapes[] } | { record: Record<string, Shapes> };

const shape = fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 4 });
const { tree } = fc.letrec<{ tree: Shapes }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 2 },
    shape,
    fc.record({ items: fc.array(tie('tree'), { minLength: 1, maxLength: 3 }) }),
    fc.record({
      record: fc.dictionary(fc.stringMatching(/^[a-c]$/), tie('tree'), { minKeys: 1, maxKeys: 3 }),
    }),
  ),
}));
const program: fc.Arbitrary<Program> = fc.record({
  tree,
  method: fc.constantFrom(...generalMethods),
  stepSize: fc.option(fc.constantFrom(0.1, 0.37, 2), { nil: undefined }),
  entry: fc.constantFrom('odeint', 'solve', 'iterate', 'odeintDense'),
  failAt: fc.integer({ min: 0, max: 25 }),
  failure: fc.constantFrom('throws', 'NaN', 'wrong shape', 'aborts'),
  times: fc.uniqueArray(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 5 }),
  tidied: fc.boolean(),
  callbacks: fc.boolean(),
});

function build(shapes: Shapes): TensorTree {
  if (Array.isArray(shapes)) return tf.fill(shapes, 0.5);
  if ('items' in shapes) return shapes.items.map(build);
  return Object.fromEntries(Object.entries(shapes.record).map(([key, below]) => [key, build(below)]));
}

function mapTree(node: unknown, change: (leaf: tf.Tensor) => unknown): unknown {
  if (node instanceof tf.Tensor) return change(node);
  if (Array.isArray(node)) return node.map((item) => mapTree(item, change));
  const entries = Object.entries(node as object);
  return Object.fromEntries(entries.map(([key, value]) => [key, mapTree(value, change)]));
}

function runProgram({
  tree,
  method,
  stepSize,
  entry,
  failAt,
  failure,
  tidied,
  callbacks,
  ...rest
}: Program): void {
  const y0 = build(tree);
  const controller = new AbortController();
  let calls = 0;
  const func = (t: tf.Scalar, y: unknown): unknown => {
    const fails = ++calls === failAt;
    if (fails && failure === 'throws') throwBoom();
    if (fails && failure === 'aborts') controller.abort();
    return mapTree(y, (leaf) => {
      if (fails && failure === 'NaN') return tf.mul(leaf, NaN);
      if (fails && failure === 'wrong shape') return tf.zeros([7]);
      return leaf.rank % 2 === 0 ? leaf : tf.sub(t, leaf);
    });
  };
  const seen = ({ y }: { y: TensorTree }) =>
    expect(tensorsIn(y).some((leaf) => leaf.isDisposed)).to.equal(false);
  const options = {
    method,
    stepSize,
    rtol: 1e-3,
    atol: 1e-3,
    signal: controller.signal,
    ...(callbacks ? { onStep: seen, onAccept: seen, onReject: seen } : {}),
  };
  const times = [0, ...rest.times.sort((a, b) => a - b).map((n) => n / 10)];
  const end = times[times.length - 1];
  const call = (): unknown => {
    if (entry === 'odeint') return odeint(func as never, y0, times, options);
    if (entry === 'solve') return solve(func as never, y0, times, { ...options, throwOnFailure: false }).y;
    if (entry === 'iterate') {
      for (const step of iterate(func as never, y0, { ...options, t0: 0, t1: end })) {
        if (step.stats.accepted === 3) return step.keep();
        tf.dispose(tensorsIn(step.interpolate(step.t - step.h / 2)));
      }
      return [];
    }
    const dense = odeintDense(func as never, y0, 0, end, options);
    const values = dense.evaluate(times);
    dense.dispose();
    return values;
  };
  try {
    const result = leavesOnlyItsResult(() => (tidied ? tf.tidy(() => call() as tf.Tensor) : call()));
    tf.dispose(tensorsIn(result));
  } catch (error) {
    if (error === boom || error instanceof InvalidArgumentError) return;
    if ([NonFiniteStateError, StepUnderflowError, AbortedError].some((kind) => error instanceof kind)) return;
    throw error;
  } finally {
    for (const leaf of tensorsIn(y0)) {
      expect(leaf.isDisposed).to.equal(false);
      leaf.dispose();
    }
  }
}

describe('leaks', () => {
  onBackends(backendNames, testsOfLeaks);
  onStockCpu(testsOfLeaks);
});
