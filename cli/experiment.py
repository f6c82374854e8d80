"""`funcnn experiment`: the labs, each from data to report with one command."""

import contextlib
import shlex
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
from funcnn.experiments.labs.lab import Lab, Results
from funcnn.experiments.labs.run import LabRun, command
from funcnn.experiments.paths import RUNS

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
    "--quick", is_flag=True, help="A small version, a minute or two; the report says so."
)
_out_option = click.option(
    "--out",
    type=new_place,
    help="The experiment's folder; of several: the folder of theirs. "
    "[default: runs/NAME, or runs/NAME-quick]",
)
_names_argument = click.argument("names", nargs=-1, required=True, metavar="NAME...")


@experiment.command()
@_names_argument
@_quick_option
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    help="Runs of each setting with each backend. [default: 3, quick: 1; or as many as before]",
)
@click.option(
    "--main-only",
    is_flag=True,
    help="Only the networks that the lab asks for, without the runs that show what each choice "
    "changed; they may follow.",
)
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
    names: tuple[str, ...],
    quick: bool,
    seeds: int | None,
    main_only: bool,
    data: str | None,
    jobs: int | None,
    out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run an experiment, several, or all of them, to the end: what is finished is used.

    \b
    Examples:
      funcnn experiment run points
      funcnn experiment run emnist47 --data path/to/folder-of-train.csv
      funcnn experiment run mnist fashion --seeds 5
      funcnn experiment run all --quick
    """
    labs = _named(names)
    several = len(names) > 1 or _ALL in names
    if several and data is not None and not any(lab.on_emnist for lab in labs):
        have = f"{', '.join(lab.name for lab in labs)} have data of their own"
        raise InputError(f"--data {data}: {have}, leave it out")
    pages = []
    for lab in labs:
        bar = LabBar(lab, bar=not quiet, lines=not quiet and not as_json, live=jobs == 1)
        lab_data = data if lab.on_emnist or not several else None
        with contextlib.closing(bar), _going_on(lab, several):
            try:
                place = _place(out, lab, several)
                lab_run = LabRun.open(lab, quick, place, lab_data, seeds, main_only)
                if not quiet:
                    echo(_intention(lab_run, jobs), err=True)
                pages.append(lab_run.finish(bar, jobs))
            except KeyboardInterrupt:
                bar.close()
                click.echo("stopped; what is finished is used when it runs again", err=True)
                sys.exit(130)
            if as_json:
                continue
            if lab.closing is not None and not quiet:
                click.echo(lab.closing(lab_run.results))
            _say_where(pages[-1])
            if not quiet:
                _say_what_next(lab_run.results, pages[-1])
    _end(pages, labs, several, as_json)


def _intention(lab_run: LabRun, at_once: int | None) -> str:
    """What will be done, how long it takes, and that it may be stopped."""
    from funcnn.experiments.labs.estimate import seconds_of

    results, waiting = lab_run.results, lab_run.jobs()
    after = [] if results.measured else results.lab.measured_like(results)
    if not waiting and not after:
        return f"{results.lab.name}: all {len(results.planned())} runs are finished"
    at_once = at_once or fn.threads.available_cores()
    takes = ""
    if not results.quick:
        minutes = seconds_of(waiting, after, at_once) / 60
        takes = f", {'about ' if minutes >= 1 else 'less than '}{max(1, round(minutes))} min here"
    beside = f" and {len(after)} short ones for its report" if after else ""
    return (
        f"{results.lab.name}: {len(waiting)} runs{beside} in {results.path}, {at_once} at a "
        f"time{takes}; "
        "Ctrl-C is safe, and the same command goes on"
    )


def _say_what_next(results: Results, page: Path) -> None:
    """Which of the lab's rules hold, how to see the report, and how to hand it in."""
    from funcnn.experiments.hand_in.deliverables import HAND_INS
    from funcnn.experiments.hand_in.floors import of_record

    for verdict in of_record(results):
        echo(f"{'holds' if verdict.holds else 'does not hold'}: {verdict}")
    echo(f"open it: {page.resolve().as_uri()}")
    lab = results.lab
    if lab.name not in HAND_INS:
        return
    if results.quick or results.main_only:
        part = "a quick version" if results.quick else "a report of the main runs alone"
        again = command("run", lab, False, None if results.quick else results.path)
        echo(f"{part} cannot be handed in: {again}")
        return
    words = ["funcnn experiment submit", lab.name, "--student-id ID --name NAME"]
    words += ["--experiment", shlex.quote(str(results.path))] * (page.parent != RUNS / lab.name)
    echo(f"hand it in: {' '.join(words)}")


@experiment.command()
@_names_argument
@_quick_option
@_out_option
@json_option
def report(names: tuple[str, ...], quick: bool, out: Path | None, as_json: bool) -> None:
    """Write an experiment's report again from its recorded results, without training.

    \b
    Example:
      funcnn experiment report points
    """
    labs = _named(names)
    several = len(names) > 1 or _ALL in names
    pages = []
    for lab in labs:
        with _going_on(lab, several):
            pages.append(LabRun.recorded(lab, quick, _place(out, lab, several)).write_report())
            if not as_json:
                _say_where(pages[-1])
    _end(pages, labs, several, as_json)


@contextlib.contextmanager
def _going_on(lab: Lab, several: bool) -> Iterator[None]:
    """Of several experiments, one that cannot be done is a line, and the next one's turn."""
    try:
        yield
    except (InputError, RunStoppedError, fn.SnapshotError, OSError) as error:
        if not several:
            raise
        message = str(error)
        echo(f"Error: {message if lab.name in message else f'{lab.name}: {message}'}", err=True)


def _end(pages: Sequence[Path], labs: Sequence[Lab], several: bool, as_json: bool) -> None:
    """Print the places as JSON; exit 1 if a report is missing."""
    if as_json:
        places = [{"report": str(page), "pdf": str(page.with_suffix(".pdf"))} for page in pages]
        print_json(places if several else places[0])
    if len(pages) < len(labs):
        sys.exit(1)


def _named(names: Sequence[str]) -> list[Lab]:
    from funcnn.experiments.labs.registry import LABS, find_lab

    named = [find_lab(name) for name in dict.fromkeys(names) if name != _ALL]
    return list(LABS.values()) if _ALL in names else named


def _place(out: Path | None, lab: Lab, several: bool) -> Path | None:
    return out / lab.name if out and several else out


def _say_where(page: Path) -> None:
    echo(f"report: {page} and {page.with_suffix('.pdf').name}")


experiment.add_command(submit)
experiment.add_command(notebook)
