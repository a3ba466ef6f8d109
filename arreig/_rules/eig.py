"""General matrix, A V = V diag(w), and general pencil, A V = B V diag(w).

Differentiate: dA V + A dV = dV diag(w) + V diag(dw). Multiply by V^-1 and write dV = V X, P = V^-1 dA V:

    P + diag(w) X = X diag(w) + diag(dw)      so   dw = diag P,   X_ij = P_ij/(w_j - w_i) = (F o P)_ij  for i != j

The diagonal of X is free: U = V (F o P) has none, the gauge adds dV = U + V diag(c(U)). In adjoint order, with
<X, Y> = Re tr(X^H Y), gh the gauge's adjoint of gV:

    <gV, dV> + <gw, dw> = <gh, V (F o P)> + <diag gw, P> = <gP, V^-1 dA V>,   gP = diag(gw) + conj(F) o (V^H gh)
    Y = V^-H gP,                                                              gA = Y V^H

Both are solutions of the differentiated equation, U and dw of A U - U diag(w) = V diag(dw) - dA V, and Y of its adjoint

    A^H Y - Y conj(diag w) = -gh,   diag(V^H Y) = gw     (as gh has no component along v_j: v_j^H gh_j = 0)

so they can be refined with the same F and the same factorisation: the residual R of an approximate solution is the right-hand
side for its correction, -V (F o V^-1 R), or V^-H (conj(F) o (V^H (-R)) + diag(rho)) with rho what is missing in the second
condition. R is made orthogonal to v_j where the equation says nothing.

W = V^-H follows V: dW = -W dV^H W, whose adjoint adds -W gW^H W to gV. A real A takes the real part of gA.

With B the differentiated equation is (dA - w_j dB) v_j + (A - w_j B) dv_j = dw_j B v_j. W^H A V = diag(w) and W^H B V = I with
W = (B V)^-H, so the same steps lead to

    P_ij = w_i^H (dA - w_j dB) v_j,     Y = W gP,   gA = Y V^H,   gB = -Y conj(diag w) V^H
    A U - B U diag(w) = B V diag(dw) - dA V + dB V diag(w),     A^H Y - B^H Y conj(diag w) = -gh,   diag(V^H B^H Y) = gw

with F as before among finite eigenvalues. At an infinite w_i, B v_i = 0 and w_i^H A v_i = ||A|| (see `_pencil`), the equation
reads P_ij + ||A|| X_ij = 0: F_ij = -1/||A||. Pairs j with an infinite w_j have no derivative here; their columns of F and P are
left out. W follows B V: dW = -W (dB V + B dV)^H W, whose adjoint gives B V the cotangent G = -W gW^H W, and so adds B^H G to
gV and G V^H to gB.

Sources: Magnus, Econometric Theory 1 (1985) 179; Giles, An extended collection of matrix derivative results (2008), sec. 3.1;
Boeddeker et al., arXiv:1701.00392, sec. 4.
"""

from collections.abc import Callable

from .._array_api import (
    adjoint,
    column_dot,
    column_norm,
    column_square,
    conj,
    diagonal,
    diagonal_matrix,
    is_complex,
    largest,
    matrix_norm,
    namespace,
    nowhere,
    promote_complex,
    real,
    roundoff,
)
from .._degeneracy import Degeneracy
from .._gauge import Gauge
from .._types import Array
from ._checks import CotangentFlags, cotangent_flags, eigenvalue_cotangent_flags, split_tangents
from ._pencil import Pencil, growth, inverse_gaps, times, times_adjoint
from ._refinement import Refinement, asks, refused_members, trusted

_DROWNED = 1e-2  # least |gA| against its terms' rounding errors, for gradients of eigenvalues: two digits
_MIXED = 1e-3  # largest residual of left vectors, relative to |A|; it was seen to be a tenth of the error or more

Solve = Callable[[Array], Array]


