"""The campaign of a failing system finds faults that are planted."""

import contextlib
import importlib

import pytest
from campaigns import faults
from campaigns.campaign import tries_of
from campaigns.fault_files import assert_whole
from campaigns.faults import BEFORE, FAULTS, Command

from funcnn.experiments.system import json_files
from funcnn.experiments.training import run_folder

FEW = ["evaluate run", "predict run --data pictures --out predicted.csv", "inspect run/params.npz"]
WRITES = "export run --to safetensors"
TRAINS = "train --arch points --epochs 1 --out new"


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Quick commands, and what they need."""
    monkeypatch.setattr(faults, "COMMANDS", [*map(Command, FEW), Command(WRITES, 4)])
    monkeypatch.setattr(faults, "BEFORE", BEFORE[:1])
    wanted = {"write refused", "read refused", "short files", "vanishes", "stream", "few files"}
    monkeypatch.setattr(faults, "KINDS", [kind for kind in faults.KINDS if kind.name in wanted])


def broken(folder, tries):
    return [why for _, _, why in tries_of(FAULTS, folder, 0, range(tries)) if why is not None]


def test_quick_commands_hold(tmp_path):
    assert broken(tmp_path, 40) == []


def test_an_error_that_nobody_catches_is_found(tmp_path, monkeypatch):
    main = importlib.import_module("funcnn.cli.main")
    monkeypatch.setattr(main, "OSError", BlockingIOError, raising=False)
    assert any("Traceback" in why for why in broken(tmp_path, 40))


def test_a_file_that_is_written_in_place_is_found(tmp_path, monkeypatch):
    """Planted, and that what was begun is not put away after an error."""

    @contextlib.contextmanager
    def careless(out, name):
        out.mkdir()
        yield out

    monkeypatch.setattr(faults, "COMMANDS", [Command(TRAINS)])
    monkeypatch.setattr(faults, "KINDS", [k for k in faults.KINDS if k.name == "short files"])
    monkeypatch.setattr(run_folder, "new_folder", careless)
    monkeypatch.setattr(json_files, "write_whole", lambda path, data: path.write_bytes(data))
    assert any("data.json is half a file" in why for why in broken(tmp_path, 12))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b'{"a": 1}'),
        ("a.csv", b"a,b\n1,2\n"),
        ("a.md", b"# A\n"),
        ("a.py", b"print(1)\n"),
        ("a.html", b"<html></html>\n"),
    ],
)
def test_half_a_file_is_told_from_a_whole_one(name, data):
    assert_whole(name, data)
    for half in (b"", data[:-3]):
        with pytest.raises(AssertionError, match="is half a file"):
            assert_whole(name, half)
