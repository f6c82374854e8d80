"""Data-parallel by hand: the mean of the gradients of a batch's parts is the whole batch's.

Each thread gets a part of the batch, which is safe because the functions are pure. The table has
the distance of the mean from the gradient of the whole batch, relative to its norm: no more than
rounding, in either precision. But BatchNorm takes its statistics from a part: another function.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset


def data_parallel(gradient, threads):
    """The mean gradient of the parts of a batch, each part's computed in a thread of its own."""

    def compute(params, x, y):
        xs, ys = np.array_split(x, threads), np.array_split(y, threads)
        with ThreadPoolExecutor(threads) as pool:
            grads = list(pool.map(lambda x, y: gradient(params, x, y)[1], xs, ys))
        shares = [len(part) / len(y) for part in ys]  # the parts may be of several sizes

        def mean(*leaves):
            return sum(share * leaf for share, leaf in zip(shares, leaves, strict=True))

        return fn.tree.map(mean, *grads)

    return compute


data = load_dataset("fashion-mnist", val_size=0, seed=0)
x, y = data.normalization(data.train[0][:250]), data.train[1][:250]
dense = fn.serial(fn.Flatten(), fn.Dense(64), fn.Relu(), fn.Dense(10))
normalized = fn.serial(fn.Flatten(), fn.Dense(64), fn.BatchNorm(), fn.Relu(), fn.Dense(10))

columns = {}
for name, model, dtype in (
    ("float32", dense, np.float32),
    ("float64", dense, np.float64),
    ("float64, BatchNorm", normalized, np.float64),
):
    gradient = fn.value_and_grad(model.apply, fn.softmax_cross_entropy)
    _, params = model.init(fn.random.key(0), data.input_shape, dtype=dtype)
    whole, _ = fn.tree.ravel(gradient(params, x.astype(dtype), y)[1])
    columns[name] = {}
    for threads in (1, 2, 4, 8):
        mean, _ = fn.tree.ravel(data_parallel(gradient, threads)(params, x.astype(dtype), y))
        columns[name][threads] = np.linalg.norm(mean - whole) / np.linalg.norm(whole)
print(pd.DataFrame(columns).rename_axis("threads").map("{:.0e}".format))
