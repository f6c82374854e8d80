"""What each lab wants handed in: which files, under which names, and by which rules."""

import re
import unicodedata
from typing import NamedTuple

from funcnn.experiments.errors import InputError
from funcnn.experiments.labs.lab import Lab, Trial


class Piece(NamedTuple):
    """A file that is handed in."""

    name: str
    """`{id}` and `{name}` stand for the student's."""
    kind: str
    """`report`, `layer`, `network`, `program`, `questions`, `notebook`, `predictions`, `weights`.

    `questions` is the page of those that a program's lines answer.
    """
    of: str = ""
    """The trial whose network it is about; of a notebook, program or questions, its source."""

    @property
    def trial(self) -> str | None:
        """The trial that it is about, if it is about one."""
        return self.of if self.kind in ("network", "predictions", "weights") else None

    @property
    def on_kaggle(self) -> bool:
        """Whether it is handed in there, and so lies apart from the other files."""
        return self.name.startswith("kaggle/")


class Floor(NamedTuple):
    """An accuracy that a network must have, with both backends."""

    trial: str
    part: str
    """`validation` or `test`."""
    accuracy: float
    above: bool = False
    """Whether it must be above, and not only at it."""


class HandIn(NamedTuple):
    """All that is handed in for a lab."""

    pieces: tuple[Piece, ...]
    floors: tuple[Floor, ...] = ()
    archive: str | None = None
    """The zip file with all of them; None: the files themselves."""

    def written_by(self, notebook: Piece) -> list[Piece]:
        """The pieces that a notebook writes: the first one of a lab trains what is handed in."""
        first = next(piece for piece in self.pieces if piece.kind == "notebook")
        kinds = ("predictions", "weights") if notebook is first else ()
        return [piece for piece in self.pieces if piece.kind in kinds]

    @property
    def on_kaggle(self) -> bool:
        """Whether a part of it is handed in there."""
        return any(piece.on_kaggle for piece in self.pieces)

    @property
    def trials(self) -> list[str]:
        """The trials whose networks it is about, each once."""
        named = [piece.trial for piece in self.pieces] + [floor.trial for floor in self.floors]
        return list(dict.fromkeys(name for name in named if name))

    @property
    def is_named(self) -> bool:
        """Whether the student's name is in that of a file."""
        return "{name}" in "".join([self.archive or "", *(piece.name for piece in self.pieces)])

    def layer_module(self) -> str:
        """What its `layer.py` is called, still with the student's id."""
        names = [piece.name for piece in self.pieces if piece.kind == "layer"]
        return names[0].removesuffix(".py") if names else "layer"


class Student(NamedTuple):
    """Who hands in. Raises `InputError`, from `of`, for what cannot stand in the name of a file."""

    id: str
    name: str | None
    team: str | None = None
    """On Kaggle, if the lab is there."""

    @classmethod
    def of(cls, student_id: str, name: str | None, hand_in: HandIn) -> "Student":
        """The student, if the names of the files can be made of this."""
        if not re.fullmatch(r"[A-Za-z0-9_-]+", student_id):
            raise InputError(f"--student-id {student_id!r}: letters, digits, - and _ only")
        if "{id}" in hand_in.layer_module() and "-" in student_id:
            raise InputError(
                f"--student-id {student_id}: letters, digits and _ only, for "
                f"{hand_in.layer_module().format(id=student_id)}.py is imported by this name"
            )
        if hand_in.is_named and name is None:
            raise InputError(f"--name is missing: the lab wants it in {hand_in.archive}")
        if name is not None:
            name = unicodedata.normalize("NFC", name)  # Hangul as one sign a syllable
            ends = name[:1] + name[-1:]
            wrong = not name.isprintable() or re.search(r'[/\\:*?"<>|]', name)
            if not name or wrong or {*ends} & {" ", "."}:
                raise InputError(f"--name {name!r} cannot stand in the name of a file")
        student = cls(student_id, name, student_id if hand_in.on_kaggle else None)
        for pattern in filter(None, [hand_in.archive, *(p.name for p in hand_in.pieces)]):
            length = len(student.fill(pattern).encode())
            if length > _LONGEST:
                raise InputError(f"{pattern} would have {length} bytes, more than {_LONGEST}")
        return student

    def facts(self) -> list[tuple[str, str]]:
        """What stands on the first page of the report and in the notebooks."""
        facts = (("Student id", self.id), ("Name", self.name), ("Team on Kaggle", self.team))
        return [(name, value) for name, value in facts if value]

    def fill(self, pattern: str) -> str:
        """The name of a file."""
        return pattern.format(id=self.id, name=self.name)


