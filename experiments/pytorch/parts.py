"""Which module of torch does what a layer does: as data, and as source that a reader can run.

Nothing here needs torch. `mirror` builds modules from the parts; what torch has no module for
is in `modules`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.spec import describe, is_own
from funcnn.types import Layer, Shape, Spec, layer_name, traits


class Part(NamedTuple):
    """A call of a module's class, `nn.Linear(784, 256)`, as data."""

    name: str
    """The class: of `torch.nn`, or of `modules` if it is our own."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}  # noqa: RUF012
    children: tuple["Part", ...] = ()
    """The modules that it is made of, which torch calls "0", "1" and so on."""
    own: bool = False
    twin: Callable[..., Any] | None = None
    """What makes it, if it is of a layer of the user's own."""


Twins = Mapping[str, Callable[..., Any]]
"""Of layers of the user's own, by name: `(input_shape, **arguments of the spec) -> nn.Module`.

The module's parameters have the names and shapes of the layer's params.
"""


def part_of(model: Layer, input_shape: Shape, twins: Twins = MappingProxyType({})) -> Part:
    """The part that does what `model` does to inputs of this shape, without the batch axis.

    A leaf of the params has the path of torch's parameter, with "/" for "." in its name.
    Raises `InputError`, naming it, for a layer that torch or its description cannot say.
    """
    return _part(model, input_shape, "", twins)[0]


def _part(layer: Layer, shape: Shape, path: str, twins: Twins) -> tuple[Part, Shape]:
    """The part, and the shape of its output."""
    name, inner = layer_name(layer), traits(layer).layers
    where = f"layer {path} ({name})" if path else f"the model ({name})"
    children = []
    inner_shape = shape
    for index, child in enumerate(inner):
        of_child = inner_shape[index] if name == "parallel" else inner_shape
        inner_part, output = _part(child, of_child, f"{path}/{index}".lstrip("/"), twins)
        children.append(inner_part)
        inner_shape = output if name == "serial" else inner_shape
    spec = describe(layer)
    if spec is None:
        raise InputError(
            f"{where} has no spec, so that torch cannot have it too: decorate its constructor with "
            "fn.constructor"
        )
    try:
        output_shape, _ = layer.init(fn.random.SHAPES_ONLY, shape)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    if name in _CONTAINERS:
        container = _CONTAINERS[name]
        return container._replace(children=tuple(children)), output_shape
    arguments = {key: _plain(value) for key, value in spec.items()}
    if is_own(layer):
        del arguments["layer"]
        if name not in twins:
            raise InputError(f"{where} has no twin in torch: give its file torch_modules[{name!r}]")
        return Part(name, (shape,), arguments, twin=twins[name]), output_shape
    part = _PARTS[name](arguments, shape)
    if part is None:
        raise InputError(f"{where}: torch has no such module for a sample of shape {shape}")
    return part, output_shape


def _plain(value: Any) -> Any:
    return tuple(map(_plain, value)) if isinstance(value, list) else value


def _call(name: str, *args: Any, **optional: tuple[Any, Any]) -> Part:
    """A part; of its keywords, each `(value, default)`, those that are not torch's default."""
    kwargs = {key: value for key, (value, default) in optional.items() if value != default}
    return Part(name, args, kwargs)


# --- a row for each layer: (spec, shape of its input) -> part --------------------------------

_CONTAINERS = {
    "serial": Part("Sequential"),
    "parallel": Part("Parallel", own=True),
    "residual": Part("Residual", own=True),
}


def _plain_part(name: str, *arguments: str, own: bool = False) -> Callable[[Spec, Shape], Part]:
    """The part of a layer that takes the same arguments in torch, in this order."""
    return lambda spec, shape: Part(name, tuple(spec[key] for key in arguments), own=own)


def _by_axes(name: str, axes: int) -> str | None:
    """The name of torch's module for so many spatial axes, such as `Conv2d`."""
    return f"{name}{axes}d" if 1 <= axes <= 3 else None


def _conv(name: str, *extra: str) -> Callable[[Spec, Shape], Part | None]:
    defaults = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}
    names = ("stride", "padding", *extra, "dilation", "groups")

    def part(spec: Spec, shape: Shape) -> Part | None:
        of_axes = _by_axes(name, len(shape) - 1)
        if of_axes is None:
            return None
        optional = {key: (spec[key], defaults[key]) for key in names}
        sizes = shape[0], spec["out_channels"], spec["kernel_size"]
        return _call(of_axes, *sizes, **optional, bias=(spec["bias"], True))

    return part


def _pool(name: str) -> Callable[[Spec, Shape], Part | None]:
    def part(spec: Spec, shape: Shape) -> Part | None:
        axes = len(shape) - 1
        sums = name == "SumPool"
        of_axes = _by_axes("AvgPool" if sums and axes > 1 else name, axes)
        if of_axes is None:
            return None
        stride = spec["stride"] if spec["stride"] != spec["kernel_size"] else None
        pooling = _call(
            of_axes,
            spec["kernel_size"],
            stride=(stride, None),
            padding=(spec["padding"], 0),
            dilation=(spec.get("dilation", 1), 1),
            ceil_mode=(spec.get("ceil_mode", False), False),
            count_include_pad=(spec.get("count_include_pad", True), True),
            divisor_override=(1 if sums and axes > 1 else None, None),
        )
        return pooling._replace(own=sums and axes == 1)

    return part


