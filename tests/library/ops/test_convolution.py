"""Convolution and its derivatives, against the sums of their definition."""

import math
import tracemalloc

import numpy as np
import pytest
from helpers import assert_same_bits, frozen
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

import funcnn as fn
from funcnn.ops import convolution, fft_convolution, windows
from funcnn.ops.convolution import (
    add_bias,
    convolve,
    cotangent_of_bias,
    cotangent_of_weight,
    cotangent_of_x,
)
from funcnn.ops.windows import place_windows


def test_a_convolution_by_hand():
    x = np.array([[[1.0]], [[2]], [[4]], [[8]]])  # (L, C, N)
    weight = np.array([[[1.0, 10]], [[0, 1]]])  # (O, C, k)
    found = place_windows((4,), (2,), (1,), (1,), (0,), (0,))
    y = convolve(x, weight, found)
    np.testing.assert_array_equal(y[:, :, 0], [[21, 2], [42, 4], [84, 8]])
    dy = np.array([[[1.0], [0]], [[0], [0]], [[0], [1]]])  # (L, O, N)
    dweight = cotangent_of_weight(dy, x, weight.shape, found)
    np.testing.assert_array_equal(dweight, [[[1, 2]], [[4, 8]]])
    np.testing.assert_array_equal(cotangent_of_x(dy, weight, found, 1)[:, 0, 0], [1, 10, 0, 1])


def test_the_bias_is_added_everywhere():
    x = np.arange(12.0).reshape(3, 2, 1, 2)  # (H, W, C, N)
    weight, bias = np.array([2.0, 3]).reshape(2, 1, 1, 1), np.array([100.0, 200])
    found = place_windows((3, 2), (1, 1), (1, 1), (1, 1), (1, 0), (0, 0))
    y = convolve(x, weight, found)
    add_bias(y, frozen(bias))
    np.testing.assert_array_equal(y[0], np.broadcast_to([[100], [200]], (2, 2, 2)))
    np.testing.assert_array_equal(y[1:, :, 0], 2 * x[:, :, 0] + 100)
    np.testing.assert_array_equal(y[1:, :, 1], 3 * x[:, :, 0] + 200)
    dweight = cotangent_of_weight(np.ones_like(y), x, weight.shape, found)
    np.testing.assert_array_equal(dweight.ravel(), [x.sum()] * 2)
    np.testing.assert_array_equal(cotangent_of_bias(np.ones_like(y)), [16, 16])


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.integers(1, 4),
    st.integers(0, 4),
    st.sampled_from([np.float32, np.float64]),
)
def test_the_bias_of_a_channel_is_in_all_of_it_and_its_cotangent_is_the_sum(
    outputs, channels, samples, dtype
):
    rng = np.random.default_rng(0)
    y, dy = (rng.integers(-9, 10, (*outputs, channels, samples)).astype(dtype) for _ in "yd")
    bias = rng.integers(-9, 10, channels).astype(dtype)
    result = y.copy()
    add_bias(result, frozen(bias))
    for channel in range(channels):
        np.testing.assert_array_equal(result[..., channel, :], y[..., channel, :] + bias[channel])
    expected = [dy[..., channel, :].sum() for channel in range(channels)]
    dbias = cotangent_of_bias(frozen(dy))
    np.testing.assert_array_equal(dbias, expected)
    assert result.dtype == dbias.dtype == dtype


def drawn(seed, groups, axes, kernel, stride, dilation, samples):
    """Windows, x, weights `(O, C/G, *kernel)` and dy of random numbers."""
    rng = np.random.default_rng(seed)
    sizes = tuple(rng.integers(kernel, 7, axes).tolist())
    before, after = (
        tuple((rng.integers(0, 3, axes) + (kernel - 1) * (dilation - 1)).tolist()) for _ in "ba"
    )
    found = place_windows(
        sizes, (kernel,) * axes, (stride,) * axes, (dilation,) * axes, before, after
    )
    return found, *random_arrays(rng, found, 2 * groups, 3 * groups, groups, samples)


