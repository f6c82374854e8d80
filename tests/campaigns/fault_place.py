"""A place with data and runs, in which a command is carried out in a process of its own."""

import contextlib
import fcntl
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from campaigns.fault import Moments
from campaigns.fault_files import contents, put_back
from PIL import Image

MOST_SECONDS = 120


class Command(NamedTuple):
    """What is typed, and what of what was there before it may change."""

    typed: str
    weight: float = 1
    """How often it is drawn; those that start processes of their own take seconds."""
    changes: str = "nothing"
    """A folder of which it changes files, one whole content after another."""
    instead: str = ""
    """What is typed where the first time made the folder, but could not finish."""


TIMED = "last.npz", "metrics.csv", "summary.json"
"""They say how many seconds something took, which may be as many again."""


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

    def __init__(self, folder: Path, before: Iterable[str]) -> None:
        # The home is beside the place, for what is kept there is nobody's result.
        self.folder, self._home = folder / "place", folder / "home"
        self.temporary = folder / "tmp"
        for made in (self.folder, self._home, self.temporary):
            made.mkdir()
        _make_data(self.folder)
        for typed in before:
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
                both.append((timeless(done.out), contents(self.folder)))
            (out, files), (again, others) = both
            same = {
                name: None if Path(name).name in TIMED or others[name] != data else data
                for name, data in files.items()
            }
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


def timeless(said: bytes) -> bytes:
    """What is printed, without the seconds that it took, and in order: runs end in any."""
    return b"\n".join(sorted(re.sub(rb"\b\d+\.\d( s)?\b", b"", said).splitlines()))
