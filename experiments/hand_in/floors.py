"""The accuracies that a lab asks for, and whether they are reached."""

from collections.abc import Iterator

from funcnn.experiments.hand_in.deliverables import HAND_INS, Floor, find_trial
from funcnn.experiments.hand_in.networks import HandedNetwork
from funcnn.experiments.hand_in.notebook_output import accuracies_in
from funcnn.experiments.hand_in.verdict import Verdict
from funcnn.experiments.labs.lab import Results
from funcnn.experiments.labs.tables import BACKEND_NAMES
from funcnn.experiments.tasks.config import BACKENDS


def of_record(results: Results) -> list[Verdict]:
    """The accuracies that the lab asks for, by what its finished runs recorded.

    Of the runs that are shown and handed in. None for a lab that hands nothing in.
    """
    hand_in = HAND_INS.get(results.lab.name)
    if hand_in is None:
        return []
    verdicts = []
    for floor in hand_in.floors:
        trial = find_trial(results.lab, floor.trial)
        summaries = {backend: results.summary(trial, backend) for backend in BACKENDS}
        labelled = summaries["numpy"]["test_accuracy"] is not None
        on, words = _part(floor, labelled, summaries["numpy"]["test_is"])
        score = "test_accuracy" if on == "test" else "val_accuracy"
        verdicts += [
            enough(f"{trial.name} in {BACKEND_NAMES[backend]}", floor, words, summary[score])
            for backend, summary in summaries.items()
        ]
    return verdicts


def of_network(network: HandedNetwork, floor: Floor) -> Iterator[Verdict]:
    """By what a network that is handed in predicts, with each backend."""
    data = network.task.data
    on, words = _part(floor, data.test[1] is not None, data.test_is)
    for backend in BACKENDS:
        same = ", with the same params" if backend == "torch" and network.one_training else ""
        name = f"{floor.trial} in {BACKEND_NAMES[backend]}"
        if network.has(backend):
            yield enough(name, floor, words, network.accuracy(backend, on), same)
        else:  # in a draft
            yield Verdict(name, "is trained", False)


def printed_by(
    name: str, notebook: bytes, network: HandedNetwork, floor: Floor
) -> Iterator[Verdict]:
    """By what a notebook prints of its accuracy, where it prints one of the part that is asked."""
    on, words = _part(floor, network.task.data.test[1] is not None, network.task.data.test_is)
    said = f"{on} accuracy "
    for line in accuracies_in(notebook):
        if line.startswith(said):
            yield enough(name, floor, words, float(line.removeprefix(said).rstrip("%")) / 100)


def _part(floor: Floor, labelled: bool, test_is: str) -> tuple[str, str]:
    """What an accuracy is measured on, and that in words. labelled: whether the test set is."""
    on = floor.part if labelled else "validation"
    return on, test_is if on == "test" else "the validation set"


def enough(of: str, floor: Floor, words: str, accuracy: float | None, more: str = "") -> Verdict:
    """Of an accuracy on a part of the data, in words; more: to say of it."""
    asked = f"{'above' if floor.above else 'at least'} {100 * floor.accuracy:g} %"
    enough = accuracy is not None and (
        accuracy > floor.accuracy if floor.above else accuracy >= floor.accuracy
    )
    percent = "no labels" if accuracy is None else f"{100 * accuracy:.2f} %"
    return Verdict(of, f"{asked} on {words}", enough, percent + more)
