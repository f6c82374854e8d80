"""Against torch: convolutions and pools, what is refused included."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch_helpers import (
    KEY,
    arrays,
    assert_same_layer,
    assert_same_with_params,
    near,
    nn,
    normal,
    seeds,
    sizes,
    to_torch,
    torch,
)

import funcnn as fn

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def assert_same_or_both_refuse(make, make_module, shape, x, seed):
    """What torch refuses, its constructor or its module, is a ValueError here, and nothing else."""
    try:
        module = make_module().double()
        with torch.no_grad():
            y_shape = tuple(module(to_torch(x)).shape[1:])
    except (RuntimeError, ValueError):
        with pytest.raises(ValueError, match=r"\w"):
            make().init(KEY, shape)
        return
    layer = make()
    output_shape, params = layer.init(KEY, shape, dtype=np.float64)
    assert output_shape == y_shape
    theirs = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
    assert {name: leaf.shape for name, leaf in params.items()} == theirs
    params = {name: normal(seed + i, *leaf.shape) for i, (name, leaf) in enumerate(params.items())}
    assert_same_with_params(layer, module, params, x, seed + 9)


IMAGES = {
    "kernel": ("Conv", (3, 2), {"kernel_size": (2, 3)}),
    "1x1": ("Conv", (3, 2), {"kernel_size": 1}),
    "no bias": ("Conv", (3, 2), {"kernel_size": 3, "bias": False}),
    "stride": ("Conv", (3, 2), {"kernel_size": 3, "stride": (2, 3)}),
    "stride beyond the kernel": ("Conv", (3, 2), {"kernel_size": 1, "stride": 3}),
    "padding": ("Conv", (3, 2), {"kernel_size": 3, "padding": (2, 4)}),
    "same": ("Conv", (3, 2), {"kernel_size": (3, 4), "padding": "same"}),
    "same, dilation": ("Conv", (3, 2), {"kernel_size": (2, 4), "padding": "same", "dilation": 2}),
    "valid": ("Conv", (3, 2), {"kernel_size": 3, "padding": "valid", "stride": 2}),
    "dilation": ("Conv", (3, 2), {"kernel_size": 3, "dilation": (1, 2), "padding": 1}),
    "groups": ("Conv", (4, 6), {"kernel_size": 3, "groups": 2, "padding": 1}),
    "depthwise": ("Conv", (3, 6), {"kernel_size": 3, "groups": 3, "stride": 2}),
    "the whole image": ("Conv", (3, 2), {"kernel_size": (6, 7)}),
    "transpose": ("ConvTranspose", (3, 2), {"kernel_size": (2, 3)}),
    "transpose, stride": (
        "ConvTranspose",
        (3, 2),
        {"kernel_size": 3, "stride": (2, 3), "padding": 1, "output_padding": (1, 2)},
    ),
    "transpose, holes": ("ConvTranspose", (3, 2), {"kernel_size": 1, "stride": 3}),
    "transpose, dilation": (
        "ConvTranspose",
        (3, 2),
        {"kernel_size": 2, "dilation": (2, 3), "output_padding": (1, 2), "bias": False},
    ),
    "transpose, groups": ("ConvTranspose", (4, 6), {"kernel_size": 3, "groups": 2, "stride": 2}),
    "max": ("MaxPool", (), {"kernel_size": 2}),
    "max, overlapping": ("MaxPool", (), {"kernel_size": (3, 2), "stride": 1, "padding": 1}),
    "max, gaps": ("MaxPool", (), {"kernel_size": 2, "stride": 3}),
    "max, much padding": ("MaxPool", (), {"kernel_size": (4, 5), "stride": 1, "padding": 2}),
    "max, single elements": ("MaxPool", (), {"kernel_size": 1, "stride": 2}),
    "max, dilation": ("MaxPool", (), {"kernel_size": (2, 3), "stride": 1, "dilation": (3, 2)}),
    "max, beyond the image": ("MaxPool", (), {"kernel_size": (4, 3), "ceil_mode": True}),
    "max, begun in the padding": (
        "MaxPool",
        (),
        {"kernel_size": (2, 3), "padding": 1, "ceil_mode": True},
    ),
    "average": ("AvgPool", (), {"kernel_size": (2, 3)}),
    "average, padding": ("AvgPool", (), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "average, much padding": ("AvgPool", (), {"kernel_size": (4, 5), "stride": 2, "padding": 2}),
    "average, beyond the image": (
        "AvgPool",
        (),
        {"kernel_size": (4, 3), "stride": (3, 2), "padding": (2, 1), "ceil_mode": True},
    ),
    "average, padding that does not count": (
        "AvgPool",
        (),
        {"kernel_size": 3, "stride": 1, "padding": (1, 0), "count_include_pad": False},
    ),
    # What both must refuse.
    "a kernel too large": ("Conv", (3, 2), {"kernel_size": (3, 10), "padding": 1}),
    "a kernel too large by its dilation": ("Conv", (3, 2), {"kernel_size": 4, "dilation": 3}),
    "no stride": ("Conv", (3, 2), {"kernel_size": 3, "stride": 0}),
    "negative padding": ("Conv", (3, 2), {"kernel_size": 3, "padding": -1}),
    "no dilation": ("Conv", (3, 2), {"kernel_size": 3, "dilation": 0}),
    "an unknown padding": ("Conv", (3, 2), {"kernel_size": 3, "padding": "full"}),
    "same with a stride": ("Conv", (3, 2), {"kernel_size": 3, "padding": "same", "stride": 2}),
    "groups of channels": ("Conv", (3, 2), {"kernel_size": 3, "groups": 2}),
    "groups of outputs": ("Conv", (4, 3), {"kernel_size": 3, "groups": 2}),
    "no groups": ("Conv", (4, 3), {"kernel_size": 3, "groups": 0}),
    "too much output padding": (
        "ConvTranspose",
        (3, 2),
        {"kernel_size": 3, "stride": 2, "output_padding": 2},
    ),
    "an empty output": ("ConvTranspose", (3, 2), {"kernel_size": 1, "padding": 4}),
    "a pool too large": ("MaxPool", (), {"kernel_size": 8}),
    "a pool too large by its dilation": ("MaxPool", (), {"kernel_size": 3, "dilation": 4}),
    "a pool too large by more than a stride": (
        "MaxPool",
        (),
        {"kernel_size": 8, "stride": 2, "ceil_mode": True},
    ),
    "a pool of no dilation": ("MaxPool", (), {"kernel_size": 2, "dilation": 0}),
    "a pool of no stride": ("MaxPool", (), {"kernel_size": 2, "stride": 0}),
    "padding of more than half": ("MaxPool", (), {"kernel_size": 2, "padding": 2}),
    "an average's padding of more than half": ("AvgPool", (), {"kernel_size": 3, "padding": 2}),
}
# torch copies the image for it, and says so.
same_is_slow = pytest.mark.filterwarnings("ignore:Using padding='same'")


@same_is_slow
@pytest.mark.parametrize("row", IMAGES)
def test_layers_of_images_are_torchs(row):
    name, channels, arguments = IMAGES[row]
    shape = (channels[0] if channels else 3, 6, 7)
    assert_same_or_both_refuse(
        lambda: getattr(fn, name)(*channels[1:], **arguments),
        lambda: getattr(nn, f"{name}2d")(*channels, **arguments),
        shape,
        normal(0, 2, *shape),
        1,
    )


@st.composite
def geometries(draw, axes, **ranges):
    """Sizes of an image, and arguments with one number for each of its axes or for all."""
    axes = draw(st.sampled_from(axes))
    most = {1: 12, 2: 7, 3: 4}[axes]
    arguments = {}
    for name, (least, largest) in ranges.items():
        number = st.integers(least, largest)
        arguments[name] = draw(number | st.tuples(*[number] * axes))
    return tuple(draw(st.lists(st.integers(2, most), min_size=axes, max_size=axes))), arguments


@st.composite
def channel_counts(draw):
    """In, out and groups; one time in a few they do not divide."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    extra = st.sampled_from([0] * 9 + [1])
    inputs, outputs = (groups * draw(st.integers(1, 2)) + draw(extra) for _ in range(2))
    return inputs, outputs, groups


