"""Models as ONNX: what onnxruntime gives is what the model gives, for every layer and net."""

import numpy as np
import pytest
from cases import LAYERS
from helpers import normal_batch, spy

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.experiments.pytorch.state_dicts import to_state_dict
from funcnn.experiments.tasks.architectures import ARCHITECTURES
from funcnn.experiments.tasks.build import build_network
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.networks import ACTIVATIONS

onnx = pytest.importorskip("onnx", reason="an extra: pip install 'funcnn[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="it runs what was exported")
from funcnn.experiments.export import onnx_model as onnx_export  # noqa: E402
from funcnn.experiments.export.onnx_model import onnx_model  # noqa: E402
from funcnn.experiments.export.onnx_operators import OPERATORS  # noqa: E402

KEY = fn.random.key(0)
COMBINATORS = {"serial", "parallel", "residual", "shape_dependent", "elementwise"}
ROWS = [
    pytest.param(layer, shape, id=f"{name} {index} of {shape}")
    for name, rows in LAYERS.items()
    for index, (layer, shape) in enumerate(rows)
    if layer.spec is not None
]


def random_params(model, shape, dtype=np.float32):
    """Params with no bias at 0 and no statistic at its start; variances stay above 0."""
    _, params = model.init(KEY, shape, dtype=dtype)
    generator = np.random.default_rng(0)
    return fn.tree.map(
        lambda leaf: leaf + generator.uniform(0.01, 0.2, leaf.shape).astype(dtype), params
    )


def run(exported, x):
    """What onnxruntime gives for an array, or a tuple of them: a list."""
    onnx.checker.check_model(exported, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        exported.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, fn.tree.leaves(x), strict=True)))


def assert_same_outputs(model, shape, dtype=np.float32, tolerance=1e-5):
    params = random_params(model, shape, dtype)
    exported = onnx_model(model, params, shape, {})
    for batch in (1, 3):  # one graph for both
        x = normal_batch(fn.random.key(batch), shape, batch, dtype)
        y, _ = model.apply(params, x, wrt=None)
        for ours, theirs in zip(fn.tree.leaves(y), run(exported, x), strict=True):
            assert (theirs.shape, theirs.dtype) == (ours.shape, ours.dtype)
            np.testing.assert_allclose(theirs, ours, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("layer", "shape"), ROWS)
def test_onnxruntime_gives_what_the_layer_gives(layer, shape):
    assert_same_outputs(layer, shape)


def test_every_layer_of_the_library_has_its_operators():
    assert set(OPERATORS) == set(LAYERS) - COMBINATORS


def build(arch, **changes):
    binary = ARCHITECTURES[arch].binary
    config = RunConfig.resolve({"arch": arch, "dropout": 0.25} | changes)
    shape, classes = ((2,), 2) if binary else ((1, 28, 28), 10)
    return build_network(config, shape, classes), shape


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_onnxruntime_gives_the_logits_of_every_architecture(arch):
    assert_same_outputs(*build(arch))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_onnxruntime_gives_the_logits_with_every_activation(activation):
    assert_same_outputs(*build("mlp2", activation=activation))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (fn.ConvTranspose(2, 3, stride=2, output_padding=1), (1, 3, 2)),
        (fn.ConvTranspose(2, 2, 3, 1, output_padding=2), (1, 3, 2)),
        (fn.ConvTranspose(2, (3, 2), dilation=(4, 1), output_padding=(3, 0)), (1, 2, 2)),
        (fn.ConvTranspose(2, 3, dilation=3, padding=1, output_padding=2), (1, 2, 2)),
        (fn.ConvTranspose(2, 3, 2, padding=(2, 1), output_padding=1, groups=2), (2, 3, 4)),
    ],
)
def test_output_padding_of_every_kind(layer, shape):
    assert_same_outputs(layer, shape)


@pytest.mark.parametrize(
    "layer",
    [
        fn.MaxPool(3, 2, dilation=2, ceil_mode=True),
        fn.MaxPool((2, 3), (2, 2), 1, ceil_mode=True),
        fn.MaxPool(1, 4, ceil_mode=True),
        fn.AvgPool((2, 3), (2, 2), 1, ceil_mode=True),
        fn.AvgPool((2, 3), (2, 2), 1, count_include_pad=False, ceil_mode=True),
        fn.AvgPool((1, 3), (4, 2), (0, 1), ceil_mode=True),
    ],
)
@pytest.mark.parametrize("size", [(7, 7), (7, 8), (8, 7), (6, 9)])
def test_ceil_mode_has_torchs_windows_on_every_axis(layer, size):
    # On some axes there is one more, on others it would begin in the padding or behind the image.
    assert_same_outputs(fn.serial(layer, fn.Flatten(), fn.Dense(2)), (2, *size))


