"""A residual CNN: a shortcut around every two convolutions lets a deep network learn.

Two networks of 17 convolutions, the same layers with the same initial weights, see the same 5,120
images once. The one with shortcuts is then right about more than half of the test images, and far
ahead of the other: residual_cnn.png has the losses of both, step by step.
"""

import matplotlib.pyplot as plt

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset


def network(connect, blocks=8, channels=8):
    """Patches of 4 x 4 pixels, blocks at 7 x 7, and the mean of each channel to the classes."""
    conv = fn.Conv(channels, 3, padding="same", bias=False)
    branch = fn.serial(conv, fn.BatchNorm(), fn.Relu(), conv, fn.BatchNorm())
    block = fn.serial(connect(branch), fn.Relu())
    patches = fn.Conv(channels, 4, stride=4)  # (1, 28, 28) -> (channels, 7, 7)
    return fn.serial(patches, *[block] * blocks, fn.GlobalAvgPool(), fn.Dense(10))


data = load_dataset("fashion-mnist", val_size=0, seed=0)
train = data.train[0][:5120], data.train[1][:5120]
images, labels = data.test[0][:2000], data.test[1][:2000]
optimizer = fn.adam(3e-3)

figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for name, connect, style in (("residual", fn.residual, "-"), ("plain", fn.serial, "--")):
    model = network(connect)
    _, params = model.init(fn.random.key(0), data.input_shape)
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state, losses = fn.TrainState.create(params, optimizer), []
    for batch in fn.batches(train, 64, rng=fn.random.key(1), preprocess=data.normalization):
        state, metrics = step(state, batch)  # which writes BatchNorm's running statistics too
        losses.append(metrics["loss"])
    logits = fn.predict(model.apply, state.params, images, preprocess=data.normalization)
    accuracy = fn.accuracy(logits, labels)
    print(f"{name:8} test accuracy {accuracy:.1%}")
    axis.plot(losses, style, label=f"{name}, test accuracy {accuracy:.0%}")
axis.set(xlabel="step", ylabel="training loss (nats)", ylim=(0, None))
axis.legend()
figure.savefig("residual_cnn.png", dpi=150)