many = settings(max_examples=150)


@same_is_slow
@many
@given(
    geometries([1, 2, 3], kernel_size=(1, 4), stride=(1, 3), padding=(0, 2), dilation=(1, 3)),
    channel_counts(),
    st.sampled_from(["as it is", "same", "valid"]),
    st.booleans(),
    st.integers(1, 3),
    seeds,
)
def test_conv_is_torchs(geometry, channels, padding, bias, batch, seed):
    sizes, arguments = geometry
    inputs, outputs, groups = channels
    arguments |= {"groups": groups, "bias": bias}
    if padding != "as it is":
        arguments |= {"padding": padding} | ({"stride": 1} if padding == "same" else {})
    assert_same_or_both_refuse(
        lambda: fn.Conv(outputs, **arguments),
        lambda: getattr(nn, f"Conv{len(sizes)}d")(inputs, outputs, **arguments),
        (inputs, *sizes),
        normal(seed, batch, inputs, *sizes),
        seed + 1,
    )


@many
@given(
    geometries(
        [1, 2, 3],
        kernel_size=(1, 4),
        stride=(1, 3),
        padding=(0, 2),
        output_padding=(0, 2),
        dilation=(1, 3),
    ),
    channel_counts(),
    st.booleans(),
    st.integers(1, 3),
    seeds,
)
def test_conv_transpose_is_torchs(geometry, channels, bias, batch, seed):
    sizes, arguments = geometry
    inputs, outputs, groups = channels
    arguments |= {"groups": groups, "bias": bias}
    assert_same_or_both_refuse(
        lambda: fn.ConvTranspose(outputs, **arguments),
        lambda: getattr(nn, f"ConvTranspose{len(sizes)}d")(inputs, outputs, **arguments),
        (inputs, *sizes),
        normal(seed, batch, inputs, *sizes),
        seed + 1,
    )


