"""The benchmark: that all peers do the same work, and what comes of it. Nothing about the times."""

import contextlib
import csv
import functools
import importlib.util
import itertools
import math
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import FUNCNN, funcnn, parse

import funcnn as fn
from funcnn.compiled import native, proof
from funcnn.experiments.bench import benchmark, nets, peers
from funcnn.experiments.bench import worker as benchmark_worker
from funcnn.experiments.bench.benchmark import Benchmark, Row, WorkerError, WorkerProcess
from funcnn.experiments.bench.nets import NETS, WEIGHT_DECAY
from funcnn.experiments.bench.peers import PEERS
from funcnn.experiments.bench.worker import choices
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.figures import plots
from funcnn.experiments.training.callback import Callback

STEPS = 10


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "_TURN", 0.0)
    monkeypatch.setattr(nets, "TEST_EXAMPLES", 1100)  # more than one batch
    for module in (nets, benchmark_worker):
        monkeypatch.setattr(module, "EXAMPLES", 2000)
    monkeypatch.chdir(tmp_path)


def loaded(name):
    peer = PEERS[name]
    if peer.why_not:
        pytest.skip(peer.why_not)
    return peer.load()


def trained(name, net):
    """The peer's net after some steps, and the losses on the way."""
    learner = loaded(name).Learner(NETS[net], **PEERS[name].options)
    learner.start()
    rows = itertools.islice(choices(NETS[net]), STEPS)
    return learner, [learner.step(chosen) for chosen in rows]


# --- the same work ---------------------------------------------------------------------------


def by_peer(name, net):
    """Losses on the way, outputs and scores in the end, of a peer at rates that show in them."""
    with pytest.MonkeyPatch.context() as patch:
        if PEERS[name].native is False:
            patch.setattr(proof, "why_not", lambda: "it is to be by NumPy")
        patch.setattr(loaded(name), "LEARNING_RATE", 0.05)
        patch.setattr(loaded(name), "WEIGHT_DECAY", 0.1)
        learner, losses = trained(name, net)
        outputs = learner.predict()
        np.testing.assert_allclose(learner.predict_one(), outputs[:1], rtol=1e-5, atol=1e-5)
        return losses, outputs, learner.evaluate()


@pytest.fixture(scope="module")
def by_torch():
    """What `by_peer` gives of torch; made in a test, for it needs `quick`."""
    return functools.cache(functools.partial(by_peer, "torch"))


@pytest.mark.parametrize("net", ["tiny", "mlp3-32", "cnn3-64"])
@pytest.mark.parametrize(
    "name", ["funcnn", "funcnn-recorded", "funcnn-native", "torch-channels-last", "jax"]
)
def test_all_peers_train_the_same_net_on_the_same_batches(net, name, by_torch):
    if not PEERS[name].fits(NETS[net]):
        pytest.skip(f"{name} has no {net}")
    losses, outputs, scores = by_peer(name, net)
    expected_losses, expected_outputs, expected_scores = by_torch(net)
    assert all(type(loss) is float for loss in losses)
    np.testing.assert_allclose(losses, expected_losses, rtol=2e-5)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, expected_outputs, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-4, atol=3e-4)


