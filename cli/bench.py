"""`funcnn bench`."""

import contextlib
import sys
from typing import Any

import click

from funcnn.cli.network import network_named, run_model_option, set_option
from funcnn.cli.new_place import out_option
from funcnn.cli.options import echo, given, json_option, print_json, setting_option
from funcnn.cli.progress import BenchBar
from funcnn.experiments.bench.benchmark import (
    MEASURES,
    RATIO_MEANS,
    ROUNDS,
    THREADS,
    Benchmark,
)
from funcnn.experiments.bench.nets import NETS
from funcnn.experiments.bench.peers import PEERS
from funcnn.experiments.errors import InputError
from funcnn.experiments.system.machine import in_one_line
from funcnn.experiments.training.target import Target


@click.command()
@click.option("--net", multiple=True, type=click.Choice(list(NETS)), help="[default: all of them]")
@click.option(
    "--peer",
    multiple=True,
    type=click.Choice(list(PEERS)),
    help="funcnn-recorded has its steps replayed by NumPy, funcnn-native in C. [default: all that "
    "can take part here]",
)
@click.option(
    "--measure",
    multiple=True,
    type=click.Choice(list(MEASURES)),
    help="Of training, the time of a step or its peak memory; of 10,000 examples, predicting them "
    "or finding loss and accuracy. [default: step]",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), help=f"Turns of every peer. [default: {ROUNDS}]"
)
@out_option
@click.option(
    "--profile",
    metavar="NETWORK",
    help="Where a training step of this network goes, instead: an architecture, FILE.py:NAME, or a "
    "run. [default: no profile]",
)
@run_model_option
@set_option
@setting_option("data", "Of --profile, the data whose shape and classes the network is for.")
@click.option(
    "--batch-size", type=int, help="Examples in the step of a profile. [default: as train has it]"
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=THREADS,
    help=f"What each peer may use. [default: {THREADS}]",
)
@json_option
def bench(
    profile: str | None,
    model: str | None,
    sets: dict[str, str],
    data: str | None,
    batch_size: int | None,
    threads: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Training steps of funcnn beside those of PyTorch, JAX and scikit-learn, where installed.

    Each peer has a warm process of its own, and they take turns, whose first third is not
    measured: threads of the peer before may still be spinning. Medians over the rounds, with
    quartiles, and ratios to the faster of PyTorch's two modes go to a folder: results.csv,
    results.png, machine.txt.

    \b
    Examples:
      funcnn bench
      funcnn bench --net mlp3-128 --peer funcnn --peer torch --rounds 5
      funcnn bench --measure image --measure inference
      funcnn bench --profile mlp3 --batch-size 256
      funcnn bench --profile mine.py:cnn --set width=64
    """
    chosen = {name: value for name, value in given(options).items() if value != ()}
    if profile is not None:
        if chosen:
            name = next(iter(chosen))
            raise InputError(f"--profile takes --batch-size and --threads: leave out --{name}")
        target = network_named(
            profile, model, sets, given({"data": data, "batch_size": batch_size})
        )
        _show_profile(target, threads, as_json)
        return
    for name, value in (("model", model), ("set", sets), ("data", data)):
        if value:
            raise InputError(f"--{name}: it is for --profile, every --net has its own")
    if batch_size is not None:
        raise InputError(f"--batch-size {batch_size}: it is for --profile, every --net has its own")
    benchmark = Benchmark(**chosen, threads=threads)
    bar = BenchBar(lines=not as_json)
    try:
        with contextlib.closing(bar):
            results = benchmark.finish(bar)
    except KeyboardInterrupt:
        echo(f"stopped; what was measured until then is in {benchmark.folder}", err=True)
        sys.exit(130)
    if as_json:
        print_json(results)
        return
    click.echo("\nin brackets: quartiles over the rounds", nl=False)
    click.echo(f"; x: {RATIO_MEANS}" if any(row.ratio for row in benchmark.results) else "")
    echo(f"{threads} threads; {in_one_line(benchmark.machine)}")
    echo(f"all in {benchmark.folder}")


def _show_profile(target: Target, threads: int, as_json: bool) -> None:
    from funcnn.experiments.bench.profile import profile_step

    profile = profile_step(target, threads)
    if as_json:
        print_json(profile.as_data())
    else:
        click.echo(str(profile))
