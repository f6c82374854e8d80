"""torch's optimizers and schedules by the names of a config: ours and theirs, step by step."""

import copy
import dataclasses
import io
import itertools

import numpy as np
import pytest

import funcnn as fn
from funcnn.experiments.tasks import optimizers as names
from funcnn.experiments.tasks.build import build_optimizer
from funcnn.experiments.tasks.config import RunConfig
from funcnn.optimizers.transforms import learning_rates

torch = pytest.importorskip("torch", reason="torch is the twin: pip install 'funcnn[torch]'")
from funcnn.experiments.pytorch import optimizers  # noqa: E402
from funcnn.experiments.pytorch.optimizers import SM3, ClassicalMomentum, torch_optimizer  # noqa: E402

STEPS = 60
RATE = 0.05
SHAPES = {"a": (), "b": (4,), "c": (3, 2), "d": (2, 3, 3, 2)}
# What a config refuses: see RunConfig.
REFUSED = {("nesterov", 0.0), ("adagrad", 0.8)}
VARIANTS = [
    (name, momentum, decay)
    for name, momentum, decay in itertools.product(names.OPTIMIZERS, (0.0, 0.8), (0.0, 0.1))
    if (name, momentum) not in REFUSED
]


def settings(optimizer="sgd", momentum=0.0, weight_decay=0.0, schedule="constant", lr=RATE):
    values = {"optimizer": optimizer, "momentum": momentum, "weight_decay": weight_decay}
    return RunConfig.resolve({"arch": "mlp2", "schedule": schedule, "lr": lr} | values)


def first_params(dtype=np.float64):
    """Arrays of every number of axes, none of them near 0."""
    rng = np.random.default_rng(0)
    return {key: (rng.random(shape) + 1).astype(dtype) for key, shape in SHAPES.items()}


def gradient(params, step):
    """That of a bowl whose lowest point moves about, and is steeper for the first leaves."""
    rng = np.random.default_rng(step + 1)
    return {
        key: np.asarray(10.0**-index * (w - rng.normal(2, 0.5, w.shape)), w.dtype)
        for index, (key, w) in enumerate(params.items())
    }


def parameters_of(params):
    return [torch.nn.Parameter(torch.tensor(leaf)) for leaf in params.values()]


def torch_step(optimizer, scheduler, parameters, grads):
    """One step for these gradients; the rate that it had."""
    for parameter, g in zip(parameters, grads.values(), strict=True):
        parameter.grad = torch.tensor(g)
    (rate,) = {group["lr"] for group in optimizer.param_groups}
    optimizer.step()
    scheduler.step()
    return rate


def assert_close(ours, parameters, rtol=1e-10):
    """Each leaf's difference is that small beside the leaf."""
    for key, parameter in zip(SHAPES, parameters, strict=True):
        theirs = parameter.detach().numpy()
        assert theirs.dtype == ours[key].dtype
        assert np.linalg.norm(theirs - ours[key]) <= rtol * np.linalg.norm(ours[key]), key


def follow(config, dtype=np.float64, rtol=1e-10):
    """Both libraries for STEPS steps with the same gradients, compared after each."""
    ours, params = build_optimizer(config, STEPS), first_params(dtype)
    state, parameters = ours.init(params), parameters_of(params)
    theirs, scheduler = torch_optimizer(config, parameters, STEPS)
    for step in range(STEPS):
        grads = gradient(params, step)
        updates, state = ours.update(grads, state, params)
        params = fn.apply_updates(params, updates)
        rate = torch_step(theirs, scheduler, parameters, grads)
        assert rate == pytest.approx(learning_rates(state)["learning_rate"], rel=1e-10, abs=1e-16)
        assert_close(params, parameters, rtol)


def test_torch_has_every_optimizer_and_every_schedule():
    assert list(optimizers.OPTIMIZERS) == list(names.OPTIMIZERS)
    assert list(optimizers.SCHEDULES) == list(names.SCHEDULES)
    assert {name for name, *_ in VARIANTS} == set(names.OPTIMIZERS)


