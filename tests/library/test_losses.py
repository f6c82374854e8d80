"""Losses: values by hand, derivatives, extremes, and every misfit of outputs and targets."""

import inspect
import math

import numpy as np
import pytest

import funcnn as fn

KEY = fn.random.key(0)
cross_entropy = fn.softmax_cross_entropy
squared = fn.mean_squared_error
huber = fn.huber
binary = fn.binary_cross_entropy
binary_with_logits = fn.binary_cross_entropy_with_logits

LOGITS = np.log([[1.0, 2, 5], [3, 3, 4]])  # rows of probabilities (1, 2, 5) / 8, (3, 3, 4) / 10
# A loss, its outputs and its targets, of ordinary size.
EXAMPLES = {
    "integers": (cross_entropy, LOGITS, np.array([2, 0])),
    "probabilities": (cross_entropy, LOGITS, np.array([[0.5, 0.25, 0.25], [0, 0.1, 0.9]])),
    "not summing to 1": (cross_entropy, LOGITS, np.array([[0.5, 0.0, 0.25], [2, 0.1, 0.9]])),
    "smoothed": (
        lambda y, t, **k: cross_entropy(y, t, label_smoothing=0.2, **k),
        LOGITS,
        np.array([1, 1]),
    ),
    "half squared": (
        fn.half_squared_error,
        np.arange(12.0).reshape(2, 3, 2),
        np.arange(12.0)[::-1].reshape(2, 3, 2) ** 0.5,
    ),
    "huber": (huber, LOGITS, np.array([[0.5, -1, 2], [3, 0, 0.1]])),
    "huber, small delta": (
        lambda y, t, **k: huber(y, t, 0.25, **k),
        LOGITS,
        np.array([[0.1, -1, 1.5], [3, 0, 0.1]]),
    ),
    "hinge": (fn.hinge, np.array([[-2.0], [3.0], [0.5]]), np.array([[-1], [-1], [1]])),
    "multiclass hinge": (
        fn.multiclass_hinge,
        np.array([[0.1, -0.4, 2], [3, 0, 2.1]]),
        np.array([2, 0]),
    ),
    "squared": (squared, LOGITS, np.array([[0.5, -1, 2], [3, 0, 0.1]])),
    "binary": (binary, np.array([[0.2], [0.9], [0.5]]), np.array([[0], [1], [0.3]])),
    "binary with logits": (
        binary_with_logits,
        np.array([[-2.0], [3.0], [0.5]]),
        np.array([[0], [1], [0.3]]),
    ),
}
every_loss = pytest.mark.parametrize("name", EXAMPLES)


# --- values and derivatives ------------------------------------------------------------------


def test_cross_entropy_by_hand():
    value, vjp = cross_entropy(LOGITS, np.array([2, 0]))
    assert value == pytest.approx(-(math.log(5 / 8) + math.log(3 / 10)) / 2, rel=1e-14)
    np.testing.assert_allclose(
        vjp(), [[1 / 16, 2 / 16, -3 / 16], [-7 / 20, 3 / 20, 4 / 20]], rtol=1e-14
    )


def test_cross_entropy_of_probabilities_by_hand():
    targets = np.array([[0.5, 0.25, 0.25], [0, 0, 1]])
    value, vjp = cross_entropy(LOGITS, targets)
    first = 0.5 * math.log(1 / 8) + 0.25 * math.log(2 / 8) + 0.25 * math.log(5 / 8)
    assert value == pytest.approx(-(first + math.log(4 / 10)) / 2, rel=1e-14)
    p = np.array([[1 / 8, 2 / 8, 5 / 8], [3 / 10, 3 / 10, 4 / 10]])
    np.testing.assert_allclose(vjp(), (p - targets) / 2, rtol=1e-13, atol=1e-17)


def test_label_smoothing_by_hand():
    value, vjp = cross_entropy(LOGITS[:1], np.array([0]), label_smoothing=0.3)
    t = [0.8, 0.1, 0.1]
    assert value == pytest.approx(
        -0.8 * math.log(1 / 8) - 0.1 * math.log(2 / 8) - 0.1 * math.log(5 / 8), rel=1e-14
    )
    np.testing.assert_allclose(vjp(), [[1 / 8 - t[0], 2 / 8 - t[1], 5 / 8 - t[2]]], rtol=1e-13)


