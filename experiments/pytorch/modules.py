"""Modules that torch lacks. Each stands by itself, because an export prints its source."""

from typing import Any

import torch
from torch import nn


class ArcTan(nn.Module):
    """y = arctan(x)."""

    def forward(self, x: Any) -> Any:
        """The arc tangent of every element."""
        return torch.arctan(x)


class BinaryStep(nn.Module):
    """y = 1 where x > 0, else 0; its derivative is 0."""

    def forward(self, x: Any) -> Any:
        """The sign where it is positive, whose derivative torch knows to be 0."""
        return torch.sign(x).clamp(min=0)


class Exp(nn.Module):
    """y = exp(x)."""

    def forward(self, x: Any) -> Any:
        """The power of every element."""
        return torch.exp(x)


class HardSigmoid(nn.Module):
    """y = x / 6 + 1/2 cut to [0, 1]; nn.Hardsigmoid has the 1/6 in float32 only."""

    def forward(self, x: Any) -> Any:
        """As torch documents its own."""
        return nn.functional.relu6(x + 3) / 6


class SumPool1d(nn.Module):
    """The sum of each window, for which other numbers of axes have a divisor to override."""

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.size = kernel_size if isinstance(kernel_size, int) else kernel_size[0]
        self.pool = nn.AvgPool1d(kernel_size, stride, padding)

    def forward(self, x: Any) -> Any:
        """The mean times the size."""
        return self.pool(x) * self.size


class FanOut(nn.Module):
    """y = (x, x, ...)."""

    def __init__(self, num: int) -> None:
        super().__init__()
        self.num = num

    def forward(self, x: Any) -> Any:
        """The same input, `num` times."""
        return (x,) * self.num


class FanInSum(nn.Module):
    """y = x_0 + x_1 + ..."""

    def forward(self, xs: Any) -> Any:
        """The sum of the inputs."""
        return sum(xs[1:], xs[0])


class FanInConcat(nn.Module):
    """The inputs one after another along `dim`."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, xs: Any) -> Any:
        """The concatenation."""
        return torch.cat(xs, self.dim)


class Parallel(nn.Sequential):
    """y_i = module_i(x_i)."""

    def forward(self, xs: Any) -> Any:
        """Each module of its own input."""
        return tuple(module(x) for module, x in zip(self, xs, strict=True))


class Residual(nn.Sequential):
    """y = branch(x) + shortcut(x), where the shortcut is x itself if there is no second module."""

    def forward(self, x: Any) -> Any:
        """The branch beside the shortcut."""
        return self.add(self[0](x), self[1](x) if len(self) > 1 else x)

    def add(self, y: Any, other: Any) -> Any:
        """The sum of two tensors, or of tuples of them part by part."""
        return tuple(map(self.add, y, other)) if isinstance(y, tuple) else y + other
