"""What is done to whole optimizers: masks, labels, one vector, averages; the rates in a state."""

import numpy as np
import pytest
from cases import OPTIMIZERS, trajectory_of

import funcnn as fn
from funcnn.optimizers.transforms import learning_rates

RNG = np.random.default_rng(0)
MLP = [{}, {"weight": RNG.normal(size=(4, 3)), "bias": np.array([0.5, -0.0, 2.0])}, {}]
PARAMS = [*MLP, (RNG.normal(size=(3, 2)), {"bias": RNG.normal(size=2)})]
GRADIENTS = [fn.tree.map(lambda p: RNG.normal(size=p.shape), PARAMS) for _ in range(10)]
LAST = [False, False, False, True]
"""A mask: the last entry of PARAMS, its whole subtree."""


def is_matrix(params):
    return fn.tree.map(lambda p: p.ndim > 1, params)


def updates_of(optimizer, params=PARAMS, gradients=GRADIENTS):
    state, found = optimizer.init(params), []
    for grads in gradients:
        updates, state = optimizer.update(grads, state, params)
        params = fn.apply_updates(params, updates)
        found.append(updates)
    return found


def assert_same_bits(a, b):
    assert fn.tree.structure(a) == fn.tree.structure(b)
    for x, y in zip(fn.tree.leaves(a), fn.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(np.signbit(x), np.signbit(y))


# --- masked ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["momentum", "adam", "adagrad", "sm3", "classical_momentum"])
def test_a_masked_optimizer_sees_its_leaves_alone_and_passes_the_others(name):
    optimizer = OPTIMIZERS[name]
    alone = updates_of(optimizer, PARAMS[3], [grads[3] for grads in GRADIENTS])
    for updates, grads, expected in zip(
        updates_of(fn.masked(optimizer, LAST)), GRADIENTS, alone, strict=True
    ):
        assert_same_bits(updates[3], expected)
        assert_same_bits(updates[:3], grads[:3])


@pytest.mark.parametrize(
    "mask",
    [
        is_matrix,
        is_matrix(PARAMS),
        [{}, {"weight": True, "bias": False}, {}, (True, False)],
        [False, {"weight": True, "bias": np.bool_(False)}, True, (True, {"bias": False})],
        lambda params: [False, {"weight": True, "bias": False}, {}, (True, False)],
    ],
    ids=["function", "tree", "prefix", "bools for empty nodes", "function to a prefix"],
)
def test_a_mask_is_a_tree_a_prefix_of_one_or_a_function(mask):
    for updates, grads in zip(updates_of(fn.masked(fn.scale(2.0), mask)), GRADIENTS, strict=True):
        expected = fn.tree.map(lambda g: 2 * g if g.ndim > 1 else g, grads)
        assert_same_bits(updates, expected)


def test_a_mask_of_all_is_the_optimizer_and_a_mask_of_none_is_nothing():
    adam = OPTIMIZERS["adam"]
    assert_same_bits(updates_of(fn.masked(adam, True)), updates_of(adam))
    assert_same_bits(updates_of(fn.masked(adam, False)), GRADIENTS)


def test_a_function_is_asked_for_the_params_and_never_the_gradients():
    seen = []
    optimizer = fn.masked(fn.scale(0.0), lambda params: seen.append(params) or True)
    optimizer.update(GRADIENTS[0], optimizer.init(PARAMS), PARAMS)
    assert all(params is PARAMS for params in seen)


def test_two_masks_give_two_groups_of_params_two_optimizers():
    rest = [True, True, True, False]
    both = fn.chain(fn.masked(fn.adam(0.1), LAST), fn.masked(fn.sgd(0.5), rest))
    for updates, first, second in zip(
        updates_of(both), updates_of(fn.sgd(0.5)), updates_of(fn.adam(0.1)), strict=True
    ):
        assert_same_bits(updates[:3], first[:3])
        assert_same_bits(updates[3], second[3])


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([True, {"weight": True}, True, True], r"at 1: a dict with keys \['weight'\]"),
        ([True, True, True], "at the root: a list of 3 and a list of 4"),
        ((True, True, True, True), "at the root: a tuple of 4 and a list of 4"),
        ([True, True, True, (True, {"weight": True})], r"at 3/1: .*'weight'\].*'bias'\]"),
        ([True, True, True, None], "at 3: None and a tuple"),
        ([True, {"weight": {}, "bias": True}, True, True], "at 1/weight: a dict"),
        (lambda params: {"a": True}, "at the root: a dict"),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda mask: fn.masked(fn.adam(), mask),
        fn.freeze,
        lambda mask: fn.add_decayed_weights(0.1, mask),
    ],
    ids=["masked", "freeze", "add_decayed_weights"],
)
def test_a_mask_that_does_not_fit_is_refused_at_its_path(make, mask, message):
    with pytest.raises(
        ValueError, match=f"the mask does not fit the params: trees differ {message}"
    ):
        make(mask).init(PARAMS)


