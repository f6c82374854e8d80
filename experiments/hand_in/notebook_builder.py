"""The notebooks that are handed in, built from Markdown; `notebook_runner` executes them.

`notebook_sources/NAME.md` is what stands in one. A line `<<shared/PART.md>>` stands for that file,
and a comment `# <<MARK>>` for lines of code that follow from the lab's settings.
"""

import re
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from funcnn import random
from funcnn.experiments.data.catalog import SETS
from funcnn.experiments.extras import require
from funcnn.experiments.hand_in.standalone.writer import augmented_source
from funcnn.experiments.labs import (
    emnist47,
    fashion,
    fashion_mlp_settings,
    mnist,
    points_settings,
)
from funcnn.experiments.labs.lab import Trial
from funcnn.experiments.reports.document import Facts
from funcnn.experiments.tasks.augmentations import NONE, augmentation_numbers
from funcnn.experiments.tasks.build import build_network
from funcnn.experiments.tasks.config import RunConfig

_SOURCES = Path(__file__).resolve().parent / "notebook_sources"
EXTRA = "notebooks"
_IMAGE = (1, 28, 28)
_NAMES = (
    r"(?<![./])\b(layer|network|network_nn|network_cnn|submission)\b(?= import\b|\.(?:py|pt|csv)\b)"
)
"""The modules and files whose names a lab has a say in, where a notebook names them.

Not in the package `model`, which has names of its own.
"""


class Notebook(NamedTuple):
    """One of them: which networks it trains, and with what."""

    lab: str
    backend: str
    trials: Mapping[str, Trial]
    """The networks by the names that it calls them."""
    settings: tuple[str, ...]
    """Those that it states, as fields of `RunConfig`."""
    data: str | None = None
    """The published set that it finds or downloads."""
    called: Mapping[str, str] = {"lr": "LEARNING_RATE"}
    """What it calls these settings; the others as their fields, in capitals."""


_SHEETS = {"epochs": "EPOCH", "batch_size": "Batch_size", "lr": "Learning_rate"}
"""The names of settings in the sheets of `fashion` and `emnist47`."""
_OF_SGD = ("batch_size", "lr", "momentum", "weight_decay")
NOTEBOOKS = {
    "points": Notebook("points", "numpy", {"": points_settings.MAIN["xor"]}, ("epochs",)),
    "fashion-numpy": Notebook(
        "fashion", "numpy", {"": fashion.CNN}, ("epochs",), "fashion-mnist", _SHEETS
    ),
    "fashion-torch": Notebook(
        *("fashion", "torch", {"": fashion.CNN}),
        ("epochs", "batch_size", "lr"),
        "fashion-mnist",
        _SHEETS,
    ),
    "emnist47": Notebook("emnist47", "numpy", {"": emnist47.CNN}, ("epochs",), called=_SHEETS),
    "mnist-numpy": Notebook(
        "mnist", "numpy", {"NN": mnist.NN, "CNN": mnist.CNN}, ("epochs",), "mnist"
    ),
    "mnist-torch": Notebook(
        *("mnist", "torch", {"NN": mnist.NN, "CNN": mnist.CNN}),
        ("epochs", *_OF_SGD),
        "mnist",
    ),
    "fashion-mlp": Notebook(
        *("fashion-mlp", "torch", {"": fashion_mlp_settings.MAIN}),
        ("epochs", *_OF_SGD),
        "fashion-mnist",
    ),
}
"""Every notebook by its name, which is that of its source."""


def layers_of(name: str) -> frozenset[str]:
    """What a notebook imports from `layer.py`, which so has it, whatever its network is made of."""
    lines = re.findall(r"^ *from (?:model\.)?layer import (.+)$", _text(name), re.M)
    return frozenset(", ".join(lines).split(", ")) - {""}


