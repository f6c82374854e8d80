"""The pictures of the labs' reports: what they show, and that nothing in them hides anything."""

import itertools
import re

import numpy as np
import pytest
from PIL import Image, ImageSequence

import funcnn as fn
from funcnn.experiments.data.datasets import Normalization
from funcnn.experiments.figures import examples as example_pictures
from funcnn.experiments.figures import examples as outcomes
from funcnn.experiments.figures import plots
from funcnn.experiments.figures import scores as score_figures
from funcnn.experiments.figures.scores import Score
from funcnn.experiments.labs import figures as lab_figures
from funcnn.experiments.labs import network_figures
from funcnn.experiments.tasks.architectures import ARCHITECTURES
from funcnn.experiments.tasks.build import build_network
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training.model import TrainedModel
from funcnn.experiments.training.run_folder import EpochRow

CLASSES = {10: ("T-shirt/top", *"123456789"), 47: tuple(f"class {i}" for i in range(47))}


def trained_model(arch, size=(28, 28), **settings):
    model = build_network(RunConfig.resolve({"arch": arch, **settings}), (1, 28, 28), 10)
    _, params = model.init(fn.random.key(0), (1, *size))
    return TrainedModel(model, params, (1, *size), Normalization(255.0, 0.25, 0.5), CLASSES[10])


def examples(classes, count=200):
    """Random images, labels and logits."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 1, 28, 28), np.uint8)
    logits = rng.normal(0, 4, (count, classes)).astype(np.float32)
    return images, rng.integers(0, classes, count), logits


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn, as matplotlib has them, instead of files."""
    kept = []
    for module in (plots, example_pictures, lab_figures, network_figures, score_figures):
        monkeypatch.setattr(module, "write_figure", lambda figure, path: kept.append(figure))
    return kept


def titles(figure):
    return [
        text
        for axis in figure.axes
        for text in (axis.get_title() or axis.get_title(loc="left"),)
        if text
    ]


def expect_apart(boxes):
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other), (one, other)


def title_boxes(figure):
    """Where all titles are, those of the whole figure too; all are inside it."""
    figure.draw_without_rendering()
    texts = [t for axis in figure.axes for t in (axis.title, axis._left_title) if t.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    for box in boxes:
        assert figure.bbox.count_contains(box.corners()) == 4
    return boxes


# --- what the outputs come to ----------------------------------------------------------------


def test_the_top_images_are_those_of_highest_probability_whatever_their_labels():
    outputs = np.log([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.4, 0.5, 0.1], [0.7, 0.2, 0.1]])
    top = outcomes.top_images(outputs.astype(np.float32), 2)
    np.testing.assert_array_equal(top.indices, [[3, 0], [2, 0], [1, 0]])
    expected = [[0.7, 0.5], [0.5, 0.3], [0.8, 0.2]]
    np.testing.assert_allclose(top.probabilities, expected, rtol=1e-6)
    assert top.probabilities.dtype == np.float64


def test_of_equal_ones_the_earlier_come_first():
    outputs = np.zeros((5, 2), np.float32)
    np.testing.assert_array_equal(outcomes.top_images(outputs).indices, [[0, 1, 2]] * 2)
    np.testing.assert_array_equal(
        outcomes.top_images(50 * np.eye(4)[[0, 1, 0]]).indices[0, :2], [0, 2]
    )
    found = outcomes.worst_mistakes(outputs, np.array([1, 0, 1, 1, 0]), 2)
    np.testing.assert_array_equal(found.indices, [0, 2])


def test_probabilities_that_float64_rounds_to_one_have_an_order_still():
    outputs = np.array([[40, 0], [60, 0], [0, 50], [50, 0]], np.float32)
    top = outcomes.top_images(outputs)
    np.testing.assert_array_equal(top.indices[0], [1, 3, 0])
    np.testing.assert_array_equal(top.probabilities[0], 1)


