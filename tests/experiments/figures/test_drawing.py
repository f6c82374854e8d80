"""Numbers come before figures: nobody's matplotlib changes these, a lost one costs a line."""

import ast
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
from click.testing import CliRunner
from PIL import Image

from funcnn.cli import main
from funcnn.experiments import paths
from funcnn.experiments.bench import benchmark
from funcnn.experiments.compare import report
from funcnn.experiments.figures import drawing as lost_figures
from funcnn.experiments.figures import plots, style
from funcnn.experiments.figures.drawing import FigureError, drawn, figure_file
from funcnn.experiments.labs.tables import shown
from funcnn.experiments.reports.document import Picture, finding
from funcnn.experiments.sweep import sweep
from funcnn.experiments.tasks.changes import read_settings
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training import figures as training_figures
from funcnn.experiments.training import pool, worker
from funcnn.experiments.training.figures import learning_curve
from funcnn.experiments.training.pool import Job
from funcnn.experiments.training.run_folder import EpochRow

RUN = "train --arch points --data points-xor --epochs 2 --out it"
ROWS = [EpochRow(epoch, 1 / epoch, 0.5, None, None, 0.1, 1.0) for epoch in (1, 2)]


def funcnn(command):
    return CliRunner().invoke(main, command.split(), catch_exceptions=False)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@figure_file
def impossible(path, *given):
    raise RuntimeError("latex could\nnot be found")


