"""A few eigenpairs, A V = B V diag(w) with V (n, k), by solves instead of all eigenvectors.

Column j of the differentiated equation, with b_j = (dA - w_j dB) v_j and dv_j = u_j + V a_j, u_j orthogonal to span V:

    (A - w_j B) u_j = B V c_j - b_j,      c_jj = dw_j,   a_ij = F_ij c_ij,   F_ij = 1/(w_j - w_i) for i != j

(a_jj is the gauge's). What is orthogonal to span B V of it determines u_j, the rest c_j: with T_j = (A - w_j B) between these
complements (see `_backends.deflated`) and any W_0 for which W_0^H B V = I,

    u_j = -T_j^-1 b_j,       c_j = W_0^H (b_j + (A - w_j B) u_j)

In adjoint order, with gh the gauge's adjoint of gV, N = V^H gh, gP = diag(gw) + conj(F) o N:

    <gV, dV> + <gw, dw> = sum_j <gh_j, u_j> + <gP_j, c_j>
    Z = W_0 gP,   X_j = -T_j^-H (gh_j + (A - w_j B)^H z_j),   Y = Z + X,   gA = Y V^H,   gB = -Y conj(diag w) V^H

Y are columns of V^-H gP in the rule for all eigenpairs. No n x n matrix is formed: gA is evaluated where A has entries.

A Hermitian pencil is a function of its Hermitian parts, and r_j^2 = v_j^H B v_j gives W_0 = V diag(r)^-2. As for all eigenpairs,
gA keeps its Hermitian part with S = (N - diag(r)^2 N^H diag(r)^-2)/2 in the place of N, and gB its own with

    gB = -Y diag(w) V^H - V (N_off^H diag(r)^-2) V^H/2

N_off without its diagonal: neither has gaps within a cluster that the loss does not resolve. What is to be solved with is then
known to be X_j = -T_j^-H (gh_j - B V diag(r)^-2 N_j).

Sources: Nelson, AIAA J. 14 (1976) 1201; Magnus, Econometric Theory 1 (1985) 179.
"""

from typing import NamedTuple

from .._array_api import (
    adjoint,
    column_dot,
    column_norm,
    conj,
    diagonal_matrix,
    largest,
    namespace,
    on_diagonal,
    roundoff,
)
from .._degeneracy import Degeneracy, varies
from .._gauge import Gauge
from .._types import Array
from ._checks import coupled, loss_noise, pair_size

_LOST = 1e-2  # part of a gradient that rounding may reach


class KeptCotangents(NamedTuple):
    """gP and N (k, k) of the kept pairs, and which pairs (k, k) are refused."""

    gP: Array
    N: Array
    degenerate: Array


def cotangents(
    gV: Array,
    gh: Array,
    gw: Array,
    w: Array,
    V: Array,
    /,
    *,
    told: Array,
    square: Array | None,
    pairs: Array,
    kappa: Array,
    size: Array,
    degeneracy: Degeneracy,
) -> KeptCotangents:
    """What the rule makes of cotangents within the kept pairs; square (k,) = r_j^2 for a Hermitian pencil.

    told (k,): what of gw tells eigenvalues apart. It is gw itself, but where that of a conjugate was added to it.
    """
    N = adjoint(V) @ gh
    S = N if square is None else (N - adjoint(N) * square[:, None] / square[None, :]) / 2
    v, g = column_norm(V), column_norm(gV)
    return KeptCotangents(
        diagonal_matrix(gw) + conj(degeneracy.inverse_gaps(w, pairs)) * S,
        N,
        degeneracy.refused_cotangents(
            pairs,
            lambda: (g > 0)[:, None] | (g > 0)[None, :],
            lambda: coupled(S, pair_size(v, g), loss_noise(v * g, gw, size, V.shape[-2])[None], kappa),
            lambda: varies(told, w, kappa, size),
        ),
    )


def gauge_dependent(gV: Array, gw: Array, V: Array, /, *, size: Array, gauge: Gauge) -> Array | None:
    """Vectors (k,) on whose phase the loss depends although the gauge leaves it open."""
    g = column_norm(gV)
    return gauge.dependence(V, gV, g, lambda: loss_noise(column_norm(V) * g, gw, size, V.shape[-2])[None])


def lost(gh: Array, w: Array, V: Array, W_0: Array, Y: Array, /, *, pairs: Array, degeneracy: Degeneracy) -> Array:
    """Columns (k,) of Y of which the errors of N, divided by gaps, leave fewer than two digits."""
    xp = namespace(V)
    F = xp.abs(degeneracy.inverse_gaps(w, pairs))
    error = roundoff(V) * (column_norm(W_0) * column_norm(V))[:, None] * F * column_norm(gh)[None, :]
    return largest(error, -2)[0, :] > _LOST * largest(column_norm(Y), -1)


def mass_correction(N: Array, V: Array, /, *, square: Array) -> Array:
    """-V N_off^H diag(r)^-2/2, what gB of a Hermitian pencil has besides."""
    off = namespace(N).where(on_diagonal(N), 0.0, N)
    return -(V @ (adjoint(off) / square[None, :])) / 2


def tangents(
    c: Array, U: Array, w: Array, V: Array, BV: Array, /, *, square: Array | None, pairs: Array, degeneracy: Degeneracy
) -> Array:
    """U + V (F o c), the tangents of V but for the gauge's share; v_j^H B u_j = 0 of a Hermitian pencil, as gauges expect."""
    U = U + V @ (degeneracy.inverse_gaps(w, pairs) * c)
    return U if square is None else U - V * (column_dot(BV, U) / square)[None, :]
