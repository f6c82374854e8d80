"""The command group, and the one place where errors of the user become one line."""

import contextlib
import ctypes
import io
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import click

import funcnn as fn
from funcnn.cli.bench import bench
from funcnn.cli.compare import compare
from funcnn.cli.data import data
from funcnn.cli.experiment import experiment
from funcnn.cli.export import export, import_
from funcnn.cli.figures import figure
from funcnn.cli.grade import grade
from funcnn.cli.models import check, evaluate, inspect, predict
from funcnn.cli.notes import show_notes
from funcnn.cli.range_test import range_test
from funcnn.cli.sweep import sweep
from funcnn.cli.train import train
from funcnn.experiments.errors import InputError, RunStoppedError, printable, quoted
from funcnn.experiments.tasks.executed import place_of
from funcnn.experiments.tasks.own_models import in_words
from funcnn.experiments.tasks.settings import is_reference
from funcnn.experiments.training.mpi_ranks import in_turn

_NO_THREAD = "can't start new thread"
"""All that Python's `RuntimeError` of it can be told by."""


class _UsageLine(click.ClickException):
    exit_code = 2


@contextlib.contextmanager
def _errors_as_one_line(arguments: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:  # not an error, but the help
        raise
    except click.UsageError as error:  # without click's usage text, which hides the point
        message = " ".join(error.format_message().split()) + _meant(error, arguments)
        raise _line(message, arguments, _UsageLine) from None
    except (InputError, RunStoppedError, fn.SnapshotError) as error:
        raise _line(error, arguments) from None
    except BrokenPipeError:  # the reader of our output left; click knows what to do
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        if _is_of_output(error):
            _forget_output()
            where = "the output cannot be written: "
        raise _line(f"{where}{error.strerror or error}", arguments) from None
    except KeyboardInterrupt:  # where no command has more to say
        click.echo("stopped", err=True)
        raise click.exceptions.Exit(130) from None
    except Exception as error:
        if str(error) == _NO_THREAD:
            raise _line(f"{error}: this user has as many as may run", arguments) from None
        if (place := place_of(error)) is None:
            raise
        raise _line(f"{place}: {in_words(error)}", arguments) from None  # of a user's own network


@contextlib.contextmanager
def _ctrl_c_is_heard() -> Iterator[None]:
    """Have a Ctrl-C come again that came while an object was destroyed, where Python drops it.

    Files of zip say so in a `__del__` of theirs, and a run writes two after each recorded epoch.
    Who is asked to end by SIGTERM, as by a system that goes down, ends in the same way.
    """
    before, main_thread = sys.unraisablehook, threading.get_ident()
    asked = threading.current_thread() is threading.main_thread()
    asked = asked and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if asked:
        signal.signal(signal.SIGTERM, signal.default_int_handler)

    def again() -> None:
        # Whatever a handler made of the first: MPI's ignores a second.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(main_thread), ctypes.py_object(KeyboardInterrupt)
        )

    def hear(unraisable: Any) -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            threading.Timer(0.01, again).start()  # not at once: it would be dropped here too
        else:
            before(unraisable)

    sys.unraisablehook = hear
    try:
        yield
    finally:
        sys.unraisablehook = before
        if asked:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _meant(error: click.UsageError, arguments: Sequence[str]) -> str:
    """What to type instead where a value stands without its option, or an option has one dash."""
    options = [] if error.ctx is None else error.ctx.command.params
    if isinstance(error, click.NoSuchOption) and not error.option_name.startswith("--"):
        typed = [f"-{word.partition('=')[0]}" for word in arguments]
        known = [name for option in options for name in option.opts if name in typed]
        return f" Did you mean {known[0]}?" if known else ""
    extra = re.search(r"unexpected extra arguments? \((.*)\)$", error.format_message())
    if extra is None:
        return ""
    if any(option.name == "data" and option.multiple for option in options):  # of pics/*.jpg
        return ": did you mean the folder that they are in? Or give --data before each"
    if "extra arguments" in extra[0]:
        return ""
    names = {
        option.opts[0]: getattr(option.type, "choices", ())
        for option in options
        if isinstance(option, click.Option)
    }
    fitting = [name for name, choices in names.items() if extra[1] in choices]
    fitting += ["--model"] if "--model" in names and is_reference(extra[1]) else []
    fitting += ["--data"] if "--data" in names else []
    return f": did you mean {fitting[0]} {quoted(extra[1])}?" if fitting else ""


def _line(
    message: object,
    arguments: Sequence[str],
    kind: type[click.ClickException] = click.ClickException,
) -> click.ClickException:
    return kind(in_turn(printable(message), arguments))


def _is_of_output(error: OSError) -> bool:
    """Whether it was raised where a command prints: by `click.echo`, or as a line above a bar."""
    from funcnn.experiments.training.progress import Bar

    printing = {click.echo.__code__, Bar.note.__code__}
    return any(frame.f_code in printing for frame, _ in traceback.walk_tb(error.__traceback__))


def _forget_output() -> None:
    """Have Python's end not try once more to write what is left."""
    with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _print_whatever() -> None:
    """Have what an output's code page lacks printed as an escape: names are in any language.

    A command whose stderr is closed has nobody to tell, and goes on.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


class _Group(click.Group):
    def make_context(
        self, info_name: str | None, args: list[str], *rest: Any, **keywords: Any
    ) -> click.Context:
        _print_whatever()
        show_notes()
        with _errors_as_one_line(args):
            return super().make_context(info_name, args, *rest, **keywords)

    def invoke(self, ctx: click.Context) -> Any:
        # Of the command, as click has not begun with them.
        with _errors_as_one_line(ctx.args), _ctrl_c_is_heard():
            return super().invoke(ctx)


def _print_version(ctx: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if not asked:
        return
    click.echo(f"funcnn, version {fn.__version__}")
    if ctx.params["verbose"]:
        from funcnn.experiments.bench.peers import PACKAGES
        from funcnn.experiments.system.machine import (
            describe_machine,
            in_one_line,
            recorded_steps,
            same_bits,
        )

        for line in (in_one_line(describe_machine(PACKAGES)), *same_bits(), recorded_steps()):
            click.echo(line)
    ctx.exit()


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--verbose",
    is_flag=True,
    is_eager=True,  # so that --version knows of it
    help="With --version: also of what it works with, when its results have the same bits, and how "
    "recorded steps are replayed.",
)
@click.option(
    "--version", is_flag=True, expose_value=False, callback=_print_version, help="Say which it is."
)
def main(verbose: bool) -> None:
    """Neural networks of pure functions, in NumPy: train, look inside, check the gradients.

    \b
    Example:
      funcnn train --arch mlp3
    """
    if verbose:
        raise click.UsageError("--verbose goes with --version: funcnn --version --verbose")


for command in (
    train,
    compare,
    evaluate,
    predict,
    inspect,
    export,
    import_,
    check,
    range_test,
    bench,
    experiment,
    grade,
    sweep,
    data,
    figure,
):
    main.add_command(command)
