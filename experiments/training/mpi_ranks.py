"""The processes of an MPI job, its ranks, which train together: how they meet and how they part.

Rank 0 has the run and does all the talking. The job ends when a rank leaves without farewell.
"""

import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

from funcnn.experiments.data.provenance import Expected
from funcnn.experiments.errors import InputError
from funcnn.experiments.extras import require
from funcnn.experiments.system.machine import own_cores
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.own_settings import OWN
from funcnn.experiments.tasks.references import own_as_told
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.mpi_learner import MpiLearner

_HEAD_START = 5.0  # seconds, for rank 0 to say something first

_UNTIL_FORWARDED = 0.2  # seconds; mpiexec obeys Abort before it passes on what was printed last


class Ranks:
    """The place of this process among the ranks of a job; alone it is rank 0 of one."""

    def __init__(self, comm: Any, threads: int) -> None:
        self.rank: int = comm.rank
        self.threads = threads
        """How many each may use, so that those on one host have a core for each thread."""
        self._comm = comm
        self._learner: MpiLearner | None = None

    @classmethod
    def join(cls) -> "Ranks":
        """Meet the other ranks. Raises `InputError` if mpi4py or its MPI library is wanting."""
        require("mpi4py", "mpi")
        import mpi4py

        mpi4py.rc.finalize = False  # or one that leaves after an error would wait for the others
        mpi4py.rc.thread_level = "funneled"
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError):
            raise InputError("mpi4py finds no MPI library: apt-get install openmpi-bin") from None
        comm = MPI.COMM_WORLD
        started = _of_environment("SIZE", comm.size)
        if comm.size != started:
            raise InputError(
                f"mpiexec started {started} ranks, but MPI sees {comm.size}: is it the mpiexec of "
                f"{MPI.Get_library_version().split(',')[0].strip()}?"
            )
        stop = _stop if comm.rank == 0 else signal.SIG_IGN  # rank 0 ends the job
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        on_host = comm.Split_type(MPI.COMM_TYPE_SHARED)
        own = own_cores()  # mpiexec may give each rank some
        cores = set().union(*on_host.allgather(own))
        return cls(comm, max(1, min(len(own), len(cores) // on_host.size)))

    def learner(self, task: Task) -> MpiLearner:
        """On rank 0: the learner of all ranks. Raises `InputError` if they cannot learn this."""
        _expect_shareable(task.config)
        self._learner = MpiLearner(task, self._comm)
        record = task.data.record
        expected = None if record is None else Expected(record, "rank 0")
        config = task.config
        told = None if config.own is None else config.own.told
        # Only now: what is wrong for all has been said.
        self._comm.bcast((config.as_data(), told, expected))
        self._learner.meet()
        return self._learner

    def follow(self) -> None:
        """On another rank: do its share of the run of rank 0. An error ends the job."""
        try:
            settings, told, expected = self._comm.bcast(None)
            config = RunConfig.resolve(settings, own_as_told(told))
            self._learner = MpiLearner(Task.build(config, expected), self._comm)
            self._learner.meet()
            self._learner.follow()
        except Exception as error:
            place = f"rank {self.rank} on {platform.node()}"
            print(f"Error: {place}: {_line_of(error)}", file=sys.stderr, flush=True)
            time.sleep(_UNTIL_FORWARDED)
            self._comm.Abort(1)
        self._part()

    def close(self) -> None:
        """On rank 0, when the run is done: let the others go."""
        if self._learner is not None:
            self._learner.close()
        self._part()

    def _part(self) -> None:
        from mpi4py import MPI

        MPI.Finalize()


def expect_alone() -> None:
    """Raise `InputError` if mpiexec started several processes, which would each train by itself."""
    started = _of_environment("SIZE", 1)
    if started > 1:
        raise InputError(
            f"mpiexec started {started} processes: give --distributed, or each trains by itself"
        )


def in_turn(text: str, arguments: Sequence[str]) -> str:
    """The text of an error that ends a command; on another rank than 0 it says which.

    There it waits: what is wrong may be wrong on rank 0 too, which then ends the job meanwhile, so
    that it is said once. It may be that there is no MPI. arguments: the command's.
    """
    rank = _of_environment("RANK", 0)
    if rank == 0 or "--distributed" not in arguments:
        return text
    time.sleep(_HEAD_START)
    return f"rank {rank} on {platform.node()}: {text}"


def _of_environment(name: str, otherwise: int) -> int:
    """What mpiexec of Open MPI or of MPICH says to the processes that it starts, if it did."""
    text = os.environ.get(f"OMPI_COMM_WORLD_{name}") or os.environ.get(f"PMI_{name}") or ""
    return int(text) if text.isdecimal() else otherwise


def _line_of(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, (InputError, OSError)) else f"{type(error).__name__}: {text}"


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    for again in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C may come as both
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt


def _expect_shareable(config: RunConfig) -> None:
    if config.backend != "numpy":
        raise InputError(f"--distributed: --backend {config.backend} trains in one process only")
    if config.loss == OWN:
        raise InputError("--distributed: --loss own may need the whole batch, give another --loss")
