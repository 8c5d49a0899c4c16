/**
 * Gradients of the time and the state of an event on tensors, through the tape and every adjoint, against closed forms
 * and sensitivity equations. Plain numbers are in event_vjp.test.ts.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  MissingGradientError,
  odeint,
  odeintAdjoint,
  odeintEvent,
  OdeError,
  type AdjointOptions,
  type EventInterface,
} from 'tfjs-diffeq';
import { onBackends } from './backends.js';
import { engineState, thrownBy } from './engine_probe.js';
import { reference, type Pair } from './event_problems.js';

type Way = EventInterface & AdjointOptions;
const ways: Record<string, Way> = {
  tape: {},
  backsolve: { odeintInterface: odeintAdjoint, adjoint: 'backsolve' },
  checkpoint: { odeintInterface: odeintAdjoint, adjoint: 'checkpoint' },
  'checkpoints: 2': { odeintInterface: odeintAdjoint, adjoint: 'checkpoint', checkpoints: 2 },
  interpolating: { odeintInterface: odeintAdjoint, adjoint: 'interpolating' },
};

/** Values and gradients of a scalar function of scalars. */
function gradientsAt(f: (...inputs: tf.Scalar[]) => tf.Tensor, at: number[]): number[] {
  return tf.tidy(() =>
    tf
      .grads((...inputs: tf.Tensor[]) => tf.reshape(f(...(inputs as tf.Scalar[])), []))(
        at.map((x) => tf.scalar(x)),
      )
      .map((gradient) => gradient.dataSync()[0]),
  );
}

function expectGradients(
  actual: readonly number[],
  expected: readonly number[],
  relative: number,
  what = '',
): void {
  const scale = Math.max(...expected.map(Math.abs));
  actual.forEach((x, i) =>
    expect(x, `${what} entry ${i} of ${actual.join(', ')}`).to.be.closeTo(expected[i], relative * scale),
  );
}

// What an adjoint is to see stands in args, or is a variable.
const falls = (_t: tf.Scalar, [, v]: Pair, { gravity }: { gravity: tf.Scalar }): Pair => [v, tf.neg(gravity)];

/* h' = v, v' = -gravity from (h0, v0) at t0 until h = level; all five are inputs. */
type Output = 'time' | 'height' | 'speed';
function projectile(way: Way, output: Output, options: object = {}) {
  return (h0: tf.Scalar, v0: tf.Scalar, gravity: tf.Scalar, level: tf.Scalar, t0: tf.Scalar): tf.Tensor => {
    const eventFn = (_t: tf.Scalar, [h]: Pair, args: { level: tf.Scalar }) => tf.sub(h, args.level);
    const more = { ...way, ...options, args: { gravity, level }, eventFn, direction: -1 as const };
    const [t, [h, v]] = odeintEvent(falls, [h0, v0] as Pair, t0, more);
    return output === 'time' ? t : tf.slice(output === 'height' ? h : v, [1], [1]);
  };
}
function exactProjectile([h0, v0, gravity, level]: number[]): Record<Output, number[]> {
  // Lands after (v0 + s) / gravity at the speed -s.
  const s = Math.sqrt(v0 ** 2 + 2 * gravity * (h0 - level));
  const flight = (v0 + s) / gravity;
  return {
    time: [1 / s, (1 + v0 / s) / gravity, -flight / gravity + (h0 - level) / (gravity * s), -1 / s, 1],
    height: [0, 0, 0, 1, 0],
    speed: [-gravity / s, -v0 / s, -(h0 - level) / s, gravity / s, 0],
  };
}

/* y' = -k y from y0 at t0 until y = c. */
function decay(way: Way, options: object = {}) {
  return (y0: tf.Scalar, k: tf.Scalar, c: tf.Scalar, t0: tf.Scalar): tf.Tensor => {
    type Args = { k: tf.Scalar; c: tf.Scalar };
    const eventFn = (_t: tf.Scalar, y: tf.Tensor, args: Args) => tf.sub(y, args.c);
    const func = (_t: tf.Scalar, y: tf.Tensor, args: Args) => tf.neg(tf.mul(args.k, y));
    const more = { ...way, rtol: 1e-6, atol: 1e-7, ...options, args: { k, c }, eventFn };
    return odeintEvent(func, y0 as tf.Tensor, t0, more)[0];
  };
}
const exactDecay = ([y0, k, c]: number[]): number[] => [
  1 / (k * y0),
  -Math.log(y0 / c) / k ** 2,
  -1 / (k * c),
  1,
];

