"""optim.json: trajectories of torch.optim, and scipy's minimisation of Rosenbrock's function.

The problem is small and has curvature of several sizes: f(w, b) = sum_i c_i (w_i - t_i)^2 / 2 + (w . u + b)^2 + cosh(b).
"""

import numpy as np
import scipy.optimize
import torch

W, B = [1.0, -2.0, 0.5], 0.3
C, T, U = [0.5, 2.0, 5.0], [0.0, 1.0, -1.0], [0.3, -0.2, 0.1]
STEPS = 20

CASES = {
    "sgd": (torch.optim.SGD, {"lr": 0.05}),
    "sgd momentum": (torch.optim.SGD, {"lr": 0.02, "momentum": 0.9}),
    "sgd nesterov": (torch.optim.SGD, {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    "sgd weight decay": (torch.optim.SGD, {"lr": 0.02, "momentum": 0.5, "weight_decay": 0.1}),
    "adam": (torch.optim.Adam, {"lr": 0.1}),
    "adam weight decay": (torch.optim.Adam, {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    "adamw": (torch.optim.AdamW, {"lr": 0.1}),
    "adamw weight decay": (torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.2}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.05}),
    "rmsprop centered": (
        torch.optim.RMSprop,
        {"lr": 0.01, "alpha": 0.9, "momentum": 0.5, "centered": True, "weight_decay": 0.1},
    ),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.3}),
    "adagrad weight decay": (torch.optim.Adagrad, {"lr": 0.3, "initial_accumulator_value": 0.1, "weight_decay": 0.1}),
}


def loss(w, b):
    c, t, u = (torch.tensor(x, dtype=torch.float64) for x in (C, T, U))
    return (c * (w - t) ** 2).sum() / 2 + (w @ u + b) ** 2 + torch.cosh(b)


def trajectory(optimizer, options):
    w = torch.tensor(W, dtype=torch.float64, requires_grad=True)
    b = torch.tensor(B, dtype=torch.float64, requires_grad=True)
    stepper = optimizer([w, b], **options)
    points = []
    for _ in range(STEPS):
        stepper.zero_grad()
        loss(w, b).backward()
        stepper.step()
        points.append([float(f"{x:.10g}") for x in [*w.tolist(), b.item()]])
    return points


def rosenbrock(method):
    found = scipy.optimize.minimize(
        scipy.optimize.rosen, [-1.2, 1.0], method=method, jac=scipy.optimize.rosen_der, options={"gtol": 1e-5}
    )
    return {"x": found.x.tolist(), "iterations": int(found.nit), "evaluations": int(found.nfev)}


def optim():
    return {
        "source": "torch.optim in float64: w and b after each of 20 steps, by optim.py; scipy.optimize.minimize from (-1.2, 1)",
        "start": [*W, B],
        "steps": {name: trajectory(*case) for name, case in CASES.items()},
        "rosenbrock": {name: rosenbrock(method) for name, method in {"bfgs": "BFGS", "lbfgs": "L-BFGS-B"}.items()},
    }
