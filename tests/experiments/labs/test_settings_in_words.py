"""What a network is trained with, as a report says it."""

import numpy as np
import pytest

from funcnn.experiments.data.datasets import Dataset, Normalization
from funcnn.experiments.labs import emnist47, fashion, fashion_mlp, mnist
from funcnn.experiments.labs.settings_in_words import trained_with
from funcnn.experiments.tasks.build import build_network
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.task import Task


def said(trial, backend="numpy", images=250, **changed):
    config = RunConfig.resolve({**trial.settings, **changed})
    inputs = np.zeros((images, 1, 28, 28), np.uint8)
    examples = (inputs, np.zeros(images, int))
    scale = Normalization(255.0, 0.2, 0.3)
    data = Dataset("", examples, None, examples, "", tuple("0123456789"), scale)
    model = build_network(config, (1, 28, 28), 10)
    table, sentence = trained_with(
        Task(config, data, model, (1, 28, 28), config.batch_size, 1), backend
    )
    return dict(table.rows), sentence.paragraph


def test_the_settings_of_a_cnn_by_adam():
    rows, sentence = said(fashion.CNN)
    assert rows == {
        "epochs": "10",
        "images in a batch": "100",
        "optimizer": "Adam, β1 0.9, β2 0.999",
        "learning rate": "0.002, falls to 0 along half a cosine",
        "loss": "cross-entropy of the softmax",
        "activation": "ReLU",
        "first weights": "He's, N(0, 2 / inputs); Glorot's in the last layer; biases 0",
        "dropout": "0.25",
    }
    assert "3 steps, a training 30: 2,500 images" in sentence.replace("**", "")


@pytest.mark.parametrize(
    ("trial", "backend", "name", "value"),
    [
        (
            *(fashion.FULLY_CONNECTED, "numpy", "optimizer"),
            "gradient descent, momentum 0.9, weight decay 0.0005",
        ),
        (fashion.STEPS[0].trial, "numpy", "optimizer", "gradient descent"),
        (fashion.STEPS[0].trial, "numpy", "learning rate", "0.05, constant"),
        (fashion.STEPS[0].trial, "numpy", "loss", "half squared error of the outputs"),
        (
            *(fashion.STEPS[0].trial, "numpy", "first weights"),
            "Glorot's, uniform with the variance 2 / (inputs + outputs); biases 0",
        ),
        (fashion.FULLY_CONNECTED, "numpy", "dropout", "none"),
        (
            *(fashion.CNN, "torch", "first weights"),
            "PyTorch's own: weights and biases uniform within ±1 / √inputs",
        ),
        (
            mnist.CNN,
            "torch",
            "first weights",
            "drawn as in NumPy; in the runs of the tables the same numbers",
        ),
        (
            *(fashion_mlp.MAIN, "numpy", "optimizer"),
            "gradient descent, the rate inside the velocity, momentum 0.9, weight decay 0.0005",
        ),
        (
            fashion_mlp.SMOOTHED,
            "numpy",
            "loss",
            "cross-entropy of the softmax, label smoothing 0.1",
        ),
    ],
)
def test_the_words_follow_the_settings(trial, backend, name, value):
    assert said(trial, backend)[0][name] == value


def test_first_weights_of_a_sigmoid_are_those_that_suit_it():
    rows, _ = said(emnist47.STEPS[0].trial, data="fashion-mnist")
    assert rows["first weights"] == "N(0, 0.01²); biases 0"
    rows, _ = said(fashion.FULLY_CONNECTED, activation="sigmoid")
    assert rows["first weights"].startswith("Glorot's, uniform")
    assert "last layer" not in rows["first weights"]
