"""A result goes where nothing is; every command says so in the same words."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from funcnn.cli import main
from funcnn.experiments.data import duplicates, overview
from funcnn.experiments.errors import InputError
from funcnn.experiments.paths import (
    cache_folder,
    data_folders,
    expect_new,
    make_folder,
    new_file,
    safe_name,
)
from funcnn.experiments.training import figures, predictions


@pytest.mark.parametrize(
    "make", [lambda path: path.write_bytes(b"mine"), lambda path: path.mkdir()]
)
def test_what_exists_is_no_place_for_a_result(tmp_path, make):
    expect_new(tmp_path / "new")
    make(tmp_path / "there")
    with pytest.raises(
        InputError, match=r"^--out \S+/there exists already; give the name of a new"
    ):
        expect_new(tmp_path / "there")


@pytest.mark.parametrize(
    ("module", "ask"),
    [
        (figures, figures.draw_activations),
        (figures, lambda out: figures.draw_curves([], out)),
        (overview, lambda out: overview.show_dataset("points-xor", out)),
        (duplicates, lambda out: duplicates.find_duplicates("points-xor", out)),
        (predictions, lambda out: predictions.write_predictions(None, ["points-xor"], out)),
    ],
    ids=["activations", "curves", "data show", "data duplicates", "predict"],
)
def test_every_result_asks_the_one_function_before_anything_else(
    tmp_path, monkeypatch, module, ask
):
    def refuse(out, suffix=""):
        raise InputError(f"asked for {out}")

    monkeypatch.setattr(module, "expect_new", refuse)
    with pytest.raises(InputError, match="asked for") as caught:
        ask(tmp_path / "new")
    assert str(tmp_path / "new") in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_for_results_is_new_or_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [str(make_folder(None, "it")) for _ in range(2)] == ["runs/it-001", "runs/it-002"]
    for name in ("new/inner", "new/inner"):
        assert make_folder(tmp_path / name, "it").is_dir()
    with pytest.raises(InputError, match=r"^--out \S+/new exists already"):
        make_folder(tmp_path / "new", "it")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("mlp3-mnist", "mlp3-mnist"),
        ("aux", "aux_"),
        ("NUL.txt", "NUL_.txt"),
        ("com1", "com1_"),
        ("console", "console"),
        ("a:b", "a_b"),
        ("data. .", "data"),
        ("...", "_"),
        ("数字", "数字"),
    ],
)
def test_a_name_is_one_that_every_system_takes(name, safe):
    assert safe_name(name) == safe


def test_a_user_without_a_home_has_data_all_the_same(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("FUNCNN_DATA", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert [folder.name for folder in data_folders()] == ["data"]
    with pytest.raises(InputError, match="no home folder: set XDG_CACHE_HOME"):
        cache_folder()


def test_a_file_that_another_process_made_meanwhile_stays(tmp_path, monkeypatch):
    out = tmp_path / "a.png"
    out.write_text("its own")
    monkeypatch.setattr(figures, "expect_new", lambda *asked: None)  # both had asked before
    with pytest.raises(InputError, match=r"a\.png exists already; give the name of a new file$"):
        figures.draw_activations(out)
    assert out.read_text() == "its own"


def test_of_a_file_that_could_not_be_written_nothing_stays(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_file(tmp_path / "a.csv"):
        raise KeyboardInterrupt
    assert not (tmp_path / "a.csv").exists()


OUTS = {
    "data show": "data show points-xor --out -",
    "data duplicates": "data duplicates points-xor --out -",
    "data fetch": "data fetch mnist --to -",
    "predict": "predict run --data mnist --out -",
    "export": "export run --to onnx --out -",
    "import": "import it.pt --arch mlp3 --out -",
    "train": "train --out -",
    "compare": "compare mlp3 --out -",
    "sweep": "sweep points --out -",
    "experiment run": "experiment run points --out -",
    "experiment submit": "experiment submit points --out -",
    "experiment notebook": "experiment notebook points --out -",
    "figure curves": "figure curves run --out -",
    "figure activations": "figure activations --out -",
    "figure augmentations": "figure augmentations --out -",
    "bench": "bench --out -",
    "range-test": "range-test --out -",
}


@pytest.mark.parametrize("command", OUTS.values(), ids=OUTS)
def test_no_result_is_called_as_the_output_is(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, command.split())
    (line,) = result.stderr.splitlines()
    option = command.split()[-2]
    said = f"Error: Invalid value for '{option}': -: give a name; a result is never written to the"
    assert line == f"{said} output"
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_every_option_for_a_result_refuses_it():
    def outs(command, name):
        for each in getattr(command, "commands", {}).values():
            yield from outs(each, f"{name} {each.name}".strip())
        for option in command.params:
            if option.name == "out" or (option.name == "to" and option.metavar == "DIR"):
                yield name

    assert set(outs(main, "")) - {"experiment report"} == set(OUTS)


def test_the_folder_of_a_file_is_made_and_what_is_a_file_is_no_folder(tmp_path):
    out = tmp_path / "new" / "inner" / "a.csv"
    expect_new(out)
    with new_file(out):
        out.write_text("1")
    assert out.read_text() == "1"
    with pytest.raises(InputError, match=r"a\.csv/b/c\.csv: \S+/inner/a\.csv is a file, not a f"):
        expect_new(out / "b" / "c.csv")
