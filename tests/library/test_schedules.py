import inspect
import math

import numpy as np
import pytest

import funcnn as fn
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


# --- the other decays ------------------------------------------------------------------------


def test_exponential_decay_by_hand():
    schedule = schedules.exponential_decay(0.8, 2, 0.25)
    assert [schedule(step) for step in (0, 1, 2, 4)] == close([0.8, 0.4, 0.2, 0.05])


def test_inverse_time_decay_by_hand():
    schedule = schedules.inverse_time_decay(0.8, 2, 2.0)
    assert [schedule(step) for step in (0, 1, 2, 3, 6)] == close(
        [0.8, 0.8 / 2, 0.8 / 3, 0.8 / 4, 0.8 / 7]
    )


def test_polynomial_decay_by_hand():
    line = schedules.polynomial_decay(0.9, 4, end_value=0.1)
    assert [line(step) for step in (0, 1, 2, 4, 5, 99)] == close([0.9, 0.7, 0.5, 0.1, 0.1, 0.1])
    square = schedules.polynomial_decay(0.8, 4, power=2)
    assert [square(step) for step in range(6)] == close([0.8, 0.45, 0.2, 0.05, 0, 0])


def test_one_cycle_by_hand():
    # 10 steps, the peak at 0.3 * 10 - 1 = 2: cos of 0, 90 and 180 degrees, then of 0, ..., 180.
    schedule = schedules.one_cycle(1.0, 10, div_factor=5, final_div_factor=20)
    assert [schedule(step) for step in (0, 1, 2)] == close([0.2, 0.6, 1.0])
    middle = 0.01 + 0.99 * 0.5 * (1 + math.cos(4 / 7 * math.pi))
    assert [schedule(step) for step in (6, 9, 10, 99)] == close([middle, 0.01, 0.01, 0.01])


@pytest.mark.parametrize(
    ("total_steps", "pct_start", "expected"),
    [
        (1, 0.3, [0.01, 0.01]),
        (1, 1.0, [1.0, 1.0]),
        (2, 0.5, [1.0, 0.01, 0.01]),
        (3, 1.0, [0.2, 0.6, 1.0, 1.0]),
        (3, 0.0, [0.01 + 0.99 * 0.75, 0.01 + 0.99 * 0.25, 0.01]),
    ],
)
def test_the_shortest_cycles(total_steps, pct_start, expected):
    schedule = schedules.one_cycle(1.0, total_steps, pct_start, div_factor=5, final_div_factor=20)
    assert [schedule(step) for step in range(len(expected))] == close(expected)


def test_linear_warmup_by_hand():
    schedule = schedules.linear_warmup(0.1, 0.5, 4)
    assert [schedule(step) for step in (0, 1, 3, 4, 5, 99)] == close([0.1, 0.2, 0.4, 0.5, 0.5, 0.5])


# --- joined ----------------------------------------------------------------------------------


def test_each_joined_schedule_begins_at_its_own_step_0():
    joined = schedules.join(
        [lambda step: 10 + step, lambda step: 20 + step, schedules.constant(3)], [2, 5]
    )
    assert [joined(step) for step in range(7)] == [10, 11, 20, 21, 22, 3, 3]


def test_a_warmup_joined_with_a_cosine_is_warmup_cosine_decay():
    joined = schedules.join(
        [schedules.linear_warmup(0.1, 0.8, 5), schedules.cosine_decay(0.8, 15, alpha=0.25)], [5]
    )
    whole = schedules.warmup_cosine_decay(0.1, 0.8, 5, 20, end_value=0.2)
    assert [joined(step) for step in range(25)] == close([whole(step) for step in range(25)])


def test_schedules_changed_later_do_not_change_the_joined_one():
    parts, boundaries = [schedules.constant(1), schedules.constant(2)], [3]
    joined = schedules.join(parts, boundaries)
    parts.clear()
    boundaries.clear()
    assert [joined(2), joined(3)] == [1, 2]


@pytest.mark.parametrize(
    ("count", "boundaries", "message"),
    [
        (2, [], "2 schedules need 1 boundaries, got 0"),
        (1, [4], "1 schedules need 0 boundaries, got 1"),
        (0, [], "there are no schedules"),
        (2, [0], "a boundary must be a step of at least 1, got 0"),
        (3, [4, 4], "a boundary must be a step of at least 5, got 4"),
    ],
)
def test_boundaries_that_do_not_fit_are_refused(count, boundaries, message):
    with pytest.raises(ValueError, match=message):
        schedules.join([schedules.constant(0.1)] * count, boundaries)