@pytest.mark.parametrize(("leaf", "said"), [(1, "got 1"), (0.0, "got 0.0"), ("yes", "got 'yes'")])
def test_what_is_no_bool_in_a_mask_is_refused_at_its_path(leaf, said):
    with pytest.raises(TypeError, match=f"the mask at 1/bias must be a bool, {said}"):
        fn.freeze([True, {"weight": True, "bias": leaf}, True, True]).init(PARAMS)
    with pytest.raises(TypeError, match="the mask at the root must be a bool, got 1"):
        fn.freeze(1).init(PARAMS)


# --- weight decay and freezing ---------------------------------------------------------------


def test_masked_weight_decay_decays_the_masked_weights_alone():
    (updates, *_) = updates_of(fn.add_decayed_weights(0.5, is_matrix))
    expected = fn.tree.map(lambda g, p: g + 0.5 * p if p.ndim > 1 else g, GRADIENTS[0], PARAMS)
    assert fn.tree.all_close(updates, expected, rtol=1e-15)


@pytest.mark.parametrize(
    "make",
    [
        lambda decay, mask: fn.add_decayed_weights(decay, mask),
        lambda decay, mask: fn.adamw(weight_decay=decay, mask=mask),
    ],
    ids=["in a chain", "adamw"],
)
def test_decay_may_leave_biases_and_norms_alone(make):
    pulled, everything, nothing = (
        fn.tree.leaves(updates_of(make(decay, mask))[0])
        for decay, mask in ((0.5, fn.weight_mask), (0.5, None), (0.0, None))
    )
    for index, p in enumerate(fn.tree.leaves(PARAMS)):
        expected = everything if p.ndim > 1 else nothing
        np.testing.assert_array_equal(pulled[index], expected[index])
        assert not np.array_equal(everything[index], nothing[index])


def test_weights_are_what_has_an_axis_of_inputs_and_one_of_outputs():
    model = fn.serial(fn.Conv(2, 3), fn.BatchNorm(), fn.PRelu(), fn.Flatten(), fn.Dense(3))
    _, params = model.init(fn.random.key(0), (1, 5, 5))
    mask = dict(fn.tree.leaves_with_path(fn.weight_mask(params)))
    assert {path for path, chosen in mask.items() if chosen} == {"0/weight", "4/weight"}


@pytest.mark.parametrize(
    "optimizer",
    [
        fn.chain(fn.add_decayed_weights(0.5), fn.sgd(0.1, momentum=0.9)),
        fn.classical_momentum(0.1, weight_decay=0.5),
        fn.adamw(0.1, weight_decay=0.5),
        fn.sm3(0.1),
        fn.flatten(fn.adamw(0.1, weight_decay=0.5)),
    ],
    ids=["decayed sgd", "classical", "adamw", "sm3", "flat"],
)
def test_frozen_params_stay_bit_identical_and_the_others_go_on_as_before(optimizer):
    frozen = [True, {"weight": False, "bias": True}, True, (False, True)]
    last = trajectory_of(fn.chain(optimizer, fn.freeze(frozen)), PARAMS, GRADIENTS)[-1]
    free = trajectory_of(optimizer, PARAMS, GRADIENTS)[-1]
    assert_same_bits(last[1]["bias"], PARAMS[1]["bias"])
    assert_same_bits(last[3][1], PARAMS[3][1])
    assert_same_bits((last[1]["weight"], last[3][0]), (free[1]["weight"], free[3][0]))
    assert not np.array_equal(free[1]["bias"], PARAMS[1]["bias"])


