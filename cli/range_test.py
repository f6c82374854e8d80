"""`funcnn range-test`."""

from pathlib import Path
from typing import Any

import click

import funcnn as fn
from funcnn.cli.network import network_options, own_network
from funcnn.cli.new_place import new_place
from funcnn.cli.options import (
    echo,
    given,
    json_option,
    print_json,
    setting_options,
    threads_option,
)
from funcnn.experiments.tasks.config import SETTINGS, RunConfig
from funcnn.experiments.tasks.sizes import usual_sizes
from funcnn.experiments.training.rate_range import HIGHEST, LOWEST, STEPS, find_rates

# What says nothing about a sweep, which has rates of its own and ends by itself.
_WITHOUT = ("lr", "schedule", "epochs", "patience", "test_curve", "backend", "init")
_SETTINGS = ("arch", *(name for name in SETTINGS if name not in ("arch", *_WITHOUT)))


@click.command("range-test")
@network_options
@setting_options(*_SETTINGS)
@click.option("--lowest", type=float, default=LOWEST, help=f"The first rate. [default: {LOWEST:g}]")
@click.option(
    "--highest", type=float, default=HIGHEST, help=f"The last rate. [default: {HIGHEST:g}]"
)
@click.option(
    "--steps",
    type=click.IntRange(min=2),
    default=STEPS,
    help=f"Steps from the first rate to the last. [default: {STEPS}]",
)
@threads_option
@click.option(
    "--out",
    type=new_place,
    help="A new PNG file. [default: the next runs/range-test-ARCH-001.png]",
)
@json_option
def range_test(
    model: str | None,
    sets: dict[str, str],
    lowest: float,
    highest: float,
    steps: int,
    threads: int | None,
    out: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Which learning rates a network learns at: one short training while the rate rises.

    The rate from which on the loss falls fastest, a tenth of the one at which it diverges (4 times
    its least, or no number), and a figure: a good --lr lies between them, mostly near the second.
    Settings are those of train, but for those of the learning rate and of epochs. Smith 2017.

    \b
    Examples:
      funcnn range-test --arch mlp3
      funcnn range-test --arch cnn3 --data mnist --optimizer sgd --out rates.png
    """
    own, options = own_network(model, sets, given(settings))
    values = {"arch": "mlp3"} | options
    config = RunConfig.resolve(values, own)
    with fn.threads.use_threads(threads):
        found = find_rates(
            config, out, lowest=lowest, highest=highest, steps=steps, usual=usual_sizes(values)
        )
    if as_json:
        print_json(found)
        return
    if found["steepest"] is None:
        click.echo("the loss never falls")
    else:
        click.echo(f"the loss falls fastest from a learning rate of {found['steepest']:.2g} on")
    if found["diverged"] is None:
        click.echo(f"it does not diverge up to {highest:g}")
    else:
        click.echo(
            f"it diverges at {found['diverged']:.2g}, a tenth of which is {found['tenth']:.2g}"
        )
    echo(f"figure: {found['out']}")
