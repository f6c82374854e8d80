"""What other libraries call things, to say in an error what to write here: there are no aliases."""

import functools
import inspect
import re
import sys
from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypeVar

from funcnn._written import name_of, written

P = ParamSpec("P")
R = TypeVar("R")

signature = functools.cache(inspect.signature)  # of the constructors here, which are few

SUBMODULES = (
    "activations",
    "augmentations",
    "initializers",
    "random",
    "schedules",
    "threads",
    "tree",
    "views",
)
"""Those whose functions are not at the top of `funcnn`."""

# --- names -----------------------------------------------------------------------------------

_NAMES = {
    "adaptiveavgpool": "fn.GlobalAvgPool()",
    "adaptivemaxpool": "fn.GlobalMaxPool()",
    "add": "fn.FanInSum()",
    "averagepooling": "fn.AvgPool(kernel_size)",
    "batchnormalization": "fn.BatchNorm()",
    "bceloss": "fn.binary_cross_entropy",
    "bcewithlogitsloss": "fn.binary_cross_entropy_with_logits",
    "clipgradnorm": "fn.clip_by_global_norm(max_norm)",
    "clipgradvalue": "fn.clip_by_value(max_value)",
    "compose": "fn.augmentations.chain(*augmentations)",
    "concatenate": "fn.FanInConcat(dim)",
    "conv2dtranspose": "fn.ConvTranspose(out_channels, kernel_size)",
    "cosineannealinglr": "fn.schedules.cosine_decay(init_value, decay_steps)",
    "crossentropy": "fn.softmax_cross_entropy",
    "crossentropyloss": "fn.softmax_cross_entropy",
    "dataloader": "fn.batches(data, batch_size, rng=key)",
    "dropout1d": "fn.Dropout(rate, by_channel=True)",
    "dropout2d": "fn.Dropout(rate, by_channel=True)",
    "dropout3d": "fn.Dropout(rate, by_channel=True)",
    "elastictransform": "fn.augmentations.elastic(alpha, sigma)",
    "exponentiallr": "fn.schedules.exponential_decay(init_value, decay_steps, decay_rate)",
    "fuseconvbneval": "fn.fold_batch_norm(model, params)",
    "fuselinearbneval": "fn.fold_batch_norm(model, params)",
    "fusemodules": "fn.fold_batch_norm(model, params)",
    "generalconv": "fn.Conv(out_channels, kernel_size)",
    "globalaveragepooling": "fn.GlobalAvgPool()",
    "globalmaxpooling": "fn.GlobalMaxPool()",
    "globalnorm": "np.linalg.norm(fn.tree.ravel(tree)[0])",
    "grad": "fn.value_and_grad(apply, loss)",
    "hflip": "fn.views.mirrored(x)",
    "huberloss": "fn.huber",
    "layernormalization": "fn.LayerNorm()",
    "linear": "fn.Dense(out_features)",
    "lrfind": "fn.range_test(apply, loss, optimizer, params, batches)",
    "lrfinder": "fn.range_test(apply, loss, optimizer, params, batches)",
    "maxpooling": "fn.MaxPool(kernel_size)",
    "module": "fn.serial(*layers), or fn.Layer(init, apply)",
    "jit": "the function as it is: nothing is compiled",
    "joinschedules": "fn.schedules.join(schedules, boundaries)",
    "kaimingnormal": "fn.initializers.he_normal()",
    "kaiminguniform": "fn.initializers.he_uniform()",
    "momentum": "fn.sgd(learning_rate, momentum=0.9)",
    "mseloss": "fn.mean_squared_error",
    "multimarginloss": "fn.multiclass_hinge",
    "multitransform": "fn.partition(optimizers, labels)",
    "nllloss": "fn.softmax_cross_entropy, of logits",
    "nn": "fn.Dense, fn.Relu, fn.softmax_cross_entropy: all are at the top",
    "nograd": "apply(params, x, wrt=None)",
    "onecyclelr": "fn.schedules.one_cycle(peak_value, total_steps)",
    "optim": "fn.sgd, fn.adam: all are at the top",
    "prngkey": "fn.random.key(seed)",
    "randomaffine": "fn.augmentations.affine(degrees, scale, shear, shift)",
    "randomcrop": "fn.augmentations.shift(most)",
    "randomerasing": "fn.augmentations.erase()",
    "randomflip": "fn.augmentations.flip()",
    "randomhorizontalflip": "fn.augmentations.flip()",
    "randomrotation": "fn.augmentations.affine(degrees)",
    "randomtranslation": "fn.augmentations.shift(most)",
    "sequential": "fn.serial(*layers)",
    "settozero": "fn.freeze(mask)",
    "sigmoidbinarycrossentropy": "fn.binary_cross_entropy_with_logits",
    "smoothl1loss": "fn.huber",
    "softmaxcrossentropywithintegerlabels": "fn.softmax_cross_entropy",
    "steplr": "fn.schedules.piecewise_constant(init_value, boundaries_and_scales)",
    "swish": "fn.Silu()",
    "transforms": "fn.augmentations.chain(*augmentations)",
    "unflatten": "fn.Reshape(shape)",
    "variancescaling": "fn.initializers.he_normal(), glorot_normal() or lecun_normal()",
    "vjp": "apply(params, x), which gives (y, vjp)",
    "vmap": "fn.per_example_grads(apply, loss); apply itself takes batches",
    "xaviernormal": "fn.initializers.glorot_normal()",
    "xavieruniform": "fn.initializers.glorot_uniform()",
}
"""By the name in lower case, without underscores, and without a 2d in the end that says nothing."""


