import numpy as np
import pytest

import funcnn as fn

SCORES = np.float32([[0.1, 0.7, 0.2], [5, -1, 0], [0, 0, 1], [-3, -2, -1]])  # classes 1 0 2 2


def test_the_predicted_class_has_the_highest_score():
    classes = fn.predicted_classes(SCORES)
    assert classes.tolist() == [1, 0, 2, 2]
    assert (classes.dtype, classes.shape) == (np.int64, (4,))


def test_the_first_of_equal_scores_is_predicted():
    assert fn.predicted_classes(np.float32([[0, 2, 2], [1, 1, 1]])).tolist() == [1, 0]


def test_a_single_column_is_the_probability_of_class_1():
    classes = fn.predicted_classes(np.float32([[0.2], [0.5], [0.500001], [1]]))
    assert classes.tolist() == [0, 0, 1, 1]
    assert classes.dtype == np.int64


TARGETS = {
    "classes": np.array([1, 0, 0, 2]),
    "bytes": np.uint8([1, 0, 0, 2]),
    "one-hot": np.eye(3)[[1, 0, 0, 2]],
}


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_accuracy_is_the_fraction_of_right_rows(targets):
    assert fn.accuracy(SCORES, targets) == 0.75
    assert type(fn.accuracy(SCORES, targets)) is float


def test_accuracy_of_all_and_of_none():
    assert fn.accuracy(SCORES, fn.predicted_classes(SCORES)) == 1.0
    assert fn.accuracy(SCORES, np.array([0, 1, 1, 1])) == 0.0


@pytest.mark.parametrize("targets", [np.array([0, 1, 1]), np.array([[0], [1], [1]])])
def test_accuracy_of_a_single_column(targets):
    assert fn.accuracy(np.float32([[0.1], [0.9], [0.4]]), targets) == 2 / 3


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_a_row_of_the_confusion_matrix_is_the_true_class(targets):
    matrix = fn.confusion_matrix(SCORES, targets)
    assert matrix.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 1]]
    assert matrix.dtype == np.int64


def test_the_confusion_matrix_of_a_single_column_has_two_classes():
    outputs = np.float32([[0.1], [0.9], [0.4], [0.8]])
    assert fn.confusion_matrix(outputs, np.array([0, 1, 1, 0])).tolist() == [[1, 1], [1, 1]]


def test_a_confusion_matrix_of_many_classes_does_not_overflow_small_labels():
    labels = np.arange(200, dtype=np.uint8)
    matrix = fn.confusion_matrix(np.eye(200, dtype=np.float32), labels)
    np.testing.assert_array_equal(matrix, np.eye(200))


def test_the_confusion_matrix_counts_what_accuracy_measures():
    rng = np.random.default_rng(0)
    outputs, targets = rng.normal(size=(500, 7)), rng.integers(0, 7, 500)
    matrix = fn.confusion_matrix(outputs, targets)
    assert matrix.sum() == 500
    assert matrix.sum(1).tolist() == np.bincount(targets, minlength=7).tolist()
    assert matrix.trace() / 500 == fn.accuracy(outputs, targets)


# --- misuse ----------------------------------------------------------------------------------

metrics = pytest.mark.parametrize("metric", [fn.accuracy, fn.confusion_matrix])


@metrics
@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), ()])
def test_outputs_of_another_shape_are_refused(metric, shape):
    with pytest.raises(ValueError, match=r"outputs are \(N, K\) or \(N, 1\), got shape"):
        metric(np.zeros(shape), np.zeros(3, np.int64))


@metrics
@pytest.mark.parametrize(
    "targets",
    [
        np.zeros(3, np.int64),
        np.zeros(4),
        np.zeros((4, 2)),
        np.zeros((4, 1), np.int64),
        np.zeros((1, 4), np.int64),
        np.int64(0),
        ["a", "b", "c", "d"],
    ],
)
def test_targets_that_do_not_fit_are_refused(metric, targets):
    with pytest.raises(ValueError, match=r"targets are integers \(4,\) or rows \(4, 3\)"):
        metric(SCORES, targets)


@metrics
@pytest.mark.parametrize("label", [3, -1, 100])
def test_a_label_that_is_no_class_is_refused_by_name(metric, label):
    with pytest.raises(ValueError, match=f"label {label} is not in 0 .. 2"):
        metric(SCORES, np.array([0, 1, label, 2]))


@metrics
def test_an_empty_batch_is_refused(metric):
    with pytest.raises(ValueError, match="empty"):
        metric(np.zeros((0, 3)), np.zeros(0, np.int64))
