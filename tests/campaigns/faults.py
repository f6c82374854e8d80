"""Commands while the system fails them: they do it, or say in one line why not, and harm nothing.

Each try is a fork of a process that has imported what commands need and begun no threads, or, where
the fault is there from the start (a locale, no home), a process of its own. What a command does
without a fault is found out first, by doing it twice: files that are the same both times are what
it must write.
"""

import contextlib
import importlib.util
import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.fault import Fault
from campaigns.fault_disk import mounts_of_ones_own
from campaigns.fault_files import assert_whole, contents, put_back
from campaigns.fault_kinds import FAULTS as KINDS
from campaigns.fault_place import Command, Done, Expected, Place, timeless

from funcnn._files import is_temporary

ROOT = Path(__file__).parents[2]


COMMANDS = [
    Command("data list"),
    Command("data show pictures --out shown.png"),
    Command("data duplicates pictures --out duplicates.png"),
    Command(
        "train --arch mlp2 --hidden 3 --data pictures --epochs 2 --out new",
        4,
        instead="train --resume new",
    ),
    Command("train --arch points --epochs 2 --out new", 3, instead="train --resume new"),
    Command(
        "train --arch mlp2 --hidden 3 --data table.csv --epochs 1 --out new",
        2,
        instead="train --resume new",
    ),
    Command("train --resume run --epochs 3", 4, "run"),
    Command("evaluate run", 2),
    Command("predict run --data pictures --out predicted.csv", 2),
    Command("predict run --data pictures/light/1.png --out seen.png"),
    Command("inspect run/params.npz"),
    Command("export run --to safetensors", 2),
    Command("export run --to onnx", 2),
    Command("export run --to pt --out new.pt", 2),
    Command("figure activations --out activations.png"),
    Command("figure curves run --out curves.png"),
    Command("check points"),
    Command("range-test --arch mlp2 --hidden 3 --data pictures --steps 4 --out rates.png"),
    Command("experiment list"),
    Command("experiment notebook points --out notebooks", 2),
    Command("experiment run tiny --out tiny", 0.7),
    Command("experiment report tiny --out made"),
    Command(
        "experiment submit tiny --student-id 1 --name A --draft --out handed"
        " --snapshot made/trials/one/numpy-seed-0/params.npz"
    ),
    Command("grade notebooks0 --lab points"),
    Command("sweep points --grid lr=1,2 --epochs 2 --out swept", 0.7),
    Command(
        "compare --arch points --mode lockstep --steps 2 --out compared",
        0.5,
        instead="compare --resume compared",
    ),
    Command("bench --net tiny --peer funcnn --rounds 1 --out bench", 0.5),
]
BEFORE = [
    "train --arch mlp2 --hidden 3 --data pictures --epochs 2 --out run",
    "experiment run tiny --out made",
    "experiment notebook points --out notebooks0",
]


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """Data, a run and a lab's results."""
    _import_all()
    if multiprocessing.parent_process() is not None:  # of pytest, mounts are everybody's
        mounts_of_ones_own()
    place = Place(folder, BEFORE)
    weights = np.array([command.weight for command in COMMANDS])
    kinds = np.array([kind.weight for kind in KINDS])

    def one_try(rng: np.random.Generator) -> str:
        command = COMMANDS[rng.choice(len(COMMANDS), p=weights / weights.sum())]
        kind = KINDS[rng.choice(len(KINDS), p=kinds / kinds.sum())]
        expected = place.expected(command)
        put_back(place.folder, place.before)
        fault = kind.draw(rng, place.folder, expected.moments)
        try:
            return f"{kind.name}: {_tried(place, command, expected, fault)}"
        except AssertionError as error:
            raise AssertionError(f"{command.typed} [{kind.name} {fault.what}] {error}") from None
        finally:
            fault.lift()

    yield one_try