def random_arrays(rng, found, channels, out_channels, groups, samples):
    """x, weight and dy for these windows."""
    x = rng.standard_normal((*found.inputs, channels, samples))
    weight = rng.standard_normal((out_channels, channels // groups, *found.kernel))
    return x, weight, rng.standard_normal((*found.outputs, out_channels, samples))


def convolve_by_definition(x, weight, groups, found):
    """y[p, o, n] = sum over c, k of w[o, c, k] x[stride p + dilation k - before, c, n]."""
    channels, samples = x.shape[-2:]
    y = np.zeros((*found.outputs, len(weight), samples))
    inputs, outputs = channels // groups, len(weight) // groups
    for o, c, *rest in np.ndindex(*weight.shape, *found.outputs):
        k, p = rest[: len(found.kernel)], rest[len(found.kernel) :]
        terms = zip(p, found.stride, k, found.dilation, found.before, strict=True)
        at = [p * stride + k * dilation - before for p, stride, k, dilation, before in terms]
        if all(0 <= i < size for i, size in zip(at, found.inputs, strict=True)):
            y[*p, o] += weight[o, c, *k] * x[*at, o // outputs * inputs + c]
    return y


shapes = st.tuples(
    st.integers(0, 2**32 - 1), *[st.integers(1, 2)] * 2, *[st.integers(1, 3)] * 3, st.integers(1, 2)
)


@given(shapes)
def test_a_convolution_is_the_sum_of_its_definition(shape):
    groups = shape[1]
    found, x, weight, _ = drawn(*shape)
    y = convolve(x, weight, found)
    expected = convolve_by_definition(x, weight, groups, found)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@given(shapes)
def test_both_cotangents_are_the_adjoints_of_the_convolution(shape):
    groups = shape[1]
    found, x, weight, dy = drawn(*shape)
    value = (convolve(x, weight, found) * dy).sum()
    dweight = cotangent_of_weight(dy, x, weight.shape, found)
    dx = cotangent_of_x(dy, weight, found, groups)
    assert dweight.shape == weight.shape
    assert dx.shape == x.shape
    size = np.abs(dy).sum() * np.abs(weight).max()
    np.testing.assert_allclose((dweight * weight).sum(), value, atol=1e-12 * size)
    np.testing.assert_allclose((dx * x).sum(), value, atol=1e-12 * size)


def results(found, x, weight, dy, groups):
    """y, dweight and dx."""
    dweight = cotangent_of_weight(dy, x, weight.shape, found)
    return convolve(x, weight, found), dweight, cotangent_of_x(dy, weight, found, groups)


def assert_close(ours, expected):
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * np.abs(b).max(initial=1))


@pytest.mark.parametrize("rows", [1, 2, 1000])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("axes", [1, 2])
def test_the_size_of_a_block_is_seen_in_the_rounding_alone(
    axes, groups, stride, dilation, rows, monkeypatch
):
    found, x, weight, dy = drawn(0, groups, axes, 3, stride, dilation, 5)
    expected = results(found, x, weight, dy, groups)
    elements = groups * 2 * 3**axes * 5
    row_bytes = math.prod(found.outputs[1:]) * elements * 8
    monkeypatch.setattr(windows, "BLOCK_BYTES", rows * row_bytes)
    assert len(windows.row_blocks(found, elements, 8)) == -(-found.outputs[0] // rows)
    for a, b in zip(results(found, x, weight, dy, groups), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


# --- the ways to the columns of a window -----------------------------------------------------


@pytest.fixture
def overlapping(monkeypatch):
    """Whether the columns of each convolution were views that overlap in memory."""
    seen = []

    def noting(array, shape, strides):
        seen.append(True)
        return windows.with_strides(array, shape, strides)

    monkeypatch.setattr(convolution, "with_strides", noting)
    monkeypatch.setattr(fft_convolution, "is_less_work", lambda *_: False)
    return seen


def spread(weight, dilation):
    """The weight with zeros in its holes, and where its own elements are in it."""
    spans = [(size - 1) * d + 1 for size, d in zip(weight.shape[2:], dilation, strict=True)]
    wide = np.zeros((*weight.shape[:2], *spans))
    own = (slice(None), slice(None), *(slice(None, None, d) for d in dilation))
    wide[own] = weight
    return wide, own


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(
    ("sizes", "dilation"),
    [((9,), (2,)), ((7, 8), (1, 2)), ((7, 8), (3, 2)), ((6, 5, 7), (2, 1, 3))],
)
def test_a_kernel_with_zeros_in_its_holes_gives_what_its_dilation_gives(
    sizes, dilation, stride, overlapping
):
    axes, rng = len(sizes), np.random.default_rng(0)
    around = (1,) * axes
    dilated = place_windows(sizes, (2,) * axes, (stride,) * axes, dilation, around, (2,) * axes)
    x, weight, dy = random_arrays(rng, dilated, 3, 4, 1, 5)
    y, dweight, dx = results(dilated, x, weight, dy, 1)
    assert not overlapping
    wide, own = spread(weight, dilation)
    filled = place_windows(
        sizes, wide.shape[2:], (stride,) * axes, (1,) * axes, around, (2,) * axes
    )
    assert filled.outputs == dilated.outputs
    y_wide, dweight_wide, dx_wide = results(filled, x, wide, dy, 1)
    assert overlapping
    assert_close((y_wide, dweight_wide[own], dx_wide), (y, dweight, dx))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_groups_give_what_one_group_with_zeros_between_them_gives(axes, stride, overlapping):
    rng = np.random.default_rng(0)
    every = (
        (size,) * axes
        for size in (6, 3, stride, 1, 1, 2)  # inputs, kernel, stride, dilation, before, after
    )
    found = place_windows(*every)
    x, weight, dy = random_arrays(rng, found, 6, 4, 2, 5)
    y, dweight, dx = results(found, x, weight, dy, 2)
    assert not overlapping
    whole = np.zeros((4, 6, *found.kernel))
    blocks = (slice(0, 2), slice(0, 3)), (slice(2, 4), slice(3, 6))
    for block, of_group in zip(blocks, (weight[:2], weight[2:]), strict=True):
        whole[block] = of_group
    y_whole, dweight_whole, dx_whole = results(found, x, whole, dy, 1)
    assert overlapping
    dweight_whole = np.concatenate([dweight_whole[block] for block in blocks])
    assert_close((y_whole, dweight_whole, dx_whole), (y, dweight, dx))


@pytest.mark.parametrize("weights", [1, 10**9])
@pytest.mark.parametrize("groups", [1, 2])
def test_dy_is_transposed_in_memory_or_not_with_the_same_result(groups, weights, monkeypatch):
    found, x, weight, dy = drawn(0, groups, 2, 3, 1, 1, 5)
    expected = cotangent_of_weight(dy, x, weight.shape, found)
    monkeypatch.setattr(convolution, "WORTH_TRANSPOSING", weights)
    assert_close([cotangent_of_weight(dy, x, weight.shape, found)], [expected])


# --- what cannot be seen in a result ---------------------------------------------------------


@pytest.mark.parametrize(
    ("stride", "padding", "is_one"),
    [
        (1, (0, 0), True),
        (1, (1, 2), True),
        (1, (2, 2), True),
        (2, (0, 0), False),
        (1, (3, 0), False),
    ],
)
def test_without_a_stride_dx_is_a_convolution_of_dy(stride, padding, is_one, monkeypatch):
    """Which is much quicker; the two ways differ in rounding alone."""
    found = place_windows((7,), (3,), (stride,), (1,), padding[:1], padding[1:])
    rng = np.random.default_rng(0)
    dy, weight = rng.normal(size=(*found.outputs, 4, 5)), rng.normal(size=(4, 3, 3))
    called = []
    monkeypatch.setattr(
        convolution, "convolve", lambda *given: called.append(given) or convolve(*given)
    )
    dx = cotangent_of_x(dy, weight, found, 1)
    assert bool(called) == is_one
    monkeypatch.setattr(convolution, "_windows_around", lambda windows: None)
    np.testing.assert_allclose(dx, cotangent_of_x(dy, weight, found, 1), rtol=0, atol=1e-12)


def strange(x):
    """The same numbers, contiguous as NumPy says, with strides of axes of size 1 that lie."""
    strides = (
        stride if size > 1 else 1 << 40 for stride, size in zip(x.strides, x.shape, strict=True)
    )
    found = as_strided(x, x.shape, tuple(strides))
    assert found.flags.c_contiguous
    return found


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("transform", [False, True])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(
    ("sizes", "kernel", "samples"),
    [
        *(((5,), (3,), 1), ((1,), (1,), 4), ((1,), (1,), 1), ((5,), (3,), 4)),
        *(((5, 1), (3, 1), 1), ((1, 5), (1, 3), 1), ((1, 1), (1, 1), 3), ((4, 5), (2, 3), 1)),
        ((1, 4, 5), (1, 1, 3), 1),
    ],
)
def test_the_strides_of_axes_of_size_1_do_not_matter(
    sizes, kernel, samples, padding, transform, groups, monkeypatch
):
    transform = transform and groups == 1 and len(sizes) == 2
    monkeypatch.setattr(fft_convolution, "is_less_work", lambda *_: transform)
    axes = len(sizes)
    ones, around = (1,) * axes, (padding,) * axes
    found = place_windows(sizes, kernel, ones, ones, around, around)
    arrays = random_arrays(np.random.default_rng(0), found, groups, groups, groups, samples)
    expected = results(found, *arrays, groups)
    assert_same_bits(results(found, *map(strange, arrays), groups), expected)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(
    ("sizes", "kernel"), [((5,), (3,)), ((4, 5), (3, 3)), ((4, 5), (1, 3)), ((4, 5), (1, 1))]
)
def test_one_sample_of_one_channel_may_be_transposed(sizes, kernel, padding):
    axes = len(sizes)
    found = place_windows(sizes, kernel, (1,) * axes, (1,) * axes, (0,) * axes, (padding,) * axes)
    images = np.arange(1.0, 1 + np.prod(sizes)).reshape(1, 1, *sizes)  # (N, C, *sizes)
    x = windows.batch_last(images)
    weight = np.random.default_rng(0).standard_normal((2, 1, *found.kernel))
    expected = convolve_by_definition(x, weight, 1, found)
    np.testing.assert_allclose(convolve(x, weight, found), expected, rtol=1e-13)
    dy = windows.batch_last(np.moveaxis(expected, (-1, -2), (0, 1)).copy())
    assert_same_bits(
        cotangent_of_weight(dy, x, weight.shape, found),
        cotangent_of_weight(dy.copy("C"), x.copy("C"), weight.shape, found),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transform", [False, True])
@pytest.mark.parametrize("kernel", [2, 5])
def test_arguments_are_left_alone_and_the_dtype_stays(kernel, transform, dtype, monkeypatch):
    groups = 1 if kernel == 5 or transform else 2
    monkeypatch.setattr(fft_convolution, "is_less_work", lambda *_: transform)
    found, *arrays = drawn(1, groups, 2, kernel, 1, 1, 3)
    x, weight, dy = frozen([a.astype(dtype) for a in arrays])
    for result in results(found, x, weight, dy, groups):
        assert result.dtype == dtype
        assert not any(np.shares_memory(result, a) for a in (x, weight, dy))
    dbias = cotangent_of_bias(dy)
    assert dbias.dtype == dtype
    assert not np.shares_memory(dbias, dy)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("transform", [False, True])
@pytest.mark.parametrize("kernel", [3, 5])
def test_no_images_give_no_images_and_a_gradient_of_zero(kernel, transform, groups, monkeypatch):
    monkeypatch.setattr(fft_convolution, "is_less_work", lambda *_: transform and groups == 1)
    found, x, weight, dy = drawn(2, groups, 2, kernel, 1, 1, 0)
    y = convolve(x, weight, found)
    assert y.shape == dy.shape
    add_bias(y, np.ones(len(weight)))
    dweight = cotangent_of_weight(dy, x, weight.shape, found)
    assert dweight.shape == weight.shape
    assert not dweight.any()
    dbias = cotangent_of_bias(dy)
    assert dbias.shape == (len(weight),)
    assert not dbias.any()
    assert cotangent_of_x(dy, weight, found, groups).shape == x.shape


@pytest.mark.parametrize("samples", [1, 2, 7, 8, 9])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_with_few_samples_and_with_many_it_is_the_sum_of_its_definition(axes, groups, samples):
    found, x, weight, dy = drawn(0, groups, axes, 2, 1, 1, samples)
    y = convolve(x, weight, found)
    expected = convolve_by_definition(x, weight, groups, found)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    dweight = cotangent_of_weight(dy, x, weight.shape, found)
    np.testing.assert_allclose((dweight * weight).sum(), (y * dy).sum(), rtol=1e-10)


def test_the_gradient_of_a_long_sequence_needs_little_more_memory_than_the_sequence():
    layer = fn.Conv(64, 5)
    _, params = layer.init(fn.random.key(0), (64, 8000))
    y, vjp = layer.apply(params, np.ones((4, 64, 8000), np.float32), wrt="params")
    dy = np.ones_like(y)
    tracemalloc.start()
    try:
        vjp(dy)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * y.nbytes + 4 * windows.BLOCK_BYTES


def test_the_gradient_of_a_bias_is_exact_for_one_large_image():
    dy = 1 + np.random.default_rng(0).random((1024, 1024, 1, 1), np.float32)  # (H, W, O, N)
    assert cotangent_of_bias(dy)[0] == pytest.approx(dy.sum(dtype=np.float64), rel=1e-6)


# --- one sample ------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_one_sample_is_as_among_others(axes, kernel):
    found, x, weight, _ = drawn(kernel, 1, axes, kernel, 1, 1, samples=2)
    y = convolve(x, weight, found)
    for sample in range(2):
        one = convolve(frozen(x[..., [sample]]), frozen(weight), found)
        np.testing.assert_allclose(one, y[..., [sample]], rtol=1e-12, atol=1e-12)


def test_one_sample_has_the_same_bits_on_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(windows, "BLOCK_BYTES", 1 << 20)  # so that there are several blocks
    found = place_windows((70, 60), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1))
    x, weight, _ = random_arrays(np.random.default_rng(0), found, 16, 32, 1, 1)
    results = []
    for threads in (1, 2, 3):
        with fn.threads.use_threads(threads), fn.threads.single_threaded_blas():
            results += [convolve(x, weight, found) for _ in range(8)]  # some of them divided
    for other in results[1:]:
        assert_same_bits(other, results[0])


@pytest.mark.parametrize("dtype", ["f2", ">f4", "f8", "g"])
def test_one_sample_of_any_dtype(dtype):
    found = place_windows((40, 40), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1))
    x, weight, _ = random_arrays(np.random.default_rng(0), found, 16, 32, 1, 1)
    y = convolve(x.astype(dtype), weight.astype(dtype), found)
    tolerance = 0.1 if dtype == "f2" else 1e-3
    np.testing.assert_allclose(y.astype("f8"), convolve(x, weight, found), atol=tolerance)


def test_the_elements_of_a_long_row_are_not_copied_side_by_side(monkeypatch):
    found = place_windows((8, 500), (5, 5), (1, 1), (1, 1), (2, 2), (2, 2))
    x, weight, _ = random_arrays(np.random.default_rng(0), found, 4, 3, 1, 1)
    expected = convolve(x, weight, found)
    monkeypatch.setattr(convolution, "BLOCK_BYTES", 500 * 100 * 8 - 1)
    monkeypatch.setattr(convolution, "_convolve_one", None)
    np.testing.assert_allclose(convolve(x, weight, found), expected, rtol=1e-9, atol=1e-12)
