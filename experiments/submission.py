"""A lab handed in: its files made, checked by the lab's rules, and only then written."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from funcnn.experiments.errors import InputError
from funcnn.experiments.extras import require
from funcnn.experiments.hand_in import HAND_INS, Student, find_trial
from funcnn.experiments.hand_in_files import make_files, pack
from funcnn.experiments.hand_in_networks import of_experiment, of_snapshots
from funcnn.experiments.hand_in_rules import Submission, check
from funcnn.experiments.lab import Lab
from funcnn.experiments.lab_run import LabRun
from funcnn.experiments.snapshot_report import snapshot_report

_FOLDER = Path("hand-in")


def submit(
    lab: Lab,
    student_id: str,
    name: str | None,
    *,
    quick: bool = False,
    experiment: Path | None = None,
    snapshots: Sequence[Path] = (),
    out: Path | None = None,
    told: Callable[[str], None],
) -> dict[str, Any]:
    """Hand a finished experiment in, or snapshots alone; what was written, and the rules.

    experiment: its folder, by default that of `quick` or not. out: a new folder, by default
    `hand-in/LAB-ID`. told: is told what is done next. Raises `InputError` if the experiment is not
    finished, or for each rule that does not hold, and then nothing is written.
    """
    hand_in = HAND_INS[lab.name]
    student = Student.of(student_id, name, hand_in)
    if snapshots and (quick or experiment):
        raise InputError(
            "--snapshot hands in without an experiment: leave out --quick, --experiment"
        )
    out = out or _FOLDER / f"{lab.name}-{student.id}"
    if out.exists():
        raise InputError(f"--out {out} exists already, and nothing is overwritten")
    require("torch")
    trials = [find_trial(lab, name) for name in hand_in.trials]
    if snapshots:
        networks = of_snapshots(lab, trials, snapshots)
        told("the report")
        report = snapshot_report(lab, networks)
    else:
        run = LabRun.recorded(lab, quick, experiment)
        report = run.finished_report()
        networks = of_experiment(run.results, trials)
    files = make_files(hand_in, student, networks, report, told)
    archive = pack(files) if hand_in.archive else None
    told("the rules")
    verdicts = check(Submission(hand_in, student, networks, files, archive))
    broken = [str(verdict) for verdict in verdicts if not verdict.holds]
    if broken:
        rules = "a rule does" if len(broken) == 1 else f"{len(broken)} rules do"
        lines = "\n".join(f"  {line}" for line in broken)
        raise InputError(f"nothing was written, for {rules} not hold:\n{lines}")
    if archive is not None:
        files = {student.fill(hand_in.archive or ""): archive}
    _write(out, files)
    return {
        "experiment": lab.name,
        "out": str(out),
        "files": list(files),
        "rules": [str(verdict) for verdict in verdicts],
    }


def _write(out: Path, files: dict[str, bytes]) -> None:
    """Write all of them to a new folder, or none. Raises `InputError` if they cannot be."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".funcnn-", dir=out.parent) as name:
            folder = Path(name) / "whole"
            folder.mkdir()
            for file, content in files.items():
                (folder / file).write_bytes(content)
            os.rename(folder, out)
    except OSError as error:
        raise InputError(f"--out {out}: it cannot be written ({error.strerror})") from None
