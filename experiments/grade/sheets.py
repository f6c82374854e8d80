"""The sheets of the five labs: what each names, and which rules it has."""

from collections.abc import Iterator

from funcnn.experiments.errors import InputError
from funcnn.experiments.grade.class_rules import (
    grammar_rule,
    loop_rules,
    mlp_rules,
    net_rules,
    network_rules,
    settings_rule,
)
from funcnn.experiments.grade.csv_rules import csv_rules
from funcnn.experiments.grade.file_rules import (
    archive_rules,
    id_rules,
    name_rules,
    notebook_rules,
    report_rules,
)
from funcnn.experiments.grade.import_rules import (
    kinds_rule,
    linear_only_rule,
    nothing_installed_rule,
)
from funcnn.experiments.grade.point_rules import both_sides_rule, generator_rules, numpy_only_rule
from funcnn.experiments.grade.printed_rules import accuracy_rule, both_sets_rule, epoch_rules
from funcnn.experiments.grade.sheet import Predictions, Sheet, Wanted, Work
from funcnn.experiments.grade.verdicts import Verdict
from funcnn.experiments.grade.weight_rules import weight_rules

_FIRST = (archive_rules, name_rules, id_rules)


def _points_report(work: Work) -> Iterator[Verdict]:
    rule = "the sheet's headings, 1 Introduction to 5 Extra, and what each asks for"
    yield Verdict("report", rule, None, "not looked at: open it")


def _mnist_report(work: Work) -> Iterator[Verdict]:
    rule = "of four runs: curves, confusion matrix as probabilities, top 3 of every class"
    yield Verdict("report", rule, None, "not looked at: open it")


def _fashion_frameworks(work: Work) -> Iterator[Verdict]:
    yield from kinds_rule(work, ("task1",), "from scratch: no framework")
    yield from kinds_rule(work, ("network", "layer"), "from scratch: on NumPy alone", {"numpy"})
    source = work.source("task2")
    if source is not None:
        there = "torch" in source.roots()
        holds = there or (None if source.faults else False)
        yield Verdict(source.name, "the same network in PyTorch", holds, "imports torch" * there)


def _emnist_frameworks(work: Work) -> Iterator[Verdict]:
    rule = "from scratch: no framework, no network of scikit-learn's"
    yield from kinds_rule(work, ("notebook", "network", "layer"), rule)


def _fashion_accuracies(work: Work) -> Iterator[Verdict]:
    yield from accuracy_rule(work, "task1", "validation")
    yield from accuracy_rule(work, "task2", "validation")


def _printed_accuracy(work: Work) -> Iterator[Verdict]:
    yield from accuracy_rule(work, "notebook", "test")


SHEETS = {
    sheet.lab: sheet
    for sheet in (
        Sheet(
            "points",
            "DL_LAB1_{id}_{name}.zip",
            (Wanted("report", ".pdf", r"\.pdf$"),),
            "Big5",
            (
                *_FIRST,
                report_rules,
                _points_report,
                grammar_rule,
                numpy_only_rule,
                generator_rules,
                notebook_rules,
                epoch_rules,
                both_sets_rule,
            ),
        ),
        Sheet(
            "fashion",
            None,
            (
                Wanted("task1", "Lab01_task1_{id}.ipynb", r"task_?1.*\.ipynb$"),
                Wanted("network", "network_{id}.py", r"network.*\.py$"),
                Wanted("layer", "layer_{id}.py", r"layer.*\.py$"),
                Wanted("task2", "Lab01_task2_{id}.ipynb", r"task_?2.*\.ipynb$"),
                Wanted("report", "Lab01_report_{id}.pdf", r"\.pdf$"),
                Wanted("csv", "DL-test-predicted.csv", r"pred.*\.csv$", apart=True),
            ),
            "Big5",
            (
                *_FIRST,
                report_rules,
                grammar_rule,
                _fashion_frameworks,
                network_rules,
                loop_rules,
                net_rules,
                settings_rule,
                nothing_installed_rule,
                notebook_rules,
                _fashion_accuracies,
                csv_rules,
            ),
            Predictions(10_000, 10, "fashion-mnist"),
        ),
        Sheet(
            "emnist47",
            None,
            (
                Wanted("notebook", "Lab1_{id}.ipynb", r"\.ipynb$"),
                Wanted("network", "network.py", r"network.*\.py$"),
                Wanted("layer", "layer.py", r"layer.*\.py$"),
                Wanted("report", "Lab1_report_{id}.pdf", r"\.pdf$"),
                Wanted("csv", "DLAD-test-predict.csv", r"pred.*\.csv$", apart=True),
            ),
            "Big5",
            (
                *_FIRST,
                report_rules,
                grammar_rule,
                _emnist_frameworks,
                network_rules,
                loop_rules,
                settings_rule,
                notebook_rules,
                epoch_rules,
                _printed_accuracy,
                csv_rules,
            ),
            Predictions(12_800, 47, None),
            (3, 6),
        ),
        Sheet(
            "mnist",
            "PA1_{id}_{name}.zip",
            (Wanted("report", ".pdf", r"\.pdf$"),),
            "EUC-KR",
            (
                *_FIRST,
                report_rules,
                _mnist_report,
                grammar_rule,
                both_sides_rule,
                notebook_rules,
            ),
        ),
        Sheet(
            "fashion-mlp",
            "{id}_HW1.zip",
            (
                Wanted("notebook", "DL_HW1_{id}.ipynb", r"\.ipynb$"),
                Wanted("weights", "{id}_submission.pt", r"\.pth?$"),
                Wanted("csv", "{id}_submission.csv", r"\.csv$"),
            ),
            "Big5",
            (
                *_FIRST,
                grammar_rule,
                mlp_rules,
                linear_only_rule,
                notebook_rules,
                _printed_accuracy,
                weight_rules,
                csv_rules,
            ),
            Predictions(10_000, 10, "fashion-mnist", form_said=False),
        ),
    )
}
"""By the names of the labs."""


def find_sheet(lab: str) -> Sheet:
    """The sheet of this lab. Raises `InputError` if there is none."""
    if lab not in SHEETS:
        raise InputError(f"--lab {lab!r} is no lab (known: {', '.join(SHEETS)})")
    return SHEETS[lab]
