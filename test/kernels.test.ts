/**
 * What a solve on tensors costs the device: kernel launches per step outside func, and host reads. Counted, not timed.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  odeint,
  odeintDense,
  solve,
  solveAsync,
  type TensorFunc,
  type TensorOptions,
  type TensorTree,
} from 'tfjs-diffeq';
import { availableBackends, defaultBackend, onBackends } from './backends.js';
import { countLaunches, onStockCpu, useStockCpu, type Launches } from './engine_probe.js';

/** Launches of one step, of the whole solve beside its steps, and reads of the whole solve. */
interface StepCost {
  perStep: Launches;
  reads: number;
  attempts: number;
}

/*
 * Every step of a solve costs the same from the second on: the solve to 8 steps minus the solve to 4 steps is 4 steps.
 */
function costOf<Y extends TensorTree>(func: TensorFunc<Y>, y0: Y, options: TensorOptions<Y>): StepCost {
  const run = (steps: number) => {
    let attempts = 0;
    const launches = countLaunches((uncounted) => {
      tf.tidy(() => {
        const { stats } = solve(uncounted(func), y0, [0, steps / 8], options);
        attempts = stats.steps;
      });
    });
    return { launches, attempts };
  };
  const short = run(4);
  const long = run(8);
  const steps = long.attempts - short.attempts;
  const perStep: Launches = {
    kernels: {},
    total: (long.launches.total - short.launches.total) / steps,
    reads: (long.launches.reads - short.launches.reads) / steps,
  };
  for (const [name, count] of Object.entries(long.launches.kernels)) {
    const one = (count - (short.launches.kernels[name] ?? 0)) / steps;
    if (one !== 0) perStep.kernels[name] = one;
  }
  return { perStep, reads: long.launches.reads, attempts: long.attempts };
}

const decay = (_t: tf.Scalar, y: tf.Tensor) => tf.neg(y);
const decays = (_t: tf.Scalar, ys: tf.Tensor[]) => ys.map((y) => tf.neg(y));
/** Steps of one size, so that short and long solves take whole numbers of them. */
const adaptive = { firstStep: 1 / 8, maxStep: 1 / 8, rtol: 1e-2, atol: 1e-2 };

/** Stages of a step that evaluates func. */
const stages = 7;

function testsOfCost(limits: { single: number; perLeaf: number }): void {
  it(`dopri5 on one tensor: at most ${limits.single} launches a step, error norm included, and one read`, () => {
    for (const shape of [[], [5], [2, 3, 4]]) {
      for (const norm of ['rms', 'max'] as const) {
        const { perStep, attempts } = costOf(decay, tf.ones(shape), { ...adaptive, norm });
        expect(attempts).to.equal(8);
        expect(perStep.total, JSON.stringify(perStep.kernels)).to.be.at.most(limits.single);
        expect(perStep.reads).to.equal(1);
      }
    }
  });

  it(`dopri5 on several leaves: at most ${limits.perLeaf} launches a step for each further one, and one read`, () => {
    for (let leaves = 2; leaves <= 5; leaves++) {
      const y0 = Array.from({ length: leaves }, (_, i) => tf.ones([i + 1]));
      const { perStep } = costOf(decays, y0, adaptive);
      const limit = limits.single + (leaves - 1) * limits.perLeaf;
      expect(perStep.total, JSON.stringify(perStep.kernels)).to.be.at.most(limit);
      expect(perStep.reads).to.equal(1);
    }
  });

  it('tolerances per leaf stay within the same limits', () => {
    const y0 = [tf.ones([2]), tf.ones([3])];
    const { perStep } = costOf(decays, y0, { ...adaptive, rtol: [1e-2, 2e-2], atol: [1e-2, 0] });
    expect(perStep.total, JSON.stringify(perStep.kernels)).to.be.at.most(limits.single + limits.perLeaf);
  });

  it('one read per attempt, rejected ones too, and three for the initial step', () => {
    const field = (t: tf.Scalar, y: tf.Tensor) => tf.mul(y, tf.cos(tf.mul(10, t)));
    const counted = (options: TensorOptions<tf.Tensor>) => {
      let steps = 0;
      let rejected = 0;
      const { reads } = countLaunches((uncounted) => {
        tf.tidy(() => {
          ({ steps, rejected } = solve(uncounted(field), tf.ones([2]), [0, 0.4, 1, 2], options).stats);
        });
      });
      return { reads, steps, rejected };
    };
    const chosen = counted({});
    expect(chosen.reads).to.equal(chosen.steps + 3);
    expect(chosen.rejected).to.be.above(0);
    const given = counted({ firstStep: 1 });
    expect(given.reads).to.equal(given.steps);
    expect(given.rejected).to.be.above(0);
  });

  it('an async solve awaits as many reads', async () => {
    const backend = tf.backend();
    const read = backend.read.bind(backend);
    let awaited = 0;
    backend.read = async (id) => {
      awaited++;
      return read(id);
    };
    try {
      const { y, stats } = await solveAsync(decay, tf.ones([2]), [0, 1]);
      expect(awaited).to.equal(stats.steps + 3);
      y.dispose();
    } finally {
      Reflect.deleteProperty(backend, 'read');
    }
  });

  it('fixed steps: one read for the whole solve, wherever the outputs are', () => {
    for (const method of ['euler', 'rk4', 'rk4_classic', 'dopri5'] as const) {
      for (const t of [
        [0, 1],
        [0, 0.33, 0.5, 1],
      ]) {
        const { reads } = countLaunches((uncounted) => {
          tf.tidy(() => void odeint(uncounted(decay), tf.ones([2]), t, { method, stepSize: 0.1 }));
        });
        expect(reads, `${method} on [${t.join()}]`).to.equal(1);
      }
    }
  });

  it('dense output costs no further read, and evaluating it none at all', () => {
    let evaluations = 0;
    const { reads } = countLaunches((uncounted) => {
      const dense = odeintDense(uncounted(decay), tf.ones([2]), 0, 1, adaptive);
      evaluations = dense.stats.steps;
      tf.dispose([dense.evaluate([0.1, 0.2]), dense.derivative(0.3)]);
      dense.dispose();
    });
    expect(reads).to.equal(evaluations);
  });
}