def test_a_gradient_that_is_no_number_cannot_touch_frozen_params():
    grads = fn.tree.map(lambda p: np.full_like(p, np.nan), PARAMS)
    (after,) = trajectory_of(fn.chain(fn.sgd(0.1), fn.freeze(True)), PARAMS, [grads])
    assert_same_bits(after, PARAMS)


# --- labels ----------------------------------------------------------------------------------

BODY_AND_HEAD = ["body", "body", "body", "head"]
"""Labels: the last entry of PARAMS is the head."""


@pytest.mark.parametrize("name", ["momentum", "adam", "classical_momentum", "clip_by_global_norm"])
def test_each_label_has_an_optimizer_that_sees_its_leaves_alone(name):
    optimizer = fn.partition({"head": OPTIMIZERS[name], "body": fn.adam(0.1)}, BODY_AND_HEAD)
    body = updates_of(fn.adam(0.1), PARAMS[:3], [grads[:3] for grads in GRADIENTS])
    head = updates_of(OPTIMIZERS[name], PARAMS[3], [grads[3] for grads in GRADIENTS])
    for updates, *expected in zip(updates_of(optimizer), body, head, strict=True):
        assert_same_bits(updates[:3], expected[0])
        assert_same_bits(updates[3], expected[1])


@pytest.mark.parametrize(
    "labels",
    [
        lambda params: fn.tree.map(lambda p: "matrix" if p.ndim > 1 else "other", params),
        fn.tree.map(lambda p: "matrix" if p.ndim > 1 else "other", PARAMS),
        ["other", {"weight": "matrix", "bias": "other"}, {}, ("matrix", "other")],
        [{}, {"weight": np.str_("matrix"), "bias": "other"}, {}, ("matrix", {"bias": "other"})],
    ],
    ids=["function", "tree", "prefix", "NumPy's strings"],
)
def test_labels_are_a_tree_a_prefix_of_one_or_a_function(labels):
    optimizer = fn.partition({"matrix": fn.scale(2.0), "other": fn.scale(3.0)}, labels)
    for updates, grads in zip(updates_of(optimizer), GRADIENTS, strict=True):
        assert_same_bits(updates, fn.tree.map(lambda g: (2 if g.ndim > 1 else 3) * g, grads))


def test_a_label_s_leaves_can_be_frozen_to_the_bit():
    decayed = fn.chain(fn.add_decayed_weights(0.5), fn.sgd(0.1, momentum=0.9))
    optimizer = fn.partition({"body": fn.freeze(True), "head": decayed}, BODY_AND_HEAD)
    last = trajectory_of(optimizer, PARAMS, GRADIENTS)[-1]
    assert_same_bits(last[:3], PARAMS[:3])
    alone = trajectory_of(decayed, PARAMS[3], [grads[3] for grads in GRADIENTS])[-1]
    assert_same_bits(last[3], alone)


