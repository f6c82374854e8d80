"""What a notebook that ran has printed."""

import json
import re


def printed_in(notebook: bytes) -> list[str]:
    """The lines that its cells printed.

    Raises `ValueError`, `KeyError` or `TypeError` for what is no notebook.
    """
    code = [cell for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"]
    texts = ["".join(output.get("text", "")) for cell in code for output in cell["outputs"]]
    return "\n".join(texts).splitlines()


def accuracies_in(notebook: bytes) -> list[str]:
    """What it says in the end, as `validation accuracy 91.45%`."""
    found = (re.match(r"(.*\baccuracy) +(\d+\.\d\d%)", line) for line in printed_in(notebook))
    return [f"{' '.join(match[1].split())} {match[2]}" for match in found if match]
