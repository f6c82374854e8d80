"""The labs that there are, by name."""

from funcnn.experiments.errors import InputError
from funcnn.experiments.labs.emnist47 import LAB as EMNIST47
from funcnn.experiments.labs.fashion import LAB as FASHION
from funcnn.experiments.labs.fashion_mlp import LAB as FASHION_MLP
from funcnn.experiments.labs.lab import Lab
from funcnn.experiments.labs.mnist import LAB as MNIST
from funcnn.experiments.labs.points import LAB as POINTS

LABS = {lab.name: lab for lab in (POINTS, FASHION, EMNIST47, MNIST, FASHION_MLP)}


def find_lab(name: str) -> Lab:
    """The lab of this name. Raises `InputError` if there is none."""
    if name not in LABS:
        raise InputError(f"{name!r} is no experiment (known: {', '.join(LABS)})")
    return LABS[name]