def test_a_partition_of_masked_leaves_labels_those():
    labels = {"bias": "b", "weight": "w"}
    both = fn.partition({"w": fn.scale(2.0), "b": fn.scale(3.0)}, [{}, labels, {}, "b"])
    (updates, *_) = updates_of(fn.masked(both, [False, True, False, False]))
    expected = {"weight": 2 * GRADIENTS[0][1]["weight"], "bias": 3 * GRADIENTS[0][1]["bias"]}
    assert_same_bits(updates[1], expected)
    assert_same_bits(updates[3], GRADIENTS[0][3])


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (["body", "body", "body", "haed"], ValueError, "the label 'haed' at 3 has no optimizer: "
         "there are 'body', 'head'"),
        (["body", "body", "no", "head"], ValueError, "the label 'no' at 2 has no optimizer"),
        ("neck", ValueError, "the label 'neck' at the root has no optimizer"),
        ("body", ValueError, "no leaf of the params has the label 'head'"),
        (["body", "body", "head", "body"], ValueError, "no leaf .* has the label 'head'"),
        (["body", "body", "body", 1], TypeError, "the label at 3 must be a string, got 1"),
        (True, TypeError, "the label at the root must be a string, got True"),
        (["body", "head"], ValueError, "the labels do not fit the params: trees differ at the "
         "root: a list of 2 and a list of 4"),
        (lambda params: [{}, {"weight": "body"}, {}, "head"], ValueError, "the labels do not fit "
         r"the params: trees differ at 1: a dict with keys \['weight'\] and"),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_are_one_line(labels, error, message):
    optimizer = fn.partition({"body": fn.adam(), "head": fn.sgd(0.1)}, labels)
    with pytest.raises(error, match=message) as raised:
        optimizer.init(PARAMS)
    assert "\n" not in str(raised.value)
    state = fn.partition({"body": fn.adam(), "head": fn.sgd(0.1)}, BODY_AND_HEAD).init(PARAMS)
    with pytest.raises(error, match=message):
        optimizer.update(GRADIENTS[0], state, PARAMS)


def test_what_a_partition_is_made_of_is_checked_at_once():
    with pytest.raises(TypeError, match=r"what is given for 'head' is not an Optimizer: 0\.1"):
        fn.partition({"body": fn.adam(), "head": 0.1}, BODY_AND_HEAD)
    with pytest.raises(TypeError, match=r"partition: optimizers are \{label: optimizer\}, got \["):
        fn.partition([fn.adam(), fn.sgd(0.1)], BODY_AND_HEAD)


def test_the_state_of_other_labels_is_refused():
    optimizer = fn.partition({"body": fn.adam(), "head": fn.sgd(0.1)}, BODY_AND_HEAD)
    other = fn.partition({"all": fn.adam()}, "all").init(PARAMS)
    for state, said in ((other, "'all'"), (fn.adam().init(PARAMS), "none")):
        with pytest.raises(
            ValueError, match=f"no state of optimizers for 'body', .*but for {said}"
        ):
            optimizer.update(GRADIENTS[0], state, PARAMS)


def test_a_partition_s_state_can_be_saved_and_gone_on_with(tmp_path):
    optimizer = fn.chain(
        fn.partition({"body": fn.adamw(falling), "head": fn.freeze(True)}, BODY_AND_HEAD),
        fn.average_params(0.5),
    )
    first = state = optimizer.init(PARAMS)
    for grads in GRADIENTS[:3]:
        _, state = optimizer.update(grads, state, PARAMS)
    fn.save(tmp_path / "state.npz", state)
    expected = optimizer.update(GRADIENTS[3], state, PARAMS)
    for like in (None, first):
        loaded = fn.load(tmp_path / "state.npz", like=like).params
        updates, again = optimizer.update(GRADIENTS[3], loaded, PARAMS)
        assert_same_bits(updates, expected[0])
        assert learning_rates(again) == learning_rates(expected[1]) == {"learning_rate/body": 1 / 4}
        assert learning_rates(loaded) == {"learning_rate/body": 1 / 3}


# --- flatten ---------------------------------------------------------------------------------

ELEMENTWISE = set(OPTIMIZERS) - {
    *("sm3", "scale_by_sm3", "clip_by_global_norm"),  # they see rows, or all leaves
    *("masked", "freeze", "decayed and frozen"),  # a vector has no parts to mask
}


