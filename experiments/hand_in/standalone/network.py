"""A network that stands alone: softmax regression of 28 x 28 images into 10 classes.

The pattern that `writer` renders other networks by: what is said here about this one (classes,
settings, layers, first weights, loss) is said about theirs, and of `sgd`, `adam` and the other ways
to do a thing they have the one that they use. Like theirs, its code is NumPy's alone.
"""

import math
from functools import partial

import numpy as np

from funcnn.experiments.hand_in.standalone.classes import (
    Flatten,
    FullyConnected,
    SoftmaxWithloss,
)
from funcnn.experiments.hand_in.standalone.layers import (
    dropout,
    flatten,
    linear,
    softmax_cross_entropy,
)

SHAPE = (1, 28, 28)
CLASSES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
SCALE, MEAN, STD = 255.0, 0.1307, 0.3081
EPOCHS = 10
BATCH_SIZE = 100
LEARNING_RATE = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 0.0


def layers(rng):
    """The layers in order; a comment gives the shape of an example where it changes."""
    return [
        flatten,  # (784,)
        partial(dropout, rate=0.1, rng=rng),
        linear,  # (10,)
    ]


def first_params(rng):
    """Initial params, a dict for each layer. rng: a np.random.Generator."""
    weight = glorot_uniform(rng, (784, 10), 784, 10)
    return [{}, {}, {"weight": weight, "bias": constant(10, 0)}]


def loss(outputs, labels):
    """The loss of a batch, and its derivative with respect to the outputs."""
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
    """The outputs for inputs x, and `backward`.

    `backward(doutputs)` takes the derivative of the loss with respect to the outputs to those with
    respect to the params, a list like params. rng: a np.random.Generator in training, for dropout.
    """
    backwards = []
    for layer, layer_params in zip(layers(rng), params):
        x, layer_backward = layer(layer_params, x)
        backwards.append(layer_backward)

    def backward(dx):
        dparams = []
        for layer_backward in reversed(backwards):
            dlayer_params, dx = layer_backward(dx)
            dparams.append(dlayer_params)
        return dparams[::-1]

    return x, backward


def normalized(x):
    """The inputs of the network for values as they are stored: (x / SCALE - MEAN) / STD."""
    return (x.astype(np.float32) / SCALE - MEAN) / STD


def augmented(x, rng):
    """Stored images as training sees them, whose changes are drawn anew in every epoch."""
    return x


def predict(params, x, batch_size=500):
    """The outputs for stored values x, (N, ...), computed batch by batch."""
    starts = range(0, len(x), batch_size)
    parts = [network(params, normalized(x[start : start + batch_size]))[0] for start in starts]
    return np.concatenate(parts)


def highest(outputs):
    """The predicted classes, (N,): the highest output of each row."""
    return outputs.argmax(axis=1)


def likelier(outputs):
    """The predicted classes, (N,): 1 where its probability, the only output, is above 1/2."""
    return (outputs[:, 0] > 0.5).astype(int)


def steady(step, steps):
    """The learning rate, the same in every step."""
    return LEARNING_RATE


def cosine(step, steps):
    """The learning rate of a step, counted from 0: half a cosine wave, down to 0."""
    return LEARNING_RATE * (1 + math.cos(math.pi * step / steps)) / 2


def sgd(params, velocity, grads, rate):
    """v = MOMENTUM v + g + WEIGHT_DECAY w, then w = w - rate v.

    velocity: v, as the step before returned it; None in the first step.
    """
    velocity = velocity or tree_map(np.zeros_like, params)
    velocity = tree_map(
        lambda v, g, w: MOMENTUM * v + g + WEIGHT_DECAY * w, velocity, grads, params
    )
    return tree_map(lambda w, v: w - rate * v, params, velocity), velocity


def classical_momentum(params, velocity, grads, rate):
    """v = MOMENTUM v - WEIGHT_DECAY rate w - rate g, then w = w + v.

    velocity: v, as the step before returned it; None in the first step.
    """
    velocity = velocity or tree_map(np.zeros_like, params)
    velocity = tree_map(
        lambda v, g, w: MOMENTUM * v - WEIGHT_DECAY * rate * w - rate * g, velocity, grads, params
    )
    return tree_map(np.add, params, velocity), velocity


