"""Spectral projector P onto selected eigenvalues of A, and an orthonormal basis Q of their invariant subspace.

Both stay differentiable whatever the eigenvectors do, as long as the selected eigenvalues stay apart from the others.

Projector. P is a function of A, so A P = P A and P P = P. Write P' = I - P. Differentiate both:

    A dP - dP A = P dA - dA P = [P, dA],      P dP + dP P = dP,   i.e. dP = P dP P' + P' dP P

With X = off(C) the solution of A X - X A = P C P' + P' C P for which X = P X P' + P' X P (unique, because the spectra of A on the
ranges of P and P' are disjoint), dP = off([P, dA]). The commutator with P changes the sign of one of the two blocks, which off
treats separately: dP = [P, off(dA)]. And as X^H solves the equation of A^H and P^H with -C^H,

    D(C) = [P, off(C)]:      dP = D(dA),      gA = D(gP^H)^H

Second derivatives need those of off. Differentiate its equation and P X + X P = X, with M = dP X + X dP:

    dX = off(dC + dP C + C dP - 2 dP C P - 2 P C dP - dA X + X dA) + P' M P' - P M P

In adjoint order, with Y = -off(gX^H)^H and D = P'^H gX P'^H - P^H gX P^H:

    gC = Y,     gA = X^H Y - Y X^H,     gP = Y C^H + C^H Y - 2 Y P^H C^H - 2 C^H P^H Y + D X^H + X^H D

Basis. A Q = Q T with T = Q^H A Q. Q is determined up to a unitary factor on the right; dQ has no component along Q (it is the
horizontal lift), and a loss must not depend on that factor. R = I - Q Q^H. Differentiate A Q = Q T and multiply by R:

    R A dQ - dQ T = -R dA Q,     Q^H dQ = 0

With X = into(C) the solution of R A X - X T = R C, Q^H X = 0, and into*(C) that of R A^H X - X T^H = R C (the adjoint map):

    dQ = -into(dA Q),      gA = -into*(gQ) Q^H

For second derivatives let A_, T_ stand for A, T or, of into*, for A^H, T^H. Differentiate (R A Q = 0, but R A^H Q != 0), with
S = Q^H (A_ X - C):

    dX = into_(dC - dA_ X + dQ S + X dT_ + A_ Q dQ^H X) - Q dQ^H X,      dT_ = Q^H dA_ Q + dQ^H A_ Q + Q^H A_ dQ

In adjoint order, with Y = into_*(gX), L = X^H Y:

    gC = Y,     gA_ = Q L Q^H - Y X^H,     gQ = Y S^H + A_ Q L^H + A_^H Q L + X Y^H A_ Q - X gX^H Q

Sources: Stewart, Sun, Matrix Perturbation Theory (1990), ch. V; Kato, Perturbation Theory for Linear Operators (1980), II.4.
"""

from collections.abc import Callable

from .._array_api import adjoint, matrix_norm, relative_tolerance
from .._types import Array

Solve = Callable[[Array], Array]


def _commutator(X: Array, Y: Array) -> Array:
    return X @ Y - Y @ X


def projector_jvp(dA: Array, P: Array, /, *, off: Solve) -> Array:
    """dP = [P, off(dA)]."""
    return _commutator(P, off(dA))


def projector_vjp(gP: Array, P: Array, /, *, off: Solve) -> Array:
    """gA = [P, off(gP^H)]^H."""
    return _commutator(adjoint(off(adjoint(gP))), adjoint(P))


def off_jvp(dA: Array, dP: Array, dC: Array, P: Array, C: Array, X: Array, /, *, off: Solve) -> Array:
    """dX of X = off(C)."""
    right = dC + dP @ C + C @ dP - 2 * (dP @ C @ P + P @ C @ dP)
    M = dP @ X + X @ dP
    return off(right - _commutator(dA, X)) + M - P @ M - M @ P


def off_adjoint(gX: Array, /, *, off: Solve) -> Array:
    """gC = -off(gX^H)^H, the adjoint map."""
    return -adjoint(off(adjoint(gX)))


def off_adjoint_jvp(dA: Array, dP: Array, dC: Array, P: Array, C: Array, X: Array, /, *, off: Solve) -> Array:
    """dX of X = -off(C^H)^H."""
    return -adjoint(off_jvp(dA, dP, adjoint(dC), P, adjoint(C), -adjoint(X), off=off))


def off_vjp(gX: Array, P: Array, C: Array, X: Array, /, *, off: Solve) -> tuple[Array, Array, Array]:
    """gA, gP and gC of X = off(C)."""
    Y = off_adjoint(gX, off=off)
    P, C, X = adjoint(P), adjoint(C), adjoint(X)
    D = gX - P @ gX - gX @ P
    gP = Y @ C + C @ Y - 2 * (Y @ P @ C + C @ P @ Y) + D @ X + X @ D
    return _commutator(X, Y), gP, Y


def basis_jvp(dA: Array, Q: Array, /, *, into: Solve) -> Array:
    """dQ = -into(dA Q)."""
    return -into(dA @ Q)


def basis_vjp(gQ: Array, Q: Array, /, *, into_adjoint: Solve) -> Array:
    """gA = -into*(gQ) Q^H."""
    return -into_adjoint(gQ) @ adjoint(Q)


def depends_on_basis(gQ: Array, Q: Array, /) -> Array:
    """Where (...) the loss changes under Q -> Q U, U unitary: Q^H gQ is not Hermitian, as <gQ, Q K> = 0 for K^H = -K asks."""
    G = adjoint(Q) @ gQ
    return matrix_norm(G - adjoint(G)) > relative_tolerance(Q) * matrix_norm(gQ)


def into_jvp(dA: Array, dQ: Array, dC: Array, A: Array, Q: Array, C: Array, X: Array, /, *, into: Solve) -> Array:
    """dX of X = into(C), or of into*(C) with A and dA replaced by their adjoints."""
    turn = adjoint(dQ) @ X
    S = adjoint(Q) @ (A @ X - C)
    dT = adjoint(Q) @ (dA @ Q + A @ dQ) + adjoint(dQ) @ (A @ Q)
    return into(dC - dA @ X + dQ @ S + X @ dT + A @ (Q @ turn)) - Q @ turn


def into_vjp(
    gX: Array, A: Array, Q: Array, C: Array, X: Array, /, *, adjoint_into: Solve
) -> tuple[Array, Array, Array]:
    """gA, gQ and gC of X = into(C); of X = into*(C) with A replaced by its adjoint, which the first result then belongs to."""
    Y = adjoint_into(gX)
    L = adjoint(X) @ Y
    S = adjoint(Q) @ (A @ X - C)
    AQ = A @ Q
    gQ = Y @ adjoint(S) + AQ @ adjoint(L) + adjoint(A) @ (Q @ L) + X @ (adjoint(Y) @ AQ - adjoint(gX) @ Q)
    return Q @ L @ adjoint(Q) - Y @ adjoint(X), gQ, Y
