"""Against torch: what lies between the pixels of an image, and the smoothing of fields."""

import numpy as np
import pytest
from torch_helpers import KEY, assert_close, nn, normal, to_torch, torch

import funcnn as fn
from funcnn import _warping as warping

pytestmark = pytest.mark.usefixtures("one_torch_thread")
SHAPES = [(3, 1, 7, 7), (2, 3, 5, 9), (1, 2, 8, 4)]


def sampled(x, rows, columns):
    """x at these places, as torch takes it there: they go from -1 to 1."""
    height, width = x.shape[2:]
    places = 2 * columns / (width - 1) - 1, 2 * rows / (height - 1) - 1
    grid = to_torch(np.stack(places, -1).astype(x.dtype))
    return nn.functional.grid_sample(to_torch(x), grid, padding_mode="zeros", align_corners=True)


@pytest.mark.parametrize("shape", SHAPES)
def test_between_pixels_is_what_torch_s_grid_sample_gives(shape):
    x, (n, _, height, width) = normal(0, *shape), shape
    rows = (normal(1, n, height, width) * height).astype(np.float32)  # many of them outside
    columns = (normal(2, n, height, width) * width).astype(np.float32)
    assert_close(
        warping.warp(x, rows, columns), sampled(x, rows.astype(float), columns), 1e-6, 1e-5
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_affine_is_torch_s_affine_grid_of_the_inverse(shape):
    x, (n, _, height, width) = normal(0, *shape), shape
    angle, shear = 0.3 * normal(1, n), 0.2 * normal(2, n)
    scale, shift = np.exp(0.2 * normal(3, 2, n)), normal(4, 2, n)
    ours = warping.warp(x, *warping.inverse_affine(shape, angle, scale, shear, shift))
    # To torch's units, in which the centres of the outermost pixels are at -1 and 1.
    units = np.diag([2 / (width - 1), 2 / (height - 1), 1])
    inverse = []
    for a, b, s, t in zip(angle, shear, scale.T, shift.T, strict=True):
        turned = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        there = np.eye(3)
        there[:2, :2] = turned @ np.array([[1, np.tan(b)], [0, 1]]) @ np.diag(s)
        there[:2, 2] = t
        inverse.append((units @ np.linalg.inv(there) @ np.linalg.inv(units))[:2])
    grid = nn.functional.affine_grid(to_torch(np.stack(inverse)), shape, align_corners=True)
    assert_close(ours, nn.functional.grid_sample(to_torch(x), grid, align_corners=True), 1e-5, 1e-5)


@pytest.mark.parametrize(("height", "width", "sigma"), [(9, 9, 1.5), (6, 11, 4.0), (12, 5, 0.3)])
def test_smoothing_is_a_convolution_with_the_gaussian(height, width, sigma):
    fields = normal(0, height, 4, width).astype(np.float32)
    places = np.arange(-60, 61)
    line = np.exp(-0.5 * (places / sigma) ** 2)
    kernel = np.outer(line, line) / line.sum() ** 2
    images = to_torch(fields.transpose(1, 0, 2)[:, None].astype(float))  # (4, 1, H, W)
    smooth = nn.functional.conv2d(images, to_torch(kernel[None, None]), padding=60)
    theirs = smooth[:, 0].transpose(0, 1)
    assert_close(warping.smoothed(fields, sigma), theirs, 1e-5, 1e-6)


def test_mixup_is_trained_on_as_torch_trains_on_probabilities():
    x, y = normal(0, 6, 4).astype(np.float32), np.arange(6) % 3
    mixed, targets = fn.augmentations.mixup(1.0, 3)(KEY, (x, y))
    ours, vjp = fn.softmax_cross_entropy(mixed[:, :3], targets)
    logits = to_torch(mixed[:, :3], requires_grad=True)
    theirs = nn.functional.cross_entropy(logits, torch.tensor(targets))
    theirs.backward()
    assert_close(np.float32(ours), theirs, 1e-5)
    assert_close(vjp(), logits.grad, 1e-4, 1e-6)
