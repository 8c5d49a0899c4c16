/**
 * Gradients of the time and the state of an event on plain numbers, to 1e-9: `odeintVjp` with eventFn.
 */
import { expect } from 'chai';
import { NoEventError, OdeError, odeintVjp } from 'tfjs-diffeq';
import { thrownBy } from './engine_probe.js';
import { bounces, g, landing, reference } from './event_problems.js';

type Numbers = ArrayLike<number>;
type Field = (t: number, y: Float64Array, args: Float64Array) => Numbers;
interface EventVjp {
  ys: Float64Array[];
  eventT: number;
  vjp(gys: Float64Array[], gEventT?: number): { y0: Float64Array; t: Float64Array; args: Float64Array };
  dispose(): void;
}
const eventVjp = odeintVjp as unknown as (func: Field, y0: Numbers, t: number[], options: object) => EventVjp;

const zeros = (n: number): Float64Array => new Float64Array(n);
function expectClose(actual: Numbers, expected: Numbers, relative: number, what: string): void {
  const scale = Math.max(...Array.from(expected, Math.abs));
  expect(actual, what).to.have.length(expected.length);
  Array.from(actual).forEach((x, i) =>
    expect(x, `${what}, entry ${i}`).to.be.closeTo(expected[i], relative * scale),
  );
}

const tight = { method: 'dopri8', rtol: 1e-12, atol: 1e-13, eventTol: 1e-13 } as const;
const adjoints = ['checkpoint', 'backsolve', 'interpolating'] as const;

/* h' = v, v' = -gravity until h = level; args are gravity and level. */
const falls: Field = (_t, [, v], [gravity]) => [v, -gravity];
const fallsBack = (_t: number, _y: unknown, _args: unknown, [l, m]: Float64Array) => ({
  y: [0, l],
  args: [-m, 0],
});
const lands = (_t: number, [h]: Float64Array, [, level]: Float64Array) => h - level;

