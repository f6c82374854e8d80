"""`funcnn export` and `funcnn import`: weights to other libraries, and back."""

from pathlib import Path
from typing import Any

import click

from funcnn.cli.network import network_options, own_network, run_model_option
from funcnn.cli.new_place import new_place, out_option
from funcnn.cli.options import (
    echo,
    given,
    json_option,
    print_json,
    run_argument,
    setting_option,
    setting_options,
)
from funcnn.experiments.errors import InputError
from funcnn.experiments.export.models import FORMS, export_model, import_weights
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.references import read_own
from funcnn.experiments.tasks.sizes import usual_sizes


@click.command()
@run_argument
@run_model_option
@click.option("--to", "form", required=True, type=click.Choice(FORMS), help="The form to write.")
@click.option("--out", type=new_place, help="A new file. [default: beside the params]")
@json_option
def export(run: Path, model: str | None, form: str, out: Path | None, as_json: bool) -> None:
    """Write a model, by a run's folder or a snapshot file, for another library.

    pt is a state_dict for PyTorch; the definition of the module that it fits is printed.
    safetensors has the same tensors. onnx is the whole network, which takes normalised inputs; the
    normalisation is in its metadata.

    \b
    Example:
      funcnn export runs/mlp3-fashion-mnist-001 --to pt
    """
    written = export_model(run, form, out, None if model is None else read_own(model))
    if as_json:
        print_json(written)
        return
    echo(f"{written['parameters']:,} parameters in {written['out']}", err=True)
    if "definition" in written:
        click.echo(written["definition"])
        load = f"model.load_state_dict(torch.load({written['out']!r}, weights_only=True))"
        echo(f"load them with: {load}", err=True)


def _parse_renames(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> list[tuple[str, str]]:
    pairs = [value.split("=") for value in values]
    for value, pair in zip(values, pairs, strict=True):
        if len(pair) != 2 or not pair[0]:
            raise click.BadParameter(f"give OLD=NEW, such as features.0=0, not {value!r}")
    return [(old, new) for old, new in pairs]


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@setting_option("arch", "The network that they are of; or give --model.")
@network_options
@setting_options("channels", "kernel_size", "hidden", "activation", "dropout")
@click.option(
    "--prefix",
    default="",
    help="What all names in FILE begin with, to be taken off. [default: nothing]",
)
@click.option(
    "--map",
    "renames",
    metavar="OLD=NEW",
    multiple=True,
    callback=_parse_renames,
    help="Rename a tensor, or all whose names begin with OLD; may be given again. [default: none]",
)
@setting_option("data", "The data set, as for train, that it was trained with.")
@setting_options("val_size", "split", "seed")
@out_option
@json_option
def import_(
    file: Path,
    prefix: str,
    renames: list[tuple[str, str]],
    out: Path | None,
    as_json: bool,
    model: str | None,
    sets: dict[str, str],
    **settings: Any,
) -> None:
    """Make a run of weights from another library: a .pt (a state_dict) or .safetensors FILE.

    Their names and shapes must be those that export writes; --prefix and --map change names first.
    The run can be evaluated, predict, and be exported again.

    \b
    Example:
      funcnn import net.pt --arch mlp3 --data fashion-mnist --out runs/imported
    """
    own, options = own_network(model, sets, given(settings))
    if "arch" not in options:
        raise InputError("give the network that they are of, --arch or --model")
    # Nothing is trained, so that the size of a batch may be any.
    usual = usual_sizes({*options, "batch_size"})
    made = import_weights(file, RunConfig.resolve(options, own), out, usual, prefix, renames)
    if as_json:
        print_json(made)
    else:
        echo(f"{made['parameters']:,} parameters in {made['run']}")
