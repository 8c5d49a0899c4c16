/**
 * Model-agnostic meta-learning (https://arxiv.org/abs/1703.03400) of a policy for random tabular MDPs: a start `theta` is
 * learned from which one step of gradient descent on 20 trajectories of a new task, `theta' = theta - 0.1 dL/dtheta`, goes
 * far. All tasks of an iteration are one batch: every parameter has a leading axis of tasks.
 *
 * L is the loss of an advantage actor-critic, over the steps of the sampled trajectories:
 * `L = mean(-A_t log pi(a_t | s_t) + (G_t - V(s_t))^2 / 2)`, with generalised advantages A and lambda-returns G as constants.
 */
import * as tf from '@tensorflow/tfjs-core';
import { extractStateDict, functionalNet, MetaAdam, MetaSGD, type FunctionalNet } from 'tfjs-diffeq/optim';
import {
  expectedReturn,
  randomMdp,
  rollouts,
  summarize,
  type Policy,
  type Summary,
  type TabularMdp,
} from './tabular_mdp.js';
import { random } from './training.js';

export const rates = { inner: 0.1, outer: 1e-3 };
const valueCoefficient = 0.5;

/** Weights `[m, in, out]` and biases `[m, 1, out]` of a network for each of m tasks; those to learn have m = 1. */
export type Parameters = Record<'w1' | 'b1' | 'w2' | 'b2' | 'w3' | 'b3', tf.Tensor>;

export interface Outputs {
  /** log pi(a | s), [m, states, actions]. */
  logPolicy: tf.Tensor;
  /** V(s), [m, states]. */
  values: tf.Tensor;
}

/** Uniform in +-1 / sqrt(inputs), as PyTorch begins. */
function initialParameters(seed: number): Parameters {
  const [states, actions, width] = [10, 5, 32];
  const { uniform } = random(seed);
  const draw = (shape: number[], inputs: number) =>
    tf.tensor(
      Array.from({ length: tf.util.sizeFromShape(shape) }, () => (2 * uniform() - 1) / Math.sqrt(inputs)),
      shape,
    );
  return {
    w1: draw([1, states, width], states),
    b1: draw([1, 1, width], states),
    w2: draw([1, width, width], width),
    b2: draw([1, 1, width], width),
    w3: draw([1, width, actions + 1], width),
    b3: draw([1, 1, actions + 1], width),
  };
}

/** The network states-width-width-(actions + 1) for all states at once: a one-hot state picks a row of `w1`. */
export function outputs({ w1, b1, w2, b2, w3, b3 }: Parameters): Outputs {
  const first = tf.relu(tf.add(w1, b1));
  const second = tf.relu(tf.add(tf.matMul(first, w2), b2));
  const [m, states, last] = [w1.shape[0], w1.shape[1]!, w3.shape[2]!];
  const heads = tf.add(tf.matMul(second, w3), b3);
  const logits = tf.slice(heads, [0, 0, 0], [m, states, last - 1]);
  const values = tf.reshape(tf.slice(heads, [0, 0, last - 1], [m, states, 1]), [m, states]);
  return { logPolicy: tf.logSoftmax(logits), values };
}

/** The losses of m tasks, summed: so the gradient in each task's parameters is that of its own loss. */
export function loss({ logPolicy, values }: Outputs, summaries: Summary[]): tf.Tensor {
  const stack = (part: (summary: Summary) => Float32Array, like: tf.Tensor) => {
    const all = new Float32Array(like.size);
    summaries.forEach((summary, i) => all.set(part(summary), (i * like.size) / summaries.length));
    return tf.tensor(all, like.shape);
  };
  const policyLoss = tf.neg(
    tf.sum(
      tf.mul(
        stack(({ advantages }) => advantages, logPolicy),
        logPolicy,
      ),
    ),
  );
  const quadratic = tf.mul(
    stack(({ visits }) => visits, values),
    tf.square(values),
  );
  const linear = tf.mul(
    stack(({ returns }) => returns, values),
    values,
  );
  const constant = summaries.reduce((sum, { squares }) => sum + squares, 0);
  const valueLoss = tf.add(tf.sum(tf.sub(quadratic, tf.mul(2, linear))), constant);
  return tf.add(policyLoss, tf.mul(valueCoefficient, valueLoss));
}

/** A copy of the parameters for each of m tasks, with a gradient: the sum over the copies. */
export function copies(params: Parameters, m: number): Parameters {
  const ones = tf.ones([m, 1, 1]);
  return mapParameters(params, (x) => tf.mul(x, ones));
}

function mapParameters(
  params: Parameters,
  f: (x: tf.Tensor, name: keyof Parameters) => tf.Tensor,
): Parameters {
  const names = Object.keys(params) as (keyof Parameters)[];
  return Object.fromEntries(names.map((name) => [name, f(params[name], name)])) as Parameters;
}

