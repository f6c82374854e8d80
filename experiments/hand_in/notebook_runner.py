"""The notebooks that are handed in, executed beside the other files."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from funcnn.experiments.data.catalog import SETS
from funcnn.experiments.data.datasets import POINT_SETS, load_dataset
from funcnn.experiments.data.emnist47 import EMNIST47
from funcnn.experiments.data.formats.idx import pack_idx
from funcnn.experiments.data.provenance import Expected
from funcnn.experiments.errors import InputError
from funcnn.experiments.export.tensor_files import write_tensors
from funcnn.experiments.extras import require
from funcnn.experiments.hand_in.deliverables import HandIn, Piece, Student, plain
from funcnn.experiments.hand_in.networks import HandedNetwork
from funcnn.experiments.hand_in.notebook_builder import EXTRA, NOTEBOOKS, as_bytes, build
from funcnn.experiments.tasks.task import Task

_EMNIST_FILES = [
    f"{EMNIST47}-{part}-{kind}-ubyte"
    for part in ("train", "test")
    for kind in ("images-idx3", "labels-idx1")
]


class RunNotebook(NamedTuple):
    """A notebook that ran, and what it left."""

    content: bytes
    written: Mapping[str, bytes]
    """The pieces that it writes, by their names."""
    params: Mapping[str, bytes]
    """The params that it predicted with, in the file of its backend for each trial."""


def run_notebook(
    piece: Piece,
    hand_in: HandIn,
    student: Student,
    networks: Mapping[str, HandedNetwork],
    beside: Mapping[str, bytes],
) -> RunNotebook:
    """A notebook, run beside the modules and the data: it trains, or takes the params of snapshots.

    Raises `InputError` if a package is not installed, or a cell fails.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for file, content in beside.items():
            (folder / file).write_bytes(content)
        written = {student.fill(each.name): each for each in hand_in.written_by(piece)}
        files = {name: folder / Path(name).name for name in written}
        several = len(hand_in.trials) > 1
        kind = "npz" if NOTEBOOKS[piece.of].backend == "numpy" else "pt"
        params = {
            trial: folder / (f"params_{trial}.{kind}" if several else f"params.{kind}")
            for trial in networks
        }
        snapshots = any(network.one_training for network in networks.values())
        if snapshots:
            for trial, network in networks.items():
                if kind == "npz":
                    params[trial].write_bytes(network.snapshot)
                else:
                    write_tensors(params[trial], network.tensors("torch"), {})
            for name, each in written.items():
                if each.kind == "weights":
                    write_tensors(files[name], networks[each.of].mlp(), {})
        _write_data(folder, next(iter(networks.values())).task, NOTEBOOKS[piece.of].data)
        configs = {trial: network.task.config for trial, network in networks.items()}
        built = build(
            piece.of,
            configs,
            names=_names(hand_in, student),
            trains=not snapshots,
            author=student.facts(),
        )
        done = execute(built, folder, name=student.fill(piece.name))
        return RunNotebook(
            done,
            {name: file.read_bytes() for name, file in files.items()},
            {trial: file.read_bytes() for trial, file in params.items() if file.exists()},
        )


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


def execute(notebook: bytes, folder: Path, *, name: str, timeout: float = 7200.0) -> bytes:
    """The notebook with the outputs of its cells, run from first to last in a new kernel.

    folder: where it runs, reads and writes. name: of the notebook, for messages. timeout: of a
    cell, in seconds.
    Raises `InputError` that names the cell that fails, and why.
    """
    for package in ("nbclient", "nbformat", "ipykernel"):
        require(package, EXTRA)
    import nbclient
    import nbformat
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    begun: list[Any] = []
    cells = nbformat.reads(notebook.decode(), as_version=4)
    # Of no folder of kernels, so that it is this Python and not what somebody calls python3.
    kernels = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[])
    )
    client = nbclient.NotebookClient(
        cells,
        km=kernels,
        timeout=timeout,
        record_timing=False,
        on_cell_execute=lambda cell, cell_index: begun.append(cell),
        shutdown_kernel="immediate",  # our notebooks leave nothing open
        extra_arguments=["--log-level=ERROR"],  # it would say that it listens on this machine
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        _finish(client)
    except CellExecutionError as error:
        wrong = f"{error.ename}: {error.evalue}".split("\n")[0]
    except CellTimeoutError:
        wrong = f"not done in {timeout:g} s"
    except DeadKernelError:
        wrong = "its Python ended"
    except RuntimeError as error:  # of a kernel that does not start
        wrong = str(error)
    else:
        return as_bytes(cells)
    where = f"the cell that begins {begun[-1].source.splitlines()[0]!r}" if begun else "no cell yet"
    raise InputError(f"{name}, {where}: {wrong}")


def _finish(client: Any) -> None:
    """Run all cells, as where funcnn is not installed, and without a user's start-up files.

    In another thread, for in this one nbclient would take Ctrl-C for itself.
    """
    with tempfile.TemporaryDirectory() as settings, ThreadPoolExecutor(1) as thread:
        startup = Path(settings) / "profile_default" / "startup"
        startup.mkdir(parents=True)
        blocked = "import sys\nsys.modules['funcnn'] = None\n"
        (startup / "without_funcnn.py").write_text(blocked, "ascii")
        # OpenBLAS's threads wait for each other: beside other work, steps took ten times as long.
        env = {**os.environ, "IPYTHONDIR": settings, "OPENBLAS_NUM_THREADS": "1"}
        done = thread.submit(lambda: asyncio.run(client.async_execute(env=env, cleanup_kc=True)))
        try:
            done.result()
        except KeyboardInterrupt:
            if client.km.has_kernel:
                os.kill(client.km.provisioner.pid, signal.SIGTERM)
            raise
