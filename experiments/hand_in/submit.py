"""A lab handed in: its files made, checked by the lab's rules, and only then written."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from funcnn.experiments.errors import InputError
from funcnn.experiments.extras import require
from funcnn.experiments.hand_in.deliverables import HAND_INS, HandIn, Student, find_trial, plain
from funcnn.experiments.hand_in.files import Files, make_files, modules, pack
from funcnn.experiments.hand_in.networks import of_experiment, of_snapshots, task_of
from funcnn.experiments.hand_in.notebook_builder import build, lab_configs
from funcnn.experiments.hand_in.rules import Submission, Verdict, check
from funcnn.experiments.hand_in.snapshot_report import snapshot_report
from funcnn.experiments.labs.lab import Lab
from funcnn.experiments.labs.run import LabRun
from funcnn.experiments.paths import new_folder

_FOLDER = Path("hand-in")


def submit(
    lab: Lab,
    student_id: str,
    name: str | None,
    *,
    experiment: Path | None = None,
    snapshots: Sequence[Path] = (),
    out: Path | None = None,
    told: Callable[[str], None],
) -> dict[str, Any]:
    """Hand a finished experiment in, or snapshots alone; what was written, and the rules.

    experiment: its folder, by default `runs/LAB`. out: a new folder, by default
    `hand-in/LAB-ID`. told: is told what is done next. Raises `InputError` if the experiment is not
    finished, or for each rule that does not hold, and then nothing is written.
    """
    hand_in = HAND_INS[lab.name]
    student = Student.of(student_id, name, hand_in)
    if snapshots and experiment:
        raise InputError("--snapshot hands in without an experiment: leave out --experiment")
    out = out or _FOLDER / f"{lab.name}-{student.id}"
    if out.exists():
        raise InputError(f"--out {out} exists already: remove it, or give another")
    require("torch")
    require("jupytext", "notebooks")
    with contextlib.ExitStack() as closing:
        with _naming(out):  # before minutes of work: it may be that there is no room
            if not out.parent.exists():
                out.parent.mkdir(parents=True)
                closing.callback(_remove_if_empty, out.parent)
            room = tempfile.TemporaryDirectory(prefix=".funcnn-", dir=out.parent)
            whole = Path(closing.enter_context(room)) / "whole"
            whole.mkdir()
        files, verdicts = _checked_files(lab, hand_in, student, experiment, snapshots, told)
        with _naming(out):
            for file, content in files.items():
                (whole / file).write_bytes(content)
            os.rename(whole, out)
    return {
        "experiment": lab.name,
        "out": str(out),
        "files": list(files),
        "rules": [str(verdict) for verdict in verdicts],
    }


def _checked_files(
    lab: Lab,
    hand_in: HandIn,
    student: Student,
    experiment: Path | None,
    snapshots: Sequence[Path],
    told: Callable[[str], None],
) -> tuple[Files, list[Verdict]]:
    """What is written, and the rules, which all hold. Raises `InputError` if one does not."""
    trials = [find_trial(lab, name) for name in hand_in.trials]
    printed = None
    if snapshots:
        networks = of_snapshots(lab, trials, snapshots)
        report = partial(snapshot_report, lab, networks, student.facts())
    else:
        run = LabRun.recorded(lab, False, experiment)
        run.expect_finished()
        report = partial(run.report_by, student.facts())
        networks = of_experiment(run.results, trials)
        printed = lab.closing and lab.closing(run.results)
    files = make_files(hand_in, student, networks, report, told)
    archive = pack(files) if hand_in.archive else None
    told("checking the rules")
    verdicts = check(Submission(hand_in, student, networks, files, archive, printed))
    broken = [str(verdict) for verdict in verdicts if not verdict.holds]
    if broken:
        rules = "a rule does" if len(broken) == 1 else f"{len(broken)} rules do"
        raise InputError(f"nothing was written, for {rules} not hold: {'; '.join(broken)}")
    if hand_in.archive and archive is not None:
        files = {student.fill(hand_in.archive): archive}
    return files, verdicts


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


@contextlib.contextmanager
def _naming(out: Path) -> Iterator[None]:
    """Turn what goes wrong in writing into the `InputError` that it is."""
    try:
        yield
    except OSError as error:
        raise InputError(f"--out {out}: it cannot be written ({error.strerror})") from None


# --- A lab's notebooks as they are before anything is trained, with what they stand on. ---


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
