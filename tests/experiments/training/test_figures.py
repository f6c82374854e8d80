"""What the figures that are asked for by name show; that nothing in them hides anything else."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from funcnn.experiments.compare import figures
from funcnn.experiments.compare.lockstep import Step
from funcnn.experiments.data import overview
from funcnn.experiments.errors import InputError
from funcnn.experiments.figures import plots, style
from funcnn.experiments.labs import figures as lab_figures
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.networks import ACTIVATIONS
from funcnn.experiments.training import figures as training_figures
from funcnn.experiments.training.figures import draw_activations, draw_curves
from funcnn.experiments.training.run_folder import EpochRow, RunFolder

MLP2 = {"arch": "mlp2", "epochs": 3}


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn, as matplotlib has them, instead of files."""
    kept = []

    def keep(figure, path):
        kept.append(figure)
        Path(path).unlink(missing_ok=True)  # the place that was taken for it is free again

    for module in (plots, style, figures, lab_figures, training_figures):
        monkeypatch.setattr(module, "write_figure", keep)
    return kept


def make_run(path, *, validation=True, epochs=3, **settings):
    """A folder as a run leaves it, of a run that did not take place; the loss is 1 / epoch."""
    folder = RunFolder.create(RunConfig.resolve(MLP2 | settings), path)
    folder.write_metrics(
        [
            EpochRow(e, 2 / e, 0.5, *((1 / e, e / 10) if validation else (None, None)), 0.1, 1.0)
            for e in range(1, epochs + 1)
        ]
    )
    return folder