@pytest.mark.parametrize("schedule", names.SCHEDULES)
@pytest.mark.parametrize(("optimizer", "momentum", "decay"), VARIANTS)
def test_every_optimizer_goes_the_same_way_in_torch(optimizer, momentum, decay, schedule):
    follow(settings(optimizer, momentum, decay, schedule))


@pytest.mark.parametrize("optimizer", names.OPTIMIZERS)
def test_what_a_name_alone_stands_for_goes_the_same_way_in_torch(optimizer):
    given = {"arch": "mlp2", "optimizer": optimizer}
    follow(RunConfig.resolve(given))


@pytest.mark.parametrize("optimizer", names.OPTIMIZERS)
def test_decay_of_weights_alone_goes_the_same_way_in_torch(optimizer):
    given = {"arch": "mlp2", "optimizer": optimizer, "weight_decay": 0.1, "decayed": "weights"}
    config = RunConfig.resolve(given)
    follow(config)
    ours, params = build_optimizer(config, STEPS), first_params()
    everything = build_optimizer(dataclasses.replace(config, decayed="all"), STEPS)
    updates, whole = (
        each.update(gradient(params, 0), each.init(params), params)[0]
        for each in (ours, everything)
    )
    same = {key for key in SHAPES if np.allclose(updates[key], whole[key], rtol=1e-10, atol=0)}
    # A bias is decayed no more, nor is the number; but adagrad begins with the sign of a gradient.
    assert {"c", "d"} <= same <= {"a", "c", "d"}


@pytest.mark.parametrize("optimizer", names.OPTIMIZERS)
def test_float32_stays_float32_and_differs_by_rounding(optimizer):
    config = RunConfig.resolve({"arch": "mlp2", "optimizer": optimizer, "schedule": "cosine"})
    follow(config, np.float32, rtol=1e-5)


# --- schedules -------------------------------------------------------------------------------


def torch_rates(schedule, lr, steps, count):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr)
    scheduler = optimizers.SCHEDULES[schedule](optimizer, lr, steps)
    for _ in range(count):
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("lr", [RATE, 0.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 19, 20, 21, 39, 40, 1000])
@pytest.mark.parametrize("schedule", names.SCHEDULES)
def test_every_rate_of_every_schedule_is_torchs(schedule, steps, lr):
    ours = names.SCHEDULES[schedule](lr, steps)
    rates = list(torch_rates(schedule, lr, steps, steps))
    assert rates == pytest.approx([ours(step) for step in range(steps)], rel=1e-10, abs=1e-17)


@pytest.mark.parametrize("schedule", sorted(set(names.SCHEDULES) - {"one-cycle"}))
def test_the_rate_after_the_last_step_is_torchs(schedule):
    *_, after = torch_rates(schedule, RATE, STEPS, STEPS + 1)
    assert after == pytest.approx(
        names.SCHEDULES[schedule](RATE, STEPS)(STEPS), rel=1e-10, abs=1e-17
    )


def test_rounding_does_not_pile_up_where_torch_makes_each_rate_of_the_last():
    steps = 20_000
    for schedule in ("cosine", "exponential", "polynomial"):
        ours = names.SCHEDULES[schedule](RATE, steps)
        rates = list(torch_rates(schedule, RATE, steps, steps))
        np.testing.assert_allclose(rates, [ours(step) for step in range(steps)], rtol=1e-10)


@pytest.mark.parametrize(
    ("optimizer", "key", "value"),
    [("sgd", "momentum", 0.8), ("sm3", "momentum", 0.8), ("adam", "betas", (0.8, 0.999))],
)
def test_one_cycle_leaves_the_momentum_alone(optimizer, key, value):
    parameters = parameters_of(first_params())
    theirs, scheduler = torch_optimizer(
        settings(optimizer, 0.8, 0.0, "one-cycle"), parameters, STEPS
    )
    for step in range(STEPS):
        assert theirs.param_groups[0][key] == value
        torch_step(theirs, scheduler, parameters, gradient(first_params(), step))


# --- to stop and to resume -------------------------------------------------------------------


