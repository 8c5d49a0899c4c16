"""adjoint_nfe.json: evaluations of func by torchdiffeq's odeint_adjoint with the seminorm, forward and backward.

In float64, so that no tolerance meets rounding. An evaluation under the vector-Jacobian product counts once, as func is
called once there. t needs no gradient: its evaluations at output times are left out on both sides.
"""

import numpy as np
import torch
import torchdiffeq

RTOLS = [1e-3, 1e-4, 1e-5]


def mlp_weights():
    """A 2-16-2 network, rounded to float32 and written as it is."""
    generator = np.random.default_rng(11)
    draw = lambda *shape: np.float32(np.round(generator.normal(size=shape) * 0.5, 3)).tolist()
    return {"w1": draw(2, 16), "b1": draw(16), "w2": draw(16, 2), "b2": draw(2)}


def lotka_volterra(t, y, p):
    x, h = y[..., 0], y[..., 1]
    return torch.stack([p["alpha"] * x - p["beta"] * x * h, p["delta"] * x * h - p["gamma"] * h], -1)


PROBLEMS = {
    "lotka_volterra": {
        "rhs": "x' = alpha x - beta x y; y' = delta x y - gamma y",
        "f": lotka_volterra,
        "parameters": {"alpha": 1.5, "beta": 1.0, "gamma": 3.0, "delta": 1.0},
        "y0": [1.0, 1.0],
        "t": np.linspace(0, 5, 11).tolist(),
    },
    "mlp": {
        "rhs": "y' = tanh(y w1 + b1) w2 + b2",
        "f": lambda t, y, p: torch.tanh(y @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"],
        "parameters": mlp_weights(),
        "y0": [1.0, -0.5],
        "t": [0.0, 1.0, 2.0, 3.0],
    },
    "spiral": {
        "rhs": "y' = y^3 A",
        "f": lambda t, y, p: (y**3) @ p["A"],
        "parameters": {"A": [[-0.125, 2.0], [-2.0, -0.125]]},
        "y0": [2.0, 0.0],
        "t": np.linspace(0, 5, 21).tolist(),
    },
    "oscillator": {
        "rhs": "q' = p; p' = -k q - c p + b cos(w t)",
        "f": lambda t, y, p: torch.stack(
            [y[1], -p["k"] * y[0] - p["c"] * y[1] + p["b"] * torch.cos(p["w"] * t)]
        ),
        "parameters": {"k": 4.0, "c": 0.25, "b": 1.5, "w": 3.0},
        "y0": [1.0, 0.0],
        "t": [0.0, 10.0],
    },
}


def count(problem, rtol, norm):
    class Func(torch.nn.Module):
        def __init__(self):
            super().__init__()
            make = lambda x: torch.nn.Parameter(torch.tensor(x, dtype=torch.float64))
            self.p = torch.nn.ParameterDict({name: make(x) for name, x in problem["parameters"].items()})
            self.calls = 0

        def forward(self, t, y):
            self.calls += 1
            return problem["f"](t, y, self.p)

    func = Func()
    y0 = torch.tensor(problem["y0"], dtype=torch.float64, requires_grad=True)
    t = torch.tensor(problem["t"], dtype=torch.float64)
    options = {"adjoint_options": {"norm": "seminorm"}} if norm == "seminorm" else {}
    ys = torchdiffeq.odeint_adjoint(func, y0, t, method="dopri5", rtol=rtol, atol=rtol / 10, **options)
    forward, func.calls = func.calls, 0
    (ys**2).sum().backward()
    return {"rtol": rtol, "forward": forward, "backward": func.calls}


def adjoint_nfe():
    problems = {}
    for name, problem in PROBLEMS.items():
        problems[name] = {key: problem[key] for key in ("rhs", "parameters", "y0", "t")}
        problems[name]["seminorm"] = [count(problem, rtol, "seminorm") for rtol in RTOLS]
        print(name, problems[name]["seminorm"], [count(problem, rtol, "full")["backward"] for rtol in RTOLS])
    return {
        "source": "torchdiffeq odeint_adjoint, dopri5, atol = rtol / 10, adjoint_options={'norm': 'seminorm'}, loss = sum of "
        "squares of all outputs, float64: calls of func in the forward and in the backward solve",
        "problems": problems,
    }
