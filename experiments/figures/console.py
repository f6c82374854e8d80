"""What a program printed, as a picture of the screen."""

from pathlib import Path
from typing import Any

from funcnn.experiments.errors import printable
from funcnn.experiments.figures.drawing import figure_file
from funcnn.experiments.figures.style import write_figure

_SIZE = 9.5  # of letters, in points
_LINE = 1.45  # from one to the next, in their size
_MARGIN = 0.16  # inches
_SCREEN, _LETTERS = "#1b1f24", "#e6e9ec"


@figure_file
def console(path: Path, text: str) -> None:
    """The lines of a text as they stand on a dark screen, each as long as it is."""
    from matplotlib.figure import Figure

    lines = [printable(line) for line in text.splitlines()]
    figure = Figure(figsize=(1, 1), dpi=120, facecolor=_SCREEN)
    looks: dict[str, Any] = {"family": "DejaVu Sans Mono", "fontsize": _SIZE, "color": _LETTERS}
    texts = [figure.text(0, 0, line, va="center", parse_math=False, **looks) for line in lines]
    # Letters are set to whole pixels, and so are not as wide as the font says.
    width = max(text.get_window_extent().width for text in texts) / figure.dpi + 2 * _MARGIN
    height = len(lines) * _LINE * _SIZE / 72 + 2 * _MARGIN
    figure.set_size_inches(width, height)
    for number, drawn in enumerate(texts):
        below = _MARGIN + (number + 0.5) * _LINE * _SIZE / 72
        drawn.set_position((_MARGIN / width, 1 - below / height))
    write_figure(figure, path)
