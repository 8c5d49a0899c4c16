/**
 * What somebody meets who comes from torchdiffeq, scipy or MATLAB, or is new to one of tfjs and TypeScript: messages that
 * name the remedy, and calls that work as written.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  ExplicitRungeKutta,
  fromLayer,
  InvalidArgumentError,
  MaxStepsError,
  MissingGradientError,
  NonFiniteStateError,
  odeint,
  odeintAdjoint,
  odeintAsync,
  odeintDense,
  odeintDenseAsync,
  odeintVjp,
  odeintVjpAsync,
  odeintWith,
  OdeError,
  solve,
  solveAsync,
} from 'tfjs-diffeq';
import { dopri5, rk4Classic } from 'tfjs-diffeq/solvers';

/* eslint-disable-next-line @typescript-eslint/no-explicit-any -- what the types refuse */
type Anything = any;

const decay = (_t: number, y: Float64Array): number[] => Array.from(y, (x) => -x);
const decayT = (_t: tf.Scalar, y: tf.Tensor): tf.Tensor => tf.neg(y);
const t = [0, 1];

function thrownBy(call: () => unknown): Error {
  try {
    call();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

async function rejectionOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was rejected');
}

function refuses(call: () => unknown, ...fragments: string[]): Error {
  const error = thrownBy(call);
  expect(error).to.be.instanceOf(InvalidArgumentError);
  for (const fragment of fragments) expect(error.message).to.include(fragment);
  return error;
}

const withOptions = (options: object) => () => odeint(decay, [1], t, options as Anything);

describe('a newcomer', () => {
  describe('who spells options as elsewhere', () => {
    for (const [theirs, ours] of Object.entries({
      maxSteps: 'maxNumSteps',
      max_steps: 'maxNumSteps',
      max_num_steps: 'maxNumSteps',
      max_step: 'maxStep',
      mxstep: 'maxNumSteps',
      step_size: 'stepSize',
      dt: 'stepSize',
      h0: 'firstStep',
      hmax: 'maxStep',
      reltol: 'rtol',
      abstol: 'atol',
      solver: 'method',
    })) {
      it(`${theirs} is ${ours}`, () => {
        refuses(withOptions({ [theirs]: 1 }), `unknown option ${theirs}`, `did you mean ${ours}?`);
      });
    }

    it('adjoint_params is params', () => {
      const call = (options: object) => odeintAdjoint(decayT, tf.scalar(1), t, options);
      refuses(() => call({ adjoint_params: [] }), 'did you mean params?');
      refuses(() => call({ adjoint_rtol: 1 }), 'did you mean adjointRtol?');
    });

    it('learns to which function an option belongs', () => {
      for (const name of [
        'adjointRtol',
        'adjoint_rtol',
        'adjoint_params',
        'params',
        'adjoint',
        'checkpoints',
      ]) {
        refuses(withOptions({ [name]: 1 }), `unknown option ${name}`, 'is an option of odeintAdjoint');
      }
      refuses(withOptions({ throwOnFailure: false }), 'is an option of solve');
      refuses(withOptions({ t0: 0 }), 'is an option of iterate');
    });

    it('learns that options are flat', () => {
      refuses(
        withOptions({ options: { step_size: 0.1 } }),
        'unknown option options',
        'flat',
        'stepSize: 0.1',
      );
    });

    it('is led to events, and learns that Adams methods are not there', () => {
      refuses(withOptions({ event_fn: decay }), 'did you mean eventFn?');
      refuses(withOptions({ direction: 1 }), 'goes with eventFn');
      refuses(() => solve(decay, [1], t, { eventFn: decay } as Anything), 'events: [{ eventFn }]');
      refuses(withOptions({ max_order: 4 }), 'Adams methods are not available');
    });

    it('is told all that an adaptive method takes, stepSize and gridConstructor included', () => {
      refuses(withOptions({ wibble: 1 }), 'known are: method', 'stepSize', 'gridConstructor');
      refuses(withOptions({ method: 'rk4', wibble: 1 }), 'stepSize', 'interp');
    });

    it('null options are an error of ours', async () => {
      const calls = [
        () => odeint(decay, [1], t, null as Anything),
        () => odeintWith(dopri5, decay, [1], t, null as Anything),
        () => odeintAdjoint(decayT, tf.scalar(1), t, null as Anything),
        () => odeintVjp(decay, [1], t, null as Anything),
        () => tf.grad((x) => tf.sum(odeint(decayT, x, x as Anything, null as Anything)))(tf.tensor1d([0, 1])),
      ];
      for (const call of calls) refuses(call, 'options are null');
      const later = [odeintAsync, solveAsync, odeintVjpAsync] as Anything[];
      for (const call of later) {
        const error = await rejectionOf(call(decay, [1], t, null));
        expect(error).to.be.instanceOf(InvalidArgumentError);
      }
    });
  });

  describe('who names methods as elsewhere', () => {
    for (const [theirs, ours] of Object.entries({
      RK45: 'dopri5',
      rk45: 'dopri5',
      ode45: 'dopri5',
      DP5: 'dopri5',
      RK23: 'bosh3',
      ode23: 'bosh3',
      DOP853: 'dopri8',
      dopri853: 'dopri8',
      heun: 'heun2',
      RK4: 'rk4',
    })) {
      it(`${theirs} is ${ours}`, () => {
        refuses(withOptions({ method: theirs }), `unknown method '${theirs}'`, `did you mean '${ours}'?`);
      });
    }

    it('gets no wrong suggestion where nothing here is like it', () => {
      for (const method of [
        'rkf45',
        'explicit_adams',
        'implicit_adams',
        'fixed_adams',
        'scipy_solver',
        'lsoda',
      ]) {
        const { message } = refuses(withOptions({ method }), `unknown method '${method}'; known are: euler`);
        expect(message).not.to.include('did you mean');
        if (method !== 'rkf45') expect(message).to.include('not available');
      }
    });
  });

  describe('whose func is for another kind of state', () => {
    it('Math.cos of the tensor t', () => {
      const func = (s: tf.Scalar, y: tf.Tensor) => tf.mul(y, Math.cos(s as Anything));
      const error = thrownBy(() => odeint(func, tf.ones([2]), t));
      expect(error).to.be.instanceOf(NonFiniteStateError);
      expect(error.message).to.include('tf.cos(t)');
    });

    it('(y, t) in place of (t, y)', () => {
      const error = thrownBy(() => odeint(((y: number[]) => [y[0]]) as Anything, [1], t));
      expect(error).to.be.instanceOf(NonFiniteStateError);
      expect(error.message).to.include('(t, y, args), time first');
    });

    it('tensor ops on plain numbers', () => {
      const error = refuses(() => odeint(decayT as Anything, [1], t), 'tf.tensor1d(y0)', 'must be a Tensor');
      expect((error.cause as Error).message).to.include('must be a Tensor');
      refuses(() => odeint((() => tf.ones([1])) as Anything, [1], t), 'tf.tensor1d(y0)');
    });

    it('inPlace forgotten', () => {
      const writes = (_t: number, y: Float64Array, dy: Float64Array) => void (dy[0] = -y[0]);
      const error = refuses(() => odeint(writes as Anything, [1], t), 'inPlace: true', 'args');
      expect(error.cause).to.be.instanceOf(TypeError);
    });

    it('its other errors come through as they are', () => {
      const boom = new TypeError('y.foo is not a function');
      const throws = (() => {
        throw boom;
      }) as Anything;
      expect(thrownBy(() => odeint(throws, [1], t))).to.equal(boom);
      const late = (s: number, y: Float64Array, dy: Float64Array) => (s > 0.5 ? [dy[0]] : [-y[0]]);
      expect(thrownBy(() => odeint(late as Anything, [1], t)))
        .to.be.instanceOf(TypeError)
        .and.not.instanceOf(OdeError);
    });

    it('fromLayer refuses functions, which have an apply too', () => {
      refuses(() => fromLayer(decayT as Anything), "a function 'decayT'", 'as it is');
    });
  });

  it('with a stiff problem learns that the methods are explicit', () => {
    const stiff = (s: number, [y]: Float64Array) => [-1e6 * (y - Math.cos(s))];
    const error = thrownBy(() => odeint(stiff, [0], [0, 100], { maxNumSteps: 2000 }));
    expect(error).to.be.instanceOf(MaxStepsError);
    expect(error.message).to.include('only explicit methods so far');
  });

  describe('odeintWith', () => {
    it('takes a tableau or a stepper', () => {
      const expected = odeint(decay, [1], t);
      expect(odeintWith(dopri5, decay, [1], t)).to.deep.equal(expected);
      expect(odeintWith(new ExplicitRungeKutta(dopri5), decay, [1], t)).to.deep.equal(expected);
    });

    it('refuses names, and says where the method is', () => {
      const call = (method: unknown) => () => odeintWith(method as Anything, decay, [1], t);
      refuses(call('rk4'), "the string 'rk4'", "import { rk4 } from 'tfjs-diffeq/solvers'");
      refuses(call('rk4_classic'), 'import { rk4Classic }');
      for (const method of [undefined, null, 5, {}, decay])
        refuses(call(method), 'expected a ButcherTableau');
      const twice = { method: rk4Classic } as Anything;
      refuses(() => odeintWith(dopri5, decay, [1], t, twice), 'first argument');
    });
  });

  describe('async functions', () => {
    const calls: Record<string, (y0: Anything, times: Anything) => Promise<unknown>> = {
      odeintAsync: (y0, times) => odeintAsync(decayT, y0, times),
      solveAsync: async (y0, times) => (await solveAsync(decayT, y0, times)).y,
      odeintDenseAsync: async (y0) => {
        const dense = await odeintDenseAsync(decayT, y0, 0, 1);
        const ys = dense.evaluate([0, 1]);
        dense.dispose();
        return ys;
      },
      odeintVjpAsync: async (y0, times) => {
        const { ys, dispose } = await odeintVjpAsync(decayT, y0, times);
        dispose();
        return ys;
      },
    };
    for (const [name, call] of Object.entries(calls)) {
      for (const kind of ['numbers', 'tensor']) {
        it(`${name}, t of ${kind}: y0 and t may be disposed at once, and nothing leaks`, async () => {
          const before = tf.memory().numTensors;
          const y0 = tf.tensor1d([1, 2]);
          const times = kind === 'numbers' ? t : tf.tensor1d(t);
          const promise = call(y0, times);
          y0.dispose();
          tf.dispose(times as tf.Tensor);
          const ys = (await promise) as tf.Tensor;
          expect(Array.from(ys.dataSync())[3]).to.be.closeTo(2 * Math.exp(-1), 1e-4);
          ys.dispose();
          expect(tf.memory().numTensors).to.equal(before);
        });
      }
    }

    it('y0 made in a tidy around the call', async () => {
      const before = tf.memory().numTensors;
      let promise!: Promise<tf.Tensor>;
      tf.tidy(() => {
        promise = odeintAsync(decayT, tf.ones([1]), tf.tensor1d([0, 1]));
      });
      const ys = await promise;
      expect(ys.dataSync()[1]).to.be.closeTo(Math.exp(-1), 1e-4);
      ys.dispose();
      expect(tf.memory().numTensors).to.equal(before);
    });

    it('plain y0 may be changed at once', async () => {
      for (const y0 of [[1], Float64Array.of(1)]) {
        const times = tf.tensor1d(t);
        const promise = odeintAsync(decay, y0, times);
        y0[0] = 5;
        expect((await promise)[1][0]).to.be.closeTo(Math.exp(-1), 1e-6);
        times.dispose();
      }
    });

    it('a refusal leaves nothing behind either', async () => {
      const times = tf.tensor1d(t);
      const y0 = tf.ones([2]);
      const before = tf.memory().numTensors;
      const wrong = { rtol: -1 };
      expect(await rejectionOf(odeintAsync(decayT, y0, times, wrong))).to.be.instanceOf(InvalidArgumentError);
      const backwards = tf.tensor1d([0, 1, 0]);
      await rejectionOf(solveAsync(decayT, y0, backwards));
      backwards.dispose();
      expect(tf.memory().numTensors).to.equal(before);
      tf.dispose([y0, times]);
    });

    it('throw at the call while a gradient is being taken', () => {
      const loss = (y: tf.Tensor): tf.Tensor => {
        void odeintAsync(decayT, y, t);
        return tf.sum(y);
      };
      expect(thrownBy(() => tf.grad(loss)(tf.ones([1])))).to.be.instanceOf(MissingGradientError);
    });
  });

  describe('tolerances of plain numbers, one per component', () => {
    /* Two oscillators of very different size: y = (sin, cos, 1e6 sin 3t, 1e6 cos 3t). */
    const field = (_t: number, [a, b, c, d]: Float64Array) => [b, -a, 3 * d, -3 * c];
    const y0 = [0, 1, 0, 1e6];
    const times = [0, 2, 7];
    const stats = (options: object) => solve(field, y0, times, options).stats;

    it('equal ones are the same as a number', () => {
      const expected = solve(field, y0, times, { rtol: 1e-6, atol: 1e-3 });
      for (const options of [
        { rtol: [1e-6, 1e-6, 1e-6, 1e-6], atol: 1e-3 },
        { rtol: 1e-6, atol: Float64Array.of(1e-3, 1e-3, 1e-3, 1e-3) },
      ]) {
        expect(solve(field, y0, times, options)).to.deep.equal(expected);
      }
    });

    it('each holds its own component', () => {
      const loose = [1e3, 1e3, 1e9, 1e9];
      const fast = stats({ rtol: 0, atol: loose.map((x) => x * 1e-6) });
      // The third and fourth alone ask for short steps.
      const tight = stats({ rtol: 0, atol: [1e3, 1e3, 1e-3, 1e-3] });
      const first = solve(field, y0, times, { rtol: 0, atol: [1e-9, 1e-9, 1e9, 1e9] });
      expect(tight.accepted).to.be.above(3 * fast.accepted);
      expect(first.y[2][0]).to.be.closeTo(Math.sin(7), 1e-7);
      const relative = solve(field, y0, times, { rtol: [1e-10, 1e-10, 1, 1], atol: 1e-10 });
      expect(relative.y[2][0]).to.be.closeTo(Math.sin(7), 1e-7);
    });

    it('with every norm, in dense output, and in odeintVjp', () => {
      const atol = [1e-6, 1e-6, 1, 1];
      for (const norm of ['rms', 'max', ([e]: Float64Array[]) => Math.hypot(...e)] as const) {
        const { y } = solve(field, y0, times, { rtol: 0, atol, norm });
        expect(y[2][0]).to.be.closeTo(Math.sin(7), 1e-4);
      }
      const dense = odeintDense(field, y0, 0, 7, { rtol: 0, atol });
      expect(dense.evaluate(7)[0]).to.be.closeTo(Math.sin(7), 1e-4);
      const { ys, vjp } = odeintVjp(field, y0, times, { rtol: 0, atol });
      expect(ys[2][0]).to.be.closeTo(Math.sin(7), 1e-4);
      const gradient = vjp(times.map((_, n) => Float64Array.of(n === 2 ? 1 : 0, 0, 0, 0)));
      expect(gradient.y0[1]).to.be.closeTo(Math.sin(7), 1e-4);
    });

    it('of the wrong length, sign or kind are refused', () => {
      const call = (options: object) => () => odeint(field, y0, times, options);
      refuses(call({ rtol: [1e-3] }), 'rtol has 1 entries', 'expected 4');
      refuses(call({ atol: new Float64Array(5) }), 'atol has 5 entries');
      refuses(call({ atol: [1, 1, -1, 1] }), 'atol[2] is number -1');
      refuses(call({ rtol: [1e-20, 1, 1, 1] }), 'below the resolution');
      refuses(call({ rtol: 0, atol: [1, 0, 1, 1] }), 'both 0');
      refuses(call({ rtol: { a: 1 } }), 'rtol is a record');
    });
  });
});
