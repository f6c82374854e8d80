"""The labs that there are, by name."""

from funcnn.experiments.errors import InputError
from funcnn.experiments.lab import Lab
from funcnn.experiments.lab_points import LAB as POINTS

LABS = {lab.name: lab for lab in (POINTS,)}


def find_lab(name: str) -> Lab:
    """The lab of this name. Raises `InputError` if there is none."""
    if name not in LABS:
        raise InputError(f"{name!r} is no experiment (known: {', '.join(LABS)})")
    return LABS[name]
