"""Training, inference, evaluation and memory of small nets, funcnn's beside other libraries'.

Each peer has its own warm process. Within a round the peers take turns, so that a busy neighbour
slows them all; a ratio is of two turns of one round.
"""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from funcnn._files import write_whole
from funcnn.experiments.bench.nets import NETS
from funcnn.experiments.bench.peers import PACKAGES, PEERS, REFERENCES
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.figures import plots
from funcnn.experiments.figures.drawing import drawn
from funcnn.experiments.paths import new_folder
from funcnn.experiments.reports.text_table import text_table
from funcnn.experiments.system.machine import describe_machine, in_one_line, is_busy
from funcnn.experiments.system.process import ModuleProcess, ProcessEndedError
from funcnn.experiments.training.callback import Callback

ROUNDS, THREADS = 15, 2
_TURN = 0.3  # seconds
_PAGE = 4096  # bytes, the least that memory grows by


class Measure(NamedTuple):
    """Something to measure: its unit, and the number in that unit that stands for a cost."""

    unit: str
    of_cost: Callable[[float], float]


MEASURES = {
    "step": Measure("ms a step", lambda seconds: seconds * 1e3),
    "inference": Measure("images/s", lambda seconds: 1 / seconds),
    "image": Measure("us an image", lambda seconds: seconds * 1e6),
    "evaluation": Measure("images/s", lambda seconds: 1 / seconds),
    "memory": Measure("MB", lambda size: size / 1e6),
}

RATIO_MEANS = "the cost of the faster of PyTorch's modes, divided by this one's in the same round"


class Row(NamedTuple):
    """A row of results.csv: a measure of a net in the hands of a peer."""

    net: str
    batch: int
    measure: str
    peer: str
    unit: str
    median: float
    """Over the rounds; `low` and `high` are the quartiles."""
    low: float
    high: float
    ratio: float | None
    """As `RATIO_MEANS`; None where PyTorch was not measured."""
    ratio_low: float | None
    ratio_high: float | None
    rounds: int
    threads: int


class Benchmark:
    """A comparison in a folder of its own: results.csv, results.png and machine.txt.

    net, peer, measure: names; none means all nets, all peers that can take part, the step. Raises
    `InputError` if a peer is asked for that cannot, if no peer can do any of the nets, and as
    `new_folder`.
    """

    def __init__(
        self,
        net: Sequence[str] = (),
        peer: Sequence[str] = (),
        measure: Sequence[str] = (),
        rounds: int = ROUNDS,
        threads: int = THREADS,
        out: Path | None = None,
    ) -> None:
        missing = {name: why for name in PEERS if (why := PEERS[name].why_not)}
        for name in peer:
            if name in missing:
                raise InputError(f"--peer {name}: {missing[name]}")
        self._nets = list(dict.fromkeys(net)) or list(NETS)
        self._measures = list(dict.fromkeys(measure)) or ["step"]
        self._peers = [name for name in PEERS if name in (peer or {*PEERS} - {*missing})]
        self._missing = {} if peer else missing
        if not any(self._peers_of(net) for net in self._nets):
            raise InputError(
                f"--peer {', '.join(self._peers)} cannot do --net {', '.join(self._nets)}"
            )
        self._rounds, self._threads = rounds, threads
        self._done = 0
        self._workers: dict[str, WorkerProcess] = {}
        self.machine = describe_machine(PACKAGES)
        self.results: list[Row] = []
        self.notes: list[str] = []
        with new_folder(out, "bench") as self.folder:
            write_whole(self.folder / "machine.txt", f"{in_one_line(self.machine)}\n".encode())
        self.csv = self.folder / "results.csv"

    def finish(self, callback: Callback | None = None) -> dict[str, Any]:
        """Measure everything, and keep it as it comes; then draw it. Returns all that came out.

        Raises `RunStoppedError` if no peer could be measured at all.
        """
        self._callback = callback or Callback()
        self._turns = sum(
            len(self._peers_of(net)) * (1 if measure == "memory" else 1 + self._rounds)
            for net in self._nets
            for measure in self._measures
        )
        self._callback.run_begin(self.folder.name, self._turns, 0)
        if is_busy(self.machine):
            self._note(f"the machine is busy, load {self.machine['load']}: ratios mean little")
        for name, why in self._missing.items():
            self._note(f"{name} is left out: {why}")
        try:
            for net in self._nets:
                for measure in self._measures:
                    costs = self._measure(net, measure)
                    rows = _rows(net, measure, costs, self._threads)
                    self.results += rows
                    if rows:
                        self._write()
                        for line in ("", *table(rows).splitlines()):
                            self._callback.note(line)
        finally:
            for worker in self._workers.values():
                worker.close()
            self._workers.clear()
        if not self.results:
            raise RunStoppedError("nothing could be measured: " + "; ".join(self.notes))
        self._draw()
        return {
            "run": str(self.folder),
            "machine": self.machine,
            "notes": self.notes,
            "rows": [row._asdict() for row in self.results],
        }

    def _peers_of(self, net: str) -> list[str]:
        return [name for name in self._peers if PEERS[name].fits(NETS[net])]

    def _measure(self, net: str, measure: str) -> dict[str, list[float]]:
        """The cost for each peer in each round; the first turn of each only warms it."""
        costs: dict[str, list[float]] = {name: [] for name in self._peers_of(net)}
        for number in range(1 if measure == "memory" else 1 + self._rounds):
            for name in list(costs):
                try:
                    cost = self._turn(name, net, measure)
                except WorkerError as error:
                    self._note(f"{name} is left out of {measure} of {net}: {error}")
                    del costs[name]
                else:
                    if number or measure == "memory":
                        costs[name].append(cost)
                self._done += 1
                self._callback.step_end(self.folder.name, self._done, self._turns, None)
        return costs

    def _turn(self, name: str, net: str, measure: str) -> float:
        if measure == "memory":  # in a process that did nothing yet
            worker = WorkerProcess(name, self._threads)
            try:
                return max(_PAGE, worker.measure(net, measure, 0))
            finally:
                worker.close()
        if name not in self._workers:
            self._workers[name] = WorkerProcess(name, self._threads)
        try:
            return self._workers[name].measure(net, measure, _TURN)
        except WorkerError:
            self._workers.pop(name).close()
            raise

    def _note(self, line: str) -> None:
        self.notes.append(line)
        self._callback.note(f"note: {line}")

    def _write(self) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows(self.results)
        write_whole(self.csv, text.getvalue().encode())

    def _draw(self) -> None:
        panels: dict[tuple[str, str], plots.Panel] = {}
        for row in self.results:
            title = row.net if len(self._measures) == 1 else f"{row.net}, {row.measure}"
            panel = panels.setdefault((row.net, row.measure), plots.Panel(title, row.unit, []))
            panel.bars.append(plots.Bar(row.peer, row.median, row.low, row.high, row.ratio))
        note = f"beside the bars: {RATIO_MEANS}; lines: quartiles over the rounds; "
        note += f"{self._threads} threads; {in_one_line(self.machine)}"
        drawn(plots.bars, self.folder / "results.png", list(panels.values()), list(PEERS), note)