@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_vector_gives_the_same_bits(name, dtype):
    params, *gradients = (
        fn.tree.map(lambda a: a.astype(dtype), tree) for tree in [PARAMS, *GRADIENTS]
    )
    flat = trajectory_of(fn.flatten(OPTIMIZERS[name]), params, gradients)
    assert_same_bits(flat, trajectory_of(OPTIMIZERS[name], params, gradients))
    assert {leaf.dtype for leaf in fn.tree.leaves(flat)} == {np.dtype(dtype)}


def test_the_state_of_a_flat_optimizer_is_one_vector():
    state = fn.flatten(fn.trace(0.9)).init(PARAMS)
    assert state.trace.shape == (sum(leaf.size for leaf in fn.tree.leaves(PARAMS)),)


def test_an_optimizer_that_sees_rows_and_columns_is_another_one_when_flat():
    flat, deep = (
        trajectory_of(o, PARAMS, GRADIENTS)[-1] for o in (fn.flatten(fn.sm3(0.1)), fn.sm3(0.1))
    )
    assert not fn.tree.all_close(flat, deep)


def test_leaves_of_two_dtypes_are_computed_in_the_wider_one_and_keep_their_own():
    params = [np.float32([0.1, -0.2]), np.array([0.3])]
    gradients = [[np.float32([0.7, 0.9]), np.array([0.11])]] * 3
    wide = [[np.float64(leaf) for leaf in tree] for tree in [params, *gradients]]
    state, wide_state = fn.flatten(fn.adam()).init(params), fn.adam().init(wide[0])
    for grads, wide_grads in zip(gradients, wide[1:], strict=True):
        updates, state = fn.flatten(fn.adam()).update(grads, state, params)
        expected, wide_state = fn.adam().update(wide_grads, wide_state, wide[0])
        assert [leaf.dtype for leaf in updates] == [np.float32, np.float64]
        assert_same_bits(updates, [np.float32(expected[0]), expected[1]])


def test_gradients_that_do_not_fit_a_flat_optimizer_are_refused():
    optimizer = fn.flatten(fn.adam())
    with pytest.raises(ValueError, match="trees differ at the root: a list of 2 and a list of 4"):
        optimizer.update(GRADIENTS[0][:2], optimizer.init(PARAMS), PARAMS)


@pytest.mark.parametrize("shape", [(3, 2), (6,), (2, 3, 1)])
def test_a_gradient_of_another_shape_is_refused_though_it_is_as_long(shape):
    optimizer, params = fn.flatten(fn.sgd(0.1)), {"weight": np.ones((2, 3))}
    with pytest.raises(
        ValueError, match=r"^flatten: a gradient of shape \(.*\) for a weight of \(2, 3"
    ):
        optimizer.update({"weight": np.ones(shape)}, optimizer.init(params), params)


# --- the average of the params ---------------------------------------------------------------


def test_the_average_by_hand_begins_with_a_copy():
    optimizer = fn.chain(fn.sgd(1.0), fn.average_params(0.75))
    params, state = np.array([1.0]), None
    state = optimizer.init(params)
    averages = []
    for _ in range(3):
        updates, state = optimizer.update(np.array([1.0]), state, params)
        params = fn.apply_updates(params, updates)
        averages.append(fn.averaged_params(state).item())
    # of 0, -1 and -2: 0, then a quarter of the way to each
    assert averages == [0, -0.25, -0.25 - 0.25 * 1.75]


def test_before_the_first_step_the_average_is_the_params_themselves():
    assert_same_bits(fn.averaged_params(fn.average_params(0.9).init(PARAMS)), PARAMS)


def test_an_average_changes_no_update_and_stays_at_frozen_params():
    plain = fn.adamw(0.1)
    averaging = fn.chain(plain, fn.freeze(LAST), fn.average_params(0.9))
    assert_same_bits(updates_of(averaging), updates_of(fn.chain(plain, fn.freeze(LAST))))
    params, state = PARAMS, averaging.init(PARAMS)
    for grads in GRADIENTS:
        updates, state = averaging.update(grads, state, params)
        params = fn.apply_updates(params, updates)
    assert_same_bits(fn.averaged_params(state)[3], PARAMS[3])


