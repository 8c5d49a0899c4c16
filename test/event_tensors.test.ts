/**
 * Events on tensors: trees, host reads, memory (also where eventFn throws), iterators, and the async driver.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  iterate,
  iterateAsync,
  MissingGradientError,
  odeintAsync,
  odeintEvent,
  odeintEventAsync,
  solve,
  solveAsync,
  terminateAtSteadyState,
  type EventOption,
  type TensorEventFunc,
  type TensorOptions,
} from 'tfjs-diffeq';
import { onBackends } from './backends.js';
import {
  countLaunches,
  leavesOnlyItsResult,
  leavesOnlyItsResultAsync,
  rejectionOf,
  tensorsIn,
  thrownBy,
} from './engine_probe.js';
import {
  clockTensor,
  fallTensor,
  harmonicTensor,
  heightTensor,
  landing,
  pair,
  type Pair,
} from './event_problems.js';

type Event = EventOption<TensorEventFunc<Pair>>;
type Options = TensorOptions<Pair>;
const quarter = Math.PI / 2;
/** q recorded, p terminal from the second time on. */
const recorded: Event = { eventFn: heightTensor };
const speed = (_t: unknown, [, p]: Pair): tf.Tensor => p;
const terminal: Event = { eventFn: speed, direction: -1, terminal: true };

const freed = <T>(result: T): T => {
  tf.dispose(tensorsIn(result));
  return result;
};

describe('events of trees of tensors', () => {
  onBackends(['cpu', 'wasm', 'tensorflow'], () => {
    it('solve records and ends; states are trees like y0', () => {
      tf.tidy(() => {
        const { events, event, status, t, y } = solve(harmonicTensor, pair(1, 0), [0, 2, 10], {
          events: [recorded, terminal],
        });
        // p = -sin t falls through 0 at 2 pi; q = cos t is 0 at pi/2 and 3 pi/2.
        expect(status).to.equal('event');
        expect(Array.from(t)).to.deep.equal([0, 2]);
        expect(y[0].shape).to.deep.equal([2]);
        [quarter, 3 * quarter, 4 * quarter].forEach((time, i) =>
          expect(events[i].t).to.be.closeTo(time, 2e-5),
        );
        expect(events).to.have.length(3);
        expect(event!.y.map((leaf) => leaf.dataSync()[0])[0]).to.be.closeTo(1, 1e-4);
      });
    });

    it('an eventFn of many components, of any shape, has a direction for each', () => {
      const levels = tf.tensor2d([0.9, 0.5, -0.5, -0.9], [2, 2]);
      const eventFn = (_t: unknown, [q]: Pair) => tf.sub(q, levels);
      tf.tidy(() => {
        // cos t rises through -0.9 at 2 pi - acos(-0.9).
        const direction = [1, 1, -1, 1] as const;
        const { events } = solve(harmonicTensor, pair(1, 0), [0, 4], { events: [{ eventFn, direction }] });
        expect(events.map(({ mask }) => mask.indexOf(true))).to.deep.equal([2, 3]);
        expect(events[0].t).to.be.closeTo(Math.acos(-0.5), 2e-5);
        expect(events[1].t).to.be.closeTo(2 * Math.PI - Math.acos(-0.9), 2e-5);
      });
      levels.dispose();
    });

    it('two events within one step, and two roots of one', () => {
      tf.tidy(() => {
        const oneStep = { method: 'rk4', stepSize: 1 } as const;
        const at = (value: number) => (_t: unknown, y: tf.Tensor) => tf.sub(y, value);
        for (const levels of [
          [0.3, 0.6],
          [0.6, 0.3],
        ]) {
          const events = levels.map((value) => ({ eventFn: at(value), terminal: true }));
          const { event } = solve(clockTensor, tf.tensor1d([0]), [0, 1], { ...oneStep, events });
          expect(event!.t).to.be.closeTo(0.3, 1e-6);
        }
        const eventFn = (_t: unknown, y: tf.Tensor) => tf.mul(tf.sub(y, 0.3), tf.sub(y, 0.6));
        const { events } = solve(clockTensor, tf.tensor1d([0]), [0, 1], {
          ...oneStep,
          events: [{ eventFn }],
        });
        expect(events).to.have.length(2);
        [0.3, 0.6].forEach((time, i) => expect(events[i].t).to.be.closeTo(time, 1e-6));
      });
    });

    it('at t0 leaves first, in both directions, and with no slope is no event', () => {
      tf.tidy(() => {
        const [t] = odeintEvent(harmonicTensor, pair(0, 1), 0, { eventFn: heightTensor });
        expect(t.dataSync()[0]).to.be.closeTo(Math.PI, 2e-5);
        const [back] = odeintEvent(harmonicTensor, pair(0, 1), 0, {
          eventFn: heightTensor,
          reverseTime: true,
        });
        expect(back.dataSync()[0]).to.be.closeTo(-Math.PI, 2e-5);
        for (const h0 of [1, 0.3, 7, 10]) {
          const eventFn = (_t: unknown, [h]: Pair) => tf.sub(h, h0);
          expect(
            solve(fallTensor, pair(h0, 0), [0, 1], { firstStep: 0.25, events: [{ eventFn }] }).events,
            `h0 = ${h0}`,
          ).to.have.length(0);
        }
      });
    });

    it('a function of t only, and a steady state', () => {
      tf.tidy(() => {
        const [t] = odeintEvent(clockTensor, tf.tensor1d([0]), 0, { eventFn: (time) => tf.sub(time, 2.5) });
        expect(t.dataSync()[0]).to.be.closeTo(2.5, 3e-6);
        const relax = (_t: tf.Scalar, y: tf.Tensor) => tf.sub(1, y);
        const { event } = solve(relax, tf.tensor1d([0]), [0, 1000], {
          events: [terminateAtSteadyState({ rtol: 1e-3, atol: 1e-5 })],
        });
        expect(event!.t).to.be.closeTo(-Math.log(1.01e-3), 5e-2);
      });
    });
  });
});

