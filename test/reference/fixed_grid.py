"""fixed_grid.json: float64 states of one step per grid interval, by programs that are not ours."""

import os

os.environ["JAX_ENABLE_X64"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import diffrax
import jax.numpy as jnp
import numpy as np
import torch
import torchdiffeq
from torchdiffeq._impl.rk_common import rk4_step_func

STEPS = 20


def damped(t, y):
    return [y[1], -y[0] - 0.2 * y[1]]


def lotka_volterra(t, y):
    return [0.55 * y[0] - 0.028 * y[0] * y[1], -0.84 * y[1] + 0.026 * y[0] * y[1]]


def sine_decay(m):
    return lambda t, y: [-y[0] + m.sin(t)]


# name: (rhs, f for a module, y0, h); the steps are exact in binary, so every program sees the same times
CASES = {
    "damped_oscillator": ("y1' = y2; y2' = -y1 - 0.2 y2", lambda m: damped, [1.0, 0.0], 0.25),
    "lotka_volterra": ("y1' = 0.55 y1 - 0.028 y1 y2; y2' = -0.84 y2 + 0.026 y1 y2", lambda m: lotka_volterra,
                       [33.956, 5.933], 0.25),
    "sine_decay": ("y' = -y + sin(t)", sine_decay, [1.0], 0.125),
}


def by_torchdiffeq(method):
    def solve(f, y0, t):
        func = lambda time, y: torch.stack(f(torch)(time, y))
        return torchdiffeq.odeint(func, torch.tensor(y0, dtype=torch.float64), torch.tensor(t, dtype=torch.float64),
                                  method=method).numpy()

    return f"torchdiffeq {method}", solve


def by_torchdiffeq_rk4_classic():
    def solve(f, y0, t):
        func = lambda time, y, perturb=None: torch.stack(f(torch)(time, y))
        grid, states = torch.tensor(t, dtype=torch.float64), [torch.tensor(y0, dtype=torch.float64)]
        for t0, t1 in zip(grid[:-1], grid[1:]):
            states.append(states[-1] + rk4_step_func(func, t0, t1 - t0, t1, states[-1]))
        return torch.stack(states).numpy()

    return "torchdiffeq _impl.rk_common.rk4_step_func (not reachable by a method name)", solve


def by_diffrax(solver, propagates):
    def solve(f, y0, t):
        term = diffrax.ODETerm(lambda time, y, args: jnp.stack(f(jnp)(time, y)))
        result = diffrax.diffeqsolve(term, solver, t[0], t[-1], None, jnp.array(y0), saveat=diffrax.SaveAt(t0=True, steps=True),
                                     stepsize_controller=diffrax.StepTo(ts=jnp.array(t)), max_steps=STEPS)
        return np.asarray(result.ys)[: STEPS + 1]

    return f"diffrax {type(solver).__name__} with StepTo{propagates}", solve


def by_fehlberg2():
    """Fehlberg, NASA TR R-315 (1969), RK1(2), propagating the second-order weights 1/512, 255/256, 1/512."""

    def solve(f, y0, t):
        func = lambda time, y: np.array(f(np)(time, y))
        states = [np.array(y0)]
        for t0, t1 in zip(t[:-1], t[1:]):
            y, h = states[-1], t1 - t0
            k1 = func(t0, y)
            k2 = func(t0 + h / 2, y + h / 2 * k1)
            k3 = func(t1, y + h * (k1 + 255 * k2) / 256)
            states.append(y + h * (k1 + 510 * k2 + k3) / 512)
        return np.array(states)

    return ("numpy, from the published table (torchdiffeq reuses k3 as the next k1, which is wrong for the "
            "second-order solution)"), solve


METHODS = {
    "euler": by_torchdiffeq("euler"),
    "midpoint": by_torchdiffeq("midpoint"),
    "heun2": by_torchdiffeq("heun2"),
    "heun3": by_torchdiffeq("heun3"),
    "rk4": by_torchdiffeq("rk4"),
    "rk4_classic": by_torchdiffeq_rk4_classic(),
    "adaptive_heun": by_diffrax(diffrax.Heun(), " (torchdiffeq reuses k2 as the next k1)"),
    "fehlberg2": by_fehlberg2(),
    "bosh3": by_diffrax(diffrax.Bosh3(), ""),
    "dopri5": by_diffrax(diffrax.Dopri5(), ""),
    "tsit5": by_diffrax(diffrax.Tsit5(), ""),
    "dopri8": by_diffrax(diffrax.Dopri8(), ""),
}


def fixed_grid():
    cases = {}
    for name, (rhs, f, y0, h) in CASES.items():
        t = [i * h for i in range(STEPS + 1)]
        states = {}
        for method, (_, solve) in METHODS.items():
            values = np.asarray(solve(f, y0, t))
            assert values.shape == (STEPS + 1, len(y0)) and np.isfinite(values).all(), (name, method)
            states[method] = values.tolist()
        cases[name] = {"rhs": rhs, "y0": y0, "t": t, "y": states}
    return {"source": {method: source for method, (source, _) in METHODS.items()}, "cases": cases}
