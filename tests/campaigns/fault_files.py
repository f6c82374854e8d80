"""The files of a folder: what is in them, whether each is whole, and put back."""

import ast
import csv
import io
import json
import shutil
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image


def contents(folder: Path) -> dict[str, bytes]:
    """What each file in a folder has, by its name there."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def put_back(folder: Path, before: Mapping[str, bytes], only: str | None = None) -> None:
    """Make a folder as it was, or one file in it."""
    if only is None:
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name, data in before.items() if only is None else [(only, before[only])]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def assert_whole(name: str, data: bytes) -> None:
    """A file is one of its kind from beginning to end."""
    try:
        _read(Path(name).suffix, data)
    except Exception as error:
        raise AssertionError(f"{name} is half a file, {len(data)} bytes: {error}") from None


def _read(kind: str, data: bytes) -> None:
    assert data, "it is empty"
    if kind in (".json", ".ipynb"):
        json.loads(data)
    elif kind in (".npz", ".pt", ".zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
    elif kind == ".png":
        Image.open(io.BytesIO(data)).load()
    elif kind == ".csv":
        rows = [*csv.reader(data.decode().splitlines())]
        assert data.endswith(b"\n")
        assert len({len(row) for row in rows}) == 1, "rows of several lengths"
    elif kind == ".safetensors":
        (size,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + size])
        ends = [one["data_offsets"][1] for key, one in header.items() if key != "__metadata__"]
        assert len(data) == 8 + size + max(ends)
    elif kind == ".py":
        ast.parse(data)
    elif kind == ".html":
        assert data.rstrip().endswith(b"</html>")
    elif kind == ".pdf":
        assert data.rstrip().endswith(b"%%EOF")
    elif kind == ".md":
        assert data.endswith(b"\n")
