"""Augmentation: shifted and covered at every pass, images are harder to learn by heart.

A network learns 2,000 images of Fashion-MNIST twice, as they are and augmented. As they are it soon
knows all of them, and the validation loss climbs; augmented it knows fewer, and the loss stays low.
The next batch is prepared while the step is at work: augmentation.png.
"""

import matplotlib.pyplot as plt

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset

data = load_dataset("fashion-mnist", val_size=5_000, seed=0)
train = data.train[0][:2_000], data.train[1][:2_000]
model = fn.serial(fn.Flatten(), fn.Dense(128), fn.Relu(), fn.Dense(10))
optimizer = fn.adam(1e-3)
step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
metrics = {"accuracy": fn.accuracy}


def measure(params, examples):
    """Mean loss and accuracy of the network with these params."""
    return fn.evaluate(
        model.apply,
        fn.softmax_cross_entropy,
        params,
        examples,
        metrics=metrics,
        preprocess=data.normalization,
    )


# An augmentation is a pure function of a key and a whole batch, here of bytes as they are stored.
aug = fn.augmentations
augmentations = {
    "as they are": aug.chain(),
    "augmented": aug.chain(aug.flip(), aug.shift(1), aug.erase()),
}
figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for name, augment in augmentations.items():
    state = fn.TrainState.create(model.init(fn.random.key(0), data.input_shape)[1], optimizer)
    batches = fn.batches(
        train, 50, rng=fn.random.key(1), augment=augment, preprocess=data.normalization
    )
    losses = []
    for _ in range(30):
        for batch in fn.prefetch(batches):  # each pass with other draws
            state, _ = step(state, batch)
        losses.append(measure(state.params, data.validation)["loss"])
    seen, unseen = measure(state.params, train), measure(state.params, data.validation)
    print(f"{name}: training accuracy {seen['accuracy']:.1%}", end=", ")
    print(f"validation accuracy {unseen['accuracy']:.1%}, loss {unseen['loss']:.3f}")
    axis.plot(range(1, 31), losses, label=name)
axis.set(xlabel="pass", ylabel="validation loss")
axis.legend()
figure.savefig("augmentation.png", dpi=150)
