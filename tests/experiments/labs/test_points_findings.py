"""What the runs of `points` came to is said as it is."""

from funcnn.experiments.labs.points_findings import of_settings, when_right
from funcnn.experiments.labs.points_runs import PointsRun
from funcnn.experiments.training.run_folder import EpochRow

RIGHT = PointsRun(1.0, 1e-4, earlier=2e-4, hidden=8)
DEAD = PointsRun(11 / 21, 0.692, earlier=0.692, only_class=0, hidden=8, silent=5, constant=8)
SLOW = PointsRun(0.75, 0.5, earlier=0.6, hidden=8, constant=2)


def test_those_that_are_right_are_named_and_the_lowest_loss_among_them():
    lower = RIGHT._replace(loss=2e-5)
    found = of_settings({"a": [RIGHT, RIGHT], "b": [RIGHT, DEAD], "c": [lower, lower]})
    assert found[0] == (
        "2 of 3 settings have every point right with every seed (a; c). Of these **c** ends with "
        "the lowest loss in the mean, 2.0e-05; next is a, 1.0e-04."
    )


def test_a_setting_that_fails_says_with_which_seeds_and_how():
    found = of_settings({"relu": [DEAD, RIGHT, DEAD], "slow": [RIGHT, RIGHT, SLOW]})
    assert found == [
        "No setting has every point right with every seed; **slow** is nearest, with 91.67 ± 14.43 "
        "%.",
        "**relu, 68.25 ± 27.49 %**: below 90% in 2 of 3 runs. seeds 0 and 2: 52.38%, every point "
        "is put into class 0, 5 of 8 hidden units are 0 for every point, and let no gradient "
        "through, the loss stands at 0.6920 over the last tenth of the epochs.",
        "**slow, 91.67 ± 14.43 %**: below 90% in 1 of 3 runs. seed 2: 75.00%, 2 of 8 hidden units "
        "are the same for every point, the loss still falls, from 0.6000 to 0.5000, over the last "
        "tenth of the epochs.",
    ]
    rising = SLOW._replace(loss=0.7)
    assert of_settings({"large": [rising]})[1].endswith(
        "the loss rises, from 0.6000 to 0.7000, over the last tenth of the epochs."
    )


def test_the_epoch_from_which_on_all_are_right_is_the_first_after_the_last_that_is_not():
    def rows(*accuracies):
        return [
            EpochRow(10 * number, 0.1, accuracy, None, None, 0.1, 1.0)
            for number, accuracy in enumerate(accuracies, 1)
        ]

    assert when_right(rows(0.5, 1, 0.9, 1, 1)).startswith("From epoch 40 on")
    assert when_right(rows(1, 1)).startswith("From epoch 10 on")
    assert when_right(rows(0.5, 0.75)) == "At the end 75.00% of the points are in their classes."
