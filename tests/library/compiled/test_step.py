"""A recorded step where it could be wrong silently."""

import signal
import threading

import numpy as np
import pytest
from library.compiled.compiled_steps import (
    MODEL,
    OPTIMIZER,
    assert_replayed,
    assert_same_steps,
    classification,
    copied,
    first_state,
    mlp_steps,
    own_layer,
    steps_of,
)

import funcnn as fn
from funcnn import _recording
from funcnn.compiled import placement, proof, recordings
from funcnn.compiled.proof import same_bits

# --- what is held ----------------------------------------------------------------------------


@pytest.mark.parametrize("width", [16, 300])  # of 300, the weights are large leaves
def test_states_that_are_held_stay_as_they_were(width):
    model = fn.serial(fn.Dense(width), fn.Relu(), fn.Dense(width), fn.Relu(), fn.Dense(3))
    plain, compiled = steps_of(model, fn.softmax_cross_entropy, OPTIMIZER)
    state = other = first_state(model)
    held = []
    for number, batch in enumerate(classification(count=30)):
        state, _ = plain(state, batch)
        other, _ = compiled(other, batch)
        if number % 3 == 0:
            held.append((state, other))
        elif number % 3 == 1:  # a part of one alone
            held.append([each.params[2]["weight"][1:3, ::2] for each in (state, other)])
    assert all(same_bits(copy, kept) for copy, kept in held)
    assert compiled.why is None


def test_going_back_to_a_held_state_repeats_its_steps():
    _, compiled = mlp_steps()
    batches = list(classification())
    state = middle = first_state()
    for number, batch in enumerate(batches):
        middle = state if number == 10 else middle
        state, _ = compiled(state, batch)
    for batch in batches[10:]:
        middle, _ = compiled(middle, batch)
    assert same_bits(state, middle)


def test_a_state_that_was_changed_in_place_counts_as_it_is():
    plain, compiled = mlp_steps()
    first, second, third = classification(count=3)
    state, other = first_state(), first_state()
    for batch in (first, second, third):
        state, _ = plain(state, batch)
        other, _ = compiled(other, batch)
        for each in (state, other):
            each.params[0]["weight"][0] *= 0.5  # within the array
            each.params[2]["bias"] = each.params[2]["bias"] + 1  # another array
    assert same_bits(state, other)


def test_a_state_with_another_structure_runs_as_the_plain_one():
    plain, compiled = mlp_steps()
    first, second = classification(count=2)
    state, _ = compiled(*compiled(first_state(), first)[:1], second)
    state.params[0]["more"] = np.zeros(1)
    for step in (plain, compiled):
        with pytest.raises(ValueError, match="more"):
            step(state, first)
    del state.params[0]["more"], state.params[0]["bias"]
    for step in (plain, compiled):
        with pytest.raises(ValueError, match="bias"):
            step(state, first)


def test_a_batch_stays_as_it_was_and_may_be_filled_anew():
    plain, compiled = mlp_steps()
    state = other = first_state()
    x, y = np.empty((8, 6), np.float32), np.empty(8, np.int64)
    for new_x, new_y in classification():
        x[...], y[...] = new_x, new_y
        state, _ = plain(state, (x, y))
        other, _ = compiled(other, (x, y))
        assert same_bits((x, y), (new_x, new_y))
    assert same_bits(state, other)


def test_outputs_that_a_metric_keeps_stay_as_they_were():
    kept = {"plain": [], "compiled": []}
    steps = [
        fn.make_train_step(
            MODEL.apply,
            fn.softmax_cross_entropy,
            OPTIMIZER,
            {"kept": lambda outputs, y, name=name: kept[name].append(outputs) or 1.0},
            compile=name == "compiled",
        )
        for name in kept
    ]
    assert_same_steps(steps, first_state(), classification(count=6))
    assert len(kept["plain"]) == 6  # and not once more for a recording
    assert same_bits(kept["plain"], kept["compiled"])


# --- what changes ----------------------------------------------------------------------------


def test_shapes_dtypes_and_strides_that_change_are_recorded_anew():
    steps = mlp_steps()
    batches = []
    for rows in (8, 8, 5, 8, 5, 1, 8):
        batches += classification(rows=rows, count=1, seed=len(batches))
    x, y = batches[0]
    batches += [(x, y.astype(np.int32)), (np.asfortranarray(x), y), (x[::2], y[::2])]
    batches += [(np.repeat(x, 2, 1)[:, ::2], y), [x, y], (x, np.eye(3, dtype=np.float32)[y])]
    assert_same_steps(steps, first_state(), batches * 2)


