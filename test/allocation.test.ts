/**
 * The engine for plain numbers: in steady state a step allocates no arrays, the caller's arrays stay as they are, and
 * tfjs is not called.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  iterate,
  methodNames,
  odeint,
  odeintAsync,
  odeintDense,
  solve,
  solveAsync,
  type InPlaceFunc,
  type PlainFunc,
} from 'tfjs-diffeq';
import type { Allocations } from './allocation_probe.js';
import { generalMethods } from './methods.js';

describe('plain numbers', () => {
  describe('a step in steady state allocates no array', () => {
    let measured: Record<string, Allocations>;
    before(() => {
      const probe = fileURLToPath(new URL('./allocation_probe.ts', import.meta.url));
      measured = JSON.parse(
        execFileSync(process.execPath, ['--import', 'tsx', probe], { encoding: 'utf8' }),
      ) as never;
    });
    const wasteful = (name: string) => name.endsWith('in every call');

    it('of any size: no constructor, no method that copies is called, whatever the method', () => {
      for (const [name, { arrays }] of Object.entries(measured)) {
        if (!wasteful(name)) expect(arrays, name).to.equal(0);
      }
      expect(Object.keys(measured).length).to.be.above(2 * methodNames.length);
    });

    it('of the size of the state: below 4 kB a step for 2000 numbers', () => {
      // A step makes some numbers and iterator results on the heap, and the solve the objects of its buffers.
      for (const [name, { bytes }] of Object.entries(measured)) {
        if (!wasteful(name)) expect(bytes, name).to.be.below(4000);
      }
    });

    it('one made by func would be seen', () => {
      expect(measured['a Float64Array in every call'].arrays).to.be.within(6, 7);
      expect(measured['an array in every call'].arrays).to.be.within(6, 7);
      expect(measured['an array in every call'].bytes).to.be.above(6 * 16_000);
    });
  });

  describe('belongs to whom', () => {
    it('y0 is neither changed nor returned', () => {
      for (const y0 of [[1, 2], Float64Array.of(1, 2)]) {
        const ys = odeint((_t, y) => [-y[0], y[1]], y0, [0, 1]);
        expect(Array.from(y0)).to.deep.equal([1, 2]);
        ys[0][0] = 5;
        expect(Array.from(y0)).to.deep.equal([1, 2]);
        expect(ys[1][0]).to.be.closeTo(Math.exp(-1), 1e-7);
      }
    });

    it('y0 of an iterator and of an async solve is read at the call', async () => {
      const y0 = Float64Array.of(1);
      const steps = iterate((_t, y) => [-y[0]], y0, { t0: 0, t1: 1 });
      const solution = odeintAsync((_t, y) => [-y[0]], y0, [0, 1]);
      y0[0] = 100;
      expect((await solution)[1][0]).to.be.closeTo(Math.exp(-1), 1e-7);
      for (const step of steps) expect(step.y[0]).to.be.closeTo(Math.exp(-step.t), 1e-7);
    });

    it('each output is an array of its own', () => {
      for (const method of ['dopri5', 'dopri8', 'rk4'] as const) {
        const ys = odeint((_t, y) => [-y[0]], [1], [0, 0.1, 0.2, 0.5, 1], { method });
        expect(new Set(ys.map((y) => y.buffer)).size).to.equal(5);
        const before = ys.map((y) => y[0]);
        ys[2].fill(NaN);
        expect(ys.filter((_, i) => i !== 2).map((y) => y[0])).to.deep.equal(before.filter((_, i) => i !== 2));
      }
    });

    it('a returned dy is copied at once: one buffer, or y itself, may serve every call', () => {
      const dy = [0, 0];
      const reusing: PlainFunc = (_t, y) => {
        dy[0] = y[1];
        dy[1] = -y[0];
        return dy;
      };
      const fresh: PlainFunc = (_t, y) => [y[1], -y[0]];
      for (const method of generalMethods) {
        const t = [0, 0.4, 1];
        expect(odeint(reusing, [1, 0], t, { method })).to.deep.equal(odeint(fresh, [1, 0], t, { method }));
        const itself = odeint((_t, y) => y, [1], t, { method });
        expect(itself).to.deep.equal(odeint((_t, y) => [y[0]], [1], t, { method }));
      }
    });

    it('inPlace: func writes into buffers of the solver, a fixed number of them', () => {
      const buffers = new Set<Float64Array>();
      const rotate: InPlaceFunc<{ speed: number }> = (_t, y, dy, { speed }) => {
        buffers.add(dy);
        dy[0] = speed * y[1];
        dy[1] = -speed * y[0];
      };
      for (const method of generalMethods) {
        buffers.clear();
        const options = { method, args: { speed: 2 } };
        const ys = odeint(rotate, [1, 0], [0, 0.5, 30], { ...options, stepSize: 0.01, inPlace: true });
        expect(buffers.size).to.be.at.most(30);
        const returned: PlainFunc<{ speed: number }> = (_t, y, { speed }) => [speed * y[1], -speed * y[0]];
        expect(ys).to.deep.equal(odeint(returned, [1, 0], [0, 0.5, 30], { ...options, stepSize: 0.01 }));
      }
    });
  });

  it('tfjs is not called', async () => {
    const engine = tf.engine() as unknown as Record<string, unknown>;
    const names = [
      'runKernel',
      'runKernelFunc',
      'makeTensor',
      'makeTensorFromTensorInfo',
      'startScope',
      'endScope',
      'keep',
    ];
    const originals = names.map((name) => engine[name]);
    for (const name of names) {
      expect(engine[name]).to.be.a('function');
      engine[name] = () => {
        throw new Error(`tfjs was called: ${name}`);
      };
    }
    try {
      expect(() => odeint((_t, y: tf.Tensor) => y, new tf.Tensor([1], 'float32', {}, 0), [0, 1])).to.throw(
        'tfjs was called',
      );
      const decay: PlainFunc = (_t, y) => [-y[0], -y[1]];
      const y0 = [1, 2];
      for (const method of generalMethods) {
        odeint(decay, y0, [0, 0.3, 1], { method, onAccept: ({ y }) => y[0] });
        solve(decay, y0, [0, 1], { method, throwOnFailure: false, maxNumSteps: 1 });
        const dense = odeintDense(decay, y0, 0, 1, { method });
        dense.evaluate([0, 0.5]);
        dense.derivative(0.5);
        dense.dispose();
        for (const step of iterate(decay, y0, { t0: 0, t1: 1, method }))
          step.interpolate(step.keep() && step.t);
        await odeintAsync(decay, y0, [0, 1], { method });
        await solveAsync(decay, y0, [0, 1], { method });
      }
    } finally {
      names.forEach((name, i) => (engine[name] = originals[i]));
    }
  });
});
