"""Rules on the `.pt` file of `fashion-mlp`, which is read as tensors by their names alone."""

import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import pairwise

from funcnn.experiments.errors import InputError
from funcnn.experiments.grade.sheet import Work
from funcnn.experiments.grade.verdicts import Verdict, listed
from funcnn.experiments.labs.fashion_mlp import SIZE_LIMIT
from funcnn.types import Shape

_PIXELS, _CLASSES = 784, 10


def weight_rules(work: Work) -> Iterator[Verdict]:
    """The size, the names and the shapes."""
    file = work.files.get("weights")
    if file is None:
        return
    name, limit = file.name, f"{SIZE_LIMIT / 1e6:g} MB"
    size = f"{file.size / 1e6:.3f} MB"
    yield Verdict(name, f"less than {limit}", file.size < SIZE_LIMIT, size)
    rule = "torch.load(..., weights_only=True) reads it"
    if find_spec("torch") is None:
        yield Verdict(name, rule, None, "torch is not installed: pip install 'funcnn[torch]'")
        return
    from funcnn.experiments.pytorch.files import OldTorchError, state_dict_of

    try:
        arrays = state_dict_of(file.read(), "it").arrays
    except OldTorchError as error:  # which is the teacher's
        yield Verdict(name, rule, None, str(error))
        return
    except InputError as error:
        yield Verdict(name, rule, False, str(error))
        return
    shapes = {each: array.shape for each, array in arrays.items()}
    yield Verdict(name, rule, True, f"{len(shapes)} tensors")
    rule = "the names mlp.0.weight, mlp.0.bias, mlp.2.weight, ..."
    other = [each for each in shapes if not re.fullmatch(r"mlp\.\d+\.\w+", each)]
    yield Verdict(name, rule, not other, listed(other if other else list(shapes), 4))
    yield Verdict(name, f"an MLP only, {_PIXELS} to {_CLASSES}", *_chain(shapes))


def _chain(shapes: Mapping[str, Shape]) -> tuple[bool, str]:
    """Whether the weights are those of dense layers, one after the other, and their sizes."""
    odd = [f"{name} {shape}" for name, shape in shapes.items() if len(shape) > 2]
    if odd:
        return False, f"no dense layer: {listed(odd, 2)}"
    # One row is a slope of an activation, or a bias.
    weights = [shape for shape in shapes.values() if len(shape) == 2 and shape[0] > 1]
    if not weights:
        return False, "no weights of a dense layer"
    sizes = [weights[0][1], *(shape[0] for shape in weights)]
    text = "-".join(map(str, sizes))
    fitting = all(a[0] == b[1] for a, b in pairwise(weights))
    return fitting and sizes[0] == _PIXELS and sizes[-1] == _CLASSES, text
