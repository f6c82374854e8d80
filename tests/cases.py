"""Every layer, optimizer, schedule and loss, with the arguments that tests of all of them try."""

import numpy as np

import funcnn as fn
from funcnn import initializers, schedules


def square(x):
    return x * x, lambda dy: 2 * x * dy


# Every public constructor and combinator: layers made with it, and input shapes for each.
LAYERS = {
    "Dense": [
        (fn.Dense(3), (4,)),
        (fn.Dense(1), (1,)),
        (fn.Dense(out_features=2, bias=False), (3,)),
        (fn.Dense(4, weight_init=fn.initializers.he_normal()), (2, 3)),
        (fn.Dense(2, bias_init=fn.initializers.normal(1.0)), (2, 1, 3)),
        (fn.Dense(2, True, fn.initializers.torch_default(), fn.initializers.torch_default()), (3,)),
    ],
    "Conv": [
        (fn.Conv(2, 3), (1, 4, 5)),
        (fn.Conv(3, 1), (2, 2, 2)),
        (fn.Conv(2, (2, 3), stride=(2, 1), padding=(1, 0)), (2, 3, 4)),
        (fn.Conv(1, 3, 2, 1), (2, 3, 4)),
        (fn.Conv(2, (4, 3), padding="same"), (1, 3, 2)),
        (fn.Conv(4, 2, 1, "same", 2, 2), (2, 3, 3)),
        (fn.Conv(4, 2, padding="valid", groups=2, bias=False), (4, 3, 2)),
        (fn.Conv(out_channels=4, kernel_size=3, dilation=(1, 2), padding=2, groups=2), (2, 2, 3)),
        (fn.Conv(2, 3, stride=2, padding=2), (2, 5)),
        (fn.Conv(2, (2,), padding="same", bias=False), (3, 4)),
        (fn.Conv(1, (1, 2, 2), weight_init=fn.initializers.he_normal()), (2, 2, 3, 2)),
    ],
    "ConvTranspose": [
        (fn.ConvTranspose(2, 3), (1, 2, 3)),
        (fn.ConvTranspose(1, (2, 3), stride=(2, 1), padding=(0, 1)), (2, 2, 3)),
        (fn.ConvTranspose(2, 2, 2, 0, 1), (2, 2, 2)),
        (fn.ConvTranspose(2, 2, output_padding=(0, 1), dilation=(1, 2), groups=2), (2, 2, 2)),
        (fn.ConvTranspose(4, 2, stride=3, groups=2, bias=False), (2, 1, 2)),
        (fn.ConvTranspose(2, 3, stride=2, padding=1, output_padding=1), (2, 3)),
        (fn.ConvTranspose(1, (1, 2, 2)), (2, 2, 1, 2)),
    ],
    "MaxPool": [
        (fn.MaxPool(2), (2, 4, 3)),
        (fn.MaxPool(3, stride=1, padding=1), (1, 3, 4)),
        (fn.MaxPool((1, 3), stride=(1, 2), padding=(0, 1)), (2, 2, 5)),
        (fn.MaxPool(1, 2), (2, 3, 3)),
        (fn.MaxPool(3, 2), (2, 7)),
        (fn.MaxPool((1, 2, 2)), (1, 2, 2, 4)),
        (fn.MaxPool(2, 1, 1, 2), (2, 3, 4)),
        (fn.MaxPool((2, 3), 2, (0, 1), dilation=(3, 2), ceil_mode=True), (1, 5, 6)),
        (fn.MaxPool(2, ceil_mode=True), (2, 5, 3)),
        (fn.MaxPool(3, 2, ceil_mode=True), (2, 2)),
        (fn.MaxPool(1, (2, 3), ceil_mode=True), (2, 4, 5)),
        (fn.MaxPool(2, 2, 1, ceil_mode=True), (1, 3, 4)),
    ],
    "AvgPool": [
        (fn.AvgPool(2), (2, 4, 3)),
        (fn.AvgPool(3, 1, 1), (1, 3, 4)),
        (fn.AvgPool(3, 2, 1, count_include_pad=False), (2, 4, 3)),
        (fn.AvgPool((2, 3), stride=(1, 2), padding=(1, 0), count_include_pad=False), (1, 3, 4)),
        (fn.AvgPool(2, padding=1), (2, 5)),
        (fn.AvgPool(2, ceil_mode=True), (2, 5, 3)),
        (fn.AvgPool(3, 2, 1, ceil_mode=True), (1, 4, 5)),
        (fn.AvgPool(3, 2, 1, count_include_pad=False, ceil_mode=True), (1, 4, 3)),
        (fn.AvgPool((1, 2), (3, 2), (0, 1), ceil_mode=True), (2, 5, 4)),
    ],
    "SumPool": [
        (fn.SumPool(2), (2, 4, 3)),
        (fn.SumPool((2, 3), stride=1, padding=(1, 0)), (1, 3, 4)),
        (fn.SumPool(3, 2, 1), (2, 5)),
    ],
    "GlobalAvgPool": [(fn.GlobalAvgPool(), shape) for shape in [(2, 3, 4), (3, 1, 1), (2, 5)]],
    "GlobalMaxPool": [(fn.GlobalMaxPool(), shape) for shape in [(2, 3, 4), (3, 1, 1), (2, 5)]],
    "Dropout": [
        (fn.Dropout(), (6,)),
        (fn.Dropout(0.1), (2, 3)),
        (fn.Dropout(0), (4,)),
        (fn.Dropout(rate=1), (1, 2, 2)),
        (fn.Dropout(0.5, by_channel=True), (5, 2)),
        (fn.Dropout(0.5, by_channel=True), (5, 1, 2)),
    ],
    "Flatten": [(fn.Flatten(), shape) for shape in [(), (4,), (2, 3), (1, 2, 3)]],
    "Reshape": [
        (fn.Reshape((6,)), (2, 3)),
        (fn.Reshape((1, 2, 3)), (6,)),
        (fn.Reshape([3, 2]), (2, 3)),
        (fn.Reshape(()), (1,)),
    ],
    "PRelu": [
        (fn.PRelu(), ()),
        (fn.PRelu(init=-0.5), (2, 3)),
        (fn.PRelu(1, 0.0), (1, 2)),
        (fn.PRelu(3), (3,)),
        (fn.PRelu(2, init=0.1), (2, 2, 3)),
    ],
    "LayerNorm": [
        (fn.LayerNorm(), (5,)),
        (fn.LayerNorm(), (1,)),
        (fn.LayerNorm(2), (2, 3)),
        (fn.LayerNorm(normalized_dims=2, eps=0.1), (2, 1, 3)),
        (fn.LayerNorm(elementwise_affine=False), (2, 3)),
        (fn.LayerNorm(3, bias=False), (2, 2, 2)),
    ],
    "GroupNorm": [
        (fn.GroupNorm(2), (4,)),
        (fn.GroupNorm(1, eps=0.1), (2, 3)),
        (fn.GroupNorm(3), (3, 2, 2)),
        (fn.GroupNorm(num_groups=2, affine=False), (4, 2, 1, 2)),
    ],
    "BatchNorm": [  # of one sample too: `(C,)` is in test_normalization
        (fn.BatchNorm(), (2, 3)),
        (fn.BatchNorm(eps=0.1, momentum=0.3), (2, 2, 3)),
        (fn.BatchNorm(affine=False), (3, 2, 1)),
        (fn.BatchNorm(momentum=1), (2, 1, 2, 2)),
    ],
    **{
        name: [(getattr(fn, name)(), shape) for shape in [(), (5,), (2, 3)]]
        for name in (
            *("Identity", "BinaryStep", "Sigmoid", "Tanh", "ArcTan", "Relu", "Selu", "Silu"),
            *("HardSigmoid", "Exp"),
        )
    },
    "LeakyRelu": [(fn.LeakyRelu(), (2, 3)), (fn.LeakyRelu(negative_slope=-0.5), (4,))],
    "Elu": [(fn.Elu(), (2, 3)), (fn.Elu(alpha=0.3), (4,))],
    "Gelu": [(fn.Gelu(), (2, 3)), (fn.Gelu(), ()), (fn.Gelu(approximate="tanh"), (4,))],
    "Softplus": [
        (fn.Softplus(), (2, 3)),
        (fn.Softplus(beta=3), (4,)),
        (fn.Softplus(0.5, threshold=40.0), (4,)),
    ],
    "HardTanh": [(fn.HardTanh(), (2, 3)), (fn.HardTanh(min_val=-0.3, max_val=1.7), (4,))],
    "Softmax": [
        (fn.Softmax(), (4,)),
        (fn.Softmax(), (1,)),
        (fn.Softmax(1), (2, 3)),
        (fn.Softmax(dim=-2), (2, 3)),
        (fn.Softmax(dim=3), (1, 2, 2)),
    ],
    "LogSoftmax": [
        (fn.LogSoftmax(), (4,)),
        (fn.LogSoftmax(), (1,)),
        (fn.LogSoftmax(1), (2, 3)),
        (fn.LogSoftmax(dim=-2), (2, 3)),
        (fn.LogSoftmax(dim=3), (1, 2, 2)),
    ],
    "parallel": [
        (fn.parallel(fn.Dense(2), fn.Tanh()), ((3,), (2, 2))),
        (fn.parallel(fn.Flatten(), fn.Dropout(0.5)), ((1, 2), (4,))),
        (fn.parallel(fn.FanInSum(), fn.Dense(1)), (((2,), (2,)), (3,))),
    ],
    "residual": [
        (fn.residual(fn.Dense(3)), (3,)),
        (fn.residual(fn.serial(fn.Dense(4), fn.Tanh(), fn.Dense(2)), fn.Dense(2)), (3,)),
        (fn.residual(fn.Relu(), fn.Tanh()), (2, 2)),
        (fn.residual(fn.parallel(fn.Dense(2), fn.Tanh())), ((2,), (3,))),
    ],
    "FanOut": [(fn.FanOut(1), (3,)), (fn.FanOut(3), (2, 2)), (fn.FanOut(2), ((2,), (3,)))],
    "FanInSum": [(fn.FanInSum(), ((3,), (3,))), (fn.FanInSum(), ((2, 2),) * 3)],
    "FanInConcat": [
        (fn.FanInConcat(), ((3,), (1,))),
        (fn.FanInConcat(1), ((2, 3), (1, 3), (2, 3))),
        (fn.FanInConcat(dim=-2), ((2, 3), (1, 3))),
        (fn.FanInConcat(), ((2,),)),
    ],
    "shape_dependent": [
        (fn.shape_dependent(lambda shape: fn.Dense(2 * shape[0])), (3,)),
        (fn.shape_dependent(lambda shapes: fn.parallel(*[fn.Tanh()] * len(shapes))), ((2,), (3,))),
    ],
    "elementwise": [
        (fn.elementwise(square), (3,)),
        (fn.elementwise(fn.activations.tanh), (2, 2)),
    ],
    "serial": [
        (fn.serial(), (3,)),
        (fn.serial(fn.Dense(2)), (3,)),
        (fn.serial(fn.Flatten(), fn.Dense(4), fn.Tanh(), fn.Dense(2), fn.Softmax()), (1, 2, 2)),
        (fn.serial(fn.Relu(), fn.Dropout(0.5), fn.Reshape((2, 2)), fn.Dense(3)), (4,)),
        (fn.serial(fn.serial(fn.Dense(3), fn.Sigmoid()), fn.serial(fn.Dense(1))), (2,)),
        (fn.serial(fn.Dense(3), fn.elementwise(square), fn.Dense(2)), (2,)),
        (fn.serial(fn.FanOut(2), fn.parallel(fn.Dense(3), fn.Tanh()), fn.FanInConcat()), (2,)),
        (
            fn.serial(fn.Conv(2, 2), fn.Relu(), fn.MaxPool(2), fn.Flatten(), fn.Dense(2)),
            (1, 5, 3),
        ),
        (
            fn.serial(fn.residual(fn.Conv(2, 3, padding=1)), fn.Tanh(), fn.GlobalAvgPool()),
            (2, 3, 2),
        ),
        (
            fn.serial(fn.FanInSum(), fn.Dense(2), fn.residual(fn.Dense(2)), fn.FanOut(2)),
            ((3,),) * 2,
        ),
    ],
}

