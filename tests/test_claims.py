"""Figures of README and docs: each has an entry in claims.toml, which can be run again."""

import datetime
import importlib.util
import itertools
import json
import re
import subprocess
import sys

import claims
import marks
import pytest
from commands import context_of
from helpers import ROOT

from funcnn.experiments.bench.ablations import WITHOUT
from funcnn.experiments.bench.nets import NETS
from funcnn.experiments.bench.peers import PEERS
from funcnn.experiments.labs.registry import LABS

CLAIMS = claims.load()
SHOWN = {name: claim.shown for name, claim in CLAIMS.items()}
RECORDS = ROOT / "docs" / "recipes"
TEXTS = {page: page.read_text("utf-8") for page in marks.PAGES}
READERS = {"at", "match", "time"}
KEYS = {"command", "options", "file", "unit", "within", "factor", "margin", "machine", "date"}
KEYS |= READERS | {"quick", "derived", "source", "unrepeatable"}


FAMILIES = {}
for _claim in CLAIMS.values():
    FAMILIES.setdefault(_claim.name.partition(".")[0], []).append(_claim)


# --- Pages ---


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in TEXTS])
def test_every_figure_of_a_page_is_that_of_its_entry(page):
    assert list(marks.problems(TEXTS[page], SHOWN)) == []


@pytest.mark.parametrize(
    "planted",
    [
        "It reaches 91.2 % of the test set.",
        "It reaches 91 %.",
        "NumPy 99.15 ± 0.06 %, PyTorch less.",
        "NumPy 1.31, PyTorch 1.",
        "It is 3 times as fast.",
        "It is three times as fast.",
        "It takes two minutes.",
        "It takes half an hour, or some twenty\nminutes.",
        "One per cent is lost.",
        "It takes some 50 us.",
        "The file has 0.94 MB.",
        "It has 235,146 parameters.",
        "Of these, 66 are in another class.",
        "They are 2.3e-15 apart.",
        "From 0 to 2 % are lost.",
        "With 1.5 of them, or of 1,000.",
        "It reaches 90-91 %.",
        "| `mlp3` | 1.17 |",
        "| `mlp3` | **127** |",
        "| funcnn | 1 MB |",
        "[98.2](speed.md)",
        "- It takes 12 s.",
        "1. It takes 12 s.",
    ],
)
def test_a_planted_figure_is_named_with_its_line(planted):
    found = list(marks.problems(f"# Speed\n\n{planted}\n", SHOWN))
    assert found
    assert {line for line, _ in found} == {3}


@pytest.mark.parametrize(
    "text",
    [
        "With Python 3.11 or later, and torch, any from 2.10 on.",
        "In float64 on x86-64, with SHA-256, LeNet-5, as Apache-2.0 has it.",
        "| 784-256-128-10, 128 | 5x5, 32 and 64 channels, 128 | `cnn3`, 64 |",
        "A batch of 28 x 28 images, 20 epochs, 200 steps, momentum 0.9, a learning rate of 0.001.",
        "Whole numbers from 0 to 255, of class 1, and the 1/6 of it.",
        "`funcnn train --epochs 60` of $x_1 + 2$, and ![98 %](figures/98.png).",
        "```sh\nfuncnn train --lr 0.1   # 91.2 %\n```",
        "1. One.\n2. Two, a second thread, many times.",
    ],
)
def test_settings_shapes_versions_code_and_mathematics_are_no_figures(text):
    assert list(marks.problems(text, SHOWN)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It is <!--mlp3.test-->90.12 %<!--/-->.", "should be 90.11 %"),
        ("It is <!--mlp3.tset-->90.11 %<!--/-->.", "no entry mlp3.tset"),
        ("<!--mlp3.test-->90.11 %<!--/--> it is.", "begins a line"),
        ("- <!--mlp3.test-->90.11 %<!--/--> it is.", "begins a line"),
    ],
)
def test_a_mark_that_is_wrong_is_named(text, said):
    ((line, message),) = marks.problems(text, SHOWN)
    assert line == 1
    assert said in message