def no_attribute(module: str, name: str, public: Collection[str]) -> AttributeError:
    """The error for a name that a module has not, with what to write if another library has it.

    module: `funcnn`, or one of those in it, such as `funcnn.tree`. public: the names of `funcnn`.
    """
    ours = {_plain(known): known for known in _in_submodules()}
    ours |= {_plain(known): f"fn.{known}" for known in public}
    own = {_plain(known): known for known in _in_submodules(module)}
    plain = _plain(name)
    for known in (plain, re.sub(r"[123]d$|^tree|schedule$", "", plain)):
        instead = own.get(known) or _NAMES.get(known) or ours.get(known)
        if instead:
            return AttributeError(f"{module} has no {name}: write {instead}")
    message = f"module {module!r} has no attribute {name!r}"
    return AttributeError(message, name=name, obj=sys.modules[module])  # Python names the nearest


def _in_submodules(only: str = "") -> list[str]:
    """`fn.tree.map`, and all other functions that are not at the top."""
    return [
        f"fn.{short}.{name}"
        for short in SUBMODULES
        if only in ("", f"funcnn.{short}")
        for name, value in vars(sys.modules[f"funcnn.{short}"]).items()
        if callable(value) and name[0].islower() and value.__module__ == f"funcnn.{short}"
    ]


def _plain(name: str) -> str:
    return name.rpartition(".")[2].replace("_", "").lower()


# --- arguments -------------------------------------------------------------------------------

_RENAMED = {
    "alpha": ("negative_slope",),
    "axis": ("dim",),
    "beta1": ("b1",),
    "beta2": ("b2",),
    "dilationrate": ("dilation",),
    "epsilon": ("eps",),
    "features": ("out_features", "out_channels"),
    "filters": ("out_channels",),
    "lr": ("learning_rate",),
    "p": ("rate",),
    "poolsize": ("kernel_size",),
    "rho": ("alpha",),
    "std": ("stddev",),
    "stepsize": ("learning_rate",),
    "strides": ("stride",),
    "units": ("out_features",),
    "usebias": ("bias",),
    "winit": ("weight_init",),
    "key": ("rng",),
    "kernelinit": ("weight_init",),
    "kernelinitializer": ("weight_init",),
    "binit": ("bias_init",),
    "biasinitializer": ("bias_init",),
    "windowshape": ("kernel_size",),
}
_INPUTS = "the size of the input is in init's shape: model.init(rng, input_shape)"
_ADVICE = {
    "activation": "put it after the layer, as one of its own: fn.Relu()",
    "betas": "write b1=..., b2=...",
    "dtype": "it is init that takes one: init(rng, input_shape, dtype=dtype)",
    "inchannels": _INPUTS,
    "infeatures": _INPUTS,
    "hasaux": "it gives ((value, aux), grads) always",
    "inplace": "nothing is changed in place here",
    "inputshape": _INPUTS,
    "nesterov": "write fn.nesterov(learning_rate, momentum)",
    "normalizedshape": "write normalized_dims, the number of last axes",
    "numchannels": _INPUTS,
    "numfeatures": _INPUTS,
    "params": "they are given to init: fn.TrainState.create(params, optimizer)",
    "shuffle": "write rng=fn.random.key(0), and each pass is shuffled",
    "weightdecay": "write fn.chain(fn.add_decayed_weights(weight_decay), optimizer)",
}
_TOO_MANY = {
    "batches": "data is a pair (x, y)",
    **dict.fromkeys(("BatchNorm", "Conv", "ConvTranspose", "Dense", "GroupNorm"), _INPUTS),
}
"""What those are told who give too much: other libraries tell layers how large inputs are."""


def answered(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that is called once: wrong arguments are answered as by `bind`."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bind(function, args, kwargs)
        return function(*args, **kwargs)

    return call


def bind(
    make: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> inspect.BoundArguments:
    """The arguments by the names of the parameters of `make`.

    Raises `TypeError`, with what to write, for what is none of its arguments.
    """
    known = signature(make).parameters
    for name, value in kwargs.items():
        if name not in known:
            instead = _instead(name, value, known) or _takes(make)
            raise TypeError(f"{name_of(make)} has no argument {name!r}: {instead}")
    try:
        return signature(make).bind(*args, **kwargs)
    except TypeError as error:
        message = f"{name_of(make)}: {error}: {_takes(make)}"
        if not str(error).startswith("missing") and make.__name__ in _TOO_MANY:
            message += f"; {_TOO_MANY[make.__name__]}"
        raise TypeError(message) from None


def _instead(name: str, value: Any, known: Collection[str]) -> str | None:
    for ours in _RENAMED.get(_plain(name), ()):
        if ours in known:
            return f"write {ours}={written(value)}"
    return _ADVICE.get(_plain(name))


def _takes(make: Callable[..., Any]) -> str:
    """What a constructor takes, as its signature says it."""
    plain = [
        parameter.replace(annotation=parameter.empty)
        for parameter in signature(make).parameters.values()
    ]
    return f"it is {name_of(make)}{inspect.Signature(plain)}"