def jvp(
    dA: Array,
    dB: Array | None,
    A: Array,
    w: Array,
    V: Array,
    /,
    *,
    pencil: Pencil | None,
    pairs: Array,
    kappa: Array,
    sensitivity: Array,
    size: Array,
    solve: Solve,
    gauge: Gauge,
    degeneracy: Degeneracy,
    refinement: Refinement,
) -> tuple[Array, Array, Array, Array]:
    """dw, dV, the refused pairs, and the columns that ask for refinement; solve(X) = W^H X.

    kappa is the condition number of an eigenpair, sensitivity u ||A|| the error of w: the same without B, as W^H is V^-1 then.
    """
    xp = namespace(V)
    F = inverse_gaps(degeneracy.inverse_gaps(w, pairs), size, pencil)
    dM = _moved(dA, dB, w, V)
    P = solve(dM)
    dw, U = diagonal(P), V @ (F * P)

    refused = refused_members(kappa)
    left_out = xp.any(pairs, axis=-2)  # in a cluster U leaves out a part that the residual would ask for
    if pencil is not None:
        left_out = left_out | pencil.infinite
    S = times(pencil, V)

    def residual(U: Array, dw: Array) -> tuple[Array, Array]:
        U = xp.where(refused, 0.0, U)
        Sdw = S * xp.where(refused[..., 0], 0.0, dw)[..., None, :]
        R = xp.where(refused, 0.0, Sdw - dM - (promote_complex(A) @ U - times(pencil, U) * w[..., None, :]))
        return R, asks(R, U, xp.abs(dM) + xp.abs(Sdw), w, sensitivity, size) & ~left_out

    for _ in range(refinement.steps):
        R, wanted = residual(U, dw)
        E = solve(R)
        D = -V @ (F * E)
        accept = wanted & trusted(D, U)
        U = U + refinement.constant(xp.where(accept[..., None, :], D, 0.0))
        dw = dw - refinement.constant(xp.where(accept, diagonal(E), 0.0))
    wanted = residual(U, dw)[1] if refinement.judge else nowhere(w)
    return dw, gauge.project_tangent(V, U), degeneracy.refused_tangents(pairs), wanted


def _moved(dA: Array, dB: Array | None, w: Array, V: Array) -> Array:
    """The columns (dA - w_j dB) v_j."""
    dM = promote_complex(dA) @ V
    return dM if dB is None else dM - (promote_complex(dB) @ V) * w[..., None, :]


def vjp(
    gV: Array,
    gw: Array,
    A: Array,
    w: Array,
    V: Array,
    /,
    *,
    pencil: Pencil | None,
    reach: Array,
    W_norm: Array,
    pairs: Array,
    split: Array | None,
    kappa: Array,
    sensitivity: Array,
    size: Array,
    accuracy: Array,
    solve_adjoint: Solve,
    gauge: Gauge,
    degeneracy: Degeneracy,
    refinement: Refinement,
) -> tuple[Array, Array | None, CotangentFlags, Array]:
    """gA, gB, what is refused, and the columns of Y that ask for refinement.

    solve_adjoint(X) = W X, of whose columns W_norm has the norms; size = ||A||_F; reach, accuracy: see `cotangent_flags`.
    """
    xp = namespace(V)
    F = inverse_gaps(degeneracy.inverse_gaps(w, pairs), size, pencil)
    gh = gauge.project_cotangent(V, gV)
    N = adjoint(V) @ gh
    Y = solve_adjoint(diagonal_matrix(gw) + conj(F) * N)

    refused = refused_members(kappa)

    def residual(Y: Array) -> tuple[Array, Array]:
        Y = xp.where(refused, 0.0, Y)
        R = xp.where(refused, 0.0, _adjoint_residual(Y, gh, A, w, V, pencil))
        return R, asks(R, Y, gh, w, sensitivity, size)

    for _ in range(refinement.steps):
        R, wanted = residual(Y)
        D = _adjoint_step(R, Y, gw, F, V, solve_adjoint, pencil)
        Y = Y + refinement.constant(xp.where((wanted & trusted(D, Y))[..., None, :], D, 0.0))
    wanted = residual(Y)[1] if refinement.judge else nowhere(w)
    gA = Y @ adjoint(V)
    gB = None if pencil is None else _cotangent_of_B(Y, w, V)
    flags = cotangent_flags(
        gA,
        gB,
        gV,
        gh,
        gw,
        N,
        w,
        V,
        reach=reach,
        F=F,
        W_norm=W_norm,
        pairs=pairs,
        split=split,
        kappa=kappa,
        size=size,
        accuracy=accuracy,
        gauge=gauge,
        degeneracy=degeneracy,
    )
    return (gA if is_complex(A) else real(gA)), gB, flags, wanted


def _cotangent_of_B(Y: Array, w: Array, V: Array) -> Array:
    return -(Y * conj(w)[..., None, :]) @ adjoint(V)


def _adjoint_residual(Y: Array, gh: Array, A: Array, w: Array, V: Array, pencil: Pencil | None) -> Array:
    R = -gh - (adjoint(promote_complex(A)) @ Y - times_adjoint(pencil, Y * conj(w)[..., None, :]))
    return R - V * (column_dot(V, R) / column_square(V))[..., None, :]


