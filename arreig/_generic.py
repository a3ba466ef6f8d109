"""Numbers without structure, the same in every library, precision and process, made where the arrays are.

The array API has no random numbers, and those of a library are its own. These come from a hash in integers that fit into 32
bits: three rounds of x -> x^2 + c modulo a prime.
"""

from ._array_api import device, namespace, real
from ._types import Array

_PRIME = 46337  # the largest prime whose square, and a little more, fits


def generic_matrix(like: Array, salt: int, columns: int | None = None) -> Array:
    """Entries (n, n) in (-0.71, 0.71), n the last axis of `like`, real, of its library, device and precision.

    They are multiples of 2^-16, so that no library rounds them, with the mean 0 and the variance 1/6. columns: their number, if
    it is not n.
    """
    xp = namespace(like)
    i = xp.arange(like.shape[-1], device=device(like)) % _PRIME
    j = i if columns is None else xp.arange(columns, device=device(like))
    x = _hash(_hash(i * 271 + salt)[:, None] + j * 7919)
    return xp.astype(2 * x - _PRIME, real(like).dtype) / 65536


def _hash(x: Array) -> Array:
    x = x % _PRIME
    for _ in range(3):
        x = (x * x + 12345) % _PRIME
    return x
