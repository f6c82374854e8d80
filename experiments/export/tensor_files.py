"""Files of tensors by their names, in any of the forms that are known by how the file is called."""

from collections.abc import Mapping
from pathlib import Path

from funcnn.experiments.errors import InputError
from funcnn.experiments.extras import require
from funcnn.experiments.pytorch.state_dicts import StoredTensors
from funcnn.types import Array

TORCH = (".pt", ".pth")
SAFETENSORS = (".safetensors",)


def read_tensors(path: Path) -> StoredTensors:
    """The tensors of a file of torch's or safetensors'.

    Raises `InputError` for another name, a package that is not installed, or what is wrong with
    the file; `OSError` if it cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in TORCH:
        require("torch")
        from funcnn.experiments.pytorch.files import read_state_dict

        return read_state_dict(path)
    if suffix in SAFETENSORS:
        require("safetensors")
        from funcnn.experiments.export.safetensors_files import read_safetensors

        return read_safetensors(path)
    raise InputError(f"{path}: give a file called .pt, .pth or .safetensors")


def write_tensors(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write tensors in the form that the name says, torch's without the metadata.

    Raises `InputError` for a package that is not installed, `OSError`.
    """
    if path.suffix.lower() in TORCH:
        require("torch")
        from funcnn.experiments.pytorch.files import write_state_dict

        write_state_dict(path, arrays)
    else:
        require("safetensors")
        from funcnn.experiments.export.safetensors_files import write_safetensors

        write_safetensors(path, arrays, metadata)
