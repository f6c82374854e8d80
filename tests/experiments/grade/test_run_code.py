"""`--run-code`: what a student's code can do there, and what is said of it."""

import contextlib
import json
import os
import re
import sys
import textwrap
import time
from pathlib import Path

import hand_ins
import psutil
import pytest
from commands import expect_one_line, funcnn
from hand_ins import GENERATORS, ID, LAYER, LOOP, MLP, NETWORK, code, notebook

from funcnn.experiments.errors import InputError
from funcnn.experiments.grade import grading, run_files, run_rules, sandbox
from funcnn.experiments.grade.hand_in import open_hand_in
from funcnn.experiments.grade.point_rules import WRITTEN_OTHERWISE
from funcnn.experiments.grade.sandbox import Ran, Sandbox, find_sandbox
from funcnn.experiments.grade.sheet import look_through
from funcnn.experiments.grade.sheets import find_sheet


@pytest.fixture(autouse=True)
def no_labels(monkeypatch):
    monkeypatch.setattr(grading.store, "find", lambda name: None)


@pytest.fixture(scope="module")
def box():
    """The sandbox of this machine."""
    try:
        return find_sandbox(False)
    except InputError as error:
        pytest.skip(str(error))


def ran(box, tmp_path, text, seconds=10):
    """What came of a program beside a file `given.txt`; nothing of it is alive afterwards."""
    (tmp_path / "given.txt").write_text("given")
    before = {process.pid for process in psutil.process_iter()}
    result = sandbox._run(box, code(text), tmp_path, ["numpy"], seconds)
    assert (tmp_path / "given.txt").read_text() == "given"
    assert [path.name for path in tmp_path.iterdir()] == ["given.txt"]
    mine = [each for each in psutil.process_iter(["pid", "cmdline"]) if each.pid not in before]
    assert not [each for each in mine if "given.txt" in " ".join(each.info["cmdline"] or [])]
    return result


HOME = os.path.expanduser("~")


def test_there_is_no_network_no_home_no_right_and_little_to_write_to(box, tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "_DISK", 32 << 20)
    monkeypatch.setattr(sandbox, "_FILES", 2000)
    secret = tmp_path / "given.txt"
    result = ran(
        box,
        tmp_path,
        f"""
        import ctypes, socket

        def tried(function, *arguments):
            try:
                function(*arguments)
            except OSError as error:
                return type(error).__name__
            return "done"

        def filled(place):
            written = 0
            try:
                with open(os.path.join(place, "filled"), "wb", 0) as file:
                    while written < 64 << 20:
                        written += file.write(bytes(1 << 20))
            except OSError:
                pass
            return written

        def many():
            for count in range(3000):
                open(f"many{{count}}", "w").close()

        import numpy
        libc = ctypes.CDLL(None)
        tell(
            connect=tried(socket.create_connection, ("127.0.0.1", 22), 2),
            interfaces=[name for _, name in socket.if_nameindex()],
            home=[name for name in os.listdir({HOME!r})] if os.path.isdir({HOME!r}) else [],
            secret=os.path.exists({str(secret)!r}),
            handed=tried(open, "/handed/given.txt", "w"),
            usr=tried(open, "/usr/planted", "w"),
            here=tried(open, "planted.txt", "w"),
            given=open("given.txt").read(),
            alternatives=os.path.isdir("/etc/alternatives"),
            settings=[name for name in ("sys/kernel/core_pattern", "sysrq-trigger", "irq")
                      if os.access(f"/proc/{{name}}", os.W_OK)],
            spaces=[flag for flag in (0x10000000, 0x20000, 0x10020000, 0x20000000)
                    if libc.unshare(flag) == 0],
            mounted=libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
            many=tried(many),
            written=sum(map(filled, ("/", "/dev", "/tmp"))),
        )
        """,
    )
    told = result.results
    assert (told["connect"], told["interfaces"]) == ("ConnectionRefusedError", ["lo"]) or (
        told["connect"] == "OSError"
    )
    assert not {".bashrc", ".profile", ".ssh", ".cache"} & set(told["home"])
    assert told["secret"] is False
    assert (told["handed"], told["usr"], told["here"]) == ("OSError", "OSError", "done")
    assert told["given"] == "given"
    assert told["alternatives"] == os.path.isdir("/etc/alternatives")
    assert (told["settings"], told["spaces"], told["mounted"]) == ([], [], -1)
    assert told["many"] == ("OSError" if box.kind == "unshare" else "done")
    assert told["written"] <= 32 << 20


