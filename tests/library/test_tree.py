from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from funcnn import random, tree


class Point(NamedTuple):
    x: Any
    y: Any


class Swapped(NamedTuple):
    y: Any
    x: Any


class Nothing(NamedTuple):
    pass


def nested(leaves):
    """Trees of every kind of node, empty ones included."""
    return st.recursive(
        leaves | st.none(),
        lambda children: (
            st.lists(children, max_size=3)
            | st.lists(children, max_size=3).map(tuple)
            | st.dictionaries(st.text("abz", min_size=1, max_size=2), children, max_size=3)
            | st.dictionaries(st.integers(-2, 2), children, max_size=3)
            | st.builds(Point, children, children)
            | st.builds(Swapped, children, children)
            | st.builds(Nothing)
        ),
        max_leaves=8,
    )


def arrays(*dtypes):
    shapes = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)
    elements = {"min_value": -100, "max_value": 100}
    return st.sampled_from(dtypes).flatmap(
        lambda dtype: hnp.arrays(dtype, shapes, elements=elements)
    )


trees = nested(
    arrays("float32", "int64") | st.integers() | st.floats() | st.integers().map(random.key)
)


def identical(a, b):
    """The same nodes of the same types, and the very same leaves."""
    if type(a) is not type(b):
        return False
    if type(a) is dict:
        return a.keys() == b.keys() and all(identical(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(identical, a, b))
    return a is b


@st.composite
def grown(draw):
    """A tree, and the same with something else in the place of one leaf."""
    small = draw(trees)
    leaves, treedef = tree.flatten(small)
    if leaves:
        leaves[draw(st.integers(0, len(leaves) - 1))] = draw(trees)
    return small, tree.unflatten(treedef, leaves)


# --- flatten and unflatten -------------------------------------------------------------------


@given(trees)
def test_unflatten_undoes_flatten(t):
    leaves, treedef = tree.flatten(t)
    assert identical(tree.unflatten(treedef, leaves), t)


@given(trees)
def test_leaves_and_structure_are_the_two_halves_of_flatten(t):
    leaves, treedef = tree.flatten(t)
    assert identical(tree.leaves(t), leaves)
    assert tree.structure(t) == treedef
    assert treedef.num_leaves == len(leaves)


@given(trees)
def test_flattening_leaves_the_tree_as_it_was(t):
    before = tree.map(lambda leaf: leaf, t)
    tree.leaves(t).append("more")
    assert identical(t, before)


def test_a_dict_is_in_the_order_of_its_sorted_keys():
    assert tree.leaves({"b": 1, "a": {2: 2, 1: 3}}) == [3, 2, 1]


def test_structures_do_not_depend_on_the_order_of_insertion():
    assert tree.structure({"b": 1, "a": 2}) == tree.structure({"a": 1, "b": 2})


def test_a_structure_tells_the_kinds_of_nodes_apart():
    kinds = [None, 0, [], (), {}, Nothing(), [0], (0,), {"a": 0}, {0: 0}]
    kinds += [(0, 0), Point(0, 0), Swapped(0, 0)]
    structures = [tree.structure(kind) for kind in kinds]
    assert len(set(structures)) == len(kinds)


@pytest.mark.parametrize("leaf", ["text", b"bytes", {1, 2}, np.zeros(2), random.key(0), 1.5])
def test_anything_else_is_a_leaf(leaf):
    (found,) = tree.leaves(leaf)
    assert found is leaf


@pytest.mark.parametrize("count", [0, 1, 3])
def test_unflatten_refuses_another_number_of_leaves(count):
    treedef = tree.structure({"a": 1, "b": 2})
    with pytest.raises(ValueError, match=f"2 leaves, got {count}"):
        tree.unflatten(treedef, [0] * count)


@pytest.mark.parametrize("function", [tree.leaves, tree.leaves_with_path])
def test_unsortable_keys_are_an_error_that_shows_them(function):
    with pytest.raises(TypeError, match=r"sortable.*'a'"):
        function([{"a": 1, 2: 2}])


# --- map -------------------------------------------------------------------------------------


@given(trees)
def test_map_of_the_identity_is_the_same_tree_with_new_nodes(t):
    mapped = tree.map(lambda leaf: leaf, t)
    assert identical(mapped, t)
    if isinstance(t, list | dict):
        assert mapped is not t


@given(trees)
def test_map_takes_corresponding_leaves_in_order(t):
    leaves, treedef = tree.flatten(t)
    numbered = tree.unflatten(treedef, range(len(leaves)))
    seen = []
    tree.map(lambda leaf, number: seen.append((leaf, number)), t, numbered)
    assert identical(seen, list(zip(leaves, range(len(leaves)), strict=True)))


def test_a_leaf_of_the_first_tree_may_stand_for_a_subtree_of_the_others():
    masks = {"a": True, "b": [False]}
    values = {"a": [1, {"c": 2}], "b": [(3, None)]}
    paired = tree.map(lambda mask, value: (mask, value), masks, values)
    assert paired == {"a": (True, [1, {"c": 2}]), "b": [(False, (3, None))]}


def test_none_has_no_leaves_and_stays_none():
    assert tree.leaves([None, {"a": None}]) == []
    assert tree.map(lambda leaf: leaf + 1, [None, 1]) == [None, 2]


MISMATCHES = [
    ([{"a": 1}], [{"b": 1}], "at 0:.*'a'.*'b'"),
    ([{"a": 1}], [{"a": 1, "b": 2}], "at 0:.*'a'.*'b'"),
    ([{"a": [1, 2]}], [{"a": [1]}], "at 0/a: a list of 2 and a list of 1"),
    ([{"a": [1]}], [{"a": (1,)}], "at 0/a: a list of 1 and a tuple of 1"),
    ([1, [2]], [1, 2], r"at 1: a list of 1 and a leaf \(int\)"),
    ([1, None], [1, 2], r"at 1: None and a leaf \(int\)"),
    ([1, [2]], [1, None], "at 1: a list of 1 and None"),
    ({"p": Point(1, [2])}, {"p": Point(1, {})}, "at p/y: a list of 1 and a dict"),
    ({"p": Point(1, 2)}, {"p": Swapped(1, 2)}, "at p: a Point of 2 and a Swapped of 2"),
    ({"p": Point(1, 2)}, {"p": (1, 2)}, "at p: a Point of 2 and a tuple of 2"),
    ([1], 1, r"at the root: a list of 1 and a leaf \(int\)"),
]


@pytest.mark.parametrize(("first", "other", "message"), MISMATCHES)
@pytest.mark.parametrize("function", [tree.map, tree.map_with_path])
def test_a_mismatch_is_an_error_that_names_the_path(function, first, other, message):
    with pytest.raises(ValueError, match=message):
        function(lambda *leaves: leaves[-1], first, other)
    with pytest.raises(ValueError, match=message):
        function(lambda *leaves: leaves[-1], first, first, other)


@pytest.mark.parametrize("error", [KeyError("mine"), ValueError("mine"), TypeError("mine")])
def test_an_error_of_the_function_itself_comes_through(error):
    def fail(*leaves):
        raise error

    with pytest.raises(type(error)) as raised:
        tree.map(fail, {"a": [1]}, {"a": [2]})
    assert raised.value is error


# --- paths -----------------------------------------------------------------------------------


def test_a_path_is_made_of_keys_indices_and_field_names():
    t = {"b": [1, (2,)], "a": Point(x=3, y={4: 5}), "c": None}
    expected = [("a/x", 3), ("a/y/4", 5), ("b/0", 1), ("b/1/0", 2)]
    assert tree.leaves_with_path(t) == expected


def test_the_path_of_a_tree_that_is_a_leaf_is_empty():
    assert tree.leaves_with_path(1) == [("", 1)]


@given(trees)
def test_leaves_with_path_are_the_leaves_under_different_paths(t):
    paths, leaves = tuple(zip(*tree.leaves_with_path(t), strict=True)) or ((), ())
    assert identical(list(leaves), tree.leaves(t))
    assert len(set(paths)) == len(paths)


@given(trees)
def test_map_with_path_gives_each_leaf_its_path(t):
    pairs = tree.leaves(tree.map_with_path(lambda path, leaf: {path: leaf}, t))
    assert identical(pairs, [leaf for _, leaf in tree.leaves_with_path(t)])
    paths = tree.leaves(tree.map_with_path(lambda path, leaf, other: path, t, t))
    assert paths == [path for path, _ in tree.leaves_with_path(t)]


# --- ravel -----------------------------------------------------------------------------------


@given(nested(arrays("float16", "float32", "float64", "int8")))
def test_unravel_undoes_ravel_and_gives_each_leaf_its_dtype_again(t):
    vector, unravel = tree.ravel(t)
    again = unravel(vector)
    assert tree.structure(again) == tree.structure(t)
    for leaf, before in zip(tree.leaves(again), tree.leaves(t), strict=True):
        assert (leaf.dtype, leaf.shape) == (before.dtype, before.shape)
        np.testing.assert_array_equal(leaf, before)


def test_ravel_is_the_leaves_in_order_in_their_common_dtype():
    vector, _ = tree.ravel({"b": np.float32([[1, 2], [3, 4]]), "a": np.float64(0.1)})
    assert vector.dtype == np.float64
    assert vector.tolist() == [0.1, 1, 2, 3, 4]


def test_ravel_of_float32_stays_float32():
    vector, _ = tree.ravel([np.zeros(2, np.float32), np.zeros((), np.float32)])
    assert (vector.dtype, vector.shape) == (np.float32, (3,))


def test_a_tree_without_leaves_is_an_empty_vector():
    vector, unravel = tree.ravel([{}, None])
    assert vector.shape == (0,)
    assert unravel(vector) == [{}, None]


def test_neither_vector_nor_leaves_share_memory():
    leaf = np.ones(3)
    vector, unravel = tree.ravel([leaf])
    assert not np.shares_memory(vector, leaf)
    assert not np.shares_memory(unravel(vector)[0], vector)


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 1), ()])
def test_unravel_refuses_another_shape(shape):
    _, unravel = tree.ravel([np.ones(3)])
    with pytest.raises(ValueError, match=r"shape \(3,\), got \("):
        unravel(np.zeros(shape))


