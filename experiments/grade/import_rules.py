"""Rules on what a hand-in may stand on."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping

from funcnn.experiments.grade.python_sources import Source, dotted
from funcnn.experiments.grade.sheet import Work
from funcnn.experiments.grade.verdicts import Verdict, listed

_FRAMEWORKS = {
    "torch", "torchvision", "torchaudio", "tensorflow", "keras", "jax", "jaxlib", "flax", "optax",
    "mxnet", "paddle", "theano", "caffe", "chainer", "cntk", "tinygrad", "autograd", "minpy",
    "lightning", "pytorch_lightning", "fastai", "transformers", "timm", "onnxruntime", "mindspore",
    "haiku", "equinox", "thinc", "skorch", "xgboost", "lightgbm", "catboost", "funcnn",
}  # fmt: skip
"""What computes a network, or its gradient, by itself."""
_LEARNERS = re.compile(
    r"sklearn\.(neural_network|svm|linear_model|ensemble|neighbors|tree|naive_bayes|pipeline|"
    r"discriminant_analysis|gaussian_process)\b"
)
_DYNAMIC = {"__import__", "importlib.import_module", "import_module", "exec", "eval"}
_MODULES_ALLOWED = {
    "Module", "Linear", "Sequential", "Parameter", "ModuleList", "ParameterList", "ModuleDict",
    "Identity", "Flatten",
}  # fmt: skip
"""Of `torch.nn`: what holds a module together, and `Linear`."""
_HOLDERS_ONLY = ("init", "utils", "parameter", "modules")
_WRITTEN_BY_HAND = re.compile(
    r"(^|\.)(relu6?|leaky_relu|elu|selu|celu|gelu|silu|softplus|sigmoid|tanh|arctan|prelu|"
    r"cross_entropy|nll_loss|log_softmax|softmax|hardtanh|mish|logsigmoid)$"
)

_BY_THE_SHEET = {"model", "layer", "network"}
"""What the sheets call a student's own modules."""
_TENSOR_FUNCTIONS = ("sigmoid", "tanh", "arctan")


def _roots(names: Iterable[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def forbidden(source: Source, allowed: set[str] | None = None) -> dict[str, str]:
    """What a source imports that it may not, and where.

    allowed: the only packages beside the standard library and files of one's own; None: all but
    frameworks and other people's learners.
    """
    found: dict[str, str] = {}
    for name, where in source.imports().items():
        root = name.split(".")[0]
        wrong = root in _FRAMEWORKS or _LEARNERS.match(name) is not None
        if allowed is not None and root:
            wrong = root not in allowed and root not in sys.stdlib_module_names
        if wrong:
            found.setdefault(name if _LEARNERS.match(name) else root, where)
    return found


def scratch_rule(
    sources: Mapping[str, Source], rule: str, allowed: set[str] | None = None
) -> Iterator[Verdict]:
    """Each of these, by what it is called, is written without a framework."""
    own = {source.name.removesuffix(".py") for source in sources.values()} | _BY_THE_SHEET
    folders = {part for path in sources for part in path.split("/")[:-1]}
    for source in sources.values():
        names = None if allowed is None else allowed | own | folders
        wrong = forbidden(source, names)
        if source.faults and not source.pieces:
            yield Verdict(source.name, rule, None, listed(list(source.faults), 1))
            continue
        dynamic = [f"{call} at {at}" for call, at in source.calls().items() if call in _DYNAMIC]
        if wrong:
            found = listed([f"{name} at {where}" for name, where in wrong.items()], 3)
            yield Verdict(source.name, rule, False, found)
        elif dynamic:
            yield Verdict(source.name, rule, None, f"it may import more: {listed(dynamic, 2)}")
        else:
            roots = sorted(_roots(source.imports()) - {""} - set(sys.stdlib_module_names))
            yield Verdict(source.name, rule, True, f"imports {listed(roots)}" if roots else "")


def kinds_rule(
    work: Work, kinds: Iterable[str], rule: str, allowed: set[str] | None = None
) -> Iterator[Verdict]:
    """`scratch_rule` for files that the sheet names."""
    files = [work.files[kind] for kind in kinds if kind in work.files]
    sources = {f.path: work.sources[f.path] for f in files if f.path in work.sources}
    yield from scratch_rule(sources, rule, allowed)


def nothing_installed_rule(work: Work) -> Iterator[Verdict]:
    """A notebook installs nothing."""
    for path, notebook in work.notebooks.items():
        rule = "runs in Colab, with nothing installed that Colab lacks"
        install = re.compile(r"^\s*[!%]\s*(pip3?|conda|apt(-get)?)\s+(-\S+\s+)*install\b.*$", re.M)
        found = [
            match[0].strip() for cell in notebook.cells for match in install.finditer(cell.source)
        ]
        name = path.rsplit("/", 1)[-1]
        yield Verdict(name, rule, not found, listed(found, 2) if found else "it installs nothing")


def linear_only_rule(work: Work) -> Iterator[Verdict]:
    """Of torch a notebook uses `nn.Linear` and tensor functions alone."""
    source = work.source("notebook")
    if source is None:
        return
    rule = "tensor functions and nn.Linear only: activation, loss and optimizer by hand"
    found: dict[str, str] = {}
    for where, node in source.nodes():
        name = dotted(node)
        parts = name.split(".")
        if "nn" in parts[:-1] and parts[0] in ("torch", "nn"):
            after = parts[parts.index("nn") + 1]
            if after == "functional" or after in _MODULES_ALLOWED or after in _HOLDERS_ONLY:
                after = ""
            if after:
                found.setdefault(f"nn.{after}", where)
        by_torch = parts[0] in ("F", "torch") and _WRITTEN_BY_HAND.search(name) is not None
        of_tensors = parts[0] == "torch" and "nn" not in parts and parts[-1] in _TENSOR_FUNCTIONS
        if by_torch and not of_tensors:
            found.setdefault(name, where)
        if "optim" in parts[:-1] and parts[parts.index("optim") + 1] not in (
            "Optimizer", "lr_scheduler", "optimizer",
        ):  # fmt: skip
            found.setdefault(name, where)
    for name, where in source.imports().items():
        last = name.split(".")[-1]
        if re.match(r"torch\.nn\.[A-Z]", name) and last not in _MODULES_ALLOWED:
            found.setdefault(name, where)
        if re.match(r"torch\.optim\.[A-Z]", name) and last != "Optimizer":
            found.setdefault(name, where)
        if name.startswith(("torchvision.models", "timm", "tensorflow", "keras")):
            found.setdefault(name, where)
    shown = listed([f"{name} at {where}" for name, where in found.items()], 3)
    yield Verdict(source.name, rule, not found, shown)
