"""torch's own optimizer and learning-rate schedule for each that a config can name.

Two tables, name -> builder, with the names and the formulas of `config`. After each
`optimizer.step()` comes a `scheduler.step()`, so that the rate in `optimizer.param_groups` is
always that of the step to come.
"""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from funcnn.experiments.tasks.config import RunConfig

lr_scheduler = torch.optim.lr_scheduler


def torch_optimizer(
    config: RunConfig, parameters: Iterable[Any], total_steps: int
) -> tuple[Any, Any]:
    """The optimizer of a run of so many steps over torch's parameters, and its scheduler.

    Step for step it does what `config.build_optimizer(config, total_steps)` does.
    """
    groups = list(parameters)
    if config.decayed == "weights":
        weights = [parameter for parameter in groups if parameter.ndim > 1]
        others = [parameter for parameter in groups if parameter.ndim <= 1]
        groups = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    optimizer = OPTIMIZERS[config.optimizer](
        groups, config.lr, config.momentum, config.weight_decay
    )
    return optimizer, torch_scheduler(optimizer, config, total_steps)


def torch_scheduler(optimizer: Any, config: RunConfig, total_steps: int) -> Any:
    """The scheduler of a run of so many steps, at its beginning."""
    return SCHEDULES[config.schedule](optimizer, config.lr, total_steps)


# --- optimizers that torch lacks -------------------------------------------------------------


class _OneByOne(torch.optim.Optimizer):
    """An optimizer that changes one parameter after the other, each by `update`."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every parameter that has a gradient; the loss of the closure, if any."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for w in group["params"]:
                    if w.grad is not None:
                        self.update(w, w.grad, self.state[w], group)
        return loss

    def update(self, w: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change w and its state in place, for the gradient g."""
        raise NotImplementedError


class ClassicalMomentum(_OneByOne):
    """v = b v - d h w - h g; w = w + v, with h the `lr`, b the `momentum`, d the `weight_decay`.

    torch's SGD has the learning rate outside the velocity: the two differ where the rate changes.
    """

    def __init__(
        self, params: Any, lr: float, momentum: float = 0.9, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def update(self, w: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """The formula."""
        if not state:
            state["velocity"] = torch.zeros_like(w)
        velocity, lr = state["velocity"], group["lr"]
        velocity.mul_(group["momentum"])
        velocity.sub_(w, alpha=group["weight_decay"] * lr).sub_(g, alpha=lr)
        w.add_(velocity)


class SM3(_OneByOne):
    """w = w - lr m, m the running mean of g / sqrt(s + eps), s = g^2 + min over axes a of r_a.

    r_a is the maximum of s over all axes but a: of a matrix of m x n only m + n numbers are kept.
    Anil et al. 2019; as `optax.sm3`.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        momentum: float = 0.9,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    def update(self, w: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """The formula."""
        if not state:
            state["mean"] = torch.zeros_like(w)
            state["maxima"] = self._maxima(state["mean"])
        if group["weight_decay"]:
            g = g.add(w, alpha=group["weight_decay"])
        s = g.square() + functools.reduce(torch.minimum, state["maxima"])
        state["maxima"] = self._maxima(s)
        scaled = g / (s + group["eps"]).sqrt()
        state["mean"].mul_(group["momentum"]).add_(scaled, alpha=1 - group["momentum"])
        w.sub_(state["mean"], alpha=group["lr"])

    @staticmethod
    def _maxima(s: Any) -> list[Any]:  # (d0, d1, ...) -> (d0, 1, ...), (1, d1, ...)
        if s.ndim < 2:  # without other axes; amax would take no axes for all of them
            return [s.clone()]
        axes = range(s.ndim)
        return [s.amax([other for other in axes if other != axis], keepdim=True) for axis in axes]


# --- from names to torch ---------------------------------------------------------------------

OPTIMIZERS: dict[str, Callable[[Iterable[Any], float, float, float], Any]] = {
    "sgd": lambda params, lr, momentum, decay: torch.optim.SGD(
        params, lr, momentum, weight_decay=decay
    ),
    "nesterov": lambda params, lr, momentum, decay: torch.optim.SGD(
        params, lr, momentum, weight_decay=decay, nesterov=True
    ),
    "classical-momentum": ClassicalMomentum,
    "adagrad": lambda params, lr, momentum, decay: torch.optim.Adagrad(
        params, lr, weight_decay=decay
    ),
    "rmsprop": lambda params, lr, momentum, decay: torch.optim.RMSprop(
        params, lr, momentum=momentum, weight_decay=decay
    ),
    "adam": lambda params, lr, momentum, decay: torch.optim.Adam(
        params, lr, (momentum, 0.999), weight_decay=decay
    ),
    "adamw": lambda params, lr, momentum, decay: torch.optim.AdamW(
        params, lr, (momentum, 0.999), weight_decay=decay
    ),
    "adamax": lambda params, lr, momentum, decay: torch.optim.Adamax(
        params, lr, (momentum, 0.999), weight_decay=decay
    ),
    "sm3": lambda params, lr, momentum, decay: SM3(params, lr, momentum, weight_decay=decay),
}
"""`(parameters, learning rate, momentum, weight decay) -> optimizer`."""


def _warmup_cosine(optimizer: Any, lr: float, steps: int) -> Any:
    """A LambdaLR, because LinearLR refuses to begin at exactly 0."""
    warmup = steps // 20

    def factor(step: int) -> float:
        if step < warmup:
            return step / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))

    return lr_scheduler.LambdaLR(optimizer, factor)


SCHEDULES: dict[str, Callable[[Any, float, int], Any]] = {
    "constant": lambda optimizer, lr, steps: lr_scheduler.ConstantLR(optimizer, factor=1.0),
    "cosine": lambda optimizer, lr, steps: lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps),
    "warmup-cosine": _warmup_cosine,
    "piecewise": lambda optimizer, lr, steps: lr_scheduler.MultiStepLR(
        optimizer, milestones=[max(1, steps // 2), max(2, steps * 3 // 4)], gamma=0.1
    ),
    "exponential": lambda optimizer, lr, steps: lr_scheduler.ExponentialLR(
        optimizer, gamma=0.1 ** (1 / steps)
    ),
    # torch has no such curve.
    "inverse-time": lambda optimizer, lr, steps: lr_scheduler.LambdaLR(
        optimizer, lambda step: 1 / (1 + 9 * step / steps)
    ),
    "polynomial": lambda optimizer, lr, steps: lr_scheduler.PolynomialLR(
        optimizer, total_iters=steps
    ),
    # Without cycle_momentum the momentum stays what the config says.
    "one-cycle": lambda optimizer, lr, steps: lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=steps, cycle_momentum=False
    ),
}
"""`(optimizer, peak rate, number of steps) -> scheduler`.

Each has the rates of `optimizers.SCHEDULES` in all those steps. After them torch's cosines go on,
where ours are constant: the rate rises again, and OneCycleLR refuses a second step too many.
"""
