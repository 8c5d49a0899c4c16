/**
 * Input that cannot be used for events and hybrid systems: typed errors that name the remedy, from every entry point.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  InvalidArgumentError,
  iterate,
  odeint,
  odeintAdjoint,
  odeintDense,
  odeintEvent,
  odeintEventAsync,
  odeintHybrid,
  odeintHybridAsync,
  solve,
  solveAsync,
  terminateAtSteadyState,
} from 'tfjs-diffeq';
import { engineState, rejectionOf, thrownBy } from './engine_probe.js';
import { clock, clockTensor } from './event_problems.js';

/* eslint-disable-next-line @typescript-eslint/no-explicit-any -- wrong on purpose */
type Wrong = any;
const crossing = (_t: number, [y]: Float64Array) => y - 0.5;
const affect = (_t: number, y: Float64Array) => y;

function expectInvalid(error: unknown, message: RegExp, what: string): void {
  expect(error, what).to.be.instanceOf(InvalidArgumentError);
  expect((error as Error).message, what).to.match(message);
}

const eventOptions: [what: string, options: Wrong, message: RegExp][] = [
  ['no options', undefined, /options/],
  ['no eventFn', {}, /eventFn/],
  ['an eventFn that is no function', { eventFn: 3 }, /eventFn.*expected a function/],
  ['events in place of eventFn', { events: [{ eventFn: crossing }] }, /eventFn/],
  ['a direction that is none', { eventFn: crossing, direction: 2 }, /direction.*-1/],
  ['a direction in words', { eventFn: crossing, direction: 'up' }, /direction.*'up'/],
  ['no directions', { eventFn: crossing, direction: [] }, /direction/],
  ['too many directions', { eventFn: crossing, direction: [1, 1] }, /direction.*2 entries.*1 component/],
  ['eventTol 0', { eventFn: crossing, eventTol: 0 }, /eventTol.*positive/],
  ['eventTol NaN', { eventFn: crossing, eventTol: NaN }, /eventTol.*positive/],
  ['half a sample', { eventFn: crossing, eventSamples: 1.5 }, /eventSamples.*positive integer/],
  ['no samples', { eventFn: crossing, eventSamples: 0 }, /eventSamples.*positive integer/],
  ['maxTime before t0', { eventFn: crossing, maxTime: -1 }, /maxTime is number -1.*after/],
  ['maxTime at t0', { eventFn: crossing, maxTime: 0 }, /maxTime.*after/],
  ['maxTime NaN', { eventFn: crossing, maxTime: NaN }, /maxTime/],
  [
    'maxTime after t0 in reversed time',
    { eventFn: crossing, maxTime: 1, reverseTime: true },
    /maxTime.*before/,
  ],
  ['reverseTime in words', { eventFn: crossing, reverseTime: 'yes' }, /reverseTime.*true or false/],
  ['another interface', { eventFn: crossing, odeintInterface: 'odeint' }, /odeintInterface.*odeintAdjoint/],
  ['a name of torchdiffeq', { eventFn: crossing, reverse_time: true }, /reverseTime/],
  ['terminal, which it always is', { eventFn: crossing, terminal: true }, /terminal/],
  ['an eventFn without return', { eventFn: () => undefined }, /undefined.*return/],
  ['an eventFn of text', { eventFn: () => 'up' }, /'up'.*number/],
  ['an eventFn of nothing', { eventFn: () => [] }, /array of 0/],
  ['a promise', { eventFn: async () => 1 }, /promise/],
  ['a condition', { eventFn: () => true }, /true.*number/],
];

