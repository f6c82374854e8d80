"""A module of the project that runs in a process of its own, seen from outside.

It is asked by a JSON value a line, and answers by one or several objects, a line each.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

_PATIENCE = 5  # seconds


class ProcessEndedError(RuntimeError):
    """The process cannot be asked, or has no proper answer; the message is one line."""


class ModuleProcess:
    """A process of `python -m funcnn.experiments.MODULE ARGUMENTS`, until `close`.

    environment: what its environment has beside that of here. Raises `OSError` if it cannot begin.
    """

    def __init__(
        self, module: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        # -P: a folder called funcnn where the user stands is not the package.
        command = [sys.executable, "-P", "-m", f"funcnn.experiments.{module}"]
        try:
            self._process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={**os.environ, **(environment or {})},
                encoding="utf-8",
            )
        except OSError as error:  # of which the system's words alone tell nobody anything
            self._log.close()
            raise OSError(
                error.errno, f"no process could be started: {error.strerror}", error.filename
            ) from None

    def ask(self, request: Any) -> dict[str, Any]:
        """The next answer after this request. Raises `ProcessEndedError`."""
        assert self._process.stdin is not None
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
        except OSError:  # a broken pipe, which is called otherwise on Windows
            raise ProcessEndedError(self._why_it_ended()) from None
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next answer. Raises `ProcessEndedError`."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ProcessEndedError(self._why_it_ended())
        with contextlib.suppress(ValueError):
            answer = json.loads(line)
            if isinstance(answer, dict):
                return answer
        raise ProcessEndedError(f"its process said {line.strip()!r}")

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def end(self) -> None:
        """End the process, which may put away what it is writing first; who waits is answered."""
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """End the process; nobody may wait for an answer any more."""
        self.end()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            assert stream is not None
            with contextlib.suppress(OSError):  # of a question that nobody read
                stream.close()

    def _why_it_ended(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        last_line = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"its process ended with exit code {code}" + (f" ({last_line})" if last_line else "")
