"""Every block of code and every command on a page of the documentation is run, long ones quickly.

Examples with `>>>` are doctests. A command here has the options that the page gives, and then those
of `QUICKLY`: of an option given twice the last counts. A block that begins with the name of a file,
`# mine.py`, is that file, and `python script.py` runs one, on the small data too.
"""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import hand_ins
import numpy as np
import pytest
from click.testing import CliRunner
from commands import command_of, context_of
from helpers import run_all_here
from image_files import write_idx
from PIL import Image, ImageDraw

from funcnn.cli import main
from funcnn.experiments.compare import comparison
from funcnn.experiments.data.datasets import load_dataset
from funcnn.experiments.sweep import sweep
from funcnn.experiments.training import figures

ROOT = Path(__file__).resolve().parent.parent
TOP = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples/README.md"]
PAGES = [*TOP, *sorted(ROOT.glob("docs/**/*.md"))]
RUN = "runs/mlp3-fashion-mnist-001"

PLACES = {  # what stands for a name of the reader's own
    "RUN": RUN,
    "RUN...": f"{RUN} runs/cnn3-mnist-001",
    "RUN/config.json": f"{RUN}/config.json",
    "ARCH": "mlp3",
    "DATA": "small/mnist",
    "PICTURE": "seven.jpg",
    "CSV": "new.csv",
    "NAME": "mnist",
    "ARCHIVE": "0716001_HW1.zip",
    "ID": "0716001",
}
FILES = {"inspect": f"{RUN}/params.npz", "import": "weights.pt"}

SMALL = "--data small/{data} --epochs 1 --threads 1"
QUICKLY = [  # of the first expression that is found in a command, the options that make it quick
    (r"^(train|compare)$", "--help"),  # a command's name in a sentence
    (r"^train .*--resume .*--epochs", "--epochs 3"),
    (r"^train .*--resume", "--epochs 2"),
    (r"^train .*--config", "--epochs 1"),
    (r"^train .*points", "--epochs 20 --threads 1"),
    (r"^train", SMALL),
    (r"^range-test", "--steps 10 --data small/{data} --threads 1"),
    (r"^compare \S+/|^compare --resume", ""),
    (r"^compare .*--mode lockstep", "--data small/{data} --steps 2 --threads 1"),
    (r"^compare", f"{SMALL} --seeds 1 --steps 2"),
    (r"^sweep points", "--epochs 20 --seeds 1 --jobs 1"),
    (r"^sweep \S+\.py:", "--data small/{data} --epochs 1 --jobs 1"),
    (r"^bench --profile", "--batch-size 2"),
    (r"^bench", "--rounds 1 --net tiny --peer funcnn"),
    (r"^import", "--data small/fashion-mnist"),
    (r"^check (?!\S+\.py:)", "--hidden 8"),
]
PARSED = {  # what is not run here, but read with all its options, and why
    r"--distributed": "needs mpiexec: test_mpi",
    r"--scheduler": "needs a cluster: test_sweep_cluster",
    r"^data fetch": "needs a network: test_download",
    r"^experiment run": "takes minutes: test_labs has every lab, with --quick",
    r"^experiment report": "needs a finished lab: test_lab",
    r"^experiment submit": "needs a finished lab: test_hand_in has every one",
    r"--run-code": "needs a sandbox: test_run_code",
    r"^import net\.pt": "a file from elsewhere: test_exporting has both options",
    r"^compare --resume": "needs a comparison that was stopped: test_comparison",
    r"^compare RUN": "needs a run with the data's own name: test_comparison",
}
NOT_OURS = {  # other lines of a block, and what is looked at instead
    r"python3 -m venv \.venv(-test)?$": "the quick start, as .ci/run and whoever begins run it",
    r"source \.venv/bin/activate$": "a shell's own",
    r"\.venv-test/bin/python -m pytest -n 2( tests/whole)?$": "these tests",
    r"python -m sphinx -W --keep-going -b html docs docs/_build$": "test_site",
    r"python docs/claims.py (list|run|write)\b": "test_claims",
    r"sudo apt-get install openmpi-bin$": "needs root",
    r"dask (scheduler|worker)\b": "needs a cluster: test_sweep_cluster",
}


