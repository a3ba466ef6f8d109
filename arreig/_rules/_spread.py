"""Many tiny matrices at once: every step is one for the whole batch, which is best the fastest axis in memory.

Of order 2 to 4 the inverse of V is its adjugate over its determinant: V^-H = conj(C)/conj(det V), C the cofactors. Of order 3
these are cross products of columns, C_j = v_k x v_l, (j, k, l) cyclic. Of order 4, by Laplace's expansion, with rows x, y, x', y'
of V, the minors m_jk = x_j y_k - x_k y_j of the first two, m' of the others, and their duals m*_jk = sign(jkpq) m_pq, p < q,

    C = (m'* y, -m'* x, m* y', -m* x').

Where V is ill conditioned that is less accurate than elimination, which is what decides there.

Source: Horn, Johnson, Matrix Analysis (2013), sec. 0.8.2 and 0.8.9.
"""

from collections.abc import Callable, Sequence

from .._array_api import conj, device, namespace, real, roundoff
from .._types import Array


class Spread:
    """Arithmetic with products that are sums of outer ones."""

    def product(self, X: Array, Y: Array, /) -> Array:
        out = X[..., :, 0, None] * Y[..., 0, None, :]
        for k in range(1, X.shape[-1]):
            out = out + X[..., :, k, None] * Y[..., k, None, :]
        return out

    def blocks(self, shape: tuple[int, ...], /) -> Sequence[slice]:
        return [slice(0, shape[-2])]

    def by_rows(self, function: Callable[[slice], Array], shape: tuple[int, ...], /) -> Array:
        return function(slice(0, shape[-2]))


def by_adjugates(V: Array) -> Array:
    """V^-H of order 2, 3 or 4, NaN where V is singular."""
    xp, n = namespace(V), V.shape[-1]
    V = conj(V)
    if n == 2:
        i = xp.arange(n, device=device(V))
        sign = xp.astype(i[:, None] == i, real(V).dtype) * 2 - 1
        C = sign * xp.flip(V, axis=(-2, -1))
    elif n == 4:
        C = _cofactors(V)
    else:
        X, Y = xp.roll(V, -1, axis=-2), xp.roll(V, -2, axis=-2)
        C = xp.roll(X, -1, axis=-1) * xp.roll(Y, -2, axis=-1) - xp.roll(X, -2, axis=-1) * xp.roll(Y, -1, axis=-1)
    determinant = xp.sum(V[..., 0, :] * C[..., 0, :], axis=-1)
    singular = ~(xp.abs(determinant) > roundoff(V) ** 2)
    return C * xp.where(singular, xp.nan, 1 / xp.where(singular, 1.0, determinant))[..., None, None]


# of row-wise pairs (j, k) the (p, q) for which (j, k, p, q) is an even permutation
_DUAL = [0, 11, 13, 6, 14, 0, 3, 8, 7, 12, 0, 1, 9, 2, 4, 0]


def _cofactors(V: Array) -> Array:
    """Of order 4, from both pairs of rows at once."""
    xp, batch = namespace(V), V.shape[:-2]
    members = range(len(batch))
    rows = xp.permute_dims(V, (len(batch), len(batch) + 1, *members))
    x, y = rows[::2, ...], rows[1::2, ...]
    m = x[:, :, None, ...] * y[:, None, ...]  # one name: what it was makes room
    m = m - xp.permute_dims(m, (0, 2, 1, *(i + 3 for i in members)))
    m = xp.reshape(xp.flip(m, axis=0), (2, 16, *batch))
    m = xp.reshape(xp.take(m, xp.asarray(_DUAL, device=device(V)), axis=1), (2, 4, 4, *batch))
    C = xp.stack([xp.sum(m * y[:, None, ...], axis=2), -xp.sum(m * x[:, None, ...], axis=2)], axis=1)
    return xp.permute_dims(xp.reshape(C, rows.shape), (*(i + 2 for i in members), 0, 1))
