/**
 * Events where they are easily missed, doubled, or said wrongly: several at one time, close to the start, far from t = 0,
 * with rough event functions, under the tape, and with options that nobody reads.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  MissingGradientError,
  InvalidArgumentError,
  iterate,
  NoEventError,
  odeint,
  odeintAdjoint,
  odeintEvent,
  odeintHybrid,
  odeintHybridAsync,
  odeintVjp,
  solve,
  terminateAtSteadyState,
  type HybridEvent,
  type PlainAffect,
  type PlainEventFunc,
  type TensorAffect,
  type TensorEventFunc,
} from 'tfjs-diffeq';
import { engineState, rejectionOf, thrownBy } from './engine_probe.js';
import { fall, fallTensor, height, heightTensor, pair, type Pair } from './event_problems.js';

/** 100 numbers in (0, 1), from the fractional parts of multiples of the golden ratio. */
const spread = Array.from({ length: 100 }, (_, i) => ((i + 1) * 0.6180339887498949) % 1);
const decay = (_t: number, [y]: Float64Array) => [-y];
const decayTensor = (_t: tf.Scalar, y: tf.Tensor) => tf.neg(y);

describe('events that are easily missed', () => {
  it('two events at one time both occur, once, wherever they are', () => {
    const field = (_t: number, [y]: Float64Array) => [-y, 0, 0];
    const wrong = spread.flatMap((part) => {
      const c = 0.05 + 0.9 * part;
      // y = e^-t is c at -ln c, where t + ln c is zero too.
      const events: HybridEvent<PlainEventFunc, PlainAffect>[] = [
        { eventFn: (_t, [y]) => y - c, affect: (_t, [y, a, b]) => [y, a + 1, b] },
        { eventFn: (t) => t + Math.log(c), affect: (_t, [y, a, b]) => [y, a, b + 1] },
      ];
      const { y, t } = odeintHybrid(field, [1, 0, 0], 0, { t1: 4, events });
      const [, a, b] = y[y.length - 1];
      expect(t[1]).to.be.closeTo(-Math.log(c), 1e-7);
      return a === 1 && b === 1 ? [] : [[c, a, b]];
    });
    expect(wrong).to.deep.equal([]);
  });

  it('an event close to the start occurs once in float32, though its affect leaves the state where it is', () => {
    const counts = spread.map((c) =>
      tf.tidy(() => {
        const events: HybridEvent<TensorEventFunc<tf.Tensor>, TensorAffect<tf.Tensor>>[] = [
          { eventFn: (_t, y) => tf.sub(y, c), affect: (_t, y) => y },
        ];
        // y = c - 0.3 + (1 - cos 3t) / 3 rises to c + 0.37: c is met where cos 3t = 0.1, and once only before pi / 3.
        const found = odeintHybrid((t) => tf.sin(tf.mul(3, t)), tf.scalar(c - 0.3), 0, {
          t1: 1,
          events,
          rtol: 1e-4,
          atol: 1e-6,
        }).events;
        for (const { t } of found) expect(t).to.be.closeTo(Math.acos(0.1) / 3, 1e-3);
        return found.length;
      }),
    );
    expect(counts).to.deep.equal(spread.map(() => 1));
  });

  it('rough event functions on tensors are located within 1e-5', () => {
    const g = (y: tf.Tensor) => tf.sub(y, 0.5);
    const rough: Record<string, (y: tf.Tensor) => tf.Tensor> = {
      'tanh of a steep slope': (y) => tf.tanh(tf.mul(1000, g(y))),
      clipped: (y) => tf.clipByValue(g(y), -1e-3, 1e-3),
      'a sign': (y) => tf.sign(g(y)),
      'a kink at zero': (y) => tf.minimum(g(y), tf.mul(100, g(y))),
    };
    for (const [name, eventFn] of Object.entries(rough)) {
      const t = tf.tidy(
        () => odeintEvent(decayTensor, tf.scalar(1), 0, { eventFn: (_t, y) => eventFn(y) })[0].dataSync()[0],
      );
      // e^-t = 1/2.
      expect(t, name).to.be.closeTo(Math.LN2, 1e-5);
    }
  });

  it('a ball from t0 = 1e4 bounces at the same times under the tape as off it', () => {
    const events: HybridEvent<TensorEventFunc<Pair>, TensorAffect<Pair>>[] = [
      {
        eventFn: heightTensor as TensorEventFunc<Pair>,
        direction: -1,
        affect: (_t, [h, v]) => [tf.zerosLike(h), tf.mul(-0.9, v)],
      },
    ];
    const third = (h0: tf.Tensor): number =>
      odeintHybrid(fallTensor, [h0, tf.scalar(0)] as Pair, 1e4, { t1: 1e4 + 3, events }).events[2].t;
    tf.tidy(() => {
      const plain = third(tf.scalar(1));
      let taped = NaN;
      tf.grad((h0: tf.Tensor) => {
        taped = third(h0);
        return tf.square(h0);
      })(tf.scalar(1));
      expect(taped).to.be.closeTo(plain, 1e-6);
    });
  });

  it('a steady state at t0 is reported at t0 itself', () => {
    const events = [terminateAtSteadyState()];
    expect(solve(decay, [0], [0, 10], { events }).event!.t).to.equal(0);
    expect(solve(decay, [0], [1e4, 0], { events }).event!.t).to.equal(1e4);
    const hybrid = odeintHybrid(decay, [0], 3, { t1: 10, events });
    expect(hybrid).to.include({ status: 'event' });
    expect(hybrid.events[0].t).to.equal(3);
    tf.tidy(() => {
      const { event } = solve(decayTensor, tf.scalar(0), [2, 10], { events });
      expect(event!.t).to.equal(2);
      expect(event!.y.dataSync()[0]).to.equal(0);
    });
  });
});

