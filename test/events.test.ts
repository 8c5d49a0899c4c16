/**
 * Events on plain numbers: what counts as one, in which order, and what they leave alone. Accuracy is in
 * event_accuracy.test.ts, tensors are in event_tensors.test.ts.
 */
import { expect } from 'chai';
import {
  iterate,
  NoEventError,
  odeint,
  odeintEvent,
  OdeError,
  solve,
  type EventOption,
  type PlainEventFunc,
} from 'tfjs-diffeq';
import { thrownBy } from './engine_probe.js';
import { clock, fall, harmonic, height, reference } from './event_problems.js';

type PlainEvent = EventOption<PlainEventFunc>;
/** One step from 0 to 1, of y = t. */
const oneStep = { method: 'rk4', stepSize: 1 } as const;
const level = (value: number, more: object = {}): PlainEvent => ({
  eventFn: (_t, [y]) => y - value,
  ...more,
});
const timesOf = (found: { t: number }[]): number[] => found.map(({ t }) => t);

function expectTimes(actual: readonly number[], expected: readonly number[], within = 1e-9): void {
  expect(actual, `found ${actual.join(', ')}; expected ${expected.join(', ')}`).to.have.length(
    expected.length,
  );
  actual.forEach((t, i) => expect(t, `event ${i}`).to.be.closeTo(expected[i], within));
}

describe('direction and terminal', () => {
  for (const { t0, t1, direction, terminal, status, end, times } of reference.directions) {
    it(`are those of scipy's solve_ivp: from ${t0} to ${t1}, ${direction}, ${terminal ? 'terminal' : 'recorded'}`, () => {
      const result = solve(harmonic, [1, 0], [t0, t1], {
        ...{ method: 'dopri8', rtol: 1e-11, atol: 1e-12 },
        events: [
          { eventFn: (_t, [q]) => q - 0.3, direction },
          { eventFn: (_t, [, p]) => p + 0.5, direction: -direction as 0, terminal },
        ],
      });
      times.forEach((expected, index) =>
        expectTimes(timesOf(result.events.filter((event) => event.index === index)), expected, 1e-8),
      );
      expect(result.status).to.equal(status === 1 ? 'event' : 'success');
      expect(result.event?.t ?? result.t[1]).to.be.closeTo(end, 1e-8);
    });
  }

  it('direction counts in the order of travel: what rises in t falls in reversed time', () => {
    for (const direction of [1, -1] as const) {
      const { events } = solve(clock, [2], [2, 0], { events: [level(1, { direction })] });
      expectTimes(timesOf(events), direction === -1 ? [1] : []);
    }
  });

  it('direction may be one per component, and the mask says which component crossed', () => {
    // q = cos t falls through 0 at pi/2 and rises at 3 pi/2; p = -sin t rises through 0 at pi.
    const eventFn = (_t: number, [q, p]: Float64Array) => [q, p];
    const found = (direction: (-1 | 0 | 1)[]) =>
      solve(harmonic, [1, 0], [0, 6], { events: [{ eventFn, direction }] }).events;
    const both = found([0, 0]);
    expectTimes(timesOf(both), [Math.PI / 2, Math.PI, 1.5 * Math.PI], 1e-6);
    expect(both.map(({ mask }) => mask)).to.deep.equal([
      [true, false],
      [false, true],
      [true, false],
    ]);
    expectTimes(timesOf(found([1, 1])), [Math.PI, 1.5 * Math.PI], 1e-6);
    expectTimes(timesOf(found([-1, -1])), [Math.PI / 2], 1e-6);
    expectTimes(timesOf(found([1, -1])), [1.5 * Math.PI], 1e-6);
  });

  it('the first component to cross ends odeintEvent, in forward and in reversed time', () => {
    const eventFn = (_t: number, [y]: Float64Array) => [y - 0.9, y - 0.4, y + 0.2, y + 0.6];
    expect(odeintEvent(clock, [0], 0, { eventFn })[0]).to.be.closeTo(0.4, 1e-9);
    expect(odeintEvent(clock, [0], 0, { eventFn, reverseTime: true })[0]).to.be.closeTo(-0.2, 1e-9);
    expect(odeintEvent(clock, [0], 0, { eventFn, ...oneStep })[0]).to.be.closeTo(0.4, 1e-9);
  });

  it('names come back, and so do default names and places', () => {
    const events = [level(0.2, { name: 'low' }), level(0.8)];
    const found = solve(clock, [0], [0, 1], { events }).events;
    expect(found.map(({ name, index, terminal }) => ({ name, index, terminal }))).to.deep.equal([
      { name: 'low', index: 0, terminal: false },
      { name: 'event 1', index: 1, terminal: false },
    ]);
  });
});