# Ours and torch's, with how many axes, and our arguments and torch's. torch's average of 3 axes
# forgets the padding when it asks whether a window fits; that of 1 axis has no divisor.
POOLS = {
    "max": ("MaxPool", "MaxPool", [1, 2, 3], {}, {}),
    "max, ceil": ("MaxPool", "MaxPool", [1, 2, 3], *({"ceil_mode": True},) * 2),
    "average": ("AvgPool", "AvgPool", [1, 2], {}, {}),
    "average of the image alone": (
        *("AvgPool", "AvgPool", [1, 2]),
        *({"count_include_pad": False},) * 2,
    ),
    "average, ceil": ("AvgPool", "AvgPool", [1, 2], *({"ceil_mode": True},) * 2),
    "average of the image alone, ceil": (
        *("AvgPool", "AvgPool", [1, 2]),
        *({"ceil_mode": True, "count_include_pad": False},) * 2,
    ),
    "sum": ("SumPool", "AvgPool", [2], {}, {"divisor_override": 1}),
}


def has_blind_window(sizes, *, padding, dilation=1, **_):
    """Whether a window may leap from the padding before the image over all of it."""
    axes = len(sizes)
    around, dilations = (v if isinstance(v, tuple) else (v,) * axes for v in (padding, dilation))
    return any(p and d > size for size, p, d in zip(sizes, around, dilations, strict=True))


@pytest.mark.parametrize("name", POOLS)
@many
@given(st.data(), st.booleans(), st.integers(1, 3), st.booleans(), seeds)
def test_pools_are_torchs(name, data, with_stride, batch, ties, seed):
    ours, theirs, axes, our_arguments, their_arguments = POOLS[name]
    ranges = {"kernel_size": (1, 4), "stride": (1, 4), "padding": (0, 2)}
    if ours == "MaxPool":
        ranges["dilation"] = (1, 3)
    sizes, arguments = data.draw(geometries(axes, **ranges))
    if not with_stride:
        del arguments["stride"]
    shape = 2, *sizes
    assume(not has_blind_window(sizes, **arguments))
    x = normal(seed, batch, *shape)
    assert_same_or_both_refuse(
        lambda: getattr(fn, ours)(**arguments, **our_arguments),
        lambda: getattr(nn, f"{theirs}{len(sizes)}d")(**arguments, **their_arguments),
        shape,
        np.round(x) if ties else x,
        seed + 1,
    )


@pytest.mark.parametrize("axes", [1, 2])
def test_where_torch_finds_nothing_but_padding_is_an_error(axes):
    """There torch gives -inf, from an index that is outside the image."""
    shape = 1, *(1,) * axes
    module = getattr(nn, f"MaxPool{axes}d")(2, 1, 1, 2, return_indices=True)
    y, index = module(torch.zeros(1, *shape))
    assert torch.isneginf(y).all()
    assert index.item() >= 1
    with pytest.raises(ValueError, match="dilation 2 leaps over an image of 1"):
        fn.MaxPool(2, 1, 1, 2).init(KEY, shape)


@given(arrays(min_dims=3, max_dims=3, elements=near), st.integers(1, 3))
def test_the_sum_of_windows_of_sequences_is_torchs_average_of_so_many(x, kernel_size):
    if kernel_size <= x.shape[2]:
        average = nn.AvgPool1d(kernel_size, 1)
        assert_same_layer(fn.SumPool(kernel_size, 1), lambda x: kernel_size * average(x), x)


@pytest.mark.parametrize("name", ["GlobalAvgPool", "GlobalMaxPool"])
@given(st.lists(sizes, min_size=3, max_size=5), st.booleans(), seeds)
def test_global_pools_are_torchs(name, shape, ties, seed):
    x = normal(seed, *shape)
    module = getattr(nn, name.replace("Global", "Adaptive") + f"{len(shape) - 2}d")(1)
    assert_same_layer(
        getattr(fn, name)(), nn.Sequential(module, nn.Flatten()), np.round(x) if ties else x
    )
