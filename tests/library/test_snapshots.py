import contextlib
import dataclasses
import hashlib
import io
import json
import math
import os
import re
import warnings
import zipfile
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import funcnn as fn
from funcnn import SnapshotError, random, snapshots, tree

MODEL = fn.serial(fn.Flatten(), fn.Dense(3), fn.Relu(), fn.Dense(2))
_, PARAMS = MODEL.init(random.key(0), (2, 2))


class Point(NamedTuple):
    x: Any
    y: Any


class Nothing(NamedTuple):
    pass


def nested(leaves):
    """Trees of every kind of node, empty ones included."""
    names = st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=3
    )
    return st.recursive(
        leaves | st.none(),
        lambda children: (
            st.lists(children, max_size=3)
            | st.lists(children, max_size=3).map(tuple)
            | st.dictionaries(names, children, max_size=3)
            | st.dictionaries(st.integers(), children, max_size=3)
            | st.builds(Point, children, children)
            | st.builds(Nothing)
        ),
        max_leaves=6,
    )


DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
DTYPES += [">f4", ">i8"]
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
arrays = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, shapes))
numbers = st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
keys = st.integers(-(2**100), 2**100).map(random.key)
trees = nested(arrays | numbers | keys)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("snapshots") / "params.npz"


def same(a, b):
    """The same nodes, types, dtypes and bits; a NamedTuple's class may be a copy.

    Arrays come back in the byte order of this machine, whatever `b` was saved in.
    """
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        assert a.dtype.isnative
        b = b.astype(b.dtype.newbyteorder("="))
        same_kind = isinstance(b, np.ndarray) and (a.dtype, a.shape) == (b.dtype, b.shape)
        return same_kind and a.tobytes() == b.tobytes()
    if hasattr(a, "_fields"):
        names = type(a).__name__, a._fields
        return names == (type(b).__name__, getattr(b, "_fields", None)) and all(map(same, a, b))
    if type(a) is not type(b):
        return False
    if type(a) is dict:
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if type(a) in (list, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (type(a) is float and math.isnan(a) and math.isnan(b))


# --- what goes in comes out ------------------------------------------------------------------


@given(t=trees)
def test_any_tree_comes_back(path, t):
    fn.save(path, t)
    assert same(fn.load(path).params, t)


@given(t=trees)
def test_like_brings_back_its_own_named_tuples(path, t):
    fn.save(path, {"tree": t})
    again = fn.load(path, like={"tree": t}).params["tree"]
    assert tree.structure(again) == tree.structure(t)
    assert same(again, t)


@given(t=trees)
def test_equal_trees_are_equal_files(path, t):
    fn.save(path, t)
    content = path.read_bytes()
    copied = tree.map(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, t)
    fn.save(path, copied)
    assert path.read_bytes() == content


def test_neither_insertion_nor_memory_order_is_in_the_file(path):
    weight = np.arange(6.0).reshape(2, 3)
    fn.save(path, {"a": weight, "b": 1})
    content = path.read_bytes()
    fn.save(path, {"b": 1, "a": weight})
    assert path.read_bytes() == content
    for other in (np.asfortranarray(weight), np.repeat(weight, 2, 1)[:, ::2]):
        fn.save(path, {"a": other, "b": 1})
        assert path.read_bytes() == content


def test_other_params_are_another_file(path):
    fn.save(path, [np.float32([0.0])])
    content = path.read_bytes()
    for other in ([np.float32([-0.0])], [np.float64([0.0])], (np.float32([0.0]),)):
        fn.save(path, other)
        assert path.read_bytes() != content


def test_saving_leaves_the_params_alone_and_loading_shares_nothing(path):
    weight = np.ones(3)
    weight.setflags(write=False)
    fn.save(path, [weight])
    first, second = fn.load(path).params[0], fn.load(path).params[0]
    first += 1
    assert second.tolist() == [1, 1, 1]


@pytest.mark.parametrize("scalar", [np.float32(0.1), np.int8(-3), np.bool_(True)])
def test_a_numpy_scalar_comes_back_as_an_array_of_its_dtype(path, scalar):
    fn.save(path, [scalar])
    (leaf,) = fn.load(path).params
    assert same(leaf, np.asarray(scalar))


def test_numpy_reads_the_arrays_under_their_paths(path):
    fn.save(path, PARAMS, model=MODEL)
    with np.load(path, allow_pickle=False) as file:
        expected = dict(tree.leaves_with_path(PARAMS))
        assert set(file.files) == {*expected, "header.json"}
        for name, leaf in expected.items():
            assert same(file[name], leaf)


def test_everything_else_comes_back(path):
    about = {
        "input_shape": (2, 2),
        "normalization": {"scale": 255, "mean": 0.1307, "std": 0.3081},
        "class_names": ["T-shirt", "Mañana"],
        "notes": {"epoch": 3, "nested": [1, None, True, "text", 0.5]},
    }
    fn.save(path, PARAMS, model=MODEL, **about)
    snapshot = fn.load(path)
    assert snapshot.model.spec == MODEL.spec
    assert {name: getattr(snapshot, name) for name in about} == about
    assert type(snapshot.input_shape) is tuple
    x = random.normal(random.key(1), (5, 2, 2))
    again = fn.predict(snapshot.model.apply, snapshot.params, x)
    np.testing.assert_array_equal(again, fn.predict(MODEL.apply, PARAMS, x))


def test_what_was_not_told_is_none(path):
    fn.save(path, [])
    assert fn.load(path) == ([], None, None, None, None, None, None)


def test_what_numpy_measured_may_be_told_as_it_is(path):
    images = np.arange(6, dtype=np.float32).reshape(2, 3)
    measured = {"scale": images.max(), "mean": images.mean(), "std": np.array(2)}
    fn.save(path, [], input_shape=np.array([3]), normalization=measured)
    assert fn.load(path).input_shape == (3,)
    assert fn.load(path).normalization == {"scale": 5, "mean": 2.5, "std": 2}


@pytest.mark.parametrize(
    "names",
    [
        ["0", "1"],
        ("0", "1"),
        [0, 1],
        range(2),
        np.arange(2),
        np.array(["0", "1"]),
        [np.uint8(0), 1],
    ],
    ids=["list", "tuple", "integers", "range", "array", "text", "scalars"],
)
def test_class_names_are_text_and_of_integers_theirs(path, names):
    fn.save(path, PARAMS, model=MODEL, input_shape=(2, 2), class_names=names)
    snapshot = fn.load(path)
    assert snapshot.class_names == ["0", "1"]
    found = snapshot.classes(np.ones((1, 2, 2), np.float32))
    assert found.tolist() == [str(snapshot.scores(np.ones((1, 2, 2), np.float32))[0].argmax())]


NEVER_LOADED = {
    "one text": ({"class_names": "ab"}, "class_names are a list of text, one a class, got 'ab'"),
    "floats": ({"class_names": [0.0, 1.0]}, r"list of text, one a class, got \[0.0, 1.0\]"),
    "a mix": ({"class_names": ["a", 1.0]}, r"list of text, one a class, got \['a', 1.0\]"),
    "outputs": ({"outputs": np.array(["logits", "scores"])}, "outputs are one of logits, prob"),
    "by name": ({"class_names": {"cat": 0, "dog": 1}}, "list of text, one a class, got {'cat'"),
    "rows": ({"class_names": np.eye(2)}, "class_names are a list of text"),
    "one name twice": ({"class_names": ["1", 1]}, r"two classes have one name: \['1', '1'\]"),
    "one name": ({"class_names": ["a"]}, "there are 1 class names for 2 classes"),
    "three names": ({"class_names": [1, 2, 3]}, "there are 3 class names for 2 classes"),
    "a mean alone": ({"normalization": {"mean": 0.5}}, "normalization is {'scale': .*'mean': 0.5}"),
    "no names": ({"normalization": (0.5, 0.5)}, r"normalization is .*, got \(0.5, 0.5\)$"),
    "std 0": (
        {"normalization": {"scale": 1, "mean": 0, "std": 0}},
        "std must be .* above 0, got 0",
    ),
    "std in words": ({"normalization": {"scale": 1, "mean": 0, "std": "1"}}, "std must be .*'1'$"),
    "a size": ({"input_shape": 4}, "input_shape: a shape is a tuple of integers, got 4"),
    "no size": ({"input_shape": (2, 0.5)}, "input_shape: a shape is a tuple of integers"),
    "no model": ({"model": MODEL.apply}, r"model is a layer, such as fn.serial\(...\), got "),
    "an array": (
        {"notes": {"loss": np.ones(2)}},
        r"notes cannot hold array.*: its \.tolist\(\) is",
    ),
}


@pytest.mark.parametrize(("about", "said"), NEVER_LOADED.values(), ids=NEVER_LOADED)
def test_what_would_be_refused_later_is_not_saved(path, about, said):
    fn.save(path, [])
    with pytest.raises((ValueError, TypeError), match=said) as raised:
        fn.save(path, PARAMS, **{"model": MODEL, "input_shape": (2, 2)} | about)
    assert "\n" not in str(raised.value)
    assert fn.load(path).params == []


def test_a_user_s_own_model_is_left_out(path):
    def own_init(rng, shape, dtype):
        return np.ones(shape, dtype)

    model = fn.Dense(2, weight_init=own_init)
    _, params = model.init(random.key(0), (3,))
    fn.save(path, params, model=model, input_shape=(3,))
    assert fn.load(path).model is None
    assert same(fn.load(path).params, params)


def test_params_of_another_dtype_still_fit_their_model(path):
    double = tree.map(lambda leaf: leaf.astype(np.float64), PARAMS)
    fn.save(path, double, model=MODEL, input_shape=(2, 2))
    assert same(fn.load(path).params, double)


def test_a_convolutional_model_comes_back(path):
    model = fn.serial(
        *(fn.Conv(4, (3, 2), padding="same"), fn.Relu(), fn.MaxPool(2, padding=1)),
        *(fn.ConvTranspose(2, 2, stride=2, bias=False), fn.AvgPool(2), fn.SumPool((1, 2), 1)),
        *(fn.GlobalMaxPool(), fn.Dense(3)),
    )
    _, params = model.init(random.key(1), (1, 6, 7))
    fn.save(path, params, model=model, input_shape=(1, 6, 7))
    again = fn.load(path)
    assert again.model.spec == model.spec
    assert again.input_shape == (1, 6, 7)
    x = random.normal(random.key(2), (2, 1, 6, 7))
    y, _ = again.model.apply(again.params, x)
    np.testing.assert_array_equal(y, model.apply(params, x)[0])
    assert [p for p, _ in tree.leaves_with_path(again.params)] == [
        *("0/bias", "0/weight", "3/weight", "7/bias", "7/weight")
    ]


def test_a_training_state_comes_back_and_goes_on_as_if_never_saved(path):
    optimizer = fn.adam(0.01)
    step = fn.make_train_step(MODEL.apply, fn.softmax_cross_entropy, optimizer)
    batch = random.normal(random.key(1), (6, 2, 2)), np.array([0, 1, 0, 1, 1, 0])
    state, _ = step(fn.TrainState.create(PARAMS, optimizer, rng=random.key(2)), batch)
    fn.save(path, state)
    again = fn.load(path, like=fn.TrainState.create(PARAMS, optimizer, rng=random.key(0))).params
    assert type(again) is fn.TrainState
    assert same(step(again, batch), step(state, batch))


# --- what cannot be saved --------------------------------------------------------------------


@pytest.mark.parametrize(
    "leaf",
    ["text", b"bytes", {1, 2}, object(), np.array(["text"]), np.array([None]), 2**70, len],
    ids=["text", "bytes", "set", "object", "texts", "objects", "too large", "function"],
)
def test_a_leaf_that_is_no_number_is_refused_by_path(path, leaf):
    with pytest.raises(TypeError, match=r"^0/weight: .*(str|byte|set|object|int|function|U4)"):
        fn.save(path, [{"weight": leaf}])


@pytest.mark.parametrize("clash", [{"a/b": 1, "a": {"b": 2}}, {"": {"a": 1}, "a": 2}])
def test_two_leaves_of_one_path_are_refused(path, clash):
    with pytest.raises(ValueError, match="two leaves of the tree have the path a"):
        fn.save(path, clash)


@pytest.mark.parametrize("name", [(1, 2), b"a", 1j, np.int64(1), "a\0b", "\ud800"], ids=repr)
def test_a_name_that_a_file_cannot_hold_is_refused(path, name):
    with pytest.raises((TypeError, ValueError), match="key"):
        fn.save(path, {name: np.zeros(2)})


def test_keys_that_cannot_be_sorted_are_refused(path):
    with pytest.raises(TypeError, match="sortable"):
        fn.save(path, {"a": 1, 2: 2})


@pytest.mark.parametrize("notes", [{"a": math.nan}, [math.inf], object(), {1, 2}])
def test_notes_that_json_cannot_hold_are_refused(path, notes):
    with pytest.raises((TypeError, ValueError), match="JSON"):
        fn.save(path, [], notes=notes)


@pytest.mark.parametrize("bad", [["text"], {"a/b": 1, "a": {"b": 2}}])
def test_what_is_refused_leaves_the_old_file(path, bad):
    fn.save(path, PARAMS)
    with pytest.raises((TypeError, ValueError)):
        fn.save(path, bad)
    assert same(fn.load(path).params, PARAMS)


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "params.npz"
    fn.save(path, PARAMS)

    def fail(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        fn.save(path, [np.zeros(3)])
    assert same(fn.load(path).params, PARAMS)
    assert os.listdir(tmp_path) == ["params.npz"]


def test_only_the_file_is_written(tmp_path):
    fn.save(tmp_path / "params.npz", PARAMS)
    assert os.listdir(tmp_path) == ["params.npz"]


# --- damage ----------------------------------------------------------------------------------


def refused(path, message=None, **options):
    with pytest.raises(SnapshotError, match=message) as raised:
        fn.load(path, **options)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def save_small(path):
    params = [{"weight": np.arange(3, dtype=np.float32)}]
    fn.save(path, params, input_shape=(3,), class_names=["a"])
    return path.read_bytes(), fn.load(path)


def same_content(a, b):
    return all(map(same, a._replace(model=None), b._replace(model=None)))


def refused_or_identical(path, damaged, whole):
    path.write_bytes(damaged)
    with contextlib.suppress(SnapshotError):
        assert same_content(fn.load(path), whole)


def test_a_file_cut_off_anywhere_is_refused(path):
    content, _ = save_small(path)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        refused(path)


@pytest.mark.parametrize("flipped", [0x01, 0x80, 0xFF])
def test_a_changed_byte_anywhere_is_noticed_or_does_not_matter(path, flipped):
    content, whole = save_small(path)
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= flipped
        refused_or_identical(path, damaged, whole)


@given(data=st.data())
def test_overwritten_bytes_are_noticed_or_do_not_matter(path, data):
    content, whole = save_small(path)
    start = data.draw(st.integers(0, len(content) - 1))
    new = data.draw(st.binary(min_size=1, max_size=20))
    refused_or_identical(path, content[:start] + new + content[start + len(new) :], whole)


@given(data=st.data())
def test_lost_or_doubled_bytes_are_noticed_or_do_not_matter(path, data):
    content, whole = save_small(path)
    start, stop = data.draw(st.tuples(*[st.integers(0, len(content))] * 2))
    refused_or_identical(path, content[:start] + content[stop:], whole)


@given(noise=st.binary(max_size=200))
def test_noise_is_refused(path, noise):
    path.write_bytes(noise)
    refused(path)


@pytest.mark.parametrize("content", [b"", b"just a text\n", b'{"format": 1}', b"PK\x03\x04"])
def test_a_file_of_something_else_is_refused(path, content):
    path.write_bytes(content)
    refused(path, "not a snapshot")


def test_a_file_of_numpy_s_own_is_refused(path):
    np.savez(path, weight=np.zeros(3))
    refused(path, "not a snapshot: it has no header")
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    refused(path, "not a snapshot")


def rewrite(path, change, params=PARAMS, **about):
    """Save, and write the members again as `change(members, header)` leaves them."""
    fn.save(path, params, **about)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(members.pop("header.json"))
    change(members, header)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps(header))
        for name, content in members.items():
            archive.writestr(name, content)


def replace(members, header, name, array):
    """Another array, with its digest made to fit."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    members[f"{name}.npy"] = buffer.getvalue()
    header["sha256"][name] = hashlib.sha256(buffer.getvalue()).hexdigest()


def test_a_file_rewritten_as_it_was_is_loaded(path):
    rewrite(path, lambda members, header: None)
    assert same(fn.load(path).params, PARAMS)


def test_a_missing_array_is_named(path):
    rewrite(path, lambda members, header: members.pop("1/weight.npy"))
    refused(path, "array 1/weight is missing")

    def forget(members, header):
        del members["1/weight.npy"], header["sha256"]["1/weight"]

    rewrite(path, forget)
    refused(path, "array 1/weight is missing")


def test_an_extra_array_is_named(path):
    rewrite(path, lambda members, header: members.update({"more.npy": members["1/bias.npy"]}))
    refused(path, "extra .*more")
    rewrite(path, lambda members, header: replace(members, header, "more", np.zeros(3)))
    refused(path, "extra array more")


def test_another_array_in_its_place_is_named(path):
    rewrite(path, lambda members, header: members.update({"1/bias.npy": members["3/bias.npy"]}))
    refused(path, "array 1/bias .*SHA-256")


@pytest.mark.parametrize("shape", [(3, 4), (12,), (4, 3, 1), ()])
def test_an_array_of_another_shape_is_named(path, shape):
    rewrite(
        path,
        lambda members, header: replace(members, header, "1/weight", np.zeros(shape, np.float32)),
        model=MODEL,
        input_shape=(2, 2),
    )
    refused(path, r"array 1/weight has shape .* instead of \(4, 3\)")


def test_a_pickled_array_is_never_read(path):
    class Trap:
        def __reduce__(self):
            return print, ("pickle was read",)

    trap = np.empty(1, object)
    trap[0] = Trap()
    rewrite(path, lambda members, header: replace(members, header, "1/weight", trap))
    refused(path, "allow_pickle|pickle")


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_an_unknown_format_is_named(path, version):
    rewrite(path, lambda members, header: header.update(format=version))
    refused(path, "format .* is not the format 1")


@pytest.mark.parametrize("name", ["format", "structure", "spec", "sha256", "notes"])
def test_a_header_without_an_entry_is_refused(path, name):
    rewrite(path, lambda members, header: header.pop(name))
    refused(path, name)


@pytest.mark.parametrize(
    "structure",
    [[], 3, "text", {}, {"list": 3}, {"dict": [[1]]}, {"array": "gone"}, {"unknown": []}],
    ids=str,
)
def test_a_structure_that_is_none_is_refused(path, structure):
    rewrite(path, lambda members, header: header.update(structure=structure))
    refused(path)


UNPRINTABLE = "a\nb\x1b[31m\u202e\ud800", r"a\nb\x1b[31m\u202e\ud800"


def test_what_a_file_calls_something_is_said_in_one_printable_line(path):
    name, said = UNPRINTABLE
    structure = {"list": [{"array": name}]}
    digests = {f"more {name}": "0"}
    spec = {"layer": "serial", "layers": [{"layer": "Dense", "out_features": 2, name: 1}]}
    for values in (
        {"structure": structure},
        {"sha256": digests},
        {"structure": {name: "x", "y": 1}},
        {"spec": spec},
    ):
        rewrite(path, lambda members, header, values=values: header.update(values))
        with pytest.raises(fn.SnapshotError) as caught:
            fn.load(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert str(caught.value).isprintable()
        assert said in str(caught.value) or "structure" in values
    fn.save(path, [np.ones(2)])
    rewritten(path, lambda members: [*members, (f"{name[:-1]}", b"")])
    refused(path, re.escape(f"there is an extra member {said[:-6]}") + "$")
    rewrite(path, lambda members, header: header.update(structure={"array": "x" * 5000}))
    with pytest.raises(fn.SnapshotError) as caught:
        fn.load(path)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("keys", [["a", 1], ["a", "a"], ["a\0"], [None], [[1]]], ids=str)
def test_a_dict_that_save_would_not_write_is_refused(path, keys):
    pairs = [[key, None] for key in keys]
    rewrite(path, lambda members, header: header.update(structure={"dict": pairs}), params={})
    refused(path, "no dict of a snapshot has the key list|unhashable")


def test_a_header_that_could_not_be_gone_through_is_refused(path):
    notes = None
    for _ in range(600):
        notes = [notes]
    rewrite(path, lambda members, header: header.update(notes=notes))
    refused(path, "its header is nested more than 500 times")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"layer": "Unknown"}, "'Unknown' is not a layer of this library"),
        ({"layer": "Dense", "units": 3}, "units"),
        ({"layer": "serial", "layers": 3}, "serial"),
        (3, "not the spec of a layer"),
    ],
)
def test_a_spec_that_is_none_is_refused(path, spec, message):
    rewrite(path, lambda members, header: header.update(spec=spec))
    refused(path, message)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        fn.load(tmp_path / "missing.npz")
    assert raised.value.filename == str(tmp_path / "missing.npz")


def test_a_folder_is_no_snapshot_but_may_have_one(tmp_path):
    with pytest.raises(SnapshotError, match=f"^{tmp_path}: a folder, not a snapshot$"):
        fn.load(tmp_path)
    fn.save(tmp_path / "params.npz", PARAMS)
    with pytest.raises(
        SnapshotError, match=f"a folder, not a snapshot: give {tmp_path}/params.npz$"
    ):
        fn.load(tmp_path)


# --- params that do not fit ------------------------------------------------------------------

OTHERS = {
    "another width": (fn.serial(fn.Flatten(), fn.Dense(4), fn.Relu(), fn.Dense(2)), "1/bias"),
    "no bias": (fn.serial(fn.Flatten(), fn.Dense(3, bias=False), fn.Relu(), fn.Dense(2)), "1/bias"),
    "a layer less": (fn.serial(fn.Flatten(), fn.Dense(3)), "3/bias"),
    "a layer more": (fn.serial(*[fn.Flatten()] * 3, fn.Dense(3), fn.Dense(2)), "4/bias"),
}


def save_unchecked(path, model, input_shape):
    """A file of params and a model that do not fit, as another program may write it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "_fit", lambda params, model, input_shape: ((2,), params))
        fn.save(path, PARAMS, model=model, input_shape=input_shape)