describe('several events within one step', () => {
  it('the earliest terminal one wins, in either order of the list', () => {
    const [early, late] = [level(0.3, { terminal: true }), level(0.6, { terminal: true })];
    for (const events of [
      [early, late],
      [late, early],
    ]) {
      const { status, event, events: found } = solve(clock, [0], [0, 1], { ...oneStep, events });
      expect(status).to.equal('event');
      expectTimes(timesOf(found), [0.3]);
      expect(event!.index).to.equal(events.indexOf(early));
      expect(event!.y[0]).to.be.closeTo(0.3, 1e-9);
    }
  });

  it('recorded ones before a terminal one are recorded, those after it are not', () => {
    for (const reversed of [false, true]) {
      const list = [level(0.2), level(0.4, { terminal: true }), level(0.7)];
      const events = reversed ? list.reverse() : list;
      const { events: found } = solve(clock, [0], [0, 1], { ...oneStep, events });
      expectTimes(timesOf(found), [0.2, 0.4]);
    }
  });

  it('are in the order of travel, in reversed time too', () => {
    const events = [level(0.2), level(0.7), level(0.4)];
    const order = (t: number[]) => solve(clock, [t[0]], t, { ...oneStep, events }).events;
    expect(order([0, 1]).map(({ index }) => index)).to.deep.equal([0, 2, 1]);
    expect(order([1, 0]).map(({ index }) => index)).to.deep.equal([1, 2, 0]);
  });

  it('a terminal and a recorded one at the same time: the solve ends, whatever their order', () => {
    const [ends, notes] = [level(0.3, { terminal: true }), level(0.3)];
    for (const events of [
      [ends, notes],
      [notes, ends],
    ]) {
      const { status, event } = solve(clock, [0], [0, 1], { ...oneStep, events });
      expect(status).to.equal('event');
      expect(event?.index).to.equal(events.indexOf(ends));
    }
  });

  it('two roots of one component are both found, with their directions', () => {
    const eventFn = (_t: number, [y]: Float64Array) => (y - 0.3) * (y - 0.6);
    const found = (direction: -1 | 0 | 1) =>
      timesOf(solve(clock, [0], [0, 1], { ...oneStep, events: [{ eventFn, direction }] }).events);
    expectTimes(found(0), [0.3, 0.6]);
    expectTimes(found(-1), [0.3]);
    expectTimes(found(1), [0.6]);
    expect(odeintEvent(clock, [0], 0, { ...oneStep, eventFn })[0]).to.be.closeTo(0.3, 1e-9);
    expect(odeintEvent(clock, [0], 0, { ...oneStep, eventFn, direction: 1 })[0]).to.be.closeTo(0.6, 1e-9);
  });

  it('every root of sin(2 pi k t) is found for k <= 3 with 8 parts, and for k = 20 with eventSamples: 64', () => {
    for (const [k, eventSamples] of [
      [1, undefined],
      [2, undefined],
      [3, undefined],
      [20, 64],
    ] as const) {
      const eventFn = (_t: number, [y]: Float64Array) => Math.cos(2 * Math.PI * k * y);
      const { events } = solve(clock, [0], [0, 1], { ...oneStep, eventSamples, events: [{ eventFn }] });
      expectTimes(
        timesOf(events),
        Array.from({ length: 2 * k }, (_, i) => (i + 0.5) / (2 * k)),
      );
    }
  });

  it('two roots closer than a part may be missed, as documented; eventSamples or maxStep finds them', () => {
    const events = [{ eventFn: (_t: number, [y]: Float64Array) => (y - 0.3) * (y - 0.35) }];
    const found = (options: object) => timesOf(solve(clock, [0], [0, 1], { events, ...options }).events);
    expectTimes(found({ ...oneStep, eventSamples: 40 }), [0.3, 0.35]);
    expectTimes(found({ maxStep: 0.125 }), [0.3, 0.35]);
  });
});