def test_a_pool_is_one_node_with_torchs_attributes():
    model = fn.serial(fn.MaxPool(3, 2, 1, 2, True), fn.AvgPool(2, 1, ceil_mode=True))
    nodes = onnx_model(model, [{}, {}], (1, 8, 8), {}).graph.node
    found = [(node.op_type, onnx_attributes(node)) for node in nodes]
    sizes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    assert found[0] == ("MaxPool", sizes | {"dilations": [2, 2], "ceil_mode": 1})
    sizes = {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [0, 0, 0, 0]}
    assert found[1] == ("AveragePool", sizes | {"count_include_pad": 1, "ceil_mode": 1})
    assert [name for name, _ in found[2:]] == ["Identity"]


def onnx_attributes(node):
    return {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}


def test_values_on_either_side_of_every_kink():
    x = np.array([[-4, -3, -1, -0.5, -0.0, 0, 0.5, 1, 3, 4, 21]], np.float32)
    for layer in (
        *(fn.BinaryStep(), fn.HardTanh(-1, 3), fn.HardSigmoid(), fn.LeakyRelu(), fn.Elu(0.5)),
        *(fn.Softplus(2.0, threshold=1.0), fn.Softplus(), fn.Gelu("tanh"), fn.Selu(), fn.Relu()),
    ):
        y, _ = layer.apply({}, x, wrt=None)
        (theirs,) = run(onnx_model(layer, {}, (11,), {}), x)
        np.testing.assert_allclose(theirs, y, rtol=1e-6, atol=1e-6)


def test_float64_stays_float64():
    model = fn.serial(fn.Dense(5), fn.Tanh(), fn.Dense(2), fn.LogSoftmax())
    assert_same_outputs(model, (3,), np.float64, tolerance=1e-12)


# --- what is in the file ---------------------------------------------------------------------


def test_the_params_are_the_initializers_by_torchs_names():
    model, shape = build("resnet", channels=(4, 8), activation="gelu")
    params = random_params(model, shape)
    arrays = to_state_dict(model, params)
    found = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in onnx_model(model, params, shape, {}).graph.initializer
    }
    assert set(found) == {name for name in arrays if "num_batches" not in name}
    for name, array in found.items():
        np.testing.assert_array_equal(array, arrays[name], strict=True)


def test_inputs_and_outputs_have_a_batch_of_any_size():
    exported = onnx_model(fn.Dense(2), random_params(fn.Dense(2), (3,)), (3,), {"said": "ä"})
    for (value,), name, size in (
        (exported.graph.input, "input", 3),
        (exported.graph.output, "output", 2),
    ):
        assert value.name == name
        sizes = value.type.tensor_type.shape.dim
        assert (sizes[0].dim_param, sizes[1].dim_value) == ("N", size)
    assert {entry.key: entry.value for entry in exported.metadata_props} == {"said": "ä"}
    assert exported.producer_version == fn.__version__
    assert [(entry.domain, entry.version) for entry in exported.opset_import] == [("", 18)]


def test_tuples_of_arrays_are_inputs_and_outputs_by_number():
    model = fn.parallel(fn.Dense(2), fn.FanOut(2))
    shape = ((3,), (4,))
    exported = onnx_model(model, random_params(model, shape), shape, {})
    assert [value.name for value in exported.graph.input] == ["input.0", "input.1"]
    outputs = [value.name for value in exported.graph.output]
    assert outputs == ["output.0", "output.1.0", "output.1.1"]
    assert_same_outputs(model, shape)


def test_equal_params_give_equal_files():
    model, shape = build("lenet5")
    params = random_params(model, shape)
    contents = {
        onnx_model(model, params, shape, {"a": "1", "b": "2"}).SerializeToString(deterministic=True)
        for _ in range(3)
    }
    assert len(contents) == 1


# --- what has no operator --------------------------------------------------------------------


def unknown():
    return spy(fn.Relu(), [])


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (fn.serial(fn.Dense(3), unknown()), r"layer 1 \(layer\): ONNX has no operator for it"),
        (fn.serial(fn.residual(fn.serial(unknown()))), r"layer 0/0/0 \(layer\): ONNX has no"),
        (fn.elementwise(fn.activations.relu), r"the model \(layer\): ONNX has no operator"),
        (
            fn.serial(fn.shape_dependent(lambda shape: fn.Dense(*shape))),
            r"layer 0 \(shape_dependent\): ONNX has no operator",
        ),
        (
            fn.serial(fn.serial(fn.Relu())._replace(apply=unknown().apply)),
            r"layer 0 \(serial\): ONNX has no operator",
        ),
    ],
)
def test_a_layer_without_an_operator_is_named_with_its_place(model, said):
    _, params = model.init(KEY, (3,))
    with pytest.raises(InputError, match=said):
        onnx_model(model, params, (3,), {})


def test_params_too_large_for_the_format_are_refused(monkeypatch):
    monkeypatch.setattr(onnx_export, "_MOST_BYTES", 8)
    with pytest.raises(InputError, match="larger than the 2 GiB"):
        onnx_model(fn.Dense(3), random_params(fn.Dense(3), (1,)), (1,), {})
