"""Hermitian matrix, A V = V diag(w) with w real, and Hermitian-definite pencil, A V = B V diag(w).

The columns are orthogonal; a gauge may give them any norm r_j = ||v_j||, so V = Q diag(r) with Q unitary, V^-1 dA V has the
entries r_j/r_i (Q^H dA Q)_ij, and the rule for eig becomes, with no system to solve,

    P = Q^H dA Q,   dw = diag P,   U = Q (F o P) diag(r),   dV = U + V diag(c(U))
    N = Q^H gh diag(r),   gP = diag(gw) + F o (N - N^H)/2,   gA = Q gP Q^H

F is real and antisymmetric, so F o N and F o (N - N^H)/2 have the same Hermitian part, which is all that a Hermitian dA sees:
gA is Hermitian. For the same reason a loss that depends on a cluster through its span alone has a vanishing
(N - N^H)_CC, while N_CC itself need not vanish: the span is also that of sum_C v v^H, whose cotangent is 2 G V.

With a positive definite B the columns are B-orthogonal: V = Q diag(r), Q^H B Q = I, r_j = sqrt(v_j^H B v_j). Q moves by Q X with

    Q^H dA Q + diag(w) X = (Q^H dB Q) diag(w) + X diag(w) + diag(dw),      X + X^H = -Q^H dB Q

With M_ij = (w_i + w_j)/2, and H without its diagonal written off(H), both say dw = diag(Q^H (dA - w_j dB) Q) and

    X = F o (Q^H dA Q - M o Q^H dB Q) - off(Q^H dB Q)/2

whose second part has no gap: it is right in clusters, where F = 0, too. U = Q X diag(r) again; what dB does to v_j along v_j is a
matter of the gauge alone. With N = Q^H gh diag(r) the adjoint is, F o (Hermitian) being skew-Hermitian,

    gA = Q [diag(gw) + F o (N - N^H)/2] Q^H
    gB = -Q [diag(gw o w) + M o F o (N - N^H)/2 + off(N + N^H)/4] Q^H

eigh is taken as a function of (A + A^H)/2, and of B's Hermitian part, so gA, gB are its gradients in all entries of A, B.

Sources: as for eig; Giles (2008), sec. 3.1, and Seeger et al., arXiv:1710.08717, for the Hermitian case.
"""

from .._array_api import (
    adjoint,
    column_dot,
    column_norm,
    column_square,
    diagonal,
    diagonal_matrix,
    namespace,
    on_diagonal,
    real,
    roundoff,
)
from .._degeneracy import Degeneracy
from .._gauge import Gauge
from .._types import Array
from ._checks import CotangentFlags, Projected, cotangent_flags, eigenvalue_cotangent_flags, split_tangents
from ._pencil import Pencil


def hermitian_part(X: Array, /) -> Array:
    """(X + X^H)/2."""
    return (X + adjoint(X)) / 2


def unitary(V: Array, pencil: Pencil | None) -> tuple[Array, Array]:
    """Q and r, the norms as a row."""
    xp = namespace(V)
    square = column_square(V) if pencil is None else real(column_dot(V, _like(V, pencil.B) @ V))
    r = xp.sqrt(square)[..., None, :]
    return V / xp.where(r == 0, 1.0, r), r


def _like(V: Array, X: Array) -> Array:
    """X in the dtype of V: the matrices of a real and a complex one are multiplied."""
    return namespace(V).astype(X, V.dtype, copy=False)


def _mean(w: Array) -> Array:
    """M."""
    return (w[..., :, None] + w[..., None, :]) / 2


def _off(X: Array) -> Array:
    return namespace(X).where(on_diagonal(X), 0.0, X)


def _within(Q: Array, dA: Array) -> Array:
    """Q^H dA Q."""
    return adjoint(Q) @ (_like(Q, hermitian_part(dA)) @ Q)


def _around(Q: Array, gP: Array) -> Array:
    """Q gP Q^H."""
    return hermitian_part(Q @ gP @ adjoint(Q))