describe('an event at the edge of something', () => {
  const sine = (direction: -1 | 0 | 1, t1: number) =>
    timesOf(solve(harmonic, [0, 1], [0, t1], { events: [{ eventFn: height, direction }] }).events);

  it('at t0 leaves first: sin t counts from pi on', () => {
    expectTimes(sine(0, 7), [Math.PI, 2 * Math.PI], 1e-6);
    expectTimes(sine(1, 7), [2 * Math.PI], 1e-6);
    expectTimes(sine(-1, -7), [-2 * Math.PI], 1e-6);
    expect(odeintEvent(harmonic, [0, 1], 0, { eventFn: height, reverseTime: true })[0]).to.be.closeTo(
      -Math.PI,
      1e-6,
    );
  });

  it('within eventTol of t0, on either side, leaves first; further off it is an event', () => {
    for (const offset of [1e-10, -1e-10]) {
      expect(odeintEvent(harmonic, [offset, 1], 0, { eventFn: height })[0]).to.be.closeTo(Math.PI, 1e-6);
    }
    const [t] = odeintEvent(harmonic, [-1e-10, 1], 0, { eventFn: height, eventTol: 1e-12 });
    expect(t).to.be.closeTo(1e-10, 1e-12);
  });

  for (const h0 of [1, 0.3, 7, 1e-3]) {
    it(`a value that starts at zero with no slope, and does not come back, is no event (h0 = ${h0})`, () => {
      const eventFn = (_t: number, [h]: Float64Array) => h - h0;
      expect(solve(fall, [h0, 0], [0, 1], { events: [{ eventFn }] }).events).to.deep.equal([]);
      expect(() => odeintEvent(fall, [h0, 0], 0, { eventFn, maxTime: 1 })).to.throw(NoEventError);
    });
  }

  it('at a step end is found once', () => {
    for (const options of [{ method: 'rk4', stepSize: 0.25 }, { stepT: [0.5] }] as const) {
      const { events } = solve(clock, [0], [0, 1], { ...options, events: [level(0.5)] });
      expectTimes(timesOf(events), [0.5], 1e-12);
      const ended = solve(clock, [0], [0, 1], { ...options, events: [level(0.5, { terminal: true })] });
      expectTimes(timesOf(ended.events), [0.5], 1e-12);
    }
  });

  it('at an output time is found once, and the output is right', () => {
    const { t, y, event } = solve(clock, [0], [0, 0.25, 0.5, 0.75], {
      events: [level(0.5, { terminal: true })],
    });
    expect(event!.t).to.be.closeTo(0.5, 1e-9);
    // The grid before the event; the time that is the event's may be on either side of its rounding.
    expect([2, 3]).to.include(t.length);
    expect(y).to.have.length(t.length);
    t.forEach((time, i) => expect(y[i][0]).to.be.closeTo(time, 1e-12));
  });

  it('at the end is found, where the last value is zero to the last bit', () => {
    for (const [t0, t1] of [
      [0, 1],
      [1, 0],
    ]) {
      const steps = { method: 'rk4', stepSize: 0.25 } as const;
      const { events, status } = solve(clock, [t0], [t0, t1], {
        ...steps,
        events: [level(t1, { terminal: true })],
      });
      expectTimes(timesOf(events), [t1], 1e-12);
      expect(status).to.equal('event');
      const eventFn = (_t: number, [y]: Float64Array) => y - t1;
      const search = { ...steps, eventFn, maxTime: t1, reverseTime: t1 < t0 };
      expect(odeintEvent(clock, [t0], t0, search)[0]).to.equal(t1);
    }
  });

  it('at a jumpT time is found once, in both directions of travel', () => {
    // y = t up to 0.7, then three times as fast.
    const bent = (t: number) => [t < 0.7 ? 1 : 3];
    for (const eventFn of [(t: number) => t - 0.7, (_t: number, [y]: Float64Array) => y - 0.7]) {
      for (const [y0, ...t] of [
        [0, 0, 1.5],
        [0.7 + 3 * 0.8, 1.5, 0],
      ]) {
        const { events } = solve(bent, [y0], t, { jumpT: [0.7], events: [{ eventFn }] });
        expectTimes(timesOf(events), [0.7]);
        expect(events[0].y[0]).to.be.closeTo(0.7, 1e-9);
      }
    }
  });

  it('on either side of a jumpT time is located on its own side', () => {
    const bent = (t: number) => [t < 0.7 ? 1 : 3];
    for (const terminal of [false, true]) {
      for (const [value, expected] of [
        [0.69, 0.69],
        [1, 0.8],
      ]) {
        const events = [level(value, { terminal })];
        expectTimes(timesOf(solve(bent, [0], [0, 1.5], { jumpT: [0.7], events }).events), [expected]);
      }
    }
  });

  it('touching zero without crossing is none, as documented: the apex of a throw', () => {
    // The apex of a throw at 9.81 m/s is at 4.905 m; a millimetre lower there are two crossings.
    const at = (value: number) =>
      solve(fall, [0, 9.81], [0, 2], { maxStep: 0.02, events: [level(value)] }).events.length;
    expect(at(4.905 + 1e-3)).to.equal(0);
    expect(at(4.905 - 1e-3)).to.equal(2);
  });
});