describe('host reads', () => {
  const reads = (options: Options & { events?: Event[] }): { reads: number; steps: number } => {
    let steps = 0;
    const counted = countLaunches(() =>
      tf.tidy(() => {
        steps = solve(harmonicTensor, pair(1, 0), [0, 6.5], options).stats.steps;
      }),
    );
    return { reads: counted.reads, steps };
  };

  const never: Event = { eventFn: (_t, [q]) => tf.add(q, 9) };

  it('event values ride with the error norm: one read per attempted step, and one for the values at t0', () => {
    for (const method of ['dopri5', 'dopri8', 'bosh3'] as const) {
      const without = reads({ method });
      const watched = reads({ method, events: [never] });
      expect(watched.steps).to.equal(without.steps);
      expect(watched.reads, method).to.be.at.most(without.reads + 1);
    }
  });

  it('a terminal event costs at most two, a recorded one too', () => {
    for (const [event, count] of [
      [terminal, 1],
      [recorded, 2],
    ] as const) {
      // Both events of q and the one of p are within 6.5.
      const { reads: found, steps } = reads({ events: [event] });
      const watched = reads({ events: [never] });
      expect(found).to.be.at.most(watched.reads - (watched.steps - steps) + 2 * count);
    }
  });

  it('fixed steps with events: one read per step', () => {
    const { reads: found, steps } = reads({ method: 'rk4', stepSize: 0.1, events: [never] });
    expect(found).to.be.at.most(steps + 2);
  });
});

