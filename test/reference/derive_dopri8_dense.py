"""Derives the continuous extension of order 7 in solvers/dopri8.ts and prints its rows.

    python derive_dopri8_dense.py        # needs mpmath and numpy; a few seconds

RK8(7)13M has 13 stages; f(t1, y1), the first stage of the next step, is the 14th (index 13). With these alone
weights b_i(theta) of order 5 exist for every theta, of order 6 only where the one condition they miss happens to hold:
inside the step that is theta = 1/2 -+ 1/sqrt(28), the zeros of the Jacobi polynomial P_2^(2,2)(2 theta - 1).
So the bootstrap of Enright, Jackson, Norsett & Thomsen (1986, https://doi.org/10.1145/7921.7923) needs three stages:

  stage 14 at 1/2 - 1/sqrt(28): y is of order 6 there with the 14 stages,
  stage 15 at 1/2 and stage 16 at 19/20: the stage before makes order 6 solvable anywhere,

and 17 stages span order 7. Two is impossible: the 85 order conditions leave a gap of dimension three (printed below).

The printed rationals fulfil the order conditions to 1e-17 only; they are first moved by less than 1e-17 onto an exact
method, so that the rows have all the digits that are written. What the conditions leave free is spent by least
squares: in a stage, on its order-7 residual; in the weights, on the order-8 residual integrated over the step, after
value and slope at both ends are fixed (C1). The nodes 1/2 and 19/20 came from a scan for a small order-8 residual with
small coefficients.
"""

from collections import Counter
from functools import lru_cache
from math import factorial

import numpy as np
from mpmath import eye, lu_solve, matrix, mp, mpf, nstr, sqrt, svd_r

mp.dps = 50
RANK_TOLERANCE = mpf(10) ** -11
DAMPING = mpf(10) ** -7  # weight of the coefficients' size against the residual's
DEGREE = 7
NODES = [mpf(1) / 2 - 1 / sqrt(mpf(28)), mpf(1) / 2, mpf(19) / 20]
ACTIVE = [0] + list(range(5, 14))  # stages 1 to 4 are of low order and weigh nothing, as in b

C = "0 1/18 1/12 1/8 5/16 3/8 59/400 93/200 5490023248/9719169821 13/20 1201146811/1299019798 1 1"
A = """
1/18
1/48 1/16
1/32 0 3/32
5/16 0 -75/64 75/64
3/80 0 0 3/16 3/20
29443841/614563906 0 0 77736538/692538347 -28693883/1125000000 23124283/1800000000
16016141/946692911 0 0 61564180/158732637 22789713/633445777 545815736/2771057229 -180193667/1043307555
39632708/573591083 0 0 -433636366/683701615 -421739975/2616292301 100302831/723423059 790204164/839813087 800635310/3783071287
246121993/1340847787 0 0 -37695042795/15268766246 -309121744/1061227803 -12992083/490766935 6005943493/2108947869 393006217/1396673457 123872331/1001029789
-1028468189/846180014 0 0 8478235783/508512852 1311729495/1432422823 -10304129995/1701304382 -48777925059/3047939560 15336726248/1032824649 -45442868181/3398467696 3065993473/597172653
185892177/718116043 0 0 -3185094517/667107341 -477755414/1098053517 -703635378/230739211 5731566787/1027545527 5232866602/850066563 -4093664535/808688257 3962137247/1805957418 65686358/487910083
403863854/491063109 0 0 -5068492393/434740067 -411421997/543043805 652783627/914296604 11173962825/925320556 -13158990841/6184727034 3936647629/1978049680 -160528059/685178525 248638103/1413531060 0
"""
B = """14005451/335480064 0 0 0 0 -59238493/1068277825 181606767/758867731 561292985/797845732 -1041891430/1371343529
760417239/1151165299 118820643/751138087 -528747749/2220607170 1/4"""


def numbers(text):
    return [mpf(p) / mpf(q) for p, q in ((x + "/1").split("/")[:2] for x in text.split())]


# A rooted tree is the sorted tuple of its root's subtrees.