describe('odeintEvent', () => {
  for (const [what, options, message] of eventOptions) {
    it(`${what} throws, and odeintEventAsync rejects`, async () => {
      expectInvalid(
        thrownBy(() => odeintEvent(clock, [0], 0, options)),
        message,
        'odeintEvent',
      );
      // By rejection: a caller's catch() sees it.
      let promise: Promise<unknown>;
      expect(() => {
        promise = odeintEventAsync(clock, [0], 0, options);
        promise.catch(() => undefined);
      }, 'odeintEventAsync throws').not.to.throw();
      expectInvalid(await rejectionOf(promise!), message, 'odeintEventAsync');
    });
  }

  it('a t0 that is none throws', () => {
    for (const t0 of [NaN, Infinity, undefined, '0', [0, 1], tf.tensor1d([0, 1])] as Wrong[]) {
      expectInvalid(
        thrownBy(() => odeintEvent(clockTensor, tf.scalar(0), t0, { eventFn: (_t, y) => y })),
        /t0/,
        String(t0),
      );
    }
  });

  it('on tensors an eventFn of numbers, conditions or integers throws', () => {
    const before = engineState();
    tf.tidy(() => {
      for (const [eventFn, message] of [
        [() => 1, /number 1.*float32 tensor/],
        [(_t: unknown, y: tf.Tensor) => tf.greater(y, 0), /bool.*subtract/],
        [() => tf.scalar(1, 'int32'), /int32.*float32/],
        [() => undefined, /return/],
        [() => tf.tensor1d([]), /\[0\]/],
      ] as [Wrong, RegExp][]) {
        expectInvalid(
          thrownBy(() => odeintEvent(clockTensor, tf.scalar(0), 0, { eventFn })),
          message,
          String(eventFn),
        );
      }
    });
    expect(engineState()).to.deep.equal(before);
  });

  it('a quadrature beside eventFn throws', () => {
    const options = { eventFn: crossing, quadrature: () => [1] } as Wrong;
    expectInvalid(
      thrownBy(() => odeintEvent(clock, [0], 0, options)),
      /quadrature/,
      'quadrature',
    );
  });
});

describe('events of solve and iterate', () => {
  for (const [what, events, message] of [
    ['an empty list', [], /events/],
    ['a function', crossing, /events.*array/],
    ['a list of functions', [crossing], /events\[0\].*record/],
    ['no eventFn', [{ terminal: true }], /events\[0\]\.eventFn/],
    ['terminal as a number', [{ eventFn: crossing, terminal: 1 }], /events\[0\]\.terminal.*true or false/],
    ['a name that is none', [{ eventFn: crossing, name: 3 }], /events\[0\]\.name.*string/],
    ['a misspelt entry', [{ eventFn: crossing, terminate: true }], /terminate.*terminal/],
    ['an affect, which only odeintHybrid reads', [{ eventFn: crossing, affect }], /affect.*odeintHybrid/],
    [
      'a direction in the second',
      [{ eventFn: crossing }, { eventFn: crossing, direction: 3 }],
      /events\[1\]\.direction/,
    ],
  ] as [string, Wrong, RegExp][]) {
    it(`${what} throws`, async () => {
      expectInvalid(
        thrownBy(() => solve(clock, [0], [0, 1], { events })),
        message,
        'solve',
      );
      expectInvalid(
        thrownBy(() => iterate(clock, [0], { t0: 0, t1: 1, events })),
        message,
        'iterate',
      );
      expectInvalid(await rejectionOf(solveAsync(clock, [0], [0, 1], { events })), message, 'solveAsync');
    });
  }

  it('an option of events elsewhere names where it belongs', () => {
    for (const [call, message] of [
      [() => odeint(clock, [0], [0, 1], { events: [{ eventFn: crossing }] } as Wrong), /events.*solve/],
      [() => odeintDense(clock, [0], 0, 1, { eventFn: crossing } as Wrong), /eventFn.*odeint/],
      [() => solve(clock, [0], [0, 1], { eventFn: crossing } as Wrong), /eventFn.*events/],
      [() => odeint(clock, [0], [0, 1], { maxTime: 3 } as Wrong), /maxTime.*eventFn/],
      [() => solve(clock, [0], [0, 1], { direction: 1 } as Wrong), /direction/],
      [() => odeintAdjoint(clockTensor, tf.scalar(0), [0, 1], { events: [] } as Wrong), /events.*solve/],
    ] as [() => unknown, RegExp][]) {
      expectInvalid(thrownBy(call), message, String(call));
    }
  });

  it('tolerances of a steady state that are none throw', () => {
    for (const options of [{ rtol: 0 }, { atol: -1 }, { rtol: NaN }, { rtol: '1' }] as Wrong[]) {
      expectInvalid(
        thrownBy(() => terminateAtSteadyState(options)),
        /[ra]tol.*positive/,
        JSON.stringify(options),
      );
    }
    expectInvalid(
      thrownBy(() => terminateAtSteadyState({ reltol: 1e-3 } as Wrong)),
      /reltol/,
      'reltol',
    );
  });
});