describe('odeintVjp with eventFn on plain numbers', () => {
  for (const adjoint of adjoints) {
    it(`gives the closed form of a projectile's time and speed to 1e-9: ${adjoint}`, () => {
      for (const [h0, v0, gravity, level, t0] of [
        [1, 0, 9.81, 0, 0],
        [2, 3, 9.81, -0.5, 1.5],
        [0, 4, 1.625, 0, -2],
      ]) {
        const s = Math.sqrt(v0 ** 2 + 2 * gravity * (h0 - level));
        const flight = (v0 + s) / gravity;
        const args = Float64Array.of(gravity, level);
        const solved = eventVjp(falls, [h0, v0], [t0, t0 + 1], {
          ...{ ...tight, adjoint, args, vjp: fallsBack, eventFn: lands, direction: -1 },
        });
        expect(solved.eventT).to.be.closeTo(t0 + flight, 1e-11);
        expect(solved.ys[1][1]).to.be.closeTo(-s, 1e-10);
        const ofTime = solved.vjp([zeros(2), zeros(2)], 1);
        expectClose(ofTime.y0, [1 / s, (1 + v0 / s) / gravity], 1e-9, 'dT/dy0');
        expectClose(
          ofTime.args,
          [-flight / gravity + (h0 - level) / (gravity * s), -1 / s],
          1e-9,
          'dT/dargs',
        );
        expect(ofTime.t[0], 'dT/dt0').to.be.closeTo(1, 1e-9);
        const ofSpeed = solved.vjp([zeros(2), Float64Array.of(0, 1)], 0);
        expectClose(ofSpeed.y0, [-gravity / s, -v0 / s], 1e-9, 'dv/dy0');
        expectClose(ofSpeed.args, [-(h0 - level) / s, gravity / s], 1e-9, 'dv/dargs');
        expect(ofSpeed.t[0], 'dv/dt0').to.be.closeTo(0, 1e-9);
        const ofStart = solved.vjp([Float64Array.of(2, 3), zeros(2)]);
        expectClose(ofStart.y0, [2, 3], 1e-12, 'dy0/dy0');
        solved.dispose();
      }
    });

    it(`gives the closed form of a decay to a level, in reversed time too: ${adjoint}`, () => {
      for (const [y0, k, c, direction] of [
        [3, 0.7, 0.25, 1],
        [1, 0.5, 2, -1],
      ]) {
        const solved = eventVjp((_t, [y], [rate]) => [-rate * y], [y0], [2, 2 + direction], {
          ...{ ...tight, adjoint, args: Float64Array.of(k, c) },
          vjp: (_t: number, [y]: Float64Array, [rate]: Float64Array, [l]: Float64Array) => ({
            y: [-rate * l],
            args: [-y * l, 0],
          }),
          eventFn: (_t: number, [y]: Float64Array, [, level]: Float64Array) => y - level,
        });
        expect(solved.eventT).to.be.closeTo(2 + Math.log(y0 / c) / k, 1e-11);
        const found = solved.vjp([zeros(1), zeros(1)], 1);
        expectClose(found.y0, [1 / (k * y0)], 1e-9, 'dT/dy0');
        expectClose(found.args, [-Math.log(y0 / c) / k ** 2, -1 / (k * c)], 1e-9, 'dT/dargs');
        expect(found.t[0]).to.be.closeTo(1, 1e-9);
      }
    });

    it(`agrees with sensitivity equations in scipy on Lotka-Volterra, to 1e-8: ${adjoint}`, () => {
      const { y0, parameters, level, t, y, dt, dhunter } = reference.sensitivities;
      const field: Field = (_t, [p, q], [a, b, c, d]) => [(a - b * q) * p, (d * p - c) * q];
      const args = Float64Array.of(...parameters, level);
      const eventFn = (_t: number, [p]: Float64Array, args: Float64Array) => p - args[4];
      const vjp = (_t: number, [p, q]: Float64Array, [a, b, c, d]: Float64Array, [l, m]: Float64Array) => ({
        y: [(a - b * q) * l + d * q * m, -b * p * l + (d * p - c) * m],
        args: [p * l, -p * q * l, -q * m, p * q * m, 0],
      });
      const solved = eventVjp(field, y0, [0, 1], { ...tight, adjoint, args, vjp, eventFn, direction: 1 });
      expect(solved.eventT).to.be.closeTo(t, 1e-10);
      expectClose(solved.ys[1], y, 1e-10, 'y');
      const ofTime = solved.vjp([zeros(2), zeros(2)], 1);
      expectClose([...ofTime.y0, ...ofTime.args], dt, 1e-8, 'dT');
      const ofHunter = solved.vjp([zeros(2), Float64Array.of(0, 1)], 0);
      expectClose([...ofHunter.y0, ...ofHunter.args], dhunter, 1e-8, 'dhunter');
    });
  }

  it('through ten bounces, one after another, in restitution and height', () => {
    const e = 0.8;
    let [t, y] = [0, [1, 0]];
    const legs: EventVjp[] = [];
    for (const expected of bounces(1, e, 10)) {
      const args = Float64Array.of(g, 0);
      const solved = eventVjp(falls, y, [t, t + 1], {
        ...tight,
        args,
        vjp: fallsBack,
        eventFn: lands,
        direction: -1,
      });
      expect(solved.eventT).to.be.closeTo(expected, 1e-10);
      legs.push(solved);
      [t, y] = [solved.eventT, [0, -e * solved.ys[1][1]]];
    }
    // Backward: the start of each leg is the event of the one before, its speed -e times the one there.
    let [toTime, toStart, restitution, gravity] = [1, zeros(2), 0, 0];
    for (let n = 9; n >= 0; n--) {
      const impact = legs[n].ys[1][1];
      const last = n === 9;
      const toEnd = last ? zeros(2) : Float64Array.of(0, -e * toStart[1]);
      if (!last) restitution -= toStart[1] * impact;
      const found = legs[n].vjp([zeros(2), toEnd], toTime);
      [toTime, toStart] = [found.t[0], found.y0];
      gravity += found.args[0];
    }
    const first = landing(1, 0);
    const powers = Array.from({ length: 9 }, (_, i) => i + 1);
    const total = first * (1 + 2 * powers.reduce((sum, n) => sum + e ** n, 0));
    const inRestitution = 2 * first * powers.reduce((sum, n) => sum + n * e ** (n - 1), 0);
    expectClose(
      [toStart[0], restitution, gravity],
      [total / 2, inRestitution, -total / (2 * g)],
      1e-9,
      'T_10',
    );
  });

  it('throws for a tangential crossing, wherever the state is, and not for one soon after the start', () => {
    for (const offset of [0, 1]) {
      const error = thrownBy(() =>
        eventVjp((t) => [3 * (t - 1) ** 2], [offset - 1], [0, 1], {
          ...tight,
          eventFn: (_t: number, [y]: Float64Array) => y - offset,
        }).vjp([zeros(1), zeros(1)], 1),
      );
      expect(error).to.be.instanceOf(OdeError);
      expect((error as OdeError).message).to.match(/without crossing/);
    }
    const soon = eventVjp(() => [1], [100 - 1e-9], [0, 1], {
      eventTol: 1e-13,
      eventFn: (_t: number, [y]: Float64Array) => y - 100,
    });
    expectClose(soon.vjp([zeros(1), zeros(1)], 1).y0, [-1], 1e-9, 'dT/dy0');
  });

  it('throws NoEventError where there is none', () => {
    expect(() => eventVjp(() => [1], [0], [0, 1], { eventFn: () => 1, maxTime: 2 })).to.throw(NoEventError);
  });
});