@pytest.mark.parametrize(("model", "array"), OTHERS.values(), ids=OTHERS)
def test_params_of_another_model_are_refused(path, model, array):
    save_unchecked(path, model, (2, 2))
    refused(path, array)


def test_params_for_another_input_are_refused(path):
    save_unchecked(path, MODEL, (3, 2))
    refused(path, r"array 1/weight has shape \(4, 3\) instead of \(6, 3\)")


@pytest.mark.parametrize(("model", "array"), OTHERS.values(), ids=OTHERS)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, model, array):
    path = tmp_path / "new.npz"
    with pytest.raises(fn.SnapshotError, match=array):
        fn.save(path, PARAMS, model=model, input_shape=(2, 2))
    with pytest.raises(ValueError, match="layer 1"):
        fn.save(path, PARAMS, model=fn.serial(fn.Flatten(), fn.Reshape((5,))), input_shape=(2, 2))
    assert not path.exists()


LIKE = {
    "a shape": ([np.zeros(2)], [np.zeros(3)], r"array 0 has shape \(2,\) instead of \(3,\)"),
    "no broadcast": ([np.zeros(1)], [np.zeros(())], "array 0 has shape"),
    "a dtype": ([np.zeros(2)], [np.zeros(2, np.float32)], "array 0 is float64, not float32"),
    "one more": ([np.zeros(2)], [np.zeros(2)] * 2, "array 1 is missing"),
    "one less": ([np.zeros(2)] * 2, [np.zeros(2)], "extra array 1"),
    "a tuple": ([np.zeros(2)], (np.zeros(2),), "differ"),
    "a dict": ([np.zeros(2)], {"0": np.zeros(2)}, "differ"),
    "a tuple of names": ({"x": 1, "y": 2}, Point(1, 2), "differ"),
    "an empty node": ([np.zeros(2), {}], [np.zeros(2), ()], "differ at 1"),
    "None": ([np.zeros(2), None], [np.zeros(2), {}], "differ at 1"),
    "a key": ([np.zeros(())], [random.key(0)], "array 0"),
}


