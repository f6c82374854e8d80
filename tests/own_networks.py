"""Files with networks of a user's own, as they would write them."""

RESIDUAL = """
import funcnn as fn


def res(input_shape, classes, *, width=4, drop=0.0):
    def conv():
        return fn.serial(fn.Conv(width, 3, padding="same"), fn.BatchNorm())

    block = fn.residual(fn.serial(conv(), fn.Relu(), conv()))
    dropped = [fn.Dropout(drop)] if drop else []
    return fn.serial(
        conv(), fn.Relu(), block, fn.Relu(), fn.GlobalAvgPool(), *dropped, fn.Dense(classes)
    )
"""

# A layer y = weight * x + offset, with all that a layer can bring along.
SCALED = """
import funcnn as fn
import numpy as np


@fn.constructor(per_sample="always")
def Scale(start=1.0):
    def init(rng, input_shape, *, dtype=np.float32):
        shape = input_shape[-1:]
        params = {"factor": np.full(shape, start, dtype), "offset": np.zeros(shape, dtype)}
        return input_shape, params

    def apply(params, x, *, rng=None, train=False):
        def vjp(dy):
            axes = tuple(range(x.ndim - 1))
            dparams = {"factor": (dy * x).sum(axes), "offset": dy.sum(axes)}
            return dparams, dy * params["factor"]

        return x * params["factor"] + params["offset"], vjp

    return fn.Layer(init, apply)


def scaled(input_shape, classes, *, start=0.5):
    return fn.serial(fn.Flatten(), fn.Dense(6), Scale(start), fn.Relu(), fn.Dense(classes))
"""

TWIN = """
def _torch_scale(input_shape, start):
    import torch

    class TorchScale(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = torch.nn.Parameter(torch.full(input_shape[-1:], float(start)))
            self.offset = torch.nn.Parameter(torch.zeros(input_shape[-1:]))

        def forward(self, x):
            return x * self.factor + self.offset

    return TorchScale()


torch_modules = {"Scale": _torch_scale}
"""

OPERATOR = """
def _onnx_scale(graph, spec, x, shape):
    return graph.add("Add", graph.add("Mul", x, graph.param("factor")), graph.param("offset"))


onnx_operators = {"Scale": _onnx_scale}
"""

# A layer that nothing describes.
BARE = """
import funcnn as fn


def bare(input_shape, classes):
    def apply(params, x, *, rng=None, train=False):
        return 2 * x, lambda dy: ({}, 2 * dy)

    double = fn.Layer(lambda rng, input_shape, *, dtype=None: (input_shape, {}), apply)
    return fn.serial(fn.Flatten(), fn.Dense(5), double, fn.Relu(), fn.Dense(classes))
"""

# All else that a file can bring: E = mean (y - t)^2 over one-hot t, plain SGD, shares and halves.
PARTS = """
import funcnn as fn
import numpy as np


def net(input_shape, classes):
    return fn.serial(fn.Flatten(), fn.Dense(classes))


def loss(outputs, targets):
    error = outputs - np.eye(outputs.shape[1], dtype=outputs.dtype)[targets]
    return float((error**2).mean()), lambda dvalue=1.0: (2 * dvalue / error.size) * error


def optimizer(learning_rate):
    return fn.sgd(learning_rate)


metrics = {"share_of_0": lambda outputs, targets: (outputs.argmax(1) == 0).mean()}


def preprocess(x):
    return x[:, :, ::2] / 510
"""


def settings(path, *more):
    """Of a training of 3 epochs of 6 steps, on a folder of small images called `images`."""
    given = ["--data", "images", "--val-size", "12", "--epochs", "3", "--batch-size", "8"]
    return ["--model", path, *given, *more]