def test_they_are_found_among_many_as_by_sorting():
    _, _, outputs = examples(47)
    top = outcomes.top_images(outputs)
    logits = outputs.astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)  # (N, K)
    np.testing.assert_array_equal(top.indices, np.argsort(-expected, 0)[:3].T)
    np.testing.assert_allclose(top.probabilities, -np.sort(-expected, 0)[:3].T, rtol=1e-12)


def test_fewer_images_than_asked_for_give_fewer():
    top = outcomes.top_images(np.zeros((2, 3), np.float32))
    assert top.indices.shape == top.probabilities.shape == (3, 2)


def test_the_worst_mistakes_are_those_most_sure_of_the_wrong_class():
    probabilities = [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.01, 0.99], [0.6, 0.4]]
    outputs, labels = np.log(probabilities), np.array([1, 0, 0, 1, 1])
    found = outcomes.worst_mistakes(outputs, labels)
    np.testing.assert_array_equal(found.indices, [0, 1, 2, 4])
    np.testing.assert_allclose(found.probabilities, [0.9, 0.8, 0.7, 0.6])
    np.testing.assert_array_equal(outcomes.worst_mistakes(outputs, labels, 2).indices, [0, 1])
    assert len(outcomes.worst_mistakes(outputs, np.array([0, 1, 1, 1, 0])).indices) == 0


PERCENT = [
    (1.0, "100%"),
    (0.9996, "100%"),
    (0.9994, "99.9%"),
    (0.998, "99.8%"),
    (0.99, "99%"),
    (0.5, "50%"),
    (0.0012, "0.1%"),
    (0.0002, "0%"),
]


@pytest.mark.parametrize(("probability", "text"), PERCENT)
def test_a_probability_is_written_to_a_tenth_of_a_percent(probability, text):
    assert outcomes.in_percent(probability) == text


# --- of a network ----------------------------------------------------------------------------


def test_the_filters_of_a_convolution_are_its_kernels():
    model = trained_model("cnn3")
    found = network_figures.first_filters(model)
    np.testing.assert_array_equal(found.images, model.params[0]["weight"][:, 0])
    assert found.convolution
    assert "16 filters, 3 x 3" in found.caption


def test_the_filters_of_a_dense_layer_are_its_largest_units():
    model = trained_model("mlp2", (5, 4))
    weight = model.params[1]["weight"]  # (20, 128)
    weight[:, 7] = np.arange(20)
    weight[:, 3] = 2
    found = network_figures.first_filters(model)
    assert found.images.shape == (32, 5, 4)
    assert not found.convolution
    np.testing.assert_array_equal(found.images[0], np.arange(20).reshape(5, 4))
    np.testing.assert_array_equal(found.images[1], np.full((5, 4), 2))
    norms = np.linalg.norm(found.images.reshape(32, -1), axis=1)
    assert (np.diff(norms) <= 0).all()
    assert "32 of 128 units" in found.caption


def test_weights_of_points_are_no_images():
    model = build_network(RunConfig.resolve({"arch": "points"}), (2,), 2)
    _, params = model.init(fn.random.key(0), (2,))
    of_points = TrainedModel(model, params, (2,), Normalization(1.0, 0.0, 1.0), ("0", "1"))
    with pytest.raises(ValueError, match=r"\(2, 4\) cannot be seen as images \(2,\)"):
        network_figures.first_filters(of_points)


@pytest.mark.parametrize("arch", ["cnn3", "mlp2"])
def test_the_scale_of_filters_is_symmetric(arch, tmp_path, drawn):
    found = network_figures.first_filters(trained_model(arch))
    network_figures.filters(tmp_path / "new.png", found)
    (image,) = drawn[0].axes[0].get_images()
    low, high = image.get_clim()
    assert -low == high == np.abs(found.images).max()
    assert drawn[0].axes[1].get_ylabel() == "weight"


