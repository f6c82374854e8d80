"""A lab's notebooks as they are before anything is trained, with what they stand on."""

from pathlib import Path

from funcnn.experiments.hand_in import HAND_INS, find_trial, plain
from funcnn.experiments.hand_in_files import modules
from funcnn.experiments.hand_in_networks import task_of
from funcnn.experiments.labs.lab import Lab
from funcnn.experiments.notebook_files import build, lab_configs
from funcnn.experiments.paths import new_folder


def write_notebooks(lab: Lab, out: Path | None) -> list[Path]:
    """Write the notebooks of a lab, `layer.py` and `network.py` to a new folder; the files.

    out: by default the next one of `runs/LAB-notebook-001` and so on. Raises `InputError` if it is
    not free, the lab's data are nowhere, or a package is not installed; `OSError`.
    """
    hand_in = HAND_INS[lab.name]
    tasks = {name: task_of(lab, find_trial(lab, name)) for name in hand_in.trials}
    files = modules(hand_in, tasks, plain)
    for piece in hand_in.pieces:
        if piece.kind == "notebook":
            files[plain(piece.name)] = build(piece.of, lab_configs(piece.of))
    with new_folder(out, f"{lab.name}-notebook") as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
    return [folder / name for name in files]