# Every public layer: some of it, with arguments that are not the defaults, and an input's shape.
STORED_LAYERS = {
    "Dense": [
        (fn.Dense(3), (4,)),
        (fn.Dense(3, bias=False, weight_init=initializers.he_normal()), (2, 4)),
        (fn.Dense(3, True, initializers.normal(0.5), initializers.uniform(0.25)), (4,)),
    ],
    "AvgPool": [
        (fn.AvgPool(2), (1, 4, 4)),
        (fn.AvgPool((2, 3), stride=1, padding=(0, 1), count_include_pad=False), (2, 4, 4)),
        (fn.AvgPool(3, ceil_mode=True), (1, 4, 4)),
    ],
    "Conv": [
        (fn.Conv(3, 2), (1, 4, 4)),
        (fn.Conv(4, (3, 2), (1, 2), (1, 0), (2, 1), 2, False), (2, 6, 5)),
        (fn.Conv(2, 3, padding="same", weight_init=initializers.he_normal()), (1, 4)),
    ],
    "ConvTranspose": [
        (fn.ConvTranspose(3, 2), (1, 3, 3)),
        (fn.ConvTranspose(4, [3, 2], 2, (1, 0), (1, 0), (1, 2), 2, False), (2, 3, 3)),
    ],
    "GlobalAvgPool": [(fn.GlobalAvgPool(), (2, 3, 3))],
    "GlobalMaxPool": [(fn.GlobalMaxPool(), (2, 3, 3))],
    "MaxPool": [
        (fn.MaxPool(2), (1, 4, 4)),
        (fn.MaxPool((3, 2), (1, 2), [1, 0]), (2, 4, 4)),
        (fn.MaxPool(2, 3, dilation=[1, 2], ceil_mode=True), (2, 4, 4)),
    ],
    "SumPool": [(fn.SumPool(2), (1, 4, 4)), (fn.SumPool(3, 2, padding=1), (2, 5))],
    **{
        name: [(getattr(fn, name)(), (4,))]
        for name in (
            *("ArcTan", "BinaryStep", "Exp", "HardSigmoid", "Identity", "Relu", "Selu", "Sigmoid"),
            *("Silu", "Tanh"),
        )
    },
    "BatchNorm": [
        (fn.BatchNorm(eps=0.1, momentum=0.3), (4, 2)),
        (fn.BatchNorm(affine=False), (4,)),
    ],
    "Dropout": [(fn.Dropout(0.25), (4,)), (fn.Dropout(0.25, by_channel=True), (4, 2))],
    "Elu": [(fn.Elu(0.5), (4,))],
    "FanInConcat": [(fn.FanInConcat(), ((4,), (2,))), (fn.FanInConcat(1), ((4, 2), (1, 2)))],
    "FanInSum": [(fn.FanInSum(), ((4,), (4,)))],
    "FanOut": [(fn.FanOut(3), (4,))],
    "Flatten": [(fn.Flatten(), (2, 3))],
    "Gelu": [(fn.Gelu("tanh"), (4,))],
    "GroupNorm": [(fn.GroupNorm(2, eps=0.1), (4, 2)), (fn.GroupNorm(4, affine=False), (4,))],
    "HardTanh": [(fn.HardTanh(-0.5, max_val=2), (4,))],
    "LayerNorm": [(fn.LayerNorm(2, eps=0.1), (2, 4)), (fn.LayerNorm(bias=False), (4,))],
    "LeakyRelu": [(fn.LeakyRelu(0.2), (4,))],
    "LogSoftmax": [(fn.LogSoftmax(), (4,)), (fn.LogSoftmax(dim=1), (4, 2))],
    "PRelu": [(fn.PRelu(4, init=0.1), (4, 2))],
    "Reshape": [(fn.Reshape((3, 2)), (6,)), (fn.Reshape([6]), (3, 2))],
    "Softmax": [(fn.Softmax(), (4,)), (fn.Softmax(dim=-2), (4, 2))],
    "Softplus": [(fn.Softplus(2.0, threshold=5), (4,))],
}


