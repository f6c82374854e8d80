"""A file from the web: resumed where it stopped, verified, and in its place only when whole."""

import contextlib
import http.client
import os
import shutil
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.experiments.system.lock import alone_in

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as stalled."""
ATTEMPTS = 5
"""How often in a row a download may fail without getting a megabyte further."""
PAUSE = 1.0
"""Seconds before the second attempt; doubled before each further one."""
_PIECE = 1 << 16
_STEP = 1 << 20
_SPARE = 1 << 20  # of disk, beyond the file itself

Check = Callable[[Path], str | None]
"""What is wrong with a downloaded file, in words; None if it is the one that was wanted."""


class _Interrupted(Exception):
    """The transfer failed in a way that may pass."""


def download(url: str, target: Path, check: Check, most: int, note: str = "") -> None:
    """Bring the file at `url` to `target`, which does not exist yet, in a folder that is made.

    What arrived is kept in `target.part` if the connection fails for good, and the next call goes
    on from there; if `check` refuses it, it is deleted. At most `most` bytes are taken. `note` goes
    to stderr once a server has answered. Another process that downloads to the same folder is
    waited for.
    Raises `InputError`, naming the URL, and leaves no `target` then.
    """
    part = target.with_name(f"{target.name}.part")
    made = [folder for folder in target.parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with alone_in(target.parent, wait=True):
            if not target.exists():  # or somebody else has brought it meanwhile
                _verified(url, part, check, most, note)
                os.replace(part, target)
    except OSError as error:
        raise InputError(
            f"{url} cannot be kept as {target}: {error.strerror or error}; "
            "funcnn data fetch has --to for another folder"
        ) from None
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # it holds something, as it should
                folder.rmdir()


def _verified(url: str, part: Path, check: Check, most: int, note: str) -> None:
    """Fill `part` with what `check` accepts, or delete it."""
    resumed = part.exists()
    _bring(url, part, most, note)
    wrong = check(part)
    if wrong and resumed:  # its beginning may have been of an older file
        part.unlink()
        _bring(url, part, most, "")
        wrong = check(part)
    if wrong:
        part.unlink()
        raise InputError(f"{url}: the download was not kept: {wrong}")


def _bring(url: str, part: Path, most: int, note: str) -> None:
    """Fill `part`, with as many attempts as make sense."""
    from tqdm import tqdm

    # None: no bar unless stderr is a terminal.
    with tqdm(unit="B", unit_scale=True, leave=False, disable=None, desc=part.stem) as bar:
        failures, notes = 0, [note] * bool(note)
        while True:
            before = _length(part)
            try:
                _transfer(url, part, most, bar, notes)
                return
            except _Interrupted as reason:
                failures = 1 if _length(part) >= before + _STEP else failures + 1
                if failures == ATTEMPTS:
                    kept = ""
                    if _length(part):
                        kept = f"; {_length(part):,} bytes are kept in {part}"
                    else:
                        part.unlink(missing_ok=True)
                    raise InputError(f"{url}: {reason}, {ATTEMPTS} times in a row{kept}") from None
                time.sleep(PAUSE * 2 ** (failures - 1))


def _transfer(url: str, part: Path, most: int, bar: Any, notes: list[str]) -> None:
    """One connection: append to `part` what it lacks, or write it anew if the server sends all."""
    held = _length(part)
    headers = {"User-Agent": f"funcnn/{fn.__version__}", "Accept-Encoding": "identity"}
    if held:
        headers["Range"] = f"bytes={held}-"
    try:
        response = _open(url, headers)
    except urllib.error.HTTPError:  # it is all there, or of another file: `check` will tell
        return
    with response:
        start = _start_of(response) if response.status == 206 else 0
        if start not in (0, held):
            part.unlink(missing_ok=True)
            raise _Interrupted(f"the server sent bytes from {start:,} on, not from {held:,}")
        length = _number(response.headers.get("Content-Length", ""))
        total = None if length is None else start + length
        if total is not None and total > most:
            raise InputError(f"{url} has {total:,} bytes, but at most {most:,} are expected")
        _expect_disk(url, part.parent, (total or most) - held)
        while notes:
            print(notes.pop(), file=sys.stderr)
        bar.total, bar.n = total, start
        with open(part, "r+b" if start else "wb") as file:
            end = file.seek(start)
            while end <= most and (piece := _receive(response)):
                end += file.write(piece)
                bar.update(len(piece))
    if end > most:
        part.unlink()
        raise InputError(f"{url} goes on after the {most:,} bytes that are expected at most")
    if total is not None and end < total:
        raise _Interrupted(f"the connection ended after {end:,} of {total:,} bytes")


def _open(url: str, headers: dict[str, str]) -> Any:
    """The server's answer. Raises `HTTPError` only for 416, that it has not the range asked for."""
    try:
        request = urllib.request.Request(url, headers=headers)
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and "Range" in headers:
            raise
        words = f"the server says {error.code} {_one_line(error.reason)}"
        if error.code in (408, 429) or error.code >= 500:
            raise _Interrupted(words) from None
        raise InputError(f"{url}: {words}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, (TimeoutError, ConnectionResetError, http.client.HTTPException)):
            raise _Interrupted(_in_words(reason)) from None
        raise InputError(f"{url} cannot be reached: {_in_words(reason)}") from None
    except ValueError as error:
        raise InputError(f"{url} is no address: {_one_line(error)}") from None


def _receive(response: Any) -> bytes:
    try:
        piece: bytes = response.read1(_PIECE)  # what there is, so that a stall loses nothing
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(_in_words(error)) from None
    return piece


def _start_of(response: Any) -> int:
    """Where a partial answer begins, as it says itself; -1 if it does not say."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    start = _number(rest.partition("-")[0])
    return start if unit == "bytes" and start is not None else -1


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 20 else None


def _in_words(error: Any) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came for {TIMEOUT:g} seconds"
    if isinstance(error, socket.gaierror):
        return "the name is not known here (offline?)"
    if isinstance(error, ssl.SSLError):
        return f"no safe connection ({error.reason})"
    return getattr(error, "strerror", None) or _one_line(error) or type(error).__name__


def _one_line(message: Any) -> str:
    """What a server may have said, as it can be shown: a short line without escape codes."""
    words = " ".join(str(message).split())[:200]
    return "".join(character for character in words if character.isprintable())


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _expect_disk(url: str, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        raise InputError(f"{url} needs {needed:,} bytes in {folder}, where {free:,} are free")