def test_label_smoothing_of_one_forgets_the_label():
    values = {round(cross_entropy(LOGITS, np.full(2, k), 1.0)[0], 12) for k in range(3)}
    assert len(values) == 1
    assert cross_entropy(LOGITS, np.array([1, 1]), 0.0)[0] == cross_entropy(LOGITS, [1, 1])[0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8, np.uint64])
def test_integers_are_one_hot_rows(dtype, smoothing):
    logits = fn.random.normal(KEY, (5, 4), np.float64)
    labels = np.array([0, 3, 1, 1, 2], dtype)
    value, vjp = cross_entropy(logits, labels, smoothing)
    one_hot_value, one_hot_vjp = cross_entropy(logits, np.eye(4)[labels], smoothing)
    assert value == pytest.approx(one_hot_value, rel=1e-14)
    np.testing.assert_allclose(vjp(), one_hot_vjp(), rtol=1e-14)


def test_squared_error_by_hand():
    value, vjp = squared(np.array([[1.0, 2], [3, 5]]), np.array([[1.0, 0], [6, 4]]))
    assert value == (0 + 4 + 9 + 1) / 4
    np.testing.assert_array_equal(vjp(), [[0, 1], [-1.5, 0.5]])


def test_half_squared_error_by_hand():
    outputs, targets = np.array([[1.0, 2], [3, 5]]), np.array([[1.0, 0], [6, 4]])
    value, vjp = fn.half_squared_error(outputs, targets)
    assert value == ((0 + 4) / 2 + (9 + 1) / 2) / 2
    np.testing.assert_array_equal(vjp(), [[0, 1], [-1.5, 0.5]])


def test_huber_by_hand():
    outputs = np.array([0.5, 1.0, -3.0, 2.0])
    value, vjp = huber(outputs, np.zeros(4))
    assert value == (0.125 + 0.5 + 2.5 + 1.5) / 4
    np.testing.assert_array_equal(vjp(), np.array([0.5, 1, -1, 1]) / 4)
    value, vjp = huber(outputs, np.zeros(4), delta=2.0)
    assert value == (0.125 + 0.5 + 4 + 2) / 4
    np.testing.assert_array_equal(vjp(), np.array([0.5, 1, -2, 2]) / 4)


def test_a_huge_delta_makes_huber_half_the_squared_error():
    outputs, targets = EXAMPLES["huber"][1:]
    assert huber(outputs, targets, 1e6)[0] == pytest.approx(squared(outputs, targets)[0] / 2)


def test_hinge_by_hand_with_a_slope_of_0_at_its_kink():
    value, vjp = fn.hinge(np.array([0.25, 2.0, -1.0, 0.5]), np.array([1, 1, -1, -1]))
    assert value == (0.75 + 0 + 0 + 1.5) / 4
    np.testing.assert_array_equal(vjp(), [-0.25, 0, 0, 0.25])


def test_multiclass_hinge_by_hand_with_a_slope_of_0_at_its_kink():
    scores = np.array([[2.0, 1.5, 1.0, -3], [0, 0, 1, 0.5]])
    value, vjp = fn.multiclass_hinge(scores, np.array([0, 1]))
    assert value == (0.5 / 4 + (1 + 2 + 1.5) / 4) / 2
    np.testing.assert_array_equal(vjp() * 8, [[-1, 1, 0, 0], [1, -3, 1, 1]])


def test_the_hinge_of_two_classes_is_that_of_their_difference():
    scores = fn.random.normal(KEY, (6, 2), np.float64)
    labels = np.array([0, 1, 1, 0, 1, 0])
    value, _ = fn.multiclass_hinge(scores, labels)
    assert value == pytest.approx(fn.hinge(scores[:, 1] - scores[:, 0], 2 * labels - 1)[0] / 2)


