import math

import numpy as np
import pytest

from funcnn import schedules

close = pytest.approx


def test_a_constant_is_the_same_at_every_step():
    schedule = schedules.constant(0.1)
    assert [schedule(step) for step in (0, 1, 10**9)] == [0.1, 0.1, 0.1]


# --- cosine ----------------------------------------------------------------------------------


def test_cosine_decay_by_hand():
    schedule = schedules.cosine_decay(0.8, 4)
    # cos of 0, 45, 90, 135 and 180 degrees
    expected = [0.8, 0.4 * (1 + math.sqrt(0.5)), 0.4, 0.4 * (1 - math.sqrt(0.5)), 0, 0, 0]
    assert [schedule(step) for step in (0, 1, 2, 3, 4, 5, 1000)] == close(expected, abs=1e-15)


def test_cosine_decay_ends_at_the_fraction_alpha():
    schedule = schedules.cosine_decay(0.8, 4, alpha=0.25)
    assert [schedule(step) for step in (0, 2, 4, 99)] == close([0.8, 0.5, 0.2, 0.2])


def test_cosine_decay_is_what_torch_s_scheduler_gives():
    torch = pytest.importorskip("torch", reason="CosineAnnealingLR is the oracle")
    ours = schedules.cosine_decay(0.8, 10, alpha=0.125)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.8)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10, eta_min=0.1)
    assert [ours(step) for step in range(11)] == close(rates_of(optimizer, theirs, 11))


def test_a_decay_of_one_step_is_over_after_it():
    schedule = schedules.cosine_decay(0.5, 1, alpha=0.5)
    assert [schedule(step) for step in (0, 1, 2)] == close([0.5, 0.25, 0.25])


# --- warmup and cosine -----------------------------------------------------------------------


def test_warmup_cosine_decay_by_hand():
    schedule = schedules.warmup_cosine_decay(0.1, 0.5, 4, 8, end_value=0.1)
    line = [0.1, 0.2, 0.3, 0.4, 0.5]
    wave = [0.3 + 0.2 * math.sqrt(0.5), 0.3, 0.3 - 0.2 * math.sqrt(0.5), 0.1, 0.1]
    assert [schedule(step) for step in range(10)] == close(line + wave)


def test_without_a_warmup_the_wave_begins_at_once():
    schedule = schedules.warmup_cosine_decay(0.0, 0.5, 0, 4)
    plain = schedules.cosine_decay(0.5, 4)
    assert [schedule(step) for step in range(6)] == close([plain(step) for step in range(6)])


def test_the_shortest_wave_is_one_step():
    schedule = schedules.warmup_cosine_decay(0.0, 1.0, 2, 3)
    assert [schedule(step) for step in range(5)] == close([0, 0.5, 1, 0, 0], abs=1e-15)


# --- steps -----------------------------------------------------------------------------------


def test_each_boundary_has_the_new_rate_already():
    schedule = schedules.piecewise_constant(1.0, {2: 0.5, 5: 0.1})
    assert [schedule(step) for step in range(7)] == close([1, 1, 0.5, 0.5, 0.5, 0.05, 0.05])


def test_the_order_of_the_boundaries_does_not_matter():
    schedule = schedules.piecewise_constant(1.0, {5: 0.1, 2: 0.5})
    assert [schedule(step) for step in (1, 2, 5)] == close([1, 0.5, 0.05])


def test_a_boundary_at_0_scales_every_step_and_none_scales_nothing():
    assert schedules.piecewise_constant(1.0, {0: 0.5})(0) == 0.5
    assert schedules.piecewise_constant(0.3, {})(10**6) == 0.3


def test_boundaries_changed_later_do_not_change_the_schedule():
    boundaries = {2: 0.5}
    schedule = schedules.piecewise_constant(1.0, boundaries)
    boundaries[1] = 0.1
    assert schedule(1) == 1.0


def test_piecewise_constant_is_what_torch_s_scheduler_gives():
    torch = pytest.importorskip("torch", reason="MultiStepLR is the oracle")
    ours = schedules.piecewise_constant(0.8, {3: 0.1, 7: 0.1})
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.8)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[3, 7], gamma=0.1)
    assert [ours(step) for step in range(10)] == close(rates_of(optimizer, theirs, 10))


def rates_of(optimizer, scheduler, steps):
    """The learning rate of each step of a torch optimizer."""
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


# --- as_schedule -----------------------------------------------------------------------------


def test_a_number_becomes_a_constant_schedule():
    assert schedules.as_schedule(0.1)(7) == 0.1
    assert schedules.as_schedule(0)(7) == 0


def test_a_schedule_stays_itself():
    schedule = schedules.constant(0.1)
    assert schedules.as_schedule(schedule) is schedule


# --- misuse ----------------------------------------------------------------------------------

BAD = [-0.1, math.nan, math.inf]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (schedules.constant, "value"),
        (schedules.as_schedule, "learning rate"),
        (lambda bad: schedules.cosine_decay(bad, 10), "init_value"),
        (lambda bad: schedules.cosine_decay(0.1, 10, alpha=bad), "alpha"),
        (lambda bad: schedules.warmup_cosine_decay(bad, 0.1, 1, 10), "init_value"),
        (lambda bad: schedules.warmup_cosine_decay(0.1, bad, 1, 10), "peak_value"),
        (lambda bad: schedules.warmup_cosine_decay(0.1, 0.1, 1, 10, bad), "end_value"),
        (lambda bad: schedules.piecewise_constant(bad, {}), "init_value"),
        (lambda bad: schedules.piecewise_constant(0.1, {3: bad}), "scale"),
    ],
)
def test_a_number_that_is_no_rate_is_refused_by_name(make, name, bad):
    with pytest.raises(ValueError, match=f"{name}.* got {bad}"):
        make(bad)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.cosine_decay(0.1, 0), "decay_steps.* at least 1, got 0"),
        (lambda: schedules.warmup_cosine_decay(0, 1, -1, 4), "warmup_steps.* at least 0, got -1"),
        (lambda: schedules.warmup_cosine_decay(0, 1, 4, 4), "decay_steps.* at least 5, got 4"),
        (lambda: schedules.piecewise_constant(1, {-1: 0.5}), "boundary.* at least 0, got -1"),
    ],
)
def test_a_step_out_of_range_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda rate: schedules.constant(rate),
        lambda rate: schedules.as_schedule(rate),
        lambda rate: schedules.cosine_decay(rate, 10),
        lambda rate: schedules.warmup_cosine_decay(rate, rate, 5, 10, rate),
        lambda rate: schedules.piecewise_constant(rate, {1: rate}),
    ],
    ids=["constant", "as_schedule", "cosine_decay", "warmup_cosine_decay", "piecewise_constant"],
)
def test_a_numpy_rate_gives_plain_floats_which_leave_float32_alone(make):
    schedule = make(np.float64(0.1))
    assert {(np.float32([1]) * schedule(step)).dtype for step in range(12)} == {np.dtype("f4")}
