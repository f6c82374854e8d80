import json

import numpy as np
import pytest
from cases import STORED_LAYERS
from helpers import assert_same_bits, normal_batch

import funcnn as fn
from funcnn import initializers, random, tree

KEY = random.key(0)

COMBINATORS = [
    (fn.serial(fn.Dense(3), fn.Relu(), fn.Dropout(), fn.Dense(2)), (4,)),
    (fn.serial(fn.Flatten(), fn.serial(fn.Dense(3), fn.serial(fn.Tanh())), fn.Dense(2)), (2, 2)),
    (fn.parallel(fn.Dense(3), fn.Relu()), ((4,), (2,))),
    (fn.residual(fn.Dense(4)), (4,)),
    (fn.serial(fn.Conv(2, 3), fn.Relu(), fn.MaxPool(2), fn.Flatten(), fn.Dense(3)), (1, 6, 6)),
    (fn.residual(fn.Dense(3), shortcut=fn.serial(fn.Tanh(), fn.Dense(3))), (4,)),
]
CASES = [*(case for cases in STORED_LAYERS.values() for case in cases), *COMBINATORS]
cases = pytest.mark.parametrize(
    ("layer", "input_shape"), CASES, ids=[f"{i}-{c[0].spec['layer']}" for i, c in enumerate(CASES)]
)


def own_init(rng, shape, dtype):
    return np.ones(shape, dtype)


def own_layer():
    return fn.Layer(lambda rng, shape: (shape, {}), lambda params, x, **_: (x, lambda dy: ({}, dy)))


def test_the_table_holds_every_public_layer():
    constructors = {
        name for name in fn.__all__ if name[0].isupper() and not isinstance(getattr(fn, name), type)
    }
    assert set(STORED_LAYERS) == constructors


@cases
def test_a_layer_comes_back_from_its_spec_as_json(layer, input_shape):
    again = fn.from_spec(json.loads(json.dumps(layer.spec, allow_nan=False)))
    assert again.spec == layer.spec
    (shape, params), (same_shape, same_params) = (
        each.init(KEY, input_shape) for each in (layer, again)
    )
    assert shape == same_shape
    assert tree.structure(params) == tree.structure(same_params)
    for a, b in zip(tree.leaves(params), tree.leaves(same_params), strict=True):
        np.testing.assert_array_equal(a, b)
    x = normal_batch(KEY, input_shape)
    for train in (False, True):
        y, _ = layer.apply(params, x, rng=KEY, train=train)
        assert_same_bits(y, again.apply(params, x, rng=KEY, train=train)[0])


def test_a_serial_of_nothing_comes_back_as_the_identity():
    assert fn.serial().spec == {"layer": "serial", "layers": []}
    again = fn.from_spec({"layer": "serial", "layers": []})
    assert again.init(KEY, (4,)) == ((4,), [])
    y, vjp = again.apply([], np.ones((2, 4), np.float32))
    np.testing.assert_array_equal(y, np.ones((2, 4)))
    np.testing.assert_array_equal(vjp(2 * y)[1], 2 * y)


def test_a_spec_is_the_name_and_all_arguments():
    assert fn.serial(fn.Dense(3, weight_init=initializers.normal(0.5)), fn.Relu()).spec == {
        "layer": "serial",
        "layers": [
            {
                "layer": "Dense",
                "out_features": 3,
                "bias": True,
                "weight_init": {"initializer": "normal", "stddev": 0.5},
                "bias_init": {"initializer": "zeros"},
            },
            {"layer": "Relu"},
        ],
    }


def test_a_spec_from_before_an_argument_means_its_default():
    assert fn.from_spec({"layer": "Dropout", "rate": 0.25}).spec == fn.Dropout(0.25).spec


@pytest.mark.parametrize("layer", [fn.MaxPool(3, 2, (1, 0)), fn.AvgPool(2, None, 1, False)])
def test_a_pool_from_before_dilation_and_ceil_mode_is_the_same_pool(layer):
    old = {key: value for key, value in layer.spec.items() if key not in ("dilation", "ceil_mode")}
    assert len(old) == len(layer.spec) - 1 - (old["layer"] == "MaxPool")
    again = fn.from_spec(old)
    assert again.spec == layer.spec
    x = fn.random.normal(KEY, (2, 1, 7, 6))
    np.testing.assert_array_equal(again.apply({}, x)[0], layer.apply({}, x)[0])


