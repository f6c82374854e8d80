"""The campaign of damaged snapshots finds a fault that is planted."""

from campaigns.campaign import tries_of
from campaigns.snapshots import SNAPSHOTS

from funcnn import snapshots


def test_what_is_damaged_is_read_or_refused(tmp_path):
    found = [*tries_of(SNAPSHOTS, tmp_path, 0, range(100))]
    assert {word for _, word, _ in found} == {"read", "refused"}


def test_an_error_of_another_kind_is_found(tmp_path, monkeypatch):
    """Planted: what zipfile says of damage is not made the one error."""
    monkeypatch.setattr(snapshots, "DAMAGE", ())
    assert any(why is not None for _, _, why in tries_of(SNAPSHOTS, tmp_path, 0, range(100)))