def test_filters_of_zeros_have_a_scale_too(tmp_path):
    found = network_figures.Filters(np.zeros((2, 3, 3)), True, "all 0")
    network_figures.filters(tmp_path / "new.png", found)
    assert (tmp_path / "new.png").exists()


def test_an_image_is_followed_through_activations_and_poolings():
    model = trained_model("cnn3")
    image = examples(10)[0][0]
    found = network_figures.image_inside(model, image)
    assert [(maps.names, maps.outputs.shape, maps.stage) for maps in found] == [
        (("convolution 3 x 3", "ReLU"), (16, 28, 28), 1),
        (("max-pooling 2 x 2",), (16, 14, 14), 1),
        (("convolution 3 x 3", "ReLU"), (32, 14, 14), 2),
        (("max-pooling 2 x 2",), (32, 7, 7), 2),
    ]
    pooled = found[0].outputs.reshape(16, 14, 2, 14, 2).max((2, 4))
    np.testing.assert_array_equal(found[1].outputs, pooled)
    first = fn.serial(*fn.types.traits(model.model).layers[:2])
    expected = fn.predict(first.apply, model.params[:2], model.normalization(image[None]))
    np.testing.assert_array_equal(found[0].outputs, expected[0])


def test_channels_that_are_silent_are_counted_behind_each_convolution():
    model = trained_model("cnn3")
    model.params[0]["weight"][:3], model.params[0]["bias"][:3] = 0, -1
    said = network_figures.of_maps(model, examples(10)[0][0])
    pattern = r".*: 3 of 16 behind convolution 1, after max-pooling 2 x 2; \d+ of 32 behind conv.*"
    assert re.fullmatch(pattern, said)


CONVOLVING = [name for name, arch in ARCHITECTURES.items() if arch.convolves and not arch.binary]


@pytest.mark.parametrize("arch", CONVOLVING)
def test_the_maps_of_a_stage_have_one_scale_that_is_said(arch, tmp_path, drawn):
    model = trained_model(arch)
    image = examples(10)[0][0]
    network_figures.feature_maps(tmp_path / "new.png", model, image)
    (figure,) = drawn
    found = network_figures.image_inside(model, image)
    assert len(figure.axes) == 1 + len(found)
    assert titles(figure)[0] == "Input: 1 x 28 x 28"
    scales = {}
    for axis, maps, title in zip(figure.axes[1:], found, titles(figure)[1:], strict=True):
        low, high = axis.get_images()[0].get_clim()
        scales.setdefault(maps.stage, set()).add((low, high))
        assert title.startswith(" + ".join(maps.names) + ": ")
        assert title.endswith(f"(dark {low:.3g}, bright {high:.3g})")
        assert ("the first 16" in title) == (len(maps.outputs) > 16)
        assert low <= maps.outputs[:16].min()
        assert high >= maps.outputs[:16].max()
    assert all(len(of_stage) == 1 for of_stage in scales.values())
    expect_apart(title_boxes(figure))


# --- of examples -----------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [10, 47])
def test_mistakes_are_drawn_worst_first_with_what_they_were_taken_for(classes, tmp_path, drawn):
    images, labels, outputs = examples(classes)
    names = CLASSES[classes]
    example_pictures.mistakes(tmp_path / "new.png", images, labels, outputs, names)
    found = outcomes.worst_mistakes(outputs, labels)
    assert len(found.indices) == len(titles(drawn[0])) == 18
    for axis, index, title, sureness in zip(
        drawn[0].axes, found.indices, titles(drawn[0]), found.probabilities, strict=True
    ):
        np.testing.assert_array_equal(axis.get_images()[0].get_array(), images[index, 0])
        true, taken_for = names[labels[index]], names[outputs[index].argmax()]
        assert title == f"{true}, taken for\n{taken_for}: {outcomes.in_percent(sureness)}"
    expect_apart(title_boxes(drawn[0]))


