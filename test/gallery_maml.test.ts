/** Meta-learning of policies, beside dynamic programming, enumeration of all episodes, and PyTorch's outer gradient. */
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { MetaSGD, valueAndGrad } from 'tfjs-diffeq/optim';
import * as maml from '../examples/lib/maml_rl.js';
import * as mdps from '../examples/lib/tabular_mdp.js';
import { random } from '../examples/lib/training.js';
import { defaultBackend } from './backends.js';

const file = new URL('reference/maml.json', import.meta.url);
const { gradient: reference } = JSON.parse(readFileSync(file, 'utf8')) as { gradient: Reference };

interface Reference {
  parameters: Record<string, { shape: number[]; values: number[] }>;
  size: { states: number; actions: number; horizon: number };
  before: Record<'states' | 'actions' | 'rewards', number[][]>;
  after: Reference['before'];
  first: Record<string, number[]>;
  second: Record<string, number[]>;
  loss: number;
}

const mean = (x: number[]) => x.reduce((sum, value) => sum + value, 0) / x.length;
const tiny = { states: 3, actions: 2, horizon: 3 };

/** Softmax of each row. */
function policyOf(logits: number[], actions: number): number[] {
  const e = logits.map(Math.exp);
  return e.map((x, i) => {
    const row = Math.floor(i / actions) * actions;
    return x / e.slice(row, row + actions).reduce((sum, y) => sum + y, 0);
  });
}