describe('kernels and reads', () => {
  onBackends(['cpu', 'wasm'], () => {
    testsOfCost({ single: stages + 1, perLeaf: 0 });

    it('a step is a combination per stage and one norm', () => {
      const { perStep } = costOf(decay, tf.ones([3]), adaptive);
      expect(perStep.kernels).to.deep.equal({ OdeLinearCombination: stages - 1, OdeErrorNorm: 1 });
    });
  });
  onBackends(['tensorflow'], () => testsOfCost({ single: 3 * stages, perLeaf: 2 * stages }));
  onStockCpu(() => testsOfCost({ single: 3 * stages, perLeaf: 2 * stages }));

  describe('stock ops and fused kernels', () => {
    type Pair = { q: tf.Tensor; p: tf.Tensor };
    const pendulum = (t: tf.Scalar, { q, p }: Pair): Pair => ({ q: p, p: tf.sub(tf.cos(t), tf.sin(q)) });
    const start = {
      q: [
        [1, 0.5],
        [0, -2],
      ],
      p: [
        [0, 0.1],
        [1, 0.5],
      ],
    };

    interface Values {
      ys: number[];
      grads: number[];
      errorNorms: number[];
    }
    const compute = (options: object): Values =>
      tf.tidy(() => {
        const state = { q: tf.tensor2d(start.q), p: tf.tensor2d(start.p) };
        const errorNorms: number[] = [];
        const onAccept = ({ errorNorm }: { errorNorm: number | null }) => errorNorms.push(errorNorm ?? 0);
        const y = odeint(pendulum, state, [0, 0.7, 2], { ...options, onAccept });
        const loss = (q: tf.Tensor, p: tf.Tensor, t: tf.Tensor) => {
          const path = odeint(pendulum, { q, p }, t as tf.Tensor1D, options);
          return tf.sum(tf.add(tf.square(path.q), path.p));
        };
        const grads = tf.grads(loss)([state.q, state.p, tf.tensor1d([0, 0.7, 2])]);
        return {
          ys: [y.q, y.p].flatMap((leaf) => Array.from(leaf.dataSync())),
          grads: grads.flatMap((grad) => Array.from(grad.dataSync())),
          errorNorms,
        };
      });

    // Loose tolerances and steps of one size: all take the same steps, with errors far above rounding.
    const loose = { rtol: 1e-2, atol: 1e-2, firstStep: 0.4, maxStep: 0.4 };
    const variants: [string, object][] = [
      ['dopri5', loose],
      ['dopri8', { ...loose, method: 'dopri8' }],
      ['bosh3, norm max', { ...loose, method: 'bosh3', norm: 'max' }],
      ['rk4 between its grid points', { method: 'rk4', stepSize: 0.15 }],
      ['tolerances per leaf', { ...loose, rtol: { q: 1e-2, p: 2e-2 }, atol: { q: 1e-2, p: 2e-2 } }],
    ];
    const results = new Map(variants.map(([name]) => [name, [] as Values[]]));
    const record = () => variants.forEach(([name, options]) => results.get(name)!.push(compute(options)));

    before(async () => {
      for (const name of await availableBackends()) {
        await tf.setBackend(name);
        record();
      }
      await useStockCpu();
      record();
      await tf.setBackend(defaultBackend);
    });

    for (const [name] of variants) {
      it(`agree to float32 rounding, gradients too: ${name}`, () => {
        const [reference, ...others] = results.get(name)!;
        expect(others.length).to.be.at.least(2); // wasm and stock ops, where there is no native backend
        for (const { ys, grads, errorNorms } of others) {
          ys.forEach((y, i) => expect(y).to.be.closeTo(reference.ys[i], 2e-6 * Math.max(1, Math.abs(y))));
          const scale = Math.max(...reference.grads.map(Math.abs));
          grads.forEach((g, i) => expect(g).to.be.closeTo(reference.grads[i], 5e-6 * scale));
          expect(errorNorms).to.have.length(reference.errorNorms.length);
          errorNorms.forEach((e, i) => expect(e).to.be.closeTo(reference.errorNorms[i], 3e-5 + 1e-3 * e));
        }
      });
    }
  });
});
