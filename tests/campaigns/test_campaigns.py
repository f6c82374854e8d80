"""Campaigns find what is planted, and go on after it."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from campaigns.campaign import MOST_BROKEN, Broken, Campaign, Outcome, carry_out
from campaigns.damage import damaged_bytes, damaged_value
from helpers import ROOT


@contextlib.contextmanager
def planted(folder):
    assert list(folder.iterdir()) == []

    def one_try(rng):
        number = int(rng.integers(1000))
        if number < 200:
            raise ValueError(f"it is\n{number}")
        return "even" if number % 2 == 0 else "odd"

    yield one_try


@contextlib.contextmanager
def deadly(folder):
    def one_try(rng):
        if rng.integers(50) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return "alive"

    yield one_try


PLANTED = Campaign("planted", "numbers", 1, planted)
DEADLY = Campaign("deadly", "deaths", 1, deadly)


def test_the_same_tries_for_any_number_of_processes_and_again_alone():
    one, two = (carry_out(PLANTED, 3, 0, count, range(40)) for count in (1, 2))
    assert (one.tries, one.ended, one.broken) == (40, two.ended, two.broken)
    assert sum(one.ended.values()) + len(one.broken) == 40
    assert 1 < len(one.broken) < MOST_BROKEN
    number, why = one.broken[-1]
    assert why.startswith("ValueError: it is ")
    again = carry_out(PLANTED, 3, 0, 2, range(number, number + 1))
    assert (again.tries, again.broken) == (1, [(number, why)])
    assert carry_out(PLANTED, 4, 0, 1, range(40)).ended != one.ended


def test_a_campaign_ends_with_its_time_or_when_enough_broke():
    start = time.monotonic()
    outcome = carry_out(PLANTED, 0, 60, 1)
    assert len(outcome.broken) == MOST_BROKEN
    assert carry_out(Campaign("alive", "lives", 1, alive), 0, 0.5, 2).tries > 2
    assert time.monotonic() - start < 60


def test_there_is_a_try_where_there_is_no_time():
    assert carry_out(Campaign("alive", "lives", 1, alive), 0, 0, 2).tries == 2


@pytest.mark.parametrize(
    ("tries", "broken", "holds"),
    [(20, 8, True), (20, 9, False), (1000, 80, True), (1000, 81, False)],
)
def test_of_a_few_tries_chance_may_break_as_many_as_of_a_hundred(tries, broken, holds):
    outcome = Outcome("mutants", "faults", tries, {}, [Broken(0, "")] * broken, 1.0, 0.08)
    assert outcome.holds == holds
    assert not outcome._replace(may_break=0).holds


@contextlib.contextmanager
def alive(folder):
    yield lambda rng: time.sleep(0.01) or "alive"


def test_a_process_that_dies_says_in_which_try():
    outcome = carry_out(DEADLY, 0, 0, 1, range(10**6))
    (broken,) = outcome.broken
    assert broken.why == "the process ended with -9"
    assert broken.number == outcome.ended["alive"]
    assert np.random.default_rng([0, broken.number]).integers(50) == 0


# --- what is watched ---------------------------------------------------------------------------

ALARMS = {
    "writes": "open('../outside', 'w')",
    "removes": "os.remove('../there')",
    "moves": "os.rename('inside', '../outside')",
    "starts": "subprocess.run(['true'])",
    "executes": "exec(compile('1', os.path.realpath('inside'), 'exec'))",
    "unpickles": "pickle.loads(pickle.dumps(os.getcwd))",
    "grows": "bytearray(200 << 20)",
    "goes on": "\nwhile True: pass",
}
QUIET = "open('more', 'w').close(); os.rename('more', 'less'); os.remove('less'); open('../there')"


@pytest.mark.parametrize("code", [*ALARMS.values(), QUIET], ids=[*ALARMS, "nothing"])
def test_what_is_done_to_the_system_is_heard(tmp_path, code):
    """In a process of its own, which stays watched."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/inside").touch()
    (tmp_path / "there").touch()
    script = f"""
import os, pickle, subprocess
from pathlib import Path
from campaigns.watch import Watch
watch = Watch(Path.cwd())
try:
    with watch.trying(1, 100 << 20):
        {code.replace(chr(10), chr(10) + "        ")}
except AssertionError as error:
    print("heard:", error)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=tmp_path / "in",
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("heard: ") == (code != QUIET)


def test_damage_is_of_many_kinds_and_leaves_what_it_is_given():
    value = {"a": [1, {"b": "text"}], "c": None}
    kinds = {repr(damaged_value(value, np.random.default_rng(i))) for i in range(300)}
    assert len(kinds) > 100
    assert value == {"a": [1, {"b": "text"}], "c": None}
    data = bytes(range(100))
    damaged = [damaged_bytes(data, np.random.default_rng(i)) for i in range(300)]
    assert len(set(damaged)) > 200
    lengths = {len(one) for one in damaged}
    assert min(lengths) < 50
    assert max(lengths) > 150
