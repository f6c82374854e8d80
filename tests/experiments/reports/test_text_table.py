"""Tables as text: columns in line, also where a sign is as wide as two."""

import pytest
from wcwidth import wcswidth

from funcnn.experiments.reports.text_table import text_table


def test_names_stand_to_the_left_and_numbers_end_to_the_right():
    assert text_table([("class", "recall"), ("Shirt", "8.25%"), ("", "100.00%")]).splitlines() == [
        "class   recall",
        "Shirt    8.25%",
        "       100.00%",
    ]


def test_cells_stay_as_they_are_written():
    cells = ("1e5", "nan", "1,000.50", "007", "True")
    assert text_table([cells, cells], left=5).split() == [*cells, *cells]


def test_no_rows_are_no_text():
    assert text_table([]) == ""


@pytest.mark.parametrize("form", ["plain", "github"])
def test_columns_are_in_line_beside_signs_of_two_places(form):
    lines = text_table(
        [("class", "n"), ("王小明", "1"), ("김민준 a", "22")], form=form
    ).splitlines()
    assert len({wcswidth(line) for line in lines}) == 1