def lines(result):
    return result.stderr.splitlines()


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.not_installed", "NoSuchBackend", "TkAgg"]
)
def test_a_run_in_a_notebook_s_cell_has_its_summary_and_its_figures(backend, tmp_path):
    Path("matplotlibrc").write_text("text.usetex: True\nfigure.facecolor: red\n")
    done = subprocess.run(
        [sys.executable, "-c", "from funcnn.cli import main; main()", *RUN.split()],
        env={**os.environ, "MPLBACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(Path("it/summary.json").read_text())["epochs"] == 2
    plots.points(tmp_path / "again.png", *_points_of("it"))
    assert Path("it/predictions.png").read_bytes() == Path("again.png").read_bytes()


def _points_of(run):
    from funcnn.experiments.tasks.config import RunConfig
    from funcnn.experiments.tasks.task import Task
    from funcnn.experiments.training.model import load_model
    from funcnn.experiments.training.run_folder import RunFolder

    folder = RunFolder(Path(run))
    points = Task.build(RunConfig.resolve(read_settings(folder.config))).data.test
    return points, load_model(folder).predict(points[0])


def test_a_figure_is_drawn_with_matplotlib_s_own_settings_and_leaves_the_user_s():
    learning_curve(Path("plain.png"), ROWS)
    with mpl.rc_context({"figure.facecolor": "red", "text.usetex": True, "font.size": 30}):
        learning_curve(Path("own.png"), ROWS)
        assert mpl.rcParams["figure.facecolor"] == "red"
        assert mpl.rcParams["font.size"] == 30
    assert Path("plain.png").read_bytes() == Path("own.png").read_bytes()
    assert Image.open("own.png").getpixel((0, 0)) == (255, 255, 255, 255)


def test_a_run_whose_figures_cannot_be_drawn_is_finished(monkeypatch):
    for module, name in (
        (training_figures, "learning_curve"),
        (plots, "confusion"),
        (plots, "points"),
    ):
        monkeypatch.setattr(module, name, impossible)
    result = funcnn(f"{RUN} --json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["epochs"] == 2
    assert json.loads(Path("it/summary.json").read_text())["epochs"] == 2
    assert lines(result) == [
        f"the figure it/{name}.png could not be drawn: RuntimeError: latex could not be found"
        for name in ("learning_curve", "confusion_matrix", "predictions")
    ]


def test_the_summary_is_there_when_the_first_figure_begins(monkeypatch):
    def stopped(*given):
        assert Path("it/summary.json").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(training_figures, "learning_curve", stopped)
    result = funcnn(RUN)
    assert result.exit_code == 130
    assert lines(result) == ["stopped while it drew; the run is finished: it"]


def test_a_sweep_whose_figure_cannot_be_drawn_is_finished(monkeypatch):
    command = "sweep points --data points-xor --grid lr=0.1,0.2 --epochs 1 --jobs 1 --out it"
    first = funcnn(f"{command} --quiet")
    assert first.output.endswith("\ntable: it/results.csv, figure: it/sweep.png\n")
    monkeypatch.setattr(sweep, "draw_sweep", impossible)
    result = funcnn(f"{command} --quiet")
    assert result.exit_code == 0
    assert result.stdout.endswith("\ntable: it/results.csv\n")
    assert lines(result) == [
        "the figure it/sweep.png could not be drawn: RuntimeError: latex could not be found"
    ]
    assert not Path("it/sweep.png").exists(), "that of other numbers"


def test_a_comparison_names_the_figures_that_it_has(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(report.figures, "growth", impossible)
    options = "--arch points --data points-xor --epochs 1 --mode lockstep --steps 1 --out it"
    result = funcnn(f"compare {options} --json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["figures"] == []
    assert "lockstep.png" not in Path("it/comparison.md").read_text()


def test_a_benchmark_whose_figure_cannot_be_drawn_has_its_numbers(monkeypatch):
    monkeypatch.setattr(benchmark.plots, "bars", impossible)
    bench = benchmark.Benchmark(["mlp3-128"], ["funcnn"], rounds=1, threads=1, out=Path("it"))
    bench.results = [benchmark.Row("a", 1, "step", "funcnn", "ms", *[1.0] * 6, 1, 1)]
    bench._draw()
    assert not Path("it/results.png").exists()


def test_a_report_says_where_a_figure_is_missing():
    missing = finding("A. (This figure could not be drawn.)")
    assert shown(Path("a.png"), "A.", impossible) == missing
    assert shown(Path("a.png"), "A.", learning_curve, ROWS) == Picture(Path("a.png"), "A.")


def test_a_figure_that_is_asked_for_by_name_is_an_error(monkeypatch):
    monkeypatch.setattr(plots, "functions", impossible)
    result = funcnn("figure activations --out a.png")
    assert result.exit_code == 1
    said = "the figure a.png could not be drawn: RuntimeError: latex could not be found"
    assert lines(result) == [f"Error: {said}"]


def test_no_older_figure_stays_in_the_place_of_one_that_is_lost(capsys):
    Path("a.png").write_bytes(b"of other numbers")
    assert not drawn(impossible, Path("a.png"))
    assert not Path("a.png").exists()
    assert capsys.readouterr().out == ""


def test_a_figure_is_lost_without_a_stderr_too(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    assert not drawn(impossible, Path("a.png"))
    assert capsys.readouterr().out == ""


def test_a_folder_that_is_gone_is_the_error_of_the_system():
    with pytest.raises(FigureError, match=r"none/a.png could not be drawn: No such file"):
        learning_curve(Path("none/a.png"), ROWS)


EXPERIMENTS = Path(paths.__file__).parent
MODULES = ["figures/plots", "figures/scores", "figures/examples"]
MODULES += ["sweep/figures", "compare/figures", "labs/figures", "labs/network_figures"]
MODULES += ["training/figures"]


@pytest.mark.parametrize("module", MODULES)
def test_every_figure_is_drawn_with_nobody_s_settings(module):
    tree = ast.parse((EXPERIMENTS / f"{module}.py").read_text())
    drawing = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and node.args.args
        and node.args.args[0].arg in ("path", "still")
    ]
    assert drawing
    for node in drawing:
        assert [decorator.id for decorator in node.decorator_list] == ["figure_file"], node.name


def test_what_a_worker_has_to_say_is_a_line_that_names_its_run(monkeypatch, caplog):
    answers = [{"done": 1, "steps": 2}, {"note": "the figure it/a.png is lost"}]

    class Process:
        def __init__(self, module):
            self._answers = iter([*answers, {"peak_memory": 5}])

        def ask(self, request):
            return next(self._answers)

        def answer(self):
            return next(self._answers)

        def end(self):
            pass

        close = end

    monkeypatch.setattr(pool, "ModuleProcess", Process)
    job = Job("torch-seed-0", RunConfig.resolve({"arch": "points"}), Path("it"))
    assert [answer for _, answer in pool.run_all([job], 1)] == [answers[0], {"peak_memory": 5}]
    assert caplog.messages == ["torch-seed-0: the figure it/a.png is lost"]


def test_a_worker_tells_its_warnings():
    told = []
    log = logging.getLogger("funcnn.experiments.of_a_test")
    log.addHandler(notes := worker._Notes(told.append))
    try:
        log.warning("%s is lost", "a.png")
        log.info("nothing to say")
    finally:
        log.removeHandler(notes)
    assert told == [{"note": "a.png is lost"}]


# --- names of classes in any language -----------------------------------------------------------

SIGN = "\u23b0"  # which STIX has, and matplotlib's first font has not


def draw_name(path):
    figure, ((axis,),) = style.new_figure(1, 1, (1, 1))
    axis.set_title(SIGN)
    style.write_figure(figure, path)


def test_a_sign_comes_from_another_font_if_there_is_one(monkeypatch, caplog):
    figure_file(draw_name)(Path("boxes.png"))
    assert [record.getMessage() for record in caplog.records] == [
        "boxes.png has boxes for signs that no font here has; one is Noto Sans CJK TC"
    ]
    caplog.clear()
    monkeypatch.setattr(lost_figures, "FONTS", ("Not Installed", "STIXSizeOneSym"))
    figure_file(draw_name)(Path("signs.png"))
    assert not caplog.records
    assert Path("boxes.png").read_bytes() != Path("signs.png").read_bytes()
