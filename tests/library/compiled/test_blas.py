"""When BLAS is kept on one thread in a replay."""

import numpy as np
import pytest
from library.compiled.compiled_steps import BY_NUMPY, classification, steps_of

import funcnn as fn
from funcnn.compiled import blas
from funcnn.compiled.proof import same_bits

pytestmark = BY_NUMPY


def program_of(width, rows=8):
    model = fn.serial(fn.Dense(width), fn.Tanh(), fn.Dense(3))
    _, params = model.init(fn.random.key(0), (6,))
    _, compiled = steps_of(model, fn.softmax_cross_entropy, fn.sgd(0.1))
    compiled(fn.TrainState.create(params, fn.sgd(0.1)), next(classification(rows=rows)))
    (kind,) = compiled._recordings._kinds.values()
    return kind.programs[0]


def test_small_products_need_no_block(monkeypatch):
    assert not program_of(4).one_thread
    assert program_of(4, rows=1000).one_thread
    assert program_of(400).one_thread
    monkeypatch.setattr(blas, "blas", lambda: [fn.threads.Blas("mkl", None, None)])
    assert program_of(4).one_thread


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_of_so_few_elements_have_the_bits_of_one_thread(dtype, two_blas_threads):
    """What is said to be small has the same bits with two threads as with one."""
    generator = np.random.default_rng(0)
    for rows, inner, columns in [
        (20, 20, 20),
        (1, 64, 128),
        (128, 64, 1),
        (1, 8192, 1),
        (2, 4, 1000),
    ]:
        assert rows * inner * columns <= blas.SMALL
        a = generator.standard_normal((rows, inner)).astype(dtype)
        b = generator.standard_normal((inner, columns)).astype(dtype)
        for left, right in ((a, b), (a, np.asfortranarray(b)), (np.asfortranarray(a), b)):
            several = left @ right
            with fn.threads.single_threaded_blas():
                assert same_bits(several, left @ right)
