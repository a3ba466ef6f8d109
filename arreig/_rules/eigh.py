"""Hermitian matrix, A V = V diag(w) with w real.

The columns are orthogonal; a gauge may give them any norm r_j = ||v_j||, so V = Q diag(r) with Q unitary, V^-1 dA V has the
entries r_j/r_i (Q^H dA Q)_ij, and the rule for eig becomes, with no system to solve,

    P = Q^H dA Q,   dw = diag P,   U = Q (F o P) diag(r),   dV = U + V diag(c(U))
    N = Q^H gh diag(r),   gP = diag(gw) + F o (N - N^H)/2,   gA = Q gP Q^H

F is real and antisymmetric, so F o N and F o (N - N^H)/2 have the same Hermitian part, which is all that a Hermitian dA sees:
gA is Hermitian. For the same reason a loss that depends on a cluster through its span alone has a vanishing
(N - N^H)_CC, while N_CC itself need not vanish: the span is also that of sum_C v v^H, whose cotangent is 2 G V.

eigh is taken as a function of (A + A^H)/2, so gA is its gradient in all entries of A.

Sources: as for eig; Giles (2008), sec. 3.1, and Seeger et al., arXiv:1710.08717, for the Hermitian case.
"""

from .._array_api import adjoint, column_norm, column_square, diagonal, diagonal_matrix, namespace, real, roundoff
from .._degeneracy import Degeneracy
from .._gauge import Gauge
from .._types import Array
from ._checks import CotangentFlags, cotangent_flags, eigenvalue_cotangent_flags, split_tangents


def hermitian_part(X: Array, /) -> Array:
    """(X + X^H)/2."""
    return (X + adjoint(X)) / 2


def _unitary(V: Array) -> tuple[Array, Array]:
    """Q and r, the norms as a row."""
    xp = namespace(V)
    r = xp.sqrt(column_square(V))[..., None, :]
    return V / xp.where(r == 0, 1.0, r), r


def jvp(
    dA: Array, w: Array, V: Array, /, *, pairs: Array, gauge: Gauge, degeneracy: Degeneracy
) -> tuple[Array, Array, Array]:
    """dw, dV and the refused pairs; of dA the Hermitian part counts."""
    F = degeneracy.inverse_gaps(w, pairs)
    Q, r = _unitary(V)
    P = adjoint(Q) @ (hermitian_part(dA) @ Q)
    U = (Q @ (F * P)) * r
    return real(diagonal(P)), gauge.project_tangent(V, U), degeneracy.refused_tangents(pairs)


def vjp(
    gV: Array,
    gw: Array,
    w: Array,
    V: Array,
    /,
    *,
    pairs: Array,
    split: Array | None,
    kappa: Array,
    size: Array,
    gauge: Gauge,
    degeneracy: Degeneracy,
) -> tuple[Array, CotangentFlags]:
    """gA and what is refused; size = ||A||_F."""
    F = degeneracy.inverse_gaps(w, pairs)
    Q, r = _unitary(V)
    gh = gauge.project_cotangent(V, gV)
    N = adjoint(Q) @ (gh * r)
    skew = (N - adjoint(N)) / 2
    gP = diagonal_matrix(gw) + F * skew
    gA = hermitian_part(Q @ gP @ adjoint(Q))
    flags = cotangent_flags(
        gA,
        gV,
        gh,
        gw,
        skew,
        w,
        V,
        reach=column_norm(gV),
        F=F,
        W_norm=1 / namespace(V).where(r > 0, r, 1.0)[..., 0, :],
        pairs=pairs,
        split=split,
        kappa=kappa,
        size=size,
        accuracy=roundoff(V) + 0 * size,
        gauge=gauge,
        degeneracy=degeneracy,
    )
    return gA, flags


def eigenvalue_jvp(dA: Array, V: Array, /, *, pairs: Array, kappa: Array) -> tuple[Array, Array]:
    """dw = diag P and the pairs that dA splits."""
    dA, (Q, _) = hermitian_part(dA), _unitary(V)
    P = adjoint(Q) @ (dA @ Q)
    return real(diagonal(P)), split_tangents(P, dA, kappa, pairs)


def eigenvalue_vjp(
    gw: Array,
    w: Array,
    V: Array,
    /,
    *,
    pairs: Array,
    split: Array | None,
    kappa: Array,
    size: Array,
    degeneracy: Degeneracy,
) -> tuple[Array, Array]:
    """gA = Q diag(gw) Q^H and the refused pairs: no gaps, no gauge."""
    Q, _ = _unitary(V)
    gA = hermitian_part((Q * gw[..., None, :]) @ adjoint(Q))
    return gA, eigenvalue_cotangent_flags(
        gw, w, pairs=pairs, split=split, kappa=kappa, size=size, degeneracy=degeneracy
    )
