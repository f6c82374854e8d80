"""`funcnn train`."""

import contextlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

import funcnn as fn
from funcnn.cli.network import network_options, own_network
from funcnn.cli.new_place import out_option
from funcnn.cli.options import (
    allow_changed_option,
    echo,
    every_setting,
    given,
    json_option,
    print_json,
    say_chosen,
    setting_option,
    threads_option,
)
from funcnn.experiments.data.emnist47 import EMNIST47, find_emnist, missing_emnist
from funcnn.experiments.errors import InputError, quoted
from funcnn.experiments.tasks.changes import changed, read_settings
from funcnn.experiments.tasks.config import SETTINGS, RunConfig
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.tasks.recipes import RECIPES
from funcnn.experiments.tasks.settings import as_option, dashed
from funcnn.experiments.tasks.sizes import usual_sizes
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.learner import Learner, expect_init_used, make_learner
from funcnn.experiments.training.mpi_ranks import Ranks, expect_alone
from funcnn.experiments.training.progress import TrainBar
from funcnn.experiments.training.run import TrainingRun
from funcnn.experiments.training.run_folder import RunFolder


@click.command()
@network_options
@every_setting
@setting_option("backend")
@threads_option
@click.option(
    "--no-compile",
    is_flag=True,
    help="Run each step as it is written, in the place of recording the first and replaying it. "
    "Same result, to the bit; slower.",
)
@out_option
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="Settings of an earlier run (its config.json); other options change them.",
)
@click.option(
    "--recipe",
    type=click.Choice(list(RECIPES)),
    help="Settings that were chosen for accuracy; other options change them. [default: none]",
)
@click.option("--show", is_flag=True, help="Print the settings, and train nothing.")
@click.option(
    "--resume",
    "resume_run",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Go on with the run in this folder, with its settings; with --epochs to another number "
    "of them, even if it is finished.",
)
@allow_changed_option
@click.option(
    "--distributed",
    is_flag=True,
    help="Share each batch among the processes that mpiexec started: mpiexec -n 4 funcnn train "
    "--distributed. Same result to rounding.",
)
@json_option
@click.option("--quiet", is_flag=True, help="Only the result: no progress bar, no epochs.")
def train(
    model: str | None,
    sets: dict[str, str],
    threads: int | None,
    no_compile: bool,
    out: Path | None,
    config_file: Path | None,
    recipe: str | None,
    show: bool,
    resume_run: Path | None,
    allow_changed_data: bool,
    distributed: bool,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Train a network, and write what came out to a folder.

    \b
    Examples:
      funcnn train --arch mlp3
      funcnn train --arch mlp2 --data mnist --hidden 64 --activation tanh
      funcnn train --arch points --data points-linear
      funcnn train --model mine.py:cnn --set width=64
      funcnn train --recipe fashion-mlp --show
      funcnn train --resume runs/mlp3-fashion-mnist-001
      funcnn train --resume runs/mlp3-fashion-mnist-001 --epochs 60
    """
    if show:
        for name, given_too in (("distributed", distributed), ("out", out)):
            if given_too:
                raise InputError(f"--show trains nothing: leave out --{name}")
    if not distributed:
        expect_alone()
    ranks = Ranks.join() if distributed else None
    if ranks is not None:
        threads = threads or ranks.threads
        if ranks.rank > 0:
            with fn.threads.use_threads(threads):
                ranks.follow()
            return
    learner_of: Callable[[Task], Learner] = partial(make_learner, compile_step=not no_compile)
    if ranks is not None:
        learner_of = ranks.learner
    if resume_run is not None and sets:
        wrong = next(iter(sets))
        raise InputError(f"--resume takes its settings from {resume_run}: leave out --set {wrong}")
    own, options = own_network(model, sets, given(settings))
    if resume_run is not None:
        options.pop("arch" if own else "", None)
        also = [*options, *given({"out": out, "config": config_file, "recipe": recipe})]
        also += ["show"] * show
        also = [name for name in also if name != "epochs"]
        if also:
            name = dashed(also[0])
            raise InputError(f"--resume takes its settings from {resume_run}: leave out --{name}")
    elif allow_changed_data:
        raise InputError("--allow-changed-data is for --resume: a new run records what it reads")

    bar = TrainBar(bar=not quiet, lines=not quiet and not as_json)
    with fn.threads.use_threads(threads), contextlib.closing(bar):
        if resume_run is not None:
            folder = RunFolder.open(resume_run, own)
            if no_compile:
                _expect_numpy(folder.read_config())
            run = TrainingRun.resume(
                folder,
                learner_of,
                options.get("epochs"),
                allow_changed=allow_changed_data,
            )
            if run.extension is not None and not quiet:
                echo(run.extension, err=as_json)
        else:
            values = _values(config_file, recipe, options, own)
            config = RunConfig.resolve(values, own)
            expect_init_used(options, [config])
            if show:
                _show(config, recipe, as_json)
                return
            if no_compile:
                _expect_numpy(config)
            if recipe is not None and config.data == EMNIST47 and find_emnist() is None:
                raise missing_emnist(f"--recipe {recipe}")
            # Few examples make a recipe's sizes smaller too, but none that was given.
            usual = usual_sizes(options if recipe is not None else values)
            run = TrainingRun.start(config, out, learner_of, usual=usual)
            say_chosen([config], [run.config], quiet or as_json)
        try:
            summary = run.finish(bar)
        except KeyboardInterrupt:
            bar.close()
            if run.folder.summary.exists():
                echo(f"stopped while it drew; the run is finished: {run.folder}", err=True)
                sys.exit(130)
            echo(
                f"stopped after epoch {run.epochs_done}, which is kept in {run.folder.last}; "
                f"go on with: funcnn train --resume {quoted(run.folder)}",
                err=True,
            )
            sys.exit(130)
    if ranks is not None:
        ranks.close()
    if as_json:
        print_json({"run": str(run.folder)} | summary)
        return
    if summary.get("stopped_early"):
        click.echo(
            f"stopped after epoch {summary['epochs']} of {run.config.epochs}: --patience "
            f"{run.config.patience} has seen no better validation accuracy"
        )
    if summary["test_accuracy"] is None:
        tested = (
            f"no test accuracy, for the {summary['test_examples']:,} test examples have no labels"
        )
    else:
        tested = (
            f"test accuracy {summary['test_accuracy']:.2%} on {summary['test_examples']:,} examples"
        )
    echo(
        f"{tested} ({summary['test_is']}), with the params of epoch {summary['snapshot_epoch']} "
        f"({summary['snapshot_is']})"
    )
    echo(f"{summary['parameters']:,} parameters, {summary['seconds']:.1f} s, all in {run.folder}")


def _values(
    config_file: Path | None, recipe: str | None, options: dict[str, Any], own: OwnModel | None
) -> dict[str, Any]:
    """The settings that a run begins with. Raises `InputError`."""
    if recipe is not None:
        for name, given_too in (("config", config_file), ("model", own)):
            if given_too is not None:
                raise InputError(
                    f"--recipe {recipe} has a network and settings: leave out --{name}"
                )
        settings = RECIPES[recipe].settings
        if settings["data"] == EMNIST47:
            settings = {**settings, "data": find_emnist() or EMNIST47}
        return changed(settings, options, f"--recipe {recipe}")
    if config_file is not None:
        return changed(read_settings(config_file, own), options, config_file, own)
    return {"arch": "mlp3"} | options


def _show(config: RunConfig, recipe: str | None, as_json: bool) -> None:
    """Print all settings, as a config file has them or as options, and what the recipe is for."""
    if as_json:
        print_json(config.as_data())
        return
    if recipe is not None:
        click.echo(f"{'recipe':16} {recipe}: {RECIPES[recipe].about}")
    for name, value in config.as_data().items():
        if name in SETTINGS:
            shown = SETTINGS[name].none if value is None else as_option(value)
            click.echo(f"{dashed(name):16} {shown}")
    for name, value in config.own_settings.items():
        click.echo(f"{'set':16} {name}={as_option(value)}")


def _expect_numpy(config: RunConfig) -> None:
    """Raise `InputError` if this run has no steps to record."""
    if config.backend != "numpy":
        raise InputError(f"--no-compile is for --backend numpy, not for {config.backend}")
