"""What was handed in: the files of a zip file or a folder, found without unpacking anything."""

import contextlib
import functools
import io
import os
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from funcnn._files import open_regular
from funcnn.experiments.errors import InputError
from funcnn.experiments.grade.names import decode_names
from funcnn.experiments.grade.verdicts import Verdict, listed
from funcnn.experiments.grade.zip_members import Member, read_member, read_members

_MOST_FILES = 20_000
_MOST_READ = 64 << 20
"""Bytes of a file that is looked into."""
_MOST_INNER = 5
"""Zip files inside that are opened."""
_LONGEST_NAME = 4096
_OF_SYSTEMS = re.compile(
    r"(^|/)(__MACOSX|__pycache__|\.ipynb_checkpoints|\.git|\.idea|\.vscode|\.?venv)(/|$)"
    r"|(^|/)(\._[^/]*|\.DS_Store|Thumbs\.db|desktop\.ini)$"
)
"""What systems and programs leave beside files."""
_OTHER_FORMS = {
    b"Rar!\x1a\x07": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x1f\x8b": "a gzip file",
    b"%PDF-": "a PDF",
}


class File(NamedTuple):
    """A file that was handed in."""

    path: str
    """As it is shown: without the one folder around everything."""
    size: int
    """As the archive claims."""
    read: Callable[[], bytes]
    """Raises `InputError`, which begins with a verb: "is encrypted"; `OSError` of the machine."""

    @property
    def name(self) -> str:
        """Its name, without folders."""
        return posixpath.basename(self.path)


class HandedIn(NamedTuple):
    """All that was handed in."""

    name: str
    """The archive's, or the folder's."""
    is_folder: bool
    files: tuple[File, ...]
    verdicts: tuple[Verdict, ...]
    """On the archive itself."""


@contextlib.contextmanager
def open_hand_in(path: Path, usual: str | None) -> Iterator[HandedIn]:
    """The hand-in there; its files can be read inside of the `with` block.

    usual: the code page of names that may be in one of several. Raises `InputError` for what
    cannot be read at all.
    """
    with contextlib.ExitStack() as closing:
        try:
            handed = _open(path, usual, closing)
        except InputError as error:
            raise InputError(f"{path} {error}") from None
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
        yield handed


def _open(path: Path, usual: str | None, closing: contextlib.ExitStack) -> HandedIn:
    if path.is_dir():
        return _finish(path.resolve().name, True, *_walk(path, usual), usual)
    file = closing.enter_context(open_regular(path))
    _expect_zip(file)
    files, verdicts = _unzip(file, path.name, usual)
    return _finish(path.name, False, files, verdicts, usual)


def _expect_zip(file: IO[bytes]) -> None:
    begin = file.read(512)
    file.seek(0)
    if not begin:
        raise InputError("is an empty file")
    form = next((form for sign, form in _OTHER_FORMS.items() if begin.startswith(sign)), "")
    if begin[257:262] == b"ustar":
        form = "a tar archive"
    if form:
        raise InputError(f"is {form}, not a zip file: unpack it, and give the folder")
    if not begin.startswith((b"PK\3\4", b"PK\5\6")):
        raise InputError("is no zip file, and no folder")


def _walk(folder: Path, usual: str | None) -> tuple[list[File], list[Verdict]]:
    """The regular files in a folder, and what else is there; links are not followed."""
    paths: list[Path] = []
    strange: list[Path] = []
    for inside, folders, there in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not _OF_SYSTEMS.search(name))
        strange += [Path(inside, name) for name in folders if Path(inside, name).is_symlink()]
        for name in sorted(name for name in there if not _OF_SYSTEMS.search(name)):
            path = Path(inside, name)
            plain = path.is_file() and not path.is_symlink()
            (paths if plain else strange).append(path)
        if len(paths) + len(strange) > _MOST_FILES:
            raise InputError(f"has more than {_MOST_FILES:,} files in it")
    names = [os.fsencode(path.relative_to(folder).as_posix()) for path in [*paths, *strange]]
    texts, _ = decode_names(names, usual)
    files = [
        File(text, path.stat().st_size, functools.partial(_read_file, path))
        for text, path in zip(texts, paths, strict=False)
    ]
    odd = {"a link, or no file": texts[len(paths) :]} if strange else {}
    return files, _odd_verdicts(folder.resolve().name, odd)


def _raise(error: OSError) -> None:
    raise error  # or what is in a folder that cannot be read would be taken for missing


