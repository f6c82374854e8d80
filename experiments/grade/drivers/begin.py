"""The begin of each driver: limits that this process cannot lift again, and a folder to work in.

python -c TEXT TOKEN HANDED WORK BYTES SECONDS PACKAGES...
"""

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

token, handed, work, memory, seconds, *packages = sys.argv[1:]
sys.argv[1:] = []
if resource is not None and sys.platform == "linux":
    resource.setrlimit(resource.RLIMIT_AS, (int(memory),) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(float(seconds)) + 1,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 26,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
shutil.copytree(handed, work, dirs_exist_ok=True)
os.chdir(work)
sys.path[:0] = [work, *packages]


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
