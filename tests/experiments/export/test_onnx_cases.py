"""ONNX's own cases of pools: what its operators give, the layers of the same attributes give."""

from pathlib import Path

import numpy as np
import pytest

import funcnn as fn

onnx = pytest.importorskip("onnx", reason="an extra: pip install 'funcnn[onnx]'")
# Their two modules alone: collect_testcases would compute the cases of every operator.
from onnx.backend.test.case.node import (  # noqa: E402
    _NodeTestCases,
    averagepool,  # noqa: F401
    maxpool,  # noqa: F401
)
from onnx.backend.test.loader import load_model_tests  # noqa: E402

POOLS = {"MaxPool", "AveragePool"}
WITH_DILATION_OR_CEIL_MODE = {
    "test_maxpool_2d_ceil",
    "test_maxpool_2d_ceil_output_size_reduce_by_one",
    "test_maxpool_2d_dilations",
    "test_maxpool_3d_dilations",
    "test_maxpool_3d_dilations_use_ref_impl",
    "test_maxpool_3d_dilations_use_ref_impl_large",
    "test_MaxPool1d_stride_padding_dilation",
    "test_MaxPool2d_stride_padding_dilation",
    "test_averagepool_2d_ceil",
    "test_averagepool_2d_ceil_last_window_starts_on_pad",
}


def read_tensor(file):
    return onnx.numpy_helper.to_array(onnx.load_tensor(file))


def cases_of_pools():
    """By their names: the operator, x and y of the cases that are one pool and nothing else."""
    for case in _NodeTestCases:
        (node,) = case.model.graph.node
        if node.op_type in POOLS:
            inputs, outputs = case.data_sets[0]
            yield case.name, (node, inputs[0], outputs[0])
    for case in load_model_tests(kind="pytorch-converted"):  # what torch gave
        if "Pool" in case.name:
            folder = Path(case.model_dir)
            nodes = onnx.load(folder / "model.onnx").graph.node
            if {node.op_type for node in nodes} <= POOLS:
                data = folder / "test_data_set_0"
                yield case.name, (nodes[0], *map(read_tensor, sorted(data.glob("*_0.pb"))))


def attributes_of(node):
    return {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}


def why_left_out(node, x):
    """What the case asks for that neither the layers nor torch's have; nothing if they have all."""
    attributes = attributes_of(node)
    kernel, pads = attributes["kernel_shape"], attributes.get("pads", [0])
    if len(node.output) > 1:
        return "indices"
    if x.dtype.kind != "f":
        return "integers"
    if b"SAME" in attributes.get("auto_pad", b""):
        return "padding by name"
    if any(2 * pad > size for pad, size in zip(pads, 2 * kernel, strict=False)):
        return "padding of more than half of the kernel"
    if node.op_type == "AveragePool" and "dilations" in attributes:
        return "an average with dilation"
    return ""


def layer_of(node):
    attributes = attributes_of(node)
    kernel = attributes["kernel_shape"]
    axes = len(kernel)
    pads = attributes.get("pads", [0] * 2 * axes)
    assert pads[:axes] == pads[axes:]
    arguments = {
        "kernel_size": kernel,
        "stride": attributes.get("strides", [1] * axes),
        "padding": pads[:axes],
        "ceil_mode": bool(attributes.get("ceil_mode", 0)),
    }
    if node.op_type == "MaxPool":
        return fn.MaxPool(**arguments, dilation=attributes.get("dilations", [1] * axes))
    counts = bool(attributes.get("count_include_pad", 0))
    return fn.AvgPool(**arguments, count_include_pad=counts)


CASES = dict(cases_of_pools())
TAKEN = [name for name, (node, x, _) in CASES.items() if not why_left_out(node, x)]


@pytest.mark.parametrize("name", TAKEN)
def test_a_layer_gives_what_the_operator_gives(name):
    node, x, y = CASES[name]
    found, _ = layer_of(node).apply({}, x, wrt=None)
    # One has four decimals; this is what ONNX's own runner of its cases allows.
    np.testing.assert_allclose(found, y, rtol=1e-3, atol=1e-7, strict=True)


def test_no_case_of_dilation_or_ceil_mode_is_left_out_but_averages_with_dilation():
    assert set(TAKEN) >= WITH_DILATION_OR_CEIL_MODE
    for name, (node, x, _) in CASES.items():
        attributes = attributes_of(node)
        if name not in TAKEN and ("ceil_mode" in attributes or "dilations" in attributes):
            assert why_left_out(node, x) == "an average with dilation"
