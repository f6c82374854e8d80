"""A program with somebody else's code, run apart: without network and home, and never for long."""

import contextlib
import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, NamedTuple

from funcnn.experiments.errors import InputError

_SECONDS = 120
_MEMORY = 2 << 30
"""Bytes that all its processes have together."""
_ADDRESSES = 8 << 30
"""Bytes of addresses of one, of which PyTorch takes many that it does not use."""
_PROCESSES = 64
_FORKS = 4096
"""Processes and threads of its user, root excepted, between two looks at how many there are."""
_DISK = 256 << 20
"""Bytes of files that it can write."""
_FILES = 20_000
_KEPT = 1 << 16
"""Bytes of its output that are looked at: the last ones."""
_PAUSE, _WAIT = 0.05, 2
"""Seconds between two looks at it, and for the last of its output."""
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_LIBRARIES = ("/etc/alternatives", "/etc/ld.so.cache")
"""Where the system's own NumPy finds the one that multiplies its matrices."""
_KILLED = (-9, -24, 128 + 9, 128 + 24)
"""Exit codes of what the system ended, for memory or for time."""

# All inside of namespaces of its own: a new root of these folders alone, and then no rights. It
# gets none back in a further namespace, of which there are none; and as root outside it would be
# the owner of the settings in /proc, which can be read alone.
_NEW_ROOT = """
set -e
root=$1; handed=$2; size=$3; files=$4; count=$5; shift 5
echo 0 > /proc/sys/user/max_user_namespaces
mount -t tmpfs -o "size=$size,nr_inodes=$files,mode=755" tmpfs "$root"
cd "$root"
mkdir -p handed proc tmp dev old
while [ "$count" -gt 0 ]; do
  place=$1; shift; count=$((count - 1))
  mkdir -p ".${place%/*}"
  if [ -L "$place" ]; then ln -s "$(readlink "$place")" ".$place"; continue; fi
  if [ -d "$place" ]; then mkdir -p ".$place"; else : > ".$place"; fi
  mount --bind "$place" ".$place"; mount -o remount,ro,bind ".$place"
done
mount --bind "$handed" handed; mount -o remount,ro,bind handed
for device in null zero random urandom; do
  : > dev/$device; mount --bind /dev/$device dev/$device
done
mount -t proc -o ro proc proc 2>/dev/null || :
pivot_root . old
cd /
umount -l old
rmdir old
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs sh -c '"$@"; exit $?' sh "$@"
"""


class Sandbox(NamedTuple):
    """How a program is kept apart."""

    kind: str
    """`bwrap`, `unshare`, or `none`."""

    @property
    def words(self) -> str:
        """What that means, in a line."""
        if self.kind == "none":
            return (
                "the student's code runs without a sandbox: as you, it can read, change and send "
                f"what you can; it is ended after {_SECONDS} s, but not all that it may start"
            )
        return (
            f"the student's code runs in a sandbox ({self.kind}): without network and home "
            f"folder, for at most {_SECONDS} s and in {_MEMORY / (1 << 30):g} GB"
        )


class Ran(NamedTuple):
    """What came of it."""

    results: dict[str, Any] | None
    """What was told at its end, by the code beside it perhaps; None: it did not come to it."""
    stopped: str
    """Why it was stopped, or how it ended, if it told nothing."""
    output: str
    """The last of what it printed."""
    undecided: bool = False
    """Whether it told nothing for a reason that says nothing of it: a limit, or it never began."""


def find_sandbox(without: bool) -> Sandbox:
    """The sandbox of this machine. without: run without one. Raises `InputError` if it has none."""
    if without:
        return Sandbox("none")
    for kind in ("bwrap", "unshare"):
        if sys.platform == "linux" and shutil.which(kind) and _works(kind):
            return Sandbox(kind)
    raise InputError(
        "--run-code needs bubblewrap (bwrap) or namespaces for users (unshare), and neither works "
        "here: --without-sandbox runs the student's code as you, with all that you may do"
    )


