"""The published sets: found in their order, verified, downloaded when they are nowhere."""

import gzip
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT
from image_files import emnist_members, expect_upright, idx_bytes, image_folder, write_zip
from web import Site, fault

from funcnn.experiments.data import catalog, store
from funcnn.experiments.data import download as download_module
from funcnn.experiments.data.catalog import SETS
from funcnn.experiments.data.datasets import load_dataset
from funcnn.experiments.data.store import find, search_places
from funcnn.experiments.errors import InputError

SHIPPED = ROOT / "data"


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


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_copy_of_torchvisions_is_found_in_its_root(no_places, monkeypatch, tmp_path, suffix):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in (SHIPPED / "mnist").glob("*.gz"):
        content = file.read_bytes()
        (raw / f"{file.stem}{suffix}").write_bytes(content if suffix else gzip.decompress(content))
    monkeypatch.setenv("FUNCNN_DATA", str(tmp_path))
    assert find("mnist") == raw
    assert find("fashion-mnist") == SHIPPED / "fashion-mnist"
    assert store.verify("mnist")[0].wrong is None
    (tmp_path / "EMNIST" / "raw").mkdir(parents=True)
    path = write_zip(tmp_path / "EMNIST" / "raw" / "gzip.zip", emnist_members())
    assert find("emnist-balanced") == path


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
    monkeypatch.setattr(store, "search_places", lambda name: [tmp_path / "a", tmp_path / "b"])
    with pytest.raises(InputError, match=r"mnist was not found .*FUNCNN_DATA") as caught:
        load_dataset("mnist", val_size=0, seed=0)
    assert f"{tmp_path / 'a'}, {tmp_path / 'b'}" in str(caught.value)


# --- downloads -------------------------------------------------------------------------------


def digest(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def small_sets(monkeypatch, tmp_path):
    """The table with small sets in it, and the site that has them."""
    folder = image_folder(tmp_path / "source", classes=10, suffix=".gz")
    packed = {file.name: file.read_bytes() for file in folder.iterdir()}
    mnist = SETS["mnist"]
    files = []
    for file in mnist.files:
        content = gzip.decompress(packed[f"{file.name}.gz"])
        files.append(file._replace(sha256=digest(content), size=len(content)))
    members = emnist_members()
    archive = write_zip(tmp_path / "gzip.zip", members).read_bytes()
    balanced = SETS["emnist-balanced"]
    emnist_files = [
        file._replace(sha256=digest(members[f"{file.name}.gz"])) for file in balanced.files
    ]
    kept_as = balanced.archive._replace(sha256=digest(archive), size=len(archive))
    monkeypatch.setitem(catalog.SETS, "mnist", mnist._replace(files=tuple(files)))
    monkeypatch.setitem(
        catalog.SETS,
        "emnist-balanced",
        balanced._replace(files=tuple(emnist_files), archive=kept_as),
    )
    monkeypatch.setenv("FUNCNN_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        store, "data_folders", lambda: [tmp_path / "nothing", tmp_path / "cache" / "funcnn"]
    )
    monkeypatch.setattr(download_module, "PAUSE", 0.01)
    site = Site({f"/mnist/{name}": content for name, content in packed.items()})
    site.files["/emnist/gzip.zip"] = archive
    with site.served() as address:
        monkeypatch.setenv("FUNCNN_MIRROR", f"{address}/")
        yield site


def test_a_set_that_is_nowhere_is_downloaded_once_and_says_so_in_one_line(
    small_sets, tmp_path, capsys
):
    data = load_dataset("mnist", val_size=0, seed=0)
    assert len(data.train[0]) == 60
    place = tmp_path / "cache" / "funcnn" / "mnist"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("downloading mnist (12 MB) from http://127.0.0.1:")
    assert line.endswith(f"/mnist/ to {place}")
    assert sorted(file.name for file in place.iterdir()) == sorted(
        f"{file.name}.gz" for file in SETS["mnist"].files
    )
    small_sets.requests.clear()
    again = load_dataset("mnist", val_size=0, seed=0)
    np.testing.assert_array_equal(again.train[0], data.train[0])
    assert small_sets.requests == []
    assert capsys.readouterr().err == ""


def test_the_official_archive_of_emnist_is_downloaded_and_read_as_it_is(small_sets, tmp_path):
    data = load_dataset("emnist-balanced", val_size=0, seed=0)
    assert (tmp_path / "cache" / "funcnn" / "emnist" / "gzip.zip").is_file()
    expect_upright(data)
    assert len(data.class_names) == 47
    assert all(verdict.wrong is None for verdict in store.verify("emnist-balanced"))


def test_a_download_that_is_not_the_published_one_leaves_no_file(small_sets, tmp_path):
    name = "/mnist/t10k-images-idx3-ubyte.gz"
    images = np.zeros((20, 4, 4), "u1")
    small_sets.files[name] = gzip.compress(idx_bytes(images))
    with pytest.raises(InputError) as caught:
        store.fetch("mnist")
    expected = SETS["mnist"].files[2].sha256
    assert f"the SHA-256 of t10k-images-idx3-ubyte, unpacked is {digest(idx_bytes(images))}" in str(
        caught.value
    )
    assert f"instead of {expected}" in str(caught.value)
    assert sorted(file.name for file in (tmp_path / "cache/funcnn/mnist").iterdir()) == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ]
    assert find("mnist") is None


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", gzip.compress(b"hello"), gzip.compress(b"")[:9]],
    ids=["nothing", "no gzip", "no IDX", "cut"],
)
def test_a_download_that_is_no_idx_file_leaves_no_file(small_sets, tmp_path, content):
    small_sets.files["/mnist/train-images-idx3-ubyte.gz"] = content
    with pytest.raises(InputError, match="the download was not kept"):
        store.fetch("mnist")
    assert not (tmp_path / "cache").exists(), "a file or folder was left"


