"""`funcnn sweep`."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from funcnn.cli.network import own_settings, own_values, set_option
from funcnn.cli.new_place import new_place
from funcnn.cli.options import (
    every_setting_but_arch,
    given,
    grid_option,
    json_option,
    print_json,
    say_chosen,
    setting_option,
)
from funcnn.cli.progress import SweepBar
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.sweep.plan import Plan, find_target, train_command
from funcnn.experiments.sweep.results import as_data, best_of, table
from funcnn.experiments.sweep.sweep import Processes, Sweep


@click.command()
@click.argument("target", is_eager=True)  # which settings a grid can have depends on it
@set_option
@grid_option
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    help="Runs of each point of the grid, from --seed on. [default: 1]",
)
@setting_option("backend", "What trains.")
@every_setting_but_arch
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Runs at once, which share the cores. [default: one for each core]",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Train on a Dask cluster (tcp://HOST:PORT), a thread for each run. [default: here]",
)
@click.option(
    "--out",
    type=new_place,
    help="The sweep's folder; what is finished in it is used. [default: runs/sweep-TARGET]",
)
@click.option("--quiet", is_flag=True, help="Only the result: no progress bar, no runs.")
@json_option
def sweep(
    target: str,
    sets: dict[str, str],
    grid: dict[str, tuple[Any, ...]],
    seeds: int,
    jobs: int | None,
    scheduler: str | None,
    out: Path | None,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train every combination of the settings in a grid, and compare what comes out.

    TARGET is an architecture, or a network of your own as FILE.py:NAME or package.module:NAME, or
    an experiment of funcnn experiment list: its main trials. Of a name of both (points) it is the
    architecture, and lab:points the experiment. Where there are several main trials, --grid
    trial=NAME picks some.

    Points are compared on the validation set, or where there is none by the accuracy in training;
    never on the test set, which is to be measured once, for what you chose.

    \b
    Examples:
      funcnn sweep points --grid lr=0.01,0.1,1 --grid hidden=4,8x8 --seeds 3
      funcnn sweep mlp3 --grid lr=0.01,0.1 --grid hidden=64,256x128 --epochs 5
      funcnn sweep lab:points --grid activation=tanh,relu --lr 0.1
      funcnn sweep mine.py:cnn --grid width=32,64 --epochs 5
      funcnn sweep mlp3 --grid lr=0.01,0.1 --scheduler tcp://192.168.1.2:8786
    """
    from funcnn.experiments.sweep.cluster import connect

    if scheduler is not None and jobs is not None:
        raise InputError("--jobs is for this machine: leave it out with --scheduler")
    own = find_target(target).own
    if own is not None:
        grid = {name: own_values(own, name, values) for name, values in grid.items()}
    plan = Plan.make(target, grid, given(settings) | own_settings(own, sets), seeds)
    bar = SweepBar(plan, bar=not quiet, lines=not quiet and not as_json)
    with contextlib.ExitStack() as closing:
        pool = Processes(jobs) if scheduler is None else closing.enter_context(connect(scheduler))
        closing.callback(bar.close)
        try:
            made = Sweep.open(plan, pool, out)
            usual, plan = [run.config for run in plan.runs], made.plan
            say_chosen(usual, [run.config for run in plan.runs], quiet or as_json)
            results, outcomes = made.finish(bar)
        except KeyboardInterrupt:
            bar.close()
            click.echo("stopped; what is finished is used when it runs again", err=True)
            sys.exit(130)
    best = best_of(results)
    if as_json:
        points, chosen = as_data(plan, results), as_data(plan, best)
        print_json({"sweep": str(made.path), "best": chosen, "points": points})
    else:
        click.echo(table(plan, results))
        for each in best:
            command = train_command(each.point.settings, plan.seeds[0])
            click.echo(f"\nbest: {each.point.label}\n  {command}")
        click.echo(
            f"\ntable: {made.table}" + (f", figure: {made.figure}" if made.figure.exists() else "")
        )
    failed = [name for name, outcome in outcomes.items() if outcome.error is not None]
    if failed:
        raise RunStoppedError(f"{len(failed)} of {len(outcomes)} runs failed: {', '.join(failed)}")
