"""Where a result is to be written, as the value of an option."""

from pathlib import Path
from typing import Any

import click


class _NewPlace(click.Path):
    """A file or folder to make, and never `-`, which elsewhere stands for the output."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The path. Raises `click.BadParameter`."""
        if value == "-":
            self.fail("-: give a name; a result is never written to the output", param, ctx)
        return super().convert(value, param, ctx)


new_place = _NewPlace(path_type=Path)
out_option = click.option(
    "--out", type=new_place, help="A new folder. [default: the next under runs/]"
)
