"""What the report of `points` explains, whatever came out: the network and its derivatives."""

from collections.abc import Sequence

from funcnn.experiments.reports.document import Block, Formula, Section, Text


def introduction() -> Section:
    """What the lab is about."""
    return Section(
        "Introduction",
        (
            Text(
                "A neural network with two hidden layers learns to tell two classes of points in "
                "the plane apart: those on either side of a line, which a line can separate, and "
                "those on two crossing diagonals, which it cannot. A unit of the first hidden "
                "layer is a soft line in the plane; the second layer and the output combine such "
                "lines, and so can bound regions of any shape. This is why the second set needs "
                "hidden layers, and activations between them, which section 4 leaves out."
            ),
            Text(
                "It learns by gradient descent on the cross-entropy. The gradient comes from "
                "back-propagation, the chain rule applied from the loss backwards: each layer gets "
                "the derivative of the loss with respect to its output, and gives those with "
                "respect to its weights and to its input, which is the output of the layer before. "
                "One pass back so costs about as much as two forward, however many weights there "
                "are; to measure the derivative of each weight by itself would take a pass for "
                "every one."
            ),
            Text(
                "All of it is written by hand in NumPy: layers with their derivatives in "
                "`layer.py`, optimizers in `network.py` and `optimizers.py`, training and its "
                "settings in `main.py`. The notebook holds the derivative of every layer, "
                "activation and loss used here against a measured one. `python main.py` makes the "
                "runs of section 3, `python main.py rates` and its like those of sections 4 and 5."
            ),
        ),
    )


def set_up(drawn: Sequence[Block]) -> Section:
    """The sigmoid, the network, also drawn, and its derivatives, as formulas."""
    sigmoid = Section(
        "Sigmoid functions",
        (
            Formula(
                [
                    r"s(x) &= \dfrac{1}{1 + \exp(-x)}",
                    r"s'(x) &= \dfrac{\exp(-x)}{(1 + \exp(-x))^2} = \dfrac{1}{1 + \exp(-x)} \cdot "
                    r"\left(1 - \dfrac{1}{1 + \exp(-x)}\right) = s(x) \, (1 - s(x))",
                ]
            ),
            Text(
                "It maps every number into $(0, 1)$. The derivative is at most 1/4: where the "
                "weights are not large, a gradient shrinks with every layer that it goes back "
                "through."
            ),
        ),
    )
    network = Section(
        "Neural network",
        (
            *drawn,
            Formula([r"y = s(s(s(X W_1 + b_1) \, W_2 + b_2) \, W_3 + b_3)"]),
            Text(
                "$X$ is $(n, 2)$, $W_1$ $(2, 4)$, $W_2$ $(4, 4)$, $W_3$ $(4, 1)$; $y$ is the "
                "probability of class 1. Weights begin as $N(0, 1)$, biases as 0. The whole set is "
                "one batch."
            ),
            Formula([r"L = \mathrm{mean}(-t \, \log y - (1 - t) \, \log(1 - y))"]),
            Text("The loss is the binary cross-entropy of the labels $t$."),
        ),
    )
    backward = Section(
        "Backpropagation",
        (
            Text(
                r"From the loss backwards, with $\odot$ element by element and a layer's input $h$:"
            ),
            Formula(
                [
                    r"\dfrac{dL}{dy} &= \dfrac{1}{n} \left(-\dfrac{t}{y} + "
                    r"\dfrac{1 - t}{1 - y}\right) = \dfrac{y - t}{n \, y \, (1 - y)}",
                    r"dz &= dy \odot s'(z) \quad \mathrm{through\ a\ sigmoid\ of}\ z = h W + b",
                    r"dz &= \dfrac{y - t}{n \, y \, (1 - y)} \, y \, (1 - y) = "
                    r"\dfrac{y - t}{n} \quad \mathrm{through\ the\ last}",
                    r"dW &= h^\mathsf{T} dz",
                    r"db &= \mathrm{sum\ of}\ dz\ \mathrm{over\ the\ batch}",
                    r"dh &= dz \, W^\mathsf{T}",
                ]
            ),
            Text(
                "Then every weight and bias takes a step of gradient descent, with a momentum of "
                "0.9 and the learning rate 0.5; the velocity $v$ begins as 0:"
            ),
            Formula([r"v &= 0.9 \, v + dW", r"W &= W - 0.5 \, v"]),
            Text(
                "Each layer in `layer.py` returns its output together with its `backward`, which "
                "takes the derivative by the output to those by its weights and its input; that of "
                "the network, `forward` in `main.py`, calls them in reverse. The update is `sgd` "
                "in `network.py`."
            ),
        ),
    )
    return Section("Experiment setups", (sigmoid, network, backward))
