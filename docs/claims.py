"""The figures of README and docs: `claims.toml` has each, and what repeats it.

    python docs/claims.py list
    python docs/claims.py run ID ...        again, in a temporary folder: kept or broken
    python docs/claims.py run --all --quick those that take seconds
    python docs/claims.py write             the figures of the entries, into the pages

A page marks a figure with its entry, `<!--mlp3.seed-0-->90.11 %<!--/-->`, which a reader does not
see. `problems` names every number of a page that has no mark and is no setting, shape or version.
"""

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("**/*.md")), *sorted(DOCS.glob("**/*.rst"))]

NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?"
WORDS = {"a": 1, "an": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "ten": 10}
WORDS |= {"half an": 0.5, "seven": 7, "eight": 8, "nine": 9, "twelve": 12, "twenty": 20}
WORDS |= {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "hundred": 100}
UNITS = {"%": 0.01, "MB": 1e6, "KB": 1e3, "GB": 1e9, "bytes": 1, "us": 1e-6, "ms": 1e-3, "s": 1}
UNITS |= {"microsecond": 1e-6, "millisecond": 1e-3, "seconds": 1, "minute": 60, "hour": 3600}
UNIT = r"(?:%|(?:[KMG]B|bytes|[um]?s|(?:micro|milli)seconds?|seconds|minutes?|hours?|times)\b)"
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
    rf"\b[A-Z]\w+ \d+\.\d+\b(?! ?±| ?{UNIT})|\bfrom \d+\.\d+ on\b",  # a version
    r"\d[\d,]*(?: ?x ?\d+|(?:-\d+)+)\b(?:(?: \w+)?, \d+(?= \|))?",  # a shape, and a batch size
    r"(?<=~), \d+(?= \|)|(?<=channels), \d+(?= \|)",  # a batch size after a net
    r"\b\d+ (?:and \d+ )?(?:epochs|steps|channels|bits|classes)\b",  # a setting
    r"\b(?:momentum|decay|rate of) [\d.e-]+\d|\b(?:column|kernel) of \d+|\bpages \d+ and\s+\d+",
    rf"\b0 to \d+\b(?! ?{UNIT})|\b0, 1, 2\b|\b1/\d+\b",  # integers, and mathematics
    r"\b(?:seed|rank|class|from|else|not|with|of) [01]\b(?!\.\d|,\d| ?%)",
    r"(?<=\| )1(?= \|)",  # the unit of ratios
]


class Claim(NamedTuple):
    """A figure: as pages show it, the bounds of a repetition in that unit, and where it is from."""

    name: str
    shown: str
    low: float
    high: float
    how: dict[str, Any]

    @property
    def numbers(self) -> list[float]:
        """What `shown` claims: its numbers, but for a spread after ± or in brackets."""
        return numbers(re.split(r"±|\(", self.shown)[0])

    @property
    def unit(self) -> float:
        """What the value that a command gives is divided by."""
        return float(UNITS.get(self.how.get("unit", unit_of(self.shown)), 1))


def numbers(text: str) -> list[float]:
    """The numbers in a text, in digits or words."""
    words = [it for it in WORDS if re.match(rf"{it}\b", text, re.I)]
    found = [float(it.replace(",", "")) for it in re.findall(NUMBER, text)]
    return found or [float(WORDS[it]) for it in words]


def unit_of(text: str) -> str:
    """The unit that a figure ends with, or nothing."""
    found = re.search(UNIT + "$", text)
    return found[0] if found and found[0] in UNITS else found[0].rstrip("s") if found else ""


def load(path: Path = DOCS / "claims.toml") -> dict[str, Claim]:
    """Every entry by its name, `family.name`, with what its family says; see `claims.toml`."""
    found = {}
    for family, said in tomllib.loads(path.read_text("utf-8")).items():
        common = {key: value for key, value in said.items() if key != "values"}
        for name, own in said.get("values", {}).items():
            how = common | own
            for key in {"options", "file", "at", "match"} & {*common} - {*own}:
                how[key] = how[key].format(*name.split("."))
            claim = Claim(f"{family}.{name}", how.pop("shown"), 0, 0, how)
            near, far = min(claim.numbers), max(claim.numbers)
            factor, margin = how.get("factor", 1), how.get("margin", 0)
            low, high = how.get("within", (near / factor - margin, far * factor + margin))
            found[claim.name] = claim._replace(low=low, high=high)
    return found


def commands(claim: Claim) -> list[list[str]]:
    """The words of each command of a measurement; `funcnn` and `python` are those of here."""
    here = {"funcnn": [sys.executable, "-c", "from funcnn.cli import main; main()"]}
    here["python"] = [sys.executable]
    said = claim.how["command"]
    lines = said if isinstance(said, list) else [f"{said} {claim.how.get('options', '')}"]
    return [[it for word in shlex.split(line) for it in here.get(word, [word])] for line in lines]


def measure(claim: Claim, claims: dict[str, Claim]) -> float:
    """The value again, in the unit of the page: by command, from the source, or from others."""
    how = claim.how
    if "derived" in how:
        others = {f"x{i}": claims[name].numbers[0] for i, name in enumerate(parts(how["derived"]))}
        names = iter(others)
        return float(eval(re.sub(r"\{.*?\}", lambda _: next(names), how["derived"]), {}, others))
    if "source" in how:
        found = re.search(how["match"], (ROOT / how["source"]).read_text("utf-8"))
        return float(found[1] if found else "nan") / claim.unit
    with tempfile.TemporaryDirectory() as folder:
        seconds, output = [], ""
        for words in commands(claim):
            start = time.perf_counter()
            output = subprocess.run(words, cwd=folder, check=True, stdout=-1, text=True).stdout
            seconds.append(time.perf_counter() - start)
        return read(how, output, Path(folder), seconds) / claim.unit


