"""A command as a process of its own does it: streams, end and all.

python fault_command.py ARGUMENTS      in a new process, with the lab that is tried
"""

import atexit
import io
import os
import sys
import threading
from collections.abc import Callable


def run_as_new(arguments: list[str], plant: Callable[[], None] | None) -> None:
    """Carry out a command in a fork, and end the process as Python ends."""
    atexit._clear()
    sys.stdin, sys.stdout, sys.stderr = (_stream(number) for number in range(3))
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
    sys.argv = ["funcnn", *arguments]
    if plant is not None:
        plant()
        sys.stdout, sys.stderr = (_still_open(s) for s in (sys.stdout, sys.stderr))
    status = 0
    try:
        from funcnn.cli.main import main

        main(arguments, prog_name="funcnn")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        status = 120
    os._exit(status)


def _stream(number: int) -> io.TextIOWrapper:
    if number == 0:
        return open(0, encoding="utf-8", closefd=False)
    raw = open(number, "wb", closefd=False)  # noqa: SIM115
    errors = "strict" if number == 1 else "backslashreplace"
    return io.TextIOWrapper(raw, "utf-8", errors, line_buffering=number == 2)


def _still_open(stream: io.TextIOWrapper) -> io.TextIOWrapper | None:
    """As Python finds it at its start: None if it is closed."""
    try:
        os.fstat(stream.fileno())
    except OSError:
        return None
    return stream


if __name__ == "__main__":
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../whole/other_systems"))
    from every_command import add_tiny_lab, main

    add_tiny_lab()
    main(sys.argv[1:], prog_name="funcnn")