def test_scikit_learn_trains_the_same_net_though_its_loss_has_the_penalty():
    expected, expected_losses = trained("torch", "mlp3-32")
    learner, losses = trained("scikit-learn", "mlp3-32")
    penalty = WEIGHT_DECAY / 2 * sum(np.vdot(w, w) for w, _ in NETS["mlp3-32"].first_params())
    np.testing.assert_allclose(losses[0] - penalty, expected_losses[0], rtol=1e-5)
    probabilities = fn.activations.softmax(expected.predict(), 1)[0]
    np.testing.assert_allclose(learner.predict(), probabilities, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(learner.predict_one(), learner.predict()[:1], rtol=1e-5)
    np.testing.assert_allclose(learner.evaluate(), expected.evaluate(), rtol=1e-5, atol=3e-4)


@pytest.mark.parametrize(
    ("net", "batch", "expected"),
    [
        ("mlp3-32", 32, 2 * 32 * (784 * 256 + 256 * 128 + 128 * 10) + 32 * (256 * 128 + 128 * 10)),
        (
            "cnn3-64",
            64,
            2 * 64 * (784 * 9 * 16 + 196 * 144 * 32 + 1568 * 10)
            + 64 * (196 * 144 * 32 + 1568 * 10),
        ),
    ],
)
def test_the_products_alone_have_the_multiply_adds_of_a_step(net, batch, expected, monkeypatch):
    counted = []
    matmul = np.matmul

    def counting(a, b, out):
        counted.append(math.prod(a.shape) * b.shape[1])
        return matmul(a, b, out=out)

    learner = loaded("products").Learner(NETS[net])
    learner.start()
    monkeypatch.setattr(np, "matmul", counting)
    learner.step(next(choices(NETS[net])))
    assert sum(counted) == expected
    counted.clear()
    assert learner.predict_one().shape == (1, 10)
    forward = sum(counted)
    counted.clear()
    assert learner.predict().shape == (nets.TEST_EXAMPLES, 10)
    assert sum(counted) == forward * (nets.TEST_EXAMPLES // 1000) * 1000  # in whole batches
    assert np.isnan(learner.evaluate()).all()


@pytest.mark.parametrize("net", NETS)
def test_the_nets_are_what_the_names_say(net):
    weights = [(name, *sizes) for name, *sizes in NETS[net].layers if sizes]
    assert (
        weights
        == {
            "tiny": [("dense", 2, 4), ("dense", 4, 4), ("dense", 4, 1)],
            "mlp3": [("dense", 784, 256), ("dense", 256, 128), ("dense", 128, 10)],
            "mlp512": [("dense", 784, 512), ("dense", 512, 512), ("dense", 512, 10)],
            "cnn3": [("conv", 1, 16, 3), ("conv", 16, 32, 3), ("dense", 7 * 7 * 32, 10)],
            "cnn5": [("conv", 1, 32, 5), ("conv", 32, 64, 5), ("dense", 7 * 7 * 64, 10)],
        }[net.split("-")[0]]
    )
    batch = next(choices(NETS[net]))
    assert (None if batch is None else str(len(batch))) == (net.split("-")[1:] or [None])[0]
    x, y = NETS[net].make_data("test")
    assert len(x) == len(y) == nets.TEST_EXAMPLES


# --- what comes of it ------------------------------------------------------------------------


class Noted(Callback):
    def __init__(self):
        self.turns, self.notes = [], []

    def run_begin(self, run, steps, done):
        self.expected = steps

    def step_end(self, run, done, steps, loss):
        self.turns.append(done)

    def note(self, line):
        self.notes.append(line)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """funcnn and torch in processes of their own: the folder, what is returned, what was told."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("bench") / "it"
    noted = Noted()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "_TURN", 0.0)
        results = Benchmark(
            net=("tiny", "mlp3-32"),
            peer=("torch", "funcnn"),
            rounds=2,
            out=folder,
        ).finish(noted)
    return folder, results, noted


def test_a_comparison_has_a_row_for_each_net_measure_and_peer(compared):
    folder, results, noted = compared
    with open(folder / "results.csv", newline="") as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == Row._fields
    cells = [dict(zip(header, line, strict=True)) for line in lines]
    assert [(row["net"], row["peer"]) for row in cells] == [
        (net, peer) for net in ("tiny", "mlp3-32") for peer in ("funcnn", "torch")
    ]
    assert [{k: str(v) for k, v in row.items()} for row in results["rows"]] == cells
    for row in results["rows"]:
        assert 0 < row["low"] <= row["median"] <= row["high"]
        assert 0 < row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert row["ratio"] == 1 or row["peer"] == "funcnn"
        assert (row["measure"], row["unit"]) == ("step", "ms a step")
        assert row["batch"] == {"tiny": 21, "mlp3-32": 32}[row["net"]]
        assert (row["rounds"], row["threads"]) == (2, 2)
    assert noted.expected == 2 * 2 * (1 + 2)
    assert noted.turns == [*range(1, 1 + noted.expected)]
    lines = [line for line in noted.notes if not line.startswith("note: the machine is busy")]
    tables = "\n".join(lines).split("\n\n")
    assert [table.split(",")[0].strip() for table in tables] == ["tiny", "mlp3-32"]
    assert [[line.split()[0] for line in table.strip().splitlines()[1:]] for table in tables] == [
        ["funcnn", "torch"]
    ] * 2


def test_every_measure_has_its_unit_and_memory_one_round():
    measures = ("step", "inference", "image", "evaluation", "memory")
    noted = Noted()
    results = Benchmark(net=("tiny",), peer=("funcnn",), measure=measures, rounds=2).finish(noted)
    found = [(row["measure"], row["unit"], row["rounds"]) for row in results["rows"]]
    units = ("ms a step", "images/s", "us an image", "images/s", "MB")
    assert found == list(zip(measures, units, (2, 2, 2, 2, 1), strict=True))
    assert len(noted.turns) == noted.expected == 4 * 3 + 1
    assert results["run"] == "runs/bench-001"


def test_a_comparison_names_the_machine_and_draws_a_chart(compared):
    folder, results, _ = compared
    line = (folder / "machine.txt").read_text()
    assert results["machine"]["numpy"] == np.__version__
    for part in (f"numpy {np.__version__}", "torch ", "Python 3.", "BLAS ", " cores, "):
        assert part in line
    assert (folder / "results.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in folder.iterdir()} == {"results.csv", "results.png", "machine.txt"}


COSTS = {
    "funcnn": [1.0, 2.0, 4.0],
    "torch": [3.0, 4.0, 4.0],
    "torch-channels-last": [2.0, 2.0, 5.0],
}


def test_ratios_are_to_the_faster_torch_within_each_round():
    ours, eager, last = benchmark._rows("cnn3-64", "step", COSTS, threads=1)
    assert (ours.low, ours.median, ours.high) == (1500, 2000, 3000)  # ms
    assert (ours.ratio_low, ours.ratio, ours.ratio_high) == (1.125, 1.25, 1.625)  # of 2, 1, 1.25
    assert (eager.ratio, last.ratio) == (2 / 3, 1)
    (alone,) = benchmark._rows("cnn3-64", "inference", {"funcnn": [0.5]}, threads=1)
    assert alone[5:11] == (2, 2, 2, None, None, None)  # images a second


def test_the_chart_has_a_place_and_a_colour_for_each_peer(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(plots, "write_figure", lambda figure, path: kept.append(figure))
    panels = [
        plots.Panel("a", "ms", [plots.Bar("p", 2, 1, 3, 1.5), plots.Bar("q", 4, 4, 4, None)]),
        plots.Panel("b", "MB", [plots.Bar("q", 7, 7, 7, 1.0)]),
    ]
    plots.bars(tmp_path / "new.png", panels, ["p", "unused", "q"], "of a machine")
    (figure,) = kept
    first, second = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["p", "q"]
    assert [text.get_text() for text in first.texts] == ["1.50x"]
    assert (first.get_title(), first.get_xlabel(), second.get_xlabel()) == ("a", "ms", "MB")
    bars = [[(b.get_width(), b.get_facecolor()) for b in axis.patches] for axis in figure.axes]
    assert [[width for width, _ in of_panel] for of_panel in bars] == [[2, 4], [7]]
    assert bars[0][0][1] != bars[0][1][1] == bars[1][0][1]
    assert figure.get_supxlabel() == "of a machine"


def test_the_chart_has_a_colour_for_every_peer(tmp_path):
    panel = plots.Panel("a", "ms", [plots.Bar(name, 2, 1, 3, None) for name in PEERS])
    plots.bars(tmp_path / "new.png", [panel], list(PEERS), "of a machine")
    assert (tmp_path / "new.png").exists()


# --- what does not go well -------------------------------------------------------------------


@pytest.fixture
def without_torch(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        peers.importlib.util,
        "find_spec",
        lambda name: found(name) if name in ("numpy",) else None,
    )


@pytest.fixture
def without_c(monkeypatch):
    monkeypatch.setattr(native, "why_not", lambda: "the file in C was not compiled")


def test_a_peer_that_cannot_take_part_is_left_out_with_a_note(tmp_path, without_torch, without_c):
    noted = Noted()
    results = Benchmark(net=("tiny",), rounds=1, out=tmp_path / "it").finish(noted)
    found = [(row["peer"], row["ratio"]) for row in results["rows"]]
    assert found == [("funcnn", None), ("funcnn-recorded", None)]
    assert "note: torch is left out: torch is not installed (pip has it)" in noted.notes
    by_numpy = "recorded steps are replayed by NumPy here (the file in C was not compiled)"
    assert f"note: funcnn-native is left out: {by_numpy}" in noted.notes
    notes = [f"note: {line}" for line in results["notes"]]
    assert noted.notes[:-4] == notes  # a blank line and a table of two rows follow
    with open(tmp_path / "it" / "results.csv", newline="") as file:
        assert next(csv.DictReader(file))["ratio"] == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peer": ("torch",)}, "--peer torch: torch is not installed"),
        ({"peer": ("scikit-learn",)}, "--peer scikit-learn: scikit-learn is not installed"),
        (
            {"peer": ("funcnn", "funcnn-native")},
            "^--peer funcnn-native: recorded steps are replayed by NumPy here .the file in C was ",
        ),
    ],
)
def test_a_peer_that_is_asked_for_must_be_able_to(
    tmp_path, without_torch, without_c, settings, message
):
    with pytest.raises(InputError, match=message):
        Benchmark(**settings, out=tmp_path / "it")
    assert not (tmp_path / "it").exists()


def test_a_comparison_of_nothing_is_an_error(tmp_path):
    pytest.importorskip("torch")
    with pytest.raises(
        InputError, match="--peer torch-channels-last cannot do --net tiny, mlp3-32"
    ):
        Benchmark(net=("tiny", "mlp3-32"), peer=("torch-channels-last",), out=tmp_path / "it")
    assert not (tmp_path / "it").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        Benchmark(net=("tiny",), peer=("funcnn",), out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_where_every_peer_fails_the_error_says_why(tmp_path, monkeypatch):
    def fail(self, net, measure, seconds):
        raise WorkerError("no luck")

    monkeypatch.setattr(WorkerProcess, "measure", fail)
    with pytest.raises(RunStoppedError, match="funcnn is left out of step of tiny: no luck"):
        Benchmark(net=("tiny",), peer=("funcnn",), rounds=1, out=tmp_path / "it").finish()


def test_the_first_third_of_a_turn_does_not_count(monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr(benchmark_worker.time, "perf_counter", lambda: now[0])

    def work(_):
        calls.append(now[0])
        now[0] += 0.04 if now[0] < 1.0 else 0.01  # slow as long as another peer's threads spin

    assert benchmark_worker._median_seconds(work, iter([None] * 300), 1, 3.0) == pytest.approx(0.01)
    assert calls[0] == 0
    assert calls[-1] == pytest.approx(2.99, abs=0.02)
    calls.clear()
    benchmark_worker._median_seconds(work, iter([None] * 5), 5, 0.0)
    assert len(calls) == 5


def test_a_worker_that_ends_says_why_in_one_line(monkeypatch):
    monkeypatch.setitem(PEERS, "nobody", PEERS["funcnn"])
    worker = WorkerProcess("nobody", 1)
    try:
        with pytest.raises(WorkerError, match=r"^its process ended with exit code 1 \(KeyError: "):
            worker.measure("tiny", "step", 0)
    finally:
        worker.close()


def test_a_worker_that_fails_says_why_and_goes_on():
    worker = WorkerProcess("funcnn", 1)
    try:
        with pytest.raises(WorkerError, match=r"^KeyError: 'nothing'$"):
            worker.measure("nothing", "step", 0)
        for measure in ("step", "inference", "image", "evaluation"):
            assert worker.measure("tiny", measure, 0) > 0
        assert worker.measure("tiny", "memory", 0) >= 0  # a warm process may need no more
    finally:
        worker.close()


@pytest.mark.parametrize(
    ("name", "said"),
    [("funcnn-recorded", f"{native.VARIABLE}=0"), ("funcnn-native", native.why_not())],
)
def test_the_process_of_a_peer_replays_as_its_name_says(name, said, monkeypatch):
    class SaysWhyNot(subprocess.Popen):
        def __init__(self, command, **rest):
            program = "from funcnn.compiled import native; print(native.why_not())"
            super().__init__([sys.executable, "-c", program], **rest)

    monkeypatch.setattr(subprocess, "Popen", SaysWhyNot)
    with (
        contextlib.closing(WorkerProcess(name, 1)) as worker,
        pytest.raises(WorkerError, match=f"its process said '{said}'"),
    ):
        worker.measure("tiny", "step", 0)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_ctrl_c_ends_the_workers_and_keeps_what_was_measured(tmp_path):
    options = ["bench", "--peer", "funcnn", "--net", "tiny", "--rounds", "1000000", "--out", "it"]
    process = subprocess.Popen([*FUNCNN, *options], stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (started := children.read_text().split()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr == "stopped; what was measured until then is in it\n"
    assert (tmp_path / "it" / "machine.txt").exists()
    until = time.monotonic() + 10  # one that had only just begun ends when it finds nobody there
    while left := [child for child in started if Path(f"/proc/{child}").exists()]:
        assert time.monotonic() < until, left
        time.sleep(0.05)


# --- the command -----------------------------------------------------------------------------


def test_bench_prints_a_table_for_each_net():
    result = funcnn("bench", "--net", "tiny", "--peer", "funcnn", "--rounds", 1, "--threads", 1)
    lines = [line for line in result.stdout.splitlines() if not line.startswith("note: ")]
    assert lines[:2] == ["", "tiny, step (ms a step)"]
    assert re.match(r"  funcnn +[\d.,]+  \( *[\d.,]+ to +[\d.,]+\)$", lines[2])
    assert lines[-2].startswith("1 threads; ")
    assert lines[-1] == "all in runs/bench-001"


def test_bench_json_is_what_came_out():
    printed = parse(funcnn("bench", "--net", "tiny", "--peer", "funcnn", "--rounds", 1, "--json"))
    assert set(printed) == {"run", "machine", "notes", "rows"}
    assert [tuple(row) for row in printed["rows"]] == [Row._fields]


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["--net", "mlp4"], "'mlp4' is not one of 'tiny', 'mlp3-32'", 2),
        (["--peer", "theano"], "'theano' is not one of 'funcnn', 'funcnn-recorded'", 2),
        (["--batch-size", "8"], "--batch-size 8: it is for --profile", 1),
        (["--profile", "mlp3", "--net", "tiny"], "leave out --net", 1),
        (["--profile", "mlp3", "--rounds", "3"], "leave out --rounds", 1),
        (["--profile", "mlp3", "--batch-size", "20001"], "there are 20000 examples", 1),
        (["--profile", "mlp3", "--batch-size", "0"], "--batch-size 0: must be", 1),
    ],
)
def test_what_cannot_be_measured_is_one_line(arguments, message, code):
    result = funcnn("bench", *arguments, code=code)
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not Path("runs").exists()