def test_binary_cross_entropy_by_hand():
    value, vjp = binary(np.array([[0.25], [0.8]]), np.array([[1], [0]]))
    assert value == pytest.approx(-(math.log(0.25) + math.log(0.2)) / 2, rel=1e-14)
    np.testing.assert_allclose(vjp(), [[-1 / 0.25 / 2], [1 / 0.2 / 2]], rtol=1e-14)


def test_binary_cross_entropy_with_logits_by_hand():
    value, vjp = binary_with_logits(np.array([[-math.log(3)], [math.log(4)]]), [[1], [0]])
    assert value == pytest.approx(-(math.log(0.25) + math.log(0.2)) / 2, rel=1e-14)
    np.testing.assert_allclose(vjp(), [[-0.75 / 2], [0.8 / 2]], rtol=1e-14)


def test_binary_cross_entropy_with_logits_is_that_of_their_sigmoid():
    x = fn.random.normal(KEY, (6, 1), np.float64)
    targets = fn.random.uniform(KEY, (6, 1), np.float64)
    p, sigmoid_vjp = fn.activations.sigmoid(x)
    value, vjp = binary(p, targets)
    with_logits, vjp_with_logits = binary_with_logits(x, targets)
    assert with_logits == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(vjp_with_logits(), sigmoid_vjp(vjp()), rtol=1e-12)


@every_loss
def test_the_derivative_is_right(name):
    loss, outputs, targets = EXAMPLES[name]
    report = fn.check_vjp(lambda y: loss(y, targets), outputs)
    assert report.worst.error < 1e-8


# --- what every loss does --------------------------------------------------------------------


@every_loss
def test_the_value_is_a_python_float(name):
    loss, outputs, targets = EXAMPLES[name]
    for dtype in (np.float32, np.float64):
        assert type(loss(outputs.astype(dtype), targets)[0]) is float


@every_loss
def test_the_vjp_scales_and_can_be_called_again(name):
    loss, outputs, targets = EXAMPLES[name]
    _, vjp = loss(outputs, targets)
    once = vjp().copy()
    np.testing.assert_allclose(vjp(-3.0), -3 * once, rtol=1e-14)
    np.testing.assert_allclose(vjp(dvalue=0.5), once / 2, rtol=1e-14)
    np.testing.assert_array_equal(vjp(), once)


@pytest.mark.parametrize("make", [float, np.float64, np.float32])
@every_loss
def test_doutputs_have_the_shape_and_dtype_of_the_outputs(name, make):
    loss, outputs, targets = EXAMPLES[name]
    for dtype in (np.float32, np.float64):
        doutputs = loss(outputs.astype(dtype), targets)[1](make(2))
        assert (doutputs.shape, doutputs.dtype) == (outputs.shape, dtype)


@pytest.mark.parametrize(
    "name", ["probabilities", "squared", "half squared", "huber", "binary", "binary with logits"]
)
def test_targets_are_cast_to_the_dtype_of_the_outputs(name):
    loss, outputs, targets = EXAMPLES[name]
    outputs = outputs.astype(np.float32)
    value, vjp = loss(outputs, targets)
    cast_value, cast_vjp = loss(outputs, targets.astype(np.float32))
    assert value == cast_value
    np.testing.assert_array_equal(vjp(), cast_vjp())


@pytest.mark.parametrize("loss", [squared, binary, binary_with_logits])
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float64])
def test_targets_may_be_of_any_real_dtype(loss, dtype):
    outputs = np.array([[0.25], [0.75]], np.float32)
    targets = np.array([[1], [0]])
    assert loss(outputs, targets.astype(dtype))[0] == loss(outputs, targets.astype(np.float32))[0]


@every_loss
def test_arguments_stay_as_they_are(name):
    loss, outputs, targets = EXAMPLES[name]
    outputs, targets = outputs.copy(), targets.copy()
    for array in (outputs, targets):
        array.setflags(write=False)
    loss(outputs, targets)[1]()


@every_loss
def test_an_example_more_of_the_same_changes_nothing(name):
    loss, outputs, targets = EXAMPLES[name]
    twice, vjp = loss(np.concatenate([outputs, outputs]), np.concatenate([targets, targets]))
    once, once_vjp = loss(outputs, targets)
    assert twice == pytest.approx(once, rel=1e-14)
    np.testing.assert_allclose(vjp()[: len(outputs)], once_vjp() / 2, rtol=1e-14)


