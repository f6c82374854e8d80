"""`funcnn compare`."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from funcnn.cli.network import network_options, own_network
from funcnn.cli.new_place import out_option
from funcnn.cli.options import (
    echo,
    every_setting,
    given,
    json_option,
    print_json,
    say_chosen,
    threads_option,
)
from funcnn.experiments.compare.comparison import MODES, SEEDS, STEPS, Comparison
from funcnn.experiments.compare.progress import CompareBar
from funcnn.experiments.compare.report import tables
from funcnn.experiments.data.provenance import expected_data, say_what_was_read
from funcnn.experiments.errors import InputError, quoted
from funcnn.experiments.reports.markdown import pipe_table
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.settings import dashed
from funcnn.experiments.tasks.sizes import usual_sizes
from funcnn.experiments.training.run_folder import RunFolder


@click.command()
@click.argument("run", required=False, type=click.Path(path_type=Path))
@network_options
@every_setting
@click.option(
    "--mode",
    type=click.Choice(MODES),
    help="free: each side with its own initialisation and order; lockstep: both with the same "
    "params, batches and masks, step by step. [default: both]",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    help=f"Free runs of each side, from --seed on. [default: {SEEDS}]",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help=f"Steps in lockstep. [default: {STEPS}, or the whole run if that is shorter]",
)
@threads_option
@out_option
@click.option(
    "--resume",
    "resume_run",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Go on with the comparison in this folder; what is finished in it is used.",
)
@json_option
@click.option("--quiet", is_flag=True, help="Only the result: no progress bar, no runs.")
def compare(
    run: Path | None,
    model: str | None,
    sets: dict[str, str],
    mode: str | None,
    seeds: int | None,
    steps: int | None,
    threads: int | None,
    out: Path | None,
    resume_run: Path | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """The same network in NumPy and in PyTorch: what differs, and why.

    The settings are those of RUN, an existing run's folder, or of the options. The report, its
    figures and numbers, and every run go to a folder.

    \b
    Examples:
      funcnn compare --arch mlp3 --data fashion-mnist
      funcnn compare --arch cnn3 --mode lockstep --steps 500
      funcnn compare --model mine.py:cnn --set width=8
      funcnn compare runs/mlp3-fashion-mnist-001 --seeds 5
      funcnn compare --resume runs/compare-mlp3-fashion-mnist-001
    """
    own, options = own_network(model, sets, given(settings))
    chosen = given({"seeds": seeds, "steps": steps, "threads": threads, "out": out})
    if resume_run is not None:
        also = [*given(settings), *sets, *given({"mode": mode}), *chosen, *(["RUN"] if run else [])]
        _expect_none(also, f"--resume takes its settings from {resume_run}")
        comparison = Comparison.resume(resume_run, own)
    else:
        if run is not None:
            _expect_none([*given(settings), *sets], f"the settings are those of {run}")
            if run.suffix.lower() == ".npz" and run.is_file():
                raise InputError(
                    f"{run} is a snapshot, and compare trains anew: give the folder of a run, or "
                    "settings, as --arch mlp3 --data fashion-mnist"
                )
            config, usual = RunFolder.open(run, own).read_config(), []
            expected = expected_data(run)
            if expected is None:
                say_what_was_read(run, None, None)
            chosen["expected"] = expected
        else:
            config = RunConfig.resolve({"arch": "mlp3"} | options, own)
            usual = usual_sizes(options)
        for name, needed in (("seeds", "free"), ("steps", "lockstep")):
            if name in chosen and mode not in (None, needed):
                raise InputError(f"--{name} is for --mode {needed}: leave it out")
        modes = MODES if mode is None else (mode,)
        comparison = Comparison.start(config, modes, **chosen, usual=usual)
        say_chosen([config], [comparison.config], quiet or as_json)

    bar = CompareBar(bar=not quiet, lines=not quiet and not as_json)
    try:
        with contextlib.closing(bar):
            record = comparison.finish(bar)
    except KeyboardInterrupt:
        folder = quoted(comparison.folder)
        echo(
            f"stopped; what is finished is kept; go on with: funcnn compare --resume {folder}",
            err=True,
        )
        sys.exit(130)
    if as_json:
        print_json(record)
        return
    for part in (*map(pipe_table, tables(record)), *record["statements"]):
        click.echo(f"\n{part}")
    click.echo()
    echo(f"report: {comparison.report}")


def _expect_none(names: list[str], reason: str) -> None:
    if names:
        name = names[0] if names[0] == "RUN" else f"--{dashed(names[0])}"
        raise InputError(f"{reason}: leave out {name}")
