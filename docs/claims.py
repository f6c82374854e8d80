"""The figures of README and docs: `claims.toml` has each, with what gives it again.

    python docs/claims.py list [ID ...]
    python docs/claims.py run ID ...        again, in a temporary folder: kept or broken
    python docs/claims.py run --all --quick those that take seconds
    python docs/claims.py write             the figures of the entries, into the pages

How pages name the entries of their figures: `marks.py`.
"""

import argparse
import functools
import json
import math
import re
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from marks import NUMBER, PAGES, UNITS, numbers, printed

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
CLAIMS = DOCS / "claims.toml"


class Claim(NamedTuple):
    """A figure as pages show it, the bounds of a repetition in that unit, and what gives it."""

    name: str
    shown: str
    low: float
    high: float
    how: dict[str, Any]

    @property
    def measured(self) -> bool:
        """Whether a command gives it, not other entries or the source."""
        return not {"derived", "source", "unrepeatable"} & {*self.how}

    @property
    def origin(self) -> str:
        """What gives it, in a line."""
        for key in ("unrepeatable", "derived", "source"):
            if key in self.how:
                return str(self.how[key])
        first, *more = self.lines()
        if "\n" in first:
            return "a script in claims.toml"
        return first + (f"; and {len(more)} more" if more else "")

    def lines(self) -> list[str]:
        """The commands of a measurement."""
        said = self.how["command"]
        return said if isinstance(said, list) else [f"{said} {self.how.get('options', '')}".strip()]


def unit(claim: Claim) -> float:
    """What the value of a command is divided by, to be in the unit of the page."""
    name = claim.how.get("unit", claim.shown.split()[-1])
    return float(UNITS.get(name, UNITS.get(name.rstrip("s"), 1)))


def load(path: Path = CLAIMS) -> dict[str, Claim]:
    """Every entry by its name, `family.name`, with what its family says: see `claims.toml`."""
    claims = {}
    for family, said in tomllib.loads(path.read_text("utf-8")).items():
        for name, own in said.get("values", {}).items():
            how = {key: value for key, value in said.items() if key != "values"} | own
            for key in {"options", "file", "at", "match"} & {*said} - {*own}:
                how[key] = how[key].format(*name.split("."))
            shown, margin = how.pop("shown"), how.get("margin", 0)
            if {"derived", "source"} & {*how}:  # it rounds to what is shown
                digits, _, power = re.findall(NUMBER, shown)[0].partition("e")
                margin = 10.0 ** (int(power or 0) - len(digits.partition(".")[2])) * (0.5 + 1e-9)
            low, high = min(numbers(shown)), max(numbers(shown))
            factor = how.get("factor", 1)
            low, high = how.get("within", (low / factor - margin, high * factor + margin))
            claims[f"{family}.{name}"] = Claim(f"{family}.{name}", shown, low, high, how)
    return claims


def machines() -> dict[str, str]:
    """What is known of the machines that entries name."""
    return dict(tomllib.loads(CLAIMS.read_text("utf-8"))["machines"])


def words_of(line: str) -> list[str]:
    """The words of a command; its program, `funcnn` or `python`, is that of here."""
    words, here = shlex.split(line), {"python": [sys.executable]}
    here["funcnn"] = [sys.executable, "-c", "from funcnn.cli import main; main()"]
    first = next(i for i, word in enumerate(words) if word in here)
    return words[:first] + here[words[first]] + words[first + 1 :]


@functools.cache
def run(lines: tuple[str, ...], folder: Path) -> tuple[str, Path, list[float]]:
    """What the last of some commands printed, the new folder that they ran in, seconds of each."""
    seconds, output, place = [], "", Path(tempfile.mkdtemp(dir=folder))
    for line in lines:
        start = time.perf_counter()
        done = subprocess.run(
            words_of(line), cwd=place, check=True, stdout=subprocess.PIPE, text=True
        )
        seconds.append(time.perf_counter() - start)
        output = done.stdout
    return output, place, seconds


