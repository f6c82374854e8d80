"""A formula: TeX as a picture in the size and the ink of the text around it, by mathtext."""

import functools

from markupsafe import Markup, escape

from funcnn.experiments.figures.drawing import own_settings

_EM = 1000  # units of the picture
_LETTERS = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}
"""What SVG calls the parts of a path; the keys are matplotlib's codes."""


@functools.cache
def to_svg(tex: str) -> Markup:
    """An `<svg>` that stands on the line of the text; the TeX is its title.

    tex: of what `matplotlib.mathtext` knows, without dollar signs. Raises `ValueError` for others.
    """
    with own_settings():
        from matplotlib.font_manager import FontProperties
        from matplotlib.textpath import TextPath, text_to_path

        font = FontProperties(size=_EM, math_fontfamily="cm")
        math = f"${tex}$"
        path = TextPath((0, 0), math, prop=font)
        sizes = text_to_path.get_text_width_height_descent(math, font, ismath=True)
        width, height, depth = map(round, sizes)
    drawn = ""
    for points, code in path.iter_segments(simplify=False):
        pairs = points.reshape(-1, 2) if code != path.CLOSEPOLY else ()
        drawn += _LETTERS[int(code)] + " ".join(f"{x:.0f} {-y:.0f}" for x, y in pairs)
    size = f"width:{width / _EM}em;height:{height / _EM}em;vertical-align:{-depth / _EM}em"
    box = f'viewBox="0 {depth - height} {width} {height}"'
    title = f"<title>{escape(tex)}</title>"
    return Markup(
        f'<svg class="tex" role="img" {box} style="{size}" fill="currentColor">'
        f'{title}<path d="{drawn}"/></svg>'
    )