def labels(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def lines(axis):
    return {line.get_label(): line.get_xydata() for line in axis.get_lines()}


def expect_legend_beside_the_panels(figure):
    figure.draw_without_rendering()
    (legend,) = figure.legends
    legend_box = legend.get_window_extent()
    for axis in figure.axes:
        assert not legend_box.overlaps(axis.get_tightbbox())
    assert figure.bbox.count_contains(legend_box.corners()) == 4


# --- activations -----------------------------------------------------------------------------


def test_every_activation_has_a_panel_with_its_values_and_derivatives(tmp_path, drawn):
    draw_activations(tmp_path / "new.png")
    (figure,) = drawn
    panels = {axis.get_title(): lines(axis) for axis in figure.axes if axis.get_title()}
    assert list(panels) == list(ACTIVATIONS)
    assert labels(figure) == ["$y = f(x)$", "derivative $dy/dx$"]
    x, y = panels["tanh"]["$y = f(x)$"].T
    np.testing.assert_allclose(y, np.tanh(x), rtol=1e-12)
    x, derivative = panels["tanh"]["derivative $dy/dx$"].T
    np.testing.assert_allclose(derivative, 1 / np.cosh(x) ** 2, rtol=1e-9)
    assert np.isnan(panels["binary-step"]["$y = f(x)$"][:, 1]).sum() == 1, "one gap at the step"
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("$x$", "$y$ and $dy/dx$")
    expect_legend_beside_the_panels(figure)


# --- curves ----------------------------------------------------------------------------------


def test_runs_are_called_by_what_differs_between_them(tmp_path, drawn):
    settings = {"a": {"activation": "gelu", "lr": 0.1}, "b": {"hidden": (7, 6)}, "c": {}}
    folders = [make_run(tmp_path / name, **changed) for name, changed in settings.items()]
    draw_curves(folders, tmp_path / "new.png")
    assert labels(drawn[0]) == [
        "hidden=128, activation=gelu, lr=0.1",
        "hidden=7x6, activation=relu, lr=0.05",
        "hidden=128, activation=relu, lr=0.05",
    ]
    draw_curves(folders[:1], tmp_path / "one.png")
    assert labels(drawn[1]) == [str(tmp_path / "a")]


def test_a_setting_is_called_as_its_option_and_none_is_no_number(tmp_path, drawn):
    settings = {"patience": 9, "label_smoothing": 0.2, "batch_size": 8}
    folders = [make_run(tmp_path / "a", **settings), make_run(tmp_path / "b", batch_size=None)]
    draw_curves(folders, tmp_path / "new.png")
    assert labels(drawn[0]) == [
        "batch-size=8, label-smoothing=0.2, patience=9",
        "batch-size=all, label-smoothing=0.1, patience=none",
    ]


def test_runs_of_equal_settings_are_called_by_their_folders_too(tmp_path, drawn):
    folders = [
        make_run(tmp_path / name, seed=seed) for name, seed in [("a", 0), ("b", 0), ("c", 1)]
    ]
    draw_curves(folders, tmp_path / "new.png")
    assert labels(drawn[0]) == [f"seed=0 {tmp_path / 'a'}", f"seed=0 {tmp_path / 'b'}", "seed=1"]


def test_the_curves_are_those_of_the_validation_set(tmp_path, drawn):
    draw_curves([make_run(tmp_path / "a")], tmp_path / "new.png")
    loss, accuracy = drawn[0].axes
    assert loss.get_ylabel() == "validation loss (nats)"
    assert accuracy.get_ylabel() == "validation accuracy (%)"
    assert loss.get_xlabel() == accuracy.get_xlabel() == "epoch"
    (points,) = lines(loss).values()
    np.testing.assert_allclose(points, [[1, 1], [2, 1 / 2], [3, 1 / 3]])
    (points,) = lines(accuracy).values()
    np.testing.assert_allclose(points, [[1, 10], [2, 20], [3, 30]])


def test_without_a_validation_set_they_are_those_of_training(tmp_path, drawn):
    alone = make_run(tmp_path / "a", validation=False, val_size=0)
    draw_curves([alone], tmp_path / "new.png")
    assert drawn[0].axes[0].get_ylabel() == "training loss (nats)"
    (points,) = lines(drawn[0].axes[0]).values()
    np.testing.assert_allclose(points[:, 1], [2, 1, 2 / 3])
    draw_curves([alone, make_run(tmp_path / "b")], tmp_path / "both.png")
    assert drawn[1].axes[0].get_ylabel() == "loss (nats)"
    assert labels(drawn[1]) == ["val-size=0 (training)", "val-size=10000 (validation)"]


def test_only_cross_entropies_are_in_nats(tmp_path, drawn):
    entropy = make_run(tmp_path / "a")
    squared = [make_run(tmp_path / name, loss="squared-error", seed=1) for name in "bc"]
    for folders, words in (
        (squared, "loss (squared error)"),
        ([entropy, *squared], "loss (nats or squared error)"),
    ):
        draw_curves(folders, tmp_path / f"{len(folders)}.png")
        assert drawn.pop().axes[0].get_ylabel() == f"validation {words}"
    training_figures.learning_curve("it.png", entropy.read_metrics(), "squared error")
    assert drawn.pop().axes[0].get_ylabel() == "loss (squared error)"


@pytest.mark.parametrize("count", [1, 4, 16, plots.MAX_CURVES])
def test_many_runs_can_be_told_apart_and_the_legend_covers_none(tmp_path, drawn, count):
    names = itertools.islice(itertools.cycle(ACTIVATIONS), count)
    folders = [
        make_run(tmp_path / str(i), activation=name, seed=i, epochs=1 + i % 3)
        for i, name in enumerate(names)
    ]
    draw_curves(folders, tmp_path / "new.png")
    for axis in drawn[0].axes:
        looks = {(line.get_color(), line.get_linestyle()) for line in axis.get_lines()}
        assert len(looks) == count
        assert axis.get_window_extent().height > 150
    expect_legend_beside_the_panels(drawn[0])


def test_what_cannot_be_drawn_is_told_before_anything_is_written(tmp_path):
    run = make_run(tmp_path / "run")
    there = tmp_path / "there.png"
    there.write_bytes(b"mine")
    for draw in (draw_activations, lambda out: draw_curves([run], out)):
        with pytest.raises(InputError, match=r"--out .*there\.png exists already"):
            draw(there)
    assert there.read_bytes() == b"mine"
    with pytest.raises(InputError, match="29 runs: at most 28"):
        draw_curves([run] * 29, tmp_path / "new.png")
    assert not (tmp_path / "new.png").exists()


def learning_curve(drawn, *rows):
    training_figures.learning_curve("it.png", [EpochRow(*row) for row in rows])
    return drawn.pop()


def test_a_learning_curve_has_a_line_for_each_set_that_was_measured(drawn):
    rows = [(e, 3 / e, 0.3, 2 / e, 0.2, 0.1, 1.0, 1 / e, 0.1 * e) for e in range(1, 5)]
    figure = learning_curve(drawn, *rows)
    assert labels(figure) == ["training (while it learns)", "validation", "test"]
    assert labels(learning_curve(drawn, *(row[:7] for row in rows))) == labels(figure)[:2]
    loss, accuracy = figure.axes
    np.testing.assert_allclose(lines(loss)["test"][:, 1], [1, 1 / 2, 1 / 3, 1 / 4])
    np.testing.assert_allclose(lines(accuracy)["test"][:, 1], [10, 20, 30, 40])
    for axis in figure.axes:
        drawn_as = [(line.get_color(), line.get_linestyle()) for line in axis.get_lines()]
        assert [len(set(looks)) for looks in zip(*drawn_as, strict=True)] == [3, 3]
    expect_legend_beside_the_panels(figure)


# --- the table that they are drawn from ------------------------------------------------------


@pytest.mark.parametrize("tested", [(), (0.1 + 0.7, 2 / 3)], ids=["", "test curve"])
@pytest.mark.parametrize("validation", [(0.7, 1e-17), (None, None)], ids=["validation", ""])
def test_metrics_are_read_to_the_bits_that_were_written(tmp_path, validation, tested):
    folder = make_run(tmp_path / "run", validation=validation[0] is not None)
    rows = [EpochRow(1, 0.1 + 0.2, 1 / 3, *validation, 1e-5, 2.0, *tested)]
    folder.write_metrics(rows)
    assert folder.metrics.read_text().count("test_") == len(tested)
    assert folder.read_metrics() == rows
    assert json.dumps(folder.read_metrics()) == json.dumps(rows)


def test_names_of_many_settings_are_wrapped_into_the_figure(tmp_path, drawn):
    settings = {"hidden": tuple(range(10, 40)), "activation": "gelu", "lr": 0.125, "dropout": 0.5}
    settings |= {"optimizer": "classical-momentum", "momentum": 0.75, "batch_size": 77, "seed": 1}
    folders = [make_run(tmp_path / "a", **settings), make_run(tmp_path / "b")]
    draw_curves(folders, tmp_path / "new.png")
    expect_legend_beside_the_panels(drawn[0])


def test_runs_of_one_epoch_have_one_tick_and_marks_to_tell_them_apart(tmp_path, drawn):
    folders = [make_run(tmp_path / str(i), seed=i, epochs=1) for i in range(9)]
    draw_curves(folders, tmp_path / "new.png")
    axis = drawn[0].axes[0]
    assert list(axis.get_xticks()) == [1]
    looks = {(line.get_color(), line.get_marker()) for line in axis.get_lines()}
    assert len(looks) == 9


def test_class_names_are_words_even_with_a_dollar(tmp_path, drawn):
    names = ("$\\foo$", "a" * 60, "$x_1$")
    plots.confusion(tmp_path / "c.png", np.eye(3, dtype=int), names)
    shown = [label.get_text() for label in drawn[0].axes[0].get_xticklabels()]
    assert shown == ["$\\foo$", "a" * 17 + "...", "$x_1$"]
    assert drawn[0].axes[0].get_window_extent().width > 200
    overview.contact_sheet(tmp_path / "s.png", [[np.zeros((4, 4), np.uint8)]], names[:1])


@pytest.mark.parametrize(
    ("colour", "title", "cmap", "paper"),
    [(0, "0 is white, 255 black", "gray_r", 0), (90, "0 is black, 255 white", "gray", 255)],
    ids=["ink", "photograph"],
)
def test_ink_is_drawn_on_paper_and_photographs_as_they_are(
    tmp_path, drawn, colour, title, cmap, paper
):
    one, other = np.full((2, 3, 4), colour, np.uint8)
    one[0, 0], other[2, 3] = 200, 17
    overview.contact_sheet(tmp_path / "s.png", [[one, other], [other]], ("a", "b"))
    (figure,) = drawn
    assert figure.get_suptitle() == title
    (image,) = figure.axes[0].images
    assert image.get_cmap().name == cmap
    expected = np.full((8, 10), paper)  # with a gap of one pixel below and beside each
    expected[:3, :4], expected[:3, 5:9], expected[4:7, :4] = one, other, other
    np.testing.assert_array_equal(image.get_array(), expected)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_epochs_and_steps_are_whole_numbers_wherever_they_are_an_axis(count, drawn):
    numbers = range(1, count + 1)
    rows = [EpochRow(e, 1 / e, 0.5, 1 / e, 0.5, 0.1, 1.0) for e in numbers]
    steps = [Step(s, 1, 1, 1e-7, 1e-7, 1e-8, 0, {}, {"0/w": 1e-8 * s}) for s in numbers]
    training_figures.learning_curve("it.png", rows)
    figures.curves("it.png", {"numpy": [rows], "torch": [rows]}, "nats")
    figures.growth("it.png", {"float32": steps, "float64": steps}, {"0": "Dense"})
    lab_figures.losses("it.png", {"a": rows})
    lab_figures.apart("it.png", {"a": [1e-7] * count})
    assert len(drawn) == 5
    for figure in drawn:
        figure.draw_without_rendering()
        for axis in figure.axes:
            assert all(tick == round(tick) for tick in axis.get_xticks()), axis.get_xlabel()
