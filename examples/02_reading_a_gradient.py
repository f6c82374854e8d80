"""Reading a gradient: it is a tree of arrays like the params, so it can be looked at.

The weights of softmax regression are one image per class, and so is their gradient. At weights of
zero, the first descent step draws into each what its class has more of (red) and less of (blue)
than the others: reading_a_gradient.png. The formula, worked out by hand, gives the same numbers.
"""

import matplotlib.pyplot as plt
import numpy as np

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset

data = load_dataset("fashion-mnist", val_size=0, seed=0)
x, labels = data.normalization(data.train[0][:10_000]), data.train[1][:10_000]

model = fn.serial(fn.Flatten(), fn.Dense(10, weight_init=fn.initializers.zeros()))
_, params = model.init(fn.random.key(0), data.input_shape)

gradient = fn.value_and_grad(model.apply, fn.softmax_cross_entropy)
(loss, aux), grads = gradient(params, x, labels)

print(f"loss {loss:.4f}, which is log 10 = {np.log(10):.4f}: all classes are equally likely")
for path, leaf in fn.tree.leaves_with_path(grads):
    print(f"gradient by {path:8} {leaf.shape!s:9} {leaf.dtype}, norm {np.linalg.norm(leaf):.4f}")

# The derivative of the loss by the logits is (p - t) / N, with p the probabilities, here 1/10
# each, and t the one-hot targets. The logits are x W, so dW is x^T (p - t) / N.
one_hot = np.eye(10, dtype=np.float32)[labels]  # (N, 10)
by_hand = x.reshape(len(x), -1).T @ (0.1 - one_hot) / len(x)  # (784, N) (N, 10) -> (784, 10)
by_vjp = grads[1]["weight"]
difference = np.linalg.norm(by_vjp - by_hand) / np.linalg.norm(by_hand)
print(f"relative difference from the formula by hand: {difference:.1e}")

figure, axes = plt.subplots(2, 5, figsize=(9, 4), layout="constrained")
largest = np.abs(by_vjp).max()
for axis, direction, name in zip(axes.flat, -by_vjp.T, data.class_names, strict=True):
    drawn = axis.imshow(direction.reshape(28, 28), cmap="RdBu_r", vmin=-largest, vmax=largest)
    axis.set_title(name, fontsize=10)
    axis.axis("off")
figure.colorbar(drawn, ax=axes, label="minus the gradient")
figure.savefig("reading_a_gradient.png", dpi=150)
