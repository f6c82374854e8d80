"""Fooling a network: a vjp gives the gradient by the image too, and so the step that hurts most.

To first order that is: every pixel moves by the same amount, up or down as the sign of the gradient
says. At a tenth of the grey scale the test accuracy falls from over 80 % to below 20 %, where as
large a change with random signs does next to nothing: fooling_a_network.png.
"""

import matplotlib.pyplot as plt
import numpy as np

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset


def scaled(images):
    """Bytes as fractions of the grey scale."""
    return images.astype(np.float32) / 255


data = load_dataset("fashion-mnist", val_size=0, seed=0)
model = fn.serial(fn.Flatten(), fn.Dense(128), fn.Relu(), fn.Dense(10))
optimizer = fn.adam(1e-3)
step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
state = fn.TrainState.create(model.init(fn.random.key(0), data.input_shape)[1], optimizer)
for batch in fn.batches(data.train, 128, rng=fn.random.key(1), preprocess=scaled):
    state, _ = step(state, batch)

# The vjp carries the gradient of the logits back, with wrt="x" to the images alone.
x, labels = scaled(data.test[0][:2000]), data.test[1][:2000]
logits, vjp = model.apply(state.params, x, wrt="x")
loss, loss_vjp = fn.softmax_cross_entropy(logits, labels)
_, dx = vjp(loss_vjp())  # dx: (2000, 1, 28, 28), as x
print(f"before any change: test accuracy {fn.accuracy(logits, labels):.1%}")
changes = {
    "signs of the gradient": np.sign(dx),
    "random signs": np.sign(fn.random.normal(fn.random.key(2), x.shape)),
}

figure, axes = plt.subplot_mosaic("AAABCD;AAAEFG", figsize=(11, 4), layout="constrained")
sizes = [0.0, 0.025, 0.05, 0.075, 0.1]
for (name, signs), style in zip(changes.items(), ("o-", "s--"), strict=True):
    accuracies = []
    for size in sizes:
        changed = fn.predict(model.apply, state.params, np.clip(x + size * signs, 0, 1))
        accuracies.append(fn.accuracy(changed, labels))
    axes["A"].plot(sizes, accuracies, style, label=name)
    print(f"after a change of 0.1 by {name}: test accuracy {accuracies[-1]:.1%}")
axes["A"].set(xlabel="change of every pixel, grey from 0 to 1", ylabel="test accuracy", ylim=(0, 1))
axes["A"].legend(loc="lower left")

fooling = np.clip(x + 0.1 * changes["signs of the gradient"], 0, 1)
for panel, image in zip("BCDEFG", (*x[:3], *fooling[:3]), strict=True):
    (guess,) = fn.predicted_classes(fn.predict(model.apply, state.params, image[np.newaxis]))
    axes[panel].imshow(image[0], cmap="gray_r")
    axes[panel].set_title(data.class_names[guess])
    axes[panel].axis("off")
figure.savefig("fooling_a_network.png", dpi=150)