@lru_cache(None)
def trees(n):
    found = set()

    def grow(left, children):
        if left == 0:
            found.add(tuple(sorted(children)))
        for size in range(1, left + 1):
            for child in trees(size):
                if not children or child >= children[-1]:
                    grow(left - size, children + [child])

    grow(n - 1, [])
    return sorted(found)


def order(tree):
    return 1 + sum(map(order, tree))


def gamma(tree):
    product = order(tree)
    for child in tree:
        product *= gamma(child)
    return product


def sigma(tree):
    product = 1
    for child, times in Counter(tree).items():
        product *= factorial(times) * sigma(child) ** times
    return product


def elementary_weights(a, one=mpf(1)):
    """A function tree -> [Phi_i(tree) for every stage i]; sum_i b_i Phi_i = 1 / gamma is the order condition."""
    known = {}

    def weights(tree):
        if tree not in known:
            values = [one] * len(a)
            for child in tree:
                inner = weights(child)
                values = [v * sum((x * y for x, y in zip(row, inner)), 0 * one) for v, row in zip(values, a)]
            known[tree] = values
        return known[tree]

    return weights


def exact_method(rows):
    """The nearest solution, by Newton's method, of the order conditions to order 8 (the row for b last) and of the
    simplifying conditions that Prince & Dormand built in: sum_j a_ij c_j^k = c_i^(k + 1) / (k + 1), the same zeros."""
    listed = [tree for n in range(1, 9) for tree in trees(n)]
    entries = [(i, j) for i, row in enumerate(rows) for j, x in enumerate(row) if x != 0]

    def residual(values, one):
        a = [[0 * one] * len(rows) for _ in rows]
        for (i, j), x in zip(entries, values):
            a[i][j] = x
        weights = elementary_weights(a, one)
        c = weights(((),))
        simplifying = [sum((x * c[j] ** k for j, x in enumerate(a[i])), 0 * one) - c[i] ** (k + 1) / (k + 1)
                       for i in range(2, 13) for k in range(1, 3 if i < 5 else 4)]
        return [weights((tree,))[-1] - one / gamma(tree) for tree in listed] + simplifying

    values = [rows[i][j] for i, j in entries]
    step = 1e-30  # complex step: the derivative without cancellation
    columns = []
    for k in range(len(entries)):
        point = [complex(x) + (step * 1j if n == k else 0) for n, x in enumerate(values)]
        columns.append(np.imag(residual(point, 1 + 0j)) / step)
    inverse = np.linalg.pinv(np.array(columns).T, rcond=1e-10)
    start = values
    for _ in range(3):
        defect = residual(values, mpf(1))
        size = max(abs(x) for x in defect)
        print(f"order conditions of RK8(7)13M: residual {nstr(size, 3)}")
        move = inverse @ np.array([float(x / size) for x in defect])
        values = [x - size * mpf(float(d)) for x, d in zip(values, move)]
    print(f"entries moved by at most {nstr(max(abs(x - y) for x, y in zip(start, values)), 3)}")
    exact = [[mpf(0)] * len(rows) for _ in rows]
    for (i, j), x in zip(entries, values):
        exact[i][j] = x
    return exact


def condition_matrix(a, columns, orders, by_symmetry=False):
    weights = elementary_weights(a)
    listed = [tree for n in orders for tree in trees(n)]
    scale = [mpf(sigma(tree)) if by_symmetry else mpf(1) for tree in listed]
    m = matrix([[weights(tree)[i] / s for i in columns] for tree, s in zip(listed, scale)])
    return m, listed, scale


def particular_and_null(m):
    """The minimum-norm solver of m x = rhs, and an orthonormal basis of the null space (columns)."""
    u, s, v = svd_r(m, full_matrices=False)
    rank = sum(1 for x in s if x > RANK_TOLERANCE * s[0])
    row_space = v[:rank, :]

    def solve(rhs):
        coordinates = u.T * rhs
        return row_space.T * matrix([coordinates[k] / s[k] for k in range(rank)])

    basis = []
    for k in range(m.cols):  # Gram-Schmidt on what the unit vectors have outside the row space
        e = matrix(m.cols, 1)
        e[k] = 1
        e -= row_space.T * (row_space * e)
        for _ in range(2):
            for other in basis:
                e -= other * (other.T * e)[0]
        if (e.T * e)[0] > mpf("1e-6"):
            basis.append(e / sqrt((e.T * e)[0]))
    assert len(basis) == m.cols - rank, "the null space needs another ordering of the unit vectors"
    null = matrix(m.cols, len(basis))
    for k, e in enumerate(basis):
        null[:, k] = e
    return solve, null, rank