def test_arrays_that_go_backwards_run_plain():
    steps = mlp_steps()
    batches = [(x[::-1], y[::-1]) for x, y in classification(count=3)]
    assert_same_steps(steps, first_state(), batches, replayed=False)
    assert "backwards" in steps[1].why


def test_the_number_of_recordings_is_bounded():
    steps = mlp_steps()
    batches = []
    for rows in range(1, recordings.MOST_KINDS + 3):
        batches += classification(rows=rows, count=1)
    assert_same_steps(steps, first_state(), batches, replayed=False)
    assert str(recordings.MOST_KINDS) in steps[1].why
    assert_same_steps(steps, first_state(), batches[:3])


def test_dropout_has_the_plain_keys():
    model = fn.serial(fn.Dense(16), fn.Dropout(0.5), fn.Relu(), fn.Dense(3))
    steps = steps_of(model, fn.softmax_cross_entropy, OPTIMIZER)
    assert_same_steps(steps, first_state(model, rng=fn.random.key(1)), classification())


def test_a_branch_on_the_step_is_recorded_for_each_way():
    optimizer = fn.chain(fn.adam(0.01), fn.average_params(0.9))
    steps = steps_of(MODEL, fn.softmax_cross_entropy, optimizer)
    assert_same_steps(steps, first_state(optimizer=optimizer), classification())
    (kind,) = steps[1]._recordings._kinds.values()
    assert len(kind.programs) == 2


def branching(threshold):
    """A layer that does something else where its inputs are large."""

    def apply(params, x, *, rng=None, train=False, wrt="both"):
        factor = 2 if x.sum() > threshold else 3
        return factor * x, lambda dy: ({}, factor * dy)

    return fn.Layer(lambda rng, shape: (shape, {}), apply)


def test_a_branch_on_data_takes_the_way_that_the_plain_step_takes():
    model = fn.serial(fn.Dense(16), branching(6.0), fn.Dense(3))
    steps = steps_of(model, fn.softmax_cross_entropy, OPTIMIZER, how="all")
    batches = [(x * (i % 2), y) for i, (x, y) in enumerate(classification())]
    assert_same_steps(steps, first_state(model), batches, replayed=False)


def test_examples_of_no_weight_and_clipping_go_both_ways():
    optimizer = fn.chain(fn.clip_by_global_norm(0.5), fn.sgd(0.5))
    loss = fn.weighted(fn.softmax_cross_entropy)
    steps = steps_of(MODEL, loss, optimizer)
    generator = np.random.default_rng(1)
    batches = [
        (x * (1 + i % 5), (y, generator.integers(3, size=8).astype(np.float32) + 0.1))
        for i, (x, y) in enumerate(classification())
    ]
    assert_same_steps(steps, first_state(optimizer=optimizer), batches)


# --- what is computed out of sight -----------------------------------------------------------


OUT_OF_SIGHT = {
    "np.asarray": lambda x: x + np.asarray(x).sum(dtype=np.float32),
    "np.ascontiguousarray": lambda x: np.ascontiguousarray(x) * 2,
    "a mask": lambda x: x * (np.asarray(x) > 0.1),
    "the sign of the largest": lambda x: x * np.float32(np.sign(np.asarray(x).max() - 0.5)),
    "tolist": lambda x: x + np.float32(np.asarray(x).tolist()[0][0]),
    "a number": lambda x: x * float(x[0, 0]),
    "memoryview": lambda x: x + np.frombuffer(memoryview(x.copy()), np.float32)[0],
    "sorted": lambda x: np.sort(x, axis=1),
    "a loop of numbers": lambda x: x * np.float32(len([v for v in x.reshape(-1) if v > 0.2])),
}


@pytest.mark.parametrize("name", OUT_OF_SIGHT)
def test_what_is_computed_out_of_sight_is_found(name):
    model = fn.serial(own_layer(OUT_OF_SIGHT[name]), fn.Dense(3))
    steps = steps_of(model, fn.softmax_cross_entropy, OPTIMIZER, how="all")
    assert_same_steps(steps, first_state(model), classification(count=6), replayed=False)


def overwritten(x):
    a = np.add.accumulate(x, axis=1)
    y = a + 1
    a.fill(5)
    return y + a


def in_place(x):
    y = np.zeros(x.shape, x.dtype)
    y += x
    np.maximum(y, 0.2, out=y)
    y[:, 0] = x[:, 1]
    y[x > 0.5] = 0.25
    np.copyto(y, -x, where=x < 0.1)
    return y