describe('gradients of an event on tensors', () => {
  onBackends(['cpu', 'wasm', 'tensorflow'], () => {
    for (const [name, way] of Object.entries(ways)) {
      it(`of a projectile, in y0, t0, variables of func and of eventFn, to 1e-5: ${name}`, () => {
        for (const at of [
          [1, 0, 9.81, 0, 0],
          [2, 3, 9.81, -0.5, 1.5],
          [0, 4, 1.625, 0, -2],
        ]) {
          const exact = exactProjectile(at);
          for (const output of ['time', 'height', 'speed'] as const) {
            expectGradients(
              gradientsAt(projectile(way, output), at),
              exact[output],
              1e-5,
              `${output} at ${at.join()}`,
            );
          }
        }
      });

      it(`of a decay to a level, ln(y0 / c) / k, to 1e-5, in reversed time too: ${name}`, () => {
        for (const at of [
          [1, 1, 0.5, 0],
          [3, 0.7, 0.25, 2],
        ]) {
          expectGradients(gradientsAt(decay(way), at), exactDecay(at), 1e-5, at.join());
        }
        const back = [1, 0.5, 2, 1];
        expectGradients(
          gradientsAt(decay(way, { reverseTime: true }), back),
          exactDecay(back),
          1e-5,
          'reversed',
        );
      });
    }
  });

  for (const [name, way] of Object.entries(ways)) {
    it(`of Lotka-Volterra up to a level, by sensitivity equations in scipy, to 1e-4: ${name}`, () => {
      const { y0, parameters, level, t, dt, dhunter } = reference.sensitivities;
      const solved =
        (output: 'time' | 'hunter') =>
        (...inputs: tf.Scalar[]) => {
          const [x, y, a, b, c, d, top] = inputs;
          type Args = { rates: tf.Scalar[]; top: tf.Scalar };
          const func = (_t: tf.Scalar, [prey, hunter]: Pair, { rates }: Args): Pair => [
            tf.mul(tf.sub(rates[0], tf.mul(rates[1], hunter)), prey),
            tf.mul(tf.sub(tf.mul(rates[3], prey), rates[2]), hunter),
          ];
          const eventFn = (_t: tf.Scalar, [prey]: Pair, args: Args) => tf.sub(prey, args.top);
          const args = { rates: [a, b, c, d], top };
          const options = { ...way, rtol: 1e-6, atol: 1e-6, args, eventFn, direction: 1 as const };
          const [time, ys] = odeintEvent(func, [x, y] as Pair, 0, options);
          if (output === 'time') expect(time.dataSync()[0]).to.be.closeTo(t, 1e-5);
          return output === 'time' ? time : tf.slice(ys[1], [1], [1]);
        };
      const at = [...y0, ...parameters, level];
      expectGradients(gradientsAt(solved('time'), at), dt, 1e-4, 'time');
      expectGradients(gradientsAt(solved('hunter'), at), dhunter, 1e-4, 'hunter');
    });
  }

  for (const options of [
    { method: 'rk4', stepSize: 1 / 16 },
    { method: 'dopri8' },
    { method: 'reversible_heun', stepSize: 1 / 512 },
  ]) {
    it(`with other methods: ${options.method}`, () => {
      const at = [3, 0.7, 0.25, 2];
      for (const way of [ways.tape, ways.checkpoint, ways.backsolve]) {
        const { stepSize } = options;
        const steps = stepSize ? { rtol: undefined, atol: undefined } : {};
        expectGradients(gradientsAt(decay(way, { ...steps, ...options }), at), exactDecay(at), 3e-5);
      }
    });
  }

  it('reach args, and tf.Variables that only eventFn reads', () => {
    const level = tf.variable(tf.scalar(0.25));
    for (const way of Object.values(ways)) {
      const { value, grads } = tf.variableGrads(() => {
        const y0 = tf.tensor1d([3]);
        const eventFn = (_t: tf.Scalar, y: tf.Tensor) => tf.sub(y, level);
        const func = (_t: tf.Scalar, y: tf.Tensor) => tf.mul(-0.7, y);
        return odeintEvent(func, y0, 0, { ...way, rtol: 1e-6, eventFn })[0];
      });
      expect(grads[level.name].dataSync()[0]).to.be.closeTo(-1 / (0.7 * 0.25), 1e-4);
      tf.dispose([value, grads]);
      const [rate] = gradientsAt(
        (k) => {
          type Args = { k: tf.Scalar };
          const eventFn = (_t: tf.Scalar, y: tf.Tensor, args: Args) => tf.sub(y, tf.mul(0.5, args.k));
          const func = (_t: tf.Scalar, y: tf.Tensor, args: Args) => tf.neg(tf.mul(args.k, y));
          return odeintEvent(func, tf.tensor1d([3]), 0, { ...way, rtol: 1e-6, eventFn, args: { k } })[0];
        },
        [0.7],
      );
      // T = ln(3 / (k / 2)) / k.
      expect(rate).to.be.closeTo(-(Math.log(3 / 0.35) + 1) / 0.49, 2e-4);
    }
    level.dispose();
  });

  it('of a component among several, and of an eventFn of t and y', () => {
    const time = (c: tf.Scalar, y0: tf.Scalar) => {
      const eventFn = (t: tf.Scalar, y: tf.Tensor) => tf.stack([tf.add(y, 50), tf.sub(y, tf.mul(c, t))]);
      const func = (_t: tf.Scalar, y: tf.Tensor) => tf.mul(2, tf.onesLike(y));
      return odeintEvent(func, y0 as tf.Tensor, 0, { eventFn })[0];
    };
    // -3 + 2 t = c t.
    expectGradients(gradientsAt(time, [0.5, -3]), [3 / 1.5 ** 2, -1 / 1.5], 1e-5);
  });

  it('of odeint and odeintAdjoint with eventFn, called directly', () => {
    for (const call of [odeint, odeintAdjoint] as (typeof odeint)[]) {
      const time = (y0: tf.Scalar, c: tf.Scalar) => {
        const eventFn = (_t: tf.Scalar, y: tf.Tensor) => tf.sub(y, c);
        return call((_t: tf.Scalar, y: tf.Tensor) => tf.neg(y), y0 as tf.Tensor, [0, 1], {
          rtol: 1e-6,
          eventFn,
        })[0];
      };
      expectGradients(gradientsAt(time as never, [3, 0.25]), [1 / 3, -4], 1e-5);
    }
  });

  it('through ten bounces, one odeintEvent after another, in restitution, height and gravity', () => {
    for (const way of [ways.tape, ways.checkpoint, ways.backsolve]) {
      const lastBounce = (h0: tf.Scalar, e: tf.Scalar, gravity: tf.Scalar) => {
        let [t, y]: [tf.Scalar, Pair] = [tf.scalar(0), [h0, tf.scalar(0)]];
        for (let n = 0; n < 10; n++) {
          const [at, ys] = odeintEvent(falls, y, t, {
            ...way,
            args: { gravity },
            eventFn: (_t, [h]: Pair) => h,
            direction: -1,
          });
          const v = tf.reshape(tf.slice(ys[1], [1], [1]), []);
          [t, y] = [at, [tf.scalar(0), tf.neg(tf.mul(e, v))]];
        }
        return t;
      };
      const [h0, e, gravity] = [1, 0.8, 9.81];
      // T_10 = sqrt(2 h0 / g) (1 + 2 sum e^n, n = 1..9).
      const first = Math.sqrt((2 * h0) / gravity);
      const powers = Array.from({ length: 9 }, (_, i) => i + 1);
      const total = first * (1 + 2 * powers.reduce((sum, n) => sum + e ** n, 0));
      const inRestitution = 2 * first * powers.reduce((sum, n) => sum + n * e ** (n - 1), 0);
      const exact = [total / (2 * h0), inRestitution, -total / (2 * gravity)];
      expectGradients(gradientsAt(lastBounce as never, [h0, e, gravity]), exact, 1e-5);
    }
  });
});