def plain(pattern: str) -> str:
    """The name of a file that is nobody's yet."""
    return re.sub(r"_\{\w+\}|\{\w+\}_", "", pattern)


_LONGEST = 255  # bytes in the name of a file


def find_trial(lab: Lab, name: str) -> Trial:
    """The trial of a lab by its name."""
    return next(trial for trial in lab.trials if trial.name == name)


_NOTEBOOK, _REPORT, _LAYER, _PROGRAM = "notebook", "report", "layer", "program"
HAND_INS = {
    "points": HandIn(
        (
            Piece("DL_LAB1_{id}_{name}.pdf", _REPORT),
            Piece("main.py", _PROGRAM, "points_main"),
            Piece("optimizers.py", _PROGRAM, "points_optimizers"),
            Piece("layer.py", _LAYER),
            Piece("network.py", "network", "xor"),
            Piece("DL_LAB1_{id}.ipynb", _NOTEBOOK, "points"),
            Piece("questions.md", "questions", "points_questions"),
        ),
        (Floor("linear", "test", 0.9), Floor("xor", "test", 0.9)),
        "DL_LAB1_{id}_{name}.zip",
    ),
    "fashion": HandIn(
        (
            Piece("Lab01_task1_{id}.ipynb", _NOTEBOOK, "fashion-numpy"),
            Piece("network_{id}.py", "network", "cnn"),
            Piece("layer_{id}.py", _LAYER),
            Piece("Lab01_task2_{id}.ipynb", _NOTEBOOK, "fashion-torch"),
            Piece("Lab01_report_{id}.pdf", _REPORT),
            Piece("kaggle/DL-test-predicted.csv", "predictions", "cnn"),
        ),
        (Floor("cnn", "validation", 0.8),),
    ),
    "emnist47": HandIn(
        (
            Piece("Lab1_{id}.ipynb", _NOTEBOOK, "emnist47"),
            Piece("network.py", "network", "cnn"),
            Piece("layer.py", _LAYER),
            Piece("Lab1_report_{id}.pdf", _REPORT),
            Piece("kaggle/DLAD-test-predict.csv", "predictions", "cnn"),
        ),
        (Floor("cnn", "test", 0.8, above=True),),
    ),
    "mnist": HandIn(
        (
            Piece("PA1_{id}_{name}.pdf", _REPORT),
            Piece("layer.py", _LAYER),
            Piece("network_nn.py", "network", "nn"),
            Piece("network_cnn.py", "network", "cnn"),
            Piece("PA1_{id}_numpy.ipynb", _NOTEBOOK, "mnist-numpy"),
            Piece("PA1_{id}_torch.ipynb", _NOTEBOOK, "mnist-torch"),
        ),
        archive="PA1_{id}_{name}.zip",
    ),
    "fashion-mlp": HandIn(
        (
            Piece("DL_HW1_{id}.ipynb", _NOTEBOOK, "fashion-mlp"),
            Piece("{id}_submission.pt", "weights", "mlp"),
            Piece("{id}_submission.csv", "predictions", "mlp"),
        ),
        (Floor("mlp", "test", 0.85, above=True),),
        "{id}_HW1.zip",
    ),
}
"""By the names of the labs."""
