"""From the names in a config to what they stand for: data, network, loss, optimizer."""

import contextlib
import functools
from collections.abc import Callable, Collection, Iterator

from funcnn import random
from funcnn.experiments.data.datasets import Dataset, load_dataset
from funcnn.experiments.data.provenance import Expected
from funcnn.experiments.errors import InputError, kind_of, sizes_text
from funcnn.experiments.tasks.architectures import KEYWORDS, loss_of
from funcnn.experiments.tasks.augmentations import parse_augmentations
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.optimizers import DECAYED, OPTIMIZERS, SCHEDULES
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.tasks.own_settings import OWN
from funcnn.optimizers.base import AnyOptimizer, average_params, chain, is_optimizer
from funcnn.schedules import Schedule
from funcnn.types import Array, Layer, Loss, Shape


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


def build_network(config: RunConfig, input_shape: Shape, classes: int) -> Layer:
    """The network of a run on inputs of this shape, in so many classes. Raises `InputError`."""
    if config.own is not None:
        settings, binary = config.own_settings, config.binary
        return config.own.build(input_shape, classes, settings, binary=binary)
    architecture = config.architecture
    if architecture.binary and classes != 2:
        raise InputError(f"--arch {config.arch} tells 2 classes apart, but the data has {classes}")
    keywords = {KEYWORDS[name]: getattr(config, name) for name in architecture.network}
    return architecture.build(input_shape, classes, **keywords)


@contextlib.contextmanager
def network_that_fits(config: RunConfig) -> Iterator[None]:
    """Turn what is wrong with a network that is being made into the `InputError` that it is.

    It may be too large for the memory, or the images too small for its convolutions.
    """
    try:
        yield
    except InputError:
        raise
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise  # of torch, it is the same
        layers = {"channels": config.channels, "hidden": config.hidden}
        sizes = {name: sizes_text(each, empty="") for name, each in layers.items()}
        if config.channels:
            sizes["kernel-size"] = str(config.kernel_size)
        options = " ".join(f"--{name} {size}" for name, size in sizes.items() if size)
        options = f"--model {config.arch}" if config.own is not None else options
        raise InputError(f"{options}: the network does not fit in memory") from None
    except ValueError as error:
        option = "arch" if config.own is None else "model"
        raise InputError(f"--{option} {config.arch} does not fit the data: {error}") from None


def own_code(config: RunConfig, what: str) -> contextlib.AbstractContextManager[None]:
    """Where what is a user's own is run, as `OwnModel.running`; of the others nothing is said."""
    return contextlib.nullcontext() if config.own is None else config.own.running(what)


def build_loss(config: RunConfig) -> Loss:
    """The loss that a run minimizes. Raises `InputError` if it is of a file that is not here."""
    return _loss(config, config.label_smoothing)


def build_plain_loss(config: RunConfig) -> Loss:
    """The loss that a run reports: the same, without label smoothing. Raises as `build_loss`."""
    return _loss(config, 0.0)


def _loss(config: RunConfig, label_smoothing: float) -> Loss:
    if config.own is not None and config.loss == OWN:
        loss: Loss = config.own.part("loss")
        return loss
    return loss_of(config.loss, binary=config.binary, label_smoothing=label_smoothing)


def build_optimizer(config: RunConfig, total_steps: int) -> AnyOptimizer:
    """The optimizer of a run of so many steps, which its learning rate depends on."""
    return build_optimizer_at(config, SCHEDULES[config.schedule](config.lr, total_steps))


def build_optimizer_at(config: RunConfig, schedule: Schedule) -> AnyOptimizer:
    """The optimizer of a run, at the rates of a schedule."""
    if config.own is not None and config.optimizer == OWN:
        optimizer = _own_optimizer(config.own, schedule)
    else:
        optimizer = OPTIMIZERS[config.optimizer].build(
            schedule, config.momentum, config.weight_decay, DECAYED[config.decayed]
        )
    return chain(optimizer, average_params(config.average)) if config.average else optimizer


def _own_optimizer(own: OwnModel, schedule: Schedule) -> AnyOptimizer:
    make = own.part("optimizer")
    with own.running("optimizer"):
        made: AnyOptimizer = make(schedule)
    if not is_optimizer(made):
        raise InputError(
            f"{own.file}: optimizer returns {kind_of(made)}, not an optimizer, such as "
            "fn.adam(learning_rate)"
        )
    return made


def expect_augmentable(config: RunConfig, data: Dataset) -> None:
    """Raise `InputError` if a run's augmentation cannot be done to the stored inputs."""
    augment = parse_augmentations(config.augment)
    if augment is None:
        return
    x, y = data.train
    try:
        augment(random.key(0), (x[:1], y[:1]))
    except ValueError as error:
        raise InputError(f"--augment {config.augment}: {error}") from None


def preparation(
    config: RunConfig, data: Dataset, shape: Shape | None = None
) -> Callable[[Array], Array]:
    """What makes stored inputs `(N, ...)` those of the network; see `Task.prepare`.

    shape: of one of those, where that is known.
    """
    return own_preparation(config, shape) or data.normalization


def own_preparation(config: RunConfig, shape: Shape | None) -> Callable[[Array], Array] | None:
    """What a user's own file does in the place of the normalisation; None: nothing.

    Raises `InputError` if that is of a file that is not here.
    """
    if config.own is None or not config.own.brings("preprocess"):
        return None
    config.own.part("preprocess")
    return functools.partial(config.own.prepared, shape=shape)


def prepared_shape(config: RunConfig, data: Dataset) -> Shape:
    """The shape of one prepared input. Raises `InputError` if a user's own code does not do it."""
    prepare = own_preparation(config, None)
    return data.input_shape if prepare is None else tuple(prepare(data.train[0][:2]).shape[1:])
