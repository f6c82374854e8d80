import math

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


# --- top k -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "expected"), [(1, 0.5), (2, 0.75), (3, 1.0)])
@pytest.mark.parametrize("as_rows", [False, True])
def test_top_k_accuracy_by_hand(k, expected, as_rows):
    targets = np.array([1, 0, 0, 1])  # the highest, the highest, not the highest two, the second
    targets = np.eye(3)[targets] if as_rows else targets
    scores = np.float32([[0.1, 0.7, 0.2], [5, -1, 0], [0, 0.5, 1], [-3, -2, -1]])
    assert fn.top_k_accuracy(scores, targets, k) == expected
    assert type(fn.top_k_accuracy(scores, targets, k)) is float


def test_of_equal_scores_the_first_is_the_higher():
    scores = np.float32([[1, 1, 1, 0]] * 4)
    for k, expected in [(1, 1 / 4), (2, 2 / 4), (3, 3 / 4), (4, 1.0)]:
        assert fn.top_k_accuracy(scores, np.arange(4), k) == expected


def test_top_k_accuracy_is_what_sorting_gives_and_top_1_is_accuracy():
    rng = np.random.default_rng(0)
    outputs, targets = rng.integers(0, 6, (500, 9)) / 3, rng.integers(0, 9, 500)
    order = np.argsort(-outputs, axis=1, kind="stable")
    for k in range(1, 10):
        expected = (order[:, :k] == targets[:, None]).any(1).mean()
        assert fn.top_k_accuracy(outputs, targets, k) == expected
    assert fn.top_k_accuracy(outputs, targets, 1) == fn.accuracy(outputs, targets)


def test_scores_that_are_no_numbers_are_no_hits():
    scores = np.array([[np.nan] * 3, [np.nan, 2, 1]])
    assert fn.top_k_accuracy(scores, np.array([0, 2]), 2) == 0
    assert fn.top_k_accuracy(scores, np.array([0, 1]), 2) == 0.5


@pytest.mark.parametrize("k", [0, -1, 4])
def test_k_is_a_number_of_classes(k):
    with pytest.raises(ValueError, match=f"k must be from 1 to the 3 classes, got {k}"):
        fn.top_k_accuracy(SCORES, np.zeros(4, int), k)
    with pytest.raises(ValueError, match="from 1 to the 3 classes, got 5"):
        fn.top_k_accuracy(SCORES, np.zeros(4, int))


# --- precision and recall --------------------------------------------------------------------


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_precision_and_recall_by_hand(targets):
    np.testing.assert_array_equal(fn.precision(SCORES, targets), [1, 1, 0.5])
    np.testing.assert_array_equal(fn.recall(SCORES, targets), [0.5, 1, 1])


def test_they_are_0_for_a_class_that_is_never_predicted_or_never_there():
    outputs = np.eye(4)[[0, 0, 1, 1]]
    targets = np.array([0, 2, 1, 2])
    np.testing.assert_array_equal(fn.precision(outputs, targets), [0.5, 0.5, 0, 0])
    np.testing.assert_array_equal(fn.recall(outputs, targets), [1, 1, 0, 0])


def test_precision_and_recall_of_a_single_column_are_of_both_classes():
    outputs = np.float32([[0.1], [0.9], [0.4], [0.8], [0.7]])
    targets = np.array([0, 1, 1, 0, 1])
    np.testing.assert_array_equal(fn.precision(outputs, targets), [1 / 2, 2 / 3])
    np.testing.assert_array_equal(fn.recall(outputs, targets), [1 / 2, 2 / 3])


def test_precision_and_recall_are_what_counting_gives():
    rng = np.random.default_rng(0)
    outputs, targets = rng.normal(size=(300, 6)), rng.integers(0, 6, 300)
    predicted = outputs.argmax(1)
    for k in range(6):
        hits = ((predicted == k) & (targets == k)).sum()
        assert fn.precision(outputs, targets)[k] == hits / (predicted == k).sum()
        assert fn.recall(outputs, targets)[k] == hits / (targets == k).sum()


# --- calibration -----------------------------------------------------------------------------


