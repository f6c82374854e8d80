"""Models as ONNX: what onnxruntime gives is what the model gives, for every layer and net."""

import numpy as np
import pytest
from helpers import normal_batch
from test_layers import TABLE

import funcnn as fn

WHY = "an extra: pip install 'funcnn[onnx]'"
onnx = pytest.importorskip("onnx", reason=WHY)
onnxruntime = pytest.importorskip("onnxruntime", reason="it runs what was exported")
from funcnn.experiments.onnx_export import onnx_model  # noqa: E402

KEY = fn.random.key(0)
ROWS = [
    pytest.param(layer, shape, id=f"{name} {index} of {shape}")
    for name, rows in TABLE.items()
    for index, (layer, shape) in enumerate(rows)
    if layer.spec is not None
]


def random_params(model, shape, seed=0, dtype=np.float32):
    """Params with no bias at 0 and no statistic at its start; variances stay above 0."""
    _, params = model.init(fn.random.key(seed), shape, dtype=dtype)
    generator = np.random.default_rng(seed)
    return fn.tree.map(
        lambda leaf: leaf + generator.uniform(0.01, 0.2, leaf.shape).astype(dtype), params
    )


def run(exported, x):
    """What onnxruntime gives: an array, or a list of them."""
    onnx.checker.check_model(exported, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        exported.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_inputs()]
    outputs = session.run(None, dict(zip(names, fn.tree.leaves(x), strict=True)))
    assert [value.name for value in session.get_outputs()][0].startswith("output")
    return outputs


def assert_same_outputs(model, shape):
    params = random_params(model, shape)
    exported = onnx_model(model, params, shape, {})
    for batch in (1, 3):  # one graph for both
        x = normal_batch(fn.random.key(batch), shape, batch=batch)
        y, _ = model.apply(params, x, wrt=None)
        for ours, theirs in zip(fn.tree.leaves(y), run(exported, x), strict=True):
            assert theirs.shape == ours.shape
            assert theirs.dtype == ours.dtype
            np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("layer", "shape"), ROWS)
def test_onnxruntime_gives_what_the_layer_gives(layer, shape):
    assert_same_outputs(layer, shape)
