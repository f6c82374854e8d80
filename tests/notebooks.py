"""Notebooks as JSON: built with other settings, and taken apart."""

import json
import os
import subprocess
import sys

from funcnn.experiments.hand_in.notebook_builder import build, lab_configs


def built_of(name, *, names=None, images=None, trains=True, **changed):
    return build(name, lab_configs(name, **changed), names=names, images=images, trains=trains)


def cells(notebook):
    return json.loads(notebook)["cells"]


def code(notebook):
    return ["".join(cell["source"]) for cell in cells(notebook) if cell["cell_type"] == "code"]


def outputs(notebook):
    return [output for cell in cells(notebook) for output in cell.get("outputs", [])]


def printed(notebook):
    streams = [output for output in outputs(notebook) if output["output_type"] == "stream"]
    assert {stream["name"] for stream in streams} == {"stdout"}
    return "".join("".join(stream["text"]) for stream in streams)


def python(script, folder, **env):
    """What the script, or the cells of a notebook, print in a folder."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
