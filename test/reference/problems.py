"""The initial value problems of problems.json, each written once for mpmath, numpy, torch and jax.

f(t, y, m) returns a list; m is the module that brings sin, cos and sqrt. Constants are Python floats, so that every
program integrates the same float64 problem. `rhs` says the same in words that the JSON carries.
"""

from dataclasses import dataclass, field
from typing import Callable


@dataclass
class Problem:
    name: str
    rhs: str
    f: Callable
    y0: list
    t_end: float
    parameters: dict = field(default_factory=dict)
    exact: Callable | None = None  # (t, m) -> list, where a closed form exists (t = 0 start)
    intervals: int = 10

    @property
    def t(self):
        return [self.t_end * i / self.intervals for i in range(self.intervals)] + [self.t_end]


def lotka_volterra(t, y, m, a=0.55, b=0.028, c=0.84, d=0.026):
    return [a * y[0] - b * y[0] * y[1], -c * y[1] + d * y[0] * y[1]]


def lorenz(t, y, m):
    return [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]


ARENSTORF_MU = 0.012277471


def arenstorf(t, y, m):
    mu, mu1 = ARENSTORF_MU, 1 - ARENSTORF_MU
    x, z, vx, vz = y
    d1 = m.sqrt((x + mu) ** 2 + z**2) ** 3
    d2 = m.sqrt((x - mu1) ** 2 + z**2) ** 3
    return [
        vx,
        vz,
        x + 2 * vz - mu1 * (x + mu) / d1 - mu * (x - mu1) / d2,
        z - 2 * vx - mu1 * z / d1 - mu * z / d2,
    ]


def detest_b4(t, y, m):
    r = m.sqrt(y[0] ** 2 + y[1] ** 2)
    return [-y[1] - y[0] * y[2] / r, y[0] - y[1] * y[2] / r, y[0] / r]


def detest_c1(t, y, m):
    return [-y[0]] + [y[i - 1] - y[i] for i in range(1, 9)] + [y[8]]


def orbit(t, y, m):
    r3 = m.sqrt(y[0] ** 2 + y[1] ** 2) ** 3
    return [y[2], y[3], -y[0] / r3, -y[1] / r3]


def orbit_start(e):
    return [1 - e, 0.0, 0.0, ((1 + e) / (1 - e)) ** 0.5]


def orbit_exact(e):
    def exact(t, m):
        u = m.findroot(lambda u: u - e * m.sin(u) - t, t)  # Kepler's equation
        r = 1 - e * m.cos(u)
        s = m.sqrt(1 - m.mpf(e) ** 2)
        return [m.cos(u) - e, s * m.sin(u), -m.sin(u) / r, s * m.cos(u) / r]

    return exact


ORBIT_RHS = "y1' = y3; y2' = y4; y3' = -y1 / r^3; y4' = -y2 / r^3; r = sqrt(y1^2 + y2^2)"

