"""What a program may ask of the C library, where there is one that listens."""

import ctypes
import sys

import pytest
from funcnn.experiments import memory


class FakeLibrary:
    def __init__(self):
        self.asked = {}

    def mallopt(self, parameter, value):
        self.asked[parameter] = value


def test_glibc_is_asked_to_keep_what_is_freed(monkeypatch):
    library = FakeLibrary()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    memory.keep_freed_memory()
    assert set(library.asked) == {-1, -2, -3}
    assert min(library.asked.values()) >= 32 << 20


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_another_c_library_is_left_alone(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    memory.keep_freed_memory()
