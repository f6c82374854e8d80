"""The notebook of `fashion-mlp` runs whole: with other files beside it, and as it is handed in."""

import gzip
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from commands import funcnn
from helpers import need_weasyprint
from notebooks import built_of, cells, code, printed, python

import funcnn as fn
from funcnn.experiments.data.formats.idx import pack_idx, read_idx
from funcnn.experiments.data.store import place_of
from funcnn.experiments.hand_in.notebook_builder import lab_configs
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.model import load_model
from funcnn.experiments.training.run import TrainingRun
from funcnn.experiments.training.run_folder import RunFolder

pytest.importorskip("torch", reason="a notebook of torch: pip install 'funcnn[torch]'")
need_weasyprint()

FASHION = place_of("fashion-mnist")


def test_the_notebook_trains_what_the_pytorch_backend_trains(tmp_path):
    import torch

    from funcnn.experiments.pytorch.learner import TorchLearner
    from funcnn.experiments.pytorch.state_dicts import in_mlp, to_state_dict

    for part, count in (("train", 1200), ("t10k", 200)):
        for kind in ("images-idx3", "labels-idx1"):
            name = f"{part}-{kind}-ubyte.gz"
            (tmp_path / name).write_bytes(pack_idx(read_idx(FASHION / name)[:count]))
    changed = {"epochs": 2, "seed": 2, "augment": "none"}  # whose draws are each side's own
    (config,) = lab_configs(
        "fashion-mlp", **changed, data=str(tmp_path), val_size=200, backend="torch"
    ).values()
    task = Task.build(config)
    learner = TorchLearner(task)
    for epoch in (1, 2):
        for batch in learner.batches(epoch):
            learner.step(batch)
    expected = in_mlp(to_state_dict(task.model, learner.params), task.data.normalization)
    said = python("\n".join(code(built_of("fashion-mlp", **changed))), tmp_path)
    assert "1,000 to train on, 200 for validation, 200 to test" in said
    found = torch.load(tmp_path / "another.pt", weights_only=True)
    assert list(found) == list(expected)
    for name, tensor in found.items():
        np.testing.assert_allclose(tensor.numpy(), expected[name], rtol=0, atol=1e-4)


def colours(folder, form):
    """Four IDX files of 32 x 32 pixels in colour: four classes, told by their colour."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 600), ("t10k", 200)):
        labels = rng.permutation(count).astype(np.uint8) % 4
        images = rng.integers(0, 120, (count, *form), np.uint8)
        images[:, : 1 + form[0] // 4] += 30 * labels[:, None, None, None]
        (folder / f"{part}-images-idx4-ubyte").write_bytes(gzip.decompress(pack_idx(images)))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(pack_idx(labels))


def test_the_notebook_takes_the_files_of_another_data_set_beside_it(tmp_path):
    colours(tmp_path, (3, 32, 32))
    script = "\n".join(code(built_of("fashion-mlp", epochs=4, batch_size=25, lr=0.05)))
    (tmp_path / "data").symlink_to(FASHION.parent)  # of which it could take Fashion-MNIST
    said = python(script, tmp_path)
    assert "another data set than Fashion-MNIST" in said
    assert "images (600, 3, 32, 32) labels (600,) test images (200, 3, 32, 32)" in said
    assert "500 to train on, 100 for validation, 200 to test" in said
    assert said.count("read again as it was: True") == 2  # by the cell that makes such files
    assert "the params in another.pt were trained by the loop above, in 4 epochs" in said
    accuracy = float(said.partition("test accuracy       ")[2].partition("%")[0])
    assert accuracy > 90
    assert (tmp_path / "another.pt").stat().st_size < 2_000_000
    assert len((tmp_path / "another.csv").read_text().splitlines()) == 201
    assert not (tmp_path / "submission.pt").exists()


@pytest.mark.usefixtures("one_thread_in_notebooks")
def test_a_snapshot_alone_is_handed_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"arch": "mlp3", "hidden": (48, 24), "epochs": 2, "optimizer": "classical-momentum"}
    TrainingRun.start(RunConfig.resolve(settings), Path("run")).finish(draw=False)
    run = RunFolder(Path("run"))
    words = ["experiment", "submit", "fashion-mlp", "--student-id", "A1", "--snapshot", run.params]
    said = json.loads(funcnn(*words, "--name", "Li_[1]", "--json").stdout)
    assert said["files"] == ["A1_HW1.zip"]
    assert any(rule.startswith("mlp in NumPy: above 85 %") for rule in said["rules"])
    assert any(rule.endswith("with the same params)") for rule in said["rules"])
    assert os.listdir("hand-in") == ["fashion-mlp-A1"]
    with zipfile.ZipFile("hand-in/fashion-mlp-A1/A1_HW1.zip") as archive:
        names = {"DL_HW1_A1.ipynb", "A1_submission.pt", "A1_submission.csv"}
        assert set(archive.namelist()) == names
        table = archive.read("A1_submission.csv").decode().splitlines()
        notebook = archive.read("DL_HW1_A1.ipynb")
    images, labels = Task.build(run.read_config()).data.test
    classes = fn.predicted_classes(load_model(run).predict(images))
    header, *rows = table
    assert header == "Id,Category"
    predicted = np.array([int(row.partition(",")[2]) for row in rows])
    assert (predicted == classes).mean() > 0.999  # but for rounding, of another first layer
    title, _, author = "".join(cells(notebook)[0]["source"]).splitlines()[:3]
    assert title == "# An MLP for Fashion-MNIST"
    assert author == r"**Student id** A1 · **Name** Li\_\[1\]"
    accuracy = (predicted == labels).mean()
    assert f"test accuracy       {accuracy:.2%}" in printed(notebook)  # the snapshot's, in torch
    assert "HIDDEN = (48, 24)" in "\n".join(code(notebook))

    assert funcnn(*words, code=1).stderr == (
        "Error: --out hand-in/fashion-mlp-A1 exists already: remove it, or give another\n"
    )