def table(rows: Sequence[Row]) -> str:
    """The rows of one measure of one net as aligned lines, below what they are of."""
    lines = []
    for row in rows:
        quartiles = f"({_number(row.low)} to {_number(row.high)})"
        ratio, ratios = "", ""
        if row.ratio is not None:
            ratio, ratios = f"{row.ratio:.2f}x", f"({row.ratio_low:.2f} to {row.ratio_high:.2f})"
        lines.append(("", row.peer, _number(row.median), quartiles, ratio, ratios))
    return f"{rows[0].net}, {rows[0].measure} ({rows[0].unit})\n{text_table(lines, left=2)}"


def _number(value: float) -> str:
    return f"{value:,.3f}" if value < 100 else f"{value:,.0f}"


def _rows(net: str, measure: str, costs: dict[str, list[float]], threads: int) -> list[Row]:
    """A row for each peer; costs: of each peer in each round."""
    unit, of_cost = MEASURES[measure]
    references = [costs[name] for name in REFERENCES if name in costs]
    reference = min(references, key=np.median, default=None)
    batch = NETS[net].batch or len(NETS[net].make_data()[0])
    rows = []
    for name, of_rounds in costs.items():
        low, median, high = _quartiles([of_cost(cost) for cost in of_rounds])
        ratios: tuple[float | None, ...] = (None, None, None)
        if reference is not None:
            ratios = _quartiles([a / b for a, b in zip(reference, of_rounds, strict=True)])
        ratio_low, ratio, ratio_high = ratios
        numbers = (median, low, high, ratio, ratio_low, ratio_high)
        rows.append(Row(net, batch, measure, name, unit, *numbers, len(of_rounds), threads))
    return rows


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return low, median, high


# --- A worker of the benchmark, seen from outside. ---


class WorkerError(RuntimeError):
    """A worker could not measure what it was asked for; the message says why, in one line."""


class WorkerProcess(ModuleProcess):
    """A process that measures one peer."""

    def __init__(self, peer: str, threads: int) -> None:
        environment = PEERS[peer].environment
        super().__init__("bench.worker", peer, str(threads), environment=environment)

    def measure(self, net: str, measure: str, seconds: float) -> float:
        """The cost of what was asked for. Raises `WorkerError` if there is none."""
        try:
            answer = self.ask({"net": net, "measure": measure, "seconds": seconds})
        except ProcessEndedError as error:
            raise WorkerError(str(error)) from None
        if "error" in answer:
            raise WorkerError(" ".join(answer["error"].split()))
        return float(answer["cost"])
