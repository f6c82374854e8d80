"""Commands that were killed leave whole files, and go on to what they would have come to."""

import contextlib
import csv
import functools
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.killed import (
    Ended,
    carry_out_command,
    draw_moment,
    wait_for_group,
)
from image_files import image_folder
from PIL import Image

import funcnn as fn
from funcnn._files import is_temporary

GoOn = Callable[[Path], Sequence[str] | None]


class Killed(NamedTuple):
    """A command, and what a user does after it was killed."""

    begin: Sequence[str]
    go_on: GoOn
    """What they type then, where the command was; None: nothing."""
    environment: dict[str, str] = {}  # noqa: RUF012
    prepare: str | None = None
    """As of `carry_out_command`."""
    made: Callable[[Path], None] = lambda folder: None
    """Makes what the command needs, beside the images."""


# --- what is typed -----------------------------------------------------------------------------

TINY = "--arch", "mlp2", "--hidden", "5", "--data", "images", "--batch-size", "8"
LONG = "--val-size", "12", "--epochs", "20", "--optimizer", "adamw", "--out", "it"
TRAIN = "train", *TINY, *LONG, "--dropout", "0.2"
SWEEP = "sweep", "mlp2", "--grid", "lr=0.1,0.2", "--epochs", "6", "--data", "images", "--out", "it"
COMPARE = "compare", *TINY, "--epochs", "3", "--seeds", "1", "--steps", "9", "--out", "it"
RUN = "experiment", "run", "tiny", "--out", "it"
SUBMIT = "experiment", "submit", "tiny", "--student-id", "1", "--name", "X", "--experiment", "done"
SUBMIT = *SUBMIT, "--out", "it"


def _resumed(begin: Sequence[str], record: str, folder: Path) -> Sequence[str]:
    """With --resume, once there is a folder with this record; whether or not it is finished."""
    return (begin[0], "--resume", "it") if (folder / "it" / record).exists() else begin


def _again(begin: Sequence[str], folder: Path) -> Sequence[str] | None:
    return begin


def _unless_there(begin: Sequence[str], folder: Path) -> Sequence[str] | None:
    return None if (folder / "it").exists() else begin


def _experiment(folder: Path) -> None:
    """An experiment that is finished."""
    done = carry_out_command(RUN, folder, {}, prepare=TINY_LAB)
    assert done.code == 0, done.said
    (folder / "it").rename(folder / "done")


TINY_LAB = "campaigns.tiny_lab:add_tiny_lab"
OWN = "import funcnn as fn\n\n\ndef net(shape, classes):\n"
OWN += "    return fn.serial(fn.Flatten(), fn.Dense(5), fn.Relu(), fn.Dense(classes))\n"
OWN_TRAIN = "train", "--model", "own.py:net", *TINY[4:], *LONG
OWN_SWEEP = "sweep", "own.py:net", *SWEEP[2:]


def _own(folder: Path) -> None:
    """The file of a network of one's own."""
    (folder / "own.py").write_text(OWN)


TRAINING = Killed(TRAIN, functools.partial(_resumed, TRAIN, "config.json"))
KINDS = {
    "kills-train": [
        TRAINING,
        TRAINING._replace(environment={"FUNCNN_NATIVE": "0"}),
        Killed((*TRAIN, "--no-compile"), TRAINING.go_on),
        Killed(OWN_TRAIN, functools.partial(_resumed, OWN_TRAIN, "config.json"), made=_own),
    ],
    "kills-sweep": [
        Killed(SWEEP, functools.partial(_again, SWEEP)),
        Killed(OWN_SWEEP, functools.partial(_again, OWN_SWEEP), made=_own),
    ],
    "kills-compare": [Killed(COMPARE, functools.partial(_resumed, COMPARE, "comparison.json"))],
    "kills-experiment": [Killed(RUN, functools.partial(_again, RUN), prepare=TINY_LAB)],
    "kills-submit": [
        Killed(SUBMIT, functools.partial(_unless_there, SUBMIT), {}, TINY_LAB, _experiment)
    ],
}


# --- a try -------------------------------------------------------------------------------------


@contextlib.contextmanager
def begin(kind: str, folder: Path) -> Iterator[Try]:
    """An undisturbed run of each command of a kind; then they are killed once or twice a try."""
    undisturbed = []
    for index, killed in enumerate(KINDS[kind]):
        image_folder(folder / f"{index}/images")
        killed.made(folder / f"{index}")
        ended = _carry_out(killed, killed.begin, folder / f"{index}")
        assert ended.code == 0, ended.said
        undisturbed.append((killed, folder / f"{index}", ended, results(folder / f"{index}")))

    def one_try(rng: np.random.Generator) -> str:
        killed, model, ended, expected = undisturbed[rng.integers(len(undisturbed))]
        place = folder / "place"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(model, place, ignore=lambda *_: ["it"])
        word, groups = _killed(killed, place, ended, rng)
        _go_on(killed, place, groups)
        return word + _expect_same(results(place), expected)

    yield one_try


def _carry_out(killed: Killed, arguments: Sequence[str], place: Path, **more: Any) -> Ended:
    return carry_out_command(arguments, place, killed.environment, prepare=killed.prepare, **more)


