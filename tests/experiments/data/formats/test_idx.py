"""IDX files: what is written is what is read, and every kind of damage is one clear error."""

import gzip
import hashlib
import io
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from image_files import CODES, idx_bytes, write_idx

from funcnn.experiments.data.formats.idx import read_idx, read_stream, sha256
from funcnn.experiments.errors import InputError
from funcnn.experiments.system import memory

any_array = st.sampled_from(sorted(CODES)).flatmap(
    lambda dtype: hnp.arrays(f">{dtype}", hnp.array_shapes(max_dims=4, min_side=0))
)


def parse(content, name):
    return read_stream(io.BytesIO(content), len(content), name)


BYTES = np.arange(24, dtype="u1").reshape(2, 3, 4)


@given(array=any_array)
def test_parse_gives_back_the_array_that_was_written(array):
    found = parse(idx_bytes(array), "it")
    assert found.shape == array.shape
    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()  # bytes, so that nan equals nan


@pytest.mark.parametrize("name", ["a-ubyte", "a-ubyte.gz"])
@pytest.mark.parametrize("dtype", sorted(CODES))
def test_a_file_is_read_raw_or_gzipped(tmp_path, name, dtype):
    array = BYTES.astype(f">{dtype}")
    found = read_idx(write_idx(tmp_path / name, array))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


def test_gzip_is_told_by_the_content_and_not_by_the_name(tmp_path):
    packed, plain = tmp_path / "packed", tmp_path / "plain.gz"
    packed.write_bytes(gzip.compress(idx_bytes(BYTES)))
    plain.write_bytes(idx_bytes(BYTES))
    np.testing.assert_array_equal(read_idx(packed), BYTES)
    np.testing.assert_array_equal(read_idx(str(plain)), BYTES)


def test_the_array_is_read_only(tmp_path):
    assert not read_idx(write_idx(tmp_path / "a", BYTES)).flags.writeable


def _header(*values: int, code: int = 8, zeros: int = 0) -> bytes:
    return struct.pack(f">HBB{len(values)}I", zeros, code, len(values), *values)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\0\0\x08", "3 bytes", id="shorter than a magic number"),
        pytest.param(_header(2, code=7) + b"ab", "0x00000701", id="unknown type code"),
        pytest.param(_header(2, zeros=1) + b"ab", "0x00010801", id="no zeros at the start"),
        pytest.param(_header(), "0x00000800", id="no axes"),
        pytest.param(b"GIF89a..", "0x47494638", id="another format"),
        pytest.param(_header(2, 3)[:-1], "header", id="ends within the header"),
        pytest.param(_header(2, 3) + b"abcde", "2 x 3 values (6 bytes), but holds 5", id="short"),
        pytest.param(_header(2, 3) + b"abcdefg", "2 x 3 values (6 bytes), but holds 7", id="long"),
        pytest.param(_header(2, code=0x0E) + bytes(15), "16 bytes", id="short of a float64"),
        pytest.param(_header(*[2**32 - 1] * 4) + b"a", "4294967295", id="enormous"),
        pytest.param(_header(*[1] * 65) + b"a", "65", id="more axes than NumPy has"),
        pytest.param(_header(0, *[2**32 - 1] * 3), "4294967295", id="enormous but for a 0"),
    ],
)
def test_damage_is_an_input_error_that_names_the_file_and_the_value(tmp_path, content, said):
    file = tmp_path / "images-ubyte"
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_idx(file)
    assert str(file) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_input_errors_that_name_them(tmp_path):
    with pytest.raises(InputError, match="No such file") as caught:
        read_idx(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(caught.value)
    with pytest.raises(InputError, match="is a folder") as caught:
        read_idx(tmp_path)
    assert str(tmp_path) in str(caught.value)


PACKED = gzip.compress(idx_bytes(BYTES), mtime=0)


def test_a_gzip_file_cut_anywhere_is_an_input_error(tmp_path):
    file = tmp_path / "a.gz"
    for length in range(2, len(PACKED)):
        file.write_bytes(PACKED[:length])
        with pytest.raises(InputError, match="truncated or damaged gzip") as caught:
            read_idx(file)
        assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("tail", "said"),
    [(b"x", "damaged gzip"), (b"\x1f\x8b", "damaged gzip"), (PACKED, "holds 24 and more")],
)
def test_what_follows_the_end_of_a_gzip_file_is_refused(tmp_path, tail, said):
    (tmp_path / "a.gz").write_bytes(PACKED + tail)
    with pytest.raises(InputError, match=said):
        read_idx(tmp_path / "a.gz")


@given(position=st.integers(0, len(PACKED) - 1), flip=st.integers(1, 255))
def test_a_flipped_byte_of_a_gzip_file_never_gives_another_array(tmp_path_factory, position, flip):
    file = tmp_path_factory.getbasetemp() / "flipped.gz"
    file.write_bytes(PACKED[:position] + bytes([PACKED[position] ^ flip]) + PACKED[position + 1 :])
    try:
        found = read_idx(file)  # a gzip header has bytes that say nothing, such as the time
    except InputError as error:
        said = str(error)
    else:
        np.testing.assert_array_equal(found, BYTES)
        return
    assert str(file) in said


def test_a_gzip_file_that_claims_more_than_it_can_hold_is_refused_before_it_is_unpacked(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(_header(2**20, 2**10, 2**10) + b"a"))
    with pytest.raises(
        InputError, match=r"claims 1,099,511,627,776 bytes, more than its \d+ packed"
    ):
        read_idx(tmp_path / "a.gz")


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_file_that_memory_cannot_hold_is_refused(tmp_path, monkeypatch, pack):
    (tmp_path / "a").write_bytes(pack(idx_bytes(BYTES)))
    monkeypatch.setattr(memory, "_container_room", lambda: 23)
    with pytest.raises(InputError, match="claims 24 bytes, but 23 bytes of memory are free"):
        read_idx(tmp_path / "a")


def test_a_gzip_bomb_is_unpacked_no_further_than_its_header_claims(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(_header(24) + bytes(1 << 28), 1))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"24 values \(24 bytes\), but holds 24 and more"):
        read_idx(tmp_path / "a.gz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 24


@given(array=any_array)
def test_the_digest_of_an_array_is_that_of_its_file(array):
    assert sha256(array) == hashlib.sha256(idx_bytes(array)).hexdigest()
    assert sha256(parse(idx_bytes(array), "it")) == sha256(array)


@given(content=st.binary(max_size=80))
def test_any_bytes_are_an_array_or_an_input_error(content):
    try:
        found = parse(b"\0\0" + content, "it")
    except InputError as error:
        said = str(error)
    else:
        assert idx_bytes(found) == b"\0\0" + content
        return
    assert said.startswith("it ")
