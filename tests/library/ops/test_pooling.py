import itertools
import math

import numpy as np
import pytest
from helpers import frozen

from funcnn.ops.pooling import count_elements, max_pool, place_pool, sum_pool
from funcnn.ops.windows import place_windows


def place(inputs, kernel, stride, padding=(0, 0)):
    return place_windows(inputs, kernel, stride, (1,) * len(inputs), padding, padding)


def image(rows):
    """One image of one channel, `(H, W, C, N)`."""
    return np.array(rows, float)[:, :, None, None]


def plain(array):
    return array[:, :, 0, 0].tolist()


PAIRS = place((2, 4), (2, 2), (2, 2))
OVERLAPPING = place((2, 3), (1, 2), (1, 1))
PADDED = place((2, 2), (2, 2), (2, 2), (1, 1))


def test_max_pool_by_hand():
    y, vjp = max_pool(image([[1, 5, 2, 3], [7, 6, 9, 8]]), PAIRS, True)
    assert plain(y) == [[7, 9]]
    assert plain(vjp(image([[10, 20]]))) == [[0, 0, 0, 0], [10, 0, 20, 0]]


def test_an_element_chosen_by_two_windows_gets_both_cotangents():
    y, vjp = max_pool(image([[1, 5, 2], [4, 3, 6]]), OVERLAPPING, True)
    assert plain(y) == [[5, 5], [4, 6]]
    assert plain(vjp(image([[1, 10], [100, 1000]]))) == [[0, 11, 0], [100, 0, 1000]]


@pytest.mark.parametrize(
    ("x", "dx"),
    [
        ([[3, 3, 1, 1], [3, 3, 1, 2]], [[1, 0, 0, 0], [0, 0, 0, 1]]),
        ([[0, 3, 1, 2], [3, 0, 2, 2]], [[0, 1, 0, 1], [0, 0, 0, 0]]),
        ([[-2, -3, 0, 0], [-2, -2, 0, 0]], [[1, 0, 1, 0], [0, 0, 0, 0]]),
    ],
)
def test_of_equal_elements_the_first_is_chosen(x, dx):
    _, vjp = max_pool(image(x), PAIRS, True)
    assert plain(vjp(image([[1, 1]]))) == dx


def test_padding_is_never_the_largest():
    x = image([[-1, -2], [-3, -4]])
    y, vjp = max_pool(x, PADDED, True)
    assert plain(y) == plain(x)
    assert plain(vjp(image([[1, 2], [3, 4]]))) == [[1, 2], [3, 4]]


@pytest.mark.parametrize("windows", [PAIRS, PADDED, OVERLAPPING])
def test_the_largest_are_the_same_without_a_vjp(windows):
    x = np.random.default_rng(0).integers(-2, 3, (*windows.inputs, 3, 4)).astype(float)
    y, vjp = max_pool(x, windows, False)
    assert vjp is None
    np.testing.assert_array_equal(y, max_pool(x, windows, True)[0])


@pytest.mark.parametrize("place_of_largest", [0, 1, 254, 255, 256, 257, 288])
def test_a_window_may_have_more_elements_than_a_byte_can_count(place_of_largest):
    x = np.zeros(289)
    x[place_of_largest] = 1
    y, vjp = max_pool(x.reshape(17, 17, 1, 1), place((17, 17), (17, 17), (1, 1)), True)
    assert y.item() == 1
    np.testing.assert_array_equal(vjp(2 * y).ravel(), 2 * x)


def test_sum_pool_by_hand():
    y, vjp = sum_pool(image([[1, 5, 2], [4, 3, 6]]), OVERLAPPING)
    assert plain(y) == [[6, 7], [7, 9]]
    assert plain(vjp(image([[1, 10], [100, 1000]]))) == [[1, 11, 10], [100, 1100, 1000]]


def test_padding_adds_nothing_to_a_sum():
    y, vjp = sum_pool(image([[1, 2], [3, 4]]), PADDED)
    assert plain(y) == [[1, 2], [3, 4]]
    assert plain(vjp(image([[1, 2], [3, 4]]))) == [[1, 2], [3, 4]]


def test_elements_are_counted_with_the_padding_and_without():
    windows = place((3, 2), (3, 2), (1, 1), (1, 0))
    assert count_elements(windows, True).tolist() == [[[[6]]], [[[6]]], [[[6]]]]
    assert count_elements(windows, False).tolist() == [[[[4]]], [[[6]]], [[[4]]]]


