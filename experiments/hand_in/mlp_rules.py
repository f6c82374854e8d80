"""What `fashion-mlp` asks of the notebook's code: its classes, and no more of torch than allowed.

The code is parsed; only what defines the classes is executed.
"""

import ast
import json
from typing import NamedTuple

from funcnn.experiments.errors import InputError

_CLASSES = ("myActivation", "myMLP", "myLoss")
_ALLOWED = {
    "torch.nn": {"Module", "Sequential", "Linear", "Parameter"},
    "torch.optim": {"Optimizer"},
}
"""What the classes may be made of, beside tensors and their functions."""


class SheetCode(NamedTuple):
    """The code of a notebook, as the rules look at it."""

    tree: ast.Module

    @classmethod
    def of(cls, notebook: bytes) -> "SheetCode":
        """The code cells of a notebook. Raises `InputError` for what is no Python."""
        cells = json.loads(notebook)["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        try:
            return cls(ast.parse("\n".join(code)))
        except SyntaxError as error:
            raise InputError(f"its code is no Python: {error}") from None

    def missing(self) -> list[str]:
        """The lab's classes that it does not define, the optimizer among them."""
        classes = {node.name: node for node in self._classes()}
        found = [name for name in _CLASSES if name not in classes]
        bases = {ast.unparse(base) for node in classes.values() for base in node.bases}
        return found + (["a torch.optim.Optimizer"] if "torch.optim.Optimizer" not in bases else [])

    def not_allowed(self) -> list[str]:
        """What it names of `torch.nn` and `torch.optim` that the lab does not allow."""
        aliases, named = {}, set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for each in node.names:
                    whole = each.name if each.asname else each.name.partition(".")[0]
                    aliases[each.asname or whole] = whole
                    named.add(each.name)
            elif isinstance(node, ast.ImportFrom):
                for each in node.names:
                    whole = f"{node.module}.{each.name}"
                    aliases[each.asname or each.name] = whole
                    named.add(whole)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute):
                first, _, rest = ast.unparse(node).partition(".")
                named.add(f"{aliases.get(first, first)}.{rest}")
        return sorted(
            name
            for name in named
            for package, allowed in _ALLOWED.items()
            if name.startswith(f"{package}.")
            and name.removeprefix(f"{package}.").partition(".")[0] not in allowed
        )

    def definition(self, input_dim: int, num_classes: int) -> str:
        """Python that makes the notebook's `myMLP` of these sizes, called `model`."""
        imports = [
            node
            for node in self.tree.body
            if (isinstance(node, ast.Import) and node.names[0].name in ("torch", "math"))
            or (isinstance(node, ast.ImportFrom) and node.module == "torch")
        ]
        parts = [*map(ast.unparse, [*imports, *self._classes()])]
        return "\n".join([*parts, f"model = myMLP({input_dim}, {num_classes})"])

    def _classes(self) -> list[ast.ClassDef]:
        return [node for node in self.tree.body if isinstance(node, ast.ClassDef)]
