"""What a network is trained with, as a report says it."""

import numpy as np
import pytest

from funcnn.experiments.data.datasets import Dataset, Normalization
from funcnn.experiments.labs import emnist47, fashion, mnist, settings_in_words
from funcnn.experiments.labs.lab import Trial
from funcnn.experiments.labs.settings_in_words import trained_with
from funcnn.experiments.tasks.augmentations import AUGMENTATIONS
from funcnn.experiments.tasks.build import build_network
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.optimizers import SCHEDULES
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
        "augmentation of the images": "none",
        "average of the params": "none",
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
    ],
)
def test_the_words_follow_the_settings(trial, backend, name, value):
    assert said(trial, backend)[0][name] == value


MLP = Trial("mlp", {"arch": "mlp3", "optimizer": "classical-momentum", "augment": "shift=1+erase"})


@pytest.mark.parametrize(
    ("changed", "name", "value"),
    [
        (
            {},
            "optimizer",
            "gradient descent, the rate inside the velocity, momentum 0.9, weight decay 0.0005",
        ),
        (
            {"decayed": "weights", "weight_decay": 1e-4, "momentum": 0.0},
            "optimizer",
            "gradient descent, the rate inside the velocity, weight decay 0.0001 without biases "
            "and norms",
        ),
        ({}, "loss", "cross-entropy of the softmax, label smoothing 0.1"),
        (
            {},
            "augmentation of the images",
            "moved by whole pixels, -1 to 1 along each axis; of 50% of them a rectangle of 2% to "
            "33% of the image filled; anew in every epoch",
        ),
        (
            {"augment": "flip+affine=10:0.1+elastic=8:3"},
            "augmentation of the images",
            "mirrored, 50% of them; turned by up to 10°, scaled by up to 10%, sheared by up to "
            "0°, moved by up to 0 pixels; deformed by 8 pixels, smoothed over 3; anew in every "
            "epoch",
        ),
        ({"average": 0.999}, "average of the params", "over the steps, decay 0.999"),
        (
            {"schedule": "one-cycle"},
            "learning rate",
            "0.05, rises for three tenths of the steps, then falls",
        ),
    ],
)
def test_what_raises_accuracy_is_said(changed, name, value):
    assert said(MLP, **changed)[0][name] == value


def test_every_schedule_and_every_augmentation_has_words():
    assert set(settings_in_words._SCHEDULES) == set(SCHEDULES)
    assert set(settings_in_words._AUGMENTATIONS) == set(AUGMENTATIONS)


def test_first_weights_of_a_sigmoid_are_those_that_suit_it():
    rows, _ = said(emnist47.STEPS[0].trial, data="fashion-mnist")
    assert rows["first weights"] == "N(0, 0.01²); biases 0"
    rows, _ = said(fashion.FULLY_CONNECTED, activation="sigmoid")
    assert rows["first weights"].startswith("Glorot's, uniform")
    assert "last layer" not in rows["first weights"]
