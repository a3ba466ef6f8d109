"""Norms of columns from a few generic combinations of their entries.

With independent entries of Z (n, k), of mean 0 and variance 1/k, the mean of ||Z^H x||^2 is ||x||^2, and its relative standard
deviation sqrt(2/k), whatever x is. So k solves estimate the norms of all rows of an inverse, and products with Z^H those of the
columns of a residual, where these themselves take n. Estimates only tell what is far from every bound: elsewhere the norms
themselves decide.

That ||Z^H x|| is less than ||x||/SAFE happens to one x in 10^7, by the chi-squared distribution with k degrees of freedom.

Sources: Johnson, Lindenstrauss, Contemp. Math. 26 (1984) 189; Achlioptas, J. Comput. Syst. Sci. 66 (2003) 671.
"""

from .._array_api import imag, largest, matrix_norm, namespace, on_diagonal, real, roundoff
from .._degeneracy import Degeneracy, gaps, resolved
from .._generic import generic_matrix
from .._types import Array

COMBINATIONS = 16
SAFE = 4.0
_SALT = 8


def combinations(V: Array) -> Array:
    """Z (n, k) in the dtype of V."""
    Z = generic_matrix(V, _SALT, COMBINATIONS) * (6 / COMBINATIONS) ** 0.5
    return namespace(V).astype(Z, V.dtype, copy=False)


def squared_gaps(w: Array, size: Array) -> tuple[Array, Array]:
    """d_ij = w_j - w_i and |d_ij|^2, this with ||A||^2 on the diagonal."""
    d = gaps(w)
    own = namespace(size).astype(on_diagonal(w), size.dtype) * size[..., None, None] ** 2
    return d, real(d) ** 2 + imag(d) ** 2 + own


def distinct(squares: Array, kappa: Array, size: Array, residual: Array) -> Array:
    """Members (...) whose eigenvalues are all resolved, and V not singular, beyond the doubt that an estimated kappa leaves.

    squares (..., n, n): |d_ij|^2, ||A||^2 on the diagonal; residual: see `numerically_equal`.
    """
    xp = namespace(squares)
    least, worst = -xp.max(-squares, axis=(-2, -1)), SAFE * largest(kappa, -1)[..., 0]
    return resolved(least**0.5, worst, size, residual)


def kept(
    gA: Array, inverse_squares: Array, h: Array, v: Array, gw: Array, kappa: Array, size: Array, degeneracy: Degeneracy
) -> Array:
    """Members (...) of whose gradient rounding leaves enough, by the estimate in `cotangent_flags`, beyond doubt.

    inverse_squares: |F_ij|^2, 1/||A||^2 on the diagonal; h, v, kappa (..., n): ||gh_j||, ||v_j||, ||W_j|| ||v_j||.
    """
    xp = namespace(h)
    columns = v * h
    top = largest(columns, -1)
    b = (columns / xp.where(top > 0, top, 1.0)) ** 2
    pairs = xp.sum(kappa**2 * ((inverse_squares @ b[..., None])[..., 0] - b / size[..., None] ** 2), axis=-1)
    error = top[..., 0] * xp.sqrt(xp.where(pairs > 0, pairs, 0.0)) + matrix_norm((kappa * xp.abs(gw))[..., None])
    return SAFE * roundoff(gA) * error <= degeneracy.lost[xp.finfo(gA.dtype).bits] * matrix_norm(gA)
