"""Batches that are augmented, and batches that are prepared ahead."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from unittest import mock

import numpy as np
import pytest
from helpers import assert_same_bits, frozen

import funcnn as fn
from funcnn import _workers, augmentations, batching, threads

KEY = fn.random.key(0)


def data(n=11):
    x = np.random.default_rng(0).integers(0, 256, (n, 1, 6, 6)).astype(np.uint8)
    return x, np.arange(n)


def augmented(**changed):
    augment = augmentations.chain(augmentations.affine(20), augmentations.erase())
    return fn.batches(data(), 4, **{"rng": KEY, "augment": augment, **changed})


def assert_same_batches(found, right):
    found, right = list(found), list(right)
    assert len(found) == len(right)
    for ours, theirs in zip(found, right, strict=True):
        assert_same_bits(ours[0], theirs[0])
        assert_same_bits(ours[1], theirs[1])


# --- augmented -------------------------------------------------------------------------------


def test_batches_are_augmented_by_keys_of_their_own():
    """Those of no order, and of no other batch or pass."""
    keys = []

    def augment(rng, batch):
        keys.append(rng)
        return batch

    loader = fn.batches(data(), 4, rng=KEY, augment=augment)
    plain = fn.batches(data(), 4, rng=KEY)
    for _ in range(3):
        assert_same_batches(loader, plain)
    passes = [KEY, fn.random.fold_in(KEY, 1), fn.random.fold_in(KEY, 2)]
    assert keys == [fn.random.fold_in(fn.random.split(k)[0], i) for k in passes for i in range(3)]
    used = {*keys, *passes, *(fn.random.fold_in(KEY, i) for i in range(10))}
    assert len(used) == 9 + 11


def test_augmented_batches_have_the_same_bits_again_and_each_pass_is_another():
    first, second = augmented(), augmented()
    passes = [list(first) for _ in range(2)]
    for found in passes:
        assert_same_batches(found, second)
    sums = [sorted(x.astype(int).sum() for batch, _ in found for x in batch) for found in passes]
    assert sums[0] != sums[1]


def test_what_is_stored_is_augmented_before_it_is_prepared_and_is_not_changed():
    x, y = frozen(data())

    def preprocess(x):
        assert x.dtype == np.uint8
        return x / np.float32(255)

    loader = fn.batches((x, y), 4, rng=KEY, augment=augmentations.erase(1.0), preprocess=preprocess)
    for inputs, targets in loader:
        assert inputs.dtype == np.float32
        assert (inputs != x[targets] / np.float32(255)).any((1, 2, 3)).all()


def test_mixed_targets_come_out():
    loader = fn.batches(data(), 4, rng=KEY, augment=augmentations.mixup(0.5, 11))
    assert [y.shape for _, y in loader] == [(4, 11), (4, 11), (3, 11)]


def test_an_augmentation_of_ones_own_may_take_several_inputs():
    x, y = data()

    def augment(rng, batch):
        (one, other), targets = batch
        return (other, one), targets

    loader = fn.batches(((x, x + 1), y), 4, rng=KEY, augment=augment)
    for (one, other), _ in loader:
        assert_same_bits(one, other + np.uint8(1))
    with pytest.raises(TypeError, match=r"^flip takes one array of inputs, got a tuple of 2$"):
        next(fn.batches(((x, x), y), 4, rng=KEY, augment=augmentations.flip()))


def test_what_is_no_augmentation_is_named():
    with pytest.raises(ValueError, match=r"^augment draws from a key: .*rng=fn\.random\.key\(0\)"):
        augmented(rng=None)
    with pytest.raises(TypeError, match=r"^augment is a function of a key and a batch, got 'flip'"):
        augmented(augment="flip")
    with pytest.raises(TypeError, match=r"^what augment\(rng, \(x, y\)\) gives is a pair"):
        next(augmented(augment=lambda rng, batch: batch[0]))


# --- ahead -----------------------------------------------------------------------------------


def wait_for(condition):
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    pytest.fail("it does not come")


@contextlib.contextmanager
def own_workers():
    """All workers are made in this test, which gets the list of them, and idle again in the end.

    One that an earlier test has left at work may become idle in between: it does not count.
    """
    made = []

    def make():
        made.append(_workers.Worker())
        return made[-1]

    before, _workers.idle[:] = list(_workers.idle), []
    try:
        with mock.patch.object(batching, "Worker", make):
            yield made
        wait_for(lambda: set(made) <= set(_workers.idle))
    finally:
        _workers.idle.extend(before)


def test_prefetched_batches_have_the_same_bits_in_the_same_order():
    with own_workers() as made:
        ahead = fn.prefetch(augmented())
        assert (len(ahead), repr(ahead)) == (3, f"fn.prefetch({augmented()!r})")
        plain = augmented()
        for _ in range(3):  # each is another pass
            assert_same_batches(ahead, plain)
        assert len(made) <= 2


def test_anything_that_can_be_gone_through_can_be_prefetched():
    assert list(fn.prefetch(range(5))) == [0, 1, 2, 3, 4]
    assert list(fn.prefetch([])) == []
    once = fn.prefetch(iter("abc"))
    assert (list(once), list(once)) == (["a", "b", "c"], [])
    with pytest.raises(TypeError, match="no len"):
        len(once)
    with pytest.raises(TypeError, match=r"^prefetch takes an iterable of batches, got 3$"):
        fn.prefetch(3)


def test_one_batch_is_prepared_while_the_one_before_it_is_in_use():
    made, go = [], threading.Event()

    def batches():
        for index in range(4):
            made.append((index, threading.current_thread()))
            if index == 1:
                go.set()
            yield index

    for batch in fn.prefetch(batches()):
        assert go.wait(10)  # set by the preparation of the next one
        wait_for(lambda: len(made) == min(batch + 2, 4))  # noqa: B023
        time.sleep(0.01)
        assert len(made) == min(batch + 2, 4)  # and no more than one ahead
    assert threading.main_thread() not in {thread for _, thread in made}


def test_nothing_is_begun_before_the_first_batch_is_asked_for():
    made = []
    iter(fn.prefetch(made.append(i) for i in range(3)))
    assert made == []


@pytest.mark.parametrize("error", [ValueError("one"), KeyboardInterrupt(), StopIteration()])
def test_an_error_is_raised_in_the_place_of_its_batch(error):
    class Failing:
        def __init__(self):
            self.left = [1, 2]

        def __iter__(self):
            return self

        def __next__(self):
            if not self.left:
                raise error
            return self.left.pop(0)

    seen = []
    with own_workers():
        expected = contextlib.nullcontext()
        if not isinstance(error, StopIteration):
            expected = pytest.raises(type(error))
        with expected:
            for batch in fn.prefetch(Failing()):
                seen.append(batch)
    assert seen == [1, 2]


@pytest.mark.parametrize("last", [StopIteration, ZeroDivisionError])
def test_passes_one_after_the_other_have_one_thread(last):
    """However busy the machine is: that of a pass that has ended is idle before the next."""

    def failing():
        yield 1
        if last is not StopIteration:
            raise last

    with own_workers() as made:
        for _ in range(300):
            with contextlib.suppress(ZeroDivisionError):
                assert list(fn.prefetch(failing())) == [1]
            assert _workers.idle == made
    assert len(made) == 1


def test_a_loop_that_is_left_early_gives_its_worker_back():
    with own_workers():
        ahead = fn.prefetch(augmented())
        for _ in ahead:
            break
        with pytest.raises(ZeroDivisionError):
            any(1 / 0 for _ in ahead)
        paused = iter(ahead)
        next(paused)
        paused.close()
        forgotten = [iter(ahead)]
        next(forgotten[0])
        forgotten.append(forgotten)  # a circle, which only the collector sees
        del forgotten
        gc.collect()


def test_what_is_under_way_when_a_loop_is_left_is_no_part_of_the_next_pass():
    """Of batches that draw from a state of their own the order of the draws stays what it was."""

    class Counted:
        def __init__(self):
            self.count = 0

        def __iter__(self):
            for _ in range(4):
                time.sleep(0.002)
                self.count += 1
                yield self.count

    for _ in range(5):
        ahead = fn.prefetch(Counted())
        found = [next(iter(ahead)) for _ in range(3)]
        assert found == [1, 3, 5]  # each pass has made one more than it gave


def test_prefetched_batches_may_be_nested_and_prefetched_again():
    right = list(augmented())
    with own_workers():
        ahead = fn.prefetch(range(3))
        assert [(i, j) for i in ahead for j in ahead] == [
            (i, j) for i in range(3) for j in range(3)
        ]
        assert_same_batches(fn.prefetch(fn.prefetch(augmented())), right)


def test_many_threads_may_go_through_batches_at_once():
    found = []

    def work():
        found.append([y.tolist() for _, y in fn.prefetch(augmented())])

    with own_workers():
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [[y.tolist() for _, y in augmented()]] * 6


def test_the_preparation_has_the_errstate_and_the_threads_of_the_loop():
    def batches():
        for _ in range(3):
            yield fn.threads.thread_count(), np.geterr()["divide"]

    for divide in ("ignore", "raise"):
        with np.errstate(divide=divide), fn.threads.use_threads(3):
            assert list(fn.prefetch(batches())) == [(3, divide)] * 3


def test_training_goes_the_same_way_with_batches_ahead():
    model = fn.serial(fn.Flatten(), fn.Dense(16), fn.Relu(), fn.Dense(11))
    _, params = model.init(KEY, (1, 6, 6))
    optimizer = fn.sgd(0.01)
    results = []
    for around in (lambda batches: batches, fn.prefetch):
        step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
        state = fn.TrainState.create(params, optimizer)
        loader = around(augmented(preprocess=lambda x: x.astype(np.float32)))
        for _ in range(4):
            for batch in loader:
                state, _ = step(state, batch)
        results.append(state.params)
    fn.tree.map(assert_same_bits, *results)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")
def test_ctrl_c_while_a_batch_is_waited_for_leaves_the_loop():
    def slow():
        while True:
            time.sleep(0.2)
            yield 1

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with own_workers():
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(KeyboardInterrupt):
                list(fn.prefetch(slow()))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


FORKED = """
import os, funcnn as fn
ahead = fn.prefetch(range(4))
for _ in ahead:
    break
