"""What a notebook that ran has printed."""

import json
import math
import re

from funcnn.experiments.training.run_folder import EpochRow

_NUMBER = re.compile(r"nan|inf|\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def printed_in(notebook: bytes) -> list[str]:
    """The lines that its cells printed.

    Raises `ValueError`, `KeyError` or `TypeError` for what is no notebook.
    """
    code = [cell for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"]
    texts = ["".join(output.get("text", "")) for cell in code for output in cell["outputs"]]
    return "\n".join(texts).splitlines()


def accuracies_in(notebook: bytes) -> list[str]:
    """What it says in the end, as `validation accuracy 91.45%`."""
    found = (re.match(r"(.*\baccuracy) +(\d+\.\d\d%)", line) for line in printed_in(notebook))
    return [f"{' '.join(match[1].split())} {match[2]}" for match in found if match]


def trainings_in(notebook: bytes) -> list[list[EpochRow]]:
    """The epochs of each training that it printed: a line each, the first of a training epoch 1.

    A line has losses, and accuracies in per cent: of training, of the validation set and, where
    that is measured, of the test set. Raises `ValueError` for another one.
    """
    trainings: list[list[EpochRow]] = []
    for line in printed_in(notebook):
        if re.match(r"epoch\b", line, re.IGNORECASE):
            epoch, *measured = map(float, _NUMBER.findall(line))
            measured[1::2] = [accuracy / 100 for accuracy in measured[1::2]]
            train_loss, train_accuracy, val_loss, val_accuracy, *test = measured
            if epoch != 1 and not trainings:
                raise ValueError(f"a training begins with epoch {epoch:g}: {line}")
            if epoch == 1:
                trainings.append([])
            trainings[-1].append(
                EpochRow(
                    int(epoch),
                    train_loss,
                    train_accuracy,
                    val_loss,
                    val_accuracy,
                    math.nan,  # of the learning rate, which it does not print
                    math.nan,  # nor the seconds
                    *(test or (None, None)),
                )
            )
    return trainings
