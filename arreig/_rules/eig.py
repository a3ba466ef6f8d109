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
condition. R is made orthogonal to v_j where the equation says nothing. Who calls takes the steps: an equation is solved, the
solution corrected as often as it is wanted, and the result made of it.

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

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from .._array_api import adjoint, cached_property, conj, is_complex, largest, matrix_norm, namespace, real, roundoff
from .._degeneracy import Degeneracy
from .._gauge import Gauge
from .._types import Array
from ._basis import Basis
from ._checks import CotangentFlags, Projected, cotangent_flags, eigenvalue_cotangent_flags, split_tangents
from ._pencil import growth, inverse_gaps, times, times_adjoint
from ._refinement import asks, refused_members, trusted

_DROWNED = 1e-2  # least |gA| against its terms' rounding errors, for gradients of eigenvalues: two digits
_MIXED = 1e-3  # largest residual of left vectors, relative to |A|; it was seen to be a tenth of the error or more

Constant = Callable[[Array], Array]
"""Takes an array out of its library's differentiation. A correction is 0 in exact arithmetic, and so is its derivative; in
floating point that would cost a second derivative time and accuracy."""


class Residual(NamedTuple):
    """What is missing in an equation with a solution put in."""

    R: Array  # as columns of the basis
    asking: Array  # (..., n), where it is above rounding
    solution: Array  # (..., n), norms of the solution's columns


class Tangents(NamedTuple):
    """A solution of the differentiated equation."""

    U: Array  # as columns of the basis
    dw: Array


@dataclass(frozen=True, eq=False)
class TangentEquation:
    """A U - B U diag(w) = B V diag(dw) - dM, dM_j = (dA - w_j dB) v_j, where U has no diagonal part.

    Members with a numerically singular V, whose results are refused, count as 0: products would overflow.
    """

    basis: Basis
    dM: Array  # as columns of the basis
    A: Array
    w: Array
    F: Array  # weights of the basis
    left_out: Array  # (..., n): in a cluster U leaves out a part that the residual would ask for
    refused: Array  # (..., 1, 1) members
    sensitivity: Array
    size: Array

    @classmethod
    def of(
        cls,
        dA: Array,
        dB: Array | None,
        A: Array,
        w: Array,
        basis: Basis,
        /,
        *,
        pairs: Array,
        kappa: Array,
        sensitivity: Array,
        size: Array,
        degeneracy: Degeneracy,
    ) -> Self:
        """kappa is the condition number of an eigenpair, sensitivity u ||A|| the error of w: the same without B."""
        xp, pencil = namespace(w), basis.pencil
        F = inverse_gaps(degeneracy.inverse_gaps(w, pairs), size, pencil)
        refused, left_out = refused_members(kappa), xp.any(pairs, axis=-2)
        if pencil is not None:
            left_out = left_out | pencil.infinite
        dM = xp.where(refused, 0.0, _moved(dA, dB, w, basis))
        return cls(basis, dM, A, w, basis.weights(F), left_out, refused, sensitivity, size)

    def solution(self) -> Tangents:
        """U and dw."""
        xp, basis = namespace(self.w), self.basis
        P = xp.where(self.refused, 0.0, basis.solve(self.dM))
        return Tangents(basis.combined(basis.weighted(self.F, P)), basis.diagonal(P))

    def residual(self, X: Tangents) -> Residual:
        """R."""
        basis, pencil = self.basis, self.basis.pencil
        Sdw = basis.scaled(times(pencil, basis.V), X.dw)
        R = Sdw - self.dM - (basis.product(basis.matrix(self.A), X.U) - basis.scaled(times(pencil, X.U), self.w))
        given, u = basis.norm(self.dM) + basis.norm(Sdw), basis.norm(X.U)
        asking = asks(basis.norm(R), u, given, self.w, self.sensitivity, self.size)
        return Residual(R, asking & ~self.left_out, u)

    def corrected(self, X: Tangents, residual: Residual, constant: Constant) -> Tangents:
        """One step of refinement."""
        xp, basis = namespace(self.w), self.basis
        E = xp.where(self.refused, 0.0, basis.solve(residual.R))
        D = -basis.combined(basis.weighted(self.F, E))
        accept = residual.asking & trusted(basis.norm(D), residual.solution)
        return Tangents(
            X.U + constant(xp.where(accept[..., None, :], D, 0.0)),
            X.dw - constant(xp.where(accept, basis.diagonal(E), 0.0)),
        )