def test_positional_named_and_default_arguments_give_one_spec():
    assert fn.Dropout().spec == fn.Dropout(0.5).spec == fn.Dropout(rate=0.5).spec
    assert fn.Reshape((2, 3)).spec == fn.Reshape([2, 3]).spec


@pytest.mark.parametrize(
    ("of_numpy", "plain"),
    [
        (lambda: fn.Dense(np.int64(3)), fn.Dense(3)),
        (lambda: fn.Dense(3, bias=np.bool_(False)), fn.Dense(3, bias=False)),
        (lambda: fn.Reshape(tuple(np.array([2, 3]))), fn.Reshape((2, 3))),
        (lambda: fn.Dropout(np.float64(0.5)), fn.Dropout(0.5)),
        (lambda: fn.Conv(np.int64(3), (np.int32(2), 3), np.uint8(1)), fn.Conv(3, (2, 3), 1)),
        (lambda: fn.MaxPool(np.int64(2), [np.int64(1), 2]), fn.MaxPool(2, (1, 2))),
        (lambda: fn.Dropout(np.float32(0.5)), fn.Dropout(0.5)),
    ],
)
def test_numpy_numbers_become_plain_ones(of_numpy, plain):
    spec = of_numpy().spec
    assert spec == plain.spec
    assert json.dumps(spec) == json.dumps(plain.spec)


# --- without a spec --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        own_layer(),
        fn.elementwise(lambda x: (x, lambda dy: dy)),
        fn.Dense(3, weight_init=own_init),
        fn.Dense(3, bias_init=own_init),
        fn.serial(fn.Relu(), own_layer()),
        fn.serial(fn.Relu(), fn.serial(fn.Dense(3, weight_init=own_init))),
    ],
)
def test_what_holds_a_user_s_own_function_has_no_spec(layer):
    assert layer.spec is None


@pytest.mark.parametrize("value", [len, (len,), [1, ("a", [len])], {"a": 1}, 1j])
def test_what_holds_what_is_no_plain_data_has_no_spec(value):
    @fn.constructor()
    def Own(value):
        return fn.Identity()

    assert Own(value).spec is None
    assert Own((1, [2.5, "a", None])).spec == {"layer": "Own", "value": [1, [2.5, "a", None]]}


@pytest.mark.parametrize("shapes", [((3,), (3,)), [[3], [3]], ((3,), 3), (3, (3,))])
def test_a_layer_of_one_array_refuses_the_shapes_of_several(shapes):
    with pytest.raises(ValueError, match=r"^Dense takes one array, got shapes .*: join them with"):
        fn.Dense(2).init(fn.random.key(0), shapes)
    with pytest.raises(ValueError, match=r"^FanInSum takes a tuple of arrays, got one of shape"):
        fn.FanInSum().init(fn.random.key(0), (3,))


def test_a_layer_without_a_spec_works_and_keeps_its_name_in_errors():
    model = fn.serial(fn.Relu(), fn.Dense(3, weight_init=own_init))
    _, params = model.init(KEY, (4,))
    with pytest.raises(ValueError, match=r"layer 1 \(Dense\): expected inputs"):
        model.apply(params, np.zeros((2, 5), np.float32))


# --- what is no spec -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec", [None, 3, "Dense", [], [{"layer": "Relu"}], {"initializer": "zeros"}]
)
def test_what_is_not_the_spec_of_a_layer_is_refused(spec):
    with pytest.raises(ValueError, match="not the spec of a layer"):
        fn.from_spec(spec)


@pytest.mark.parametrize("spec", [{}, {"name": "Dense"}, {1: 2, "name": "Dense"}])
def test_a_dict_of_something_else_is_refused(spec):
    with pytest.raises(ValueError, match="a spec has a 'layer' or an 'initializer', got keys"):
        fn.from_spec(spec)


