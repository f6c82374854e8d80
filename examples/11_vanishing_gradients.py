"""Vanishing gradients: dL/dy of every layer says how much of the loss each layer hears.

Ten hidden layers, before any training: a sigmoid's derivative is a quarter at most, so the first
layers hear next to nothing, and in an epoch the network learns nothing. With tanh, or with ReLU
from He's weights, all hear it, and it learns. vanishing_gradients.png has the gradients' norms.
"""

import matplotlib.pyplot as plt
import numpy as np

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset

data = load_dataset("fashion-mnist", val_size=0, seed=0)
images, labels = data.normalization(data.test[0]), data.test[1]
hidden = {
    "sigmoid": (fn.Sigmoid, fn.initializers.glorot_uniform()),
    "tanh": (fn.Tanh, fn.initializers.glorot_uniform()),
    "ReLU": (fn.Relu, fn.initializers.he_normal()),
}

figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for (name, (activation, weights)), style in zip(hidden.items(), ("o-", "s--", "^:"), strict=True):
    layers = [each for _ in range(10) for each in (fn.Dense(64, weight_init=weights), activation())]
    model = fn.serial(fn.Flatten(), *layers, fn.Dense(10))
    _, params = model.init(fn.random.key(0), data.input_shape)

    gradients = fn.inner_gradients(
        model, fn.softmax_cross_entropy, params, images[:1000], labels[:1000]
    )
    norms = [float(np.linalg.norm(gradients[str(i)])) for i in range(1, 20, 2)]  # of the Dense
    axis.semilogy(range(1, 11), norms, style, label=name)

    optimizer = fn.sgd(0.01, momentum=0.9)
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer)
    for batch in fn.batches(data.train, 64, rng=fn.random.key(1), preprocess=data.normalization):
        state, _ = step(state, batch)
    accuracy = fn.accuracy(fn.predict(model.apply, state.params, images), labels)
    print(
        f"{name:7} the first layer hears {norms[0] / norms[-1]:.0e} of what the tenth does; "
        f"after an epoch test accuracy {accuracy:.1%}"
    )
axis.set(xlabel="hidden layer", ylabel="norm of dL/dy", xticks=range(1, 11))
axis.legend()
figure.savefig("vanishing_gradients.png", dpi=150)