def largest(m):
    return max(abs(x) for x in m)


def dense_stage(a, theta):
    """The row of a stage at theta whose y is of order 6."""
    columns = ACTIVE + list(range(14, len(a)))
    m, listed, _ = condition_matrix(a, columns, range(1, 7))
    rhs = matrix([theta ** order(t) / gamma(t) for t in listed])
    solve, null, _ = particular_and_null(m)
    row = solve(rhs)
    m7, listed7, scale = condition_matrix(a, columns, [7], by_symmetry=True)
    rhs7 = matrix([theta**7 / gamma(t) / s for t, s in zip(listed7, scale)])
    g = m7 * null
    normal = g.T * g + DAMPING**2 * eye(null.cols)
    row -= null * lu_solve(normal, g.T * (m7 * row - rhs7) + DAMPING**2 * (null.T * row))
    print(f"stage {len(a)} at {nstr(theta, 8)}: residual to order 6 {nstr(largest(m * row - rhs), 3)}, "
          f"order 7 {nstr(largest(m7 * row - rhs7), 3)}, largest entry {nstr(largest(row), 3)}")
    full = [mpf(0)] * len(a)
    for column, x in zip(columns, row):
        full[column] = x
    return full


def dense_weights(a, b):
    """interpolant[i][d]: the coefficient of theta^(d + 1) in b_i(theta)."""
    columns = ACTIVE + list(range(14, len(a)))
    m, listed, _ = condition_matrix(a, columns, range(1, 8))
    solve, null, rank = particular_and_null(m)
    powers = range(1, DEGREE + 1)
    parts = [solve(matrix([mpf(1) / gamma(t) if order(t) == d else mpf(0) for t in listed])) for d in powers]
    unit = lambda stage: matrix([mpf(1) if column == stage else mpf(0) for column in columns])
    parts[0] = unit(0)  # slope f(t0, y0) at theta = 0
    at_end = matrix([b[column] if column < 13 else mpf(0) for column in columns])

    # b_d = part_d + null z_d for d >= 2. Unknown z, stacked; constraints: sum b_d = b and sum d b_d = unit(13).
    k, later = null.cols, range(2, DEGREE + 1)
    unknowns = k * len(later)
    constraint = matrix(2 * k, unknowns)
    target = matrix(2 * k, 1)
    target[:k, 0] = null.T * (at_end - sum(parts[1:], parts[0]))
    target[k:, 0] = null.T * (unit(13) - sum((d * p for d, p in zip(later, parts[1:])), parts[0]))
    for j, d in enumerate(later):
        for r in range(k):
            constraint[r, j * k + r] = 1
            constraint[k + r, j * k + r] = d

    # The squared order-8 residual integrated over theta: integral of theta^d theta^e is 1 / (d + e + 1).
    m8, listed8, scale = condition_matrix(a, columns, [8], by_symmetry=True)
    exact8 = matrix([mpf(1) / gamma(t) / s for t, s in zip(listed8, scale)])
    known = {d: m8 * p for d, p in zip(powers, parts)}
    known[8] = known.get(8, 0 * exact8) - exact8
    g = m8 * null
    gg = g.T * g
    hessian, gradient = matrix(unknowns, unknowns), matrix(unknowns, 1)
    for i, d in enumerate(later):
        for j, e in enumerate(later):
            block = gg / (d + e + 1) + (DAMPING**2 * eye(k) if d == e else 0 * gg)
            hessian[i * k:(i + 1) * k, j * k:(j + 1) * k] = block
        slope = DAMPING**2 * (null.T * parts[d - 1])
        for e, value in known.items():
            slope += g.T * value / (d + e + 1)
        gradient[i * k:(i + 1) * k, 0] = slope

    kkt, rhs = matrix(unknowns + 2 * k, unknowns + 2 * k), matrix(unknowns + 2 * k, 1)
    kkt[:unknowns, :unknowns] = hessian
    kkt[unknowns:, :unknowns] = constraint
    kkt[:unknowns, unknowns:] = constraint.T
    rhs[:unknowns, 0] = -gradient
    rhs[unknowns:, 0] = target
    z = lu_solve(kkt, rhs)
    for j in range(len(later)):
        parts[j + 1] += null * z[j * k:(j + 1) * k, 0]

    worst = max(largest(m * p - matrix([mpf(1) / gamma(t) if order(t) == d else mpf(0) for t in listed]))
                for d, p in zip(powers, parts))
    print(f"weights: {k} of {len(columns)} free; residual to order 7 {nstr(worst, 3)}, "
          f"value {nstr(largest(sum(parts[1:], parts[0]) - at_end), 3)} and slope "
          f"{nstr(largest(sum((d * p for d, p in zip(later, parts[1:])), parts[0]) - unit(13)), 3)} at theta = 1, "
          f"largest coefficient {nstr(max(map(largest, parts)), 3)}")
    grid = [mpf(n) / 50 for n in range(51)]
    at = lambda theta: sum((theta**d * p for d, p in zip(later, parts[1:])), theta * parts[0])
    norm = lambda v: sqrt((v.T * v)[0])
    print(f"order-8 residual (2-norm of the error coefficients) at most "
          f"{nstr(max(norm(m8 * at(x) - x**8 * exact8) for x in grid), 3)}, "
          f"|b_i(theta)| at most {nstr(max(largest(at(x)) for x in grid), 3)}, their sum over i at most "
          f"{nstr(max(sum(abs(v) for v in at(x)) for x in grid), 4)}")
    rows = [[mpf(0)] * DEGREE for _ in a]
    for i, column in enumerate(columns):
        rows[column] = [p[i] for p in parts]
    return rows


