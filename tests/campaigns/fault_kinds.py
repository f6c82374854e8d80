"""The kinds of faults, each drawn with its moment, planted in a process, and taken away again."""

import ctypes
import errno
import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Tell = Callable[[str], None]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = "os.mkdir", "os.rename", "os.truncate", "os.link", "os.symlink"


def _nothing() -> None: ...


class Fault(NamedTuple):
    """A fault that was drawn."""

    what: str
    plant: Callable[[Tell], None] | None
    """In the process of the command, before it begins; tells when it is met."""
    environment: dict[str, str | None] | None = None
    """For faults that are there from the start of a process."""
    lift: Callable[[], None] = _nothing
    """Takes it away, from outside; may be called twice."""
    words: Callable[[str | None], Iterable[str]] = lambda met: ()
    """One of these is in the line, by what was told."""
    gone: Callable[[Mapping[str, Any]], Iterable[str]] = lambda files: ()
    """The files that are changed by the fault itself."""
    hears: bool = True
    """Whether all that is printed is heard."""
    is_silent: bool = False
    """Whether nobody hears an error."""
    leaves: bool = False
    """Whether what was begun cannot be removed."""


class Moments:
    """When a command opens, makes and renames files below some folders."""

    def __init__(self, *folders: Path) -> None:
        self._folders = tuple(f"{os.path.realpath(folder)}{os.sep}" for folder in folders)
        self.reads = self.writes = 1
        self.read_names: list[str] = []

    def hear(self, tell: Tell) -> None:
        """Tell of each."""
        self.listen(lambda kind, path: tell(f"{kind} {path}"))

    def read(self, met: str | None) -> None:
        """Count what was told."""
        lines = (met or "").splitlines()
        self.writes = max(1, sum(line.startswith("write") for line in lines))
        self.reads = max(1, sum(line.startswith("read") for line in lines))
        self.read_names = [line.partition(" ")[2] for line in lines if line.startswith("read")]

    def listen(self, to: Callable[[str, str], None]) -> None:
        """Call it with "read" or "write" and the path, each time; what it raises is raised."""
        busy = False
        main = os.getpid()

        def hook(event: str, given: tuple[Any, ...]) -> None:
            nonlocal busy
            if busy or (event != "open" and event not in CHANGES) or os.getpid() != main:
                return
            path = given[1] if event == "os.rename" else given[0]
            if not isinstance(path, (str, bytes)):
                return
            busy = True
            try:
                path = os.path.abspath(os.fsdecode(path))
                if path.startswith(self._folders):
                    writes = event != "open" or bool((given[2] or 0) & WRITES)
                    to("write" if writes else "read", path)
            except FileNotFoundError:  # of a working directory that is gone
                pass
            finally:
                busy = False

        sys.addaudithook(hook)


class Kind(NamedTuple):
    """Draws a fault for a command in a folder."""

    name: str
    weight: float
    draw: Callable[[np.random.Generator, Path, Moments], Fault]


# --- a file is refused -------------------------------------------------------------------------


def _refused(kind: str, codes: tuple[int, ...]) -> Callable[..., Fault]:
    def draw(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
        count = moments.writes if kind == "write" else moments.reads
        first, code = int(rng.integers(count)), codes[rng.integers(len(codes))]
        for_ever = bool(rng.integers(2))

        def plant(tell: Tell) -> None:
            left = first

            def refuse(what: str, path: str) -> None:
                nonlocal left
                if what != kind:
                    return
                left -= 1
                if left == -1 or (left < 0 and for_ever):
                    tell(path)
                    raise OSError(code, os.strerror(code), path)

            moments.listen(refuse)

        what = f"{errno.errorcode[code]} at {kind} {first}{' and on' if for_ever else ''}"
        return Fault(what, plant, words=_names)

    return draw


def _names(met: str | None) -> Iterable[str]:
    """The names of what was refused first, and of the folders around it."""
    for path in (met or "").splitlines()[:1]:
        yield from (Path(path).name, Path(path).parent.name, "temporary")


# --- a disk that is full -----------------------------------------------------------------------


def _short_files(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    """No file may be longer than so many bytes."""
    size = int(2 ** rng.uniform(0, 17))

    def plant(tell: Tell) -> None:
        tell("a file's size")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return Fault(f"{size} bytes", plant, words=lambda met: (os.strerror(errno.EFBIG),))


def _full_disk(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    """A small file system that has so many pages left."""
    pages = int(2 ** rng.uniform(0, 6)) - 1
    libc = ctypes.CDLL(None, use_errno=True)
    saved = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, b"size=64m"):
        return _short_files(rng, folder, moments)
    for path, data in saved.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    page = resource.getpagesize()
    free = os.statvfs(folder)
    used = (free.f_blocks - free.f_bfree) * free.f_frsize
    size = f"size={used + pages * page}".encode()
    assert not libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 32, size), "it cannot be made small"
    mounted = True

    def lift() -> None:
        nonlocal mounted
        if not mounted:
            return
        mounted = False
        now = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        folders = [path for path in folder.rglob("*") if path.is_dir()]
        assert not libc.umount2(bytes(folder), 2), "it cannot be taken away"
        for path in saved:
            path.unlink()
        for made in folders:
            made.mkdir(parents=True, exist_ok=True)
        for path, data in now.items():
            path.write_bytes(data)

    said = os.strerror(errno.ENOSPC)
    return Fault(
        f"{pages} pages left", lambda tell: tell("the disk"), lift=lift, words=lambda met: (said,)
    )


def mounts_of_ones_own() -> None:
    """Have what this process mounts be seen by it and its children alone, where that is allowed."""
    libc = ctypes.CDLL(None)
    if not libc.unshare(0x20000):
        libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None)


