"""learn_physics.json: bounce times of a ball, with noise, and the least-squares fit of its parameters to them.

A ball of radius 0.2 m is thrown upward from 10 m, and each bounce takes a part of its speed, as in torchdiffeq's
examples/bouncing_ball.py. The times are written in closed form, so that no ODE solver is involved; scipy fits them.
The release height is known: the times alone fix only its ratio to gravity.
"""

import numpy as np
from scipy.optimize import least_squares

HEIGHT, RADIUS = 10.0, 0.2
TRUE = {"gravity": 9.8, "absorption": 0.2, "speed": 3.0}
GUESS = {"gravity": 5.0, "absorption": 0.4, "speed": 0.0}
COUNT, NOISE, SEED = 8, 0.02, 1


def bounces(parameters):
    gravity, absorption, speed = parameters
    landing = np.sqrt(speed**2 + 2 * gravity * (HEIGHT - RADIUS))
    flights = 2 * landing * (1 - absorption) ** np.arange(1, COUNT) / gravity
    return np.concatenate([[0], np.cumsum(flights)]) + (speed + landing) / gravity


def learn_physics():
    noise = np.random.default_rng(SEED).normal(0, NOISE, COUNT)
    observed = np.round(bounces(TRUE.values()) + noise, 4)
    residuals = lambda p: (bounces(p) - observed) / NOISE
    fit = least_squares(residuals, list(GUESS.values()), x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15)
    assert fit.success
    covariance = np.linalg.inv(fit.jac.T @ fit.jac)
    loss = lambda p: float(np.mean(residuals(p) ** 2))
    h = 1e-6
    guess = np.array(list(GUESS.values()))
    gradient = [(loss(guess + h * e) - loss(guess - h * e)) / (2 * h) for e in np.eye(3)]
    named = lambda values: {name: float(f"{x:.12g}") for name, x in zip(TRUE, values)}
    return {
        "height": HEIGHT,
        "radius": RADIUS,
        "true": TRUE,
        "noise": NOISE,
        "bounces": observed.tolist(),
        "fit": named(fit.x),
        "standard_errors": named(np.sqrt(np.diag(covariance))),
        "loss": loss(fit.x),
        "gradient_at_guess": {name: float(f"{x:.7g}") for name, x in zip(TRUE, gradient)},
    }

