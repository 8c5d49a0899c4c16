/**
 * odeintHybrid on plain numbers: where the jumps are, what is returned of them, and when it ends. Tensors are in
 * hybrid_tensors.test.ts.
 */
import { expect } from 'chai';
import {
  NonFiniteStateError,
  odeint,
  odeintHybrid,
  odeintHybridAsync,
  OdeError,
  terminateAtSteadyState,
  type MethodName,
} from 'tfjs-diffeq';
import { bounces, clock, fall, g, harmonic, height, landing, reference } from './event_problems.js';
import { generalMethods } from './methods.js';

const tight = { method: 'dopri8', rtol: 1e-12, atol: 1e-13, eventTol: 1e-12 } as const;
const ground = (e: number) => ({
  eventFn: height,
  direction: -1 as const,
  affect: (_t: number, [, v]: Float64Array) => [0, -e * v],
});
const add =
  (amount: number) =>
  (_t: number, [y, ...rest]: Float64Array) => [y + amount, ...rest];

function expectTimes(actual: ArrayLike<number>, expected: readonly number[], within: number): void {
  expect(actual.length, `found ${Array.from(actual).join(', ')}`).to.equal(expected.length);
  expected.forEach((t, i) => expect(actual[i], `event ${i}`).to.be.closeTo(t, within));
}

describe('odeintHybrid: a bouncing ball', () => {
  const e = 0.8;

  it("bounces at the closed form's times, with both sides of every jump", () => {
    const t1 = 2.5;
    const { t, y, events, eventTimes, status, message, stats } = odeintHybrid(fall, [1, 0], 0, {
      ...{ ...tight, t1, events: [ground(e)] },
    });
    const expected = bounces(1, e, 20).filter((time) => time < t1);
    expectTimes(eventTimes, expected, 1e-11);
    expect(status).to.equal('success');
    expect(message).to.match(/2\.5/);
    expect(stats.accepted).to.be.above(expected.length);
    // t0, every event twice, t1.
    expect(t.length).to.equal(2 + 2 * expected.length);
    expect(y).to.have.length(t.length);
    expect([t[0], t[t.length - 1]]).to.deep.equal([0, t1]);
    const speed = g * landing(1, 0);
    events.forEach((event, n) => {
      const { row } = event;
      expect(event).to.deep.include({
        kind: 'event',
        index: 0,
        name: 'event 0',
        mask: [true],
        t: eventTimes[n],
      });
      expect([t[row], t[row + 1]]).to.deep.equal([event.t, event.t]);
      expect(y[row][1]).to.be.closeTo(-speed * e ** n, 1e-9);
      expect(y[row + 1][1]).to.be.closeTo(speed * e ** (n + 1), 1e-9);
      expect(y[row + 1][0]).to.equal(0);
    });
  });

  for (const method of generalMethods) {
    it(`with ${method}`, () => {
      const order: Partial<Record<MethodName, number>> = { euler: 1 };
      const h = order[method] ? 1 / 2048 : 1 / 64;
      const { eventTimes } = odeintHybrid(fall, [1, 0], 0, {
        method,
        stepSize: h,
        t1: 2,
        events: [ground(e)],
      });
      const expected = bounces(1, e, 20).filter((time) => time < 2);
      expectTimes(eventTimes, expected, order[method] ? 20 * h : 1e-8);
    });
  }

  it('in reversed time: elastic bounces taken back to where they came from', () => {
    const options = { ...tight, events: [ground(1)] };
    const there = odeintHybrid(fall, [1, 0], 0, { ...options, t1: 3 });
    // Backward the ball falls too, as its height has no direction.
    const end = there.y.at(-1)!;
    const back = odeintHybrid(fall, end, 3, { ...options, t1: 0 });
    expectTimes(back.eventTimes, [...there.eventTimes].reverse(), 1e-10);
    expect(back.y.at(-1)![0]).to.be.closeTo(1, 1e-9);
    expect(back.y.at(-1)![1]).to.be.closeTo(0, 1e-9);
    expect(back.events.map(({ t }) => t)).to.deep.equal([...back.eventTimes]);
  });

  it('that comes to rest (Zeno) ends with max-events, a clear message, and what was solved', () => {
    // All bounces are over at T (1 + e) / (1 - e).
    const rest = (landing(1, 0) * 1.5) / 0.5;
    const zeno = { ...tight, t1: 3, events: [ground(0.5)] };
    const some = odeintHybrid(fall, [1, 0], 0, { ...zeno, maxEvents: 12 });
    expect(some.status).to.equal('max-events');
    expect(some.message).to.match(/maxEvents = 12/);
    expectTimes(some.eventTimes, bounces(1, 0.5, 12), 1e-10);
    const all = odeintHybrid(fall, [1, 0], 0, zeno);
    expect(all.status).to.equal('max-events');
    expect(all.message).to.match(/pile up/);
    expect(all.t[all.t.length - 1]).to.be.closeTo(rest, 1e-6);
  });
});

