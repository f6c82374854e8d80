"""How long a large CSV takes: `np.loadtxt`, the first read, and a later one, in one run.

python -m funcnn.experiments.bench.csv_reading
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from funcnn.experiments.data.formats.csv_files import read_file
from funcnn.experiments.data.formats.listings import DiskFolder

ROWS, COLUMNS = 100_000, 785


def main() -> None:
    """Write a table of random pixels, read it in each way, print seconds and ratios."""
    table = np.random.default_rng(0).integers(0, 256, (ROWS, COLUMNS), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.csv"
        with path.open("w", encoding="ascii") as file:
            file.writelines(",".join(map(str, row)) + "\n" for row in table.tolist())
        loadtxt = _seconds(lambda: np.loadtxt(path, delimiter=",", dtype=np.int64))
        print(f"np.loadtxt   {loadtxt:6.2f} s")
        for name in ("first read", "later read"):
            seconds = _seconds(lambda: read_file(DiskFolder(path.parent), path.name))
            print(f"{name:12} {seconds:6.2f} s, {seconds / loadtxt:.3f} of np.loadtxt")


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
