"""The labs that there are, by name."""

from funcnn.experiments.errors import InputError
from funcnn.experiments.lab import Lab
from funcnn.experiments.lab_emnist47 import LAB as EMNIST47
from funcnn.experiments.lab_fashion import LAB as FASHION
from funcnn.experiments.lab_fashion_mlp import LAB as FASHION_MLP
from funcnn.experiments.lab_mnist import LAB as MNIST
from funcnn.experiments.lab_points import LAB as POINTS

LABS = {lab.name: lab for lab in (POINTS, FASHION, EMNIST47, MNIST, FASHION_MLP)}


def find_lab(name: str) -> Lab:
    """The lab of this name. Raises `InputError` if there is none."""
    if name not in LABS:
        raise InputError(f"{name!r} is no experiment (known: {', '.join(LABS)})")
    return LABS[name]
