"""Lockstep with PyTorch by hand: the same params and batches give the same training, to rounding.

A small CNN is written in both, and begins with the same params. After each of 100 steps of SGD
with momentum, lockstep_with_torch.png has how far apart the params are, relative to their norm:
in float64 no more than 1e-12, in float32 what rounding at its precision leaves.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset

torch.set_num_threads(1)  # arrays this small are not worth a second one
data = load_dataset("mnist", val_size=0, seed=0)
images, labels = data.normalization(data.train[0][:3200]), data.train[1][:3200]
model = fn.serial(fn.Conv(8, 5, stride=2), fn.Tanh(), fn.AvgPool(2), fn.Flatten(), fn.Dense(10))


def torch_model(params, x):
    """The same function of the same params: images are NCHW and kernels OIHW in both."""
    conv, _, _, _, dense = params
    y = torch.tanh(functional.conv2d(x, conv["weight"], conv["bias"], stride=2))
    return functional.avg_pool2d(y, 2).flatten(1) @ dense["weight"] + dense["bias"]


def lockstep(dtype):
    """The relative difference of the params after each step."""
    _, params = model.init(fn.random.key(0), data.input_shape, dtype=dtype)
    optimizer = fn.sgd(0.05, momentum=0.9)
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer)

    tensors = fn.tree.map(lambda leaf: torch.tensor(leaf, requires_grad=True), params)
    torch_optimizer = torch.optim.SGD(fn.tree.leaves(tensors), lr=0.05, momentum=0.9)

    for x, y in fn.batches((images.astype(dtype), labels), 32, rng=fn.random.key(1)):
        state, _ = step(state, (x, y))
        torch_optimizer.zero_grad()
        logits = torch_model(tensors, torch.tensor(x))
        functional.cross_entropy(logits, torch.tensor(y).long()).backward()
        torch_optimizer.step()
        ours, _ = fn.tree.ravel(state.params)
        theirs, _ = fn.tree.ravel(fn.tree.map(lambda tensor: tensor.detach().numpy(), tensors))
        yield np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for dtype, style in ((np.float32, "--"), (np.float64, "-")):
    differences = list(lockstep(dtype))
    axis.semilogy(range(1, 101), differences, style, label=dtype.__name__)
    print(f"{dtype.__name__}: largest difference in 100 steps {max(differences):.0e}")
axis.set(xlabel="step", ylabel="relative difference of the params")
axis.legend()
figure.savefig("lockstep_with_torch.png", dpi=150)
