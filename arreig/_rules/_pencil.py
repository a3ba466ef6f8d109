"""The B of A V = B V diag(w), as the rules need it.

The rules' thresholds are written for B = I. A B of the same size leaves them as they are, so that it comes scaled, and w with it.
Two things are new. An eigenvalue may be large against ||A||, up to infinite, and then it is B that moves it: by rounding of A and
B together, to first order,

    u ||W_j|| ||v_j|| (||A|| + |w_j| ||B||),      W = (B V)^-H,  W^H B V = I

And at an infinite one, B v = 0, the left vector is scaled by W^H A V = ||A|| I, for W^H B V cannot be 1. W is S^-H with

    s_j = B v_j where w_j is finite,      A v_j/||A|| where it is infinite

if no infinite eigenvalue is defective; of its vectors only the span counts.

Source: Stewart, Sun, Matrix Perturbation Theory (1990), ch. VI.
"""

from typing import NamedTuple

from .._array_api import adjoint, namespace, promote_complex
from .._types import Array


class Pencil(NamedTuple):
    """B and what is said of it."""

    B: Array  # (..., n, n), of Frobenius norm about sqrt(n), as the identity has
    unit: (
        Array  # (...), a power of two: the caller's B is unit times this one, and w unit times the caller's eigenvalues
    )
    infinite: Array  # (..., n) eigenvalues, whose w is 0 here


def times(pencil: Pencil | None, X: Array, /) -> Array:
    """B X, for complex X."""
    return X if pencil is None else promote_complex(pencil.B) @ X


def times_adjoint(pencil: Pencil | None, X: Array, /) -> Array:
    """B^H X, for complex X."""
    return X if pencil is None else adjoint(promote_complex(pencil.B)) @ X


def growth(w: Array, size: Array) -> Array:
    """max(1, |w_j|/||A||) (..., n): how much more than A's own rounding that of B moves w."""
    xp = namespace(w, size)
    ratio = xp.abs(w) / xp.where(size > 0, size, 1.0)[..., None]
    return xp.where(ratio > 1, ratio, 1.0)


def inverse_gaps(F: Array, size: Array, pencil: Pencil | None) -> Array:
    """F with -1/||A|| in the rows of infinite eigenvalues, and 0 in their columns."""
    if pencil is None:
        return F
    xp = namespace(F)
    away = -1 / xp.where(size > 0, size, 1.0)[..., None, None]
    F = xp.where(pencil.infinite[..., :, None], xp.astype(away, F.dtype), F)
    return xp.where(pencil.infinite[..., None, :], 0.0, F)
