"""Rules on what notebooks printed: the lines of the epochs, and the accuracies."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from funcnn.experiments.grade.floors import FLOORS
from funcnn.experiments.grade.sheet import Work
from funcnn.experiments.grade.verdicts import Verdict, listed

_LONGEST_LINE = 2000
_ACCURACY = re.compile(
    r"(?:acc(?:uracy)?(?![a-z])|準確[率度]|准确[率度]|正確率|正确率|정확도)"
    r"[^0-9\n]{0,24}?(?:\d{1,9} ?/ ?\d{1,9} ?\( ?)?"  # 8712/10000 (87%)
    r"(?P<value>\d{1,3}(?:\.\d{1,20})?)(?![\d.]|[eE][-+]?\d|\s*/)\s*(?P<percent>%?)",
    re.IGNORECASE,
)
_OF_VALIDATION = re.compile(r"val|test|驗證|验证|測試|测试|검증|테스트", re.IGNORECASE)
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
    """The lines of the epochs in the sheet's form."""
    words, form = EPOCH_LINES[work.sheet.lab]
    rule = f"epochs print as: {words}"
    if not work.notebooks:
        yield Verdict("what is printed", rule, None, "no notebook: --run-code shows what it prints")
    for path, notebook in work.notebooks.items():
        lines = [line.strip()[:_LONGEST_LINE] for line in notebook.printed.splitlines()]
        right = [line for line in lines if form.match(line)]
        alike = [line for line in lines if re.match(r"epoch\W*\d", line, re.IGNORECASE)]
        found = f"{len(right):,} lines, the last: {right[-1]}" if right else "no line is so"
        if not right and alike:
            found = f"it prints: {alike[-1][:120]}"
        yield Verdict(path.rsplit("/", 1)[-1], rule, bool(right), found)


def accuracies(printed: str) -> list[_Printed]:
    """The accuracies in a text, in its order, in per cent."""
    found = []
    for line in printed.splitlines():
        line, before = line[:_LONGEST_LINE], 0
        for match in _ACCURACY.finditer(line):
            about = line[before : match.start("value")]
            before = match.end()
            percent = float(match["value"])
            if not match["percent"] and percent <= 1:
                percent *= 100
            if percent > 100:
                continue
            kind = "training" if _OF_TRAINING.search(about) else ""
            kind = "validation" if _OF_VALIDATION.search(about) else kind
            found.append(_Printed(percent, kind, line.strip()))
    return found


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