def _adjoint_step(
    R: Array, Y: Array, gw: Array, F: Array, V: Array, solve_adjoint: Solve, pencil: Pencil | None
) -> Array:
    rho = gw - column_dot(times(pencil, V), Y)
    return solve_adjoint(diagonal_matrix(rho) - conj(F) * (adjoint(V) @ R))


def refinement_step(
    gV: Array,
    A: Array,
    w: Array,
    V: Array,
    /,
    *,
    pairs: Array,
    kappa: Array,
    solve_adjoint: Solve,
    gauge: Gauge,
    degeneracy: Degeneracy,
) -> Array:
    """||d_j||/||y_j|| (..., n) of the first step, an estimate of the error of column j without it; infinite if V is singular."""
    xp = namespace(V)
    refused = refused_members(kappa)
    F, gh = degeneracy.inverse_gaps(w, pairs), gauge.project_cotangent(V, gV)
    Y = xp.where(refused, 0.0, solve_adjoint(conj(F) * (adjoint(V) @ gh)))
    R = xp.where(refused, 0.0, _adjoint_residual(Y, gh, A, w, V, None))
    D = xp.where(refused, 0.0, _adjoint_step(R, Y, xp.zeros_like(w), F, V, solve_adjoint, None))
    y = column_norm(Y)
    return xp.where(refused[..., 0], xp.inf, column_norm(D) / xp.where(y > 0, y, 1.0))


def eigenvalue_jvp(
    dA: Array, dB: Array | None, w: Array, V: Array, /, *, pairs: Array, magnitude: Array, solve: Solve
) -> tuple[Array, Array]:
    """dw = diag P and the pairs that dA and dB split; magnitude (..., n) = ||W_j|| ||v_j||."""
    P = solve(_moved(dA, dB, w, V))
    return diagonal(P), split_tangents(P, dA, dB, w, magnitude, pairs)


def eigenvalue_vjp(
    gw: Array,
    w: Array,
    V: Array,
    /,
    *,
    pencil: Pencil | None,
    pairs: Array,
    split: Array | None,
    magnitude: Array,
    size: Array,
    solve_adjoint: Solve,
    degeneracy: Degeneracy,
    left_residual: Array,
    real_matrix: bool,
) -> tuple[Array, Array | None, Array, Array]:
    """gA = W (diag(gw) V^H), gB, the refused pairs, and where (...) rounding leaves too little of them: no gaps, no gauge.

    Multiplied before it is solved: where V is ill conditioned and the terms of gA cancel, as they do for a function of the
    matrix, the product W diag(gw) would lose up to five digits more (Grcar matrices).

    Two digits at least are promised. The terms gw_j w_j v_j^H have the size magnitude_j |gw_j|: what remains after they cancel
    must stand above u max_j magnitude_j |gw_j|. And where other columns of V are dependent, rounding mixes their left vectors
    into w_j: left_residual ``(..., n)`` = ||A^H w_j - conj(w_j) B^H w_j||/||w_j||, over `growth`, which follows the error. gB
    counts by the w that its terms have more than those of gA, in units of ||A||.
    """
    xp = namespace(V)
    nothing = xp.all(gw == 0, axis=-1)[..., None, None]
    gA = xp.where(nothing, 0.0, solve_adjoint(gw[..., :, None] * adjoint(V)))
    gB = None
    result = matrix_norm(gA)
    term = xp.where(gw == 0, 0.0, magnitude * xp.abs(gw))
    share = xp.where(gw == 0, 0.0, left_residual)
    if pencil is not None:
        gB = xp.where(nothing, 0.0, solve_adjoint(-(gw * conj(w))[..., :, None] * adjoint(V)))
        result = xp.maximum(result, matrix_norm(gB) / xp.where(size > 0, size, 1.0))
        term = term * growth(w, size)
    lost = ~(roundoff(w) * largest(term, -1)[..., 0] <= _DROWNED * result)
    bound = _MIXED * xp.where(size > 0, size, 1.0)[..., None]
    mixed = ~(share <= bound) & ~(term * share <= bound * result[..., None])
    lost = lost | xp.any(mixed, axis=-1)
    split = eigenvalue_cotangent_flags(
        gw, w, pairs=pairs, split=split, kappa=magnitude, size=size, degeneracy=degeneracy
    )
    return (real(gA) if real_matrix else gA), gB, split, lost


def left_tangent(dS: Array, W: Array, /) -> Array:
    """dW of W = S^-H; S is V, with B it is B V."""
    return -W @ (adjoint(dS) @ W)


def left_cotangent(gW: Array, W: Array, /) -> Array:
    """What gW adds to gS."""
    return -W @ (adjoint(gW) @ W)
