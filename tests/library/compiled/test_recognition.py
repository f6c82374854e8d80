"""A tree is known again by its structure and by the layout of its arrays."""

import numpy as np
import pytest

from funcnn.compiled.recognition import fitter
from funcnn.compiled.tape import cast_once

GIVEN = {"weight": np.ones((2, 3)), "step": 1, "more": (np.ones(2, np.float32),)}


def test_a_tree_fits_whose_arrays_have_the_same_layout_and_its_leaves_are_added():
    value = {"weight": np.zeros((2, 3)), "step": 7, "more": (np.zeros(2, np.float32),)}
    leaves = []
    assert fitter(GIVEN)(value, leaves)
    assert {id(leaf) for leaf in leaves} >= {id(value["weight"]), id(value["more"][0])}


@pytest.mark.parametrize(
    "changed",
    [
        {"weight": np.zeros((3, 2))},
        {"weight": np.zeros((2, 3), np.float32)},
        {"weight": np.zeros((3, 2)).T},
        {"step": 1.0},
        {"more": [np.zeros(2, np.float32)]},
        {"more": ()},
        {"another": 1},
    ],
)
def test_a_tree_of_another_layout_does_not_fit(changed):
    assert not fitter(GIVEN)(GIVEN | changed, [])


@pytest.mark.parametrize("over", ["ignore", "warn", "raise"])
def test_a_constant_that_its_dtype_does_not_hold_is_an_error_whatever_is_asked_for(over):
    with np.errstate(over=over), pytest.raises(ArithmeticError):
        cast_once(np.float64(1e300), np.dtype(np.float32))
