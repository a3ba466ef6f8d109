"""General matrix, A V = V diag(w).

Differentiate: dA V + A dV = dV diag(w) + V diag(dw). Multiply by V^-1 and write dV = V X, P = V^-1 dA V:

    P + diag(w) X = X diag(w) + diag(dw)      so   dw = diag P,   X_ij = P_ij/(w_j - w_i) = (F o P)_ij  for i != j

The diagonal of X is free: U = V (F o P) has none, the gauge adds dV = U + V diag(c(U)). In adjoint order, with
<X, Y> = Re tr(X^H Y), gh the gauge's adjoint of gV:

    <gV, dV> + <gw, dw> = <gh, V (F o P)> + <diag gw, P> = <gP, V^-1 dA V>,   gP = diag(gw) + conj(F) o (V^H gh)
    Y = V^-H gP,                                                              gA = Y V^H

W = V^-H follows V: dW = -W dV^H W, whose adjoint adds -W gW^H W to gV. A real A takes the real part of gA.

Sources: Magnus, Econometric Theory 1 (1985) 179; Giles, An extended collection of matrix derivative results (2008), sec. 3.1;
Boeddeker et al., arXiv:1701.00392, sec. 4.
"""

from collections.abc import Callable

from .._array_api import adjoint, create_diagonal, namespace, real
from .._degeneracy import Degeneracy
from .._gauge import Gauge
from .._types import Array
from ._checks import CotangentFlags, cotangent_flags, eigenvalue_cotangent_flags, split_tangents

Solve = Callable[[Array], Array]


def jvp(
    dA: Array, w: Array, V: Array, /, *, pairs: Array, solve: Solve, gauge: Gauge, degeneracy: Degeneracy
) -> tuple[Array, Array, Array]:
    """dw, dV and the refused pairs; solve(X) = V^-1 X."""
    xp = namespace(V)
    F = degeneracy.inverse_gaps(w, pairs)
    P = solve(dA @ V)
    U = V @ (F * P)
    return xp.linalg.diagonal(P), gauge.project_tangent(V, U), degeneracy.refused_tangents(pairs)


def vjp(
    gV: Array,
    gw: Array,
    w: Array,
    V: Array,
    /,
    *,
    pairs: Array,
    size: Array,
    solve_adjoint: Solve,
    gauge: Gauge,
    degeneracy: Degeneracy,
    real_matrix: bool,
) -> tuple[Array, CotangentFlags]:
    """gA and what is refused; solve_adjoint(X) = V^-H X, size = ||A||_F."""
    xp = namespace(V)
    F = degeneracy.inverse_gaps(w, pairs)
    gh = gauge.project_cotangent(V, gV)
    N = adjoint(V) @ gh
    gP = create_diagonal(gw) + xp.conj(F) * N
    gA = solve_adjoint(gP) @ adjoint(V)
    flags = cotangent_flags(gV, gw, N, w, V, pairs, size, gauge, degeneracy)
    return (real(gA) if real_matrix else gA), flags


def eigenvalue_jvp(dA: Array, V: Array, /, *, pairs: Array, kappa: Array, solve: Solve) -> tuple[Array, Array]:
    """dw = diag P and the pairs that dA splits."""
    P = solve(dA @ V)
    return namespace(V).linalg.diagonal(P), split_tangents(P, dA, kappa, pairs)


def eigenvalue_vjp(
    gw: Array,
    w: Array,
    V: Array,
    /,
    *,
    pairs: Array,
    size: Array,
    solve_adjoint: Solve,
    degeneracy: Degeneracy,
    real_matrix: bool,
) -> tuple[Array, Array]:
    """gA = V^-H diag(gw) V^H and the refused pairs: no gaps, no gauge."""
    gA = solve_adjoint(create_diagonal(gw)) @ adjoint(V)
    return (real(gA) if real_matrix else gA), eigenvalue_cotangent_flags(gw, w, pairs, size, degeneracy)


def left_tangent(dV: Array, W: Array, /) -> Array:
    """dW of W = V^-H."""
    return -W @ (adjoint(dV) @ W)


def left_cotangent(gW: Array, W: Array, /) -> Array:
    """What gW adds to gV."""
    return -W @ (adjoint(gW) @ W)
