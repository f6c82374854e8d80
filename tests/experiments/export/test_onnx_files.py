"""What is read of an ONNX file, and what a damaged one says."""

import numpy as np
import pytest

import funcnn as fn
from funcnn.experiments.errors import InputError

onnx = pytest.importorskip("onnx", reason="an extra: pip install 'funcnn[onnx]'")
from funcnn.experiments.export.onnx_files import read_onnx  # noqa: E402
from funcnn.experiments.export.onnx_model import onnx_model  # noqa: E402


def exported():
    model = fn.serial(fn.Conv(2, 3), fn.Relu(), fn.Relu(), fn.Flatten(), fn.Dense(3))
    _, params = model.init(fn.random.key(0), (1, 4, 4))
    return onnx_model(model, params, (1, 4, 4), {"class_names": '["ä"]'})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(exported().SerializeToString())
    return path


def refused(file, *said):
    with pytest.raises(InputError) as caught:
        read_onnx(file)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{file} is not an ONNX file, or damaged")
    for words in said:
        assert words in line


def test_the_graph_its_params_and_metadata(file):
    found = read_onnx(file)
    assert found.opset == 18
    assert found.operators == {"Relu": 2, "Conv": 1, "Flatten": 1, "Gemm": 1, "Identity": 1}
    assert found.inputs == [{"path": "input", "shape": ["N", 1, 4, 4], "dtype": "float32"}]
    assert found.outputs == [{"path": "output", "shape": ["N", 3], "dtype": "float32"}]
    assert {row["path"]: row["shape"] for row in found.initializers} == {
        "0.weight": [2, 1, 3, 3],
        "0.bias": [2],
        "4.weight": [3, 8],
        "4.bias": [3],
    }
    assert found.metadata == {"class_names": '["ä"]'}


def test_a_graph_of_torchs_own_exporter_may_have_sizes_without_a_name(file):
    model = exported()
    model.graph.input[0].type.tensor_type.shape.dim[0].Clear()
    file.write_bytes(model.SerializeToString())
    assert read_onnx(file).inputs[0]["shape"] == [None, 1, 4, 4]


@pytest.mark.parametrize("content", [b"", b"hello", bytes(100), b"PK\3\4" + bytes(60)])
def test_other_bytes_are_refused(file, content):
    file.write_bytes(content)
    refused(file)


def test_a_file_that_was_cut_is_refused(file):
    file.write_bytes(file.read_bytes()[:-7])
    refused(file)


def test_an_operator_that_there_is_not_is_refused(file):
    model = exported()
    model.graph.node[0].op_type = "Nonsense"
    file.write_bytes(model.SerializeToString())
    refused(file, "Nonsense")


def test_a_dtype_that_there_is_not_is_refused(file):
    model = exported()
    model.graph.input[0].type.tensor_type.elem_type = 99
    file.write_bytes(model.SerializeToString())
    refused(file)


def test_a_name_that_is_no_text_is_refused(file):
    content = file.read_bytes()
    assert content.count(b"output") > 1
    file.write_bytes(content.replace(b"output", b"outpu\xff"))
    refused(file)


@pytest.mark.parametrize("seed", range(60))
def test_a_byte_changed_anywhere_gives_one_line_or_a_graph(file, seed):
    content = bytearray(file.read_bytes())
    generator = np.random.default_rng(seed)
    content[generator.integers(len(content))] = generator.integers(256)
    file.write_bytes(content)
    lines = ["none"]
    try:
        assert read_onnx(file).opset >= 0
    except InputError as error:
        lines = str(error).splitlines()
    assert len(lines) == 1


def test_a_missing_file_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_onnx(tmp_path / "none.onnx")
