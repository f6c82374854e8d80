"""A network that stands alone: softmax regression of 28 x 28 images into 10 classes.

The pattern that `standalone` renders other networks by: what is said here about this one (classes,
settings, layers, first weights, loss) is said about theirs, and of `sgd`, `adam` and the other ways
to do a thing they have the one that they use. Like theirs, its code is NumPy's alone.
"""

import math
from functools import partial

import numpy as np
from funcnn.experiments.standalone_layers import dropout, flatten, linear, softmax_cross_entropy

CLASSES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
SCALE, MEAN, STD = 255.0, 0.1307, 0.3081
EPOCHS = 10
BATCH_SIZE = 100
LEARNING_RATE = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 0.0


def layers(rng):
    """The layers in their order, and the shape of an example where it becomes another."""
    return [
        flatten,  # (784,)
        partial(dropout, rate=0.1, rng=rng),
        linear,  # (10,)
    ]


def first_params(rng):
    """Params to begin with, a dict for each layer. rng: a generator of NumPy's."""
    weight = glorot_uniform(rng, (784, 10), 784, 10)
    return [{}, {}, {"weight": weight, "bias": constant(10, 0)}]


def loss(outputs, labels):
    """What is minimized, of a batch: its value, and its derivative by the outputs."""
    return softmax_cross_entropy(outputs, labels)


def glorot_uniform(rng, shape, fan_in, fan_out):
    """U(-b, b) with b^2 = 6 / (fan_in + fan_out)."""
    bound = math.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def he_normal(rng, shape, fan_in):
    """N(0, 2 / fan_in), for ReLU."""
    return math.sqrt(2 / fan_in) * rng.standard_normal(shape, np.float32)


def lecun_normal(rng, shape, fan_in):
    """N(0, 1 / fan_in)."""
    return math.sqrt(1 / fan_in) * rng.standard_normal(shape, np.float32)


def normal(rng, shape, deviation):
    """N(0, deviation^2)."""
    return deviation * rng.standard_normal(shape, np.float32)


def constant(shape, value):
    """The same number everywhere."""
    return np.full(shape, value, np.float32)


def network(params, x, rng=None):
    """The outputs for inputs x, and the function from their derivative to the params'.

    rng: a generator of NumPy's while it trains; None: to predict.
    """
    backwards = []
    for layer, own in zip(layers(rng), params, strict=True):
        x, layer_backward = layer(own, x)
        backwards.append(layer_backward)

    def backward(dx):
        dparams = []
        for layer_backward in reversed(backwards):
            down, dx = layer_backward(dx)
            dparams.append(down)
        return dparams[::-1]

    return x, backward


def normalized(x):
    """The inputs of the network for values as they are stored: (x / SCALE - MEAN) / STD."""
    return (x.astype(np.float32) / SCALE - MEAN) / STD


def predict(params, x, batch_size=500):
    """The outputs for stored values x, (N, ...)."""
    starts = range(0, len(x), batch_size)
    parts = [network(params, normalized(x[start : start + batch_size]))[0] for start in starts]
    return np.concatenate(parts)


def highest(outputs):
    """The class with the highest output, (N,)."""
    return outputs.argmax(axis=1)


def likelier(outputs):
    """1 where its probability, the only output, is above a half, and else 0: (N,)."""
    return (outputs[:, 0] > 0.5).astype(int)


def steady(step, steps):
    """The learning rate of a step, counted from 0."""
    return LEARNING_RATE


def cosine(step, steps):
    """The learning rate of a step, counted from 0, of so many: it falls to 0 as a cosine."""
    return LEARNING_RATE * (1 + math.cos(math.pi * step / steps)) / 2


def sgd(params, velocity, grads, rate):
    """v = MOMENTUM v + g + WEIGHT_DECAY w, and w = w - rate v. velocity: None at first."""
    velocity = velocity or each(np.zeros_like, params)
    velocity = each(lambda v, g, w: MOMENTUM * v + g + WEIGHT_DECAY * w, velocity, grads, params)
    return each(lambda w, v: w - rate * v, params, velocity), velocity


def classical_momentum(params, velocity, grads, rate):
    """v = MOMENTUM v - WEIGHT_DECAY rate w - rate g, and w = w + v. velocity: None at first."""
    velocity = velocity or each(np.zeros_like, params)
    velocity = each(
        lambda v, g, w: MOMENTUM * v - WEIGHT_DECAY * rate * w - rate * g, velocity, grads, params
    )
    return each(np.add, params, velocity), velocity


def adam(params, state, grads, rate):
    """w = w - rate m / (sqrt v + 1e-8), with means m of g and v of g^2, each freed of its start.

    m = MOMENTUM m + (1 - MOMENTUM) g, v = 0.999 v + 0.001 g^2. state: None at first.
    """
    step, m, v = state or (0, each(np.zeros_like, params), each(np.zeros_like, params))
    step += 1
    m = each(lambda m, g: MOMENTUM * m + (1 - MOMENTUM) * g, m, grads)
    v = each(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
    m_part, v_part = 1 - MOMENTUM**step, 1 - 0.999**step
    params = each(
        lambda w, m, v: w - rate * (m / m_part) / (np.sqrt(v / v_part) + 1e-8), params, m, v
    )
    return params, (step, m, v)


def each(function, *lists):
    """The function of the arrays that stand at the same place of these lists of dicts."""
    return [
        {name: function(*(entry[name] for entry in entries)) for name in entries[0]}
        for entries in zip(*lists, strict=True)
    ]


def train(params, x, labels, epochs=EPOCHS, seed=0):
    """Train on stored values x, (N, ...), and their labels; a generator with a turn an epoch.

    Each gives the params so far, and the mean loss and the accuracy that its batches had. The
    params that come in are not changed.
    """
    rng = np.random.default_rng(seed)
    size = BATCH_SIZE or len(x)
    steps = epochs * math.ceil(len(x) / size)
    step, state = 0, None
    for _ in range(epochs):
        order = rng.permutation(len(x))
        losses = right = 0
        for start in range(0, len(x), size):
            chosen = order[start : start + size]
            outputs, backward = network(params, normalized(x[chosen]), rng)
            value, doutputs = loss(outputs, labels[chosen])
            rate = learning_rate(step, steps)
            params, state = update(params, state, backward(doutputs), rate)
            step += 1
            losses += value * len(chosen)
            right += np.sum(predicted(outputs) == labels[chosen].ravel())
        yield params, losses / len(x), right / len(x)


def save(path, params):
    """Write the params to a .npz file."""
    numbered = enumerate(params)
    np.savez(path, **{f"{i}/{name}": w for i, own in numbered for name, w in own.items()})


def load(path):
    """The params from a .npz file, of `save` or of the training that this network is from."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if "/" in name}  # the rest are words
    return [
        {name.partition("/")[2]: w for name, w in arrays.items() if name.startswith(f"{i}/")}
        for i, _ in enumerate(layers(None))
    ]


# What trains it, and tells the class.
update, learning_rate, predicted = sgd, steady, highest