def gap(a, n):
    """How many dimensions of the right-hand sides of order n the stages do not span."""
    m, listed, _ = condition_matrix(a, range(len(a)), range(1, n + 1))
    wide = matrix(m.rows, m.cols + n)
    wide[:, :m.cols] = m
    for r, t in enumerate(listed):
        wide[r, m.cols + order(t) - 1] = mpf(1) / gamma(t)

    def rank(x):
        s = svd_r(x, compute_uv=False)
        return sum(1 for value in s if value > RANK_TOLERANCE * s[0])

    return rank(wide) - rank(m)


def printed(x):
    return "0" if x == 0 else "1" if x == 1 else nstr(x, 21, min_fixed=-5)


def table(rows, per_line, indent):
    for row in rows:
        cells = [printed(x) for x in row]
        width = per_line if any(row) else len(row)
        lines = [", ".join(cells[i:i + width]) for i in range(0, len(cells), width)]
        print(indent + "[" + (",\n" + indent + "  ").join(lines) + "],")


def main():
    lower = [[]] + [numbers(line) for line in A.strip().splitlines()]
    a = exact_method(lower + [numbers(B)])
    b = a[13][:13]
    print(f"gap of 14 stages: {gap(a, 5)} at order 5, {gap(a, 6)} at order 6, {gap(a, 7)} at order 7")
    for theta in NODES:
        row = dense_stage(a, theta)
        a = [r + [mpf(0)] for r in a] + [row + [mpf(0)]]
    interpolant = dense_weights(a, b)

    print("\n  interpolantOrder: 7,\n  // prettier-ignore\n  interpolant: [")
    table(interpolant, 4, "    ")
    print("  ],\n  denseStages: {\n    c: [" + printed(NODES[0]) + ", 1 / 2, 19 / 20],\n    // prettier-ignore\n    a: [")
    table([a[14][:14], a[15][:15], a[16][:16]], 5, "      ")
    print("    ],\n  },")


if __name__ == "__main__":
    main()
