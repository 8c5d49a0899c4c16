/**
 * odeintHybrid on tensors: the same trajectories, memory (also where affect throws), and gradients through every jump.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  MissingGradientError,
  odeintAdjoint,
  odeintHybrid,
  odeintHybridAsync,
  type AdjointOptions,
  type EventInterface,
  type TensorEventFunc,
} from 'tfjs-diffeq';
import { onBackends } from './backends.js';
import {
  engineState,
  leavesOnlyItsResult,
  leavesOnlyItsResultAsync,
  rejectionOf,
  tensorsIn,
  thrownBy,
} from './engine_probe.js';
import {
  bounces,
  clockTensor,
  g,
  heightTensor,
  landing,
  pair,
  fallTensor,
  type Pair,
} from './event_problems.js';

type Args = Record<string, tf.Scalar>;
type Way = EventInterface & AdjointOptions;
const ways: Record<string, Way> = {
  tape: {},
  backsolve: { odeintInterface: odeintAdjoint, adjoint: 'backsolve' },
  checkpoint: { odeintInterface: odeintAdjoint, adjoint: 'checkpoint' },
  interpolating: { odeintInterface: odeintAdjoint, adjoint: 'interpolating' },
};
const accurate = { rtol: 1e-6, atol: 1e-7 } as const;

const ground = (e: number) => ({
  eventFn: heightTensor as TensorEventFunc<Pair>,
  direction: -1 as const,
  affect: (_t: tf.Scalar, [h, v]: Pair): Pair => [tf.zerosLike(h), tf.mul(-e, v)],
});
const kick = { t: 0.25, affect: (_t: tf.Scalar, [h, v]: Pair): Pair => [h, tf.add(v, 0.5)] };

function gradientsAt(f: (...inputs: tf.Scalar[]) => tf.Tensor, at: number[]): number[] {
  return tf.tidy(() =>
    tf
      .grads((...inputs: tf.Tensor[]) => tf.reshape(f(...(inputs as tf.Scalar[])), []))(
        at.map((x) => tf.scalar(x)),
      )
      .map((gradient) => gradient.dataSync()[0]),
  );
}

/** Central differences of a closed form in float64. */
function differences(f: (...at: number[]) => number, at: number[]): number[] {
  return at.map((x, i) => {
    const h = 1e-6 * Math.max(1, Math.abs(x));
    const [up, down] = [1, -1].map((sign) =>
      f(...at.map((value, j) => (j === i ? value + sign * h : value))),
    );
    return (up - down) / (2 * h);
  });
}

function expectGradients(actual: readonly number[], expected: readonly number[], relative: number): void {
  const scale = Math.max(...expected.map(Math.abs));
  actual.forEach((x, i) =>
    expect(x, `entry ${i} of ${actual.join(', ')}`).to.be.closeTo(expected[i], relative * scale),
  );
}

describe('odeintHybrid on tensors', () => {
  onBackends(['cpu', 'wasm', 'tensorflow'], () => {
    it("bounces at the closed form's times, with both sides of every jump, and the async form likewise", async () => {
      const y0 = pair(1, 0);
      const options = { ...accurate, t1: 2.5, saveAt: [0.25, 1], events: [ground(0.8)] };
      const sync = odeintHybrid(fallTensor, y0, 0, options);
      const expected = bounces(1, 0.8, 20).filter((time) => time < 2.5);
      const { t, y, events, eventTimes } = sync;
      const times = eventTimes.dataSync();
      expect(times.length).to.equal(expected.length);
      expected.forEach((time, i) => expect(times[i]).to.be.closeTo(time, 5e-6));
      expect(y.map(({ shape }) => shape)).to.deep.equal([[t.length], [t.length]]);
      const v = y[1].dataSync();
      for (const { row } of events) {
        expect(t[row]).to.equal(t[row + 1]);
        expect(v[row + 1]).to.be.closeTo(-0.8 * v[row], 1e-6);
      }
      const later = await odeintHybridAsync(fallTensor, y0, 0, options);
      expect([...later.t]).to.deep.equal([...t]);
      expect(later.events).to.deep.equal(events);
      expect([...later.y[1].dataSync()]).to.deep.equal([...v]);
      tf.dispose([...y0, ...tensorsIn(sync), ...tensorsIn(later)]);
    });

    it('doses, of trees', () => {
      tf.tidy(() => {
        const func = (_t: tf.Scalar, { body }: { body: tf.Tensor }) => ({ body: tf.neg(body) });
        const affect = (_t: tf.Scalar, { body }: { body: tf.Tensor }) => ({ body: tf.add(body, [3, 0]) });
        const { t, y, status } = odeintHybrid(func, { body: tf.tensor1d([1, 2]) }, 0, {
          ...{ ...accurate, t1: 2, discreteTimes: [{ t: 1, affect }] },
        });
        expect(status).to.equal('success');
        expect([...t]).to.deep.equal([0, 1, 1, 2]);
        expect(y.body.shape).to.deep.equal([4, 2]);
        const last = y.body.dataSync().slice(6);
        expect(last[0]).to.be.closeTo((Math.exp(-1) + 3) * Math.exp(-1), 1e-5);
        expect(last[1]).to.be.closeTo(2 * Math.exp(-2), 1e-5);
      });
    });
  });
});

