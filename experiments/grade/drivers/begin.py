"""The begin of each driver: limits that this process cannot lift again, and a folder to work in.

python -c TEXT TOKEN HANDED WORK BYTES SECONDS PROCESSES PACKAGES...
"""

import builtins
import json
import os
import shutil
import sys
import traceback
from typing import Any, NoReturn

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

token, handed, work, memory, seconds, processes, *packages = sys.argv[1:]
sys.argv[1:] = []
os.write(1, f"{token} begins\n".encode())

if resource is not None and sys.platform == "linux":
    for kind, most in (
        (resource.RLIMIT_AS, int(memory)),
        (resource.RLIMIT_CPU, int(float(seconds)) + 1),
        (resource.RLIMIT_FSIZE, 1 << 26),
        (resource.RLIMIT_NPROC, int(processes)),
        (resource.RLIMIT_CORE, 0),
    ):
        before = resource.getrlimit(kind)[1]  # which it may be limited to anyway
        least = most if before == resource.RLIM_INFINITY else min(most, before)
        resource.setrlimit(kind, (least, least))
shutil.copytree(handed, work, dirs_exist_ok=True)
os.chdir(work)
sys.path[:0] = [work, *packages]
vars(builtins).update(exit=sys.exit, quit=sys.exit)  # which -S leaves out

OF_COURSES = {"numpy", "pandas", "sklearn", "matplotlib", "torch", "torchvision"}
"""What is installed where a lab is done, but perhaps not here."""


def tell(**results: Any) -> NoReturn:
    """End with these results."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(1, f"\n{token} {json.dumps(results)}\n".encode())
    os._exit(0)


def last_error() -> str:
    """What was raised, in a line, with the line of the hand-in that it came from."""
    kind, error, trace = sys.exc_info()
    where = [frame for frame in traceback.extract_tb(trace) if frame.filename.startswith(work)]
    at = f" ({os.path.basename(where[-1].filename)} line {where[-1].lineno})" if where else ""
    name = kind.__name__ if kind else "an error"
    return f"{name}: {str(error)[:300]}{at}"


def trouble(part: str = "", *more: type[BaseException]) -> dict[str, str]:
    """What was raised: the code's `error`, or `unable`, if this place may be to blame.

    It has no screen, no keyboard, little memory and only the files that were handed in. more:
    further errors that do not speak against the code.
    """
    error = sys.exc_info()[1]
    ours = isinstance(error, (MemoryError, OSError, EOFError, *more))
    if isinstance(error, ImportError):  # without a name: a library's own trouble
        ours = error.name is None or error.name.split(".")[0] in OF_COURSES
    return {f"{part}unable" if ours else f"{part}error": last_error()}
