/**
 * Wrong input and failing solves: each throws a typed error whose text says what was received, what was expected and
 * what to do, and whose `t`, `h`, `stats` say where the solve stood.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  AbortedError,
  ButcherTableau,
  fromLayer,
  InvalidArgumentError,
  iterate,
  iterateAsync,
  MaxStepsError,
  MissingGradientError,
  NonFiniteStateError,
  odeint,
  odeintAsync,
  odeintDense,
  odeintDenseAsync,
  OdeError,
  solve,
  solveAsync,
  StepUnderflowError,
} from 'tfjs-diffeq';
import { backendNames, defaultBackend, onBackends } from './backends.js';
import { onStockCpu, rejectionOf, thrownBy } from './engine_probe.js';

type Anything = any; // eslint-disable-line @typescript-eslint/no-explicit-any -- wrong input on purpose

/** Every entry point with the arguments of `odeint`, wrong ones too. */
const sync: Record<string, (func: Anything, y0: Anything, options?: Anything) => unknown> = {
  odeint: (func, y0, options) => odeint(func, y0, [0, 1], options),
  solve: (func, y0, options) => solve(func, y0, [0, 1], options),
  odeintDense: (func, y0, options) => odeintDense(func, y0, 0, 1, options),
  iterate: (func, y0, options) => {
    for (const step of iterate(func, y0, { t0: 0, t1: 1, ...options })) void step;
  },
};
const async: Record<string, (func: Anything, y0: Anything, options?: Anything) => Promise<unknown>> = {
  odeintAsync: (func, y0, options) => odeintAsync(func, y0, [0, 1], options),
  solveAsync: (func, y0, options) => solveAsync(func, y0, [0, 1], options),
  odeintDenseAsync: (func, y0, options) => odeintDenseAsync(func, y0, 0, 1, options),
  iterateAsync: async (func, y0, options) => {
    for await (const step of iterateAsync(func, y0, { t0: 0, t1: 1, ...options })) void step;
  },
};

type Kind = new (...args: never[]) => OdeError;

function expectError(error: unknown, kind: Kind, fragments: readonly string[]): OdeError {
  expect(error).to.be.instanceOf(kind);
  expect(error).to.be.instanceOf(OdeError);
  const { message } = error as OdeError;
  for (const fragment of fragments) expect(message).to.include(fragment);
  return error as OdeError;
}

/** The call throws an `InvalidArgumentError` that contains these fragments. */
function refuses(call: () => unknown, ...fragments: string[]): void {
  expectError(thrownBy(call), InvalidArgumentError, fragments);
}

/** Every entry point, sync and async, refuses these arguments alike. */
async function allRefuse(
  func: Anything,
  y0: Anything,
  options: Anything,
  ...fragments: string[]
): Promise<void> {
  for (const call of Object.values(sync)) refuses(() => call(func, y0, options), ...fragments);
  for (const call of Object.values(async)) {
    expectError(await rejectionOf(call(func, y0, options)), InvalidArgumentError, fragments);
  }
}

const decay = (_t: number, y: Float64Array): number[] => Array.from(y, (x) => -x);
const decayT = (_t: tf.Scalar, y: tf.Tensor): tf.Tensor => tf.neg(y);

