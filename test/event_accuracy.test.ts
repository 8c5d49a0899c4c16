/**
 * Times and states of events against closed forms, elliptic integrals and programs that are not ours, for every method.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { methodNames, odeintEvent, solve, type MethodName } from 'tfjs-diffeq';
import * as solvers from 'tfjs-diffeq/solvers';
import { onBackends } from './backends.js';
import {
  bounces,
  fall,
  fallTensor,
  g,
  harmonic,
  harmonicTensor,
  height,
  heightTensor,
  landing,
  pair,
  reference,
} from './event_problems.js';
import { generalMethods } from './methods.js';

const tableaus = Object.values(solvers).filter((value) => value instanceof solvers.ButcherTableau);
/** Order, and whether the method chooses its steps. */
const traits = (method: MethodName) => {
  const tableau = tableaus.find(({ name }) => name === method);
  return { order: tableau?.order ?? 2, adaptive: tableau?.bEmbedded != null };
};

const quarter = Math.PI / 2;
const tight = { method: 'dopri8', rtol: 1e-12, atol: 1e-13, eventTol: 1e-12 } as const;

describe('every method finds the first zero of cos t', () => {
  for (const method of generalMethods) {
    const { order, adaptive } = traits(method);
    for (const [title, y0, t0, root] of [
      ['forward', [1, 0], 0, quarter],
      ['in reversed time', [1, 0], 0, -quarter],
    ] as const) {
      const reverseTime = root < t0;
      it(`${method}, fixed steps, ${title}: the event has the order of the solution`, () => {
        const h = order === 1 ? 1 / 1024 : 1 / 64;
        const [t, ys] = odeintEvent(harmonic, y0, t0, {
          ...{ method, stepSize: h, reverseTime, eventTol: 1e-12, eventFn: height },
        });
        const within = Math.max(2 * h ** order, 1e-11);
        expect(t).to.be.closeTo(root, within);
        // The event is a zero of the numerical solution itself, to rounding.
        expect(ys[1][0]).to.be.closeTo(0, 2e-12);
        expect(Math.abs(ys[1][1])).to.be.closeTo(1, within);
      });

      if (!adaptive) continue;
      it(`${method}, adaptive, ${title}`, () => {
        const [rtol, within] = order > 2 ? [1e-9, 1e-7] : [1e-6, 1e-3];
        const options = { method, rtol, atol: rtol, reverseTime, eventFn: height };
        expect(odeintEvent(harmonic, y0, t0, options)[0]).to.be.closeTo(root, within);
        const span = [t0, 4 * root];
        const { events } = solve(harmonic, y0, span, {
          method,
          rtol,
          atol: rtol,
          events: [{ eventFn: height }],
        });
        expect(events.map(({ t }) => Math.round(t / root))).to.deep.equal([1, 3]);
        for (const { t } of events) {
          expect(Math.cos(t)).to.be.closeTo(0, 10 * within);
        }
      });
    }
  }

  it('leapfrog, on {q, p}, on plain numbers and on tensors', () => {
    expect(methodNames).to.include('leapfrog');
    const steps = { method: 'leapfrog', stepSize: 1 / 64 } as const;
    const [t] = odeintEvent(harmonic, [1, 0], 0, { ...steps, eventFn: height });
    expect(t).to.be.closeTo(quarter, 1 / 64 ** 2);
    tf.tidy(() => {
      const [time, ys] = odeintEvent(
        (_t: tf.Scalar, { q, p }: { q: tf.Tensor; p: tf.Tensor }) => ({ q: p, p: tf.neg(q) }),
        { q: tf.scalar(1), p: tf.scalar(0) },
        0,
        { ...steps, eventFn: (_t, { q }) => q },
      );
      expect(time.dataSync()[0]).to.be.closeTo(quarter, 1 / 64 ** 2);
      expect(ys.q.dataSync()[1]).to.be.closeTo(0, 1e-6);
    });
  });
});

describe('eventTol on plain numbers', () => {
  for (const eventTol of [1e-6, 1e-9, 1e-12]) {
    it(`${eventTol} is kept by terminal and recorded events: a fall, which every method solves exactly`, () => {
      for (const h0 of [0.013, 1, 2.7, 311]) {
        const exact = landing(h0, 0.4);
        const within = eventTol + 4e-16 * exact * 100;
        for (const method of ['dopri5', 'tsit5', 'dopri8', 'bosh3'] as const) {
          const options = { method, eventTol, eventFn: height };
          expect(odeintEvent(fall, [h0, 0.4], 0, options)[0], method).to.be.closeTo(exact, within);
          const times = [0, 2 * exact];
          const { events } = solve(fall, [h0, 0.4], times, {
            method,
            eventTol,
            events: [{ eventFn: height }],
          });
          expect(events[0].t, method).to.be.closeTo(exact, within);
        }
      }
    });
  }

  it('1e-12 is reached on a decay to a level, ln(1 / level) away', () => {
    for (const level of [0.9, 0.1, 1e-3]) {
      const options = { ...tight, eventFn: (_t: number, [y]: Float64Array) => y - level };
      const [t, ys] = odeintEvent((_t, [y]) => [-y], [1], 0, { ...options, atol: 1e-16 });
      expect(t).to.be.closeTo(-Math.log(level), 3e-12);
      expect(ys[1][0]).to.be.closeTo(level, 1e-12 * level + 1e-15);
    }
  });

  it('1e-12 is reached far from t = 0, as far as t has digits', () => {
    const [t] = odeintEvent(fall, [1, 0], 1e4, { ...tight, eventFn: height });
    expect(t).to.be.closeTo(1e4 + landing(1, 0), 4e-12);
  });
});

