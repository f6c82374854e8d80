"""The layers of `layers` as classes, which a loop of `forward`, `backward` and `update` drives.

The pattern for the second half of `layer.py`, which has of them what its networks use.
"""

import math
from functools import partial

import numpy as np

from funcnn.experiments.hand_in.standalone.layers import (
    arctan,
    avg_pool,
    binary_cross_entropy,
    binary_step,
    conv,
    elu,
    flatten,
    half_squared_error,
    identity,
    leaky_relu,
    linear,
    log_softmax,
    max_pool,
    prelu,
    relu,
    sigmoid,
    silu,
    softmax_cross_entropy,
    softplus,
    tanh,
)


class Layer:
    """A layer that has its weights, and remembers its last batch; its function does the work.

    In `backward`, output_grad is the derivative of the loss with respect to the output, and what
    comes back is that with respect to the input; those with respect to the weights are left in
    `weight_grad` and `bias_grad`.
    """

    function = None  # of this file
    weights = ()  # their names

    def forward(self, input):
        """The output for a batch, input: (B, ...)."""
        params = {name: getattr(self, name) for name in self.weights}
        output, self.chain = self.function(params, input)
        return output

    def backward(self, output_grad):
        """The derivative with respect to the input, of its shape."""
        grads, input_grad = self.chain(output_grad)
        for name, grad in grads.items():
            setattr(self, name + "_grad", grad.reshape(getattr(self, name).shape))
        return input_grad


class FullyConnected(Layer):
    """`linear`. weight: (in_features, out_features), bias: (1, out_features).

    The weights begin as N(0, deviation^2), if it is not given N(0, 2 / in_features), for ReLU, from
    NumPy's global generator: np.random.seed decides them. Biases begin as 0.
    """

    function = staticmethod(linear)
    weights = ("weight", "bias")

    def __init__(self, in_features, out_features, deviation=None):
        deviation = math.sqrt(2 / in_features) if deviation is None else deviation
        self.weight = deviation * np.random.randn(in_features, out_features)
        self.bias = np.zeros((1, out_features))


class Conv(Layer):
    """`conv`. weight: (out_channels, in_channels, kernel_size, kernel_size), bias: (out_channels,).

    padding: zeros around the image, or how many before and after it. The weights begin as
    N(0, 2 / inputs of an output), from NumPy's global generator.
    """

    weights = ("weight", "bias")

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        deviation = math.sqrt(2 / (in_channels * kernel_size**2))
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = deviation * np.random.randn(*shape)
        self.bias = np.zeros(out_channels)
        padding = (padding, padding) if isinstance(padding, int) else padding
        self.function = partial(conv, stride=stride, padding=padding)


class MaxPool(Layer):
    """`max_pool` of size x size pixels."""

    def __init__(self, size):
        self.function = partial(max_pool, size=size)


class AvgPool(Layer):
    """`avg_pool` of size x size pixels."""

    def __init__(self, size):
        self.function = partial(avg_pool, size=size)


class Flatten(Layer):
    """`flatten`."""

    function = staticmethod(flatten)


class Identity(Layer):
    """`identity`."""

    function = staticmethod(identity)


class BinaryStep(Layer):
    """`binary_step`."""

    function = staticmethod(binary_step)


class Sigmoid(Layer):
    """`sigmoid`."""

    function = staticmethod(sigmoid)


class Tanh(Layer):
    """`tanh`."""

    function = staticmethod(tanh)


class ArcTan(Layer):
    """`arctan`."""

    function = staticmethod(arctan)


class ReLU(Layer):
    """`relu`."""

    function = staticmethod(relu)


class PReLU(Layer):
    """`prelu`. weight: the slope for x < 0, (1,), which begins as `slope`."""

    function = staticmethod(prelu)
    weights = ("weight",)

    def __init__(self, slope=0.25):
        self.weight = np.full(1, slope)


class LeakyReLU(Layer):
    """`leaky_relu`."""

    def __init__(self, slope=0.01):
        self.function = partial(leaky_relu, slope=slope)


class ELU(Layer):
    """`elu`."""

    def __init__(self, alpha=1.0):
        self.function = partial(elu, alpha=alpha)


class Softplus(Layer):
    """`softplus`."""

    function = staticmethod(softplus)


class SiLU(Layer):
    """`silu`."""

    function = staticmethod(silu)


class SoftmaxWithloss:
    """`softmax_cross_entropy`, whose last batch is remembered."""

    def forward(self, input, target):
        """(probabilities (B, K), mean loss). input: (B, K), target: one-hot, or integers (B,)."""
        loss, self.input_grad = softmax_cross_entropy(input, target)
        return np.exp(log_softmax(input)), loss

    def backward(self):
        """The derivative of the mean loss with respect to the input, (p - t) / B."""
        return self.input_grad


class SquaredWithloss:
    """`half_squared_error`, whose last batch is remembered."""

    def forward(self, input, target):
        """(input, mean loss). input: (B, K), target: one-hot, or integers (B,)."""
        loss, self.input_grad = half_squared_error(input, target)
        return input, loss

    def backward(self):
        """The derivative of the mean loss with respect to the input, (y - t) / B."""
        return self.input_grad


class BinaryWithloss:
    """`binary_cross_entropy`, whose last batch is remembered."""

    def forward(self, input, target):
        """(input, mean loss). input: probabilities (B, 1), target: 0 or 1, (B, 1)."""
        loss, self.input_grad = binary_cross_entropy(input, np.asarray(target))
        return input, loss

    def backward(self):
        """The derivative of the mean loss with respect to the input."""
        return self.input_grad