@pytest.mark.parametrize(
    "optimizer",
    [
        fn.average_params(0.9),
        fn.chain(fn.adam(), fn.chain(fn.chain(), fn.average_params(0.9))),
        fn.masked(fn.chain(fn.sgd(0.1), fn.average_params(0.9)), True),
    ],
)
def test_the_average_is_found_wherever_it_is(optimizer):
    assert_same_bits(fn.averaged_params(optimizer.init(PARAMS)), PARAMS)


@pytest.mark.parametrize("optimizer", [fn.sgd(0.1), fn.adam(), fn.chain(), fn.sm3(0.1)])
def test_a_state_without_an_average_is_an_error_that_says_what_to_do(optimizer):
    with pytest.raises(ValueError, match="keeps no average: put average_params last"):
        fn.averaged_params(optimizer.init(PARAMS))


def test_a_training_state_with_an_average_can_be_saved_and_gone_on_with(tmp_path):
    model = fn.serial(fn.Dense(3), fn.Tanh(), fn.Dense(2))
    _, params = model.init(fn.random.key(0), (4,))
    optimizer = fn.chain(fn.nesterov(0.1), fn.freeze([True, {}, False]), fn.average_params(0.5))
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    batch = np.float32(RNG.normal(size=(6, 4))), np.arange(6) % 2
    state = first = fn.TrainState.create(params, optimizer)
    for _ in range(3):
        state, _ = step(state, batch)
    fn.save(tmp_path / "last.npz", state)
    loaded = fn.load(tmp_path / "last.npz", like=first).params
    expected, again = step(state, batch), step(loaded, batch)
    assert_same_bits(expected[0][:2], again[0][:2])
    assert expected[1] == again[1]
    assert_same_bits(
        fn.averaged_params(again[0].opt_state), fn.averaged_params(expected[0].opt_state)
    )


# --- the rate in the state -------------------------------------------------------------------


def falling(step):
    return 1 / (1 + step)


@pytest.mark.parametrize(
    "optimizer",
    [
        fn.sgd(falling),
        fn.nesterov(falling),
        fn.classical_momentum(falling),
        fn.adagrad(falling),
        fn.rmsprop(falling, momentum=0.5),
        fn.adam(falling),
        fn.adamw(falling),
        fn.adamax(falling),
        fn.sm3(falling),
        fn.flatten(fn.sgd(falling)),
        fn.masked(fn.sgd(falling), LAST),
        fn.chain(fn.clip_by_value(1.0), fn.chain(fn.adam(falling)), fn.average_params(0.9)),
    ],
)
def test_the_state_has_the_rate_that_the_last_update_used(optimizer):
    state = optimizer.init(PARAMS)
    rates = [learning_rates(state)["learning_rate"]]
    for grads in GRADIENTS[:3]:
        _, state = optimizer.update(grads, state, PARAMS)
        rates.append(learning_rates(state)["learning_rate"])
    assert rates == [1.0, 1.0, 1 / 2, 1 / 3]
    assert {type(rate) for rate in rates} == {float}


def test_a_partition_has_a_rate_for_each_label_that_has_one():
    inner = fn.partition({"x": fn.sgd(0.1), "y": fn.scale(1.0)}, [*"xxx", ("x", "y")])
    optimizer = fn.partition({"body": fn.adam(falling), "head": inner}, BODY_AND_HEAD)
    state = optimizer.init(PARAMS)
    assert learning_rates(state) == {"learning_rate/body": 1.0, "learning_rate/head/x": 0.1}
    assert learning_rates((fn.trace(0.9).init(PARAMS), state)) == learning_rates(state)


@pytest.mark.parametrize("optimizer", [fn.chain(), fn.trace(0.9), fn.scale_by_adam(), fn.scale(-1)])
def test_an_optimizer_without_a_rate_has_none(optimizer):
    named = {"learning_rate": np.ones(2)}  # a weight of that name is no rate
    assert learning_rates(optimizer.init(named)) == {}