describe('memory of events', () => {
  const both: Event[] = [recorded, { eventFn: (_t, [q]) => tf.add(q, 0.2), terminal: true, direction: 1 }];
  const solved = (events: Event[], options: Options = {}) => {
    const { y, events: found } = solve(harmonicTensor, start, [0, 1, 8], { ...options, events });
    return [y, found];
  };
  let start: Pair;
  beforeEach(() => {
    start = pair(1, 0);
  });
  afterEach(() => {
    expect(start.map((leaf) => leaf.isDisposed)).to.deep.equal([false, false]);
    tf.dispose(start);
  });

  it('is what is returned, with every kind of step', () => {
    for (const options of [
      {},
      { method: 'dopri8' },
      { method: 'rk4', stepSize: 0.1 },
      { jumpT: [1.3] },
    ] as Options[]) {
      freed(leavesOnlyItsResult(() => solved(both, options)));
      freed(
        leavesOnlyItsResult(() =>
          odeintEvent(harmonicTensor, start, 0, { ...options, eventFn: heightTensor }),
        ),
      );
    }
  });

  it('does not grow along a solve whose events are disposed of', () => {
    const held: number[] = [];
    for (const { events } of iterate(harmonicTensor, start, { t0: 0, t1: 60, events: [recorded] })) {
      freed(events);
      held.push(tf.memory().numTensors);
    }
    expect(Math.max(...held)).to.be.at.most(Math.max(...held.slice(0, 5)) + 4);
  });

  /* eventFn that throws at its n-th call, after it has made a tensor. */
  const failing = (n: number): { events: Event[]; calls: () => number } => {
    let calls = 0;
    const wrap = (event: Event): Event => ({
      ...event,
      eventFn: (t, y, args) => {
        const value = event.eventFn(t, y, args);
        if (++calls === n) throw new RangeError('thrown by the caller');
        return value;
      },
    });
    return { events: both.map(wrap), calls: () => calls };
  };

  for (const options of [{}, { method: 'rk4', stepSize: 0.9 }, { method: 'rk4', stepSize: 8 }] as Options[]) {
    it(`is freed where eventFn throws, at every one of its calls: ${JSON.stringify(options)}`, () => {
      const all = failing(0);
      freed(solved(all.events, options));
      expect(all.calls()).to.be.above(10);
      for (let n = 1; n <= all.calls(); n++) {
        const { events } = failing(n);
        expect(() => leavesOnlyItsResult(() => solved(events, options)), `call ${n}`).to.throw(RangeError);
      }
    });
  }

  it('is freed where eventFn of odeintEvent throws, or returns what is no number', async () => {
    for (let n = 1; n < 40; n += 3) {
      for (const instead of [() => undefined, () => tf.tensor1d([]), () => [1], () => tf.scalar(true)]) {
        let calls = 0;
        const eventFn = (_t: unknown, [q]: Pair) => (++calls === n ? (instead() as tf.Tensor) : q);
        const call = () => odeintEvent(harmonicTensor, start, 0, { eventFn });
        const before = tf.memory().numTensors;
        try {
          freed(call());
        } catch (error) {
          expect(error).to.have.property('name', 'InvalidArgumentError');
        }
        expect(tf.memory().numTensors - before, `call ${n}`).to.equal(0);
      }
    }
  });

  it('is freed where a callback throws on the step of a recorded event', () => {
    for (const name of ['onAccept', 'onProgress', 'onStep'] as const) {
      for (let n = 1; n < 12; n++) {
        let calls = 0;
        const call = () =>
          solved([recorded], {
            [name]: () => {
              if (++calls === n) throw new RangeError('thrown by the caller');
            },
          });
        expect(() => leavesOnlyItsResult(call), `${name}, call ${n}`).to.throw(RangeError);
      }
    }
  });

  it('is freed by async solves, also where eventFn throws', async () => {
    const call = async (events: Event[]) => {
      const { y, events: found } = await solveAsync(harmonicTensor, start, [0, 1, 8], { events });
      return [y, found];
    };
    freed(await leavesOnlyItsResultAsync(() => call(both)));
    freed(
      await leavesOnlyItsResultAsync(() =>
        odeintEventAsync(harmonicTensor, start, 0, { eventFn: heightTensor }),
      ),
    );
    for (const n of [1, 2, 15, 40]) {
      const { events } = failing(n);
      const error = await rejectionOf(leavesOnlyItsResultAsync(() => call(events)));
      expect(error).to.be.instanceOf(RangeError);
    }
  });
});