# --- all_close -------------------------------------------------------------------------------


@given(nested(arrays("float32", "float64", "int64")))
def test_a_tree_is_close_to_itself_and_not_to_itself_moved(t):
    assert tree.all_close(t, t)
    moved = tree.map(lambda leaf: leaf + 1 + abs(leaf), t)
    assert tree.all_close(t, moved) == all(leaf.size == 0 for leaf in tree.leaves(t))


def test_all_close_keeps_its_tolerances():
    a, b = [np.float64([1.0, 0.0])], [np.float64([1.001, 0.001])]
    assert not tree.all_close(a, b)
    assert not tree.all_close(a, b, rtol=0.01)  # relative to 0 nothing is near
    assert not tree.all_close(a, b, atol=0.0009)
    assert tree.all_close(a, b, atol=0.0011)


def test_all_close_does_not_broadcast():
    assert not tree.all_close([np.ones(3)], [np.ones((2, 3))])


def test_nan_is_close_to_nothing():
    assert not tree.all_close([np.nan], [np.nan])


def test_all_close_of_other_structures_is_an_error_that_names_the_path():
    with pytest.raises(ValueError, match="at 0:"):
        tree.all_close([{"a": 1}], [{"b": 1}])


# --- agreement with jax.tree -----------------------------------------------------------------