def lab_configs(name: str, **changed: Any) -> dict[str, RunConfig]:
    """The settings of a notebook's networks as the lab has them, but for the changed ones.

    By the names of their trials.
    """
    trials = NOTEBOOKS[name].trials.values()
    return {trial.name: RunConfig.resolve({**trial.settings, **changed}) for trial in trials}


def build(
    name: str,
    configs: Mapping[str, RunConfig],
    *,
    names: Mapping[str, str] | None = None,
    images: int | None = None,
    author: Facts = (),
    trains: bool = True,
) -> bytes:
    """A notebook of `NOTEBOOKS`, without outputs; the same arguments give the same bytes.

    configs: the settings of its networks, all of one seed, which settles what is set aside for
    validation, by the names of their trials; as of `lab_configs`, or of the runs whose params are
    going to lie beside it.
    names: what `layer`, `network`, `network_nn`, `network_cnn` and `submission` are called instead.
    images: to try it out, on the first so many images.
    author: who hands it in, to stand under the title.
    trains: False if the params beside it are to be taken as they are, where it leaves a choice.
    Raises `InputError` if the extra is missing, or torch where the notebook shows a module of it.
    """
    for package in ("jupytext", "nbformat"):
        require(package, EXTRA)
    import jupytext
    import nbformat

    text = _text(name)
    _expect_augmentations(text, NOTEBOOKS[name], configs)
    text = _filled(text, _marks(NOTEBOOKS[name], configs, images, trains))
    text = re.sub(_NAMES, lambda match: (names or {}).get(match[0], match[0]), text)
    notebook = jupytext.reads(text, fmt="md")
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.cells[0].source = signed(notebook.cells[0].source, author)
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", {}
    return as_bytes(notebook)


def signed(text: str, author: Facts) -> str:
    """A title and what follows, with whoever wrote it in between, whatever signs a name has."""
    if not author:
        return text
    title, _, rest = text.partition("\n")
    stands = [(name, re.sub(r"([\\`*_\[\]<>$#&~|])", r"\\\1", value)) for name, value in author]
    line = " · ".join(f"**{name}** {value}" for name, value in stands)
    return f"{title}\n\n{line}\n{rest}"


def as_bytes(notebook: Any) -> bytes:
    """A notebook as the file of it."""
    import nbformat

    text: str = nbformat.writes(notebook)
    return (text.rstrip("\n") + "\n").encode()


# --- what stands for the marks ---------------------------------------------------------------


def _text(name: str) -> str:
    """The source of a notebook with its parts in it."""
    return _included((_SOURCES / f"{name}.md").read_text("utf-8"))


def _included(text: str) -> str:
    def content(match: re.Match[str]) -> str:
        return _included((_SOURCES / match[1]).read_text("utf-8").rstrip("\n"))

    return re.sub(r"^<<(shared/\w+\.md)>>$", content, text, flags=re.M)


def _filled(text: str, marks: Mapping[str, Callable[[], str]]) -> str:
    return re.sub(
        r"^( *)# <<(\w+)>>$",
        lambda each: textwrap.indent(marks[each[2]](), each[1]),
        text,
        flags=re.M,
    )


def _expect_augmentations(text: str, notebook: Notebook, by_trial: Mapping[str, RunConfig]) -> None:
    """Raise `ValueError` where a notebook that trains by itself would leave images as they are."""
    for name, trial in notebook.trials.items() if notebook.backend == "torch" else ():
        augment = by_trial[trial.name].augment
        mark = f"# <<augmented_{name.lower()}>>" if name else "# <<augment>>"
        if augment != NONE and mark not in text:
            raise ValueError(f"the notebook has no place for {augment} of the trial {trial.name}")


