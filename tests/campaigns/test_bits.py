"""The campaign of bits finds a fault that is planted."""

import numpy as np
import pytest
from campaigns import bits
from campaigns.campaign import tries_of

import funcnn as fn


def test_ways_threads_and_kernels_agree(tmp_path):
    ((_, word, why),) = tries_of(bits.BITS, tmp_path, 0, [0])
    assert why is None
    assert word.split()[-1] in bits.kernels_here()


def test_bits_that_depend_on_threads_are_found():
    """Planted: an optimizer that looks at how many there are."""
    drawn = bits.large_task(0)

    def update(grads, state, params):
        grads, state = drawn.optimizer.update(grads, state, params)
        factor = 1 + 1e-3 * fn.threads.thread_count()
        return fn.tree.map(lambda g: g * g.dtype.type(factor), grads), state

    planted = drawn._replace(optimizer=fn.Optimizer(drawn.optimizer.init, update))
    with pytest.raises(AssertionError, match="here: other bits plain on 2, plain on 3"):
        bits.assert_one("here", bits.digests(planted))


def test_another_process_that_ends_is_said():
    other = bits.Other("one", OPENBLAS_CORETYPE=bits.kernels_here()[0])
    other.ask("no number")
    with pytest.raises(AssertionError, match="one: the process ended with 1"):
        other.answer()
    other.end()


def test_a_digest_sees_every_bit():
    drawn = bits.large_task(0)
    x, y = drawn.batches[-1]
    x = fn.tree.map(lambda a: np.nextafter(a, np.inf, dtype=a.dtype), x)
    other = drawn._replace(batches=[*drawn.batches[:-1], (x, y)])
    assert bits.digest(other, "plain") != bits.digest(drawn, "plain")
