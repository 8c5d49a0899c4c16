"""neural_cde.json: cubic paths by scipy, the area that one of them sweeps, and a linear CDE by scipy's matrix exponential.

Paths go through 12 irregular knots. CubicSpline(bc_type='natural') is the natural cubic spline; CubicHermiteSpline with the
slope of the line from the knot before is the Hermite cubic of https://arxiv.org/abs/2106.11028.
"""

import numpy as np
from scipy.integrate import quad
from scipy.interpolate import CubicHermiteSpline, CubicSpline
from scipy.linalg import expm

KNOTS, SEED = 12, 1


def neural_cde():
    rng = np.random.default_rng(SEED)
    t = np.round(np.concatenate([[0], np.cumsum(rng.uniform(0.2, 1.8, KNOTS - 1))]), 6)
    x = np.round(rng.normal(size=(2, KNOTS)), 6)
    at = np.round(np.linspace(t[0], t[-1], 41), 6)
    at[-1] = t[-1]

    def hermite(values):
        rise = np.diff(values) / np.diff(t)
        return CubicHermiteSpline(t, values, np.concatenate([rise[:1], rise]))

    def described(make):
        paths = [make(values) for values in x]
        (u, v), (du, dv) = paths, [path.derivative() for path in paths]
        slope = lambda s: ((u(s) - u(t[0])) * dv(s) - (v(s) - v(t[0])) * du(s)) / 2
        area = sum(quad(slope, a, b, epsabs=1e-12, epsrel=1e-12)[0] for a, b in zip(t, t[1:]))
        return {
            "values": [path(at).tolist() for path in paths],
            "slopes": [path.derivative()(at).tolist() for path in paths],
            "area": area,
        }

    a = np.round(rng.normal(scale=0.6, size=(3, 3)), 6)
    z0 = np.round(rng.normal(size=3), 6)
    return {
        "t": t.tolist(),
        "x": x.tolist(),
        "at": at.tolist(),
        "natural": described(lambda values: CubicSpline(t, values, bc_type="natural")),
        "hermite": described(hermite),
        # dz = A z dX with a scalar X: z = exp(A (X(end) - X(start))) z0, whatever X does in between
        "linear": {"a": a.tolist(), "z0": z0.tolist(), "z": (expm(a * (x[0, -1] - x[0, 0])) @ z0).tolist()},
    }
