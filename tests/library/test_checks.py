"""The checker is checked: a planted error is rejected, and a correct layer is not."""

import numpy as np
import pytest

import funcnn as fn

KEY = fn.random.key(0)


def init(rng, input_shape, dtype=np.float32):
    (features,) = input_shape
    weight = fn.random.normal(rng, (features, 3), dtype)
    return (3,), {"weight": weight, "bias": np.ones(3, dtype)}


def forward(params, x):
    return x @ params["weight"] + params["bias"]


def backward(params, x, dy):
    return {"weight": x.T @ dy, "bias": dy.sum(0)}, dy @ params["weight"].T


def dense(forward=forward, backward=backward, init=init):
    """A correct user's layer of 3 features, unless one of its functions is replaced."""

    def apply(params, x, *, rng=None, train=False, wrt="both"):
        y = forward(params, x)
        return y, None if wrt is None else lambda dy: backward(params, x, dy)

    return fn.Layer(init, apply)


def own(forward, backward):
    """A layer without params, of `forward(x)` and `backward(x, dy)`."""
    return dense(
        lambda params, x: forward(x),
        lambda params, x, dy: ({}, backward(x, dy)),
        lambda rng, input_shape: (input_shape, {}),
    )


def with_weights(forward, dweight):
    """A layer of weights w beside x: y = forward(w, x), dx = dy, dw = dweight(w, dy)."""
    return dense(
        lambda params, x: forward(params["w"], x),
        lambda params, x, dy: ({"w": dweight(params["w"], dy)}, dy.copy()),
        lambda rng, shape, dtype=np.float32: (shape, {"w": np.ones(shape, dtype)}),
    )


def replacing(**changed):
    """The correct backward, with some of its results replaced by `changed[name](params, x, dy)`."""

    def wrong(params, x, dy):
        dparams, dx = backward(params, x, dy)
        found = {**dparams, "x": dx}
        found |= {name: function(params, x, dy) for name, function in changed.items()}
        dx = found.pop("x")
        return found, dx

    return dense(backward=wrong)


def test_a_correct_layer_is_accepted_and_reported_leaf_by_leaf():
    report = fn.check_layer(dense(), (3,))
    assert [leaf.path for leaf in report.leaves] == ["params/bias", "params/weight", "x"]
    assert report.worst.error < 1e-8


def test_a_correct_layer_without_wrt_is_accepted():
    layer = dense()
    fn.check_layer(layer._replace(apply=lambda params, x, rng=None, train=False: layer.apply(
        params, x, rng=rng, train=train)), (3,))  # fmt: skip


# --- wrong derivatives -----------------------------------------------------------------------

TINY = 1e-7
WRONG_DERIVATIVES = {
    "a gradient of zero": replacing(bias=lambda params, x, dy: np.zeros_like(params["bias"])),
    "no dx": replacing(x=lambda params, x, dy: np.zeros_like(x)),
    "zero where 1e-7 is right, of small outputs": own(
        lambda x: x * TINY, lambda x, dy: np.zeros_like(dy)
    ),
    "half where 1e-7 is right, of small outputs": own(
        lambda x: x * x * TINY, lambda x, dy: x * dy * TINY
    ),
    "zero where 1e-7 is right, beside 1": with_weights(
        lambda w, x: x + w * TINY, lambda w, dy: np.zeros_like(w)
    ),
    "half where 1e-7 is right, beside 1": with_weights(
        lambda w, x: x + w * w * TINY, lambda w, dy: w * dy.sum(0) * TINY
    ),
    "1e-5 of the derivative lost": own(lambda x: 3 * x, lambda x, dy: 3 * (1 - 1e-5) * dy),
    "a lost factor 2": own(lambda x: x * x, lambda x, dy: x * dy),
    "a lost sign": replacing(x=lambda params, x, dy: -dy @ params["weight"].T),
    "a weight not transposed": replacing(x=lambda params, x, dy: dy @ params["weight"]),
    "a weight gradient transposed": replacing(weight=lambda params, x, dy: dy.T @ x),
    "a mean over the batch": replacing(bias=lambda params, x, dy: dy.mean(0)),
    "a bias gradient of the first sample": replacing(bias=lambda params, x, dy: dy[0].copy()),
    "dx of another sample": replacing(x=lambda params, x, dy: (dy @ params["weight"].T)[::-1]),
    "dx of the first sample for all": replacing(
        x=lambda params, x, dy: np.tile(dy[:1] @ params["weight"].T, (len(x), 1))
    ),
    "the derivative of another function": own(np.sin, lambda x, dy: dy * (1 - x * x / 2)),
}  # fmt: skip


