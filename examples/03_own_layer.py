"""Your own layer: init, apply and the vjp beside it, and check_layer to prove them.

The layer is y = sin(x W + b). A network of two learns to draw one image, from the coordinates of
a pixel to its brightness; with tanh in the place of the sine it stays blurred. own_layer.png shows
both at five times the resolution that they learned from.
"""

import matplotlib.pyplot as plt
import numpy as np

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset


def Sine(features, scale=1.0):
    """y = sin(x W + b), x: `(N, in)`, y: `(N, features)`. As in SIREN, Sitzmann et al. 2020."""

    def init(rng, input_shape):
        limit = scale * (6 / input_shape[0]) ** 0.5
        weight = fn.random.uniform(rng, (*input_shape, features), minval=-limit, maxval=limit)
        return (features,), {"weight": weight, "bias": np.zeros(features, np.float32)}

    def apply(params, x, *, rng=None, train=False):
        z = x @ params["weight"] + params["bias"]  # (N, features)

        def vjp(dy):
            dz = dy * np.cos(z)  # (N, features)
            return {"weight": x.T @ dz, "bias": dz.sum(0)}, dz @ params["weight"].T

        return np.sin(z), vjp

    return fn.Layer(init, apply)


print(fn.check_layer(Sine(4), (3,)).worst)  # it raises CheckFailure for any promise not kept


def grid(size):
    """The coordinates of size x size pixels, from -1 to 1: `(size * size, 2)`."""
    return np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].reshape(2, -1).T.astype(np.float32)


image = load_dataset("fashion-mnist", val_size=0, seed=0).test[0][7, 0] / np.float32(255)
panels = {"to be learned": image}
hidden = {"sine": [Sine(128, 8), Sine(128)], "tanh": [fn.Dense(128), fn.Tanh()] * 2}
for name, layers in hidden.items():
    model, optimizer = fn.serial(*layers, fn.Dense(1)), fn.adam(3e-3)
    step = fn.make_train_step(model.apply, fn.mean_squared_error, optimizer)
    state = fn.TrainState.create(model.init(fn.random.key(0), (2,))[1], optimizer)
    for _ in range(300):
        state, metrics = step(state, (grid(28), image.reshape(-1, 1)))
    title = f"{name}: mean squared error {metrics['loss']:.4f}"
    print(title)
    panels[title] = model.apply(state.params, grid(140))[0].reshape(140, 140)

figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
for axis, (title, values) in zip(axes, panels.items(), strict=True):
    axis.imshow(values, cmap="gray_r", vmin=0, vmax=1)
    axis.set(title=title, xticks=(), yticks=())
figure.savefig("own_layer.png", dpi=150)
