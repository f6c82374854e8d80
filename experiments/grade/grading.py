"""A hand-in graded: every rule of its lab's sheet, in order."""

from pathlib import Path
from typing import NamedTuple

from funcnn.experiments.data import store
from funcnn.experiments.data.datasets import load_dataset
from funcnn.experiments.errors import InputError
from funcnn.experiments.grade.hand_in import open_hand_in
from funcnn.experiments.grade.point_rules import WRITTEN_OTHERWISE
from funcnn.experiments.grade.run_rules import run_rules
from funcnn.experiments.grade.sandbox import Sandbox
from funcnn.experiments.grade.sheet import Sheet, look_through
from funcnn.experiments.grade.sheets import find_sheet
from funcnn.experiments.grade.verdicts import Verdict
from funcnn.types import Array


class Grading(NamedTuple):
    """What came of it."""

    lab: str
    archive: str
    student_id: str | None
    verdicts: tuple[Verdict, ...]

    def as_data(self) -> dict[str, object]:
        """For JSON; `holds` is null where it could not be decided."""
        rules = [verdict._asdict() for verdict in self.verdicts]
        return self._asdict() | {"verdicts": rules}


def grade(
    path: Path, lab: str, data: str | None = None, *, sandbox: Sandbox | None = None
) -> Grading:
    """Hold an archive or a folder against a lab's sheet; nothing of it is imported here.

    data: the set whose test labels the predictions are scored by; None: the lab's own, where it is
    on this machine. sandbox: where the sheet's loop is run on it; None: nothing is run. Raises
    `InputError` if the lab is unknown, the labels are not to be had, or the archive cannot be read
    at all.
    """
    sheet = find_sheet(lab)
    labels, faults = _labels(sheet, data)
    with open_hand_in(path, sheet.code_page) as handed:
        work = look_through(sheet, handed, labels)
        verdicts = tuple(verdict for rule in sheet.rules for verdict in rule(work)) + faults
        if sandbox is not None:
            decided = tuple(each for each in verdicts if each.found != WRITTEN_OTHERWISE)
            verdicts = decided + tuple(run_rules(work, sandbox))
        return Grading(lab, str(path), work.student_id, verdicts)


def _labels(sheet: Sheet, data: str | None) -> tuple[Array | None, tuple[Verdict, ...]]:
    """The true classes of the test images, if they are asked for or at hand; why not, else."""
    wanted = sheet.predictions
    if wanted is None:
        if data is not None:
            raise InputError(f"--data {data}: {sheet.lab} hands in no predictions, leave it out")
        return None, ()
    if data is None:
        if wanted.data is None or store.find(wanted.data) is None:
            return None, ()
        try:
            test = store.read(wanted.data).test
        except InputError as error:  # of what nobody asked for
            rule = "scored by its true classes"
            return None, (Verdict(wanted.data, rule, None, str(error)),)
        return (None if test is None else test[1]), ()
    labels = load_dataset(data, val_size=0, seed=0).test[1]
    if labels is None:
        raise InputError(f"--data {data}: its test set has no labels to score predictions by")
    return labels, ()