def windows_of(x, weight):
    return np.lib.stride_tricks.sliding_window_view(x, weight.shape[2], axis=2)  # (N, C, P, K)


def correlate(x, weight):
    """y[n, o, p] = sum over c, k of w[o, c, k] x[n, c, p + k]."""
    return np.einsum("ncpk,ock->nop", windows_of(x, weight), weight)


def surrounded(dy, weight):
    """The dy that dx is made of, with zeros around it."""
    return np.pad(dy, ((0, 0), (0, 0), (weight.shape[2] - 1,) * 2))


def by_x(x, weight, dy):
    return correlate(surrounded(dy, weight), weight[:, :, ::-1].swapaxes(0, 1))


def by_weight(x, weight, dy):
    return np.einsum("ncpk,nop->ock", windows_of(x, weight), dy)


def by_bias(x, weight, dy):
    return dy.sum((0, 2))


def correlation(dx=by_x, dweight=by_weight, dbias=by_bias):
    """A user's own convolution of sequences, right unless one of its derivatives is replaced."""

    def init(rng, input_shape, dtype=np.float32):
        weight = fn.random.normal(rng, (3, input_shape[0], 3), dtype)
        return (3, input_shape[1] - 2), {"weight": weight, "bias": np.ones(3, dtype)}

    def derivatives(params, x, dy):
        arguments = x, params["weight"], dy
        return {"weight": dweight(*arguments), "bias": dbias(*arguments)}, dx(*arguments)

    return dense(
        lambda params, x: correlate(x, params["weight"]) + params["bias"][:, None],
        derivatives,
        init,
    )


WRONG_CONVOLUTIONS = {
    "a kernel not flipped": correlation(
        dx=lambda x, weight, dy: correlate(surrounded(dy, weight), weight.swapaxes(0, 1))
    ),
    "a kernel flipped and not transposed": correlation(
        dx=lambda x, weight, dy: correlate(surrounded(dy, weight), weight[:, :, ::-1])
    ),
    "dx shifted by one": correlation(
        dx=lambda x, weight, dy: np.roll(by_x(x, weight, dy), 1, axis=2)
    ),
    "a weight's gradient flipped": correlation(
        dweight=lambda x, weight, dy: by_weight(x, weight, dy)[:, :, ::-1].copy()
    ),
    "a missing sum over the batch": correlation(
        dweight=lambda x, weight, dy: by_weight(x[:1], weight, dy[:1])
    ),
    "a missing sum over the batch in the bias": correlation(
        dbias=lambda x, weight, dy: dy[0].sum(1)
    ),
    "a mean over the batch": correlation(
        dweight=lambda x, weight, dy: by_weight(x, weight, dy) / len(x)
    ),
    "a missing sum over the positions": correlation(dbias=lambda x, weight, dy: dy[:, :, 0].sum(0)),
}


def pairs(x):
    """Of each pair of neighbours the first and the second, `(N, C, L/2)`."""
    return x[:, :, ::2], x[:, :, 1::2]


