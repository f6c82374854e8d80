"""Rules on files as such: names, ids, the archive, PDFs whole, and no data among them."""

import re
import zlib
from collections.abc import Iterator
from itertools import islice, pairwise

from funcnn.experiments.errors import InputError
from funcnn.experiments.grade.sheet import Work, match_name
from funcnn.experiments.grade.verdicts import Verdict, listed

_DATA = re.compile(
    r"(-ubyte(\.gz)?|\.(gz|bz2|xz|tar|parquet|mat|h5|hdf5))$|(^|/)(train|test)(_data)?\.csv$"
    r"|(^|/)[^/]*mnist[^/]*\.csv$",
    re.IGNORECASE,
)
_LARGE_ARRAYS = re.compile(r"\.(npz|npy|pkl|pickle|csv|txt)$", re.IGNORECASE)
_LARGE = 5_000_000
_MOST_STREAMS = 200
_LONGEST_STREAM = 1 << 20


def archive_rules(work: Work) -> Iterator[Verdict]:
    """The archive's name, what is odd about it, and what is in it beside the files wanted."""
    handed, pattern = work.handed, work.sheet.archive
    if pattern:
        rule = f"the archive is called {_shown(pattern)}"
        if handed.is_folder:
            yield Verdict(handed.name, rule, None, "a folder was given")
        else:
            right = match_name(pattern, handed.name) is not None
            yield Verdict(handed.name, rule, right, handed.name)
    yield from handed.verdicts
    yield from work.faults
    data = [
        file.path
        for file in handed.files
        if _DATA.search(file.path) or (_LARGE_ARRAYS.search(file.name) and file.size > _LARGE)
    ]
    size = sum(file.size for file in handed.files)
    found = listed(data, 3) if data else f"{len(handed.files):,} files, {size / 1e6:.1f} MB"
    yield Verdict(handed.name, "without the data", not data, found)


def name_rules(work: Work) -> Iterator[Verdict]:
    """Each file that the sheet names is there, and called so."""
    for wanted in work.sheet.wanted:
        file, rule = work.files.get(wanted.kind), f"a file {_shown(wanted.pattern)}"
        if wanted.any_name:
            rule = f"the {wanted.kind}, a {wanted.pattern} file"
        if file is None and wanted.apart:
            yield Verdict(_shown(wanted.pattern), rule, None, "not here; it may go to Kaggle apart")
        elif file is None:
            yield Verdict(_shown(wanted.pattern), rule, False, "missing")
        else:
            right = wanted.any_name or wanted.match(file.name) is not None
            yield Verdict(file.name, rule, right, file.path)
    expected = {file.path for file in work.files.values()}
    others = [file.path for file in work.handed.files if file.path not in expected]
    if others and not any(wanted.any_name for wanted in work.sheet.wanted):
        yield Verdict(work.handed.name, "these files", None, f"also {listed(others, 4)}")


def id_rules(work: Work) -> Iterator[Verdict]:
    """One student's id in all names, and in the notebooks."""
    ids = work.ids()
    rule = "the student's id in the names, the same in all"
    if not ids:
        # A folder may be called in any way, and the files' names need none.
        unsure = work.handed.is_folder and not any("{id}" in w.pattern for w in work.sheet.wanted)
        found = "no name has one where the sheet wants it"
        yield Verdict(work.handed.name, rule, None if unsure else False, found)
        return
    found = "; ".join(f"{each}: {listed(names, 3)}" for each, names in ids.items())
    yield Verdict(work.handed.name, rule, len(ids) == 1, found if len(ids) > 1 else next(iter(ids)))
    for path, notebook in work.notebooks.items():
        text = f"{notebook.text}\n{notebook.printed}"
        there = any(re.search(rf"(?<![A-Za-z0-9]){re.escape(each)}(?![0-9])", text) for each in ids)
        rule = "the student's id in the notebook"
        yield Verdict(_base(path), rule, there, "" if there else "it does not stand there")


def report_rules(work: Work) -> Iterator[Verdict]:
    """The report is a whole PDF."""
    file = work.files.get("report")
    if file is None:
        return
    rule = "a whole PDF"
    try:
        content = file.read()
    except InputError as error:
        yield Verdict(file.name, rule, False, str(error))
        return
    begins = content[:1024].find(b"%PDF-") >= 0
    ends = b"%%EOF" in content[-2048:]
    pages = _pages(content) if begins else 0
    found = f"{pages} pages" if pages else f"{len(content):,} bytes"
    if not begins:
        found = "it does not begin as a PDF does"
    elif not ends:
        found = "it is cut: its end is missing"
    yield Verdict(file.name, rule, begins and ends, found)
    rule = "the student's id and name on the first page"
    yield Verdict(file.name, rule, None, "not looked at: open it")


def notebook_rules(work: Work) -> Iterator[Verdict]:
    """Every notebook ran from its first cell to its last."""
    for path, notebook in work.notebooks.items():
        rule = "ran from its first cell to its last, without an error"
        cells = notebook.cells
        counts = [cell.ran_as for cell in cells if cell.ran_as is not None]
        errors = [f"cell {cell.number}: {cell.error}" for cell in cells if cell.error]
        not_run = [f"cell {cell.number}" for cell in cells if cell.ran_as is None]
        back = [
            f"cell {b.number} ran before cell {a.number}"
            for a, b in pairwise(cells)
            if a.ran_as is not None and b.ran_as is not None and b.ran_as <= a.ran_as
        ]
        if not errors and any(cell.has_output and cell.ran_as is None for cell in cells):
            found = "some of what came of it has no number that says when"  # as Colab may save it
            yield Verdict(_base(path), rule, None, found)
        elif not counts and not errors:
            yield Verdict(_base(path), rule, False, "it has not run")
        elif errors or back or not_run:
            wrong = [*errors, *back, *([f"not run: {listed(not_run, 3)}"] if not_run else [])]
            yield Verdict(_base(path), rule, False, listed(wrong, 3))
        else:
            found = f"{len(cells)} cells, numbers {counts[0]} to {counts[-1]}"
            yield Verdict(_base(path), rule, True, found)


def _pages(content: bytes) -> int:
    """How many pages a PDF has, as far as that is told by bytes; 0: it is not."""
    page = re.compile(rb"/Type\s*/Page\b(?!s)")
    pages = sum(1 for _ in page.finditer(content))
    starts = re.finditer(rb"/ObjStm\b[^\0]{0,200}?stream\r?\n", content)
    for start in islice(starts, _MOST_STREAMS):
        packed = content[start.end() : start.end() + _LONGEST_STREAM]
        try:
            stream = zlib.decompressobj().decompress(packed, _LONGEST_STREAM)
        except zlib.error:
            continue
        pages += sum(1 for _ in page.finditer(stream))
    return pages


def _shown(pattern: str) -> str:
    """A name as the sheet writes it."""
    return pattern.replace("{id}", "ID").replace("{name}", "NAME")


def _base(path: str) -> str:
    return path.rsplit("/", 1)[-1]
