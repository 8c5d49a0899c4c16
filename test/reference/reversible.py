"""reversible.json: float64 states of reversible Heun by diffrax, and of velocity Verlet by its textbook form."""

import math
import os

os.environ["JAX_ENABLE_X64"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import diffrax
import jax.numpy as jnp
import numpy as np


def forced_van_der_pol(m):
    return lambda t, y: [y[1], (1 - y[0] ** 2) * y[1] - y[0] + m.sin(2 * t) * y[0]]


def variable_logistic(m):
    return lambda t, y: [y[0] * (1 + 0.5 * m.cos(t) - y[0]) + 0.1 * m.exp(-t) * y[1], -t * y[1] / (1 + y[0] ** 2)]


# Steps of one size, exact in binary, and steps of many.
EVEN = [i * 0.0625 for i in range(41)]
UNEVEN = [0.5 + 0.03125 * i + 0.015625 * (i * i % 7) / 8 for i in range(41)]

HEUN = {
    "forced_van_der_pol": ("y1' = y2; y2' = (1 - y1^2) y2 - y1 + sin(2 t) y1", forced_van_der_pol, [1.25, -0.5], EVEN),
    "variable_logistic": ("y1' = y1 (1 + cos(t) / 2 - y1) + exp(-t) y2 / 10; y2' = -t y2 / (1 + y1^2)", variable_logistic,
                          [0.25, 2.0], UNEVEN),
}


def reversible_heun(f, y0, t):
    term = diffrax.ODETerm(lambda time, y, args: jnp.stack(f(jnp)(time, y)))
    result = diffrax.diffeqsolve(term, diffrax.ReversibleHeun(), t[0], t[-1], None, jnp.array(y0),
                                 saveat=diffrax.SaveAt(t0=True, steps=True),
                                 stepsize_controller=diffrax.StepTo(ts=jnp.array(t)), max_steps=len(t))
    return np.asarray(result.ys)[: len(t)].tolist()


VERLET = {
    "pendulum": ("q'' = -sin(q)", lambda q: [-math.sin(q[0])], [2.5], [0.25], 0.125, 80),
    "kepler": ("q'' = -q / |q|^3", lambda q: [-x / math.hypot(*q) ** 3 for x in q], [0.4, 0.0], [0.0, 2.0], 0.015625, 600),
}


def velocity_verlet(acceleration, x, v, h, steps):
    """x += v h + a h^2 / 2; v += (a + a_new) h / 2 (Swope et al. 1982, https://doi.org/10.1063/1.442716)."""
    a, states = acceleration(x), [[*x, *v]]
    for _ in range(steps):
        x = [xi + vi * h + ai * h * h / 2 for xi, vi, ai in zip(x, v, a)]
        new = acceleration(x)
        v = [vi + (ai + bi) * h / 2 for vi, ai, bi in zip(v, a, new)]
        a = new
        states.append([*x, *v])
    return states


def reversible():
    heun = {name: {"rhs": rhs, "y0": y0, "t": t, "y": reversible_heun(f, y0, t)} for name, (rhs, f, y0, t) in HEUN.items()}
    verlet = {}
    for name, (rhs, f, q, p, h, steps) in VERLET.items():
        states = velocity_verlet(f, q, p, h, steps)
        every = steps // 20
        verlet[name] = {"rhs": rhs, "y0": [*q, *p], "h": h, "every": every, "y": states[::every]}
    assert all(np.isfinite(case["y"]).all() for case in [*heun.values(), *verlet.values()])
    return {"source": {"reversible_heun": "diffrax ReversibleHeun with StepTo", "leapfrog": "velocity_verlet in reversible.py"},
            "reversible_heun": heun, "leapfrog": verlet}