def read(how: dict[str, Any], output: str, folder: Path, seconds: list[float]) -> float:
    """What commands gave: a time, a number in a text, or one in JSON; of several files the mean."""
    if "time" in how:
        ways = {"all": sum, "longest": max, "ratio": lambda times: times[0] / times[1]}
        return float(ways[how["time"]](seconds))
    if "match" in how:
        found = re.search(how["match"], output)
        return float(found[1] if found else "nan")
    files = sorted(folder.glob(how["file"])) if "file" in how else []
    texts = [file.read_text("utf-8") for file in files] if "file" in how else [output]
    return sum(value_at(json.loads(text), how["at"]) for text in texts) / len(texts)


def value_at(data: Any, path: str) -> float:
    """The number at a path of keys and `key=value`, which picks a row of a list; *: the largest."""
    for part in path.split("/"):
        key, _, wanted = part.partition("=")
        if part == "*":
            data = max(data.values())
        elif wanted:
            data = next(row for row in data if wanted in (row[key], " ".join(map(str, row[key]))))
        else:
            data = data[key]
    return float(data)


def parts(expression: str) -> list[str]:
    """The entries that a derived one names in braces."""
    return re.findall(r"\{(.*?)\}", expression)


def kept(claim: Claim, value: float) -> bool:
    """Whether a value lies within the bounds; what is derived or a rule rounds to what is shown."""
    if {"derived", "source"} & {*claim.how}:
        mantissa, _, power = re.findall(NUMBER, claim.shown)[0].partition("e")
        last = 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
        return abs(value - claim.numbers[0]) <= last / 2 * (1 + 1e-9)
    return claim.low <= value <= claim.high


def problems(text: str, claims: dict[str, Claim]) -> Iterator[tuple[int, str]]:
    """Line and message of every figure of a page that is not what its entry says, or has none."""

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", "~", found[0])

    for found in MARKED.finditer(text):
        name, shown, line = found[1], found[2], text.count("\n", 0, found.start()) + 1
        if name not in claims:
            yield line, f"claims.toml has no entry {name}"
        elif shown != claims[name].shown:
            yield line, f"{shown!r} should be {claims[name].shown!r}: python docs/claims.py write"
        if re.fullmatch(r"\s*([-+*>]|\d+\.)?\s*", text[: found.start()].rpartition("\n")[2]):
            yield line, f"the mark of {name} begins a line, which Markdown reads as HTML"
    for pattern in (MARKED.pattern, *NOT_PROSE, *NO_FIGURE):
        text = re.sub(pattern, blank, text)
    for found in FIGURE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield line, f"the figure {found[0]!r} has no entry in claims.toml"


def printed(text: str, claims: dict[str, Claim]) -> str:
    """A page with the figures of the entries in the marks."""

    def shown(found: re.Match[str]) -> str:
        known = claims.get(found[1])
        return f"<!--{found[1]}-->{known.shown}<!--/-->" if known else found[0]

    return MARKED.sub(shown, text)


def table(claims: dict[str, Claim]) -> str:
    """Every entry, as a table in Markdown: figure, bounds, what repeats it."""
    rows = ["| entry | figure | bounds | from |", "| --- | --- | --- | --- |"]
    for claim in claims.values():
        how, bounds = claim.how, f"{claim.low:.4g} to {claim.high:.4g}"
        if "command" in how:
            lines = how["command"] if isinstance(how["command"], list) else [how["command"]]
            origin = f"`{'; '.join(lines)} {how.get('options', '')}`".replace(" `", "`")
            origin += f", {how.get('machine', '')} {how.get('date', '')}".rstrip(", ")
        else:
            bounds = ""
            origin = how.get("unrepeatable") or how.get("source") or how["derived"]
        rows.append(f"| {claim.name} | {claim.shown} | {bounds} | {origin} |".replace("\n", " "))
    return "\n".join(rows)


def main(words: list[str] | None = None) -> int:
    """Called as a command. Returns 1 if a figure is broken."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("action", choices=["list", "run", "write"])
    parser.add_argument("ids", nargs="*", metavar="ID", help="`family.name`, or a whole family")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--quick", action="store_true", help="those that take seconds")
    given, claims, broken = parser.parse_args(words), load(), 0
    if given.action == "write":
        for page in PAGES:
            before = page.read_text("utf-8")
            if (after := printed(before, claims)) != before:
                page.write_text(after, "utf-8", newline="\n")
                print(f"written: {page.relative_to(ROOT)}")
        return 0
    for name in given.ids:
        if not any(name in (claim, claim.rpartition(".")[0]) for claim in claims):
            parser.error(f"no entry {name}: `list` has them all")
    for name, claim in claims.items():
        if given.ids and not {name, name.rpartition(".")[0]} & {*given.ids}:
            continue
        if given.action == "list" or "unrepeatable" in claim.how:
            why = claim.how.get("unrepeatable")
            print(f"{name}: {claim.shown}" + (f", cannot be repeated: {why}" if why else ""))
        elif given.ids or (given.all and ("command" not in claim.how or not given.quick or claim.how.get("quick"))):
            value = measure(claim, claims)
            good = kept(claim, value)
            broken += not good
            bounds = f"{claim.low:.4g} to {claim.high:.4g}"
            print(f"{name}: {claim.shown} on the page, {bounds} allowed; now {value:.6g}", end=", ")
            print("kept" if good else "BROKEN", flush=True)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
