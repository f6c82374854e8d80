import itertools
import re

import numpy as np
import pytest
from helpers import frozen
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

import funcnn as fn
from funcnn.ops import windows
from funcnn.ops.windows import Windows, place_windows


def place(inputs, kernel, stride=1, dilation=1, before=0, after=None):
    """Windows with one number for every axis, or one for each."""

    def each(value):
        return value if isinstance(value, tuple) else (value,) * len(inputs)

    after = before if after is None else after
    return place_windows(inputs, *map(each, (kernel, stride, dilation, before, after)))


@pytest.mark.parametrize(
    ("arguments", "outputs"),
    [
        (((4, 6), 3), (2, 4)),
        (((4, 6), (1, 6)), (4, 1)),
        (((7, 8), 3, 2), (3, 3)),
        (((7, 8), 3, (3, 1)), (2, 6)),
        (((5, 5), 3, 1, 2), (1, 1)),
        (((5, 5), 3, 1, 1, 1), (5, 5)),
        (((5, 5), 2, 1, 1, 0, 1), (5, 5)),
        (((1, 1), 3, 2, 1, 1), (1, 1)),
        (((9,), 4, 3), (2,)),
        (((3, 4, 5), 2), (2, 3, 4)),
    ],
)
def test_there_are_as_many_windows_as_fit(arguments, outputs):
    assert place(*arguments).outputs == outputs


def test_windows_know_their_reach_and_the_padded_image():
    found = place((5, 6), (3, 2), (2, 1), (2, 3), (0, 1), (1, 2))
    assert found.spans == (5, 4)
    assert found.inputs == (5, 6)
    assert found.padded == (6, 9)
    assert found.outputs == (1, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((2, 2), 5), "a kernel of 5x5 is larger than the image of 2x2, padded to 2x2"),
        (((2, 9), (1, 10)), "a kernel of 1x10 is larger than the image of 2x9, padded to 2x9"),
        (((2, 3), 6, 1, 1, 1), "a kernel of 6x6 is larger than the image of 2x3, padded to 4x5"),
        (((4,), 3, 1, 2), "a kernel of 5, dilated, is larger than the image of 4, padded to 4"),
    ],
)
def test_a_window_that_does_not_fit_is_an_error_with_all_sizes(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        place(*arguments)


def test_channels_and_batch_are_moved_last_and_back_without_a_copy():
    x = np.arange(120).reshape(5, 2, 3, 4)
    last = windows.batch_last(x)
    assert last.shape == (3, 4, 2, 5)
    np.testing.assert_array_equal(last[2, 3, 1], x[:, 1, 2, 3])
    back = windows.batch_first(last)
    np.testing.assert_array_equal(back, x)
    assert np.shares_memory(back, x)
    sequences = x.reshape(5, 6, 4)
    assert windows.batch_last(sequences).shape == (4, 6, 5)
    np.testing.assert_array_equal(windows.batch_first(windows.batch_last(sequences)), sequences)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_padding_surrounds_the_image_and_comes_off_as_a_view(dtype):
    x = np.arange(1, 13, dtype=dtype).reshape(2, 3, 1, 2)
    found = place((2, 3), 1, 1, 1, (1, 0), (2, 1))
    padded = windows.pad(x, found, -7)
    assert padded.shape == (5, 4, 1, 2)
    assert padded.dtype == dtype
    assert padded.flags.c_contiguous
    inside = windows.unpad(padded, found)
    np.testing.assert_array_equal(inside, x)
    assert np.shares_memory(inside, padded)
    assert (padded == -7).sum() == padded.size - x.size


def test_without_padding_a_contiguous_image_is_not_copied():
    x = np.ones((2, 3, 1, 2))
    assert windows.pad(x, place((2, 3), 1)) is x
    turned = np.ones((2, 4, 2, 3)).transpose(2, 3, 1, 0)
    assert not turned.flags.c_contiguous
    padded = windows.pad(turned, place((2, 3), 1))
    assert padded.flags.c_contiguous
    np.testing.assert_array_equal(padded, turned)


sizes = st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple)
small = st.integers(1, 3)


@given(sizes, small, small, small, st.integers(0, 2))
def test_the_view_has_the_elements_that_the_formula_says(inputs, kernel, stride, dilation, before):
    try:
        found = place(inputs, kernel, stride, dilation, before)
    except ValueError:
        assert (kernel - 1) * dilation + 1 > min(inputs) + 2 * before
        return
    padded = np.arange(np.prod(found.padded) * 2 * 3).reshape(*found.padded, 2, 3)
    view = windows.view_windows(padded, found)
    assert view.shape == (*found.outputs, *found.kernel, 2, 3)
    assert np.shares_memory(view, padded)
    assert list(windows.positions(found)) == list(itertools.product(*map(range, found.kernel)))
    for position in windows.positions(found):
        for output in np.ndindex(*found.outputs):
            at = (stride * o + dilation * k for o, k in zip(output, position, strict=True))
            expected = padded[*at]
            np.testing.assert_array_equal(view[*output, *position], expected)