def test_the_build_fails_for_a_figure_without_an_entry(tmp_path):
    pytest.importorskip("furo")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "dummy", "-c", ROOT / "docs"]
    page = tmp_path / "source/index.md"
    page.parent.mkdir()
    said = {}
    for text in ("It is <!--mlp3.test-->90.11 %<!--/-->.", "It reaches 97.25 %."):
        page.write_text(f"# Page\n\n{text}\n")
        built = subprocess.run(
            [*command, page.parent, tmp_path / "out"], capture_output=True, text=True, check=False
        )
        said[text[:10]] = built.returncode, built.stderr
    assert said["It is <!--"] == (0, "")
    code, message = said["It reaches"]
    assert code != 0
    assert "the figure 97.25 has no entry" in message


def test_write_prints_the_entries_into_the_pages(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("It is <!--mlp3.test-->1 %<!--/-->.\n", "utf-8")
    monkeypatch.setattr(claims, "PAGES", [page])
    assert claims.main(["write"]) == 0
    assert page.read_text("utf-8") == "It is <!--mlp3.test-->90.11 %<!--/-->.\n"


# --- Entries ---


def test_every_entry_is_on_a_page_or_part_of_one_that_is():
    used = {name for text in TEXTS.values() for name, _ in marks.MARKED.findall(text)}
    used |= {it for c in CLAIMS.values() for it in claims.parts(c.how.get("derived", ""))}
    assert used == {*CLAIMS}


@pytest.mark.parametrize("family", FAMILIES)
def test_an_entry_says_what_it_must(family):
    for claim in FAMILIES[family]:
        said = {*claim.how}
        assert said <= KEYS, claim
        assert all(claim.low <= it <= claim.high for it in marks.numbers(claim.shown)), claim
        if "match" in said:
            assert re.compile(claim.how["match"]).groups == 1, claim
        if claim.measured:
            assert "command" in said, claim
            assert len(READERS & said) == 1, claim
            assert claim.how["machine"] in claims.machines(), claim
            assert isinstance(claim.how["date"], datetime.date), claim


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_no_measurement_is_as_the_page_says(family, tmp_path):
    for claim in FAMILIES[family]:
        if {"derived", "source"} & {*claim.how}:
            assert claim.low <= claims.measure(claim, CLAIMS, tmp_path) <= claim.high, claim


@pytest.mark.parametrize("family", FAMILIES)
def test_the_commands_of_entries_parse(family):
    for claim in FAMILIES[family]:
        for line in claim.lines() if claim.measured else ():
            words = claims.words_of(line)
            words = words[3:] if words[0] == "taskset" else words
            assert words[0] == sys.executable
            if words[1] == "-m":
                assert importlib.util.find_spec(words[2]), line
            elif "funcnn.cli" not in words[2]:
                compile(words[2], line, "exec")
            else:
                assert "--json" in words or "at" not in claim.how or "file" in claim.how, line
                context_of(words[3:])


def test_names_in_the_paths_of_values_are_those_of_the_code():
    for claim in CLAIMS.values():
        family, *parts = claim.name.split(".")
        if family == "labs":
            lab, trial, backend = parts
            assert trial in {it.name for it in LABS[lab].trials}, claim.name
            assert backend in ("numpy", "torch")
        elif family.startswith("bench"):
            assert parts[0] in NETS, claim.name
            assert family != "bench" or parts[1] in PEERS, claim.name
        elif family == "reasons":
            (idea,) = [idea for idea in WITHOUT if parts[1] in idea]
            line = f"  {idea:32}  1.17 times as long (1.10 to 1.20)"
            assert float(re.search(claim.how["match"], line)[1]) == 1.17


def records_of(recipe, data):
    """What came out of each seed: the summary of its run, or the file beside it."""
    data, mirrored, _ = data.partition("-mirrored")
    paths = (RECORDS / recipe).glob(f"{data}-[0-9]*")
    name = "mirrored.json" if mirrored else "summary.json"
    return {path.name.rpartition("-")[2]: json.loads((path / name).read_text()) for path in paths}


def test_figures_of_recipes_are_those_of_their_records():
    compared = 0
    for claim in FAMILIES["recipes"]:
        _, recipe, data, what = claim.name.split(".")
        records = records_of(recipe, data)
        if what.isdecimal():
            assert claim.shown == f"{100 * records[what]['test_accuracy']:.2f} %", claim.name
            compared += 1
        elif what == "validation":
            shares = sorted(f"{100 * record['val_accuracy']:.1f}" for record in records.values())
            assert claim.shown == f"{' to '.join(dict.fromkeys(shares[:: len(shares) - 1]))} %"
    assert compared == sum(len([*RECORDS.rglob(it)]) for it in ("summary.json", "mirrored.json"))


def test_values_are_read_from_what_commands_give(tmp_path):
    rows = [
        {"net": net, "peer": peer, "pair": [net, peer], "v": value}
        for value, (net, peer) in enumerate(itertools.product("ab", "xy"))
    ]
    text = json.dumps({"rows": rows})
    for path, value in (("rows/net=b/peer=y/v", 3), ("rows/net=a/v", 0), ("rows/pair=b x/v", 2)):
        assert claims.read({"at": path}, text, tmp_path, [1]) == value
    with pytest.raises(IndexError):
        claims.read({"at": "rows/net=c/v"}, text, tmp_path, [1])
    assert claims.read({"at": "*"}, '{"loss": 1, "params": 4}', tmp_path, [1]) == 4
    for seed in (0, 1):
        (tmp_path / f"{seed}.json").write_text(f'{{"test": {seed}}}')
    assert claims.read({"file": "*.json", "at": "test"}, "", tmp_path, [1]) == 0.5
    assert claims.read({"match": r"took ([\d.]+) s"}, "it took 1.5 s", tmp_path, [1]) == 1.5
    with pytest.raises(ValueError, match="not found"):
        claims.read({"match": r"took ([\d.]+) s"}, "nothing", tmp_path, [1])
    for way, value in (("all", 9), ("longest", 6), ("ratio", 2)):
        assert claims.read({"time": way}, "", tmp_path, [6, 3]) == value


def test_units():
    for name, value in (("mlp3.test", 0.01), ("mlp3.time", 60), ("times.wake", 1e-6)):
        assert claims.unit(CLAIMS[name]) == value
    assert claims.unit(CLAIMS["labs.mnist.cnn.numpy"]) == 0.01
    assert claims.unit(CLAIMS["mlp3.parameters"]) == 1


def test_run_says_value_bounds_and_verdict(monkeypatch, capsys):
    assert claims.main(["run", "data.points-xor", "rules.usual-grain"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "data.points-xor: 21; 21 to 21; now 21, kept",
        "rules.usual-grain: 12; 11.5 to 12.5; now 12, kept",
    ]
    changed = CLAIMS["rules.usual-grain"]._replace(low=300, high=400)
    monkeypatch.setattr(claims, "load", lambda: {"rules.usual-grain": changed})
    assert claims.main(["run", "rules.usual-grain"]) == 1
    assert capsys.readouterr().out.endswith("now 12, BROKEN\n")
    fails = changed._replace(how={"command": "funcnn check mlp9", "at": "worst/error"})
    monkeypatch.setattr(claims, "load", lambda: {"rules.usual-grain": fails})
    assert claims.main(["run", "rules.usual-grain"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert "exit status 1" in line
    assert line.endswith("now nan, BROKEN")


def test_list_has_every_entry_and_unknown_names_are_refused(capsys):
    assert claims.main(["list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(CLAIMS)
    with pytest.raises(SystemExit):
        claims.main(["run", "mlp3.tset"])
    assert "no entry mlp3.tset" in capsys.readouterr().err