def measure(claim: Claim, claims: dict[str, Claim], folder: Path) -> float:
    """The value again, in the unit of the page: from other entries, the source, or commands.

    Entries of one command share its run, in a folder of its own inside of this one.
    """
    how = claim.how
    if "derived" in how:
        others = {name: numbers(claims[name].shown)[0] for name in parts(how["derived"])}
        return float(eval(re.sub(r"\{(.*?)\}", lambda it: str(others[it[1]]), how["derived"]), {}))
    if "source" in how:
        return _matched(how["match"], (ROOT / how["source"]).read_text("utf-8")) / unit(claim)
    return read(how, *run(tuple(claim.lines()), folder)) / unit(claim)


def parts(expression: str) -> list[str]:
    """The entries that an expression names in braces."""
    return re.findall(r"\{(.*?)\}", expression)


def read(how: dict[str, Any], output: str, folder: Path, seconds: list[float]) -> float:
    """What commands gave: a time, a number in a text, or one in JSON; of several files the mean."""
    if "time" in how:
        ways = {"all": sum(seconds), "longest": max(seconds), "ratio": seconds[0] / seconds[-1]}
        return ways[how["time"]]
    if "match" in how:
        return _matched(how["match"], output)
    files = sorted(folder.glob(how["file"])) if "file" in how else []
    texts = [file.read_text("utf-8") for file in files] if "file" in how else [output]
    return sum(_at(json.loads(text), how["at"]) for text in texts) / len(texts)


def _matched(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if not found:
        raise ValueError(f"{pattern} is not found")
    return float(found[1])


def _at(data: Any, path: str) -> float:
    for part in path.split("/"):
        key, _, wanted = part.partition("=")
        if part == "*":
            data = max(data.values())
        elif wanted:
            data = [row for row in data if wanted in (row[key], " ".join(row[key]))]
        else:
            data = (data[0] if isinstance(data, list) else data)[key]
    return float(data)


def main(words: list[str] | None = None) -> int:
    """Called as a command. Returns 1 if a figure is broken."""
    parser = argparse.ArgumentParser(description="The figures of README and docs.")
    parser.add_argument("action", choices=["list", "run", "write"])
    parser.add_argument("ids", nargs="*", metavar="ID", help="an entry, or a family of entries")
    parser.add_argument("--all", action="store_true", help="every entry: a day")
    parser.add_argument("--quick", action="store_true", help="of these, those that take seconds")
    given, claims, broken = parser.parse_args(words), load(), 0
    if given.action == "write":
        shown = {name: claim.shown for name, claim in claims.items()}
        for page in PAGES:
            text = printed(page.read_text("utf-8"), shown, "<!--{0}-->{1}<!--/-->")
            page.write_text(text, "utf-8", newline="\n")
        return 0
    every = given.all or (given.action == "list" and not given.ids)
    chosen = [it for it in claims if every or {it, it.partition(".")[0]} & {*given.ids}]
    if not chosen:
        parser.error(f"no entry {' '.join(given.ids)}: `list` has them all")
    with tempfile.TemporaryDirectory() as folder:
        for claim in (claims[name] for name in chosen):
            said = f"{claim.name}: {claim.shown}; {claim.low:.7g} to {claim.high:.7g}"
            if given.quick and claim.measured and not claim.how.get("quick"):
                continue
            if given.action == "list" or "unrepeatable" in claim.how:
                print(f"{said}; {claim.origin}")
                continue
            try:
                value = measure(claim, claims, Path(folder))
            except (
                subprocess.SubprocessError,
                ArithmeticError,
                LookupError,
                TypeError,
                ValueError,
            ) as e:
                said, value = f"{said}; {type(e).__name__}: {e}", math.nan
            kept = claim.low <= value <= claim.high
            broken += not kept
            print(f"{said}; now {value:.7g}, {'kept' if kept else 'BROKEN'}", flush=True)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
