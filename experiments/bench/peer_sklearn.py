"""scikit-learn in the benchmark: `MLPClassifier.partial_fit` of one batch is a step.

Its loss is with the penalty of the weights, half the weight decay times their squares, and its
decay leaves out the biases; otherwise it does what the other peers do.
"""

from contextlib import AbstractContextManager

import numpy as np
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from funcnn.experiments.bench.nets import (
    CLASSES,
    EVALUATION_BATCH,
    LEARNING_RATE,
    MOMENTUM,
    WEIGHT_DECAY,
    Net,
)
from funcnn.types import Array


def limits(threads: int) -> AbstractContextManager[object]:
    """BLAS on so many threads: the rest has one."""
    limit: AbstractContextManager[object] = threadpool_limits(threads)
    return limit


class Learner:
    """An `MLPClassifier`."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._x, self._y = net.make_data()
        self._test_x, self._test_y = net.make_data("test")

    def start(self) -> None:
        """Begin with the net's first params."""
        batch = self._net.batch
        assert batch is not None
        self._model = MLPClassifier(
            self._net.hidden,
            solver="sgd",
            alpha=WEIGHT_DECAY * batch,  # it divides by the examples of the batch
            batch_size=batch,
            learning_rate_init=LEARNING_RATE,
            momentum=MOMENTUM,
            nesterovs_momentum=False,
            shuffle=False,
        )
        # Only a step makes the arrays; then they are filled, and the solver begins anew.
        self._model.partial_fit(self._x[:batch], self._y[:batch], classes=np.arange(CLASSES))
        for index, (weight, bias) in enumerate(self._net.first_params()):
            self._model.coefs_[index][...] = weight
            self._model.intercepts_[index][...] = bias
        del self._model._optimizer

    def step(self, rows: Array | None) -> float:
        """One step; the loss before it."""
        self._model.partial_fit(self._x[rows], self._y[rows])
        return float(self._model.loss_)

    def predict(self) -> Array:
        """The probabilities for the test examples."""
        starts = range(0, len(self._test_x), EVALUATION_BATCH)
        batches = [self._test_x[start : start + EVALUATION_BATCH] for start in starts]
        return np.concatenate([self._model.predict_proba(batch) for batch in batches])

    def predict_one(self) -> Array:
        """The probabilities for the first test example."""
        outputs: Array = self._model.predict_proba(self._test_x[:1])
        return outputs

    def evaluate(self) -> tuple[float, float]:
        """Loss and accuracy on the test examples."""
        p = self.predict()
        return log_loss(self._test_y, p), float((p.argmax(1) == self._test_y).mean())
