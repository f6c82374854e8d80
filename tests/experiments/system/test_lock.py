"""A folder is one process's at a time, however that process ends."""

import os
import signal
import subprocess
import sys

import filelock
import pytest

from funcnn.experiments.errors import InputError
from funcnn.experiments.paths import make_folder, new_folder
from funcnn.experiments.system.lock import alone_in, locked


def enter(block):
    with block:
        raise AssertionError("there are two")


HOLD = """
import sys
from pathlib import Path
from funcnn.experiments.system.lock import alone_in, locked

with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(params=["of the folder", "of a file in it"])
def lock(request, monkeypatch):
    if request.param == "of a file in it":  # as on Windows
        monkeypatch.delattr(os, "O_DIRECTORY", raising=False)


def test_one_at_a_time_and_then_the_next(tmp_path, lock):
    for _ in range(2):
        with alone_in(tmp_path):
            with pytest.raises(
                InputError, match=rf"^{tmp_path}: another process is at work in it$"
            ):
                enter(alone_in(tmp_path))
            assert make_folder(tmp_path, "it") == tmp_path, "a lock is no file of a result"
        assert not os.listdir(tmp_path), "nor does it stay"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no such signal")
def test_a_process_that_was_killed_is_in_nobodys_way(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process is at work"), alone_in(tmp_path):
            pass
    finally:
        first.kill()
        first.communicate()
    with alone_in(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_was_writing_goes_away_and_nothing_else(tmp_path, lock):
    names = ["config.json", ".funcnn-12-34", ".hidden"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with alone_in(tmp_path):
        assert {"config.json", ".hidden"} <= {path.name for path in tmp_path.iterdir()}
        assert not (tmp_path / ".funcnn-12-34").exists()


def test_a_file_system_without_locks_has_none(tmp_path, monkeypatch):
    def refuse(descriptor, blocking):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(filelock, "lock_descriptor", refuse)
    with alone_in(tmp_path), alone_in(tmp_path):
        pass
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("there", [True, False])
def test_a_new_folder_has_one_owner(tmp_path, lock, there):
    out = tmp_path / "out"
    if there:
        out.mkdir()
    with new_folder(out, "it") as folder:
        assert folder == out
        with pytest.raises(InputError, match="another process is at work in it"):
            enter(new_folder(out, "it"))
        (out / "mine").write_bytes(b"x")
    with pytest.raises(InputError, match=r"^--out \S+ exists already"):
        enter(new_folder(out, "it"))


def test_who_was_quicker_has_the_folder(tmp_path, monkeypatch):
    """Between making it and locking it another process may have had all of its turn."""
    real = locked

    def late(folder):
        (folder / "theirs").write_bytes(b"x")
        return real(folder)

    monkeypatch.setattr("funcnn.experiments.paths.locked", late)
    with pytest.raises(InputError, match=r"^--out \S+ exists already"):
        enter(new_folder(tmp_path / "out", "it"))


DIES = """
import os, sys
from pathlib import Path
from funcnn.experiments.paths import new_folder
with new_folder(Path(sys.argv[1]), "it") as folder:
    for name in sys.argv[2:]:
        (folder / name).write_bytes(b"half")
    os._exit(9)
"""


def killed_in(out, *names):
    """Have a process leave a new folder with these files, before it is done with it."""
    assert subprocess.run([sys.executable, "-c", DIES, out, *names]).returncode == 9


def test_an_error_leaves_a_new_folder_empty(tmp_path):
    def fail():
        with new_folder(tmp_path, "it") as folder:
            (folder / "first").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert os.listdir(tmp_path) == []


def test_a_new_folder_that_was_killed_before_it_was_begun_is_asked_for_again(tmp_path):
    out = tmp_path / "out"
    killed_in(out, "first", ".funcnn-1-1")
    with new_folder(out, "it"):
        (out / "first").write_bytes(b"y")
    assert os.listdir(out) == ["first"]
    with pytest.raises(InputError, match=r"^--out \S+ exists already"):
        enter(new_folder(out, "it"))


def test_who_goes_on_with_a_folder_has_it(tmp_path):
    """Killed when its first files are there, and gone on with: it is no new one any more."""
    killed_in(tmp_path, "config.json")
    with alone_in(tmp_path):
        pass
    with pytest.raises(InputError, match=r"^--out \S+ exists already"):
        enter(new_folder(tmp_path, "it"))
