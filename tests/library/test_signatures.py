"""Whether a function takes a keyword, asked without its signature where that is the same."""

import functools
import inspect

import pytest

import funcnn as fn
from funcnn._signatures import accepts


class Called:
    def __call__(self, params, x, *, wrt=None):
        pass

    def method(self, wrt):
        pass

    @classmethod
    def of_class(cls, wrt):
        pass


class CalledWithAny:
    def __call__(self, params, **others):
        pass


class CalledWithout:
    def __call__(self, params, x):
        for wrt in params:
            x.append(wrt)


class Made:
    def __init__(self, wrt):
        pass


def without(params, x):
    for wrt in params:
        x.append(wrt)


@functools.wraps(without)
def wrapping(*args, **kwargs):
    pass


def with_another_signature(*args, **kwargs):
    pass


with_another_signature.__signature__ = inspect.signature(without)


class CalledAsAnother:
    def __init__(self):
        self.__wrapped__ = without

    def __call__(self, *args, **kwargs):
        pass


class CalledAsItSays:
    @property
    def __signature__(self):
        return inspect.signature(without)

    def __call__(self, *args, **kwargs):
        pass


FUNCTIONS = {
    "keyword-only": (lambda params, x, *, wrt=None: 0, True),
    "positional": (lambda wrt: 0, True),
    "any": (lambda **others: 0, True),
    "any positional": (lambda *wrt: 0, False),
    "a local of that name": (without, False),
    "another's signature": (with_another_signature, False),
    "a wrapper": (wrapping, False),
    "an object": (Called(), True),
    "an object with any": (CalledWithAny(), True),
    "an object without": (CalledWithout(), False),
    "an object that wraps another": (CalledAsAnother(), False),
    "an object that says otherwise": (CalledAsItSays(), False),
    "an initializer": (fn.initializers.zeros(), False),
    "a method": (Called().method, True),
    "a method of a class": (Called.of_class, True),
    "a class": (Made, True),
    "a partial": (functools.partial(without), False),
    "a partial of an object": (functools.partial(Called()), True),
    "a compiled function": (len, False),
    "one without a signature": (dict.fromkeys, False),
    "no function": (3, False),
}


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_function_takes_a_keyword_or_not(kind):
    function, expected = FUNCTIONS[kind]
    assert accepts(function, "wrt") is expected