# --- weights and reductions ------------------------------------------------------------------

ELEMENTWISE = {"squared", "huber", "huber, small delta", "hinge", "binary", "binary with logits"}


def some_weights(n):
    return np.array([0.5, 3.0, 0.0])[:n]


@every_loss
def test_none_is_a_loss_for_each_example_or_each_element(name):
    loss, outputs, targets = EXAMPLES[name]
    losses, _ = loss(outputs, targets, reduction="none")
    assert losses.shape == (outputs.shape if name in ELEMENTWISE else outputs.shape[:1])
    alone = [loss(outputs[i : i + 1], targets[i : i + 1])[0] for i in range(len(outputs))]
    np.testing.assert_allclose(losses.reshape(len(losses), -1).mean(1), alone, rtol=1e-13)
    for dtype in (np.float32, np.float64):
        assert loss(outputs.astype(dtype), targets, reduction="none")[0].dtype == dtype


@every_loss
def test_a_mean_is_the_sum_over_the_number_of_losses(name):
    loss, outputs, targets = EXAMPLES[name]
    (mean, mean_vjp), (total, vjp) = (loss(outputs, targets, reduction=r) for r in ("mean", "sum"))
    losses, _ = loss(outputs, targets, reduction="none")
    assert type(mean) is type(total) is float
    assert total == pytest.approx(losses.sum(), rel=1e-14)
    assert total == pytest.approx(mean * losses.size, rel=1e-14)
    np.testing.assert_allclose(vjp(2.0), mean_vjp(2.0) * losses.size, rtol=1e-13)


@every_loss
def test_weights_multiply_the_losses_and_a_mean_is_over_their_sum(name):
    loss, outputs, targets = EXAMPLES[name]
    weights = some_weights(len(outputs))
    plain, _ = loss(outputs, targets, reduction="none")
    stretched = weights.reshape(-1, *[1] * (plain.ndim - 1)) * np.ones_like(plain)
    weighted, _ = loss(outputs, targets, weights=weights, reduction="none")
    np.testing.assert_allclose(weighted, stretched * plain, rtol=1e-14)
    total, _ = loss(outputs, targets, weights=weights, reduction="sum")
    assert total == pytest.approx((stretched * plain).sum(), rel=1e-14)
    mean, _ = loss(outputs, targets, weights=weights)
    assert mean == pytest.approx((stretched * plain).sum() / stretched.sum(), rel=1e-14)


@every_loss
def test_whole_weights_repeat_examples(name):
    loss, outputs, targets = EXAMPLES[name]
    times = np.array([3, 1, 2])[: len(outputs)]
    value, vjp = loss(outputs, targets, weights=times)
    again, again_vjp = loss(np.repeat(outputs, times, 0), np.repeat(targets, times, 0))
    assert value == pytest.approx(again, rel=1e-13)
    gathered = np.add.reduceat(again_vjp(), np.cumsum([0, *times[:-1]]), 0)
    np.testing.assert_allclose(vjp(), gathered, rtol=1e-12, atol=1e-15)


@every_loss
def test_equal_weights_change_no_mean(name):
    loss, outputs, targets = EXAMPLES[name]
    value, vjp = loss(outputs, targets, weights=np.full(len(outputs), 0.3, np.float32))
    assert value == pytest.approx(loss(outputs, targets)[0], rel=1e-14)
    np.testing.assert_allclose(vjp(), loss(outputs, targets)[1](), rtol=1e-13, atol=1e-17)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@every_loss
def test_the_derivative_is_right_with_weights_and_every_reduction(name, reduction):
    loss, outputs, targets = EXAMPLES[name]
    weights = some_weights(len(outputs))
    weights.setflags(write=False)
    report = fn.check_vjp(lambda y: loss(y, targets, weights=weights, reduction=reduction), outputs)
    assert report.worst.error < 1e-8


