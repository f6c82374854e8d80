"""What is no array is taken by position, or refused in one line: Series, lists, tensors, masks."""

import types
import warnings

import numpy as np
import pytest
from helpers import assert_same_bits

import funcnn as fn

pandas = pytest.importorskip("pandas")
torch = pytest.importorskip("torch")

KEY = fn.random.key(0)
X = fn.random.normal(fn.random.key(1), (7, 3))
Y = np.arange(7) % 3
ONES = np.ones((7, 3), np.float32)
SHUFFLED = [3, 6, 0, 2, 5, 1, 4]
MODEL = fn.serial(fn.Dense(4), fn.Relu(), fn.Dense(3))
PARAMS = MODEL.init(KEY, (3,))[1]

# The same rows in the same order; an index says otherwise.
KINDS = {
    "Series": (
        lambda x: pandas.DataFrame(x, index=SHUFFLED),
        lambda y: pandas.Series(y, index=SHUFFLED),
    ),
    "list": (lambda x: [list(row) for row in x], list),
    "Tensor": (torch.tensor, torch.tensor),
    "unmasked": (np.ma.array, np.ma.array),
}


@pytest.fixture(params=KINDS, ids=KINDS)
def kind(request):
    as_x, as_y = KINDS[request.param]
    return types.SimpleNamespace(x=as_x(X), y=as_y(Y), like=as_y)


def assert_same_batches(found, expected):
    for ours, right in zip(list(found), list(expected), strict=True):
        for part, of in zip(ours, right, strict=True):
            assert type(part) is np.ndarray
            np.testing.assert_array_equal(part, of)


@pytest.mark.parametrize("rng", [None, KEY])
def test_batches_take_rows_by_position(kind, rng):
    assert_same_batches(fn.batches((kind.x, kind.y), 3, rng=rng), fn.batches((X, Y), 3, rng=rng))
    several = fn.batches(((kind.x, kind.y), Y), 3, rng=rng)
    right = fn.batches(((X, Y), Y), 3, rng=rng)
    for (ours, _), (expected, _) in zip(several, right, strict=True):
        for part, of in zip(ours, expected, strict=True):
            np.testing.assert_array_equal(part, of)


def test_shuffled_labels_stay_with_their_rows():
    frame = pandas.DataFrame({"a": np.arange(50) * 10, "b": np.arange(50)}).sample(
        50, random_state=0
    )
    for x, y in fn.batches((frame["a"], frame["b"]), 8, rng=KEY):
        assert_same_bits(x, 10 * y)


def test_evaluate_and_predict_take_rows_by_position(kind):
    x = X.tolist() if isinstance(kind.x, list) else kind.x
    model = fn.serial(fn.Dense(3))
    params = model.init(KEY, (3,), dtype=np.float64)[1]
    to = {"preprocess": lambda part: part.astype(np.float64)}
    metrics = {"accuracy": fn.accuracy}
    loss = fn.softmax_cross_entropy
    ours = fn.evaluate(model.apply, loss, params, (x, kind.y), metrics=metrics, batch_size=3, **to)
    right = fn.evaluate(model.apply, loss, params, (X, Y), metrics=metrics, batch_size=3, **to)
    assert ours == right
    found = fn.predict(model.apply, params, x, batch_size=3, **to)
    assert_same_bits(found, fn.predict(model.apply, params, X, batch_size=3, **to))


def test_a_step_takes_rows_by_position(kind):
    optimizer = fn.sgd(0.1)
    step = fn.make_train_step(
        MODEL.apply, fn.softmax_cross_entropy, optimizer, {"accuracy": fn.accuracy}
    )
    x = X if isinstance(kind.x, list) else kind.x  # a list of floats is float64
    state = fn.TrainState.create(PARAMS, optimizer)
    ours, measured = step(state, (x, kind.y))
    right, expected = step(state, (X, Y))
    assert measured == expected
    assert fn.tree.all_close(ours.params, right.params, 0, 0)


def test_losses_and_weights_are_taken_by_position(kind):
    logits = X
    weights = np.arange(7) / 7
    for of_y, of_weights in ((kind.y, weights), (Y, kind.like(weights))):
        value, vjp = fn.softmax_cross_entropy(logits, of_y, weights=of_weights)
        expected, right = fn.softmax_cross_entropy(logits, Y, weights=weights)
        assert value == expected
        assert_same_bits(vjp(), right())
    assert fn.huber(X[:, 0], kind.y)[0] == fn.huber(X[:, 0], Y)[0]


