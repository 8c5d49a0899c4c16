"""spiral.json: losses of torchdiffeq's demo (examples/ode_demo.py, its defaults), for five seeds.

A network 2-50-2 learns y' = y^3 A from batches of short pieces of one trajectory: float32, dopri5 at rtol 1e-7 and
atol 1e-9, gradients by the tape, RMSprop of rate 1e-3, mean absolute error. Weights are torch's for the seed. Batches
come from a generator that any language can repeat (see `batches`), not from numpy's, and the trajectory is solved in
float64 and rounded, so that another program can have the same ones: five millionths of difference in the trajectory are
a fifth of the loss after 120 iterations.
"""

import torch
import torchdiffeq

SEEDS = [0, 1, 2, 3, 4]
PERTURBATIONS = [1e-6, -1e-6, 2e-6, -2e-6]  # of the first seed's weights, relative: what rounding does to a loss
ITERATIONS, TEST_FREQUENCY = 2000, 20
DATA_SIZE, BATCH_TIME, BATCH_SIZE = 1000, 10, 20
FIRST = 50  # iterations of the first seed of which every loss is kept

T = torch.linspace(0.0, 25.0, DATA_SIZE)
Y0 = torch.tensor([[2.0, 0.0]])
A = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(2, 50), torch.nn.Tanh(), torch.nn.Linear(50, 2))
        for layer in (self.net[0], self.net[2]):
            torch.nn.init.normal_(layer.weight, mean=0, std=0.1)
            torch.nn.init.constant_(layer.bias, val=0)

    def forward(self, t, y):
        return self.net(y**3)


def batches(seed):
    """Sets of 20 different beginnings, of 990, by Park and Miller's x -> 48271 x mod (2^31 - 1) from x = seed + 1."""
    x = seed + 1
    while True:
        batch = []
        while len(batch) < BATCH_SIZE:
            x = 48271 * x % (2**31 - 1)
            start = x % (DATA_SIZE - BATCH_TIME)
            if start not in batch:
                batch.append(start)
        yield batch


def parameters(func):
    """As y w1 + b1 has them: torch keeps the transposed weights."""
    w1, b1, w2, b2 = func.parameters()
    return {"w1": w1.T, "b1": b1, "w2": w2.T, "b2": b2}


def listed(tensors):
    return {name: [float(f"{x:.9g}") for x in tensor.detach().reshape(-1).tolist()] for name, tensor in tensors.items()}


def batch_loss(func, truth, batch):
    starts = torch.tensor(batch)
    target = torch.stack([truth[starts + i] for i in range(BATCH_TIME)])
    return (torchdiffeq.odeint(func, truth[starts], T[:BATCH_TIME].to(truth)) - target).abs().mean()


def first_gradient(func, truth, batch, dtype):
    """In float64 from the same float32 weights, as a check of the float32 one."""
    copy = Network().to(dtype)
    copy.load_state_dict(func.state_dict())
    batch_loss(copy, truth.to(dtype), batch).backward()
    return {name: gradient for name, gradient in zip(["w1", "b1", "w2", "b2"], [
        p.grad.T if p.dim() == 2 else p.grad for p in copy.parameters()])}


def train(seed, truth, perturbation=0.0):
    torch.manual_seed(seed)
    func = Network()
    with torch.no_grad():
        for parameter in func.parameters():
            parameter.mul_(1 + perturbation)
    draw = batches(seed)
    first = next(batches(seed))
    record = {"weights": listed(parameters(func))}
    if seed == SEEDS[0] and perturbation == 0:
        exact = first_gradient(func, truth, first, torch.float64)
        float32 = first_gradient(func, truth, first, torch.float32)
        record["first_batch"] = first
        record["first_gradient"] = listed(exact)
        record["first_gradient_float32_error"] = {
            k: float(f"{((float32[k] - exact[k]).abs().max() / exact[k].abs().max()).item():.1e}") for k in exact
        }
    optimizer = torch.optim.RMSprop(func.parameters(), lr=1e-3)
    losses, first_losses = [], []
    for iteration in range(ITERATIONS + 1):
        if iteration % TEST_FREQUENCY == 0:
            with torch.no_grad():
                whole = torchdiffeq.odeint(func, Y0, T)
                losses.append(float(f"{(whole - truth).abs().mean().item():.7g}"))
            if iteration % 500 == 0:
                print(seed, iteration, losses[-1], flush=True)
        optimizer.zero_grad()
        loss = batch_loss(func, truth, next(draw))
        if len(first_losses) < FIRST:
            first_losses.append(float(f"{loss.item():.7g}"))
        loss.backward()
        optimizer.step()
    if seed == SEEDS[0] and perturbation == 0:
        record["first_losses"] = first_losses
    return record, losses


def spiral():
    torch.set_num_threads(1)
    exact = torchdiffeq.odeint(lambda t, y: (y**3) @ A.double(), Y0.double(), T.double(), rtol=1e-10, atol=1e-12)
    truth = exact.float()
    runs = {seed: train(seed, truth) for seed in SEEDS}
    perturbed = [train(SEEDS[0], truth, perturbation)[1] for perturbation in PERTURBATIONS]
    return {
        "source": "torchdiffeq's examples/ode_demo.py at its defaults (float32, dopri5, rtol 1e-7, atol 1e-9, tape, RMSprop "
        "1e-3), weights by torch.manual_seed, batches by spiral.py. losses: mean |pred - true| of the whole trajectory every "
        "test_frequency iterations, before the first one first; losses_perturbed: from the weights of seed 0 times 1 + "
        f"{PERTURBATIONS}. first_losses: of the batches of the first iterations. "
        "first_gradient: of the first batch's loss in float64; first_gradient_float32_error: how far torch's float32 is off, "
        "relative to the largest entry",
        "test_frequency": TEST_FREQUENCY,
        "losses": [losses for _, losses in runs.values()],
        "losses_perturbed": perturbed,
        "seeds": {str(seed): record for seed, (record, _) in runs.items()},
    }


if __name__ == "__main__":
    from generate import write

    write("spiral.json", spiral())
