"""The order of eigenpairs: what `sort` asks for, and what small matrices have without it."""

from ._array_api import imag, namespace, real
from ._types import Array

# Many matrices of these n have a closed form, which has no order by itself: so they have one, the same from every solver.
SMALL = 2, 3
TILT = 3**-0.5  # tells conjugate eigenvalues apart, and those that differ by a multiple of i


def small_key(w: Array, real_matrix: bool) -> Array:
    """What descends in the order of small matrices."""
    return real(w) if real_matrix else real(w) + TILT * imag(w)


def in_small_order(w: Array, V: Array, real_matrix: bool) -> tuple[Array, Array]:
    """Eigenpairs in the order of small matrices. Stability keeps conjugate pairs together, +imag first, as in `descending`."""
    xp = namespace(w)
    order = xp.argsort(-small_key(w, real_matrix), axis=-1, stable=True)
    return xp.take_along_axis(w, order, axis=-1), columns(V, order)


def descending(w: Array, sort: str, real_matrix: bool) -> Array:
    """Indices (..., n) that put w in the asked order, descending. Stable sorts by the least significant key first.

    Members of a conjugate pair have equal moduli and real parts to the bit, so stability keeps them together as the backend
    delivers them, +imag first, also where several pairs are equal. Complex matrices have no such pairs: imag decides.
    """
    xp = namespace(w)
    keys = [] if real_matrix else [imag(w)]
    keys += [xp.abs(imag(w)), real(w)]
    if sort == "abs":
        keys.append(xp.abs(w))
    order = xp.argsort(-keys[0], axis=-1, stable=True)
    for key in keys[1:]:
        by_key = xp.argsort(-xp.take_along_axis(key, order, axis=-1), axis=-1, stable=True)
        order = xp.take_along_axis(order, by_key, axis=-1)
    return order


def columns(X: Array, order: Array) -> Array:
    """Columns of X in that order."""
    xp = namespace(X)
    return xp.take_along_axis(X, xp.broadcast_to(order[..., None, :], X.shape), axis=-1)