def LARGE(params):
    """A mask: what has more than one entry."""
    return fn.tree.map(lambda p: p.size > 1, params)


def SMALL(params):
    return fn.tree.map(lambda p: p.size == 1, params)


OPTIMIZERS = {
    "sgd": fn.sgd(0.1),
    "momentum": fn.sgd(0.1, momentum=0.5),
    "nesterov": fn.nesterov(0.1, momentum=0.5),
    "classical_momentum": fn.classical_momentum(0.1, momentum=0.5, weight_decay=0.2),
    "adam": fn.adam(0.1, b1=0.5, b2=0.75, eps=0.0),
    "adamw": fn.adamw(0.1, b1=0.5, b2=0.75, eps=0.0, weight_decay=0.5),
    "adagrad": fn.adagrad(0.1, eps=0.0),
    "rmsprop": fn.rmsprop(0.1, alpha=0.75, eps=0.0),
    "rmsprop, momentum": fn.rmsprop(0.1, alpha=0.75, eps=0.0, momentum=0.5),
    "adamax": fn.adamax(0.1, b1=0.5, b2=0.75, eps=0.0),
    "sm3": fn.sm3(0.1, momentum=0.5),
    "weight decay": fn.chain(fn.add_decayed_weights(0.2), fn.sgd(0.1)),
    "scale": fn.scale(-3.0),
    "scale_by_schedule": fn.scale_by_schedule(lambda step: -(step + 1.0)),
    "scale_by_adam": fn.scale_by_adam(b1=0.5, b2=0.75, eps=0.0),
    "scale_by_learning_rate": fn.scale_by_learning_rate(lambda step: step + 1.0),
    "scale_by_adamax": fn.scale_by_adamax(b1=0.5, b2=0.75, eps=0.0),
    "scale_by_rms": fn.scale_by_rms(alpha=0.75, eps=0.0),
    "scale_by_rss": fn.scale_by_rss(eps=0.0),
    "scale_by_sm3": fn.scale_by_sm3(momentum=0.5, eps=0.0),
    "trace": fn.trace(0.5),
    "trace, nesterov": fn.trace(0.5, nesterov=True),
    "add_decayed_weights": fn.add_decayed_weights(0.2),
    "clip_by_global_norm": fn.clip_by_global_norm(0.1),
    "clip_by_value": fn.clip_by_value(0.2),
    "masked": fn.masked(fn.sgd(0.1, momentum=0.5), LARGE),
    "freeze": fn.freeze(SMALL),
    "decayed and frozen": fn.chain(
        fn.add_decayed_weights(0.2, LARGE), fn.sgd(0.1, momentum=0.5), fn.freeze(SMALL)
    ),
    "partition": fn.partition({"all": fn.sgd(0.1, momentum=0.5)}, "all"),
    "flatten": fn.flatten(fn.adam(0.1, b1=0.5, b2=0.75, eps=0.0)),
    "average_params": fn.average_params(0.9),
    "chain of nothing": fn.chain(),
}


