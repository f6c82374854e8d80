"""The settings that the lab `fashion-mlp` tries: the recipe, and at a sixth of it what is changed.

The whole schedule is for what is handed in, and for the same on other data. What is tried beside it
is trained for a sixth of its epochs, and held against `OURS`, the recipe of that length.
"""

from funcnn.experiments.data.emnist47 import EMNIST47
from funcnn.experiments.errors import sizes_text
from funcnn.experiments.labs.ingredients import ingredients_of
from funcnn.experiments.labs.lab import Trial
from funcnn.experiments.tasks.recipes import RECIPES

MAIN = Trial("mlp", RECIPES["fashion-mlp"].settings, main=True)
INGREDIENTS = ingredients_of(MAIN, also=["flips"])
OURS = INGREDIENTS.ours

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
    "the lab's, constant rate": INGREDIENTS.without["the falling rate"],
    "PyTorch's, constant rate": OURS.in_numpy(
        "torch-constant", optimizer="sgd", schedule="constant"
    ),
    "PyTorch's, falling rate": OURS.in_numpy("torch-falling", optimizer="sgd"),
}
OTHERS = {
    "MNIST": MAIN.in_numpy("on-mnist", data="mnist"),
    "EMNIST, 47 classes": MAIN.in_numpy("on-emnist", data=EMNIST47),
}

TRIALS = tuple(
    {
        trial.name: trial
        for trial in (
            *INGREDIENTS.trials,
            *SIZES.values(),
            *MOMENTUM.values(),
            *OTHERS.values(),
            *ACTIVATIONS.values(),
        )
    }.values()
)
