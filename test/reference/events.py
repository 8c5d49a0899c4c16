"""events.json: event times and states by programs that are not ours."""

import mpmath as mp
import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import expm

TIGHT = dict(method="DOP853", rtol=1e-13, atol=1e-14)


def section(q1, q2, p1, p2, count, order=50, h=mp.mpf(1) / 8):
    """Henon-Heiles by Taylor series of 40 digits: states where q1 = 0 and p1 > 0."""
    def series(state):
        a, b, c, d = ([x] for x in state)
        for n in range(order):
            product = lambda u, v: mp.fsum(u[k] * v[n - k] for k in range(n + 1))
            a_b, a_a, b_b = product(a, b), product(a, a), product(b, b)
            a.append(c[n] / (n + 1))
            b.append(d[n] / (n + 1))
            c.append((-a[n] - 2 * a_b) / (n + 1))
            d.append((-b[n] - a_a + b_b) / (n + 1))
        return [x[::-1] for x in (a, b, c, d)]

    with mp.workdps(40):
        state, t, found = [mp.mpf(x) for x in (q1, q2, p1, p2)], mp.mpf(0), []
        while len(found) < count:
            polynomials = series(state)
            after = [mp.polyval(p, h) for p in polynomials]
            if state[0] < 0 <= after[0]:
                root = mp.findroot(lambda s: mp.polyval(polynomials[0], s), (mp.mpf(0), h), solver="anderson")
                found.append([float(t + root), *(float(mp.polyval(p, root)) for p in polynomials)])
            state, t = after, t + h
        return found


def henon_heiles():
    y0, count = [0.0, 0.1, 0.5, 0.0], 20
    found = section(*y0, count)

    def field(t, y):
        return [y[2], y[3], -y[0] - 2 * y[0] * y[1], -y[1] - y[0] ** 2 + y[1] ** 2]

    def event(t, y):
        return y[0]

    event.direction = 1
    other = solve_ivp(field, [0, found[-1][0] + 0.1], y0, events=event, **TIGHT)
    # The start counts as an event for scipy.
    times = [t for t in other.t_events[0] if t > 1e-6]
    assert np.allclose(times, [row[0] for row in found], rtol=0, atol=2e-9), np.subtract(times, [r[0] for r in found])
    return {"y0": y0, "rows": "t, q1, q2, p1, p2 where q1 = 0 and p1 > 0", "section": found}


def pendulum():
    """Period of q'' = -sin(q) from rest at an angle: 4 K(sin^2(angle / 2))."""
    return [[angle, float(4 * mp.ellipk(mp.sin(mp.mpf(angle) / 2) ** 2))] for angle in (0.5, 1.5, 2.5, 3.0)]


def directions():
    """What scipy's solve_ivp finds of two events of q'' = -q: of q - 0.3, and of p + 0.5."""
    cases = []
    for t0, t1 in ((0, 10), (10, 0)):
        for direction in (-1, 0, 1):
            for terminal in (False, True):
                def first(t, y):
                    return y[0] - 0.3

                def second(t, y):
                    return y[1] + 0.5

                first.direction, second.direction, second.terminal = direction, -direction, terminal
                out = solve_ivp(lambda t, y: [y[1], -y[0]], [t0, t1], [1.0, 0.0], events=[first, second], **TIGHT)
                cases.append({"t0": t0, "t1": t1, "direction": direction, "terminal": terminal, "status": out.status,
                              "end": float(out.t[-1]), "times": [times.tolist() for times in out.t_events]})
    return cases


def sensitivities():
    """Lotka-Volterra until prey = level: gradients of the time and the state by sensitivity equations."""
    a, b, c, d, level = 1.5, 1.0, 2.0, 0.75, 3.0
    y0 = [1.5, 1.25]

    def field(t, z):
        x, y = z[:2]
        s = z[2:].reshape(2, 6)
        jacobian = np.array([[a - b * y, -b * x], [d * y, d * x - c]])
        ds = jacobian @ s
        ds[:, 2:] += [[x, -x * y, 0, 0], [0, 0, -y, x * y]]
        return np.concatenate([[(a - b * y) * x, (d * x - c) * y], ds.ravel()])

    def event(t, z):
        return z[0] - level

    event.direction, event.terminal = 1, True
    start = np.concatenate([y0, np.eye(2, 6).ravel()])
    out = solve_ivp(field, [0, 20], start, events=event, **TIGHT)
    t, z = float(out.t_events[0][0]), out.y_events[0][0]
    slope, s = field(t, z)[:2], z[2:].reshape(2, 6)
    # x(T; p) = level: dT/dp = -s_x / x', dT/dlevel = 1 / x'.
    to_time = np.concatenate([-s[0], [1]]) / slope[0]
    to_hunter = np.concatenate([s[1], [0]]) + slope[1] * to_time
    return {"y0": y0, "parameters": [a, b, c, d], "level": level, "t": t, "y": z[:2].tolist(),
            "order": "y0, parameters, level", "dt": to_time.tolist(), "dhunter": to_hunter.tolist()}


def two_compartments():
    """A depot and a central compartment with peripheral exchange; doses into the depot; by matrix exponentials."""
    ka, ke, k12, k21 = 1.2, 0.25, 0.5, 0.3
    matrix = np.array([[-ka, 0, 0], [ka, -ke - k12, k21], [0, k12, -k21]])
    doses = [[0.0, 100.0], [6.0, 50.0], [12.5, 75.0]]
    save = [0.5, 3.0, 6.0, 9.25, 12.5, 20.0, 24.0]
    states, y, t, left = [], np.zeros(3), 0.0, list(doses)
    for time in save:
        # Doses up to that time, those at it left out: the state before.
        while left and left[0][0] < time:
            y, t = expm(matrix * (left[0][0] - t)) @ y, left[0][0]
            y[0] += left.pop(0)[1]
        states.append((expm(matrix * (time - t)) @ y).tolist())
    return {"rates": [ka, ke, k12, k21], "doses": doses, "t": save, "before": states}


def events():
    return {"source": {"henon_heiles": "Taylor series in mpmath, checked with scipy's DOP853", "pendulum": "mpmath ellipk",
                       "directions": "scipy solve_ivp", "sensitivities": "scipy DOP853", "two_compartments": "scipy expm"},
            "henon_heiles": henon_heiles(), "pendulum": pendulum(), "directions": directions(),
            "sensitivities": sensitivities(), "two_compartments": two_compartments()}
