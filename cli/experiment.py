"""`funcnn experiment`: the labs, each from data to report with one command."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

import funcnn as fn
from funcnn.cli.new_place import new_place
from funcnn.cli.options import echo, json_option, print_json
from funcnn.cli.progress import LabBar
from funcnn.cli.submit import notebook, submit
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.labs.lab import Lab
from funcnn.experiments.labs.run import LabRun

_ALL = "all"


@click.group()
def experiment() -> None:
    """The labs: train all that one asks for, on both sides, and write its report.

    \b
    Example:
      funcnn experiment run points
    """


@experiment.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Which experiments there are.

    \b
    Example:
      funcnn experiment list
    """
    from funcnn.experiments.labs.registry import LABS

    if as_json:
        print_json([{"name": lab.name, "title": lab.title} for lab in LABS.values()])
        return
    width = max(map(len, LABS))
    for lab in LABS.values():
        click.echo(f"{lab.name:{width}}  {lab.title}")


_quick_option = click.option(
    "--quick", is_flag=True, help="A small version, a minute or less; the report says so."
)
_out_option = click.option(
    "--out",
    type=new_place,
    help="The experiment's folder; of all: the folder of theirs. "
    "[default: runs/NAME, or runs/NAME-quick]",
)
_name_argument = click.argument("name")


@experiment.command()
@_name_argument
@_quick_option
@click.option(
    "--data",
    help="Where EMNIST with 47 classes is: a path as of funcnn train, or a name. "
    "[default: emnist47 in a data folder, or the official files where they are]",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Runs at once, each with one thread. [default: one for each core]",
)
@_out_option
@click.option("--quiet", is_flag=True, help="Only the result: no progress bar, no lines.")
@json_option
def run(
    name: str,
    quick: bool,
    data: str | None,
    jobs: int | None,
    out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run an experiment, or all of them, to the end: what is finished in its folder is used.

    \b
    Examples:
      funcnn experiment run points
      funcnn experiment run emnist47 --data path/to/folder-of-train.csv
      funcnn experiment run all --quick
    """
    labs = _named(name)
    pages = []
    for lab in labs:
        bar = LabBar(lab, bar=not quiet, lines=not quiet and not as_json, live=jobs == 1)
        lab_data = data if lab.on_emnist or name != _ALL else None
        with contextlib.closing(bar), _going_on(lab, name):
            try:
                lab_run = LabRun.open(lab, quick, _place(out, lab, name), lab_data)
                pages.append(lab_run.finish(bar, jobs))
            except KeyboardInterrupt:
                bar.close()
                click.echo("stopped; what is finished is used when it runs again", err=True)
                sys.exit(130)
            if lab.closing is not None and not quiet and not as_json:
                click.echo(lab.closing(lab_run.results))
            if not as_json:
                _say_where(pages[-1])
    _end(pages, labs, name, as_json)


@experiment.command()
@_name_argument
@_quick_option
@_out_option
@json_option
def report(name: str, quick: bool, out: Path | None, as_json: bool) -> None:
    """Write an experiment's report again from its recorded results, without training.

    \b
    Example:
      funcnn experiment report points
    """
    labs = _named(name)
    pages = []
    for lab in labs:
        with _going_on(lab, name):
            pages.append(LabRun.recorded(lab, quick, _place(out, lab, name)).write_report())
            if not as_json:
                _say_where(pages[-1])
    _end(pages, labs, name, as_json)


@contextlib.contextmanager
def _going_on(lab: Lab, name: str) -> Iterator[None]:
    """Of all experiments, one that cannot be done is a line, and the next one's turn."""
    try:
        yield
    except (InputError, RunStoppedError, fn.SnapshotError, OSError) as error:
        if name != _ALL:
            raise
        message = str(error)
        echo(f"Error: {message if lab.name in message else f'{lab.name}: {message}'}", err=True)


def _end(pages: Sequence[Path], labs: Sequence[Lab], name: str, as_json: bool) -> None:
    """Print the places as JSON; exit 1 if a report is missing."""
    if as_json:
        places = [{"report": str(page), "pdf": str(page.with_suffix(".pdf"))} for page in pages]
        print_json(places if name == _ALL else places[0])
    if len(pages) < len(labs):
        sys.exit(1)


def _named(name: str) -> list[Lab]:
    from funcnn.experiments.labs.registry import LABS, find_lab

    return list(LABS.values()) if name == _ALL else [find_lab(name)]


def _place(out: Path | None, lab: Lab, name: str) -> Path | None:
    return out / lab.name if out and name == _ALL else out


def _say_where(page: Path) -> None:
    echo(f"report: {page} and {page.with_suffix('.pdf').name}")


experiment.add_command(submit)
experiment.add_command(notebook)
