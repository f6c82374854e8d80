"""Rules on what a hand-in may stand on."""

import re
import sys
from collections.abc import Iterable, Iterator

from funcnn.experiments.grade.python_sources import Source
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
_BY_THE_SHEET = {"model", "layer", "network"}
"""What the sheets call a student's own modules."""
_INSTALLS = re.compile(r"\b(pip3?|conda|mamba|apt(-get)?)[\"',\s]+(-[\w-]+[\"',\s]+)*install\b")
_SHELL = re.compile(r"[!%]|(pip3?|conda)\s|.*\b(system|run|call|check_\w+|Popen|getoutput)\(")
_SHELL_CELL = re.compile(r"\s*%%(bash|sh|script)\b")

_MODULES_ALLOWED = {
    "Module", "Linear", "Sequential", "Parameter", "ModuleList", "ParameterList", "ModuleDict",
    "Identity", "Flatten",
}  # fmt: skip
"""Of `torch.nn`: what holds a module together, and `Linear`."""
_FUNCTIONS_ALLOWED = {"linear", "one_hot", "pad", "normalize"}
"""Of `torch.nn.functional`."""
_BY_HAND = re.compile(
    r"relu6?|leaky_relu|elu|selu|celu|gelu|silu|softplus|prelu|cross_entropy|nll_loss|"
    r"log_softmax|softmax|hardtanh|mish|logsigmoid"
)
"""Functions that are an activation or a loss, and not one of numbers, as tanh is."""
_TRAINED = ("torchvision.models.", "torch.hub.", "timm.", "tensorflow.", "keras.")
_USUAL = {"torch": {"torch"}, "nn": {"torch.nn"}, "F": {"torch.nn.functional"}}


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
    work: Work, sources: Iterable[Source], rule: str, allowed: set[str] | None = None
) -> Iterator[Verdict]:
    """Each of these is written without a framework."""
    own = {part for path in work.sources for part in path.removesuffix(".py").split("/")}
    own |= _BY_THE_SHEET
    for source in sources:
        wrong = forbidden(source, None if allowed is None else allowed | own - _FRAMEWORKS)
        if source.faults and not source.pieces:
            yield Verdict(source.name, rule, None, source.faults[0].text)
            continue
        dynamic = [f"{call} at {at}" for call, at in source.calls().items() if call in _DYNAMIC]
        if wrong:
            found = listed([f"{name} at {where}" for name, where in wrong.items()], 3)
            yield Verdict(source.name, rule, False, found)
        elif dynamic:
            yield Verdict(source.name, rule, None, f"it may import more: {listed(dynamic, 2)}")
        else:
            roots = sorted(source.roots() - {""} - set(sys.stdlib_module_names))
            yield Verdict(source.name, rule, True, f"imports {listed(roots)}" if roots else "")


def kinds_rule(
    work: Work, kinds: Iterable[str], rule: str, allowed: set[str] | None = None
) -> Iterator[Verdict]:
    """`scratch_rule` for files that the sheet names, and those of one's own that they import."""
    named = {file.path for file in work.files.values()}
    others = {path: _module(path) for path in work.sources if path.endswith(".py")}
    found = [work.files[kind].path for kind in kinds if kind in work.files]
    found = [path for path in found if path in work.sources]
    for path in found:  # which grows
        imported = {part for name in work.sources[path].imports() for part in name.split(".")}
        found += [p for p, m in others.items() if m in imported and p not in {*named, *found}]
    yield from scratch_rule(work, [work.sources[path] for path in found], rule, allowed)


def _module(path: str) -> str:
    """What a file is imported as, without the folders around it."""
    return path.removesuffix(".py").removesuffix("/__init__").split("/")[-1]


def nothing_installed_rule(work: Work) -> Iterator[Verdict]:
    """A notebook installs nothing."""
    for path, notebook in work.notebooks.items():
        rule = "runs in Colab, with nothing installed that Colab lacks"
        found = []
        for cell in notebook.cells:
            lines = [line.strip() for line in cell.source.splitlines()]
            if not _SHELL_CELL.match(cell.source):
                lines = [line for line in lines if _SHELL.match(line)]
            found += [each for each in lines if each[:1] != "#" and _INSTALLS.search(each)]
        name = path.rsplit("/", 1)[-1]
        yield Verdict(name, rule, not found, listed(found, 2) if found else "it installs nothing")


def linear_only_rule(work: Work) -> Iterator[Verdict]:
    """Of torch a notebook uses `nn.Linear` and tensor functions alone."""
    source = work.source("notebook")
    if source is None:
        return
    rule = "tensor functions and nn.Linear only: activation, loss and optimizer by hand"
    others, own = source.roots() - {"torch"}, source.defined()
    found: dict[str, str] = {}
    for where, name in source.uses(_USUAL):
        root, last = name.split(".")[0], name.split(".")[-1]
        by_hand = _BY_HAND.fullmatch(last) and root not in others
        if _of_torch(name) or (by_hand and (root == "torch" or last not in own)):
            found.setdefault(name, where)
    for name, where in source.imports().items():
        if _of_torch(name):
            found.setdefault(name, where)
    shown = listed([f"{name} at {where}" for name, where in found.items()], 3)
    yield Verdict(source.name, rule, not found, shown)


def _of_torch(name: str) -> bool:
    """Whether this, by its full name, is a module, a function or an optimizer that torch brings."""
    if f"{name}.".startswith(_TRAINED):
        return True
    classes = [part for part in name.split(".") if part[:1].isupper()]
    if name.startswith("torch.nn.functional."):
        return name.split(".")[3] not in _FUNCTIONS_ALLOWED
    if name.startswith("torch.nn.") and classes:
        return classes[0] not in _MODULES_ALLOWED
    if name.startswith("torch.optim.") and classes:
        return classes[0] != "Optimizer" and not name.startswith("torch.optim.lr_scheduler.")
    return False
