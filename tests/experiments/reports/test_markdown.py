"""A document as Markdown."""

from pathlib import Path

from funcnn.experiments.reports.document import (
    Document,
    Formula,
    Items,
    Listing,
    Picture,
    Section,
    Table,
    Text,
)
from funcnn.experiments.reports.markdown import to_markdown

SAID = r"""# title

under it

- Seeds: 3

- first
- `second`

## Section

A paragraph, $a < b$.

### Inside

Scores.

| name   | a\|b         |
|--------|--------------|
| x      | 98.41 ± 0.12 |

Curves.

![Curves.](figures/curves.png)

Printed.

```
a
  b
```

$$\begin{aligned}
y &= x^2 \\
z &= 1
\end{aligned}$$
"""


def test_every_block_has_its_form_and_pictures_are_named_from_the_folder():
    inside = [
        Table(["name", "a|b"], [["x", "98.41 ± 0.12"]], "Scores."),
        Picture(Path("runs/it/figures/curves.png"), "Curves."),
        Listing("a\n  b", "Printed."),
        Formula(["y &= x^2", "z &= 1"]),
    ]
    blocks = [
        Items(["first", "`second`"]),
        Section("Section", [Text("A paragraph, $a < b$."), Section("Inside", inside)]),
    ]
    document = Document("title", "under it", [("Seeds", "3")], blocks)
    assert to_markdown(document, Path("runs/it")) == SAID


def test_what_is_empty_leaves_no_gap():
    document = Document("title", "", [], [Table(["a"], [["b"]], ""), Items([]), Text("end")])
    lines = to_markdown(document, Path()).splitlines()
    assert (lines[0], lines[-1]) == ("# title", "end")
    assert len(lines) == 7
