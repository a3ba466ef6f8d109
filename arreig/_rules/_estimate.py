"""Norms of columns from a few generic combinations of their entries.

With independent entries of Z (n, k), of mean 0 and variance 1/k, the mean of ||Z^H x||^2 is ||x||^2, and its relative standard
deviation sqrt(2/k), whatever x is. So k solves estimate the norms of all rows of an inverse, and products with Z^H those of the
columns of a residual, where these themselves take n. Estimates only tell what is far from every bound: elsewhere the norms
themselves decide.

That ||Z^H x|| is less than ||x||/SAFE happens to one x in 10^7, by the chi-squared distribution with k degrees of freedom.

Sources: Johnson, Lindenstrauss, Contemp. Math. 26 (1984) 189; Achlioptas, J. Comput. Syst. Sci. 66 (2003) 671.
"""

from .._array_api import largest, matrix_norm, namespace, roundoff
from .._degeneracy import Degeneracy, resolved
from .._generic import generic_matrix
from .._types import Array

COMBINATIONS = 16
SAFE = 4.0
_SALT = 8


def combinations(V: Array) -> Array:
    """Z (n, k) in the dtype of V."""
    Z = generic_matrix(V, _SALT, COMBINATIONS) * (6 / COMBINATIONS) ** 0.5
    return namespace(V).astype(Z, V.dtype, copy=False)


def distinct(largest_F2: Array, kappa: Array, size: Array, residual: Array | None) -> Array:
    """Members (...) whose eigenvalues are all resolved, and V not singular, beyond the doubt that an estimated kappa leaves.

    largest_F2 (...): of |F_ij|^2; residual: see `numerically_equal`.
    """
    xp = namespace(largest_F2)
    least = 1 / xp.where(largest_F2 > 0, largest_F2, xp.finfo(largest_F2.dtype).smallest_normal) ** 0.5
    return resolved(least, SAFE * largest(kappa, -1)[..., 0], size, residual)


def kept(gA: Array, terms: Array, gw: Array, kappa: Array, degeneracy: Degeneracy) -> Array:
    """Members (...) of whose gradient rounding leaves enough, by the estimate in `cotangent_flags`, beyond doubt.

    terms (..., n): (sum_j |F_ij|^2 (||v_j|| ||gh_j||)^2)^(1/2); kappa (..., n): ||W_i|| ||v_i||.
    """
    error = matrix_norm((kappa * terms)[..., None]) + matrix_norm((kappa * namespace(gw).abs(gw))[..., None])
    return SAFE * roundoff(gA) * error <= degeneracy.lost[namespace(gA).finfo(gA.dtype).bits] * matrix_norm(gA)
