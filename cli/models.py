"""`funcnn evaluate`, `predict`, `inspect` and `check`: what can be done with a model."""

import sys
from pathlib import Path
from typing import Any

import click

from funcnn.cli.network import network_named, run_model_option, set_option
from funcnn.cli.new_place import new_place
from funcnn.cli.options import (
    allow_changed_option,
    echo,
    given,
    json_option,
    print_json,
    run_argument,
    setting_options,
)
from funcnn.experiments.errors import printable
from funcnn.experiments.reports.text_table import text_table
from funcnn.experiments.tasks.references import read_own

_mirrored_option = click.option(
    "--mirrored",
    is_flag=True,
    help="The mean of the outputs for each image and for its mirror image.",
)


@click.command()
@run_argument
@click.option(
    "--data",
    metavar="DATA",
    help="Labelled data, as for train, whose test set is meant, or all of them where there is "
    "none. [default: what the run was trained with; a snapshot needs some]",
)
@_mirrored_option
@run_model_option
@allow_changed_option
@json_option
def evaluate(
    run: Path,
    model: str | None,
    data: str | None,
    mirrored: bool,
    allow_changed_data: bool,
    as_json: bool,
) -> None:
    """How good a model is: a run's on its validation and test sets, or any on other data.

    Loss and accuracy, the top-5 accuracy of more than 5 classes, and the expected calibration
    error (ECE); precision and recall of each class, on the test set if that has labels. Without
    --data they are those that the run was trained with, found where they were then, too. RUN: a
    run's folder, or with --data a snapshot, of a script for instance.

    \b
    Examples:
      funcnn evaluate runs/mlp3-fashion-mnist-001
      funcnn evaluate own.npz --data fashion-mnist
    """
    from funcnn.experiments.training.evaluation import evaluate_model

    own = None if model is None else read_own(model)
    results = evaluate_model(run, data, own, allow_changed=allow_changed_data, mirrored=mirrored)
    if as_json:
        print_json(results)
        return
    parts = [part for part in ("val", "test") if f"{part}_accuracy" in results]
    lines = [_evaluation(part, results) for part in parts]
    click.echo(text_table(lines, left=len(lines[0])))
    rows = zip(
        map(printable, results["class_names"]),
        *(
            [f"{value:.2%}" for value in results[f"{parts[-1]}_{score}"]]
            for score in ("precision", "recall")
        ),
        strict=True,
    )
    click.echo("\n" + text_table([("class", "precision", "recall"), *rows]))


def _evaluation(part: str, results: dict[str, Any]) -> list[str]:
    from funcnn.experiments.training.run_folder import loss_text

    name = "validation" if part == "val" else results.get("test_is", "test")
    cells = [name]
    if f"{part}_loss" in results:
        cells.append(f"loss {loss_text(results[f'{part}_loss'])}")
    for score, words, form in (
        ("accuracy", "accuracy", ".2%"),
        ("top_5_accuracy", "top-5", ".2%"),
        ("calibration_error", "ECE", ".4f"),
    ):
        if f"{part}_{score}" in results:
            cells.append(f"{words} {results[f'{part}_{score}']:{form}}")
    shown = {"loss", "accuracy", "top_5_accuracy", "calibration_error"}
    own = {name.removeprefix(f"{part}_"): value for name, value in results.items()}
    for name, value in own.items():
        if f"{part}_{name}" in results and name not in shown and isinstance(value, float):
            cells.append(f"{name} {value:.4f}")
    return [*cells, f"of {results[f'{part}_examples']:,} examples"]