@pytest.mark.parametrize(
    "metric", [fn.accuracy, fn.confusion_matrix, fn.precision, fn.recall, fn.top_k_accuracy]
)
def test_metrics_take_rows_by_position(kind, metric):
    keywords = {"k": 2} if metric is fn.top_k_accuracy else {}
    np.testing.assert_array_equal(metric(kind.x, kind.y, **keywords), metric(X, Y, **keywords))


def test_calibration_and_inner_outputs_too(kind):
    assert fn.expected_calibration_error(X, kind.y) == fn.expected_calibration_error(X, Y)
    if not isinstance(kind.x, list):
        ours, right = (fn.inner_outputs(MODEL, PARAMS, x) for x in (kind.x, X))
        assert_same_bits(ours["1"], right["1"])


def test_updates_are_added_by_position():
    params = [np.arange(7.0)]
    updates = [pandas.Series(np.arange(7.0), index=SHUFFLED)]
    assert_same_bits(fn.apply_updates(params, updates)[0], 2 * np.arange(7.0))


# --- refused ---------------------------------------------------------------------------------

MASKED = np.ma.array(Y, mask=[True] + [False] * 6)
NO_ARRAYS = {
    "masked": (MASKED, "is a MaskedArray with masked entries"),
    "objects": (np.array([None] * 7), "is a ndarray of objects"),
    "names": (pandas.Series([1, None, "a", 2, 3, 4, 5], dtype=object), "is a Series of objects"),
    "generator": ((i for i in range(7)), "is a generator of objects"),
    "set": ({1, 2}, "is a set of objects"),
    "ragged": ([[1], [1, 2]], "is a list that is no array of numbers"),
    "gradient": (torch.ones(7, requires_grad=True), "is a Tensor that is no array of numbers"),
}


@pytest.mark.parametrize(("value", "message"), NO_ARRAYS.values(), ids=NO_ARRAYS)
def test_what_is_no_array_is_refused_in_one_line(value, message):
    calls = {
        "x": lambda: fn.batches((value, Y), 2),
        "y": lambda: fn.batches((X, value), 2),
        "weights": lambda: fn.softmax_cross_entropy(X, Y, weights=value),
        "softmax_cross_entropy: labels": lambda: fn.softmax_cross_entropy(X, value),
        "huber: targets": lambda: fn.huber(X[:, 0], value),
        "targets": lambda: fn.accuracy(X, value),
        "outputs": lambda: fn.predicted_classes(value),
    }
    for name, call in calls.items():
        with pytest.raises(TypeError, match=f"^{name} {message}") as found:
            call()
        assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "layer",
    [
        MODEL,
        fn.Dense(4),
        fn.Relu(),
        fn.Flatten(),
        fn.Reshape((3, 1)),
        fn.PRelu(),
        fn.BatchNorm(),
        fn.LayerNorm(),
        fn.Dropout(),
        fn.Softmax(),
    ],
)
@pytest.mark.parametrize(
    "x",
    [
        pandas.DataFrame(ONES),
        torch.ones(7, 3),
        ONES.tolist(),
        np.ma.array(ONES, mask=np.eye(7, 3)),
        ONES.view(np.matrix),
    ],
    ids=lambda x: type(x).__name__,
)
def test_layers_convert_nothing(layer, x):
    _, params = layer.init(KEY, (3,))
    with pytest.raises(TypeError, match=f"got a {type(x).__name__}"):
        layer.apply(params, x)


def test_convolutions_neither():
    for layer in (fn.Conv(2, 1), fn.ConvTranspose(2, 1), fn.MaxPool(1), fn.GlobalAvgPool()):
        _, params = layer.init(KEY, (2, 3))
        with pytest.raises(TypeError, match="got a Tensor"):
            layer.apply(params, torch.ones(1, 2, 3))


def test_a_file_mapped_to_memory_is_an_array(tmp_path):
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=X.shape)
    mapped[:] = X
    assert_same_bits(MODEL.apply(PARAMS, mapped)[0], MODEL.apply(PARAMS, X)[0])
    assert_same_batches(fn.batches((mapped, Y), 3, rng=KEY), fn.batches((X, Y), 3, rng=KEY))


NOT_ARRAYS = [
    pandas.DataFrame(ONES),
    torch.ones(7, 3),
    ONES.tolist(),
    np.ma.array(ONES, mask=np.eye(7, 3)),
    ONES.view(np.matrix),
    None,
]


