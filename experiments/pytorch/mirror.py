"""A model as a module of torch: built from its spec, with params, gradients and masks in common.

Params keep their tree in funcnn and have torch's names in torch; `state_dicts` translates. So the
same net can be trained by both, step by step.
"""

import inspect
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import funcnn as fn
from funcnn.experiments.errors import InputError, kind_of
from funcnn.experiments.pytorch import modules
from funcnn.experiments.pytorch.parts import Part, Twins, own_names, part_of, source, twins_of
from funcnn.experiments.pytorch.state_dicts import from_state_dict, to_state_dict
from funcnn.experiments.tasks.executed import place_of
from funcnn.experiments.tasks.own_models import in_words
from funcnn.random import Key
from funcnn.types import Layer, Shape, Tree, traits


def mirror(
    model: Layer,
    input_shape: Shape,
    dtype: npt.DTypeLike = np.float32,
    twins: Twins = MappingProxyType({}),
) -> Any:
    """The module that does what `model` does, with torch's own first parameters, in training mode.

    input_shape: of one sample. Raises `InputError` for a layer that torch cannot say, or whose twin
    has other parameters than it has.
    """
    part = part_of(model, input_shape, twins)
    module = _build(part)
    if twins_of(part):
        _expect_same(module, model, input_shape)
    return module.to(torch.from_numpy(np.empty(0, dtype)).dtype)


def _expect_same(module: Any, model: Layer, input_shape: Shape) -> None:
    """Raise `InputError` unless a module with twins has the tensors and outputs of the model."""
    shape, like = model.init(fn.random.SHAPES_ONLY, input_shape)
    arrays = {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}
    try:
        from_state_dict(model, like, arrays)
    except InputError as error:
        raise InputError(f"the twin in torch of a layer: {error}") from None
    try:
        with torch.no_grad():
            given = tuple(module.eval()(torch.zeros((2, *input_shape))).shape[1:])
    except Exception as error:
        raise InputError(f"{_at(error)}the twin in torch of a layer: {in_words(error)}") from error
    module.train()
    if given != shape:
        raise InputError(
            f"the twin in torch of a layer: with it the outputs have the shape {given}, not {shape}"
        )


def _at(error: Exception) -> str:
    """The place in the user's file that an error came by, for the beginning of a message."""
    place = place_of(error)
    return "" if place is None else f"{place}: "


def definition(model: Layer, input_shape: Shape, twins: Twins = MappingProxyType({})) -> str:
    """Source that makes the module, called `model`, and runs where funcnn is not installed.

    Of the twins it has the functions alone, and not what they use of their file.
    """
    part = part_of(model, input_shape, twins)
    classes = [inspect.getsource(getattr(modules, name)) for name in sorted(own_names(part))]
    classes += [inspect.getsource(twin) for twin in twins_of(part).values()]
    imports = "import torch\nfrom torch import nn"
    if classes:
        imports = f"from typing import Any\n\n{imports}"
    blocks = [imports, *(text.rstrip() for text in classes), f"model = {source(part)}"]
    return "\n\n\n".join(blocks) + "\n"


class _MaskedDropout(nn.Module):
    """Dropout by the masks that funcnn's own layer has for a key; by torch's without one."""

    def __init__(self, name: str, rate: float) -> None:
        super().__init__()
        self.key: Key | None = None
        self._torchs = getattr(nn, name)(rate)
        self._layer = fn.Dropout(rate, by_channel=name != "Dropout")

    def forward(self, x: Any) -> Any:
        """In training, x times the mask."""
        if self.key is None or not self.training:
            return self._torchs(x)
        ones = np.ones(x.shape, x.detach().numpy().dtype)
        mask, _ = self._layer.apply({}, ones, rng=self.key, train=True, wrt=None)
        return x * torch.from_numpy(mask)


def _build(part: Part) -> Any:
    if part.name.startswith("Dropout"):
        return _MaskedDropout(part.name, *part.args)
    if part.twin is not None:
        return _twin(part, part.twin)
    kind = getattr(modules if part.own else nn, part.name)
    return kind(*map(_build, part.children), *part.args, **part.kwargs)


def _twin(part: Part, twin: Callable[..., Any]) -> Any:
    try:
        module = twin(*part.args, **part.kwargs)
    except Exception as error:
        name = f"torch_modules[{part.name!r}]"
        raise InputError(f"{_at(error)}{name}: {in_words(error)}") from error
    if not isinstance(module, nn.Module):
        raise InputError(f"torch_modules[{part.name!r}] gives {kind_of(module)}, not an nn.Module")
    return module


def set_rng(module: Any, model: Layer, rng: Key | None) -> None:
    """Have dropout in training use the masks of `model.apply(..., rng=rng, train=True)`.

    None: torch's own masks again.
    """
    if isinstance(module, _MaskedDropout):
        module.key = rng
    # A part without layers of its own may be a sequence in torch, but has nothing random.
    for index, layer in enumerate(traits(model).layers):
        set_rng(module[index], layer, None if rng is None else fn.random.fold_in(rng, index))


def load_params(module: Any, model: Layer, params: Tree) -> None:
    """Copy the params, running statistics included, into the module."""
    arrays = to_state_dict(model, params)
    module.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})


def params_of(module: Any, model: Layer, like: Tree) -> Tree:
    """The module's parameters and running statistics, copied, as a tree like `like`."""
    arrays = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    return from_state_dict(model, like, arrays)


def grads_of(module: Any, model: Layer, like: Tree) -> Tree:
    """The gradients that the module's parameters have, copied; 0 where there is none."""
    arrays = {name: np.zeros_like(t.numpy()) for name, t in module.state_dict().items()}
    arrays |= {name: p.grad.numpy() for name, p in module.named_parameters() if p.grad is not None}
    return from_state_dict(model, like, arrays)
