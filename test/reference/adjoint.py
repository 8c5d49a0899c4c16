"""adjoint.json: gradients of L = sum_ij weights_ij y_j(t_i) by torchdiffeq, and by forward sensitivities as a check.

dL/dt_0 is the effect of starting at another time from the same y0: -a(t_0) . f(t_0, y0), where a(t_0) has the
cotangents of the later outputs only (weights_0 belongs to y0, which does not move with t_0).
"""

import numpy as np
import torch
import torchdiffeq
from scipy.integrate import solve_ivp

RTOL, ATOL = 1e-12, 1e-13

LINEAR = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]], dtype=torch.float64)


def mlp_parameters():
    """Fixed weights of a 2-8-2 network: rounded, so that the JSON has them exactly."""
    generator = np.random.default_rng(7)
    draw = lambda *shape: torch.tensor(np.round(generator.normal(size=shape) * 0.6, 3), dtype=torch.float64)
    return {"w1": draw(2, 8), "b1": draw(8), "w2": draw(8, 2), "b2": draw(2)}


def scalars(**values):
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def lotka_volterra(t, y, p):
    a, b, c, d = p["alpha"], p["beta"], p["gamma"], p["delta"]
    return torch.stack([a * y[0] - b * y[0] * y[1], -c * y[1] + d * y[0] * y[1]])