def shifted(x):
    y = (x * 2).reshape(-1)
    np.add(y[1:], y[:-1], out=y[1:])
    np.multiply(y[:-1], y[1:], out=y[:-1])
    np.subtract(y[1:], 1, out=y[1:])
    return y.reshape(x.shape)


def of_constants(x):
    table = np.arange(x.shape[1], dtype=x.dtype)
    return np.where(x > 0.5, x, table) + np.add.accumulate(x, axis=1)[:, ::-1]


SEEN = {
    "an array that is overwritten": overwritten,
    "arrays changed in place": in_place,
    "constants": of_constants,
    "an array and itself, shifted": shifted,
    "a cut": lambda x: np.concatenate([x[:, 2:], x[:, :2]], axis=1),
    "indices of indices": lambda x: np.take_along_axis(x, np.argsort(x, axis=1), axis=1),
    "a mean": lambda x: (x - x.mean(1, keepdims=True)) / np.sqrt(x.var() + 1),
    "split": lambda x: np.concatenate(np.split(x, 3, axis=1)[::-1], 1),
    "powers": lambda x: x**2 + 2.0**x - (-x) ** 3,
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x) @ x / 50,
    "a reshape that copies": lambda x: x.T.reshape(x.shape) + x.T.copy().ravel().reshape(x.shape),
    "one entry": lambda x: x * x[0, 0] + x[-1].max(),
}


@pytest.mark.parametrize("name", SEEN)
def test_what_numpy_is_asked_for_is_replayed(name):
    model = fn.serial(own_layer(SEEN[name]), fn.Dense(3))
    steps = steps_of(model, fn.softmax_cross_entropy, OPTIMIZER, how="all")
    assert_same_steps(steps, first_state(model), classification())


@pytest.mark.parametrize("name", sorted(set(SEEN) - {"einsum"}))
def test_what_numpy_is_asked_for_is_replayed_in_blocks(name):
    model = fn.serial(own_layer(SEEN[name]), fn.Dense(3))
    steps = steps_of(model, fn.softmax_cross_entropy, OPTIMIZER, how="all")
    batches = classification((600,), rows=100, count=3)
    with np.errstate(over="ignore"):
        assert_same_steps(steps, first_state(model, shape=(600,)), batches)


def test_a_replay_that_does_not_see_its_inputs_does_not_pass(monkeypatch):
    compiled_tape = proof.compile_tape

    def compile_blind(tape, first, *, native):
        program = compiled_tape(tape, first, native=native)
        seen = []

        def replay(leaves, block):
            seen.append(leaves)
            return program.replay(seen[0], block)

        return program._replace(replay=replay)

    monkeypatch.setattr(proof, "compile_tape", compile_blind)
    _, compiled = mlp_steps()
    compiled(first_state(), next(classification()))
    assert "other bits" in compiled.why


def test_a_number_that_a_layer_counts_is_found():
    calls = []

    def counted(x):
        calls.append(1)
        return x * np.float32(len(calls))

    model = fn.serial(own_layer(counted), fn.Dense(3))
    _, compiled = steps_of(model, fn.softmax_cross_entropy, OPTIMIZER, how="all")
    compiled(first_state(model), next(classification()))
    assert compiled.why


# --- what is a user's own --------------------------------------------------------------------


def own_loss(outputs, targets):
    return fn.mean_squared_error(outputs, targets)


@fn.constructor(per_sample="always")
def Twice():
    return fn.elementwise(lambda x: (2 * x, lambda dy: 2 * dy))


IDENTITY = fn.Optimizer(lambda params: (), lambda grads, state, params: (grads, state))
OWN = {
    "a layer": (fn.serial(fn.Dense(3), branching(0)), fn.mean_squared_error, fn.sgd(0.1), "layer"),
    "in a branch": (fn.residual(Twice()), fn.mean_squared_error, fn.sgd(0.1), "Twice"),
    "a loss": (MODEL, own_loss, fn.sgd(0.1), "own_loss"),
    "a weighted loss": (MODEL, fn.weighted(fn.huber), fn.sgd(0.1), None),
    "an optimizer": (MODEL, fn.huber, fn.chain(IDENTITY, fn.sgd(0.1)), "optimizer"),
    "a mask": (MODEL, fn.huber, fn.masked(fn.sgd(0.1), lambda params: True), "function"),
    "a schedule": (MODEL, fn.huber, fn.sgd(lambda step: 0.1 / (step + 1)), None),
}