describe('odeintHybrid', () => {
  const events = [{ eventFn: crossing, affect }];
  for (const [what, options, message] of [
    ['no options', undefined, /options/],
    ['no t1', { events }, /t1/],
    ['t1 at t0', { t1: 0, events }, /t1.*other than/],
    ['an endless t1', { t1: Infinity, events }, /t1.*finite/],
    ['neither events nor times', { t1: 1 }, /events.*discreteTimes/],
    ['an affect that is none', { t1: 1, events: [{ eventFn: crossing, affect: 3 }] }, /affect.*function/],
    ['maxEvents 0', { t1: 1, events, maxEvents: 0 }, /maxEvents.*positive/],
    [
      'a dose outside',
      { t1: 1, discreteTimes: [{ t: 2, affect }] },
      /discreteTimes\[0\]\.t.*from t0 = 0 to t1 = 1/,
    ],
    ['a dose without affect', { t1: 1, discreteTimes: [{ t: 0.5 }] }, /discreteTimes\[0\]\.affect/],
    ['doses as numbers', { t1: 1, discreteTimes: [0.5] }, /discreteTimes\[0\]/],
    ['a misspelt dose', { t1: 1, discreteTimes: [{ time: 0.5, affect }] }, /time/],
    ['saveAt outside', { t1: 1, events, saveAt: [0.5, 2] }, /saveAt/],
    ['saveAt against the order of travel', { t1: 1, events, saveAt: [0.7, 0.5] }, /saveAt.*order/],
    ['a grid in place of t1', { t1: [0, 1], events }, /t1/],
    ['an unknown option', { t1: 1, events, maxEvent: 3 }, /maxEvent/],
    ['eventFn beside events', { t1: 1, events, eventFn: crossing }, /eventFn/],
    [
      'an affect of the wrong length',
      { t1: 1, events: [{ eventFn: crossing, affect: () => [1, 2] }] },
      /affect.*1 finite/,
    ],
    [
      'an affect without return',
      { t1: 1, events: [{ eventFn: crossing, affect: () => undefined }] },
      /affect.*undefined/,
    ],
    ['an affect of NaN', { t1: 1, events: [{ eventFn: crossing, affect: () => [NaN] }] }, /affect.*finite/],
  ] as [string, Wrong, RegExp][]) {
    it(`${what} throws, and odeintHybridAsync rejects`, async () => {
      expectInvalid(
        thrownBy(() => odeintHybrid(clock, [0], 0, options)),
        message,
        'odeintHybrid',
      );
      expectInvalid(
        await rejectionOf(odeintHybridAsync(clock, [0], 0, options)),
        message,
        'odeintHybridAsync',
      );
    });
  }

  it('on tensors an affect of another shape, dtype or structure throws, and leaves nothing', () => {
    const y0 = tf.tensor1d([0]);
    const before = engineState();
    for (const wrong of [
      () => tf.tensor1d([1, 2]),
      () => tf.tensor1d([1], 'int32'),
      () => [tf.tensor1d([1])],
      () => undefined,
      () => [1],
    ] as Wrong[]) {
      const eventFn = (_t: unknown, y: tf.Tensor) => tf.sub(y, 0.5);
      const call = () => odeintHybrid(clockTensor, y0, 0, { t1: 1, events: [{ eventFn, affect: wrong }] });
      const error = thrownBy(() => tf.tidy(() => void call()));
      expectInvalid(error, /affect/, String(wrong));
    }
    expect(engineState()).to.deep.equal(before);
    y0.dispose();
  });
});
