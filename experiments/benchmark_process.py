"""A worker of the benchmark, seen from outside."""

from funcnn.experiments.system.process import ModuleProcess, ProcessEndedError


class WorkerError(RuntimeError):
    """A worker could not measure what it was asked for; the message says why, in one line."""


class WorkerProcess(ModuleProcess):
    """A process that measures one peer."""

    def __init__(self, peer: str, threads: int) -> None:
        super().__init__("benchmark_worker", peer, str(threads))

    def measure(self, net: str, measure: str, seconds: float) -> float:
        """The cost of what was asked for. Raises `WorkerError` if there is none."""
        try:
            answer = self.ask({"net": net, "measure": measure, "seconds": seconds})
        except ProcessEndedError as error:
            raise WorkerError(str(error)) from None
        if "error" in answer:
            raise WorkerError(" ".join(answer["error"].split()))
        return float(answer["cost"])