describe('memory of odeintHybrid', () => {
  let y0: Pair;
  beforeEach(() => {
    y0 = pair(1, 0);
  });
  afterEach(() => tf.dispose(y0));
  const intact = () => y0.every((leaf) => !leaf.isDisposed);
  const returned = ({ y, eventTimes }: { y: unknown; eventTimes: unknown }) => [y, eventTimes];
  const options = { t1: 1.2, saveAt: [0.1, 0.8], events: [ground(0.8)], discreteTimes: [kick] };

  it('is what is returned, with every adjoint', () => {
    for (const way of Object.values(ways)) {
      tf.dispose(
        tensorsIn(
          leavesOnlyItsResult(() => returned(odeintHybrid(fallTensor, y0, 0, { ...options, ...way }))),
        ),
      );
    }
    expect(intact()).to.equal(true);
  });

  it('is what is returned by the async form, which leaves y0 alone', async () => {
    const later = await leavesOnlyItsResultAsync(async () =>
      returned(await odeintHybridAsync(fallTensor, y0, 0, options)),
    );
    expect(intact()).to.equal(true);
    tf.dispose(tensorsIn(later));
  });

  /* The n-th call of any callback throws, after it has made a tensor. */
  const failing = (n: number) => {
    let calls = 0;
    const wrap = <F extends (...args: never[]) => unknown>(f: F): F =>
      ((...args: never[]) => {
        const value = f(...args);
        if (++calls === n) throw new RangeError('thrown by the caller');
        return value;
      }) as F;
    const [event] = options.events;
    return {
      calls: () => calls,
      func: wrap(fallTensor),
      options: {
        ...options,
        events: [{ ...event, eventFn: wrap(event.eventFn), affect: wrap(event.affect) }],
        discreteTimes: [{ ...kick, affect: wrap(kick.affect) }],
      },
    };
  };

  it('is freed where func, eventFn or affect throws, at every call', () => {
    const all = failing(0);
    tf.dispose(tensorsIn(returned(odeintHybrid(all.func, y0, 0, all.options))));
    expect(all.calls()).to.be.above(50);
    for (let n = 1; n <= all.calls(); n++) {
      const { func, options: failed } = failing(n);
      expect(() => leavesOnlyItsResult(() => odeintHybrid(func, y0, 0, failed)), `call ${n}`).to.throw(
        RangeError,
      );
    }
    expect(intact()).to.equal(true);
  });

  it('is freed where they throw in the async form', async () => {
    for (let n = 1; n <= 60; n += 3) {
      const { func, options: failed } = failing(n);
      const error = await rejectionOf(leavesOnlyItsResultAsync(() => odeintHybridAsync(func, y0, 0, failed)));
      expect(error, `call ${n}`).to.be.instanceOf(RangeError);
    }
    expect(intact()).to.equal(true);
  });

  const home = (): [Pair, (() => Pair) | ((t: tf.Scalar, y: Pair) => Pair)][] => {
    const own = pair(1, 0);
    return [
      [own, () => own],
      [own, (_t: tf.Scalar, y: Pair) => y],
      [own, (_t: tf.Scalar, [h]: Pair): Pair => [h, own[1]]],
    ];
  };
  for (const [title, solve] of [
    ['odeintHybrid', odeintHybrid],
    ['odeintHybridAsync', odeintHybridAsync as unknown as typeof odeintHybrid],
  ] as const) {
    it(`leaves alone what affect returns of the caller's own, also y itself: ${title}`, async () => {
      for (const [own, affect] of home()) {
        const before = tf.memory().numTensors;
        const found = await Promise.resolve(
          solve(fallTensor, y0, 0, { t1: 0.6, events: [{ ...ground(1), affect }] }),
        );
        expect(own.map((leaf) => leaf.isDisposed)).to.deep.equal([false, false]);
        tf.dispose(tensorsIn(returned(found)));
        expect(tf.memory().numTensors).to.equal(before);
        expect(intact()).to.equal(true);
      }
    });
  }

  it('is freed by a gradient, also where affect throws in it', () => {
    for (const way of Object.values(ways)) {
      for (const n of [0, 3, 30, 60]) {
        const before = engineState();
        const { func, options: failed } = failing(n);
        const gradient = tf.grad((h: tf.Tensor) => {
          const { y } = odeintHybrid(func, [h, y0[1]] as Pair, 0, { ...failed, ...way });
          return tf.sum(y[0]);
        });
        if (n === 0) gradient(y0[0]).dispose();
        else expect(() => gradient(y0[0])).to.throw(RangeError);
        expect(engineState()).to.deep.equal(before);
      }
    }
  });
});

