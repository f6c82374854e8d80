"""Sentences of judgement say what the numbers say."""

import numpy as np
import pytest

from funcnn.experiments.compare.results import compare_means
from funcnn.experiments.labs import judgements
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training.run_folder import EpochRow
from funcnn.experiments.training.spread import spread


def scores(**values):
    return [(name, spread(each)) for name, each in values.items()]


def test_the_best_is_named_with_its_lead_and_whether_that_is_beyond_the_spread():
    said = judgements.best_of(scores(a=[0.5, 0.6], b=[0.90, 0.91], c=[0.95, 0.96]))
    assert said == (
        "**c** is the best, with 95.50 ± 0.71 %: 5.00 points above b, the next, more than 1.41 "
        "points, twice its standard error over 2 seeds. a is the last, with 55.00 ± 7.07 %"
    )
    said = judgements.best_of(scores(a=[0.90, 0.92], b=[0.905, 0.925]))
    assert said.endswith(
        "0.50 points above a, the next, not more than 2.83 points, twice its standard error over "
        "2 seeds: no difference beyond the spread"
    )


def test_means_that_print_alike_are_level():
    said = judgements.best_of(scores(a=[0.90, 0.92], b=[0.91001, 0.91002], c=[0.5, 0.6]))
    assert said.startswith("b and a are the best, with 91.00 % each: 36.00 points above c, the ne")


def test_curves_on_data_that_are_not_the_same_are_not_ranked():
    said = judgements.of_curves({"a": [0.5, 0.2], "b": [0.5, 0.1]}, ranked=False)
    assert said == "In the end the loss is 0.2000 for a and 0.1000 for b."


def test_settings_that_are_level_are_named_together():
    said = judgements.best_of(scores(a=[1.0, 1.0], b=[0.5, 0.6], c=[1.0, 1.0]))
    assert said.startswith("a and c are the best, with 100.00 ± 0.00 % each: 45.00 points above b")
    assert judgements.best_of(scores(a=[1.0], b=[1.0])) == "all 2 settings come to 100.00 %"


def test_one_seed_tells_no_difference_from_chance():
    assert judgements.best_of(scores(a=[0.5], b=[0.75])).endswith(
        "25.00 points above a, the next; one seed has no spread, so that this may be chance"
    )


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ([0.92, 0.93], "b is 2.00 points above a, more than 1.41 points, twice"),
        ([0.88, 0.89], "b is 2.00 points below a, more than 1.41 points, twice"),
        ([0.90, 0.91], "b and a come to the same"),
    ],
)
def test_two_are_held_against_each_other(second, said):
    found = judgements.against(*scores(a=[0.90, 0.91], b=second))
    assert found.startswith(said)


def test_a_step_has_its_gain_and_the_reason_only_if_it_is_one():
    first, better, same, worse = (
        spread(values) for values in ([0.5, 0.51], [0.7, 0.71], [0.502, 0.514], [0.3, 0.31])
    )
    step = judgements.of_step
    assert step("x", compare_means(first, better), "y").startswith("**x: 20.00 points more**, more")
    assert step("x", compare_means(first, better), "y").endswith("Why: y.")
    assert "Why" not in step("x", compare_means(first, same), "y")
    assert step("x", compare_means(first, same), "y").startswith("x: +0.30 points, not more than")
    assert step("x", compare_means(first, worse), "y").startswith("x: it cost 20.00 points, more")
    one = compare_means(*(spread([value]) for value in (0.5, 0.7)))
    assert step("x", one, "y") == (
        "x: +20.00 points; one seed has no spread, so that this may be chance. It was "
        "tried because y."
    )
    below = compare_means(first, first)._replace(difference=-1e-6)
    assert judgements.gained(below) == "+0.00"
    level = compare_means(first, first)
    assert step("x", level, "y").startswith("x: +0.00 points, not more than")


def test_the_reason_is_that_of_the_setting_that_changed():
    plain = {"arch": "mlp2", "activation": "sigmoid", "loss": "squared-error", "momentum": 0.0}
    before = RunConfig.resolve(plain)
    for changed, word in (
        ({"activation": "relu"}, "ReLU"),
        ({"loss": "cross-entropy"}, "cross-entropy"),
        ({"momentum": 0.9}, "batches before"),
        ({"arch": "cnn3", "activation": "relu"}, "convolution"),
    ):
        assert word in judgements.why(before, RunConfig.resolve({**plain, **changed}))
    assert judgements.why(before, before) is None


def row(epoch, train, val):
    return EpochRow(epoch, train, 0.9, val, 0.8, 0.1, 1.0)


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([0.5, 0.4, 0.6], "lowest, 0.4000, after epoch 2 and rises to 0.6000 by the last while"),
        ([0.5, 0.4, 0.401], "lowest, 0.4000, after epoch 2 and is 0.4010 after the last"),
        ([0.5, 0.4, 0.3], "lowest, 0.3000, after epoch 3, the last. In epoch 2"),
    ],
)
def test_a_curve_is_said_to_rise_to_stay_or_to_fall(losses, said):
    rows = [row(epoch, 0.3 / epoch, loss) for epoch, loss in enumerate(losses, 1)]
    found = judgements.of_curve(rows, 2)
    assert said in found
    assert found.endswith(
        "In epoch 2, the best on validation, whose weights are kept, the accuracy in training is "
        "10.00 points above that of validation."
    )


def test_it_learns_by_heart_only_if_the_training_loss_falls_on():
    falling, rising = (
        [row(1, 0.4, 0.5), row(2, 0.3, 0.4), row(3, train, 0.6)] for train in (0.2, 0.31)
    )
    assert "by heart" in judgements.of_curve(falling, 2)
    assert judgements.of_curve(rising, 2).startswith(
        "The validation loss is lowest, 0.4000, after epoch 2 and rises to 0.6000 by the last. In"
    )


def test_without_validation_a_curve_is_that_of_training():
    rows = [EpochRow(1, 0.7, 0.5, None, None, 0.1, 1.0), EpochRow(2, 2e-4, 1, None, None, 0.1, 1)]
    assert judgements.of_curve(rows, 2) == "The training loss goes from 0.7000 to 2.0e-04."


def test_of_several_curves_the_ends_are_compared_and_those_that_rise_are_named():
    curves = {"a": [0.5, 0.8], "b": [0.9, 0.7]}
    assert judgements.of_curves(curves) == (
        "In the end b has the lowest loss, 0.7000, and a the highest, 0.8000; a ends above an "
        "earlier epoch."
    )
    falling = judgements.of_curves({"a": [0.5, 0.4], "b": [0.9, 0.7]})
    assert falling.endswith("and b the highest, 0.7000.")


def test_a_confusion_matrix_names_the_best_the_worst_and_what_that_is_taken_for():
    counts = np.array([[10, 0, 0], [1, 8, 1], [0, 3, 1]])
    assert judgements.of_confusion(counts, ["a", "b", "c"]) == (
        "a is recognised best, 100.0% of its images; c worst, 25.0%: it is most often taken for b, "
        "75.0%."
    )
    assert judgements.of_confusion(np.diag([3, 2]), ["a", "b"]).startswith("Every class is recog")
