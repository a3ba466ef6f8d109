"""One matrix of order 2 or 3 in Python's own numbers, where an operation takes 50 ns; on an array it takes 1 us, however small.

The formulas and bounds are those of the gauges and of the rules `_distinct`, `_estimate` and `_refinement`, which look at no
number; this does. What is not far from every bound is None, and left to them. A matrix is a list of rows, or as named one of
columns.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain
from math import hypot, inf, isfinite
from operator import mul
from typing import Any, NamedTuple

from .._array_api import relative_tolerance, roundoff
from .._degeneracy import EQUAL, SINGULAR, moderate_sizes
from .._gauge import Canonical, Gauge, PhaseFree
from .._rules._estimate import SAFE
from .._rules._refinement import ROUNDING

Vector = Sequence[complex]
Matrix = Sequence[Vector]


class Precision(NamedTuple):
    """What is known of a dtype."""

    u: float
    tolerance: float  # `relative_tolerance`
    least: float  # `moderate_sizes`
    most: float
    bits: int


@cache
def precision(xp: Any, dtype: Any) -> Precision:
    """That of a library's dtype."""
    x = xp.empty(0, dtype=dtype)
    return Precision(roundoff(x), relative_tolerance(x), *moderate_sizes(x), xp.finfo(dtype).bits)


def norm(x: Iterable[complex]) -> float:
    """Euclidean; OverflowError where a modulus is no number."""
    return hypot(*map(abs, x))


def dot(x: Iterable[complex], y: Iterable[complex]) -> complex:
    """Sum of products."""
    s: complex = sum(map(mul, x, y))
    return s


def products(X: Iterable[Vector], Y: Iterable[Vector]) -> list[list[complex]]:
    """Sums of products of every x with every y."""
    Y = list(Y)
    if len(Y) == 2:
        return [[a * c + b * d for c, d in Y] for a, b in X]
    return [[a * d + b * e + c * f for d, e, f in Y] for a, b, c in X]


def conjugate(X: Iterable[Iterable[complex]]) -> list[list[complex]]:
    """Of a matrix."""
    return [[z.conjugate() for z in x] for x in X]


def in_gauge(V: Matrix, gauge: Gauge, u: float) -> Matrix | None:
    """Eigenvectors of norm 1 in the canonical gauge; None in others, and where components may tie."""
    if type(gauge) is not Canonical:
        return None
    columns: list[list[complex]] = []
    rival = 1 - 4 * u**0.5
    for v in zip(*V, strict=True):
        size = list(map(abs, v))
        *_, second, top = sorted(size)
        if not second < rival * top:
            return None
        k = size.index(top)
        turn = v[k].conjugate() / top
        column = [z * turn for z in v]
        column[k] = complex(top)  # exactly real
        columns.append(column)
    return list(zip(*columns, strict=True))


def _canonical(v: Vector, g: Vector, s: complex, length: float, precision: Precision) -> Vector:
    size = list(map(abs, v))
    top = (1 - precision.u**0.5) * max(size)
    k = [x >= top for x in size].index(True)
    c = s.real / length / length
    h = [y - x * c for x, y in zip(v, g, strict=True)]
    h[k] -= 1j * s.imag / v[k].conjugate()
    return h


def _phase_free(v: Vector, g: Vector, s: complex, length: float, precision: Precision) -> Vector | None:
    if abs(s.imag) > precision.tolerance * length * norm(g):
        return None
    c = s / length / length
    return [y - x * c for x, y in zip(v, g, strict=True)]


_PROJECTED: dict[type[Gauge], Callable[[Vector, Vector, complex, float, Precision], Vector | None]] = {
    Canonical: _canonical,
    PhaseFree: _phase_free,
}


def _inverse_adjoint(H: Matrix) -> list[list[complex]] | None:
    """Columns of V^-H, from the conjugates H of those of V: the adjugate over the determinant."""
    if len(H) == 2:
        (a, b), (c, d) = H
        determinant = a * d - b * c
        cofactors = [[d, -c], [-b, a]]
    else:
        cofactors = [
            [y[1] * z[2] - y[2] * z[1], y[2] * z[0] - y[0] * z[2], y[0] * z[1] - y[1] * z[0]]
            for y, z in ((H[1], H[2]), (H[2], H[0]), (H[0], H[1]))
        ]
        determinant = dot(H[0], cofactors[0])
    return [[z / determinant for z in x] for x in cofactors] if determinant else None


def gradient(
    A: Matrix,
    w: Vector,
    V: Matrix,
    gV: Matrix,
    gw: Vector,
    gauge: Gauge,
    precision: Precision,
    lost: float,
    refine: Any,
) -> list[list[complex]] | None:
    """gA = W [diag(gw) + conj(F) o (V^H gh)] V^H,  W = V^-H; OverflowError as for `norm`."""
    projected, u = _PROJECTED.get(type(gauge)), precision.u
    size = norm(chain(*A))
    if projected is None or not precision.least < size < precision.most:
        return None  # what follows has numbers w and V
    v, order = list(zip(*V, strict=True)), range(len(w))
    H = conjugate(v)
    lengths = list(map(norm, v))
    if not min(lengths) > 0 or (W := _inverse_adjoint(H)) is None:
        return None
    gh: list[Vector] = []
    for x, h, y, length in zip(v, H, zip(*gV, strict=True), lengths, strict=True):
        z = projected(x, y, dot(h, y), length, precision)
        if z is None:
            return None
        gh.append(z)
    kappa = list(map(mul, map(norm, W), lengths))
    b = list(map(norm, gh))
    P = products(gh, H)  # of which this and what follows are the columns
    reach = list(map(mul, b, lengths))
    terms: list[list[float]] = [[] for _ in order]
    least = inf
    for j in order:
        for i in order:
            d = w[j] - w[i]
            gap = abs(d)
            if i == j:
                P[j][j] = gw[j]
            elif gap > 0:
                P[j][i] /= d.conjugate()
                terms[i].append(reach[j] / gap)
                least = min(least, gap)
            else:
                return None
    worst = SAFE * max(kappa)
    if not (worst * u < SINGULAR and least > 2 * worst * EQUAL * u * size):
        return None
    Y = products(P, zip(*W, strict=True))
    if refine:  # where the residual of a column asks for it
        adjoint = conjugate(zip(*A, strict=True))
        for j, AHy in enumerate(products(Y, adjoint)):
            c, length = w[j].conjugate(), norm(Y[j])
            residual = norm([a + z - c * y for a, z, y in zip(AHy, gh[j], Y[j], strict=True)])
            if not residual <= u * (ROUNDING * ((size + abs(c)) * length + b[j]) + size * length * kappa[j]):
                return None
    gA = products(zip(*Y, strict=True), zip(*H, strict=True))
    error = norm(map(mul, kappa, map(norm, terms))) + norm(map(mul, kappa, gw))
    found = norm(chain(*gA))
    known = isfinite(error) and precision.least < found < precision.most and SAFE * u * error <= lost * found
    return gA if known else None
