"""Files with networks of one's own: read, executed once, refused in a line with the place."""

import inspect
import json
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from helpers import assert_same_bits
from image_files import image_folder

import funcnn as fn
from funcnn import experiments
from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks import executed, networks
from funcnn.experiments.tasks.architectures import ARCHITECTURES, KEYWORDS
from funcnn.experiments.tasks.config import SETTINGS, RunConfig
from funcnn.experiments.tasks.references import OPTION_NAMES, own_as_told, read_own
from funcnn.experiments.training.run import TrainingRun

NET = """
import funcnn as fn


def net(input_shape, classes, *, width=4):
    return fn.serial(fn.Flatten(), fn.Dense(width), fn.Dense(classes))
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder of its own; what is imported there is forgotten again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", sys.modules)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(text, name="mine.py"):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def refused(reference):
    with pytest.raises(InputError) as error:
        read_own(reference)
    (line,) = str(error.value).splitlines()
    return line


def built(reference, **settings):
    own = read_own(reference)
    return own.build((1, 4, 4), 3, own.resolved(settings))


# --- the eight architectures -------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("it") / "images", side=8)


SMALL = {
    "hidden": (5, 4),
    "channels": (2, 3),
    "kernel_size": 3,
    "dropout": 0.1,
    "activation": "tanh",
    "weight_init": "glorot-uniform",
}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_copy_of_the_architectures_gives_their_bits(arch, images, no_figures):
    shutil.copy(networks.__file__, "copy.py")
    architecture = ARCHITECTURES[arch]
    training = {"epochs": 2, "batch_size": 16, "seed": 3}
    training |= {"data": "points-xor"} if architecture.binary else {"data": str(images)}
    training |= {} if architecture.binary else {"val_size": 12}
    sizes = {name: SMALL[name] for name in architecture.network}
    name = architecture.build.__name__
    own = read_own(f"copy.py:{name}")
    # One of one's own trains as cnn3 does, unless it is told.
    usual = RunConfig.resolve({"arch": arch, **training, **sizes}).as_data()
    for setting in (*KEYWORDS, "arch"):
        del usual[setting]
    config = RunConfig.resolve(
        {
            "arch": own.name,
            **usual,
            **{KEYWORDS[setting]: value for setting, value in sizes.items()},
        },
        own,
    )
    runs = []
    for each in (RunConfig.resolve({"arch": arch, **training, **sizes}), config):
        run = TrainingRun.start(each, Path(each.short_arch + str(len(runs))))
        run.finish()
        runs.append(run.folder)
    ours, theirs = runs
    assert ours.params.read_bytes() == theirs.params.read_bytes()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_copy_has_their_defaults(arch):
    shutil.copy(networks.__file__, "copy.py")
    architecture = ARCHITECTURES[arch]
    own = read_own(f"copy.py:{architecture.build.__name__}")
    wanted = {KEYWORDS[name]: value for name, value in architecture.network.items()}
    assert own.settings == wanted
    shape, classes = ((2,), 2) if architecture.binary else ((1, 28, 28), 10)
    ours = architecture.build(shape, classes)
    theirs = own.build(shape, classes, own.settings, binary=architecture.binary)
    assert theirs.spec == ours.spec
    key = fn.random.key(1)
    assert_same_bits(theirs.init(key, shape)[1], ours.init(key, shape)[1])


# --- what is read ------------------------------------------------------------------------------


def test_a_function_has_settings_and_a_layer_has_none():
    write(NET + "\nfixed = net((1, 4, 4), 3)\n")
    own = read_own("mine.py:net")
    assert (own.name, own.where, own.settings) == ("mine.py:net", "mine.py:5", {"width": 4})
    assert own.source.text == Path("mine.py").read_text()
    fixed = read_own("mine.py:fixed")
    assert (fixed.where, fixed.settings) == ("mine.py:8", {})
    assert fixed.build((1, 4, 4), 3, {}).spec == own.build((1, 4, 4), 3, {"width": 4}).spec


def test_a_file_is_executed_once_for_each_text():
    write("from pathlib import Path\nPath('made').mkdir()\n" + NET)
    read_own("mine.py:net")
    read_own("./mine.py:net")
    write("from pathlib import Path\nPath('made').rmdir()\n" + NET)
    read_own("mine.py:net")
    assert not Path("made").exists()


def test_two_files_of_one_name_are_two():
    write(NET, "a/mine.py")
    write(NET.replace("width=4", "width=5"), "b/mine.py")
    a, b = read_own("a/mine.py:net"), read_own("b/mine.py:net")
    assert (a.settings, b.settings) == ({"width": 4}, {"width": 5})
    assert read_own("a/mine.py:net").settings == {"width": 4}


def test_a_file_may_be_called_as_a_library():
    """It is not imported in the place of that."""
    write(NET, "colorsys.py")
    built("colorsys.py:net")
    import colorsys

    assert colorsys.rgb_to_hsv(1, 1, 1) == (0.0, 0.0, 1)


FORMS = {
    "byte-order mark": "\ufeff" + NET,
    "future": "from __future__ import annotations\n" + NET.replace("classes,", "classes: Nope,"),
    "windows": NET.replace("\n", "\r\n"),
    "main": NET + "\nif __name__ == '__main__':\n    raise SystemExit\n",
    "lambda": NET + "\nmade, net = net, lambda input_shape, classes: made(input_shape, classes)\n",
    "nested": NET.replace("net(", "_make(")
    + "\n\ndef outer():\n    return _make\n\n\nnet = outer()\n",
    "a dataclass": """
        from __future__ import annotations
        from dataclasses import dataclass
        import funcnn as fn

        @dataclass(frozen=True)
        class Sizes:
            width: int = 3

        def net(input_shape, classes):
            return fn.serial(fn.Flatten(), fn.Dense(Sizes().width), fn.Dense(classes))
        """,
    "its own name": NET + "\nassert __file__.endswith('mine.py') and __name__ != '__main__'\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_files_as_people_write_them(form):
    Path("mine.py").write_bytes(textwrap.dedent(FORMS[form]).encode())
    assert built("mine.py:net").spec["layer"] == "serial"


@pytest.mark.parametrize("name", ["my-net.py", "netz werk.py", "größe.py", "a.b.py", "sub/net.py"])
def test_names_of_files(name):
    write(NET, name)
    assert built(f"{name}:net", width=7).spec["layers"][1]["out_features"] == 7
    assert built(f"{Path(name).resolve()}:net").spec["layer"] == "serial"


def test_a_module_beside_it_is_found_from_anywhere(monkeypatch):
    write("WIDTH = 6\n", "far/beside_it.py")
    write("from beside_it import WIDTH\n" + NET.replace("width=4", "width=WIDTH"), "far/mine.py")
    Path("here").mkdir()
    monkeypatch.chdir("here")
    assert read_own("../far/mine.py:net").settings == {"width": 6}


def test_a_relative_import_is_for_packages():
    write("from .other import x\n")
    assert refused("mine.py:net").startswith("mine.py:1: ImportError: attempted relative import")
    write("WIDTH = 6\n", "pack/other.py")
    write("", "pack/__init__.py")
    write("from .other import WIDTH\n" + NET.replace("width=4", "width=WIDTH"), "pack/mine.py")
    own = read_own("pack.mine:net")
    assert (own.name, own.settings, own.where) == ("pack.mine:net", {"width": 6}, "mine.py:6")


def test_a_class_of_a_file_can_be_pickled():
    write(NET + "\n\nclass Kept:\n    pass\n\n\ndef other(input_shape, classes, *, x=1): ...\n")
    own = read_own("mine.py:other")
    kept = inspect.unwrap(own.make).__globals__["Kept"]
    assert type(pickle.loads(pickle.dumps(kept()))) is kept


def test_a_network_goes_to_another_process_as_what_is_told():
    write(NET)
    own = read_own("mine.py:net")
    with pytest.raises(TypeError, match="goes to another process as what `told` says"):
        pickle.dumps(own)
    told = json.loads(json.dumps(own.told))
    assert own_as_told(told).source == own.source
    write(NET + "# changed\n")
    with pytest.raises(InputError, match=r"^mine\.py is not the one that this began with"):
        own_as_told(told)


# --- what is refused ---------------------------------------------------------------------------

BAD = {
    "def f(:\n": "mine.py:1: invalid syntax",
    "x = 1\n  y = 2\n": "mine.py:2: unexpected indent",
    "x = 'é'\nimport nothing_such\n": "mine.py:2: ModuleNotFoundError: No module named 'nothing_s",
    "from funcnn import Nope\n": "mine.py:1: ImportError: cannot import name 'Nope'",
    "\nraise RuntimeError('a\\nb')\n": "mine.py:2: RuntimeError: a b",
    "import sys\nsys.exit(3)\n": "mine.py:2: SystemExit: 3",
    "class E(BaseException): ...\nraise E('x')\n": "mine.py:2: E: x",
    "raise ValueError('just so')\n": "mine.py:1: just so",
    "def f():\n    f()\nf()\n": "mine.py:2: RecursionError",
    "": "mine.py has no net (networks there: none)",
    NET.replace("net(", "other("): "mine.py has no net (networks there: other)",
    "net = 3\n": "mine.py:1: net is an int, not a network: give a layer, or a function",
    "import funcnn as fn\nnet = fn.Dense\n": "mine.py:2: net makes layers, and is none: call it",
    "class net: ...\n": "mine.py:1: net is a type, not a network",
    "def net(input_shape): ...\n": "takes (input_shape, classes), and then settings; net takes",
    "def net(*, input_shape, classes): ...\n": "takes (input_shape, classes), and then settings",
    "def net(input_shape, classes, *rest): ...\n": "give each setting a name of its own, not *re",
    "def net(input_shape, classes, **rest): ...\n": "give each setting a name of its own, not **r",
    "def net(input_shape, classes, epochs=3): ...\n": "mine.py:1: the setting 'epochs' has the",
    "def net(input_shape, classes, batch_size=3): ...\n": "the name of an option, --batch-size",
    "x = " + "(" * 300 + ")" * 300: "mine.py:1: too many nested",
    "x = 1\0": "mine.py:1: source code string cannot contain null bytes",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:30])
def test_a_bad_file_is_a_line_with_the_place(text):
    Path("mine.py").write_text(text, encoding="utf-8")
    assert BAD[text] in refused("mine.py:net")


def test_what_could_not_be_read_is_forgotten():
    write("raise RuntimeError")
    before = set(sys.modules)
    for _ in range(2):
        assert refused("mine.py:net") == "mine.py:1: RuntimeError"
    assert set(sys.modules) == before


MADE = {
    "return None": "mine.py:1: net returns a NoneType, not a layer: return a layer, such as",
    "return [1]": "mine.py:1: net returns a list, not a layer",
    "return net": "mine.py:1: net returns a function, not a layer: call it, as a layer",
    "raise KeyError('k')": "mine.py:2: net: KeyError: 'k'",
    "raise ValueError('no\\ngood')": "mine.py:2: net: no good",
    "raise SystemExit(3)": "mine.py:2: net: SystemExit: 3",
    "import funcnn as fn; return fn.Relu()": "outputs have the shape (1, 4, 4), and 3 classes need",
    "import funcnn as fn; return fn.serial(fn.Flatten(), fn.Dense(7))": "the shape (7,), and 3 cla",
    "import funcnn as fn; return fn.Conv(3, 9)": "net does not fit the data (inputs of shape (1, 4",
    "import funcnn as fn; return fn.serial(fn.Flatten)": "call the constructor, Flatten(...)",
}


@pytest.mark.parametrize("body", MADE, ids=lambda body: body[:40])
def test_what_a_function_makes_is_a_network_for_the_data(body):
    write(f"def net(input_shape, classes):\n    {body}\n")
    with pytest.raises(InputError) as error:
        built("mine.py:net")
    assert MADE[body] in str(error.value)
    assert "\n" not in str(error.value)


def test_points_need_a_probability_and_two_classes_two_numbers():
    write("import funcnn as fn\n\ndef net(input_shape, classes, *, n=1):\n    return fn.Dense(n)\n")
    own = read_own("mine.py:net")
    own.build((2,), 2, {"n": 1}, binary=True)
    own.build((2,), 2, {"n": 2}, binary=False)
    with pytest.raises(InputError, match=r"shape \(2,\), and points need \(1,\), a probability"):
        own.build((2,), 2, {"n": 2}, binary=True)
    with pytest.raises(InputError, match=r"shape \(1,\), and 2 classes need \(2,\)"):
        own.build((2,), 2, {"n": 1}, binary=False)
    own.build((2,), 2, {"n": 1})  # of a snapshot, which does not say
    own.build((2,), 2, {"n": 2})
    with pytest.raises(InputError, match=r"shape \(1,\), and 3 classes need \(3,\)"):
        own.build((2,), 3, {"n": 1})


def test_no_file_and_no_python():
    assert (
        refused("mine.py:net") == "--model mine.py: it cannot be read (No such file or directory)"
    )
    Path("folder.py").mkdir()
    assert refused("folder.py:net") == "--model folder.py: it cannot be read (Is a directory)"
    Path("latin.py").write_bytes(b"# \xe9\n")
    assert refused("latin.py:net").startswith("latin.py: it is no UTF-8 text (")
    Path("deep.py").write_text("x = " + "-" * 100_000 + "1\n")
    assert refused("deep.py:net").startswith("deep.py: it is no Python (")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_not_waited_for():
    os.mkfifo("pipe.py")
    assert refused("pipe.py:net") == "--model pipe.py: it cannot be read (Not a regular file)"


@pytest.mark.parametrize("text", ["mine.py", "mine.py:", ":net", "mine.py:a-b", "a b:c"])
def test_what_is_no_reference_says_what_one_is(text):
    assert refused(text) == (
        f"--model {text}: give FILE.py:NAME, or package.module:NAME, such as mine.py:cnn"
    )


def test_modules_that_are_not_there():
    for name in ("nowhere", "nowhere.at.all", "json.nothing", "math"):
        line = refused(f"{name}:net")
        assert line == f"--model {name}: there is no such module here, written in Python"
    write("raise RuntimeError('no')\n", "broken/__init__.py")
    write(NET, "broken/mine.py")
    assert refused("broken.mine:net").endswith("RuntimeError: no")
    write("import nothing_such\n", "wanting/__init__.py")
    write(NET, "wanting/mine.py")
    assert refused("wanting.mine:net").endswith("No module named 'nothing_such'")
    write("def f(:\n", "bad_module.py")
    assert refused("bad_module:net").endswith("bad_module.py:1: invalid syntax")


def test_a_file_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(executed, "_LIMIT", 0.1)
    write("import time\n\ntry:\n    while True:\n        pass\nexcept Exception:\n    pass\n")
    line = refused("mine.py:net")
    assert line.startswith("mine.py:")
    assert "after 0.1 s it is still being read: what takes long belongs into the function" in line
    monkeypatch.setattr(executed, "_LIMIT", 60.0)
    write(NET)
    built("mine.py:net")


@pytest.mark.parametrize(
    "line", ["print('x')", "import sys; sys.stdout.buffer.write(b'x')", "import os; print(os.sep)"]
)
def test_what_it_prints_is_left_out_and_said(line, capfd, caplog):
    write(f"{line}\n{NET}")
    read_own("mine.py:net")
    assert capfd.readouterr().out == ""
    assert caplog.messages == ["mine.py:1 prints when it is read, which is left out"]


def test_a_stream_is_a_stream_to_it():
    write("import sys\nsys.stdout.reconfigure(line_buffering=True)\nsys.stdout.isatty()\n" + NET)
    built("mine.py:net")


def test_every_option_is_a_name_that_no_setting_has():
    from funcnn.cli import main

    options = {
        option.name
        for name in ("train", "compare", "sweep", "check", "bench", "import")
        for option in main.commands[name].params
        if option.opts[0].startswith("--")
    }
    # What is of a command alone that takes no settings of one's own, or is called otherwise there.
    others = {"sets", "as_json", "resume_run", "config_file", "allow_changed_data"}
    others |= {"prefix", "renames", "net", "peer", "measure", "rounds", "profile"}
    assert options - others <= OPTION_NAMES
    for function in (experiments.train, experiments.resume, experiments.compare_with_torch):
        names = {*inspect.signature(function).parameters} - {"settings", "parts"}
        assert names <= OPTION_NAMES
    assert set(SETTINGS) <= OPTION_NAMES


def test_the_modules_of_networks_are_the_public_ones_alone():
    """A copy needs funcnn alone."""
    text = Path(networks.__file__).read_text()
    code = "import sys; sys.modules['funcnn.experiments'] = None; exec(sys.stdin.read())"
    done = subprocess.run([sys.executable, "-c", code], input=text, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")
