"""What a file claims is refused if it cannot be true, or does not fit in memory."""

from types import SimpleNamespace

import psutil
import pytest

from funcnn.experiments.errors import InputError
from funcnn.experiments.system import memory


def test_packed_bytes_stand_for_1032_times_as_many_at_most():
    memory.expect_memory(1032 * 7, "it", 7)
    with pytest.raises(InputError, match="it claims 7,225 bytes, more than its 7 packed bytes"):
        memory.expect_memory(1032 * 7 + 1, "it", 7)


def test_memory_that_is_not_there_is_not_asked_for():
    memory.expect_memory(1 << 20, "it")
    with pytest.raises(InputError, match=r"it claims 1,\d+,\d+,\d+,\d+ bytes, but [\d,]+ bytes of"):
        memory.expect_memory(1 << 40, "it")


def test_memory_that_the_system_says_is_free_can_be_claimed_and_no_byte_more(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=700))
    memory.expect_memory(700, "it")
    with pytest.raises(InputError, match="it claims 701 bytes, but 700 bytes of memory are free"):
        memory.expect_memory(701, "it")


# --- a container's limit -------------------------------------------------------------------------

V2 = {"memory.max": "{limit}", "memory.current": "{used}"}
V1 = {"memory.limit_in_bytes": "{limit}", "memory.usage_in_bytes": "{used}"}


@pytest.fixture
def container(tmp_path, monkeypatch):
    """A function that puts this process in a group by its line, folder and files; its room."""

    def put(line, folder, names, limit, used, cached=(0, 0)):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name, text in names.items():
            (tmp_path / folder / name).write_text(text.format(limit=limit, used=used) + "\n")
        stat = "anon 5\ninactive_file {}\nactive_file {}\n".format(*cached)
        (tmp_path / folder / "memory.stat").write_text(stat)
        (tmp_path / "line").write_text(f"9:pids:/\n{line}\n")
        monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
        monkeypatch.setattr(memory, "_OWN", tmp_path / "line")
        memory._limited_groups.cache_clear()
        return memory._container_room()

    yield put
    memory._limited_groups.cache_clear()


@pytest.mark.parametrize(
    ("line", "folder", "names"),
    [
        ("0::/", "", V2),
        ("0::/a/b", "a/b", V2),
        ("0::/a/b", "a", V2),
        ("0::/../../b", "", V2),
        ("4:memory:/a/b", "memory/a/b", V1),
        ("4:memory:/docker/b", "memory", V1),
        ("4:cpu,memory:/", "memory", V1),
    ],
)
def test_a_containers_limit_counts(container, line, folder, names):
    assert container(line, folder, names, 1000, 700) == 300
    with pytest.raises(InputError, match="it claims 301 bytes, but 300 bytes of memory are free"):
        memory.expect_memory(301, "it")
    memory.expect_memory(300, "it")


def test_the_smallest_room_of_all_groups_counts(container):
    container("0::/a/b", "a", V2, 1000, 900)
    assert container("0::/a/b", "a/b", V2, 500, 100) == 100


def test_files_that_were_read_make_way_and_nothing_is_less_than_none(container):
    assert container("0::/", "", V2, 1000, 700, (200, 50)) == 550
    assert container("0::/", "", V2, 1000, 1200) == 0


@pytest.mark.parametrize(
    ("line", "folder", "names", "limit"),
    [("0::/", "", V2, "max"), ("4:memory:/", "memory", V1, 9223372036854771712), ("", "", {}, 1)],
)
def test_without_a_limit_the_room_is_endless(container, line, folder, names, limit):
    line = line or "1:cpu:/"
    assert container(line, folder, names, limit, 10) == 1 << 60