CASES = {
    "lotka_volterra": {
        "rhs": "y1' = alpha y1 - beta y1 y2; y2' = -gamma y2 + delta y1 y2",
        "f": lotka_volterra,
        "parameters": scalars(alpha=0.55, beta=0.028, gamma=0.84, delta=0.026),
        "y0": [33.956, 5.933],
        "t": [0.0, 1.0, 2.5, 4.0, 6.0],
    },
    "linear": {
        "rhs": "y' = A y",
        "f": lambda t, y, p: p["A"] @ y,
        "parameters": {"A": LINEAR},
        "y0": [2.0, 0.0],
        "t": [0.0, 0.5, 1.25, 2.0, 3.0],
    },
    "mlp": {
        "rhs": "y' = tanh(y w1 + b1) w2 + b2",
        "f": lambda t, y, p: torch.tanh(y @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"],
        "parameters": mlp_parameters(),
        "y0": [0.5, -0.25],
        "t": [0.0, 0.25, 0.75, 1.0, 2.0],
    },
    "forced": {
        "rhs": "y' = -a y + b sin(w t)",
        "f": lambda t, y, p: -p["a"] * y + p["b"] * torch.sin(p["w"] * t),
        "parameters": scalars(a=0.8, b=1.5, w=2.0),
        "y0": [1.0],
        "t": [0.5, 1.0, 1.75, 2.5, 4.0],
    },
}


def output_weights(count, dimension):
    return [[round(np.cos(1.0 + 2 * i + 3 * j), 2) for j in range(dimension)] for i in range(count)]


def leaves(case):
    make = lambda x: torch.as_tensor(x, dtype=torch.float64).clone().requires_grad_()
    return make(case["y0"]), make(case["t"]), {name: make(p) for name, p in case["parameters"].items()}


def by_torchdiffeq(case, weights, adjoint):
    y0, t, parameters = leaves(case)

    class Func(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.p = torch.nn.ParameterDict({name: torch.nn.Parameter(p.detach()) for name, p in parameters.items()})

        def forward(self, time, y):
            return case["f"](time, y, self.p)

    func = Func()
    solve = torchdiffeq.odeint_adjoint if adjoint else torchdiffeq.odeint
    ys = solve(func, y0, t, method="dopri5", rtol=RTOL, atol=ATOL)
    loss = (ys * torch.tensor(weights, dtype=torch.float64)).sum()
    loss.backward()
    gradients = {"y0": y0.grad, "t": t.grad, **{name: p.grad for name, p in func.p.items()}}
    return loss.item(), ys.detach().numpy(), {name: g.numpy() for name, g in gradients.items()}


def by_sensitivities(case, weights):
    """d/dt S = J S + [df/dp, 0], S = [dy/dp, dy/dy0], by DOP853 at rtol 1e-13; time gradients from their definition."""
    y0, t, parameters = leaves(case)
    names = list(parameters)
    sizes = [parameters[name].numel() for name in names]
    flat = torch.cat([parameters[name].detach().reshape(-1) for name in names])

    def f(time, y, p):
        parts = torch.split(p, sizes)
        return case["f"](time, y, {n: part.reshape(parameters[n].shape) for n, part in zip(names, parts)})

    n, m = y0.numel(), flat.numel()

    def augmented(time, state):
        y = torch.tensor(state[:n])
        s = torch.tensor(state[n:]).reshape(n, m + n)
        time = torch.tensor(time, dtype=torch.float64)
        jy, jp = torch.autograd.functional.jacobian(lambda a, b: f(time, a, b), (y, flat))
        ds = jy @ s
        ds[:, :m] += jp
        return torch.cat([f(time, y, flat), ds.reshape(-1)]).numpy()

    start = np.concatenate([case["y0"], np.hstack([np.zeros((n, m)), np.eye(n)]).reshape(-1)])
    solution = solve_ivp(augmented, (case["t"][0], case["t"][-1]), start, method="DOP853", t_eval=case["t"],
                         rtol=1e-13, atol=1e-14).y.T
    g = np.array(weights)
    ys, s = solution[:, :n], solution[:, n:].reshape(len(g), n, m + n)
    total = np.einsum("in,inp->p", g, s)
    slopes = [f(torch.tensor(time), torch.tensor(y), flat).numpy() for time, y in zip(case["t"], ys)]
    later = np.einsum("in,inp->p", g[1:], s[1:])[m:]
    gradients = {"y0": total[m:], "t": np.array([-later @ slopes[0]] + [a @ b for a, b in zip(g[1:], slopes[1:])])}
    for name, part in zip(names, np.split(total[:m], np.cumsum(sizes)[:-1])):
        gradients[name] = part.reshape(parameters[name].shape)
    return gradients


def difference(a, b):
    return max(float(np.abs(a[k] - b[k]).max() / max(1, np.abs(b[k]).max())) for k in b)


def adjoint():
    cases = {}
    for name, case in CASES.items():
        weights = output_weights(len(case["t"]), len(case["y0"]))
        loss, ys, tape = by_torchdiffeq(case, weights, adjoint=False)
        _, _, backsolve = by_torchdiffeq(case, weights, adjoint=True)
        exact = by_sensitivities(case, weights)
        check = {"tape": difference(tape, exact), "odeint_adjoint": difference(backsolve, exact)}
        print(name, loss, check, {k: difference({k: tape[k]}, {k: exact[k]}) for k in tape})
        listed = lambda gradients: {k: np.asarray(v).tolist() for k, v in gradients.items()}
        cases[name] = {
            "rhs": case["rhs"], "y0": case["y0"], "t": case["t"], "weights": weights,
            "parameters": {k: p.tolist() for k, p in case["parameters"].items()},
            "loss": loss, "y": ys.tolist(),
            "torchdiffeq": listed(tape), "sensitivities": listed(exact),
            "check": {k: float(f"{v:.1e}") for k, v in check.items()},
        }
    return {
        "source": f"torchdiffeq odeint, dopri5, rtol {RTOL}, atol {ATOL}, gradient by the tape; sensitivities: forward "
        "sensitivity equations by scipy DOP853, rtol 1e-13, time gradients g_i . f(t_i, y_i) and -a(t_0) . f(t_0, y_0), "
        "a(t_0) without weights_0. check: largest difference of torchdiffeq's tape and of its odeint_adjoint from the "
        "sensitivities, relative to the gradient's largest entry or 1",
        "cases": cases,
    }
