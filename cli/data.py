"""`funcnn data`: which data sets there are, where they are, and what they look like."""

import sys
from pathlib import Path
from typing import Any

import click

from funcnn.cli.new_place import new_place
from funcnn.cli.options import echo, echo_path, json_option, print_json
from funcnn.experiments.errors import printable, sizes_text
from funcnn.experiments.reports.text_table import text_table

_PAIRS = 5  # that are listed


@click.group()
def data() -> None:
    """The data sets: list, find, download, verify them, look at one or for duplicates in it.

    $FUNCNN_DATA is the folder that is looked in first, for a folder of the data set's name;
    $FUNCNN_MIRROR is an address to download from instead of the publishers'.
    """


@data.command("list")
@json_option
def list_sets(as_json: bool) -> None:
    """The data sets by name, and where each was found.

    \b
    Example:
      funcnn data list
    """
    from funcnn.experiments.data.overview import list_datasets

    rows = list_datasets()
    if as_json:
        print_json(rows)
        return
    table = []
    for row in rows:
        if row["where"] is None:
            where = f"not found; funcnn data fetch {row['name']} "
            where += f"downloads {row['download_bytes'] / 1e6:.0f} MB"
        else:
            where = row["where"] + (f" ({row['bytes'] / 1e6:.0f} MB)" if row["bytes"] else "")
        table += [[row["name"], row["title"]], ["", printable(where)]]
    click.echo(text_table(table, left=2))


@data.command()
@click.argument("name")
@json_option
def path(name: str, as_json: bool) -> None:
    """Print the folder (of EMNIST, perhaps the zip file) that a data set is in.

    \b
    Example:
      funcnn data path mnist
    """
    from funcnn.experiments.data.overview import place_of

    place = place_of(name)
    if as_json:
        print_json({"name": name, "path": str(place)})
    else:
        echo_path(place)


@data.command()
@click.argument("name")
@click.option(
    "--to",
    metavar="DIR",
    type=new_place,
    help="Make the data set's folder in this one. [default: the user's cache]",
)
@json_option
def fetch(name: str, to: Path | None, as_json: bool) -> None:
    """Download a data set from its publisher (or $FUNCNN_MIRROR), verified; prints where it is.

    A download that was interrupted goes on where it stopped.

    \b
    Example:
      funcnn data fetch emnist-balanced --to data-sets
    """
    from funcnn.experiments.data.overview import fetch_dataset

    place = fetch_dataset(name, to)
    if as_json:
        print_json({"name": name, "path": str(place)})
    else:
        echo_path(place)


@data.command()
@click.argument("name", required=False)
@json_option
def verify(name: str | None, as_json: bool) -> None:
    """Compare the files of a data set, or of all that are found, with the published checksums.

    Exit 1 if one differs.

    \b
    Example:
      funcnn data verify fashion-mnist
    """
    from funcnn.experiments.data.overview import verify_datasets

    rows = verify_datasets(name)
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            echo(f"ok     {row['file']}" if row["ok"] else f"WRONG  {row['wrong']}")
    if not all(row["ok"] for row in rows):
        sys.exit(1)


@data.command()
@click.argument("name")
@click.option("--out", type=new_place, help="A new PNG file. [default: NAME.png]")
@json_option
def show(name: str, out: Path | None, as_json: bool) -> None:
    """Sizes and classes of a data set (a name or a path, as for train --data), and a picture of it.

    \b
    Example:
      funcnn data show fashion-mnist --out fashion-mnist.png
    """
    from funcnn.experiments.data.overview import show_dataset

    described = show_dataset(name, out or Path(f"{Path(name).resolve().name}.png"))
    if as_json:
        print_json(described)
        return
    parts = [part for part in ("train", "validation", "test") if part in described]
    sizes = sizes_text(described["input_shape"], " x ")
    for part in parts:
        click.echo(f"{part:5} {described[part]:,} inputs of {sizes}")
    click.echo(
        text_table(
            [
                [
                    *("", printable(row["name"])),
                    *(f"{row[part]:,} {part}" for part in parts if row[part] is not None),
                    "without labels" * (row["test"] is None),
                ]
                for row in described["classes"]
            ],
            left=2,
        )
    )
    echo(f"picture: {described['picture']}")


@data.command()
@click.argument("name")
@click.option("--out", type=new_place, help="A new PNG file. [default: NAME-duplicates.png]")
@json_option
def duplicates(name: str, out: Path | None, as_json: bool) -> None:
    """Which images of a data set are in it twice, as of the test set in the training set.

    The same bytes, or nearly the same picture; the picture shows the first of them, --json has all.

    \b
    Example:
      funcnn data duplicates fashion-mnist --out twice.png
    """
    from funcnn.experiments.data.duplicates import find_duplicates

    found = find_duplicates(name, out or Path(f"{Path(name).resolve().name}-duplicates.png"))
    if as_json:
        print_json(found)
        return
    sizes = sizes_text(found["input_shape"], " x ")
    for part in ("train", "validation", "test"):
        if part in found:
            click.echo(f"{part:5} {found[part]:,} inputs of {sizes}")
    nearly = f"nearly (nearer than {found['nearer_than']})"
    for where, kinds in found["found"].items():
        for kind, said in (("exact", "exactly"), ("near", nearly)):
            images, others, pairs = (kinds[kind][key] for key in ("images", "other_label", "pairs"))
            labels = f", {others:,} with another label" if others and images else ""
            click.echo(f"{where}, {said}: {images:,}{labels}")
            for pair in pairs[:_PAIRS]:
                click.echo(f"  {_described(pair, 'index')} as {_described(pair, 'twin')}")
            if images > _PAIRS:
                click.echo(f"  and {images - _PAIRS:,} more: --json")
    echo(f"picture: {found['picture'] or 'none, nothing is twice'}")


def _described(pair: dict[str, Any], which: str) -> str:
    label = pair["label" if which == "index" else "twin_label"]
    return f"{pair[which]:,}" + ("" if label is None else f" ({printable(label)})")