describe('odeintHybrid: events', () => {
  const drop = (_t: number, [, v, , w]: Float64Array) => [v, -g, w, -g];
  const bounce = (which: number) => ({
    eventFn: (_t: number, y: Float64Array) => y[2 * which],
    direction: -1 as const,
    affect: (_t: number, y: Float64Array) =>
      y.map((x, i) => (i === 2 * which + 1 ? -x : i === 2 * which ? 0 : x)),
  });

  for (const [title, k0] of [
    ['at the same time', 1],
    ['a rounding apart', 1 + 1e-15],
    ['less than eventTol apart', 1 + 1e-10],
    ['a little apart', 1 + 1e-7],
    ['apart', 1.3],
  ] as const) {
    it(`two balls that land ${title} both bounce`, () => {
      const events = [bounce(0), bounce(1)];
      const result = odeintHybrid(drop, [1, 0, k0, 0], 0, { ...tight, eventTol: 1e-9, t1: 0.9, events });
      expect(result.events.map(({ index }) => index).sort()).to.deep.equal([0, 1]);
      // Elastic: at t = 0.9 both have come back from the ground.
      [1, k0].forEach((h0, i) => {
        const since = 0.9 - landing(h0, 0);
        const exact = g * landing(h0, 0) * since - (g * since ** 2) / 2;
        expect(result.y.at(-1)![2 * i]).to.be.closeTo(exact, 1e-7);
      });
    });
  }

  it('a terminal one ends it, with or without affect; the state after it is returned', () => {
    const event = { eventFn: height, direction: -1 as const, terminal: true, name: 'ground' };
    const bare = odeintHybrid(fall, [1, 0], 0, { ...tight, t1: 3, events: [event] });
    expect(bare.status).to.equal('event');
    expect(bare.message).to.match(/'ground'/);
    expect(bare.t.length).to.equal(2);
    expect(bare.t[1]).to.be.closeTo(landing(1, 0), 1e-11);
    const kicked = odeintHybrid(fall, [1, 0], 0, {
      ...{ ...tight, t1: 3, events: [{ ...event, affect: () => [7, 8] }] },
    });
    expect([...kicked.y.at(-1)!]).to.deep.equal([7, 8]);
    expect(kicked.t.length).to.equal(3);
  });

  it('a jump over the level is no crossing', () => {
    const { events } = odeintHybrid(clock, [0], 0, {
      t1: 3,
      events: [{ eventFn: (_t, [y]) => y - 5, affect: () => [0] }],
      discreteTimes: [{ t: 1, affect: add(7) }],
    });
    expect(events.map(({ kind }) => kind)).to.deep.equal(['discrete']);
  });

  it('affect that leaves the value at zero does not repeat the event', () => {
    const { eventTimes, status } = odeintHybrid(harmonic, [1, 0], 0, {
      ...{ ...tight, t1: 20, events: [{ eventFn: height, affect: (_t: number, y: Float64Array) => y }] },
    });
    expect(status).to.equal('success');
    expectTimes(
      eventTimes,
      [0, 1, 2, 3, 4, 5].map((n) => (n + 0.5) * Math.PI),
      1e-10,
    );
  });

  it("a thermostat switches at the closed form's times", () => {
    // y' = -k (y - 10 - 20 q): towards 10 when off, 30 when on; on at 18, off at 22.
    const k = 0.3;
    const { eventTimes, events } = odeintHybrid((_t, [y, q]) => [-k * (y - 10 - 20 * q), 0], [20, 0], 0, {
      ...tight,
      t1: 12,
      events: [
        { eventFn: (_t, [y]) => y - 18, direction: -1, affect: (_t, [y]) => [y, 1], name: 'on' },
        { eventFn: (_t, [y]) => y - 22, direction: 1, affect: (_t, [y]) => [y, 0], name: 'off' },
      ],
    });
    const [first, heating, cooling] = [Math.log(10 / 8) / k, Math.log(12 / 8) / k, Math.log(12 / 8) / k];
    const expected = [first];
    for (let n = 0; expected[n] < 12; n++) expected.push(expected[n] + (n % 2 === 0 ? heating : cooling));
    expectTimes(eventTimes, expected.slice(0, -1), 1e-10);
    events.forEach(({ name }, i) => expect(name).to.equal(i % 2 === 0 ? 'on' : 'off'));
  });

  it('a steady state ends it', () => {
    const { status, t } = odeintHybrid((_t, [y]) => [-y], [1], 0, {
      t1: 1000,
      events: [terminateAtSteadyState({ rtol: 1e-9, atol: 1e-4 })],
      discreteTimes: [{ t: 2, affect: add(1) }],
    });
    expect(status).to.equal('event');
    expect(t[t.length - 1]).to.be.closeTo(2 + Math.log((1 + Math.exp(-2)) / 1e-4), 1e-2);
  });

  it('affect receives the time, a copy of the state, and args', () => {
    const seen: unknown[] = [];
    const args = { e: 0.5 };
    const { y, events } = odeintHybrid(fall, [1, 0], 0, {
      ...{ ...tight, t1: 0.6, args },
      events: [
        {
          eventFn: height,
          direction: -1,
          affect: (t, y, args) => {
            seen.push(t, args);
            y[0] = 0;
            y[1] *= -args.e;
            return y;
          },
        },
      ],
    });
    expect(seen).to.deep.equal([events[0].t, args]);
    // The side before the jump is what it was.
    expect(y[events[0].row][1]).to.be.below(0);
    expect(y[events[0].row + 1][1]).to.be.above(0);
  });
});

