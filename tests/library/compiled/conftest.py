"""Each test of recorded steps is run twice: replayed by NumPy, and by the interpreter in C."""

import pytest

from funcnn.compiled import native, proof, replay


@pytest.fixture(autouse=True, params=["numpy", "native"])
def way(request, monkeypatch):
    """How steps are replayed; a test, or a module, may be parametrized with one of the two."""
    if request.param == "numpy":
        monkeypatch.setattr(proof, "why_not", lambda: "this test is of NumPy's replay")
    elif (why := native.why_not()) is not None:
        pytest.skip(why)
    return request.param


@pytest.fixture
def four_lanes(monkeypatch):
    """As with four cores."""
    monkeypatch.setattr(replay, "_lanes", lambda: 4)
