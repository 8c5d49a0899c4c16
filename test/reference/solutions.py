"""problems.json and scipy_errors.json: reference states, and the errors of scipy's solvers against them."""

import mpmath
import numpy as np
from mpmath import mp, mpf
from scipy.integrate import solve_ivp

from problems import PROBLEMS

COLUMNS = 13  # of the extrapolation table: order 26
TOLERANCE, LOOSER = mpf(10) ** -26, mpf(10) ** -21


def extrapolate(f, t, y, h):
    """One Gragg-Bulirsch-Stoer step (harmonic sequence of even substep counts), and its error estimate."""
    f0, table = f(t, y), []
    for j in range(COLUMNS):
        n = 2 * (j + 1)
        step = h / n
        older, old = y, [a + step * b for a, b in zip(y, f0)]
        for i in range(1, n):
            older, old = old, [a + 2 * step * b for a, b in zip(older, f(t + i * step, old))]
        last = f(t + h, old)
        row = [[(a + b + step * c) / 2 for a, b, c in zip(older, old, last)]]
        for k in range(1, j + 1):
            ratio = mpf(n) ** 2 / mpf(2 * (j - k + 1)) ** 2 - 1
            row.append([a + (a - b) / ratio for a, b in zip(row[k - 1], table[j - 1][k - 1])])
        table.append(row)
    best, other = table[-1][-1], table[-1][-2]
    return best, max(abs(a - b) / (1 + abs(a)) for a, b in zip(best, other))


def reference(problem, tolerance):
    """States at problem.t by extrapolation with that tolerance per step."""
    mp.dps = 36
    f = lambda t, y: problem.f(t, y, mpmath)
    t, y, h = mpf(0), [mpf(v) for v in problem.y0], mpf(problem.t_end) / 50
    states = [y]
    for stop in problem.t[1:]:
        stop = mpf(stop)
        while t < stop:
            step = min(h, stop - t)
            after, error = extrapolate(f, t, y, step)
            factor = mpf("0.9") * (tolerance / max(error, mpf(10) ** -40)) ** (mpf(1) / (2 * COLUMNS - 1))
            if error <= tolerance:
                t, y = (stop if step == stop - t else t + step), after
            h = step * min(mpf(3), max(mpf("0.2"), factor))
        states.append(y)
    return states


def relative(a, b):
    """The largest difference, relative to the largest component of the trajectory."""
    scale = max(abs(x) for row in b for x in row)
    return float(max(abs(x - y) for p, q in zip(a, b) for x, y in zip(p, q)) / scale)


def problems():
    entries = {}
    for problem in PROBLEMS:
        states = reference(problem, TOLERANCE)
        check = {"looserTolerance": relative(reference(problem, LOOSER), states)}
        if problem.exact:
            closed = [problem.exact(mpf(t), mpmath) for t in problem.t]
            check["closedForm"] = relative(states, closed)
        ours = np.array([[float(v) for v in row] for row in states])
        scipy = solve_ivp(lambda t, y: problem.f(t, y, np), (0, problem.t_end), problem.y0, method="DOP853",
                          t_eval=problem.t, rtol=1e-13, atol=1e-15)
        check["DOP853"] = relative(scipy.y.T, ours)
        entries[problem.name] = {
            "rhs": problem.rhs, "parameters": problem.parameters, "y0": problem.y0, "t": problem.t,
            "y": ours.tolist(), "check": {k: float(f"{v:.1e}") for k, v in check.items()},
        }
        print(problem.name, check)
    return {
        "source": "Gragg-Bulirsch-Stoer extrapolation of order 26 in 36-digit arithmetic, tolerance 1e-26 per step, of the "
        "problem with float64 constants, rounded to float64. check: largest difference from the same at tolerance 1e-21, "
        "from the closed form (for detest_d1 and d5 y0 is a rounded number there) and from scipy's DOP853 (rtol 1e-13, "
        "atol 1e-15), relative to the trajectory's largest component",
        "problems": entries,
    }


def scipy_errors(reference_states):
    entries = {}
    tolerances = [10.0**-k for k in range(3, 10)]
    for problem in PROBLEMS:
        expected = np.array(reference_states["problems"][problem.name]["y"])
        entries[problem.name] = {}
        for method in ("RK23", "RK45", "DOP853"):
            errors, evaluations = [], []
            for tolerance in tolerances:
                result = solve_ivp(lambda t, y: problem.f(t, y, np), (0, problem.t_end), problem.y0, method=method,
                                   t_eval=problem.t, rtol=tolerance, atol=tolerance)
                weighted = np.abs(result.y.T - expected) / (tolerance + tolerance * np.abs(expected))
                errors.append(float(f"{np.sqrt((weighted**2).mean(axis=1)).max():.5g}"))
                evaluations.append(result.nfev)
            entries[problem.name][method] = {"error": errors, "nfev": evaluations}
    return {
        "source": "scipy.integrate.solve_ivp, t_eval on the grid of problems.json",
        "error": "max over grid times of the RMS over components of |y - reference| / (atol + rtol |reference|)",
        "rtol": tolerances,
        "atol": tolerances,
        "problems": entries,
    }