@every_loss
def test_float32_stays_float32_whatever_the_weights(name):
    loss, outputs, targets = EXAMPLES[name]
    outputs, weights = outputs.astype(np.float32), some_weights(len(outputs))
    for reduction in ("mean", "sum", "none"):
        value, vjp = loss(outputs, targets, weights=weights, reduction=reduction)
        dvalue = value if reduction == "none" else 1.0
        assert (vjp(dvalue).dtype, vjp(dvalue).shape) == (np.float32, outputs.shape)


@every_loss
def test_the_vjp_of_none_takes_an_array_of_the_losses_shape(name):
    loss, outputs, targets = EXAMPLES[name]
    losses, vjp = loss(outputs, targets, reduction="none")
    for wrong in (1.0, np.ones(7), np.ones_like(losses, np.float32)):
        with pytest.raises(ValueError, match="dy must be float64 of shape"):
            vjp(wrong)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], r"one for each of 2 examples, got float64 of shape \(1,\)"),
        ([[1.0], [1.0]], r"one for each of 2 examples, got float64 of shape \(2, 1\)"),
        (1.0, r"one for each of 2 examples, got float64 of shape \(\)"),
        ([0, 0], "at least 0 and not all 0, got 0 to 0"),
        ([-1, 2], "at least 0 and not all 0, got -1 to 2"),
        ([math.nan, 1], "must be finite, .* got nan"),
        ([math.inf, 1], "must be finite, .* got 1 to inf"),
    ],
)
def test_weights_that_do_not_fit_are_named(weights, message):
    with pytest.raises(ValueError, match=message):
        cross_entropy(LOGITS, [0, 1], weights=weights)


def test_another_reduction_is_named():
    with pytest.raises(ValueError, match="reduction is 'mean', 'sum' or 'none', got 'avg'"):
        squared(LOGITS, LOGITS, reduction="avg")


def test_a_misspelt_keyword_is_a_type_error():
    with pytest.raises(TypeError, match="'weight'"):
        squared(LOGITS, LOGITS, weight=np.ones(2))


@pytest.mark.parametrize("loss", [cross_entropy, squared, huber, fn.multiclass_hinge])
def test_help_shows_the_keywords_of_a_loss(loss):
    *_, weights, reduction = inspect.signature(loss).parameters.values()
    assert (weights.name, reduction.name, reduction.default) == ("weights", "reduction", "mean")
    assert weights.kind is reduction.kind is inspect.Parameter.KEYWORD_ONLY


@every_loss
def test_a_weighted_loss_takes_the_weights_with_the_targets(name):
    loss, outputs, targets = EXAMPLES[name]
    weights = some_weights(len(outputs))
    value, vjp = fn.weighted(loss)(outputs, (targets, weights))
    expected, expected_vjp = loss(outputs, targets, weights=weights)
    assert value == expected
    np.testing.assert_array_equal(vjp(), expected_vjp())


# --- extremes --------------------------------------------------------------------------------

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["32", "64"])


@every_dtype
@pytest.mark.parametrize("size", [88, 1e4, 1e30])
def test_cross_entropy_of_extreme_logits(size, dtype):
    logits = np.array([[size, 0, -size], [size, 0, -size]], dtype)
    size = float(dtype(size))
    value, vjp = cross_entropy(logits[:1], np.array([0]))
    assert value == pytest.approx(0, abs=1e-37)
    value, vjp = cross_entropy(logits, np.array([1, 2]))
    assert value == pytest.approx((size + 2 * size) / 2, rel=1e-6)
    np.testing.assert_allclose(vjp(), [[0.5, -0.5, 0], [0.5, 0, -0.5]], rtol=1e-6, atol=1e-37)
    one_hot_value, _ = cross_entropy(logits, np.eye(3)[[1, 2]])
    assert one_hot_value == value
    assert math.isfinite(cross_entropy(logits, np.array([0, 0]), label_smoothing=0.1)[0])


def test_cross_entropy_depends_on_differences_of_logits_alone():
    labels = np.array([2, 0])
    value = cross_entropy(LOGITS, labels)[0]
    assert cross_entropy(LOGITS + 1000, labels)[0] == pytest.approx(value, rel=1e-12)


