"""The published sets: found in their order, verified, downloaded when they are nowhere."""

import gzip
import hashlib
import shutil
from pathlib import Path

import pytest
from funcnn.experiments import published
from funcnn.experiments.datasets import load_dataset
from funcnn.experiments.errors import InputError
from funcnn.experiments.published import find, search_places
from funcnn.experiments.sources import SETS
from test_datasets import image_folder

SHIPPED = Path(__file__).resolve().parent.parent / "data"


@pytest.fixture
def no_places(monkeypatch, tmp_path):
    """Only the shipped data can be found, whatever this machine has."""
    monkeypatch.delenv("FUNCNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["fashion-mnist", "mnist"])
def test_the_known_checksums_are_those_of_the_shipped_files_and_of_their_readme(name):
    readme = (SHIPPED / "README.md").read_text()
    for file, digest, size in SETS[name].files:
        content = gzip.decompress((SHIPPED / name / f"{file}.gz").read_bytes())
        assert hashlib.sha256(content).hexdigest() == digest
        assert len(content) == size
        assert f"{digest}  {name}/{file}\n" in readme


@pytest.mark.parametrize("file", ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"])
def test_a_tampered_copy_is_refused(no_places, monkeypatch, tmp_path, file):
    copy = shutil.copytree(SHIPPED / "mnist", tmp_path / "mnist")
    content = bytearray(gzip.decompress((copy / f"{file}.gz").read_bytes()))
    content[-1] ^= 1  # still a label or a pixel
    (copy / f"{file}.gz").write_bytes(gzip.compress(content, 1))
    monkeypatch.setenv("FUNCNN_DATA", str(tmp_path))
    with pytest.raises(
        InputError, match="is not the published file: its SHA-256 differs"
    ) as caught:
        load_dataset("mnist", val_size=0, seed=0)
    assert str(copy / file) in str(caught.value)


def test_a_copy_that_was_unpacked_is_as_good(no_places, monkeypatch, tmp_path):
    (tmp_path / "mnist").mkdir()
    for file in (SHIPPED / "mnist").glob("*.gz"):
        (tmp_path / "mnist" / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    monkeypatch.setenv("FUNCNN_DATA", str(tmp_path))
    assert find("mnist") == tmp_path / "mnist"
    assert len(load_dataset("mnist", val_size=0, seed=0).train[0]) == 60_000


# --- where they are looked for ---------------------------------------------------------------


def test_places_are_funcnn_data_then_the_project_then_the_cache_then_the_package(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("FUNCNN_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert search_places("fashion-mnist") == [
        tmp_path / "mine" / "fashion-mnist",
        SHIPPED / "fashion-mnist",
        tmp_path / "cache" / "funcnn" / "fashion-mnist",
        Path("/usr/share/datasets/fashion-mnist"),
    ]
    monkeypatch.delenv("FUNCNN_DATA")
    assert search_places("mnist")[0] == SHIPPED / "mnist"


def test_the_cache_is_in_the_home_folder_unless_the_environment_says_otherwise(
    no_places, monkeypatch, tmp_path
):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path / ".cache" / "funcnn" / "mnist" in search_places("mnist")


def test_the_first_place_with_all_four_files_wins(no_places, monkeypatch, tmp_path):
    monkeypatch.setenv("FUNCNN_DATA", str(tmp_path))
    assert find("mnist") == SHIPPED / "mnist"
    image_folder(tmp_path / "mnist", suffix=".gz")
    assert find("mnist") == tmp_path / "mnist"
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert find("mnist") == SHIPPED / "mnist"


def test_a_set_that_is_nowhere_is_an_error_that_says_where_it_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(published, "search_places", lambda name: [tmp_path / "a", tmp_path / "b"])
    with pytest.raises(InputError, match=r"mnist was not found .*FUNCNN_DATA") as caught:
        load_dataset("mnist", val_size=0, seed=0)
    assert f"{tmp_path / 'a'}, {tmp_path / 'b'}" in str(caught.value)