@pytest.mark.parametrize(
    "name", ["Dence", "dense", "from_spec", "__import__", "zeros", 3, None, []]
)
def test_an_unknown_layer_is_an_error_that_lists_the_known(name):
    with pytest.raises(ValueError, match=r"is not a layer of this library .*'Dense'"):
        fn.from_spec({"layer": name})
    with pytest.raises(ValueError, match=r"is not a layer of this library .*'Dense'"):
        fn.from_spec({"layer": "serial", "layers": [{"layer": name}]})


def test_an_unknown_initializer_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match=r"'Dense' is not a initializer .*'he_normal'"):
        fn.from_spec({"layer": "Dense", "out_features": 3, "weight_init": {"initializer": "Dense"}})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"layer": "Dense"}, "'Dense'.*out_features"),
        ({"layer": "Dense", "out_features": 3, "units": 4}, "'Dense'.*units"),
        ({"layer": "Dense", "out_features": 0}, "Dense.*at least 1.*0"),
        ({"layer": "Dense", "out_features": "three"}, "Dense.*three"),
        ({"layer": "Dense", "out_features": 3, "weight_init": 0.1}, "Dense.*weight_init.*0.1"),
        (
            {"layer": "Dense", "out_features": 3, "weight_init": {"layer": "Relu"}},
            "Dense.*weight_init",
        ),
        ({"layer": "Relu", "slope": 0.1}, "'Relu'.*slope"),
        ({"layer": "Reshape", "shape": 6}, "Reshape.*6"),
        ({"layer": "Dropout", "rate": 1.5}, "Dropout.*1.5"),
        ({"layer": "Dropout", "rate": "half"}, "Dropout"),
        ({"layer": "Softmax", "dim": "last"}, "Softmax.*last"),
        ({"layer": "Conv", "out_channels": 3}, "'Conv'.*kernel_size"),
        ({"layer": "Conv", "out_channels": 3, "kernel_size": 1.5}, "Conv.*kernel_size.*1.5"),
        ({"layer": "Conv", "out_channels": 3, "kernel_size": 3, "stride": 0}, "stride.*got 0"),
        ({"layer": "MaxPool", "kernel_size": [2, "a"]}, r"MaxPool.*kernel_size.*\(2, 'a'\)"),
        ({"layer": "serial", "layers": [3]}, "serial.*layer 0.*3"),
        ({"layer": "serial", "layers": 3}, "serial.*3"),
        ({"layer": "serial", "layer_list": []}, "serial.*layer_list"),
    ],
)
def test_arguments_that_are_not_the_layer_s_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        fn.from_spec(spec)


def test_a_replaced_apply_is_not_described_by_the_old_spec():
    relu = fn.Relu()
    replaced = relu._replace(apply=lambda params, x, **keywords: relu.apply(params, -x, **keywords))
    assert fn.serial(fn.Dense(2), replaced).spec is None
    assert fn.serial(fn.Dense(2), relu).spec is not None


def test_a_spec_can_be_edited_without_changing_another():
    spec = fn.serial(fn.Dense(2)).spec
    spec["layers"][0]["weight_init"]["initializer"] = "zeros"
    assert fn.Dense(3).spec["weight_init"] == {"initializer": "glorot_uniform"}


def test_a_layer_of_ones_own_has_a_spec_that_its_constructor_reads():
    def scale_of(factor):
        def apply(params, x, *, rng=None, train=False):
            return factor * x, lambda dy: ({}, factor * dy)

        return fn.Layer(lambda rng, input_shape: (input_shape, {}), apply)

    def Scale(factor=2.0):
        return scale_of(factor)

    made = fn.constructor(per_sample="always")(Scale)
    model = fn.serial(fn.Dense(3), fn.residual(made(3.0)))
    assert made().spec == {"layer": "Scale", "factor": 2.0}
    with pytest.raises(ValueError, match=r"'Scale' is not a layer of this library .*layers=\[\.\."):
        fn.from_spec(model.spec)
    again = fn.from_spec(model.spec, [made])
    assert again.spec == model.spec
    params = model.init(fn.random.key(0), (2,))[1]
    x = np.ones((2, 2), np.float32)
    np.testing.assert_array_equal(again.apply(params, x)[0], model.apply(params, x)[0])
    # Known to whoever is given it alone, and each to its own.
    other = fn.constructor()(Scale)
    assert fn.from_spec(made(5.0).spec, [other]).spec == made(5.0).spec
    with pytest.raises(ValueError, match="Scale"):
        fn.from_spec(made(5.0).spec)


