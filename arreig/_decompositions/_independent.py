"""A second decomposition where the first has lost eigenvectors that exist."""

from collections.abc import Callable

from .._array_api import matrix_norm, members, namespace, roundoff
from .._backends import Backend
from .._perturb import Perturb
from .._types import Array
from ._flags import wanted

MOVED = 10.0  # u |A| times this is what rounding makes of A


def independent(
    A: Array,
    w: Array,
    V: Array,
    attempt: Callable[[Array, Array], tuple[tuple[Array, ...], Array]],
    backend: Backend,
    *,
    check: bool,
) -> tuple[tuple[Array, ...], bool]:
    """What attempt(w, V) makes of a decomposition of A, or of a second one; whether there was a second.

    Of an exactly repeated eigenvalue a solver may return dependent vectors although independent ones exist (a matrix of ones,
    LAPACK). They are those of no generic matrix. The second result of an attempt (...) says how bad its vectors are, 0 if they
    are not; infinite where some are missing. Where they are bad A is decomposed again, moved by rounding, which has to be
    better, and where vectors were missing good.
    """
    xp = namespace(A)
    first, bad = attempt(w, V)
    if not wanted(bad > 0, check=check):
        return first, False
    moved = Perturb(MOVED * roundoff(A)).matrix(A, matrix_norm(A), hermitian=False)
    second, still = attempt(*backend.eig(moved))
    better = xp.where(xp.isfinite(bad), still < bad, still == 0)
    return tuple(xp.where(members(better, x), x, y) for x, y in zip(second, first, strict=True)), True