def logits_of(confidences):
    """Two columns: class 0 is predicted, with these probabilities."""
    p = np.array(confidences)
    return np.stack([np.log(p), np.log(1 - p)], axis=1)


def test_the_calibration_error_by_hand():
    # In halves: (0.5, 1] holds all; in fifths: (0.4, 0.6], (0.6, 0.8] and (0.8, 1].
    logits = logits_of([0.55, 0.58, 0.7, 0.9, 0.95, 0.99])
    targets = np.array([0, 1, 1, 0, 0, 1])
    mean = (0.55 + 0.58 + 0.7 + 0.9 + 0.95 + 0.99) / 6
    found = [fn.expected_calibration_error(logits, targets, bins) for bins in (1, 2, 5)]
    fifths = (abs(1 - 1.13) + abs(0 - 0.7) + abs(2 - 2.84)) / 6
    assert found == pytest.approx([mean - 0.5, mean - 0.5, fifths], rel=1e-12)


def test_a_confidence_on_an_edge_is_in_the_lower_bin():
    # exp(0) / 2 = 0.5 exactly: of (0, 0.5] and (0.5, 1], it is in the first, alone.
    logits = np.array([[0.0, 0.0], [2.0, 0.0]])
    confidence = 1 / (1 + math.exp(-2))
    found = fn.expected_calibration_error(logits, np.array([0, 1]), bins=2)
    assert found == pytest.approx((0.5 + confidence) / 2, rel=1e-12)
    together = fn.expected_calibration_error(logits, np.array([0, 1]), bins=1)
    assert together == pytest.approx((0.5 + confidence - 1) / 2, rel=1e-12)


def test_certainty_is_calibrated_if_right_and_not_if_wrong():
    logits = np.eye(3, dtype=np.float32)[[0, 1, 2, 2]] * 1e4
    assert fn.expected_calibration_error(logits, np.array([0, 1, 2, 2])) == 0
    assert fn.expected_calibration_error(logits, np.array([1, 2, 0, 0])) == 1


@pytest.mark.parametrize("bins", [1, 10, 15, 100])
def test_the_calibration_error_is_what_bin_by_bin_counting_gives(bins):
    rng = np.random.default_rng(bins)
    logits, targets = rng.normal(size=(400, 5)) * 2, rng.integers(0, 5, 400)
    powers = np.exp(logits)
    p = powers / powers.sum(1, keepdims=True)
    confidence, right = p.max(1), p.argmax(1) == targets
    expected = 0.0
    for i in range(bins):
        inside = (confidence > i / bins) & (confidence <= (i + 1) / bins)
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            expected += gap * inside.mean()
    assert fn.expected_calibration_error(logits, targets, bins) == pytest.approx(
        expected, rel=1e-12
    )
    assert type(fn.expected_calibration_error(logits, targets, bins)) is float


def test_answers_drawn_from_the_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 4)) * 2
    noise = rng.gumbel(size=logits.shape)
    targets = (logits + noise).argmax(1)  # drawn from softmax(logits)
    assert fn.expected_calibration_error(logits, targets) < 0.02
    assert fn.expected_calibration_error(3 * logits, targets) > 0.1


@pytest.mark.parametrize("bins", [0, -1])
def test_there_is_at_least_one_bin(bins):
    with pytest.raises(ValueError, match=f"bins must be at least 1, got {bins}"):
        fn.expected_calibration_error(SCORES, np.zeros(4, int), bins)


@pytest.mark.parametrize("metric", [fn.top_k_accuracy, fn.expected_calibration_error])
@pytest.mark.parametrize("shape", [(4, 1), (4,), (2, 3, 4), (0, 3)])
def test_they_need_a_score_for_each_class(metric, shape):
    with pytest.raises(ValueError, match=r"are \(N, K\) with K at least 2, got shape \("):
        metric(np.zeros(shape), np.zeros(shape[0], np.int64))


def test_no_metric_changes_its_arguments():
    outputs, targets = SCORES.copy(), np.array([0, 1, 2, 0])
    for array in (outputs, targets):
        array.setflags(write=False)
    fn.top_k_accuracy(outputs, targets, 2)
    fn.expected_calibration_error(outputs, targets)
    fn.precision(outputs, targets)


