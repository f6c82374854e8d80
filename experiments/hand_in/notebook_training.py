"""What a notebook trained, for the report that is handed in with it: one truth in one archive."""

import io
from collections.abc import Mapping

import numpy as np

import funcnn as fn
from funcnn.experiments.hand_in.networks import HandedNetwork
from funcnn.experiments.hand_in.notebook_output import accuracies_in, trainings_in
from funcnn.experiments.hand_in.notebook_runner import RunNotebook
from funcnn.experiments.labs.lab import Shown
from funcnn.experiments.pytorch.state_dicts import from_state_dict
from funcnn.types import Tree


def trained(
    ran: RunNotebook, backend: str, networks: Mapping[str, HandedNetwork]
) -> dict[tuple[str, str], Shown]:
    """Its trainings, by trial and backend: what it printed of them, and the params that it kept.

    It trains in the order of its params. networks: by trial, with the same layers.
    """
    accuracies = {}
    for line in accuracies_in(ran.content):  # as `test accuracy 91.45%`
        part, _, share = line.partition(" accuracy ")
        if part in ("validation", "test"):
            accuracies[part] = float(share.rstrip("%")) / 100
    shown = {}
    for (trial, file), rows in zip(ran.params.items(), trainings_in(ran.content), strict=True):
        network = networks[trial].trained
        params = _params(file, backend, networks[trial])
        best = max(rows, key=lambda row: row.val_accuracy or 0.0)  # the first of several
        whose = "as the notebook trained it"
        model = network._replace(params=params)
        shown[trial, backend] = Shown(whose, rows, best.epoch, model, accuracies)
    return shown


def _params(file: bytes, backend: str, network: HandedNetwork) -> Tree:
    like = network.trained.params
    if backend == "torch":
        from funcnn.experiments.pytorch.files import state_dict_of

        arrays = state_dict_of(file, "the notebook's params").arrays
        return from_state_dict(network.trained.model, like, arrays)
    with np.load(io.BytesIO(file)) as arrays:
        leaves = [arrays[path] for path, _ in fn.tree.leaves_with_path(like)]
    return fn.tree.unflatten(fn.tree.structure(like), leaves)
