"""Small trainings of 3,000 epochs, in processes whose memory, files and threads stay as they are.

After a warm-up, in which every kind of batch is recorded and Python's and NumPy's pools are filled,
there is nothing more that a step has to keep. So what an epoch leaves behind is a leak, however
small: one object in ten epochs is one too many, and 1 KB in every one.
"""

import contextlib
import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.drawn_models import Rng, one_of, some
from campaigns.drawn_tasks import WAYS, Drawn, drawn_task, pinned, way_of
from helpers import ROOT

import funcnn as fn

EPOCHS, WARM_UP, SAVED_EACH = 3000, 500, 100
MOST_BLOCKS = (EPOCHS - WARM_UP) // 10
"""Objects more, where one in ten epochs is a leak."""
MOST_BYTES = (EPOCHS - WARM_UP) << 10
"""Of memory more, where 1 KB in an epoch is a leak; an allocator's own ups and downs are less."""


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """Each in a process of its own."""

    def one_try(rng: Rng) -> str:
        seed, way = some(rng, 0, 2**31), one_of(rng, *WAYS)
        found = in_a_process(folder, seed, way, EPOCHS)
        assert_flat(found)
        return str(found["way"])

    yield one_try


def in_a_process(folder: Path, seed: int, way: str, epochs: int, before: str = "pass") -> Any:
    """What a run tells of itself after its warm-up and at its end; before: code for its process."""
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    code = f"from campaigns.long_runs import tell; {before}; tell({seed}, {way!r}, {epochs})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-400:]
    return json.loads(done.stdout)


def assert_flat(found: dict[str, Any]) -> None:
    """Nothing has become more that is to stay."""
    before, after = found["before"], found["after"]
    assert after["files"] == before["files"], f"files: {before['files']} and {after['files']}"
    threads = before["threads"], after["threads"]
    assert threads[1] <= threads[0], f"{threads[0]} threads, and {threads[1]} in the end"
    more = {name: after[name] - before[name] for name in ("blocks", "bytes")}
    assert more["blocks"] <= MOST_BLOCKS, f"{more['blocks']:,} objects more"
    assert more["bytes"] <= MOST_BYTES, f"{more['bytes'] >> 10:,} KB more"


def tell(seed: int, way: str, epochs: int) -> None:
    """What such a process does."""
    with np.errstate(all="ignore"), pinned(way):
        print(json.dumps(run(drawn_task(np.random.default_rng(seed)), way, epochs)))


def run(drawn: Drawn, way: str, epochs: int) -> dict[str, object]:
    """Train, with what a training has about it: batches prepared ahead, predictions, snapshots."""
    step, state = drawn.step(way), drawn.state
    x, y = drawn.batches[0]
    rows = len(y)
    before: dict[str, int] = {}
    for epoch in range(epochs):
        if epoch == epochs * WARM_UP // EPOCHS:
            before = measured()
        key = fn.random.key(epoch)
        for batch in fn.prefetch(fn.batches((x, y), max(2, rows // 2), rng=key, drop_last=True)):
            state, _ = step(state, batch)
        if epoch % SAVED_EACH == 0:
            fn.predict(drawn.model.apply, state.params, x)
            fn.save("last.npz", state)
            state = fn.load("last.npz", like=state).params
    how = "plain" if way == "plain" else way_of(step)
    return {"way": how, "before": before, "after": measured()}


def measured() -> dict[str, int]:
    """What this process has now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "blocks": sys.getallocatedblocks(),
        "bytes": pages * os.sysconf("SC_PAGE_SIZE"),
    }


LONG_RUNS = Campaign("long-runs", "trainings of 3,000 epochs", 2, begin)
