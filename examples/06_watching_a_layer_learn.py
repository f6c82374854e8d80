"""Watching a layer learn: old params are never overwritten, so keeping them is enough.

The network must tell ten digits apart by the two numbers that its layer 5 gives. For the params
after 0, 50, 200 and 900 steps, watching_a_layer_learn.png shows where 400 test digits lie in this
plane: one heap at first, ten rays at the end.
"""

import matplotlib.pyplot as plt

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset

data = load_dataset("mnist", val_size=0, seed=0)
model = fn.serial(
    fn.Flatten(), fn.Dense(128), fn.Relu(), fn.Dense(64), fn.Relu(), fn.Dense(2), fn.Dense(10)
)
print(fn.summary(model, data.input_shape))
_, params = model.init(fn.random.key(0), data.input_shape)
optimizer = fn.adam(2e-3)
step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
state = fn.TrainState.create(params, optimizer)

kept = {0: state.params}
batches = fn.batches(data.train, 64, rng=fn.random.key(1), preprocess=data.normalization)
for i, batch in enumerate(batches, start=1):
    state, _ = step(state, batch)
    if i in (50, 200, 900):
        kept[i] = state.params  # no copy: the next step makes new arrays

images, labels = data.normalization(data.test[0]), data.test[1]
figure, axes = plt.subplots(2, 2, figsize=(9, 7.5), layout="constrained")
for axis, (i, params) in zip(axes.flat, kept.items(), strict=True):
    accuracy = fn.accuracy(fn.predict(model.apply, params, images), labels)
    points = fn.inner_outputs(model, params, images[:400])["5"]  # (400, 2)
    for digit in range(10):
        x, y = points[labels[:400] == digit].T
        axis.scatter(x, y, marker=f"${digit}$", s=40, linewidths=0.5)
    axis.set_title(f"after {i} steps, test accuracy {accuracy:.0%}")
    print(f"after {i:3} steps, test accuracy {accuracy:.1%}")
figure.savefig("watching_a_layer_learn.png", dpi=150)