describe('events under the tape', () => {
  const half = { eventFn: (_t: unknown, y: tf.Tensor) => tf.sub(y, 0.5), terminal: true };

  it('a gradient through the state at an event of solve throws', () => {
    tf.tidy(() => {
      const loss = (y0: tf.Tensor) => tf.sum(solve(decayTensor, y0, [0, 2], { events: [half] }).event!.y);
      expect(() => tf.grad(loss)(tf.scalar(1))).to.throw(MissingGradientError, /odeintEvent/);
      // Beside another loss too, where it would only be a part that is missing; and that alone is right.
      const both = (y0: tf.Tensor) => {
        const { y, event } = solve(decayTensor, y0, [0, 0.25, 2], { events: [half] });
        return tf.add(tf.sum(y), tf.sum(event!.y));
      };
      expect(() => tf.grad(both)(tf.scalar(1))).to.throw(MissingGradientError, /odeintEvent/);
      const states = (y0: tf.Tensor) => tf.sum(solve(decayTensor, y0, [0, 0.25, 2], { events: [half] }).y);
      // y0 + y0 exp(-1/4).
      expect(tf.grad(states)(tf.scalar(1)).dataSync()[0]).to.be.closeTo(1 + Math.exp(-0.25), 1e-4);
    });
  });

  it('solve with a tensor t leaves the states of its events alive', () => {
    tf.tidy(() => {
      tf.grad((t: tf.Tensor) => {
        const { y, event } = solve(decayTensor, tf.scalar(1), t as tf.Tensor1D, { events: [half] });
        expect(event!.y.isDisposed).to.equal(false);
        expect(event!.y.dataSync()[0]).to.be.closeTo(0.5, 1e-5);
        return tf.sum(y);
      })(tf.tensor1d([0, 0.25, 2]));
    });
  });

  describe('a grid of steps is cut at the event', () => {
    const grid = {
      method: 'midpoint',
      gridConstructor: () => [0, 0.25, 0.5, 0.75, 1, 2],
      maxTime: 2,
    } as const;
    const { eventFn } = half;
    // Midpoint steps multiply y by 1 - h + h^2 / 2: two of 1/4 and one of h lead to 1/2.
    const factor = 1 - 0.25 + 0.25 ** 2 / 2;
    const T = 0.5 + 1 - Math.sqrt(1 - 2 * (1 - 0.5 / factor ** 2));

    // y = y0 e^-t is 1/2 at T = ln(2 y0), dT/dy0 = 1 / y0.
    const slope = (time: (y0: tf.Tensor) => tf.Tensor): number =>
      tf.tidy(() => tf.grad(time)(tf.scalar(1)).dataSync()[0]);

    it('by the tape and by the adjoint', () => {
      const time = (y0: tf.Tensor) => odeintEvent(decayTensor, y0, 0, { ...grid, eventFn })[0];
      tf.tidy(() => {
        const { value, grad } = tf.valueAndGrad((y0: tf.Tensor) => time(y0))(tf.scalar(1));
        expect(value.dataSync()[0]).to.be.closeTo(T, 1e-4);
        expect(value.dataSync()[0]).to.be.closeTo(time(tf.scalar(1)).dataSync()[0], 1e-6);
        expect(grad.dataSync()[0]).to.be.closeTo(1, 1e-5);
      });
      const odeintInterface = odeintAdjoint;
      const adjoint = (y0: tf.Tensor) =>
        odeintEvent(decayTensor, y0, 0, { ...grid, eventFn, odeintInterface })[0];
      // Backward in time its steps are others, of order 2.
      expect(slope(adjoint)).to.be.closeTo(1, 1e-2);
    });

    it('by odeintVjp', () => {
      const plain = { ...grid, eventFn: (_t: number, [y]: Float64Array) => y - 0.5 };
      const { eventT, vjp } = odeintVjp(decay, [1], [0, 2], plain);
      expect(eventT).to.be.closeTo(T, 1e-9);
      expect(vjp([Float64Array.of(0), Float64Array.of(0)], 1).y0[0]).to.be.closeTo(1, 1e-9);
      tf.tidy(() => {
        const found = odeintVjp(decayTensor, tf.scalar(1), [0, 2], { ...grid, eventFn });
        expect(found.vjp(tf.zeros([2]), tf.scalar(1)).y0.dataSync()[0]).to.be.closeTo(1, 1e-5);
        found.dispose();
      });
    });

    it('by odeintHybrid, in every segment', () => {
      const gridConstructor = (_f: unknown, _y: unknown, [t0, t1]: Float64Array) => [
        ...[t0, t0 + (t1 - t0) / 8, (t0 + t1) / 2, t1],
      ];
      const affect = (_t: unknown, y: tf.Tensor) => y;
      const options = { method: 'midpoint', gridConstructor, t1: 2, events: [{ eventFn, affect }] } as const;
      const time = (y0: tf.Tensor) => tf.sum(odeintHybrid(decayTensor, y0, 0, options).eventTimes);
      expect(slope(time)).to.be.closeTo(1, 1e-5);
    });
  });
});

