"""Your own optimizer: a pair of init and update, which is one more link in a chain.

Lion moves every weight by the learning rate, in the direction of the sign of a momentum. Beside
SGD with momentum and Adam, from the same params and over the same batches, it begins more slowly
and is level with them after 250 steps: own_optimizer.png has the validation losses of all three.
"""

from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset


class LionState(NamedTuple):
    """All that it remembers: a tree like params."""

    momentum: Any


def scale_by_lion(b1=0.9, b2=0.99):
    """u = sign(b1 m + (1 - b1) g), and then m = b2 m + (1 - b2) g. Chen et al. 2023."""

    def init(params):
        return LionState(fn.tree.map(np.zeros_like, params))

    def update(grads, state, params):
        updates = fn.tree.map(lambda g, m: np.sign(b1 * m + (1 - b1) * g), grads, state.momentum)
        momentum = fn.tree.map(lambda g, m: b2 * m + (1 - b2) * g, grads, state.momentum)
        return updates, LionState(momentum)

    return fn.Optimizer(init, update)


lion = fn.chain(scale_by_lion(), fn.add_decayed_weights(0.01), fn.scale_by_learning_rate(3e-4))
optimizers = {"Lion": lion, "SGD with momentum": fn.sgd(0.05, momentum=0.9), "Adam": fn.adam(1e-3)}

data = load_dataset("fashion-mnist", val_size=5_000, seed=0)
images, labels = data.train[0][:32_000], data.train[1][:32_000]
validation = data.normalization(data.validation[0]), data.validation[1]
model = fn.serial(fn.Flatten(), fn.Dense(128), fn.Relu(), fn.Dense(10))
_, params = model.init(fn.random.key(0), data.input_shape)

figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for (name, optimizer), style in zip(optimizers.items(), ("o-", "s--", "^:"), strict=True):
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state, losses = fn.TrainState.create(params, optimizer), {}
    batches = fn.batches((images, labels), 128, rng=fn.random.key(1), preprocess=data.normalization)
    for i, batch in enumerate(batches, start=1):
        state, _ = step(state, batch)
        if i % 25 == 0:
            measured = fn.evaluate(model.apply, fn.softmax_cross_entropy, state.params, validation)
            losses[i] = measured["loss"]
    axis.plot(losses.keys(), losses.values(), style, label=name)
    print(f"{name:18} loss after 25 steps {losses[25]:.3f}, after 250 steps {losses[250]:.3f}")
axis.set(xlabel="step", ylabel="validation loss (nats)")
axis.legend()
figure.savefig("own_optimizer.png", dpi=150)