under_way = iter(ahead)
print(next(under_way), flush=True)
child = os.fork()
if child == 0:
    try:
        next(under_way)
    except RuntimeError as error:
        print(error)
    print(list(ahead), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(list(under_way))
"""
PAUSED = """
import time, funcnn as fn
def slow():
    while True:
        time.sleep(0.01)
        yield 1
under_way = iter(fn.prefetch(slow()))
print(next(under_way))
"""


def said_by(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_begins_passes_of_its_own():
    message = "a forked process cannot go on with a pass over batches that its parent began"
    assert said_by(FORKED) == ["0", f"{message}: begin another", "[0, 1, 2, 3]", "[1, 2, 3]"]


def test_a_program_may_end_in_the_middle_of_a_pass():
    assert said_by(PAUSED) == ["1"]


def test_a_preprocess_that_multiplies_matrices_gives_the_same_bits_ahead():
    """With several threads BLAS has other bits, so both ways have one for it."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(256, 300)).astype(np.float32), np.arange(256)
    matrix = rng.normal(size=(300, 257)).astype(np.float32)
    seen = []

    def preprocess(x):
        seen.append(threads.in_single_threaded_blas())
        return x @ matrix

    every = fn.batches(data, 128, preprocess=preprocess)
    plain = [x for x, _ in every]
    with threads.single_threaded_blas():
        ahead = [x for x, _ in fn.prefetch(every)]
    assert seen == [True] * 4
    assert_same_bits(plain, ahead)


def test_a_ctrl_c_that_takes_a_living_thread_for_a_dead_one_stops_no_later_pass(monkeypatch):
    """As CPython's `Thread.is_alive` can, where a Ctrl-C comes in it."""
    monkeypatch.setattr(threading.Thread, "is_alive", lambda self: False)
    for _ in range(2):
        assert list(fn.prefetch(range(3))) == [0, 1, 2]


def test_a_ctrl_c_in_the_wait_for_what_was_left_forgets_nothing(monkeypatch):
    gate, under_way = threading.Event(), []

    def slow():
        for number in range(3):
            if number == 1:
                gate.wait()
            under_way.append(number)
            yield number

    source = fn.prefetch(Again(slow))
    next(iter(source))  # dropped at once, while the next is under way
    wait = threading.Event.wait
    interrupted = []

    def once(event, timeout=None):
        if not interrupted:
            interrupted.append(event)
            raise KeyboardInterrupt
        return wait(event, timeout)

    monkeypatch.setattr(threading.Event, "wait", once)
    with pytest.raises(KeyboardInterrupt):
        iter(source)
    gate.set()
    assert list(source) == [0, 1, 2]
    assert under_way == [0, 1, 0, 1, 2]


class Again:
    """An iterable that calls a function for each pass."""

    def __init__(self, make):
        self.make = make

    def __iter__(self):
        return self.make()