def test_a_view_of_any_strides_stays_within_the_memory_and_is_as_read_only_as_the_array():
    array = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    shape, strides = (2, 3, 2), (16, 4, 0)
    view = windows.with_strides(array, shape, strides)
    np.testing.assert_array_equal(view, as_strided(array, shape, strides))
    assert view.dtype == array.dtype
    assert view.strides == strides
    view[1, 2] = -1
    assert array[1, 2] == -1
    assert not windows.with_strides(frozen(array), shape, strides).flags.writeable
    with pytest.raises(ValueError, match="incompatible"):
        windows.with_strides(array, (3, 5), (16, 4))


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
    st.integers(0, 100),
    st.sampled_from([4, 8]),
    st.integers(1, 5000),
)
def test_blocks_cover_all_rows_in_order_and_fit(outputs, elements, itemsize, block_bytes):
    found = Windows(*[()] * 7, tuple(outputs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "BLOCK_BYTES", block_bytes)
        blocks = windows.row_blocks(found, elements, itemsize)
    assert [row for rows in blocks for row in range(rows.start, rows.stop)] == [*range(outputs[0])]
    row_bytes = int(np.prod(outputs[1:])) * elements * itemsize
    for rows in blocks:
        count = rows.stop - rows.start
        assert count == 1 or count * row_bytes <= block_bytes
        assert count <= blocks[0].stop, "none is larger than the first"


def test_a_block_is_as_many_rows_as_fit(monkeypatch):
    found = place((12, 3), 1)
    row_bytes = 3 * 20 * 8
    for block_bytes, first in [(1, 1), (2 * row_bytes - 1, 1), (5 * row_bytes, 5), (10**9, 12)]:
        monkeypatch.setattr(windows, "BLOCK_BYTES", block_bytes)
        assert windows.row_blocks(found, 20, 8)[0] == slice(0, first)
    monkeypatch.setattr(windows, "BLOCK_BYTES", 5 * row_bytes)
    assert windows.row_blocks(found, 20, 8)[1:] == [slice(5, 10), slice(10, 12)]


# --- arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (3, 3),
        (np.int64(3), 3),
        (np.uint8(3), 3),
        ((2, 3), (2, 3)),
        ([2, 3], (2, 3)),
        ((np.int32(2), 3), (2, 3)),
        ((4,), (4,)),
    ],
)
def test_sizes_become_python_numbers(value, plain):
    found = windows.check_sizes("Conv", "stride", value)
    assert found == plain
    assert all(type(size) is int for size in (found if isinstance(found, tuple) else (found,)))


@pytest.mark.parametrize("value", [0, -1, (1, 0), (-2, 1), ()])
def test_sizes_below_the_least_are_named(value):
    said = re.escape(f"Conv: stride must be at least 1, got {value}")
    with pytest.raises(ValueError, match=f"^{said}$"):
        windows.check_sizes("Conv", "stride", value)


@pytest.mark.parametrize("value", [2**31, 10**40, (1, 2**63)])
def test_sizes_that_no_image_has_are_named(value):
    said = re.escape(f"Conv: stride must be below 2**31, got {value}")
    with pytest.raises(ValueError, match=f"^{said}$"):
        windows.check_sizes("Conv", "stride", value)


@pytest.mark.parametrize(
    "value", [1.5, "2", None, (1, "a"), {1}, np.array([1, 2]), ((1, 1), (1, 1))], ids=repr
)
def test_sizes_that_are_no_integers_are_named(value):
    expected = "an integer, or a tuple of one for each spatial axis"
    said = re.escape(f"Conv: padding is {expected}, got {value!r}")
    with pytest.raises(TypeError, match=f"^{said}$"):
        windows.check_sizes("Conv", "padding", value, least=0)


def test_one_number_is_for_every_axis_and_a_tuple_has_one_for_each():
    assert windows.for_each_axis("stride", 2, 3) == (2, 2, 2)
    assert windows.for_each_axis("stride", (1, 2), 2) == (1, 2)
    with pytest.raises(ValueError, match=r"^stride \(1, 2\) is for 2 spatial axes, x has 1$"):
        windows.for_each_axis("stride", (1, 2), 1)


@pytest.mark.parametrize("layer", [fn.Conv(4, (3, 3)), fn.MaxPool((2, 2)), fn.AvgPool((2, 2))])
def test_a_batch_axis_that_was_left_in_a_shape_is_noticed(layer):
    said = (
        r"kernel_size \(., .\) is for 2 spatial axes, x has 3: samples are \(C, H, W\), without N"
    )
    with pytest.raises(ValueError, match=rf"^(layer 0 \(\w+\): )?{said}$"):
        fn.serial(layer).init(fn.random.key(0), (64, 1, 28, 28))


@pytest.mark.parametrize("shape", [(), (4,)])
def test_what_is_no_image_is_an_error_that_shows_its_shape(shape):
    assert windows.spatial_sizes((2, 3)) == (3,)
    said = re.escape(f"expected images (channels, height, width), got shape {shape}")
    with pytest.raises(ValueError, match=f"^{said}$"):
        windows.spatial_sizes(shape)
