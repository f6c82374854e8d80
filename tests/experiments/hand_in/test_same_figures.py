"""What a report and the notebook that is handed in with it both draw says the same."""

import numpy as np
import pytest
from notebooks import built_of, code

import funcnn as fn
from funcnn.experiments.figures import examples, plots

pytest.importorskip("jupytext", reason="notebooks: pip install 'funcnn[notebooks]'")
DIGITS = tuple("0123456789")


@pytest.fixture
def figures(monkeypatch):
    """Those of the report, as matplotlib has them, instead of files."""
    kept = []
    for module in (examples, plots):
        monkeypatch.setattr(module, "write_figure", lambda figure, path: kept.append(figure))
    return kept


def of_notebook(name, function):
    """The functions of the cell that defines this one, and a pyplot that draws into memory."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    found = {"np": np, "plt": plt}
    exec(next(cell for cell in code(built_of(name)) if f"def {function}" in cell), found)
    return found


@pytest.fixture
def outputs():
    """Logits of 60 images: of some digits the surest are sure to any number of digits."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 3, (60, 10))
    sure = np.linspace(4, 60, 20)  # from 90 % to what float64 rounds to 1
    logits[np.arange(20), np.arange(20) % 7] += sure
    return logits.astype(np.float32)


@pytest.mark.parametrize("name", ["mnist-numpy", "mnist-torch"])
def test_the_three_surest_images_and_their_captions(name, outputs, figures, tmp_path):
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (60, 1, 28, 28), np.uint8)
    labels = rng.integers(0, 10, 60)
    found = of_notebook(name, "show_surest")
    found["show_surest"](outputs, images, labels, "")
    theirs = found["plt"].gcf()
    examples.top_three(tmp_path / "new.png", images, labels, outputs, DIGITS)
    by_digit = {axis.get_title(loc="left")[0]: axis for axis in figures[0].axes}
    assert len(theirs.axes) == len(by_digit) == 10
    captions = set()
    for axis in theirs.axes:
        caption = axis.get_title().replace(":  ", ": ")
        ours = by_digit[caption[0]]
        assert ours.get_title(loc="left") == caption
        row, with_gaps = (np.asarray(of.get_images()[0].get_array()) for of in (axis, ours))
        np.testing.assert_array_equal(row, np.delete(with_gaps, [28, 57], 1))
        assert [bool(of.texts) for of in (axis, ours)] in ([True] * 2, [False] * 2)
        captions |= set(caption[3:].split(", "))
    assert "100%" in captions
    assert any("." in caption for caption in captions)
    found["plt"].close("all")


def test_what_rounding_does_to_float32_changes_no_caption(outputs):
    """Another order of the sums moves logits by some units in the last place."""
    in_percent = of_notebook("mnist-numpy", "percent")["percent"]
    rng = np.random.default_rng(5)
    moved = outputs * (1 + rng.uniform(-4, 4, outputs.shape) * 2.0**-24)
    probabilities = [examples.probabilities(each.astype(np.float32)) for each in (outputs, moved)]
    assert (probabilities[0] != probabilities[1]).any()
    texts = [[in_percent(p) for p in each.ravel()] for each in probabilities]
    assert texts[0] == texts[1] == [*map(examples.in_percent, probabilities[0].ravel())]


@pytest.mark.parametrize("name", ["mnist-numpy", "fashion-torch"])
def test_every_probability_of_a_confusion_matrix(name, figures, tmp_path):
    rng = np.random.default_rng(6)
    labels = np.repeat(np.arange(10), 500)
    predicted = np.where(rng.random(5000) < 0.97, labels, rng.integers(0, 10, 5000))
    found = of_notebook(name, "show_confusion")
    found["show_confusion"](found["confusion"](predicted, labels, 10), DIGITS, "")
    theirs = found["plt"].gcf()
    counts = fn.confusion_matrix(np.eye(10)[predicted], labels)
    plots.probabilities(tmp_path / "new.png", counts, DIGITS)
    cells = [
        [(text.get_text(), text.get_color()) for text in figure.axes[0].texts]
        for figure in (theirs, figures[0])
    ]
    assert cells[0] == cells[1]
    assert len(cells[0]) == 100
    assert ("0.000", "darkgrey") in cells[0]
    shown = np.array([float(text) for text, _ in cells[0]]).reshape(10, 10)
    np.testing.assert_allclose(shown, counts / 500, atol=5.1e-4)
    np.testing.assert_allclose(shown.sum(1), 1, atol=5e-3)
    found["plt"].close("all")