def run(optimizer, scheduler, parameters, steps):
    """The parameters after each of these steps, of gradients that depend on nothing else."""
    for step in steps:
        arrays = {key: p.detach().numpy() for key, p in zip(SHAPES, parameters, strict=True)}
        torch_step(optimizer, scheduler, parameters, gradient(arrays, step))
        yield [parameter.detach().numpy().copy() for parameter in parameters]


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("schedule", names.SCHEDULES)
@pytest.mark.parametrize("optimizer", names.OPTIMIZERS)
def test_a_run_resumed_from_its_state_dicts_is_the_same_run(optimizer, schedule):
    config = settings(optimizer, 0.0 if optimizer == "adagrad" else 0.8, 0.1, schedule)
    half, parameters = STEPS // 2, parameters_of(first_params())
    theirs, scheduler = torch_optimizer(config, parameters, STEPS)
    list(run(theirs, scheduler, parameters, range(half)))
    stopped = [torch.nn.Parameter(parameter.detach().clone()) for parameter in parameters]
    states = copy.deepcopy((theirs.state_dict(), scheduler.state_dict()))
    straight = list(run(theirs, scheduler, parameters, range(half, STEPS)))

    theirs, scheduler = torch_optimizer(config, stopped, STEPS)
    theirs.load_state_dict(through_a_file(states[0]))
    scheduler.load_state_dict(through_a_file(states[1]))
    resumed = list(run(theirs, scheduler, stopped, range(half, STEPS)))
    for one, other in zip(straight, resumed, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


# --- the optimizers that torch lacks, as optimizers of torch ---------------------------------

OWN = [ClassicalMomentum, SM3]


@pytest.mark.parametrize("own", OWN)
def test_a_closure_is_called_once_with_gradients_and_its_loss_returned(own):
    w = torch.nn.Parameter(torch.ones(3))
    optimizer = own([w], lr=0.1)
    losses = []

    def closure():
        optimizer.zero_grad()
        losses.append((w**2).sum())
        losses[-1].backward()
        return losses[-1]

    assert optimizer.step(closure) is losses[0]
    assert len(losses) == 1
    assert (w < 1).all()
    assert w.requires_grad
    assert optimizer.step() is None


@pytest.mark.parametrize("own", OWN)
def test_a_parameter_without_a_gradient_stays_and_each_group_has_its_own_rate(own):
    still, slow, fast = (torch.nn.Parameter(torch.ones(2, 2)) for _ in range(3))
    optimizer = own([{"params": [still, slow]}, {"params": [fast], "lr": 0.2}], lr=0.1)
    slow.grad = fast.grad = torch.ones(2, 2)
    optimizer.step()
    assert (still == 1).all()
    assert still not in optimizer.state
    torch.testing.assert_close(1 - fast, 2 * (1 - slow))


@pytest.mark.parametrize("own", OWN)
def test_gradients_are_left_as_they_are(own):
    w = torch.nn.Parameter(torch.ones(3, 2))
    w.grad = torch.full((3, 2), 0.5)
    optimizer = own([w], lr=0.1, weight_decay=0.3)
    optimizer.step()
    optimizer.step()
    assert (w.grad == 0.5).all()


def test_classical_momentum_by_hand():
    w = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    w.grad = torch.tensor([1.0], dtype=torch.float64)
    optimizer = ClassicalMomentum([w], lr=0.1, momentum=0.5, weight_decay=0.25)
    optimizer.step()  # v = -0.25 0.1 2 - 0.1 = -0.15
    assert w.item() == pytest.approx(1.85)
    optimizer.param_groups[0]["lr"] = 0.2
    optimizer.step()  # v = 0.5 -0.15 - 0.25 0.2 1.85 - 0.2 = -0.3675
    assert w.item() == pytest.approx(1.4825)


def test_sm3_keeps_a_number_for_each_row_and_column():
    w = torch.nn.Parameter(torch.ones(3, 2))
    w.grad = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    optimizer = SM3([w], lr=0.1)
    optimizer.step()
    rows, columns = optimizer.state[w]["maxima"]
    assert rows.tolist() == [[4], [16], [36]]
    assert columns.tolist() == [[25, 36]]