@every_dtype
def test_cross_entropy_of_a_masked_class_is_its_limit(dtype):
    logits = np.array([[0, -math.inf, 0]], dtype)
    value, vjp = cross_entropy(logits, np.array([2]))
    assert value == pytest.approx(math.log(2), rel=1e-6)
    np.testing.assert_allclose(vjp(), [[0.5, 0, -0.5]], rtol=1e-6)


@every_dtype
def test_binary_cross_entropy_at_the_ends_is_torchs(dtype):
    p = np.array([0, 1, 0, 1], dtype)
    value, vjp = binary(p, np.array([0, 1, 1, 0]))
    assert value == 50  # (0 + 0 + 100 + 100) / 4
    np.testing.assert_allclose(vjp(), [0, 0, -2.5e11, 2.5e11], rtol=1e-6)


@every_dtype
def test_cross_entropy_does_not_mind_the_order_of_the_logits_in_memory(dtype):
    logits = np.asfortranarray(LOGITS.astype(dtype))
    value, vjp = cross_entropy(logits, np.array([2, 0]), 0.1)
    expected, expected_vjp = cross_entropy(LOGITS.astype(dtype), np.array([2, 0]), 0.1)
    assert value == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(vjp(), expected_vjp(), rtol=1e-6)


@every_dtype
@pytest.mark.parametrize("size", [88, 1e4, 1e30])
def test_hinges_and_huber_of_extreme_outputs(size, dtype):
    x = np.array([[size, -size]], dtype)
    size = float(dtype(size))
    assert fn.hinge(x, np.array([[-1, 1]]))[0] == pytest.approx(size, rel=0.02)
    assert huber(x, 0 * x)[0] == pytest.approx(size, rel=0.02)
    value, vjp = fn.multiclass_hinge(x, np.array([1]))
    assert value == pytest.approx(size, rel=0.02)
    np.testing.assert_array_equal(vjp(), [[0.5, -0.5]])


@every_dtype
@pytest.mark.parametrize("size", [88, 1e4, 1e30])
def test_binary_cross_entropy_of_extreme_logits(size, dtype):
    x = np.array([size, -size, size, -size], dtype)
    value, vjp = binary_with_logits(x, np.array([1, 0, 0, 1]))
    assert value == pytest.approx(size / 2, rel=1e-6)
    np.testing.assert_allclose(vjp(), [0, 0, 0.25, -0.25], rtol=1e-6, atol=1e-37)


# --- misfits ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        (LOGITS, [0, 3], ValueError, r"label 3 is not in 0 \.\. 2"),
        (LOGITS, [-1, 0], ValueError, r"label -1 is not in 0 \.\. 2"),
        (LOGITS, [0, 1, 2], ValueError, r"int64 of shape \(3,\)"),
        (LOGITS, [[0], [1]], ValueError, r"int64 of shape \(2, 1\)"),
        (LOGITS, [0.0, 1.0], ValueError, r"float64 of shape \(2,\)"),
        (LOGITS, [True, False], ValueError, r"bool of shape \(2,\)"),
        (LOGITS, 1, ValueError, r"int64 of shape \(\)"),
        (LOGITS, np.ones((2, 4)), ValueError, r"float64 of shape \(2, 4\)"),
        (LOGITS, np.ones((1, 3)), ValueError, r"float64 of shape \(1, 3\)"),
        (LOGITS, np.ones((3, 2)), ValueError, r"float64 of shape \(3, 2\)"),
        (LOGITS[0], [0], ValueError, r"logits are \(N, K\), got shape \(3,\)"),
        (LOGITS[None], [0], ValueError, r"logits are \(N, K\), got shape \(1, 2, 3\)"),
        (LOGITS[:0], [], ValueError, r"got shape \(0, 3\)"),
        (np.ones((2, 3), int), [0, 1], TypeError, "floats, got int64"),
        (np.ones((2, 3), np.uint8), [0, 1], TypeError, "floats, got uint8"),
    ],
)
def test_cross_entropy_names_what_does_not_fit(logits, labels, error, message):
    with pytest.raises(error, match=message):
        cross_entropy(logits, labels)