# --- something happens in the middle -----------------------------------------------------------


def _in_the_middle(mischief: Callable[..., Callable[[], str]]) -> Callable[..., Fault]:
    """Something that happens to data that the command reads, or to what it writes, once."""

    def draw(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
        first = int(rng.integers(moments.writes + moments.reads))
        seed = int(rng.integers(2**31))
        touched = folder.parent / "touched"
        touched.write_text("")

        def plant(tell: Tell) -> None:
            left = first

            def act(what: str, path: str) -> None:
                nonlocal left
                left -= 1
                if left == -1:
                    done = mischief(np.random.default_rng(seed), folder, Path(path))
                    touched.write_text(done)
                    tell(done)

            _without_capabilities()
            moments.listen(act)

        def lift() -> None:
            for path in [folder, *folder.rglob("*")]:
                path.chmod(0o755 if path.is_dir() else 0o644)

        def gone(files: Mapping[str, Any]) -> Iterable[str]:
            done = touched.read_text()
            return [n for n in files if done and (n == done or n.startswith(f"{done}/"))]

        return Fault(f"at {first}", plant, lift=lift, gone=gone, leaves=True)

    return draw


def _top(folder: Path, path: Path) -> Path:
    """The folder or file in the place that this path is, or is in."""
    parts = path.relative_to(folder).parts if path.is_relative_to(folder) else ("pictures",)
    return folder / parts[0]


def _vanish(rng: np.random.Generator, folder: Path, path: Path) -> str:
    top = _top(folder, path)
    shutil.rmtree(top) if top.is_dir() else top.unlink(missing_ok=True)
    return top.name


def _lose(rng: np.random.Generator, folder: Path, path: Path) -> str:
    top = _top(folder, path)
    if top.exists():
        top.chmod([0, 0o555, 0o444][rng.integers(3)])
    return top.name


def _shrink(rng: np.random.Generator, folder: Path, path: Path) -> str:
    files = [p for name in ("pictures", "table.csv") for p in _files_of(folder / name)]
    if not path.is_file() or path not in files:
        path = files[rng.integers(len(files))]
    data = path.read_bytes()
    kept = data[: int(rng.integers(len(data)))]
    path.write_bytes(kept if rng.integers(2) else rng.bytes(len(data)))
    return str(path.relative_to(folder))


def _files_of(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _read_only(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    def plant(tell: Tell) -> None:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        _without_capabilities()
        tell("everything")

    def lift() -> None:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)

    return Fault("", plant, lift=lift, words=lambda met: (os.strerror(errno.EACCES),))


def _without_capabilities() -> None:
    """Be refused as everybody is, even as root."""
    libc = ctypes.CDLL(None)
    for capability in range(41):
        libc.prctl(24, capability, 0, 0, 0)  # of the programs that it starts, too
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    libc.capset(header, (ctypes.c_uint32 * 6)())


# --- streams -----------------------------------------------------------------------------------


def _stream(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    which = ([1], [2], [1, 2])[rng.integers(3)]
    how = ("closed", "without a reader", "full")[rng.integers(3)]

    def plant(tell: Tell) -> None:
        tell("a stream")
        for number in which:
            if how == "closed":
                os.close(number)
            elif how == "full":
                os.dup2(os.open("/dev/full", os.O_WRONLY), number)
            else:
                reader, writer = os.pipe()
                os.close(reader)
                os.dup2(writer, number)

    silent = 2 in which or how == "without a reader"
    words = lambda met: ("the output cannot be written",)  # noqa: E731
    hears = 1 not in which
    return Fault(f"{which} {how}", plant, words=words, hears=hears, is_silent=silent)


# --- what a process has ------------------------------------------------------------------------


def _few_files(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    most = int(rng.integers(4, 14))

    def plant(tell: Tell) -> None:
        tell("files")
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + most - 4, used + most - 4))

    return Fault(f"{most} files", plant, words=lambda met: (os.strerror(errno.EMFILE),))


def _no_threads(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    first = int(rng.integers(3))

    def plant(tell: Tell) -> None:
        left, start = first, threading._start_new_thread  # type: ignore[attr-defined]

        def refuse(*given: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                tell("a thread")
                raise RuntimeError("can't start new thread")
            return start(*given)

        threading._start_new_thread = refuse  # type: ignore[attr-defined]

    return Fault(f"after {first}", plant, words=lambda met: ("thread",))


def _no_processes(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    def plant(tell: Tell) -> None:
        def hook(event: str, given: tuple[Any, ...]) -> None:
            if event in ("subprocess.Popen", "os.fork", "os.posix_spawn"):
                tell("a process")
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

        sys.addaudithook(hook)

    return Fault("", plant, words=lambda met: (os.strerror(errno.EAGAIN),))


def _clock(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    first, back = int(rng.integers(6)), float(10 ** rng.uniform(0, 9))

    def plant(tell: Tell) -> None:
        real, calls = time.time, 0

        def set_back() -> float:
            nonlocal calls
            calls += 1
            return real() - (back if calls > first else 0)

        time.time = set_back
        time.time_ns = lambda: int(set_back() * 1e9)

    return Fault(f"{back:.0f} s at call {first}", plant)


def _umask(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    def plant(tell: Tell) -> None:
        tell("a mask")
        os.umask(0o777)
        _without_capabilities()

    def lift() -> None:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)

    return Fault("", plant, lift=lift, words=lambda met: (os.strerror(errno.EACCES),), leaves=True)


def _no_directory(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    def plant(tell: Tell) -> None:
        tell("a directory")
        (elsewhere := folder.parent / "elsewhere").mkdir(exist_ok=True)
        os.chdir(elsewhere)
        elsewhere.rmdir()

    return Fault("", plant)


# --- what is there from the start --------------------------------------------------------------

ENVIRONMENTS: list[dict[str, str | None]] = [
    {"HOME": None},
    {"HOME": "/nonexistent", "MPLCONFIGDIR": None},
    {"HOME": "/proc", "MPLCONFIGDIR": None, "XDG_CACHE_HOME": "/proc"},
    {"HOME": "", "XDG_CACHE_HOME": ""},
    {"TMPDIR": "/nonexistent"},
    {"MPLCONFIGDIR": "/proc/nothing"},
    *({"LC_ALL": name, "PYTHONUTF8": "0"} for name in ("C", "de_DE.UTF-8", "tr_TR.UTF-8", "xx")),
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    *({"PYTHONIOENCODING": name} for name in ("ascii", "cp1252", "utf-16", "cp037", "latin-1")),
    {"PYTHONIOENCODING": "ascii:strict"},
    *({"TZ": zone} for zone in ("", ":/nonexistent", "XXX+99:99", "Asia/Kathmandu", "UTC-24")),
    {"COLUMNS": "0"},
    {"COLUMNS": "x"},
    {"TERM": "dumb", "NO_COLOR": "1"},
    {"PYTHONOPTIMIZE": "2"},
    {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "1"},
    {"OMP_NUM_THREADS": "x"},
    {"OMP_NUM_THREADS": "0", "OPENBLAS_NUM_THREADS": "-1"},
    {"MPLBACKEND": "nonsense"},
    {"MPLBACKEND": "TkAgg", "DISPLAY": ":99"},
    {"PATH": ""},
]


def _environment(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    chosen = ENVIRONMENTS[rng.integers(len(ENVIRONMENTS))]
    what = " ".join(f"{name}={value}" for name, value in chosen.items())
    return Fault(what, None, chosen, hears="PYTHONIOENCODING" not in chosen)


DISK = errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS
READS = errno.EIO, errno.EACCES, errno.ENOENT, errno.EMFILE, errno.ESTALE
FAULTS = [
    Kind("write refused", 6, _refused("write", DISK)),
    Kind("read refused", 4, _refused("read", READS)),
    Kind("short files", 3, _short_files),
    Kind("full disk", 4, _full_disk),
    Kind("vanishes", 3, _in_the_middle(_vanish)),
    Kind("permission lost", 3, _in_the_middle(_lose)),
    Kind("data change", 3, _in_the_middle(_shrink)),
    Kind("read-only", 1, _read_only),
    Kind("stream", 3, _stream),
    Kind("few files", 2, _few_files),
    Kind("no threads", 1, _no_threads),
    Kind("no processes", 1, _no_processes),
    Kind("clock set back", 1, _clock),
    Kind("umask", 1, _umask),
    Kind("no directory", 1, _no_directory),
    Kind("environment", 1.5, _environment),
]
