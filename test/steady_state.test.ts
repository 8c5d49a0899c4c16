/**
 * terminateAtSteadyState on plain numbers; on tensors it is in event_tensors.test.ts, in hybrid systems in hybrid.test.ts.
 */
import { expect } from 'chai';
import { iterate, solve, terminateAtSteadyState } from 'tfjs-diffeq';

describe('terminateAtSteadyState', () => {
  const relax = (_t: number, [y]: Float64Array) => [1 - y];

  it("ends where |y'| = atol + rtol |y|: 1 - y = e^-t", () => {
    const [rtol, atol] = [1e-4, 1e-5];
    const { status, event } = solve(relax, [0], [0, 1000], {
      events: [terminateAtSteadyState({ rtol, atol })],
    });
    expect(status).to.equal('event');
    // e^-t = atol + rtol (1 - e^-t).
    const x = (atol + rtol) / (1 + rtol);
    expect(event!.t).to.be.closeTo(-Math.log(x), 1e-2);
    expect(1 - event!.y[0]).to.be.closeTo(x, 1e-2 * x);
  });

  it('ends at once from a steady state, and in reversed time', () => {
    const events = [terminateAtSteadyState()];
    const still = solve(relax, [1], [0, 10], { events });
    expect(still).to.include({ status: 'event' });
    expect(still.event!.y[0]).to.equal(1);
    const back = solve((_t, [y]) => [y], [1], [0, -100], {
      events: [terminateAtSteadyState({ atol: 1e-3 })],
    });
    expect(back.event!.t).to.be.closeTo(Math.log(1e-3), 1e-2);
  });

  it('may be given another name by spreading it', () => {
    const event = { ...terminateAtSteadyState(), name: 'at rest' };
    expect(solve(relax, [0], [0, 1000], { events: [event] }).event).to.include({ name: 'at rest' });
  });

  it('ends iterate too, and every component must be steady', () => {
    const field = (_t: number, [a, b]: Float64Array) => [-a, -0.1 * b];
    let last = { t: NaN, y: new Float64Array(0) };
    for (const { t, y } of iterate(field, [1, 1], {
      t0: 0,
      events: [terminateAtSteadyState({ rtol: 1e-12, atol: 1e-4 })],
    })) {
      last = { t, y: y.slice() };
    }
    // 0.1 e^(-t / 10) = 1e-4.
    expect(last.t).to.be.closeTo(10 * Math.log(1e3), 0.1);
    expect(last.y[1]).to.be.closeTo(1e-3, 1e-5);
  });
});
