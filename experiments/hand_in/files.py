"""The files that are handed in, those of a lab's `deliverables`, made: each as bytes."""

import io
import zipfile
from collections.abc import Callable, Mapping

from funcnn.experiments.errors import InputError
from funcnn.experiments.hand_in.deliverables import HandIn, Piece, Student
from funcnn.experiments.hand_in.networks import HandedNetwork
from funcnn.experiments.hand_in.notebook_builder import layers_of, signed
from funcnn.experiments.hand_in.notebook_runner import run_notebook
from funcnn.experiments.hand_in.standalone.program import program_file, questions_page
from funcnn.experiments.hand_in.standalone.writer import layer_file, network_file
from funcnn.experiments.reports.document import Facts
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.predictions import predictions_text

Files = dict[str, bytes]
"""What is handed in, by the names of the files, in the order of the lab's page."""


def make_files(
    hand_in: HandIn,
    student: Student,
    networks: Mapping[str, HandedNetwork],
    report: Callable[[], bytes],
    told: Callable[[str], None],
    lost: dict[str, str] | None = None,
) -> Files:
    """All of them. report: makes the PDF. told: is told what is made next.

    Raises `InputError` if a package is not installed, a network cannot be said in `network.py`, or
    a notebook does not run to its end; with `lost`, that file is left out, and the error put there.
    """
    tasks = {trial: network.task for trial, network in networks.items()}
    made = modules(hand_in, tasks, student.fill, student.facts())
    makers: dict[str, Callable[[Piece], bytes]] = {
        "report": lambda piece: report(),
        "predictions": lambda piece: predictions_text(networks[piece.of].classes).encode(),
        "notebook": lambda piece: run_notebook(piece, hand_in, student, networks, made),
    }
    # A notebook runs beside the other files, but for those that it writes.
    for piece in sorted(hand_in.pieces, key=lambda piece: piece.kind == "notebook"):
        name = student.fill(piece.name)
        if name not in made and piece not in hand_in.written:
            told(f"making {name}" + (", whose cells run now" if piece.kind == "notebook" else ""))
            try:
                made[name] = makers[piece.kind](piece)
            except InputError as error:
                if lost is None:
                    raise
                lost[name] = str(error)
    names = [student.fill(piece.name) for piece in hand_in.pieces]
    return {name: made[name] for name in names if name in made}


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
