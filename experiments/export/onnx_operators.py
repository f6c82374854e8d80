"""What does what a layer does in ONNX: a row for each layer, of one or a few operators."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from funcnn.ops.pooling import place_pool
from funcnn.types import Shape, Spec


class Graph:
    """A graph in the making. Its values are strings: the names of what operators give."""

    def __init__(self, dtype: Any) -> None:
        self.nodes: list[Any] = []
        self.params: list[str] = []
        """By torch's names, and in torch's layout."""
        self.path = ""
        """Of the layer that is being added."""
        self._dtype = dtype

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator; its output."""
        output = f"{self.path}:{operator}:{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def param(self, name: str) -> str:
        """A param of this layer."""
        self.params.append(f"{self.path}/{name}".lstrip("/").replace("/", "."))
        return self.params[-1]

    def array(self, values: Any, dtype: Any = None) -> str:
        """A constant array, of the params' dtype unless another is given."""
        constant = np.asarray(values, dtype or self._dtype)
        return self.add("Constant", value=numpy_helper.from_array(constant))

    def sizes(self, *sizes: int) -> str:
        """A constant list of sizes; in a shape, 0 stands for the size of the batch."""
        return self.array(sizes, np.int64)


Operator = Callable[[Graph, Spec, Any, Shape], Any]
"""`operator(graph, spec, x, shape of a sample) -> y`, x and y values of the graph."""


# --- layers with weights ---------------------------------------------------------------------


def _dense(graph: Graph, spec: Spec, x: str, shape: Shape) -> str:
    bias = [graph.param("bias")] if spec["bias"] else []
    if len(shape) == 1:
        return graph.add("Gemm", x, graph.param("weight"), *bias, transB=1)
    y = graph.add("MatMul", x, graph.add("Transpose", graph.param("weight")))
    return graph.add("Add", y, *bias) if bias else y


