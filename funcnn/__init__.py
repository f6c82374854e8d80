"""funcnn: neural networks of pure functions, in NumPy.

A layer is a pair of pure functions, `init(rng, input_shape)` and `apply(params, x)`; `apply`
returns the output and its vjp, the function that carries a gradient back. `serial` composes
layers, optimizers transform gradients, a training step maps a state and a batch to a new state.

    import funcnn as fn

    model = fn.serial(fn.Flatten(), fn.Dense(128), fn.Relu(), fn.Dense(10))
    out_shape, params = model.init(fn.random.key(0), (1, 28, 28))
"""

import functools as _functools
import typing as _typing

from funcnn import (
    _elsewhere,
    activations,
    augmentations,
    initializers,
    random,
    schedules,
    threads,
    tree,
    views,
)
from funcnn._snapshot_trees import SnapshotError
from funcnn.batching import batches, prefetch
from funcnn.checks import check_layer
from funcnn.compiled.apply import compile_apply
from funcnn.evaluation import evaluate, predict
from funcnn.folding import fold_batch_norm
from funcnn.gradcheck import CheckFailure, check_vjp
from funcnn.introspection import inner_gradients, inner_outputs, per_example_grads, summary
from funcnn.layers.activation import (
    ArcTan,
    BinaryStep,
    Elu,
    Exp,
    Gelu,
    HardSigmoid,
    HardTanh,
    Identity,
    LeakyRelu,
    LogSoftmax,
    Relu,
    Selu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Tanh,
    elementwise,
)
from funcnn.layers.batch_norm import BatchNorm
from funcnn.layers.branches import FanInConcat, FanInSum, FanOut
from funcnn.layers.combinators import parallel, residual, serial, shape_dependent
from funcnn.layers.convolution import Conv, ConvTranspose
from funcnn.layers.core import Dense, Dropout, Flatten, PRelu, Reshape
from funcnn.layers.normalization import GroupNorm, LayerNorm
from funcnn.layers.pooling import AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool, SumPool
from funcnn.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    half_squared_error,
    hinge,
    huber,
    mean_squared_error,
    multiclass_hinge,
    softmax_cross_entropy,
    weighted,
)
from funcnn.metrics import (
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    precision,
    predicted_classes,
    recall,
    top_k_accuracy,
)
from funcnn.optimizers.aliases import (
    adagrad,
    adam,
    adamax,
    adamw,
    classical_momentum,
    nesterov,
    rmsprop,
    sgd,
    sm3,
)
from funcnn.optimizers.base import (
    Optimizer,
    apply_updates,
    average_params,
    averaged_params,
    chain,
)
from funcnn.optimizers.parts import flatten, freeze, masked, partition, weight_mask
from funcnn.optimizers.scaling import (
    scale_by_adam,
    scale_by_adamax,
    scale_by_rms,
    scale_by_rss,
    scale_by_sm3,
)
from funcnn.optimizers.transforms import (
    add_decayed_weights,
    clip_by_global_norm,
    clip_by_value,
    scale,
    scale_by_learning_rate,
    scale_by_schedule,
    trace,
)
from funcnn.rate_range import range_test
from funcnn.snapshots import Snapshot, load, save
from funcnn.spec import constructor, from_spec
from funcnn.training import (
    TrainState,
    make_train_step,
    value_and_grad,
    write_statistics,
)
from funcnn.types import Layer

__version__ = "0.1.0"

if not _typing.TYPE_CHECKING:  # which would take any name to be there

    def __getattr__(name, module=__name__):
        raise _elsewhere.no_attribute(module, name, __all__)

    _modules = (activations, augmentations, initializers, random, schedules, threads, tree, views)
    for _module in _modules:
        _module.__getattr__ = _functools.partial(__getattr__, module=_module.__name__)


__all__ = [
    "ArcTan",
    "AvgPool",
    "BatchNorm",
    "BinaryStep",
    "CheckFailure",
    "Conv",
    "ConvTranspose",
    "Dense",
    "Dropout",
    "Elu",
    "Exp",
    "FanInConcat",
    "FanInSum",
    "FanOut",
    "Flatten",
    "Gelu",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "HardSigmoid",
    "HardTanh",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyRelu",
    "LogSoftmax",
    "MaxPool",
    "Optimizer",
    "PRelu",
    "Relu",
    "Reshape",
    "Selu",
    "Sigmoid",
    "Silu",
    "Snapshot",
    "SnapshotError",
    "Softmax",
    "Softplus",
    "SumPool",
    "Tanh",
    "TrainState",
    "accuracy",
    "activations",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "add_decayed_weights",
    "apply_updates",
    "augmentations",
    "average_params",
    "averaged_params",
    "batches",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "chain",
    "check_layer",
    "check_vjp",
    "classical_momentum",
    "clip_by_global_norm",
    "clip_by_value",
    "compile_apply",
    "confusion_matrix",
    "constructor",
    "elementwise",
    "evaluate",
    "expected_calibration_error",
    "flatten",
    "fold_batch_norm",
    "freeze",
    "from_spec",
    "half_squared_error",
    "hinge",
    "huber",
    "initializers",
    "inner_gradients",
    "inner_outputs",
    "load",
    "make_train_step",
    "masked",
    "mean_squared_error",
    "multiclass_hinge",
    "nesterov",
    "parallel",
    "partition",
    "per_example_grads",
    "precision",
    "predict",
    "predicted_classes",
    "prefetch",
    "random",
    "range_test",
    "recall",
    "residual",
    "rmsprop",
    "save",
    "scale",
    "scale_by_adam",
    "scale_by_adamax",
    "scale_by_learning_rate",
    "scale_by_rms",
    "scale_by_rss",
    "scale_by_schedule",
    "scale_by_sm3",
    "schedules",
    "serial",
    "sgd",
    "shape_dependent",
    "sm3",
    "softmax_cross_entropy",
    "summary",
    "threads",
    "top_k_accuracy",
    "trace",
    "tree",
    "value_and_grad",
    "views",
    "weight_mask",
    "weighted",
    "write_statistics",
]
