"""What is said of an argument that is refused: the limits that it must keep."""

import math

import pytest

from funcnn._arguments import check_number


@pytest.mark.parametrize(
    ("value", "limits", "said"),
    [
        (math.nan, {}, "a finite number"),
        (10**400, {}, "a finite number"),
        (-1, {"least": 0}, "a finite number of at least 0"),
        (0, {"above": 0}, "a finite number above 0"),
        (1.5, {"least": 0, "most": 1}, "in [0, 1]"),
        (-0.5, {"least": 0, "most": 1}, "in [0, 1]"),
        (1, {"least": 0, "below": 1}, "in [0, 1)"),
        (2, {"least": 0.25, "below": 1}, "in [0.25, 1)"),
    ],
)
def test_a_number_is_refused_with_the_limits_that_it_must_keep(value, limits, said):
    with pytest.raises(ValueError, match=r"^the rate must be ") as caught:
        check_number("the rate", value, **limits)
    assert str(caught.value).startswith(f"the rate must be {said}, got ")


@pytest.mark.parametrize(
    ("value", "limits"),
    [
        (0, {"least": 0}),
        (1, {"most": 1}),
        (1e-300, {"above": 0}),
        (0, {"least": 0, "below": 1}),
        (0.999, {"least": 0, "below": 1}),
    ],
)
def test_a_number_at_its_limits_is_taken_as_a_float(value, limits):
    number = check_number("the rate", value, **limits)
    assert (type(number), number) == (float, value)
