"""The settings that the lab `points` tries: those of its two networks, and what is changed."""

from funcnn.experiments.labs.lab import Trial

MAIN = {
    name: Trial(name, {"arch": "points", "init": "shared", "data": f"points-{name}"}, main=True)
    for name in ("linear", "xor")
}
_XOR = MAIN["xor"]


# Optimizers that scale a step by its size take a smaller rate.
_OPTIMIZERS = {
    "nesterov": 0.5,
    "classical-momentum": 0.5,
    "adagrad": 0.1,
    "rmsprop": 0.01,
    "adam": 0.02,
    "adamw": 0.02,
    "adamax": 0.02,
    "sm3": 0.1,
}
_ACTIVATIONS = ("tanh", "arctan", "relu", "leaky-relu", "elu", "softplus", "silu")

EXTRAS = {
    "rates": {
        f"rate {lr:g}": _XOR if lr == 0.5 else _XOR.in_numpy(f"lr-{lr:g}", lr=lr)
        for lr in (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
    },
    "units": {
        f"{units} and {units} units": _XOR
        if units == 4
        else _XOR.in_numpy(f"hidden-{units}", hidden=[units, units])
        for units in (1, 2, 4, 8, 16)
    },
    "no-activation": {
        f"none, {name}, rate 0.05": trial.in_numpy(
            f"no-activation-{name}", activation="identity", lr=0.05
        )
        for name, trial in MAIN.items()
    },
    "optimizers": {
        "gradient_descent, rate 0.5": _XOR.in_numpy("optimizer-gradient-descent", momentum=0.0),
        "sgd, rate 0.5": _XOR,
        **{
            f"{name.replace('-', '_')}, rate {lr:g}": _XOR.in_numpy(
                f"optimizer-{name}", optimizer=name, lr=lr
            )
            for name, lr in _OPTIMIZERS.items()
        },
    },
    "activations": {
        "sigmoid, rate 0.5": _XOR,
        **{
            f"{name.replace('-', '_')}, rate 0.1": _XOR.in_numpy(
                f"activation-{name}", activation=name, lr=0.1
            )
            for name in _ACTIVATIONS
        },
    },
    "convolution": {
        f"convolution, {name}": trial.in_numpy(f"conv-{name}", arch="points-conv")
        for name, trial in MAIN.items()
    },
}
"""The settings beside the two main ones, as `main.py` calls them."""

ALL = {trial.name: trial for of in (MAIN, *EXTRAS.values()) for trial in of.values()}
"""Each of them once, by its own name."""