def jvp(
    dA: Array,
    dB: Array | None,
    w: Array,
    V: Array,
    /,
    *,
    pencil: Pencil | None,
    pairs: Array,
    gauge: Gauge,
    degeneracy: Degeneracy,
) -> tuple[Array, Array, Array]:
    """dw, dV and the refused pairs; of dA and dB the Hermitian part counts."""
    F = degeneracy.inverse_gaps(w, pairs)
    Q, r = unitary(V, pencil)
    P = _within(Q, dA)
    dw, X = real(diagonal(P)), F * P
    if dB is not None:
        P_B = _within(Q, dB)
        dw = dw - w * real(diagonal(P_B))
        X = X - F * _mean(w) * P_B - _off(P_B) / 2
    dV = gauge.project_tangent(V, (Q @ X) * r)
    if dB is not None:
        dV = dV + gauge.tangent_of_norm(V, real(diagonal(P_B)))
    return dw, dV, degeneracy.refused_tangents(pairs)


def vjp(
    gV: Array,
    gw: Array,
    w: Array,
    V: Array,
    /,
    *,
    pencil: Pencil | None,
    pairs: Array,
    split: Array | None,
    kappa: Array,
    size: Array,
    gauge: Gauge,
    degeneracy: Degeneracy,
) -> tuple[Array, Array | None, CotangentFlags]:
    """gA, gB, and what is refused; size = ||A||_F."""
    F = degeneracy.inverse_gaps(w, pairs)
    Q, r = unitary(V, pencil)
    gh = gauge.project_cotangent(V, gV)
    N = adjoint(Q) @ (gh * r)
    skew = (N - adjoint(N)) / 2
    gP = F * skew
    gA = _around(Q, diagonal_matrix(gw) + gP)
    gB = None
    if pencil is not None:
        along = gw * w - gauge.cotangent_of_norm(V, gV)
        gB = -_around(Q, diagonal_matrix(along) + _mean(w) * gP + _off(hermitian_part(N)) / 2)
    lengths = column_norm(gV)
    flags = cotangent_flags(
        gA,
        gB,
        gV,
        gw,
        lambda: skew,
        w,
        V,
        lengths=lengths,
        reach=lengths,
        projected=Projected(column_norm(gh), lengths, namespace(gw).abs(gw), lengths),
        F_size=namespace(F).abs(F),
        V_norm=column_norm(V),
        W_norm=(1.0 if pencil is None else column_norm(Q)) / namespace(V).where(r > 0, r, 1.0)[..., 0, :],
        pairs=pairs,
        split=split,
        kappa=kappa,
        size=size,
        accuracy=roundoff(V) + 0 * size,
        gauge=gauge,
        degeneracy=degeneracy,
    )
    return gA, gB, flags


def eigenvalue_jvp(
    dA: Array, dB: Array | None, w: Array, V: Array, /, *, pencil: Pencil | None, pairs: Array, kappa: Array
) -> tuple[Array, Array]:
    """dw = diag P and the pairs that dA and dB split."""
    Q, _ = unitary(V, pencil)
    dA, P = hermitian_part(dA), _within(Q, dA)
    dw = real(diagonal(P))
    if dB is not None:
        P_B = _within(Q, dB)
        dB, dw, P = hermitian_part(dB), dw - w * real(diagonal(P_B)), P - P_B * w[..., None, :]
    return dw, split_tangents(P, dA, dB, w, kappa, pairs)


def eigenvalue_vjp(
    gw: Array,
    w: Array,
    V: Array,
    /,
    *,
    pencil: Pencil | None,
    pairs: Array,
    split: Array | None,
    kappa: Array,
    size: Array,
    degeneracy: Degeneracy,
) -> tuple[Array, Array | None, Array]:
    """gA = Q diag(gw) Q^H, gB = -Q diag(gw o w) Q^H, and the refused pairs: no gaps, no gauge."""
    Q, _ = unitary(V, pencil)

    def weighted(g: Array) -> Array:
        return hermitian_part((Q * g[..., None, :]) @ adjoint(Q))

    return (
        weighted(gw),
        None if pencil is None else -weighted(gw * w),
        eigenvalue_cotangent_flags(gw, w, pairs=pairs, split=split, kappa=kappa, size=size, degeneracy=degeneracy),
    )
