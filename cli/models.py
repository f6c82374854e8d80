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


@click.command()
@run_argument
@run_model_option
@allow_changed_option
@json_option
def evaluate(run: Path, model: str | None, allow_changed_data: bool, as_json: bool) -> None:
    """How good a run's model is on its validation and test sets.

    Loss and accuracy, the top-5 accuracy of more than 5 classes, and the expected calibration
    error (ECE); precision and recall of each class, on the test set if that has labels. The data
    are those that it was trained with, found where they were then, too.

    \b
    Example:
      funcnn evaluate runs/mlp3-fashion-mnist-001
    """
    from funcnn.experiments.training.model import evaluate_run
    from funcnn.experiments.training.run_folder import RunFolder

    own = None if model is None else read_own(model)
    results = evaluate_run(RunFolder.open(run, own), allow_changed=allow_changed_data)
    if as_json:
        print_json(results)
        return
    parts = [part for part in ("val", "test") if f"{part}_loss" in results]
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

    name = "validation" if part == "val" else "test"
    cells = [name, f"loss {loss_text(results[f'{part}_loss'])}"]
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
    metavar="DATA",
    help="A file of images (IDX, CSV without labels, ...), or a data set, as for train, whose test "
    "inputs are meant.",
)
@click.option("--out", required=True, type=new_place, help="A new CSV file.")
@click.option(
    "--probabilities",
    is_flag=True,
    help="The probability of each class, in a column of its name, instead of the class.",
)
@click.option(
    "--header",
    metavar="NAMES",
    help="Names of the two columns, as ImageId,Label; with --probabilities that of the ids alone. "
    "[default: Id,Category]",
)
@click.option(
    "--first-id",
    type=click.IntRange(0, 2**31 - 1),
    help="Id of the first input, from which they count. [default: the ids that a CSV file has, or "
    "from 0]",
)
@run_model_option
@json_option
def predict(run: Path, model: str | None, data: str, out: Path, as_json: bool, **form: Any) -> None:
    """Write the class that a run's model predicts for every input, as `Id,Category`.

    Where a CSV file has a column id, ImageId, ... these are the ids; else they count from 0.

    \b
    Examples:
      funcnn predict runs/mlp3-fashion-mnist-001 --data fashion-mnist --out predicted.csv
      funcnn predict runs/mnist --data mnist --header ImageId,Label --first-id 1 --out k.csv
    """
    from funcnn.experiments.training.predictions import write_predictions
    from funcnn.experiments.training.run_folder import RunFolder

    own = None if model is None else read_own(model)
    result = write_predictions(RunFolder.open(run, own), data, out, **form)
    if as_json:
        print_json(result)
    else:
        echo(f"{result['rows']:,} predictions in {out}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@run_model_option
@json_option
def inspect(file: Path, model: str | None, as_json: bool) -> None:
    """What is in a snapshot, or a .pt, .safetensors or .onnx file: arrays, shapes, layers.

    \b
    Example:
      funcnn inspect runs/mlp3-fashion-mnist-001/params.npz
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
