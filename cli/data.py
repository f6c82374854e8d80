"""`funcnn data`: which data sets there are, and what they look like."""

from pathlib import Path

import click
from funcnn.cli.options import json_option, print_json


@click.group()
def data() -> None:
    """The data sets: list them, look at one."""


@data.command("list")
@json_option
def list_sets(as_json: bool) -> None:
    """The data sets by name, and where each was found.

    \b
    Example:
      funcnn data list
    """
    from funcnn.experiments.gallery import list_datasets

    rows = list_datasets()
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(f"{row['name']:14} {row['title']}")
        click.echo(f"{'':14} {row['where'] or 'not found'}")


@data.command()
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="A new PNG file. [default: NAME.png]")
@json_option
def show(name: str, out: Path | None, as_json: bool) -> None:
    """Sizes and classes of a data set (a name, or a folder of IDX files), and a picture of it.

    \b
    Example:
      funcnn data show fashion-mnist --out fashion-mnist.png
    """
    from funcnn.experiments.gallery import show_dataset

    described = show_dataset(name, out or Path(f"{Path(name).resolve().name}.png"))
    if as_json:
        print_json(described)
        return
    for part in ("train", "test"):
        sizes = " x ".join(str(size) for size in described["input_shape"])
        click.echo(f"{part:5} {described[part]:,} inputs of {sizes}")
    for row in described["classes"]:
        click.echo(f"  {row['name']:14} {row['train']:>7,} train {row['test']:>7,} test")
    click.echo(f"picture: {described['picture']}")
