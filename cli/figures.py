"""`funcnn figure`: figures of what the library has and of what runs gave."""

from pathlib import Path

import click

from funcnn.cli.new_place import new_place
from funcnn.cli.options import echo


@click.group()
def figure() -> None:
    """Figures: the activations, the augmentations, the curves of several runs."""


@figure.command()
@click.option(
    "--out",
    type=new_place,
    default="activations.png",
    help="A new PNG file. [default: activations.png]",
)
def activations(out: Path) -> None:
    """Every activation and its derivative, a panel each.

    \b
    Example:
      funcnn figure activations --out activations.png
    """
    from funcnn.experiments.training.figures import draw_activations

    draw_activations(out)
    echo(f"figure: {out}")


@figure.command()
@click.option(
    "--out",
    type=new_place,
    default="augmentations.png",
    help="A new PNG file. [default: augmentations.png]",
)
def augmentations(out: Path) -> None:
    """What each augmentation makes of an article of clothing and of a digit, in several draws.

    \b
    Example:
      funcnn figure augmentations --out augmentations.png
    """
    from funcnn.experiments.training.figures import draw_augmentations

    draw_augmentations(out)
    echo(f"figure: {out}")


@figure.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=new_place,
    default="curves.png",
    help="A new PNG file. [default: curves.png]",
)
def curves(runs: tuple[Path, ...], out: Path) -> None:
    """Loss and accuracy over epochs of several runs, on the validation set where there is one.

    Each run is called by the settings that tell the runs apart.

    \b
    Example:
      funcnn figure curves runs/mlp3-mnist-001 runs/mlp3-mnist-002 --out rates.png
    """
    from funcnn.experiments.training.figures import draw_curves
    from funcnn.experiments.training.run_folder import RunFolder

    draw_curves([RunFolder.open(run) for run in runs], out)
    echo(f"figure: {out}")