@pytest.fixture(scope="module")
def jax():
    return pytest.importorskip("jax", reason="the oracle of these tests is jax.tree")


def outcome(function, *args):
    """What the function returns, or that it refuses its arguments."""
    try:
        return function(*args)
    except ValueError:
        return ValueError


@given(t=trees)
def test_jax_finds_the_same_leaves_in_the_same_order(jax, t):
    assert identical(tree.leaves(t), jax.tree.leaves(t))


@given(t=trees)
def test_jax_finds_the_same_paths(jax, t):
    def join(path):  # of DictKey(key=...), SequenceKey(idx=...), GetAttrKey(name=...)
        return "/".join(
            str(getattr(entry, name))
            for entry in path
            for name in ("key", "idx", "name")
            if hasattr(entry, name)
        )

    found, _ = jax.tree_util.tree_flatten_with_path(t)
    assert [path for path, _ in tree.leaves_with_path(t)] == [join(path) for path, _ in found]


@given(t=trees)
def test_jax_unflattens_to_the_same_tree(jax, t):
    numbers = range(len(tree.leaves(t)))
    ours = tree.unflatten(tree.structure(t), numbers)
    assert identical(ours, jax.tree.unflatten(jax.tree.structure(t), numbers))


@given(a=trees, b=trees)
def test_jax_agrees_on_which_structures_are_equal(jax, a, b):
    for other in (a, b, tree.map(lambda leaf: 0, a)):
        same = jax.tree.structure(a) == jax.tree.structure(other)
        assert (tree.structure(a) == tree.structure(other)) == same


@given(pair=grown() | st.tuples(trees, trees))
def test_jax_maps_the_same_trees_and_refuses_the_same(jax, pair):
    for first, other in (pair, pair[::-1]):
        for args in ((first, other), (first, first, other)):
            ours = outcome(tree.map, lambda *leaves: leaves, *args)
            theirs = outcome(jax.tree.map, lambda *leaves: leaves, *args)
            assert identical(ours, theirs)


@given(t=nested(arrays("float32")))
def test_jax_ravels_to_the_same_vector(jax, t):
    from jax.flatten_util import ravel_pytree

    ours, _ = tree.ravel(t)
    theirs, _ = ravel_pytree(t)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, np.asarray(theirs))


def test_a_structure_is_shown_short():
    structure = tree.structure([{"weight": 1, "bias": 2}, {}, None, (3,)])
    assert repr(structure) == "[{'bias': *, 'weight': *}, {}, None, (*,)]"
