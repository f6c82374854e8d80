"""Files in the format safetensors, by our functions and by the package's own."""

import numpy as np
import pytest

from funcnn.experiments.errors import InputError

WHY = "an extra: pip install 'funcnn[safetensors]'"
safetensors = pytest.importorskip("safetensors", reason=WHY)
from safetensors import numpy as package  # noqa: E402

from funcnn.experiments.export.safetensors_files import read_safetensors, write_safetensors  # noqa: E402

ARRAYS = {
    "2.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "10.weight": np.ones(2),
    "half": np.array([0.5, -2], np.float16),
    "1.num_batches_tracked": np.array(7, np.int64),
    "flags": np.array([True, False]),
}
SAID = {"normalization": '{"scale": 255.0}', "class_names": '["a", "\\u00e4"]', "other": "ä"}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "net.safetensors"


def refused(file, *said):
    with pytest.raises(InputError) as caught:
        read_safetensors(file)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(str(file))
    for words in said:
        assert words in line


def test_the_package_reads_what_is_written(file):
    write_safetensors(file, ARRAYS, SAID)
    found = package.load_file(file)
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    with safetensors.safe_open(file, "np") as opened:
        assert opened.metadata() == SAID


def test_what_is_written_comes_back(file):
    write_safetensors(file, ARRAYS, SAID)
    stored = read_safetensors(file)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(stored.arrays[name], array, strict=True)
    assert stored.dtypes == {name: str(array.dtype) for name, array in ARRAYS.items()}
    assert stored.metadata == SAID


@pytest.mark.parametrize("said", [{}, {"a": "b"}])
def test_what_the_package_writes_is_read(file, said):
    package.save_file(ARRAYS, file, said or None)
    stored = read_safetensors(file)
    np.testing.assert_array_equal(stored.arrays["half"], ARRAYS["half"], strict=True)
    assert stored.metadata == said


def test_equal_arrays_give_equal_files(tmp_path):
    files = [tmp_path / f"{index}.safetensors" for index in range(8)]
    for file in files:  # the package alone writes the metadata in any order
        write_safetensors(file, ARRAYS, SAID)
    assert len({file.read_bytes() for file in files}) == 1


def stored_as(kind, data, shape=(2,)):
    """The bytes of a file with one tensor."""
    header = f'{{"a":{{"dtype":"{kind}","shape":{list(shape)},"data_offsets":[0,{len(data)}]}}}}'
    return len(header).to_bytes(8, "little") + header.encode() + data


def test_bfloat16_becomes_float32(file):
    file.write_bytes(stored_as("BF16", b"\x80\x3f\x20\xc0"))
    stored = read_safetensors(file)
    np.testing.assert_array_equal(stored.arrays["a"], np.array([1, -2.5], np.float32), strict=True)
    assert stored.dtypes == {"a": "bfloat16"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ["is not a safetensors file, or damaged"]),
        (b"hello there, here is a text", ["is not a safetensors file, or damaged"]),
        (bytes(100), ["is not a safetensors file, or damaged"]),
        (stored_as("F32", bytes(7)), ["is not a safetensors file, or damaged"]),
        (stored_as("F32", bytes(8))[:-1], ["is not a safetensors file, or damaged"]),
        (stored_as("F32", bytes(8), (10**12,)), ["is not a safetensors file, or damaged"]),
        (stored_as("F8_E4M3", bytes(2)), ["a is F8_E4M3, which NumPy has not"]),
        (stored_as("F32", bytes(8)).replace(b'"a"', b'"\x7f"'), [r"'\x7f' is not the name"]),
    ],
)
def test_what_is_none_is_refused(file, content, said):
    file.write_bytes(content)
    refused(file, *said)


def test_a_missing_file_is_the_systems_error(file):
    with pytest.raises(FileNotFoundError):
        read_safetensors(file)