@pytest.mark.parametrize("name", OWN)
def test_what_is_a_users_own_runs_plain_and_why_says_so(name):
    model, loss, optimizer, why = OWN[name]
    step = fn.make_train_step(model.apply, loss, optimizer, compile=True)
    assert (step.why is None) if why is None else (why in step.why and "own" in step.why)
    assert fn.make_train_step(model.apply, loss, optimizer, compile="all").why is None


def test_a_layer_whose_apply_was_replaced_is_a_users_own():
    model = MODEL._replace(apply=lambda *args, **kwargs: MODEL.apply(*args, **kwargs))
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, OPTIMIZER, compile=True)
    assert "own" in step.why
    state, batch = first_state(), next(classification())
    assert same_bits(step(state, batch), mlp_steps()[0](state, batch))


def test_a_schedule_of_ones_own_is_asked_at_every_step():
    asked = []
    optimizer = fn.sgd(lambda step: asked.append(step) or 0.1 / (step + 1))
    steps = steps_of(MODEL, fn.softmax_cross_entropy, optimizer)
    assert_same_steps(steps, first_state(optimizer=optimizer), classification(count=6))
    assert asked[-2:] == [5, 5]


def test_another_word_for_compile_is_refused():
    with pytest.raises(ValueError, match="compile"):
        fn.make_train_step(MODEL.apply, fn.huber, OPTIMIZER, compile="some")


# --- errors ----------------------------------------------------------------------------------

WRONG = {
    "a label": lambda state, x, y: (state, (x, y + 3)),
    "a shape": lambda state, x, y: (state, (x[:, :5], y)),
    "a dtype": lambda state, x, y: (state, (x.astype(np.float64), y)),
    "no pair": lambda state, x, y: (state, x),
    "three": lambda state, x, y: (state, (x, y, y)),
    "no state": lambda state, x, y: (state.params, (x, y)),
    "text": lambda state, x, y: (state, (x, list("abcdefgh"))),
    "nothing": lambda state, x, y: (None, None),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_the_plain_ones_and_leave_nothing_broken(name):
    plain, compiled = mlp_steps()
    state = other = first_state()
    for number, (x, y) in enumerate(classification(count=6)):
        if number in (0, 3):
            errors = []
            for step, own in ((plain, state), (compiled, other)):
                with pytest.raises((TypeError, ValueError)) as caught:
                    step(*WRONG[name](own, x, y))
                errors.append((caught.type, str(caught.value)))
            assert errors[0] == errors[1]
        state, metrics = plain(state, (x, y))
        other, other_metrics = compiled(other, (x, y))
        assert same_bits((state, metrics), (other, other_metrics))


def test_too_many_arguments_are_refused_as_by_the_plain_step():
    _, compiled = mlp_steps()
    x, y = next(classification())
    with pytest.raises(TypeError, match="one pair"):
        compiled(first_state(), x, y)


def test_floating_point_errors_are_raised_as_by_the_plain_step():
    steps = mlp_steps()
    state = assert_same_steps(steps, first_state(), classification(count=3))
    x, y = next(classification())
    x = np.full_like(x, 3e38)
    for step in steps:
        with pytest.raises(FloatingPointError):
            step(state, (x, y))
    assert_same_steps(steps, state, classification(count=3))
    with np.errstate(all="ignore"):
        assert_same_steps(steps, state, [(x, y)] * 2, replayed=False)


def failing_at(number, error):
    """A schedule that raises at one step."""
    due = [True]

    def schedule(step):
        if step == number and due:
            due.pop()
            raise error
        return 0.1

    return schedule


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_an_exception_in_the_middle_leaves_nothing_broken(error):
    optimizer = fn.sgd(failing_at(4, error), momentum=0.9)
    plain = fn.make_train_step(MODEL.apply, fn.softmax_cross_entropy, fn.sgd(0.1, momentum=0.9))
    compiled = fn.make_train_step(MODEL.apply, fn.softmax_cross_entropy, optimizer, compile=True)
    state, other = first_state(), first_state()
    state = other = fn.TrainState.create(state.params, optimizer)
    interrupted = 0
    for batch in classification():
        state, _ = plain(state, batch)
        before = copied(other)
        try:
            after, _ = compiled(other, batch)
        except KeyboardInterrupt:
            interrupted += 1
            assert same_bits(before, other)
            after, _ = compiled(other, batch)
        assert same_bits(before, other)
        other = after
        assert same_bits(state, other)
    assert interrupted == isinstance(error, KeyboardInterrupt)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_ctrl_c_anywhere_leaves_nothing_broken():
    model = fn.serial(fn.Dense(64), fn.Relu(), fn.Dense(3))
    steps = steps_of(model, fn.softmax_cross_entropy, OPTIMIZER)
    plain, compiled = steps
    state = assert_same_steps(steps, first_state(model), classification(count=3))
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    interrupted = 0
    try:
        for number, batch in enumerate(classification(count=100)):
            expected = plain(state, batch)
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + number))
                compiled(state, batch)
                for _ in range(100_000):  # until the alarm
                    compiled(state, batch)
            except KeyboardInterrupt:
                interrupted += 1
            given = compiled(state, batch)
            assert same_bits(expected, given)
            assert compiled.why is None
            state = given[0]
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interrupted == 100