# --- misuse ----------------------------------------------------------------------------------

metrics = pytest.mark.parametrize(
    "metric", [fn.accuracy, fn.confusion_matrix, fn.precision, fn.recall]
)
every_metric = pytest.mark.parametrize(
    "metric",
    [fn.accuracy, fn.confusion_matrix, fn.precision, fn.recall, fn.top_k_accuracy,
     fn.expected_calibration_error],
)  # fmt: skip


@metrics
@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), ()])
def test_outputs_of_another_shape_are_refused(metric, shape):
    with pytest.raises(ValueError, match=r"outputs are \(N, K\) or \(N, 1\), got shape"):
        metric(np.zeros(shape), np.zeros(3, np.int64))


@every_metric
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


@every_metric
@pytest.mark.parametrize("label", [3, -1, 100])
def test_a_label_that_is_no_class_is_refused_by_name(metric, label):
    with pytest.raises(ValueError, match=f"label {label} is not in 0 .. 2"):
        metric(SCORES, np.array([0, 1, label, 2]))


@metrics
def test_an_empty_batch_is_refused(metric):
    with pytest.raises(ValueError, match="empty"):
        metric(np.zeros((0, 3)), np.zeros(0, np.int64))


# --- a single column: probabilities, or scores with a threshold ------------------------------

LOGITS = np.float32([[-0.3], [0.2], [0.4], [3], [-2]])
LABELS = np.array([0, 1, 0, 1, 1])
OF_ONE_COLUMN = [fn.predicted_classes, fn.accuracy, fn.confusion_matrix, fn.precision, fn.recall]


@pytest.mark.parametrize("metric", OF_ONE_COLUMN)
@pytest.mark.parametrize("outside", [-0.001, 1.001, 3.0])
def test_a_single_column_outside_0_to_1_is_refused(metric, outside):
    targets = () if metric is fn.predicted_classes else (np.array([1, 0, 1]),)
    outputs = np.array([[0.5], [outside], [np.nan]])
    with pytest.raises(ValueError, match=r"probabilities in \[0, 1\], got .*threshold=0.0"):
        metric(outputs, *targets)


def test_logits_have_their_threshold():
    assert fn.predicted_classes(LOGITS, threshold=0.0).tolist() == [0, 1, 1, 1, 0]
    assert fn.accuracy(LOGITS, LABELS, threshold=0.0) == 0.6
    assert fn.confusion_matrix(LOGITS, LABELS, threshold=0.0).tolist() == [[1, 1], [1, 2]]
    assert fn.precision(LOGITS, LABELS, threshold=0.0).tolist() == [1 / 2, 2 / 3]
    assert fn.recall(LOGITS, LABELS, threshold=0.0).tolist() == [1 / 2, 2 / 3]


def test_logits_and_their_probabilities_have_the_same_classes():
    probabilities, _ = fn.activations.sigmoid(LOGITS)
    assert fn.accuracy(probabilities, LABELS) == fn.accuracy(LOGITS, LABELS, threshold=0.0)
    strict = fn.predicted_classes(probabilities, threshold=0.9)
    assert strict.tolist() == [0, 0, 0, 1, 0]


@pytest.mark.parametrize("zero", [0, -1])
def test_the_threshold_is_not_that_of_the_targets(zero):
    targets = np.where(LABELS == 1, 1, zero)[:, None]  # -1 and 1, as for hinge
    assert fn.accuracy(LOGITS, targets, threshold=-5) == 0.6
    with pytest.raises(ValueError, match=r"targets \(N, 1\) are 0 and 1, got .* to 3"):
        fn.accuracy(LOGITS, 3 * abs(targets), threshold=-5)


def test_what_diverged_is_measured_all_the_same():
    assert fn.predicted_classes(np.full((3, 1), np.nan)).tolist() == [0, 0, 0]


def test_a_threshold_is_a_number_and_for_a_single_column():
    with pytest.raises(ValueError, match="threshold must be a finite number, got nan"):
        fn.predicted_classes(LOGITS, threshold=math.nan)
    with pytest.raises(ValueError, match=r"a threshold is for a single column, got outputs \(4, 3"):
        fn.predicted_classes(SCORES, threshold=0.0)


