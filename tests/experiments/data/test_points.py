"""The two point sets of the points lab, beside the lab's own loops."""

import numpy as np
import pytest

import funcnn as fn
from funcnn.experiments.data.points import generate_linear, generate_XOR_easy, linear_points


def lab_linear(n=100):
    """As the lab page describes it, a point after another."""
    points = np.random.uniform(0, 1, (n, 2))
    inputs, labels = [], []
    for point in points:
        inputs.append([point[0], point[1]])
        labels.append(0 if point[0] > point[1] else 1)
    return np.array(inputs), np.array(labels).reshape(n, 1)


@pytest.mark.parametrize("seed", [0, 1, 12345])
@pytest.mark.parametrize("n", [1, 100, 250])
def test_generate_linear_gives_the_labs_very_points_after_the_same_seed(seed, n):
    np.random.seed(seed)
    inputs, labels = generate_linear(n)
    np.random.seed(seed)
    expected_inputs, expected_labels = lab_linear(n)
    np.testing.assert_array_equal(inputs, expected_inputs)
    np.testing.assert_array_equal(labels, expected_labels)
    assert labels.shape == (n, 1)
    assert labels.dtype.kind == "i"


def test_generate_linear_gives_100_points_by_default_and_advances_the_global_generator():
    np.random.seed(3)
    first, second = generate_linear()[0], generate_linear()[0]
    assert first.shape == second.shape == (100, 2)
    np.random.seed(3)
    np.testing.assert_array_equal(
        np.concatenate([first, second]), np.random.uniform(0, 1, (200, 2))
    )


def test_a_point_on_the_diagonal_has_label_1(monkeypatch):
    points = np.array([[0.5, 0.5], [0.6, 0.5], [0.5, 0.6]])
    monkeypatch.setattr(np.random, "uniform", lambda low, high, shape: points)
    assert generate_linear(3)[1].tolist() == [[1], [0], [1]]


def test_generate_xor_easy_gives_the_labs_21_points_in_the_labs_order():
    inputs, labels = generate_XOR_easy()
    expected = []
    for i in range(11):
        expected.append((0.1 * i, 0.1 * i, 0))
        if i != 5:
            expected.append((0.1 * i, 1 - 0.1 * i, 1))
    assert [(x, y, label) for (x, y), (label,) in zip(inputs, labels, strict=True)] == expected
    assert inputs.shape == (21, 2)
    assert labels.shape == (21, 1)
    assert labels.dtype.kind == "i"


def test_keyed_points_leave_the_global_generator_as_it_was():
    np.random.seed(7)
    before = np.random.get_state(legacy=False)
    linear_points(fn.random.key(0))
    after = np.random.get_state(legacy=False)
    assert after["state"]["pos"] == before["state"]["pos"]
    np.testing.assert_array_equal(after["state"]["key"], before["state"]["key"])


def test_keyed_points_depend_on_the_key_alone():
    inputs, labels = linear_points(fn.random.key(0), 50)
    np.random.seed(1)
    again, _ = linear_points(fn.random.key(0), 50)
    other, _ = linear_points(fn.random.key(1), 50)
    np.testing.assert_array_equal(again, inputs)
    assert not np.array_equal(other, inputs)
    assert inputs.shape == (50, 2)
    assert 0 <= inputs.min() < inputs.max() < 1
    np.testing.assert_array_equal(labels.ravel(), [int(x <= y) for x, y in inputs])
