"""Writes the reference numbers of the tests, by programs that are not ours.

    pip install -r requirements.txt
    python generate.py               # minutes; writes the JSON files beside this script but the last two
    python maml.py                   # a minute; writes the last but one
    python spiral.py                 # ten minutes; writes the last

problems.json      reference states of initial value problems         (problems.py, solutions.py)
scipy_errors.json  errors and evaluations of scipy's solvers on them   (solutions.py)
fixed_grid.json    one step per grid interval, for every tableau       (fixed_grid.py)
adjoint.json       gradients of a sum of outputs                       (adjoint.py)
adjoint_nfe.json   evaluations of func for such gradients              (adjoint_nfe.py)
reversible.json    steps of reversible Heun and of velocity Verlet     (reversible.py)
learn_physics.json least squares for a ball's bounces                  (learn_physics.py)
neural_cde.json    cubic paths, their areas, a linear CDE              (neural_cde.py)
events.json        times and states of events, and their gradients    (events.py)
digits.json        what scikit-learn makes of the 8 x 8 digits        (digits.py)
odenet.json        an ODE-Net by torchdiffeq                          (odenet.py)
optim.json         trajectories of torch.optim, minima by scipy        (optim.py)
maml.json          an outer gradient of MAML, and trainings            (maml.py)
vowels.json        formants of vowels, in examples/data                (vowels.py)
spiral.json        a training by torchdiffeq, weights and losses       (spiral.py)
"""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from adjoint import adjoint
from adjoint_nfe import adjoint_nfe
from digits import digits
from events import events
from fixed_grid import fixed_grid
from learn_physics import learn_physics
from neural_cde import neural_cde
from odenet import odenet
from optim import optim
from reversible import reversible
from solutions import problems, scipy_errors
from vowels import vowels

HERE = Path(__file__).parent
PACKAGES = ["numpy", "scipy", "mpmath", "torch", "torchdiffeq", "diffrax", "jax"]


def text(value, indent=""):
    """JSON with one line per list of numbers."""
    inner = indent + "  "
    if isinstance(value, dict) and value:
        rows = [f"{inner}{json.dumps(k)}: {text(v, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + "\n" + indent + "}"
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "[\n" + ",\n".join(inner + text(v, inner) for v in value) + "\n" + indent + "]"
    return json.dumps(value, allow_nan=False)


def write(name, content, folder=HERE):
    versions = {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}}
    (folder / name).write_text(text({"generated": {"by": Path(sys.argv[0]).name, **versions}, **content}) + "\n")


if __name__ == "__main__":
    states = problems()
    write("problems.json", states)
    write("scipy_errors.json", scipy_errors(states))
    write("fixed_grid.json", fixed_grid())
    write("adjoint.json", adjoint())
    write("adjoint_nfe.json", adjoint_nfe())
    write("reversible.json", reversible())
    write("learn_physics.json", learn_physics())
    write("neural_cde.json", neural_cde())
    write("events.json", events())
    write("digits.json", digits())
    write("odenet.json", odenet())
    write("optim.json", optim())
    write("vowels.json", vowels(), HERE.parents[1] / "examples" / "data")
