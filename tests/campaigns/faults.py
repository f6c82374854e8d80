"""Commands while the system fails them: they do it, or say in one line why not, and harm nothing.

Each try is a fork of a process that has imported what commands need and begun no threads, or, where
the fault is there from the start (a locale, no home), a process of its own. What a command does
without a fault is found out first, by doing it twice: files that are the same both times are what
it must write.
"""

import contextlib
import fcntl
import importlib.util
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.fault_files import assert_whole, contents, put_back
from campaigns.fault_kinds import FAULTS as KINDS
from campaigns.fault_kinds import Fault, Moments, mounts_of_ones_own
from PIL import Image

from funcnn._files import is_temporary

MOST_SECONDS = 120
ROOT = Path(__file__).parents[2]


class Command(NamedTuple):
    """What is typed, and what of what was there before it may change."""

    typed: str
    weight: float = 1
    """How often it is drawn; those that start processes of their own take seconds."""
    changes: str = "nothing"
    """A folder of which it changes files, one whole content after another."""
    instead: str = ""
    """What is typed where the first time made the folder, but could not finish."""


COMMANDS = [
    Command("data list"),
    Command("data show pictures --out shown.png"),
    Command("data duplicates pictures --out duplicates.png"),
    Command(
        "train --arch mlp2 --hidden 3 --data pictures --epochs 2 --out new",
        4,
        instead="train --resume new",
    ),
    Command("train --arch points --epochs 2 --out new", 3, instead="train --resume new"),
    Command(
        "train --arch mlp2 --hidden 3 --data table.csv --epochs 1 --out new",
        2,
        instead="train --resume new",
    ),
    Command("train --resume run --epochs 3", 4, "run"),
    Command("evaluate run", 2),
    Command("predict run --data pictures --out predicted.csv", 2),
    Command("predict run --data pictures/light/1.png --out seen.png"),
    Command("inspect run/params.npz"),
    Command("export run --to safetensors", 2),
    Command("export run --to onnx", 2),
    Command("export run --to pt --out new.pt", 2),
    Command("figure activations --out activations.png"),
    Command("figure curves run --out curves.png"),
    Command("check points"),
    Command("range-test --arch mlp2 --hidden 3 --data pictures --steps 4 --out rates.png"),
    Command("experiment list"),
    Command("experiment notebook points --out notebooks", 2),
    Command("experiment run tiny --out tiny", 0.7),
    Command("experiment report tiny --out made"),
    Command(
        "experiment submit tiny --student-id 1 --name A --snapshot made/trials/one/numpy-seed-0/params.npz"
        " --draft --out handed"
    ),
    Command("grade notebooks0 --lab points"),
    Command("sweep points --grid lr=1,2 --epochs 2 --out swept", 0.7),
    Command("compare --arch points --mode lockstep --steps 2 --out compared", 0.5),
    Command("bench --net tiny --peer funcnn --rounds 1 --out bench", 0.5),
]
BEFORE = [
    "train --arch mlp2 --hidden 3 --data pictures --epochs 2 --out run",
    "experiment run tiny --out made",
    "experiment notebook points --out notebooks0",
]


class Done(NamedTuple):
    """How a command ended, and what it said."""

    status: int
    out: bytes
    err: str
    met: str | None
    """Where it met the fault, if it did."""


class Expected(NamedTuple):
    """What a command does where nothing fails."""

    out: bytes | None
    files: dict[str, bytes | None]
    """By name; None where it is another each time."""
    moments: Moments


