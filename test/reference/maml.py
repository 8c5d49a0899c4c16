"""maml.json: meta-learning of a policy for random tabular MDPs by PyTorch, float64, from trajectories step by step.

`gradient` is one outer gradient of a small network on given trajectories of two tasks, through the inner step
('second') and with the inner gradient held constant ('first').

`training` repeats the setting of TorchOpt's example (random MDPs of arXiv:1611.02779, 40 tasks, 20 trajectories, rates
0.1 and 1e-3) with random numbers of its own: expected return, by dynamic programming, before and after one and five
inner steps on 400 MDPs that were held out. One entry per seed.
"""

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
GAMMA, LAMBDA, INNER, OUTER = 0.99, 0.95, 0.1, 1e-3
NAMES = ["w1", "b1", "w2", "b2", "w3", "b3"]


def heads(p):
    """Of all states at once, [tasks, states, actions + 1]: a one-hot state picks a row of w1."""
    w1, b1, w2, b2, w3, b3 = p
    return torch.relu(torch.relu(w1 + b1) @ w2 + b2) @ w3 + b3


def network(p, states, actions):
    """Log-probabilities and values along trajectories [tasks, count, horizon]."""
    out = heads(p)
    task = torch.arange(len(out))[:, None, None]
    return torch.log_softmax(out[..., :-1], -1)[task, states, actions], out[..., -1][task, states]


def loss(p, states, actions, rewards):
    """Sum over tasks of the means over steps."""
    log_p, values = network(p, states, actions)
    g, returns = torch.zeros_like(rewards[..., 0]), []
    following = torch.zeros_like(g)
    for t in reversed(range(rewards.shape[-1])):
        g = rewards[..., t] + GAMMA * ((1 - LAMBDA) * following + LAMBDA * g)
        following = values[..., t].detach()
        returns.insert(0, g)
    advantages = torch.stack(returns, -1) - values
    return (-(advantages.detach() * log_p) + 0.5 * advantages**2).mean((1, 2)).sum()


def adapt(p, trajectories, order="second"):
    grads = torch.autograd.grad(loss(p, *trajectories), p, create_graph=order == "second")
    return [x - INNER * g for x, g in zip(p, grads)]


def policy(p):
    return torch.softmax(heads(p)[..., :-1], -1).detach().numpy()


def small_gradient():
    rng = np.random.default_rng(5)
    states, actions, width, tasks, count, horizon = 3, 2, 4, 2, 3, 4
    shapes = [(1, states, width), (1, 1, width), (1, width, width), (1, 1, width), (1, width, actions + 1), (1, 1, actions + 1)]
    start = [np.round(rng.normal(0, 0.7, s), 3) for s in shapes]
    draw = lambda: (
        rng.integers(states, size=(tasks, count, horizon)),
        rng.integers(actions, size=(tasks, count, horizon)),
        np.round(rng.normal(1, 1, (tasks, count, horizon)), 3),
    )
    before, after = draw(), draw()
    result = {
        "parameters": {n: {"shape": list(x.shape), "values": x.ravel().tolist()} for n, x in zip(NAMES, start)},
        "size": {"states": states, "actions": actions, "horizon": horizon},
    }
    for name, (s, a, r) in [("before", before), ("after", after)]:
        flat = lambda x: x.reshape(tasks, -1).tolist()
        result[name] = {"states": flat(s), "actions": flat(a), "rewards": flat(r)}
    for order in ["first", "second"]:
        p = [torch.tensor(x, requires_grad=True) for x in start]
        copies = [x.expand(tasks, -1, -1) for x in p]
        adapted = adapt(copies, [torch.tensor(x) for x in before], order)
        outer = loss(adapted, *[torch.tensor(x) for x in after]) / tasks
        grads = torch.autograd.grad(outer, p)
        result[order] = {n: [float(f"{x:.9g}") for x in g.ravel().tolist()] for n, g in zip(NAMES, grads)}
        result["loss"] = float(f"{outer.item():.9g}")
    return result


def random_mdps(rng, count, states=10, actions=5):
    return rng.dirichlet(np.ones(states), (count, states, actions)), rng.normal(1, 1, (count, states, actions))


def rollouts(rng, mdps, pi, count=20, horizon=10):
    transitions, means = mdps
    task = np.arange(len(means))[:, None]
    choose = lambda p: np.minimum((p.cumsum(-1) < rng.random(p.shape[:-1])[..., None]).sum(-1), p.shape[-1] - 1)
    state, steps = np.zeros((len(means), count), int), []
    for _ in range(horizon):
        action = choose(pi[task, state])
        steps.append((state, action, rng.normal(means[task, state, action], 1)))
        state = choose(transitions[task, state, action])
    return [torch.tensor(np.stack(x, -1)) for x in zip(*steps)]


def expected_return(mdps, pi, horizon=10):
    transitions, means = mdps
    v = np.zeros(means.shape[:2])
    for _ in range(horizon):
        v = (pi * (means + np.einsum("msan,mn->msa", transitions, v))).sum(-1)
    return v[:, 0].mean()


def evaluate(p, held_out, rng, steps=5):
    tasks = len(held_out[1])
    p = [x.detach().expand(tasks, -1, -1).clone().requires_grad_() for x in p]
    returns = [expected_return(held_out, policy(p))]
    for _ in range(steps):
        p = [x.detach().requires_grad_() for x in adapt(p, rollouts(rng, held_out, policy(p)), "first")]
        returns.append(expected_return(held_out, policy(p)))
    return [float(f"{returns[i]:.5g}") for i in (0, 1, 5)]


def train(seed, order, iterations, width=32, tasks=40):
    rng = np.random.default_rng(seed)
    bound = lambda shape, inputs: rng.uniform(-1, 1, shape) / np.sqrt(inputs)
    start = [bound((1, 10, width), 10), bound((1, 1, width), 10)]
    for size in (width, 6):
        start += [bound((1, width, size), width), bound((1, 1, size), width)]
    p = [torch.tensor(x, requires_grad=True) for x in start]
    held_out = random_mdps(np.random.default_rng(1000 + seed), 400)
    evaluations = [evaluate(p, held_out, np.random.default_rng(2000 + seed))]
    adam = torch.optim.Adam(p, lr=OUTER)
    for _ in range(iterations):
        mdps = random_mdps(rng, tasks)
        copies = [x.expand(tasks, -1, -1) for x in p]
        adapted = adapt(copies, rollouts(rng, mdps, policy(copies)), order)
        adam.zero_grad()
        (loss(adapted, *rollouts(rng, mdps, policy(adapted))) / tasks).backward()
        adam.step()
    return evaluations + [evaluate(p, held_out, np.random.default_rng(2000 + seed))]


def maml(iterations=500, seeds=range(1, 6)):
    runs = {order: [train(seed, order, iterations) for seed in seeds] for order in ["second", "first"]}
    return {
        "gradient": small_gradient(),
        "training": {
            "iterations": iterations,
            "untrained": [run[0] for run in runs["second"]],
            **{order: [run[1] for run in runs[order]] for order in runs},
        },
    }


if __name__ == "__main__":
    from generate import write

    torch.set_num_threads(1)
    write("maml.json", maml())
