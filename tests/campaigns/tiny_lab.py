"""A lab that is trained, reported and handed in within seconds."""

from funcnn.experiments.hand_in.deliverables import HAND_INS, HandIn, Piece
from funcnn.experiments.labs.lab import Lab, Trial
from funcnn.experiments.labs.registry import LABS
from funcnn.experiments.reports.document import Document, Section, Text


def add_tiny_lab() -> None:
    """Have the commands know it."""
    points = {"arch": "points", "epochs": 30}
    LABS["tiny"] = Lab(
        "tiny",
        "A tiny experiment",
        (Trial("one", points, backends=("numpy",), main=True),),
        {"epochs": 2},
        lambda row: f"epoch {row.epoch}",
        lambda results: Document("Tiny", "", (), (Section("One", (Text("It is."),)),)),
    )
    report, layer = Piece("tiny_{name}.pdf", "report"), Piece("layer.py", "layer")
    HAND_INS["tiny"] = HandIn((report, layer, Piece("net.py", "network", "one")))