def test_few_mistakes_and_none(tmp_path, drawn):
    images, _, outputs = examples(10)
    labels = outputs.argmax(1)
    example_pictures.mistakes(tmp_path / "new.png", images, labels, outputs, CLASSES[10])
    assert drawn[0].get_suptitle() == "No mistakes: all 200 images are in their classes."
    labels[5] = (labels[5] + 1) % 10
    example_pictures.mistakes(tmp_path / "new.png", images, labels, outputs, CLASSES[10])
    assert len(titles(drawn[1])) == 1
    assert drawn[1].get_suptitle() == ""


@pytest.mark.parametrize("classes", [2, 10, 47])
def test_three_images_of_every_class_and_other_labels_framed(classes, tmp_path, drawn):
    images, labels, outputs = examples(classes)
    names = CLASSES[47][:classes]
    example_pictures.top_three(tmp_path / "new.png", images, labels, outputs, names)
    (figure,) = drawn
    top = outcomes.top_images(outputs)
    axes = [axis for axis in figure.axes if axis.get_images()]
    by_name = {axis.get_title(loc="left").partition(": ")[0]: axis for axis in axes}
    assert set(by_name) == set(names)
    for number, name in enumerate(names):
        axis = by_name[name]
        caption = ", ".join(map(outcomes.in_percent, top.probabilities[number]))
        assert axis.get_title(loc="left").replace("\n", " ") == f"{name}: {caption}"
        row = np.asarray(axis.get_images()[0].get_array())
        for place, index in enumerate(top.indices[number]):
            left = place * 29
            np.testing.assert_array_equal(row[:, left : left + 28], images[index, 0])
        others = [names[label] for label in labels[top.indices[number]] if label != number]
        assert [text.get_text() for text in axis.texts] == others
        assert len(axis.patches) == len(others)
    assert axis.figure.get_supxlabel().startswith("Framed")
    expect_apart(title_boxes(figure))


def test_nothing_is_framed_where_all_is_right(tmp_path, drawn):
    images, _, outputs = examples(10, 2000)
    labels = outputs.argmax(1)
    example_pictures.top_three(tmp_path / "new.png", images, labels, outputs, CLASSES[10])
    assert drawn[0].get_supxlabel() == ""
    assert not any(axis.patches for axis in drawn[0].axes)


def test_captions_near_one_and_long_names_stay_apart(tmp_path, drawn):
    images, labels, outputs = examples(47)
    outputs[:, :] = 0
    outputs[np.arange(141), np.repeat(np.arange(47), 3)] = 17
    names = [f"{i} is a class with a long name" for i in range(47)]
    example_pictures.top_three(tmp_path / "new.png", images, labels, outputs, names)
    expect_apart(title_boxes(drawn[0]))


# --- curves ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "scale"),
    [(0.5, "linear"), (0.02, "linear"), (0.002, "log"), (0.0, "linear"), (np.nan, "linear")],
)
def test_losses_of_very_different_sizes_have_a_logarithmic_axis(end, scale, tmp_path, drawn):
    runs = [
        plots.Curve(str(last), [1, 2], np.array([1.0, last]), np.array([50.0, 60.0]))
        for last in (0.9, end)
    ]
    plots.curves(tmp_path / "curves.png", runs, "training")
    losses, accuracies = drawn[0].axes
    assert (losses.get_yscale(), accuracies.get_yscale()) == (scale, "linear")


