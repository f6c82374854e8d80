"""The report that can be made of snapshots alone: what the networks are, and what they can do."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from funcnn.experiments.bench.peers import PACKAGES
from funcnn.experiments.figures import plots
from funcnn.experiments.hand_in.networks import HandedNetwork
from funcnn.experiments.labs import points_runs, sections
from funcnn.experiments.labs.lab import Lab
from funcnn.experiments.labs.tables import BACKEND_NAMES, shown
from funcnn.experiments.reports.document import Block, Document, Listing, Section, Table
from funcnn.experiments.reports.pdf import write_pdf
from funcnn.experiments.system.machine import describe_machine, in_one_line

_WHOSE = "the params of the snapshot"


def snapshot_report(lab: Lab, networks: Mapping[str, HandedNetwork]) -> bytes:
    """The PDF about networks, by the trials they are handed in for."""
    from funcnn.experiments.reports.html import to_html

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        document = Document(
            lab.title,
            "Made from snapshots alone, measured anew; how they were trained is not recorded here.",
            [("Machine", in_one_line(describe_machine(PACKAGES)))],
            [_section(trial, network, folder) for trial, network in networks.items()],
        )
        write_pdf(to_html(document), folder / "report.pdf")
        return (folder / "report.pdf").read_bytes()


def _section(trial: str, network: HandedNetwork, folder: Path) -> Section:
    task = network.task
    scores = [
        (words, f"{len(examples[0]):,}", *_accuracies(network, part))
        for words, part, examples in (
            ("validation", "validation", task.data.validation),
            (task.data.test_is, "test", task.data.test),
        )
        if examples is not None
    ]
    header = ("set", "examples", *(f"{name} (%)" for name in BACKEND_NAMES.values()))
    blocks: list[Block] = [
        sections.layers(task),
        Table(header, scores, "Accuracy of the same params on both sides, measured anew."),
        sections.module(task),
    ]
    inputs, labels = task.data.test
    if len(task.data.input_shape) == 1:
        assert labels is not None
        path = folder / f"predictions-{trial}.png"
        outputs = network.trained.predict(inputs)
        caption = f"Ground truth and prediction ({_WHOSE})."
        blocks.append(shown(path, caption, plots.points, (inputs, labels), outputs))
        caption = f"The prediction for every point, {outputs.shape}."
        blocks.append(Listing(points_runs.column(outputs.ravel()), caption))
        return Section(f"The network {trial}", blocks)
    examined = sections.Examined(task, network.trained, trial, _WHOSE, folder)
    return sections.titled(
        f"The network {trial}",
        blocks,
        sections.confusion(examined),
        sections.surest(examined),
        sections.inside(examined),
    )


def _accuracies(network: HandedNetwork, part: str) -> list[str]:
    """In per cent, in each backend."""
    accuracies = [network.accuracy(backend, part) for backend in BACKEND_NAMES]
    return ["-" if accuracy is None else f"{100 * accuracy:.2f}" for accuracy in accuracies]
