"""Against torch: losses and their derivatives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_helpers import arrays, assert_close, normal, seeds, to_torch, torch

import funcnn as fn

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def assert_same_loss(loss, torch_loss, outputs, targets, torch_targets):
    """Equal values and derivatives, reduced in each way; `torch_loss` has a `reduction`."""
    for reduction in ("mean", "sum", "none"):
        value, vjp = loss(outputs, targets, reduction=reduction)
        outputs_torch = to_torch(outputs, requires_grad=True)
        torch_loss.reduction = reduction
        value_torch = torch_loss(outputs_torch, torch_targets)
        assert_close(value, value_torch)
        dvalue = np.asarray(3.0) if reduction != "none" else normal(0, *value.shape)
        value_torch.backward(to_torch(dvalue))
        assert_close(vjp(dvalue), outputs_torch.grad)


logits = arrays(max_dims=2, elements=st.floats(-50, 50))


@given(logits, st.floats(0, 1), seeds)
def test_cross_entropy_of_labels_is_torchs(x, smoothing, seed):
    labels = np.random.default_rng(seed).integers(x.shape[1], size=len(x))
    assert_same_loss(
        lambda x, t, **k: fn.softmax_cross_entropy(x, t, label_smoothing=smoothing, **k),
        torch.nn.CrossEntropyLoss(label_smoothing=smoothing),
        x,
        labels,
        to_torch(labels),
    )


@given(logits, st.floats(0, 1), seeds, st.booleans())
def test_cross_entropy_of_probabilities_is_torchs(x, smoothing, seed, normalised):
    targets = np.random.default_rng(seed).random(x.shape)
    if normalised:
        targets /= targets.sum(1, keepdims=True)
    assert_same_loss(
        lambda x, t, **k: fn.softmax_cross_entropy(x, t, label_smoothing=smoothing, **k),
        torch.nn.CrossEntropyLoss(label_smoothing=smoothing),
        x,
        targets,
        to_torch(targets),
    )


@given(logits, seeds)
def test_weights_of_the_labels_classes_are_torchs_class_weights(x, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(x.shape[1], size=len(x))
    of_classes = rng.random(x.shape[1]) + 0.1
    assert_same_loss(
        lambda x, t, **k: fn.softmax_cross_entropy(x, t, weights=of_classes[t], **k),
        torch.nn.CrossEntropyLoss(weight=to_torch(of_classes)),
        x,
        labels,
        to_torch(labels),
    )


@given(arrays(max_dims=2, elements=st.floats(-3, 3)), seeds)
def test_multiclass_hinge_is_torchs(x, seed):
    labels = np.random.default_rng(seed).integers(x.shape[1], size=len(x))
    loss = torch.nn.MultiMarginLoss()
    assert_same_loss(fn.multiclass_hinge, loss, x, labels, to_torch(labels))


@pytest.mark.parametrize("delta", [0.25, 1.0, 7.0])
@given(x=arrays(min_dims=1), seed=seeds)
def test_huber_is_torchs(delta, x, seed):
    targets = normal(seed, *x.shape)
    assert_same_loss(
        lambda y, t, **k: fn.huber(y, t, delta, **k),
        torch.nn.HuberLoss(delta=delta),
        x,
        targets,
        to_torch(targets),
    )


@given(arrays(min_dims=1), seeds)
def test_half_squared_error_is_torchs_formula(x, seed):
    targets = normal(seed, *x.shape)
    value, vjp = fn.half_squared_error(x, targets)
    x_torch = to_torch(x, requires_grad=True)
    value_torch = ((x_torch - to_torch(targets)) ** 2).sum() / 2 / len(x)
    value_torch.backward()
    assert_close(value, value_torch)
    assert_close(vjp(), x_torch.grad)


@given(arrays(min_dims=1), seeds)
def test_hinge_is_optaxs(x, seed):
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    targets = np.random.default_rng(seed).choice([-1.0, 1.0], x.shape)
    x = np.where(x * targets == 1, 0.5, x)  # away from the kink, where optax takes half the slope
    with jax.enable_x64(True):
        their_value, gradient = jax.value_and_grad(lambda y: optax.hinge_loss(y, targets).mean())(x)
    value, vjp = fn.hinge(x, targets)
    np.testing.assert_allclose(value, their_value, rtol=1e-10)
    np.testing.assert_allclose(vjp(), gradient, rtol=1e-10)


@given(arrays(min_dims=1), seeds)
def test_squared_error_is_torchs(x, seed):
    targets = normal(seed, *x.shape)
    assert_same_loss(fn.mean_squared_error, torch.nn.MSELoss(), x, targets, to_torch(targets))


@given(arrays(min_dims=1, elements=st.floats(1e-11, 1 - 1e-11)), seeds)
def test_binary_cross_entropy_is_torchs(p, seed):
    targets = np.random.default_rng(seed).random(p.shape)
    assert_same_loss(fn.binary_cross_entropy, torch.nn.BCELoss(), p, targets, to_torch(targets))


@pytest.mark.parametrize("p", [0.0, 1e-300, 1e-13, 1 - 1e-13, 1.0])
@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
def test_binary_cross_entropy_at_the_ends_is_torchs(p, target):
    p, targets = np.array([p]), np.array([target])
    value, vjp = fn.binary_cross_entropy(p, targets)
    p_torch = to_torch(p, requires_grad=True)
    value_torch = torch.nn.BCELoss()(p_torch, to_torch(targets))
    value_torch.backward()
    assert value == pytest.approx(value_torch.item(), rel=1e-10, abs=1e-10)
    # The limit 1e-12 of the denominator is a float32 number in torch, 4e-9 smaller.
    assert_close(vjp(), p_torch.grad, rtol=5e-9)


@given(arrays(min_dims=1), seeds)
def test_binary_cross_entropy_with_logits_is_torchs(x, seed):
    targets = np.random.default_rng(seed).random(x.shape)
    assert_same_loss(
        fn.binary_cross_entropy_with_logits,
        torch.nn.BCEWithLogitsLoss(),
        x,
        targets,
        to_torch(targets),
    )