def test_the_panels_of_both_backends_have_the_same_axes(tmp_path, drawn):
    def rows(losses):
        return [
            EpochRow(epoch, loss, 0.5, None, None, 0.1, 1.0, 2 * loss, 0.5)
            for epoch, loss in enumerate(losses, 1)
        ]

    panels = {
        "NumPy": {"NN": rows([0.9, 0.5, 0.1]), "CNN": rows([0.4])},
        "PyTorch": {"NN": rows([0.9, 0.001]), "CNN": rows([0.4, 0.3])},
    }
    lab_figures.train_and_test(tmp_path / "new.png", panels)
    ours, theirs = drawn[0].axes
    assert (ours.get_title(), theirs.get_title()) == ("NumPy", "PyTorch")
    assert ours.get_xlim() == theirs.get_xlim()
    assert ours.get_ylim() == theirs.get_ylim()
    low, high = ours.get_ylim()
    assert low < 0.001 < 1.8 < high
    assert ours.get_yscale() == theirs.get_yscale() == "log"


# --- confusion matrices ----------------------------------------------------------------------


def test_a_confusion_matrix_as_probabilities(tmp_path, drawn):
    counts = np.array([[98, 2, 0], [0, 0, 0], [1, 0, 999]])  # nothing is of class 1
    plots.probabilities(tmp_path / "new.png", counts, ("a", "b", "c"))
    plots.confusion(tmp_path / "new.png", counts, ("a", "b", "c"))
    texts = [[text.get_text() for text in figure.axes[0].texts] for figure in drawn]
    assert texts == [
        ["0.980", "0.020", "0.000", *["0.000"] * 3, "0.001", "0.000", "0.999"],
        ["98.0", "2.0", "0.1", "99.9"],
    ]
    shown = drawn[0].axes[0].get_images()[0]
    np.testing.assert_allclose(shown.get_array().sum(1), [1, 0, 1])
    assert shown.get_clim() == (0, 1)
    labels = [figure.axes[1].get_ylabel() for figure in drawn]
    assert labels == ["share of the true class, from 0 to 1", "share of the true class (%)"]


# --- scores ----------------------------------------------------------------------------------


def scores(count, series=("numpy", "torch"), std=0.2):
    return [
        Score(f"setting {i}", name, 85 + i / 2 + 0.05 * len(name), std)
        for i in range(count)
        for name in series
    ]


@pytest.mark.parametrize("count", [1, 12])
def test_dots_are_where_the_means_are(count, tmp_path, drawn):
    given = scores(count)
    score_figures.dots(tmp_path / "new.png", given, "test accuracy (%)")
    (axis,) = drawn[0].axes
    for container in axis.containers:
        x, y = container.lines[0].get_data()
        of_series = [score for score in given if score.series == container.get_label()]
        np.testing.assert_array_equal(x, [score.mean for score in of_series])
        np.testing.assert_array_equal(np.round(np.asarray(y, float)), np.arange(count))
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        f"setting {i}" for i in range(count)
    ]
    assert axis.figure.get_supxlabel() == "test accuracy (%); whiskers: ± 1 standard deviation"
    expect_legend_beside(drawn[0])


def expect_legend_beside(figure):
    figure.draw_without_rendering()
    (legend,) = figure.legends
    expect_apart([legend.get_window_extent(), figure.axes[0].get_tightbbox()])


def test_one_run_of_one_side_has_no_whiskers(tmp_path, drawn):
    given = scores(3, ("numpy",), None)
    score_figures.dots(tmp_path / "new.png", given, "loss (nats)")
    settings = list(zip((10**5, 10**6, 2 * 10**6), given, strict=True))
    score_figures.accuracy_against_size(tmp_path / "new.png", settings, 2_000_000)
    for figure, label in zip(drawn, ("get_xlabel", "get_ylabel"), strict=True):
        (axis,) = figure.axes
        (container,) = axis.containers
        assert not container.has_xerr
        assert not container.has_yerr
        assert "whiskers" not in getattr(axis, label)()


SIZES = {
    "one": [50_000],
    "spread": [31_400, 50_920, 101_800, 203_560, 407_080, 814_120, 1_628_200, 2_678_824],
    "near": [407_080, 435_560, 814_120, 940_584, 1_584_840, 1_628_200],
}


