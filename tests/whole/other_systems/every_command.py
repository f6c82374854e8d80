"""Commands, one after another in one process, on another system: see `sitecustomize.py`.

    python every_command.py CODE_PAGE < commands.json > results.json

Each command is a list of arguments; of each comes its exit code and what it wrote.
"""

import contextlib
import io
import json
import sys

from funcnn.cli import main
from funcnn.experiments.hand_in.deliverables import HAND_INS, HandIn, Piece
from funcnn.experiments.labs.lab import Lab, Trial
from funcnn.experiments.labs.registry import LABS
from funcnn.experiments.reports.document import Document, Section, Text

POINTS = {"arch": "points", "epochs": 2}


def add_tiny_lab():
    """A lab that is trained, reported and handed in within seconds."""
    LABS["tiny"] = Lab(
        "tiny",
        "A tiny experiment",
        (Trial("one", POINTS, backends=("numpy",), main=True),),
        {"epochs": 2},
        lambda row: f"epoch {row.epoch}",
        lambda results: Document("Tiny", "", (), (Section("猫", (Text("é"),)),)),
    )
    report, layer = Piece("tiny_{name}.pdf", "report"), Piece("layer.py", "layer")
    HAND_INS["tiny"] = HandIn((report, layer, Piece("net.py", "network", "one")))


def run(arguments, code_page):
    """The exit code of a command, and the bytes of what it wrote to stdout and to stderr."""
    out, err = (io.TextIOWrapper(io.BytesIO(), code_page, "strict") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments, prog_name="funcnn")
        except SystemExit as end:
            code = end.code
    for stream in (out, err):
        stream.flush()
    return [code, *(stream.buffer.getvalue().decode(code_page) for stream in (out, err))]


if __name__ == "__main__":
    add_tiny_lab()
    asked = json.load(sys.stdin)
    json.dump([run(arguments, sys.argv[1]) for arguments in asked], sys.stdout)
