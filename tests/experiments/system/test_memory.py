"""Memory measured."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from funcnn.experiments.system import memory

# --- how much work needs ---------------------------------------------------------------------


def test_the_growth_of_memory_is_that_of_the_work_alone():
    np.ones(8 << 20)  # 64 MB, freed before
    assert 32e6 < memory.peak_growth(lambda: np.ones(4 << 20)) < 40e6  # 32 MiB, freed after
    assert memory.peak_growth(lambda: None) < 1e6


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_without_a_new_peak_it_is_what_exceeds_the_old(monkeypatch, platform, unit):
    def refuse(path, *text):
        raise OSError

    peaks = iter([100, 130])
    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(
        memory.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=next(peaks))
    )
    monkeypatch.setattr(sys, "platform", platform)
    assert memory.peak_growth(lambda: None) == 30 * unit


def test_on_windows_the_peak_is_the_working_set_s(monkeypatch):
    def refuse(path, *text):
        raise FileNotFoundError

    peaks = iter([SimpleNamespace(peak_wset=100), SimpleNamespace(peak_wset=130)])
    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(memory, "resource", None)
    monkeypatch.setattr(psutil.Process, "memory_info", lambda process: next(peaks))
    assert memory.peak_growth(lambda: None) == 30