describe('the end of a search for events', () => {
  it('iterate without t1 goes on beyond 100000 steps', () => {
    const events = [{ eventFn: (t: number) => t - 0.5 }];
    const buffer = Float64Array.of(1);
    let steps = 0;
    let found = 0;
    for (const step of iterate(() => buffer, [0], {
      ...{ t0: 0, method: 'euler', stepSize: 2 ** -17, events, eventSamples: 1 },
    })) {
      found += step.events.length;
      if (++steps > 100_001) break;
    }
    expect([steps, found]).to.deep.equal([100_002, 1]);
  });

  it('a missed event without maxTime is NoEventError, however the numbers end', () => {
    const never: PlainEventFunc = (_t, [h]) => h - 2;
    expect(thrownBy(() => odeintEvent(fall, [1, 0], 0, { eventFn: never }))).to.be.instanceOf(NoEventError);
    const tensors = () =>
      odeintEvent(fallTensor, pair(1, 0), 0, { eventFn: (_t, [h]) => tf.sub(h, 2), maxNumSteps: 150 });
    const error = tf.tidy(() => ({ thrown: thrownBy(tensors) as never })).thrown;
    expect(error).to.be.instanceOf(NoEventError);
  });
});

describe('what nobody reads', () => {
  const refused = (call: () => unknown) => expect(thrownBy(call)).to.be.instanceOf(InvalidArgumentError);
  const ground = { t1: 1, events: [{ eventFn: height }] };

  it('is refused', async () => {
    refused(() => odeintHybrid(fall, [1, 0], 0, { ...ground, quadrature: () => 1 } as never));
    refused(() => odeintHybrid(fall, [1, 0], 0, { ...ground, adjoint: 'nonsense' } as never));
    refused(() => solve(decay, [1], [0, 1], { eventTol: 1e-3 }));
    refused(() => odeintEvent(fall, [1, 0], 0, { eventFn: height, terminal: false } as never));
    const later = odeintHybridAsync(fall, [1, 0], 0, { ...ground, odeintInterface: odeint } as never);
    expect(await rejectionOf(later)).to.be.instanceOf(InvalidArgumentError);
  });

  it('terminal is told that such a solve always ends there', () => {
    for (const call of [odeintEvent, odeint] as unknown as ((...input: unknown[]) => unknown)[]) {
      const error = thrownBy(() =>
        call(fall, [1, 0], call === (odeint as unknown) ? [0, 1] : 0, {
          ...{ eventFn: height, terminal: true },
        }),
      );
      expect(error).to.be.instanceOf(InvalidArgumentError);
      expect((error as Error).message).to.contain('always ends there');
    }
  });

  it('an eventFn whose number of components changes is refused, and nothing leaks', () => {
    const plain = (t: number) => (t < 0.1 ? [1] : [1, 1]);
    refused(() => solve(decay, [1], [0, 1], { events: [{ eventFn: plain }] }));
    const tensors = (t: tf.Scalar) => tf.ones([t.dataSync()[0] < 0.1 ? 1 : 2]);
    const y0 = tf.scalar(1);
    const before = engineState();
    refused(() => solve(decayTensor, y0, [0, 1], { events: [{ eventFn: tensors }] }));
    expect(engineState()).to.deep.equal(before);
    y0.dispose();
  });

  it('a Float32Array is as good as a list of numbers', () => {
    const eventFn = (_t: number, [y]: Float64Array) => Float32Array.of(y - 0.5, 1);
    const { events } = solve(decay, [1], [0, 2], { events: [{ eventFn }] });
    expect(events.map(({ mask }) => mask)).to.deep.equal([[true, false]]);
    expect(events[0].t).to.be.closeTo(Math.LN2, 1e-6);
  });

  it('a field may write its result', () => {
    const field = (_t: number, [, v]: Float64Array, dy: Float64Array) => {
      dy[0] = v;
      dy[1] = -9.81;
    };
    const [t] = odeintEvent(field, [1, 0], 0, { inPlace: true, eventFn: height });
    expect(t).to.be.closeTo(Math.sqrt(2 / 9.81), 1e-8);
    const { eventTimes } = odeintHybrid(field, [1, 0], 0, { inPlace: true, ...ground });
    expect(eventTimes).to.have.length(0);
  });
});