# --- threads ---------------------------------------------------------------------------------


def in_threads(count, work):
    """What `work(i)` gives in each of some threads; an error in one is raised."""
    results = [None] * count

    def run(i):
        try:
            results[i] = work(i)
        except BaseException as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def trained(step, seed, model=MODEL, count=60):
    state = first_state(model)
    for batch in classification(count=count, seed=seed):
        state, _ = step(state, batch)
    return state


def test_two_threads_with_one_step():
    plain, compiled = mlp_steps()
    expected = [trained(plain, seed) for seed in range(3)]
    assert same_bits(expected, in_threads(3, lambda i: trained(compiled, i)))


def test_two_models_in_two_threads(way):
    models = [MODEL, fn.serial(fn.Dense(40), fn.Tanh(), fn.Dense(3))]
    pairs = [steps_of(model, fn.softmax_cross_entropy, OPTIMIZER) for model in models]
    expected = [trained(pairs[i][0], i, models[i]) for i in range(2)]
    given = in_threads(2, lambda i: trained(pairs[i][1], i, models[i]))
    assert same_bits(expected, given)
    assert [compiled.why for _, compiled in pairs] == [None, None]
    for _, compiled in pairs:
        assert_replayed(compiled, way)


def test_a_plain_step_beside_a_recording_sees_nothing_of_it():
    plain, _ = mlp_steps()
    expected = trained(plain, 0)
    stop = threading.Event()

    def record(i):
        while not stop.is_set():
            trained(mlp_steps()[1], 1, count=2)

    def train(i):
        try:
            return [trained(plain, 0) for _ in range(5)]
        finally:
            stop.set()

    given = in_threads(2, lambda i: (train, record)[i](i))[0]
    assert same_bits(given, [expected] * 5)
    assert _recording.active == 0


# --- memory ----------------------------------------------------------------------------------


def test_memory_that_is_used_again_too_early_is_found(monkeypatch):
    """A placement that frees everything too early does not pass the proof."""
    fit = placement._first_fit
    monkeypatch.setattr(
        placement,
        "_first_fit",
        lambda wanted: fit([(begin, begin, size, number) for begin, _, size, number in wanted]),
    )
    _, compiled = mlp_steps()
    compiled(first_state(), next(classification()))
    assert compiled.why


def test_buffers_that_are_live_together_lie_apart():
    generator = np.random.default_rng(0)
    for _ in range(50):
        begins = np.sort(generator.integers(30, size=40))
        wanted = [
            (int(b), int(b + generator.integers(8)), int(generator.integers(1, 500)), i)
            for i, b in enumerate(begins)
        ]
        total, places = placement._first_fit(sorted(wanted))
        for i, (begin, end, size, a) in enumerate(wanted):
            assert places[a] % placement.LINE == 0
            assert places[a] + size <= total
            for begin_b, end_b, size_b, b in wanted[:i]:
                if begin <= end_b and begin_b <= end:
                    assert places[a] >= places[b] + size_b or places[b] >= places[a] + size


def test_the_proof_compares_bits_and_not_numbers():
    assert not same_bits(np.array([0.0]), np.array([-0.0]))
    assert not same_bits(0.0, -0.0)
    assert not same_bits(np.zeros(2, np.float32), np.zeros(2))
    assert not same_bits([np.zeros(2)], (np.zeros(2),))
    assert same_bits(np.array([np.nan]), np.array([np.nan]))
    assert same_bits({"a": float("nan"), "b": None}, {"a": float("nan"), "b": None})


def test_an_error_that_looks_like_a_missing_entry_is_raised_once():
    raised = []

    def loss(outputs, targets):
        if targets[0] == 7:
            raised.append(1)
            raise KeyError("seven")
        return fn.softmax_cross_entropy(outputs, targets)

    steps = steps_of(MODEL, loss, OPTIMIZER, how="all")
    state = assert_same_steps(steps, first_state(), classification(count=3))
    x, y = next(classification())
    with pytest.raises(KeyError, match="seven"):
        steps[1](state, (x, np.full_like(y, 7)))
    assert len(raised) == 1