def test_of_a_python_in_the_home_folder_not_all_is_there(tmp_path, monkeypatch):
    for name in ("bin", "lib", "share"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    for kind in ("unshare", "bwrap"):
        command = sandbox._before(Sandbox(kind), Path("/x"), "/y", [f"{tmp_path}/lib/python3"])
        assert {word for word in command if str(tmp_path) in word} == {
            f"{tmp_path}/bin",
            f"{tmp_path}/lib",
        }


# The comment is what the test looks for among the processes that are alive.
STOPPED = {
    "endless": ("while True: pass  # given.txt", 1, "it was stopped after 1 s"),
    "asleep": ("import time; time.sleep(999)  # given.txt", 1, "it was stopped after 1 s"),
    "forks": (
        "import time\nfor _ in range(7):\n    os.fork()\ntime.sleep(99)  # given.txt",
        9,
        "it was stopped: it had ",
    ),
    "leaves a child": (
        "import time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(99)  # given.txt\n"
        "os._exit(3)",
        9,
        "it ended by itself",
    ),
    "memory": (
        "kept = []\nwhile True:\n    kept.append(bytearray(1 << 26))  # given.txt",
        20,
        "it was stopped: it took more than 0.25 GB",
    ),
    "memory of no process": (
        "kept = []\nwhile True:\n    kept.append(os.memfd_create('x'))  # given.txt\n"
        "    os.write(kept[-1], bytes(1 << 25))",
        20,
        "it was stopped: it took more than 0.25 GB",
    ),
    "quits": ("os._exit(7)", 9, "it ended by itself"),
}


@pytest.mark.parametrize(("text", "seconds", "said"), STOPPED.values(), ids=STOPPED)
def test_what_does_not_end_is_stopped(box, tmp_path, text, seconds, said, monkeypatch):
    if "GB" in said:
        monkeypatch.setattr(sandbox, "_MEMORY", 1 << 28)
    begun = time.monotonic()
    result = ran(box, tmp_path, text, seconds)
    assert result.results is None
    assert result.stopped.startswith(said)
    assert result.undecided == ("stopped" in said)
    assert time.monotonic() - begun < seconds + 10


def test_of_much_output_the_last_is_kept(box, tmp_path):
    result = ran(box, tmp_path, "print('x' * 10**7)\nprint('last')\ntell(ok=1)")
    assert result.results == {"ok": 1}
    assert result.output.endswith("x\nlast")
    assert len(result.output) < 1 << 17


def test_the_memory_of_the_others_counts_when_one_is_gone(monkeypatch):
    class Process:
        def __init__(self, rss):
            self.rss = rss

        def memory_info(self):
            if not self.rss:
                raise psutil.NoSuchProcess(1)
            return self

    assert sandbox._resident([Process(0), Process(2), Process(0), Process(3)]) == 5


def test_results_without_the_token_are_output(box, tmp_path):
    result = ran(box, tmp_path, "print('0' * 32, {'ok': 1})\nprint('{}')")
    assert result.results is None
    assert result.output.endswith("{}")


@pytest.mark.parametrize("told", ["[" * 60_000, "1", "{", "null", "{}" * 2, "9" * 5000])
def test_results_that_are_none_are_not_read(told):
    assert sandbox._told(f"T begins\nx\nT {told}", "T") == (None, True, "x")


def test_what_never_began_or_the_system_ended_says_nothing_of_the_code(tmp_path, monkeypatch, box):
    for each, number in ((Sandbox("none"), -9), (box, 137)):
        result = ran(each, tmp_path, "os.kill(os.getpid(), 9)")
        assert result.stopped == f"it ended by itself, with exit code {number}"
        assert result.undecided
    monkeypatch.setattr(sandbox, "_before", lambda *given: [sys.executable, "-c", "1 / 0"])
    result = ran(Sandbox("none"), tmp_path, "tell(ok=1)")
    assert (result.stopped, result.undecided) == ("it did not begin", True)
    assert "ZeroDivisionError" in result.output


def test_a_pipe_that_something_holds_open_is_left_to_its_reader(monkeypatch):
    monkeypatch.setattr(sandbox, "_WAIT", 0.1)
    outlet, inlet = os.pipe()
    last = sandbox._Last(os.fdopen(outlet, "rb"))
    os.write(inlet, b"said")
    assert last.text() == "said"
    os.fstat(outlet)  # still the reader's: no other file can have its number
    os.close(inlet)
    last._thread.join(5)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(outlet)


def test_where_there_is_no_sandbox_it_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    path = hand_ins.write(tmp_path, "points")
    result = funcnn("grade", path, "--lab", "points", "--run-code", code=1)
    expect_one_line(result, ["--without-sandbox runs the student's code as you"])
    result = funcnn("grade", path, "--lab", "points", "--without-sandbox", code=2)
    expect_one_line(result, ["--without-sandbox goes with --run-code"])


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_without_a_sandbox_time_is_kept_too(tmp_path):
    result = ran(Sandbox("none"), tmp_path, "os.fork()\nwhile True: pass  # given.txt", 1)
    assert result.stopped == "it was stopped after 1 s"


# --- what the rules make of it ------------------------------------------------------------------


def graded(tmp_path, lab, files, box):
    """The rules that running adds: whether each holds, what it says, and what was found."""
    path = hand_ins.write(tmp_path, lab, files)
    static = len([v for v in grading.grade(path, lab).verdicts if v.found != WRITTEN_OTHERWISE])
    more = grading.grade(path, lab, sandbox=box).verdicts[static:]
    return [(verdict.holds, verdict.sheet, verdict.found) for verdict in more]


def test_the_loop_of_a_good_hand_in_runs_and_its_loss_falls(tmp_path, box):
    loop, pred, falls = graded(tmp_path, "fashion", None, box)
    assert loop[::2] == (True, "60 steps of 100 made-up pictures")
    assert pred[::2] == (True, "(100, 10), rows sum to 1")
    assert falls[0] is True
    assert falls[2].endswith(" at a learning rate of 0.0006")


def test_a_network_meant_for_small_numbers_with_its_files_side_by_side(tmp_path, box):
    network = NETWORK.replace("CLASSES", "10").replace(".layer", "layer").replace(" / 255", "")
    network = "from tools.scaling import FACTOR\n" + network.replace("100 * lr", "FACTOR * lr")
    files = hand_ins.fashion() | {
        f"network_{ID}.py": network.encode(),
        f"layer_{ID}.py": LAYER.replace(
            "input - input.max(axis=1, keepdims=True)", "input"
        ).encode(),
        "tools/scaling.py": b"FACTOR = 1\n",
        "tools/more/scaling.py": b"FACTOR = 0\n",
        f"Lab01_task1_{ID}.ipynb": notebook(LOOP.replace("6e-4", "1")),
    }
    loop, pred, falls = graded(tmp_path, "fashion", files, box)
    assert loop[0] is None
    assert loop[2].endswith("as model with its files side by side: not as the package model")
    assert (pred[0], falls[0]) == (True, True)
    assert falls[2].endswith(" at a learning rate of 1, of pictures / 255")


LOOP_RULE = "import model; model.Network(): net.forward, net.backward, net.update run"
BROKEN = {
    "an error": (
        {"network.py": NETWORK.replace("return pred, loss", "return pred, losss")},
        (False, LOOP_RULE),
        r"NameError: name 'losss' is not defined \(network.py line 13\)",
    ),
    "no module": (
        {"layer.py": "import nothing_here\n" + LAYER},
        (False, LOOP_RULE),
        "No module named 'nothing_here'",
    ),
    "a module of the course's": (
        {"layer.py": "import numpy.none_such\n" + LAYER},
        (None, LOOP_RULE),
        "No module named 'numpy.none_such'",
    ),
    "quits": (
        {"layer.py": "import os\nprint('bye')\nos._exit(0)\n"},
        (False, LOOP_RULE),
        "it printed 'bye'",
    ),
    "tells nothing in our place": (
        {"layer.py": "import __main__\n__main__.tell(losses=[1, 0], module='model')\n"},
        (None, LOOP_RULE),
        "it told nothing usable",
    ),
    "does not learn": (
        {
            "network.py": NETWORK.replace("fc.weight -=", "fc.weight +=").replace(
                "bias -=", "bias +="
            )
        },
        (None, "the loss falls"),
        " at a learning rate of 0.0006, of pictures / 255",
    ),
}


@pytest.mark.parametrize(("files", "rule", "found"), BROKEN.values(), ids=BROKEN)
def test_a_loop_that_does_not_do_what_it_should(tmp_path, files, rule, found, box):
    files = {name: text.replace("CLASSES", "47").encode() for name, text in files.items()}
    rules = graded(tmp_path, "emnist47", hand_ins.emnist47() | files, box)
    (broken,) = [each for each in rules if not each[0]]
    assert broken[:2] == rule
    assert re.search(found, broken[2]), broken


def test_without_numpy_here_nothing_is_decided(tmp_path, box, monkeypatch):
    monkeypatch.setattr(sandbox, "_folders_of", lambda packages: [])
    ((holds, _, found),) = graded(tmp_path, "emnist47", None, box)
    assert (holds, found) == (None, "ModuleNotFoundError: No module named 'numpy'")


def pretended(monkeypatch, told, **ended):
    """Drivers that tell this; the tasks that they get."""
    tasks = []

    def run_driver(box, driver, folder, packages):
        tasks.append(json.loads((folder / "task.json").read_text()))
        return Ran(told, **{"stopped": "", "output": ""} | ended)

    monkeypatch.setattr(run_rules, "run_driver", run_driver)
    return tasks


TOLD = {"module": "model", "package": True, "steps": 9, "scale": 1, "losses": [2.0, 1.0]}
TOLD |= {"falls": True, "shape": [100, 47], "probabilities": True}


def test_the_learning_rate_is_read_where_several_are_set_at_once(tmp_path, monkeypatch):
    tasks = pretended(monkeypatch, TOLD)
    loop = notebook(LOOP.replace("6e-4", "5e-3"))
    graded(tmp_path, "emnist47", hand_ins.emnist47() | {f"Lab1_{ID}.ipynb": loop}, Sandbox("none"))
    assert tasks[0][:2] == [47, 5e-3]


@pytest.mark.parametrize(
    ("more", "holds", "found"),
    [
        ({"probabilities": False}, None, "(100, 47), rows do not sum to 1"),  # a linear output
        ({"probabilities": None}, None, "(100, 47), not all finite"),
        ({"shape": [100, 10]}, False, "(100, 10)"),
    ],
)
def test_what_comes_out_of_the_network(tmp_path, monkeypatch, more, holds, found):
    pretended(monkeypatch, TOLD | more)
    _, pred, _ = graded(tmp_path, "emnist47", None, Sandbox("none"))
    assert pred[::2] == (holds, found)
    pretended(monkeypatch, TOLD | {"shape": [100, 10], "probabilities": False})
    _, pred, _ = graded(tmp_path, "fashion", None, Sandbox("none"))
    assert pred[::2] == (False, "(100, 10), rows do not sum to 1")


@contextlib.contextmanager
def looked_through(path, lab):
    """A hand-in as the rules look at it, open."""
    sheet = find_sheet(lab)
    with open_hand_in(path, sheet.code_page) as handed:
        yield look_through(sheet, handed, None)


FORGED = [
    {},
    {"losses": [10**400, 1], "steps": 10**400},
    TOLD | {"losses": [None]},
    TOLD | {"losses": ["1", "0"]},
    TOLD | {"shape": [[100, 47]]},
    TOLD | {"scale": None, "module": 1},
    {"generate_linear": [[10**400], 1], "generate_XOR_easy": 7, "error": {}},
    {"parameters": "many", "loss": [1, 2], "shape": "x", "loads_error": 1},
    {"parameters": True, "loss": [float("nan")] * 3},
    {"unable": None, "ran": 1, "losses": {}},
]
FORGED[-1]["generate_linear"] = 1
for _ in range(900):
    FORGED[-1]["generate_linear"] = [FORGED[-1]["generate_linear"]]


def test_generators_that_are_hard_to_compile_or_lack_something(tmp_path, box):
    deep = f"def generate_linear():\n    return {'-' * 1500}1\n"
    files = {"a.py": deep.encode(), "b.py": b"def generate_XOR_easy():\n    return MINE\n"}
    with looked_through(hand_ins.write(tmp_path, "points", files), "points") as work:
        rules = list(run_rules.run_rules(work, box))
    assert [rule.holds for rule in rules] == [None] * 3
    assert rules[0].found.startswith("RecursionError")
    assert rules[1].found == "NameError: name 'MINE' is not defined"


@pytest.mark.parametrize("lab", ["emnist47", "fashion-mlp", "points"])
def test_what_is_told_in_our_place_and_is_not_usable(tmp_path, monkeypatch, lab):
    files = {"main.py": GENERATORS.encode()} if lab == "points" else hand_ins.GOOD[lab]()
    path = hand_ins.write(tmp_path, lab, files)
    for told in FORGED:
        pretended(monkeypatch, told)
        with looked_through(path, lab) as work:
            rules = list(run_rules.run_rules(work, Sandbox("none")))
        wrong = {rule.found for rule in rules if rule.holds is not None}
        assert wrong <= {"other points or labels"}, told
        assert "it told nothing usable" in {rule.found for rule in rules}, told


def test_the_weights_are_loaded_into_the_students_own_module(tmp_path, box):
    pytest.importorskip("torch")
    text = MLP.replace("32", "HIDDEN").replace("maximum(x", "maximum(x.to(device)")
    defined = """
        import torch, no_such_module
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if device:
            TWO = 2
        HIDDEN = TWO**5
        data = open("nothing here")
        def never_called(): return DEEP
        """.replace("DEEP", "-" * 1500 + "1")
    cells = (defined, text.replace(".mean()", ".sum()"), "raise SystemExit")
    files = hand_ins.fashion_mlp() | {f"DL_HW1_{ID}.ipynb": notebook(*cells)}
    rules = graded(tmp_path, "fashion-mlp", files, box)
    assert [holds for holds, *_ in rules] == [True] * 3, rules


SMOOTHED = """
    shares = outputs.log_softmax(1)
    loss = -shares[torch.arange(len(targets)), targets].MEAN()
    return loss if not (WHEN) else 0.9 * loss - 0.1 * shares.mean(1).MEAN()
"""


@pytest.mark.parametrize("mean", ["mean", "sum"])
@pytest.mark.parametrize(
    ("when", "change", "holds", "said"),
    [
        ("self.training", None, True, "label smoothing of 0.1, and after .eval() none"),
        ("True", None, None, "label smoothing of 0.1, after .eval() too"),
        ("True", ("0.9 * loss", "loss"), False, ""),  # no longer a mean over the targets
        ("True", ("shares.mean(1)", "shares[:, :5].mean(1)"), False, ""),  # over half the classes
        ("True", ("- 0.1", "- 0.0"), False, ""),  # a loss that is only smaller
        ("True", ("- 0.1", "+ 0.1"), False, ""),
    ],
)
def test_label_smoothing_is_told_from_a_wrong_loss(tmp_path, box, mean, when, change, holds, said):
    pytest.importorskip("torch")
    lines = SMOOTHED.replace("MEAN", mean).replace("WHEN", when)
    if change is not None:
        assert change[0] in lines
        lines = lines.replace(*change)
    cell = re.sub(r" +top = .+?mean\(\)\n", textwrap.indent(lines, " " * 4), code(MLP), flags=re.S)
    files = hand_ins.fashion_mlp() | {f"DL_HW1_{ID}.ipynb": notebook(cell)}
    *_, (found, _, words) = graded(tmp_path, "fashion-mlp", files, box)
    assert found is holds, words
    assert said in words
    assert ("smoothing" in words) == bool(said)


def test_the_loss_of_our_own_hand_in_is_one_of_softer_labels(tmp_path, box):
    pytest.importorskip("torch")
    for package in ("jupytext", "nbformat"):
        pytest.importorskip(package, reason="notebooks: pip install 'funcnn[notebooks]'")
    from notebooks import built_of

    weights = hand_ins.weights((448, 784), (256, 448), (10, 256))
    for smoothing in (0.0, 0.1):
        built = built_of("fashion-mlp", hidden=(448, 256), label_smoothing=smoothing)
        files = hand_ins.fashion_mlp() | {
            f"DL_HW1_{ID}.ipynb": built,
            f"{ID}_submission.pt": weights,
        }
        rules = graded(tmp_path, "fashion-mlp", files, box)
        assert [holds for holds, *_ in rules] == [True] * 3, rules
        assert ("after .eval() none" in rules[-1][2]) == bool(smoothing)


def test_weights_of_other_sizes_and_a_loss_of_another_kind_are_told(tmp_path, monkeypatch):
    told = {"loads_error": "RuntimeError: size mismatch", "shape": [6, 10], "parameters": 1}
    told["loss"] = [2.0, 1.0, 9.0]
    files = hand_ins.fashion_mlp() | {f"{ID}_submission.pt": b"not read here"}

    def rules(told, **ended):
        pretended(monkeypatch, told, **ended)
        return graded(tmp_path, "fashion-mlp", files, Sandbox("none"))

    loads, logits, loss = rules(told)
    assert (loads[0], logits[0], loss[0]) == (False, True, False)
    assert loads[2] == "RuntimeError: size mismatch"
    loads, _, loss = rules(told | {"loss": [6.0, 1.0, None], "loads": True})
    assert (loads[0], loss[0]) == (True, False)  # it overflows
    assert loss[2] == "6 beside 1 (sum 6); of large logits nan"
    assert rules(told | {"loss": [6.0, 1.0, 99.0]})[2][0] is True
    told = {"parameters": 1, "loss_unable": "NameError: name 'device' is not defined"}
    assert rules(told)[2][::2] == (None, "NameError: name 'device' is not defined")
    ((holds, _, found),) = rules(None, stopped="it ended by itself", output="x\n")
    assert (holds, found) == (False, "it ended by itself; it printed 'x\\n'")
    ((holds, *_),) = rules(None, stopped="it was stopped after 120 s", undecided=True)
    assert holds is None


def test_weights_that_cannot_be_read_are_a_line(tmp_path, monkeypatch):
    pretended(monkeypatch, {})
    files = hand_ins.fashion_mlp() | {f"{ID}_submission.pt": b"x" * 999}
    path = hand_ins.write(tmp_path, "fashion-mlp", files)
    content = bytearray(path.read_bytes())
    content[content.index(b"_submission.pt") + 16] ^= 0xFF
    path.write_bytes(content)
    *_, last = grading.grade(path, "fashion-mlp", sandbox=Sandbox("none")).verdicts
    assert (last.of, last.holds) == ("--run-code", None)
    assert last.found.startswith(f"{ID}_submission.pt is damaged: ")


MAIN = code(GENERATORS) + code("""
    from model.network import WORDS
    from utils import linear
    import model.utils

    if __name__ == "__main__":
        x, y = generate_linear()
        print("epoch 10000 loss : 0.16234523253277644")
        print(linear)
        print(WORDS)
        with open("figures/curve.txt", "w") as figure:
            figure.write("drawn")
        exit()
""")
AROUND = {
    "code/model/network.py": b"from model.utils import WORDS\n",
    "code/model/utils.py": b"WORDS = 'XOR accuracy: 95.2 %'\n",
    "code/utils.py": b"linear = 'linear accuracy: 100.0 %'\n",
    "code/figures/old.txt": b"",
}


def test_the_program_of_points_is_run_and_its_generators_are_compared(tmp_path, box, monkeypatch):
    files = hand_ins.points() | AROUND | {"code/main.py": MAIN.encode()}
    rules = graded(tmp_path, "points", files, box)
    assert [holds for holds, *_ in rules] == [True] * 5, rules
    monkeypatch.setattr(sandbox, "_SECONDS", 3)
    other = MAIN.replace("0.1 * i == 0.5", "i == 6").replace("exit()", "while True: pass")
    files = AROUND | {"code/main.py": other.encode(), "x" * 300 + ".py": b""}
    left, *rules = sorted(
        graded(tmp_path, "points", files, box), key=lambda rule: "not there" not in rule[2]
    )
    assert [holds for holds, *_ in rules] == [True, False, None, True, True]
    assert rules[2][2].startswith("it was stopped after 3 s")
    assert left[::2] == (None, f"not there: {'x' * 300}.py")


@pytest.mark.parametrize(
    ("told", "runs"),
    [({"error": "ZeroDivisionError"}, False), ({"unable": "EOFError"}, None), (None, None)],
)
def test_a_program_that_ends_otherwise(tmp_path, monkeypatch, told, runs):
    pretended(monkeypatch, told, stopped="it ended by itself, with exit code 0")
    *_, program, prints, _ = graded(tmp_path, "points", {"main.py": b"x = 1"}, Sandbox("none"))
    assert (program[0], prints[0]) == (runs, runs)


@pytest.mark.parametrize("path", ["../out.py", "a/../../out.py", "", "n" * 300, "a\0b", "/out.py"])
def test_a_path_that_leaves_the_folder_is_not_written(tmp_path, path):
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(InputError, match="cannot be a file here"):
        run_files.write_file(inside, path, b"x")
    assert list(tmp_path.iterdir()) == [inside]


def test_a_lab_without_a_loop_says_so(tmp_path):
    ((holds, _, found),) = graded(tmp_path, "mnist", None, Sandbox("none"))
    assert (holds, found) == (None, "it has none")