describe('iterate with events', () => {
  it("hands each event out in the step that holds it; a terminal one is the last step's end", () => {
    const y0 = pair(1, 0);
    let last = NaN;
    const times: number[] = [];
    for (const step of iterate(harmonicTensor, y0, { t0: 0, events: [recorded, terminal] })) {
      for (const event of step.events) {
        expect((event.t - (step.t - step.h)) * (event.t - step.t)).to.be.at.most(1e-12);
        times.push(event.t);
        if (event.terminal) {
          expect(event.t).to.equal(step.t);
          expect(event.y.map((leaf) => leaf.dataSync()[0])).to.deep.equal(
            step.y.map((leaf) => leaf.dataSync()[0]),
          );
        }
        freed(event);
      }
      last = step.t;
    }
    expect(times).to.have.length(3);
    expect(last).to.be.closeTo(4 * quarter, 2e-5);
    tf.dispose(y0);
  });

  it('states of events belong to the caller, step.y does not', () => {
    const y0 = pair(1, 0);
    const kept: Pair[] = [];
    let borrowed: Pair | null = null;
    for (const step of iterate(harmonicTensor, y0, { t0: 0, t1: 3, events: [recorded] })) {
      for (const { y } of step.events) kept.push(y as Pair);
      borrowed ??= step.y as Pair;
    }
    expect(kept).to.have.length(1);
    expect(kept[0][0].dataSync()[0]).to.be.closeTo(0, 1e-4);
    expect(borrowed!.every((leaf) => leaf.isDisposed)).to.equal(true);
    tf.dispose([...kept.flat(), ...y0]);
  });

  it('left early it holds nothing but the events it gave', () => {
    const y0 = pair(1, 0);
    const before = tf.memory().numTensors;
    for (const step of iterate(harmonicTensor, y0, { t0: 0, events: [recorded] })) {
      freed(step.events);
      if (step.events.length > 0) break;
    }
    expect(tf.memory().numTensors).to.equal(before);
    tf.dispose(y0);
  });
});

describe('the async driver', () => {
  it('finds the events the sync one finds, to the bit', async () => {
    const y0 = pair(1, 0);
    const plain = (result: { t: number; y: tf.Tensor[] }[]) =>
      result.map(({ t, y }) => [t, ...y.map((leaf) => leaf.dataSync()[0])]);
    const options = { events: [recorded, terminal] };
    const [sync, later] = [
      solve(harmonicTensor, y0, [0, 9], options),
      await solveAsync(harmonicTensor, y0, [0, 9], options),
    ];
    expect(plain(later.events)).to.deep.equal(plain(sync.events));
    expect(later.status).to.equal('event');
    const walked: { t: number; y: tf.Tensor[] }[] = [];
    for await (const step of iterateAsync(harmonicTensor, y0, { t0: 0, ...options }))
      walked.push(...step.events);
    expect(plain(walked)).to.deep.equal(plain(sync.events));
    const [t] = odeintEvent(harmonicTensor, y0, 0, { eventFn: heightTensor });
    const [s] = await odeintEventAsync(harmonicTensor, y0, 0, { eventFn: heightTensor });
    const [r] = await odeintAsync(harmonicTensor, y0, [0, 1], { eventFn: heightTensor });
    expect([s, r].map((x) => x.dataSync()[0])).to.deep.equal([t.dataSync()[0], t.dataSync()[0]]);
    tf.disposeVariables();
    tf.dispose([...y0, t, s, r, ...tensorsIn([sync.y, sync.events, later.y, later.events, walked])]);
  });

  it('throws at once while a gradient is being taken', () => {
    for (const call of [
      (y: tf.Tensor) => odeintEventAsync(clockTensor, y, 0, { eventFn: (_t, x) => tf.sub(x, 5) }),
      (y: tf.Tensor) => odeintAsync(clockTensor, y, [0, 1], { eventFn: (_t, x) => tf.sub(x, 5) }),
      (y: tf.Tensor) => solveAsync(clockTensor, y, [0, 1], { events: [{ eventFn: (_t, x) => x }] }),
    ]) {
      const y0 = tf.scalar(1);
      const error = thrownBy(() => tf.grad((y) => call(y) as unknown as tf.Tensor)(y0));
      expect(error).to.be.instanceOf(MissingGradientError);
      y0.dispose();
    }
  });

  it('y0 may be disposed as soon as the call has returned', async () => {
    const y0 = pair(1, 0.4);
    const promise = odeintEventAsync(fallTensor, y0, 0, { eventFn: heightTensor });
    tf.dispose(y0);
    const [t, ys] = await promise;
    expect(t.dataSync()[0]).to.be.closeTo(landing(1, 0.4), 3e-6);
    tf.dispose([t, ...ys]);
  });
});
