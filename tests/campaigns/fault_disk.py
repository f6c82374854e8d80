"""Faults of files, of a disk, and of what others do to them in the middle."""

import ctypes
import errno
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from campaigns.fault import Fault, Moments, Tell, allow_again, denied, without_capabilities


def refused(kind: str, codes: tuple[int, ...]) -> Callable[..., Fault]:
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


# --- a disk that is full -------------------------------------------------------------------------


def short_files(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    """No file may be longer than so many bytes."""
    size = int(2 ** rng.uniform(0, 17))

    def plant(tell: Tell) -> None:
        tell("a file's size")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return Fault(f"{size} bytes", plant, words=lambda met: (os.strerror(errno.EFBIG),))


def full_disk(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    """A small file system that has so many pages left."""
    pages = int(2 ** rng.uniform(0, 6)) - 1
    libc = ctypes.CDLL(None, use_errno=True)
    saved = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, b"size=64m"):
        return short_files(rng, folder, moments)
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


# --- something happens in the middle -------------------------------------------------------------


def in_the_middle(mischief: Callable[..., Callable[[], str]]) -> Callable[..., Fault]:
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

            without_capabilities()
            moments.listen(act)

        def gone(files: Mapping[str, Any]) -> Iterable[str]:
            done = touched.read_text()
            return [n for n in files if done and (n == done or n.startswith(f"{done}/"))]

        return Fault(f"at {first}", plant, lift=lambda: allow_again(folder), gone=gone, leaves=True)

    return draw


def _top(folder: Path, path: Path) -> Path:
    """The folder or file in the place that this path is, or is in."""
    parts = path.relative_to(folder).parts if path.is_relative_to(folder) else ("pictures",)
    return folder / parts[0]


def vanish(rng: np.random.Generator, folder: Path, path: Path) -> str:
    top = _top(folder, path)
    shutil.rmtree(top) if top.is_dir() else top.unlink(missing_ok=True)
    return top.name


def lose(rng: np.random.Generator, folder: Path, path: Path) -> str:
    top = _top(folder, path)
    if top.exists():
        top.chmod([0, 0o555, 0o444][rng.integers(3)])
    return top.name


def shrink(rng: np.random.Generator, folder: Path, path: Path) -> str:
    files = [p for name in ("pictures", "table.csv") for p in _files_of(folder / name)]
    if not path.is_file() or path not in files:
        path = files[rng.integers(len(files))]
    data = path.read_bytes()
    kept = data[: int(rng.integers(len(data)))]
    path.write_bytes(kept if rng.integers(2) else rng.bytes(len(data)))
    return str(path.relative_to(folder))


def _files_of(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def read_only(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    def plant(tell: Tell) -> None:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        without_capabilities()
        tell("everything")

    return Fault("", plant, lift=lambda: allow_again(folder), words=denied)