def _conv(graph: Graph, spec: Spec, x: str, shape: Shape) -> str:
    axes = len(shape) - 1
    padding = spec["padding"]
    if padding == "same":  # of an odd number, the larger half comes after
        kernel, dilations = _each(spec["kernel_size"], axes), _each(spec["dilation"], axes)
        totals = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
        pads = [t // 2 for t in totals] + [t - t // 2 for t in totals]
    else:
        pads = 2 * _each(0 if padding == "valid" else padding, axes)
    return _convolve(graph, "Conv", spec, x, pads, axes)


def _conv_transpose(graph: Graph, spec: Spec, x: str, shape: Shape) -> str:
    # onnxruntime wants its output_padding below the stride. Less is cut off at the end instead,
    # and if that is not enough, zeros after x make y longer by a stride each.
    axes = len(shape) - 1
    before, strides = _each(spec["padding"], axes), _each(spec["stride"], axes)
    after = [p - e for p, e in zip(before, _each(spec["output_padding"], axes), strict=True)]
    zeros = [max(0, -(p // s)) for p, s in zip(after, strides, strict=True)]
    if any(zeros):
        x = graph.add("Pad", x, graph.sizes(*[0] * (2 + axes), 0, 0, *zeros))
    after = [p + z * s for p, z, s in zip(after, zeros, strides, strict=True)]
    return _convolve(graph, "ConvTranspose", spec, x, before + after, axes)


def _convolve(graph: Graph, operator: str, spec: Spec, x: str, pads: list[int], axes: int) -> str:
    return graph.add(
        operator,
        x,
        graph.param("weight"),
        *([graph.param("bias")] if spec["bias"] else []),
        kernel_shape=_each(spec["kernel_size"], axes),
        strides=_each(spec["stride"], axes),
        pads=pads,
        dilations=_each(spec["dilation"], axes),
        group=spec["groups"],
    )


def _prelu(graph: Graph, spec: Spec, x: str, shape: Shape) -> str:
    slope = graph.param("weight")
    return graph.add(
        "PRelu", x, slope if spec["num_parameters"] == 1 else _beside(graph, slope, shape)
    )


# --- layers that normalise -------------------------------------------------------------------


def _batch_norm(graph: Graph, spec: Spec, x: str, shape: Shape) -> str:
    scale, shift = _affine(graph, spec["affine"], shape[:1])
    statistics = graph.param("running_mean"), graph.param("running_var")
    return graph.add("BatchNormalization", x, scale, shift, *statistics, epsilon=spec["eps"])


def _layer_norm(graph: Graph, spec: Spec, x: str, shape: Shape) -> str:
    dims = spec["normalized_dims"]
    learned, sizes = spec["elementwise_affine"], shape[len(shape) - dims :]
    scale = graph.param("weight") if learned else graph.array(np.ones(sizes))
    shift = [graph.param("bias")] if learned and spec["bias"] else []
    return graph.add("LayerNormalization", x, scale, *shift, axis=-dims, epsilon=spec["eps"])


def _group_norm(graph: Graph, spec: Spec, x: str, shape: Shape) -> str:
    groups = spec["num_groups"]
    rows = graph.add("Reshape", x, graph.sizes(0, groups, math.prod(shape) // groups))
    same = _affine(graph, False, (groups,))
    normal = graph.add("InstanceNormalization", rows, *same, epsilon=spec["eps"])
    y = graph.add("Reshape", normal, graph.sizes(0, *shape))
    if not spec["affine"]:
        return y
    y = graph.add("Mul", y, _beside(graph, graph.param("weight"), shape))
    return graph.add("Add", y, _beside(graph, graph.param("bias"), shape))


def _affine(graph: Graph, learned: bool, shape: Shape) -> tuple[str, str]:
    if learned:
        return graph.param("weight"), graph.param("bias")
    return graph.array(np.ones(shape)), graph.array(np.zeros(shape))


def _beside(graph: Graph, param: str, shape: Shape) -> str:
    """A param of one number a channel, `(C,)`, as `(C, 1, ...)` to stand beside x."""
    return graph.add("Reshape", param, graph.sizes(shape[0], *(1,) * (len(shape) - 1)))


# --- pooling and shapes ----------------------------------------------------------------------


def _pool(operator: str) -> Operator:
    def pool(graph: Graph, spec: Spec, x: str, shape: Shape) -> str:
        axes = len(shape) - 1
        kernel, before = _each(spec["kernel_size"], axes), _each(spec["padding"], axes)
        strides = _each(spec["kernel_size" if spec["stride"] is None else "stride"], axes)
        dilations, after = _each(spec.get("dilation", 1), axes), before
        ceil_mode = spec.get("ceil_mode", False)
        if ceil_mode:
            # To this opset a last window may begin in the padding after x, to torch it may not.
            # With what no window of torch's reaches cut off, both have the same ones.
            of_axes = tuple(kernel), tuple(strides), tuple(dilations), tuple(before)
            unseen = place_pool(shape[1:], *of_axes, ceil_mode).unseen
            spare = [p - n for p, n in zip(before, unseen, strict=True)]
            after = [max(0, n) for n in spare]
            if min(spare) < 0:
                cut = [min(0, n) for n in spare]
                x = graph.add("Pad", x, graph.sizes(*[0] * (2 + axes), 0, 0, *cut))
        extra: dict[str, Any] = {"dilations": dilations}
        if operator == "AveragePool":
            extra = {"count_include_pad": int(spec.get("count_include_pad", True))}
        return graph.add(
            operator,
            x,
            kernel_shape=kernel,
            strides=strides,
            pads=before + after,
            ceil_mode=int(ceil_mode),
            **extra,
        )

    return pool


def _sum_pool(graph: Graph, spec: Spec, x: str, shape: Shape) -> str:
    size = math.prod(_each(spec["kernel_size"], len(shape) - 1))
    return graph.add("Mul", _pool("AveragePool")(graph, spec, x, shape), graph.array(size))


def _global_pool(operator: str) -> Operator:
    return lambda graph, spec, x, shape: graph.add("Flatten", graph.add(operator, x))


def _each(size: int | Sequence[int], axes: int) -> list[int]:
    return [size] * axes if isinstance(size, int) else list(size)


# --- functions of every element --------------------------------------------------------------


def _same(operator: str, **names: str) -> Operator:
    """One operator; `names` are its attributes, and what the spec calls them."""

    def function(graph: Graph, spec: Spec, x: str, shape: Shape) -> str:
        return graph.add(operator, x, **{key: spec[name] for key, name in names.items()})

    return function


def _binary_step(graph: Graph, spec: Spec, x: str, shape: Shape) -> str:
    return graph.add("CastLike", graph.add("Greater", x, graph.array(0)), x)


def _gelu(graph: Graph, spec: Spec, x: str, shape: Shape) -> str:
    if spec["approximate"] == "tanh":
        cube = graph.add("Mul", graph.add("Mul", x, x), x)
        inner = graph.add("Add", x, graph.add("Mul", cube, graph.array(0.044715)))
        of = graph.add("Tanh", graph.add("Mul", inner, graph.array(math.sqrt(2 / math.pi))))
    else:
        of = graph.add("Erf", graph.add("Mul", x, graph.array(math.sqrt(0.5))))
    half = graph.add("Mul", x, graph.array(0.5))
    return graph.add("Mul", half, graph.add("Add", of, graph.array(1)))


def _softplus(graph: Graph, spec: Spec, x: str, shape: Shape) -> str:
    beta = graph.array(spec["beta"])
    scaled = graph.add("Mul", x, beta)
    curve = graph.add("Div", graph.add("Softplus", scaled), beta)
    large = graph.add("Greater", scaled, graph.array(spec["threshold"]))
    return graph.add("Where", large, x, curve)


def _silu(graph: Graph, spec: Spec, x: str, shape: Shape) -> str:
    return graph.add("Mul", x, graph.add("Sigmoid", x))


def _hard_tanh(graph: Graph, spec: Spec, x: str, shape: Shape) -> str:
    return graph.add("Clip", x, graph.array(spec["min_val"]), graph.array(spec["max_val"]))


OPERATORS: dict[str, Operator] = {
    "Dense": _dense,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "PRelu": _prelu,
    "BatchNorm": _batch_norm,
    "LayerNorm": _layer_norm,
    "GroupNorm": _group_norm,
    "MaxPool": _pool("MaxPool"),
    "AvgPool": _pool("AveragePool"),
    "SumPool": _sum_pool,
    "GlobalAvgPool": _global_pool("GlobalAveragePool"),
    "GlobalMaxPool": _global_pool("GlobalMaxPool"),
    "Flatten": _same("Flatten"),
    "Reshape": lambda graph, spec, x, shape: graph.add(
        "Reshape", x, graph.sizes(0, *spec["shape"])
    ),
    "Dropout": lambda graph, spec, x, shape: x,
    "Identity": lambda graph, spec, x, shape: x,
    "BinaryStep": _binary_step,
    "Sigmoid": _same("Sigmoid"),
    "HardSigmoid": lambda graph, spec, x, shape: graph.add("HardSigmoid", x, alpha=1 / 6, beta=0.5),
    "Tanh": _same("Tanh"),
    "HardTanh": _hard_tanh,
    "ArcTan": _same("Atan"),
    "Relu": _same("Relu"),
    "LeakyRelu": _same("LeakyRelu", alpha="negative_slope"),
    "Elu": _same("Elu", alpha="alpha"),
    "Selu": _same("Selu"),
    "Gelu": _gelu,
    "Softplus": _softplus,
    "Silu": _silu,
    "Exp": _same("Exp"),
    "Softmax": _same("Softmax", axis="dim"),
    "LogSoftmax": _same("LogSoftmax", axis="dim"),
    "FanOut": lambda graph, spec, x, shape: (x,) * spec["num"],
    "FanInSum": lambda graph, spec, x, shape: graph.add("Sum", *x),
    "FanInConcat": lambda graph, spec, x, shape: graph.add("Concat", *x, axis=spec["dim"]),
}
