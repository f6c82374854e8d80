"""Files of torch's: a state_dict written and read, and nothing else ever unpickled."""

import contextlib
import io
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import funcnn as fn
from funcnn._files import read_bytes, write_whole
from funcnn.experiments.errors import InputError, kind_of
from funcnn.experiments.pytorch.state_dicts import StoredTensors
from funcnn.types import Array

_ADVICE = "torch.save(model.state_dict(), FILE) writes what can be read"
_SAFE_SINCE = (2, 10)
"""Releases of torch before it could be made to do harm by a file, in spite of `weights_only`."""
_LONGEST_PICKLE = 1 << 22
"""Bytes that say what the tensors are called; some 200 for each."""
_GROWING = ("builtins.bytearray", "_codecs.encode")
"""What torch calls as a file says, and makes gigabytes of a few bytes; no tensor needs it."""
_PERHAPS_CALLED = ("torch.", "collections.", "builtins.", "_codecs.")
_PICKLES = 5
"""How many a file of torch's older form begins with."""
_OF_NUMPY = (torch.float16, torch.float32, torch.float64)


class OldTorchError(InputError):
    """A torch that is not asked to read a file, whatever is in it."""


def write_state_dict(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays as tensors by their names, which `torch.load(..., weights_only=True)` reads.

    The file is there whole or not at all, and equal arrays give equal files. Raises `OSError`.
    """
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}, buffer)
    write_whole(path, buffer.getvalue())


def read_state_dict(path: Path) -> StoredTensors:
    """The tensors of a file as `state_dict_of`; `OSError` if it cannot be read."""
    return state_dict_of(read_bytes(path), path)


def state_dict_of(file: bytes, path: object) -> StoredTensors:
    """The tensors of a state_dict by their names; bfloat16 and smaller floats become float32.

    file: all of it; path: what it is called in errors. Raises `InputError` if it is damaged, holds
    anything but tensors by their names, or would need other objects to be unpickled, which is never
    done; an `OldTorchError` if this torch is none that reads files of anybody's.
    """
    content, length = _load(file, path), len(file)
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds {kind_of(content)}, not a state_dict: {_ADVICE}")
    arrays, dtypes = {}, {}
    for name, tensor in content.items():
        if not isinstance(name, str) or not name.isprintable():
            shown = repr(name) if isinstance(name, str | int) else kind_of(name)
            raise InputError(f"{path} is not a state_dict: {shown} is not the name of a tensor")
        if not isinstance(tensor, torch.Tensor):
            raise InputError(f"{path}: {name!r} is {kind_of(tensor)}, not a tensor: {_ADVICE}")
        claimed = tensor.numel() * tensor.element_size()
        if claimed > length:  # one number, for instance, that is said to stand for millions
            raise InputError(
                f"{path}: {name} claims {claimed:,} bytes of a file of {length:,} bytes"
            )
        arrays[name] = _as_array(tensor, f"{path}: {name}")
        dtypes[name] = str(tensor.dtype).removeprefix("torch.")
    return StoredTensors(arrays, dtypes, {})


def _load(file: bytes, path: object) -> Any:
    if tuple(map(int, torch.__version__.split(".")[:2])) < _SAFE_SINCE:
        since = ".".join(map(str, _SAFE_SINCE))
        raise OldTorchError(
            f"{path} is not read by torch {torch.__version__}, in which a file can run code "
            f"nevertheless: torch {since} or later is needed"
        )
    content = io.BytesIO(file)  # in memory, where damage cannot cause an OSError
    if file[257:262] == b"ustar":
        raise InputError(f"{path} is in torch's oldest form, an archive of pickles: {_ADVICE}")
    try:
        if file.startswith(b"PK\3\4"):  # as torch tells a zip file
            # torch itself does not compare the checksums.
            with zipfile.ZipFile(content) as archive:
                _check_members(path, archive.infolist(), len(file))
                broken = archive.testzip()
                if broken is not None:
                    raise InputError(f"{path} is damaged: the checksum of {broken!r} differs")
                for name in archive.namelist():
                    if name.endswith("data.pkl"):
                        _check_pickles(path, io.BytesIO(archive.read(name)))
        else:
            _check_pickles(path, content)
        content.seek(0)
        with warnings.catch_warnings():  # of files that it then refuses
            warnings.simplefilter("ignore")
            return torch.load(content, weights_only=True, map_location="cpu")
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        needed = re.search(r"GLOBAL ([\w.]+)", str(error))
        if needed:
            raise InputError(
                f"{path} needs {needed[1]} to be unpickled, which could run any code and is "
                f"refused: {_ADVICE}"
            ) from None
        raise InputError(f"{path} is not a file of torch's, or damaged: {_ADVICE}") from None
    except Exception:  # whatever a damaged pickle leads to
        raise InputError(f"{path} is not a file of torch's, or damaged: {_ADVICE}") from None


def _check_members(path: object, members: list[zipfile.ZipInfo], length: int) -> None:
    """Raise `InputError` for members that torch does not write, or that cannot be in the file."""
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            reason = f"({member.filename!r} is compressed)"
            raise InputError(f"{path} is not a file of torch's, or damaged {reason}: {_ADVICE}")
    claimed = sum(member.file_size for member in members)
    if claimed > length:
        raise InputError(f"{path}: its members claim {claimed:,} bytes of a file of {length:,}")


def _check_pickles(path: object, content: io.BytesIO) -> None:
    """Raise `InputError` for pickles that take more memory than tensors by their names need."""
    content.seek(0)
    for _ in range(_PICKLES):
        try:
            for opcode, argument, at in pickletools.genops(content):
                name = str(argument).replace("__builtin__", "builtins").replace(" ", ".")
                if opcode.name == "GLOBAL" and not name.startswith(_PERHAPS_CALLED):
                    return  # torch refuses it
                if opcode.name == "GLOBAL" and name in _GROWING:
                    raise InputError(f"{path} calls {name}, which no tensor needs: {_ADVICE}")
                if at is not None and at > _LONGEST_PICKLE:
                    raise InputError(
                        f"{path} has more than {_LONGEST_PICKLE:,} bytes beside its tensors: "
                        f"{_ADVICE}"
                    )
        except InputError:
            raise
        except Exception:  # no pickle, or the end: torch says what is wrong
            return


def _as_array(tensor: torch.Tensor, name: str) -> Array:
    if tensor.dtype.is_floating_point and tensor.dtype not in _OF_NUMPY:
        tensor = tensor.float()
    try:
        array: Array = tensor.numpy(force=True)
    except (TypeError, RuntimeError, NotImplementedError):
        where = f"{str(tensor.layout).removeprefix('torch.')} on {tensor.device.type}"
        raise InputError(f"{name} is a tensor ({where}) that is no plain array") from None
    return array


# --- What a module of torch makes of a file of weights, and its own file. ---


def classes_of(content: bytes, definition: str, inputs: Array) -> Array:
    """The classes, (N,), that a module with these weights predicts for inputs (N, ...).

    content: a file of torch's. definition: Python that makes the module, called `model`.
    Raises `InputError` if there is no such module, the file is more than tensors, or they are not
    the module's.
    """
    with _one_line():
        module = _module(definition)
        module.load_state_dict(torch.load(io.BytesIO(content), weights_only=True), strict=True)
    with torch.no_grad():
        parts = [module.eval()(part) for part in torch.from_numpy(inputs).split(1000)]
    return fn.predicted_classes(torch.cat(parts).numpy())


def size_of(definition: str) -> int:
    """The bytes of the file of a module's params. Raises `InputError` if there is no such module.

    definition: Python that makes the module, called `model`.
    """
    buffer = io.BytesIO()
    with _one_line():
        torch.save(_module(definition).state_dict(), buffer)
    return len(buffer.getvalue())


def _module(definition: str) -> Any:
    names: dict[str, Any] = {}
    exec(definition, names)
    return names["model"]


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Turn whatever a definition or a file leads to into an `InputError`."""
    try:
        yield
    except Exception as error:
        raise InputError(" ".join(str(error).split())) from None