describe('odeintHybrid: doses', () => {
  it('of two compartments and a depot, against matrix exponentials by scipy', () => {
    const { rates, doses, t: save, before } = reference.two_compartments;
    const [ka, ke, k12, k21] = rates;
    const field = (_t: number, [a, c, p]: Float64Array) => [
      -ka * a,
      ka * a - (ke + k12) * c + k21 * p,
      k12 * c - k21 * p,
    ];
    const { t, y, events, status } = odeintHybrid(field, [0, 0, 0], 0, {
      ...{ ...tight, t1: 24, saveAt: save },
      discreteTimes: doses.map(([time, amount]) => ({ t: time, affect: add(amount) })),
    });
    expect(status).to.equal('success');
    // Landed on exactly.
    expect(events.map((event) => event.t)).to.deep.equal(doses.map(([time]) => time));
    save.forEach((time, i) => {
      const row = t.indexOf(time);
      before[i].forEach((value, j) => expect(y[row][j], `t = ${time}`).to.be.closeTo(value, 1e-9));
    });
    // Every saved time once, but both sides of doses.
    expect(t.length).to.equal(1 + save.length + doses.length);
  });

  it('in their order when at the same time, at t0 and at t1', () => {
    const dose = (t: number, affect: (t: number, y: Float64Array) => number[]) => ({ t, affect });
    const { t, y, events } = odeintHybrid((_t, y) => [-y[0]], [1], 0, {
      ...{ ...tight, t1: 2 },
      discreteTimes: [dose(2, add(5)), dose(1, (_t, [x]) => [10 * x]), dose(0, add(1)), dose(1, add(1))],
    });
    expect([...t]).to.deep.equal([0, 0, 1, 1, 1, 2, 2]);
    const e1 = Math.exp(-1);
    const expected = [1, 2, 2 * e1, 20 * e1, 20 * e1 + 1, (20 * e1 + 1) * e1, (20 * e1 + 1) * e1 + 5];
    y.forEach(([x], i) => expect(x).to.be.closeTo(expected[i], 1e-10));
    expect(events.map(({ row }) => row)).to.deep.equal([0, 2, 3, 5]);
  });

  it("say which of the caller's list they are", () => {
    const list = [2, 0.5, 1].map((t) => ({ t, affect: add(1), name: `at ${t}` }));
    const { events } = odeintHybrid(clock, [0], 0, { t1: 3, discreteTimes: list });
    expect(events.map(({ name }) => name)).to.deep.equal(['at 0.5', 'at 1', 'at 2']);
    expect(events.map(({ index }) => list[index].t)).to.deep.equal([0.5, 1, 2]);
  });

  it('are landed on exactly: func never sees beyond one before it', () => {
    let given = false;
    const field = (t: number, [y]: Float64Array) => {
      expect(t <= 0.7 || given, `func at ${t}`).to.equal(true);
      return [-y];
    };
    odeintHybrid(field, [1], 0, {
      t1: 2,
      discreteTimes: [
        {
          t: 0.7,
          affect: (t, y) => {
            expect(t).to.equal(0.7);
            given = true;
            return y;
          },
        },
      ],
    });
    expect(given).to.equal(true);
  });

  it('and an event at the same time: both act', () => {
    // y = t reaches 1 at the time of the dose.
    const result = odeintHybrid(clock, [0], 0, {
      ...{ method: 'rk4', stepSize: 0.25, t1: 1.5 },
      events: [{ eventFn: (_t, [y]) => y - 1, affect: (_t, [y]) => [y + 10] }],
      discreteTimes: [{ t: 1, affect: add(100) }],
    });
    expect(result.events.map(({ kind }) => kind)).to.have.members(['event', 'discrete']);
    expect(result.y.at(-1)![0]).to.be.closeTo(111.5, 1e-9);
  });

  it('in reversed time', () => {
    const discreteTimes = [
      { t: 1, affect: add(1) },
      { t: 2, affect: add(10) },
    ];
    const { t, y } = odeintHybrid(clock, [3], 3, { t1: 0, discreteTimes, saveAt: [2.5, 1.5, 0.5] });
    expect([...t]).to.deep.equal([3, 2.5, 2, 2, 1.5, 1, 1, 0.5, 0]);
    [3, 2.5, 2, 12, 11.5, 11, 12, 11.5, 11].forEach((x, i) => expect(y[i][0]).to.be.closeTo(x, 1e-12));
  });
});

