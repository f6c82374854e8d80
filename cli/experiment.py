"""`funcnn experiment`: the labs, each from data to report with one command."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import click
from funcnn.cli.options import json_option, print_json, threads_option
from funcnn.experiments.lab import Lab
from funcnn.experiments.lab_run import LabRun, Watch
from funcnn.experiments.run_folder import EpochRow

import funcnn as fn


class _Bar(Watch):
    """A bar over all runs if stderr is a terminal; a line for each, and for the lab's epochs."""

    def __init__(self, lab: Lab, *, bar: bool, lines: bool) -> None:
        self._lab, self._bar, self._lines, self._main = lab, bar, lines, False

    def run(self, name: str, number: int, runs: int, main: bool) -> None:
        from tqdm import tqdm

        self.close()
        self._main = main
        self._tqdm = tqdm(
            desc=f"{number}/{runs} {name}",
            unit=" steps",
            leave=False,
            disable=None if self._bar else True,  # None: no bar unless stderr is a terminal
            dynamic_ncols=True,
            mininterval=0.2,
        )

    def begin(self, steps: int, done: int) -> None:
        self._tqdm.reset(steps)
        self._tqdm.update(done)

    def step(self, loss: float) -> None:
        self._tqdm.update()

    def row(self, row: EpochRow, epochs: int) -> None:
        every = max(1, epochs // 10) if epochs > 100 else 1
        if self._lines and self._main and (row.epoch % every == 0 or row.epoch == epochs):
            self._tqdm.write(self._lab.epoch_line(row))

    def result(self, name: str, summary: dict[str, Any]) -> None:
        self.close()
        if self._lines:
            accuracy = summary["test_accuracy"]
            tested = "no test labels" if accuracy is None else f"test accuracy {accuracy:.2%}"
            click.echo(f"{name}: {tested}, {summary['seconds']:.1f} s")

    def close(self) -> None:
        if hasattr(self, "_tqdm"):
            self._tqdm.close()


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
    from funcnn.experiments.labs import LABS

    if as_json:
        print_json([{"name": lab.name, "title": lab.title} for lab in LABS.values()])
        return
    width = max(map(len, LABS))
    for lab in LABS.values():
        click.echo(f"{lab.name:{width}}  {lab.title}")


_quick_option = click.option(
    "--quick", is_flag=True, help="A small version in seconds; the report says so."
)
_out_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The experiment's folder. [default: runs/NAME, or runs/NAME-quick]",
)


@experiment.command()
@click.argument("name")
@_quick_option
@threads_option
@_out_option
@click.option("--quiet", is_flag=True, help="Only the result: no progress bar, no lines.")
@json_option
def run(
    name: str, quick: bool, threads: int | None, out: Path | None, quiet: bool, as_json: bool
) -> None:
    """Run an experiment to its end: what is finished already in its folder is used.

    \b
    Examples:
      funcnn experiment run points
      funcnn experiment run points --quick
    """
    from funcnn.experiments.labs import find_lab

    lab = find_lab(name)
    bar = _Bar(lab, bar=not quiet, lines=not quiet and not as_json)
    with fn.threads.use_threads(threads), contextlib.closing(bar):
        lab_run = LabRun.open(lab, quick, out)
        try:
            page = lab_run.finish(bar)
        except KeyboardInterrupt:
            bar.close()
            click.echo("stopped; what is finished is used when it runs again", err=True)
            sys.exit(130)
    _say_where(page, as_json)


@experiment.command()
@click.argument("name")
@_quick_option
@_out_option
@json_option
def report(name: str, quick: bool, out: Path | None, as_json: bool) -> None:
    """Write an experiment's report again from its recorded results, without training.

    \b
    Example:
      funcnn experiment report points
    """
    from funcnn.experiments.labs import find_lab

    page = LabRun.recorded(find_lab(name), quick, out).write_report()
    _say_where(page, as_json)


def _say_where(page: Path, as_json: bool) -> None:
    if as_json:
        print_json({"report": str(page), "pdf": str(page.with_suffix(".pdf"))})
    else:
        click.echo(f"report: {page} and {page.with_suffix('.pdf').name}")
