"""The files that are handed in, those of a lab's `deliverables`, made: each as bytes."""

import io
import zipfile
from collections.abc import Callable, Mapping
from typing import NamedTuple

from funcnn.experiments.errors import InputError
from funcnn.experiments.hand_in.deliverables import HandIn, Piece, Student
from funcnn.experiments.hand_in.networks import HandedNetwork
from funcnn.experiments.hand_in.notebook_builder import NOTEBOOKS, layers_of, signed
from funcnn.experiments.hand_in.notebook_output import accuracies_in
from funcnn.experiments.hand_in.notebook_runner import run_notebook
from funcnn.experiments.hand_in.notebook_training import trained
from funcnn.experiments.hand_in.standalone.program import program_file, questions_page
from funcnn.experiments.hand_in.standalone.writer import layer_file, network_file
from funcnn.experiments.labs.lab import Shown, Trainings
from funcnn.experiments.reports.document import Facts
from funcnn.experiments.tasks.task import Task

Files = dict[str, bytes]
"""What is handed in, by the names of the files, in the order of the lab's page."""


Report = Callable[[Facts, Trainings], bytes]
"""Makes the PDF, with these facts on its first page, that shows these trainings whole."""


class Made(NamedTuple):
    """The files, and what their notebooks kept beside them."""

    files: Files
    params: Mapping[str, bytes]
    """A file of NumPy's params for each trial, as its notebook trained them."""


def make_files(
    hand_in: HandIn,
    student: Student,
    networks: Mapping[str, HandedNetwork],
    report: Report,
    told: Callable[[str], None],
    lost: dict[str, str] | None = None,
) -> Made:
    """All of them. told: is told what is made next.

    Raises `InputError` if a package is not installed, a network cannot be said in `network.py`, or
    a notebook does not run to its end; with `lost`, that file is left out, and the error put there.
    """
    tasks = {trial: network.task for trial, network in networks.items()}
    facts, params, trainings = student.facts(), dict[str, bytes](), dict[tuple[str, str], Shown]()
    snapshots = any(network.one_training for network in networks.values())
    beside = modules(hand_in, tasks, student.fill, facts)
    made = dict(beside)

    def make(piece: Piece, name: str) -> None:
        if piece.kind == "report":  # which shows what the notebooks did
            told(f"making {name}")
            made[name] = report(facts, trainings)
        elif piece.kind == "notebook":
            told(f"making {name}, whose cells run and train now")
            ran = run_notebook(piece, hand_in, student, networks, beside)
            made.update({name: ran.content, **ran.written})
            backend = NOTEBOOKS[piece.of].backend
            if backend == "numpy":
                params.update(ran.params)
            if ran.params and not snapshots:
                trainings.update(trained(ran, backend, networks))
            if accuracies := accuracies_in(ran.content):
                facts.append((name, f"prints {', '.join(accuracies)}"))

    for piece in sorted(hand_in.pieces, key=lambda piece: piece.kind == "report"):
        name = student.fill(piece.name)
        try:
            make(piece, name)
        except InputError as error:
            if lost is None:
                raise
            lost[name] = str(error)
    names = [student.fill(piece.name) for piece in hand_in.pieces]
    return Made({name: made[name] for name in names if name in made}, params)


def modules(
    hand_in: HandIn,
    tasks: Mapping[str, Task],
    fill: Callable[[str], str],
    author: Facts = (),
) -> Files:
    """`layer.py`, each `network.py`, the program and its page of a lab, or none if it has none.

    tasks: of its trials, by their names. fill: makes the name of a file. author: who hands it in,
    to stand on top. Raises as `network_file`.
    """
    first_line = f"# {', '.join(map(' '.join, author))}\n" if author else ""
    layer = fill(hand_in.layer_module())
    made: Files = {}
    functions: set[str] = set()
    for piece in hand_in.pieces:
        if piece.kind == "network":
            rendered = network_file(tasks[piece.of], layer)
            made[fill(piece.name)] = (first_line + rendered.network).encode()
            functions |= rendered.functions
        elif piece.kind == "program":
            program = program_file(piece.of)
            made[fill(piece.name)] = (first_line + program.text).encode()
            functions |= program.functions
        elif piece.kind == "notebook":
            functions |= layers_of(piece.of)
    if made:
        made[f"{layer}.py"] = (first_line + layer_file(functions)).encode()
    for piece in hand_in.pieces:
        if piece.kind == "questions":
            made[fill(piece.name)] = signed(questions_page(piece.of, made), author).encode()
    return made


def pack(files: Files) -> bytes:
    """A zip file of them; equal files give equal archives."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            # Of the time that zip files begin with: when it was made is nobody's business.
            member = zipfile.ZipInfo(name)
            member.external_attr = 0o644 << 16  # whoever unpacks it may read it
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
