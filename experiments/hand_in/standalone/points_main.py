"""Back-propagation on points in the plane, on NumPy alone; matplotlib draws.

python main.py                trains both sets, prints and draws what the lab asks for
python main.py rates          several learning rates
python main.py units          several numbers of hidden units
python main.py no-activation  the same network without activation functions
python main.py optimizers     several optimizers, which are in optimizers.py
python main.py activations    several activation functions
python main.py convolution    a network with a convolution
python main.py all            all of these, one after another

Layers, each with its derivative, are in layer.py, the momentum of a step in network.py. Figures go
to the folder it is called in.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

from funcnn.experiments.hand_in.standalone import points_optimizers as optimizers
from funcnn.experiments.hand_in.standalone.layers import (
    arctan,
    binary_cross_entropy,
    conv,
    elu,
    flatten,
    identity,
    leaky_relu,
    linear,
    relu,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from funcnn.experiments.hand_in.standalone.network import sgd

# ---- The lab's own functions: its text can stand here unchanged, up to the next line of dashes.


def generate_linear(n=100):
    pts = np.random.uniform(0, 1, (n, 2))
    inputs = []
    labels = []
    for pt in pts:
        inputs.append([pt[0], pt[1]])
        if pt[0] > pt[1]:
            labels.append(0)
        else:
            labels.append(1)
    return np.array(inputs), np.array(labels).reshape(n, 1)


def generate_XOR_easy():
    inputs = []
    labels = []
    for i in range(11):
        inputs.append([0.1 * i, 0.1 * i])
        labels.append(0)
        if 0.1 * i == 0.5:
            continue
        inputs.append([0.1 * i, 1 - 0.1 * i])
        labels.append(1)
    return np.array(inputs), np.array(labels).reshape(21, 1)


# ------------------------------------------------------------------------------------------------

SETS = {"linear": generate_linear, "xor": generate_XOR_easy}
SEEDS = (0, 1, 2)  # the first is that of the two runs that the lab asks for
EPOCHS = 5000  # in each, all points are one batch
LEARNING_RATE = 0.5
HIDDEN = (4, 4)


def begin(name, seed, hidden=HIDDEN, activation=sigmoid, convolution=False):
    """Points, labels, the functions of the network and its first params, all drawn from the seed.

    Weights are N(0, 1): so few sigmoids need to differ from each other. Biases are 0.
    """
    np.random.seed(seed)
    points, labels = SETS[name]()
    functions, params, inputs = [], [], points.shape[1]
    if convolution:  # four kernels of size 2, each at the three places of the padded row
        functions += [as_images, conv, activation, flatten]
        params += [{}, weights((4, 1, 1, 2), 4), {}, {}]
        inputs = 4 * 3
    for outputs in (*hidden, 1):
        functions += [linear, activation]
        params += [weights((inputs, outputs), outputs), {}]
        inputs = outputs
    functions[-1] = sigmoid  # whatever the others are, the output is a probability
    return points, labels, functions, params


def weights(shape, outputs):
    """The first params of a layer with so many outputs."""
    return {"weight": np.random.normal(0, 1, shape), "bias": np.zeros(outputs)}


def as_images(params, x):
    """Each point as an image of one row, a 0 on either side. x: (N, 2), y: (N, 1, 1, 4)."""
    y = np.pad(x, ((0, 0), (1, 1))).reshape(len(x), 1, 1, 4)
    return y, lambda dy: ({}, dy.reshape(len(x), 4)[:, 1:3])


def forward(functions, params, x):
    """The outputs, and `backward`, which takes their derivative to those of all params.

    This is back-propagation: the derivative by a layer's input is that by the output before it.
    """
    backwards = []
    for function, own in zip(functions, params):
        x, backward = function(own, x)
        backwards.append(backward)

    def backward_through_all(dx):
        dparams = []
        for backward in reversed(backwards):
            down, dx = backward(dx)
            dparams.insert(0, down)
        return dparams

    return x, backward_through_all


def learn(name, seed=SEEDS[0], rate=LEARNING_RATE, update=sgd, lines=0, **network):
    """A whole training: points, labels, the loss of every epoch, the predictions in the end.

    lines: how many times the loss is printed on the way.
    """
    points, labels, functions, params = begin(name, seed, **network)
    losses, state = [], None
    for epoch in range(1, EPOCHS + 1):
        outputs, backward = forward(functions, params, points)
        loss, doutputs = binary_cross_entropy(outputs, labels)
        params, state = update(params, state, backward(doutputs), rate)
        losses.append(loss)
        if lines and epoch % max(1, EPOCHS // lines) == 0:
            print(epoch_line(losses, epoch), flush=True)
    return points, labels, losses, forward(functions, params, points)[0]


# Each setting by what it is called: the set, and what is other than above.
EXTRAS = {
    "rates": {f"rate {rate:g}": {"rate": rate} for rate in (0.01, 0.05, 0.1, 0.5, 1, 5, 10)},
    "units": {f"{n} and {n} units": {"hidden": (n, n)} for n in (1, 2, 4, 8, 16)},
    "no-activation": {
        f"none, {name}, rate 0.05": {"name": name, "rate": 0.05, "activation": identity}
        for name in SETS
    },
    "optimizers": {
        f"{update.__name__}, rate {rate:g}": {"rate": rate, "update": update}
        for update, rate in (
            (optimizers.gradient_descent, 0.5),
            (sgd, 0.5),
            (optimizers.nesterov, 0.5),
            (optimizers.classical_momentum, 0.5),
            (optimizers.adagrad, 0.1),
            (optimizers.rmsprop, 0.01),
            (optimizers.adam, 0.02),
            (optimizers.adamw, 0.02),
            (optimizers.adamax, 0.02),
            (optimizers.sm3, 0.1),
        )
    },
    "activations": {
        f"{function.__name__}, rate {rate:g}": {"rate": rate, "activation": function}
        for function, rate in (
            (sigmoid, 0.5),
            (tanh, 0.1),
            (arctan, 0.1),
            (relu, 0.1),
            (leaky_relu, 0.1),
            (elu, 0.1),
            (softplus, 0.1),
            (silu, 0.1),
        )
    },
    "convolution": {
        f"convolution, {name}": {"name": name, "convolution": True, "hidden": (4,)} for name in SETS
    },
}


def accuracy(outputs, labels):
    """The share of the points whose class is the predicted one."""
    return np.mean((outputs > 0.5) == labels)


def epoch_line(losses, epoch):
    """The loss of an epoch, to the 12 decimals that every processor agrees about."""
    return f"epoch {epoch} loss : {losses[epoch - 1]:.12f}"


def column(outputs):
    """The predictions as a column of decimals. outputs: (N, 1)."""
    with np.printoptions(formatter={"float": "{:.8f}".format}, threshold=outputs.size):
        return str(outputs)


def demo(name):
    """The run of a set as the lab wants it printed; its points, labels, losses and predictions."""
    print(f"\n{name}: {len(begin(name, SEEDS[0])[0])} points, seed {SEEDS[0]}")
    _, labels, losses, outputs = run = learn(name, lines=10)
    print("the last epochs:")
    for epoch in range(max(1, EPOCHS - 4), EPOCHS + 1):
        print(epoch_line(losses, epoch))
    print(f"prediction {outputs.shape}:")
    print(column(outputs))
    print(f"accuracy : {accuracy(outputs, labels):.2%}")
    return run


def compare(which):
    """A table of some settings: accuracy and last loss with each seed; the losses of the first."""
    print(f"\n{which}: accuracy, and loss after {EPOCHS} epochs, with the seeds {SEEDS}")
    curves = {}
    for label, settings in EXTRAS[which].items():
        runs = [learn(**{"name": "xor", **settings}, seed=seed) for seed in SEEDS]
        accuracies = " ".join(f"{accuracy(run[3], run[1]):7.2%}" for run in runs)
        print(f"{label:28} {accuracies}  loss", *(f"{run[2][-1]:.1e}" for run in runs), flush=True)
        curves[label] = runs[0][2]
    return curves


BESIDE = {"loc": "upper left", "bbox_to_anchor": (1, 1), "borderaxespad": 0.5}  # where legends are


def show_points(name, points, labels, outputs):
    """The labels, and the predicted classes, beside each other."""
    _, axes = plt.subplots(1, 2, figsize=(8, 3.8), constrained_layout=True)
    panels = (("ground truth", labels), ("prediction", outputs > 0.5))
    for axis, (title, classes) in zip(axes, panels):
        for category, colour, marker in ((0, "#0072B2", "o"), (1, "#D55E00", "s")):
            chosen = points[classes[:, 0] == category]
            axis.scatter(*chosen.T, color=colour, marker=marker, label=f"class {category}")
        axis.set_title(f"{name}: {title}")
        axis.set_xlabel("$x_0$")
        axis.set_ylabel("$x_1$")
    axes[1].legend(**BESIDE)


def show_losses(title, curves):
    """The losses of several runs over their epochs, on a logarithmic axis."""
    _, axis = plt.subplots(figsize=(8, 3.6), constrained_layout=True)
    styles = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
    for index, (label, losses) in enumerate(curves.items()):
        epochs = range(1, len(losses) + 1)
        axis.plot(epochs, losses, linestyle=styles[index % len(styles)], label=label)
    axis.set_yscale("log")
    axis.set_xlabel("epoch")
    axis.set_ylabel("loss (nats)")
    axis.set_title(title)
    axis.grid(alpha=0.3)
    axis.legend(**BESIDE)


def keep(file):
    """Write the figure that was drawn last."""
    plt.savefig(file, dpi=120)
    print(f"see {file}")


def main(which="demo"):
    """Make the runs of an extra, or those that the lab asks for."""
    if which not in ("demo", *EXTRAS, "all"):
        sys.exit(f"python main.py {which}: one of {', '.join(EXTRAS)}, all, or nothing")
    if which in ("demo", "all"):
        curves = {}
        for name in SETS:
            points, labels, curves[name], outputs = demo(name)
            show_points(name, points, labels, outputs)
            keep(f"prediction_{name}.png")
        show_losses("Learning curve", curves)
        keep("learning_curve.png")
    for extra in EXTRAS:
        if which in (extra, "all"):
            show_losses(extra, compare(extra))
            keep(f"{extra}.png")


if __name__ == "__main__":
    main(*sys.argv[1:2])
