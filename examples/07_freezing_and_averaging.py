"""Freezing and averaging: each is one more link in an optimizer's chain.

A network learns Fashion-MNIST three times: whole, with its first layer frozen, and with its last.
What is frozen stays as it was drawn, to the bit. The table has the test accuracy of the params and
of their running average, which is better every time; and the last layer need hardly learn at all.
"""

import numpy as np
import pandas as pd

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset

data = load_dataset("fashion-mnist", val_size=0, seed=0)
images, labels = data.normalization(data.test[0]), data.test[1]
train = data.train[0][:16_000], data.train[1][:16_000]
model = fn.serial(fn.Flatten(), fn.Dense(128), fn.Relu(), fn.Dense(10))
_, params = model.init(fn.random.key(0), data.input_shape)


def test_accuracy(params):
    """The share of the test images that the network is right about with these params."""
    return fn.accuracy(fn.predict(model.apply, params, images), labels)


# A mask is a tree of bools like params, where one bool may stand for all the params of a layer.
masks = {
    "nothing": False,
    "first layer": [False, True, False, False],
    "last layer": [False, False, False, True],
}
rows = []
for frozen, mask in masks.items():
    optimizer = fn.chain(
        fn.sgd(0.03, momentum=0.9),
        fn.freeze(mask),  # after all that makes updates of its own
        fn.average_params(decay=0.98),  # sees the params as they will be after the step
    )
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer)
    for batch in fn.batches(train, 32, rng=fn.random.key(1), preprocess=data.normalization):
        state, _ = step(state, batch)
    same = fn.tree.map(np.array_equal, state.params, params)
    rows.append(
        {
            "frozen": frozen,
            "unchanged params": [path for path, yes in fn.tree.leaves_with_path(same) if yes],
            "accuracy": test_accuracy(state.params),
            "of the average": test_accuracy(fn.averaged_params(state.opt_state)),
        }
    )
print(pd.DataFrame(rows).to_string(index=False, float_format="{:.1%}".format))
