"""Files that claim more than they hold, or never end: refused, in no more memory than theirs."""

import hashlib
import io
import json
import os
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from helpers import finish

import funcnn as fn
from funcnn._files import open_regular, read_bytes, read_text
from funcnn.experiments.compare.comparison import Comparison
from funcnn.experiments.compare.lockstep_table import read_steps
from funcnn.experiments.data.datasets import find_pictures, load_inputs
from funcnn.experiments.data.formats.listings import DiskFolder
from funcnn.experiments.data.pictures import read_picture
from funcnn.experiments.errors import InputError
from funcnn.experiments.export.describe import describe_file
from funcnn.experiments.export.tensor_files import read_tensors
from funcnn.experiments.tasks.changes import read_settings
from funcnn.experiments.tasks.model_records import read_own_model
from funcnn.experiments.tasks.references import read_own
from funcnn.experiments.training.run_folder import RunFolder


def peak_of(function):
    """The most bytes that were allocated at once while it ran."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def write_snapshot(path, spec, input_shape, method=zipfile.ZIP_STORED, arrays=None):
    """A snapshot as another program may write it, every digest right."""
    contents = {}
    for name, array in (arrays or {}).items():
        buffer = io.BytesIO()
        np.save(buffer, array)
        contents[name] = buffer.getvalue()
    header = {
        "format": 1,
        "structure": {"list": [{"array": name} for name in contents]},
        "spec": spec,
        "input_shape": input_shape,
        "normalization": None,
        "class_names": None,
        "notes": None,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
    }
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("header.json", json.dumps(header))
        for name, data in contents.items():
            archive.writestr(f"{name}.npy", data)
    return path


def refused(path, said):
    def load():
        with pytest.raises(fn.SnapshotError, match=said) as caught:
            fn.load(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)

    return load


HUGE = {
    "Dense": (fn.Dense(10**9), [10**9]),
    "Conv": (fn.Conv(10**6, 1000), [100, 1000, 1000]),
    "ConvTranspose": (fn.ConvTranspose(10**6, 1000), [100, 1000, 1000]),
    "PRelu": (fn.PRelu(10**9), [10**9]),
    "BatchNorm": (fn.BatchNorm(), [10**9]),
    "LayerNorm": (fn.LayerNorm(), [10**9]),
    "GroupNorm": (fn.GroupNorm(1), [10**9]),
    "orthogonal": (fn.Dense(10**5, weight_init=fn.initializers.orthogonal()), [10**5]),
    "truncated": (fn.Dense(10**5, bias_init=fn.initializers.truncated_normal()), [10**5]),
}


@pytest.mark.parametrize(("layer", "input_shape"), HUGE.values(), ids=HUGE)
def test_a_snapshot_of_a_huge_model_is_refused_before_its_weights_are_drawn(
    tmp_path, layer, input_shape
):
    path = write_snapshot(tmp_path / "params.npz", fn.serial(layer).spec, input_shape)
    assert peak_of(refused(path, "array 0/(weight|bias) is missing")) < 1 << 20


def test_a_snapshot_of_an_array_branched_without_end_is_refused(tmp_path):
    many = fn.serial(*[fn.FanOut(1000)] * 9)
    path = write_snapshot(tmp_path / "params.npz", many.spec, [1])
    assert peak_of(refused(path, "more than 1,000 arrays")) < 4 << 20


def test_the_shapes_of_params_need_no_key_and_no_memory():
    model = fn.serial(fn.Conv(3, 3), fn.BatchNorm(), fn.Relu(), fn.Flatten(), fn.Dense(4))
    shape, params = model.init(fn.random.key(0), (2, 5, 5))
    only, shapes = model.init(fn.random.SHAPES_ONLY, (2, 5, 5))
    assert only == shape
    for leaf, of_shape in zip(fn.tree.leaves(params), fn.tree.leaves(shapes), strict=True):
        assert (of_shape.shape, of_shape.dtype) == (leaf.shape, leaf.dtype)
        assert set(of_shape.strides) <= {0}


def test_the_table_of_a_huge_model_needs_no_memory():
    tables = []
    peak = peak_of(lambda: tables.append(fn.summary(fn.Dense(10**6), (10**6,))))
    assert tables[0].parameters == 10**12 + 10**6
    assert peak < 1 << 20


def test_a_compressed_member_of_a_snapshot_is_refused_before_it_is_unpacked(tmp_path):
    arrays = {"0": np.zeros(10**7, np.float32)}
    path = write_snapshot(tmp_path / "a.npz", None, None, zipfile.ZIP_DEFLATED, arrays)
    size = path.stat().st_size
    assert peak_of(refused(path, "header.json is compressed")) < 10 * size < 1 << 20


def test_members_that_share_their_bytes_cannot_claim_more_than_the_file(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", "x" * 1000)
        first = archive.infolist()[0]
        archive.filelist.extend([first] * 99)  # 100 entries in the directory, of the same bytes
    refused(path, "its members claim 100,000 bytes of a file of")()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x93NUMPY\x01\x00\x04\x00(1,\n", "its header is damaged"),
        (b"\x93NUMPY\x01\x00\x06\x00{'a'(\n", "its header is damaged"),
        (b"\x93NUMPY\x03\x00\x04\x00\0\0{}\n", r"format \(3, 0\) is not known"),
        (b"\x93NUMPY", "magic"),
    ],
)
def test_an_array_with_a_damaged_header_is_named(tmp_path, monkeypatch, data, said):
    monkeypatch.setattr(np, "save", lambda buffer, array: buffer.write(data))
    path = write_snapshot(tmp_path / "a.npz", None, None, arrays={"0": None})
    refused(path, f"array 0: .*{said}")()


@pytest.mark.parametrize("shape", [(1 << 40,), (-3,), (1 << 40, 0, 1 << 40), (1, -1, -3)])
def test_an_array_that_claims_another_size_than_it_has_is_refused(tmp_path, monkeypatch, shape):
    def save(buffer, array):
        np.lib.format.write_array_header_1_0(
            buffer, {"shape": shape, "fortran_order": False, "descr": "<f4"}
        )
        buffer.write(b"12 bytes of.")

    monkeypatch.setattr(np, "save", save)
    path = write_snapshot(tmp_path / "a.npz", None, None, arrays={"0": None})
    assert peak_of(refused(path, "array 0: it claims .* but holds 12 bytes")) < 1 << 20


# --- what is no file of bytes --------------------------------------------------------------------


@pytest.fixture(params=["device", "link", "fifo"])
def endless(tmp_path, request):
    """Something that can be opened, and would be read for ever or waited for."""
    path = tmp_path / "params.npz"
    if request.param == "device":
        return "/dev/zero"
    if request.param == "link":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)
    return str(path)


def test_what_is_no_regular_file_is_not_opened(endless):
    for read in (open_regular, read_bytes, read_text, fn.load):

        def message(read=read):
            with pytest.raises(OSError, match="Not a regular file") as caught:
                read(endless)
            return caught.value

        assert finish(message).filename == endless


def test_a_link_to_a_file_is_read(tmp_path):
    (tmp_path / "file").write_bytes("Mañana\r\n".encode())
    (tmp_path / "link").symlink_to("file")
    assert read_bytes(tmp_path / "link") == b"Ma\xc3\xb1ana\r\n"
    assert read_text(str(tmp_path / "link")) == "Mañana\r\n"
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)


FILES = ["a.csv", "a.npz", "a.zip", "images-idx3-ubyte", "a.zip/emnist-letters"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_data_that_are_no_regular_file_are_refused(tmp_path, name, kind):
    place = tmp_path / name.split("/", maxsplit=1)[0]
    make_endless(place, kind)
    said = input_error(lambda: load_inputs(str(tmp_path / name)))
    assert str(tmp_path) in said


def make_endless(path, kind):
    path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)


def input_error(function):
    """The message of the `InputError`, or `OSError`, that it raises; it may not take for ever."""

    def caught():
        with pytest.raises((InputError, OSError)) as error:
            function()
        return str(error.value)

    said = finish(caught)
    assert "\n" not in said
    return said


def deep(levels):
    return {"layer": "serial", "layers": [deep(levels - 1)]} if levels else fn.Flatten().spec


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (fn.serial(fn.Flatten(), fn.Dense(10**9)).spec, "does not fit the data: its outputs have"),
        (fn.serial(*[fn.FanOut(1000)] * 9).spec, "more than 1,000 arrays|does not fit the data"),
        (deep(200), "RecursionError|does not fit the data"),
        ({"layer": "Dense", "out_features": "many"}, "give --model mine.py:net"),
        ({"layer": {"layer": "Dense"}}, "give --model mine.py:net"),
        ({"initializer": "zeros"}, "give --model mine.py:net"),
    ],
    ids=["wide", "branched", "deep", "text", "nested", "initializer"],
)
def test_the_record_of_a_network_is_refused_before_its_weights_are_drawn(tmp_path, spec, said):
    record = {"name": "mine.py:net", "spec": spec, "parts": [], "file": None, "sha256": None}
    (tmp_path / "model.json").write_text(json.dumps(record))

    def build():
        own = read_own_model(tmp_path, "mine.py:net", None)
        with pytest.raises(InputError, match=said) as error:
            own.build((1, 4, 4), 3, {})
        assert "\n" not in str(error.value)

    assert peak_of(build) < 1 << 23


READERS = {
    "weights.pt": read_tensors,
    "weights.safetensors": read_tensors,
    "weights.onnx": describe_file,
    "params.npz": describe_file,
    "config.json": read_settings,
    "metrics.csv": lambda path: RunFolder(path.parent).read_metrics(),
    "summary.json": lambda path: RunFolder(path.parent).read_summary(),
    "comparison.json": lambda path: Comparison.resume(path.parent),
    "lockstep.csv": read_steps,
    "model.json": lambda path: read_own_model(path.parent, "mine.py:net", None),
    "mine.py": lambda path: read_own(f"{path}:net"),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_no_reader_waits_for_what_never_ends(tmp_path, name, kind):
    make_endless(tmp_path / name, kind)
    assert "Not a regular file" in input_error(lambda: READERS[name](tmp_path / name))


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_what_never_ends_is_no_picture_of_ones_own(tmp_path, kind):
    make_endless(tmp_path / "it.png", kind)
    files = find_pictures(str(tmp_path))
    assert [file for _, file in files] == ["it.png"]
    said = input_error(lambda: read_picture(*files[0], (1, 28, 28)))
    assert said == f"{tmp_path}/it.png cannot be read: Not a regular file"


def test_a_picture_that_claims_more_than_it_holds_costs_no_memory(tmp_path):
    header = struct.pack(">IIBBBBB", 9000, 9000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    (tmp_path / "it.png").write_bytes(start + struct.pack(">I", zlib.crc32(chunk)))

    def read():
        read_picture(DiskFolder(tmp_path), "it.png", (1, 28, 28))

    assert peak_of(lambda: input_error(read)) < 9000 * 9000 // 10


def test_what_never_ends_is_no_picture_of_a_class(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        make_endless(tmp_path / "train" / name / "1.png", "fifo")
    assert "cannot be read: Not a regular file" in input_error(lambda: load_inputs(str(tmp_path)))


def test_what_is_wrong_is_one_line_whatever_names_there_are(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train/a/1\n\x1b[2J.png", b"none")
    said = input_error(lambda: load_inputs(str(path)))
    assert said.startswith(f"{path}/train/a/1\\n\\x1b[2J.png cannot be read as a picture")
    assert said.isprintable()
