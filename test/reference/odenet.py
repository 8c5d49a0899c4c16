"""odenet.json: torchdiffeq on the untrained ODE-Net of examples/lib/odenet_mnist.ts, with the weights that its seed draws.

Random numbers are made again here, so nothing but their recipe is shared. Evaluations of f for eight images, and to a tolerance
of 1e-9, in float64, the scores, the loss, and the norm of its gradient in each variable.
"""

import math

import torch
from torch.nn.functional import conv2d, cross_entropy, relu
from torchdiffeq import odeint

C1, C2, CLASSES, FEATURES = 8, 12, 10, 2 * 7 * 12
MODULUS = 2**31 - 1


class Random:
    """Park and Miller's generator, and Box and Muller's normals, as in examples/lib/training.ts."""

    def __init__(self, seed):
        self.x = seed + 1
        for _ in range(10):
            self.uniform()

    def uniform(self):
        self.x = 48271 * self.x % MODULUS
        return self.x / MODULUS

    def normal(self):
        return math.sqrt(-2 * math.log(self.uniform())) * math.cos(2 * math.pi * self.uniform())

    def tensor(self, shape, scale):
        values = [scale * self.normal() for _ in range(math.prod(shape))]
        return torch.tensor(values, dtype=torch.float64).reshape(shape).requires_grad_()


def weights(seed):
    r = Random(seed)
    s = 1 / math.sqrt(9 * C2)
    return [
        *(r.tensor([16, C1], math.sqrt(2 / 16)), r.tensor([C1], 0)),
        *(r.tensor([3, 3, 4 * C1, C2], math.sqrt(1 / (36 * C1))), r.tensor([C2], 0)),
        *(r.tensor([FEATURES, CLASSES], math.sqrt(1 / FEATURES)), r.tensor([CLASSES], 0)),
        *(r.tensor([3, 3, C2, C2], math.sqrt(2) * s), r.tensor([C2], 0)),
        *(r.tensor([3, 3, C2, C2], s), r.tensor([C2], 0)),
        *(r.tensor([3, 3, 1, C2], s), r.tensor([3, 3, 1, C2], s)),
    ]


def images(count):
    """Pictures of uniform random numbers, pixel by pixel, of the classes 0 to count - 1."""
    r = Random(7)
    values = [r.uniform() for _ in range(count * 28 * 28)]
    return torch.tensor(values, dtype=torch.float64).reshape(count, 1, 28, 28), torch.arange(count)


def conv(x, w):
    return conv2d(x, w.permute(3, 2, 0, 1), padding=1)


def odenet():
    w1, b1, w2, b2, w3, b3, u1, a1, u2, a2, v1, v2 = variables = weights(1)
    x, labels = images(8)
    channel = lambda b: b[:, None, None]
    first = conv2d(x, w1.T.reshape(C1, 1, 4, 4), stride=2, padding=1)
    first = relu(first + channel(b1))
    # The four neighbours of a 2 x 2 become channels, position first.
    image = first.reshape(-1, C1, 7, 2, 7, 2).permute(0, 3, 5, 1, 2, 4).reshape(-1, 4 * C1, 7, 7)
    y0 = conv(image, w2) + channel(b2)
    calls = 0

    def f(t, y):
        nonlocal calls
        calls += 1
        time = t * torch.ones_like(y[:, :1])
        with_time = lambda y, w, v: conv(torch.cat([y, time], 1), torch.cat([w, v], 2))
        hidden = with_time(relu(y), u1, v1) + channel(a1)
        return with_time(relu(hidden), u2, v2) + channel(a2)

    def solve(tolerance):
        nonlocal calls
        calls = 0
        y = odeint(f, y0, torch.tensor([0.0, 1.0], dtype=torch.float64), rtol=tolerance, atol=tolerance)[1]
        return y, calls

    evaluations = {str(t): solve(t)[1] for t in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)}
    y, _ = solve(1e-9)
    means = torch.cat([relu(y).mean(2).permute(0, 2, 1).flatten(1), relu(y).mean(3).permute(0, 2, 1).flatten(1)], 1)
    logits = means @ w3 + b3
    loss = cross_entropy(logits, labels)
    loss.backward()
    short = lambda x: float(f"{x:.8g}")
    return {
        "seed": 1,
        "evaluations": evaluations,
        "logits": [[short(v) for v in row] for row in logits.tolist()],
        "loss": short(loss),
        "gradientNorms": [short(v.grad.norm()) for v in variables],
    }