def _moved(dA: Array, dB: Array | None, w: Array, basis: Basis) -> Array:
    """The columns (dA - w_j dB) v_j."""
    dM = basis.product(basis.matrix(dA), basis.V)
    return dM if dB is None else dM - basis.scaled(basis.product(basis.matrix(dB), basis.V), w)


def jvp(equation: TangentEquation, X: Tangents, V: Array, /, *, gauge: Gauge) -> tuple[Array, Array]:
    """dw and dV."""
    return X.dw, gauge.project_tangent(V, equation.basis.array(X.U))


@dataclass(frozen=True, eq=False)
class AdjointEquation(ABC):
    """A^H Y - B^H Y conj(diag w) = -gh,  diag(V^H B^H Y) = gw."""

    basis: Basis
    gh: Array  # as columns of the basis
    gw: Array  # as far as it counts
    A: Array
    w: Array
    sensitivity: Array
    size: Array

    def solution(self) -> Array:
        """Y, as columns of the basis."""
        return self._solved(self.gw, self.gh)

    @abstractmethod
    def _solved(self, gw: Array, gh: Array) -> Array: ...

    @cached_property
    def lengths(self) -> Array:
        """Norms (..., n) of the columns of gh."""
        return self.basis.norm(self.gh)

    def residual(self, Y: Array) -> Residual:
        """-R."""
        basis, w = self.basis, self.w
        R = self._missing(Y)
        R = R - basis.multiples(basis.along(R) / basis.squares)
        y = basis.norm(Y)
        return Residual(R, asks(basis.norm(R), y, self.lengths, w, self.sensitivity, self.size), y)

    def _missing(self, Y: Array) -> Array:
        """-R with what the equation says nothing about."""
        basis = self.basis
        BYw = times_adjoint(basis.pencil, basis.scaled(Y, conj(self.w)))
        return self.gh + (basis.product(adjoint(basis.matrix(self.A)), Y) - BYw)

    def step(self, Y: Array, residual: Residual) -> Array:
        """What Y lacks."""
        basis = self.basis
        return self._solved(self.gw - basis.along(times_adjoint(basis.pencil, Y)), residual.R)

    def corrected(self, Y: Array, residual: Residual, constant: Constant) -> Array:
        """One step of refinement."""
        D = self.step(Y, residual)
        accept = residual.asking & trusted(self.basis.norm(D), residual.solution)
        return Y + constant(namespace(Y).where(accept[..., None, :], D, 0.0))


@dataclass(frozen=True, eq=False)
class MaskedAdjointEquation(AdjointEquation):
    """With clusters. Members with a numerically singular V, whose results are refused, count as 0: products would overflow."""

    F_size: Array  # |F_ij|
    weights: Any  # conj(F), as weights of the basis
    refused: Array  # (..., 1, 1) members

    @classmethod
    def of(
        cls,
        gV: Array,
        gw: Array,
        A: Array,
        w: Array,
        V: Array,
        basis: Basis,
        /,
        *,
        pairs: Array,
        kappa: Array,
        sensitivity: Array,
        size: Array,
        gauge: Gauge,
        degeneracy: Degeneracy,
    ) -> Self:
        """size = ||A||_F; kappa, sensitivity as for a `TangentEquation`."""
        xp = namespace(w)
        F = inverse_gaps(degeneracy.inverse_gaps(w, pairs), size, basis.pencil)
        refused = refused_members(kappa)
        gh = xp.where(refused, 0.0, basis.projected(gauge, V, basis.columns(gV)))
        weights = basis.weights(conj(F))
        return cls(basis, gh, basis.values(gw), A, w, sensitivity, size, xp.abs(F), weights, refused)

    def _solved(self, gw: Array, gh: Array) -> Array:
        basis = self.basis
        gP = basis.with_diagonal(basis.weighted(self.weights, basis.tested(gh)), gw)
        return namespace(gw).where(self.refused, 0.0, basis.solve_adjoint(gP))