PROBLEMS = [
    Problem("sine_decay", "y' = -y + sin(t)", lambda t, y, m: [-y[0] + m.sin(t)], [1.0], 10.0,
            exact=lambda t, m: [1.5 * m.exp(-t) + (m.sin(t) - m.cos(t)) / 2]),
    Problem("harmonic", "y1' = y2; y2' = -y1", lambda t, y, m: [y[1], -y[0]], [1.0, 0.0], 20.0,
            exact=lambda t, m: [m.cos(t), -m.sin(t)]),
    Problem("lotka_volterra", "y1' = alpha y1 - beta y1 y2; y2' = -gamma y2 + delta y1 y2", lotka_volterra,
            [33.956, 5.933], 20.0, {"alpha": 0.55, "beta": 0.028, "gamma": 0.84, "delta": 0.026}),
    Problem("lorenz", "y1' = sigma (y2 - y1); y2' = y1 (rho - y3) - y2; y3' = y1 y2 - beta y3", lorenz,
            [1.0, 1.0, 1.0], 5.0, {"sigma": 10, "rho": 28, "beta": 8 / 3}),
    Problem("arenstorf",
            "y1' = y3; y2' = y4; y3' = y1 + 2 y4 - (1 - mu) (y1 + mu) / d1 - mu (y1 - 1 + mu) / d2; "
            "y4' = y2 - 2 y3 - (1 - mu) y2 / d1 - mu y2 / d2; "
            "d1 = ((y1 + mu)^2 + y2^2)^(3/2); d2 = ((y1 - 1 + mu)^2 + y2^2)^(3/2)",
            arenstorf, [0.994, 0.0, 0.0, -2.00158510637908252240537862224], 17.0652165601579625588917206249,
            {"mu": ARENSTORF_MU}),
    # DETEST: Hull, Enright, Fellen & Sedgwick 1972, https://doi.org/10.1137/0709052
    Problem("detest_a1", "y' = -y", lambda t, y, m: [-y[0]], [1.0], 20.0, exact=lambda t, m: [m.exp(-t)]),
    Problem("detest_a2", "y' = -y^3 / 2", lambda t, y, m: [-y[0] ** 3 / 2], [1.0], 20.0,
            exact=lambda t, m: [1 / m.sqrt(1 + t)]),
    Problem("detest_a3", "y' = y cos(t)", lambda t, y, m: [y[0] * m.cos(t)], [1.0], 20.0,
            exact=lambda t, m: [m.exp(m.sin(t))]),
    Problem("detest_a4", "y' = y / 4 (1 - y / 20)", lambda t, y, m: [y[0] / 4 * (1 - y[0] / 20)], [1.0], 20.0,
            exact=lambda t, m: [20 / (1 + 19 * m.exp(-t / 4))]),
    Problem("detest_a5", "y' = (y - t) / (y + t)", lambda t, y, m: [(y[0] - t) / (y[0] + t)], [4.0], 20.0),
    Problem("detest_b1", "y1' = 2 (y1 - y1 y2); y2' = -(y2 - y1 y2)",
            lambda t, y, m: [2 * (y[0] - y[0] * y[1]), -(y[1] - y[0] * y[1])], [1.0, 3.0], 20.0),
    Problem("detest_b2", "y1' = -y1 + y2; y2' = y1 - 2 y2 + y3; y3' = y2 - y3",
            lambda t, y, m: [-y[0] + y[1], y[0] - 2 * y[1] + y[2], y[1] - y[2]], [2.0, 0.0, 1.0], 20.0,
            exact=lambda t, m: [1 + m.exp(-t) / 2 + m.exp(-3 * t) / 2, 1 - m.exp(-3 * t),
                                1 - m.exp(-t) / 2 + m.exp(-3 * t) / 2]),
    Problem("detest_b3", "y1' = -y1; y2' = y1 - y2^2; y3' = y2^2",
            lambda t, y, m: [-y[0], y[0] - y[1] ** 2, y[1] ** 2], [1.0, 0.0, 0.0], 20.0),
    Problem("detest_b4", "y1' = -y2 - y1 y3 / r; y2' = y1 - y2 y3 / r; y3' = y1 / r; r = sqrt(y1^2 + y2^2)",
            detest_b4, [3.0, 0.0, 0.0], 20.0),
    Problem("detest_b5", "y1' = y2 y3; y2' = -y1 y3; y3' = -0.51 y1 y2",
            lambda t, y, m: [y[1] * y[2], -y[0] * y[2], -0.51 * y[0] * y[1]], [0.0, 1.0, 1.0], 20.0,
            exact=lambda t, m: [m.ellipfun(name, t, m=m.mpf(0.51)) for name in ("sn", "cn", "dn")]),
    Problem("detest_c1", "y1' = -y1; yi' = y(i-1) - yi for i = 2..9; y10' = y9", detest_c1,
            [1.0] + [0.0] * 9, 20.0,
            exact=lambda t, m: (lambda p: p + [1 - sum(p)])([t**i * m.exp(-t) / m.factorial(i) for i in range(9)])),
    Problem("detest_d1", ORBIT_RHS, orbit, orbit_start(0.1), 20.0, {"eccentricity": 0.1}, orbit_exact(0.1)),
    Problem("detest_d5", ORBIT_RHS, orbit, orbit_start(0.9), 20.0, {"eccentricity": 0.9}, orbit_exact(0.9)),
    Problem("detest_e2", "y1' = y2; y2' = (1 - y1^2) y2 - y1",
            lambda t, y, m: [y[1], (1 - y[0] ** 2) * y[1] - y[0]], [2.0, 0.0], 20.0),
]
