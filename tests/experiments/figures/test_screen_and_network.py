"""The screen as a picture, and a network drawn: everything is in it, and nothing overlaps."""

import itertools

import pytest
from matplotlib.patches import FancyBboxPatch

from funcnn.experiments.figures import architecture, console
from funcnn.experiments.labs.layers_in_words import summary_in_words
from funcnn.experiments.tasks.build import build_network
from funcnn.experiments.tasks.config import RunConfig


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn, as matplotlib has them, instead of files."""
    kept = []
    for module in (architecture, console):
        monkeypatch.setattr(module, "write_figure", lambda figure, path: kept.append(figure))
    return kept


def test_a_screen_has_every_line_as_it_is_and_none_leaves_it(drawn, tmp_path):
    lines = ["epoch 1 loss : 0.6931471805599453", "  $x_1$ 100%", "", "[[0.01025062]", "W%" * 70]
    console.console(tmp_path / "a.png", "\n".join(lines))
    (figure,) = drawn
    assert [text.get_text() for text in figure.texts] == lines
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.texts if text.get_text()]
    for box in boxes:
        assert figure.bbox.x0 < box.x0
        assert box.x1 < figure.bbox.x1
        assert figure.bbox.y0 < box.y0
        assert box.y1 < figure.bbox.y1
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)


def blocks(arch, shape, classes, output, **settings):
    model = build_network(RunConfig.resolve({"arch": arch, **settings}), (1, 28, 28), classes)
    return architecture.blocks_of(summary_in_words(model, shape), shape, output)


def test_the_blocks_are_the_models_layers_with_those_that_change_no_shape_behind_them():
    assert blocks("cnn3", (1, 28, 28), 10, "softmax") == [
        (("Input",), (1, 28, 28), 0),
        (("convolution 3 x 3", "ReLU"), (16, 28, 28), 160),
        (("max-pooling 2 x 2",), (16, 14, 14), 0),
        (("convolution 3 x 3", "ReLU"), (32, 14, 14), 4640),
        (("max-pooling 2 x 2",), (32, 7, 7), 0),
        (("flatten", "dropout 0.25"), (1568,), 0),
        (("fully connected", "softmax"), (10,), 15690),
    ]
    points = blocks("points", (2,), 2, None, data="points-xor")
    assert [block.layers for block in points] == [("Input",), *[("fully connected", "sigmoid")] * 3]


IMAGE = (1, 28, 28)


@pytest.mark.parametrize(
    ("arch", "shape", "settings"),
    [
        ("cnn3", IMAGE, {}),
        ("mlp3", IMAGE, {"dropout": 0.25}),
        ("points", (2,), {}),
        ("resnet", IMAGE, {}),
    ],
)
def test_every_block_is_drawn_with_its_shape_and_parameters_apart(
    drawn, tmp_path, arch, shape, settings
):
    found = blocks(arch, shape, 2 if arch == "points" else 10, None, **settings)
    architecture.network(tmp_path / "a.png", found)
    (figure,) = drawn
    (axis,) = figure.axes
    figure.draw_without_rendering()
    texts = [text for text in axis.texts if text.get_text()]
    said = [" ".join(text.get_text().split()) for text in texts]  # whatever space there is
    assert len(said) == sum(3 if block.parameters else 2 for block in found)
    for block in found:
        assert " + ".join(block.layers) in said
        assert " x ".join(map(str, block.shape)) in said
    boxes = [box.get_window_extent() for box in axis.patches if isinstance(box, FancyBboxPatch)]
    assert len(boxes) == len(found)
    for text in texts:
        box = text.get_window_extent()
        inside = [
            each
            for each in boxes
            if each.x0 <= box.x0 and box.x1 <= each.x1 and each.y0 <= box.y0 and box.y1 <= each.y1
        ]
        assert len(inside) == 1, text.get_text()
