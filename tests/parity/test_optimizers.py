"""Against torch: trajectories of optimizers, step by step."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_helpers import assert_close, mlp, normal, seeds, to_torch, torch, torch_arrays

import funcnn as fn

pytestmark = pytest.mark.usefixtures("one_torch_thread")
from funcnn.experiments.pytorch.optimizers import SM3, ClassicalMomentum  # noqa: E402

STEPS = 50
RATE = 0.05
SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
decay = fn.add_decayed_weights
# Ours as a function of the learning rate; torch's, and its arguments.
VARIANTS = {
    "sgd": (fn.sgd, SGD, {}),
    "sgd, weight decay": (
        lambda rate: fn.chain(decay(0.1), fn.sgd(rate)),
        SGD,
        {"weight_decay": 0.1},
    ),
    "momentum": (lambda rate: fn.sgd(rate, momentum=0.9), SGD, {"momentum": 0.9}),
    "nesterov": (
        lambda rate: fn.nesterov(rate, momentum=0.9),
        SGD,
        {"momentum": 0.9, "nesterov": True},
    ),
    "momentum, weight decay": (
        lambda rate: fn.chain(decay(0.1), fn.sgd(rate, momentum=0.8)),
        SGD,
        {"momentum": 0.8, "weight_decay": 0.1},
    ),
    "nesterov, weight decay": (
        lambda rate: fn.chain(decay(0.1), fn.nesterov(rate, momentum=0.8)),
        SGD,
        {"momentum": 0.8, "weight_decay": 0.1, "nesterov": True},
    ),
    "adam": (fn.adam, ADAM, {}),
    "adam, other betas and epsilon": (
        lambda rate: fn.adam(rate, b1=0.7, b2=0.95, eps=1e-3),
        ADAM,
        {"betas": (0.7, 0.95), "eps": 1e-3},
    ),
    "adam, weight decay": (
        lambda rate: fn.chain(decay(0.1), fn.adam(rate)),
        ADAM,
        {"weight_decay": 0.1},
    ),
    "adamw": (fn.adamw, ADAMW, {}),
    "adamw, other decay": (
        lambda rate: fn.adamw(rate, b1=0.8, b2=0.9, weight_decay=0.3),
        ADAMW,
        {"betas": (0.8, 0.9), "weight_decay": 0.3},
    ),
    "adamax": (fn.adamax, torch.optim.Adamax, {}),
    "adamax, other betas and epsilon": (
        lambda rate: fn.adamax(rate, b1=0.7, b2=0.95, eps=1e-3),
        torch.optim.Adamax,
        {"betas": (0.7, 0.95), "eps": 1e-3},
    ),
    "adagrad": (fn.adagrad, torch.optim.Adagrad, {}),
    "adagrad, other epsilon, weight decay": (
        lambda rate: fn.chain(decay(0.1), fn.adagrad(rate, eps=1e-2)),
        torch.optim.Adagrad,
        {"eps": 1e-2, "weight_decay": 0.1},
    ),
    "rmsprop": (fn.rmsprop, torch.optim.RMSprop, {}),
    "rmsprop, momentum": (
        lambda rate: fn.rmsprop(rate, alpha=0.9, eps=1e-3, momentum=0.8),
        torch.optim.RMSprop,
        {"alpha": 0.9, "eps": 1e-3, "momentum": 0.8},
    ),
    "rmsprop, momentum, weight decay": (
        lambda rate: fn.chain(decay(0.1), fn.rmsprop(rate, momentum=0.8)),
        torch.optim.RMSprop,
        {"momentum": 0.8, "weight_decay": 0.1},
    ),
}
# A learning rate of ours, and torch's scheduler.
SCHEDULES = {
    "constant": (RATE, None),
    "cosine": (
        fn.schedules.cosine_decay(RATE, STEPS),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=STEPS),
    ),
    "cosine with a floor": (
        fn.schedules.cosine_decay(RATE, STEPS, alpha=0.1),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=STEPS, eta_min=0.1 * RATE),
    ),
    "steps": (
        fn.schedules.piecewise_constant(RATE, {10: 0.5, 30: 0.5}),
        lambda o: torch.optim.lr_scheduler.MultiStepLR(o, milestones=[10, 30], gamma=0.5),
    ),
    "own": (
        lambda step: RATE / (1 + step),
        lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
    ),
}


def our_trajectory(optimizer, x, labels):
    """The params of a small MLP after each step, as a dict by path."""
    model, params, _ = mlp(x.shape[1], 6, 5, 4)
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer)
    for i in range(STEPS):
        state, _ = step(state, (x[i % 2 :: 2], labels[i % 2 :: 2]))
        yield dict(fn.tree.leaves_with_path(state.params))


def torch_trajectory(make, scheduler, x, labels, clip=lambda parameters: None):
    _, _, module = mlp(x.shape[1], 6, 5, 4)
    optimizer = make(module.parameters())
    scheduler = scheduler and scheduler(optimizer)
    for i in range(STEPS):
        optimizer.zero_grad()
        outputs = module(to_torch(x[i % 2 :: 2]))
        torch.nn.functional.cross_entropy(outputs, to_torch(labels[i % 2 :: 2])).backward()
        clip(module.parameters())
        optimizer.step()
        if scheduler:
            scheduler.step()
        yield torch_arrays(module)


def points():
    x = normal(0, 20, 3) * 2
    return x, np.arange(20) % 4


def assert_same_trajectory(ours, theirs):
    steps = 0
    for a, b in zip(ours, theirs, strict=True):
        assert set(a) == set(b)
        for path in a:
            assert_close(a[path], b[path])
        steps += 1
    assert steps == STEPS


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_optimizer_goes_torchs_way(variant, schedule):
    optimizer, make, arguments = VARIANTS[variant]
    rate, scheduler = SCHEDULES[schedule]
    assert_same_trajectory(
        our_trajectory(optimizer(rate), *points()),
        torch_trajectory(lambda p: make(p, lr=RATE, **arguments), scheduler, *points()),
    )


NUMBERS = {
    "rate": st.floats(1e-4, 0.5),
    "b": st.floats(0.1, 0.95),
    "b2": st.floats(0.5, 0.999),
    "eps": st.floats(1e-8, 0.1),
    "d": st.floats(0.01, 0.3),
}
# For any such numbers: ours, and torch's of some parameters.
GENERATED = {
    "sgd": (
        lambda rate, b, b2, eps, d: fn.chain(decay(d), fn.sgd(rate, b)),
        lambda p, rate, b, b2, eps, d: SGD(p, rate, b, weight_decay=d),
    ),
    "nesterov": (
        lambda rate, b, b2, eps, d: fn.chain(decay(d), fn.nesterov(rate, b)),
        lambda p, rate, b, b2, eps, d: SGD(p, rate, b, weight_decay=d, nesterov=True),
    ),
    "classical_momentum": (
        lambda rate, b, b2, eps, d: fn.classical_momentum(rate, b, d),
        lambda p, rate, b, b2, eps, d: ClassicalMomentum(p, rate, b, d),
    ),
    "adam": (
        lambda rate, b, b2, eps, d: fn.chain(decay(d), fn.adam(rate, b, b2, eps)),
        lambda p, rate, b, b2, eps, d: ADAM(p, rate, (b, b2), eps, d),
    ),
    "adamw": (
        lambda rate, b, b2, eps, d: fn.adamw(rate, b, b2, eps, d),
        lambda p, rate, b, b2, eps, d: ADAMW(p, rate, (b, b2), eps, d),
    ),
    "adamax": (
        lambda rate, b, b2, eps, d: fn.chain(decay(d), fn.adamax(rate, b, b2, eps)),
        lambda p, rate, b, b2, eps, d: torch.optim.Adamax(p, rate, (b, b2), eps, d),
    ),
    "adagrad": (
        lambda rate, b, b2, eps, d: fn.chain(decay(d), fn.adagrad(rate, eps)),
        lambda p, rate, b, b2, eps, d: torch.optim.Adagrad(p, rate, eps=eps, weight_decay=d),
    ),
    "rmsprop": (
        lambda rate, b, b2, eps, d: fn.chain(decay(d), fn.rmsprop(rate, b2, eps, b)),
        lambda p, rate, b, b2, eps, d: torch.optim.RMSprop(p, rate, b2, eps, d, b),
    ),
    "sm3": (
        lambda rate, b, b2, eps, d: fn.chain(decay(d), fn.sm3(rate, b)),
        lambda p, rate, b, b2, eps, d: SM3(p, rate, b, weight_decay=d),
    ),
}


@pytest.mark.parametrize("name", GENERATED)
@settings(max_examples=20)
@given(
    st.fixed_dictionaries(NUMBERS),
    st.lists(hnp.array_shapes(min_dims=0, max_dims=4, max_side=4), min_size=1, max_size=3),
    seeds,
)
def test_an_optimizer_with_any_numbers_and_shapes_goes_torchs_way(name, arguments, shapes, seed):
    make, make_torchs = GENERATED[name]
    rng = np.random.default_rng(seed)
    params = [np.asarray(rng.standard_normal(shape)) for shape in shapes]
    parameters = [to_torch(w, requires_grad=True) for w in params]
    ours, theirs = make(**arguments), make_torchs(parameters, **arguments)
    state = ours.init(params)
    for _ in range(STEPS):
        grads = [np.asarray(rng.standard_normal(shape)) for shape in shapes]
        updates, state = ours.update(grads, state, params)
        params = fn.apply_updates(params, updates)
        for parameter, g in zip(parameters, grads, strict=True):
            parameter.grad = to_torch(g)
        theirs.step()
        for w, parameter in zip(params, parameters, strict=True):
            assert_close(w, parameter)


@pytest.mark.parametrize("max_norm", [0.05, 0.5, 100.0])
def test_clipped_gradients_go_torchs_way(max_norm):
    optimizer = fn.chain(fn.clip_by_global_norm(max_norm), fn.sgd(RATE, momentum=0.9))
    assert_same_trajectory(
        our_trajectory(optimizer, *points()),
        torch_trajectory(
            lambda p: SGD(p, lr=RATE, momentum=0.9),
            None,
            *points(),
            lambda parameters: torch.nn.utils.clip_grad_norm_(parameters, max_norm),
        ),
    )


@pytest.mark.parametrize("max_value", [0.01, 0.1, 100.0])
def test_gradients_clipped_by_value_go_torchs_way(max_value):
    optimizer = fn.chain(fn.clip_by_value(max_value), fn.sgd(RATE, momentum=0.9))
    assert_same_trajectory(
        our_trajectory(optimizer, *points()),
        torch_trajectory(
            lambda p: SGD(p, lr=RATE, momentum=0.9),
            None,
            *points(),
            lambda parameters: torch.nn.utils.clip_grad_value_(parameters, max_value),
        ),
    )


def test_adagrads_decay_of_the_rate_is_inverse_time_decay():
    rate = fn.schedules.inverse_time_decay(RATE, 1, 0.1)
    assert_same_trajectory(
        our_trajectory(fn.adagrad(rate), *points()),
        torch_trajectory(lambda p: torch.optim.Adagrad(p, lr=RATE, lr_decay=0.1), None, *points()),
    )


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_the_average_of_the_params_is_torchs(decay):
    swa = torch.optim.swa_utils
    model, params, module = mlp(3, 6, 5, 4)
    optimizer = fn.chain(fn.adam(RATE), fn.average_params(decay))
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer)
    torch_optimizer = ADAM(module.parameters(), lr=RATE)
    averaged = swa.AveragedModel(module, multi_avg_fn=swa.get_ema_multi_avg_fn(decay))
    x, labels = points()
    for _ in range(STEPS):
        state, _ = step(state, (x, labels))
        torch_optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(to_torch(x)), to_torch(labels)).backward()
        torch_optimizer.step()
        averaged.update_parameters(module)
        theirs = torch_arrays(averaged.module)
        ours = dict(fn.tree.leaves_with_path(fn.averaged_params(state.opt_state)))
        assert set(ours) == set(theirs)
        for path, leaf in ours.items():
            assert_close(leaf, theirs[path])


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_classical_momentum_goes_the_labs_way(schedule, weight_decay):
    rate, scheduler = SCHEDULES[schedule]
    optimizer = fn.classical_momentum(rate, momentum=0.8, weight_decay=weight_decay)
    assert_same_trajectory(
        our_trajectory(optimizer, *points()),
        torch_trajectory(
            lambda p: ClassicalMomentum(p, RATE, 0.8, weight_decay), scheduler, *points()
        ),
    )


@pytest.mark.parametrize("schedule", ["constant", "steps"])
def test_classical_momentum_is_torchs_sgd_while_the_rate_is_constant(schedule):
    rate, scheduler = SCHEDULES[schedule]
    optimizer = fn.classical_momentum(rate, momentum=0.8, weight_decay=0.1)
    ours = our_trajectory(optimizer, *points())
    theirs = torch_trajectory(
        lambda p: SGD(p, lr=RATE, momentum=0.8, weight_decay=0.1), scheduler, *points()
    )
    distances = [
        max(np.abs(a[path] - b[path].detach().numpy()).max() for path in a)
        for a, b in zip(ours, theirs, strict=True)
    ]
    constant_until = 10 if schedule == "steps" else STEPS
    assert max(distances[:constant_until]) < 1e-12
    assert all(distance > 1e-4 for distance in distances[constant_until:])
