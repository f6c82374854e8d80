"""`--run-code`: what a student's code can do there, and what is said of it."""

import os
import re
import sys
import time

import hand_ins
import psutil
import pytest
from commands import expect_one_line, funcnn
from hand_ins import GENERATORS, ID, LAYER, NETWORK, code

from funcnn.experiments.errors import InputError
from funcnn.experiments.grade import grading, run_rules, sandbox
from funcnn.experiments.grade.point_rules import WRITTEN_OTHERWISE
from funcnn.experiments.grade.sandbox import Ran, Sandbox, find_sandbox


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


def test_there_is_neither_network_nor_home_and_the_rest_is_read_only(box, tmp_path):
    secret = tmp_path / "given.txt"
    result = ran(
        box,
        tmp_path,
        f"""
        import socket

        def tried(function, *arguments):
            try:
                function(*arguments)
            except OSError as error:
                return type(error).__name__
            return "done"

        import numpy
        tell(
            connect=tried(socket.create_connection, ("127.0.0.1", 22), 2),
            interfaces=[name for _, name in socket.if_nameindex()],
            home=[name for name in os.listdir({HOME!r})] if os.path.isdir({HOME!r}) else [],
            secret=os.path.exists({str(secret)!r}),
            handed=tried(open, "/handed/given.txt", "w"),
            usr=tried(open, "/usr/planted", "w"),
            here=tried(open, "planted.txt", "w"),
            given=open("given.txt").read(),
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


# The comment is what the test looks for among the processes that are alive.
STOPPED = {
    "endless": ("while True: pass  # given.txt", 2, "it was stopped after 2 s"),
    "asleep": ("import time; time.sleep(999)  # given.txt", 2, "it was stopped after 2 s"),
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
    assert time.monotonic() - begun < seconds + 10


def test_of_much_output_the_last_is_kept(box, tmp_path):
    result = ran(box, tmp_path, "print('x' * 10**7)\nprint('last')\ntell(ok=1)")
    assert result.results == {"ok": 1}
    assert result.output.endswith("x\nlast")
    assert len(result.output) < 1 << 17


def test_results_that_the_program_makes_up_are_not_believed(box, tmp_path):
    result = ran(box, tmp_path, "print('0' * 32, {'ok': 1})\nprint('{}')")
    assert result.results is None


def test_where_there_is_no_sandbox_it_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    path = hand_ins.write(tmp_path, "points")
    result = funcnn("grade", path, "--lab", "points", "--run-code", code=1)
    expect_one_line(result, ["--without-sandbox runs the student's code as you"])
    result = funcnn("grade", path, "--lab", "points", "--without-sandbox", code=2)
    expect_one_line(result, ["--without-sandbox goes with --run-code"])


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_without_a_sandbox_time_is_kept_too(tmp_path):
    result = ran(Sandbox("none"), tmp_path, "os.fork()\nwhile True: pass  # given.txt", 2)
    assert result.stopped == "it was stopped after 2 s"


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
    assert pred[0] is True
    assert falls[0] is True
    assert falls[2].endswith(" at a learning rate of 0.0006")


BROKEN = {
    "no package": (
        {"network.py": NETWORK.replace(".layer", "layer")},
        "as network: not as the package model",
    ),
    "an error": (
        {"network.py": NETWORK.replace("return pred, loss", "return pred, losss")},
        r"NameError: name 'losss' is not defined \(network.py line 13\)",
    ),
    "no module": ({"layer.py": "import nothing_here\n" + LAYER}, "No module named 'nothing_here'"),
    "quits": ({"layer.py": "import os\nprint('bye')\nos._exit(0)\n"}, "it printed 'bye'"),
    "does not learn": (
        {
            "network.py": NETWORK.replace("fc.weight -=", "fc.weight +=").replace(
                "bias -=", "bias +="
            )
        },
        " at a learning rate",
    ),
    "no probabilities": (
        {"layer.py": LAYER.replace("return self.predict, loss", "return input, loss")},
        "rows do not sum to 1",
    ),
}


@pytest.mark.parametrize(("files", "found"), BROKEN.values(), ids=BROKEN)
def test_a_loop_that_does_not_do_what_it_should(tmp_path, files, found, box):
    files = {name: text.replace("CLASSES", "47").encode() for name, text in files.items()}
    rules = graded(tmp_path, "emnist47", hand_ins.emnist47() | files, box)
    (broken,) = [each for each in rules if each[0] is False]
    assert re.search(found, broken[2]), broken


def test_the_weights_are_loaded_into_the_students_own_module(tmp_path, box):
    pytest.importorskip("torch")
    rules = graded(tmp_path, "fashion-mlp", None, box)
    assert [holds for holds, *_ in rules] == [True] * 3


def test_weights_of_other_sizes_and_a_loss_of_another_kind_are_told(tmp_path, monkeypatch):
    told = {"loads_error": "RuntimeError: size mismatch", "shape": [6, 10], "parameters": 1}
    told["loss"] = [2.0, 1.0, 9.0]
    monkeypatch.setattr(run_rules, "run_driver", lambda *given: Ran(told, "", ""))
    files = hand_ins.fashion_mlp() | {f"{ID}_submission.pt": b"not read here"}
    loads, logits, loss = graded(tmp_path, "fashion-mlp", files, Sandbox("none"))
    assert (loads[0], logits[0], loss[0]) == (False, True, False)
    assert loads[2] == "RuntimeError: size mismatch"
    monkeypatch.setattr(run_rules, "run_driver", lambda *given: Ran(None, "it was stopped", "x\n"))
    ((holds, _, found),) = graded(tmp_path, "fashion-mlp", files, Sandbox("none"))
    assert (holds, found) == (False, "it was stopped; it printed 'x\\n'")


MAIN = code(GENERATORS) + code("""
    if __name__ == "__main__":
        x, y = generate_linear()
        print("epoch 10000 loss : 0.16234523253277644")
        print("linear accuracy: 100.0 %")
        print("XOR accuracy: 95.2 %")
""")


def test_the_program_of_points_is_run_and_its_generators_are_compared(tmp_path, box):
    files = hand_ins.points() | {"src/main.py": MAIN.encode()}
    rules = graded(tmp_path, "points", files, box)
    assert [holds for holds, *_ in rules] == [True] * 5
    other = MAIN.replace("0.1 * i == 0.5", "i == 6").replace("pt[0] > pt[1]", "pt[0] >= 0.5")
    other = other.replace('print("XOR accuracy: 95.2 %")', "input()")
    rules = graded(tmp_path, "points", {"main.py": other.encode()}, box)
    assert [holds for holds, *_ in rules] == [False, False, False, True, None]
    assert rules[2][2].startswith("EOFError")


def test_a_lab_without_a_loop_says_so(tmp_path):
    ((holds, _, found),) = graded(tmp_path, "mnist", None, Sandbox("none"))
    assert (holds, found) == (None, "it has none")
