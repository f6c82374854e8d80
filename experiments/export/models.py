"""A run's model as a file of another library's, and such a file as a run's model."""

import dataclasses
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import funcnn as fn
from funcnn._files import write_whole
from funcnn.experiments.data.datasets import Dataset
from funcnn.experiments.data.provenance import write_record
from funcnn.experiments.errors import InputError, printable
from funcnn.experiments.export.tensor_files import read_tensors, write_tensors
from funcnn.experiments.extras import require
from funcnn.experiments.paths import expect_new, new_file
from funcnn.experiments.pytorch.state_dicts import from_state_dict, renamed, to_state_dict
from funcnn.experiments.tasks.build import (
    build_network,
    load_data,
    network_that_fits,
    prepared_shape,
)
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.model_records import write_own_model
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.tasks.sizes import fitted
from funcnn.experiments.training.model import (
    expect_finite,
    network_in,
    params_file,
    save_model,
    snapshot_of,
)
from funcnn.experiments.training.run_folder import RunFolder

FORMS = ("pt", "safetensors", "onnx")


def export_model(
    run: Path, form: str, out: Path | None, own: OwnModel | None = None
) -> dict[str, Any]:
    """Write the model of a run's folder, or of a snapshot, in one of `FORMS`; what was written.

    pt: its tensors as a state_dict, and as `definition` the source of the module that they fit.
    safetensors: the same tensors. onnx: the network. own: the network, if it is a user's own and
    they give it. out: by default beside the snapshot.
    Raises `InputError` if the snapshot does not say which model it is of, for a layer that the form
    has no word for, or if `out` exists; `SnapshotError`, `OSError`.
    """
    settings = None
    if run.is_dir():
        folder = RunFolder.open(run, own)
        file, own = params_file(folder), folder.own
        settings = folder.read_config().own_settings if own else None
    else:
        file = snapshot_of(run)
    snapshot, model, input_shape = network_in(file, own, settings)
    out = out or file.with_suffix(f".{form}")
    expect_new(out, f".{form}")
    params = snapshot.params
    expect_finite(params, file)
    written: dict[str, Any] = {"run": str(run), "to": form, "out": str(out)}
    written["parameters"] = sum(leaf.size for leaf in fn.tree.leaves(params))
    if form == "onnx":
        require("onnx")
        from funcnn.experiments.export.onnx_model import onnx_model

        operators = own.onnx_operators if own else {}
        graph = onnx_model(model, params, input_shape, _metadata(snapshot), operators)
        _note_inputs(file, snapshot)
        with new_file(out):
            write_whole(out, graph.SerializeToString(deterministic=True))
        return written
    if form == "pt":
        require("torch")
        from funcnn.experiments.pytorch.mirror import definition

        twins = own.torch_modules if own else {}
        written["definition"] = definition(model, input_shape, twins)
    _note_inputs(file, snapshot)
    with new_file(out):
        write_tensors(out, to_state_dict(model, params), _metadata(snapshot))
    return written


def _note_inputs(file: Path, snapshot: fn.Snapshot) -> None:
    """Say in a warning if nothing in what is written tells how inputs are made."""
    if snapshot.normalization is None:
        line = f"{file} has no normalization: who uses it prepares the inputs as you did"
        logging.getLogger(__name__).warning("%s", printable(line))


def _metadata(snapshot: fn.Snapshot) -> dict[str, str]:
    """What a snapshot says about its params and their inputs, each as the text of JSON."""
    names = ("input_shape", "normalization", "class_names")
    metadata = {name: getattr(snapshot, name) for name in names}
    if isinstance(snapshot.notes, dict):
        metadata["labels"] = snapshot.notes.get("labels")
    return {name: json.dumps(value) for name, value in metadata.items() if value is not None}


def _check_metadata(
    file: Path, metadata: Mapping[str, str], config: RunConfig, data: Dataset
) -> None:
    """Raise `InputError` if the file says that its params are for other data."""
    ours = {
        "class_names": list(data.class_names),
        "labels": list(data.labels),
        "normalization": dataclasses.asdict(data.normalization),
    }
    for name, value in ours.items():
        if name in metadata and metadata[name] != json.dumps(value):
            raise InputError(
                f"{file} has another {name.replace('_', ' ')} than --data {config.data} --val-size "
                f"{config.val_size} --split {config.split} --seed {config.seed}: give those that "
                "it was trained with"
            )


def _advice(names: list[str]) -> str:
    """What may help where these names are not those of the model's tensors, which are numbers."""
    first = {name.partition(".")[0] for name in names}
    if all(part.isdecimal() for part in first):
        return ""
    if len(first) == 1 and all("." in name for name in names):
        return f" (--prefix {first.pop()}. takes off what all names begin with)"
    return " (--map OLD=NEW renames tensors, or all whose names begin with OLD)"


def import_weights(
    file: Path,
    config: RunConfig,
    out: Path | None,
    usual: Collection[str] = (),
    prefix: str = "",
    renames: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Make a run's folder, as if trained: the config's model, with the params that `file` holds.

    file: tensors by torch's names, `.pt` or `.safetensors`. Class names and normalisation are those
    of the config's data. prefix, renames: as for `renamed`. out: by default the next folder under
    `runs/`. usual: as of `usual_sizes`.
    Raises `InputError` if the tensors do not fit the model, are not finite, or are for other data,
    as the file says, or if `out` is not free; what `load_data` raises; `OSError`.
    """
    tensors = read_tensors(file)
    data = load_data(config, usual=usual)
    config, input_shape = fitted(config, data, usual), prepared_shape(config, data)
    model = build_network(config, input_shape, len(data.class_names))
    with network_that_fits(config):
        _, like = model.init(fn.random.SHAPES_ONLY, input_shape)
    try:
        arrays = renamed(tensors.arrays, prefix, renames)
        params = from_state_dict(model, like, arrays)
    except InputError as error:
        advice = "" if prefix or renames else _advice(list(tensors.arrays))
        raise InputError(f"{file}: {error}{advice}") from None
    _check_metadata(file, tensors.metadata, config, data)
    for name, array in tensors.arrays.items():
        if not np.isfinite(array).all():
            raise InputError(f"{file}: {name} holds numbers that are not finite")
    folder = RunFolder.create(config, out)
    write_record(data.record, folder.path)
    if config.own is not None:
        write_own_model(folder.path, config.own, model)
    save_model(folder, config, data, model, params)
    parameters = sum(leaf.size for leaf in fn.tree.leaves(params))
    return {"file": str(file), "run": str(folder), "parameters": parameters}