def _odd_verdicts(of: str, odd: dict[str, list[str]]) -> list[Verdict]:
    """A line on what is not as plain files are, by what that is."""
    if not odd:
        return []
    found = "; ".join(f"{what}: {listed(these, 3)}" for what, these in odd.items())
    return [Verdict(of, "plain files only", False, found)]


def _read_file(path: Path) -> bytes:
    with open_regular(path) as file:  # it was there: an error is the machine's, no student's
        content = file.read(_MOST_READ + 1)
    if len(content) > _MOST_READ:
        raise InputError(f"has more than the {_MOST_READ:,} bytes that are read")
    return content


def _unzip(file: IO[bytes], archive: str, usual: str | None) -> tuple[list[File], list[Verdict]]:
    """The files in a zip file, and what is odd about it. Raises `InputError`."""
    members = read_members(file)
    odd: dict[str, list[str]] = {}
    if any(len(member.name) > _LONGEST_NAME for member in members):
        odd[f"a name of more than {_LONGEST_NAME:,} bytes"] = ["not read"]
        members = [member for member in members if len(member.name) <= _LONGEST_NAME]
    names, code_page = _names(members, usual)
    files: dict[str, File] = {}
    twice: list[str] = []
    packed_files = [m for name, m in zip(names, members, strict=True) if not name.endswith("/")]
    if packed_files and all(member.encrypted for member in packed_files):
        raise InputError("is encrypted: nothing in it can be read")
    for name, member in zip(names, members, strict=True):
        if name.endswith("/") or _OF_SYSTEMS.search(name):
            continue
        if "\0" in name or not name:
            odd.setdefault("without a proper name", []).append(name)
        elif name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
            odd.setdefault("with a path that leaves the folder", []).append(name)
        elif member.link:
            odd.setdefault("a link", []).append(name)
        else:
            if member.encrypted:
                odd.setdefault("encrypted", []).append(name)
            elif member.impossible:
                odd.setdefault("claims more bytes than it can hold", []).append(name)
            elif member.size > _MOST_READ:
                odd.setdefault("too large to be looked into", []).append(name)
            if name in files:
                twice.append(name)
            read = functools.partial(read_member, file, member, _MOST_READ)
            files[name] = File(name, member.size, read)  # of two the last, as when unpacked
    if len(files) > _MOST_FILES:
        raise InputError(f"has more than {_MOST_FILES:,} files in it")
    if twice:
        odd["there twice"] = twice
    verdicts = _odd_verdicts(archive, odd)
    if code_page:
        claimed = ", though it says UTF-8" if any(m.says_utf8 for m in members) else ""
        found = f"in {code_page}{claimed}, read as such"
        verdicts.append(Verdict(archive, "names that any system can read", None, found))
    return list(files.values()), verdicts


def _names(members: list[Member], usual: str | None) -> tuple[list[str], str | None]:
    """The members' names as text, and their code page if it is not UTF-8."""
    given = [m.name if m.unicode_name is None else m.unicode_name for m in members]
    return decode_names(given, usual)


def _finish(
    name: str, is_folder: bool, files: list[File], verdicts: list[Verdict], usual: str | None
) -> HandedIn:
    """With zip files inside opened, one level deep, and without the folders around everything."""
    files = _without_folder(files)
    zips = [file for file in files if _is_zip(file)]
    whole = len(files) == 1 and len(zips) == 1
    for file in zips[:_MOST_INNER]:
        try:
            content = io.BytesIO(file.read())
            inner, more = _unzip(content, file.name, usual)
        except InputError as error:
            verdicts.append(Verdict(file.path, "an archive that can be opened", False, str(error)))
            continue
        verdicts += more
        around = "" if whole else f"{file.path}/"
        files.remove(file)
        inner = _without_folder(inner)
        files += [each._replace(path=around + each.path) for each in inner]
    closed = [f.path for f in files if _is_zip(f) and f not in zips[:_MOST_INNER]]
    if closed:
        found = f"not opened: {listed(closed, 3)}"
        verdicts.append(Verdict(name, "one archive, without others in it", None, found))
    if whole:  # the hand-in itself, in what a course's site packs around it
        name, is_folder = zips[0].name, False
    if not files:
        raise InputError("holds no files")
    return HandedIn(name, is_folder, tuple(_without_folder(files)), tuple(verdicts))


def _is_zip(file: File) -> bool:
    return file.name.lower().endswith(".zip")


def _without_folder(files: list[File]) -> list[File]:
    """The files without the folder that all of them are in, or the several."""
    parts = [file.path.split("/") for file in files]
    shared = len(posixpath.commonprefix([each[:-1] for each in parts]))
    return [
        file._replace(path="/".join(each[shared:])) for file, each in zip(files, parts, strict=True)
    ]
