"""`points`: the hand-in's program, run as it is, in its own folder."""

import json
import os
import runpy
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from funcnn.experiments.grade.drivers.begin import tell, trouble

with open("task.json", encoding="utf-8") as task:
    program = os.path.abspath(json.load(task))
try:
    os.chdir(os.path.dirname(program))
    sys.path.insert(0, os.path.dirname(program))
    runpy.run_path(program, run_name="__main__")
except SystemExit as end:
    if end.code:
        tell(error=f"it ended with {end.code!r}")
except BaseException:
    tell(**trouble())
tell(ran=True)