@pytest.mark.parametrize("dy", NOT_ARRAYS, ids=lambda dy: type(dy).__name__)
def test_cotangents_and_params_are_arrays_alone(dy):
    for layer in (fn.serial(fn.Dense(3)), fn.Relu(), fn.BatchNorm(), fn.LayerNorm(), fn.Flatten()):
        _, vjp = layer.apply(layer.init(KEY, (3,))[1], ONES, train=True)
        with pytest.raises(TypeError, match=f"dy is an array, got a {type(dy).__name__}"):
            vjp(dy)
    for layer in (fn.Dense(3), fn.BatchNorm(), fn.PRelu(), fn.LayerNorm()):
        params = layer.init(KEY, (3,))[1] | {"weight": dy}
        with pytest.raises(TypeError, match=f"a {type(dy).__name__} as 'weight', which is no"):
            layer.apply(params, ONES)
    convolution = fn.Conv(3, 1)
    with pytest.raises(TypeError, match="as 'weight', which is no array"):
        convolution.apply({"weight": dy, "bias": ONES[0]}, np.ones((1, 3, 2, 2), np.float32))


def test_params_of_another_kind_are_named():
    for layer in (fn.Dense(3), fn.Conv(3, 1), fn.BatchNorm(), fn.PRelu()):
        for params, kind in (
            ([{}], "list"),
            (layer.init(KEY, (3, 3)), "tuple"),
            (None, "NoneType"),
        ):
            with pytest.raises(ValueError, match=f"no 'weight': they are a {kind}, no dict"):
                layer.apply(params, np.ones((2, 3, 3), np.float32))


def test_a_single_number_has_no_axis_of_samples():
    one = np.array(1, np.float32)
    for layer in (MODEL, fn.Flatten(), fn.parallel(MODEL)):
        _, params = layer.init(KEY, ((3,),) if layer.spec["layer"] == "parallel" else (3,))
        x = (one,) if layer.spec["layer"] == "parallel" else one
        with pytest.raises(ValueError, match="x has no axis of samples"):
            layer.apply(params, x)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([["1", "2", "0"]] * 7), "text, such as '1', not of numbers"),
        (np.array([[1, 2, 0]] * 7, "M8[s]"), r"datetime64\[s\], not of real numbers"),
        (np.array([[1, 2, 0]] * 7, complex), "complex128, not of real numbers"),
        (pandas.DataFrame([["a"] * 3] * 7), "text, such as 'a', not of numbers"),
        ([*np.ma.array(ONES, mask=np.eye(7, 3))], "is a list with masked entries"),
    ],
    ids=["text", "dates", "complex", "DataFrame of text", "masked rows"],
)
def test_what_is_no_number_is_refused_where_it_is_computed_with(value, message):
    calls = {
        "outputs": lambda: fn.accuracy(value, Y),
        "logits": lambda: fn.expected_calibration_error(value, Y),
        "huber: targets": lambda: fn.huber(X, value),
        "hinge: targets": lambda: fn.hinge(X, value),
        "binary_cross_entropy: targets": lambda: fn.binary_cross_entropy(abs(ONES), value),
        "dvalue": lambda: fn.huber(X, X, reduction="none")[1](value),
    }
    for name, call in calls.items():
        with pytest.raises(TypeError, match=f"^{name} .*{message}"):
            call()


def test_masked_leaves_are_refused(tmp_path):
    masked = np.ma.array(np.ones(3), mask=[1, 0, 0])
    statistics = {"running_mean": np.zeros(3)}
    calls = [
        lambda: fn.save(tmp_path / "x", [masked]),
        lambda: fn.tree.ravel([masked]),
        lambda: fn.tree.all_close([masked], [np.ones(3)]),
        lambda: fn.write_statistics(statistics, {"running_mean": masked}),
        *(lambda optimizer=optimizer: optimizer(0.1).init([masked]) for optimizer in STATEFUL),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="is a MaskedArray with masked entries"):
            call()


STATEFUL = fn.adam, fn.adamax, fn.rmsprop, fn.adagrad, fn.nesterov, fn.classical_momentum, fn.sm3


def test_leaves_are_taken_by_position(tmp_path):
    leaf = pandas.Series(np.arange(7.0), index=SHUFFLED)
    fn.save(tmp_path / "x", [leaf])
    (loaded,) = fn.load(tmp_path / "x").params
    (written,) = fn.write_statistics([np.zeros(7)], [leaf])
    for found in (loaded, written, fn.tree.ravel([leaf])[0]):
        assert type(found) is np.ndarray
        assert found.tolist() == list(range(7))
    for optimizer in STATEFUL:
        for zeros in fn.tree.leaves(optimizer(0.1).init([leaf])):
            assert not isinstance(zeros, pandas.Series)