@pytest.mark.parametrize("smoothing", [-0.1, 1.5, math.nan])
def test_label_smoothing_is_a_fraction(smoothing):
    with pytest.raises(ValueError, match=rf"label_smoothing must be in \[0, 1\], got {smoothing}"):
        cross_entropy(LOGITS, np.array([0, 1]), smoothing)


@pytest.mark.parametrize(
    ("scores", "labels", "error", "message"),
    [
        (LOGITS, [0, 3], ValueError, r"label 3 is not in 0 \.\. 2"),
        (LOGITS, np.int8([-1, 0]), ValueError, r"label -1 is not in 0 \.\. 2"),
        (LOGITS, np.eye(3)[:2], ValueError, r"integers \(2,\), got float64 of shape \(2, 3\)"),
        (LOGITS, [0.0, 1.0], ValueError, r"integers \(2,\), got float64 of shape \(2,\)"),
        (LOGITS[0], [0], ValueError, r"logits are \(N, K\), got shape \(3,\)"),
        (np.ones((2, 3), int), [0, 1], TypeError, "floats, got int64"),
    ],
)
def test_multiclass_hinge_names_what_does_not_fit(scores, labels, error, message):
    with pytest.raises(error, match=message):
        fn.multiclass_hinge(scores, labels)


@pytest.mark.parametrize("target", [0, 2, -1.5, math.nan])
def test_a_target_of_hinge_is_minus_or_plus_1(target):
    with pytest.raises(ValueError, match=f"hinge: targets are -1 and \\+1, got {target}"):
        fn.hinge(np.ones(3), np.array([1, target, -1]))


@pytest.mark.parametrize("delta", [0, -1, math.nan, math.inf])
def test_delta_is_above_0(delta):
    with pytest.raises(ValueError, match=f"huber: delta must be .* above 0, got {delta}"):
        huber(np.ones(3), np.ones(3), delta)