@pytest.mark.parametrize(("saved", "like", "message"), LIKE.values(), ids=LIKE)
def test_params_that_are_not_like_the_tree_are_refused(path, saved, like, message):
    fn.save(path, saved)
    refused(path, message, like=like)


def test_the_shapes_of_several_inputs_come_back(tmp_path):
    model = fn.parallel(fn.Dense(2), fn.Tanh())
    shapes = ((3,), (2, 2))
    _, params = model.init(fn.random.key(0), shapes)
    fn.save(tmp_path / "pair.npz", params, model=model, input_shape=shapes)
    snapshot = fn.load(tmp_path / "pair.npz")
    assert snapshot.input_shape == shapes
    assert snapshot.model.init(fn.random.key(0), snapshot.input_shape)[0] == ((2,), (2, 2))


def test_a_dense_on_images_of_before_is_read_and_said(tmp_path):
    model = fn.serial(fn.Conv(2, 2), fn.Relu(), fn.Dense(3), fn.Flatten())
    shapes = model.init(fn.random.SHAPES_ONLY, (1, 4, 4))[1]
    params = fn.tree.map(lambda leaf: np.full(leaf.shape, 0.5, np.float32), shapes)
    fn.save(tmp_path / "x", params, model=model, input_shape=(1, 4, 4))  # of before has the same
    snapshot = fn.load(tmp_path / "x")
    message = r"^layer 2 \(Dense\): it would work along the width of images"
    with pytest.warns(UserWarning, match=message):
        found = snapshot.scores(np.ones((2, 4, 4), np.float32))
    np.testing.assert_array_equal(found, np.full((2, 2 * 3 * 3), 3 * (4 * 0.5 + 0.5) * 0.5 + 0.5))
    with pytest.raises(ValueError, match=message):
        snapshot.model.init(fn.random.key(0), (1, 4, 4))


