"""Means and standard deviations, and how they are written."""

from funcnn.experiments.training.spread import spread


def test_the_deviation_is_that_of_the_sample():
    assert spread([1.0, 3.0, 5.0]) == (3.0, 2.0, [1.0, 3.0, 5.0])
    assert spread([0.5]) == (0.5, None, [0.5])


def test_a_mean_is_written_with_its_deviation_if_it_has_one():
    assert spread([0.98, 0.97]).text("{:.2f}", 100) == "97.50 ± 0.71"
    assert spread([0.98, 0.97]).text("{:.2f}", 100, "%") == "97.50% ± 0.71"
    assert spread([0.25]).text("{:.4f}") == "0.2500"
    assert spread([0.25, 0.75]).text(lambda loss: f"<{loss:.1f}>") == "<0.5> ± <0.4>"