describe('input', () => {
  beforeEach(() => tf.engine().startScope('test'));
  afterEach(() => tf.engine().endScope());

  describe('y0', () => {
    const cases: [string, () => unknown, ...string[]][] = [
      ['a string', () => 'abc', "y0 is the string 'abc'", 'expected a float32 tensor', 'number[]'],
      ['a number', () => 3, 'y0 is number 3', 'expected a float32 tensor', 'Wrap numbers with tf.tensor'],
      ['null', () => null, 'y0 is null', 'expected a float32 tensor'],
      ['undefined', () => undefined, 'y0 is undefined', 'expected a float32 tensor'],
      ['a function', () => decay, "y0 is a function 'decay'", 'expected a float32 tensor'],
      ['a promise', () => Promise.resolve([1]), 'y0 is a promise'],
      ['a Date', () => new Date(0), 'y0 is a Date', 'expected a float32 tensor'],
      ['an empty array', () => [], 'y0 is empty', 'at least one number'],
      ['an empty record', () => ({}), 'y0 holds no tensors', 'at least one'],
      ['an empty Float64Array', () => new Float64Array(0), 'y0 is empty'],
      ['strings', () => ['a', 'b'], "y0[0] is the string 'a'", 'expected a number'],
      ['numbers as strings', () => [1, '2'], "y0[1] is the string '2'", 'expected a number'],
      ['null among numbers', () => [1, null], 'y0[1] is null', 'expected a number'],
      ['NaN', () => [1, NaN], 'y0[1] is NaN', 'finite'],
      ['infinity', () => [-Infinity], 'y0[0] is -Infinity', 'finite'],
      ['booleans', () => [true], 'y0[0] is boolean true', 'expected a number'],
      [
        'a Float32Array',
        () => new Float32Array(2),
        'y0 is a Float32Array of length 2',
        'Float64Array.from(y0)',
      ],
      ['an Int32Array', () => new Int32Array(2), 'y0 is a Int32Array of length 2', 'Float64Array.from(y0)'],
      ['nested numbers', () => [[1, 2], [3]], 'y0[0][0] is number 1', 'tf.tensor'],
      ['numbers in a record', () => ({ x: 1, y: 2 }), 'y0.x is number 1', 'tf.tensor'],
      ['numbers and tensors', () => [1, tf.scalar(2)], 'y0[1] is a float32 tensor', 'expected a number'],
      [
        'a tensor of strings',
        () => tf.tensor(['a']),
        'y0 is a string tensor of shape [1]',
        'expected float32',
        'numbers',
      ],
      [
        'an int32 tensor',
        () => tf.tensor1d([1, 2], 'int32'),
        'y0 is a int32 tensor',
        "tf.cast(y0, 'float32')",
      ],
      [
        'a bool tensor',
        () => tf.tensor1d([true], 'bool'),
        'y0 is a bool tensor',
        'expected float32',
        'tf.cast',
      ],
      [
        'mixed dtypes',
        () => [tf.scalar(1), { b: tf.scalar(1, 'int32') }],
        'y0[1].b is a int32 tensor',
        'float32',
      ],
      ['an empty tensor', () => tf.zeros([2, 0]), 'y0 is empty', '[2, 0]'],
      ['one empty leaf', () => ({ a: tf.scalar(1), b: tf.zeros([0]) }), 'y0.b is empty'],
      [
        'a disposed tensor',
        () => {
          const gone = tf.scalar(1);
          gone.dispose();
          return gone;
        },
        'y0 is disposed',
        'alive',
      ],
    ];
    for (const [name, y0, ...fragments] of cases) {
      it(`${name} is refused`, () => allRefuse(decay, y0(), {}, ...fragments));
    }

    const complex = defaultBackend === 'wasm' ? it.skip : it;
    complex(
      `a complex64 tensor is refused${defaultBackend === 'wasm' ? ' (skipped: wasm has none)' : ''}`,
      () => allRefuse(decay, tf.complex([1], [2]), {}, 'y0 is a complex64 tensor', 'tf.real and tf.imag'),
    );

    for (const [name, values] of Object.entries({ NaN: [1, NaN], infinity: [Infinity, 0] })) {
      it(`${name} in a tensor is refused, with adaptive and fixed steps and for one output time`, async () => {
        const y0 = tf.tensor1d(values);
        for (const options of [{}, { method: 'bosh3' }, { method: 'rk4' }, { stepSize: 0.25 }] as const) {
          refuses(() => odeint(decayT, y0, [0, 0.5, 1], options), 'y0 contains NaN or infinite values');
          refuses(() => odeint(decayT, y0, [0], options), 'y0 contains NaN or infinite values');
        }
        const error = await rejectionOf(odeintAsync(decayT, y0, [0, 1]));
        expectError(error, InvalidArgumentError, ['y0 contains NaN']);
      });
    }
  });

  describe('func', () => {
    it('must be a function', async () => {
      await allRefuse(undefined, [1], {}, 'func is undefined', 'expected a function (t, y) => dy');
      await allRefuse('y', [1], {}, "func is the string 'y'", 'first argument');
      await allRefuse(tf.layers.dense({ units: 1 }), tf.ones([1, 1]), {}, 'fromLayer(model)');
      await allRefuse([1], decay, {}, 'func is an array of 1 [1]');
    });

    const state = (): tf.Tensor => tf.ones([2]);
    const record = (): object => ({ q: tf.ones([2]), p: [tf.scalar(1)] });
    const cases: [string, () => unknown, Anything, ...string[]][] = [
      ['nothing', () => [1], () => {}, 'func returned undefined', 'expected 1 numbers', 'inPlace: true'],
      ['nothing (tensor)', state, () => {}, 'func returned undefined as dy', 'shape [2]', 'return statement'],
      ['nothing (record)', record, () => {}, 'dy is undefined', 'keys of y0 {q, p}', 'return statement'],
      ['null', () => [1], () => null, 'func returned null', 'expected 1 numbers'],
      ['null (tensor)', state, () => null, 'func returned null as dy'],
      ['a promise', () => [1], async () => [1], 'func returned a promise', 'not an async one'],
      [
        'a promise (tensor)',
        state,
        async (_t: unknown, y: unknown) => y,
        'func returned a promise',
        'not an async one',
      ],
      [
        'a promise (record)',
        record,
        async (_t: unknown, y: unknown) => y,
        'dy is a promise',
        'not an async one',
      ],
      ['a number', () => [1], () => 1, 'func returned number 1', 'expected 1 numbers'],
      [
        'a number (tensor)',
        () => tf.scalar(1),
        () => 1,
        'func returned number 1 as dy',
        'float32 tensor of shape []',
      ],
      ['too few numbers', () => [1, 2], () => [1], 'func returned an array of 1 [1]', 'expected 2 numbers'],
      [
        'too many numbers',
        () => [1],
        () => [1, 2],
        'func returned an array of 2 [1, 2]',
        'expected 1 numbers',
      ],
      [
        'a tensor for numbers',
        () => [1],
        () => tf.scalar(1),
        'func returned a float32 tensor',
        'expected 1 numbers',
      ],
      ['numbers for a tensor', state, () => [1, 2], 'func returned an array of 2 [1, 2] as dy', 'shape [2]'],
      ['another shape', state, () => tf.ones([2, 1]), 'tensor of shape [2, 1] as dy', 'of shape [2].'],
      ['a broadcastable shape', state, () => tf.scalar(1), 'tensor of shape [] as dy', 'of shape [2].'],
      ['another dtype', state, () => tf.ones([2], 'int32'), 'a int32 tensor of shape [2] as dy', 'float32'],
      [
        'an array for a tensor',
        state,
        (_t: unknown, y: unknown) => [y],
        'func returned an array of 1',
        'as dy',
      ],
      [
        'a tensor for a record',
        record,
        () => tf.ones([2]),
        'dy is a float32 tensor of shape [2]',
        'keys of y0 {q, p}',
      ],
      ['a record without a key', record, () => ({ q: tf.ones([2]) }), 'with keys {q}', 'keys of y0 {q, p}'],
      [
        'a record with a further key',
        record,
        (_t: unknown, y: object) => ({ ...y, r: tf.scalar(1) }),
        'with keys {q, p, r}',
        'keys of y0 {q, p}',
      ],
      [
        'a shorter array inside',
        record,
        () => ({ q: tf.ones([2]), p: [] }),
        'dy.p is an array of 0 []',
        'expected an array of 1',
      ],
      [
        'another shape inside',
        record,
        () => ({ q: tf.ones([2]), p: [tf.ones([3])] }),
        'tensor of shape [3] as dy.p[0]',
        'of shape [].',
      ],
      [
        'a disposed tensor',
        state,
        (_t: unknown, y: tf.Tensor) => {
          const dy = tf.neg(y);
          dy.dispose();
          return dy;
        },
        'as dy',
        'disposed',
      ],
    ];
    for (const [name, y0, func, ...fragments] of cases) {
      it(`returning ${name} is refused`, () => allRefuse(func, y0(), {}, ...fragments));
    }

    it('returning something else only later is refused then', () => {
      for (let n = 2; n <= 9; n++) {
        let calls = 0;
        refuses(
          () => odeint((_t, y) => (++calls < n ? [-y[0]] : []), [1], [0, 1]),
          'func returned an array of 0 []',
        );
        expect(calls).to.equal(n);
      }
    });

    it('with inPlace: true may return nothing, and must write every element', () => {
      const inPlace = { inPlace: true } as Anything;
      refuses(
        () => odeint(decay, [1], [0, 1], inPlace),
        'func returned an array of 1',
        '(t, y, dy, args)',
        'nothing',
      );
      const forgets = (_t: number, _y: Float64Array, dy: Float64Array) => void (dy[0] = 1);
      const error = thrownBy(() => odeint(forgets as Anything, [1, 2], [0, 1], inPlace));
      expectError(error, NonFiniteStateError, ['at the start', 't = 0']);
      refuses(
        () => odeint(decayT, tf.scalar(1), [0, 1], inPlace),
        'inPlace needs plain numbers',
        'immutable',
      );
      refuses(
        () => odeint(decay, [1], [0, 1], { inPlace: 1 } as Anything),
        'inPlace is number 1',
        'true or false',
      );
    });

    for (const [name, value] of Object.entries({ NaN, Infinity: Infinity })) {
      it(`returning ${name} at the start is told apart from ${name} later`, () => {
        for (const call of Object.values(sync)) {
          const start = thrownBy(() => call(() => [value], [1]));
          const { t, h, stats } = expectError(start, NonFiniteStateError, [
            'at the start',
            't = 0',
            'division by zero',
          ]);
          expect([t, h, stats?.nfe]).to.deep.equal([0, 0, 1]);
          const tensor = thrownBy(() => call(() => tf.fill([2], value), tf.ones([2])));
          expectError(tensor, NonFiniteStateError, ['at the start', 't = 0']);
        }
        const later = thrownBy(() => odeint((t) => [t > 0.5 ? value : 1], [0], [0, 1]));
        const { t, h, stats } = expectError(later, NonFiniteStateError, [
          'however small the step',
          'Check func',
        ]);
        expect(t).to.be.closeTo(0.5, 1e-9);
        expect(h).to.be.within(0, 1e-12);
        expect(stats!.steps).to.equal(stats!.accepted + stats!.rejected);
        const laterT = thrownBy(() =>
          odeint(
            (time, y: tf.Tensor) => tf.where(tf.greater(time, 0.5), tf.fill([2], value), tf.onesLike(y)),
            tf.ones([2]),
            [0, 1],
          ),
        );
        expect(expectError(laterT, NonFiniteStateError, ['however small the step']).t).to.be.closeTo(
          0.5,
          1e-6,
        );
      });
    }

    it('strings instead of numbers count as NaN', () => {
      expectError(
        thrownBy(() => odeint(() => ['a'] as Anything, [1], [0, 1])),
        NonFiniteStateError,
        ['NaN'],
      );
    });

    it('throwing an error of its own: it comes through as it is', async () => {
      class MyError extends Error {}
      for (const n of [1, 2, 5, 11]) {
        const mine = new MyError('mine');
        const failing = (f: Anything) => {
          let calls = 0;
          return (...args: unknown[]) => {
            if (++calls === n) throw mine;
            return f(...args);
          };
        };
        const small = { maxStep: 0.2 };
        for (const call of Object.values(sync)) {
          expect(thrownBy(() => call(failing(decay), [1], small))).to.equal(mine);
          expect(thrownBy(() => call(failing(decayT), tf.ones([2]), small))).to.equal(mine);
        }
        for (const call of Object.values(async)) {
          expect(await rejectionOf(call(failing(decayT), tf.ones([2]), small))).to.equal(mine);
        }
        expect(
          thrownBy(() => solve(failing(decay), [1], [0, 1], { ...small, throwOnFailure: false })),
        ).to.equal(mine);
      }
    });

    it('a model that has no apply is refused by fromLayer', () => {
      refuses(() => fromLayer({} as Anything), 'fromLayer received', 'apply()');
      refuses(() => fromLayer(undefined as Anything), 'fromLayer received undefined');
    });
  });

  describe('t', () => {
    const cases: [string, () => unknown, ...string[]][] = [
      ['unsorted', () => [0, 2, 1], 't turns round at t[2] = 1, after 2', 'Sort them'],
      ['turning round backwards', () => [2, 1, 1.5], 't turns round at t[2] = 1.5', 'strictly'],
      ['repeated', () => [0, 1, 1], 't[1] and t[2] are both 1', 'remove the repeated time'],
      ['all the same', () => [1, 1], 't[0] and t[1] are both 1'],
      ['NaN', () => [0, NaN], 't[1] is number NaN', 'finite'],
      ['infinite', () => [0, Infinity], 't[1] is number Infinity', 'finite'],
      ['a number', () => 1, 't is number 1', 'expected the output times', '[0, 1]'],
      ['undefined', () => undefined, 't is undefined', 'expected the output times'],
      ['null', () => null, 't is null', 'expected the output times'],
      ['empty', () => [], 't is empty', 'at least one time'],
      ['a string', () => 'now', "t is the string 'now'", 'expected the output times'],
      ['strings', () => ['0', '1'], "t[0] is the string '0'", 'finite number'],
      ['bigints', () => [0n, 1n], 't[0] is bigint 0', 'finite number'],
      ['a record', () => ({ t0: 0, t1: 1 }), 't is a record with keys {t0, t1}', 'expected the output times'],
      ['a scalar tensor', () => tf.scalar(1), 't is a float32 tensor of shape []', '1-D'],
      ['a matrix', () => tf.tensor2d([[0, 1]]), 't is a float32 tensor of shape [1, 2]', '1-D'],
      ['a tensor of strings', () => tf.tensor1d(['a', 'b']), 't is a string tensor', '1-D float32'],
      ['an empty tensor', () => tf.tensor1d([]), 't is empty'],
      ['a tensor with NaN', () => tf.tensor1d([0, NaN]), 't[1] is number NaN'],
      ['a tensor out of order', () => tf.tensor1d([0, 2, 1]), 't turns round'],
      ['times that float32 cannot tell apart', () => tf.tensor1d([1, 1 + 1e-9]), 't[0] and t[1] are both 1'],
    ];
    for (const [name, t, ...fragments] of cases) {
      it(`${name} is refused`, async () => {
        const times = t() as Anything;
        refuses(() => odeint(decay, [1], times), ...fragments);
        refuses(() => odeint(decayT, tf.scalar(1), times), ...fragments);
        refuses(() => solve(decay, [1], times), ...fragments);
        expectError(await rejectionOf(odeintAsync(decay, [1], times)), InvalidArgumentError, fragments);
        expectError(
          await rejectionOf(solveAsync(decayT, tf.scalar(1), times)),
          InvalidArgumentError,
          fragments,
        );
      });
    }

    it('a disposed tensor is refused', () => {
      const t = tf.tensor1d([0, 1]);
      t.dispose();
      refuses(() => odeint(decay, [1], t), 't is disposed');
    });

    it('ends of iterate and odeintDense', () => {
      const wrong: Anything[] = [undefined, NaN, '0', Infinity, tf.scalar(0)];
      for (const t0 of wrong) {
        refuses(() => iterate(decay, [1], { t0, t1: 1 }), 't0');
        refuses(() => odeintDense(decay, [1], t0, 1), 't0 is', 'expected a finite number');
      }
      for (const t1 of [NaN, '1', null, 0] as Anything[])
        refuses(() => iterate(decay, [1], { t0: 0, t1 }), 't1');
      refuses(() => odeintDense(decay, [1], 0, Infinity), 't1 is number Infinity');
      refuses(() => odeintDense(decay, [1], 1, 1), 't0 and t1 are both 1');
      refuses(() => iterate(decay, [1], undefined as Anything), 't0');
    });
  });

  describe('method', () => {
    const cases: [unknown, ...string[]][] = [
      ['dopri', "unknown method 'dopri'", "did you mean 'dopri5'?", 'Known are: euler, midpoint'],
      ['Dopri5', "did you mean 'dopri5'?"],
      ['rk4_clasic', "did you mean 'rk4_classic'?"],
      ['adaptive_huen', "did you mean 'adaptive_heun'?"],
      ['heun', "did you mean 'heun"],
      ['radau', "unknown method 'radau'; known are: euler"],
      ['constructor', "unknown method 'constructor'"],
      ['', "unknown method ''"],
      [5, 'method is number 5', 'expected a name, a ButcherTableau or a Stepper'],
      [null, 'method is null', 'expected a name'],
      [{ name: 'mine', order: 1, c: [0], a: [[]], b: [1] }, 'method is a record', 'ButcherTableau'],
    ];
    for (const [method, ...fragments] of cases) {
      it(`${JSON.stringify(method)} is refused`, () => allRefuse(decay, [1], { method }, ...fragments));
    }

    it('a wrong tableau is refused when it is built', () => {
      const data = { name: 'mine', order: 2, c: [0, 1], a: [[], [1]], b: [0.5, 0.5] };
      new ButcherTableau(data);
      refuses(
        () => new ButcherTableau({ ...data, order: 3 }),
        "tableau 'mine'",
        'conditions of order 3',
        'lower order',
      );
      refuses(() => new ButcherTableau({ ...data, b: [0.5] }), 'b has 1 weights', 'expected 2');
      refuses(() => new ButcherTableau({ ...data, a: [[], [0.5]] }), 'row 1 of a adds up to 0.5', 'node 1');
      refuses(() => new ButcherTableau({ ...data, a: [[], [1, 0]] }), 'row 1 of a has 2 entries');
      refuses(() => new ButcherTableau({ ...data, c: [] }), 'c is empty');
      refuses(() => new ButcherTableau({ ...data, bEmbedded: [1, 0] }), 'embeddedOrder');
    });
  });

  describe('options', () => {
    it('of torchdiffeq are named as they are called here', () => {
      const names = {
        first_step: 'firstStep',
        min_step: 'minStep',
        max_step: 'maxStep',
        max_num_steps: 'maxNumSteps',
        step_size: 'stepSize',
        grid_constructor: 'gridConstructor',
        step_t: 'stepT',
        jump_t: 'jumpT',
      };
      for (const [theirs, ours] of Object.entries(names)) {
        refuses(
          () => odeint(decay, [1], [0, 1], { [theirs]: 1 }),
          `unknown option ${theirs}`,
          `did you mean ${ours}?`,
        );
      }
      const nested = { method: 'rk4', options: { step_size: 0.1 } };
      refuses(
        () => odeint(decay, [1], [0, 1], nested as Anything),
        'unknown option options',
        'beside method',
      );
    });

    it('that nobody reads are refused with the nearest name, or all of them', async () => {
      await allRefuse(decay, [1], { rTol: 1 }, 'unknown option rTol', 'did you mean rtol?');
      await allRefuse(decay, [1], { maxSteps: 1 }, 'unknown option maxSteps', 'did you mean maxNumSteps?');
      await allRefuse(decay, [1], { onaccept: 1 }, 'did you mean onAccept?');
      await allRefuse(decay, [1], { wibble: 1 }, 'unknown option wibble; known are: method, rtol, atol');
      refuses(() => odeint(decay, [1], [0, 1], { throwOnFailure: false } as Anything), 'option of solve');
      refuses(() => odeint(decay, [1], [0, 1], { t0: 0 } as Anything), 'unknown option t0');
    });

    it('set to undefined count as left out', () => {
      const ys = odeint(decay, [1], [0, 1], {
        rtol: undefined,
        stepSize: undefined,
        wibble: undefined,
      } as Anything);
      expect(ys[1][0]).to.be.closeTo(Math.exp(-1), 1e-7);
    });

    it('of the other kind of steps are refused with the way out', () => {
      const adaptive = {
        firstStep: 0.1,
        minStep: 0.1,
        maxStep: 1,
        safety: 0.9,
        ifactor: 5,
        dfactor: 0.5,
        norm: 'max',
      };
      for (const [name, value] of Object.entries({ ...adaptive, controller: 'pi' })) {
        const fragments = [`option ${name} has no effect on fixed steps of 'rk4'`, 'adaptive method'];
        refuses(() => odeint(decay, [1], [0, 1], { method: 'rk4', [name]: value }), ...fragments);
        const stepped = { method: 'dopri5', stepSize: 0.1, [name]: value } as const;
        refuses(
          () => odeint(decay, [1], [0, 1], stepped),
          `option ${name} has no effect`,
          'without stepSize',
        );
      }
      for (const [name, value] of Object.entries({ interp: 'linear', perturb: true })) {
        const fragments = [`option ${name} needs fixed steps, and 'dopri5' chooses its own`, 'stepSize'];
        refuses(() => odeint(decay, [1], [0, 1], { [name]: value }), ...fragments);
      }
      const both = { stepSize: 0.1, gridConstructor: () => [0, 1] };
      refuses(() => odeint(decay, [1], [0, 1], both), 'stepSize and gridConstructor are both given');
    });

    const cases: [object, ...string[]][] = [
      [{ rtol: -1e-3 }, 'rtol is number -0.001', 'not negative'],
      [{ rtol: NaN }, 'rtol is number NaN', 'not negative'],
      [{ atol: -1 }, 'atol is number -1', 'not negative'],
      [{ atol: Infinity }, 'atol is number Infinity'],
      [{ rtol: '1e-3' }, "rtol is the string '1e-3'", 'expected a number'],
      [{ rtol: 0, atol: 0 }, 'rtol and atol are both 0', 'positive'],
      [{ rtol: 1e-17 }, 'rtol 1e-17 is below the resolution of float64', 'larger rtol'],
      [{ rtol: [1e-3, 1e-3] }, 'rtol has 2 entries', 'expected 1, one for every component'],
      [{ maxNumSteps: 0 }, 'maxNumSteps is number 0', 'positive integer'],
      [{ maxNumSteps: 1.5 }, 'maxNumSteps is number 1.5', 'positive integer'],
      [{ maxNumSteps: '10' }, "maxNumSteps is the string '10'", 'positive integer'],
      [{ firstStep: 0 }, 'firstStep is number 0', 'positive number'],
      [{ firstStep: -1 }, 'firstStep is number -1', 'positive number'],
      [{ minStep: -1 }, 'minStep is number -1', 'positive number'],
      [{ maxStep: 0 }, 'maxStep is number 0', 'positive number'],
      [{ maxStep: NaN }, 'maxStep is number NaN', 'positive number'],
      [{ minStep: 2, maxStep: 1 }, 'minStep 2 is larger than maxStep 1'],
      [{ stepSize: -0.1 }, 'stepSize is number -0.1', 'positive number'],
      [{ stepSize: Infinity }, 'stepSize is number Infinity', 'positive number'],
      [{ safety: 2 }, 'safety is 2', 'up to 1'],
      [{ ifactor: 0.5 }, 'ifactor is 0.5', 'at least 1'],
      [{ dfactor: 1 }, 'dfactor is 1', 'less than 1'],
      [{ controller: 'pie' }, "unknown controller 'pie'", "did you mean 'pi'?"],
      [{ controller: { pGain: 1 } }, 'unknown gain pGain', 'pCoeff'],
      [{ controller: { pCoeff: -1 } }, 'gains add up to nothing positive'],
      [{ controller: { iCoeff: NaN } }, 'controller gain is NaN'],
      [{ controller: 3 }, 'controller is number 3'],
      [{ norm: 'l2' }, "norm is the string 'l2'", "'rms', 'max' or a function"],
      [{ norm: () => undefined }, 'norm returned undefined', 'expected a number'],
      [{ interp: 'quintic', stepSize: 0.1 }, "interp is the string 'quintic'", "'linear' or 'cubic'"],
      [{ perturb: 1, stepSize: 0.1 }, 'perturb is number 1', 'true or false'],
      [{ gridConstructor: [0, 1] }, 'gridConstructor is an array', 'expected a function'],
      [{ gridConstructor: () => 3 }, 'gridConstructor returned number 3', 'strictly ordered times'],
      [{ gridConstructor: () => [0, 0.5] }, 'gridConstructor returned', 'from t[0] = 0 to the last, 1'],
      [{ gridConstructor: () => [0, 0.6, 0.5, 1] }, 'gridConstructor returned', 'strictly ordered'],
      [{ stepT: 0.5 }, 'stepT is number 0.5', 'array of finite times'],
      [{ jumpT: [NaN] }, 'jumpT is an array of 1 [NaN]', 'array of finite times'],
      [{ jumpT: ['0.5'] }, 'jumpT is', 'array of finite times'],
      [{ onStep: 1 }, 'onStep is number 1', 'expected a function'],
      [{ onProgress: 'bar' }, "onProgress is the string 'bar'", 'expected a function'],
      [{ signal: {} }, 'signal is a record', 'controller.signal'],
      [{ signal: new AbortController() }, 'signal is a AbortController', 'controller.signal'],
    ];
    for (const [options, ...fragments] of cases) {
      const [[name, value]] = Object.entries(options) as [string, unknown][];
      const shown = typeof value === 'function' ? 'a function' : (JSON.stringify(value) ?? String(value));
      it(`${name} ${shown} is refused`, async () => {
        await allRefuse(decay, [1], options, ...fragments);
      });
    }

    it('options that are no record are refused', async () => {
      for (const call of [odeint, solve] as Anything[]) {
        refuses(() => call(decay, [1], [0, 1], null), 'options are null');
        refuses(
          () => call(decay, [1], [0, 1], 'dopri5'),
          "options are the string 'dopri5'",
          '{ rtol: 1e-6 }',
        );
        refuses(() => call(decay, [1], [0, 1], 1e-6), 'options are number');
      }
      refuses(
        () => solve(decay, [1], [0, 1], { throwOnFailure: 'no' } as Anything),
        'throwOnFailure is',
        'true or false',
      );
    });

    it("an rtol below float32's resolution names torchdiffeq's default and float64", () => {
      const fragments = [
        'rtol 1e-7 is below the resolution of float32 (1.19e-7)',
        "torchdiffeq's default of 1e-7",
        'float64',
      ];
      refuses(() => odeint(decayT, tf.ones([2]), [0, 1], { rtol: 1e-7 }), ...fragments, 'Float64Array y0');
      refuses(
        () => odeint((_t, y: tf.Tensor[]) => y, [tf.ones([2])], [0, 1], { rtol: [1e-7] }),
        ...fragments,
      );
      expect(odeint(decay, [1], [0, 1], { rtol: 1e-7 })).to.have.length(2);
      expect(odeint(decayT, tf.ones([2]), [0, 1], { rtol: 1.2e-7 }).shape).to.deep.equal([2, 2]);
      expect(odeint(decayT, tf.ones([2]), [0, 1], { rtol: 0, atol: 1e-5 }).shape).to.deep.equal([2, 2]);
    });

    it('tolerances that do not fit the tree are refused', () => {
      const y0 = { q: tf.ones([2]), p: [tf.scalar(1), tf.scalar(2)] };
      const still = (_t: tf.Scalar, y: typeof y0) => y;
      const call = (options: object) => () => odeint(still, y0, [0, 1], options);
      refuses(call({ rtol: { q: 1e-3 } }), 'rtol has the entries {q}', 'y0 {q, p}');
      refuses(call({ rtol: { q: 1e-3, x: 1e-3 } }), 'rtol has the entries {q, x}', 'y0 {q, p}');
      refuses(call({ atol: { q: 1e-3, p: [1e-3] } }), 'atol.p has the entries {0}', '{0, 1}');
      refuses(call({ atol: { q: 1e-3, p: 'x' } }), "atol.p is the string 'x'", 'not negative');
      refuses(
        call({ rtol: { q: 1e-3, p: [0, 1e-3] }, atol: { q: 1, p: [0, 1] } }),
        'rtol and atol are both 0',
      );
      expect(call({ rtol: { p: 1e-3, q: 1e-4 }, atol: { q: 1e-3, p: [1e-4, 1] } })).to.not.throw();
    });

    it('a zero in y0 with atol 0 is explained', () => {
      const fragments = ['y0 has elements that cannot be compared', 'positive atol'];
      refuses(() => odeint((_t, y) => [1 - y[0]], [0], [0, 1], { atol: 0 }), ...fragments);
      refuses(
        () => odeint((_t, y: tf.Tensor) => tf.sub(1, y), tf.zeros([2]), [0, 1], { atol: 0 }),
        ...fragments,
      );
    });

    it('a norm that returns no scalar is refused', () => {
      const wrong: Anything[] = [() => 3, () => undefined, ([leaf]: tf.Tensor[]) => leaf];
      for (const norm of wrong)
        refuses(() => odeint(decayT, tf.ones([2]), [0, 1], { norm }), 'norm returned', 'scalar');
    });
  });

  describe('aborting', () => {
    const reason = new Error('user left');

    it('before the solve', async () => {
      const signal = AbortSignal.abort(reason);
      const check = (error: unknown) => {
        const aborted = expectError(error, AbortedError, ['aborted at t = 0', 'after 0 accepted steps']);
        expect(aborted).to.include({ name: 'AbortError', cause: reason, t: 0, h: 0 });
        expect(aborted.stats).to.include({ steps: 0, nfe: 0 });
      };
      for (const call of Object.values(sync)) {
        check(thrownBy(() => call(decay, [1], { signal })));
        check(thrownBy(() => call(decayT, tf.ones([2]), { signal })));
        check(thrownBy(() => call(decay, [1], { signal, method: 'rk4' })));
      }
      for (const call of Object.values(async)) check(await rejectionOf(call(decay, [1], { signal })));
    });

    it('during the solve, from a callback', () => {
      for (const y0 of [[1], tf.ones([2])] as Anything[]) {
        for (const options of [{ maxStep: 0.1 }, { method: 'rk4', stepSize: 0.1 }] as const) {
          const controller = new AbortController();
          let accepted = 0;
          const onAccept = () => ++accepted === 3 && controller.abort(reason);
          const func = Array.isArray(y0) ? decay : decayT;
          const error = thrownBy(() =>
            odeint(func as Anything, y0, [0, 1], { ...options, onAccept, signal: controller.signal }),
          );
          const { t, h, stats } = expectError(error, AbortedError, ['after 3 accepted steps']);
          expect(t).to.be.within(0.1, 0.3000001);
          expect(h).to.be.within(0.09, 0.1100001);
          expect(stats).to.include({ accepted: 3 });
        }
      }
    });

    it('during the solve, from a timer', async () => {
      for (const y0 of [[1, 2], tf.ones([2])] as Anything[]) {
        const controller = new AbortController();
        setTimeout(() => controller.abort(), 20);
        const func = Array.isArray(y0) ? decay : decayT;
        const options = { signal: controller.signal, maxStep: 1e-6, maxNumSteps: 1e9 };
        const error = await rejectionOf(odeintAsync(func as Anything, y0, [0, 1], options));
        const { t, stats } = expectError(error, AbortedError, ['its signal was triggered']);
        expect(t).to.be.above(0);
        expect(stats!.accepted).to.be.above(0);
        expect((error as AbortedError).cause).to.include({ name: 'AbortError' });
      }
    });

    it('after the end does nothing', () => {
      const controller = new AbortController();
      const onProgress = (fraction: number) => fraction === 1 && controller.abort();
      const { status } = solve(decay, [1], [0, 1], { signal: controller.signal, onProgress });
      expect(status).to.equal('success');
    });
  });

  describe('failures of the solve', () => {
    interface Failure {
      title: string;
      plain: [Anything, number[]];
      tensor?: [Anything, () => tf.Tensor];
      t: number[];
      options: object;
      kind: Kind;
      status: string;
      fragments: string[];
      at: [number, number];
      reached: number;
    }
    const square = (_t: number, [x]: Float64Array) => [x * x];
    const squareT = (_t: tf.Scalar, y: tf.Tensor) => tf.square(y);
    const one = () => tf.ones([1]);
    const stiff = (t: number, [x]: Float64Array) => [-1e5 * (x - Math.cos(t))];
    const stiffT = (t: tf.Scalar, y: tf.Tensor) => tf.mul(-1e5, tf.sub(y, tf.cos(t)));
    const root = (_t: number, [x]: Float64Array) => [-Math.sqrt(x)];
    const rootT = (_t: tf.Scalar, y: tf.Tensor) => tf.neg(tf.sqrt(y));
    const cases: Failure[] = [
      ...['dopri5', 'tsit5', 'dopri8', 'bosh3'].map((method): Failure => ({
        title: `${method} on y' = y^2 past its pole at t = 1`,
        plain: [square, [1]],
        tensor: [squareT, one],
        t: [0, 0.5, 0.9, 2],
        options: { method },
        kind: StepUnderflowError,
        status: 'step-underflow',
        fragments: [
          'grow without bound near t = 1.0000',
          'below the resolution of t',
          'End the interval before',
        ],
        at: [0.999, 1.001],
        reached: 3,
      })),
      {
        title: "fixed steps on y' = y^2 past its pole",
        plain: [square, [1]],
        tensor: [squareT, one],
        t: [0, 0.5, 0.9, 2],
        options: { method: 'rk4', stepSize: 0.1 },
        kind: NonFiniteStateError,
        status: 'non-finite',
        fragments: ['NaN or infinite at t = ', 'fixed steps', 'smaller stepSize or an adaptive method'],
        at: [1, 2],
        reached: 3,
      },
      {
        title: 'a stiff problem that starves an explicit method',
        plain: [stiff, [1]],
        tensor: [stiffT, one],
        t: [0, 1e-3, 10],
        options: { maxNumSteps: 800 },
        kind: MaxStepsError,
        status: 'max-steps',
        fragments: ['maxNumSteps = 800', 'looks stiff', 'rate of about 1.0e+5', 'made for stiff problems'],
        at: [1e-3, 1],
        reached: 2,
      },
      {
        title: 'a problem that is only long',
        plain: [(_t: number, [x, v]: Float64Array) => [v, -x], [1, 0]],
        t: [0, 1, 1e6],
        options: { maxNumSteps: 300 },
        kind: MaxStepsError,
        status: 'max-steps',
        fragments: [
          'maxNumSteps = 300',
          'on the way to 1000000',
          'needs short steps',
          'loosen rtol and atol',
        ],
        at: [1, 100],
        reached: 2,
      },
      {
        title: 'too many fixed steps',
        plain: [decay, [1]],
        tensor: [decayT, one],
        t: [0, 1, 100],
        options: { method: 'rk4', stepSize: 0.5, maxNumSteps: 20 },
        kind: MaxStepsError,
        status: 'max-steps',
        fragments: ['maxNumSteps = 20', 'larger stepSize'],
        at: [10, 10],
        reached: 2,
      },
      {
        title: 'a square root of a negative number',
        plain: [root, [1]],
        tensor: [rootT, one],
        t: [0, 1, 3],
        options: {},
        kind: NonFiniteStateError,
        status: 'non-finite',
        fragments: ['NaN or infinite beyond t = 2.00000', 'log or sqrt of a negative number'],
        at: [2, 2.0001],
        reached: 2,
      },
      {
        title: 'a jump too high for any step',
        plain: [(t: number) => [t < 0.5 ? 0 : 1e15], [0]],
        t: [0, 0.25, 1],
        options: {},
        kind: StepUnderflowError,
        status: 'step-underflow',
        fragments: ['discontinuous or noisy', 'jumpT'],
        at: [0.49999, 0.50001],
        reached: 2,
      },
      {
        title: 'a tolerance that needs less than minStep',
        plain: [stiff, [0]],
        tensor: [stiffT, () => tf.zeros([1])],
        t: [0, 1],
        options: { minStep: 0.1 },
        kind: StepUnderflowError,
        status: 'step-underflow',
        fragments: ['below minStep = 0.1', 'Lower minStep'],
        at: [0, 0],
        reached: 1,
      },
    ];

    for (const { title, plain, tensor, t, options, kind, status, fragments, at, reached } of cases) {
      const check = (func: Anything, y0: Anything) => {
        const error = expectError(
          thrownBy(() => odeint(func, y0, t, options)),
          kind,
          fragments,
        );
        expect(error.t).to.be.within(...at);
        expect(error.h).to.be.a('number').within(0, 1);
        const { steps, accepted, rejected, nfe } = error.stats!;
        expect(steps).to.equal(accepted + rejected);
        expect(nfe).to.be.above(steps);

        const solution = solve(func, y0, t, { ...options, throwOnFailure: false }) as Anything;
        expect(solution.status).to.equal(status);
        for (const fragment of fragments) expect(solution.message).to.include(fragment);
        expect(Array.from(solution.t as number[])).to.deep.equal(t.slice(0, reached));
        return solution.y;
      };

      it(`${title}: plain numbers`, () => {
        const y: Float64Array[] = check(...plain);
        expect(y).to.have.length(reached);
        expect(y.every((state) => state.every(Number.isFinite))).to.equal(true);
      });

      if (tensor) {
        it(`${title}: tensors`, () => {
          const y: tf.Tensor = check(tensor[0], tensor[1]());
          expect(y.shape).to.deep.equal([reached, 1]);
          expect(y.dataSync().every(Number.isFinite)).to.equal(true);
        });
      }
    }

    it('backwards in time the pole is named too', () => {
      const error = thrownBy(() => odeint((_t, [x]) => [-x * x], [1], [0, -2]));
      expectError(error, StepUnderflowError, ['grow without bound near t = -1.00000']);
    });

    it('what was solved is right: half way to the pole', () => {
      const { t, y } = solve(square, [1], [0, 0.5, 0.9, 2], { throwOnFailure: false });
      t.forEach((time, i) => expect(y[i][0]).to.be.closeTo(1 / (1 - time), 1e-5));
    });

    it('an abort with throwOnFailure: false returns what was reached', () => {
      const controller = new AbortController();
      const onProgress = (fraction: number) => fraction > 0.5 && controller.abort();
      const options = { signal: controller.signal, onProgress, maxStep: 0.1, throwOnFailure: false };
      const times = [0, 0.25, 0.5, 1];
      for (const { status, t, message } of [
        solve(decay, [1], times, options),
        solve(decayT, tf.ones([1]), times, options),
      ]) {
        expect(status).to.equal('aborted');
        expect(message).to.include('its signal was triggered');
        expect(t.length).to.be.within(1, 3);
      }
    });

    it('input errors throw in spite of throwOnFailure: false', () => {
      refuses(() => solve(decay, [NaN], [0, 1], { throwOnFailure: false }), 'y0[0] is NaN');
      refuses(() => solve(() => [], [1], [0, 1], { throwOnFailure: false }), 'func returned');
    });

    it('a NaN in fixed steps is not hidden by a later failure', () => {
      const field = (t: tf.Scalar, y: tf.Tensor) => tf.div(y, tf.sub(t, 0.5));
      const options = { stepSize: 0.25, maxNumSteps: 12, method: 'euler', throwOnFailure: false } as const;
      const { status, t, y } = solve(field, tf.ones([1]), [0, 0.25, 0.75, 1, 100], options);
      expect(status).to.equal('non-finite');
      expect(Array.from(t)).to.deep.equal([0, 0.25]);
      expect(y.dataSync().every(Number.isFinite)).to.equal(true);
    });

    describe('a state that overflows while func stays finite is no success', () => {
      const test = () => {
        // 3.4e38 + 1e36 t is beyond the largest float32 from t = 0.3 on.
        const field = (_t: tf.Scalar, y: tf.Tensor) => tf.fill(y.shape, 1e36);
        for (const options of [
          { firstStep: 1, rtol: 1e-2, atol: 1e30, maxNumSteps: 30 },
          { stepSize: 0.1 },
        ]) {
          const error = thrownBy(() => odeint(field, tf.fill([2], 3.4e38), [0, 1], options));
          expect(error).to.be.instanceOf(OdeError);
          expect(error).to.not.be.instanceOf(InvalidArgumentError);
        }
      };
      onBackends(backendNames, () => it('float32', test));
      onStockCpu(() => it('float32', test));
    });

    it('a stage of the interpolant that is not finite is found', () => {
      // dopri8 evaluates func at three times for its outputs only; 0.311... of the step is one of them.
      const node = 0.3110177634953864;
      const start = { firstStep: 0.5, maxStep: 0.5, rtol: 1e-2, atol: 1e-2, method: 'dopri8' } as const;
      const plain = (t: number) => [Math.abs(t - 0.5 * node) < 1e-6 ? NaN : 1];
      const times = [0, 0.2, 0.4, 0.5, 1];
      const tensors = (t: tf.Scalar, y: tf.Tensor) => tf.fill(y.shape, plain(t.dataSync()[0])[0]);
      for (const { status, t } of [
        solve(plain, [0], times, { ...start, throwOnFailure: false }),
        solve(tensors, tf.zeros([2]), times, { ...start, throwOnFailure: false }),
      ]) {
        expect(status).to.equal('non-finite');
        expect(Array.from(t)).to.deep.equal([0]);
      }
    });
  });

  describe('gradients', () => {
    it('async entry points refuse to run under the tape at the call, and name the sync one', () => {
      const errors: unknown[] = [];
      tf.grad((y: tf.Tensor) => {
        errors.push(
          thrownBy(() => odeintAsync(decayT, y, [0, 1])),
          thrownBy(() => solveAsync(decayT, y, [0, 1])),
          thrownBy(() => odeintDenseAsync(decayT, y, 0, 1)),
          thrownBy(() => iterateAsync(decayT, y, { t0: 0 })),
        );
        return y.sum();
      })(tf.ones([2]));
      ['odeint', 'solve', 'odeintDense', 'iterate'].forEach((name, i) =>
        expectError(errors[i], MissingGradientError, [
          `${name}Async was called while a gradient`,
          `Use ${name} inside`,
        ]),
      );
    });
  });
});
