"""Iterative refinement of a solution, column by column, gated: where its residual asks for it, and only if it is trusted.

A column x_j with the right-hand side b_j and the residual r_j is corrected by d_j, the solution for that residual, where

    ||r_j|| > c u ((||A||_F + |w_j|) ||x_j|| + ||b_j||) + u kappa_j ||A||_F ||x_j||      and      ||d_j|| < 0.1 ||x_j||

The first sum is what rounding makes of a residual, c = 10 and from order 25 on 2 sqrt(n): of well-conditioned random matrices of
order 32 to 1024 residuals of 0.5 to 1.2 sqrt(n) u were seen, and to remove these made gradients at best twice as accurate.
The second is what the error of w_j, u kappa_j ||A||, makes of the residual of an exact x_j: to remove that would be to solve
accurately for a wrong w_j, which made columns up to 58 times worse (Grcar matrices). Where the correction is not small, at
u cond(V) near 1, refinement diverges.

Source: Higham, Accuracy and Stability of Numerical Algorithms (2002), ch. 12, for refinement with one factorisation.
"""

from .._array_api import namespace, roundoff
from .._degeneracy import numerically_singular
from .._types import Array

ROUNDING, _GROWS = 10.0, 25  # u times this, where the residual of a column was seen to be rounding, up to this order
_TRUSTED = 0.1


def asks(r: Array, x: Array, b: Array, w: Array, kappa: Array, size: Array) -> Array:
    """Columns (..., n) whose residual is above rounding, by the norms r, x, b of the three; size (...) = ||A||_F."""
    norm, c = size[..., None], ROUNDING * max(1.0, (w.shape[-1] / _GROWS) ** 0.5)
    rounding = c * ((norm + namespace(w).abs(w)) * x + b)
    return r > roundoff(x) * (rounding + norm * x * kappa)


def refused_members(kappa: Array) -> Array:
    """Members (..., 1, 1) with a numerically singular V: nothing is left to refine, and products would overflow."""
    return namespace(kappa).any(numerically_singular(kappa), axis=-1)[..., None, None]


def trusted(d: Array, x: Array) -> Array:
    """Columns (..., n) whose correction is small against them, by the norms of both."""
    return d < _TRUSTED * x
