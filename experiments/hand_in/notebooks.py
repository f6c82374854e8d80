"""The notebooks that are handed in, as they ran beside the other files."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from funcnn.experiments.data.catalog import SETS
from funcnn.experiments.data.datasets import POINT_SETS, load_dataset
from funcnn.experiments.data.emnist47 import EMNIST47
from funcnn.experiments.data.formats.idx import pack_idx
from funcnn.experiments.data.record import Expected
from funcnn.experiments.export.tensor_files import write_tensors
from funcnn.experiments.hand_in.networks import HandedNetwork
from funcnn.experiments.hand_in.notebook_builder import NOTEBOOKS, build, execute
from funcnn.experiments.hand_in.requirements import HandIn, Piece, Student, plain
from funcnn.experiments.tasks.task import Task

_EMNIST_FILES = [
    f"{EMNIST47}-{part}-{kind}-ubyte"
    for part in ("train", "test")
    for kind in ("images-idx3", "labels-idx1")
]


def run_notebook(
    piece: Piece,
    hand_in: HandIn,
    student: Student,
    networks: Mapping[str, HandedNetwork],
    beside: Mapping[str, bytes],
) -> bytes:
    """A notebook, run beside the other files, the data, and the trained params with their record.

    Raises `InputError` if a package is not installed, or a cell fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in beside.items():
            (folder / file).write_bytes(content)
        for trial, network in networks.items():
            suffix = f"_{trial}" if len(hand_in.trials) > 1 else ""
            _write_params(folder, f"params{suffix}", network)
        for each in hand_in.pieces:
            if each.kind == "weights":
                _write_record(folder / student.fill(each.name), networks[each.of], "numpy")
        _write_data(folder, next(iter(networks.values())).task, NOTEBOOKS[piece.of].data)
        configs = {trial: network.task.config for trial, network in networks.items()}
        built = build(piece.of, configs, names=_names(hand_in, student))
        return execute(built, folder, name=student.fill(piece.name))


def _write_params(folder: Path, stem: str, network: HandedNetwork) -> None:
    """The params of each side, in the form that its notebook reads."""
    numpys, torchs = folder / f"{stem}.npz", folder / f"{stem}.pt"
    numpys.write_bytes(network.snapshot)
    write_tensors(torchs, network.tensors("torch"), {})
    _write_record(numpys, network, "numpy")
    _write_record(torchs, network, "torch")


def _write_record(params: Path, network: HandedNetwork, side: str) -> None:
    if side in network.metrics:
        params.with_name(f"{params.name}.csv").write_bytes(network.metrics[side])


def _write_data(folder: Path, task: Task, published: str | None) -> None:
    """The images in the files that a notebook reads, wherever and in whichever form they are here.

    published: the set that the notebook is about; None: EMNIST with 47 classes.
    """
    if task.config.data in POINT_SETS:
        return
    read = task.data.record
    data = load_dataset(  # in the order of the files
        task.config.data,
        val_size=0,
        seed=0,
        expected=None if read is None else Expected(read, "the network"),
    )
    names = _EMNIST_FILES if published is None else [file.name for file in SETS[published].files]
    place = folder / "data" / (published or EMNIST47)
    place.mkdir(parents=True)
    for name, array in zip(names, (*data.train, *data.test), strict=True):
        if array is not None:
            stored = np.squeeze(array).astype(np.uint8)  # (N, 28, 28), (N,)
            (place / f"{name}.gz").write_bytes(pack_idx(stored))


def _names(hand_in: HandIn, student: Student) -> dict[str, str]:
    """The names of the student's modules and files, by those that notebooks have for them."""
    kinds = ("layer", "network", "predictions", "weights")
    stems = [piece.name.rpartition(".")[0] for piece in hand_in.pieces if piece.kind in kinds]
    return {plain(stem): student.fill(stem) for stem in stems}