describe('against closed forms and independent programs', () => {
  for (const [angle, period] of reference.pendulum) {
    it(`the pendulum from ${angle}: a period of 4 K(sin^2(angle / 2)), mpmath`, () => {
      const pendulum = (_t: number, [q, p]: Float64Array) => [p, -Math.sin(q)];
      const events = [
        { eventFn: height },
        { eventFn: (_t: number, [, p]: Float64Array) => p, direction: -1 as const },
      ];
      const { events: found } = solve(pendulum, [angle, 0], [0, 2.2 * period], { ...tight, events });
      const times = (index: number) =>
        found.filter((event) => event.index === index).map(({ t }) => t / period);
      [0.25, 0.75, 1.25, 1.75].forEach((part, i) => expect(times(0)[i]).to.be.closeTo(part, 1e-10));
      // From rest p falls first: the next falls are a period apart.
      [1, 2].forEach((part, i) => expect(times(1)[i]).to.be.closeTo(part, 1e-10));
      expect(times(0)).to.have.length(4);
      expect(times(1)).to.have.length(2);
    });
  }

  it('20 points of a Henon-Heiles section, by a Taylor series of 40 digits', () => {
    const { y0, section } = reference.henon_heiles;
    const field = (_t: number, [a, b, p, q]: Float64Array) => [p, q, -a - 2 * a * b, -b - a * a + b * b];
    const options = { ...tight, events: [{ eventFn: height, direction: 1 as const }] };
    const { events } = solve(field, y0, [0, section[19][0] + 0.1], options);
    expect(events).to.have.length(20);
    events.forEach(({ t, y }, i) => {
      [t, ...y].forEach((value, j) => expect(value, `point ${i}`).to.be.closeTo(section[i][j], 3e-9));
    });
  });

  it('bounces, one odeintEvent after another', () => {
    const e = 0.8;
    let [t, y]: [number, number[]] = [0, [1, 0]];
    for (const expected of bounces(1, e, 12)) {
      const [at, ys] = odeintEvent(fall, y, t, { ...tight, eventFn: height });
      expect(at).to.be.closeTo(expected, 2e-11);
      [t, y] = [at, [0, -e * ys[1][1]]];
    }
  });

  it('a projectile in reversed time comes from where it was thrown', () => {
    const [t, ys] = odeintEvent(fall, [2, -1], 5, { ...tight, eventFn: height, reverseTime: true });
    // It was thrown at v with v^2 = 1 + 2 g 2, (v + 1) / g ago.
    const speed = Math.sqrt(1 + 4 * g);
    expect(t).to.be.closeTo(5 - (speed + 1) / g, 1e-11);
    expect(ys[1][1]).to.be.closeTo(speed, 1e-10);
  });
});

describe('events on tensors', () => {
  onBackends(['cpu', 'wasm', 'tensorflow'], () => {
    for (const method of generalMethods) {
      it(`${method} ends a fall, of two leaves, where it lands`, () => {
        const { order, adaptive } = traits(method);
        const h = order === 1 ? 1 / 256 : 1 / 16;
        for (const options of [{ stepSize: h }, ...(adaptive ? [{ rtol: 1e-5, atol: 1e-6 }] : [])]) {
          tf.tidy(() => {
            const [t, ys] = odeintEvent(fallTensor, pair(1, 0.4), 0, {
              method,
              ...options,
              eventFn: heightTensor,
            });
            const within = order === 1 ? 2 * h : 3e-6;
            expect(t.dataSync()[0]).to.be.closeTo(landing(1, 0.4), within);
            expect(ys[0].shape).to.deep.equal([2]);
            expect(ys[0].dataSync()[1]).to.be.closeTo(0, 3e-6);
          });
        }
      });
    }

    it('are located to eventTol, 1e-6 in t, terminal and recorded, wherever in a step', () => {
      let worst = 0;
      for (let n = 1; n < 30; n++) {
        const level = Math.cos(0.05 * n);
        const eventFn = (_t: unknown, [q]: [tf.Tensor, tf.Tensor]) => tf.sub(q, level);
        tf.tidy(() => {
          const [t] = odeintEvent(harmonicTensor, pair(1, 0), 0, { rtol: 1e-6, atol: 1e-7, eventFn });
          const { events } = solve(harmonicTensor, pair(1, 0), [0, 2], {
            ...{ rtol: 1e-6, atol: 1e-7, events: [{ eventFn }] },
          });
          expect(events).to.have.length(1);
          for (const found of [t.dataSync()[0], events[0].t]) {
            // The slope of the value is sin t: float32 resolves the level, so the time to 1e-7 / sin t.
            worst = Math.max(worst, Math.abs(found - 0.05 * n) * Math.sin(0.05 * n));
          }
        });
      }
      expect(worst).to.be.below(1.5e-6);
    });

    it('at or next to a step end: 40 sizes of steps that end within rounding of the event', () => {
      for (let n = 4; n < 44; n++) {
        const stepSize = (0.5 / n) * (1 + ((n % 5) - 2) * 1e-7);
        tf.tidy(() => {
          const eventFn = (_t: unknown, y: tf.Tensor) => tf.sub(y, Math.exp(-0.5));
          const options = { method: 'rk4', stepSize, eventFn, maxTime: 1 } as const;
          const [t] = odeintEvent((_t: tf.Scalar, y: tf.Tensor) => tf.neg(y), tf.tensor1d([1]), 0, options);
          expect(t.dataSync()[0], `n = ${n}`).to.be.closeTo(0.5, 4e-6);
        });
      }
    });
  });
});