/** The policies of m tasks, as rows of plain numbers. */
export function policies({ logPolicy }: Outputs): Policy[] {
  const all = tf.tidy(() => tf.exp(logPolicy).dataSync());
  const size = all.length / logPolicy.shape[0];
  return Array.from({ length: logPolicy.shape[0] }, (_, i) => all.subarray(i * size, (i + 1) * size));
}

/** Trajectories of each task under its own policy. */
export function sample(now: Outputs, tasks: TabularMdp[], count: number, rng: Rng): Summary[] {
  const values = now.values.dataSync();
  return policies(now).map((policy, i) => {
    const mdp = tasks[i];
    const own = values.subarray(i * mdp.states, (i + 1) * mdp.states);
    return summarize(mdp, rollouts(mdp, policy, count, rng), own);
  });
}

type Rng = ReturnType<typeof random>;
type Net = FunctionalNet<Parameters, [], Outputs>;

export const netOf = (params: Parameters): Net => functionalNet((p) => outputs(p as Parameters), params);

/** Expected returns of the start and after each of `steps` inner steps, [steps + 1][tasks]: exact but for what the steps sampled. */
export function adaptation(
  params: Parameters,
  tasks: TabularMdp[],
  { steps, rate = rates.inner, seed = 1 }: { steps: number; rate?: number; seed?: number },
): number[][] {
  const rng = random(seed);
  const expected = (net: Net) => policies(net.apply()).map((policy, i) => expectedReturn(tasks[i], policy));
  return tf.tidy(() => {
    const net = netOf(copies(params, tasks.length));
    const inner = new MetaSGD(net, rate);
    const returns = [expected(net)];
    for (let i = 0; i < steps; i++) {
      const summaries = sample(net.apply(), tasks, 20, rng);
      inner.step((p) => loss(outputs(p), summaries));
      returns.push(expected(net));
    }
    inner.dispose();
    return returns;
  });
}

/** A step on the tape of a gradient. Of first order, what it adds to the parameters is a constant of that gradient. */
export function innerStep(net: Net, loss: tf.Tensor, order: 'first' | 'second'): void {
  const [start, from] = [net.params, extractStateDict(net, { by: 'detached' })];
  new MetaSGD(net, rates.inner).step(loss);
  if (order === 'second') return;
  const to = extractStateDict(net, { by: 'detached' });
  net.params = mapParameters(start, (x, name) => tf.add(x, tf.sub(to[name], from[name])));
}

interface MetaOptions {
  /** Whether the outer gradient goes through the inner step, 'second', or takes what that adds for a constant, 'first'. */
  order?: 'first' | 'second';
  seed?: number;
  tasks?: number;
  trajectories?: number;
}

/** Learns the start; dispose it. */
export class MetaTraining {
  private readonly start: Parameters;
  private readonly net: Net;
  private readonly outer: MetaAdam<Parameters>;
  private readonly rng: Rng;
  private readonly options: Required<MetaOptions>;

  constructor(options: MetaOptions = {}) {
    this.options = { order: 'second', seed: 1, tasks: 40, trajectories: 20, ...options };
    this.rng = random(1000 * this.options.seed);
    this.start = initialParameters(this.options.seed);
    this.net = netOf(this.start);
    this.outer = new MetaAdam(this.net, rates.outer);
  }

  get params(): Parameters {
    return this.net.params;
  }

  /** One step of Adam on tasks never seen before. Returns the mean sum of rewards before and after the inner step, and the loss. */
  iterate(): { before: number; after: number; loss: number } {
    const { rng, options } = this;
    const tasks = Array.from({ length: options.tasks }, () => randomMdp(rng));
    return tf.tidy(() => {
      let [before, after]: Summary[][] = [];
      let value = NaN;
      this.outer.step((params) => {
        const net = netOf(copies(params, tasks.length));
        const now = net.apply();
        before = sample(now, tasks, options.trajectories, rng);
        innerStep(net, loss(now, before), options.order);
        const adapted = net.apply();
        // The loss after the step, of trajectories sampled after it. What was sampled is a constant of the tape.
        after = sample(adapted, tasks, options.trajectories, rng);
        const mean = tf.div(loss(adapted, after), tasks.length);
        value = mean.dataSync()[0];
        return mean;
      });
      return { before: meanEpisode(before), after: meanEpisode(after), loss: value };
    });
  }

  dispose(): void {
    this.outer.dispose();
    tf.dispose(this.start);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

const meanEpisode = (summaries: Summary[]): number =>
  summaries.reduce((sum, { episode }) => sum + episode, 0) / summaries.length;