@click.command()
@run_argument
@click.option(
    "--data",
    required=True,
    multiple=True,
    metavar="DATA",
    help="A picture, or a folder of pictures, of any size and colour (may be given again); a file "
    "of images (IDX, CSV without labels, ...); or a data set, as for train, whose test inputs are "
    "meant.",
)
@click.option(
    "--out",
    type=new_place,
    help="A new file: a CSV of the predictions, or of pictures a PNG of what the network saw. "
    "[default: of pictures the next runs/predicted-001.png; a data set needs a CSV]",
)
@click.option(
    "--probabilities",
    is_flag=True,
    help="In the CSV a column for each class, with its probability, instead of the class.",
)
@click.option(
    "--header",
    metavar="NAMES",
    help="Names of the CSV's two columns, as ImageId,Label; with --probabilities that of the ids "
    "alone. [default: Id,Category]",
)
@click.option(
    "--first-id",
    type=click.IntRange(0, 2**31 - 1),
    help="Id of the first input, from which they count. [default: the ids that a CSV file has, or "
    "from 0]",
)
@_mirrored_option
@run_model_option
@json_option
def predict(
    run: Path,
    model: str | None,
    data: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    **form: Any,
) -> None:
    """What a model takes every input for: of a data set as a CSV, of pictures with a figure.

    RUN: a run's folder, or a snapshot. The CSV's rows are `Id,Category`; where a CSV file has a
    column id, ImageId, ... these are the ids, else they count from 0. Pictures are made to be as
    those that the model was trained on; the figure shows them so, the five surest classes, and what
    in them speaks for the first one.

    \b
    Examples:
      funcnn predict runs/cnn3-mnist-001 --data seven.jpg
      funcnn predict runs/mlp3-fashion-mnist-001 --data fashion-mnist --out predicted.csv
      funcnn predict runs/mnist --data mnist --header ImageId,Label --first-id 1 --out k.csv
    """
    from funcnn.experiments.training.pictures import predict_pictures
    from funcnn.experiments.training.predictions import write_predictions

    own = None if model is None else read_own(model)
    if out is not None and out.suffix.lower() != ".png":
        result = write_predictions(run, data, out, own, **form)
        if as_json:
            print_json(result)
        else:
            echo(f"{result['rows']:,} predictions in {out}")
        return
    if of_table := [
        f"--{name.replace('_', '-')}" for name in given(form) if form[name] is not False
    ]:
        raise click.UsageError(f"{of_table[0]} is for a CSV: give --out predicted.csv")
    result = predict_pictures(run, data, out, own)
    if as_json:
        print_json(result)
        return
    click.echo(text_table([_prediction(picture) for picture in result["pictures"]], left=3))
    echo(f"figure: {result['out']}")


def _prediction(picture: dict[str, Any]) -> list[str]:
    from funcnn.experiments.figures.examples import in_percent

    values = picture.get("probabilities") or picture["scores"]
    texts = [
        f"{name} {in_percent(value) if 'probabilities' in picture else format(value, '.3g')}"
        for name, value in values.items()
    ]
    return [printable(text) for text in (picture["file"], texts[0], f"then {', '.join(texts[1:])}")]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@run_model_option
@json_option
def inspect(file: Path, model: str | None, as_json: bool) -> None:
    """What is in a snapshot, or a .pt, .safetensors or .onnx file: arrays, shapes, layers.

    The folder of a run stands for the model in it.

    \b
    Example:
      funcnn inspect runs/mlp3-fashion-mnist-001
    """
    from funcnn.experiments.export.describe import describe_file

    description = describe_file(file, None if model is None else read_own(model))
    if as_json:
        print_json(description.as_data())
    else:
        click.echo(str(description))


@click.command()
@click.argument("network")
@run_model_option
@set_option
@setting_options("channels", "kernel_size", "hidden", "activation", "data", "seed")
@json_option
def check(
    network: str, model: str | None, sets: dict[str, str], as_json: bool, **settings: Any
) -> None:
    """Prove the gradient of a whole model in float64; exit 1 if an error is above 1e-6.

    The loss of a small random batch is differentiated numerically by each leaf of the params: all
    its entries, or 256 of them (32 where the model convolves) and two random directions through
    them all. NETWORK: an architecture, as for train --arch, or a network of your own, FILE.py:NAME,
    or the folder of a run. Of --data only the shape and the classes count.

    \b
    Examples:
      funcnn check mlp3 --activation tanh
      funcnn check mine.py:cnn --set width=4
    """
    from funcnn.experiments.training.gradient_check import TOLERANCE, check_model

    target = network_named(network, model, sets, given(settings))
    report = check_model(target)
    proven = bool(report.worst.error <= TOLERANCE)
    if as_json:
        leaves = [leaf._asdict() for leaf in report.leaves]
        print_json(
            {
                "arch": target.config.arch,
                "worst": report.worst._asdict(),
                "leaves": leaves,
                "ok": proven,
            }
        )
    else:
        rows = [
            (leaf.path, f"{leaf.probes} probes", f"relative error {leaf.error:.1e}")
            for leaf in report.leaves
        ]
        click.echo(text_table(rows))
        echo(f"worst: {report.worst.error:.1e} at {report.worst.path} (limit {TOLERANCE:g})")
    if not proven:
        sys.exit(1)