def trajectory_of(optimizer, params, gradients):
    """The params after each of the gradients."""
    state = optimizer.init(params)
    trajectory = []
    for grads in gradients:
        updates, state = optimizer.update(grads, state, params)
        params = fn.apply_updates(params, updates)
        trajectory.append(params)
    return trajectory


SCHEDULES = {
    "constant": schedules.constant(0.1),
    "cosine_decay": schedules.cosine_decay(0.1, 12),
    "warmup_cosine_decay": schedules.warmup_cosine_decay(0.0, 0.1, 5, 12),
    "piecewise_constant": schedules.piecewise_constant(0.1, {5: 0.1, 9: 0.5}),
    "exponential_decay": schedules.exponential_decay(0.1, 10, 0.5),
    "inverse_time_decay": schedules.inverse_time_decay(0.1, 10, 1.0),
    "polynomial_decay": schedules.polynomial_decay(0.1, 12),
    "one_cycle": schedules.one_cycle(0.1, 15),
    "linear_warmup": schedules.linear_warmup(0.0, 0.1, 6),
    "join": schedules.join([schedules.constant(0.1), schedules.linear_warmup(0.1, 0.2, 4)], [7]),
}


def labels(rows):
    return np.arange(rows) * 7 % 3


def probabilities(rows):
    return np.linspace(0, 1, rows * 3, dtype=np.float32).reshape(rows, 3)


def signs(rows):
    return np.where(probabilities(rows) > 0.4, 1.0, -1.0).astype(np.float32)


LOSSES = {  # what makes targets for so many rows of three outputs
    "softmax_cross_entropy": labels,
    "multiclass_hinge": labels,
    "half_squared_error": probabilities,
    "mean_squared_error": probabilities,
    "huber": probabilities,
    "hinge": signs,
    "binary_cross_entropy": probabilities,
    "binary_cross_entropy_with_logits": probabilities,
}