@pytest.mark.parametrize(
    ("rows", "row"),
    [
        (np.eye(3)[[0, 1]] * [[1], [0]], 1),
        (np.eye(3)[[0, 1]] * [[np.nan], [1]], 0),
        (np.full((2, 3), -1), 0),
    ],
    ids=["no class", "NaN", "all -1"],
)
def test_a_row_of_targets_has_a_highest(rows, row):
    outputs = np.eye(3)[[0, 1]]
    for metric in (fn.accuracy, fn.expected_calibration_error, fn.recall):
        with pytest.raises(ValueError, match=f"row {row} of the targets has no highest"):
            metric(outputs, rows)
    assert fn.accuracy(outputs, 2 * np.eye(3)[[0, 2]] - 1) == 0.5


@pytest.mark.parametrize(
    ("targets", "advice"),
    [
        (np.array([[0], [1]]), r": targets.ravel\(\)$"),
        (np.array([[0.0], [1.0]]), r": targets.ravel\(\).astype\(int\)$"),
        (np.array([0.0, 1.0]), r": targets.astype\(int\)$"),
        (np.array([False, True]), r": targets.astype\(int\)$"),
        (np.array(["a", "b"]), r": number them, by np.unique\(targets, return_inverse=True\)"),
    ],
    ids=["column", "column of floats", "floats", "bools", "text"],
)
def test_what_makes_labels_is_said(targets, advice):
    with pytest.raises(ValueError, match=f"^targets are integers .*{advice}"):
        fn.accuracy(np.eye(3)[[0, 1]], targets)
    losses = fn.softmax_cross_entropy, fn.multiclass_hinge
    for loss in losses:
        with pytest.raises(
            ValueError, match=f"^{loss.__name__}: .*{advice.replace('targets', 'labels')}"
        ):
            loss(np.eye(3)[[0, 1]], targets)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_calibration_error_of_probabilities_is_that_of_their_logarithms(dtype):
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(50, 10)) * 2, rng.integers(0, 10, 50)
    probabilities = fn.activations.softmax(logits)[0].astype(dtype)
    rounded = [np.round(probabilities, decimals) for decimals in (2, 4)]
    for given in (probabilities, *rounded, np.eye(10)[targets]):
        with pytest.raises(ValueError, match=r"takes logits, these are probabilities: np\.log\("):
            fn.expected_calibration_error(given, targets)
    found = fn.expected_calibration_error(np.log(probabilities), targets)
    assert found == pytest.approx(fn.expected_calibration_error(logits, targets), rel=1e-2)
    # In [0, 1] too, but the sum of one row is not 1.
    found = fn.expected_calibration_error(np.array([[0.5, 0.5], [0.5, 0.6]]), np.array([0, 1]))
    assert found == pytest.approx((2 - 0.5 - 1 / (1 + math.exp(-0.1))) / 2, rel=1e-12)


@pytest.mark.parametrize("number", ["2", 1.5, math.nan, None])
def test_k_and_bins_are_integers(number):
    with pytest.raises(ValueError, match=r"^k must be from 1 to the 3 classes, got "):
        fn.top_k_accuracy(np.eye(3), np.arange(3), number)
    with pytest.raises(TypeError, match=r"^bins is an integer, got "):
        fn.expected_calibration_error(np.eye(3), np.arange(3), number)


def test_one_column_of_scores_is_told_where_to_go():
    column = np.array([[-1.0], [2.0]])
    for metric in (fn.top_k_accuracy, fn.expected_calibration_error):
        with pytest.raises(ValueError, match=r"shape \(2, 1\); for one column there is accuracy"):
            metric(column, np.array([0, 1]))
    with pytest.raises(ValueError, match=r"shape \(2,\): outputs\[:, None\] is \(N, 1\)"):
        fn.accuracy(column[:, 0], np.array([0, 1]))
    for threshold in (np.float32(0), np.array(0.0), 0):
        assert fn.accuracy(column, np.array([0, 1]), threshold=threshold) == 1