class Place:
    """A folder with data and runs, as it was before, in which commands are tried again."""

    def __init__(self, folder: Path) -> None:
        # The home is beside the place, for what is kept there is nobody's result.
        self.folder, self._home = folder / "place", folder / "home"
        self.temporary = folder / "tmp"
        for made in (self.folder, self._home, self.temporary):
            made.mkdir()
        _make_data(self.folder)
        for typed in BEFORE:
            done = self.carry_out(typed)
            assert done.status == 0, done.err
        self.before = contents(self.folder)
        self._expected: dict[str, Expected] = {}

    def expected(self, command: Command) -> Expected:
        """What the command does, found out at its first time."""
        if command.typed not in self._expected:
            both = []
            for _ in range(2):
                put_back(self.folder, self.before)
                moments = Moments(self.folder, self.temporary)
                done = self.carry_out(command.typed, moments.hear)
                assert done.status == 0, done.err
                moments.read(done.met)
                both.append((_timeless(done.out), contents(self.folder)))
            (out, files), (again, others) = both
            same = {name: data if others[name] == data else None for name, data in files.items()}
            self._expected[command.typed] = Expected(out if out == again else None, same, moments)
        return self._expected[command.typed]

    def carry_out(
        self,
        typed: str,
        plant: Callable[[Callable[[str], None]], None] | None = None,
        environment: dict[str, str | None] | None = None,
    ) -> Done:
        """How a command ends, in a fork, or with an environment in a process of its own."""
        # Pipes, for a limit of files is not one of theirs; nothing that is said fills them.
        pipes = [os.pipe2(os.O_NONBLOCK) for _ in range(3)]
        for _, writer in pipes:
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 1 << 20)
            os.set_blocking(writer, True)
        process = os.fork()
        if not process:
            try:
                self._as_child(typed.split(), [writer for _, writer in pipes], plant, environment)
            finally:
                os._exit(99)
        end = time.monotonic() + MOST_SECONDS
        while not (ended := os.waitpid(process, os.WNOHANG))[0] and time.monotonic() < end:
            time.sleep(0.002)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)  # and what it has left behind
        assert ended[0] or not os.waitpid(process, 0), f"funcnn {typed} does not end"
        out, err, met = (_all_of(reader, writer) for reader, writer in pipes)
        status = os.waitstatus_to_exitcode(ended[1])
        return Done(status, out, err.decode("utf-8", "replace"), met.decode() or None)

    def _as_child(
        self,
        arguments: list[str],
        writers: list[int],
        plant: Callable[[Callable[[str], None]], None] | None,
        environment: dict[str, str | None] | None,
    ) -> None:
        os.setsid()
        os.chdir(self.folder)
        out, err, met = writers
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        home = {"HOME": str(self._home), "TMPDIR": str(self.temporary), "COLUMNS": "200"}
        os.environ |= {**home, "MPLCONFIGDIR": str(self._home / "matplotlib")}
        if environment is not None:
            given = {**os.environ, **environment}
            given = {name: value for name, value in given.items() if value is not None}
            script = [sys.executable, "-P", str(Path(__file__).with_name("fault_command.py"))]
            if plant is not None:
                plant(lambda what: None)
            os.execve(sys.executable, [*script, *arguments], given)
        from campaigns.fault_command import run_as_new

        def tell(what: str) -> None:
            os.write(met, what.encode() + b"\n")

        run_as_new(arguments, None if plant is None else lambda: plant(tell))


def _all_of(reader: int, writer: int) -> bytes:
    os.close(writer)
    with open(reader, "rb", buffering=0) as file:
        return file.read(1 << 20) or b""