describe('meta-learning of a policy', () => {
  before(async () => {
    await tf.setBackend('wasm');
  });
  after(async () => {
    await tf.setBackend(defaultBackend);
  });
  beforeEach(() => tf.engine().startScope('test'));
  afterEach(() => tf.engine().endScope());

  describe('random tabular MDPs', () => {
    const mdp = mdps.randomMdp(random(3), tiny);
    const logits = [0.5, -0.3, 0.2, 0.9, -1, 0.4];
    const policy = policyOf(logits, 2);

    it('have expected returns that are the sums over all episodes to 1e-12', () => {
      const { rewards, weights } = mdps.allTrajectories(mdp, policy);
      const sums = weights.map((w, k) => w * mean(Array.from(rewards.slice(3 * k, 3 * k + 3))) * 3);
      expect(weights.reduce((sum, w) => sum + w, 0)).to.be.closeTo(1, 1e-12);
      expect(mdps.expectedReturn(mdp, policy)).to.be.closeTo(
        sums.reduce((sum, x) => sum + x, 0),
        1e-12,
      );
    });

    it('have optimal returns that are the best of all 512 plans', () => {
      const returns = Array.from({ length: 512 }, (_, plan) => {
        let v = [0, 0, 0];
        for (let t = 0; t < 3; t++)
          v = v.map((_, s) => {
            const pair = 2 * s + ((plan >> (3 * t + s)) & 1);
            return mdp.rewards[pair] + v.reduce((sum, x, i) => sum + mdp.transitions[3 * pair + i] * x, 0);
          });
        return v[0];
      });
      expect(mdps.optimalReturn(mdp)).to.be.closeTo(Math.max(...returns), 1e-12);
    });

    it('with rewards mirrored at their mean give every policy the horizon, so no start is better than another', () => {
      const big = mdps.randomMdp(random(5));
      const mirrored = { ...big, rewards: big.rewards.map((r) => 2 - r) };
      const any = policyOf(
        Array.from({ length: 50 }, (_, i) => Math.sin(i)),
        5,
      );
      const sum = mdps.expectedReturn(big, any) + mdps.expectedReturn(mirrored, any);
      expect(sum / 2).to.be.closeTo(10, 1e-12);
    });

    it('are sampled with the returns they should have, within 4 standard errors', () => {
      const big = mdps.randomMdp(random(6));
      const uniform = mdps.uniformPolicy(big);
      const { rewards } = mdps.rollouts(big, uniform, 5000, random(7));
      const returns = Array.from({ length: 5000 }, (_, k) =>
        rewards.slice(10 * k, 10 * k + 10).reduce((sum, r) => sum + r, 0),
      );
      const error = Math.sqrt(mean(returns.map((x) => (x - mean(returns)) ** 2)) / 5000);
      expect(error).to.be.within(0.03, 0.1);
      expect(Math.abs(mean(returns) - mdps.expectedReturn(big, uniform))).to.be.below(4 * error);
    });

    it('are planned for from samples: between the uniform policy and the best, and the best in the limit', () => {
      const big = mdps.randomMdp(random(8));
      const uniform = mdps.uniformPolicy(big);
      const planned = (count: number) =>
        mdps.plannedReturn(big, mdps.rollouts(big, uniform, count, random(9)));
      const best = mdps.optimalReturn(big);
      expect(planned(20)).to.be.within(mdps.expectedReturn(big, uniform) + 1, best);
      expect(planned(5000)).to.be.within(best - 0.1, best + 1e-12);
    });

    /** Mean over all episodes of the estimated gradient of the return in the logits. */
    const estimated = (discounts: { gamma: number; lambda: number }) => {
      const values = [0.7, -1.2, 2];
      const all = mdps.allTrajectories(mdp, policy);
      const summary = mdps.summarize(mdp, all, values, discounts);
      const now = (x: tf.Tensor) => ({ logPolicy: tf.logSoftmax(x), values: tf.tensor([values]) });
      const slope = tf.grad((x: tf.Tensor) => maml.loss(now(x), [summary]))(tf.tensor(logits, [1, 3, 2]));
      return Array.from(slope.dataSync(), (g) => -g * mdp.horizon); // the loss is a mean over steps
    };
    const exact = logits.map((_, i) => {
      const moved = (by: number) => logits.map((x, j) => (j === i ? x + by : x));
      const value = (by: number) => mdps.expectedReturn(mdp, policyOf(moved(by), 2));
      return (value(1e-5) - value(-1e-5)) / 2e-5;
    });

    it('have policy gradients whose estimator has the exact mean without discount, whatever the values', () => {
      estimated({ gamma: 1, lambda: 1 }).forEach((g, i) => expect(g).to.be.closeTo(exact[i], 1e-6));
    });

    it('have biased ones with lambda 0.95', () => {
      const misses = estimated({ gamma: 0.99, lambda: 0.95 }).map((g, i) => Math.abs(g - exact[i]));
      expect(Math.max(...misses)).to.be.within(1e-3, 0.2);
    });
  });

  describe('the inner step', () => {
    const summariesOf = (part: Reference['before'], now: maml.Outputs) =>
      part.states.map((states, i) => {
        const trajectories = {
          states: Uint8Array.from(states),
          actions: Uint8Array.from(part.actions[i]),
          rewards: Float64Array.from(part.rewards[i]),
        };
        const { states: count, horizon, actions } = reference.size;
        const like = mdps.randomMdp(random(1), { states: count, actions, horizon });
        return mdps.summarize(like, trajectories, now.values.dataSync().slice(i * count, (i + 1) * count));
      });
    const names = Object.keys(reference.parameters) as (keyof maml.Parameters)[];
    const start = () =>
      Object.fromEntries(
        names.map((name) => {
          const { values, shape } = reference.parameters[name];
          return [name, tf.tensor(values, shape)];
        }),
      ) as maml.Parameters;

    it('of a batch of tasks is that of each by itself, to 1e-6', () => {
      const params = start();
      const batch = maml.netOf(maml.copies(params, 2));
      const summaries = summariesOf(reference.before, batch.apply());
      new MetaSGD(batch, maml.rates.inner).step((p) => maml.loss(maml.outputs(p), summaries));
      summaries.forEach((summary, i) => {
        const single = maml.netOf(params);
        new MetaSGD(single, maml.rates.inner).step((p) => maml.loss(maml.outputs(p), [summary]));
        for (const name of names) {
          const expected = single.params[name].dataSync();
          const found = batch.params[name].dataSync().slice(i * expected.length, (i + 1) * expected.length);
          expected.forEach((x, j) => expect(found[j]).to.be.closeTo(x, 1e-6));
        }
      });
    });

    for (const order of ['first', 'second'] as const) {
      it(`has PyTorch's outer gradient of ${order} order to 1e-5`, () => {
        const { value, grads } = valueAndGrad((params) => {
          const net = maml.netOf(maml.copies(params, 2));
          const now = net.apply();
          maml.innerStep(net, maml.loss(now, summariesOf(reference.before, now)), order);
          const adapted = net.apply();
          return tf.div(maml.loss(adapted, summariesOf(reference.after, adapted)), 2);
        }, start());
        expect(value.dataSync()[0]).to.be.closeTo(reference.loss, 1e-5);
        for (const name of names)
          grads[name].dataSync().forEach((g, i) => expect(g).to.be.closeTo(reference[order][name][i], 1e-5));
      });
    }

    it('of first and of second order are not the same', () => {
      const apart = names.flatMap((name) =>
        reference.first[name].map((g, i) => g - reference.second[name][i]),
      );
      expect(Math.max(...apart.map(Math.abs))).to.be.above(0.01);
    });
  });

  it('makes one step gain four times as much on tasks never seen, in 80 iterations, and leaks nothing', () => {
    const rng = random(77);
    const tasks = Array.from({ length: 200 }, () => mdps.randomMdp(rng));
    const before = tf.memory().numTensors;
    const training = new maml.MetaTraining();
    const gain = () => {
      const [start, adapted] = maml.adaptation(training.params, tasks, { steps: 1, seed: 5 });
      return mean(adapted) - mean(start);
    };
    const untrained = gain();
    for (let i = 0; i < 80; i++) training.iterate();
    expect(untrained).to.be.within(0.01, 0.04);
    expect(gain()).to.be.above(4 * untrained);
    training.dispose();
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('is the same in every run', () => {
    const [a, b] = [1, 2].map(() => {
      const training = new maml.MetaTraining({ tasks: 3 });
      const returns = [training.iterate(), training.iterate()];
      training.dispose();
      return returns;
    });
    expect(a).to.deep.equal(b);
  });
});