@pytest.mark.parametrize("name", SIZES)
def test_labels_of_sizes_cover_neither_dots_nor_lines_nor_each_other(name, tmp_path, drawn):
    sizes = np.repeat(SIZES[name], 2).tolist()
    settings = list(zip(sizes, scores(len(SIZES[name])), strict=True))
    score_figures.accuracy_against_size(tmp_path / "new.png", settings, 2_000_000)
    (figure,) = drawn
    expect_legend_beside(figure)
    (axis,) = figure.axes
    boxes = [text.get_window_extent() for text in axis.texts]
    assert [text.get_text() for text in axis.texts] == list(
        dict.fromkeys(s.label for _, s in settings)
    )
    expect_apart(boxes)
    for box in boxes:
        assert axis.get_window_extent().count_contains(box.corners()) == 4
        for size, score in settings:
            ends = [(size, score.mean + side * 0.2) for side in (-1, 0, 1)]
            assert box.count_contains(axis.transData.transform(ends)) == 0
        limit, _ = axis.transData.transform((2e6, 0))
        assert not box.x0 <= limit <= box.x1
    assert axis.get_xscale() == "log"
    shown = [label.get_text() for label in axis.get_xticklabels()]
    assert {"1 MB", "2 MB", "500 KB"} <= set(shown)


# --- the files -------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [10, 47])
def test_every_picture_is_a_png_as_wide_as_a_page(classes, tmp_path):
    images, labels, outputs = examples(classes)
    names, model = CLASSES[classes], trained_model("cnn3")
    example_pictures.mistakes(tmp_path / "mistakes.png", images, labels, outputs, names)
    example_pictures.top_three(tmp_path / "top.png", images, labels, outputs, names)
    counts = fn.confusion_matrix(outputs, labels)
    plots.probabilities(tmp_path / "probabilities.png", counts, names)
    network_figures.filters(tmp_path / "filters.png", network_figures.first_filters(model))
    network_figures.feature_maps(tmp_path / "maps.png", model, images[0])
    score_figures.dots(tmp_path / "dots.png", scores(classes), "accuracy (%)")
    settings = [(10**5 * (1 + i), score) for i, score in enumerate(scores(10))]
    score_figures.accuracy_against_size(tmp_path / "size.png", settings, 2_000_000)
    written = sorted(tmp_path.iterdir())
    assert len(written) == 7
    for path in written:
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert 850 <= picture.width <= 1000
            assert 200 <= picture.height <= 2200


def test_the_boundary_moves_from_epoch_to_epoch(tmp_path):
    model = fn.serial(fn.Dense(1), fn.Sigmoid())
    points = np.array([[0.2, 0.1], [0.7, 0.9], [0.9, 0.2]]), np.array([[0], [1], [1]])
    history = [
        (10 * slope, [{"weight": np.full((2, 1), float(slope)), "bias": -np.ones(1)}, {}])
        for slope in (1, 2, 3, 4)
    ]
    still, moving = tmp_path / "still.png", tmp_path / "moving.gif"
    lab_figures.boundaries(still, moving, history, model, points)
    with Image.open(moving) as picture:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)]
        assert picture.info["loop"] == 0
        assert picture.info["duration"] == 1500 + 2000  # the last stays
    assert len(frames) == 4
    assert all((a != b).any() for a, b in itertools.pairwise(frames))
    # Axes and points stay where they are; each frame has a palette of its own.
    below = [frame[-40:].astype(int) for frame in frames]
    assert all(abs(each - below[0]).max() < 40 for each in below)
    with Image.open(still) as picture:
        assert picture.size == (1128, 744)


def test_of_many_epochs_the_early_ones_are_shown_and_the_last():
    shown = lab_figures._spread_out(5000, 40)
    assert len(shown) <= 40
    assert shown[:3] == [0, 1, 2]
    assert shown[-1] == 4999
    assert shown == sorted(shown)
    assert lab_figures._spread_out(3, 40) == [0, 1, 2]
