import contextlib
import errno
import os

import pytest

from funcnn import _files
from funcnn._files import write_whole


@pytest.mark.parametrize("content", [b"", b"some\nbytes\0", bytes(10**6)])
@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_the_content_is_written(tmp_path, kind, content):
    path = tmp_path / "file"
    write_whole(kind(path), content)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["file"]


def test_a_path_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_whole("file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_what_stood_there_is_replaced(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"something old and longer")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_a_reader_meets_the_old_file_or_the_whole_new_one(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    replace = os.replace

    def watched(source, target):
        assert path.read_bytes() == b"old"
        with open(source, "rb") as file:
            assert file.read() == b"new"
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def failing(error):
    def fail(*args):
        raise error

    return fail


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, function):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, function, failing(OSError(errno.ENOSPC, "no space")))
    with pytest.raises(OSError, match="no space") as raised:
        write_whole(path, b"new")
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(path))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_an_interrupt_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, function):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, function, failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_whole(tmp_path / "file", b"")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_missing_folder_is_an_error_that_names_the_path_asked_for(tmp_path):
    path = tmp_path / "missing" / "file"
    with pytest.raises(FileNotFoundError) as raised:
        write_whole(path, b"")
    assert raised.value.filename == str(path)


def test_a_file_in_the_place_of_a_folder_is_an_error_that_names_the_path(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(NotADirectoryError) as raised:
        write_whole(tmp_path / "file" / "below", b"")
    assert raised.value.filename == str(tmp_path / "file" / "below")


def test_a_folder_is_not_replaced(tmp_path):
    with pytest.raises(IsADirectoryError) as raised:
        write_whole(tmp_path, b"")
    assert raised.value.filename == str(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    path = tmp_path / ("n" * os.pathconf(tmp_path, "PC_NAME_MAX"))
    path.touch()  # the file system does allow it
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_link_stays_a_link_to_the_file_that_is_written(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"  # as /dev/null and /dev/stdout are
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="pipe"):
        write_whole(pipe, b"new")
    assert pipe.is_fifo()


@pytest.mark.parametrize(("pauses", "written"), [((0, 0), True), ((0,), False)])
def test_a_file_that_another_program_looks_at_is_waited_for(tmp_path, monkeypatch, pauses, written):
    refusals = iter([True, True, False])
    replace = os.replace

    def refuse_twice(source, target):
        if next(refusals):
            raise PermissionError(13, "Access is denied", str(source))
        replace(source, target)

    monkeypatch.setattr(_files, "_PAUSES", pauses)  # as on Windows
    monkeypatch.setattr(os, "replace", refuse_twice)
    (tmp_path / "it").write_bytes(b"old")
    with contextlib.nullcontext() if written else pytest.raises(PermissionError, match="it"):
        write_whole(tmp_path / "it", b"new")
    assert (tmp_path / "it").read_bytes() == (b"new" if written else b"old")
    assert len(os.listdir(tmp_path)) == 1