describe('event functions', () => {
  it('of t only have their roots', () => {
    const { events } = solve(clock, [0], [0, 3.5], { events: [{ eventFn: (t) => Math.sin(Math.PI * t) }] });
    expectTimes(timesOf(events), [1, 2, 3]);
    expect(odeintEvent(clock, [0], 5, { eventFn: (t) => t - 2, reverseTime: true })[0]).to.be.closeTo(
      2,
      1e-9,
    );
  });

  it('that jump are followed to the jump', () => {
    for (const terminal of [false, true]) {
      const eventFn = (_t: number, [y]: Float64Array) => (y < 0.4 ? -1 : 1);
      expectTimes(timesOf(solve(clock, [0], [0, 1], { events: [{ eventFn, terminal }] }).events), [0.4]);
    }
  });

  it('receive args and t, and may reuse the array they return', () => {
    const buffer = [0, 0];
    const eventFn = (t: number, [y]: Float64Array, args: { level: number }) => {
      buffer[0] = y - args.level;
      buffer[1] = t - 5;
      return buffer;
    };
    const { events } = solve(clock, [0], [0, 1], { args: { level: 0.5 }, events: [{ eventFn }] });
    expectTimes(timesOf(events), [0.5]);
  });

  for (const [title, eventFn] of [
    ['from the start', () => NaN],
    ['beyond what would have been the event', (_t: number, [y]: Float64Array) => Math.sqrt(0.5 - y)],
    ['in one component', (_t: number, [y]: Float64Array) => [y - 9, NaN]],
  ] as const) {
    it(`that are NaN ${title} do not pass as functions without roots`, () => {
      const error = thrownBy(() => odeintEvent(clock, [0], 0, { eventFn, maxTime: 1 }));
      expect(error).to.be.instanceOf(OdeError);
      expect((error as OdeError).message).to.match(/eventFn.*(NaN|finite)/);
      expect(() => solve(clock, [0], [0, 1], { events: [{ eventFn }] })).to.throw(OdeError, /NaN|finite/);
    });
  }
});

describe('what events leave alone', () => {
  it('recorded ones do not change the accepted steps', () => {
    for (const options of [
      {},
      { method: 'dopri8' },
      { method: 'rk4', stepSize: 0.1 },
      { jumpT: [2] },
    ] as const) {
      const walk = (events?: PlainEvent[]) => {
        const steps: number[][] = [];
        for (const { t, h, y } of iterate(harmonic, [1, 0], { t0: 0, t1: 10, ...options, events })) {
          steps.push([t, h, ...y]);
        }
        return steps;
      };
      const seen = walk([{ eventFn: height }, { eventFn: (_t, y) => y }]);
      expect(seen).to.deep.equal(walk());
    }
  });

  it('a terminal one leaves the steps before it, and ends with a state of the method itself', () => {
    const all = [...iterate(harmonic, [1, 0], { t0: 0, t1: 10 })].map(({ t }) => t);
    const some = [
      ...iterate(harmonic, [1, 0], {
        t0: 0,
        t1: 10,
        events: [{ eventFn: height, direction: 1, terminal: true }],
      }),
    ].map(({ t }) => t);
    expect(some.at(-1)).to.be.closeTo(1.5 * Math.PI, 1e-6);
    expect(some.slice(0, -1)).to.deep.equal(all.slice(0, some.length - 1));
  });
});

describe('a search without an event', () => {
  it('throws NoEventError at maxTime, with how far it came, in forward and reversed time', () => {
    for (const [maxTime, reverseTime] of [
      [2, false],
      [-2, true],
    ] as const) {
      const error = thrownBy(() => odeintEvent(clock, [0], 0, { eventFn: () => 1, maxTime, reverseTime }));
      expect(error).to.be.instanceOf(NoEventError);
      expect(error).to.include({ t: maxTime });
      expect((error as NoEventError).stats!.accepted).to.be.above(0);
      expect((error as NoEventError).message).to.match(/maxTime/);
    }
  });

  it('without maxTime ends by maxNumSteps, and says so', () => {
    const options = { eventFn: () => 1, maxNumSteps: 20, maxStep: 1 };
    const error = thrownBy(() => odeintEvent(harmonic, [1, 0], 0, options));
    expect(error).to.be.instanceOf(NoEventError);
    expect((error as NoEventError).t).to.be.within(1, 20);
    expect((error as NoEventError).message).to.match(/maxNumSteps/);
  });

  it('odeint with eventFn takes t[0] and the direction of t only, as torchdiffeq does', () => {
    const eventFn = (_t: number, [y]: Float64Array) => [y - 5, y + 5];
    expect(odeint(clock, [0], [0, 1], { eventFn })[0]).to.be.closeTo(5, 1e-9);
    expect(odeint(clock, [0], [0, 0.1, 0.2], { eventFn })[0]).to.be.closeTo(5, 1e-9);
    const [t, ys] = odeint(clock, [0], [0, -1], { eventFn });
    expect(t).to.be.closeTo(-5, 1e-9);
    expect(ys).to.have.length(2);
    expect(ys[0][0]).to.equal(0);
    expect(ys[1][0]).to.be.closeTo(-5, 1e-9);
  });
});