def _global_pool(name: str) -> Callable[[Spec, Shape], Part | None]:
    def part(spec: Spec, shape: Shape) -> Part | None:
        pool = _by_axes(name, len(shape) - 1)
        if pool is None:
            return None
        return Part("Sequential", children=(Part(pool, (1,)), Part("Flatten")))

    return part


def _batch_norm(spec: Spec, shape: Shape) -> Part | None:
    name = _by_axes("BatchNorm", max(1, len(shape) - 1))
    if name is None:
        return None
    return _call(
        name,
        shape[0],
        eps=(spec["eps"], 1e-5),
        momentum=(spec["momentum"], 0.1),
        affine=(spec["affine"], True),
    )


def _group_norm(spec: Spec, shape: Shape) -> Part:
    options = {"eps": (spec["eps"], 1e-5), "affine": (spec["affine"], True)}
    return _call("GroupNorm", spec["num_groups"], shape[0], **options)


def _layer_norm(spec: Spec, shape: Shape) -> Part:
    return _call(
        "LayerNorm",
        shape[len(shape) - spec["normalized_dims"] :],
        eps=(spec["eps"], 1e-5),
        elementwise_affine=(spec["elementwise_affine"], True),
        bias=(spec["bias"], True),
    )


def _dropout(spec: Spec, shape: Shape) -> Part | None:
    name = _by_axes("Dropout", len(shape) - 1) if spec["by_channel"] else "Dropout"
    return None if name is None else Part(name, (spec["rate"],))


def _flatten(spec: Spec, shape: Shape) -> Part | None:
    return Part("Flatten") if shape else None


def _reshape(spec: Spec, shape: Shape) -> Part | None:
    if not shape or not spec["shape"]:
        return None
    unflatten = Part("Unflatten", (1, spec["shape"]))
    if len(shape) == 1:
        return unflatten
    return Part("Sequential", children=(Part("Flatten"), unflatten))


_PARTS: dict[str, Callable[[Spec, Shape], Part | None]] = {
    "Dense": lambda spec, shape: _call(
        "Linear", shape[-1], spec["out_features"], bias=(spec["bias"], True)
    ),
    "Conv": _conv("Conv"),
    "ConvTranspose": _conv("ConvTranspose", "output_padding"),
    "MaxPool": _pool("MaxPool"),
    "AvgPool": _pool("AvgPool"),
    "SumPool": _pool("SumPool"),
    "GlobalAvgPool": _global_pool("AdaptiveAvgPool"),
    "GlobalMaxPool": _global_pool("AdaptiveMaxPool"),
    "BatchNorm": _batch_norm,
    "GroupNorm": _group_norm,
    "LayerNorm": _layer_norm,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Identity": _plain_part("Identity"),
    "BinaryStep": _plain_part("BinaryStep", own=True),
    "Sigmoid": _plain_part("Sigmoid"),
    "HardSigmoid": _plain_part("HardSigmoid", own=True),
    "Tanh": _plain_part("Tanh"),
    "HardTanh": _plain_part("Hardtanh", "min_val", "max_val"),
    "ArcTan": _plain_part("ArcTan", own=True),
    "Relu": _plain_part("ReLU"),
    "LeakyRelu": _plain_part("LeakyReLU", "negative_slope"),
    "PRelu": _plain_part("PReLU", "num_parameters", "init"),
    "Elu": _plain_part("ELU", "alpha"),
    "Selu": _plain_part("SELU"),
    "Gelu": lambda spec, shape: _call("GELU", approximate=(spec["approximate"], "none")),
    "Silu": _plain_part("SiLU"),
    "Softplus": _plain_part("Softplus", "beta", "threshold"),
    "Exp": _plain_part("Exp", own=True),
    "Softmax": _plain_part("Softmax", "dim"),
    "LogSoftmax": _plain_part("LogSoftmax", "dim"),
    "FanOut": _plain_part("FanOut", "num", own=True),
    "FanInSum": _plain_part("FanInSum", own=True),
    "FanInConcat": _plain_part("FanInConcat", "dim", own=True),
}

# --- as source -------------------------------------------------------------------------------


def source(part: Part, indent: str = "") -> str:
    """The part as a Python expression, such as `nn.Linear(784, 256)`."""
    name = part.name if part.own else f"nn.{part.name}"
    if part.twin is not None:
        name = part.twin.__name__
    if part.children:
        inner = indent + "    "
        lines = [f"{inner}{source(child, inner)},\n" for child in part.children]
        return f"{name}(\n{''.join(lines)}{indent})"
    arguments = [repr(value) for value in part.args]
    arguments += [f"{key}={value!r}" for key, value in part.kwargs.items()]
    return f"{name}({', '.join(arguments)})"


def twins_of(part: Part) -> dict[str, Callable[..., Any]]:
    """What makes the modules of the user's own layers, by name."""
    own = {} if part.twin is None else {part.twin.__name__: part.twin}
    for child in part.children:
        own |= twins_of(child)
    return own


def own_names(part: Part) -> set[str]:
    """The classes of `modules` that the part needs."""
    names = {part.name} if part.own else set()
    return names.union(*map(own_names, part.children))
