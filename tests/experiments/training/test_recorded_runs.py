"""Whole runs have the same bits plain and recorded. tests/whole has all that can be chosen."""

import itertools

import pytest
from recorded_runs import NAMES, TRIPLES, assert_same_runs, config_of, few_images

SMALLER = {"resnet": {"channels": [8, 16]}}
"""Of what would take too long here."""


def _place(triple):
    a, b, c = (names.index(name) for names, name in zip(NAMES, triple, strict=True))
    return a + b - c


COVERING = [triple for triple in TRIPLES if _place(triple) % len(NAMES[2]) == 0]
"""Triples in which any two of their names meet."""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return few_images(tmp_path_factory.mktemp("few") / "images")


@pytest.mark.parametrize("triple", COVERING, ids="-".join)
def test_200_steps(triple, images):
    assert_same_runs(config_of(triple, images, **SMALLER.get(triple[0], {})))


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2)], ids=str)
def test_any_two_meet(pair):
    met = {tuple(triple[i] for i in pair) for triple in COVERING}
    assert met == {*itertools.product(*(NAMES[i] for i in pair))}
