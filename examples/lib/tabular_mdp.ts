/**
 * Markov decision processes with few states and a horizon, on plain numbers: random ones, samples of their trajectories, and
 * what can be said of them exactly, by dynamic programming over the horizon.
 */
import type { random } from './training.js';

export interface TabularMdp {
  states: number;
  actions: number;
  horizon: number;
  /** `P(s' | s, a)`, [states, actions, states]. An episode starts in state 0. */
  transitions: Float64Array;
  /** Means of the rewards, [states, actions]; samples have variance 1. */
  rewards: Float64Array;
}

/** Probabilities `pi(a | s)`, [states, actions], the same at every time. */
export type Policy = ArrayLike<number>;

type Random = ReturnType<typeof random>;

/**
 * Transitions from a flat Dirichlet distribution, mean rewards from a normal one with mean 1 and variance 1: the random MDPs
 * of Duan et al., https://arxiv.org/abs/1611.02779.
 */
export function randomMdp(
  { uniform, normal }: Random,
  { states = 10, actions = 5, horizon = 10 } = {},
): TabularMdp {
  const transitions = new Float64Array(states * actions * states);
  for (let row = 0; row < transitions.length; row += states) {
    let sum = 0;
    for (let i = row; i < row + states; i++) sum += transitions[i] = -Math.log(uniform());
    for (let i = row; i < row + states; i++) transitions[i] /= sum;
  }
  const rewards = Float64Array.from({ length: states * actions }, () => 1 + normal());
  return { states, actions, horizon, transitions, rewards };
}

export const uniformPolicy = ({ states, actions }: TabularMdp): Policy =>
  new Float64Array(states * actions).fill(1 / actions);

/** Reward and `sum P(s' | s, a) v(s')` of one state and action. */
function lookAhead({ states, transitions, rewards }: TabularMdp, pair: number, v: Float64Array): number {
  let value = rewards[pair];
  for (let next = 0; next < states; next++) value += transitions[pair * states + next] * v[next];
  return value;
}

function backward(mdp: TabularMdp, value: (state: number, v: Float64Array) => number): number {
  let v = new Float64Array(mdp.states);
  for (let t = 0; t < mdp.horizon; t++) v = Float64Array.from(v, (_, state) => value(state, v));
  return v[0];
}

/** The expected sum of rewards of an episode: no sampling, no discount. */
export const expectedReturn = (mdp: TabularMdp, policy: Policy): number =>
  backward(mdp, (state, v) => {
    let value = 0;
    for (let pair = state * mdp.actions; pair < (state + 1) * mdp.actions; pair++)
      value += policy[pair] * lookAhead(mdp, pair, v);
    return value;
  });

/** That of the best policy, which may act differently at every time: value iteration. */
export const optimalReturn = (mdp: TabularMdp): number =>
  backward(mdp, (state, v) => {
    let value = -Infinity;
    for (let pair = state * mdp.actions; pair < (state + 1) * mdp.actions; pair++)
      value = Math.max(value, lookAhead(mdp, pair, v));
    return value;
  });

/** Episodes, [count, horizon] each. */
export interface Trajectories {
  states: Uint8Array;
  actions: Uint8Array;
  rewards: Float64Array;
  /** Weights of the episodes, with sum 1; absent when all are alike. */
  weights?: number[];
}

/** Episodes under a policy, rewards with their noise. */
export function rollouts(
  mdp: TabularMdp,
  policy: Policy,
  count: number,
  { uniform, normal }: Random,
): Trajectories {
  const { states, actions, horizon, transitions } = mdp;
  const length = count * horizon;
  const sample = {
    states: new Uint8Array(length),
    actions: new Uint8Array(length),
    rewards: new Float64Array(length),
  };
  const choose = (p: ArrayLike<number>, from: number, size: number) => {
    let rest = uniform();
    let i = 0;
    while (i < size - 1 && (rest -= p[from + i]) >= 0) i++;
    return i;
  };
  for (let i = 0, state = 0; i < length; i++) {
    if (i % horizon === 0) state = 0;
    const action = choose(policy, state * actions, actions);
    const pair = state * actions + action;
    [sample.states[i], sample.actions[i], sample.rewards[i]] = [state, action, mdp.rewards[pair] + normal()];
    state = choose(transitions, pair * states, states);
  }
  return sample;
}

