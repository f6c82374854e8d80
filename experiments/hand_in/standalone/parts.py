"""A network's layers as words of the modules `layers` and `classes`."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.types import Layer, Shape

_ACTIVATIONS = {  # function and class
    "Identity": ("identity", "Identity"),
    "BinaryStep": ("binary_step", "BinaryStep"),
    "Sigmoid": ("sigmoid", "Sigmoid"),
    "Tanh": ("tanh", "Tanh"),
    "ArcTan": ("arctan", "ArcTan"),
    "Relu": ("relu", "ReLU"),
    "LeakyRelu": ("leaky_relu", "LeakyReLU"),
    "PRelu": ("prelu", "PReLU"),
    "Elu": ("elu", "ELU"),
    "Softplus": ("softplus", "Softplus"),
    "Silu": ("silu", "SiLU"),
}

Spec = Mapping[str, Any]
_Words = tuple[str, str, str]
"""The first three of a `Part`."""


class Part(NamedTuple):
    """A layer of the network, in words."""

    call: str
    """What is called with params and x."""
    first_params: str
    made: str
    """The call that makes its object, of the module `classes`; empty for dropout."""
    output_shape: Shape

    @property
    def function(self) -> str:
        """The function of the module `layers`."""
        return self.call.removeprefix("partial(").partition(",")[0]


def parts_of(model: Layer, input_shape: Shape) -> list[Part]:
    """The layers of a serial network, for inputs of this shape.

    Raises `InputError` for one that there are no words for.
    """
    spec = model.spec
    if spec is None or spec["layer"] != "serial":
        raise InputError(
            "network.py has no words for a network that is not one layer after another"
        )
    parts = []
    for index, (own, row) in enumerate(
        zip(spec["layers"], fn.summary(model, input_shape).rows, strict=True)
    ):
        render = _RENDERED.get(own["layer"])
        try:
            if render is None:
                raise _NoWordsError
            words = render(own, input_shape)
        except _NoWordsError:
            arguments = ", ".join(f"{name}={own[name]}" for name in own if name != "layer")
            raise InputError(
                f"layer {index}: network.py has no words for {own['layer']}({arguments})"
            ) from None
        parts.append(Part(*words, row.output_shape))
        input_shape = row.output_shape
    return parts


class _NoWordsError(Exception):
    """There are no words for a layer with these arguments."""


def _expect(condition: bool) -> None:
    if not condition:
        raise _NoWordsError


def _dense(spec: Spec, input_shape: Shape) -> _Words:
    inputs, outputs = input_shape[0], spec["out_features"]
    weights = _weights(spec, (inputs, outputs), (inputs, outputs), outputs)
    return "linear", weights, f"FullyConnected({inputs}, {outputs})"


def _conv(spec: Spec, input_shape: Shape) -> _Words:
    size, stride, padding = spec["kernel_size"], spec["stride"], spec["padding"]
    plain = spec["dilation"] == spec["groups"] == 1 and len(input_shape) == 3
    _expect(plain and isinstance(size, int) and isinstance(stride, int))
    if padding == "same":
        _expect(stride == 1)
        padding = ((size - 1) // 2, size // 2)
    elif padding == "valid":
        padding = 0
    pair = (padding, padding) if isinstance(padding, int) else tuple(padding)
    arguments = f", stride={stride}" if stride != 1 else ""
    arguments += f", padding={pair}" if any(pair) else ""
    outputs, inputs = spec["out_channels"], input_shape[0]
    shape = (outputs, inputs, size, size)
    fans = (inputs * size * size, outputs * size * size)
    made = f"Conv({inputs}, {outputs}, {size}{arguments})"
    return _partial("conv", arguments), _weights(spec, shape, fans, outputs), made


def _pool(function: str, made: str) -> Callable[[Spec, Shape], _Words]:
    def render(spec: Spec, input_shape: Shape) -> _Words:
        size = spec["kernel_size"]
        _expect(isinstance(size, int) and spec["stride"] in (None, size) and spec["padding"] == 0)
        _expect(len(input_shape) == 3 and spec.get("dilation", 1) == 1 and not spec["ceil_mode"])
        return _partial(function, f", size={size}"), "{}", f"{made}({size})"

    return render


def _dropout(spec: Spec, input_shape: Shape) -> _Words:
    _expect(not spec["by_channel"])
    return _partial("dropout", f", rate={spec['rate']}, rng=rng"), "{}", ""


def _activation(spec: Spec, input_shape: Shape) -> _Words:
    function, made = _ACTIVATIONS[spec["layer"]]
    if function == "prelu":
        _expect(spec["num_parameters"] == 1)
        first = f"{spec['init']}"
        return function, f'{{"weight": constant(1, {first})}}', f"{made}({first})"
    names = {"leaky_relu": ("slope", "negative_slope"), "elu": ("alpha", "alpha")}.get(function)
    argument = f"{names[0]}={spec[names[1]]}" if names else ""
    return _partial(function, argument and f", {argument}"), "{}", f"{made}({argument})"


def _weights(spec: Spec, shape: Shape, fans: tuple[int, int], outputs: int) -> str:
    """The first params of a layer with weight and bias."""
    initializer = spec["weight_init"]["initializer"]
    _expect(spec["bias"] and spec["bias_init"]["initializer"] == "zeros")
    if initializer == "normal":
        arguments = f"{shape}, {spec['weight_init']['stddev']}"
    else:
        _expect(initializer in ("glorot_uniform", "he_normal", "lecun_normal"))
        arguments = f"{shape}, {fans[0]}"
        arguments += f", {fans[1]}" if initializer == "glorot_uniform" else ""
    return f'{{"weight": {initializer}(rng, {arguments}), "bias": constant({outputs}, 0)}}'


def _partial(function: str, arguments: str) -> str:
    return f"partial({function}{arguments})" if arguments else function


_RENDERED = {
    "Flatten": lambda spec, input_shape: ("flatten", "{}", "Flatten()"),
    "Dense": _dense,
    "Conv": _conv,
    "MaxPool": _pool("max_pool", "MaxPool"),
    "AvgPool": _pool("avg_pool", "AvgPool"),
    "Dropout": _dropout,
    **dict.fromkeys(_ACTIVATIONS, _activation),
}
