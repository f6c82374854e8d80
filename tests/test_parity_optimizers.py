"""Against torch, or optax: trajectories of optimizers, step by step."""

import numpy as np
import pytest
from torch_helpers import assert_close, mlp, normal, to_torch, torch, torch_arrays

import funcnn as fn

pytestmark = pytest.mark.usefixtures("one_torch_thread")

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


def a_mask(params):
    """What is not a number or a vector: no function of ours, so that JAX can use it too."""
    return {name: leaf.ndim > 1 for name, leaf in params.items()}


# Ours and optax's, over params with 0, 1, 2 and 4 axes.
OPTAXS = {
    "sm3": (fn.sm3(RATE), lambda optax: optax.sm3(RATE)),
    "sm3, other momentum": (fn.sm3(RATE, 0.5), lambda optax: optax.sm3(RATE, 0.5)),
    "masked": (
        fn.masked(fn.adam(RATE), a_mask),
        lambda optax: optax.masked(optax.adam(RATE), a_mask),
    ),
    "masked weight decay": (
        fn.chain(fn.add_decayed_weights(0.1, a_mask), fn.sgd(RATE, momentum=0.9)),
        lambda optax: optax.chain(
            optax.add_decayed_weights(0.1, a_mask), optax.sgd(RATE, momentum=0.9)
        ),
    ),
    "freeze": (
        fn.chain(fn.adamw(RATE), fn.freeze({"a": True, "b": False, "c": True, "d": False})),
        lambda optax: optax.chain(
            optax.adamw(RATE, weight_decay=1e-2),
            optax.freeze({"a": True, "b": False, "c": True, "d": False}),
        ),
    ),
    "flatten": (
        fn.flatten(fn.chain(fn.clip_by_value(0.5), fn.sgd(RATE, momentum=0.9))),
        lambda optax: optax.flatten(optax.chain(optax.clip(0.5), optax.sgd(RATE, momentum=0.9))),
    ),
    "flatten sm3": (fn.flatten(fn.sm3(RATE)), lambda optax: optax.flatten(optax.sm3(RATE))),
}


@pytest.mark.parametrize("name", OPTAXS)
def test_an_optimizer_goes_optaxs_way(name):
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    ours, make = OPTAXS[name]
    rng = np.random.default_rng(0)
    # optax's SM3 has no name for an array without axes: it gets one of one entry.
    shapes = {"a": (1,) if "sm3" in name else (), "b": (4,), "c": (3, 2), "d": (2, 3, 3, 2)}
    params = {key: rng.standard_normal(shape) + 1 for key, shape in shapes.items()}
    gradients = [
        {key: np.asarray(rng.standard_normal(shape)) for key, shape in shapes.items()}
        for _ in range(STEPS)
    ]
    with jax.enable_x64(True):
        theirs = make(optax)
        their_params = jax.tree.map(jax.numpy.asarray, params)
        their_state, state = theirs.init(their_params), ours.init(params)
        for grads in gradients:
            updates, state = ours.update(grads, state, params)
            params = fn.apply_updates(params, updates)
            their_updates, their_state = theirs.update(grads, their_state, their_params)
            their_params = optax.apply_updates(their_params, their_updates)
            for key in shapes:
                np.testing.assert_allclose(params[key], their_params[key], rtol=1e-10, atol=1e-10)


def test_sm3_of_an_array_without_axes_is_that_of_one_entry():
    rng = np.random.default_rng(0)
    number, vector = np.asarray(2.0), np.array([2.0])
    optimizer = fn.sm3(RATE)
    states = [optimizer.init(number), optimizer.init(vector)]
    for _ in range(STEPS):
        g = rng.standard_normal(1)
        first, states[0] = optimizer.update(np.asarray(g[0]), states[0], number)
        second, states[1] = optimizer.update(g, states[1], vector)
        number, vector = fn.apply_updates(number, first), fn.apply_updates(vector, second)
        assert number.shape == ()
        assert number == vector[0]


class ClassicalMomentum(torch.optim.Optimizer):
    """The recurrence of the lab: v = b v - g h w - h G; w = w + v."""

    def __init__(self, params, lr, b, g):
        super().__init__(params, {"lr": lr, "b": b, "g": g})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            h, b, g = group["lr"], group["b"], group["g"]
            for w in group["params"]:
                v = self.state[w].get("v", torch.zeros_like(w))
                v = b * v - g * h * w - h * w.grad
                self.state[w]["v"] = v
                w.add_(v)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_classical_momentum_goes_the_labs_way(schedule, weight_decay):
    rate, scheduler = SCHEDULES[schedule]
    optimizer = fn.classical_momentum(rate, momentum=0.8, weight_decay=weight_decay)
    assert_same_trajectory(
        our_trajectory(optimizer, *points()),
        torch_trajectory(
            lambda p: ClassicalMomentum(p, lr=RATE, b=0.8, g=weight_decay), scheduler, *points()
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
