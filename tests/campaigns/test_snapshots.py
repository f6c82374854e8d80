"""The campaign of damaged snapshots comes to where something can break, and finds what does."""

from campaigns.campaign import tries_of
from campaigns.snapshots import SNAPSHOTS

from funcnn import snapshots


def broken(folder, count=150):
    return [why for _, _, why in tries_of(SNAPSHOTS, folder, 0, range(count)) if why is not None]


def test_what_is_damaged_is_read_or_refused(tmp_path):
    found = [*tries_of(SNAPSHOTS, tmp_path, 0, range(150))]
    ways = {"read", "read as another", "read, and predicts", "read, and does not predict"}
    assert {word for _, word, _ in found} == {"refused", *ways}


def test_an_error_of_another_kind_is_found(tmp_path, monkeypatch):
    """Planted: what zipfile says of damage is not made the one error."""
    monkeypatch.setattr(snapshots, "DAMAGE", ())
    assert broken(tmp_path)


def test_text_of_a_file_that_cannot_be_printed_is_found(tmp_path, monkeypatch):
    """Planted: an error shows the name of a member as it is."""
    monkeypatch.setattr(snapshots, "one_line", str)
    assert any("it is no line of text" in why for why in broken(tmp_path))