def test_what_ceil_mode_adds_to_the_padding_counts_nothing():
    windows = place_pool((4, 2), (3, 2), (2, 2), (1, 1), (1, 0), True)
    assert (windows.after, windows.outputs) == ((2, 0), (3, 1))
    assert count_elements(windows, True).ravel().tolist() == [6, 6, 4]
    assert count_elements(windows, False).ravel().tolist() == [4, 6, 2]


@pytest.mark.parametrize(
    ("axis", "after", "outputs", "unseen"),  # size, kernel, stride, dilation, padding
    [
        ((7, 2, 2, 1, 0), 1, 4, 0),
        ((8, 2, 2, 1, 0), 0, 4, 0),
        ((3, 2, 2, 1, 1), 1, 2, 1),  # a third window would begin in the padding
        ((6, 1, 4, 1, 0), 0, 2, 1),  # and this one behind the image
        ((6, 1, 5, 1, 0), 0, 2, 0),
        ((9, 3, 4, 2, 1), 3, 3, 0),
        ((2, 3, 2, 1, 0), 1, 1, 0),  # without it, no window fits
    ],
)
def test_ceil_mode_widens_the_padding_after_the_image(axis, after, outputs, unseen):
    found = place_pool(*((number,) for number in axis), True)
    assert (found.before, found.after) == ((axis[-1],), (after,))
    assert (found.outputs, found.unseen) == ((outputs,), (unseen,))


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_windows_begin_where_torch_says_and_each_sees_the_image(ceil_mode, size, stride, padding):
    image = range(padding, padding + size)
    for kernel, dilation in itertools.product(range(max(1, 2 * padding), 6), range(1, 5)):
        last = size + 2 * padding - (kernel - 1) * dilation - 1 + ceil_mode * (stride - 1)
        begins = [begin for begin in range(0, last + 1, stride) if begin < image.stop]
        axis = (size,), (kernel,), (stride,), (dilation,), (padding,)
        if not begins:
            with pytest.raises(ValueError, match="larger than the image"):
                place_pool(*axis, ceil_mode)
        elif any(not any(begin + k * dilation in image for k in range(kernel)) for begin in begins):
            with pytest.raises(ValueError, match=f"dilation {dilation} leaps over an image of"):
                place_pool(*axis, ceil_mode)
        else:
            assert place_pool(*axis, ceil_mode).outputs == (len(begins),)


@pytest.mark.parametrize("inputs", [(5,), (4, 5), (3, 4, 5)])
def test_with_any_number_of_axes_a_window_is_pooled_to_one_number(inputs):
    axes, rng = len(inputs), np.random.default_rng(0)
    windows = place(inputs, (2,) * axes, (1,) * axes, (0,) * axes)
    x = rng.permutation(math.prod(inputs) * 6).reshape(*inputs, 2, 3).astype(float)
    (largest, max_vjp), (total, sum_vjp) = max_pool(x, windows, True), sum_pool(x, windows)
    dy = rng.standard_normal(largest.shape)
    dx_of_max, dx_of_sum = np.zeros_like(x), np.zeros_like(x)
    for output in np.ndindex(*windows.outputs):
        window = tuple(slice(start, start + 2) for start in output)
        elements = x[window].reshape(-1, 2, 3)
        np.testing.assert_array_equal(largest[output], elements.max(0))
        np.testing.assert_array_equal(total[output], elements.sum(0))
        dx_of_max[window] += dy[output] * (x[window] == largest[output])
        dx_of_sum[window] += dy[output]
    np.testing.assert_allclose(max_vjp(dy), dx_of_max, rtol=1e-12)
    np.testing.assert_allclose(sum_vjp(dy), dx_of_sum, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pool", [lambda x, w: max_pool(x, w, True), sum_pool], ids=["max", "sum"])
def test_arguments_are_left_alone_and_the_dtype_stays(pool, dtype):
    x = frozen(np.arange(24, dtype=dtype).reshape(2, 2, 3, 2))
    y, vjp = pool(x, PADDED)
    dy = frozen(y)
    assert y.dtype == vjp(dy).dtype == dtype
    np.testing.assert_array_equal(vjp(dy), vjp(dy))


def test_of_nothing_but_minus_infinity_the_largest_is_minus_infinity():
    y, _ = max_pool(image([[-math.inf] * 4] * 2), PAIRS, True)
    assert plain(y) == [[-math.inf] * 2]