def blocks(page, language):
    """The blocks of a page in a language, or in one of several (a regular expression)."""
    fenced = re.findall(rf"^```(?:{language})\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    return [block for block in fenced if not block.startswith(">>>")]


def written(block, place):
    """Whether a block is a file; it is written into the folder, then."""
    named = re.match(r"# (\w+\.py)\n", block)
    if named:
        quick = re.sub(r'\bdata="([\w-]+)"', r'data="small/\1"', block)
        (place / named[1]).write_text(quick, "utf-8")
    return named is not None


def lines_of(block):
    """The simple commands of a block of `sh`, as words; a loop is its first turn and its last."""
    for line in block.splitlines():
        loop = re.fullmatch(r"for (\w+) in (.*?); do (.*); done", line)
        values = loop[2].split() if loop else [""]
        for value in sorted({values[0], values[-1]}):
            whole = loop[3].replace(f"${loop[1]}", value) if loop else line
            for simple in whole.split(" && "):
                words = shlex.split(simple, comments=True)
                yield words[: words.index(">")] if ">" in words else words


def inline(page):
    """The commands that stand in a line of text."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    return re.findall(r"`(?:mpiexec -n \d )?funcnn ([^`]+)`", " ".join(prose.split()))


def filled(command):
    """The words of a command, with a name for every place that the reader fills."""
    words = command.split()
    file = FILES.get(words[0], "net.npz")
    return " ".join(PLACES.get(word, word) if word != "FILE" else file for word in words).split()


BLOCKS = [
    " ".join(words) for page in PAGES for block in blocks(page, "sh") for words in lines_of(block)
]
OURS = [re.sub(r"^(mpiexec .*?|\.venv/bin/)?\s*funcnn ", "", line) for line in BLOCKS]
INLINE = sorted({command for page in PAGES for command in inline(page)} - {*OURS})


def run(words, said):
    """Run a command of ours quickly, or, where it stands in `PARSED`, read it. said: the page's."""
    command, _, options = command_of(words)
    required = [p for p in command.params if p.required]
    if not options and required:  # the name of a command, in a sentence
        words = [*words, "--help"]
    elif any(re.search(pattern, said) for pattern in PARSED):
        context_of(words)
        return
    quickly = next((q for pattern, q in QUICKLY if re.search(pattern, " ".join(words))), "")
    data = next((d for d in ("fashion-mnist", "mnist") if d in words), "fashion-mnist")
    result = CliRunner().invoke(main, [*words, *quickly.format(data=data).split()])
    assert result.exit_code == 0, f"funcnn {' '.join(words)}: {result.output}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Small data, two runs, weights of one, a student's archive, and a network of one's own."""
    place = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(figures, "drawn", lambda *args, **named: True)
        for name in ("fashion-mnist", "mnist"):
            data = load_dataset(name, val_size=10_000, seed=0)
            folder = place / "small" / name
            folder.mkdir(parents=True)
            for part, (x, y) in (("train", data.train), ("t10k", data.test)):
                write_idx(folder / f"{part}-images-idx3-ubyte", x[:300, 0])
                write_idx(folder / f"{part}-labels-idx1-ubyte", y[:300].astype("u1"))
        run(shlex.split("train --arch mlp3"), "train")
        run(shlex.split("train --arch cnn3 --data mnist"), "train")
        run(shlex.split(f"export {RUN} --to pt --out weights.pt"), "export")
        hand_ins.write(place, "fashion-mlp")
        for block in blocks(ROOT / "docs/tutorials/own-network.md", "python"):
            written(block, place)
        sheet = Image.new("L", (200, 150), 220)
        ImageDraw.Draw(sheet).line([(60, 30), (120, 30), (80, 120)], fill=40, width=10)
        sheet.save("seven.jpg")
        shutil.copy(f"{RUN}/params.npz", "own.npz")
    return place


@pytest.fixture
def here(trained, tmp_path, monkeypatch, no_figures):
    """A copy of it, in which commands run in this process."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "models").symlink_to(ROOT / "data" / "models")  # as in a clone
    monkeypatch.chdir(tmp_path)
    for module in (comparison, sweep):
        monkeypatch.setattr(module, "run_all", run_all_here)
    return tmp_path


def test_every_page_is_known():
    assert len(PAGES) > 20
    assert len(INLINE) > 40


def test_blocks_are_of_languages_that_are_looked_at():
    fences = re.compile(r"^```(\S+)[^\n]*\n.*?^```$", re.M | re.S)
    languages = {language for page in PAGES for language in fences.findall(page.read_text("utf-8"))}
    assert languages == {"python", "sh", "powershell", "text", "{toctree}", "{literalinclude}"}


def test_blocks_for_other_systems_have_commands_of_ours():
    others = [b for page in PAGES for kind in ("powershell", "text") for b in blocks(page, kind)]
    commands = [command for block in others for command in re.findall(r"[\\\\!]funcnn (.*)", block)]
    assert len(commands) == len(others) == 2
    for command in commands:
        context_of(command.split())


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES])
def test_the_blocks_of_a_page_run_one_after_the_other(page, here, capsys):
    if page.name == "CONTRIBUTING.md":
        pytest.skip("its block is part of a module: test_contributing")
    namespace, of_shell = {}, blocks(page, "sh")
    for block in blocks(page, "python|sh"):
        if block in of_shell:
            for words in filter(None, lines_of(block)):
                try_line(words, here)
        elif not written(block, here):
            with np.errstate(divide="warn", over="warn", invalid="warn"):  # as but in tests
                exec(compile(block, str(page), "exec"), namespace)
    printed = capsys.readouterr().out
    for comment in re.findall(r"# prints: (.*)", page.read_text("utf-8")):
        assert f"{comment}\n" in printed


def try_line(words, here):
    """Run a line of a block, or look at what it names."""
    line = " ".join(words)
    if re.match(r"(\.venv\S*/bin/)?pip install ", line):
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = re.search(r" -e \.(?:\[(.*?)\])?(?: -c tests/constraints.txt)?$", line)[1]
        assert set((extras or "").split(",")) - {""} <= set(known["optional-dependencies"])
        return
    if re.match(r"python (\w+\.py$|-c )", line):
        subprocess.run([sys.executable, *words[1:]], cwd=here, check=True)
        return
    ours = re.fullmatch(r"(?:mpiexec .*?|\.venv/bin/)?\s*funcnn (.*)", line)
    if ours:
        words = [path for word in shlex.split(ours[1]) for path in spread(word, here)]
        run(words, ours[1])
    else:
        assert any(re.match(pattern, line) for pattern in NOT_OURS), f"unknown: {line}"


def spread(word, here):
    """The files that a shell would put in the place of a word with a star."""
    return sorted(str(p.relative_to(here)) for p in here.glob(word)) if "*" in word else [word]


@pytest.mark.parametrize("command", INLINE)
def test_a_command_in_a_line_of_text_runs(command, here):
    run(filled(command), command)


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES])
def test_a_module_that_a_page_runs_is_there(page):
    for name in re.findall(r"python -m (funcnn[\w.]*)", page.read_text("utf-8")):
        assert importlib.util.find_spec(name), name


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES])
def test_a_file_that_a_page_names_is_there(page):
    rooms = "funcnn|experiments|cli|tests|docs|data|examples"
    for name in re.findall(rf"`((?:{rooms})/[\w./*-]*)`", page.read_text("utf-8")):
        assert list(ROOT.glob(name.replace("NAME", "points").rstrip("/"))), name


def test_a_command_that_is_none_fails(here):
    for line in ("funcnn trian --arch mlp3", "funcnn train --arhc mlp3", "rm -r here"):
        with pytest.raises(AssertionError):
            try_line(line.split(), here)
    with pytest.raises(Exception, match="No such option"):
        try_line(["funcnn", "data", "fetch", "mnist", "--too", "x"], here)


@pytest.mark.parametrize(
    "table", [QUICKLY, PARSED.items(), NOT_OURS.items()], ids=["quickly", "parsed", "others"]
)
def test_every_row_of_a_table_is_of_some_page(table):
    known = [*OURS, *INLINE, *(" ".join(filled(command)) for command in INLINE)]
    assert not [pattern for pattern, _ in table if not any(re.search(pattern, k) for k in known)]
