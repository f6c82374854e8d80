"""Against torch: losses and their derivatives, reduced in each way, with weights and without."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_helpers import arrays, assert_close, nn, normal, seeds, to_torch, torch

import funcnn as fn

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def assert_same_loss(loss, torch_loss, outputs, targets, dvalue=3.0):
    """Equal values, and equal derivatives for one cotangent of the value."""
    value, vjp = loss(outputs, targets)
    outputs_torch = to_torch(outputs, requires_grad=True)
    value_torch = torch_loss(outputs_torch, to_torch(targets))
    assert_close(value, value_torch)
    value_torch.backward(to_torch(dvalue))
    assert_close(vjp(dvalue), outputs_torch.grad)


class Of(nn.Module):
    """A loss that torch has no module for, of a function to the losses of the examples."""

    def __init__(self, function):
        super().__init__()
        self.function, self.reduction = function, "mean"

    def forward(self, outputs, targets):
        losses = self.function(outputs, targets)
        return losses if self.reduction == "none" else getattr(losses, self.reduction)()


# Targets for outputs x.
def labels(rng, x):
    return rng.integers(x.shape[1], size=len(x))


def fractions(rng, x):
    return rng.random(x.shape)


def bits(rng, x):
    return rng.integers(2, size=x.shape).astype(float)


def distributions(rng, x):
    return rng.dirichlet(np.ones(x.shape[1]), len(x))


def signs(rng, x):
    return rng.choice([-1.0, 1.0], x.shape)


def numbers(rng, x):
    return rng.standard_normal(x.shape)


logits = arrays(max_dims=2, elements=st.floats(-50, 50))
anything = arrays(min_dims=1)
probabilities = arrays(min_dims=1, elements=st.floats(1e-11, 1 - 1e-11))
# Ours, torch's, the outputs and how to draw targets.
LOSSES = {
    "cross entropy of labels": (
        fn.softmax_cross_entropy,
        nn.CrossEntropyLoss(),
        logits,
        labels,
    ),
    "cross entropy of probabilities": (
        fn.softmax_cross_entropy,
        nn.CrossEntropyLoss(),
        logits,
        distributions,
    ),
    "cross entropy of what sums to anything": (
        fn.softmax_cross_entropy,
        nn.CrossEntropyLoss(),
        logits,
        fractions,
    ),
    "multiclass hinge": (
        fn.multiclass_hinge,
        nn.MultiMarginLoss(),
        arrays(max_dims=2, elements=st.floats(-3, 3)),
        labels,
    ),
    "hinge": (
        fn.hinge,
        Of(lambda y, t: torch.relu(1 - t * y)),
        anything | arrays(min_dims=1, elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0])),
        signs,
    ),
    "huber": (fn.huber, nn.HuberLoss(), anything, numbers),
    "huber, early": (
        lambda y, t, **k: fn.huber(y, t, 0.25, **k),
        nn.HuberLoss(delta=0.25),
        anything,
        numbers,
    ),
    "huber, late": (
        lambda y, t, **k: fn.huber(y, t, 7.0, **k),
        nn.HuberLoss(delta=7.0),
        anything,
        numbers,
    ),
    "squared error": (fn.mean_squared_error, nn.MSELoss(), anything, numbers),
    "half squared error": (
        fn.half_squared_error,
        Of(lambda y, t: ((y - t) ** 2).reshape(len(y), -1).sum(1) / 2),
        anything,
        numbers,
    ),
    "binary cross entropy": (fn.binary_cross_entropy, nn.BCELoss(), probabilities, fractions),
    "binary cross entropy with logits": (
        fn.binary_cross_entropy_with_logits,
        nn.BCEWithLogitsLoss(),
        anything,
        fractions,
    ),
    "binary cross entropy of labels": (
        fn.binary_cross_entropy,
        nn.BCELoss(),
        probabilities,
        bits,
    ),
    "binary cross entropy of labels, with logits": (
        fn.binary_cross_entropy_with_logits,
        nn.BCEWithLogitsLoss(),
        arrays(min_dims=1, elements=st.integers(-40, 40).map(float)),
        bits,
    ),
}
every = pytest.mark.parametrize("name", LOSSES)
reductions = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


@reductions
@every
@given(data=st.data(), seed=seeds)
def test_losses_are_torchs(name, reduction, data, seed):
    loss, torch_loss, outputs, targets_of = LOSSES[name]
    x, rng = data.draw(outputs), np.random.default_rng(seed)
    targets = targets_of(rng, x)
    torch_loss.reduction = reduction
    dvalue = 3.0
    if reduction == "none":
        dvalue = normal(seed, *torch_loss(to_torch(x), to_torch(targets)).shape)
    assert_same_loss(lambda y, t: loss(y, t, reduction=reduction), torch_loss, x, targets, dvalue)


@every
@given(data=st.data(), seed=seeds)
def test_a_weighted_mean_is_torchs_losses_times_the_weights_over_their_sum(name, data, seed):
    loss, torch_loss, outputs, targets_of = LOSSES[name]
    x, rng = data.draw(outputs), np.random.default_rng(seed)
    weights = rng.random(len(x)) + 0.1
    torch_loss.reduction = "none"

    def torch_mean(y, t):
        losses = torch_loss(y, t)
        stretched = to_torch(weights).reshape(-1, *[1] * (losses.ndim - 1)).expand_as(losses)
        return (losses * stretched).sum() / stretched.sum()

    targets = targets_of(rng, x)
    assert_same_loss(lambda y, t: loss(y, t, weights=weights), torch_mean, x, targets)
    assert_same_loss(lambda y, t: fn.weighted(loss)(y, (t, weights)), torch_mean, x, targets)


@pytest.mark.parametrize("targets_of", [labels, distributions, fractions])
@reductions
@given(x=logits, smoothing=st.floats(0, 1), seed=seeds)
def test_smoothed_cross_entropy_is_torchs(targets_of, reduction, x, smoothing, seed):
    targets = targets_of(np.random.default_rng(seed), x)
    assert_same_loss(
        lambda y, t: fn.softmax_cross_entropy(y, t, smoothing, reduction=reduction),
        nn.CrossEntropyLoss(label_smoothing=smoothing, reduction=reduction),
        x,
        targets,
        normal(seed, len(x)) if reduction == "none" else 3.0,
    )


@reductions
@given(x=logits, seed=seeds)
def test_weights_of_the_labels_classes_are_torchs_class_weights(reduction, x, seed):
    rng = np.random.default_rng(seed)
    of_classes = rng.random(x.shape[1]) + 0.1
    assert_same_loss(
        lambda y, t: fn.softmax_cross_entropy(y, t, weights=of_classes[t], reduction=reduction),
        nn.CrossEntropyLoss(weight=to_torch(of_classes), reduction=reduction),
        x,
        labels(rng, x),
        normal(seed, len(x)) if reduction == "none" else 3.0,
    )


@pytest.mark.parametrize("p", [0.0, 1e-300, 1e-13, 1 - 1e-13, 1.0])
@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
def test_binary_cross_entropy_at_the_ends_is_torchs(p, target):
    p, targets = np.array([p]), np.array([target])
    value, vjp = fn.binary_cross_entropy(p, targets)
    p_torch = to_torch(p, requires_grad=True)
    value_torch = nn.BCELoss()(p_torch, to_torch(targets))
    value_torch.backward()
    assert_close(value, value_torch)
    # The limit 1e-12 of the denominator is a float32 number in torch, 4e-9 smaller.
    assert_close(vjp(), p_torch.grad, rtol=5e-9)