def rewritten(path, change):
    """The file with its members, a list of (name, bytes), as `change` returns them."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of two equal names
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in change(members):
                archive.writestr(zipfile.ZipInfo(name), data)


@pytest.mark.parametrize("place", [0, 1])
def test_a_member_that_is_there_twice_is_refused(tmp_path, place):
    path = tmp_path / "x"
    fn.save(path, [np.ones(2)])
    rewritten(path, lambda members: [*members, members[place]])
    name = ["header.json", "0.npy"][place]
    with pytest.raises(fn.SnapshotError, match=f"there are 2 members {name}$"):
        fn.load(path)


def test_a_large_file_that_is_no_snapshot_is_not_read(tmp_path):
    path = tmp_path / "x"
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # a hole: on the disk it takes nothing
    with pytest.raises(fn.SnapshotError, match="File is not a zip file"):
        fn.load(path)


@pytest.mark.parametrize(
    ("normalization", "message"),
    [
        ({"scale": 0, "mean": 0.0, "std": 1.0}, "scale must be a finite number above 0, got 0"),
        ({"scale": 1, "mean": 0.0, "std": 0.0}, "std must be a finite number above 0, got 0.0"),
        ({"scale": 1, "mean": 10**400, "std": 1}, "mean must be a finite number, got 1000"),
    ],
)
def test_a_normalization_that_cannot_be_is_named(tmp_path, normalization, message):
    model = fn.Dense(2)
    params = model.init(fn.random.key(0), (3,))[1]
    keywords = {"model": model, "input_shape": (3,)}
    with pytest.raises(ValueError, match=f"^normalization: {message}"):
        fn.save(tmp_path / "x", params, **keywords, normalization=normalization)
    written = {"normalization": normalization}  # by another program
    rewrite(tmp_path / "x", lambda _, header: header.update(written), params, **keywords)
    snapshot = fn.load(tmp_path / "x")
    for call in (snapshot.predict, snapshot.classes, snapshot.scores):
        with pytest.raises(ValueError, match=f"^normalization: {message}"):
            call(np.ones((1, 3), np.float32))


def test_a_normalization_that_is_a_dataclass_is_told_of_asdict(tmp_path):
    @dataclasses.dataclass
    class Normalization:
        scale: float = 255.0
        mean: float = 0.3
        std: float = 0.3

    with pytest.raises(ValueError, match=r": dataclasses\.asdict\(normalization\)$"):
        fn.save(tmp_path / "params.npz", PARAMS, normalization=Normalization())
    fn.save(tmp_path / "params.npz", PARAMS, normalization=dataclasses.asdict(Normalization()))
