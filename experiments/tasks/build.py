"""From the names in a config to what they stand for: data, network, loss, optimizer."""

import contextlib
from collections.abc import Collection, Iterator

import funcnn as fn
from funcnn.experiments.data.datasets import Dataset, load_dataset
from funcnn.experiments.data.provenance import Expected
from funcnn.experiments.errors import InputError, sizes_text
from funcnn.experiments.tasks.architectures import NetworkShape, build_model, loss_of
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.optimizers import OPTIMIZERS, SCHEDULES
from funcnn.types import Layer, Loss


def load_data(
    config: RunConfig, expected: Expected | None = None, *, usual: Collection[str] = ()
) -> Dataset:
    """The data of a run, split. usual: as `sizes.usual_sizes`. Else as `load_dataset`."""
    return load_dataset(
        config.data,
        val_size=config.val_size,
        seed=config.seed,
        split=config.split,
        expected=expected,
        fit="val_size" in usual,
    )


def build_network(config: RunConfig, classes: int) -> Layer:
    """The network of a run on data of so many classes."""
    shape = NetworkShape(
        config.channels,
        config.kernel_size,
        config.hidden,
        config.activation,
        config.dropout,
        config.weight_init,
    )
    return build_model(config.arch, shape, classes)


@contextlib.contextmanager
def network_that_fits(config: RunConfig) -> Iterator[None]:
    """Turn what is wrong with a network that is being made into the `InputError` that it is.

    It may be too large for the memory, or the images too small for its convolutions.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise  # of torch, it is the same
        layers = {"channels": config.channels, "hidden": config.hidden}
        sizes = {name: sizes_text(each, empty="") for name, each in layers.items()}
        if config.channels:
            sizes["kernel-size"] = str(config.kernel_size)
        options = " ".join(f"--{name} {size}" for name, size in sizes.items() if size)
        raise InputError(f"{options}: the network does not fit in memory") from None
    except ValueError as error:
        raise InputError(f"--arch {config.arch} does not fit the data: {error}") from None


def build_loss(config: RunConfig) -> Loss:
    """The loss that a run minimizes."""
    return loss_of(config.arch, config.loss, config.label_smoothing)


def build_plain_loss(config: RunConfig) -> Loss:
    """The loss that a run reports: the same, without label smoothing."""
    return loss_of(config.arch, config.loss)


def build_optimizer(config: RunConfig, total_steps: int) -> fn.Optimizer:
    """The optimizer of a run of so many steps, which its learning rate depends on."""
    schedule = SCHEDULES[config.schedule](config.lr, total_steps)
    choice = OPTIMIZERS[config.optimizer]
    return choice.build(schedule, config.momentum, config.weight_decay)
