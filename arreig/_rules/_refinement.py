"""Iterative refinement of a solution, column by column, gated: where its residual asks for it, and only if it is trusted.

A column x_j with the right-hand side b_j and the residual r_j is corrected by d_j, the solution for that residual, where

    ||r_j|| > 10 u ((||A||_F + |w_j|) ||x_j|| + ||b_j||) + u kappa_j ||A||_F ||x_j||      and      ||d_j|| < 0.1 ||x_j||

The first sum is what rounding makes of a residual. The second is what the error of w_j, u kappa_j ||A||, makes of the residual of
an exact x_j: to remove that would be to solve accurately for a wrong w_j, which made columns up to 58 times worse (Grcar
matrices). Where the correction is not small, at u cond(V) near 1, refinement diverges.

Source: Higham, Accuracy and Stability of Numerical Algorithms (2002), ch. 12, for refinement with one factorisation.
"""

from collections.abc import Callable
from typing import NamedTuple

from .._array_api import column_norm, namespace, roundoff
from .._degeneracy import numerically_singular
from .._types import Array

_ROUNDING = 10.0  # u times this, where the residual of a column was seen to be rounding
_TRUSTED = 0.1


class Refinement(NamedTuple):
    """How many steps a rule takes, and whether it says which columns ask for another.

    constant: takes an array out of its library's differentiation. A correction is 0 in exact arithmetic, and so is its
    derivative; in floating point that would cost a second derivative time and accuracy.
    """

    steps: int
    judge: bool
    constant: Callable[[Array], Array]


def asks(R: Array, X: Array, B: Array, w: Array, kappa: Array, size: Array) -> Array:
    """Columns (..., n) of X, with the right-hand sides B, whose residual is above rounding; size (...) = ||A||_F."""
    norm = size[..., None]
    rounding = _ROUNDING * ((norm + namespace(w).abs(w)) * column_norm(X) + column_norm(B))
    return column_norm(R) > roundoff(X) * (rounding + norm * column_norm(X) * kappa)


def refused_members(kappa: Array) -> Array:
    """Members (..., 1, 1) with a numerically singular V: nothing is left to refine, and products would overflow."""
    return namespace(kappa).any(numerically_singular(kappa), axis=-1)[..., None, None]


def trusted(D: Array, X: Array) -> Array:
    """Columns (..., n) whose correction is small against them."""
    return column_norm(D) < _TRUSTED * column_norm(X)
