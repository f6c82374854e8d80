"""A lab handed in: its files made, checked by the lab's rules, and only then written."""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from funcnn._files import write_whole
from funcnn.experiments.errors import InputError
from funcnn.experiments.extras import require
from funcnn.experiments.hand_in.deliverables import HAND_INS, HandIn, Student, find_trial, plain
from funcnn.experiments.hand_in.files import Report, make_files, modules, pack
from funcnn.experiments.hand_in.networks import HandedNetwork, of_experiment, of_snapshots, task_of
from funcnn.experiments.hand_in.notebook_builder import build, lab_configs
from funcnn.experiments.hand_in.rules import Submission, check
from funcnn.experiments.hand_in.snapshot_report import snapshot_report
from funcnn.experiments.hand_in.verdict import Verdict
from funcnn.experiments.labs.lab import Lab, Trainings
from funcnn.experiments.labs.run import LabRun
from funcnn.experiments.paths import new_folder
from funcnn.experiments.reports.document import Facts
from funcnn.experiments.reports.pdf import to_pdf
from funcnn.experiments.system.lock import alone_in

_FOLDER = Path("hand-in")


def submit(
    lab: Lab,
    student_id: str,
    name: str | None,
    *,
    experiment: Path | None = None,
    snapshots: Sequence[Path] = (),
    out: Path | None = None,
    draft: bool = False,
    told: Callable[[str], None],
) -> dict[str, Any]:
    """Hand a finished experiment in, or snapshots alone; what was written, and the rules.

    experiment: its folder, by default `runs/LAB`. out: a new folder, by default
    `hand-in/LAB-ID`, or `-draft`. told: is told what is done next. draft: write what can be made,
    each file by itself, whatever holds. Raises `InputError` if the experiment is not finished, for
    snapshots where the lab wants a report, or for each rule that does not hold, and then nothing is
    written.
    """
    hand_in = HAND_INS[lab.name]
    student = Student.of(student_id, name, hand_in)
    if snapshots and experiment:
        raise InputError("--snapshot hands in without an experiment: leave out --experiment")
    out = out or _FOLDER / f"{lab.name}-{student.id}{'-draft' * draft}"
    if out.exists():
        raise InputError(f"--out {out} exists already: remove it, or give another")
    require("torch")
    require("jupytext", "notebooks")
    with _new_whole(out) as whole:
        networks, report, printed = _networks_and_report(
            lab, hand_in, experiment, snapshots, draft, told
        )
        lost = _without_record(hand_in, student) if snapshots else {}
        if lost and not draft:
            (name, why), *_ = lost.items()
            again = f"funcnn experiment run {lab.name}, or --draft for what a snapshot can show"
            raise InputError(f"{name} {why}: {again}")
        made = make_files(hand_in, student, networks, report, told, lost if draft else None)
        files = made.files
        told("checking the rules")
        archive = pack(files) if hand_in.archive and not draft else None
        verdicts = check(
            Submission(hand_in, student, networks, files, archive, made.params, printed, draft)
        )
        if not draft:
            _expect_all_hold(verdicts)
        if hand_in.archive and archive is not None:
            files = {student.fill(hand_in.archive): archive}
        with _naming(out):
            for file, content in files.items():
                (whole / file).parent.mkdir(exist_ok=True)
                (whole / file).write_bytes(content)
    return {
        "experiment": lab.name,
        "out": str(out),
        "files": list(files),
        "rules": [str(verdict) for verdict in verdicts if verdict.holds],
        "broken": [
            *(f"{name}: {why}" for name, why in lost.items()),
            *(str(verdict) for verdict in verdicts if not verdict.holds),
        ],
        "kaggle": [student.fill(piece.name) for piece in hand_in.pieces if piece.on_kaggle],
    }


def _networks_and_report(
    lab: Lab,
    hand_in: HandIn,
    experiment: Path | None,
    snapshots: Sequence[Path],
    draft: bool,
    told: Callable[[str], None],
) -> tuple[dict[str, HandedNetwork], Report, str | None]:
    """What is handed in, what makes the PDF of its report, and what the lab's runs printed."""
    trials = [find_trial(lab, name) for name in hand_in.trials]
    if snapshots:
        networks = of_snapshots(lab, trials, snapshots)
        return networks, lambda facts, _: snapshot_report(lab, networks, facts), None
    run = LabRun.recorded(lab, False, experiment)
    in_step = cache(run.report_in_step)
    if not draft:  # which has what is finished so far
        run.expect_whole()
        run.expect_finished()
        if any(piece.kind == "report" for piece in hand_in.pieces):
            told("making the report's figures")
            in_step()  # before minutes of training: its text may be out of step
    networks = of_experiment(run.results, trials)
    printed = lab.closing(run.results) if lab.closing and not draft else None

    def report(facts: Facts, trainings: Trainings) -> bytes:
        from funcnn.experiments.reports.html import to_html

        document = in_step()
        with tempfile.TemporaryDirectory() as out:
            if trainings:
                document = run.report_showing(trainings, Path(out))
            return to_pdf(to_html(document.by(facts)))

    return networks, report, printed


def _without_record(hand_in: HandIn, student: Student) -> dict[str, str]:
    """Which files the lab would not take from a snapshot, and why."""
    why = "has not the lab's sections, for a snapshot has no record of how it was trained"
    return {student.fill(each.name): why for each in hand_in.pieces if each.kind == "report"}


def _expect_all_hold(verdicts: Sequence[Verdict]) -> None:
    """Raise `InputError` that names each rule that does not."""
    broken = [str(verdict) for verdict in verdicts if not verdict.holds]
    if broken:
        rules = "a rule does" if len(broken) == 1 else f"{len(broken)} rules do"
        raise InputError(
            f"nothing was written, for {rules} not hold: {'; '.join(broken)} (--draft writes what "
            "there is all the same)"
        )


@contextlib.contextmanager
def _new_whole(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out`, which is called so after the `with` block, if all went well.

    Else it goes away, as do those there of processes that were killed.
    """
    with contextlib.ExitStack() as closing, contextlib.ExitStack() as alone:
        with _naming(out):  # before minutes of work: it may be that there is no room
            if not out.parent.exists():
                out.parent.mkdir(parents=True)
                closing.callback(_remove_if_empty, out.parent)
            _remove_left(out.parent)
            whole = out.with_name(f"{_HIDDEN}{secrets.token_hex(8)}")
            whole.mkdir()
            closing.callback(shutil.rmtree, whole, ignore_errors=True)
            alone.enter_context(alone_in(whole))
        yield whole
        alone.close()  # Windows renames no folder with an open file
        with _naming(out):
            os.rename(whole, out)


_HIDDEN = ".funcnn-hand-in-"


def _remove_left(folder: Path) -> None:
    for path in folder.glob(f"{_HIDDEN}*"):
        with contextlib.suppress(InputError, OSError):  # somebody is at work in it
            with alone_in(path):
                pass
            shutil.rmtree(path)


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
            write_whole(folder / name, content)
    return [folder / name for name in files]