def vjp(
    equation: MaskedAdjointEquation,
    Y: Array,
    gV: Array,
    gw: Array,
    V: Array,
    /,
    *,
    lengths: Array,
    reach: Array,
    W_norm: Array,
    pairs: Array | None,
    split: Array | None,
    kappa: Array,
    accuracy: Array,
    gauge: Gauge,
    degeneracy: Degeneracy,
) -> tuple[Array, Array | None, CotangentFlags]:
    """gA, gB and what is refused, from the solution Y; lengths, W_norm (..., n): norms of the columns of gV and W.

    pairs, reach, accuracy: see `cotangent_flags`.
    """
    xp, basis, w = namespace(V), equation.basis, equation.w
    gA = basis.outer(Y)
    gB = None if basis.pencil is None else -basis.outer(basis.scaled(Y, conj(w)))
    flags = cotangent_flags(
        gA,
        gB,
        gV,
        gw,
        lambda: adjoint(V) @ gauge.project_cotangent(V, gV),
        w,
        V,
        lengths=lengths,
        reach=reach,
        projected=Projected(
            equation.lengths,
            basis.together(lengths),
            xp.abs(equation.gw),
            basis.together(reach),
            basis.joint,
        ),
        F_size=equation.F_size,
        V_norm=basis.lengths,
        W_norm=W_norm,
        pairs=pairs,
        split=split,
        kappa=kappa,
        size=equation.size,
        accuracy=accuracy,
        gauge=gauge,
        degeneracy=degeneracy,
    )
    return (gA if is_complex(equation.A) else real(gA)), gB, flags


def refinement_step(equation: MaskedAdjointEquation) -> Array:
    """||d_j||/||y_j|| (..., n) of the first step, an estimate of the error of column j without it; infinite if V is singular."""
    xp, basis, refused = namespace(equation.w), equation.basis, equation.refused
    Y = equation.solution()
    residual = equation.residual(Y)
    y, d = residual.solution, basis.norm(equation.step(Y, residual))
    return xp.where(refused[..., 0], xp.inf, d / xp.where(y > 0, y, 1.0))


def eigenvalue_jvp(
    dA: Array, dB: Array | None, w: Array, basis: Basis, /, *, pairs: Array, magnitude: Array
) -> tuple[Array, Array]:
    """dw = diag P and the pairs that dA and dB split; magnitude (..., n) = ||W_j|| ||v_j||."""
    P = basis.solve(_moved(dA, dB, w, basis))
    return basis.diagonal(P), split_tangents(basis.coefficients(P), dA, dB, w, magnitude, pairs)


def eigenvalue_vjp(
    gw: Array,
    w: Array,
    basis: Basis,
    /,
    *,
    pairs: Array,
    split: Array | None,
    magnitude: Array,
    size: Array,
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
    xp, g = namespace(w), basis.values(gw)
    nothing = xp.all(g == 0, axis=-1)[..., None, None]
    gA = xp.where(nothing, 0.0, basis.solve_outer(basis.multiples(conj(g))))
    gB = None
    result = matrix_norm(gA)
    term = xp.where(g == 0, 0.0, magnitude * xp.abs(g))
    share = xp.where(g == 0, 0.0, left_residual)
    if basis.pencil is not None:
        gB = xp.where(nothing, 0.0, basis.solve_outer(basis.multiples(-conj(g) * w)))
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
