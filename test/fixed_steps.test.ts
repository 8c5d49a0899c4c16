/**
 * `stepSize`, `gridConstructor`, `interp` and `perturb`: which steps are taken, and which times func sees.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import fc from 'fast-check';
import { odeint, solve } from 'tfjs-diffeq';
import { onBackends } from './backends.js';
import { fields } from './reference_problems.js';
import { neighbour32, neighbour64, stepsOf } from './steps.js';

describe('fixed steps', () => {
  it('stepSize 0.1 cuts [0, 1] into exactly ten steps, the last one ending at 1', () => {
    const { ends, sizes } = stepsOf(fields.sine_decay, [1], 0, 1, { method: 'rk4', stepSize: 0.1 });
    expect(ends).to.have.lengthOf(10);
    expect(ends[9]).to.equal(1);
    sizes.forEach((h) => expect(h).to.be.closeTo(0.1, 1e-15));
  });

  it('stepSize that divides the interval up to rounding gives the quotient', () => {
    // 1.1 / 0.1 is 11.000000000000002 in float64.
    const decimal = fc.record({
      unit: fc.constantFrom(10, 30, 70, 100),
      from: fc.integer({ min: -500, max: 500 }),
      count: fc.integer({ min: 1, max: 200 }),
      size: fc.integer({ min: 1, max: 9 }),
      backward: fc.boolean(),
    });
    fc.assert(
      fc.property(decimal, ({ unit, from, count, size, backward }) => {
        const [t0, t1] = [from / unit, (from + (backward ? -1 : 1) * count * size) / unit];
        const { ends } = stepsOf(() => [1], [0], t0, t1, { method: 'euler', stepSize: size / unit });
        expect(ends).to.have.lengthOf(count);
        expect(ends[count - 1]).to.equal(t1);
      }),
      { examples: [[{ unit: 10, from: 0, count: 11, size: 1, backward: false }]] },
    );
  });

  it('stepSize that does not divide the interval leaves a shorter last step', () => {
    const { sizes } = stepsOf(fields.sine_decay, [1], 0, 1, { method: 'rk4', stepSize: 0.3 });
    expect(sizes).to.have.lengthOf(4);
    expect(sizes[3]).to.be.closeTo(0.1, 1e-15);
  });

  it('stepSize turns step control of an adaptive method off', () => {
    const { stats } = solve(fields.sine_decay, [1], [0, 10], { method: 'dopri5', stepSize: 2.5 });
    expect(stats).to.include({ steps: 4, rejected: 0, nfe: 25 });
  });

  it('without stepSize the output times are the steps of a method without step control', () => {
    const times = [0, 0.1, 0.5, 0.6, 2];
    const seen: number[] = [];
    odeint((t) => [seen.push(t)], [1], times, { method: 'euler' });
    expect(seen).to.deep.equal(times.slice(0, -1));
  });

  it('gridConstructor receives func, y0 and t, and its times are the steps', () => {
    const grid = [0, 0.125, 0.5, 0.75, 1];
    const y0 = [1];
    const times = [0, 0.3, 1];
    let received: unknown[] = [];
    const gridConstructor = (...all: unknown[]) => {
      received = all;
      return grid;
    };
    const seen: number[] = [];
    const field = (t: number) => [seen.push(t) * 0];
    odeint(field, y0, times, { method: 'euler', interp: 'linear', gridConstructor });
    expect(seen).to.deep.equal(grid.slice(0, -1));
    expect(received[0]).to.equal(field);
    expect(received[1]).to.deep.equal(Float64Array.from(y0));
    expect(received[2]).to.deep.equal(Float64Array.from(times));
  });

  it("interp 'linear' joins the grid points by straight lines", () => {
    const times = [0, 0.5, 1];
    const corners = odeint(fields.sine_decay, [1], times, { method: 'rk4', stepSize: 0.5 });
    const ys = odeint(fields.sine_decay, [1], [0, 0.125, 0.7, 1], {
      method: 'rk4',
      stepSize: 0.5,
      interp: 'linear',
    });
    const along = (from: number, to: number, theta: number) => (1 - theta) * from + theta * to;
    expect(ys[1][0]).to.be.closeTo(along(corners[0][0], corners[1][0], 0.25), 1e-15);
    expect(ys[2][0]).to.be.closeTo(along(corners[1][0], corners[2][0], 0.4), 1e-15);
  });

  it("interp 'cubic' is the Hermite polynomial through values and slopes", () => {
    const h = 0.5;
    const [y0, y1] = odeint(fields.sine_decay, [1], [0, h], { method: 'dopri5', stepSize: h }).map(
      (y) => y[0],
    );
    const [f0, f1] = [-y0, -y1 + Math.sin(h)];
    const at = (theta: number) =>
      (2 * theta ** 3 - 3 * theta ** 2 + 1) * y0 +
      (theta ** 3 - 2 * theta ** 2 + theta) * h * f0 +
      (3 * theta ** 2 - 2 * theta ** 3) * y1 +
      (theta ** 3 - theta ** 2) * h * f1;
    const options = { method: 'dopri5', stepSize: h, interp: 'cubic' } as const;
    const ys = odeint(fields.sine_decay, [1], [0, 0.1, 0.35, h], options);
    expect(ys[1][0]).to.be.closeTo(at(0.2), 1e-15);
    expect(ys[2][0]).to.be.closeTo(at(0.7), 1e-15);
  });

  it('perturb shows func the float64 next to both ends of a step, inside', () => {
    const seen: number[] = [];
    const field = (t: number) => [seen.push(t) * 0];
    odeint(field, [1], [0.5, 1, 1.75], { method: 'heun2', perturb: true });
    expect(seen).to.deep.equal([
      neighbour64(0.5, 1),
      neighbour64(1, -1),
      neighbour64(1, 1),
      neighbour64(1.75, -1),
    ]);
  });

  it('perturb in reversed time, first same as last included', () => {
    for (const method of ['heun2', 'bosh3'] as const) {
      const seen: number[] = [];
      const field = (t: number) => [seen.push(t) * 0];
      odeint(field, [1], [1.75, 1], { method, perturb: true, stepSize: 0.25 });
      expect(
        seen.filter((t) => [1, 1.25, 1.5, 1.75].includes(t)),
        method,
      ).to.have.lengthOf(0);
      expect(seen).to.include.members([1.5, 1.25].flatMap((t) => [neighbour64(t, 1), neighbour64(t, -1)]));
    }
  });

  onBackends(['cpu', 'wasm', 'tensorflow'], () => {
    it('perturb on tensors shows the next float32', () => {
      const seen: number[] = [];
      const field = (t: tf.Scalar, y: tf.Tensor) => {
        seen.push(t.dataSync()[0]);
        return tf.zerosLike(y);
      };
      tf.tidy(() => odeint(field, tf.scalar(1), [0.5, 1, 1.7], { method: 'heun2', perturb: true }));
      const at = (t: number, sign: number) => neighbour32(t, sign);
      expect(seen).to.deep.equal([at(0.5, 1), at(1, -1), at(1, 1), at(1.7, -1)]);
    });
  });
});
