"""Runs with --backend torch: the same folder, by a loop as torch's users write it."""

import itertools
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import assert_same_bits
from image_files import image_folder
from training_runs import FILES

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.optimizers import OPTIMIZERS, SCHEDULES
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.evaluation import evaluate_run
from funcnn.experiments.training.learner import NumpyLearner
from funcnn.experiments.training.model import load_model
from funcnn.experiments.training.run import TrainingRun
from funcnn.experiments.training.run_folder import RunFolder

torch = pytest.importorskip("torch", reason="the backend is torch: pip install 'funcnn[torch]'")
from funcnn.experiments.pytorch.learner import TorchLearner, as_targets, torch_loss  # noqa: E402


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture(autouse=True)
def one_thread():
    with fn.threads.use_threads(1):
        yield


def tiny(images, **settings):
    defaults = {"arch": "mlp2", "hidden": [5], "data": str(images), "val_size": 12, "epochs": 3}
    defaults |= {"batch_size": 8, "optimizer": "adamw", "lr": 0.01, "dropout": 0.2}
    return RunConfig.resolve({"backend": "torch"} | defaults | settings)


class StopAfter(Callback):
    """Ctrl-C after so many recorded epochs."""

    def __init__(self, epochs):
        self.epochs = epochs

    def epoch_end(self, run, row, epochs):
        self.epochs -= 1
        if self.epochs == 0:
            raise KeyboardInterrupt


def test_a_run_leaves_what_a_run_leaves(images, tmp_path):
    run = TrainingRun.start(tiny(images), tmp_path / "it")
    summary = run.finish()
    assert {file.name for file in run.folder.path.iterdir()} == FILES
    assert summary["backend"] == "torch"
    assert json.loads(run.folder.config.read_text())["backend"] == "torch"
    # What NumPy makes of the params is what torch made of them.
    again = evaluate_run(run.folder)
    assert again["test_loss"] == pytest.approx(summary["test_loss"], rel=1e-5)
    assert again["test_accuracy"] == summary["test_accuracy"]
    assert again["val_loss"] == pytest.approx(summary["val_loss"], rel=1e-5)


def test_the_rates_in_metrics_csv_are_those_of_numpys_side(images, tmp_path, no_figures):
    runs = [
        TrainingRun.start(tiny(images, backend=backend, schedule="one-cycle"), tmp_path / backend)
        for backend in ("numpy", "torch")
    ]
    for run in runs:
        run.finish()
    ours, theirs = ([row.learning_rate for row in run.folder.read_metrics()] for run in runs)
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_shared_first_weights_are_numpys(images):
    task = Task.build(tiny(images, init="shared"))
    assert_same_bits(TorchLearner(task).params, task.first_params())
    own = TorchLearner(Task.build(tiny(images))).params
    assert not fn.tree.all_close(own, task.first_params())


def test_a_chosen_start_is_shared_by_both_backends(images):
    task = Task.build(tiny(images, init="shared", weight_init="normal"))
    params = TorchLearner(task).params
    assert_same_bits(params, Task.build(task.config).first_params())
    assert all(np.abs(leaf).max() < 0.06 for leaf in fn.tree.leaves(params))


