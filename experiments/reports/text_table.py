"""Tables as text: what the commands print, and those of Markdown."""

from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]], left: int = 1, form: str = "plain") -> str:
    """Rows, the first of them the header if there is one, as lines whose columns are in line.

    Signs of two places, as of Chinese, count as two. left: of so many columns the text begins at
    their left; of the others, numbers, it ends at the right. form: "plain", or "github", whose
    first row is the header.
    """
    from tabulate import tabulate  # a command that prints no table does not wait for it

    columns = range(len(rows[0]) if rows else 0)
    sides = ["left" if column < left else "right" for column in columns]
    head, body = ([], rows) if form == "plain" else (rows[0], rows[1:])
    return tabulate(body, head, tablefmt=form, disable_numparse=True, colalign=sides)