describe('gradients of an event that have none', () => {
  /* y = offset + (t - 1)^3 crosses offset with no slope. */
  for (const offset of [0, 1]) {
    it(`a tangential crossing throws, at y = ${offset}`, () => {
      for (const way of Object.values(ways)) {
        const time = (y0: tf.Scalar) =>
          odeintEvent(
            (t: tf.Scalar, y: tf.Tensor) => tf.mul(tf.onesLike(y), tf.mul(3, tf.square(tf.sub(t, 1)))),
            y0 as tf.Tensor,
            0,
            {
              ...way,
              eventFn: (_t, y) => tf.sub(y, offset),
            },
          )[0];
        const error = thrownBy(() => gradientsAt(time as never, [offset - 1]));
        expect(error).to.be.instanceOf(OdeError);
        expect((error as OdeError).message).to.match(/without crossing/);
      }
    });
  }

  it('a crossing soon after the start is none of these', () => {
    const time = (y0: tf.Scalar) =>
      odeintEvent((_t: tf.Scalar, y: tf.Tensor) => tf.onesLike(y), y0 as tf.Tensor, 0, {
        eventFn: (_t, y) => tf.sub(y, 100),
      })[0];
    // 100 - y0 later.
    expectGradients(gradientsAt(time as never, [99.875]), [-1], 1e-5);
    expectGradients(gradientsAt(time as never, [99.9921875]), [-1], 1e-5);
  });

  it('second derivatives throw MissingGradientError', () => {
    for (const way of Object.values(ways)) {
      const y0 = tf.scalar(3);
      const time = (y: tf.Tensor) =>
        odeintEvent((_t: tf.Scalar, x: tf.Tensor) => tf.neg(x), y, 0, {
          ...way,
          eventFn: (_t, x) => tf.sub(x, 0.25),
        })[0];
      const second = tf.grad((y) => tf.sum(tf.grad(time)(y)));
      expect(thrownBy(() => tf.tidy(() => second(y0)))).to.be.instanceOf(MissingGradientError);
      y0.dispose();
    }
  });

  it('leave the engine as they found it, also where they throw', () => {
    const y0 = tf.scalar(3);
    for (const way of Object.values(ways)) {
      for (const fails of [false, true]) {
        const before = engineState();
        let calls = 0;
        const eventFn = (_t: tf.Scalar, y: tf.Tensor) => {
          if (fails && ++calls > 12) throw new RangeError('thrown by the caller');
          return tf.sub(y, 0.25);
        };
        const gradient = tf.grad(
          (y) => odeintEvent((_t: tf.Scalar, x: tf.Tensor) => tf.neg(x), y, 0, { ...way, eventFn })[0],
        );
        if (fails) expect(() => gradient(y0)).to.throw(RangeError);
        else gradient(y0).dispose();
        expect(engineState()).to.deep.equal(before);
      }
    }
    y0.dispose();
  });
});