def test_only_schedules_are_joined():
    with pytest.raises(TypeError, match=r"join: schedule 1 is not a function of the step: 0\.1"):
        schedules.join([schedules.constant(0.1), 0.1], [3])


# --- against others --------------------------------------------------------------------------

STEPS = 60
TORCHS = {
    "exponential_decay": (
        schedules.exponential_decay(0.8, 1, 0.9),
        lambda lr_scheduler: lambda o: lr_scheduler.ExponentialLR(o, gamma=0.9),
    ),
    "polynomial_decay, a line": (
        schedules.polynomial_decay(0.8, 40),
        lambda lr_scheduler: lambda o: lr_scheduler.PolynomialLR(o, total_iters=40, power=1),
    ),
    "polynomial_decay, a cube": (
        schedules.polynomial_decay(0.8, 40, power=3),
        lambda lr_scheduler: lambda o: lr_scheduler.PolynomialLR(o, total_iters=40, power=3),
    ),
    "one_cycle": (
        schedules.one_cycle(0.8, STEPS),
        lambda lr_scheduler: lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.8, total_steps=STEPS),
    ),
    "one_cycle, other factors": (
        schedules.one_cycle(0.8, STEPS, pct_start=0.123, div_factor=3, final_div_factor=7),
        lambda lr_scheduler: (
            lambda o: lr_scheduler.OneCycleLR(
                o, max_lr=0.8, total_steps=STEPS, pct_start=0.123, div_factor=3, final_div_factor=7
            )
        ),
    ),
    "linear_warmup": (
        schedules.linear_warmup(0.2, 0.8, 7),
        lambda lr_scheduler: (
            lambda o: lr_scheduler.LinearLR(o, start_factor=0.25, end_factor=1, total_iters=7)
        ),
    ),
    "join": (
        schedules.join(
            [schedules.linear_warmup(0.2, 0.8, 7), schedules.exponential_decay(0.8, 1, 0.9)], [7]
        ),
        lambda lr_scheduler: (
            lambda o: lr_scheduler.SequentialLR(
                o,
                [
                    lr_scheduler.LinearLR(o, start_factor=0.25, end_factor=1, total_iters=7),
                    lr_scheduler.ExponentialLR(o, gamma=0.9),
                ],
                [7],
            )
        ),
    ),
}


@pytest.mark.parametrize("name", TORCHS)
def test_a_schedule_is_torchs_at_every_step(name):
    torch = pytest.importorskip("torch", reason="its schedulers are the oracle")
    ours, make = TORCHS[name]
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.8)
    theirs = make(torch.optim.lr_scheduler)(optimizer)
    last = STEPS - 1 if "cycle" in name else STEPS  # torch counts no step beyond a cycle
    assert [ours(step) for step in range(last)] == close(
        rates_of(optimizer, theirs, last), rel=1e-10, abs=1e-13
    )