describe('odeintHybrid: what it returns and throws', () => {
  it('saveAt is in t, once each, between the events', () => {
    const saveAt = [0.1, 0.45, 0.46, 1, 1.5];
    const { t, y } = odeintHybrid(fall, [1, 0], 0, { ...tight, t1: 1.5, saveAt, events: [ground(1)] });
    for (const time of saveAt) expect([...t].filter((other) => other === time)).to.have.length(1);
    expect([...t]).to.deep.equal([...t].sort((a, b) => a - b));
    // Elastic: the ball is at 1 - g s^2 / 2, s from the nearest apex.
    const period = 2 * landing(1, 0);
    for (const time of saveAt) {
      const s = time - period * Math.round(time / period);
      expect(y[t.indexOf(time)][0]).to.be.closeTo(1 - (g * s * s) / 2, 1e-10);
    }
  });

  it("saveAt at an event's time does not make a row of its own", () => {
    const at = landing(1, 0);
    const { t, events } = odeintHybrid(fall, [1, 0], 0, {
      ...tight,
      t1: 0.6,
      saveAt: [at],
      events: [ground(1)],
    });
    const near = [...t].filter((time) => Math.abs(time - at) < 1e-9);
    expect(near.length).to.be.within(2, 3);
    expect([...t]).to.deep.equal([...t].sort((a, b) => a - b));
    expect(t[events[0].row]).to.equal(events[0].t);
    expect(t[events[0].row + 1]).to.equal(events[0].t);
  });

  it("rows are the caller's own, y0 is left alone", () => {
    const y0 = Float64Array.of(1, 0);
    const { y } = odeintHybrid(fall, y0, 0, { t1: 0.6, events: [ground(1)] });
    expect([...y0]).to.deep.equal([1, 0]);
    expect(new Set(y.map((row) => row.buffer)).size).to.equal(y.length);
    y[0].fill(NaN);
    expect([...y0]).to.deep.equal([1, 0]);
  });

  it('the async form returns the same', async () => {
    const options = {
      t1: 2,
      saveAt: [0.3, 1.1],
      events: [ground(0.8)],
      discreteTimes: [{ t: 1, affect: add(0.5) }],
    };
    const [sync, later] = [
      odeintHybrid(fall, [1, 0], 0, options),
      await odeintHybridAsync(fall, [1, 0], 0, options),
    ];
    expect(later).to.deep.equal(sync);
  });

  it('without events on the way it is odeint', () => {
    const { y } = odeintHybrid(harmonic, [1, 0], 0, {
      t1: 3,
      events: [{ eventFn: () => 1, affect: (_t: number, y: Float64Array) => y }],
    });
    expect([...y.at(-1)!]).to.deep.equal([...odeint(harmonic, [1, 0], [0, 3])[1]]);
  });

  it('a failure of the solve, and what affect throws, reach the caller', () => {
    const blowUp = (_t: number, [y]: Float64Array) => [y * y];
    const discreteTimes = [{ t: 0.1, affect: add(1) }];
    expect(() => odeintHybrid(blowUp, [1], 0, { t1: 5, discreteTimes })).to.throw(OdeError);
    expect(() => odeintHybrid(() => [NaN], [1], 0, { t1: 5, discreteTimes })).to.throw(NonFiniteStateError);
    const thrower = () => {
      throw new RangeError('thrown by the caller');
    };
    expect(() =>
      odeintHybrid(fall, [1, 0], 0, { t1: 2, discreteTimes: [{ t: 1, affect: thrower }] }),
    ).to.throw(RangeError);
  });
});