def _killed(
    killed: Killed, place: Path, whole: Ended, rng: np.random.Generator
) -> tuple[str, list[int]]:
    """Kill a command once or twice; how it ended the first time, and what may be left of it."""
    words, groups = [], []
    for _ in range(rng.integers(1, 3)):
        arguments = killed.go_on(place)
        if arguments is None:
            break
        moment = draw_moment(rng, whole.seconds, whole.changes)
        ended = _carry_out(killed, arguments, place, moment=moment)
        assert "Traceback" not in ended.said, _end_of(ended)
        if rng.random() < 0.5:  # or it goes on at once
            wait_for_group(ended.group)
        groups.append(ended.group)
        expect_whole(place)
        if ended.code == 0:
            words.append("ended before")
        elif (place / "it").exists():
            words.append("killed within")
        else:
            words.append("killed before it is there")
    return words[0], groups


def _go_on(killed: Killed, place: Path, groups: Sequence[int]) -> None:
    """What a user does then; a second time if the first one met what was left of the command."""
    arguments = killed.go_on(place)
    if arguments is not None:
        ended = _carry_out(killed, arguments, place)
        for group in (*groups, ended.group):
            wait_for_group(group)
        if "another process is at work" in ended.said:
            ended = _carry_out(killed, arguments, place)
        finished = ended.code == 1 and "is finished" in ended.said
        assert ended.code == 0 or finished, _end_of(ended)
        assert "Traceback" not in ended.said, _end_of(ended)
    for group in groups:
        wait_for_group(group)
    expect_whole(place)


def _end_of(ended: Ended) -> str:
    return f"{ended.code}: {ended.said[-400:]}"


# --- what is there -----------------------------------------------------------------------------


def _files(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file())


def expect_whole(folder: Path) -> None:
    """Raise `AssertionError` for a file that is only half there, under its own name."""
    for path in _files(folder):
        if is_temporary(path) or "images" in path.parts:
            continue
        try:
            _read(path)
        except Exception as error:
            raise AssertionError(f"{path.relative_to(folder)}: {error!r}") from error


def _read(path: Path) -> None:
    data = path.read_bytes()
    if path.suffix == ".npz":
        fn.load(path)
    elif path.suffix == ".json":
        json.loads(data)
    elif path.suffix == ".csv":
        header, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
        assert data.endswith(b"\n")
        assert all(len(row) == len(header) for row in rows)
    elif path.suffix == ".png":
        with Image.open(path) as image:
            image.load()
    elif path.suffix == ".pdf":
        assert data.rstrip().endswith(b"%%EOF")
    elif path.suffix == ".py":
        compile(data, path, "exec")
    else:
        assert data.endswith(b"\n"), "it ends within a line"


def results(folder: Path) -> dict[str, Any]:
    """What all files below say, but for times and machines, by their paths."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir():
            found[name] = "a folder"
            continue
        found[name] = "" if path.suffix == ".pdf" else _said(path, str(folder.resolve()))
    return found


TIMES = {"seconds", "seconds_per_epoch", "machine", "peak_memory"}
OF_TIMES = "seconds an epoch", "peak memory", "Machine: "
"""In lines of a report; the table of a comparison's runs ends with their memory, too."""


def _said(path: Path, folder: str) -> Any:
    if path.suffix == ".json":
        return _timeless(json.loads(path.read_text("utf-8").replace(folder, "")))
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return [_timeless(row) for row in csv.DictReader(file)]
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        header = json.loads(members.pop("header.json"))
        for row in (header.get("notes") or {}).get("rows", ()):
            row[6] = 0  # its seconds
        return header, members
    if path.suffix in (".md", ".html"):
        text = re.sub(r"(?m)^(\| (numpy|torch)-seed-.*)\|.*\|$", r"\1", path.read_text("utf-8"))
        lines = re.sub(r" +|-{3,}", " ", text).splitlines()  # columns are as wide as their numbers
        return [line for line in lines if not any(words in line for words in OF_TIMES)]
    return path.read_bytes()


def _timeless(value: Any) -> Any:
    """Without times and machines; of the digests of runs, which have their times, only of which."""
    if isinstance(value, list):
        return [*map(_timeless, value)]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("sha256"), dict):
        value["sha256"] = sorted(value["sha256"])
    return {key: _timeless(inner) for key, inner in value.items() if key not in TIMES}


FIGURES = "learning_curve.png", "confusion_matrix.png"
"""Of a run, which is finished before it draws them: that is said to who stops it there."""


def _expect_same(found: dict[str, Any], expected: dict[str, Any]) -> str:
    """Raise `AssertionError` unless all is as undisturbed; what is to be said of it."""
    stray = sorted(found.keys() - expected.keys())
    assert not stray, f"it leaves {stray}"
    gone = sorted(expected.keys() - found.keys())
    assert all(name.endswith(FIGURES) for name in gone), f"it lacks {gone}"
    other = [name for name in found if found[name] != expected[name]]
    assert not other, f"other than undisturbed: {other}"
    return ", as it drew" if gone else ""


WHAT = {
    "kills-train": ("kills of `funcnn train`, in C, by NumPy, and plain", 4),
    "kills-sweep": ("kills of `funcnn sweep`", 2),
    "kills-compare": ("kills of `funcnn compare`", 1),
    "kills-experiment": ("kills of `funcnn experiment run`", 1),
    "kills-submit": ("kills of `funcnn experiment submit`", 1),
}
"""Of each kind what one try is, and its share of the time: of quick ones there are more."""
KILLS = [
    Campaign(kind, what, share, functools.partial(begin, kind))
    for kind, (what, share) in WHAT.items()
]