def _make_data(folder: Path) -> None:
    for shade, name in enumerate(("dark", "light")):
        (folder / "pictures" / name).mkdir(parents=True)
        for index in range(12):
            picture = Image.new("L", (4, 4), 100 * shade + index)
            picture.save(folder / "pictures" / name / f"{index}.png")
    rows = [[i % 2, *((i * k) % 256 for k in range(16))] for i in range(40)]
    (folder / "table.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in rows))


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """Data, a run and a lab's results."""
    _import_all()
    if multiprocessing.parent_process() is not None:  # of pytest, mounts are everybody's
        mounts_of_ones_own()
    place = Place(folder)
    weights = np.array([command.weight for command in COMMANDS])
    kinds = np.array([kind.weight for kind in KINDS])

    def one_try(rng: np.random.Generator) -> str:
        command = COMMANDS[rng.choice(len(COMMANDS), p=weights / weights.sum())]
        kind = KINDS[rng.choice(len(KINDS), p=kinds / kinds.sum())]
        expected = place.expected(command)
        put_back(place.folder, place.before)
        fault = kind.draw(rng, place.folder, expected.moments)
        try:
            return f"{kind.name}: {_tried(place, command, expected, fault)}"
        except AssertionError as error:
            raise AssertionError(f"{command.typed} [{kind.name} {fault.what}] {error}") from None
        finally:
            fault.lift()

    yield one_try


def _import_all() -> None:
    """Import what commands import at their first use, so that each fork has it."""
    import funcnn.cli.main
    import funcnn.experiments

    path = ROOT / "tests/whole/other_systems/every_command.py"
    spec = importlib.util.spec_from_file_location("every_command", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.add_tiny_lab()
    sys.modules["every_command"] = module
    import matplotlib.backends.backend_agg  # noqa: F401
    import pandas  # noqa: ICN001, F401
    import tqdm

    tqdm.tqdm.get_lock()  # of all forks
    assert funcnn.cli.main


def _tried(place: Place, command: Command, expected: Expected, fault: Fault) -> str:
    done = place.carry_out(command.typed, fault.plant, fault.environment)
    word = _assert_ended_well(done, expected, fault)
    fault.lift()
    after = contents(place.folder)
    _assert_kept(place.before, after, command, fault)
    _assert_new(expected, after, done, place.before, fault)
    if done.status == 0:
        return word
    for name in fault.gone(place.before):
        put_back(place.folder, place.before, only=name)
    again = place.carry_out(command.typed)
    if "exists already" in again.err and expected.files.keys() <= after.keys():
        return f"{word}, but made"  # only what would have been printed is lacking
    if "exists already" in again.err and command.instead:
        again = place.carry_out(command.instead)
        if "no run" in again.err or "config.json" in again.err:  # it had not begun
            return f"{word}, not begun"
    if "exists already" in again.err and fault.leaves:
        return f"{word}, but left"  # it could not be removed either
    assert again.status == 0, f"then without a fault {again.err!r}, after {done.err!r}"
    _assert_new(expected, contents(place.folder), again, place.before, fault)
    return word


def _assert_ended_well(done: Done, expected: Expected, fault: Fault) -> str:
    """One line says why it did not do it; or all is said."""
    assert "Traceback" not in done.err, _short(done.err)
    if done.status == 0:
        if expected.out is not None and fault.hears:
            assert _timeless(done.out) == expected.out, f"it prints {_short(done.out.decode())!r}"
        return "done" if done.met is None else "done all the same"
    if fault.is_silent:
        assert done.status in (1, 120), f"status {done.status}"
        return f"ended with {done.status}"
    assert done.status in (1, 2), f"status {done.status}, {_short(done.err)!r}"
    errors = [line for line in done.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, f"no one line: {_short(done.err)!r}"
    assert done.err.endswith(f"{errors[0]}\n"), f"not at the end: {_short(done.err)!r}"
    assert errors[0].isprintable(), errors[0]
    assert fault.environment is not None or done.met is not None, f"for nothing: {errors[0]}"
    words = [*fault.words(done.met)]
    if any(is_temporary(Path(word)) for word in words):
        words += [Path(name).name for name in expected.files]
    assert not words or any(word in errors[0] for word in words), f"it does not say: {errors[0]}"
    return "said"


def _assert_kept(
    before: dict[str, bytes], after: dict[str, bytes], command: Command, fault: Fault
) -> None:
    for name, data in before.items():
        if name in fault.gone(before):
            continue
        if name.startswith(f"{command.changes}/"):  # what would be wrong now may go first
            derived = name.endswith(("summary.json", ".png"))
            assert name in after or derived, f"{name} is gone"
        else:
            assert name in after, f"{name} is gone"
            assert after[name] == data, f"{name} is changed"


def _assert_new(
    expected: Expected, after: dict[str, bytes], done: Done, before: dict[str, bytes], fault: Fault
) -> None:
    for name, data in after.items():
        if name in fault.gone(after) or before.get(name) == data:
            continue
        if is_temporary(Path(name)):
            assert done.status, f"{name} is left"
            assert fault.leaves, f"{name} is left"
        else:
            assert_whole(name, data)
    for name, wanted in expected.files.items() if done.status == 0 else ():
        if name in fault.gone(expected.files):
            continue
        if name not in after:  # a figure more or less, of which a line says why
            assert f"the figure {name} could not be drawn" in done.err, f"{name} is not there, {_short(done.err)!r}"
        else:
            assert wanted is None or after[name] == wanted, f"{name} is another"


def _timeless(said: bytes) -> bytes:
    return re.sub(rb"\d+\.\d s\b", b"", said)


def _short(text: str) -> str:
    text = " | ".join(text.splitlines())
    return text if len(text) < 600 else f"{text[:150]} ... {text[-400:]}"


FAULTS = Campaign("faults", "commands while the system fails them", 1, begin)
