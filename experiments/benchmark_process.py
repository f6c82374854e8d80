"""A worker of the benchmark, seen from outside."""

import json
import subprocess
import sys
import tempfile
from typing import Any


class WorkerError(RuntimeError):
    """A worker could not measure what it was asked for; the message says why, in one line."""


class WorkerProcess:
    """A process that measures one peer."""

    def __init__(self, peer: str, threads: int) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        # -P: a folder called funcnn where the user stands is not the package.
        command = [sys.executable, "-P", "-m", "funcnn.experiments.benchmark_worker"]
        self._process = subprocess.Popen(
            [*command, peer, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def measure(self, net: str, measure: str, seconds: float) -> float:
        """The cost of what was asked for. Raises `WorkerError` if there is none."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        request = {"net": net, "measure": measure, "seconds": seconds}
        try:
            print(json.dumps(request), file=stdin, flush=True)
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(self._why_it_ended())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(" ".join(answer["error"].split()))
        return float(answer["cost"])

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            assert stream is not None
            stream.close()

    def _why_it_ended(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"its process ended with exit code {code}" + (f" ({said})" if said else "")