def adam(params, state, grads, rate):
    """m = MOMENTUM m + (1 - MOMENTUM) g, v = 0.999 v + 0.001 g^2, both corrected for their start.

    Then w = w - rate m / (sqrt v + 1e-8). state: the steps so far, m and v, as the step before
    returned them; None in the first step.
    """
    step, m, v = state or (0, tree_map(np.zeros_like, params), tree_map(np.zeros_like, params))
    step += 1
    m = tree_map(lambda m, g: MOMENTUM * m + (1 - MOMENTUM) * g, m, grads)
    v = tree_map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
    m_share, v_share = 1 - MOMENTUM**step, 1 - 0.999**step

    def moved(w, m, v):
        return w - rate * (m / m_share) / (np.sqrt(v / v_share) + 1e-8)

    return tree_map(moved, params, m, v), (step, m, v)


def tree_map(function, *trees):
    """The function of the arrays that stand at the same place in lists of dicts like params."""
    return [
        {name: function(*(entry[name] for entry in entries)) for name in entries[0]}
        for entries in zip(*trees)
    ]


def train(params, x, labels, epochs=EPOCHS, seed=0):
    """Train on stored values x, (N, ...), and their labels; the given params are not changed.

    Yields (params, mean loss, accuracy) after each epoch, the latter two over its batches.
    """
    rng = np.random.default_rng(seed)
    batch_size = BATCH_SIZE or len(x)
    steps = epochs * math.ceil(len(x) / batch_size)
    step, state = 0, None
    for _ in range(epochs):
        order = rng.permutation(len(x))
        loss_sum = correct = 0
        for start in range(0, len(x), batch_size):
            chosen = order[start : start + batch_size]
            outputs, backward = network(params, normalized(augmented(x[chosen], rng)), rng)
            value, doutputs = loss(outputs, labels[chosen])
            rate = learning_rate(step, steps)
            params, state = update(params, state, backward(doutputs), rate)
            step += 1
            loss_sum += value * len(chosen)
            correct += np.sum(predicted(outputs) == labels[chosen].ravel())
        yield params, loss_sum / len(x), correct / len(x)


def save(path, params):
    """Write params to a .npz file."""
    arrays = {f"{i}/{name}": w for i, layer in enumerate(params) for name, w in layer.items()}
    np.savez(path, **arrays)


def load(path):
    """The params in a .npz file, of `save` or of the run that trained this network."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if "/" in name}  # the rest is a header
    return [
        {name.partition("/")[2]: w for name, w in arrays.items() if name.startswith(f"{i}/")}
        for i, _ in enumerate(layers(None))
    ]


class Network:
    """The network as layers that a loop drives: `forward`, `backward`, `update` for every batch.

    First weights are drawn from NumPy's global generator, which np.random.seed sets; those before a
    softmax, if it has one, are small, so that it begins without a preference. There is no dropout,
    and no change of images, for `forward` is not told whether it is in training.
    """

    def __init__(self, params=None):
        """params: trained ones, of `load` or `train`, to begin with."""
        self.flatten = Flatten()
        self.fc1 = FullyConnected(784, 10, deviation=0.01)
        self.layers = list(vars(self).values())
        self.loss = SoftmaxWithloss()
        self.batch_size = 0
        trained = iter([own for own in params or [] if own])
        for layer in self.layers:
            own = next(trained, {}) if layer.weights else {}
            for name in layer.weights:
                first = getattr(layer, name)
                array = np.asarray(own.get(name, first), np.float32)  # twice as fast as float64
                setattr(layer, name, array.reshape(first.shape))

    def forward(self, input, target):
        """(what it predicts (B, K), mean loss) for a batch as it is stored.

        input: (B, numbers) or (B, ...), target: one-hot (B, K), or integers (B,).
        """
        x = normalized(np.reshape(input, (-1, *SHAPE)))
        for layer in self.layers:
            x = layer.forward(x)
        return self.loss.forward(x, target)

    def backward(self):
        """Leave the derivatives of the mean loss of the last batch in the layers."""
        grad = self.loss.backward()
        self.batch_size = len(grad)
        for layer in reversed(self.layers):
            grad = layer.backward(grad)

    def update(self, lr):
        """w = w - lr times the sum of the gradients of the batch that went backward last."""
        step = float(lr) * self.batch_size
        for layer in self.layers:
            for name in layer.weights:
                setattr(layer, name, getattr(layer, name) - step * getattr(layer, name + "_grad"))


# Of the ways above: one to update, one for the learning rate, one to tell the class.
update, learning_rate, predicted = sgd, steady, highest