/** Every episode there can be, weighted by its probability, with mean rewards: for expectations of estimators. */
export function allTrajectories(mdp: TabularMdp, policy: Policy): Required<Trajectories> {
  const { states, actions, horizon } = mdp;
  let partial = [{ pairs: [] as number[], state: 0, weight: 1 }];
  for (let t = 0; t < horizon; t++) {
    partial = partial.flatMap(({ pairs, state, weight }) =>
      Array.from({ length: actions * states }, (_, i) => {
        const [action, next] = [Math.floor(i / states), i % states];
        const pair = state * actions + action;
        const p = policy[pair] * mdp.transitions[pair * states + next];
        return { pairs: [...pairs, pair], state: next, weight: weight * p };
      }),
    );
  }
  const pairs = partial.flatMap((trajectory) => trajectory.pairs);
  return {
    states: Uint8Array.from(pairs, (pair) => Math.floor(pair / actions)),
    actions: Uint8Array.from(pairs, (pair) => pair % actions),
    rewards: Float64Array.from(pairs, (pair) => mdp.rewards[pair]),
    weights: partial.map(({ weight }) => weight),
  };
}

/**
 * What the best plan for a model earns in the MDP itself, the model being the posterior mean after some trajectories, under
 * the distribution of {@link randomMdp}: far more can be made of the same trajectories than one step of gradient descent does.
 */
export function plannedReturn(mdp: TabularMdp, trajectories: Trajectories): number {
  const { states, actions, horizon } = mdp;
  const count = new Float64Array(states * actions);
  const rewards = new Float64Array(states * actions).fill(1);
  const transitions = new Float64Array(states * actions * states).fill(1);
  trajectories.rewards.forEach((reward, i) => {
    const pair = trajectories.states[i] * actions + trajectories.actions[i];
    count[pair]++;
    rewards[pair] += reward;
    if ((i + 1) % horizon > 0) transitions[pair * states + trajectories.states[i + 1]]++;
  });
  const model = {
    ...mdp,
    rewards: rewards.map((sum, pair) => sum / (1 + count[pair])),
    transitions: transitions.map((seen, i) => {
      const row = Math.floor(i / states) * states;
      return seen / transitions.subarray(row, row + states).reduce((sum, x) => sum + x, 0);
    }),
  };
  let [believed, v] = [new Float64Array(states), new Float64Array(states)];
  for (let t = 0; t < horizon; t++) {
    const best = Array.from(v, (_, state) => {
      const pairs = Array.from({ length: actions }, (_, action) => state * actions + action);
      return pairs.reduce((a, b) => (lookAhead(model, b, believed) > lookAhead(model, a, believed) ? b : a));
    });
    believed = Float64Array.from(best, (pair) => lookAhead(model, pair, believed));
    v = Float64Array.from(best, (pair) => lookAhead(mdp, pair, v));
  }
  return v[0];
}

/** All that a loss needs to know of trajectories: means over their steps. */
export interface Summary {
  /** Advantages of each state and action, [states, actions]. */
  advantages: Float32Array;
  /** How often a state was seen, [states]. */
  visits: Float32Array;
  /** Lambda-returns from each state, [states]. */
  returns: Float32Array;
  /** The squares of those, over all states. */
  squares: number;
  /** Mean sum of rewards of an episode. */
  episode: number;
}

/**
 * Lambda-returns `G_t = r_t + gamma ((1 - lambda) V(s_t+1) + lambda G_t+1)`, with V = 0 past the horizon, and advantages
 * `G_t - V(s_t)`: generalised advantage estimation, https://arxiv.org/abs/1506.02438.
 */
export function summarize(
  { states, actions, horizon }: TabularMdp,
  trajectories: Trajectories,
  values: ArrayLike<number>,
  { gamma = 0.99, lambda = 0.95 } = {},
): Summary {
  const count = trajectories.rewards.length / horizon;
  const advantages = new Float32Array(states * actions);
  const [visits, returns] = [new Float32Array(states), new Float32Array(states)];
  let [squares, episode] = [0, 0];
  for (let k = 0; k < count; k++) {
    const weight = trajectories.weights?.[k] ?? 1 / count;
    let [g, next] = [0, 0];
    for (let i = (k + 1) * horizon - 1; i >= k * horizon; i--) {
      const [state, reward] = [trajectories.states[i], trajectories.rewards[i]];
      g = reward + gamma * ((1 - lambda) * next + lambda * g);
      next = values[state];
      const share = weight / horizon;
      advantages[state * actions + trajectories.actions[i]] += share * (g - next);
      visits[state] += share;
      returns[state] += share * g;
      squares += share * g * g;
      episode += weight * reward;
    }
  }
  return { advantages, visits, returns, squares, episode };
}
