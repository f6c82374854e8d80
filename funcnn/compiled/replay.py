"""The replay of a tape: straight-line Python, made once, of NumPy calls on arrays that are there.

    replay(leaves, block) -> (result, carried, block)

leaves: the inputs. The small ones are copied into the arena. block: None, or the bytes of the small
among the first inputs as a replay gave them, which saves a copy for each. carried: the leaves of
the first part of the result, which the next step is likely to begin with, and block: its bytes.
What is given out lies in memory that nobody else writes into.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from funcnn._blas import blas_libraries
from funcnn.compiled.blas import needs_one_thread
from funcnn.compiled.fusion import fused
from funcnn.compiled.native import GuardError
from funcnn.compiled.segments import in_segments
from funcnn.compiled.settle import settled
from funcnn.compiled.source import Writer
from funcnn.compiled.tape import Tape
from funcnn.threads import available_cores

__all__ = ["GuardError", "Program", "Replay", "compile_tape"]

MOST_LANES = 4
"""For so many threads at most a replay is divided: more were not tried."""

Replay = Callable[[list[Any], Any], tuple[Any, list[Any], Any]]


class Program(NamedTuple):
    """A replay, and what is to be known of it."""

    replay: Replay
    carries: bool
    """Whether the first part of the result can stand for the first inputs."""
    one_thread: bool
    """Whether it matters on how many threads BLAS works."""
    is_native: bool
    """Whether some of it is done in C."""
    source: str
    arena_bytes: int


def _lanes() -> int:
    """Into how many lanes a replay is divided."""
    # Another library may go by the number of threads that each thread has set for itself.
    obeys = all(
        library.internal_api == "openblas" and getattr(library, "threading_layer", "") == "pthreads"
        for library in blas_libraries()
    )
    return min(available_cores(), MOST_LANES) if obeys else 1


def compile_tape(tape: Tape, first: int, *, native: bool) -> Program:
    """The replay of a tape, whose `first` inputs are the leaves of the first argument.

    native: whether what the interpreter in C knows is done by it.
    """
    written = fused(settled(tape, first))
    if native:
        written = in_segments(written, _lanes())
    writer = Writer(written, first)
    exec(compile(writer.source, "<a recorded step>", "exec"), writer.bound)
    replay: Replay = writer.bound["replay"]
    is_native = any(operation.kind == "native" for operation in written.operations)
    one_thread = needs_one_thread(tape)
    source, arena_bytes = writer.source, writer.arena_bytes
    return Program(replay, writer.carries, one_thread, is_native, source, arena_bytes)
