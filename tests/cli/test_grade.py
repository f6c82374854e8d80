"""`funcnn grade` as a teacher types it."""

import hand_ins
import pytest
from commands import expect_one_line, funcnn, parse


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.setattr("funcnn.experiments.data.store.find", lambda name: None)


def test_a_table_of_the_rules(tmp_path):
    path = hand_ins.write(tmp_path, "points", name="lab1.zip")
    result = funcnn("grade", path, "--lab", "points")
    assert result.stderr == ""
    first, *lines = result.stdout.splitlines()
    assert first.split() == ["of", "the", "sheet", "says", "found"]
    assert lines[0].startswith("does not hold  lab1.zip  ")
    assert lines[-2] == ""
    assert lines[-1].startswith(f"{len(lines) - 2} rules: ")
    assert lines[-1].endswith(" are not decided")


def test_the_rules_as_json(tmp_path):
    path = hand_ins.write(tmp_path, "mnist")
    result = parse(funcnn("grade", path, "--lab", "mnist", "--json"))
    assert (result["lab"], result["student_id"]) == ("mnist", hand_ins.ID)
    assert {rule["holds"] for rule in result["verdicts"]} == {True, None}
    assert set(result["verdicts"][0]) == {"of", "sheet", "holds", "found"}


def test_what_cannot_be_graded_is_one_line(tmp_path):
    path = tmp_path / "it.zip"
    path.write_bytes(b"Rar!\x1a\x07\x01\0")
    expect_one_line(funcnn("grade", path, "--lab", "mnist", code=1), ["RAR archive"])
    expect_one_line(funcnn("grade", path, "--lab", "cifar", code=1), ["known: points, fashion"])
    expect_one_line(funcnn("grade", tmp_path / "no", "--lab", "mnist", code=1), ["No such file"])
    expect_one_line(funcnn("grade", path, code=2), ["--lab"])


def test_names_from_anywhere_do_not_break_a_line(tmp_path):
    files = hand_ins.mnist() | {"a\nb\x1b[31m.py": b"def f(:"}
    result = funcnn("grade", hand_ins.write(tmp_path, "mnist", files), "--lab", "mnist")
    assert "\x1b" not in result.stdout
    assert r"a\nb\x1b[31m.py" in result.stdout