def _marks(
    notebook: Notebook, by_trial: Mapping[str, RunConfig], images: int | None, trains: bool
) -> dict[str, Callable[[], str]]:
    """What makes the lines for each mark."""
    configs = {name: by_trial[trial.name] for name, trial in notebook.trials.items()}
    (seed,) = {config.seed for config in configs.values()}
    marks = {
        "settings": lambda: _settings(configs, notebook, seed, images),
        "split": lambda: _split_keys(seed),
        "addresses": lambda: _addresses(notebook.data or ""),
        "hidden": lambda: f"HIDDEN = {configs[''].hidden!r}",
        "augment": lambda: _augment(configs[""]),
        "smoothing": lambda: f"SMOOTHING = {configs[''].label_smoothing!r}",
        "train": lambda: (
            f"TRAIN = {trains}  # False: the params beside this notebook are taken as they are"
        ),
    }
    for name, config in configs.items():
        mark = f"module_{name.lower()}" if name else "module"
        marks[mark] = lambda config=config: _module(config)  # type: ignore[misc]
        marks["net"] = lambda config=config: _net(config)  # type: ignore[misc]
        if name:
            mark = f"augmented_{name.lower()}"
            marks[mark] = lambda config=config: augmented_source(config)  # type: ignore[misc]
    return marks


def _settings(
    configs: Mapping[str, RunConfig], notebook: Notebook, seed: int, images: int | None
) -> str:
    lines = []
    for name in notebook.settings:
        values = {network: getattr(config, name) for network, config in configs.items()}
        value = values if len(values) > 1 else next(iter(values.values()))
        lines.append(f"{notebook.called.get(name, name.upper())} = {value!r}")
    if notebook.lab != "points":
        lines.insert(0, f"SEED = {seed}  # of first weights, and of what is drawn in training")
        lines.append(f"IMAGES = {images}  # the first so many of each part, to be quick; None: all")
    return "\n".join(lines).replace("'", '"')


def _augment(config: RunConfig) -> str:
    """What `myMLP` does with its images. Raises `ValueError` for what it has not: other changes."""
    named = augmentation_numbers(config.augment)
    if [name for name, _ in named] not in ([], ["shift"], ["erase"], ["shift", "erase"]):
        raise ValueError(f"the notebook's myMLP has no {config.augment}: shift, then erase")
    numbers = dict(named)
    erase = tuple(numbers["erase"].values()) if "erase" in numbers else None
    shift = numbers.get("shift", {"most": 0})["most"]
    return f"SHIFT = {shift!r}\nERASE = {erase!r}"


def _split_keys(seed: int) -> str:
    """The keys of `load_dataset` for this seed."""
    rng, _ = random.split(random.fold_in(random.key(seed), 0))
    keys = [
        int.from_bytes(random.fold_in(rng, index).bits, "little")
        for index in range(len(SETS["mnist"].class_names))
    ]
    return "\n".join(["SPLIT_KEYS = (", *(f"    0x{key:032X}," for key in keys), ")"])


def _addresses(data: str) -> str:
    published = SETS[data]
    sums = (f'    "{file.name}": "{file.sha256}",' for file in published.files)
    lines = [f'DATA = "{data}"', f'PUBLISHER = "{published.url}"']
    lines += ["CLASSES = (", *(f'    "{name}",' for name in published.class_names), ")"]
    return "\n".join([*lines, "SHA256 = {  # of the unpacked bytes", *sums, "}"])


def _module(config: RunConfig) -> str:
    require("torch")
    from funcnn.experiments.pytorch.mirror import definition

    model = build_network(config, _IMAGE, len(SETS[config.data].class_names))
    return definition(model, _IMAGE).split("\n\n\n")[-1].rstrip().replace("'", '"')


def _net(config: RunConfig) -> str:
    """The module as the sheet of `fashion` has it: a class `Net`, and `net`."""
    layers = textwrap.indent(_module(config).removeprefix("model = "), " " * 8).lstrip()
    return "\n".join(
        (
            "class Net(nn.Module):",
            '    """The network of part 1: normalised images (N, 1, 28, 28) to outputs (N, 10)."""',
            "",
            "    def __init__(self):",
            "        super().__init__()",
            f"        self.layers = {layers}",
            "",
            "    def forward(self, x):",
            "        return self.layers(x)",
            "",
            "",
            "net = Net()",
        )
    )
