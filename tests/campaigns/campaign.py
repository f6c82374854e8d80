"""A campaign: many tries, each drawn by its number and the seed, that hold or break.

A campaign is given its time, and several processes share its tries: the first does numbers 0, 2,
4, ..., say. A try raises an `AssertionError`, or anything that it did not foresee, if what is
promised does not hold; else it says in a word or two how it ended, and the table counts the words,
so that one sees whether the tries came to where something can break.
"""

import collections
import json
import multiprocessing
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import numpy as np

Try = Callable[[np.random.Generator], str]
"""Draws something and tries it; returns how it ended."""
MOST_BROKEN = 20
"""So many tries of a process may break, beside those that may; then the campaign is over."""
GRACE = 330
"""Seconds for the last try of a process."""


class Campaign(NamedTuple):
    """What is tried, and how."""

    name: str
    what: str
    """What one try is, in the plural, for the table."""
    share: float
    """Of the time of all, in comparison with the shares of the others."""
    begin: Callable[[Path], AbstractContextManager[Try]]
    """Makes, in an empty folder, what all tries of a process share; gives the try."""
    may_break: float = 0
    """This share of the tries; more is too many."""


class Broken(NamedTuple):
    """A try in which a promise did not hold."""

    number: int
    why: str


class Outcome(NamedTuple):
    """What came of a campaign."""

    campaign: str
    what: str
    tries: int
    ended: dict[str, int]
    """How often a try ended so."""
    broken: list[Broken]
    seconds: float
    may_break: float = 0

    @property
    def holds(self) -> bool:
        """Whether no more broke than may, of a hundred at least: of a few that is chance."""
        return len(self.broken) <= self.may_break * max(self.tries, 100)


def carry_out(
    campaign: Campaign, seed: int, seconds: float, processes: int, tries: range | None = None
) -> Outcome:
    """What comes of a campaign in so many seconds, or of these tries of it alone."""
    start = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix=f"campaign-{campaign.name}-") as name:
        workers = []
        for first in range(processes):
            folder = Path(name, str(first))
            folder.mkdir()
            numbers = (tries or range(2**62))[first::processes]
            arguments = (campaign, folder, seed, numbers, seconds if tries is None else None)
            workers.append((context.Process(target=_work, args=arguments), folder))
        for process, _ in workers:
            process.start()
        for process, _ in workers:
            process.join(None if tries else max(0, start + seconds + GRACE - time.monotonic()))
        outcomes = [_outcome(campaign, process, folder) for process, folder in workers]
    ended: collections.Counter[str] = collections.Counter()
    for outcome in outcomes:
        ended.update(outcome.ended)
    broken = sorted(broken for outcome in outcomes for broken in outcome.broken)
    done = sum(ended.values()) + len(broken)
    seconds = time.monotonic() - start
    words = dict(ended.most_common())
    what, may_break = campaign.what, campaign.may_break
    return Outcome(campaign.name, what, done, words, broken, seconds, may_break)


def tries_of(
    campaign: Campaign, folder: Path, seed: int, numbers: Iterable[int]
) -> Iterator[tuple[int, str | None, str | None]]:
    """Of each try its number, and in a word how it ended, or why it broke; in an empty folder."""
    with campaign.begin(folder) as one_try:
        for number in numbers:
            try:
                word, why = one_try(np.random.default_rng([seed, number])), None
            except BaseException as error:
                word, why = None, _in_one_line(error)
            yield number, word, why


def _work(
    campaign: Campaign, folder: Path, seed: int, numbers: Sequence[int], seconds: float | None
) -> None:
    """Tries, in a process of their own; what comes of them is written as it comes."""
    end = None if seconds is None else time.monotonic() + seconds
    (inside := folder / "tries").mkdir()
    os.chdir(inside)
    with (folder / "current").open("w", 1) as current, (folder / "outcome").open("w", 1) as lines:

        def in_time() -> Iterator[int]:
            for done, number in enumerate(numbers):
                if done and end is not None and time.monotonic() > end:  # one try at least
                    break
                current.seek(0)
                current.write(f"{number}\n")
                yield number

        broken = 0
        for done, line in enumerate(tries_of(campaign, inside, seed, in_time()), 1):
            lines.write(json.dumps(line) + "\n")
            broken += line[1] is None
            if broken >= MOST_BROKEN + campaign.may_break * done:
                break
    (folder / "whole").touch()


def _in_one_line(error: BaseException) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    said = " ".join(str(error).split())[:500]
    return f"{type(error).__name__}: {said} ({Path(where.filename).name}:{where.lineno})"


def _outcome(
    campaign: Campaign, process: multiprocessing.process.BaseProcess, folder: Path
) -> Outcome:
    """What a process has written, and how it ended."""
    why = None
    if process.is_alive():
        process.kill()
        process.join()
        why = "it does not end"
    elif process.exitcode or not (folder / "whole").exists():
        why = f"the process ended with {process.exitcode}"
    lines = [*_lines(folder / "outcome")]
    ended = collections.Counter(word for _, word, _ in lines if word is not None)
    broken = [Broken(number, said) for number, _, said in lines if said is not None]
    if why is not None:
        current = folder / "current"
        text = current.read_text() if current.exists() else ""
        broken.append(Broken(int(text or -1), why))
    return Outcome(campaign.name, campaign.what, len(lines), dict(ended), broken, 0)


def _lines(path: Path) -> Iterator[list[object]]:
    for line in path.read_text().splitlines() if path.exists() else ():
        yield json.loads(line)
