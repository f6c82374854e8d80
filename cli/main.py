"""The command group, and the one place where errors of the user become one line."""

from typing import Any

import click
from funcnn.cli.data import data
from funcnn.cli.models import check, evaluate, inspect, predict
from funcnn.cli.train import train
from funcnn.experiments.errors import InputError, RunStoppedError

import funcnn as fn


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (InputError, RunStoppedError, fn.SnapshotError) as error:
            raise click.ClickException(str(error)) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{where}{error.strerror or error}") from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(fn.__version__, prog_name="funcnn")
def main() -> None:
    """Neural networks of pure functions, in NumPy: train, look inside, check the gradients.

    \b
    Example:
      funcnn train --arch mlp3
    """


for command in (train, evaluate, predict, inspect, check, data):
    main.add_command(command)
