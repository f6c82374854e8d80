"""How pages name the entries of their figures, and which numbers of a page are figures.

A page marks a figure with its entry, `<!--mlp3.test-->90.11 %<!--/-->`; no reader sees the marks.
What is a number and is neither code nor a setting, shape, version or name needs one.
"""

import re
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGES = [DOCS.parent / "README.md", *sorted(DOCS.glob("**/*.md")), *sorted(DOCS.glob("**/*.rst"))]

NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?"
WORDS: dict[str, float] = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
}
WORDS |= {"nine": 9, "ten": 10, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30}
WORDS |= {"forty": 40, "fifty": 50, "sixty": 60, "hundred": 100, "a": 1, "an": 1, "half an": 0.5}
UNITS = {"%": 0.01, "MB": 1e6, "KB": 1e3, "GB": 1e9, "bytes": 1, "us": 1e-6, "ms": 1e-3, "s": 1}
UNITS |= {"microsecond": 1e-6, "millisecond": 1e-3, "seconds": 1, "minute": 60, "hour": 3600}
UNIT = r"(?:%|(?:[KMG]B|bytes|[um]?s|m\w+seconds?|seconds|minutes?|hours?|times|per cent)\b)"
FIGURE = re.compile(rf"{NUMBER}|\b(?:{'|'.join(WORDS)})\s+{UNIT}", re.I)
MARKED = re.compile(r"<!--([^\s/>]+)-->(.*?)<!--/-->")

NOT_PROSE = [  # code, commands, mathematics, addresses, what a directive or a role says
    r"(?ms)^( *)(```|:::).*?^\1\2$",
    r"(?ms)^ *>>>.*?(?:\n\s*\n|\Z)",
    r"(?m)^ {4,}(?=\S).*$",
    r"(?m)^ *(?:\.\. \w|:\w).*$",
    r"(``?)[^`]+\1",
    r"(?s)\$\$.*?\$\$|\$[^$]+\$",
    r"!\[[^]]*\]\([^)]*\)|\]\([^)]*\)",
]
NO_FIGURE = [  # what a number is that is no figure
    r"(?m)^\s*(?:\d+\.|#+ \d+\.) ",  # of a list or a heading
    r"\b[A-Za-z]+(?:[-.]?\d\w*)+",  # part of a name: float64, x86-64, Apache-2.0
    r"\b[A-Z]\w+ \d+\.\d+(?= or later| with [A-Z])|\bfrom \d+\.\d+ on\b",  # a version
    rf"\d[\d,]*(?: ?x ?\d+|(?:-\d+)+)\b(?! ?{UNIT})(?:(?: \w+)?, \d+(?= \|))?",  # a shape, a batch
    r"(?<=~), \d+(?= \|)|(?<=channels), \d+(?= \|)",  # a batch size after a net
    r"\b\d+ (?:and \d+ )?(?:epochs|steps|channels|bits|classes)\b",  # a setting
    r"\b(?:momentum|decay|rate of) [\d.e-]+\d|\b(?:column|kernel) of \d+|\bpages \d+ and\s+\d+",
    rf"\b0 to \d+\b(?! ?{UNIT})|\b0, 1, 2\b|\b1/\d+\b",  # integers, and mathematics
    r"\b(?:seed|rank|class|from|else|not|with|of) [01]\b(?!\.\d|,\d| ?%)",
    r"(?<=\| )1(?= \|)",  # the unit of ratios
]


def numbers(shown: str) -> list[float]:
    """What a figure claims: its numbers, but for a spread after ± or in brackets."""
    digits = re.findall(NUMBER, re.split(r"±|\(", shown)[0])
    if not digits:
        return [next(value for word, value in WORDS.items() if re.match(rf"{word}\b", shown))]
    return [float(it.replace(",", "")) for it in digits]


def problems(text: str, entries: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Line and message of every figure of a page that is not what its entry says, or has none."""

    def line(found: re.Match[str]) -> int:
        return text.count("\n", 0, found.start()) + 1

    for found in MARKED.finditer(text):
        if found[1] not in entries:
            yield line(found), f"claims.toml has no entry {found[1]}"
        elif found[2] != entries[found[1]]:
            shown = entries[found[1]]
            yield line(found), f"{found[2]} should be {shown}: python docs/claims.py write"
        if re.fullmatch(r"\s*([-+*>]|\d+\.)?\s*", text[: found.start()].rpartition("\n")[2]):
            yield line(found), f"the mark of {found[1]} begins a line: Markdown takes it for HTML"
    for pattern in (MARKED.pattern, *NOT_PROSE, *NO_FIGURE):
        text = re.sub(pattern, lambda it: re.sub(r"[^\n]", "~", it[0]), text)
    for found in FIGURE.finditer(text):
        yield line(found), f"the figure {found[0]} has no entry in claims.toml"


def printed(text: str, entries: dict[str, str], mark: str = "{1}") -> str:
    """A page with the figures of the entries in the marks' place; mark: of name and figure."""
    return MARKED.sub(lambda it: mark.format(it[1], entries.get(it[1], it[2])), text)
