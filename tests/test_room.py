"""What a file claims is refused if it cannot be true, or does not fit in memory."""

import numpy as np
import pytest
from funcnn.experiments import room
from funcnn.experiments.errors import InputError


def test_packed_bytes_stand_for_1032_times_as_many_at_most():
    room.expect_memory(1032 * 7, "it", 7)
    with pytest.raises(InputError, match="it claims 7,225 bytes, more than its 7 packed bytes"):
        room.expect_memory(1032 * 7 + 1, "it", 7)


def test_memory_that_is_not_there_is_not_asked_for():
    room.expect_memory(1 << 20, "it")
    with pytest.raises(InputError, match=r"it claims 1,\d+,\d+,\d+,\d+ bytes, but [\d,]+ bytes of"):
        room.expect_memory(1 << 40, "it")


def test_where_free_memory_is_not_told_it_is_all_there_is(monkeypatch):
    def missing(self, encoding):
        raise FileNotFoundError

    told = room._free_memory()
    monkeypatch.setattr(room.Path, "read_text", missing)
    assert room._free_memory() >= told > 0
    assert np.log2(room._free_memory()) < 60
