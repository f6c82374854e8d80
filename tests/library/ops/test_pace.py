"""When products are divided: where that takes less time, of late."""

from types import SimpleNamespace

import pytest

from funcnn.ops import pace as paces
from funcnn.ops.pace import FIRST, LAST, MOST_LOST, PAUSE, TIMES, Pace


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock that stands still: `clock.now`, in seconds. No pause has begun."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(paces.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(paces, "_pause", paces._Pause())
    return clock


def products(pace, count, whole=1.0, divided=0.5):
    """So many products, of which each takes these seconds; which of them were divided."""
    ways = []
    for _ in range(count):
        ways.append(pace.divides_next())
        pace.note(ways[-1], divided if ways[-1] else whole)
    return ways


TRIAL = [False] * TIMES + [True] * TIMES


def paced(**seconds):
    """A pace after its first trial."""
    pace = Pace()
    assert products(pace, 2 * TIMES, **seconds) == TRIAL
    return pace


@pytest.mark.parametrize(("divided", "expected"), [(0.9, True), (1.0, False), (1.001, False)])
def test_the_way_that_takes_less_time_is_taken(divided, expected):
    pace = paced(divided=divided)
    assert products(pace, FIRST, divided=divided) == [expected] * FIRST


def test_the_least_of_each_counts_as_what_disturbs_only_adds():
    pace = Pace()
    for seconds in (2.0, 1.0, 3.0, 1.005, 0.8, 1.009)[: 2 * TIMES]:
        pace.note(pace.divides_next(), seconds)
    assert pace.divides_next()


def test_both_ways_are_tried_anew_ever_less_often_while_nothing_changes():
    pace, interval = paced(), FIRST
    while interval < LAST:
        assert products(pace, interval + 2 * TIMES) == [True] * interval + TRIAL
        interval *= 2
    for _ in range(2):
        assert products(pace, LAST + 2 * TIMES) == [True] * LAST + TRIAL


def test_what_has_changed_is_found_out():
    pace = paced()
    products(pace, FIRST + 2 * TIMES, divided=1.0 + 0.01 * MOST_LOST)
    assert products(pace, FIRST) == [False] * FIRST


# --- pauses ----------------------------------------------------------------------------------


def test_there_is_no_pause_while_little_is_lost():
    pace = paced()
    for _ in range(FIRST // 2):
        assert pace.divides_next()
        pace.note(True, 1.0 + 0.9 * MOST_LOST)
        assert pace.divides_next()
        pace.note(True, 1.0 - 0.9 * MOST_LOST)


@pytest.mark.parametrize(
    "late", [[1.01 * MOST_LOST], [0.6 * MOST_LOST] * 2, [0.26 * MOST_LOST] * 4]
)
def test_when_too_much_is_lost_there_is_a_pause_for_all_kinds(late, clock):
    pace, other = paced(), paced()
    for _ in range(3):  # each as long as the one before it
        pace.note(True, 0.5)  # what was gained long ago does not count
        for seconds in late:
            assert pace.divides_next()
            assert other.divides_next()
            pace.note(True, 1.0 + seconds)
        clock.now += 0.999 * PAUSE
        assert not pace.divides_next()
        assert not other.divides_next()
        clock.now += 0.002 * PAUSE
        assert pace.divides_next()
        assert other.divides_next()


def test_a_first_trial_may_lose_too_much(clock):
    pace, other = Pace(), paced()
    products(pace, TIMES + 1, divided=1.0 + 2 * MOST_LOST)
    assert not other.divides_next()
    clock.now += PAUSE
    assert other.divides_next()


def test_a_trial_that_a_pause_interrupts_goes_on_after_it(clock):
    pace, other = paced(), Pace()
    products(other, TIMES)
    pace.note(True, 1.0 + 2 * MOST_LOST)
    assert products(other, TIMES) == [False] * TIMES
    clock.now += PAUSE
    assert products(other, TIMES) == [True] * TIMES
    assert products(other, FIRST) == [True] * FIRST
