"""The settings that the lab `fashion-mlp` tries: the recipe, and at a sixth of it what is changed.

The whole schedule is for what is handed in, and for the same on other data. What is tried beside it
is trained for a sixth of its epochs, and held against `OURS`, the recipe of that length.
"""

from typing import Any

from funcnn.experiments.data.emnist47 import EMNIST47
from funcnn.experiments.errors import sizes_text
from funcnn.experiments.labs.lab import Trial
from funcnn.experiments.tasks.augmentations import NONE
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.recipes import RECIPES

MAIN = Trial("mlp", RECIPES["fashion-mlp"].settings, main=True)
_RECIPE = RunConfig.resolve(MAIN.settings)
OURS = MAIN.in_numpy("sixth", epochs=max(1, _RECIPE.epochs // 6))

SIZES = {
    "-".join(map(str, hidden)): OURS.in_numpy(f"hidden-{sizes_text(hidden)}", hidden=hidden)
    for hidden in ([32], [64, 32], [128, 64], [256, 128])
}
_STABLE = 0.05  # the learning rate at which all of them learn: at the recipe's some diverge
ACTIVATIONS = {
    name: OURS.in_numpy(f"activation-{name}", activation=name, lr=_STABLE)
    for name in (
        *("identity", "binary-step", "sigmoid", "tanh", "arctan"),
        *("relu", "prelu", "elu", "softplus"),
    )
}
MOMENTUM = {
    "the lab's, constant rate": OURS.in_numpy("lab-constant", schedule="constant"),
    "PyTorch's, constant rate": OURS.in_numpy(
        "torch-constant", optimizer="sgd", schedule="constant"
    ),
    "PyTorch's, falling rate": OURS.in_numpy("torch-falling", optimizer="sgd"),
}
OTHERS = {
    "MNIST": MAIN.in_numpy("on-mnist", data="mnist"),
    "EMNIST, 47 classes": MAIN.in_numpy("on-emnist", data=EMNIST47),
}

_AUGMENTATIONS = {"shifts": "shift", "flips": "flip", "erasing": "erase"}
_PARTS = [] if _RECIPE.augment == NONE else _RECIPE.augment.split("+")


def _augmented(*parts: str) -> dict[str, Any]:
    return {"augment": "+".join(parts) or NONE}


_LEFT_OUT = {
    **{
        word: _augmented(*(part for part in _PARTS if part.partition("=")[0] != name))
        for word, name in _AUGMENTATIONS.items()
    },
    "label smoothing": {"label_smoothing": 0.0},
    "weight decay": {"weight_decay": 0.0},
    "averaging": {"average": 0.0},
}
WITHOUT = {
    word: OURS.in_numpy(f"without-{word.replace(' ', '-')}", **changed)
    for word, changed in _LEFT_OUT.items()
    if any(getattr(_RECIPE, name) != value for name, value in changed.items())
} | {"the falling rate": MOMENTUM["the lab's, constant rate"]}
"""What it comes to without each of its ingredients."""
WITH = {
    word: OURS.in_numpy(f"with-{word}", **_augmented(*_PARTS, _AUGMENTATIONS[word]))
    for word in ("flips",)
    if word not in WITHOUT
}
"""And with more."""

TRIALS = tuple(
    {
        trial.name: trial
        for trial in (
            *(MAIN, OURS),
            *WITHOUT.values(),
            *WITH.values(),
            *SIZES.values(),
            *MOMENTUM.values(),
            *OTHERS.values(),
            *ACTIVATIONS.values(),
        )
    }.values()
)
