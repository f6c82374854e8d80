"""Immutable, splittable random keys, with the names of `jax.random`.

A key is a value: the same key gives the same numbers wherever and whenever it is used, and new
keys are derived from it, never drawn. So a function that takes a key can be pure. What is no
key, no integer or no float dtype raises `TypeError`; a value out of range, `ValueError`.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from funcnn._arguments import shown
from funcnn._recording import hosted
from funcnn.types import Array, Shape

_BYTES = 16


@dataclass(frozen=True, slots=True)
class Key:
    """128 random bits that cannot be changed. Make one with `key`, `split` or `fold_in`.

    >>> fn.random.key(0)
    Key(d82602c9330ad22fb04c459aadf76109)
    """

    bits: bytes

    def __repr__(self) -> str:
        return f"Key({self.bits.hex()})"


def _bits(rng: Key) -> bytes:
    if not isinstance(rng, Key):
        raise TypeError(f"rng must be a key, such as fn.random.key(0), got {shown(rng)}")
    return rng.bits


SHAPES_ONLY = Key(b"")
"""No seed's key: what is derived from it is it again, and `init` draws nothing, for it gives params
of the right shapes and dtypes that take no memory."""


def _derive(bits: bytes, purpose: bytes, index: int) -> Key:
    if bits == SHAPES_ONLY.bits:
        return SHAPES_ONLY
    # A keyed hash: keys derived for different purposes or indices are independent.
    message = index.to_bytes(_BYTES, "little", signed=True)
    return Key(hashlib.blake2b(message, digest_size=_BYTES, key=bits, person=purpose).digest())


def _check_index(name: str, value: int, least: int = -(2**127)) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    if not -(2**127) <= value < 2**127:
        raise ValueError(f"{name} must fit in 128 bits, got {value}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def key(seed: int) -> Key:
    """The key of a seed, any integer of up to 128 bits, as `jax.random.key`.

    >>> fn.random.key(0) == fn.random.key(0), fn.random.key(0) == fn.random.key(1)
    (True, False)
    """
    return _derive(b"funcnn", b"seed", _check_index("seed", seed))


@hosted
def split(rng: Key, num: int = 2) -> tuple[Key, ...]:
    """`num` new keys, independent of each other and of `rng`, as `jax.random.split`.

    >>> params_rng, order_rng = fn.random.split(fn.random.key(0))
    >>> params_rng == order_rng
    False
    """
    bits = _bits(rng)
    return tuple(_derive(bits, b"split", i) for i in range(_check_index("num", num, 0)))


@hosted
def fold_in(rng: Key, data: int) -> Key:
    """A new key of `rng` and an integer (a step, a layer's position), as `jax.random.fold_in`.

    >>> rng = fn.random.key(0)
    >>> fn.random.fold_in(rng, 1) == fn.random.fold_in(rng, 2)
    False
    """
    return _derive(_bits(rng), b"fold_in", _check_index("data", data))


def key_data(rng: Key) -> Array:
    """The key as an array to store, uint32 of shape `(4,)`, as `jax.random.key_data`.

    >>> fn.random.key_data(fn.random.key(0)).shape
    (4,)
    """
    return np.frombuffer(_bits(rng), dtype="<u4").copy()


def wrap_key_data(data: Array) -> Key:
    """The key that `key_data` stored. Raises `ValueError` for another shape or dtype.

    >>> rng = fn.random.key(0)
    >>> fn.random.wrap_key_data(fn.random.key_data(rng)) == rng
    True
    """
    data = np.asarray(data)
    if data.shape != (4,) or data.dtype != np.uint32:
        raise ValueError(f"key data is uint32 of shape (4,), got {data.dtype} of {data.shape}")
    return Key(data.astype("<u4").tobytes())


def generator(rng: Key) -> "np.random.Generator":  # quoted: importing it takes milliseconds
    """A new NumPy generator at the start of this key's stream, for draws not named here.

    Its state changes as it is used: keep it inside the function that made it.

    >>> fn.random.generator(fn.random.key(0)).integers(6, size=3)
    array([2, 2, 3])
    """
    return np.random.Generator(np.random.Philox(key=int.from_bytes(_bits(rng), "little")))


@hosted
def normal(rng: Key, shape: Shape, dtype: DTypeLike = np.float32) -> Array:
    """Independent draws from the standard normal distribution, of this shape and float dtype.

    >>> fn.random.normal(fn.random.key(0), (2, 3)).shape
    (2, 3)
    """
    _check_float(dtype)
    return generator(rng).standard_normal(shape, np.float64).astype(dtype)


@hosted
def uniform(
    rng: Key,
    shape: Shape,
    dtype: DTypeLike = np.float32,
    minval: float = 0.0,
    maxval: float = 1.0,
) -> Array:
    """Independent draws from the uniform distribution on [minval, maxval), of a float dtype.

    >>> x = fn.random.uniform(fn.random.key(0), (100,), minval=-1.0)
    >>> bool(x.min() >= -1), bool(x.max() < 1)
    (True, True)
    """
    _check_float(dtype)
    values = np.asarray(generator(rng).uniform(minval, maxval, shape)).astype(dtype)
    below = np.nextafter(values.dtype.type(maxval), values.dtype.type(minval))
    return np.asarray(np.minimum(values, below))  # rounding to fewer bits can reach maxval


@hosted
def bernoulli(rng: Key, p: float, shape: Shape) -> Array:
    """Independent draws, True with probability `p` in [0, 1]; a boolean array of this shape.

    >>> round(float(fn.random.bernoulli(fn.random.key(0), 0.3, (1000,)).mean()), 1)
    0.3
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p must be a probability in [0, 1], got {p}")
    return np.asarray(generator(rng).random(shape, np.float32) < p)


@hosted
def permutation(rng: Key, n: int) -> Array:
    """The integers 0 to n - 1 in random order, int64 of shape `(n,)`.

    >>> sorted(fn.random.permutation(fn.random.key(0), 4).tolist())
    [0, 1, 2, 3]
    """
    return generator(rng).permutation(_check_index("n", n, 0))


def _check_float(dtype: DTypeLike) -> None:
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"dtype must be a float type, got {np.dtype(dtype)}")
