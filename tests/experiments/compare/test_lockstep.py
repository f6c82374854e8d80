"""Lockstep: float64 stays at rounding level for every architecture, and what does not is seen."""

import itertools
import math

import numpy as np
import pytest
from image_files import image_folder

import funcnn as fn
from funcnn.experiments.compare import lockstep as module
from funcnn.experiments.compare.lockstep import Step, differences, lockstep
from funcnn.experiments.compare.lockstep_backends import NumpyBackend, TakenStep, kinks
from funcnn.experiments.compare.lockstep_table import (
    APART,
    MEASURED,
    ROUNDING,
    by_layer,
    read_steps,
    summarise,
    write_steps,
)
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.tasks.architectures import ARCHITECTURES
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.run import TrainingRun

STEPS = 200
SIDES = {"lenet5": 16}  # two convolutions of 5x5 without padding need more than 8
NEEDS_TORCH = "lockstep's other backend is torch's: pip install 'funcnn[torch]'"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Folders of images, by their side."""
    folder = tmp_path_factory.mktemp("data")
    return {side: image_folder(folder / str(side), side=side) for side in (8, 16)}


def small(images, arch, **settings):
    """A task of little work: 6 batches of 8 small images an epoch, or 21 points."""
    small = {"arch": arch, "epochs": 300, "weight_decay": 1e-3}
    if not ARCHITECTURES[arch].binary:
        small |= {"data": str(images[SIDES.get(arch, 8)]), "val_size": 12, "batch_size": 8}
    if ARCHITECTURES[arch].convolves:
        small |= {"channels": [3] if arch == "points-conv" else [3, 4], "dropout": 0.25}
    if "hidden" in ARCHITECTURES[arch].defaults:
        small |= {"hidden": [6, 5]}
    return Task.build(RunConfig.resolve(small | settings))


@pytest.fixture(autouse=True)
def one_thread():
    with fn.threads.use_threads(1):
        yield


def run(task, steps=STEPS, dtype="float64"):
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    return list(lockstep(task, steps, dtype))


def largest(steps):
    return {name: max(getattr(step, name) for step in steps) for name in MEASURED}


# --- float64 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_in_float64_every_architecture_stays_at_rounding_level(images, arch):
    steps = run(small(images, arch))
    assert [step.step for step in steps] == list(range(1, STEPS + 1))
    found = largest(steps)
    assert max(found.values()) < ROUNDING, found
    assert found["params"] > 0  # two implementations, not one twice
    assert all(step.switched == 0 for step in steps)  # as torch's own activations saw it
    assert steps[-1].loss_numpy != steps[0].loss_numpy


@pytest.mark.parametrize("arch", ["cnn3", "resnet"])
def test_in_float64_nets_of_their_own_size_do_too_and_smaller_last_batches(images, arch):
    config = {"arch": arch, "data": str(images[16]), "val_size": 12, "batch_size": 20, "epochs": 9}
    steps = run(Task.build(RunConfig.resolve(config)), steps=6)  # of 20, 20 and 8 images
    assert max(largest(steps).values()) < ROUNDING


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adamw", "schedule": "warmup-cosine"},
        {"optimizer": "sgd", "schedule": "one-cycle", "label_smoothing": 0.1},
        {"optimizer": "classical-momentum", "schedule": "piecewise", "activation": "prelu"},
        {"optimizer": "rmsprop", "momentum": 0.5, "activation": "gelu", "dropout": 0.5},
        {"optimizer": "adam", "class_weights": "balanced", "drop_last": True, "batch_size": 20},
    ],
    ids=lambda settings: settings["optimizer"],
)
def test_in_float64_other_optimizers_schedules_and_activations_do_too(images, settings):
    found = largest(run(small(images, "mlp3", **settings)))
    assert max(found.values()) < ROUNDING, found


@pytest.mark.parametrize("arch", ["mlp3", "resnet", "points"])
def test_in_float64_the_squared_error_does_too(images, arch):
    task = small(images, arch, loss="squared-error")
    steps = run(task)
    assert max(largest(steps).values()) < ROUNDING
    first, _ = task.loss(*_outputs_and_labels(task))
    assert steps[0].loss_numpy == pytest.approx(first, rel=1e-12)


def _outputs_and_labels(task):
    """Of the first batch, in training, in float64."""
    x, y, rng = next(module._batches(task, "float64"))
    params = fn.tree.map(np.float64, task.first_params())
    return task.model.apply(params, x, rng=rng, train=True)[0], y


# --- what is not equal is seen -----------------------------------------------------------------


class Scaled(NumpyBackend):
    """A backend whose gradient is too large by a millionth, in the first weights."""

    def step(self, x, y, rng):
        gradient = self._gradient

        def wrong(*args, **keywords):
            found, grads = gradient(*args, **keywords)
            grads[1] = fn.tree.map(lambda g: g * (1 + 1e-6), grads[1])
            return found, grads

        self._gradient = wrong
        try:
            return super().step(x, y, rng)
        finally:
            self._gradient = gradient


def against(task, other, steps=20):
    params = fn.tree.map(np.float64, task.first_params())
    batches = itertools.islice(module._batches(task, "float64"), steps)
    return list(differences(NumpyBackend(task, params), other(params), batches))


def test_a_backend_does_not_differ_from_itself(images):
    task = small(images, "mlp3", dropout=0.3)
    found = against(task, lambda params: NumpyBackend(task, params))
    assert largest(found) == {"loss": 0, "grads": 0, "params": 0}
    assert all(step.switched == 0 for step in found)


def test_a_gradient_that_is_too_large_by_a_millionth_is_seen_and_where(images):
    task = small(images, "mlp3")
    first, *_ = found = against(task, lambda params: Scaled(task, params))
    shares = by_layer(first.shares_of_grads)
    assert shares["1"] == pytest.approx(first.grads)
    assert shares["3"] == shares["5"] == 0
    assert 1e-8 < first.grads < 1e-6
    assert max(largest(found).values()) > ROUNDING


def test_a_weight_decay_that_was_dropped_is_seen(images):
    task, without = (small(images, "mlp3", weight_decay=decay) for decay in (1e-3, 0.0))
    first, *_ = found = against(task, lambda params: NumpyBackend(without, params))
    assert (first.loss, first.grads) == (0, 0)  # it is the update that differs
    assert first.params > 1e-6
    assert max(largest(found).values()) > ROUNDING


def test_other_masks_are_seen(images):
    class OtherMasks(NumpyBackend):
        def step(self, x, y, rng):
            return super().step(x, y, fn.random.fold_in(rng, 1))

    task = small(images, "mlp3", dropout=0.3)
    first, *_ = against(task, lambda params: OtherMasks(task, params), steps=1)
    assert first.grads > 1e-2
    assert first.switched > 0


# --- float32 ---------------------------------------------------------------------------------


def test_in_float32_the_difference_is_that_of_its_rounding_and_grows(images):
    task = small(images, "mlp3", data="fashion-mnist", hidden=[32], activation="tanh")
    steps = run(task, 60, "float32")
    assert 1e-9 < steps[0].params < 1e-6
    assert 3 * steps[0].params < steps[-1].params < 1e-3


def test_the_numpy_backend_does_what_a_run_does_to_the_bit(images, tmp_path):
    seen = []

    class Losses(Callback):
        def step_end(self, run, done, steps, loss):
            seen.append(loss)

    task = small(images, "mlp3", epochs=4, dropout=0.3)
    TrainingRun.start(task.config, tmp_path / "run").finish(Losses())
    params = task.first_params()
    batches = itertools.islice(module._batches(task, "float32"), task.total_steps)
    backend = NumpyBackend(task, params)
    assert [backend.step(*batch).loss for batch in batches] == seen


# --- bad input ---------------------------------------------------------------------------------


def test_more_steps_than_the_run_has_are_refused(images):
    task = small(images, "mlp3", epochs=2)
    with pytest.raises(InputError, match=r"^--steps 13: the whole run has 12$"):
        run(task, 13)
    assert len(run(task, 12)) == 12


def test_a_network_that_diverges_is_one_line_with_the_step(images):
    task = small(images, "mlp3", lr=1e30, activation="identity")
    with pytest.raises(RunStoppedError, match=r"^lockstep in float32: .* became (nan|inf) at step"):
        run(task, 20, "float32")


def test_a_batch_of_one_that_batch_normalization_cannot_take_is_an_input_error(images):
    with pytest.raises(InputError, match=r"^in a batch of 1: .*BatchNorm"):
        run(small(images, "resnet", channels=[3, 4, 5], batch_size=47), 2)


# --- the table -----------------------------------------------------------------------------------


def step(number, params, shares=None, *, grads=0.5, switched=0):
    shares = shares or {"0/weight": params}
    of_grads = dict.fromkeys(shares, grads / math.sqrt(len(shares)))
    return Step(number, 1.0, 1.1, 0.1, grads, params, switched, of_grads, shares)


def test_a_table_is_read_back_as_it_was(tmp_path, images):
    steps = run(small(images, "resnet"), 3, "float32")
    write_steps(tmp_path / "it.csv", steps)
    assert read_steps(tmp_path / "it.csv") == steps


@pytest.mark.parametrize("text", ["", "step\n", "a,b\n1,2\n", None], ids=repr)
def test_a_damaged_table_is_one_line(tmp_path, text):
    path = tmp_path / "it.csv"
    write_steps(path, [step(1, 1e-9), step(2, 2e-9)])
    path.write_text(path.read_text()[:-5] + "x\n" if text is None else text)
    with pytest.raises(InputError, match=r"it\.csv is not the table of a lockstep: "):
        read_steps(path)


def test_a_layers_share_is_the_norm_of_its_leaves_shares():
    found = by_layer({"0/0/weight": 3.0, "0/0/bias": 4.0, "1/weight": 2.0})
    assert found == {"0/0": 5.0, "1": 2.0}


def test_the_first_step_apart_is_the_first_above_a_thousandth():
    found = summarise([step(1, 1e-4), step(2, APART), step(3, 2e-3), step(4, 1e-5)])
    assert found["first_apart"] == {"loss": 1, "grads": 1, "params": 3}
    assert found["largest"] == {"loss": 0.1, "grads": 0.5, "params": 2e-3}
    assert found["last"]["params"] == 1e-5
    assert not found["below_rounding"]


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        pytest.param(
            [(1e-5, 9e-5), (2e-4, 9e-5), (2e-4, 5e-3)],
            {"first": "0", "level": 1e-4, "step": 2, "largest_at_end": "1", "share_at_end": 5e-3},
            id="above a tenth of the threshold",
        ),
        pytest.param(
            [(1e-7, 2e-7), (3e-6, 1.5e-6), (1.1e-6, 1e-6)],
            {"first": "0", "level": 1e-6, "step": 2, "largest_at_end": "0", "share_at_end": 1.1e-6},
            id="above the highest power of ten, both at one step",
        ),
        pytest.param(
            [(0.0, 0.0)],
            {"first": None, "level": None, "step": None, "largest_at_end": "0", "share_at_end": 0},
            id="equal",
        ),
    ],
)
def test_which_layer_grew_first(shares, expected):
    steps = [
        step(number, max(pair), dict(zip(("0/weight", "1/weight"), pair, strict=True)))
        for number, pair in enumerate(shares, 1)
    ]
    assert summarise(steps)["params_by_layer"] == expected


def test_the_first_switch_says_how_far_apart_the_params_were_before_it():
    found = summarise([step(1, 1e-8), step(2, 2e-8), step(3, 1e-4, switched=2), step(4, 1e-3)])
    assert found["first_switch"] == {"step": 3, "params_before": 2e-8}
    assert summarise([step(1, 1e-8, switched=1)])["first_switch"]["params_before"] == 0
    assert summarise([step(1, 1e-8)])["first_switch"] is None


def test_kinks_are_the_activations_whose_derivative_jumps():
    block = fn.residual(fn.serial(fn.Dense(3), fn.Relu(), fn.Tanh()))
    model = fn.serial(fn.Dense(3), fn.PRelu(), block, fn.LeakyRelu(), fn.Gelu(), fn.MaxPool(2))
    assert kinks(model) == ["1", "2/0/1", "3"]


def test_a_gradient_of_zero_on_one_side_alone_is_not_taken_for_equal(images):
    class Without(NumpyBackend):
        def step(self, x, y, rng):
            taken = super().step(x, y, rng)
            return TakenStep(taken.loss, fn.tree.map(np.zeros_like, taken.grads), taken.above)

    task = small(images, "mlp3")
    first, *_ = against(task, lambda params: Without(task, params), steps=1)
    assert first.grads == 1