def _works(kind: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        text = "tell(ok=True)"
        return _run(Sandbox(kind), text, Path(folder), (), 20).results == {"ok": True}


def run_driver(sandbox: Sandbox, driver: str, folder: Path, packages: Sequence[str]) -> Ran:
    """Run a driver beside the files in a folder, which stays as it is.

    packages: what it may import besides the standard library, if installed.
    """
    text = Path(__file__).with_name("drivers").joinpath(f"{driver}.py").read_text("utf-8")
    return _run(sandbox, text, folder, packages, _SECONDS)


def _run(
    sandbox: Sandbox, driver: str, folder: Path, packages: Sequence[str], seconds: float
) -> Ran:
    begin = Path(__file__).with_name("drivers").joinpath("begin.py").read_text("utf-8")
    token = secrets.token_hex(16)
    places = _folders_of(packages)
    inside = sandbox.kind != "none"
    with tempfile.TemporaryDirectory(prefix="funcnn-", ignore_cleanup_errors=True) as scratch:
        handed, work = ("/handed", "/tmp/work") if inside else (str(folder), f"{scratch}/work")
        python = [os.path.realpath(sys.executable), "-I", "-S", "-B", "-X", "utf8", "-u"]
        # Of the processor, whose cores may be several, are the seconds.
        limits = [str(_ADDRESSES), str(4 * seconds), str(_FORKS)]
        python += ["-c", f"{begin}\n{driver}", token, handed, work, *limits]
        command = [*_before(sandbox, folder, scratch, places), *python, *places]
        environment = {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": "/tmp" if inside else scratch,
            "MPLBACKEND": "Agg",
            "MPLCONFIGDIR": "/tmp" if inside else scratch,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        environment |= {k: os.environ[k] for k in ("SYSTEMROOT",) if k in os.environ}
        process = subprocess.Popen(
            command,
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        kept = _Last(process.stdout)
        try:
            stopped = _watch(process, seconds)
        finally:
            _end(process)
        output = kept.text()
    results, began, rest = _told(output, token)
    if results is not None:
        return Ran(results, "", rest)
    code = process.returncode
    ended = f"it ended by itself, with exit code {code}" if began else "it did not begin"
    return Ran(None, stopped or ended, rest, bool(stopped) or not began or code in _KILLED)


def _before(sandbox: Sandbox, folder: Path, scratch: str, places: Sequence[str]) -> list[str]:
    """What stands before the program that is kept apart."""
    base = os.path.realpath(sys.base_prefix)  # which may be the home folder, or .local in it
    python = [f"{base}/{part}" for part in ("bin", "lib", "lib64")]
    there = filter(os.path.exists, (*_SYSTEM, *_LIBRARIES, *python))
    folders = list(dict.fromkeys([*there, *places]))
    # What is inside of another is there with it.
    folders = [each for each in folders if not any(_is_inside(each, other) for other in folders)]
    program = shutil.which(sandbox.kind) or sandbox.kind
    if sandbox.kind == "unshare":
        apart = "--user --map-root-user --mount --pid --fork --kill-child --net --ipc --uts"
        arguments = [scratch, str(folder), *map(str, (_DISK, _FILES, len(folders))), *folders]
        return [program, *apart.split(), "sh", "-c", _NEW_ROOT, "sh", *arguments]
    if sandbox.kind == "bwrap":
        apart = "--unshare-all --unshare-user --disable-userns --die-with-parent --new-session"
        apart += " --cap-drop ALL"
        mounts = ["--proc", "/proc", "--dev", "/dev", "--size", str(_DISK), "--tmpfs", "/tmp"]
        for each in folders:
            if os.path.islink(each):
                mounts += ["--symlink", os.readlink(each), each]
            else:
                mounts += ["--ro-bind", each, each]
        mounts += ["--ro-bind", str(folder), "/handed", "--chdir", "/tmp"]
        for each in ("/proc", "/dev", "/"):  # whose settings are root's, or that have no limit
            mounts += ["--remount-ro", each]
        return [program, *apart.split(), *mounts, "--"]
    return []


def _is_inside(path: str, other: str) -> bool:
    return path != other and path.startswith(other.rstrip("/") + "/") and not os.path.islink(other)


def _folders_of(packages: Sequence[str]) -> list[str]:
    """The folders that these packages are in, each once."""
    found = [find_spec(name) for name in packages]
    origins = [spec.origin for spec in found if spec is not None and spec.origin is not None]
    return list(dict.fromkeys(os.path.realpath(Path(each).parent.parent) for each in origins))


class _Last:
    """The last of what comes from a pipe, however much it is."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe, self._bytes = pipe, b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._pipe:  # which others that it started may hold open for longer
            for part in iter(functools.partial(os.read, self._pipe.fileno(), 1 << 16), b""):
                self._bytes = (self._bytes + part)[-_KEPT:]

    def text(self) -> str:
        """What there is, once nobody writes any more."""
        self._thread.join(_WAIT)
        return self._bytes.decode(errors="backslashreplace")


def _watch(process: "subprocess.Popen[bytes]", seconds: float) -> str:
    """Wait for its end; why it has to be stopped, or nothing if it ended."""
    until, shared = time.monotonic() + seconds, _shared()
    while process.poll() is None:
        if time.monotonic() > until:
            return f"it was stopped after {seconds:g} s"
        tree = list(_tree(process.pid))
        if len(tree) > _PROCESSES:
            return f"it was stopped: it had {len(tree)} processes"
        # Shared memory and files in memory may be no process's; the machine's own are few.
        if max(_resident(tree), _shared() - shared) > _MEMORY:
            return f"it was stopped: it took more than {_MEMORY / (1 << 30):g} GB of memory"
        time.sleep(_PAUSE)
    return ""


def _resident(tree: list[Any]) -> int:
    """Bytes of memory that some processes have, as far as they are still there."""
    import psutil

    total = 0
    for each in tree:
        with contextlib.suppress(psutil.Error):
            total += each.memory_info().rss
    return total


def _shared() -> int:
    """Bytes of this machine's shared memory, where that can be told."""
    import psutil

    return int(getattr(psutil.virtual_memory(), "shared", 0))


def _tree(pid: int) -> Iterator[Any]:
    """A process and all that came of it."""
    import psutil

    with contextlib.suppress(psutil.Error):
        first = psutil.Process(pid)
        yield first
        yield from first.children(recursive=True)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill it, and all that came of it."""
    import psutil

    for each in list(_tree(process.pid)):
        with contextlib.suppress(psutil.Error):
            each.kill()
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):  # its children outlive it there, if it is not apart
            os.killpg(process.pid, 9)
    process.kill()
    process.wait()


def _told(output: str, token: str) -> tuple[dict[str, Any] | None, bool, str]:
    """What was told, whether anything of the program ran, and what it printed."""
    lines = output.split("\n")
    results = None
    for line in lines:
        if line.startswith(f"{token} "):
            with contextlib.suppress(ValueError, RecursionError):
                results = json.loads(line.removeprefix(f"{token} "))
    began = any(line.startswith(token) for line in lines) or len(output.encode()) >= _KEPT
    rest = "\n".join(line for line in lines if not line.startswith(token)).strip()
    return results if isinstance(results, dict) else None, began, rest