def test_an_archive_that_is_not_the_published_one_leaves_no_file(small_sets, tmp_path):
    small_sets.faults = [fault(spoil=True)]
    with pytest.raises(InputError, match=r"the SHA-256 of gzip\.zip is \w{64} instead of \w{64}"):
        store.fetch("emnist-balanced")
    assert not (tmp_path / "cache").exists(), "a file or folder was left"


def test_fetch_goes_on_with_what_is_there_and_leaves_a_whole_set_alone(small_sets, tmp_path):
    place = store.fetch("mnist", tmp_path / "to")
    assert place == tmp_path / "to" / "mnist"
    (place / "t10k-images-idx3-ubyte.gz").unlink()
    packed = place / "train-labels-idx1-ubyte.gz"
    (place / "train-labels-idx1-ubyte").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    small_sets.requests.clear()
    assert store.fetch("mnist", tmp_path / "to") == place
    assert small_sets.requests == [("/mnist/t10k-images-idx3-ubyte.gz", None)]


@pytest.mark.parametrize("name", ["mnist", "emnist-balanced"])
def test_fetch_does_not_overwrite_what_is_something_else(small_sets, tmp_path, name):
    place = store.fetch(name, tmp_path / "to")
    file = place if place.is_file() else place / "train-labels-idx1-ubyte.gz"
    file.write_bytes(b"mine")
    with pytest.raises(InputError) as caught:
        store.fetch(name, tmp_path / "to")
    assert str(file) in str(caught.value)
    assert file.read_bytes() == b"mine"


def test_verify_names_the_file_that_differs(small_sets, tmp_path, monkeypatch):
    place = store.fetch("mnist")
    assert [verdict.wrong for verdict in store.verify("mnist")] == [None] * 4
    file = place / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(gzip.compress(idx_bytes(np.zeros(20, "u1"))))
    verdicts = store.verify("mnist")
    assert [verdict.wrong is None for verdict in verdicts] == [True, True, True, False]
    assert str(file) in verdicts[3].wrong


def test_a_tampered_member_of_the_archive_is_refused(small_sets, tmp_path):
    members = emnist_members()
    name = "emnist-balanced-test-labels-idx1-ubyte.gz"
    members[name] = gzip.compress(idx_bytes(np.zeros(47, "u1")), mtime=0)
    (tmp_path / "nothing" / "emnist").mkdir(parents=True)
    write_zip(tmp_path / "nothing" / "emnist" / "gzip.zip", members)
    with pytest.raises(InputError, match="is not the published file") as caught:
        load_dataset("emnist-balanced", val_size=0, seed=0)
    assert f"gzip.zip: gzip/{name}" in str(caught.value)


def test_an_archive_without_the_member_is_an_input_error(small_sets, tmp_path):
    (tmp_path / "nothing" / "emnist").mkdir(parents=True)
    write_zip(tmp_path / "nothing" / "emnist" / "gzip.zip", {"other": b""})
    with pytest.raises(InputError, match=r"gzip\.zip has no emnist-balanced-train-images"):
        load_dataset("emnist-balanced", val_size=0, seed=0)


def test_packed_emnist_files_in_a_folder_are_verified_as_they_are_packed(small_sets, tmp_path):
    place = tmp_path / "nothing" / "emnist-balanced"
    place.mkdir(parents=True)
    for name, content in emnist_members().items():
        (place / name).write_bytes(content)
    assert find("emnist-balanced") == place
    expect_upright(load_dataset("emnist-balanced", val_size=0, seed=0))
    file = place / "emnist-balanced-test-images-idx3-ubyte.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), 1, mtime=1))
    with pytest.raises(InputError, match="is not the published file"):
        load_dataset("emnist-balanced", val_size=0, seed=0)


def test_without_a_connection_the_line_says_where_it_was_looked_for_and_how_to_fetch_it(
    small_sets, tmp_path, monkeypatch
):
    monkeypatch.setenv("FUNCNN_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(InputError) as caught:
        load_dataset("mnist", val_size=0, seed=0)
    line = str(caught.value)
    assert "\n" not in line
    for said in (tmp_path / "nothing" / "mnist", "Connection refused", "funcnn data fetch mnist"):
        assert str(said) in line


# --- the table -------------------------------------------------------------------------------


def test_the_table_has_the_publishers_addresses_and_a_mirror_replaces_them(monkeypatch):
    monkeypatch.delenv("FUNCNN_MIRROR")
    for name, row in SETS.items():
        assert catalog.url_of(name, "x.gz") == f"{row.url}/x.gz"
        assert row.url.startswith("http")
        assert not row.url.endswith("/")
    monkeypatch.setenv("FUNCNN_MIRROR", "https://example.org/data/")
    assert catalog.url_of("mnist", "x.gz") == "https://example.org/data/mnist/x.gz"
    emnist = catalog.url_of("emnist-bymerge", "gzip.zip")
    assert emnist == "https://example.org/data/emnist/gzip.zip"


@pytest.mark.parametrize("mirror", ["file:///etc", "ftp://example.org", "example.org"])
def test_a_mirror_that_is_no_web_address_is_an_input_error(monkeypatch, mirror):
    monkeypatch.setenv("FUNCNN_MIRROR", mirror)
    with pytest.raises(InputError, match=f"FUNCNN_MIRROR {mirror}: must begin with http"):
        catalog.url_of("mnist", "x.gz")


def test_tests_have_a_mirror_that_nobody_can_reach():
    assert catalog.url_of("mnist", "").startswith("http://127.0.0.1:9/")