describe('gradients of odeintHybrid', () => {
  const func = (_t: tf.Scalar, [, v]: Pair, { gravity }: Args): Pair => [v, tf.neg(gravity)];
  const events = [
    {
      eventFn: heightTensor as TensorEventFunc<Pair, Args>,
      direction: -1 as const,
      affect: (_t: tf.Scalar, [h, v]: Pair, { e }: Args): Pair => [tf.zerosLike(h), tf.neg(tf.mul(e, v))],
    },
  ];
  /* Where the ball is at t1, after n bounces. */
  const exact = (t1: number, n: number) => (h0: number, e: number, gravity: number) => {
    const first = Math.sqrt((2 * h0) / gravity);
    let last = first;
    for (let k = 1; k < n; k++) last += 2 * e ** k * first;
    const v = e ** n * gravity * first;
    return v * (t1 - last) - (gravity * (t1 - last) ** 2) / 2;
  };

  for (const [name, way] of Object.entries(ways)) {
    it(`of the tenth bounce's time, in height, restitution (read by affect) and gravity, to 1e-5: ${name}`, () => {
      const tenth = (h0: tf.Scalar, e: tf.Scalar, gravity: tf.Scalar) => {
        const args = { e, gravity };
        const { eventTimes } = odeintHybrid(func, [h0, tf.scalar(0)] as Pair, 0, {
          ...{ ...accurate, ...way, t1: 10, maxEvents: 10, events, args },
        });
        return tf.slice(eventTimes, [9], [1]);
      };
      const time = (h0: number, e: number, gravity: number) =>
        Math.sqrt((2 * h0) / gravity) *
        (1 + 2 * [1, 2, 3, 4, 5, 6, 7, 8, 9].reduce((sum, n) => sum + e ** n, 0));
      const at = [1, 0.8, 9.81];
      expectGradients(gradientsAt(tenth, at), differences(time, at), 1e-5);
    });

    it(`of the state at t1, after three bounces, to 2e-5: ${name}`, () => {
      const state = (h0: tf.Scalar, e: tf.Scalar, gravity: tf.Scalar) => {
        const args = { e, gravity };
        const { y, t } = odeintHybrid(func, [h0, tf.scalar(0)] as Pair, 0, {
          ...{ ...accurate, ...way, t1: 2.25, saveAt: [1, 2], events, args },
        });
        return tf.slice(y[0], [t.length - 1], [1]);
      };
      const at = [1, 0.8, 9.81];
      const n = bounces(1, 0.8, 20).filter((time) => time < 2.25).length;
      expectGradients(gradientsAt(state, at), differences(exact(2.25, n), at), 2e-5);
    });

    it(`of doses, in the amounts and the rate, to 1e-5: ${name}`, () => {
      const end = (first: tf.Scalar, second: tf.Scalar, k: tf.Scalar) => {
        const args = { first, second, k };
        const { y } = odeintHybrid(
          (_t: tf.Scalar, x: tf.Tensor, { k }: Args) => tf.neg(tf.mul(k, x)),
          tf.tensor1d([1]),
          0,
          {
            ...{ ...accurate, ...way, t1: 3, args },
            discreteTimes: [
              { t: 1, affect: (_t, x, { first }) => tf.add(x, first) },
              { t: 2, affect: (_t, x, { second }) => tf.mul(x, second) },
            ],
          },
        );
        return tf.slice(y, [5, 0], [1, 1]);
      };
      const closed = (first: number, second: number, k: number) =>
        (Math.exp(-2 * k) + first * Math.exp(-k)) * second * Math.exp(-k);
      const at = [3, 0.5, 0.7];
      expectGradients(gradientsAt(end, at), differences(closed, at), 1e-5);
    });

    it(`of a thermostat's fourth switch, in its rate and its levels, to 1e-5: ${name}`, () => {
      const fourth = (k: tf.Scalar, low: tf.Scalar, high: tf.Scalar) => {
        const args = { k, low, high };
        const [one, zero] = [tf.scalar(1), tf.scalar(0)];
        const { eventTimes } = odeintHybrid(
          (_t: tf.Scalar, [y, q]: Pair, { k }: Args): Pair => [
            tf.neg(tf.mul(k, tf.sub(y, tf.add(10, tf.mul(20, q))))),
            tf.zerosLike(q),
          ],
          [tf.scalar(20), zero] as Pair,
          0,
          {
            ...{ ...accurate, ...way, t1: 12, maxEvents: 4, args },
            events: [
              { eventFn: (_t, [y], { low }) => tf.sub(y, low), direction: -1, affect: (_t, [y]) => [y, one] },
              {
                eventFn: (_t, [y], { high }) => tf.sub(y, high),
                direction: 1,
                affect: (_t, [y]) => [y, zero],
              },
            ],
          },
        );
        return tf.slice(eventTimes, [3], [1]);
      };
      const closed = (k: number, low: number, high: number) =>
        (Math.log(10 / (low - 10)) +
          2 * Math.log((30 - low) / (30 - high)) +
          Math.log((high - 10) / (low - 10))) /
        k;
      const at = [0.3, 18, 22];
      expectGradients(gradientsAt(fourth, at), differences(closed, at), 1e-5);
    });
  }

  it('reach a tf.Variable that only affect reads', () => {
    const e = tf.variable(tf.scalar(0.8));
    for (const way of Object.values(ways)) {
      const { value, grads } = tf.variableGrads(() => {
        const { eventTimes } = odeintHybrid(fallTensor, pair(1, 0), 0, {
          ...{ ...accurate, ...way, t1: 3, maxEvents: 2 },
          events: [
            { ...ground(1), affect: (_t, [h, v]: Pair): Pair => [tf.zerosLike(h), tf.neg(tf.mul(e, v))] },
          ],
        });
        return tf.reshape(tf.slice(eventTimes, [1], [1]), []) as tf.Scalar;
      });
      // T_2 = T_1 (1 + 2 e).
      expect(grads[e.name].dataSync()[0]).to.be.closeTo(2 * landing(1, 0), 1e-5);
      expect(value.dataSync()[0]).to.be.closeTo(2.6 * landing(1, 0), 1e-5);
      tf.dispose([value, grads]);
    }
    e.dispose();
    expect(g).to.equal(9.81);
  });

  it('of second order throw MissingGradientError, and so does the async form under a tape', () => {
    const options = {
      t1: 2,
      events: [
        {
          eventFn: (_t: tf.Scalar, y: tf.Tensor) => tf.sub(y, 1),
          affect: (_t: tf.Scalar, y: tf.Tensor) => tf.mul(y, 0.5),
        },
      ],
    };
    const y0 = tf.scalar(0.5);
    const end = (y: tf.Tensor) => tf.sum(odeintHybrid(clockTensor, y, 0, options).y);
    const second = tf.grad((y) => tf.sum(tf.grad(end)(y)));
    expect(thrownBy(() => tf.tidy(() => second(y0)))).to.be.instanceOf(MissingGradientError);
    const later = tf.grad((y) => odeintHybridAsync(clockTensor, y, 0, options) as unknown as tf.Tensor);
    expect(thrownBy(() => later(y0))).to.be.instanceOf(MissingGradientError);
    y0.dispose();
  });
});