def _import_all() -> None:
    """Import what commands import at their first use, so that each fork has it."""
    import funcnn.cli.main
    import funcnn.experiments

    path = ROOT / "tests/whole/other_systems/every_command.py"
    spec = importlib.util.spec_from_file_location("every_command", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.add_tiny_lab()
    sys.modules["every_command"] = module
    import matplotlib.backends.backend_agg  # noqa: F401
    import pandas  # noqa: F401
    import tqdm

    tqdm.tqdm.get_lock()  # of all forks
    assert funcnn.cli.main


def _tried(place: Place, command: Command, expected: Expected, fault: Fault) -> str:
    done = place.carry_out(command.typed, fault.plant, fault.environment)
    word = _assert_ended_well(done, expected, fault)
    fault.lift()
    after = contents(place.folder)
    _assert_kept(place.before, after, command, fault)
    _assert_new(expected, after, done, place.before, fault)
    if done.status == 0:
        return word
    for name in fault.gone(place.before):
        put_back(place.folder, place.before, only=name)
    again = place.carry_out(command.typed)
    if "exists already" in again.err and expected.files.keys() <= after.keys():
        return f"{word}, but made"  # only what would have been printed is lacking
    if "exists already" in again.err and command.instead:
        again = place.carry_out(command.instead)
        if "no run" in again.err or "config.json" in again.err:  # it had not begun
            return f"{word}, not begun"
    if "exists already" in again.err and fault.leaves:
        return f"{word}, but left"  # it could not be removed either
    assert again.status == 0, f"then without a fault {again.err!r}, after {done.err!r}"
    _assert_new(expected, contents(place.folder), again, place.before, fault)
    return word


def _assert_ended_well(done: Done, expected: Expected, fault: Fault) -> str:
    """One line says why it did not do it; or all is said."""
    assert "Traceback" not in done.err, _short(done.err)
    if done.status == 0:
        if expected.out is not None and fault.hears:
            assert timeless(done.out) == expected.out, f"it prints {_short(done.out.decode())!r}"
        return "done" if done.met is None else "done all the same"
    if fault.is_silent:
        assert done.status in (1, 120), f"status {done.status}"
        return f"ended with {done.status}"
    assert done.status in (1, 2), f"status {done.status}, {_short(done.err)!r}"
    errors = [line for line in done.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, f"no one line: {_short(done.err)!r}"
    assert done.err.endswith(f"{errors[0]}\n"), f"not at the end: {_short(done.err)!r}"
    assert errors[0].isprintable(), errors[0]
    assert fault.environment is not None or done.met is not None, f"for nothing: {errors[0]}"
    words = [*fault.words(done.met)]
    if any(is_temporary(Path(part)) for part in Path(done.met or "").parts):
        # It names what was asked for.
        words += [part for name in expected.files for part in Path(name).parts]
    assert not words or any(word in errors[0] for word in words), f"it does not say: {errors[0]}"
    return "said"


def _assert_kept(
    before: dict[str, bytes], after: dict[str, bytes], command: Command, fault: Fault
) -> None:
    for name, data in before.items():
        if name in fault.gone(before):
            continue
        if name.startswith(f"{command.changes}/"):  # what would be wrong now may go first
            derived = name.endswith(("summary.json", ".png"))
            assert name in after or derived, f"{name} is gone"
        else:
            assert name in after, f"{name} is gone"
            assert after[name] == data, f"{name} is changed"


def _assert_new(
    expected: Expected, after: dict[str, bytes], done: Done, before: dict[str, bytes], fault: Fault
) -> None:
    for name, data in after.items():
        if name in fault.gone(after) or before.get(name) == data:
            continue
        if is_temporary(Path(name)):
            assert done.status, f"{name} is left"
            assert fault.leaves, f"{name} is left"
        else:
            assert_whole(name, data)
    for name, wanted in expected.files.items() if done.status == 0 else ():
        if name in fault.gone(expected.files):
            continue
        if name not in after:  # a figure more or less, of which a line says why
            said = f"the figure {name} could not be drawn" in done.err
            assert said, f"{name} is not there, {_short(done.err)!r}"
        else:
            assert wanted is None or after[name] == wanted, f"{name} is another"


def _short(text: str) -> str:
    text = " | ".join(text.splitlines())
    return text if len(text) < 600 else f"{text[:150]} ... {text[-400:]}"


FAULTS = Campaign("faults", "commands while the system fails them", 1, begin)
