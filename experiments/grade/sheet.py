"""What a lab's sheet wants handed in, and what of it there is in a hand-in."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from funcnn.experiments.errors import InputError
from funcnn.experiments.grade.hand_in import File, HandedIn
from funcnn.experiments.grade.notebooks import Notebook, read_notebook
from funcnn.experiments.grade.python_sources import (
    Source,
    count_signs,
    parse_module,
    parse_notebook,
)
from funcnn.experiments.grade.verdicts import Verdict
from funcnn.types import Array

_MOST_SOURCES = 40
_MOST_BYTES = 64 << 20
"""Of all Python and notebooks together, pictures in these included."""
_MOST_SIGNS = 300_000
"""Of all Python together, as `count_signs` does: some 25,000 lines, or 300 MB of trees at most."""


class _LeftOutError(Exception):
    """A file is not looked at, and why."""


class Wanted(NamedTuple):
    """A file that the sheet names."""

    kind: str
    """How the rules call it."""
    pattern: str
    """Its name; `{id}` and `{name}` stand for the student's. An ending alone: any such file."""
    like: str
    """What a name has, in lower case, that is meant to be it."""
    apart: bool = False
    """Whether it goes somewhere else, to Kaggle for instance, so that it may be missing here."""

    @property
    def any_name(self) -> bool:
        """Whether the sheet says no name."""
        return self.pattern.startswith(".")

    def match(self, name: str) -> re.Match[str] | None:
        """The match of a name that is right to the letter."""
        return match_name(self.pattern, name)


class Predictions(NamedTuple):
    """The CSV file that a sheet wants."""

    rows: int
    classes: int
    data: str | None
    """The published set whose test labels are the truth, if there is one."""
    form_said: bool = True
    """Whether the sheet says that the columns are Id and Category."""


class Sheet(NamedTuple):
    """What can be looked for of a lab."""

    lab: str
    archive: str | None
    """The archive's name, if the sheet says it."""
    wanted: tuple[Wanted, ...]
    code_page: str
    """Of the names of its students, where it may be one of several."""
    rules: tuple["Rule", ...]
    """In the order of the table."""
    predictions: Predictions | None = None
    python: tuple[int, int] | None = None
    """The Python that its machines have, if the sheet says it."""


class Work(NamedTuple):
    """A hand-in as the rules of a sheet look at it."""

    sheet: Sheet
    handed: HandedIn
    files: dict[str, File]
    """What the sheet names, by kind, as far as it is there."""
    notebooks: dict[str, Notebook]
    """By path, those that could be read."""
    sources: dict[str, Source]
    """By path, all Python, that of the notebooks too."""
    faults: tuple[Verdict, ...]
    """What could not be read."""
    labels: Array | None
    """The true classes of the test images, (N,), where they are known."""

    @property
    def student_id(self) -> str | None:
        """The one that the names say most often; None: none does."""
        ids = self.ids()
        return max(ids, key=lambda each: len(ids[each])) if ids else None

    @property
    def unread(self) -> bool:
        """Whether some of its Python was not looked at, so that what is not found may be there."""
        return bool(self.faults) or any(source.faults for source in self.sources.values())

    def ids(self) -> dict[str, list[str]]:
        """The ids in the names, each with the names that say it."""
        found: dict[str, list[str]] = {}
        archive = self.sheet.archive or ""
        if self.handed.is_folder:  # unpacked, it is called as the archive was, or in any other way
            archive = archive.removesuffix(".zip")
        named = [(wanted.pattern, file.name) for wanted, file in self.pairs()]
        for pattern, name in [(archive, self.handed.name), *named]:
            match = match_name(pattern, name) if "{id}" in pattern else None
            if match:
                found.setdefault(match["id"], []).append(name)
        return found

    def pairs(self) -> Iterator[tuple[Wanted, File]]:
        """What is wanted and there."""
        for wanted in self.sheet.wanted:
            if wanted.kind in self.files:
                yield wanted, self.files[wanted.kind]

    def source(self, kind: str) -> Source | None:
        """The Python of a file that the sheet names."""
        file = self.files.get(kind)
        return None if file is None else self.sources.get(file.path)

    def notebook(self, kind: str) -> Notebook | None:
        """A notebook that the sheet names."""
        file = self.files.get(kind)
        return None if file is None else self.notebooks.get(file.path)


Rule = Callable[[Work], Iterator[Verdict]]


def match_name(pattern: str, name: str) -> re.Match[str] | None:
    """Whether this is the name, with somebody's id and name in it: the groups `id` and `name`."""
    expression = re.escape(pattern)
    expression = expression.replace(r"\{id\}", "(?P<id>[A-Za-z0-9][A-Za-z0-9-]*)")
    expression = expression.replace(r"\{name\}", r"(?P<name>[^/]*[^/\s])")
    return re.fullmatch(expression, name)


def look_through(sheet: Sheet, handed: HandedIn, labels: Array | None) -> Work:
    """The hand-in with its files found by the sheet's names, and its Python parsed."""
    files = _assign(sheet.wanted, handed.files)
    named = {file.path for file in files.values()}
    of_python = [f for f in handed.files if f.name.endswith((".py", ".ipynb"))]
    of_python.sort(key=lambda file: (file.path not in named, file.path.count("/")))
    notebooks: dict[str, Notebook] = {}
    sources: dict[str, Source] = {}
    faults: list[Verdict] = []
    if len(of_python) > _MOST_SOURCES:
        found = f"{len(of_python):,}, of which {_MOST_SOURCES} were looked at"
        faults.append(Verdict(handed.name, "its own Python and notebooks", None, found))
    left, signs_left = _MOST_BYTES, _MOST_SIGNS
    for file in of_python[:_MOST_SOURCES]:
        try:
            content = file.read()
            if len(content) > left:
                raise _LeftOutError(f"more than {_MOST_BYTES:,} bytes with the others")
            left -= len(content)
            notebook = read_notebook(content) if file.name.endswith(".ipynb") else None
            text = content.decode(errors="replace") if notebook is None else notebook.code
            signs = count_signs(text, signs_left)
            if signs > signs_left:
                raise _LeftOutError("there is more Python than is looked at")
            signs_left -= signs
            if notebook is None:
                sources[file.path] = parse_module(file.name, content, sheet.python)
            else:
                notebooks[file.path] = notebook
                sources[file.path] = parse_notebook(file.name, notebook, sheet.python)
        except _LeftOutError as error:  # by limits of ours, which say nothing of it
            faults.append(Verdict(file.name, "it can be read", None, f"is left out: {error}"))
        except InputError as error:
            faults.append(Verdict(file.name, "it can be read", False, str(error)))
    return Work(sheet, handed, files, notebooks, sources, tuple(faults), labels)


def _assign(wanted: tuple[Wanted, ...], there: tuple[File, ...]) -> dict[str, File]:
    """The file of each kind: that of the right name, else one whose name is like it."""
    files: dict[str, File] = {}
    for each in wanted:
        right = [] if each.any_name else [file for file in there if each.match(file.name)]
        if right:
            files[each.kind] = min(right, key=lambda file: file.path.count("/"))
    for each in wanted:
        left = [file for file in there if file not in files.values()]
        alike = [file for file in left if re.search(each.like, file.name.lower())]
        if alike and each.kind not in files:
            files[each.kind] = min(alike, key=lambda file: file.path.count("/"))
    return files