def test_gradients_are_taken_by_position_step_after_step():
    params = [np.arange(7.0)]
    whole = fn.chain(fn.clip_by_value(3.0), fn.scale(0.5), fn.add_decayed_weights(0.1))
    optimizers = [fn.chain(whole, optimizer(0.1)) for optimizer in (fn.sgd, *STATEFUL)]
    for optimizer in [*optimizers, *(optimizer(0.1) for optimizer in STATEFUL)]:
        state = right_state = optimizer.init(params)
        for step in range(3):
            gradient = np.cos(np.arange(7.0) + step)
            given = [pandas.Series(gradient, index=np.roll(SHUFFLED, step))]
            updates, state = optimizer.update(given, state, params)
            right, right_state = optimizer.update([gradient], right_state, params)
            assert_same_bits((updates, state), (right, right_state))
        with pytest.raises(TypeError, match="a leaf is a MaskedArray with masked entries"):
            optimizer.update([np.ma.array(np.ones(7), mask=np.eye(7)[0])], state, params)


def test_a_snapshot_takes_inputs_by_position_and_no_masks(kind, tmp_path):
    fn.save(tmp_path / "x", PARAMS, model=MODEL, input_shape=(3,))
    snapshot = fn.load(tmp_path / "x")
    assert_same_bits(snapshot.predict(kind.x), snapshot.predict(X))
    for call in (snapshot.predict, snapshot.classes, snapshot.scores):
        with pytest.raises(TypeError, match=r"^inputs is a MaskedArray with masked entries"):
            call(np.ma.array(X, mask=np.eye(7, 3)))


def test_derivatives_are_checked_by_arrays_alone():
    def square(x):
        return (x * x).sum(), lambda dy: 2 * x * dy

    fn.check_vjp(square, np.arange(3.0))
    for x in (pandas.Series([1.0, 2.0]), np.ma.array([1.0, 2.0])):
        with pytest.raises(TypeError, match=f"x must be float64 .*, got {type(x).__name__}"):
            fn.check_vjp(square, x)


def test_a_single_number_is_no_data():
    with pytest.raises(ValueError, match="a single number where it needs an array of rows"):
        fn.batches((3.0, Y), 2)


SQUARE = np.arange(400.0).reshape(20, 20)


@pytest.mark.parametrize(
    "call",
    [
        lambda: fn.Conv(4, SQUARE),
        lambda: fn.Conv(4, 3, padding=SQUARE),
        lambda: fn.Dense(SQUARE),
        lambda: fn.Dense(4, bias=SQUARE),
        lambda: fn.Dense(4, weight_init=SQUARE),
        lambda: fn.Dropout(SQUARE),
        lambda: fn.LeakyRelu(SQUARE),
        lambda: fn.FanOut(SQUARE),
        lambda: fn.FanOut(2.5),
        lambda: fn.Reshape(SQUARE),
        lambda: fn.serial(fn.Relu(), SQUARE),
        lambda: fn.shape_dependent(SQUARE),
        lambda: fn.elementwise(SQUARE),
        lambda: fn.sgd(SQUARE),
        lambda: fn.schedules.cosine_decay(0.1, SQUARE),
        lambda: fn.schedules.join([SQUARE], []),
        lambda: fn.chain(fn.sgd(0.1), SQUARE),
        lambda: fn.masked(fn.sgd(0.1), {"a": SQUARE}).init({"a": SQUARE}),
        lambda: fn.weighted(SQUARE),
        lambda: fn.huber(X, X, SQUARE),
        lambda: fn.huber(X, X, reduction=SQUARE.tolist()),
        lambda: MODEL.init(SQUARE, (3,)),
        lambda: MODEL.apply(PARAMS, X, wrt=SQUARE.tolist()),
        lambda: fn.TrainState.create(PARAMS, fn.sgd(0.1), SQUARE),
        lambda: fn.make_train_step(MODEL.apply, fn.huber, SQUARE),
        lambda: fn.random.key(SQUARE),
        lambda: fn.batches((X, Y), 2, rng=SQUARE),
        lambda: fn.from_spec({"layer": "Dense", "out_features": SQUARE.tolist()}),
        lambda: fn.save("never", PARAMS, outputs=SQUARE.tolist()),
    ],
)
def test_an_array_in_the_wrong_place_is_shown_on_one_line(call):
    with pytest.raises((TypeError, ValueError)) as found:
        call()
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 300


def test_arrays_are_not_copied():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ((x, _),) = fn.batches((X, Y), 7)
    assert np.shares_memory(x, X)
