"""Many tiny matrices at once: every step is one for the whole batch, which is best the fastest axis in memory.

Of order 2 and 3 the inverse of V is its adjugate over its determinant: with columns v_j, V^-H has the columns
conj(v_k x v_l)/conj(det V), (j, k, l) cyclic. Where V is ill conditioned that is less accurate than elimination, which is what
decides there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .._array_api import conj, device, namespace, real, roundoff
from .._types import Array
from ._basis import Arithmetic


@dataclass(frozen=True)
class Spread:
    """Arithmetic with products that are sums of outer ones."""

    other: Arithmetic

    def product(self, X: Array, Y: Array, /) -> Array:
        out = X[..., :, 0, None] * Y[..., 0, None, :]
        for k in range(1, X.shape[-1]):
            out = out + X[..., :, k, None] * Y[..., k, None, :]
        return out

    def blocks(self, shape: tuple[int, ...], /) -> Sequence[slice]:
        return self.other.blocks(shape)

    def by_rows(self, function: Callable[[slice], Array], shape: tuple[int, ...], /) -> Array:
        return self.other.by_rows(function, shape)


def by_adjugates(V: Array) -> Array:
    """V^-H of order 2 or 3, NaN where V is singular."""
    xp, n = namespace(V), V.shape[-1]
    V = conj(V)
    if n == 2:
        i = xp.arange(n, device=device(V))
        sign = xp.astype(i[:, None] == i, real(V).dtype) * 2 - 1
        C = sign * xp.flip(V, axis=(-2, -1))
    else:
        X, Y = xp.roll(V, -1, axis=-2), xp.roll(V, -2, axis=-2)
        C = xp.roll(X, -1, axis=-1) * xp.roll(Y, -2, axis=-1) - xp.roll(X, -2, axis=-1) * xp.roll(Y, -1, axis=-1)
    determinant = xp.sum(V[..., 0, :] * C[..., 0, :], axis=-1)
    singular = ~(xp.abs(determinant) > roundoff(V) ** 2)
    return C * xp.where(singular, xp.nan, 1 / xp.where(singular, 1.0, determinant))[..., None, None]