def test_no_layer_of_ones_own_has_the_name_of_one_of_the_librarys():
    def Dense(out_features):
        return fn.Identity()

    with pytest.raises(ValueError, match="Dense is a layer of this library: give yours another"):
        fn.constructor()(Dense)


def test_a_snapshot_of_layers_of_ones_own_is_read_with_their_constructors(tmp_path):
    @fn.constructor()
    def Same():
        return fn.Layer(lambda rng, shape: (shape, {}), fn.Identity().apply)

    model = fn.serial(fn.Dense(2), Same())
    params = model.init(fn.random.key(0), (3,))[1]
    path = tmp_path / "params.npz"
    fn.save(path, params, model=model, input_shape=(3,))
    with pytest.raises(fn.SnapshotError, match=r"params\.npz: 'Same' is not a layer of this lib"):
        fn.load(path)
    assert fn.load(path, layers=[Same]).model.spec == model.spec


@pytest.mark.parametrize("of_params", [0, 1], ids=["without dtype", "with wrt"])
def test_a_layer_of_ones_own_with_a_spec_is_checked_and_saved_alone(tmp_path, of_params):
    @fn.constructor(per_sample="always")
    def Scale(factor):
        def apply(params, x, *, rng=None, train=False):
            return factor * x, lambda dy: ({}, factor * dy)

        def apply_with_wrt(params, x, *, rng=None, train=False, wrt="both"):
            y, vjp = apply(params, x)
            return y, None if wrt is None else vjp

        init = lambda rng, input_shape: (input_shape, {})  # noqa: E731
        return fn.Layer(init, apply_with_wrt if of_params else apply)

    assert fn.check_layer(Scale(2), (4,)).worst.error < 1e-8
    fn.save(tmp_path / "own.npz", {}, model=Scale(2), input_shape=(4,))
    model = fn.load(tmp_path / "own.npz", layers=[Scale]).model
    assert model.spec == Scale(2).spec
    for layers in (Scale, {"Scale": Scale}, Scale(2), "Scale", [Scale(2)], ["Scale"]):
        with pytest.raises(TypeError, match=r"^layers is a list of your constructors, layers=\[Sc"):
            fn.load(tmp_path / "own.npz", layers=layers)
        with pytest.raises(TypeError, match=r"^layers is a list of your constructors, layers=\[Sc"):
            fn.from_spec(Scale(2).spec, layers)


def test_an_argument_has_not_the_name_of_the_spec_s_own_entry():
    def Twice(layer):
        return fn.serial(layer, layer)

    message = r"^Twice: a spec's 'layer' is the constructor: name yours inner$"
    with pytest.raises(ValueError, match=message):
        fn.constructor()(Twice)

    @fn.constructor()
    def Thrice(inner, initializer):
        return fn.serial(inner, inner, inner)

    model = Thrice(fn.Dense(3), fn.initializers.zeros())
    assert fn.from_spec(model.spec, [Thrice]).spec == model.spec


def test_a_constructor_without_brackets_or_without_a_layer_is_told():
    with pytest.raises(TypeError, match=r"^write @fn\.constructor\(\), with the brackets$"):
        fn.constructor(lambda factor: fn.Identity())

    @fn.constructor()
    def Pair():
        return (lambda rng, shape: (shape, {}), lambda params, x: x)

    with pytest.raises(TypeError, match=r"^Pair: gives a fn\.Layer\(init, apply\), got \("):
        Pair()


def test_a_text_of_an_own_layer_keeps_its_case():
    @fn.constructor()
    def Named(name, *, tag="A"):
        def apply(params, x, *, rng=None, train=False):
            return x, lambda dy: ({}, dy)

        return fn.Layer(lambda rng, input_shape: (input_shape, {}), apply)

    spec = Named("Q", tag="Rs").spec
    assert spec == {"layer": "Named", "name": "Q", "tag": "Rs"}
    assert fn.from_spec(spec, [Named]).spec == spec
    assert fn.Conv(2, 3, padding="SAME").spec["padding"] == "same"