OTHERS = {
    "mean_squared_error": squared,
    "half_squared_error": fn.half_squared_error,
    "huber": huber,
    "hinge": fn.hinge,
    "binary_cross_entropy": binary,
    "binary_cross_entropy_with_logits": binary_with_logits,
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(
    ("outputs", "targets"),
    [((4, 1), (4,)), ((4,), (4, 1)), ((4, 2), (4, 1)), ((4, 2), (2,)), ((4, 2), ()), ((4,), (1,))],
)
def test_targets_of_another_shape_are_no_broadcast(name, outputs, targets):
    message = rf"{name}: targets of shape \({str(targets)[1:-1]}\) do not fit"
    with pytest.raises(ValueError, match=message):
        OTHERS[name](np.full(outputs, 0.5), np.full(targets, 0.5))


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
def test_outputs_that_are_not_floats_are_named(name, dtype):
    with pytest.raises(TypeError, match=f"{name} takes an array of floats, got {np.dtype(dtype)}"):
        OTHERS[name](np.ones((2, 1), dtype), np.ones((2, 1)))


@pytest.mark.parametrize("name", OTHERS)
def test_an_empty_batch_has_no_mean(name):
    with pytest.raises(ValueError, match=f"{name}: the batch is empty"):
        OTHERS[name](np.ones((0, 1)), np.ones((0, 1)))


@pytest.mark.parametrize(("p", "got"), [(-0.5, "-0.5 to 0.25"), (1.5, "0.25 to 1.5")])
def test_what_is_no_probability_is_named_with_advice(p, got):
    with pytest.raises(ValueError, match=rf"\[0, 1\], got {got}; for logits there is"):
        binary(np.array([[0.25], [p]]), np.array([[0], [1]]))


def test_a_weighted_loss_says_what_it_takes():
    with pytest.raises(ValueError, match=r"the pair \(targets, weights\), got a ndarray"):
        fn.weighted(fn.softmax_cross_entropy)(np.ones((2, 3)), np.array([0, 1]))
    with pytest.raises(TypeError, match="weighted takes a loss function, got 3"):
        fn.weighted(3)


def test_a_target_of_zero_counts_for_nothing_at_a_logit_of_minus_infinity():
    logits, targets = np.array([[0.0, 1, -np.inf]]), np.array([[0.25, 0.75, 0]])
    value, vjp = fn.softmax_cross_entropy(logits, targets)
    expected, expected_vjp = fn.softmax_cross_entropy(logits[:, :2], targets[:, :2])
    assert value == pytest.approx(expected)
    np.testing.assert_allclose(vjp(), np.append(expected_vjp(), [[0]], 1), atol=1e-15)


@pytest.mark.parametrize("size", [1e-60, 1e60])
def test_weights_that_the_outputs_dtype_cannot_hold_are_refused(size):
    with pytest.raises(ValueError, match="weights must be finite, at least 0 and not all 0"):
        fn.mean_squared_error(
            np.ones((2, 3), np.float32), np.zeros((2, 3)), weights=np.array([size, size])
        )


@pytest.mark.parametrize(("outputs", "weights"), [(np.array(1.0), [1.0]), (np.ones(2), ["a", "b"])])
def test_weights_that_are_none_are_refused(outputs, weights):
    with pytest.raises(ValueError, match="weights are numbers, one for each of"):
        fn.mean_squared_error(outputs, outputs, weights=weights)


# --- targets that are no probabilities -------------------------------------------------------

BINARY = [fn.binary_cross_entropy, fn.binary_cross_entropy_with_logits]


@pytest.mark.parametrize("loss", BINARY)
@pytest.mark.parametrize("wrong", [3.0, -1.0, 1.001, np.nan])
def test_binary_targets_outside_0_to_1_are_refused(loss, wrong):
    outputs = np.full((2, 1), 0.5)
    with pytest.raises(ValueError, match=f"^{loss.__name__}: targets are probabilities in"):
        loss(outputs, np.array([[1.0], [wrong]]))


@pytest.mark.parametrize("loss", BINARY)
def test_the_ends_and_what_is_between_are_targets(loss):
    outputs = np.full((3, 1), 0.5)
    for targets in (np.array([[0], [1], [1]]), np.array([[0], [0.25], [1]]), np.ones((3, 1), bool)):
        assert np.isfinite(loss(outputs, targets)[0])


@pytest.mark.parametrize("wrong", [-0.5, np.nan, np.inf])
def test_target_probabilities_of_classes_are_not_negative(wrong):
    with pytest.raises(
        ValueError, match="softmax_cross_entropy: target probabilities are at least"
    ):
        fn.softmax_cross_entropy(np.zeros((2, 2)), np.array([[0.5, 0.5], [1, wrong]]))


def test_logits_of_images_are_told_of_flatten():
    with pytest.raises(ValueError, match=r"logits are \(N, K\), got shape \(2, 3, 4\); Flatten"):
        fn.softmax_cross_entropy(np.zeros((2, 3, 4)), np.zeros(2, int))


def test_a_weighted_loss_takes_weights():
    with pytest.raises(TypeError, match="weighted takes a loss with the keyword weights, got"):
        fn.weighted(lambda outputs, targets: fn.huber(outputs, targets))


@pytest.mark.parametrize("number", ["a", None, math.nan, -1, np.array([0.5, 0.5])])
def test_what_is_no_number_is_no_argument_of_a_loss(number):
    with pytest.raises(ValueError, match="label_smoothing must be in"):
        fn.softmax_cross_entropy(np.eye(2), np.arange(2), label_smoothing=number)
    with pytest.raises(ValueError, match="huber: delta must be a finite number above 0"):
        fn.huber(np.eye(2), np.eye(2), number)
    assert fn.huber(np.eye(2), np.zeros((2, 2)), np.array(0.5))[0] == 0.1875


@pytest.mark.parametrize(
    "loss", [fn.binary_cross_entropy_with_logits, fn.half_squared_error, fn.mean_squared_error]
)
def test_targets_that_only_lack_the_column_are_told_how_to_have_it(loss):
    outputs, targets = np.full((3, 1), 0.5), np.array([0, 1, 1])
    with pytest.raises(ValueError, match=r"shape \(3,\) do not fit .*: targets\[\.\.\., None\]$"):
        loss(outputs, targets)
    loss(outputs, targets[..., None])
    with pytest.raises(ValueError, match=r"do not fit outputs of \(3, 1\)$"):
        loss(outputs, targets[:2])
