"""What a program printed, as a picture of the screen."""

from pathlib import Path

from funcnn.experiments.errors import printable
from funcnn.experiments.figures.drawing import figure_file
from funcnn.experiments.figures.style import write_figure

_SIZE = 9.5  # of letters, in points
_ADVANCE = 0.602  # of a letter of DejaVu Sans Mono, in its size
_LINE = 1.45  # from one to the next, in their size
_MARGIN = 0.16  # inches
_SCREEN, _LETTERS = "#1b1f24", "#e6e9ec"


@figure_file
def console(path: Path, text: str) -> None:
    """The lines of a text as they stand on a dark screen, each as long as it is."""
    from matplotlib.figure import Figure

    lines = [printable(line) for line in text.splitlines()]
    width = max(map(len, lines)) * _ADVANCE * _SIZE / 72
    height = len(lines) * _LINE * _SIZE / 72
    size = (width + 2 * _MARGIN, height + 2 * _MARGIN)
    figure = Figure(figsize=size, dpi=120, facecolor=_SCREEN)
    looks = {"family": "DejaVu Sans Mono", "fontsize": _SIZE, "color": _LETTERS}
    for number, line in enumerate(lines):
        below = _MARGIN + (number + 0.5) * height / len(lines)
        figure.text(
            _MARGIN / size[0], 1 - below / size[1], line, va="center", parse_math=False, **looks
        )
    write_figure(figure, path)
