"""Rules on what notebooks printed: the lines of the epochs, and the accuracies."""

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

from funcnn.experiments.grade.floors import FLOORS
from funcnn.experiments.grade.sheet import Work
from funcnn.experiments.grade.verdicts import Verdict, listed

_LONGEST_LINE = 2000
_ACCURACY = re.compile(
    r"acc(?:uracy)?(?:(?:@\d{1,2}|_?[1-9])(?![\d.]))?(?![a-z])"  # acc1, Acc@5
    r"|準確[率度]|准确[率度]|正確率|正确率|정확도",
    re.IGNORECASE,
)
_FIELD = re.compile(r"\D{0,80}\d.{0,80}?(?=[,;]\s|\||loss|\btime\b|\blr\b|$)", re.IGNORECASE)
"""What is said of an accuracy: up to its first number, and from there to another subject."""
_VALUE = re.compile(
    r"(?P<said>(?:^|[:=|→為为是]|\bis\b)\s*)?"
    r"(?<![\w.,/-])(?P<value>\d{1,3}(?P<point>\.\d{1,20})?)(?!\w|[.,]\d|\s*/)\s*(?P<percent>%?)"
)
_BRACKETS = str.maketrans(dict.fromkeys("([{}])'\"*", " "))
_OF_VALIDATION = re.compile(
    r"(?<![a-z])(val|valid|validation|validate|test|testing|dev)(?=acc|set|data|loss|[^a-z]|$)"
    r"|驗證|验证|測試|测试|검증|테스트",
    re.IGNORECASE,
)
_OF_TRAINING = re.compile(r"train|訓練|训练|훈련|학습", re.IGNORECASE)
EPOCH_LINES = {
    "emnist47": (
        "Epoch:%3d |Train Loss:%8.4f |Train Acc:%3.4f |Val Loss:%8.4f |Val Acc:%3.4f",
        re.compile(
            r"Epoch: *\d+ \|Train Loss: *[\dnaif]+(\.\d{4})? \|Train Acc: *\d+\.\d{4} "
            r"\|Val Loss: *[\dnaif]+(\.\d{4})? \|Val Acc: *\d+\.\d{4}$"
        ),
    ),
    "points": (
        "epoch 10000 loss : 0.16234523253277644",
        re.compile(r"epoch\s+\d+ loss : \d+(\.\d+)?([eE]-?\d+)?$"),
    ),
}


class _Printed(NamedTuple):
    percent: float
    kind: str
    """`validation`, of a test set too; `training`; or empty: it is not said."""
    line: str


def epoch_rules(work: Work) -> Iterator[Verdict]:
    """The lines of the epochs in the sheet's form, in the notebook that it names, or in any."""
    words, form = EPOCH_LINES[work.sheet.lab]
    rule = f"epochs print as: {words}"
    named = work.notebook("notebook")
    notebooks = list(work.notebooks.values()) if named is None else [named]
    of = "what is printed" if named is None else work.files["notebook"].name
    if not notebooks:
        yield Verdict(of, rule, None, "no notebook: --run-code shows what it prints")
        return
    texts = (notebook.printed for notebook in notebooks)
    lines = [line.strip()[:_LONGEST_LINE] for text in texts for line in text.splitlines()]
    right = [line for line in lines if form.match(line)]
    alike = [line for line in lines if re.match(r"epoch\W*\d", line, re.IGNORECASE)]
    found = f"{len(right):,} lines, the last: {right[-1]}" if right else "no line is so"
    if not right and alike:
        found = f"it prints: {alike[-1][:120]}"
    # A program beside the notebooks may print them.
    program = named is None and any(path.endswith(".py") for path in work.sources)
    yield Verdict(of, rule, bool(right) or (None if program else False), found)


def accuracies(printed: str) -> list[_Printed]:
    """The accuracies in a text, in its order, in per cent."""
    found = []
    for line in printed.splitlines():
        line, before = line[:_LONGEST_LINE], 0
        words = list(_ACCURACY.finditer(line))
        for word, following in zip_longest(words, words[1:]):
            match = _value(line[word.end() : following.start() if following else None])
            if match is None:
                continue
            about = line[before : word.end()] + match.string[: match.start("value")]
            before = word.end()
            percent = float(match["value"])
            if not match["percent"] and percent <= 1:
                percent *= 100
            if percent > 100:
                continue
            kind = "training" if _OF_TRAINING.search(about) else ""
            kind = "validation" if _OF_VALIDATION.search(about) else kind
            found.append(_Printed(percent, kind, line.strip()))
    return found


def _value(text: str) -> re.Match[str] | None:
    """The number that is the accuracy, in what follows that word; None: none is for sure."""
    field = _FIELD.match(text.translate(_BRACKETS))
    numbers = list(_VALUE.finditer(field[0].rstrip())) if field else []
    said = [number for number in numbers if number["said"] is not None]
    exact = [number for number in said if number["percent"] or number["point"]]  # no count
    percents = [number for number in numbers if number["percent"]]
    last = [each for each in numbers[-1:] if each["point"] and each.end() == len(each.string)]
    return next(iter([*exact, *said, *percents, *last]), None)


def accuracy_rule(work: Work, kind: str, what: str) -> Iterator[Verdict]:
    """The accuracy that a notebook printed last is enough. what: for which images, in words."""
    notebook, floor = work.notebook(kind), FLOORS[work.sheet.lab]
    if notebook is None:
        return
    of, rule = work.files[kind].name, f"{what} accuracy {floor.words}"
    printed = [each for each in accuracies(notebook.printed) if each.kind != "training"]
    of_validation = [each for each in printed if each.kind == "validation"]
    printed = of_validation or printed
    if not printed:
        yield Verdict(of, rule, None, "it prints no accuracy that is recognised")
        return
    last, highest = printed[-1].percent, max(each.percent for each in printed)
    holds: bool | None = floor.met(last)
    if not holds and floor.met(highest):
        holds = None
    found = f"it printed {last:.2f} % last: {printed[-1].line[:80]}"
    if highest > last:
        found = f"it printed {last:.2f} % last, {highest:.2f} % at its highest"
    yield Verdict(of, rule, holds, found)


def both_sets_rule(work: Work) -> Iterator[Verdict]:
    """The accuracies of `points`, which has two sets of points and many networks."""
    floor = FLOORS["points"]
    rule = f"accuracy {floor.words} on both sets"
    texts = [notebook.printed for notebook in work.notebooks.values()]
    found = [each.percent for text in texts for each in accuracies(text)]
    if len(found) < 2:
        words = "no notebook: --run-code shows what it prints" if not texts else "not printed"
        yield Verdict("what is printed", rule, None, words)
        return
    enough = [percent for percent in found if floor.met(percent)]
    shown = listed([f"{percent:.4g}" for percent in found], 6)
    holds = True if len(enough) == len(found) else None if len(enough) > 1 else False
    more = "" if holds is not None else "; which of them are the two sets' is to be read"
    yield Verdict("what is printed", rule, holds, f"printed: {shown} %{more}")