def test_the_default_folder_says_torch(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = TrainingRun.start(tiny(images))
    assert str(run.folder) == "runs/mlp2-images-torch-001"


def test_a_run_is_the_loop_that_a_user_of_torch_writes(images, tmp_path, no_figures):
    settings = {"optimizer": "sgd", "lr": 0.05, "weight_decay": 1e-3, "label_smoothing": 0.1}
    settings |= {"batch_size": 7}  # which leaves 6 of the 48 for a last batch
    config = tiny(images, **settings, dropout=0.25, schedule="cosine", seed=4)
    run = TrainingRun.start(config, tmp_path / "it")
    run.finish()

    data = Task.build(config).data
    x = torch.from_numpy(data.normalization(data.train[0]))
    y = torch.from_numpy(data.train[1].astype(np.int64))
    torch.manual_seed(4)
    features = x[0].numel()
    nn = torch.nn
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(features, 5), nn.ReLU(), nn.Dropout(0.25), nn.Linear(5, 3)
    )
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 21)
    for _ in range(3):
        for chosen in torch.randperm(len(x)).split(7):
            optimizer.zero_grad()
            loss(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
            schedule.step()
    last = fn.load(run.folder.last).params["params"]
    np.testing.assert_allclose(last[1]["weight"], model[1].weight.detach().numpy().T, rtol=1e-5)
    np.testing.assert_allclose(last[4]["bias"], model[4].bias.detach().numpy(), rtol=1e-5)


def test_its_average_is_numpys_of_the_same_batches(images):
    """That of the params, after each step; but of BatchNorm the running statistics as they are."""
    settings = {"arch": "resnet", "channels": [2], "hidden": [], "activation": "tanh"}
    config = tiny(images, **settings, init="shared", average=0.8, dropout=0.0, lr=1e-3)
    task = Task.build(config)
    torchs, ours = TorchLearner(task), NumpyLearner(task)
    for x, y in itertools.islice(ours.batches(1), 4):
        for learner in (torchs, ours):
            learner.step((x, y))
    average, params = ours.params, ours._state.params
    assert fn.tree.all_close(torchs.params, average, rtol=1e-3, atol=1e-5)
    last = dict(fn.tree.leaves_with_path(params))
    for path, leaf in fn.tree.leaves_with_path(average):
        assert np.array_equal(leaf, last[path]) == ("running_" in path)


def test_it_is_given_images_that_are_augmented_by_keys(images):
    batches = [
        [x for x, _ in TorchLearner(Task.build(tiny(images, augment=augment))).batches(epoch)]
        for augment, epoch in (("none", 1), ("shift=3", 1), ("shift=3", 1), ("shift=3", 2))
    ]
    plain, shifted, again, later = (np.concatenate(each) for each in batches)
    np.testing.assert_array_equal(shifted, again)
    assert not np.array_equal(shifted, later)
    moved = (shifted != plain).reshape(len(plain), -1).any(1)
    assert 0.8 < moved.mean() < 1 or moved.all()


@pytest.mark.parametrize("data", ["points-xor", "points-linear"])
def test_points_are_one_batch_of_probabilities(data, tmp_path, no_figures):
    config = RunConfig.resolve(
        {"arch": "points", "data": data, "backend": "torch", "epochs": 3, "momentum": 0.0}
    )
    task = Task.build(config)
    (batch,) = TorchLearner(task).batches(1)
    x, y = task.data.train
    assert_same_bits(batch, (task.data.normalization(x), y))  # in their order
    learner = TorchLearner(task)
    before = learner.params
    measured = learner.step(batch)
    gradient = fn.value_and_grad(task.model.apply, task.loss)
    (value, _), grads = gradient(before, *batch)
    assert measured["loss"] == pytest.approx(value, rel=1e-5)
    expected = fn.tree.map(lambda p, g: p - np.float32(config.lr) * g, before, grads)
    assert fn.tree.all_close(learner.params, expected, rtol=1e-4, atol=1e-6)


def test_the_same_config_gives_the_same_and_another_seed_does_not(images, tmp_path, no_figures):
    runs = [TrainingRun.start(tiny(images, seed=seed), tmp_path / str(i)) for i, seed in
            enumerate((1, 2))]  # fmt: skip
    again = TrainingRun.start(tiny(images, seed=1), tmp_path / "again")
    for run in (again, *runs):
        run.finish()
    first, other, same = (load_model(run.folder).params for run in (*runs, again))
    assert not fn.tree.all_close(first, other)
    assert_same_bits(first, same)  # though others used torch's generator in between


def test_one_run_after_another_is_the_same_run(images, tmp_path, no_figures):
    found = []
    for name in ("one", "two"):
        torch.rand(3)  # somebody else uses the generator
        run = TrainingRun.start(tiny(images), tmp_path / name)
        run.finish()
        found.append(load_model(run.folder).params)
    assert_same_bits(*found)


# --- to stop and to resume -------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{"optimizer": name} for name in OPTIMIZERS]
    + [{"schedule": name} for name in SCHEDULES]
    + [{"decayed": "weights"}, {"average": 0.9}, {"augment": "flip+shift=2"}],
    ids=lambda settings: next(iter(settings.values())),
)
def test_a_resumed_run_is_as_if_it_had_not_been_stopped(settings, images, tmp_path, no_figures):
    config = tiny(images, **settings)
    whole = TrainingRun.start(config, tmp_path / "whole")
    whole.finish()
    stopped = TrainingRun.start(config, tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        stopped.finish(StopAfter(2))
    torch.rand(7)
    TrainingRun.resume(RunFolder.open(tmp_path / "stopped")).finish()
    assert_same_bits(load_model(whole.folder).params, load_model(stopped.folder).params)
    rows = [[row._replace(seconds=0) for row in run.folder.read_metrics()] for run in
            (whole, stopped)]  # fmt: skip
    assert rows[0] == rows[1]


def test_the_state_of_another_run_is_refused_in_one_line(images, tmp_path, no_figures):
    run = TrainingRun.start(tiny(images), tmp_path / "it")
    with pytest.raises(KeyboardInterrupt):
        run.finish(StopAfter(1))
    state = fn.load(run.folder.last)
    numpys = TrainingRun.start(tiny(images, backend="numpy"), tmp_path / "numpy").folder.last
    others = {
        "of NumPy": numpys.read_bytes(),
        "of no optimizer": {"params": state.params["params"]},
        "of other bytes": state.params | {"torch": np.arange(9, dtype=np.uint8)},
        "of another net": state.params | {"params": state.params["params"][1:]},
    }
    for other in others.values():
        if isinstance(other, bytes):
            run.folder.last.write_bytes(other)
        else:
            fn.save(run.folder.last, other, notes=state.notes)
        with pytest.raises(fn.SnapshotError, match=r"last.npz: not the state of such a run") as why:
            TrainingRun.resume(run.folder)
        assert "\n" not in str(why.value)


# --- what is asked of torch ------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"arch": "mlp2", "label_smoothing": 0.1},
        {"arch": "points"},
        {"arch": "mlp2", "loss": "squared-error"},
        {"arch": "points", "loss": "squared-error"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_the_loss_is_that_of_the_task(settings):
    config = RunConfig.resolve(settings)
    generator = np.random.default_rng(0)
    if config.arch == "points":
        outputs, y = generator.random((5, 1)), generator.integers(2, size=(5, 1)).astype(float)
    else:
        outputs, y = generator.standard_normal((5, 4)), generator.integers(4, size=5)
    ours, _ = Task(config, None, None, None, 1, 1).loss(outputs, y)
    theirs = torch_loss(config)(torch.from_numpy(outputs), torch.from_numpy(y))
    assert ours == pytest.approx(theirs.item(), rel=1e-12)


@pytest.mark.parametrize("arch", ["mlp2", "points"])
@pytest.mark.parametrize("loss", ["cross-entropy", "squared-error"])
def test_the_loss_with_weights_of_classes_is_that_of_the_task(arch, loss):
    config = RunConfig.resolve({"arch": arch, "loss": loss, "class_weights": "balanced"})
    generator = np.random.default_rng(0)
    if arch == "points":
        outputs, y = generator.random((9, 1)), (np.arange(9)[:, None] < 3).astype(float)
    else:
        outputs, y = generator.standard_normal((9, 4)), np.array([0, 0, 0, 0, 0, 1, 1, 2, 3])
    names = ("a", "b") if arch == "points" else ("a", "b", "c", "d")
    data = SimpleNamespace(train=(outputs, y), class_names=names)
    task = Task(config, data, None, None, 9, 1)
    ours, vjp = task.loss(outputs, y)
    leaf = torch.from_numpy(outputs).requires_grad_()
    theirs = torch_loss(config, task.class_weights)(leaf, as_targets(y, leaf))
    theirs.backward()
    assert ours == pytest.approx(theirs.item(), rel=1e-12)
    np.testing.assert_allclose(vjp(), leaf.grad.numpy(), rtol=1e-10, atol=1e-15)


def test_weights_of_classes_are_those_of_torchs_own_cross_entropy():
    config = RunConfig.resolve(
        {"arch": "mlp2", "class_weights": "balanced", "label_smoothing": 0.0}
    )
    outputs = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 3)))
    weights, y = np.array([0.5, 1.0, 3.0]), torch.tensor([0, 0, 1, 2, 0])
    expected = torch.nn.CrossEntropyLoss(weight=torch.from_numpy(weights))(outputs, y).item()
    assert torch_loss(config, weights)(outputs, y).item() == pytest.approx(expected, rel=1e-12)


def test_it_uses_as_many_threads_as_it_is_told(images):
    before = torch.get_num_threads()
    with fn.threads.use_threads(2):
        TorchLearner(Task.build(tiny(images)))
        assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_without_torch_one_line_says_what_to_install(images, tmp_path, monkeypatch):
    for name in ("learner", "mirror", "modules", "optimizers"):
        monkeypatch.delitem(sys.modules, f"funcnn.experiments.pytorch.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    said = r"^torch is not installed: pip install 'funcnn\[torch\]'$"
    with pytest.raises(InputError, match=said):
        TrainingRun.start(tiny(images), tmp_path / "it")
    assert not (tmp_path / "it").exists()