def max_of_pairs(choose):
    """A user's own max-pool over pairs, whose dx is what `choose(first, second, dy)` says."""
    return dense(
        lambda params, x: np.maximum(*pairs(x)),
        lambda params, x, dy: ({}, np.stack(choose(*pairs(x), dy), -1).reshape(x.shape)),
        lambda rng, shape: ((shape[0], shape[1] // 2), {}),
    )


WRONG_POOLS = {
    "all of a window": max_of_pairs(lambda a, b, dy: (dy, dy)),
    "the first of a window": max_of_pairs(lambda a, b, dy: (dy, np.zeros_like(dy))),
    "the smallest": max_of_pairs(lambda a, b, dy: (dy * (a < b), dy * (a >= b))),
    "half for each": max_of_pairs(lambda a, b, dy: (dy / 2, dy / 2)),
}


def test_a_convolution_and_a_pool_of_one_s_own_are_accepted():
    fn.check_layer(correlation(), (2, 5))
    fn.check_layer(max_of_pairs(lambda a, b, dy: (dy * (a >= b), dy * (a < b))), (2, 6))


@pytest.mark.parametrize("name", WRONG_CONVOLUTIONS | WRONG_POOLS)
def test_a_wrong_derivative_of_images_is_rejected(name):
    # As many channels as outputs, so that what is not transposed still has the right shape.
    layer = (WRONG_CONVOLUTIONS | WRONG_POOLS)[name]
    with pytest.raises(fn.CheckFailure, match=r"the derivative by .* has relative error"):
        fn.check_layer(layer, (3, 6))


@pytest.mark.parametrize("name", WRONG_DERIVATIVES)
def test_a_wrong_derivative_is_rejected(name):
    with pytest.raises(fn.CheckFailure, match=r"the derivative by .* has relative error"):
        fn.check_layer(WRONG_DERIVATIVES[name], (3,))


@pytest.mark.parametrize("size", [1e-12, 1e-7, 1.0, 1e7])
@pytest.mark.parametrize("shape", [(5,), (9, 9)], ids=["Jacobian", "combinations"])
def test_the_verdict_does_not_depend_on_the_scale_of_the_outputs(size, shape):
    x = fn.random.normal(KEY, shape, np.float64)
    fn.check_vjp(lambda x: (size * np.sin(x), lambda dy: size * np.cos(x) * dy), x)
    with pytest.raises(fn.CheckFailure):
        fn.check_vjp(lambda x: (size * np.sin(x), lambda dy: 0 * dy), x)
    with pytest.raises(fn.CheckFailure):
        fn.check_vjp(lambda x: (size * np.sin(x), lambda dy: size * np.cos(x) * dy / 2), x)


def test_a_derivative_that_is_nan_is_rejected():
    x = np.array([1.0, 2])
    with pytest.raises(fn.CheckFailure, match="the derivative by x has relative error inf"):
        fn.check_vjp(lambda x: (x * x, lambda dy: 2 * x * dy * [1, np.nan]), x)


def test_a_wrong_derivative_of_training_alone_is_rejected():
    def apply(params, x, *, rng=None, train=False, wrt="both"):
        factor = 3 if train else 1
        return factor * x, None if wrt is None else lambda dy: ({}, dy.copy())

    layer = fn.Layer(lambda rng, shape: (shape, {}), apply)
    with pytest.raises(fn.CheckFailure, match="the derivative by x"):
        fn.check_layer(layer, (3,))


@pytest.mark.parametrize("entry", [0, 500, 999])
def test_one_wrong_entry_of_many_is_found(entry):
    x = fn.random.normal(KEY, (1000,), np.float64)

    def function(x):
        factor = np.where(np.arange(1000) == entry, 1.01, 1.0)
        return (x * x).sum(), lambda dy: 2 * x * dy * factor

    with pytest.raises(fn.CheckFailure, match="the derivative by x "):
        fn.check_vjp(function, x)


def test_the_failure_names_the_leaf():
    x = {"a": np.array([1.0, 2]), "b": [np.array([3.0])]}

    def function(x):
        y = (x["a"] * x["a"]).sum() * x["b"][0]
        da, db = 2 * x["a"] * x["b"][0], (x["a"] * x["a"]).sum()
        return y, lambda dy: {"a": da * dy, "b": [2 * db * dy]}

    with pytest.raises(fn.CheckFailure, match=r"the derivative by b/0 has relative error 0\.5"):
        fn.check_vjp(function, x)


# --- broken promises -------------------------------------------------------------------------


def in_place(name):
    def wrong(params, x, dy):
        array = {"x": x, "dy": dy, **params}[name]
        array *= 1
        return backward(params, x, dy)

    return dense(backward=wrong)


def forward_in_place(params, x):
    x -= 0
    return forward(params, x)


@pytest.mark.parametrize(
    "layer",
    [in_place("x"), in_place("dy"), in_place("weight"), dense(forward_in_place)],
    ids=["x", "dy", "weight", "x in apply"],
)
def test_an_argument_changed_in_place_is_rejected(layer):
    with pytest.raises((fn.CheckFailure, ValueError), match="read-only"):
        fn.check_layer(layer, (3,))


def counting():
    """A vjp that remembers how often it was called."""
    calls = []

    def wrong(params, x, dy):
        calls.append(1)
        return backward(params, x, dy * len(calls))

    return dense(backward=wrong)


def accumulating():
    """Gradients summed up from call to call, as torch does."""
    total = {}

    def wrong(params, x, dy):
        dparams, dx = backward(params, x, dy)
        bias = total.get(dy.dtype, 0) + dparams["bias"]
        total[dy.dtype] = bias
        return {**dparams, "bias": bias}, dx

    return dense(backward=wrong)


def random_forward(params, x):
    return forward(params, x) * np.random.default_rng().standard_normal()


def keeping_x_in_scratch():
    """The x of the last apply, where each vjp has need of its own."""
    scratch = {}

    def keep(params, x):
        scratch["x"] = x
        return forward(params, x)

    return dense(keep, lambda params, x, dy: backward(params, scratch["x"], dy))


def returning_scratch(result):
    """One buffer for the results of all calls."""
    scratch = {}

    def buffered(array):
        buffer = scratch.setdefault((array.shape, array.dtype), np.empty_like(array))
        buffer[...] = array
        return buffer

    def wrong(params, x, dy):
        dparams, dx = backward(params, x, dy)
        return dparams, buffered(dx)

    if result == "y":
        return dense(lambda params, x: buffered(forward(params, x)))
    return dense(backward=wrong)


def swallowing():
    layer = dense()
    return layer._replace(apply=lambda params, x, wrt="both", **kwargs: layer.apply(
        params, x, wrt=wrt))  # fmt: skip


def always_with_vjp():
    layer = dense()
    return layer._replace(apply=lambda params, x, rng=None, train=False, wrt="both": layer.apply(
        params, x))  # fmt: skip


def others_for(asked, half_params, half_x):
    """A layer whose vjp, where one of the two is asked for, gives others."""

    def apply(params, x, *, rng=None, train=False, wrt="both"):
        def vjp(dy):
            dparams, dx = backward(params, x, dy)
            if wrt != asked:
                return dparams, dx
            return fn.tree.map(lambda g: g * half_params, dparams), dx * x.dtype.type(half_x)

        return forward(params, x), None if wrt is None else vjp

    return fn.Layer(init, apply)


def init_from_nowhere(rng, input_shape, dtype=np.float32):
    shape, params = init(rng, input_shape, dtype)
    params["bias"] = np.random.default_rng().standard_normal(3).astype(dtype)
    return shape, params


BROKEN_PROMISES = {
    "a bias gradient not summed": (
        replacing(bias=lambda params, x, dy: dy.copy()),
        r"dparams/bias is float32 \(3, 3\)|dparams/bias is float32 \(4, 3\)",
    ),
    "a bias gradient summed with keepdims": (
        replacing(bias=lambda params, x, dy: dy.sum(0, keepdims=True)),
        r"dparams/bias is float32 \(1, 3\), params/bias is float32 \(3,\)",
    ),
    "a gradient that is missing": (
        dense(
            backward=lambda *args: ({"weight": backward(*args)[0]["weight"]}, backward(*args)[1])
        ),
        "another structure",
    ),
    "a gradient of no param": (
        replacing(scale=lambda params, x, dy: dy.sum(0)),
        "another structure",
    ),
    "a float64 output": (
        dense(lambda params, x: forward(params, x) * np.float64(1)),
        "y is float64 for float32",
    ),
    "a float64 gradient": (
        replacing(bias=lambda params, x, dy: dy.sum(0, dtype=np.float64)),
        "dparams/bias is float64",
    ),
    "a float64 dx": (
        replacing(x=lambda params, x, dy: dy @ params["weight"].T * np.float64(1)),
        "dx is float64",
    ),
    "a wrong declared shape": (
        dense(init=lambda rng, shape, dtype=np.float32: ((4,), init(rng, shape, dtype)[1])),
        r"declared \(4,\), but y is",
    ),
    "a declared shape with the batch": (
        dense(init=lambda rng, shape, dtype=np.float32: ((4, 3), init(rng, shape, dtype)[1])),
        r"declared \(4, 3\), but y is",
    ),
    "params of float64": (
        dense(init=lambda rng, shape: init(rng, shape, np.float64)),
        "begins as float64",
    ),
    "params of numbers": (
        dense(init=lambda rng, shape: (init(rng, shape)[0], {"weight": 1.0, "bias": 0.0})),
        "is a float, no array",
    ),
    "an init from nowhere": (dense(init=init_from_nowhere), "init with one key"),
    "an apply from nowhere": (dense(random_forward), "the same arguments and key"),
    "a vjp that counts": (counting(), "called twice"),
    "a vjp that accumulates": (accumulating(), "called twice"),
    "x in shared scratch memory": (keeping_x_in_scratch(), "another (apply|vjp) changes"),
    "y in shared scratch memory": (returning_scratch("y"), "a batch differs from its samples"),
    "dx in shared scratch memory": (returning_scratch("dx"), "not linear"),
    "dparams that are dy": (
        with_weights(lambda w, x: x + w, lambda w, dy: dy[0]),
        "shares memory",
    ),
    "a vjp with a square": (
        own(lambda x: x.copy(), lambda x, dy: dy + 1e-3 * dy * dy),
        "not linear",
    ),
    "a vjp with a constant": (own(lambda x: x.copy(), lambda x, dy: dy + 1e-3), "not linear"),
    "a vjp of absolute values": (own(np.abs, lambda x, dy: np.abs(dy) * np.sign(x)), "not linear"),
    "keywords swallowed": (swallowing(), "a misspelt keyword passes"),
    "a vjp for wrt=None": (always_with_vjp(), "wrt=None"),
    "other gradients for wrt='params'": (others_for("params", 0.5, 1), "wrt='params'"),
    "another dx for wrt='x'": (others_for("x", 1, 0.5), "wrt='x'"),
    "surplus of wrt='x' that is none": (others_for("x", 0.5, 1), "wrt='x'"),
    "samples that see each other": (
        own(lambda x: x - x.mean(0), lambda x, dy: dy - dy.mean(0)),
        "a batch differs from its samples",
    ),
    "a spec of another layer": (fn.Tanh()._replace(spec=fn.Relu().spec), "another layer"),
    "a spec that lacks an argument": (
        fn.Dense(2)._replace(spec={"layer": "Dense", "out_features": 2}),
        "has another spec",
    ),
}


@pytest.mark.parametrize("name", BROKEN_PROMISES)
def test_a_broken_promise_is_rejected(name):
    layer, message = BROKEN_PROMISES[name]
    with pytest.raises(fn.CheckFailure, match=message):
        fn.check_layer(layer, (3,), batch=4)


# --- what is right is accepted ---------------------------------------------------------------


@pytest.mark.parametrize("distance", [1e-3, 1e-4, 1e-5, 1e-6])
def test_a_kink_near_by_is_accepted_and_an_error_there_is_not(distance):
    x = np.array([-distance, 2 * distance, distance, -0.5, 0.7, 5 * distance])
    fn.check_vjp(fn.activations.relu, x)
    fn.check_vjp(lambda x: (np.abs(x).sum(), lambda dy: dy * np.sign(x)), x)
    with pytest.raises(fn.CheckFailure):
        fn.check_vjp(lambda x: (np.abs(x), lambda dy: dy), x)
    with pytest.raises(fn.CheckFailure):
        fn.check_vjp(lambda x: (np.maximum(x, 0), lambda dy: dy * (x > -2 * distance)), x)


def test_a_layer_with_kinks_is_accepted():
    layer = own(lambda x: np.abs(x - 0.3), lambda x, dy: dy * np.sign(x - 0.3))
    for seed in range(5):
        fn.check_layer(layer, (7,), rng=fn.random.key(seed))


DEEP = {
    # Few units, all silent for some keys: then the next ReLU gets its bias and no more.
    "silent units": (fn.serial(fn.Dense(3), fn.Relu(), fn.Dense(2), fn.Relu()), (4,)),
    # The mean of what has none: all cotangents are 0, but for rounding.
    "a mean of 0": (
        fn.serial(fn.LayerNorm(elementwise_affine=False), fn.GlobalAvgPool(), fn.Softmax()),
        (4, 5),
    ),
    # The derivative by the first bias is 0, and differences of y have more rounding than y's own.
    "bias before BatchNorm": (
        fn.serial(fn.Dense(8), fn.BatchNorm(), fn.Relu(), fn.Dense(10)),
        (6,),
    ),
    "images": (
        fn.serial(
            *(fn.Conv(4, 3, padding=1), fn.BatchNorm(), fn.Relu(), fn.Conv(4, 3, groups=4)),
            *(fn.MaxPool(2), fn.Flatten(), fn.Dense(5)),
        ),
        (2, 6, 6),
    ),
}


@pytest.mark.parametrize(
    ("name", "seed"),  # each was once refused
    [
        *(("silent units", 2), ("silent units", 6), ("silent units", 22)),
        *(("bias before BatchNorm", 7), ("bias before BatchNorm", 16), ("images", 5)),
    ],
)
def test_a_correct_network_is_accepted(name, seed):
    fn.check_layer(*DEEP[name], rng=fn.random.key(seed))


NO_ROUNDING = {
    "a jump": (lambda x: np.floor(x), lambda dy: 7 * dy, np.arange(3.0)),
    "a jump at 0": (lambda x: (x > 0) * 1.0, lambda dy: 7 * dy, np.zeros(2)),
    "noise": (lambda x: 2 * x + 1e-3 * np.random.default_rng().random(x.shape), np.zeros_like,
              np.ones(3)),
    "beside a kink": (lambda x: 4 * np.maximum(x, 0), lambda dy: dy * (4 + 1e-5),
                      np.full(2, 1e-5)),
    "close to a kink": (lambda x: 4 * np.maximum(x, 0), lambda dy: dy * (4 + 1e-4),
                        np.full(2, 1e-6)),
    "small": (lambda x: np.sin(x) + 2e-6 * x, lambda dy: dy * np.cos(0.5), np.full(2, 0.5)),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_ROUNDING)
def test_what_is_no_rounding_is_no_excuse(name):
    forward, backward, x = NO_ROUNDING[name]
    with pytest.raises(fn.CheckFailure):
        fn.check_vjp(lambda x: (forward(x), backward), x)


@pytest.mark.parametrize("wrong", [1e-9, -1e-9])
def test_a_bias_before_batch_norm_has_a_gradient_of_zero_and_no_other(wrong):
    def apply(params, x, *, rng=None, train=False, wrt="both"):
        y, vjp = right.apply(params, x, train=train)

        def planted(dy):
            (first, *others), dx = vjp(dy)
            return [{**first, "bias": first["bias"] + wrong * train * dy.sum()}, *others], dx

        if hasattr(vjp, "statistics"):
            planted.statistics = vjp.statistics
        return y, None if wrt is None else planted

    right, shape = DEEP["bias before BatchNorm"]
    with pytest.raises(fn.checks.CheckFailure, match="by params/0/bias"):
        fn.check_layer(fn.Layer(right.init, apply), shape, rng=fn.random.key(7))


def test_a_gradient_that_is_truly_zero_is_accepted():
    fn.check_layer(
        with_weights(lambda w, x: x + 0 * w, lambda w, dy: np.zeros_like(w)),
        (3,),
    )


def test_a_number_is_checked_with_a_number():
    seen = []

    def function(x):
        return float(x @ x), lambda dy: seen.append(dy) or 2 * dy * x

    report = fn.check_vjp(function, np.array([1.0, -2, 3]))
    assert report.worst.error < 1e-9
    assert all(isinstance(dy, float) for dy in seen)


def test_a_tree_without_leaves_has_nothing_to_check():
    assert fn.check_vjp(lambda x: (np.ones(2), lambda dy: {}), {}).leaves == ()


@pytest.mark.parametrize(
    ("leaf", "dtype"),
    [(np.ones(2, np.float32), "float32"), (np.ones(2, int), "int64"), (1, "int")],
    ids=["float32", "int64", "int"],
)
def test_a_tree_of_anything_but_float64_is_a_type_error_that_names_the_leaf(leaf, dtype):
    with pytest.raises(TypeError, match=f"^a/0 must be float64 to be checked, got {dtype}"):
        fn.check_vjp(lambda x: (x["a"][0], lambda dy: {"a": [dy]}), {"a": [leaf]})


def test_a_nan_in_a_later_leaf_is_rejected():
    def function(tree):
        gradient = {"a": 2 * tree["a"], "b": np.full_like(tree["b"], np.nan)}
        value = float((tree["a"] ** 2).sum() + (tree["b"] ** 2).sum())
        return value, lambda dvalue: fn.tree.map(lambda g: dvalue * g, gradient)

    with pytest.raises(fn.CheckFailure, match="the derivative by b"):
        fn.check_vjp(function, {"a": np.ones(2), "b": np.ones(2)})


# --- statistics ------------------------------------------------------------------------------


def with_statistics(gradient=lambda dy: 0 * dy[0], dtype=None):
    """y = x less a mean, in evaluation a running one, whose new value rides on the vjp."""

    def apply(params, x, *, rng=None, train=False, wrt="both"):
        def vjp(dy):
            return {"running": gradient(dy)}, (dy - dy.mean(0) if train else dy)

        if train:
            vjp.statistics = {"running": x.mean(0, dtype=dtype)}
        return x - (x.mean(0) if train else params["running"]), (None if wrt is None else vjp)

    return fn.Layer(
        lambda rng, shape, dtype=np.float32: (shape, {"running": np.ones(shape, dtype)}), apply
    )


def test_statistics_are_constants_in_evaluation_too():
    fn.check_layer(with_statistics(), (3,))
    fn.check_layer(fn.serial(fn.Dense(2), with_statistics(), fn.Tanh()), (3,))


def test_a_gradient_of_statistics_is_rejected():
    with pytest.raises(fn.CheckFailure, match="the derivative by params/running"):
        fn.check_layer(with_statistics(lambda dy: -dy.sum(0)), (3,))


def test_statistics_of_another_dtype_are_rejected():
    with pytest.raises(fn.CheckFailure, match=r"statistics running are float64 \(3,\)"):
        fn.check_layer(with_statistics(dtype=np.float64), (3,))


# --- layers that break the form --------------------------------------------------------------

BROKEN = {
    "apply without a vjp": (lambda params, x, **_: x, r"apply must return \(y, vjp\)"),
    "a vjp without dparams": (
        lambda params, x, **_: (x, lambda dy: dy),
        r"the vjp must return \(dparams, dx\)",
    ),
    "an apply that changes x": (
        lambda params, x, **_: (np.exp(x, out=x), lambda dy: ({}, dy)),
        "it changes one of its arguments",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_layer_that_breaks_the_form_is_told_how(name):
    apply, message = BROKEN[name]
    with pytest.raises(fn.CheckFailure, match=message):
        fn.check_layer(fn.Layer(lambda rng, shape: (shape, {}), apply), (3,))


def test_a_constructor_not_called_is_named():
    with pytest.raises(TypeError, match=r"check_layer: .* call the constructor, Dense"):
        fn.check_layer(fn.Dense, (3,))
    with pytest.raises(TypeError, match="summary: takes layers, got a list"):
        fn.summary([fn.Dense(2)], (3,))


def kinked(x):
    return np.maximum(x, 0).sum(), lambda dy: dy * (x > 0)


@pytest.mark.parametrize("near", [0.0, 1e-9, -3e-8])
def test_check_vjp_says_that_x_is_at_a_kink(near):
    with pytest.raises(fn.CheckFailure, match=r"^the derivative by x .*; x is at a kink .* away$"):
        fn.check_vjp(kinked, np.array([0.5, near]))


def test_check_vjp_says_nothing_of_kinks_where_the_derivative_is_wrong():
    for function in (np.exp, np.sin, lambda x: 1e6 * x**2, lambda x: 1e3 + 1e-3 * np.abs(x + 1)):

        def wrong(x, function=function):
            return function(x), lambda dy: dy * 3.21

        with pytest.raises(fn.CheckFailure, match=r"above 1e-06$"):
            fn.check_vjp(wrong, np.array([0.5, 0.25]))


def test_check_vjp_says_that_x_is_at_a_jump():
    with pytest.raises(fn.CheckFailure, match="at a kink or jump"):
        fn.check_vjp(lambda x: (np.floor(x), lambda dy: dy), np.array([2.0]))


def test_a_cotangent_that_is_none_for_x_is_named():
    def function(x):
        return x * x, lambda dy: (2 * x * dy)[:1]

    with pytest.raises(
        fn.CheckFailure, match=r"a cotangent of shape \(1,\) for x, which is \(3,\)$"
    ):
        fn.check_vjp(function, np.arange(3.0))

    def forgetful(x):
        return x["a"] * x["b"], lambda dy: {"a": x["b"] * dy}

    with pytest.raises(fn.CheckFailure, match=r"gives no cotangent for b, which is \(2,\)$"):
        fn.check_vjp(forgetful, {"a": np.ones(2), "b": np.ones(2)})
    with pytest.raises(ValueError, match=r"y is empty, of shape \(0,\)"):
        fn.check_vjp(function, np.zeros(0))