OPTAXS = {
    "constant": (schedules.constant(0.8), lambda optax: optax.constant_schedule(0.8)),
    "cosine_decay": (
        schedules.cosine_decay(0.8, 40, alpha=0.1),
        lambda optax: optax.cosine_decay_schedule(0.8, 40, alpha=0.1),
    ),
    "warmup_cosine_decay": (
        schedules.warmup_cosine_decay(0.1, 0.8, 7, 40, 0.05),
        lambda optax: optax.warmup_cosine_decay_schedule(0.1, 0.8, 7, 40, 0.05),
    ),
    "piecewise_constant": (
        schedules.piecewise_constant(0.8, {7: 0.5, 30: 0.1}),
        lambda optax: optax.piecewise_constant_schedule(0.8, {7: 0.5, 30: 0.1}),
    ),
    "exponential_decay": (
        schedules.exponential_decay(0.8, 7, 0.3),
        lambda optax: optax.exponential_decay(0.8, 7, 0.3),
    ),
    "polynomial_decay": (
        schedules.polynomial_decay(0.8, 40, end_value=0.1, power=1.7),
        lambda optax: optax.polynomial_schedule(0.8, 0.1, 1.7, 40),
    ),
    "linear_warmup": (
        schedules.linear_warmup(0.2, 0.8, 7),
        lambda optax: optax.warmup_constant_schedule(0.2, 0.8, 7),
    ),
    "join": (
        schedules.join(
            [schedules.linear_warmup(0, 0.8, 7), schedules.cosine_decay(0.8, 9),
             schedules.constant(0.1)],
            [7, 20],
        ),
        lambda optax: optax.join_schedules(
            [optax.linear_schedule(0, 0.8, 7), optax.cosine_decay_schedule(0.8, 9),
             optax.constant_schedule(0.1)],
            [7, 20],
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTAXS)
def test_a_schedule_is_optaxs_at_every_step(name):
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    ours, make = OPTAXS[name]
    with jax.enable_x64(True):
        theirs = make(optax)
        expected = [float(theirs(step)) for step in range(STEPS)]
    assert [ours(step) for step in range(STEPS)] == close(expected, rel=1e-10, abs=1e-15)


def test_inverse_time_decay_is_jaxs_at_every_step():
    optimizers = pytest.importorskip("jax.example_libraries.optimizers")
    ours = schedules.inverse_time_decay(0.8, 7, 0.3)
    theirs = optimizers.inverse_time_decay(0.8, 7, 0.3)
    assert [ours(step) for step in range(STEPS)] == [theirs(step) for step in range(STEPS)]


def test_every_schedule_meets_an_oracle():
    functions = {name: f for name, f in vars(schedules).items() if inspect.isfunction(f)}
    public = {name for name, f in functions.items() if f.__module__ == schedules.__name__}
    rows = {name.split(",")[0] for name in TORCHS | OPTAXS} | {"inverse_time_decay"}
    assert rows == public - {"as_schedule"}


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
        (lambda bad: schedules.exponential_decay(bad, 10, 0.5), "init_value"),
        (lambda bad: schedules.exponential_decay(0.1, 10, bad), "decay_rate"),
        (lambda bad: schedules.inverse_time_decay(bad, 10, 0.5), "init_value"),
        (lambda bad: schedules.inverse_time_decay(0.1, 10, bad), "decay_rate"),
        (lambda bad: schedules.polynomial_decay(bad, 10), "init_value"),
        (lambda bad: schedules.polynomial_decay(0.1, 10, bad), "end_value"),
        (lambda bad: schedules.polynomial_decay(0.1, 10, power=bad), "power"),
        (lambda bad: schedules.one_cycle(bad, 10), "peak_value"),
        (lambda bad: schedules.one_cycle(0.1, 10, bad), "pct_start"),
        (lambda bad: schedules.one_cycle(0.1, 10, 0.3, bad), "div_factor"),
        (lambda bad: schedules.one_cycle(0.1, 10, 0.3, 25, bad), "final_div_factor"),
        (lambda bad: schedules.linear_warmup(bad, 0.1, 10), "init_value"),
        (lambda bad: schedules.linear_warmup(0.1, bad, 10), "peak_value"),
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
        (lambda: schedules.exponential_decay(0.1, 0, 0.5), "decay_steps.* at least 1, got 0"),
        (lambda: schedules.exponential_decay(0.1, 1, 1.5), r"decay_rate .*\[0, 1\], got 1.5"),
        (lambda: schedules.inverse_time_decay(0.1, 0, 0.5), "decay_steps.* at least 1, got 0"),
        (lambda: schedules.polynomial_decay(0.1, 0), "decay_steps.* at least 1, got 0"),
        (lambda: schedules.one_cycle(0.1, 0), "total_steps.* at least 1, got 0"),
        (lambda: schedules.one_cycle(0.1, 9, 1.1), r"pct_start .*\[0, 1\], got 1.1"),
        (lambda: schedules.one_cycle(0.1, 9, div_factor=0.5), "div_factor .*at least 1, got 0.5"),
        (lambda: schedules.linear_warmup(0, 1, 0), "warmup_steps.* at least 1, got 0"),
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
        lambda rate: schedules.exponential_decay(rate, 10, rate),
        lambda rate: schedules.inverse_time_decay(rate, 10, rate),
        lambda rate: schedules.polynomial_decay(rate, 10, rate / 2, rate),
        lambda rate: schedules.one_cycle(rate, 10, rate * 3, rate * 10, rate * 10),
        lambda rate: schedules.linear_warmup(rate / 2, rate, 10),
        lambda rate: schedules.join([schedules.constant(rate)] * 2, [3]),
    ],
    ids=["constant", "as_schedule", "cosine_decay", "warmup_cosine_decay", "piecewise_constant",
         "exponential", "inverse_time", "polynomial", "one_cycle", "linear_warmup", "join"],
)  # fmt: skip
def test_a_numpy_rate_gives_plain_floats_which_leave_float32_alone(make):
    schedule = make(np.float64(0.1))
    assert {(np.float32([1]) * schedule(step)).dtype for step in range(12)} == {np.dtype("f4")}


@pytest.mark.parametrize("make", [fn.sgd, fn.adam, fn.scale_by_learning_rate])
def test_a_function_that_is_no_schedule_is_refused_when_it_is_given(make):
    with pytest.raises(TypeError, match=r"^the learning rate is a number or schedule\(step\): "):
        make(schedules.exponential_decay)
